"""Pictures, coded streams and a virtual clock for the video tests."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

import av
import numpy as np

from transcode.frames import EncodedFrame
from transcode.media import Codec, LegId
from transcode.video.compose import planes
from transcode.video.encoder import Encoder, EncoderKey
from transcode.video.layout import Layout, PictureKey
from transcode.video.pool import WorkerPool
from transcode.video.source import Picture

RED, GREEN, BLUE, GREY = (81, 90, 240), (145, 54, 34), (41, 240, 110), (126, 128, 128)
"""Y, U and V of flat pictures (ITU-R BT.601)."""
PICTURE = PictureKey(Layout.SPEAKER, (LegId("a"),), ("A",))


class VirtualPool(WorkerPool):
    """A pool without threads whose clock stands until it is moved; jobs run while it moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        super().__init__(None, workers=0, clock=lambda: self.now)
        self.fault_list: list[BaseException] = []
        self.on_fault = self.fault_list.append

    def advance(self, seconds: float) -> None:
        """Move the clock on, stopping at each timed job on the way."""
        end = self.now + seconds
        self.run_due()
        while (due := self.next_due()) is not None and due <= end:
            self.now = max(self.now, due)
            self.run_due()
        self.now = end
        self.run_due()


def flat(yuv: tuple[int, int, int], width: int = 320, height: int = 180) -> av.VideoFrame:
    """A picture of one colour."""
    frame = av.VideoFrame(width, height, "yuv420p")
    for view, value in zip(planes(frame), yuv, strict=True):
        view[:] = value
    return frame


def picture(yuv: tuple[int, int, int], width: int = 320, height: int = 180, serial: int = 1, **more: object) -> Picture:
    """A decoded picture of one colour."""
    aspect = more.get("aspect", Fraction(1))
    assert isinstance(aspect, Fraction)
    return Picture(flat(yuv, width, height), width, height, aspect, float(serial), serial)


def moving(index: int, width: int = 320, height: int = 180) -> av.VideoFrame:
    """A picture of a moving texture: always something to code, the same at each run."""
    frame = av.VideoFrame(width, height, "yuv420p")
    y, u, v = planes(frame)
    rows, columns = np.mgrid[0:height, 0:width]
    y[:] = 128 + 60 * np.sin((columns + 3 * index) / 17.0) * np.cos((rows - 2 * index) / 11.0)
    y[:] += (np.random.default_rng(index).integers(0, 8, (height, width))).astype(np.uint8)
    u[:], v[:] = 110 + index % 20, 140
    return frame


def key(codec: Codec = Codec.H264, width: int = 320, height: int = 180, **more: object) -> EncoderKey:
    """An encoder key with usual values."""
    values: dict[str, object] = {
        "picture": PICTURE,
        "width": width,
        "height": height,
        "frame_rate": 30,
        "codec": codec,
        "profile": "42e01f" if codec is Codec.H264 else "",
        "slice_size": None,
        "bit_rate": 512_000,
    }
    return EncoderKey(**(values | more))  # type: ignore[arg-type]


@lru_cache
def coded(codec: Codec, count: int = 6, width: int = 320, height: int = 180) -> tuple[EncodedFrame, ...]:
    """A moving stream: a key frame, then others."""
    encoder = Encoder(key(codec, width, height))
    frames = [encoder.encode(moving(n, width, height), 1000 + n / 30, n == 0, 1000 + n / 30) for n in range(count)]
    return tuple(frame for frame in frames if frame is not None)


@lru_cache
def coded_flat(yuv: tuple[int, int, int], count: int = 3) -> tuple[EncodedFrame, ...]:
    """A stream of one colour in H.264, each frame a key frame."""
    encoder = Encoder(key())
    frames = [encoder.encode(flat(yuv), 1000 + n / 30, True) for n in range(count)]
    return tuple(frame for frame in frames if frame is not None)


class Screen:
    """A viewer's end: collects coded frames and decodes them."""

    def __init__(self) -> None:
        self.frames: list[EncodedFrame] = []
        self._decoder: av.VideoCodecContext | None = None
        self.last: av.VideoFrame | None = None

    def __call__(self, frame: EncodedFrame) -> None:
        self.frames.append(frame)
        if self._decoder is None:
            names = {Codec.H264: "h264", Codec.VP8: "vp8", Codec.H261: "h261"}
            self._decoder = av.CodecContext.create(names.get(frame.codec, "h263"), "r")
            self._decoder.thread_count = 1
        for picture in self._decoder.decode(av.Packet(frame.data)):
            self.last = picture

    @property
    def keys(self) -> int:
        return sum(frame.key for frame in self.frames)

    def colour(self, x: float, y: float) -> tuple[int, int, int]:
        """The colour at a place, as shares of width and height."""
        assert self.last is not None
        return colour_at(self.last, x, y)


def colour_at(frame: av.VideoFrame, x: float, y: float) -> tuple[int, int, int]:
    """Y, U and V at a place, as shares of width and height."""
    views = planes(frame)
    values = [int(view[int(y * view.shape[0]), int(x * view.shape[1])]) for view in views]
    return values[0], values[1], values[2]


def near(seen: tuple[int, int, int], wanted: tuple[int, int, int], far: int = 12) -> bool:
    """Whether two colours are the same but for coding."""
    return all(abs(one - other) <= far for one, other in zip(seen, wanted, strict=True))
