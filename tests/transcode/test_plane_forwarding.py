"""Two legs of a gateway call: what one sends goes to the other as it is, while nothing else is heard or seen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import numpy as np
import pytest
from plane_peer import ANN, BOB, CYD, PCMU, ROOM, Line, Peer, events_of, h264, sing_on, until, video
from rtp_phone import loudness
from test_audio_tones import digits, quiet, tone

from gateway.reasons import Reason
from transcode.audio import g711
from transcode.events import Dtmf, KeySource, Played
from transcode.interface import MediaPlane, StreamStatistics
from transcode.media import (
    Abilities,
    Codec,
    Format,
    Kind,
    LegId,
    LegPlan,
    MediaDescription,
    Sound,
    ViewPlan,
)
from transcode.rtp import rtcp

RED, BLUE = (81, 90, 240), (41, 240, 110)
EVENT = Format(Codec.TELEPHONE_EVENT, 101, 8000)
direct = pytest.mark.parametrize("plane", ["direct"], indirect=True)


async def couple(plane: MediaPlane, *legs: LegId, forward: bool = True, muted: LegId | None = None) -> None:
    plans = tuple(LegPlan(leg, leg.title(), heard=leg != muted) for leg in legs)
    await plane.direct(ROOM, ViewPlan(plans, forward=forward))


@asynccontextmanager
async def call(plane: MediaPlane, *peers: Peer, forward: bool = True) -> AsyncIterator[None]:
    try:
        for peer in peers:
            await peer.join()
        await couple(plane, *(peer.leg for peer in peers), forward=forward)
        yield
    finally:
        for peer in peers:
            await peer.close()


async def stream(plane: MediaPlane, leg: LegId, kind: Kind = Kind.AUDIO) -> StreamStatistics:
    return next(one for one in (await plane.statistics(leg)).streams if one.kind is kind)


async def eventually(plane: MediaPlane, leg: LegId, kind: Kind, least: int) -> None:
    async with asyncio.timeout(45):
        while (await stream(plane, leg, kind)).forwarded < least:
            await asyncio.sleep(0.05)


async def at_rest(plane: MediaPlane, leg: LegId, kind: Kind) -> None:
    """Wait until nothing more is forwarded to a leg."""
    async with asyncio.timeout(45):
        before = -1
        while (now := (await stream(plane, leg, kind)).forwarded) != before:
            before = now
            await asyncio.sleep(0.5)


def payloads(line: Line, after: int = 0) -> list[bytes]:
    return [packet.payload for packet in line.packets[after:]]


async def test_sound_goes_on_as_it_came(plane: MediaPlane) -> None:
    ann, bob = Peer(plane, ANN), Peer(plane, BOB)
    async with call(plane, ann, bob):
        assert ann.audio is not None
        assert bob.audio is not None
        ann.sing(440)
        bob.sing(850)
        await eventually(plane, BOB, Kind.AUDIO, 20)
        await eventually(plane, ANN, Kind.AUDIO, 20)
        begun = len(bob.audio.packets)
        await until(lambda: len(bob.audio.packets) > begun + 40)  # type: ignore[union-attr]
        assert set(payloads(bob.audio, begun + 5)) <= _tone(440)
        assert len({packet.ssrc for packet in bob.audio.packets}) == 1
        assert loudness(ann.heard(20), 850) > -25
        samples = await plane.counters()
        assert sum(one.value for one in samples if one.name == "forwarded_packets_total") >= 40


def _tone(frequency: float) -> set[bytes]:
    """Return all payloads that a peer sends of its tone."""
    places = [np.arange(160) + 160 * number for number in range(500)]
    return {
        g711.encode(Codec.PCMU, (8000 * np.sin(2 * np.pi * frequency * at / 8000)).astype(np.int16)) for at in places
    }


@direct
async def test_numbers_tell_of_loss_and_time_as_the_source_did(plane: MediaPlane) -> None:
    ann, bob = Peer(plane, ANN), Peer(plane, BOB)
    async with call(plane, ann, bob):
        assert ann.audio is not None
        assert bob.audio is not None
        ann.sing(440)
        await eventually(plane, BOB, Kind.AUDIO, 20)
        sent = [0]

        def lose() -> bool:
            sent[0] += 1
            return sent[0] % 10 == 0

        ann.audio.lose_out = lose
        begun = len(bob.audio.packets)
        await until(lambda: len(bob.audio.packets) > begun + 60)  # type: ignore[union-attr]
        came = bob.audio.packets[begun:]
        steps = {
            ((after.sequence - one.sequence) & 0xFFFF, (after.timestamp - one.timestamp) & 0xFFFFFFFF)
            for one, after in pairwise(came)
        }
        assert steps == {(1, 160), (2, 320)}


@direct
async def test_mute_prompts_and_a_third_one_go_the_other_way_and_back(plane: MediaPlane) -> None:
    ann, bob, cyd = Peer(plane, ANN), Peer(plane, BOB), Peer(plane, CYD)
    async with events_of(plane) as told, call(plane, ann, bob):
        assert bob.audio is not None
        ann.sing(440)
        bob.sing(850)
        await eventually(plane, BOB, Kind.AUDIO, 20)
        await plane.play(BOB, (Sound("test/one"),), 3)
        await until(lambda: loudness(bob.heard(10), 1000) > -30)
        await until(lambda: Played(BOB, 3) in told)
        await eventually(plane, BOB, Kind.AUDIO, (await stream(plane, BOB)).forwarded + 20)
        await couple(plane, ANN, BOB, muted=ANN)
        await until(lambda: loudness(bob.heard(10), 440) < -50)
        await at_rest(plane, BOB, Kind.AUDIO)
        await couple(plane, ANN, BOB)
        await until(lambda: loudness(bob.heard(10), 440) > -25)
        await eventually(plane, BOB, Kind.AUDIO, (await stream(plane, BOB)).forwarded + 20)
        try:
            await cyd.join()
            await couple(plane, ANN, BOB, CYD)
            cyd.sing(1300)
            await until(lambda: loudness(bob.heard(10), 440) > -30 and loudness(bob.heard(10), 1300) > -30)
            await at_rest(plane, BOB, Kind.AUDIO)
            # One stream all along: no number twice, none left out, time never back.
            came = bob.audio.packets
            assert {(after.sequence - one.sequence) & 0xFFFF for one, after in pairwise(came)} == {1}
            assert all((after.timestamp - one.timestamp) & 0xFFFFFFFF < 16_000 for one, after in pairwise(came))
        finally:
            await cyd.close()


@direct
async def test_other_codecs_and_meetings_are_not_forwarded(plane: MediaPlane) -> None:
    ann, bob = Peer(plane, ANN), Line()
    try:
        await ann.join()
        await plane.open(BOB, ROOM, Abilities())
        answer = await plane.answer(
            BOB, MediaDescription((bob.describe("0", Kind.AUDIO, Format(Codec.PCMA, 8, 8000)),))
        )
        bob.connect(answer.streams[0].transport)
        await couple(plane, ANN, BOB)
        ann.sing(440)
        await until(lambda: len(bob.packets) > 60)
        assert (await stream(plane, BOB)).forwarded == 0
        answer = await plane.answer(BOB, MediaDescription((bob.describe("0", Kind.AUDIO, PCMU),)))
        await eventually(plane, BOB, Kind.AUDIO, 20)
        await couple(plane, ANN, BOB, forward=False)
        await at_rest(plane, BOB, Kind.AUDIO)
    finally:
        await ann.close()
        bob.close()


@direct
async def test_keys_are_told_and_pressed_and_not_forwarded(plane: MediaPlane) -> None:
    lines = {ANN: Line(), BOB: Line()}
    async with events_of(plane) as told:
        singing = []
        try:
            for leg, line in lines.items():
                await plane.open(leg, ROOM, Abilities())
                answer = await plane.answer(leg, MediaDescription((line.describe("0", Kind.AUDIO, PCMU, EVENT),)))
                line.connect(answer.streams[0].transport)
            await couple(plane, ANN, BOB)
            singing.append(asyncio.create_task(sing_on(lines[ANN], 440, 8000)))
            await eventually(plane, BOB, Kind.AUDIO, 20)
            for flags in (0x0A, 0x8A, 0x8A, 0x8A):
                lines[ANN].send(101, bytes((5, flags, 3, 32)), 777)
            await until(lambda: any(isinstance(one, Dtmf) for one in told))
            assert not [packet for packet in lines[BOB].packets if packet.payload_type == 101]
            assert await plane.press(BOB, "5", 100)
            await until(lambda: [packet for packet in lines[BOB].packets if packet.payload_type == 101])
            assert [one.digit for one in told if isinstance(one, Dtmf)] == ["5"]
        finally:
            for one in singing:
                one.cancel()
            for line in lines.values():
                line.close()


@direct
@pytest.mark.parametrize("apart", ["events", "signalling", "tones"])
async def test_keys_as_tones_go_on_as_events_where_the_other_one_has_those_and_else_as_they_are(
    plane: MediaPlane, apart: str
) -> None:
    ann, bob = Line(), Line()
    formats = (PCMU, EVENT) if apart == "events" else (PCMU,)
    async with events_of(plane) as told:
        try:
            for leg, line, offered in ((ANN, ann, (PCMU,)), (BOB, bob, formats)):
                await plane.open(leg, ROOM, Abilities())
                answer = await plane.answer(leg, MediaDescription((line.describe("0", Kind.AUDIO, *offered),)))
                line.connect(answer.streams[0].transport)
            plans = (LegPlan(ANN, "Ann"), LegPlan(BOB, "Bob", keys=apart == "signalling"))
            await plane.direct(ROOM, ViewPlan(plans, forward=True))
            sound = np.concatenate([quiet(1000), *(np.concatenate((tone(key, 100), quiet(100))) for key in "1*9")])
            sending = asyncio.create_task(_send_sound(ann, np.concatenate((sound, quiet(60_000)))))
            await eventually(plane, BOB, Kind.AUDIO, 120)
            sending.cancel()
            heard = np.concatenate([g711.decode(Codec.PCMU, packet.payload) for packet in bob.packets]) / 32768.0
            pressed = [(one.digit, one.source) for one in told if isinstance(one, Dtmf)]
            if apart == "tones":
                assert (digits(heard), pressed) == ("1*9", [])
            else:
                assert (digits(heard), pressed) == ("", [(key, KeySource.TONE) for key in "1*9"])
        finally:
            for line in (ann, bob):
                line.close()


async def _send_sound(line: Line, sound: np.ndarray) -> None:
    """Send a sound once forwarding has begun or not: in packets of 20 ms, as fast as time goes."""
    payload = g711.encode(Codec.PCMU, np.asarray(sound * 32767, np.int16))
    for number, at in enumerate(range(0, len(payload), 160)):
        line.send(0, payload[at : at + 160], at)
        await asyncio.sleep(0.02 if number % 5 else 0.021)


@direct
@pytest.mark.parametrize("forward", [False, True], ids=["mixed", "forwarded"])
@pytest.mark.parametrize("marker", [False, True], ids=["unmarked", "marked"])
async def test_events_on_a_payload_type_that_was_not_agreed_on_are_told_once_each(
    plane: MediaPlane, forward: bool, marker: bool
) -> None:
    ann, bob = Peer(plane, ANN), Peer(plane, BOB)
    async with events_of(plane) as told, call(plane, ann, bob, forward=forward):
        assert ann.audio is not None
        assert bob.audio is not None
        ann.sing(440)
        begun = len(bob.audio.packets)
        await until(lambda: len(bob.audio.packets) > begun + 20)  # type: ignore[union-attr]
        for number, key in enumerate((5, 5, 11)):
            for step in range(1, 5):
                event = bytes((key, 0x0A, *(160 * step).to_bytes(2, "big")))
                ann.audio.send(97, event, 500_000 + 4000 * number, marker and step == 1)
            for _ in range(3):
                ann.audio.send(97, bytes((key, 0x8A, 3, 32)), 500_000 + 4000 * number)
        await until(lambda: sum(isinstance(one, Dtmf) for one in told) >= 3)
        begun = len(bob.audio.packets)
        await until(lambda: len(bob.audio.packets) > begun + 20)  # type: ignore[union-attr]
        assert [(one.digit, one.source) for one in told if isinstance(one, Dtmf)] == [
            ("5", KeySource.EVENT),
            ("5", KeySource.EVENT),
            ("#", KeySource.EVENT),
        ]
        assert {packet.payload_type for packet in bob.audio.packets} == {0}


async def test_who_has_no_events_may_be_pressed_a_key_by_its_tones(plane: MediaPlane) -> None:
    ann, bob = Peer(plane, ANN), Peer(plane, BOB)
    async with call(plane, ann, bob):
        assert bob.audio is not None
        ann.sing(440)
        await eventually(plane, BOB, Kind.AUDIO, 20)
        assert not await plane.press(BOB, "4", 100)
        assert await plane.press(BOB, "4", 100, True)
        assert await plane.press(BOB, "#", 100, True)

        def heard() -> str:
            return digits(np.concatenate([g711.decode(Codec.PCMU, one) for one in payloads(bob.audio)]) / 32768.0)  # type: ignore[arg-type]

        await until(lambda: heard() == "4#")
        await eventually(plane, BOB, Kind.AUDIO, (await stream(plane, BOB)).forwarded + 20)
        assert heard() == "4#"


async def test_pictures_go_on_as_they_came_and_key_frames_are_asked_for(plane: MediaPlane) -> None:
    ann, bob = Peer(plane, ANN, h264()), Peer(plane, BOB, h264())
    async with call(plane, ann, bob):
        assert ann.video is not None
        assert bob.video is not None
        screen, other = bob.look(), ann.look()
        camera = ann.film(RED)
        bob.film(BLUE)
        await eventually(plane, BOB, Kind.VIDEO, 20)
        await eventually(plane, ANN, Kind.VIDEO, 20)
        await until(lambda: screen.shows(RED) and other.shows(BLUE))
        assert screen.size == (352, 288)
        told = await stream(plane, BOB, Kind.VIDEO)
        assert (told.codec_in, told.width_in, told.width_out) == ("H264", 352, 352)
        keys, sent = screen.keys, camera.keys_sent
        bob.video.report(rtcp.PictureLoss(bob.video.ssrc, bob.video.packets[-1].ssrc))
        await until(lambda: screen.keys > keys and camera.keys_sent > sent)
        assert screen.errors == 0


@direct
async def test_pictures_are_composed_again_when_a_third_one_comes_and_forwarded_after(plane: MediaPlane) -> None:
    ann, bob, cyd = Peer(plane, ANN, h264()), Peer(plane, BOB, h264()), Peer(plane, CYD, h264(), audio=False)
    async with call(plane, ann, bob):
        screen = bob.look()
        ann.film(RED)
        await eventually(plane, BOB, Kind.VIDEO, 20)
        try:
            await cyd.join()
            cyd.film(BLUE)
            await couple(plane, ANN, BOB, CYD)
            places = [(0.25, 0.5), (0.75, 0.5), (0.25, 0.25), (0.75, 0.25), (0.5, 0.75)]
            await until(lambda: any(screen.shows(BLUE, x=x, y=y) for x, y in places))
            await until(lambda: any(screen.shows(RED, x=x, y=y) for x, y in places))
            await at_rest(plane, BOB, Kind.VIDEO)
        finally:
            await cyd.close()
        before = (await stream(plane, BOB, Kind.VIDEO)).forwarded
        await plane.close(CYD, Reason.NORMAL)
        await couple(plane, ANN, BOB)
        await eventually(plane, BOB, Kind.VIDEO, before + 20)
        await until(lambda: screen.size == (352, 288) and screen.shows(RED))
        assert screen.errors == 0


@direct
async def test_a_picture_that_is_too_large_for_the_other_is_coded_for_it(plane: MediaPlane) -> None:
    ann, bob = Peer(plane, ANN, h264()), Peer(plane, BOB, h264(level="42e00b"))
    async with call(plane, ann, bob):
        screen = bob.look()
        ann.film(RED, 1280, 720, rate=10)
        await until(lambda: screen.shows(RED))
        assert screen.size[0] <= 352
        assert (await stream(plane, BOB, Kind.VIDEO)).forwarded == 0


@direct
async def test_packets_are_cut_for_who_takes_single_units(plane: MediaPlane) -> None:
    ann, bob = Peer(plane, ANN, video(Codec.VP8)), Peer(plane, BOB, video(Codec.VP8, number=120))
    async with call(plane, ann, bob):
        screen = bob.look()
        ann.film(RED, 640, 480)
        await eventually(plane, BOB, Kind.VIDEO, 20)
        await until(lambda: screen.shows(RED))
        assert screen.size == (640, 480)


@direct
async def test_what_the_path_carries_is_told_to_the_source(plane: MediaPlane) -> None:
    ann, bob = Peer(plane, ANN, h264()), Peer(plane, BOB, h264())
    async with call(plane, ann, bob):
        assert ann.video is not None
        assert bob.video is not None
        bob.look()
        ann.film(RED)
        await eventually(plane, BOB, Kind.VIDEO, 20)
        bob.video.report(rtcp.RateRequest(bob.video.ssrc, (rtcp.RateEntry(bob.video.packets[-1].ssrc, 300_000, 40),)))

        def limited() -> bool:
            asked = ann.video.told(rtcp.RateRequest)  # type: ignore[union-attr]
            return any(entry.bit_rate == 300_000 for one in asked for entry in one.entries)  # type: ignore[attr-defined]

        await until(limited)
