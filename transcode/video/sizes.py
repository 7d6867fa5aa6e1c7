"""Sizes of pictures: the bound of what is decoded, the old codecs' source formats, the shape of their pixels."""

from __future__ import annotations

from fractions import Fraction

from transcode.media import Codec
from transcode.payload.interface import MAX_HEIGHT, MAX_WIDTH

MAX_PIXELS = MAX_WIDTH * MAX_HEIGHT
"""Given to the decoders as well as checked before them: the second wall, for headers that are read differently
there."""
SOURCE_FORMATS = {
    Codec.H263: ((128, 96), (176, 144), (352, 288), (704, 576)),
    Codec.H263P: ((128, 96), (176, 144), (352, 288), (704, 576)),
    Codec.H261: ((176, 144), (352, 288)),
}
"""The source formats of the old codecs, in pixels (H.263 §5.1.3, H.261 §3.1)."""


def pixel_aspect(width: int, height: int) -> Fraction:
    """Return the width to height of one pixel of a picture in the old codecs: CIF and its kin are shown as 4:3,
    in whatever codec we send them."""
    return Fraction(12, 11) if (width, height) in SOURCE_FORMATS[Codec.H263] else Fraction(1)
