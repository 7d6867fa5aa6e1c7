"""The size that a coded picture claims, read before a decoder sees it.

A decoder allocates what a header claims. A picture above the bound is therefore judged here by its own header: H.264
sequence parameter set, VP8 frame header (RFC 6386 §9.1), H.263 picture header (H.263 §5.1), H.261 picture header
(H.261 §4.2.1).
"""

from __future__ import annotations

from fractions import Fraction

from transcode.media import Codec
from transcode.payload.h264_sps import picture_size
from transcode.payload.interface import MAX_HEIGHT, MAX_WIDTH, size_allowed

MAX_PIXELS = MAX_WIDTH * MAX_HEIGHT
"""Given to the decoders as well: the second wall, for headers that are read differently there."""
_H263_FORMATS = {1: (128, 96), 2: (176, 144), 3: (352, 288), 4: (704, 576), 5: (1408, 1152)}
SOURCE_FORMATS = {
    Codec.H263: ((128, 96), (176, 144), (352, 288), (704, 576)),
    Codec.H263P: ((128, 96), (176, 144), (352, 288), (704, 576)),
    Codec.H261: ((176, 144), (352, 288)),
}
"""The source formats of the old codecs, in pixels (H.263 §5.1.3, H.261 §3.1)."""
_HEADER = 16
"""Octets that hold any of these headers."""

__all__ = ["MAX_PIXELS", "SOURCE_FORMATS", "claimed_size", "pixel_aspect", "size_allowed"]


def claimed_size(codec: Codec, data: bytes) -> tuple[int, int] | None:
    """Return width and height in pixels that a coded picture claims, None if it says nothing readable."""
    if codec is Codec.H264:
        return picture_size(data)
    if codec is Codec.VP8:
        return _vp8(data)
    if codec is Codec.H261:
        return _h261(data)
    return _h263(data)


def pixel_aspect(width: int, height: int) -> Fraction:
    """Return the width to height of one pixel of a picture in the old codecs: CIF and its kin are shown as 4:3,
    in whatever codec we send them."""
    return Fraction(12, 11) if (width, height) in SOURCE_FORMATS[Codec.H263] else Fraction(1)


def _vp8(data: bytes) -> tuple[int, int] | None:
    if len(data) < 10 or data[0] & 1 or data[3:6] != b"\x9d\x01\x2a":
        return None
    # The two upper bits of each are a scaling that is for the display alone.
    return (data[6] | data[7] << 8) & 0x3FFF, (data[8] | data[9] << 8) & 0x3FFF


def _h261(data: bytes) -> tuple[int, int] | None:
    head = _Head(data)
    if head.take(20) != 0x10:
        return None
    head.take(5 + 3)
    return (352, 288) if head.take(1) else (176, 144)


def _h263(data: bytes) -> tuple[int, int] | None:
    head = _Head(data)
    if head.take(22) != 0x20:
        return None
    head.take(8)
    if head.take(2) != 0b10:
        return None
    head.take(3)
    kind = head.take(3)
    if kind != 7:
        return _H263_FORMATS.get(kind)
    if head.take(3) != 1:
        return None  # the optional part is not repeated: the size is that of an earlier picture
    kind = head.take(3)
    head.take(15 + 9)
    if kind != 6:
        return _H263_FORMATS.get(kind)
    if head.take(1):
        head.take(2)
    head.take(4)
    width = (head.take(9) + 1) * 4
    head.take(1)
    return width, head.take(9) * 4


class _Head:
    """The first bits of a picture, from the left; zeros after its end."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data[:_HEADER].ljust(_HEADER, b"\x00"), "big")
        self._left = 8 * _HEADER

    def take(self, count: int) -> int:
        self._left -= count
        return self._value >> self._left & (1 << count) - 1
