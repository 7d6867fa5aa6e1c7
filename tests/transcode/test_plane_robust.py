"""Ends, races, crowds and faults: nothing is left over, and one leg's trouble is nobody else's."""

from __future__ import annotations

import asyncio
import gc
import threading
from dataclasses import replace

import pytest
from plane_peer import ANN, BOB, PCMU, ROOM, Line, Peer, events_of, h264, meeting, together, until
from rtp_phone import loudness
from video_samples import GREEN, RED

from gateway.reasons import Reason, Refused
from transcode.events import Failed
from transcode.media import (
    Abilities,
    Candidate,
    Dtls,
    Fingerprint,
    Ice,
    Kind,
    LegId,
    MediaDescription,
    RoomId,
    Setup,
    StreamDescription,
    Transport,
    Wanted,
)
from transcode.plane import Plane
from transcode.rtp import rtcp
from transcode.settings import PlaneSettings

SETTINGS = PlaneSettings(address="127.0.0.1", low=41500, high=41999)
BROWSER = Abilities(ice=True)


def ice_offer(user: str = "abcd") -> MediaDescription:
    ice = Ice(user, "p" * 24, (Candidate("1", 1, "udp", 2130706431, "127.0.0.1", 9, "host"),))
    dtls = Dtls(Setup.ACTPASS, (Fingerprint("sha-256", ":".join(["AB"] * 32)),))
    way = Transport(None, 9, rtcp_mux=True, dtls=dtls, ice=ice)
    audio = StreamDescription("0", Kind.AUDIO, (PCMU,), (PCMU,), way)
    picture = StreamDescription("1", Kind.VIDEO, (h264(),), (h264(),), way)
    return MediaDescription((audio, picture), ("0", "1"))


def ports_in_use(plane: Plane) -> int:
    return plane._carriers._pool.in_use


async def test_a_plane_that_stops_leaves_no_task_thread_or_socket() -> None:
    tasks, threads = asyncio.all_tasks(), threading.active_count()
    plane = Plane(SETTINGS)
    await plane.start()
    line = Line()
    await plane.open(ANN, ROOM, Abilities())
    await plane.answer(ANN, MediaDescription((line.describe("0", Kind.AUDIO, PCMU),)))
    await plane.open(BOB, ROOM, BROWSER)
    await plane.answer(BOB, ice_offer())
    await plane.open(LegId("cyd"), RoomId("200"), Abilities())
    await plane.offer(LegId("cyd"), Wanted())
    await plane.stop()
    line.close()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == tasks
    assert threading.active_count() == threads
    assert ports_in_use(plane) == 0
    gc.collect()  # an unclosed socket would warn here, and warnings are errors


async def test_a_leg_closed_while_it_is_answered_leaves_nothing() -> None:
    plane = Plane(SETTINGS)
    await plane.start()
    try:
        for rounds in range(10):
            await plane.open(ANN, ROOM, BROWSER)
            answering = asyncio.create_task(plane.answer(ANN, ice_offer()))
            for _ in range(rounds):
                await asyncio.sleep(0)
            await plane.close(ANN, Reason.NORMAL)
            (outcome,) = await asyncio.gather(answering, return_exceptions=True)
            assert isinstance(outcome, MediaDescription) or getattr(outcome, "reason", None) is Reason.CANCELLED
            with pytest.raises(Refused):
                await plane.answer(ANN, ice_offer())
        for _ in range(100):
            if not plane._ending:
                break
            await asyncio.sleep(0.02)
        assert not plane._ending
        assert not plane._rooms
    finally:
        await plane.stop()
    assert ports_in_use(plane) == 0


async def test_offers_answers_and_candidates_that_race_end_in_one_state() -> None:
    plane, line = Plane(SETTINGS), Line()
    await plane.start()
    try:
        await plane.open(ANN, ROOM, Abilities())
        theirs = MediaDescription((line.describe("0", Kind.AUDIO, PCMU),))
        outcomes = await asyncio.gather(
            plane.offer(ANN, Wanted(video=False)),
            plane.answer(ANN, theirs),
            plane.accept(ANN, theirs),
            plane.candidate(ANN, "0", None),
            plane.offer(ANN, Wanted()),
            plane.answer(ANN, theirs),
            return_exceptions=True,
        )
        assert not [one for one in outcomes if isinstance(one, Exception) and not isinstance(one, Refused)]
        assert len((await plane.statistics(ANN)).streams) == 1
        assert ports_in_use(plane) == 1
    finally:
        line.close()
        await plane.stop()


async def test_candidates_that_come_before_the_description_are_kept_for_it() -> None:
    plane = Plane(SETTINGS)
    await plane.start()
    try:
        await plane.open(ANN, ROOM, BROWSER)
        early = Candidate("2", 1, "udp", 1, "127.0.0.1", 10, "host")
        for _ in range(100):
            await plane.candidate(ANN, "0", early)
        leg = plane._legs[ANN]
        assert len(leg._early) == 64
        await plane.answer(ANN, ice_offer())
        assert leg._early == []
        await plane.candidate(LegId("nobody"), "0", early)
    finally:
        await plane.stop()


