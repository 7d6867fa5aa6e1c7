"""New offers in mid call: hold, resume, pictures added and dropped, other codecs and ports."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from plane_peer import ANN, BOB, PCMU, ROOM, Camera, Line, Peer, h264, meeting, sing_on, together, until, video
from rtp_phone import loudness
from video_samples import BLUE, GREEN, RED

from gateway.reasons import Reason, Refused
from transcode.interface import MediaPlane
from transcode.media import Abilities, Codec, Format, Kind, MediaDescription, StreamDescription, Transport, Wanted

pytestmark = pytest.mark.parametrize("plane", ["direct"], indirect=True)

PCMA = Format(Codec.PCMA, 8, 8000)
VP8 = video(Codec.VP8, 100)


def only(*streams: StreamDescription) -> MediaDescription:
    return MediaDescription(streams)


def line_of(peer: Peer) -> Line:
    assert peer.audio is not None
    return peer.audio


def hears(peer: Peer, tone: float) -> bool:
    return loudness(peer.heard(10), tone) > -25


@pytest.mark.parametrize("how", ["sendonly", "inactive", "nowhere"])
async def test_hold_stops_what_is_sent_and_resume_goes_on_where_it_was(plane: MediaPlane, how: str) -> None:
    ann, bob = Peer(plane, ANN), Peer(plane, BOB)
    async with meeting(plane, ann, bob):
        ann.sing(440)
        bob.sing(850)
        await until(lambda: hears(ann, 850) and hears(bob, 440))
        line = line_of(ann)
        last = line.packets[-1]
        hold = {
            "sendonly": line.describe("0", Kind.AUDIO, PCMU, receives=False),
            "inactive": line.describe("0", Kind.AUDIO, PCMU, receives=False, sends=False),
            "nowhere": line.describe("0", Kind.AUDIO, PCMU, address="0.0.0.0"),
        }[how]
        answer = (await plane.answer(ANN, only(hold))).streams[0]
        assert not answer.refused
        assert not answer.send
        assert bool(answer.receive) is (how != "inactive")
        await asyncio.sleep(0.1)
        line.packets.clear()
        await asyncio.sleep(0.5)
        assert line.packets == []
        # Who holds with music is still heard, but for "inactive".
        await until(lambda: hears(bob, 440) is (how != "inactive"))
        answer = (await plane.answer(ANN, only(line.describe("0", Kind.AUDIO, PCMU)))).streams[0]
        assert answer.send
        assert answer.receive
        await until(lambda: len(line.packets) > 12)
        first = line.packets[0]
        assert first.ssrc == last.ssrc
        assert 0 < (first.sequence - last.sequence) & 0xFFFF < 20
        await until(lambda: hears(ann, 850) and hears(bob, 440))


async def test_a_picture_is_dropped_and_added_again(plane: MediaPlane) -> None:
    ann, bob = Peer(plane, ANN, h264()), Peer(plane, BOB, h264())
    async with meeting(plane, ann, bob):
        ann.sing(440)
        ann.film(RED)
        bob.film(GREEN)
        screen, other = ann.look(), bob.look()
        await until(lambda: screen.shows(GREEN) and other.shows(RED))
        audio, picture = ann.offer().streams
        gone = replace(picture, transport=Transport(None, 0))
        answer = await plane.answer(ANN, only(audio, gone))
        assert [stream.refused for stream in answer.streams] == [False, True]
        assert ann.video is not None
        await asyncio.sleep(0.1)
        ann.video.packets.clear()
        await until(lambda: not other.shows(RED))
        assert ann.video.packets == []
        await until(lambda: hears(bob, 440))
        await ann.renew(ann.offer())
        assert ann.camera is not None
        ann.camera.key = True
        again = ann.look()
        assert await until(lambda: other.shows(RED) and again.shows(GREEN)) < 2.0


async def test_another_stream_of_the_kind_takes_the_place_of_the_first(plane: MediaPlane) -> None:
    ann, bob = Peer(plane, ANN, h264()), Peer(plane, BOB, h264())
    async with meeting(plane, ann, bob):
        ann.sing(440)
        bob.film(GREEN)
        audio, picture = ann.offer().streams
        renamed = replace(audio, id="2"), replace(picture, id="3")
        gone = [replace(one, transport=Transport(None, 0)) for one in (audio, picture)]
        answer = await plane.answer(ANN, only(*gone, *renamed))
        assert [stream.refused for stream in answer.streams] == [True, True, False, False]
        line_of(ann).connect(answer.streams[2].transport)
        line_of(ann).packets.clear()
        screen = ann.look()
        assert ann.video is not None
        await until(lambda: hears(bob, 440) and screen.shows(GREEN) and len(line_of(ann).packets) > 10)


async def test_codecs_change_in_mid_call(plane: MediaPlane) -> None:
    ann, bob = Peer(plane, ANN, h264()), Peer(plane, BOB, h264())
    async with meeting(plane, ann, bob):
        camera = ann.film(RED)
        bob.film(GREEN)
        screen, other = ann.look(), bob.look()
        await until(lambda: screen.shows(GREEN) and other.shows(RED))
        assert ann.video is not None
        ssrc = ann.video.packets[-1].ssrc
        await ann.renew(only(line_of(ann).describe("0", Kind.AUDIO, PCMA), ann.video.describe("1", Kind.VIDEO, VP8)))
        camera.answers = False
        fresh = Camera(ann.video, VP8, BLUE)
        camera.shoot = fresh.shoot  # type: ignore[method-assign]
        screen = ann.look(VP8)
        assert await until(lambda: screen.shows(GREEN) and other.shows(BLUE)) < 2.0
        assert ann.video.packets[-1].ssrc == ssrc
        assert ann.video.packets[-1].payload_type == 100
        await until(lambda: line_of(ann).packets[-1].payload_type == 8)


async def test_the_peer_moves_to_another_port(plane: MediaPlane) -> None:
    ann, bob = Peer(plane, ANN), Peer(plane, BOB)
    async with meeting(plane, ann, bob):
        ann.sing(440)
        bob.sing(850)
        await until(lambda: hears(ann, 850))
        moved = Line()
        old, last = line_of(ann), line_of(ann).packets[-1]
        answer = await plane.answer(ANN, only(moved.describe("0", Kind.AUDIO, PCMU)))
        moved.connect(answer.streams[0].transport)
        await until(lambda: len(moved.packets) > 10)
        assert moved.packets[0].ssrc == last.ssrc
        await asyncio.sleep(0.05)
        old.remote = None
        ann.start(sing_on(moved, 1330, 8000))
        await until(lambda: hears(bob, 1330))
        old.packets.clear()
        await asyncio.sleep(0.3)
        assert old.packets == []
        moved.raw = lambda data: None  # type: ignore[method-assign]
        moved.close()


@pytest.mark.parametrize(
    "offer",
    [
        "no codec",
        "no address",
        "two of a name",
    ],
)
async def test_a_refused_offer_changes_nothing(plane: MediaPlane, offer: str) -> None:
    ann, bob = Peer(plane, ANN, h264()), Peer(plane, BOB, h264())
    async with meeting(plane, ann, bob):
        ann.sing(440)
        bob.sing(850)
        bob.film(GREEN)
        screen = ann.look()
        await until(lambda: hears(ann, 850) and hears(bob, 440) and screen.shows(GREEN))
        audio, picture = ann.offer().streams
        bad = {
            "no codec": only(replace(audio, receive=(), send=(Format(Codec.COMFORT_NOISE, 13, 8000),))),
            "no address": only(audio, replace(picture, transport=Transport("no.address", 4000))),
            "two of a name": only(audio, audio),
        }[offer]
        with pytest.raises(Refused):
            await plane.answer(ANN, bad)
        line_of(ann).packets.clear()
        frames = len(screen.frames)
        await until(lambda: len(line_of(ann).packets) > 25 and len(screen.frames) > frames)
        await until(lambda: hears(ann, 850) and hears(bob, 440))


async def test_our_own_offer_in_mid_call_keeps_numbers_ports_and_streams(plane: MediaPlane) -> None:
    ann, bob = Peer(plane, ANN, video(Codec.VP8, 97)), Peer(plane, BOB)
    async with meeting(plane, ann, bob):
        ann.sing(440)
        bob.sing(850)
        await until(lambda: hears(ann, 850))
        ours = await plane.offer(ANN, Wanted())
        assert [one.id for one in ours.streams] == ["0", "1"]
        assert [one.transport.port for one in ours.streams] == [one.transport.port for one in ann.answer.streams]
        numbers = {one.codec: one.payload_type for one in ours.streams[1].receive}
        assert numbers[Codec.VP8] == 97
        assert len(set(numbers.values())) == len(numbers)
        with pytest.raises(Refused) as refusal:
            await plane.accept(ANN, only(*(replace(one, transport=Transport(None, 0)) for one in ours.streams)))
        assert refusal.value.reason is Reason.NO_COMMON_FORMAT
        await asyncio.sleep(0.3)
        assert hears(ann, 850)
        await plane.offer(ANN, Wanted())
        await plane.accept(ANN, ann.offer())
        line_of(ann).packets.clear()
        await until(lambda: len(line_of(ann).packets) > 12)
        assert hears(ann, 850)
        assert hears(bob, 440)


async def test_an_answer_with_two_codecs_lets_the_peer_send_either(plane: MediaPlane) -> None:
    line, bob = Line(), Peer(plane, BOB, h264())
    try:
        await bob.join()
        await plane.open(ANN, ROOM, Abilities())
        await together(plane, ANN, BOB)
        offer = (await plane.offer(ANN, Wanted(audio=False))).streams[0]
        numbers = {one.codec: one for one in offer.receive if one.parameter("packetization-mode", "1") == "1"}
        taken = numbers[Codec.H264], numbers[Codec.VP8]
        await plane.accept(ANN, only(line.describe(offer.id, Kind.VIDEO, *taken)))
        line.connect(offer.transport)
        screen = bob.look()
        first = Camera(line, taken[0], RED)
        bob.start(first.run())
        await until(lambda: screen.shows(RED))
        second = Camera(line, taken[1], BLUE)
        first.shoot = second.shoot  # type: ignore[method-assign]
        assert await until(lambda: screen.shows(BLUE)) < 2.0
    finally:
        await bob.close()
        line.close()


async def test_ways_of_coming_without_a_camera_a_screen_or_sound(plane: MediaPlane) -> None:
    ann, bob, deaf = Peer(plane, ANN, h264()), Peer(plane, BOB, h264(), audio=False), Peer(plane, type(ANN)("cyd"))
    async with meeting(plane, ann, bob, deaf):
        ann.film(RED)
        ann.sing(440)
        screen = bob.look()
        await until(lambda: screen.shows(RED) and hears(deaf, 440))
        assert bob.video is not None
        await plane.answer(BOB, only(bob.video.describe("1", Kind.VIDEO, h264(), sends=False)))
        count = len(screen.frames)
        await until(lambda: len(screen.frames) > count + 3)
        assert ann.video is not None
        answer = await plane.answer(ANN, ann.offer(receives=False))
        assert not answer.streams[1].send
        await asyncio.sleep(0.1)
        ann.video.packets.clear()
        await asyncio.sleep(0.3)
        assert ann.video.packets == []
        assert screen.shows(RED)
