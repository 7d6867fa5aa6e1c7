"""Packets of several streams on one transport: how they name their stream, and how they find it."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plane_peer import ANN, Line, h264, together, until

from transcode.carrier import MAX_SENDERS, Riders
from transcode.media import (
    Abilities,
    Codec,
    Format,
    Kind,
    MediaDescription,
    Mid,
    Role,
    RoomId,
    StreamDescription,
    Transport,
)
from transcode.negotiate import Chosen
from transcode.plane import Plane
from transcode.rtp import rtcp
from transcode.rtp.history import wrap
from transcode.rtp.mid import fits, header_extension, read_name
from transcode.rtp.packet import RtpPacket, pack
from transcode.rtp.session import RtpSession
from transcode.rtp.transport import PacketTransport
from transcode.settings import PlaneSettings
from transcode.stream import Stream

SOUND, FACE, SLIDES = Mid("a", 3), Mid("face", 3), Mid("sl", 3)
ROOM = RoomId("100")


def packet(extension: tuple[int, bytes] | None = None, ssrc: int = 7, number: int = 96) -> bytes:
    return RtpPacket(number, 1, 2, ssrc, b"payload", extension=extension).pack()


# on the wire


def test_a_name_is_written_as_one_element() -> None:
    # be de: one-byte form; 0001: one word; 3 | 3 - 1: id 3, three octets
    assert header_extension(Mid("abc", 3)) == bytes.fromhex("bede 0001 32 616263")
    # two words: the name's five octets, two of padding
    assert header_extension(Mid("video", 14)) == bytes.fromhex("bede 0002 e4 766964656f 0000")


@pytest.mark.parametrize(
    ("profile", "content", "name"),
    [
        (0xBEDE, "32 616263", "abc"),
        (0xBEDE, "10 ff 00 00 32 616263", "abc"),  # another element and padding before it
        (0xBEDE, "10 ff 00 00", None),
        (0xBEDE, "f0 ff 30 61", None),  # id 15 ends the reading
        (0xBEDE, "3f 616263", None),  # longer than what is there
        (0x1000, "03 03 616263 00", "abc"),  # the two-byte form
        (0x100F, "01 00 03 01 61", "a"),
        (0x1000, "03 00", None),  # of no length
        (0x1000, "03 09 61", None),
        (0x1010, "03 01 61", None),
        (0xABAC, "32 616263", None),
    ],
)
def test_a_name_is_found_among_other_elements(profile: int, content: str, name: str | None) -> None:
    assert read_name(packet((profile, bytes.fromhex(content))), 3) == name


def test_a_packet_without_extension_or_cut_short_names_nothing() -> None:
    whole = packet((0xBEDE, bytes.fromhex("32616263")))
    assert read_name(packet(), 3) is None
    for length in range(12, len(whole) - len(b"payload")):
        assert read_name(whole[:length], 3) is None


@given(st.binary(min_size=1, max_size=60), st.integers(1, 14))
def test_no_octets_raise_anything(data: bytes, extension: int) -> None:
    found = read_name(data, extension)
    assert found is None or isinstance(found, str)


@given(st.text(min_size=1, max_size=16), st.integers(1, 14))
def test_what_fits_is_read_as_it_was_written(name: str, extension: int) -> None:
    mid = Mid(name.encode("utf-8", "replace").decode(), extension)
    if fits(mid):
        whole = header_extension(mid)
        read = RtpPacket.parse(b"\x90" + bytes(11) + whole + b"x")
        assert read.payload == b"x"
        assert read_name(b"\x90" + bytes(11) + whole, extension) == mid.name


def test_a_name_too_long_for_the_short_form_does_not_fit() -> None:
    assert [fits(Mid("n" * size, 1)) for size in (0, 1, 16, 17)] == [False, True, True, False]
    assert [fits(Mid("n", id)) for id in (0, 1, 14, 15)] == [False, True, True, False]


# what we send


def test_packets_name_their_stream_until_the_peer_has_reported_on_them() -> None:
    session = RtpSession(Kind.VIDEO, 9, "us", 90_000, 1, feedback=("nack",), shared=True)
    session.name_stream(FACE)
    first = session.pack(96, b"one", 0, now=1.0)
    assert read_name(first, 3) == "face"
    assert RtpPacket.parse(first).payload == b"one"
    session.receive_rtcp(rtcp.pack([rtcp.ReceiverReport(5, (rtcp.ReportBlock(8, 0, 0, 0, 0, 0, 0),))]), 1.1)
    assert read_name(session.pack(96, b"two", 0, now=1.2), 3) == "face"  # it was about somebody else
    session.receive_rtcp(rtcp.pack([rtcp.ReceiverReport(5, (rtcp.ReportBlock(9, 0, 0, 0, 0, 0, 0),))]), 1.3)
    session.name_stream(FACE)
    third = session.pack(96, b"three", 0, now=1.4)
    assert third[0] == 0x80
    assert RtpPacket.parse(third).payload == b"three"
    session.name_stream(SLIDES)
    assert read_name(session.pack(96, b"four", 0, now=1.5), 3) == "sl"


def test_a_packet_that_is_sent_again_keeps_its_name() -> None:
    sent = RtpPacket(96, 500, 2, 7, b"picture", True, extension=(0xBEDE, bytes.fromhex("32616263"))).pack()
    again = RtpPacket.parse(wrap(sent, 97, 20, 8))
    assert (again.payload_type, again.sequence, again.ssrc, again.marker) == (97, 20, 8, True)
    assert again.payload == (500).to_bytes(2, "big") + b"picture"
    assert read_name(wrap(sent, 97, 20, 8), 3) == "abc"
    plain = RtpPacket.parse(wrap(pack(96, 501, 2, 7, b"picture"), 97, 21, 8))
    assert plain.payload == (501).to_bytes(2, "big") + b"picture"


# what comes


class Taker:
    """A stream that notes what is brought to it."""

    def __init__(self, *numbers: int, mid: Mid | None = None, ssrcs: tuple[int, ...] = ()) -> None:
        formats = tuple(Format(Codec.VP8, number, 90_000) for number in numbers)
        described = StreamDescription("x", Kind.VIDEO, formats, formats, Transport(None, 9), ssrcs=ssrcs, mid=mid)
        self.chosen = Chosen(described, formats, None)
        self.got: list[int] = []

    def on_rtp(self, data: bytes, arrival: float) -> None:
        self.got.append(int.from_bytes(data[8:12], "big"))


class Wire:
    """A transport of which only the receiving side counts."""

    def send_rtp(self, data: bytes) -> None: ...

    send_rtcp = send_rtp


def riders(*takers: Taker) -> Wire:
    wire = Wire()
    carrier = Riders(cast(PacketTransport, wire))
    for taker in takers:
        carrier.attach(cast(Stream, taker))
    return wire


def bring(wire: Wire, data: bytes) -> None:
    wire.on_rtp(data, 1.0)  # type: ignore[attr-defined]


def named(mid: Mid, ssrc: int, number: int = 96) -> bytes:
    return RtpPacket.parse(
        b"\x90" + bytes([number]) + bytes(6) + ssrc.to_bytes(4, "big") + header_extension(mid)
    ).pack()


def test_a_name_goes_before_all_else_and_is_remembered_by_its_sender() -> None:
    face, slides = Taker(96, mid=FACE, ssrcs=(1,)), Taker(96, mid=SLIDES, ssrcs=(2,))
    wire = riders(face, slides)
    bring(wire, named(SLIDES, 1))  # announced for the other one
    bring(wire, packet(ssrc=1))
    assert (face.got, slides.got) == ([], [1, 1])
    bring(wire, named(FACE, 1))  # the sender moved
    bring(wire, packet(ssrc=1))
    assert (face.got, slides.got) == ([1, 1], [1, 1])


def test_an_unknown_name_is_nobodys() -> None:
    face, slides = Taker(96, mid=FACE), Taker(97, mid=SLIDES)
    wire = riders(face, slides)
    bring(wire, named(Mid("else", 3), 5))
    assert face.got == slides.got == []
    bring(wire, named(Mid("else", 4), 5))  # another extension, which says nothing
    assert face.got == [5]


def test_without_a_name_the_announced_sender_and_then_the_payload_type_tells() -> None:
    face, slides, sound = Taker(96, 97), Taker(96, 98, ssrcs=(2,)), Taker(0)
    wire = riders(face, slides, sound)
    bring(wire, packet(ssrc=2))
    bring(wire, packet(ssrc=3))  # either could have it: the first one
    bring(wire, packet(ssrc=4, number=98))
    bring(wire, packet(ssrc=2, number=97))  # the announcement cannot be right
    bring(wire, packet(ssrc=5, number=0))
    bring(wire, packet(ssrc=6, number=77))
    assert (face.got, slides.got, sound.got) == ([3, 2], [2, 4], [5])


def test_senders_that_are_remembered_are_bounded_and_go_with_their_stream() -> None:
    face, slides = Taker(96, mid=FACE), Taker(96, mid=SLIDES)
    wire = Wire()
    carrier = Riders(cast(PacketTransport, wire))
    for taker in (face, slides, Taker(0, mid=SOUND)):
        carrier.attach(cast(Stream, taker))
    for ssrc in range(MAX_SENDERS + 10):
        bring(wire, named(SLIDES, ssrc))
    assert len(carrier._senders) == MAX_SENDERS
    carrier.detach(cast(Stream, slides))
    assert not carrier._senders
    bring(wire, packet(ssrc=1))
    assert face.got == [1]


# the whole plane


async def test_two_pictures_of_one_payload_type_in_a_bundle_are_told_apart() -> None:
    plane = Plane(PlaneSettings(address="127.0.0.1", low=41800, high=41899))
    await plane.start()
    line = Line()
    try:
        await plane.open(ANN, ROOM, Abilities())
        shown, way = h264(number=96), line.describe("", Kind.VIDEO).transport
        streams = tuple(
            StreamDescription(mid.name, Kind.VIDEO, (shown,), (shown,), way, role, mid=mid)
            for mid, role in ((FACE, Role.MAIN), (SLIDES, Role.SLIDES))
        )
        answer = await plane.answer(ANN, MediaDescription(streams, ("face", "sl")))
        assert [one.mid for one in answer.streams] == [FACE, SLIDES]
        assert answer.bundle == ("face", "sl")
        line.connect(answer.streams[0].transport)
        for number in range(20):
            for ssrc, mid in ((70, SLIDES), (71, FACE)):
                naming = header_extension(mid) if number < 3 else b""
                head = bytes([0x90 if naming else 0x80, 96]) + number.to_bytes(2, "big") + bytes(4)
                line.raw(head + ssrc.to_bytes(4, "big") + naming + b"\x41\x9a")

        async with asyncio.timeout(45):
            while [one.packets_in for one in (await plane.statistics(ANN)).streams] != [20, 20]:
                await asyncio.sleep(0.05)
        await together(plane, ANN)
        await until(lambda: any(read_name(one.pack(), 3) == "face" for one in line.packets))
    finally:
        line.close()
        await plane.stop()


async def test_a_bundle_whose_last_line_is_not_taken_goes_by_what_the_first_one_asks_for() -> None:
    plane = Plane(PlaneSettings(address="127.0.0.1", low=41000, high=41399))
    await plane.start()
    await plane.open(ANN, ROOM, Abilities(video=()))
    there = Transport("127.0.0.1", 40_004, rtcp_mux=True)
    pcmu = (Format(Codec.PCMU, 0, 8000),)
    vp8 = (Format(Codec.VP8, 100, 90_000),)
    sound = StreamDescription("a", Kind.AUDIO, pcmu, pcmu, there)
    face = StreamDescription("face", Kind.VIDEO, vp8, vp8, there)
    answer = await plane.answer(ANN, MediaDescription((sound, face), ("a", "face")))
    assert [stream.refused for stream in answer.streams] == [False, True]
    assert answer.bundle == ("a",)
    await plane.stop()
