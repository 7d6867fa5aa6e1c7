"""A media plane whose clock a test moves, and strangers in its rooms who describe and send what nobody would."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import numpy as np
from media_grafts import Grafts
from packet_grafts import Packets

from gateway.bench.ports import DGRAM, free_row
from gateway.reasons import Reason, Refused
from transcode.audio import g711
from transcode.events import Failed
from transcode.media import (
    Abilities,
    CameraAct,
    CameraAction,
    Codec,
    Format,
    Kind,
    LegId,
    LegPlan,
    MediaDescription,
    Role,
    RoomId,
    StreamDescription,
    Transport,
    ViewPlan,
    Wanted,
)
from transcode.plane import TICK, Plane
from transcode.rtp.packet import RtpPacket, pack
from transcode.settings import PlaneSettings
from transcode.stream import Stream
from transcode.video.pool import WorkerPool

ROOM, OTHER = RoomId("1"), RoomId("2")
SMALL = Abilities(width=320, height=180, frame_rate=15)
FEEDBACK = ("nack", "nack pli", "ccm fir", "ccm tmmbr", "goog-remb")
KEYS, NOISE = Format(Codec.TELEPHONE_EVENT, 101, 8000), Format(Codec.COMFORT_NOISE, 13, 8000)
SOUND = (
    Format(Codec.PCMU, 0, 8000),
    Format(Codec.PCMA, 8, 8000),
    Format(Codec.G722, 9, 8000),
    Format(Codec.OPUS, 111, 48_000, 2),
    Format(Codec.G729, 18, 8000),
    Format(Codec.G723, 4, 8000),
)
_H264 = (("packetization-mode", "1"), ("profile-level-id", "42e01f"))
PICTURES = (
    Format(Codec.H264, 97, 90_000, parameters=_H264, feedback=FEEDBACK),
    Format(Codec.VP8, 98, 90_000, feedback=FEEDBACK),
    Format(Codec.H263, 34, 90_000, feedback=FEEDBACK),
    Format(Codec.H263P, 99, 90_000, feedback=FEEDBACK),
    Format(Codec.H261, 31, 90_000, feedback=FEEDBACK),
)
PLAIN = Format(Codec.T140, 105, 1000)
TEXT = (Format(Codec.RED, 104, 1000, parameters=(("105/105/105", ""),)), PLAIN)
NOWHERE = Transport("127.0.0.1", 9)
TONE = g711.encode(Codec.PCMU, (8000 * np.sin(2 * np.pi * 440 * np.arange(160) / 8000)).astype(np.int16))


class House:
    """The plane, with its clock. What it takes for a fault of its own is in `faults`, or raised by `step`."""

    def __init__(self, plane: Plane) -> None:
        self.plane = plane
        self.now = time.monotonic()
        self.codec_faults: list[BaseException] = []
        plane._pool = WorkerPool(None, 0, lambda: self.now)
        plane._pool.on_fault = self.codec_faults.append

    def step(self, ticks: int = 1) -> None:
        """Pass time: what the plane does in each of its ticks."""
        plane = self.plane
        for _ in range(ticks):
            self.now += TICK
            for room in plane._rooms.values():
                room.clock = lambda: self.now
                room.tick(self.now)
            for leg in plane._legs.values():
                leg.poll(self.now)
            plane._pool.run_due()

    def faults(self) -> list[object]:
        """Return what went wrong inside, and forget the other events."""
        found: list[object] = list(self.codec_faults)
        events = self.plane._events
        while not events.empty():
            event = events.get_nowait()
            if isinstance(event, Failed) and event.reason is Reason.INTERNAL:
                found.append(event)
        for leg in self.plane._legs.values():
            found += ["handler_errors"] * leg.counters().get("handler_errors", 0)
        found += ["studio"] * sum(room.video._studio.statistics().faults for room in self.plane._rooms.values())
        return found


@asynccontextmanager
async def house() -> AsyncIterator[House]:
    """Open one, and look that nothing is left of it."""
    shared = free_row((DGRAM,), (DGRAM,))
    plane = Plane(PlaneSettings(address="127.0.0.1", low=43_000, high=43_999, multiplex_port=shared))
    await plane.start()
    assert plane._ticking is not None
    plane._ticking.cancel()
    plane._pool.close()
    try:
        yield House(plane)
    finally:
        await plane.stop()
    assert plane._carriers._pool.in_use == 0
    assert not plane._rooms
    assert not plane._legs


class Describers:
    """Two legs of a house whose peers describe their media anyhow, one description after the other."""

    def __init__(self, house: House, chance: random.Random) -> None:
        self.answered = 0
        self._house = house
        self._plane = house.plane
        self._chance = chance
        self._grafts = Grafts(chance, chance.choice((0.05, 0.1, 0.25)))
        self._told: dict[LegId, MediaDescription] = {}

    async def run(self) -> None:
        """Come, describe and go."""
        legs = [LegId("ann"), LegId("bob")]
        for leg in legs:
            await self._plane.open(leg, ROOM, self._grafts.abilities())
        for _ in range(self._chance.randrange(3, 9)):
            with suppress(Refused):
                await self._act(self._chance.choice(legs), legs)
            self._house.step(self._chance.choice((1, 2, 10)))
            await self._plane.counters()
        for leg in legs:
            await self._plane.close(leg, Reason.NORMAL)

    async def _act(self, leg: LegId, legs: list[LegId]) -> None:
        chance, plane = self._chance, self._plane
        match chance.randrange(12):
            case 0 | 1 | 2 | 3 | 4:
                await self._answer(leg)
            case 5 | 6 | 7:
                await self._offer(leg)
            case 8:
                await plane.candidate(leg, "0", chance.choice((None, self._grafts.candidate())))
            case 9:
                await plane.move(leg, chance.choice((ROOM, OTHER)))
            case 10:
                named = tuple(LegPlan(one, one) for one in legs)
                await plane.direct(ROOM, ViewPlan(named, forward=chance.random() < 0.5, echo=chance.random() < 0.2))
            case _:
                await plane.press(leg, "5", 100, True)
                await plane.send_text(leg, "hello")
                await plane.camera(leg, CameraAction(CameraAct.START, 1))
                await plane.key_frame(leg)

    async def _answer(self, leg: LegId) -> None:
        known = self._told.get(leg)
        again = known is not None and self._chance.random() < 0.7
        remote = self._grafts.again(known) if again and known is not None else self._grafts.description()
        answer = await self._unless_refused(leg, self._plane.answer(leg, remote))
        assert [one.id for one in answer.streams] == [one.id for one in remote.streams]
        self.answered += 1
        self._told[leg] = remote

    async def _offer(self, leg: LegId) -> None:
        offer = await self._plane.offer(leg, self._grafts.wanted())
        assert len({one.id for one in offer.streams}) == len(offer.streams)
        answer = self._grafts.answer(offer)
        await self._unless_refused(leg, self._plane.accept(leg, answer))
        self.answered += 1
        self._told[leg] = answer

    async def _unless_refused(self, leg: LegId, call):  # type: ignore[no-untyped-def]
        """Wait for a call; where it is refused, everything is to be as it was."""
        before = self._state(leg)
        try:
            return await call
        except Refused:
            assert self._state(leg) == before
            raise

    def _state(self, leg: LegId) -> dict[str, object]:
        return {id: (one.chosen, one.carrier) for id, one in self._plane._legs[leg].streams.items()}


class Senders:
    """A stranger in a room who agrees on everything and sends anything; ann talks meanwhile, and bob is to hear her.

    Where the room is a gateway call there is ann alone, and the stranger's packets go on to her.
    """

    def __init__(self, house: House, chance: random.Random) -> None:
        self.heard: list[bytes] = []
        self.taken = 0
        self.gateway = chance.random() < 0.3
        self.echo = not self.gateway and chance.random() < 0.1
        self._house = house
        self._plane = house.plane
        self._chance = chance
        self._sound, self._picture = chance.choice(SOUND), chance.choice(PICTURES)
        self._absurd = chance.choice((0.02, 0.1, 0.3) if self.gateway else (0.1, 0.3, 0.7))
        self._packets: dict[str, Packets] = {}
        self._legs = [LegId("stranger"), LegId("ann"), *([] if self.gateway else [LegId("bob")])]

    async def run(self, ticks: int) -> None:
        """Come, send for some time and go."""
        for leg in self._legs:
            await self._plane.open(leg, ROOM, SMALL)
        self._house.step()
        await self._agree(self._legs[0])
        own = (self._stream("0", Kind.AUDIO, SOUND[0], KEYS), self._stream("1", Kind.VIDEO, self._picture))
        for leg in self._legs[1:]:
            await self._plane.answer(leg, MediaDescription(own if leg == "ann" else own[:1]))
        named = tuple(LegPlan(one, one, heard=one != "stranger" or self.gateway) for one in self._legs)
        presenter = self._chance.choice((self._legs[0], None))
        await self._plane.direct(ROOM, ViewPlan(named, forward=self.gateway, echo=self.echo, presenter=presenter))
        self._plane._legs[self._legs[-1]].streams["0"].carrier.send_rtp = self.heard.append  # type: ignore[method-assign]
        for number in range(ticks):
            ann = self._plane._legs[LegId("ann")].streams["0"]
            ann.on_rtp(pack(0, number, number * 160, 5, TONE), self._house.now)
            for stream in list(self._plane._legs[self._legs[0]].streams.values()):
                self._send(stream, number)
            self._house.step()
        counted = self._plane._legs[self._legs[0]].counters()
        self.taken = counted["packets_in"]

    async def close(self) -> None:
        """Go, all of them."""
        for leg in self._legs:
            await self._plane.close(leg, Reason.NORMAL)

    def loudness(self) -> float:
        """Return the level of what was heard at the end, as the root of the mean square of its samples."""
        parts = [g711.decode(Codec.PCMU, RtpPacket.parse(one).payload) for one in self.heard[-20:]]
        return float(np.sqrt(np.mean(np.concatenate(parts).astype(float) ** 2)))

    @staticmethod
    def _stream(id: str, kind: Kind, *formats: Format, role: Role = Role.MAIN) -> StreamDescription:
        return StreamDescription(id, kind, formats, formats, NOWHERE, role)

    async def _agree(self, leg: LegId) -> None:
        repeats = Format(Codec.RTX, 110, 90_000, parameters=(("apt", str(self._picture.payload_type)),))
        sound, face = (self._sound, KEYS, NOISE), (self._picture, repeats)
        if self._chance.random() < 0.3:
            offer = await self._plane.offer(leg, Wanted(text=True, camera=True, slides=True, separate=True))
            kinds = {Kind.AUDIO: sound, Kind.VIDEO: face, Kind.TEXT: TEXT}
            streams = tuple(
                StreamDescription(one.id, one.kind, formats, formats, NOWHERE, one.role, separate=True)
                for one in offer.streams
                for formats in (kinds.get(one.kind) or one.receive[:1],)
            )
            await self._plane.accept(leg, MediaDescription(streams))
            return
        streams = (
            self._stream("0", Kind.AUDIO, *sound),
            self._stream("1", Kind.VIDEO, *face),
            self._stream("2", Kind.TEXT, *TEXT),
            self._stream("3", Kind.VIDEO, PICTURES[0], role=Role.SLIDES),
        )
        await self._plane.answer(leg, MediaDescription(streams, self._chance.choice(((), ("0", "1", "2")))))

    def _send(self, stream: Stream, number: int) -> None:
        source = self._packets.setdefault(stream.id, Packets(random.Random(self._chance.random()), self._absurd))
        transport = stream.carrier._transport  # type: ignore[attr-defined]
        for packet in self._media(stream, source, number):
            transport.on_rtp(packet, self._house.now)
        if number % 5 == 0:
            transport.on_rtcp(source.rtcp(stream.session.ssrc), self._house.now)

    def _media(self, stream: Stream, source: Packets, number: int) -> list[bytes]:
        chance = self._chance
        match stream.kind:
            case Kind.AUDIO:
                count = chance.choice((1, 1, 1, 1, 0, 2, 10)) if chance.random() < self._absurd else 1
                step = self._sound.clock_rate // 50
                formats = [self._sound if chance.random() < 0.9 else chance.choice((*SOUND, KEYS, NOISE))] * count
                return [source.rtp(one.payload_type, source.sound(one.codec), False, step) for one in formats]
            case Kind.VIDEO if number % 2 == 0:
                chosen = stream.chosen
                format = self._picture if chosen is None or not chosen.receive else chosen.receive[0]
                payloads = source.picture(format.codec)
                last = len(payloads) - 1
                return [
                    source.rtp(format.payload_type, one, at == last, 3003 if at == last else 0)
                    for at, one in enumerate(payloads)
                ]
            case Kind.TEXT if number % 10 == 0:
                format = chance.choice(TEXT)
                payload = source.text(format.codec, PLAIN.payload_type)
                return [source.rtp(format.payload_type, payload, chance.random() < 0.3, 300)]
            case Kind.CAMERA if number % 5 == 0:
                return [source.rtp(100, source.camera(), True, 0)]
        return []
