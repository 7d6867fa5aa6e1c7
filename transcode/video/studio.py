"""The working half of a room's video mixer: turns on a strand of the worker pool.

There are two kinds of turns. A tick comes 30 times a second, by a clock that does not drift, and composes what
changed since the last one; pictures of several sources wait for it. A picture that shows one source only is made as
soon as that source's next picture is decoded. Nothing new means no picture, but for an idle refresh a few times a
second. Rooms without viewers have no ticks.

An encoder lives as long as it has viewers. It goes over to another picture or bit rate where it can, so that a new
plan does not cost a new encoder.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median

from av.video.frame import VideoFrame

from transcode.frames import EncodedFrame
from transcode.media import LegId, ViewPlan
from transcode.video.compose import Compositor
from transcode.video.encoder import Encoder, EncoderKey, FFmpegError
from transcode.video.layout import PictureKey, Seating, slides_of, views
from transcode.video.pacing import SINGLE_RATE, TICK_RATE, Governor, KeyFrameGate, Pacer, room_rate
from transcode.video.pool import WorkerPool
from transcode.video.source import Picture, VideoSource
from transcode.video.streams import Move, Viewer, moves, wanted_streams
from transcode.video.text import Painter

PERIOD = 1.0 / TICK_RATE
IDLE_PERIOD = 0.2
"""Seconds after which an unchanged picture is sent again: receivers see that it lives, and it grows sharper."""
STALE = 10.0
"""Seconds without a new picture after which a source is shown by its initials; a frozen face misleads."""
MAX_IN_FLIGHT = 64
"""Coded pictures on their way to the loop thread; two seconds of one encoder. Above it encoding pauses."""
FAULT_PAUSE = 2.0
"""Seconds before an encoder that failed is tried again."""
MAX_DELAYS = 256
"""Delays that the median is taken of."""
MAX_STAMPS = 1024
"""Times of coded pictures that are kept for that: seventeen encoders at full rate."""
RATE_WINDOW = 2.0
"""Seconds over which pictures/s are counted."""

_Size = tuple[PictureKey, int, int]


@dataclass(frozen=True, slots=True)
class MixerStatistics:
    """What a room's video does and did. Times are CPU seconds since the room began, but delay: the median time in
    seconds from a source frame's arrival to its picture's coded form, over the last pictures."""

    encoders: int = 0
    pictures: int = 0
    viewers: int = 0
    composed: int = 0
    scaled: int = 0
    encoded: int = 0
    key_frames: int = 0
    octets: int = 0
    encoded_per_second: float = 0.0
    decode_seconds: float = 0.0
    compose_seconds: float = 0.0
    encode_seconds: float = 0.0
    delay: float = 0.0
    frame_rate: float = 0.0
    overloads: int = 0
    missed_ticks: int = 0
    paused: int = 0
    faults: int = 0


@dataclass(frozen=True, slots=True)
class Wanted:
    """The state that the loop thread asks for; replaced, never changed."""

    sources: Mapping[LegId, VideoSource] = field(default_factory=dict)
    viewers: Mapping[LegId, Viewer] = field(default_factory=dict)
    plan: ViewPlan = field(default_factory=lambda: ViewPlan(()))
    speaker: LegId | None = None


@dataclass(slots=True)
class _Stream:
    """A running encoder, None while it failed, and what belongs to it."""

    encoder: Encoder | None
    legs: frozenset[LegId]
    pacer: Pacer
    gate: KeyFrameGate = field(default_factory=KeyFrameGate)
    retry_at: float = 0.0


@dataclass(slots=True)
class _Stage:
    """One composed picture in one size: its compositor and when it was last sent on."""

    compositor: Compositor
    pacer: Pacer
    sent: float = float("-inf")


class Studio:
    """Composes and encodes for one room; all but the methods of the first block runs on its strand."""

    def __init__(self, pool: WorkerPool, deliver: Callable[[EncodedFrame, tuple[LegId, ...]], None]) -> None:
        self._pool = pool
        self._strand = pool.strand()
        self._deliver = deliver
        self._lock = threading.Lock()
        self._inbox: Wanted | None = None
        self._asked: set[LegId] = set()
        self._in_flight = 0
        self._called = False
        self._closed = False
        # On the strand.
        self._state = Wanted()
        self._seating = Seating()
        self._painter = Painter()
        self._streams: dict[EncoderKey, _Stream] = {}
        self._stages: dict[_Size, _Stage] = {}
        self._singles: frozenset[LegId] = frozenset()
        self._seen: dict[LegId, tuple[int, float]] = {}
        self._governor = Governor()
        self._ticking = False
        self._next_tick = 0.0
        self._delays: deque[float] = deque(maxlen=MAX_DELAYS)
        self._stamps: deque[float] = deque(maxlen=MAX_STAMPS)
        self._composed = self._scaled = self._encoded = self._key_frames = self._octets = 0
        self._compose_seconds = self._encode_seconds = 0.0
        self._missed = self._paused = self._faults = 0

    # From other threads.

    def now(self) -> float:
        return self._pool.clock()

    def call_at(self, when: float, function: Callable[..., None], *arguments: object) -> None:
        """Call a function on the loop thread at a time."""
        self._strand.submit_at(when, lambda: self._pool.to_loop(function, *arguments))

    def want(self, wanted: Wanted) -> None:
        with self._lock:
            self._inbox = wanted
        self._call()

    def ask_key_frame(self, leg: LegId) -> None:
        with self._lock:
            self._asked.add(leg)
        self._call()

    def arrived(self, source: VideoSource) -> None:
        """A source has a new picture."""
        if source.leg in self._singles:
            self._call()

    def landed(self) -> None:
        with self._lock:
            self._in_flight -= 1

    def statistics(self) -> MixerStatistics:
        """Return the counters; what it looks at is replaced by the strand, never changed, or grows atomically."""
        now, streams, delays = self.now(), self._streams, list(self._delays)
        return MixerStatistics(
            encoders=sum(stream.encoder is not None for stream in streams.values()),
            pictures=len({key.picture for key in streams}),
            composed=self._composed,
            scaled=self._scaled,
            encoded=self._encoded,
            key_frames=self._key_frames,
            octets=self._octets,
            encoded_per_second=sum(now - stamp <= RATE_WINDOW for stamp in list(self._stamps)) / RATE_WINDOW,
            compose_seconds=self._compose_seconds,
            encode_seconds=self._encode_seconds,
            delay=median(delays) if delays else 0.0,
            frame_rate=TICK_RATE / (1 << self._governor.halvings),
            overloads=self._governor.overloads,
            missed_ticks=self._missed,
            paused=self._paused,
            faults=self._faults,
        )

    def close(self) -> None:
        self._closed = True
        self._strand.close(self._clear)

    def _clear(self) -> None:
        self._streams, self._stages, self._singles = {}, {}, frozenset()
        self._state = Wanted()

    def _call(self) -> None:
        with self._lock:
            if self._called or self._closed:
                return
            self._called = True
        if not self._strand.submit(self._turn):
            self._called = False

    # Turns.

    def _turn(self) -> None:
        """Between ticks: take news over, and make what shows one fresh source."""
        self._called = False
        now = self._pool.clock()
        try:
            self._take_over(now)
            for size, stage in list(self._stages.items()):
                if size[0].single:
                    self._make(size, stage, now, tick=False)
        finally:
            if self._streams and not self._ticking and not self._closed:
                self._next_tick = now + PERIOD
                self._ticking = self._strand.submit_at(self._next_tick, self._tick)

    def _tick(self) -> None:
        self._ticking = False
        if self._closed:
            return
        due = self._next_tick
        try:
            now = self._pool.clock()
            self._take_over(now)
            for size, stage in list(self._stages.items()):
                self._make(size, stage, now, tick=True)
        finally:
            if self._streams and not self._closed:
                self._schedule(due)

    def _schedule(self, due: float) -> None:
        """Set the next tick, on the same beat; beats that have passed are counted and left out."""
        now = self._pool.clock()
        self._governor.observe(now, now - due, PERIOD)
        self._next_tick = due + PERIOD
        if self._next_tick < now:
            missed = int((now - self._next_tick) / PERIOD) + 1
            self._missed += missed
            self._next_tick += missed * PERIOD
        self._ticking = self._strand.submit_at(self._next_tick, self._tick)

    # The plan.

    def _take_over(self, now: float) -> None:
        with self._lock:
            inbox, self._inbox = self._inbox, None
            asked, self._asked = self._asked, set()
        if inbox is not None:
            self._state = inbox
            self._seen = {leg: seen for leg, seen in self._seen.items() if leg in inbox.sources}
            seen = views(inbox.plan, inbox.sources, self._seating, inbox.speaker, inbox.viewers)
            self._rearrange(wanted_streams(inbox.viewers, seen), now)
        if asked:
            for stream in self._streams.values():
                if not stream.legs.isdisjoint(asked):
                    stream.gate.request()

    def _rearrange(self, wanted: Mapping[LegId, EncoderKey], now: float) -> None:
        running = {key: stream.legs for key, stream in self._streams.items()}
        streams: dict[EncoderKey, _Stream] = {}
        for move in moves(running, wanted):
            legs = frozenset(leg for leg, key in wanted.items() if key == move.after)
            streams[move.after] = self._moved(move, legs, now)
        self._streams = streams
        sizes = {(key.picture, key.width, key.height) for key in streams}
        self._stages = self._staged(sizes)
        self._singles = frozenset(size[0].legs[0] for size in sizes if size[0].single)

    def _moved(self, move: Move, legs: frozenset[LegId], now: float) -> _Stream:
        stream = None if move.before is None else self._streams[move.before]
        if stream is not None and (
            move.before == move.after or stream.encoder is None or stream.encoder.adopt(move.after)
        ):
            stream.legs = legs
            if move.key_frame:
                stream.gate.demand()
            return stream
        made = _Stream(None, legs, Pacer(move.after.frame_rate))
        self._open(move.after, made, now)
        return made

    def _open(self, key: EncoderKey, stream: _Stream, now: float) -> None:
        try:
            stream.encoder = Encoder(key)
            stream.gate.demand()
        except (FFmpegError, ValueError):
            self._fail(stream, now)

    def _fail(self, stream: _Stream, now: float) -> None:
        self._faults += 1
        stream.encoder = None
        stream.retry_at = now + FAULT_PAUSE

    def _staged(self, sizes: set[_Size]) -> dict[_Size, _Stage]:
        """Return the compositors of the wanted pictures; one that lost its picture takes a new one of its size."""
        stages = {size: stage for size, stage in self._stages.items() if size in sizes}
        spare = [stage.compositor for size, stage in self._stages.items() if size not in sizes]
        for size in sizes:
            if size in stages:
                continue
            _, width, height = size
            fitting = next((one for one in spare if (one.width, one.height) == (width, height)), None)
            if fitting is not None:
                spare.remove(fitting)
            compositor = fitting or Compositor(width, height, self._painter)
            stages[size] = _Stage(compositor, Pacer(TICK_RATE))
        return stages

    # One picture.

    def _make(self, size: _Size, stage: _Stage, now: float, tick: bool) -> None:
        """Compose and encode one picture, if it is time."""
        picture = size[0]
        streams = [
            (key, stream) for key, stream in self._streams.items() if (key.picture, key.width, key.height) == size
        ]
        forced = any(stream.gate.due(now) for _, stream in streams)
        pictures = self._latest(picture, now)
        if not forced:
            stage.pacer.rate = self._rate(picture)
            if not stage.pacer.due(now) or (not tick and not self._fresh(stage, picture, pictures)):
                return
        began = time.thread_time()
        scaled = stage.compositor.scaled
        composition = stage.compositor.compose(picture, pictures, self._state.speaker)
        self._scaled += stage.compositor.scaled - scaled
        self._compose_seconds += time.thread_time() - began
        self._composed += composition.changed
        if not forced and not composition.changed and now - stage.sent < IDLE_PERIOD - PERIOD / 2:
            return
        stage.sent = now
        stage.pacer.spend(now)
        for key, stream in streams:
            self._encode(key, stream, composition.frame, now, composition.arrival)
        done = self._pool.clock()
        self._delays.extend(done - arrival for arrival in composition.arrivals)

    def _encode(self, key: EncoderKey, stream: _Stream, frame: VideoFrame, now: float, arrival: float) -> None:
        key_frame = stream.gate.due(now)
        if self._closed or (not key_frame and not stream.pacer.due(now)):
            return
        if stream.encoder is None:
            if now < stream.retry_at:
                return
            self._open(key, stream, now)
            key_frame = True
        if stream.encoder is None:
            return
        with self._lock:
            if self._in_flight >= MAX_IN_FLIGHT:
                self._paused += 1
                return
        before = stream.encoder.seconds
        try:
            coded = stream.encoder.encode(frame, now, key_frame, arrival)
        except (FFmpegError, ValueError):
            self._fail(stream, now)
            return
        self._encode_seconds += stream.encoder.seconds - before
        stream.pacer.spend(now)
        if coded is None:
            return
        if coded.key:
            stream.gate.served(now)
        self._encoded += 1
        self._key_frames += coded.key
        self._octets += len(coded.data)
        self._stamps.append(now)
        with self._lock:
            self._in_flight += 1
        self._pool.to_loop(self._deliver, coded, tuple(stream.legs))

    def _latest(self, picture: PictureKey, now: float) -> dict[LegId, Picture]:
        """Return the pictures of a composition's sources, without those that stopped coming; slides may stand still."""
        presenter = self._state.plan.presenter
        slides = None if presenter is None else slides_of(presenter)
        out = {}
        for leg in picture.legs:
            source = self._state.sources.get(leg)
            latest = None if source is None else source.latest
            if latest is None:
                continue
            serial, since = self._seen.get(leg, (-1, now))
            if latest.serial != serial:
                since = now
                self._seen[leg] = (latest.serial, now)
            if now - since < STALE or leg == slides:
                out[leg] = latest
        return out

    def _fresh(self, stage: _Stage, picture: PictureKey, pictures: Mapping[LegId, Picture]) -> bool:
        """Whether a picture of one source has something that it has not shown yet."""
        latest = pictures.get(picture.legs[0])
        return latest is not None and not stage.compositor.shows(picture, latest.serial)

    def _rate(self, picture: PictureKey) -> float:
        """Pictures a second: what the fastest source gives, halved while the machine cannot keep up."""
        fastest = max(
            (source.frame_rate for leg in picture.legs if (source := self._state.sources.get(leg)) is not None),
            default=0.0,
        )
        rate = SINGLE_RATE if picture.single else room_rate(fastest)
        return rate / (1 << self._governor.halvings)
