"""Encoders of pictures, one for each distinct stream that is sent.

`EncoderKey` names all that makes two streams different; equal keys share one `Encoder`. Latency comes first: no B
frames, no lookahead, one thread, a rate buffer of half a second, key frames only when they are asked for.

H.264 is Annex B with parameter sets in front of each key frame, constrained baseline unless main or high is asked
for. Its bit rate can change in a running encoder up to what it was opened with; other codecs need a new encoder, and
so a key frame.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import cast

import av
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame

from transcode.frames import EncodedFrame
from transcode.media import Codec
from transcode.video.layout import PictureKey
from transcode.video.limits import fitting_level
from transcode.video.sizes import SOURCE_FORMATS, pixel_aspect

CLOCK_RATE = 90_000
BUCKETS = (
    48_000, 64_000, 96_000, 128_000, 192_000, 256_000, 384_000, 512_000, 768_000, 1_024_000, 1_536_000, 2_048_000,
    3_072_000, 4_096_000, 6_144_000, 8_192_000,
)  # fmt: skip
"""Bit rates that are encoded, in bit/s: few enough that viewers meet in them, at most a third below what a path
takes."""
BUFFER_SECONDS = 0.5
"""Rate buffer: a key frame may take half a second's worth of bits and no more."""
KEY_INTERVAL = 1_000_000_000
"""Pictures between key frames that nobody asked for: never."""
OLD_KEY_INTERVAL = 132
"""H.263 and H.261: a macroblock is to be coded without prediction at least once in 132 times (H.263 §4.4)."""
PRESET = "superfast"
"""x264's preset: 5 % more time than ultrafast, a third of a decibel better and nearer to the rate asked for."""
VP8_SPEED = "-8"
"""libvpx cpu-used: a negative value fixes the speed; a positive one adapts it and took twice the time at 720p."""
VP8_KEY_SHARE = 900
"""Largest VP8 key frame, in percent of a picture's share of the bit rate: 300 ms of it at 30 pictures a second."""
_H263_RATE_MAX = 2_048_000
"""bit/s above which old codecs gain nothing: H.263 and H.261 are defined up to 2 Mbit/s lines."""


@dataclass(frozen=True, slots=True)
class EncoderKey:
    """All that makes one coded stream different from another.

    width and height in pixels, frame_rate in pictures/s, bit_rate in bit/s (one of BUCKETS). profile is H.264's
    profile-level-id in lower case, "" otherwise. slice_size is the largest NAL unit in octets, None unless the
    receiver takes only packetization mode 0.
    """

    picture: PictureKey
    width: int
    height: int
    frame_rate: int
    codec: Codec
    profile: str
    slice_size: int | None
    bit_rate: int

    def same_stream(self, other: EncoderKey) -> bool:
        """Whether a running encoder can go over from one to the other: all but picture and bit rate are equal."""
        return replace(self, picture=other.picture, bit_rate=other.bit_rate) == other


def bucket(bit_rate: int) -> int:
    """Return the bit rate in bit/s that is encoded for a path that takes `bit_rate`: never more, but the least is
    48 kbit/s."""
    best = BUCKETS[0]
    for candidate in BUCKETS:
        if candidate <= bit_rate:
            best = candidate
    return best


def coded_size(codec: Codec, width: int, height: int) -> tuple[int, int]:
    """Return the picture size in pixels to send to a receiver that takes width x height.

    H.263 and H.261 have only the source formats of their tables; the others any even size.
    """
    table = SOURCE_FORMATS.get(codec)
    if table is None:
        return max(16, width & ~1), max(16, height & ~1)
    fitting = [size for size in table if size[0] <= width and size[1] <= height]
    return fitting[-1] if fitting else table[0]


