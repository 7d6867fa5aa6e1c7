"""Notices: a line that is written for some seconds over what one participant alone sees."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.rooms.errands import Errands
from gateway.rooms.room import Room

if TYPE_CHECKING:
    from gateway.rooms.call import RoomCall
    from gateway.rooms.desk import FrontDesk

NOTICE_TIME = 6.0
"""Seconds that a notice stands: two lines are read in that, and it hides what is below no longer."""


class Notices:
    """All notices that are shown. A new one takes the place of the one before."""

    def __init__(self, desk: FrontDesk) -> None:
        self._desk = desk
        self._timers: dict[RoomCall, asyncio.TimerHandle] = {}
        self._errands = Errands()

    async def show(self, call: RoomCall, text: str, seconds: float = NOTICE_TIME) -> None:
        """Write a line over what somebody in a room sees."""
        if not call.inside:
            return
        before = self._timers.pop(call, None)
        if before is None:
            call.at_end(lambda: self._forget(call))
        else:
            before.cancel()
        room = call.room
        room.notices[call.participant_id] = text
        self._timers[call] = asyncio.get_running_loop().call_later(seconds, self._take_away, call, room)
        await self._desk.direct(room.settings.id)

    def _forget(self, call: RoomCall) -> None:
        timer = self._timers.pop(call, None)
        if timer is not None:
            timer.cancel()

    def _take_away(self, call: RoomCall, room: Room) -> None:
        self._timers.pop(call, None)
        if room.notices.pop(call.participant_id, None) is not None:
            self._errands.run(self._desk.direct(room.settings.id))
