"""Coded frames between payload formats and codecs, as plain data."""

from __future__ import annotations

from dataclasses import dataclass

from transcode.media import Codec


@dataclass(frozen=True, slots=True)
class EncodedFrame:
    """One coded picture.

    data is an Annex B byte stream for H.264 (start codes of four octets, parameter sets in front of a key frame
    where they are known), one VP8 frame, or one H.263 or H.261 picture (its last octet may be partly used).
    timestamp is in 90 kHz ticks modulo 2**32. key says that decoding can start here. damaged says that packets of
    it were lost. arrival is that of its first packet, in seconds of the plane's monotonic clock. number counts the
    pictures of one encoder.
    """

    codec: Codec
    data: bytes
    timestamp: int
    key: bool
    damaged: bool = False
    arrival: float = 0.0
    number: int = 0
