"""A leg that goes over to another room, and keys that are pressed at a peer.

What costs codec work is done without a media process; the calls themselves go over every form of the plane.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from plane_peer import ANN, BOB, CYD, PCMU, ROOM, Peer, h264, meeting, together
from plane_peer import until as until_at_most
from rtp_phone import loudness

from gateway.reasons import Refused
from transcode.audio.dtmf import EventReceiver
from transcode.interface import MediaPlane
from transcode.media import Abilities, Codec, Format, Kind, LegId, MediaDescription, RoomId

OTHER = RoomId("200")
EVENT = Format(Codec.TELEPHONE_EVENT, 101, 8000)
RED, GREEN, BLUE = (81, 90, 240), (145, 54, 34), (41, 240, 110)


here = pytest.mark.parametrize("plane", ["direct", "pickled"], indirect=True)


async def until(condition: Callable[[], object]) -> None:
    await until_at_most(condition, 20.0)  # several pictures are coded here beside each other


def hears(peer: Peer, tone: float) -> bool:
    return loudness(peer.heard(20), tone) > -25


@here
async def test_a_leg_that_moves_hears_the_other_room_and_not_the_one_it_left(plane: MediaPlane) -> None:
    ann, bob, cyd = Peer(plane, ANN), Peer(plane, BOB), Peer(plane, CYD)
    async with meeting(plane, ann, bob):
        try:
            await cyd.join(room=OTHER)
            await together(plane, CYD, room=OTHER)
            ann.sing(440.0)
            bob.sing(850.0)
            cyd.sing(1330.0)
            await until(lambda: hears(bob, 440.0) and hears(ann, 850.0))
            before = bob.answer
            last = bob.audio.packets[-1]
            await plane.move(BOB, OTHER)
            await together(plane, ANN)
            await together(plane, CYD, BOB, room=OTHER)
            await until(lambda: hears(bob, 1330.0) and not hears(bob, 440.0) and hears(cyd, 850.0))
            await until(lambda: not hears(ann, 850.0))
            assert bob.answer is before  # nobody told it anything
            now = bob.audio.packets[-1]
            assert now.ssrc == last.ssrc
            gone = (now.sequence - last.sequence) & 0xFFFF
            assert (now.timestamp - last.timestamp) & 0xFFFFFFFF == gone * 160
        finally:
            await cyd.close()


@here
async def test_a_leg_that_moves_is_seen_in_the_other_room(plane: MediaPlane) -> None:
    ann, bob, cyd = (Peer(plane, leg, h264()) for leg in (ANN, BOB, CYD))
    async with meeting(plane, ann, bob):
        try:
            await cyd.join(room=OTHER)
            await together(plane, CYD, room=OTHER)
            screens = {peer.leg: peer.look() for peer in (ann, bob, cyd)}
            for peer, colour in ((ann, RED), (bob, GREEN), (cyd, BLUE)):
                peer.film(colour)
            await until(lambda: screens[ANN].shows(GREEN) and screens[BOB].shows(RED))
            await plane.move(BOB, OTHER)
            await together(plane, ANN)
            await together(plane, CYD, BOB, room=OTHER)
            await until(lambda: screens[BOB].shows(BLUE) and screens[CYD].shows(GREEN))
            await until(lambda: not screens[ANN].shows(GREEN))
        finally:
            await cyd.close()


@here
async def test_the_room_that_the_last_one_left_is_gone_and_can_be_opened_again(plane: MediaPlane) -> None:
    ann, bob = Peer(plane, ANN), Peer(plane, BOB)
    async with meeting(plane, ann):
        try:
            await plane.move(ANN, OTHER)
            await plane.move(ANN, OTHER)
            await bob.join()
            await plane.move(ANN, ROOM)
            await together(plane, ANN, BOB)
            ann.sing(440.0)
            await until(lambda: hears(bob, 440.0))
        finally:
            await bob.close()


async def test_a_leg_that_is_not_there_does_not_move(plane: MediaPlane) -> None:
    with pytest.raises(Refused):
        await plane.move(LegId("nobody"), OTHER)


async def test_keys_are_pressed_at_a_peer_that_takes_telephone_events(plane: MediaPlane) -> None:
    ann, bob = Peer(plane, ANN), Peer(plane, BOB)
    async with meeting(plane, bob):
        try:
            await plane.open(ANN, ROOM, Abilities())
            assert ann.audio is not None
            await ann.renew(MediaDescription((ann.audio.describe("0", Kind.AUDIO, PCMU, EVENT),)))
            await together(plane, ANN, BOB)
            await until(lambda: ann.audio.packets)
            for digit in "42#":
                assert await plane.press(ANN, digit, 100)
            assert not await plane.press(BOB, "4", 100)  # it was offered no telephone events
            receiver, keys = EventReceiver(), []

            def pressed() -> bool:
                for packet in ann.audio.packets:
                    if packet.payload_type == 101:
                        receiver.push(packet)
                keys.extend(digit for digit, _ in receiver.take())
                ann.audio.packets.clear()
                return keys == list("42#")

            await until(pressed)
        finally:
            await ann.close()
