"""The media plane itself: legs and rooms on one event loop, implementing `transcode.interface.MediaPlane`.

One clock drives it: every 20 ms each room mixes its sound, and each leg's timers are looked at (those of
pictures and text in every tick, so that a lost packet is asked for at once; those of sound about once a second). Codec
work on pictures runs in the worker pool's threads and comes back to the loop as coded frames.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import structlog

from gateway.reasons import Reason, Refused
from transcode.audio.sounds import SoundLibrary
from transcode.audio.station import Stations
from transcode.carriers import Carriers
from transcode.conference import Conference
from transcode.events import MediaEvent
from transcode.interface import LegStatistics, Sample
from transcode.lag import LagMeter
from transcode.leg import Leg
from transcode.media import (
    Abilities,
    CameraAction,
    Candidate,
    LegId,
    MediaDescription,
    Role,
    RoomId,
    Sound,
    ViewPlan,
    Wanted,
)
from transcode.rtp.ports import PortPool
from transcode.settings import PlaneSettings
from transcode.video.pool import SWITCH_INTERVAL, WorkerPool

log = structlog.get_logger()

TICK = 0.02
"""Seconds between two mixes: the packet time that every device speaks."""
AUDIO_TURN = 25
"""Ticks in which every leg without pictures is polled once: its RTCP is seconds apart."""
MAX_BEHIND = 5
"""Ticks that are made up for after a stall; more would come as a burst that no jitter buffer likes."""
END_TIME = 3.0
"""Seconds that closed legs get to give everything back when the plane stops; DTLS says goodbye in them."""
MAX_CODEC_FAULTS = 32
"""Different faults of codec work that are logged; each may come with every picture."""
MAX_EVENTS = 100_000
"""Events that nobody has taken yet; more means that the control plane hangs."""

BAD_INPUT = frozenset(
    {
        # of RTP sessions
        "malformed", "foreign", "refused", "unknown_payload", "looped", "rtcp_malformed",
        # of transports
        "oversized", "garbage", "stun", "dtls", "unencrypted", "handler_errors", "srtp_failed", "srtp_replayed",
        "srtp_keyless", "early_media", "dtls_overflow", "sctp_faults", "sctp_overflow", "data_too_large",
        "h235_failed", "h235_keyless", "h235_malformed",
        # of payloads and pictures
        "malformed_payloads", "unsupported", "bad_parameter_sets", "frames_too_large", "pictures_refused",
        "decoder_errors",
        # of legs
        "events_dropped",
    }
)  # fmt: skip
"""Counters that tell of input that was dropped, whatever part counts them."""


class Plane:
    """A media plane in this process."""

    def __init__(self, settings: PlaneSettings) -> None:
        self._settings = settings
        self._legs: dict[LegId, Leg] = {}
        self._rooms: dict[RoomId, Conference] = {}
        self._events: asyncio.Queue[MediaEvent | None] = asyncio.Queue(MAX_EVENTS)
        self._lag = LagMeter("media")
        self._ticking: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._turn = 0
        self._mix_seconds = 0.0
        self._ended: dict[str, int] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._room_faults: set[RoomId] = set()
        self._codec_faults: set[str] = set()
        self._done: _Work = {}

    async def start(self) -> None:
        """Take ports and threads into use."""
        settings = self._settings
        sys.setswitchinterval(SWITCH_INTERVAL)
        loop = asyncio.get_running_loop()
        self._pool = WorkerPool(loop)
        self._pool.on_fault = self._codec_fault
        self._sounds = SoundLibrary(map(Path, settings.sounds), self._pool.strand().submit)
        self._stations = Stations(self._sounds)
        self._carriers = Carriers(
            PortPool(settings.address, settings.low, settings.high),
            settings.address,
            (settings.low, settings.high),
            settings.public_address,
            self._emit,
            settings.multiplex_port,
        )
        self._lag.start()
        # A full collection of a heap with thousands of packets stops the loop for longer than a tick may wait; what is
        # there now stays for good and need not be looked at again.
        gc.collect()
        gc.freeze()
        self._due = time.monotonic() + TICK
        self._ticking = loop.call_later(TICK, self._tick, loop)

    async def stop(self) -> None:
        """End everything."""
        for leg in list(self._legs):
            await self.close(leg, Reason.SHUTDOWN)
        self._lag.stop()
        if self._ticking is not None:
            self._ticking.cancel()
        if self._ending:
            await asyncio.wait(self._ending, timeout=END_TIME)
        for room in self._rooms.values():
            room.close()
        self._pool.close()
        self._emit(None)

    def _codec_fault(self, fault: BaseException) -> None:
        """Log what escaped a job of the worker pool; the same one again and again is counted by the pool."""
        text = repr(fault)[:200]
        if text not in self._codec_faults and len(self._codec_faults) < MAX_CODEC_FAULTS:
            self._codec_faults.add(text)
            log.error("codec_fault", exc_info=fault)

    def _emit(self, event: MediaEvent | None) -> None:
        if self._events.full():
            self._events.get_nowait()
        self._events.put_nowait(event)

    # The clock

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        now = time.monotonic()
        behind = 0
        while self._due <= now and behind < MAX_BEHIND:
            self._due += TICK
            behind += 1
            began = time.thread_time()
            self._stations.advance()
            for room in self._rooms.values():
                try:
                    room.tick(now)
                except Exception:  # the outermost shell of mixing: one room's fault must not stop the others' sound
                    if room.id not in self._room_faults:  # fifty a second would bury everything else
                        self._room_faults.add(room.id)
                        log.exception("mixing_failed", room=room.id)
            self._mix_seconds += time.thread_time() - began
        if self._due <= now:
            self._due = now + TICK
        self._poll(now)
        self._ticking = loop.call_later(max(0.0, self._due - time.monotonic()), self._tick, loop)

    def _poll(self, now: float) -> None:
        self._turn = (self._turn + 1) % AUDIO_TURN
        for number, leg in enumerate(self._legs.values()):
            if number % AUDIO_TURN == self._turn or leg.is_prompt:
                try:
                    leg.poll(now)
                except Exception as fault:  # likewise: one leg's fault ends nobody else's timers
                    leg.fail(fault)

    # The interface

    async def open(self, leg: LegId, room: RoomId, abilities: Abilities) -> None:
        """See `MediaPlane.open`."""
        if len(self._legs) >= self._settings.max_legs:
            raise Refused(Reason.OVERLOAD)
        if leg in self._legs:
            raise Refused(Reason.BAD_REQUEST, "this leg is open already")
        conference = self._room(room)
        conference.enter(leg, abilities)
        self._legs[leg] = Leg(leg, conference, abilities, self._carriers, self._emit, time.monotonic())

    def _room(self, id: RoomId) -> Conference:
        conference = self._rooms.get(id)
        if conference is None:
            conference = self._rooms[id] = Conference(
                id, self._pool, self._emit, self._sounds, self._settings.audio, self._stations
            )
        return conference

    def _leg(self, id: LegId) -> Leg:
        leg = self._legs.get(id)
        if leg is None:
            raise Refused(Reason.CANCELLED, "this leg is closed")
        return leg

    async def offer(self, leg: LegId, wanted: Wanted) -> MediaDescription:
        """See `MediaPlane.offer`."""
        return await self._leg(leg).offer(wanted)

    async def answer(self, leg: LegId, remote: MediaDescription) -> MediaDescription:
        """See `MediaPlane.answer`."""
        return await self._leg(leg).answer(remote)

    async def accept(self, leg: LegId, remote: MediaDescription) -> None:
        """See `MediaPlane.accept`."""
        await self._leg(leg).accept(remote)

    async def candidate(self, leg: LegId, stream: str, candidate: Candidate | None) -> None:
        """See `MediaPlane.candidate`."""
        known = self._legs.get(leg)
        if known is not None:
            await known.candidate(stream, candidate)

    async def direct(self, room: RoomId, plan: ViewPlan) -> None:
        """See `MediaPlane.direct`."""
        conference = self._rooms.get(room)
        if conference is not None:
            conference.direct(plan)

    async def move(self, leg: LegId, room: RoomId) -> None:
        """See `MediaPlane.move`."""
        known = self._leg(leg)
        before, conference = known.conference, self._room(room)
        if conference is before:
            return
        conference.enter(leg, known.abilities)
        try:
            await known.move(conference)
        except BaseException:
            if known.conference is not conference:  # it never went
                conference.leave(leg)
                self._tidy(conference)
            raise
        finally:
            self._tidy(before)

    async def press(self, leg: LegId, digit: str, duration: int, by_tone: bool = False) -> bool:
        """See `MediaPlane.press`."""
        return self._leg(leg).press(digit, duration, by_tone)

    async def play(self, leg: LegId, sounds: tuple[Sound, ...], number: int = 0) -> None:
        """See `MediaPlane.play`."""
        self._leg(leg).play(sounds, number)

    async def announce(self, room: RoomId, sounds: tuple[Sound, ...]) -> None:
        """See `MediaPlane.announce`; a room that nobody is in hears nothing."""
        conference = self._rooms.get(room)
        if conference is not None:
            conference.announce(sounds)

    async def key_frame(self, leg: LegId, role: Role | None = None) -> None:
        """See `MediaPlane.key_frame`."""
        self._leg(leg).key_frame(role)

    async def confirm_key(self, leg: LegId, digit: str) -> None:
        """See `MediaPlane.confirm_key`."""
        self._leg(leg).conference.mixer.confirm(leg, digit)

    async def send_data(self, leg: LegId, label: str, data: str | bytes) -> bool:
        """See `MediaPlane.send_data`."""
        return self._leg(leg).send_data(label, data)

    async def send_text(self, leg: LegId, text: str) -> bool:
        """See `MediaPlane.send_text`."""
        return self._leg(leg).send_text(text)

    async def camera(self, leg: LegId, action: CameraAction) -> bool:
        """See `MediaPlane.camera`."""
        return self._leg(leg).camera(action)

    async def statistics(self, leg: LegId) -> LegStatistics:
        """See `MediaPlane.statistics`."""
        return self._leg(leg).statistics()

    async def close(self, leg: LegId, reason: Reason) -> None:
        """See `MediaPlane.close`."""
        known = self._legs.pop(leg, None)
        if known is None:
            return
        known.close()
        ending = asyncio.get_running_loop().create_task(known.ended())
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)
        for name, count in known.counters().items():
            self._ended[name] = self._ended.get(name, 0) + count
        conference = known.conference
        conference.leave(leg)
        self._tidy(conference)

    def _tidy(self, conference: Conference) -> None:
        """End a room that nobody is in any more."""
        if not conference.legs and self._rooms.get(conference.id) is conference:
            for labels, amount in _room_work(conference).items():
                self._done[labels] = self._done.get(labels, 0.0) + amount
            conference.close()
            self._rooms.pop(conference.id, None)
            self._room_faults.discard(conference.id)

    async def events(self) -> AsyncIterator[MediaEvent]:
        """See `MediaPlane.events`."""
        while (event := await self._events.get()) is not None:
            yield event

    # Metrics

    async def counters(self) -> tuple[Sample, ...]:
        """See `MediaPlane.counters`."""
        return (*self._lag.samples(), *self._work(), *self._input())

    def _input(self) -> list[Sample]:
        total = dict(self._ended)
        for leg in self._legs.values():
            for name, count in leg.counters().items():
                total[name] = total.get(name, 0) + count
        found = [Sample("legs", (), len(self._legs))]
        for name, count in total.items():
            if name in BAD_INPUT:
                found.append(Sample("bad_input_total", (("what", name), ("where", "media")), count))
        found += [
            Sample("forwarded_packets_total", (("kind", kind),), total.get(f"forwarded_{kind}", 0))
            for kind in ("audio", "video")
        ]
        return found + [
            Sample("packets_total", (("direction", direction),), total.get(f"packets_{direction}", 0))
            for direction in ("in", "out")
        ]

    def _work(self) -> list[Sample]:
        """Return what codecs cost and how much of it is shared, of rooms that are open and of those that closed."""
        done = dict(self._done)
        encoders = pictures = 0
        for room in self._rooms.values():
            for labels, amount in _room_work(room).items():
                done[labels] = done.get(labels, 0.0) + amount
            video = room.video.statistics()
            encoders += video.encoders
            pictures += video.pictures
        done[("codec_seconds_total", "audio", "mix")] = self._mix_seconds
        encodes = ("audio_encodes_total", "audio", "encode")
        done[encodes] = done.get(encodes, 0.0) + self._stations.encodes
        return [
            Sample("encoders_running", (), encoders),
            Sample("pictures_shown", (), pictures),
            Sample("codec_faults_total", (), self._pool.faults),
            *(Sample(name, (("kind", kind), ("step", step)), amount) for (name, kind, step), amount in done.items()),
        ]


_Work = dict[tuple[str, str, str], float]


def _room_work(room: Conference) -> _Work:
    """Return one room's work: metric, kind and step, with seconds or counts."""
    video = room.video.statistics()
    seconds, frames = "codec_seconds_total", "video_frames_total"
    return {
        (seconds, "video", "decode"): video.decode_seconds,
        (seconds, "video", "compose"): video.compose_seconds,
        (seconds, "video", "encode"): video.encode_seconds,
        (frames, "video", "compose"): video.composed,
        (frames, "video", "encode"): video.encoded,
        ("audio_encodes_total", "audio", "encode"): room.mixer.encodes,
    }
