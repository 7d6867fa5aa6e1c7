"""One participant's media: its transports and streams, and the descriptions that set them up.

A leg is configured by what crosses the media interface. Each description is worked on whole and one after the other:
first everything that may be refused is looked at and new transports are made, then streams change, which cannot fail.
A later description changes the streams that it names and leaves their sessions (SSRC, sequence numbers, SRTP state)
alive, as RFC 3264 §8 wants it; one that is refused leaves everything as it was.

A fault inside one leg ends that leg: it is logged once, told as `Failed`, and its streams are taken out.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import structlog

from gateway.reasons import Reason, Refused
from transcode.audio.key_sounds import key_sound
from transcode.audio.player import Voice
from transcode.bundle import sharing, transport_of
from transcode.carrier import Carrier
from transcode.carriers import Carriers, Ways
from transcode.conference import Conference
from transcode.events import (
    Connected,
    DataMessage,
    Failed,
    FormatsChanged,
    MediaEvent,
    Silent,
)
from transcode.interface import LegStatistics
from transcode.media import (
    MAX_STREAMS,
    Abilities,
    CameraAction,
    Candidate,
    Kind,
    LegId,
    MediaDescription,
    Mid,
    Role,
    Sound,
    StreamDescription,
    Transport,
    Wanted,
)
from transcode.negotiate import Chosen, choose
from transcode.offers import choose_answers, keep_numbers, offered_streams
from transcode.stream import Owner, Stream
from transcode.stream_audio import AudioStream
from transcode.stream_camera import CameraStream
from transcode.stream_text import TextStream
from transcode.stream_video import VideoStream
from transcode.telling import Telling

log = structlog.get_logger()

SILENCE_STEP = 5.0
"""Seconds between two events that tell how long a leg has been silent."""
FORMATS_STEP = 0.5
"""Seconds between two events that tell what a stream carries: everybody in the room hears of it, and a picture may
change its size with each frame."""
MID_EXTENSION = 1
"""Id of the header extension that names streams, in our own offers; we offer no other."""
MAX_EARLY_CANDIDATES = 64
"""Candidates that are kept until the description comes that they belong to; a browser has about ten."""


class Leg:
    """One leg of a conference; made by `Plane.open`."""

    def __init__(
        self,
        id: LegId,
        conference: Conference,
        abilities: Abilities,
        carriers: Carriers,
        emit: Callable[[MediaEvent], None],
        now: float,
    ) -> None:
        self.id = id
        self.conference = conference
        self.abilities = abilities
        self.streams: dict[str, Stream] = {}
        self.closed = False
        self.failed = False
        self._carriers = carriers
        self._telling = Telling(emit, lambda: self.conference.clock())
        self._emit = self._telling.tell
        rng = random.Random(secrets.randbits(64))
        self._voice = Voice(conference.sounds)
        self._owner = Owner(id, conference, rng, secrets.token_urlsafe(9), self._emit, self.fail, self._voice)
        self._data: dict[str, Carrier] = {}
        self._closing: list[Carrier] = []
        self._lock = asyncio.Lock()
        self._offered: MediaDescription | None = None
        self._early: list[tuple[str, Candidate | None]] = []
        self._told: dict[str, tuple[FormatsChanged, float]] = {}
        self._past: dict[str, int] = {}
        self._opened = now
        self._connected = False
        self._silence_told = now

    # Descriptions

    async def answer(self, remote: MediaDescription) -> MediaDescription:
        """Take an offer, or a new one in mid call; return our answer. Raises `Refused`, and changes nothing then."""
        async with self._lock:
            self._check_open()
            if len(remote.streams) > MAX_STREAMS or len({stream.id for stream in remote.streams}) < len(remote.streams):
                raise Refused(Reason.BAD_DESCRIPTION, "too many streams, or two of one name")
            chosen = {
                one.stream.id: one for one in choose(remote, self.abilities, self._carriers.reaches) if one is not None
            }
            ways = await self._answer_ways(remote, chosen)
            with self._changing(ways.carriers.values()):
                self._keep(chosen)
                local = [self._answered(remote, stream, chosen.get(stream.id), ways) for stream in remote.streams]
            for stream_id, candidate in self._early:
                self._take_candidate(stream_id, candidate)
            self._early.clear()
            return MediaDescription(tuple(local), tuple(id for id in remote.bundle if id in chosen))

    async def _answer_ways(self, remote: MediaDescription, chosen: dict[str, Chosen]) -> Ways:
        """Find or make the transport of each stream and let it take the peer's side. Raises `Refused`."""
        ways = Ways({}, {}, [])
        try:
            for id in chosen:
                ways.carriers[id] = self._way(remote, chosen, id, ways)
            for id, carrier in ways.carriers.items():
                carrier.check(transport_of(remote, chosen, id), self.abilities)
                if chosen[id].sctp_port is not None:
                    carrier.check_channels()
            for id, carrier in ways.carriers.items():
                ways.local[id] = await carrier.answer(transport_of(remote, chosen, id), self.abilities)
                self._check_open()
        except BaseException:
            self._close_carriers(ways.fresh)
            raise
        return ways

    def _way(self, remote: MediaDescription, chosen: dict[str, Chosen], id: str, ways: Ways) -> Carrier:
        """Return what carries a stream's packets: what its bundle has already, or a new one."""
        together = remote.bundle if id in remote.bundle else (id,)
        transport = transport_of(remote, chosen, id).transport
        kinds = {chosen[other].stream.kind for other in together if other in chosen}
        for other in together:
            if other in ways.carriers:
                return ways.carriers[other]
        for other in together:
            known = self._carrier_of(other)
            if known is not None and self._carriers.suits(known, self.abilities, transport):
                return known
        kind = Kind.VIDEO if Kind.VIDEO in kinds else chosen[id].stream.kind
        made = self._carriers.make(self.id, kind, self.abilities, transport)
        ways.fresh.append(made)
        return made

    def _answered(
        self, remote: MediaDescription, stream: StreamDescription, chosen: Chosen | None, ways: Ways
    ) -> StreamDescription:
        if chosen is None:
            return StreamDescription(stream.id, stream.kind, (), (), Transport(None, 0), stream.role)
        carrier, transport = ways.carriers[stream.id], ways.local[stream.id]
        if chosen.sctp_port is not None:
            self._data[stream.id] = carrier
            port = carrier.open_channels(chosen.sctp_port, self._take_data)
            return StreamDescription(stream.id, stream.kind, (), (), replace(transport, sctp_port=port), stream.role)
        ours = self._stream(stream, carrier, shared=len(remote.bundle) > 1)
        ours.configure(chosen, self._limits(stream))
        return StreamDescription(
            id=stream.id,
            kind=stream.kind,
            receive=chosen.receive,
            send=() if chosen.send is None else chosen.described,
            transport=replace(transport, feedback=stream.transport.feedback),
            role=stream.role,
            bandwidth=self.abilities.bandwidth if stream.kind is Kind.VIDEO else None,
            packet_time=20 if stream.kind is Kind.AUDIO else None,
            ssrcs=ours.ssrcs,
            cname=self._owner.cname,
            mid=stream.mid,
        )

    async def offer(self, wanted: Wanted) -> MediaDescription:
        """Describe all that we can do, on ports that are bound from now on."""
        async with self._lock:
            self._check_open()
            if any(stream.kind is Kind.TEXT for stream in self.streams.values()):
                wanted = replace(wanted, text=True)  # what the peer brought in stays
            if any(stream.role is Role.SLIDES for stream in self.streams.values()):
                wanted = replace(wanted, slides=True)
            streams: list[StreamDescription] = []
            for stream in offered_streams(wanted, self.abilities):
                streams.append(self._renewed(stream, {one.id for one in streams}))
            ways = Ways({}, {}, [])
            try:
                for stream in streams:
                    ways.carriers[stream.id] = carrier = self._offered_way(stream, wanted, ways)
                    ways.local[stream.id] = await carrier.offer(self.abilities, wanted)
                    self._check_open()
            except BaseException:
                self._close_carriers(ways.fresh)
                raise
            local, bundle = [], sharing(ways.carriers)
            for stream in streams:
                ours = self._stream(stream, ways.carriers[stream.id], shared=wanted.bundle)
                transport = ways.local[stream.id]
                mid = Mid(stream.id, self._mid_extension()) if stream.id in bundle else None
                local.append(replace(stream, transport=transport, ssrcs=ours.ssrcs, cname=self._owner.cname, mid=mid))
            self._offered = MediaDescription(tuple(local), bundle)
            return self._offered

    def _offered_way(self, stream: StreamDescription, wanted: Wanted, ways: Ways) -> Carrier:
        """Return what carries a stream that we offer: what it has, what the others of a bundle have, or a new one."""
        known = self._carrier_of(stream.id)
        if known is not None:
            return known
        if wanted.bundle and ways.carriers:
            return next(iter(ways.carriers.values()))
        kind = Kind.VIDEO if wanted.bundle and wanted.video else stream.kind
        made = self._carriers.make(self.id, kind, self.abilities, None)
        ways.fresh.append(made)
        return made

    async def accept(self, remote: MediaDescription) -> None:
        """Take the answer to our offer. Raises `Refused`, and changes nothing then."""
        async with self._lock:
            self._check_open()
            if self._offered is None:
                raise Refused(Reason.BAD_DESCRIPTION, "an answer without an offer")
            offered, self._offered = self._offered, None
            answered = choose_answers(offered, remote, self.abilities)
            chosen = {id: one for id, one in answered.items() if id in self.streams}
            for id in chosen:
                self.streams[id].carrier.check_accepted(transport_of(remote, chosen, id).transport, self.abilities)
            if not chosen:
                raise Refused(Reason.NO_COMMON_FORMAT)
            with self._changing(()):
                self._keep(chosen)
                for id, one in chosen.items():
                    await self.streams[id].carrier.accept(transport_of(remote, chosen, id).transport, self.abilities)
                    self.streams[id].configure(one, self._limits(one.stream))

    async def candidate(self, stream: str, candidate: Candidate | None) -> None:
        """Take one more remote candidate; one that comes before its description is kept for it."""
        async with self._lock:
            if self.streams or self._data:
                self._take_candidate(stream, candidate)
            elif len(self._early) < MAX_EARLY_CANDIDATES:
                self._early.append((stream, candidate))

    def _take_candidate(self, stream: str, candidate: Candidate | None) -> None:
        carrier = self._carrier_of(stream) or next(iter(self._riding()), None)
        if carrier is not None:
            carrier.add_candidate(candidate)

    # Streams and what carries them

    def _check_open(self) -> None:
        if self.closed:
            raise Refused(Reason.CANCELLED, "this leg is closed")
        if self.failed:
            raise Refused(Reason.INTERNAL, "this leg has failed")

    def _renewed(self, stream: StreamDescription, given: set[str]) -> StreamDescription:
        """Give an offered stream the name and payload types that the leg's stream of its kind and role has already, or
        a name that nobody has; given are those of this offer."""
        same = (one for one in self.streams.values() if (one.kind, one.role) == (stream.kind, stream.role))
        known = next(same, None)
        if known is not None:
            stream = replace(stream, id=known.id)
            return stream if known.chosen is None else keep_numbers(stream, known.chosen.described)
        taken = {*self.streams, *self._data, *given}
        free = next(str(number) for number in range(len(taken) + 1) if str(number) not in taken)
        return stream if stream.id not in taken else replace(stream, id=free)

    def _mid_extension(self) -> int:
        """Return the id of the header extension that names streams: the one in use, for no id changes (RFC 8285 §7)."""
        known = (one.chosen.stream.mid for one in self.streams.values() if one.chosen is not None)
        return next((mid.extension for mid in known if mid is not None), MID_EXTENSION)

    def _limits(self, stream: StreamDescription) -> int:
        """Return the bit/s that may be sent on a stream."""
        ours = self.abilities.bandwidth
        return ours if stream.bandwidth is None else max(1, min(ours, stream.bandwidth))

    def _carrier_of(self, id: str) -> Carrier | None:
        stream = self.streams.get(id)
        return self._data.get(id) if stream is None else stream.carrier

    def _riding(self) -> list[Carrier]:
        """Return the carriers in use, each once."""
        return list(dict.fromkeys([*(stream.carrier for stream in self.streams.values()), *self._data.values()]))

    @contextmanager
    def _changing(self, new: Iterable[Carrier]) -> Iterator[None]:
        """Close, after a change, the carriers that nothing rides on any more."""
        before = [*self._riding(), *new]
        try:
            yield
        finally:
            riding = set(self._riding())
            self._close_carriers(carrier for carrier in dict.fromkeys(before) if carrier not in riding)

    def _stream(self, stream: StreamDescription, carrier: Carrier, shared: bool) -> Stream:
        known = self.streams.get(stream.id)
        if known is not None:
            if known.carrier is not carrier:
                known.ride(carrier)
            return known
        made = self.streams[stream.id] = _STREAMS[stream.kind](self._owner, stream.id, carrier, shared, stream.role)
        return made

    def _keep(self, chosen: dict[str, Chosen]) -> None:
        """End the streams that a description no longer has, before others take their place."""
        for id, stream in list(self.streams.items()):
            kept = chosen.get(id)
            if kept is None or (kept.stream.kind, kept.stream.role) != (stream.kind, stream.role):
                self._end(self.streams.pop(id))
                self._told.pop(id, None)
        for id in [id for id in self._data if id not in chosen]:
            del self._data[id]

    def _end(self, stream: Stream) -> None:
        stream.goodbye(self.conference.clock())
        stream.close()
        self._count(stream.counters())

    def _close_carriers(self, carriers: Iterable[Carrier]) -> None:
        for carrier in carriers:
            carrier.close()
            self._count(carrier.counters())
            self._closing.append(carrier)

    def _count(self, counters: dict[str, int]) -> None:
        """Keep the counters of what has ended: they never go back."""
        for name, count in counters.items():
            self._past[name] = self._past.get(name, 0) + count

    # Data channels

    def _take_data(self, label: str, data: str | bytes) -> None:
        self._emit(DataMessage(self.id, label, data))

    def send_data(self, label: str, data: str | bytes) -> bool:
        """Send one message on a data channel; False if that cannot be done now."""
        return any(carrier.send_data(label, data) for carrier in dict.fromkeys(self._data.values()))

    # Text

    def send_text(self, text: str) -> bool:
        """Send a line of real-time text; False if there is no stream for it, or too much waits."""
        return any(stream.write(text) for stream in self.streams.values() if isinstance(stream, TextStream))

    # Sounds

    def play(self, sounds: tuple[Sound, ...], number: int) -> None:
        """Break off what this leg is played, and play it these."""
        self._voice.play(sounds, number)
        self.conference.mixer.play(self.id)

    # Cameras

    def camera(self, action: CameraAction) -> bool:
        """Ask something of the peer's camera; False if there is no stream for it, or no camera."""
        return any(one.command(action) for one in self.streams.values() if isinstance(one, CameraStream))

    # Life

    @property
    def is_prompt(self) -> bool:
        """Whether it has a picture or text stream, whose timers are short."""
        # A generator would cost four times as much, for each leg in each tick.
        for stream in self.streams.values():  # noqa: SIM110
            if stream.kind is not Kind.AUDIO:
                return True
        return False

    def poll(self, now: float) -> None:
        """Send what is due and tell what changed; called some times a second."""
        if not any(_is_missed(stream) for stream in self.streams.values()):
            self._opened = now  # on hold, or not described yet: nothing is to come, so nothing is missed
        heard = self._opened
        for stream in self.streams.values():
            stream.poll(now)
            if stream.last_heard > heard:
                heard = stream.last_heard
                if not self._connected:
                    self._connected = True
                    self._emit(Connected(self.id, stream.id))
            formats, told = stream.formats(), self._told.get(stream.id)
            if formats is not None and (told is None or (told[0] != formats and now - told[1] >= FORMATS_STEP)):
                self._told[stream.id] = formats, now
                self._emit(formats)
        if now - heard < SILENCE_STEP:
            self._silence_told = now
        elif now - self._silence_told >= SILENCE_STEP:
            self._silence_told = now
            self._emit(Silent(self.id, now - heard))

    def fail(self, fault: Exception) -> None:
        """End this leg's media for a fault inside; the control plane is told and closes the leg."""
        if self.failed or self.closed:
            return
        self.failed = True
        log.error("leg_failed", call=self.id, exc_info=fault)
        self._emit(Failed(self.id, Reason.INTERNAL, type(fault).__name__))
        # Not at once: it may have come from inside the mixer, or from a stream that is being closed.
        asyncio.get_running_loop().call_soon(self._take_out)

    def _take_out(self) -> None:
        streams, self.streams = self.streams, {}
        carriers = dict.fromkeys([*(stream.carrier for stream in streams.values()), *self._data.values()])
        self._data.clear()
        for stream in streams.values():
            try:
                stream.close()
                self._count(stream.counters())
            except Exception:  # it may be what failed before
                log.debug("failed_stream_not_closed", call=self.id, exc_info=True)
        self._close_carriers(carriers)

    async def move(self, conference: Conference) -> None:
        """Go over to another conference that this leg has entered; it has left the old one when this returns."""
        async with self._lock:
            self._check_open()
            before, self.conference = self.conference, conference
            self._owner = replace(self._owner, conference=conference)
            try:
                for stream in self.streams.values():
                    stream.move(conference)
            except Exception as fault:
                self.fail(fault)
            before.leave(self.id)
            conference.seat(self.id)

    def press(self, digit: str, duration: int, by_tone: bool) -> bool:
        """Press a key at the peer, for so many ms; False where its sound cannot carry it."""
        sound = [stream for stream in self.streams.values() if isinstance(stream, AudioStream)]
        if any(stream.press(digit, duration) for stream in sound):
            return True
        if by_tone and sound:
            self._voice.append((key_sound(digit, duration),))
            self.conference.mixer.play(self.id)
        return by_tone and bool(sound)

    def key_frame(self, role: Role | None) -> None:
        """Send a key frame of one picture, or of all: the peer asked by signalling."""
        for stream in self.streams.values():
            if isinstance(stream, VideoStream) and role in (None, stream.role):
                stream.key_frame_requested(self.conference.clock())

    def statistics(self) -> LegStatistics:
        """Return every stream's counters."""
        return LegStatistics(self.id, tuple(stream.statistics() for stream in self.streams.values()))

    def counters(self) -> dict[str, int]:
        """Return what was dropped or counted on this leg since it began, by name."""
        total = {**self._past, "events_dropped": self._telling.dropped}
        counted = [stream.counters() for stream in self.streams.values()]
        counted += [carrier.counters() for carrier in self._riding()]
        for counts in counted:
            for name, count in counts.items():
                total[name] = total.get(name, 0) + count
        return total

    def close(self) -> None:
        """End every stream and give the ports back."""
        self.closed = True
        try:
            with self._changing(()):
                self._keep({})
        except Exception as fault:
            self.failed = True
            log.error("leg_failed", call=self.id, exc_info=fault)
            self._take_out()

    async def ended(self) -> None:
        """Return when all that was opened is given back."""
        for carrier in self._closing:
            await carrier.closed()
        self._closing.clear()


_STREAMS: dict[Kind, type[Stream]] = {
    Kind.AUDIO: AudioStream,
    Kind.VIDEO: VideoStream,
    Kind.TEXT: TextStream,
    Kind.CAMERA: CameraStream,
}
_QUIET = (Kind.TEXT, Kind.CAMERA)
"""Kinds of streams on which nothing comes where nobody does anything."""


def _is_missed(stream: Stream) -> bool:
    """Whether silence on a stream says that something is wrong; who writes nothing sends nothing."""
    return stream.chosen is not None and bool(stream.chosen.receive) and stream.kind not in _QUIET
