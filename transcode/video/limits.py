"""H.264 levels: what a receiver's profile-level-id lets be sent to it (ITU-T H.264 table A-1, RFC 6184 §8.1)."""

from __future__ import annotations

from typing import NamedTuple

from transcode.payload import h264_profile


class Level(NamedTuple):
    """One row: macroblocks/s, macroblocks a picture, bit/s (baseline and main)."""

    idc: int
    macroblock_rate: int
    macroblocks: int
    bit_rate: int


LEVELS = tuple(
    Level(idc, row.macroblocks_per_second, row.frame_macroblocks, row.bit_rate)
    for idc, row in sorted(h264_profile.LEVELS.items())
    if idc != h264_profile.LEVEL_1B
)
DEFAULT_PROFILE = "42e01f"
"""Constrained baseline at level 3.1: 720p30, what every terminal and browser takes."""
_FAMILIES = {0x42: "baseline", 0x4D: "main", 0x64: "high"}
SIZES = ((1920, 1080), (1280, 720), (1024, 576), (848, 480), (640, 360), (352, 288), (320, 180), (176, 144))
"""Pictures that are offered in turn to a receiver whose level is too low for what was wanted, in pixels."""
RATES = (30, 25, 15, 10, 7)
"""Pictures/s that are tried in turn; below 7 a smaller picture is better."""


def macroblocks(width: int, height: int) -> int:
    """Return how many macroblocks of 16x16 cover a picture."""
    return -(-width // 16) * -(-height // 16)


def parse_profile(profile: str) -> tuple[str, int]:
    """Return x264's name of the profile and the level times ten of a profile-level-id.

    One that is malformed, or of a profile that is not encoded here, is taken as constrained baseline.
    """
    try:
        octets = bytes.fromhex(profile)
    except ValueError:
        octets = b""
    if len(octets) != 3:
        octets = bytes.fromhex(DEFAULT_PROFILE)
    family = _FAMILIES.get(octets[0], "baseline")
    level = octets[2]
    if level == 9 or (level == 11 and octets[1] & 0x10 and family != "high"):
        level = 10  # level 1b, which has level 1's size
    return family, level


def fitting_level(profile: str, width: int, height: int, frame_rate: int, bit_rate: int) -> tuple[str, int]:
    """Return x264's profile name and the level times ten to write into the stream.

    It is the lowest level that holds the stream, but never above the negotiated one: a receiver refuses a stream by
    its level even where it could decode it.
    """
    family, allowed = parse_profile(profile)
    count = macroblocks(width, height)
    for level in LEVELS:
        if level.macroblocks >= count and level.macroblock_rate >= count * frame_rate and level.bit_rate >= bit_rate:
            return family, min(level.idc, allowed) if allowed >= LEVELS[0].idc else level.idc
    return family, allowed


def canonical(profile: str, width: int, height: int, frame_rate: int, bit_rate: int) -> str:
    """Return the profile-level-id that is encoded: receivers of higher levels meet in one stream."""
    family, level = fitting_level(profile, width, height, frame_rate, bit_rate)
    head = {"baseline": "42e0", "main": "4d00", "high": "6400"}[family]
    return f"{head}{level:02x}"


def fit(profile: str, width: int, height: int, frame_rate: int) -> tuple[int, int, int]:
    """Return the largest width, height (pixels) and frame rate (pictures/s) within a profile-level-id's level.

    The wanted one if it fits; else the largest of SIZES and RATES within it, the frame rate given up last but below
    half: a smaller picture at 15 is preferred to a larger one at 7.
    """
    _, allowed = parse_profile(profile)
    level = max((row for row in LEVELS if row.idc <= allowed), key=lambda row: row.idc, default=LEVELS[0])
    return fit_within(level.macroblock_rate, level.macroblocks, width, height, frame_rate)


def fit_within(
    macroblock_rate: int, most_macroblocks: int, width: int, height: int, frame_rate: int
) -> tuple[int, int, int]:
    """Return what `fit` does for a receiver of so many macroblocks/s and macroblocks a picture."""

    def holds(w: int, h: int, rate: int) -> bool:
        count = macroblocks(w, h)
        return count <= most_macroblocks and count * rate <= macroblock_rate

    if holds(width, height, frame_rate):
        return width, height, frame_rate
    sizes = [(width, height)] + [size for size in SIZES if size[0] <= width and size[1] <= height]
    for least in (frame_rate, frame_rate // 2, 1):
        for w, h in sizes:
            for rate in (frame_rate, *RATES):
                if least <= rate <= frame_rate and holds(w, h, rate):
                    return w, h, rate
    return *SIZES[-1], min(frame_rate, 15)
