"""One participant's media: its transports and streams, and the descriptions that set them up.

A leg is configured by what crosses the media interface. Each description is worked on whole and one after the other;
a later one changes the streams that it names and leaves their sessions (SSRC, sequence numbers, SRTP state) alive, as
RFC 3264 §8 wants it.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Callable
from dataclasses import replace

from gateway.reasons import Reason, Refused
from transcode.carrier import Carrier, Carriers
from transcode.conference import Conference
from transcode.media import (
    Abilities,
    Candidate,
    Connected,
    Format,
    FormatsChanged,
    Kind,
    LegId,
    LegStatistics,
    MediaDescription,
    MediaEvent,
    Silent,
    StreamDescription,
    Transport,
    Wanted,
)
from transcode.negotiate import Chosen, choose, choose_answered
from transcode.offers import offered_streams
from transcode.stream import Stream
from transcode.stream_audio import AudioStream
from transcode.stream_video import VideoStream

SILENCE_STEP = 5.0
"""Seconds between two events that tell how long a leg has been silent."""


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
        self._carriers = carriers
        self._emit = emit
        self._random = random.Random(secrets.randbits(64))
        self._cname = secrets.token_urlsafe(9)
        self._used: dict[str, Carrier] = {}
        self._lock = asyncio.Lock()
        self._offered: MediaDescription | None = None
        self._told: dict[str, FormatsChanged] = {}
        self._opened = now
        self._connected = False
        self._silence_told = now

    # Descriptions

    async def answer(self, remote: MediaDescription) -> MediaDescription:
        """Take an offer, or a new one in mid call; return our answer. Raises `Refused`, and changes nothing then."""
        async with self._lock:
            chosen = choose(remote, self.abilities)
            local: list[StreamDescription] = []
            for stream, one in zip(remote.streams, chosen, strict=True):
                local.append(_refusal(stream) if one is None else await self._answer_stream(remote, stream, one))
            self._drop_all_but({stream.id for stream in local if not stream.refused})
            kept = {stream.id for stream in local if not stream.refused}
            return MediaDescription(tuple(local), tuple(id for id in remote.bundle if id in kept))

    async def _answer_stream(
        self, remote: MediaDescription, stream: StreamDescription, chosen: Chosen
    ) -> StreamDescription:
        carrier = await self._carrier(_transport_id(remote, stream), stream.kind, stream)
        transport = await carrier.answer(_transport_of(remote, stream), self.abilities)
        ours = self._stream(stream, carrier, shared=len(remote.bundle) > 1)
        ours.configure(chosen, self._limits(stream))
        return StreamDescription(
            id=stream.id,
            kind=stream.kind,
            receive=chosen.receive,
            send=chosen.receive if chosen.send is not None and chosen.receive else _sending(chosen),
            transport=replace(transport, feedback=stream.transport.feedback),
            role=stream.role,
            bandwidth=self.abilities.bandwidth if stream.kind is Kind.VIDEO else None,
            packet_time=20 if stream.kind is Kind.AUDIO else None,
            ssrcs=ours.ssrcs,
            cname=self._cname,
        )

    async def offer(self, wanted: Wanted) -> MediaDescription:
        """Describe all that we can do, on ports that are bound from now on."""
        async with self._lock:
            local = []
            for stream in offered_streams(wanted, self.abilities):
                stream = replace(stream, id=self._known_id(stream))
                carrier = await self._carrier(stream.id, stream.kind, None)
                transport = await carrier.offer(self.abilities, wanted.encrypted)
                ours = self._stream(stream, carrier, shared=False)
                local.append(replace(stream, transport=transport, ssrcs=ours.ssrcs, cname=self._cname))
            self._offered = MediaDescription(tuple(local))
            return self._offered

    async def accept(self, remote: MediaDescription) -> None:
        """Take the answer to our offer. Raises `Refused`."""
        async with self._lock:
            if self._offered is None:
                raise Refused(Reason.BAD_DESCRIPTION, "an answer without an offer")
            offered, self._offered = self._offered, None
            taken = set()
            for ours in offered.streams:
                theirs = remote.stream(ours.id)
                if theirs is None or theirs.refused:
                    continue
                chosen = choose_answered(ours, theirs, self.abilities)
                if chosen is None:
                    continue
                await self._used[ours.id].accept(theirs.transport, self.abilities)
                self.streams[ours.id].configure(chosen, self._limits(theirs))
                taken.add(ours.id)
            self._drop_all_but(taken)
            if not taken:
                raise Refused(Reason.NO_COMMON_FORMAT)

    async def candidate(self, stream: str, candidate: Candidate | None) -> None:
        """Take one more remote candidate, after the description that it belongs to."""
        async with self._lock:
            carrier = self._used.get(stream) or next(iter(self._used.values()), None)
            if carrier is not None:
                carrier.add_candidate(candidate)

    def _known_id(self, stream: StreamDescription) -> str:
        """Return the id that the leg's stream of this kind has already; a new offer keeps it."""
        return next((known.id for known in self.streams.values() if known.kind is stream.kind), stream.id)

    def _limits(self, stream: StreamDescription) -> int:
        """Return the bit/s that may be sent on a stream."""
        ours = self.abilities.bandwidth
        return ours if stream.bandwidth is None else max(1, min(ours, stream.bandwidth))

    async def _carrier(self, id: str, kind: Kind, remote: StreamDescription | None) -> Carrier:
        """Return what carries the packets of one stream or bundle, making it if it is new or must restart."""
        known = self._used.get(id)
        if known is not None and not (remote is not None and known.must_restart(remote.transport)):
            return known
        fresh = await self._carriers.make(self.id, id, kind, self.abilities, remote)
        if known is not None:
            for stream in self.streams.values():
                if stream.carrier is known:
                    stream.ride(fresh)
            known.close()
        self._used[id] = fresh
        return fresh

    def _stream(self, stream: StreamDescription, carrier: Carrier, shared: bool) -> Stream:
        known = self.streams.get(stream.id)
        if known is not None and known.kind is stream.kind:
            if known.carrier is not carrier:
                known.ride(carrier)
            return known
        if known is not None:
            known.close()
        make = AudioStream if stream.kind is Kind.AUDIO else VideoStream
        made = make(self.id, stream.id, self.conference, carrier, self._random, self._cname, shared, self._emit)
        self.streams[stream.id] = made
        return made

    def _drop_all_but(self, kept: set[str]) -> None:
        for id in [id for id in self.streams if id not in kept]:
            self.streams.pop(id).close()
        riding = {stream.carrier for stream in self.streams.values()}
        for id in [id for id, carrier in self._used.items() if carrier not in riding]:
            self._used.pop(id).close()

    # Life

    @property
    def has_video(self) -> bool:
        """Whether it has a picture stream, whose timers are short."""
        return any(stream.kind is Kind.VIDEO for stream in self.streams.values())

    def poll(self, now: float) -> None:
        """Send what is due and tell what changed; called some times a second."""
        heard = self._opened
        for stream in self.streams.values():
            stream.poll(now)
            if stream.last_heard > heard:
                heard = stream.last_heard
                if not self._connected:
                    self._connected = True
                    self._emit(Connected(self.id, stream.id))
            formats = stream.formats()
            if formats is not None and self._told.get(stream.id) != formats:
                self._told[stream.id] = formats
                self._emit(formats)
        if now - heard < SILENCE_STEP:
            self._silence_told = now
        elif now - self._silence_told >= SILENCE_STEP:
            self._silence_told = now
            self._emit(Silent(self.id, now - heard))

    def key_frame(self) -> None:
        """Send a key frame."""
        self.conference.video.request_key_frame(self.id)

    def statistics(self) -> LegStatistics:
        """Return every stream's counters."""
        return LegStatistics(self.id, tuple(stream.statistics() for stream in self.streams.values()))

    def counters(self) -> dict[str, int]:
        """Return what was dropped or counted on this leg, by name."""
        total: dict[str, int] = {}
        counted = [stream.counters() for stream in self.streams.values()]
        counted += [carrier.counters() for carrier in self._used.values()]
        for counts in counted:
            for name, count in counts.items():
                total[name] = total.get(name, 0) + count
        return total

    def close(self) -> None:
        """End every stream and give the ports back."""
        self.closed = True
        for stream in self.streams.values():
            stream.goodbye(self.conference.clock())
        self._drop_all_but(set())


def _refusal(stream: StreamDescription) -> StreamDescription:
    return StreamDescription(stream.id, stream.kind, (), (), Transport(None, 0), stream.role)


def _transport_id(remote: MediaDescription, stream: StreamDescription) -> str:
    return remote.bundle[0] if stream.id in remote.bundle else stream.id


def _transport_of(remote: MediaDescription, stream: StreamDescription) -> StreamDescription:
    """Return the stream whose transport counts: the bundle's first one (RFC 9143 §7.3.1)."""
    return remote.stream(_transport_id(remote, stream)) or stream


def _sending(chosen: Chosen) -> tuple[Format, ...]:
    return () if chosen.send is None else (chosen.send,)
