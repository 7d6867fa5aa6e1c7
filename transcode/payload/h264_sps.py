"""H.264 sequence parameter sets: profile, level and picture size (ITU-T H.264 §7.3.2.1.1).

The size is read before a decoder sees the stream, so that a claim of a huge picture costs nothing. Cropping is part
of the claim: a decoder allocates the whole picture however little of it is shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from transcode.payload.bits import BitReader
from transcode.payload.interface import MAX_HEIGHT, MAX_WIDTH

__all__ = ["MAX_HEIGHT", "MAX_WIDTH", "Sps", "parse_sps", "picture_size", "split_annexb", "unescape"]

NAL_SPS = 7
MAX_SPS = 1024
"""Octets of a set; with every scaling list and a full VUI it stays under 600."""
MAX_SIDE = 16384
"""Pixels of a side that is worth telling as a size; level 6.2 ends at 16,864."""
MAX_HIDDEN = 31
"""Pixels that cropping may take off a side before the whole size counts: an interlaced picture is cut from 32 lines."""
MAX_CYCLE = 255
"""num_ref_frames_in_pic_order_cnt_cycle (§7.4.2.1.1)."""
_HIGH_PROFILES = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
_ESCAPE = re.compile(rb"\x00\x00\x03")
_START_CODE = b"\x00\x00\x01"


@dataclass(frozen=True, slots=True)
class Sps:
    """What a sequence parameter set says: sizes in pixels, cropped and as coded (whole macroblocks)."""

    id: int
    profile: int
    constraints: int
    level: int
    width: int
    height: int
    coded_width: int
    coded_height: int
    reference_frames: int

    @property
    def claimed(self) -> tuple[int, int]:
        """The size to judge it by: as shown, unless cropping hides more than a row of macroblocks."""
        if self.coded_width - self.width > MAX_HIDDEN or self.coded_height - self.height > MAX_HIDDEN:
            return self.coded_width, self.coded_height
        return self.width, self.height


def unescape(nal: bytes) -> bytes:
    """Return a NAL unit without its emulation prevention octets (§7.4.1.1)."""
    return _ESCAPE.sub(b"\x00\x00", nal) if b"\x00\x00\x03" in nal else nal


def split_annexb(stream: bytes) -> Iterator[bytes]:
    """Yield the NAL units of a byte stream (Annex B) without start codes; what stands before the first is skipped."""
    at = stream.find(_START_CODE)
    while at >= 0:
        start = at + 3
        at = stream.find(_START_CODE, start)
        nal = stream[start : at if at >= 0 else len(stream)].rstrip(b"\x00")
        if nal:
            yield nal


def parse_sps(nal: bytes) -> Sps:
    """Read a sequence parameter set, its NAL header included. Raises ValueError if it is malformed."""
    if not nal or nal[0] & 0x9F != NAL_SPS or len(nal) > MAX_SPS:
        raise ValueError("not a sequence parameter set")
    bits = BitReader(unescape(nal), 8)
    profile, constraints, level = bits.read(8), bits.read(8), bits.read(8)
    identity = bits.unsigned()
    if identity > 31:
        raise ValueError("sequence parameter set id over 31")
    chroma, separate = _chroma(bits) if profile in _HIGH_PROFILES else (1, False)
    if bits.unsigned() > 12:
        raise ValueError("log2_max_frame_num over 16")
    _picture_order(bits)
    reference_frames = bits.unsigned()
    if reference_frames > 16:
        raise ValueError("more than 16 reference frames")
    bits.skip(1)
    columns, rows = bits.unsigned() + 1, bits.unsigned() + 1
    frames_only = bits.flag()
    if not frames_only:
        rows *= 2
        bits.skip(1)
    bits.skip(1)
    if max(columns, rows) * 16 > MAX_SIDE:
        raise ValueError(f"picture of {columns} by {rows} macroblocks")
    width, height = 16 * columns, 16 * rows
    if bits.flag():
        left, right, top, bottom = (bits.unsigned() for _ in range(4))
        across = 2 if chroma in (1, 2) and not separate else 1
        down = (2 if chroma == 1 and not separate else 1) * (1 if frames_only else 2)
        width -= across * (left + right)
        height -= down * (top + bottom)
        if width <= 0 or height <= 0:
            raise ValueError("cropping leaves nothing of the picture")
    return Sps(identity, profile, constraints, level, width, height, 16 * columns, 16 * rows, reference_frames)


def _chroma(bits: BitReader) -> tuple[int, bool]:
    """Read the high profiles' fields: chroma format, depths, scaling lists."""
    chroma = bits.unsigned()
    if chroma > 3:
        raise ValueError("chroma format over 3")
    separate = bits.flag() if chroma == 3 else False
    if bits.unsigned() > 6 or bits.unsigned() > 6:
        raise ValueError("more than 14 bits a sample")
    bits.skip(1)
    if bits.flag():
        for index in range(12 if chroma == 3 else 8):
            if bits.flag():
                _scaling_list(bits, 16 if index < 6 else 64)
    return chroma, separate


def _scaling_list(bits: BitReader, size: int) -> None:
    """Pass over a scaling list (§7.3.2.1.1.1)."""
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed()) % 256
        last = following or last


def _picture_order(bits: BitReader) -> None:
    """Pass over the picture order count fields."""
    kind = bits.unsigned()
    if kind == 0:
        if bits.unsigned() > 12:
            raise ValueError("log2_max_pic_order_cnt_lsb over 16")
    elif kind == 1:
        bits.skip(1)
        bits.signed()
        bits.signed()
        cycle = bits.unsigned()
        if cycle > MAX_CYCLE:
            raise ValueError("picture order count cycle over 255")
        for _ in range(cycle):
            bits.signed()
    elif kind != 2:
        raise ValueError("picture order count type over 2")


def picture_size(annexb: bytes) -> tuple[int, int] | None:
    """Return the largest size in pixels that a byte stream claims, None if no readable parameter set is in it."""
    best: tuple[int, int] | None = None
    for nal in split_annexb(annexb):
        if nal[0] & 0x1F != NAL_SPS:
            continue
        try:
            claimed = parse_sps(nal).claimed
        except ValueError:
            continue
        if best is None or claimed[0] * claimed[1] > best[0] * best[1]:
            best = claimed
    return best