async def test_two_hundred_legs_come_and_go() -> None:
    plane, line = Plane(replace(SETTINGS, low=42400, high=42899)), Line()
    await plane.start()
    try:
        for _ in range(2):
            legs = [LegId(str(number)) for number in range(100)]
            for leg in legs:
                await plane.open(leg, RoomId(str(int(leg) % 7)), Abilities())
                await plane.answer(
                    leg,
                    MediaDescription((line.describe("0", Kind.AUDIO, PCMU), line.describe("1", Kind.VIDEO, h264()))),
                )
            await asyncio.gather(*(plane.close(leg, Reason.NORMAL) for leg in legs))
            assert ports_in_use(plane) == 0
            assert not plane._rooms
    finally:
        line.close()
        await plane.stop()


async def test_a_refused_leg_gives_its_new_ports_back() -> None:
    plane, line = Plane(replace(SETTINGS, low=42990, high=42991)), Line()
    await plane.start()
    try:
        await plane.open(ANN, ROOM, Abilities())
        both = MediaDescription((line.describe("0", Kind.AUDIO, PCMU), line.describe("1", Kind.VIDEO, h264())))
        for _ in range(3):
            with pytest.raises(Refused) as refusal:
                await plane.answer(ANN, both)
            assert refusal.value.reason is Reason.NO_PORTS
            assert ports_in_use(plane) == 0
            with pytest.raises(Refused):
                await plane.offer(ANN, Wanted())
            assert ports_in_use(plane) == 0
        await plane.answer(ANN, MediaDescription(both.streams[:1]))
    finally:
        line.close()
        await plane.stop()


def broken(*_: object) -> None:
    raise ZeroDivisionError("a fault of ours")


@pytest.mark.parametrize("where", ["packet", "timer", "mixer", "picture", "rtcp"])
async def test_a_fault_in_one_leg_ends_that_leg_alone_and_is_logged_once(
    where: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plane = Plane(SETTINGS)
    await plane.start()
    ann, bob, cyd = Peer(plane, ANN, h264()), Peer(plane, BOB, h264()), Peer(plane, LegId("cyd"), h264())
    try:
        async with events_of(plane) as told, meeting(plane, ann, bob, cyd):
            for peer, colour, tone in ((ann, RED, 440), (bob, GREEN, 850)):
                peer.film(colour)
                peer.sing(tone)
            screen = cyd.look()
            await until(lambda: screen.last is not None and loudness(cyd.heard(10), 440) > -25)
            sound, picture = plane._legs[ANN].streams["0"], plane._legs[ANN].streams["1"]
            match where:
                case "packet":
                    monkeypatch.setattr(sound._receiver, "push", broken)  # type: ignore[attr-defined]
                case "timer":
                    monkeypatch.setattr(picture, "formats", broken)
                case "mixer":
                    monkeypatch.setattr(sound._receiver, "pull", broken)  # type: ignore[attr-defined]
                case "picture":
                    monkeypatch.setattr(
                        type(picture.session), "anchor", lambda self, *_: broken() if self is picture.session else None
                    )
                case "rtcp":
                    monkeypatch.setattr(type(picture), "react", broken)
                    assert ann.video is not None
                    ann.video.report(rtcp.PictureLoss(1, ann.answer.streams[1].ssrcs[0]))
            await until(lambda: any(isinstance(event, Failed) for event in told))
            assert [event for event in told if isinstance(event, Failed)] == [
                Failed(ANN, Reason.INTERNAL, "ZeroDivisionError")
            ]
            frames = len(screen.frames)
            await until(lambda: len(screen.frames) > frames + 3)
            await until(lambda: loudness(cyd.heard(10), 850) > -25 and loudness(cyd.heard(10), 440) < -45)
            with pytest.raises(Refused):
                await plane.answer(ANN, ann.offer())
            await plane.statistics(ANN)
            await plane.close(ANN, Reason.INTERNAL)
            assert capsys.readouterr().out.count("leg_failed") == 1
    finally:
        await plane.stop()
    assert ports_in_use(plane) == 0


async def test_rooms_do_not_hear_or_see_each_other() -> None:
    plane = Plane(SETTINGS)
    await plane.start()
    other = RoomId("200")
    ann, bob, cyd = Peer(plane, ANN, h264()), Peer(plane, BOB, h264()), Peer(plane, LegId("cyd"))
    try:
        await ann.join()
        await bob.join(room=other)
        await cyd.join(room=other)
        await together(plane, ANN)
        await together(plane, BOB, cyd.leg, room=other)
        ann.film(RED)
        ann.sing(440)
        bob.sing(850)
        screen = bob.look()
        await until(lambda: loudness(cyd.heard(10), 850) > -25 and len(screen.frames) > 3)
        assert loudness(cyd.heard(10), 440) < -60
        assert loudness(bob.heard(10), 440) < -60
        assert not screen.shows(RED)
    finally:
        for peer in (ann, bob, cyd):
            await peer.close()
        await plane.stop()


async def test_a_plane_bound_to_all_addresses_names_the_one_that_the_peer_reaches() -> None:
    plane, line = Plane(replace(SETTINGS, address="0.0.0.0")), Line()
    await plane.start()
    try:
        await plane.open(ANN, ROOM, Abilities())
        answer = await plane.answer(ANN, MediaDescription((line.describe("0", Kind.AUDIO, PCMU),)))
        assert answer.streams[0].transport.address == "127.0.0.1"
    finally:
        line.close()
        await plane.stop()
