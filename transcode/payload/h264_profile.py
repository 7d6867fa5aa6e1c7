"""H.264 profiles, levels and what they allow (RFC 6184 §8.1; ITU-T H.264 Table A-1)."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from enum import Enum
from math import isqrt

from transcode.media import Format
from transcode.payload.h264_sps import MAX_SPS, NAL_SPS, parse_sps

NAL_PPS = 8
MAX_SPROP_SETS = 16
"""Parameter sets in one sprop-parameter-sets; endpoints give 2 to 4."""
MAX_SPROP = 8192
"""Characters of one sprop-parameter-sets."""
MAX_FRAME_RATE = 60.0
"""Pictures/s beyond which no limit is worth telling."""
DEFAULT_PROFILE_LEVEL = "42000a"
"""Without profile-level-id: Baseline profile, level 1 (RFC 6184 §8.1)."""
_HEX = re.compile(r"[0-9A-Fa-f]{6}")
_NUMBER = re.compile(r"[0-9]{1,9}")


class Profile(Enum):
    """The profiles that calls use, by name; anything else is OTHER (RFC 6184 Table 5)."""

    CONSTRAINED_BASELINE = "constrained-baseline"
    BASELINE = "baseline"
    EXTENDED = "extended"
    MAIN = "main"
    CONSTRAINED_HIGH = "constrained-high"
    HIGH = "high"
    OTHER = "other"


_CONTAINS: dict[Profile, frozenset[Profile]] = {
    Profile.CONSTRAINED_BASELINE: frozenset({Profile.CONSTRAINED_BASELINE}),
    Profile.BASELINE: frozenset({Profile.CONSTRAINED_BASELINE, Profile.BASELINE}),
    Profile.EXTENDED: frozenset({Profile.CONSTRAINED_BASELINE, Profile.BASELINE, Profile.EXTENDED}),
    Profile.MAIN: frozenset({Profile.CONSTRAINED_BASELINE, Profile.MAIN}),
    Profile.CONSTRAINED_HIGH: frozenset({Profile.CONSTRAINED_BASELINE, Profile.CONSTRAINED_HIGH}),
    Profile.HIGH: frozenset({Profile.CONSTRAINED_BASELINE, Profile.MAIN, Profile.CONSTRAINED_HIGH, Profile.HIGH}),
    Profile.OTHER: frozenset(),
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What a receiver takes: macroblocks/s, macroblocks of a picture, bit/s."""

    macroblocks_per_second: int
    frame_macroblocks: int
    bit_rate: int

    def frame_rate(self, width: int, height: int) -> float:
        """Return the pictures/s allowed at a size in pixels; 0.0 if the size itself is not (§A.3.1)."""
        columns, rows = (width + 15) // 16, (height + 15) // 16
        side = isqrt(8 * self.frame_macroblocks)
        if columns < 1 or rows < 1 or columns * rows > self.frame_macroblocks or max(columns, rows) > side:
            return 0.0
        return min(MAX_FRAME_RATE, self.macroblocks_per_second / (columns * rows))


LEVELS: dict[int, Limits] = {
    9: Limits(1_485, 99, 128_000),
    10: Limits(1_485, 99, 64_000),
    11: Limits(3_000, 396, 192_000),
    12: Limits(6_000, 396, 384_000),
    13: Limits(11_880, 396, 768_000),
    20: Limits(11_880, 396, 2_000_000),
    21: Limits(19_800, 792, 4_000_000),
    22: Limits(20_250, 1_620, 4_000_000),
    30: Limits(40_500, 1_620, 10_000_000),
    31: Limits(108_000, 3_600, 14_000_000),
    32: Limits(216_000, 5_120, 20_000_000),
    40: Limits(245_760, 8_192, 20_000_000),
    41: Limits(245_760, 8_192, 50_000_000),
    42: Limits(522_240, 8_704, 50_000_000),
    50: Limits(589_824, 22_080, 135_000_000),
    51: Limits(983_040, 36_864, 240_000_000),
    52: Limits(2_073_600, 36_864, 240_000_000),
    60: Limits(4_177_920, 139_264, 240_000_000),
    61: Limits(8_355_840, 139_264, 480_000_000),
    62: Limits(16_711_680, 139_264, 800_000_000),
}
"""What each level allows (Table A-1), by ten times its number; 9 is level 1b."""
LEVEL_1B = 9
"""How level 1b is told here, for every profile; it stands between 1 and 1.1."""
_ORDER = {level: place for place, level in enumerate([10, 9, *sorted(LEVELS)[2:]])}


