"""Real-time text over every form of the plane: lines come as events, lines go out as packets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from plane_peer import Line, events_of, until
from text_peer import TextTelephone

from gateway.reasons import Reason, Refused
from transcode.events import MediaEvent, Text
from transcode.interface import MediaPlane
from transcode.media import (
    Abilities,
    Codec,
    Format,
    Kind,
    LegId,
    MediaDescription,
    RoomId,
    Wanted,
)
from transcode.payload.t140_lines import PAUSE

ROOM = RoomId("100")
ANN = LegId("ann")
T140 = Format(Codec.T140, 98, 1000)
RED = Format(Codec.RED, 100, 1000, parameters=(("98/98/98", ""),))
PCMU = Format(Codec.PCMU, 0, 8000)


_OPEN: list[Line] = []


@pytest.fixture(autouse=True)
async def sockets_are_closed() -> AsyncIterator[None]:
    yield
    while _OPEN:
        _OPEN.pop().close()


def a_line() -> Line:
    _OPEN.append(Line())
    return _OPEN[-1]


class Telephone:
    """A line of text on a real socket."""

    def __init__(self, *formats: Format) -> None:
        self.line = a_line()
        self.formats = formats
        red = next((one.payload_type for one in formats if one.codec is Codec.RED), None)
        self.text = TextTelephone(T140.payload_type, red)
        self.line.on_rtp = lambda packet: self.text.take(packet.payload_type, packet.payload)
        self._at = 0

    async def join(self, plane: MediaPlane, leg: LegId) -> MediaDescription:
        await plane.open(leg, ROOM, Abilities())
        answer = await plane.answer(leg, self.offer())
        self.line.connect(answer.streams[0].transport)
        return answer

    def offer(self, **more: bool) -> MediaDescription:
        return MediaDescription((self.line.describe("t", Kind.TEXT, *self.formats, **more),))

    async def write(self, *blocks: str) -> None:
        for number, block in enumerate(blocks):
            self._at += 300
            self.line.send(*self.text.block(block, self._at), self._at, marker=number == 0)
            await asyncio.sleep(0.02)


def lines(told: list[MediaEvent], leg: LegId = ANN) -> list[str]:
    return [event.text for event in told if isinstance(event, Text) and event.leg == leg]


@pytest.mark.parametrize("formats", [(RED, T140), (T140,)])
async def test_lines_come_in_and_go_out(plane: MediaPlane, formats: tuple[Format, ...]) -> None:
    telephone = Telephone(*formats)
    answer = await telephone.join(plane, ANN)
    assert [one.codec for one in answer.streams[0].receive] == [one.codec for one in formats]
    async with events_of(plane) as told:
        await telephone.write("He", "lo", "\b", "lo\r\n", "Grüße\u2028")
        await until(lambda: lines(told) == ["Hello", "Grüße"])
        assert await plane.send_text(ANN, "Bob: Hi\nyou")
        await until(lambda: telephone.text.read.replace("\ufeff", "") == "Bob: Hi\u2028you\u2028")


async def test_a_lost_packet_is_no_lost_text(plane: MediaPlane) -> None:
    telephone = Telephone(RED, T140)
    await telephone.join(plane, ANN)
    async with events_of(plane) as told:
        await telephone.write("a")
        telephone.line.lose_out = lambda: True
        await telephone.write("b", "c")
        telephone.line.lose_out = lambda: False
        await telephone.write("d\n")
        await until(lambda: lines(told) == ["abcd"])


async def test_who_pauses_has_said_something(plane: MediaPlane) -> None:
    telephone = Telephone(RED, T140)
    await telephone.join(plane, ANN)
    async with events_of(plane) as told:
        began = time.monotonic()
        await telephone.write("Hel", "lo")
        await until(lambda: lines(told) == ["Hello"])
        assert time.monotonic() - began > PAUSE / 2


async def test_what_stands_in_the_line_when_the_call_ends_is_told(plane: MediaPlane) -> None:
    telephone = Telephone(RED, T140)
    await telephone.join(plane, ANN)
    async with events_of(plane) as told:
        await telephone.write("Bye", "")
        async with asyncio.timeout(45):
            while (await plane.statistics(ANN)).streams[0].packets_in < 2:
                await asyncio.sleep(0.02)
        await plane.close(ANN, Reason.NORMAL)
        await until(lambda: lines(told) == ["Bye"])


async def test_text_is_sent_where_there_is_a_stream_for_it_only(plane: MediaPlane) -> None:
    await plane.open(ANN, ROOM, Abilities())
    assert not await plane.send_text(ANN, "x")
    sound = a_line()
    await plane.answer(ANN, MediaDescription((sound.describe("0", Kind.AUDIO, PCMU),)))
    assert not await plane.send_text(ANN, "x")
    with pytest.raises(Refused):
        await plane.send_text(LegId("nobody"), "x")


async def test_text_on_hold_is_not_sent(plane: MediaPlane) -> None:
    telephone = Telephone(RED, T140)
    await telephone.join(plane, ANN)
    await plane.answer(ANN, telephone.offer(receives=False))
    assert not await plane.send_text(ANN, "x")
    await plane.answer(ANN, telephone.offer())
    assert await plane.send_text(ANN, "x")
    await until(lambda: telephone.text.read.endswith("x\u2028"))


async def test_where_text_is_turned_off_its_stream_is_refused(plane: MediaPlane) -> None:
    await plane.open(ANN, ROOM, Abilities(text=False))
    telephone, sound = Telephone(RED, T140), a_line()
    offer = MediaDescription((*telephone.offer().streams, sound.describe("0", Kind.AUDIO, PCMU)))
    answer = await plane.answer(ANN, offer)
    assert [stream.refused for stream in answer.streams] == [True, False]


async def test_redundancy_of_something_else_is_not_taken(plane: MediaPlane) -> None:
    telephone = Telephone(Format(Codec.RED, 100, 1000, parameters=(("98/97", ""),)), T140)
    answer = await telephone.join(plane, ANN)
    assert [one.codec for one in answer.streams[0].receive] == [Codec.T140]


async def test_we_offer_text_where_it_is_wanted_and_keep_what_is_there(plane: MediaPlane) -> None:
    await plane.open(ANN, ROOM, Abilities())
    plain = await plane.offer(ANN, Wanted())
    assert [stream.kind for stream in plain.streams] == [Kind.AUDIO, Kind.VIDEO]
    offer = await plane.offer(ANN, Wanted(video=False, text=True))
    text = offer.streams[1]
    assert (text.kind, [one.codec for one in text.receive]) == (Kind.TEXT, [Codec.RED, Codec.T140])
    telephone, sound = Telephone(RED, T140), a_line()
    line = telephone.line.describe(text.id, Kind.TEXT, RED, T140)
    await plane.accept(ANN, MediaDescription((sound.describe(offer.streams[0].id, Kind.AUDIO, PCMU), line)))
    telephone.line.connect(text.transport)
    assert await plane.send_text(ANN, "Hi")
    await until(lambda: telephone.text.read.endswith("Hi\u2028"))
    # The payload types that we offered are those on which we receive.
    telephone.text.t140, telephone.text.red = text.receive[1].payload_type, text.receive[0].payload_type
    async with events_of(plane) as told:
        await telephone.write("Hello\n")
        await until(lambda: lines(told) == ["Hello"])
    again = await plane.offer(ANN, Wanted(video=False))
    assert [(stream.kind, stream.id) for stream in again.streams] == [
        (Kind.AUDIO, offer.streams[0].id),
        (Kind.TEXT, text.id),
    ]


async def test_rubbish_is_counted_and_text_goes_on(plane: MediaPlane) -> None:
    telephone = Telephone(RED, T140)
    await telephone.join(plane, ANN)
    async with events_of(plane) as told:
        telephone.line.send(100, b"\xe2\x00", 0)
        telephone.line.send(100, b"", 0)
        await telephone.write("Still\n")
        await until(lambda: lines(told) == ["Still"])
    counted = {sample.labels: sample.value for sample in await plane.counters() if sample.name == "bad_input_total"}
    assert counted[(("what", "malformed_payloads"), ("where", "media"))] == 2
