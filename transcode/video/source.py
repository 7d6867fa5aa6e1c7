"""One leg's picture: coded frames in, the latest decoded picture kept.

`VideoSource.feed` is called on the loop thread and only queues; decoding runs on the source's strand of the worker
pool, in order. The latest picture can be read from any thread. FFmpeg is set to give each picture out at once: one
thread, low delay.

Key frames. Nothing is decoded before the first key frame, unless none comes for `PATIENCE` seconds: some room systems
refresh their picture slowly and never send one. From a damaged frame, a decoder error or an overflowing queue on,
`needs_key_frame` is True until one comes; when and how the peer is asked is the owner's. Pictures after damage are
shown, concealed as FFmpeg does it, except VP8's, which has no concealment.

A picture that claims more than 1920x1200 is refused before the decoder sees it, and so is all that follows it until a
size within the bound is claimed.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av
from av.codec.context import Flags
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, VideoReformatter

from transcode.frames import EncodedFrame
from transcode.media import Codec, LegId
from transcode.payload.formats import picture_size, size_allowed
from transcode.video.pool import WorkerPool
from transcode.video.sizes import MAX_PIXELS, pixel_aspect

MAX_QUEUE = 16
"""Frames waiting for the decoder: half a second; a later picture is of no use in a conversation."""
PATIENCE = 3.0
"""Seconds without any key frame after which decoding starts anyway."""
REOPEN_INTERVAL = 0.5
"""Seconds between two changes of codec within one source; a peer may change it, but not with each frame."""
_DECODERS = {
    Codec.H264: "h264",
    Codec.VP8: "vp8",
    Codec.H263: "h263",
    Codec.H263P: "h263",
    Codec.H261: "h261",
}


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded picture, yuv420p with video range, not to be written to.

    aspect is that of one pixel (width to height). arrival is that of its coded frame's first packet, in seconds.
    serial counts up with each picture of its source.
    """

    frame: VideoFrame
    width: int
    height: int
    aspect: Fraction
    arrival: float
    serial: int


@dataclass(slots=True)
class SourceStatistics:
    """What a source has counted since it began; seconds is CPU time of the decoder."""

    frames: int = 0
    key_frames: int = 0
    pictures: int = 0
    damaged: int = 0
    errors: int = 0
    dropped: int = 0
    refused: int = 0
    seconds: float = 0.0


