"""Who presents, between calls and rooms: requests go to the room's floor, and each call's line is told what came of it.

Theory of operation. A change of a floor is published, goes into the room's next plan, and is told to the line of every
call in the room that it is new to: its own peer presents, somebody else does, or nobody. An adapter opens or closes its
peer's slides by that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from gateway.calls import Floor
from gateway.reasons import Reason, Refused
from gateway.rooms.errands import Errands
from gateway.rooms.room import Room

if TYPE_CHECKING:
    from gateway.rooms.call import RoomCall
    from gateway.rooms.desk import FrontDesk

log = structlog.get_logger()


class Presenting:
    """The floors of all rooms of a desk."""

    def __init__(self, desk: FrontDesk) -> None:
        self._desk = desk
        self._errands = Errands()

    async def ask(self, call: RoomCall, wanted: bool, implicit: bool = False) -> None:
        """Give a call's participant the floor, or take it back. Raises `Refused`: see `gateway.calls.Call.present`."""
        room, who = call.room, call.room.participant(call.participant_id)
        if who is None or not call.inside:
            raise Refused(Reason.CANCELLED, "it is not in the room")
        if not wanted:
            events = room.release_floor(who.id, implicit)
        elif room.settings.apart:
            raise Refused(Reason.NOT_ALLOWED, "nobody sees anybody else in this room")
        else:
            events = room.take_floor(who.id, who.rank, implicit)
        if events:
            log.info("presenter_changed", call=call.id, room=room.settings.id, presents=wanted, implicit=implicit)
            self._desk.publish(events)
            self.tell(room)
            await self._desk.direct(room.settings.id)

    async def shares(self, call: RoomCall, sharing: bool) -> None:
        """Take that a call's slides began to come or ceased; that is a request where its peer has no other way."""
        try:
            await self.ask(call, sharing, implicit=True)
        except Refused as refused:
            log.info("slides_not_shown", call=call.id, room=call.room_id, reason=refused.reason.value)

    def tell(self, room: Room) -> None:
        """Tell the calls in a room who presents, as far as they do not know."""
        for call in self._desk.calls.values():
            if call.room is room and call.inside:
                self._tell(call, room)

    def _tell(self, call: RoomCall, room: Room) -> None:
        holder = room.floor.holder
        floor = Floor.FREE if holder is None else Floor.PEER if holder == call.participant_id else Floor.TAKEN
        if floor is not call.floor:
            call.floor = floor
            self._errands.run(self._bring(call, floor))

    @staticmethod
    async def _bring(call: RoomCall, floor: Floor) -> None:
        try:
            if not call.over:
                await call.line.floor(floor)
        except Refused as refused:
            log.info("floor_not_told", call=call.id, floor=floor.value, reason=refused.reason.value)