@dataclass(frozen=True, slots=True)
class ProfileLevel:
    """A profile-level-id: profile_idc, the constraint flags' octet, level_idc as written."""

    idc: int
    constraints: int
    level_idc: int

    @classmethod
    def parse(cls, text: str) -> ProfileLevel:
        """Read the six hex digits of fmtp. Raises ValueError."""
        if not _HEX.fullmatch(text):
            raise ValueError("profile-level-id is not six hex digits")
        return cls(*bytes.fromhex(text))

    def __str__(self) -> str:
        return f"{self.idc:02x}{self.constraints:02x}{self.level_idc:02x}"

    @property
    def profile(self) -> Profile:
        """The profile that the flags and profile_idc name together (RFC 6184 Table 5)."""
        set0, set1 = self.constraints & 0x80, self.constraints & 0x40
        if self.idc == 66:
            return Profile.CONSTRAINED_BASELINE if set1 else Profile.BASELINE
        if self.idc == 77:
            return Profile.CONSTRAINED_BASELINE if set0 else Profile.MAIN
        if self.idc == 88:
            if set0:
                return Profile.CONSTRAINED_BASELINE if set1 else Profile.BASELINE
            return Profile.EXTENDED
        if self.idc == 100:
            return Profile.CONSTRAINED_HIGH if self.constraints & 0x0C == 0x0C else Profile.HIGH
        return Profile.OTHER

    @property
    def level(self) -> int:
        """The level: ten times its number, `LEVEL_1B` for 1b, the next lower known one if it is unknown."""
        if self.idc in (66, 77, 88) and self.level_idc == 11 and self.constraints & 0x10:
            return LEVEL_1B
        if self.level_idc in LEVELS:
            return self.level_idc
        return max((level for level in LEVELS if level <= self.level_idc), default=10)

    @property
    def limits(self) -> Limits:
        """What the level allows by Table A-1; bit rate of the high profiles is a quarter higher (§A.3.3)."""
        limits = LEVELS[self.level]
        if self.idc == 100:
            return Limits(limits.macroblocks_per_second, limits.frame_macroblocks, limits.bit_rate * 5 // 4)
        return limits

    def takes(self, sent: ProfileLevel) -> bool:
        """Whether a decoder of this profile decodes what is coded in the other's profile, levels aside."""
        return sent.profile in _CONTAINS[self.profile]

    def level_reaches(self, sent: ProfileLevel) -> bool:
        """Whether this level is at least the other's."""
        return _ORDER[self.level] >= _ORDER[sent.level]


def profile_level(format: Format) -> ProfileLevel:
    """Return a format's profile-level-id; the RFC's default if it has none or a malformed one."""
    try:
        return ProfileLevel.parse(format.parameter("profile-level-id", DEFAULT_PROFILE_LEVEL))
    except ValueError:
        return ProfileLevel.parse(DEFAULT_PROFILE_LEVEL)


def limits(format: Format) -> Limits:
    """Return what a format's receiver takes: its level, raised by max-mbps, max-fs and max-br (1,000 bit/s).

    They only ever raise; lower values are ignored, as RFC 6184 §8.1 has it. In the high profiles max-br counts in
    units of 1,250 bit/s.
    """
    given = profile_level(format)
    base = given.limits
    unit = 1250 if given.idc == 100 else 1000
    return Limits(
        max(base.macroblocks_per_second, _number(format, "max-mbps")),
        max(base.frame_macroblocks, _number(format, "max-fs")),
        max(base.bit_rate, _number(format, "max-br") * unit),
    )


def packetization_mode(format: Format) -> int:
    """Return a format's packetization-mode; 0 if it is absent or malformed (RFC 6184 §8.1)."""
    return {"1": 1, "2": 2}.get(format.parameter("packetization-mode").strip(), 0)


def _number(format: Format, name: str) -> int:
    text = format.parameter(name).strip()
    return int(text) if _NUMBER.fullmatch(text) else 0


def sprop_parameter_sets(text: str) -> tuple[bytes, ...]:
    """Return the SPS and PPS of a sprop-parameter-sets value; what cannot be read is left out (RFC 6184 §8.1)."""
    sets: list[bytes] = []
    for part in text[:MAX_SPROP].split(",")[:MAX_SPROP_SETS]:
        try:
            nal = base64.b64decode(part.strip() + "=" * (-len(part.strip()) % 4), validate=True)
        except (binascii.Error, ValueError):
            continue
        if is_parameter_set(nal):
            sets.append(nal)
    return tuple(sets)


def is_parameter_set(nal: bytes) -> bool:
    """Whether this is a readable SPS, or a PPS of sensible length, that holds no start code."""
    if not nal or len(nal) > MAX_SPS or b"\x00\x00\x01" in nal:
        return False
    if nal[0] & 0x1F == NAL_SPS:
        try:
            parse_sps(nal)
        except ValueError:
            return False
        return True
    return nal[0] & 0x9F == NAL_PPS and len(nal) > 1
