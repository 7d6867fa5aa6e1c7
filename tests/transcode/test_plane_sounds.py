"""Sounds through the whole plane: played to one leg, announced in a room, behind it, in every form of the plane."""

from __future__ import annotations

import pytest
from plane_peer import ANN, BOB, ROOM, Peer, events_of, meeting, until
from rtp_phone import loudness

from gateway.reasons import Refused
from transcode.events import Played
from transcode.interface import MediaPlane
from transcode.media import Abilities, LegId, LegPlan, RoomId, Sound, ViewPlan

OTHER = RoomId("another")
ONE, TWO, THREE = Sound("test/one"), Sound("test/two"), Sound("test/three")
PLANS = (LegPlan(ANN, "Ann"), LegPlan(BOB, "Bob"))


def has_heard(peer: Peer, frequency: float) -> bool:
    """Whether a tone was heard for 0.2 s at any time."""
    packets = len(peer.audio.packets) if peer.audio is not None else 0
    sound = peer.heard(packets)
    return any(loudness(sound[at : at + 1600], frequency) > -25 for at in range(0, len(sound) - 1600, 800))


async def test_a_leg_is_played_sounds_and_a_room_hears_what_is_announced(plane: MediaPlane) -> None:
    ann, bob = Peer(plane, ANN), Peer(plane, BOB)
    async with events_of(plane) as events, meeting(plane, ann, bob):
        await plane.play(ANN, (Sound("test/missing"), ONE, Sound("test/two", 100)), 4)
        await until(lambda: Played(ANN, 4) in events)
        await until(lambda: has_heard(ann, 1000) and has_heard(ann, 2100))
        await plane.announce(ROOM, (THREE,))
        await until(lambda: has_heard(ann, 3100) and has_heard(bob, 3100))
        assert not has_heard(bob, 1000)
        assert not has_heard(bob, 2100)
        await plane.announce(RoomId("nobody is here"), (THREE,))
        with pytest.raises(Refused):
            await plane.play(LegId("nobody"), (ONE,), 1)
        assert events.count(Played(ANN, 4)) == 1


@pytest.mark.parametrize("plane", ["direct", "process"], indirect=True)
async def test_a_background_is_heard_until_the_plan_has_it_no_more(plane: MediaPlane) -> None:
    ann, bob = Peer(plane, ANN), Peer(plane, BOB)
    async with meeting(plane, ann, bob):
        await plane.direct(ROOM, ViewPlan(PLANS, background=(Sound("test/two"),)))
        await until(lambda: loudness(ann.heard(50), 2100) > -40 and loudness(bob.heard(50), 2100) > -40)
        await plane.direct(ROOM, ViewPlan(PLANS, background=(Sound("test/two"),), title="the same again"))
        await plane.direct(ROOM, ViewPlan(PLANS))
        await until(lambda: loudness(ann.heard(50), 2100) < -60 and loudness(bob.heard(50), 2100) < -60)


@pytest.mark.parametrize("plane", ["direct", "process"], indirect=True)
async def test_music_is_heard_in_each_room_that_has_it_and_encoded_once_for_all(plane: MediaPlane) -> None:
    music = (Sound("music/steady"),)
    ann, bob = Peer(plane, ANN), Peer(plane, BOB)
    async with meeting(plane, ann, bob):
        await plane.move(BOB, OTHER)
        await plane.direct(ROOM, ViewPlan(PLANS[:1], background=music))
        await plane.direct(OTHER, ViewPlan(PLANS[1:], background=music))
        await until(lambda: loudness(ann.heard(50), 440) > -40 and loudness(bob.heard(50), 440) > -40)
        before, sent = await work(plane)
        heard = len(bob.audio.packets) if bob.audio is not None else 0
        await until(lambda: bob.audio is not None and len(bob.audio.packets) > heard + 50)
        encodes, packets = await work(plane)
        assert 0 < encodes - before < 0.75 * (packets - sent)
        await plane.direct(OTHER, ViewPlan(PLANS[1:]))
        await until(lambda: loudness(bob.heard(50), 440) < -60)
        assert loudness(ann.heard(50), 440) > -40
        await plane.move(BOB, ROOM)


async def work(plane: MediaPlane) -> tuple[float, float]:
    """Return how often sound was encoded, and how many packets were sent."""
    found = {(one.name, one.labels): one.value for one in await plane.counters()}
    encodes = found["audio_encodes_total", (("kind", "audio"), ("step", "encode"))]
    return encodes, found["packets_total", (("direction", "out"),)]


@pytest.mark.parametrize("plane", ["direct"], indirect=True)
async def test_a_leg_without_sound_yet_hears_what_it_is_played_when_it_has_it(plane: MediaPlane) -> None:
    ann = Peer(plane, ANN)
    async with events_of(plane) as events:
        await plane.open(ANN, ROOM, Abilities())
        await plane.play(ANN, (ONE,), 1)
        try:
            await ann.renew(ann.offer())
            await until(lambda: Played(ANN, 1) in events)
            await until(lambda: has_heard(ann, 1000))
        finally:
            await ann.close()