class Encoder:
    """One running encoder. Used by one thread at a time.

    Raises av.error.FFmpegError (or ValueError) where FFmpeg refuses the key's values.
    """

    def __init__(self, key: EncoderKey) -> None:
        self.key = key
        self.ceiling = key.bit_rate
        self.frames = 0
        self.key_frames = 0
        self.octets = 0
        self.seconds = 0.0
        self._base = _time_base(key.codec)
        self._tick = float(self._base)
        self._epoch: float | None = None
        self._last = -1
        self._context = _open(key, self._base)

    def encode(
        self, picture: VideoFrame, at: float, key_frame: bool = False, arrival: float = 0.0
    ) -> EncodedFrame | None:
        """Return the coded picture, None if the encoder left it out.

        picture is yuv420p of the key's size and is not kept. at is its time in seconds; the timestamp is that in
        90 kHz ticks, and moves on with each picture even if the time does not.
        """
        began = time.thread_time()
        if self._epoch is None:
            self._epoch = at
        stamp = max(round((at - self._epoch) / self._tick), self._last + 1)
        self._last = stamp
        picture.pts = stamp
        picture.time_base = self._base
        picture.pict_type = PictureType.I if key_frame else PictureType.NONE
        packets = self._context.encode(picture)
        self.seconds += time.thread_time() - began
        if not packets:
            return None
        data = b"".join(bytes(packet) for packet in packets)
        is_key = any(packet.is_keyframe for packet in packets)
        self.frames += 1
        self.key_frames += is_key
        self.octets += len(data)
        ticks = round((self._epoch + stamp * self._tick) * CLOCK_RATE) & 0xFFFFFFFF
        return EncodedFrame(self.key.codec, data, ticks, is_key, arrival=arrival, number=self.frames)

    def adopt(self, key: EncoderKey) -> bool:
        """Go over to another picture or bit rate without a new encoder; False if that cannot be."""
        if not self.key.same_stream(key):
            return False
        if key.bit_rate != self.key.bit_rate:
            if key.codec is not Codec.H264 or key.bit_rate > self.ceiling:
                return False
            self._context.bit_rate = key.bit_rate
        self.key = key
        return True


def _time_base(codec: Codec) -> Fraction:
    # H.263 without custom clock and H.261 count pictures of 30000/1001 Hz; a finer clock is refused or mangled.
    if codec in (Codec.H263, Codec.H263P, Codec.H261):
        return Fraction(1001, 30_000)
    return Fraction(1, CLOCK_RATE)


def _open(key: EncoderKey, base: Fraction) -> VideoCodecContext:
    name, options = _options(key)
    context = cast(VideoCodecContext, av.CodecContext.create(name, "w"))
    context.width, context.height, context.pix_fmt = key.width, key.height, "yuv420p"
    context.time_base = base
    context.framerate = Fraction(key.frame_rate, 1) if base.numerator == 1 else 1 / base
    context.bit_rate = key.bit_rate if base.numerator == 1 else min(key.bit_rate, _H263_RATE_MAX)
    context.thread_count = 1
    context.color_range = 1
    context.max_b_frames = 0
    context.sample_aspect_ratio = pixel_aspect(key.width, key.height)
    context.options = options
    context.open()
    return context


def _options(key: EncoderKey) -> tuple[str, dict[str, str]]:
    """Return FFmpeg's name of the encoder and its options."""
    rate = {"maxrate": str(key.bit_rate), "bufsize": str(int(key.bit_rate * BUFFER_SECONDS))}
    if key.codec is Codec.H264:
        return "libx264", rate | _h264_options(key)
    if key.codec is Codec.VP8:
        return "libvpx", rate | {
            "deadline": "realtime",
            "cpu-used": VP8_SPEED,
            "lag-in-frames": "0",
            "error-resilient": "default",
            "auto-alt-ref": "0",
            "max-intra-rate": str(VP8_KEY_SHARE),
            "g": str(1_000_000),
        }
    names = {Codec.H263: "h263", Codec.H263P: "h263p", Codec.H261: "h261"}
    if key.codec not in names:
        raise ValueError(f"{key.codec.value} is not encoded here")
    options = rate | {"g": str(OLD_KEY_INTERVAL)}
    if key.codec is Codec.H263:
        # A GOB header wherever a packet may have to begin (RFC 2190 mode A).
        options["ps"] = "1"
    return names[key.codec], options


def _h264_options(key: EncoderKey) -> dict[str, str]:
    profile, level = fitting_level(key.profile, key.width, key.height, key.frame_rate, key.bit_rate)
    extra = ["scenecut=0", "keyint=infinite", "repeat-headers=1", "annexb=1", f"level={level}", "ref=1"]
    if key.slice_size is not None:
        extra.append(f"slice-max-size={key.slice_size}")
    return {
        "preset": PRESET,
        "tune": "zerolatency",
        "profile": profile,
        "forced-idr": "1",
        "x264-params": ":".join(extra),
    }


__all__ = ["BUCKETS", "Encoder", "EncoderKey", "FFmpegError", "bucket", "coded_size"]
