"""The media process seen from the control plane: what it does when that one is slow, gone or given up on."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from gateway.reasons import Reason, Refused
from transcode import remote
from transcode.interface import MediaPlane
from transcode.media import Abilities, LegId, RoomId
from transcode.process import METHODS
from transcode.remote import RemotePlane
from transcode.settings import PlaneSettings

ROOM = RoomId("100")
ANN = LegId("ann")
SETTINGS = PlaneSettings(address="127.0.0.1", low=41450, high=41499)


async def legs_in(plane: RemotePlane) -> float:
    return next(one.value for one in await plane.counters() if one.name == "legs")


def test_the_media_process_serves_every_call_of_the_interface() -> None:
    calls = {name for name in vars(MediaPlane) if not name.startswith("_")} - {"events"}
    assert calls == METHODS
    assert all(hasattr(RemotePlane, name) for name in calls)


async def test_a_call_that_was_given_up_leaves_a_leg_that_can_be_closed() -> None:
    plane = RemotePlane(SETTINGS)
    await plane.start()
    try:
        opening = asyncio.create_task(plane.open(ANN, ROOM, Abilities()))
        await asyncio.sleep(0)
        opening.cancel()
        await asyncio.wait([opening])
        await plane.close(ANN, Reason.CANCELLED)
        assert await legs_in(plane) == 0
        assert plane._waiting == {}
        await plane.open(ANN, ROOM, Abilities())
        with pytest.raises(Refused) as refusal:
            await plane.open(ANN, ROOM, Abilities())
        assert refusal.value.reason is Reason.BAD_REQUEST
        assert await legs_in(plane) == 1
    finally:
        await plane.stop()


async def test_a_media_process_that_hangs_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    plane = RemotePlane(SETTINGS)
    await plane.start()
    monkeypatch.setattr(remote, "CALL_TIME", 0.3)
    assert plane.pid is not None
    try:
        os.kill(plane.pid, signal.SIGSTOP)
        with pytest.raises(Refused) as refusal:
            await plane.open(ANN, ROOM, Abilities())
        assert refusal.value.reason is Reason.INTERNAL
        assert plane._waiting == {}
    finally:
        os.kill(plane.pid, signal.SIGCONT)
        await plane.stop()
    with pytest.raises(Refused) as refusal:
        await plane.counters()
    assert refusal.value.reason is Reason.SHUTDOWN
