"""The plans of all rooms on their way to the media plane."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gateway.rooms.room import Room
from gateway.rooms.rules import HouseRules
from transcode.interface import MediaPlane
from transcode.media import RoomId

CROWD = 20
"""Participants from which a room's plans are sent no faster than PLAN_PACE: making one costs by the head."""
PLAN_PACE = 0.02
"""Seconds between two plans of a crowded room: the time of one mix, so nobody is heard later than by one packet."""


@dataclass(slots=True)
class _Plans:
    """One room's plans on their way: who waits for the next one, and the task that sends them while there are any.

    All who wait are let go at once: one after the other, each would cost a turn of a busy loop.
    """

    next: asyncio.Future[None] | None = None
    task: asyncio.Task[None] | None = None
    sent_at: float = float("-inf")

    async def rest(self) -> None:
        """Wait until the next plan of a crowd may go."""
        left = self.sent_at + PLAN_PACE - asyncio.get_running_loop().time()
        if left > 0:
            await asyncio.sleep(left)


class DirectingHouse(Protocol):
    """What is needed of the desk."""

    plane: MediaPlane
    rules: HouseRules


class Directing:
    """Sends the plans of rooms; find gives a room that is there still."""

    def __init__(self, house: DirectingHouse, find: Callable[[RoomId], Room | None]) -> None:
        self._house = house
        self._find = find
        self._plans: dict[RoomId, _Plans] = {}

    @property
    def rooms(self) -> set[RoomId]:
        """The rooms that are there."""
        return set(self._plans)

    def begin(self, id: RoomId) -> None:
        """A room is there from now on."""
        self._plans[id] = _Plans()

    def end(self, id: RoomId) -> None:
        """A room is gone; what is on its way still goes."""
        self._plans.pop(id, None)

    async def direct(self, id: RoomId) -> None:
        """Give the media plane a room's plan, and return when it has it.

        Plans of one room are sent one after the other. All that changed while one was under way goes with the next
        one, so that a hundred people who come at once cost a few plans and not a hundred.
        """
        plans = self._plans.get(id)
        if plans is None:
            return
        loop = asyncio.get_running_loop()
        if plans.next is None:
            plans.next = loop.create_future()
        if plans.task is None:
            plans.task = loop.create_task(self._send(id, plans))
        await asyncio.shield(plans.next)

    async def _send(self, id: RoomId, plans: _Plans) -> None:
        """Send a room's plans until nobody waits for one."""
        while plans.next is not None:
            room = self._find(id)
            if room is not None and len(room.participants) > CROWD:
                await plans.rest()
            done, plans.next = plans.next, None
            room = self._find(id)
            try:
                if room is not None:
                    await self._house.plane.direct(id, room.plan(self._house.rules.dial_hint.replace("ROOM", id)))
                done.set_result(None)
            except Exception as fault:  # whoever waits for the plan hears of it, and the next one is tried
                done.set_exception(fault)
                done.exception()  # all who waited may have gone
            plans.sent_at = asyncio.get_running_loop().time()
        plans.task = None
