"""An echo room through the whole plane, in this process and in one of its own."""

from __future__ import annotations

import pytest
from plane_peer import ANN, BOB, ROOM, Peer, h264, meeting, until
from rtp_phone import loudness
from video_samples import GREEN, RED

from transcode.interface import MediaPlane
from transcode.media import LegPlan, ViewPlan


@pytest.mark.parametrize("plane", ["direct", "process"], indirect=True)
async def test_each_gets_its_own_sound_and_picture_back_and_keys_confirmed(plane: MediaPlane) -> None:
    ann, bob = Peer(plane, ANN, h264()), Peer(plane, BOB, h264())
    async with meeting(plane, ann, bob):
        await plane.direct(ROOM, ViewPlan((LegPlan(ANN, "Ann"), LegPlan(BOB, "Bob")), slate="You", echo=True))
        ann.film(RED)
        bob.film(GREEN)
        ann.sing(600)
        bob.sing(1500)
        seen_by_ann, seen_by_bob = ann.look(), bob.look()
        await until(lambda: seen_by_ann.shows(RED) and seen_by_bob.shows(GREEN))
        await until(lambda: loudness(ann.heard(), 600) > -20 and loudness(bob.heard(), 1500) > -20)
        assert loudness(ann.heard(), 1500) < -60
        assert loudness(bob.heard(), 600) < -60
        await plane.confirm_key(BOB, "5")
        await until(lambda: loudness(bob.heard(5), 1336) > -25)
        assert loudness(ann.heard(), 1336) < -60