class VideoSource:
    """Decodes one leg's video.

    on_size(leg, width, height) and on_refused(leg, width, height) are called on the loop thread; on_refused once for
    each size that is refused. Raises ValueError if the codec is none that is decoded.
    """

    def __init__(
        self,
        leg: LegId,
        codec: Codec,
        pool: WorkerPool,
        on_size: Callable[[LegId, int, int], None],
        on_refused: Callable[[LegId, int, int], None] | None = None,
    ) -> None:
        if codec not in _DECODERS:
            raise ValueError(f"{codec.value} is not decoded here")
        self.leg = leg
        self.codec = codec
        self.latest: Picture | None = None
        self.on_picture: Callable[[VideoSource], None] | None = None
        """Called on a worker thread after each decoded picture."""
        self.statistics = SourceStatistics()
        self.frame_rate = 0.0
        """Pictures a second as the timestamps tell, smoothed; 0 while unknown."""
        self._pool = pool
        self._strand = pool.strand()
        self._on_size = on_size
        self._on_refused = on_refused
        # On the loop thread.
        self._queue: deque[EncodedFrame] = deque()
        self._closed = False
        self._waiting_since: float | None = pool.clock()
        self.needs_key_frame = True
        self._last_timestamp: int | None = None
        self._opened_at = float("-inf")
        # On the strand.
        self._decoder: VideoCodecContext | None = None
        self._decoder_codec = codec
        self._converter = VideoReformatter()
        self._size = (0, 0)
        self._refusing: tuple[int, int] | None = None

    # The loop thread.

    def feed(self, frame: EncodedFrame) -> None:
        """Take the next coded frame, in order of time; it is decoded soon."""
        if self._closed or not frame.data:
            return
        now = self._pool.clock()
        self.statistics.frames += 1
        self._measure(frame.timestamp)
        if frame.codec is not self.codec and not self._change_codec(frame, now):
            return
        if frame.key and not frame.damaged:
            self.statistics.key_frames += 1
            self._waiting_since, self.needs_key_frame = None, False
        elif frame.damaged:
            self.statistics.damaged += 1
            self.needs_key_frame = True
        self._enqueue(frame, now)

    def close(self) -> None:
        """Stop decoding and forget everything; no callback comes after this."""
        self._closed = True
        self.on_picture = None
        self._queue.clear()
        self._strand.close(self._forget)

    def _enqueue(self, frame: EncodedFrame, now: float) -> None:
        if self._waiting_since is not None and not frame.key:
            if now - self._waiting_since < PATIENCE:
                self.statistics.dropped += 1
                return
            self._waiting_since = None
        if len(self._queue) >= MAX_QUEUE:
            if not frame.key:
                self.statistics.dropped += 1
                self._waiting_since, self.needs_key_frame = now, True
                return
            self.statistics.dropped += len(self._queue)
            self._queue.clear()
        self._queue.append(frame)
        if not self._strand.submit(self._decode_next):
            self.statistics.dropped += 1

    def _change_codec(self, frame: EncodedFrame, now: float) -> bool:
        if frame.codec not in _DECODERS or not frame.key or now - self._opened_at < REOPEN_INTERVAL:
            self.statistics.dropped += 1
            self.needs_key_frame = True
            return False
        self.codec = frame.codec
        self._opened_at = now
        return True

    def _measure(self, timestamp: int) -> None:
        if self._last_timestamp is not None:
            step = ((timestamp - self._last_timestamp) & 0xFFFFFFFF) / 90_000
            if 0.004 < step < 1.0:
                rate = 1.0 / step
                self.frame_rate = rate if self.frame_rate == 0.0 else self.frame_rate + (rate - self.frame_rate) / 16
        self._last_timestamp = timestamp

    def _failed(self) -> None:
        if not self._closed:
            self.needs_key_frame = True

    def _report_size(self, width: int, height: int) -> None:
        if not self._closed:
            self._on_size(self.leg, width, height)

    def _report_refusal(self, width: int, height: int) -> None:
        if not self._closed and self._on_refused is not None:
            self._on_refused(self.leg, width, height)

    # The strand.

    def _forget(self) -> None:
        self._decoder = self.latest = None

    def _decode_next(self) -> None:
        try:
            frame = self._queue.popleft()
        except IndexError:
            return  # an overflow or the end emptied the queue
        if not self._admitted(frame):
            self.statistics.refused += 1
            return
        if frame.damaged and frame.codec is Codec.VP8:
            self.statistics.dropped += 1
            return
        began = time.thread_time()
        pictures: list[VideoFrame] = []
        try:
            decoder = self._decoder_for(frame.codec)
            pictures = decoder.decode(av.Packet(frame.data))
        except (FFmpegError, ValueError):
            self.statistics.errors += 1
            self._pool.to_loop(self._failed)
        for picture in pictures:
            self._keep(picture, frame.arrival)
        self.statistics.seconds += time.thread_time() - began
        on_picture = self.on_picture
        if pictures and on_picture is not None:
            on_picture(self)

    def _admitted(self, frame: EncodedFrame) -> bool:
        size = picture_size(frame.codec, frame.data)
        if size is None:
            return self._refusing is None
        if size_allowed(*size):
            self._refusing = None
            return True
        if size != self._refusing:
            self._refusing = size
            self._pool.to_loop(self._report_refusal, *size)
        return False

    def _decoder_for(self, codec: Codec) -> VideoCodecContext:
        if self._decoder is None or self._decoder_codec is not codec:
            decoder = cast(VideoCodecContext, av.CodecContext.create(_DECODERS[codec], "r"))
            decoder.thread_count = 1
            decoder.flags |= Flags.low_delay
            decoder.options = {"max_pixels": str(MAX_PIXELS)}
            self._decoder, self._decoder_codec = decoder, codec
        return self._decoder

    def _aspect(self, width: int, height: int) -> Fraction:
        """Return the width to height of a pixel: H.261's is fixed, the others say it; nonsense is taken as square."""
        if self._decoder_codec is Codec.H261:
            return pixel_aspect(width, height)
        told = None if self._decoder is None else self._decoder.sample_aspect_ratio
        return told if told is not None and Fraction(1, 4) <= told <= 4 else Fraction(1)

    def _keep(self, frame: VideoFrame, arrival: float) -> None:
        aspect = self._aspect(frame.width, frame.height)
        if frame.format.name != "yuv420p" or frame.color_range == ColorRange.JPEG:
            frame = self._converter.reformat(frame, format="yuv420p", dst_color_range=ColorRange.MPEG)
        self.statistics.pictures += 1
        width, height = frame.width, frame.height
        self.latest = Picture(frame, width, height, aspect, arrival, self.statistics.pictures)
        if (width, height) != self._size:
            self._size = (width, height)
            self._pool.to_loop(self._report_size, width, height)
