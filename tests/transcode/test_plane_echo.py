"""An echo room through the whole plane, in this process and in one of its own."""

from __future__ import annotations

import numpy as np
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
        await until(lambda: loudness(ann.heard(), 1500) < -60 and loudness(bob.heard(), 600) < -60)
        assert bob.audio is not None
        bob.audio.packets.clear()
        await plane.confirm_key(BOB, "5")
        await until(lambda: any(loudness(sound, 1336) > -25 for sound in windows(bob)))
        await until(lambda: loudness(ann.heard(), 1336) < -60)


def windows(peer: Peer) -> list[np.ndarray]:
    """Return all that was heard, 100 ms from each packet on."""
    sound = peer.heard(0)  # all of it
    return [sound[at : at + 800] for at in range(0, len(sound) - 800, 160)]
