"""Coded streams for the payload tests: a moving textured picture, coded by FFmpeg, and decoding it again."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import cache

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext

from transcode.frames import EncodedFrame
from transcode.media import Codec, Format
from transcode.payload.formats import Packetizer
from transcode.rtp.packet import RtpPacket

TICKS = 3003
"""90 kHz ticks of a frame at 29.97 pictures/s, the rate of H.261 and H.263."""
_ENCODERS = {
    Codec.H264: ("libx264", {"preset": "ultrafast", "tune": "zerolatency", "profile": "baseline"}),
    Codec.VP8: ("libvpx", {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"}),
    Codec.H263: ("h263", {"ps": "1"}),
    Codec.H263P: ("h263p", {"ps": "1"}),
    Codec.H261: ("h261", {}),
}
_DECODERS = {Codec.H264: "h264", Codec.VP8: "vp8", Codec.H263: "h263", Codec.H263P: "h263", Codec.H261: "h261"}


def format_of(codec: Codec, **parameters: str) -> Format:
    """Return a format with fmtp parameters; underscores stand for hyphens."""
    pairs = tuple((name.replace("_", "-"), value) for name, value in parameters.items())
    return Format(codec, 96, 90_000, parameters=pairs)


def pictures(width: int, height: int, count: int) -> list[av.VideoFrame]:
    """Return a texture that moves diagonally; the left edge carries the frame's number as grey."""
    noise = np.random.default_rng(261).integers(16, 235, (height // 4 + count, width // 4 + count), dtype=np.uint8)
    texture = np.kron(noise, np.ones((4, 4), dtype=np.uint8))
    frames = []
    for index in range(count):
        luma = texture[2 * index : 2 * index + height, 3 * index : 3 * index + width]
        chroma = np.full((height // 2, width), 128, dtype=np.uint8)
        frame = av.VideoFrame.from_ndarray(np.concatenate([luma, chroma]), format="yuv420p")
        frame.pts = index
        frame.time_base = Fraction(1001, 30000)
        frames.append(frame)
    return frames


@cache
def encode(
    codec: Codec,
    width: int = 352,
    height: int = 288,
    count: int = 12,
    bit_rate: int = 1_500_000,
    options: tuple[tuple[str, str], ...] = (),
    key_every: int = 300,
) -> tuple[EncodedFrame, ...]:
    """Return coded frames; options are the encoder's own, over those of `_ENCODERS`."""
    name, defaults = _ENCODERS[codec]
    context = VideoCodecContext.create(name, "w")
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.time_base, context.framerate = Fraction(1001, 30000), Fraction(30000, 1001)
    context.bit_rate, context.gop_size, context.max_b_frames = bit_rate, key_every, 0
    context.thread_count = 1
    context.options = {**defaults, **dict(options)}
    packets = []
    for frame in pictures(width, height, count):
        packets += context.encode(frame)
    packets += context.encode(None)
    return tuple(
        EncodedFrame(codec, bytes(packet), index * TICKS, packet.is_keyframe) for index, packet in enumerate(packets)
    )


def decode(codec: Codec, frames: Iterable[EncodedFrame]) -> list[np.ndarray]:
    """Return the luma of all pictures that FFmpeg makes of frames; a frame that it refuses is left out."""
    context = VideoCodecContext.create(_DECODERS[codec], "r")
    context.thread_count = 1
    context.flags |= 1 << 19  # low delay
    out = []
    for frame in [*frames, None]:
        try:
            decoded = context.decode(None if frame is None else av.Packet(frame.data))
        except av.error.InvalidDataError:
            continue
        out += [picture.to_ndarray(format="gray") for picture in decoded]
    return out


def to_rtp(
    packetizer: Packetizer, frames: Sequence[EncodedFrame], sequence: int = 65_500, timestamp: int = 2**32 - 9000
) -> list[RtpPacket]:
    """Return the packets of frames; sequence numbers and timestamps wrap on the way."""
    packets = []
    for frame in frames:
        payloads = packetizer.packets(frame)
        assert payloads, "picture refused"
        for payload, marker in payloads:
            stamp = (timestamp + frame.timestamp) % 2**32
            packets.append(RtpPacket(96, sequence % 2**16, stamp, 0x1234, payload, marker))
            sequence += 1
    return packets


def shuffled(packets: Sequence[RtpPacket], seed: int, reach: int = 4, doubled: float = 0.1) -> list[RtpPacket]:
    """Return packets out of order by at most about `reach` places, some of them twice; the first one stays first."""
    rng = random.Random(seed)
    keyed = [(index + (rng.uniform(0, reach) if index else -1), packet) for index, packet in enumerate(packets)]
    keyed += [(index + rng.uniform(0, reach), p) for index, p in enumerate(packets) if rng.random() < doubled]
    return [packet for _, packet in sorted(keyed, key=lambda pair: pair[0])]
