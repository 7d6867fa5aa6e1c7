"""The payload format of each video codec."""

from __future__ import annotations

from transcode.media import Codec, Format
from transcode.payload import h261, h263_picture, h264_sps, vp8
from transcode.payload.h261 import H261Depacketizer, H261Packetizer
from transcode.payload.h263 import H263Depacketizer, H263Packetizer
from transcode.payload.h263p import H263PDepacketizer, H263PPacketizer
from transcode.payload.h264 import H264Depacketizer, H264Packetizer
from transcode.payload.h264_profile import packetization_mode, sprop_parameter_sets
from transcode.payload.interface import MTU, Depacketizer, Packetizer, Picture, size_allowed
from transcode.payload.vp8 import Vp8Depacketizer, Vp8Packetizer

__all__ = ["MTU", "Depacketizer", "Packetizer", "Picture", "depacketizer", "packetizer", "picture_size", "size_allowed"]

_SIZES = {
    Codec.H264: h264_sps.picture_size,
    Codec.VP8: vp8.picture_size,
    Codec.H263: h263_picture.picture_size,
    Codec.H263P: h263_picture.picture_size,
    Codec.H261: h261.picture_size,
}


def depacketizer(format: Format) -> Depacketizer:
    """Return what takes packets apart that a peer sends in this format. Raises ValueError if it is no video format.

    Of H.264 the format's sprop-parameter-sets are taken: give the format as the sender described it.
    """
    match format.codec:
        case Codec.H264:
            return H264Depacketizer(sprop_parameter_sets(format.parameter("sprop-parameter-sets")))
        case Codec.VP8:
            return Vp8Depacketizer()
        case Codec.H263:
            return H263Depacketizer()
        case Codec.H263P:
            return H263PDepacketizer()
        case Codec.H261:
            return H261Depacketizer()
        case other:
            raise ValueError(f"{other.value} is no video format")


def packetizer(format: Format, mtu: int = MTU) -> Packetizer:
    """Return what makes packets for a peer that takes this format; mtu in octets of RTP payload.

    Raises ValueError if it is no video format.
    """
    match format.codec:
        case Codec.H264:
            return H264Packetizer(min(1, packetization_mode(format)), mtu)
        case Codec.VP8:
            return Vp8Packetizer(mtu)
        case Codec.H263:
            return H263Packetizer(mtu)
        case Codec.H263P:
            return H263PPacketizer(mtu)
        case Codec.H261:
            return H261Packetizer(mtu)
        case other:
            raise ValueError(f"{other.value} is no video format")


def picture_size(codec: Codec, data: bytes) -> tuple[int, int] | None:
    """Return the size in pixels that a coded frame claims, to be judged by `size_allowed`; None if it tells none."""
    reader = _SIZES.get(codec)
    return reader(data) if reader else None
