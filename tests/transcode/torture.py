"""Two rooms of the media plane in virtual time, under all that machines and networks do to sound.

Streams are the plane's own (`AudioStream`), on carriers that lead to telephones of ours. Packets are late, lost,
doubled, out of order and held back for half a second, the plane's ticks are missed and made up for, and the rooms'
plans change meanwhile. All chance comes from one seed, so that the same run can be made with other sound.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from sound_files import library

from transcode.audio import codecs
from transcode.audio.player import Voice
from transcode.audio.station import Stations
from transcode.conference import Conference
from transcode.media import (
    Abilities,
    Codec,
    Format,
    Kind,
    LegId,
    LegPlan,
    Role,
    RoomId,
    Sound,
    StreamDescription,
    Transport,
    ViewPlan,
)
from transcode.negotiate import Chosen
from transcode.plane import MAX_BEHIND, TICK
from transcode.rtp.packet import RtpPacket, pack
from transcode.settings import AudioSettings
from transcode.stream import Owner
from transcode.stream_audio import AudioStream
from transcode.video.pool import WorkerPool

PCMU = Format(Codec.PCMU, 0, 8000)
PCMA = Format(Codec.PCMA, 8, 8000)
G722 = Format(Codec.G722, 9, 8000)
OPUS = Format(Codec.OPUS, 111, 48000, 2, (("useinbandfec", "1"),))
COMFORT_NOISE = Format(Codec.COMFORT_NOISE, 13, 8000)
BEGIN = 1000.0


def chosen(format: Format, packet_time: int, sends: bool = True) -> Chosen:
    """Return what is agreed on with a telephone that takes one format, beside G.711 and comfort noise."""
    receive = (format, *(one for one in (PCMU, COMFORT_NOISE) if one.payload_type != format.payload_type))
    transport = Transport("127.0.0.1", 4000)
    stream = StreamDescription("0", Kind.AUDIO, receive, receive, transport, packet_time=packet_time)
    return Chosen(stream, receive, format if sends else None)


@dataclass(slots=True)
class Telephone:
    """A telephone and its stream: what it says in each 20 ms, and what came to it.

    sign turns the wave of what it says upside down, which nobody can tell by its level. heard are received packets:
    when, with which payload type, and what they hold.
    """

    id: LegId
    frequency: float
    format: Format
    packet_time: int
    sign: int
    chance: random.Random
    stream: AudioStream | None = None
    amplitude: int = 0
    until: float = 0.0
    silent: bool = False
    number: int = 0
    sequence: int = 65_000
    held_until: float = 0.0
    way: deque[tuple[float, bytes]] = field(default_factory=deque)
    heard: list[tuple[float, int, bytes]] = field(default_factory=list)
    _encoder: codecs.Encoder | None = None

    @property
    def speaks(self) -> Format:
        """What it sends: always G.711, for other codecs do not make the same upside down."""
        return PCMA if self.format is PCMA else PCMU

    def say(self, now: float) -> None:
        """Say 20 ms, and put the packet on its way."""
        chance, rate = self.chance, codecs.SAMPLE_RATES[self.speaks.codec]
        if now >= self.until:
            self.amplitude = chance.choice((0, 0, 0, 300, 3000, 8000, 20_000))
            self.silent = not self.amplitude and chance.random() < 0.6
            self.until = now + chance.choice((0.04, 0.1, 0.3, 0.7, 1.5))
        if self._encoder is None:
            self._encoder = codecs.make_encoder(self.speaks)
        count = rate // 50
        at = (np.arange(count) + self.number * count) / rate
        wave = np.sin(2 * np.pi * self.frequency * at)
        payload = self._encoder.encode((self.sign * np.rint(self.amplitude * wave)).astype(np.int16))
        stamp, kind = self.number * 160, self.speaks.payload_type
        self.number += 1
        if self.silent:
            if chance.random() < 0.9:
                return
            kind, payload = COMFORT_NOISE.payload_type, b"\x41"
        self.sequence = (self.sequence + 1) & 0xFFFF
        packet = pack(kind, self.sequence, stamp, 7, payload, chance.random() < 0.02)
        self._send(now, packet)

    def _send(self, now: float, packet: bytes) -> None:
        chance, event = self.chance, self.chance.random()
        if event < 0.03:
            return
        if event < 0.04:
            self.held_until = now + chance.uniform(0.3, 0.5)
        delay = chance.uniform(0.001, 0.015) + (chance.uniform(0.02, 0.2) if event > 0.95 else 0.0)
        arrival = max(now + delay, self.held_until + chance.uniform(0, 0.004))
        self.way.append((arrival, packet))
        if event > 0.98:
            self.way.append((arrival + chance.uniform(0, 0.1), packet))

    def arrived(self, now: float) -> list[bytes]:
        """Take off its way what has come by now."""
        come = sorted((one for one in self.way if one[0] <= now), key=lambda one: one[0])
        self.way = deque(one for one in self.way if one[0] > now)
        return [packet for _, packet in come]


class _Carrier:
    """A carrier to one telephone: only what a stream asks of it."""

    encrypted = ""
    ready = True

    def __init__(self, hear: Callable[[bytes], None]) -> None:
        self.send_rtp = hear

    def attach(self, stream: AudioStream) -> None:
        pass

    def detach(self, stream: AudioStream) -> None:
        pass


class Weather:
    """Two rooms with telephones that come, go and change. `run` passes time; then look at what telephones heard.

    forwarded counts, behind `close`, the packets that went on as they came.
    """

    def __init__(
        self,
        seed: int,
        formats: Sequence[Format],
        upside_down: int | None,
        sounds: Path,
        packet_times: Sequence[int] = (20, 20, 30, 60),
    ) -> None:
        self._packet_times = packet_times
        self.now = BEGIN
        self.forwarded = 0
        self._chance = random.Random(seed)
        self._pool = WorkerPool(None, 0, lambda: self.now)
        self._library = library(sounds)
        self._stations = Stations(self._library)
        self._rooms = [self._room(name) for name in ("one", "two")]
        self.telephones = [
            Telephone(
                LegId(f"leg{index}"),
                450 + 370 * index,
                format,
                self._chance.choice(packet_times) if format is not OPUS else 20,
                -1 if index == upside_down else 1,
                random.Random(1000 * seed + index),
            )
            for index, format in enumerate(formats)
        ]
        self._voices = {one.id: Voice(self._library) for one in self.telephones}
        self._place = {one.id: 0 for one in self.telephones}
        self._due = self.now + TICK
        for one in self.telephones:
            self._open(one)
        self._direct()

    def _room(self, name: str) -> Conference:
        room = Conference(RoomId(name), self._pool, lambda event: None, self._library, AudioSettings(), self._stations)
        room.clock = lambda: self.now
        return room

    def _open(self, one: Telephone) -> None:
        def fail(fault: Exception) -> None:
            raise fault

        def hear(data: bytes) -> None:
            packet = RtpPacket.parse(data)
            one.heard.append((self.now, packet.payload_type, packet.payload))

        room = self._rooms[self._place[one.id]]
        room.enter(one.id, Abilities())
        seeded = random.Random(int(one.frequency))
        owner = Owner(one.id, room, seeded, "cname", lambda event: None, fail, self._voices[one.id])
        one.stream = AudioStream(owner, "0", _Carrier(hear), False, Role.MAIN)  # type: ignore[arg-type]
        one.stream.configure(chosen(one.format, one.packet_time), 64_000)

    def _close(self, one: Telephone) -> None:
        if one.stream is not None:
            self.forwarded += one.stream.counters()["forwarded_audio"]
            one.stream.close()
            self._rooms[self._place[one.id]].leave(one.id)
            one.stream = None

    # -- what rooms and calls do

    def _direct(self) -> None:
        chance = self._chance
        for index, room in enumerate(self._rooms):
            there = [one for one in self.telephones if self._place[one.id] == index and one.stream is not None]
            legs = tuple(
                LegPlan(one.id, one.id, heard=chance.random() < 0.85, listens=chance.random() < 0.9) for one in there
            )
            if len(legs) == 2 and chance.random() < 0.7:
                legs = tuple(replace(one, heard=True, listens=True) for one in legs)
            background = chance.choice(((), (), (), (), (), (), (Sound("test/three"),), (Sound("music/steady"),)))
            room.direct(ViewPlan(legs, background=background, forward=len(legs) == 2))

    def _happen(self) -> None:
        """Let something happen to somebody."""
        chance = self._chance
        one = chance.choice(self.telephones)
        kind = chance.randrange(10)
        if one.stream is None:
            self._open(one)
            self._direct()
        elif kind < 3:
            self._direct()
        elif kind < 5:
            there = self._place[one.id]
            self._rooms[1 - there].enter(one.id, Abilities())
            one.stream.move(self._rooms[1 - there])
            self._rooms[there].leave(one.id)
            self._place[one.id] = 1 - there
            if chance.random() < 0.8:  # else the plan comes late
                self._direct()
        elif kind == 5:
            one.packet_time = chance.choice(self._packet_times) if one.format is not OPUS else 20
            one.stream.configure(chosen(one.format, one.packet_time), 64_000)
        elif kind == 6:
            one.stream.configure(chosen(one.format, one.packet_time, sends=chance.random() < 0.5), 64_000)
        elif kind == 7:
            self._voices[one.id].play((Sound("test/two"),), 1)
            self._rooms[self._place[one.id]].mixer.play(one.id)
        elif kind == 8:
            self._rooms[self._place[one.id]].announce((Sound("tones/short"),))
        else:
            self._close(one)
            if chance.random() < 0.7:
                self._open(one)
            self._direct()

    # -- time

    def run(self, seconds: float) -> None:
        """Pass time in steps of 20 ms on the telephones' clocks; the plane's stands still now and then."""
        chance = self._chance
        wakes = self.now
        for _ in range(round(seconds * 50)):
            for one in self.telephones:
                one.say(self.now)
            self.now += TICK
            if chance.random() < 0.01:
                wakes = self.now + chance.uniform(0.03, 0.5)
            if self.now < wakes:
                continue
            if chance.random() < 0.04:
                self._happen()
            early = [one for one in self.telephones if chance.random() < 0.5]
            self._bring(early)
            self._tick()
            self._bring(self.telephones)

    def _bring(self, telephones: list[Telephone]) -> None:
        for one in telephones:
            for packet in one.arrived(self.now):
                if one.stream is not None:
                    one.stream.on_rtp(packet, self.now)

    def _tick(self) -> None:
        """Do as the plane does: make up for some of the ticks that were missed, all at once."""
        behind = 0
        while self._due <= self.now and behind < MAX_BEHIND:
            self._due += TICK
            behind += 1
            self._stations.advance()
            for room in self._rooms:
                room.tick(self.now)
        if self._due <= self.now:
            self._due = self.now + TICK

    def close(self) -> None:
        """End it."""
        for one in self.telephones:
            self._close(one)
        for room in self._rooms:
            room.close()
        self._pool.close()
