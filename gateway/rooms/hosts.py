"""Hosts: who becomes one, and what only they may do for others who wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from gateway.reasons import Reason, Refused
from gateway.rooms.call import RoomCall
from gateway.rooms.model import ParticipantId, Rank
from gateway.rooms.room import Room

if TYPE_CHECKING:
    from gateway.rooms.desk import FrontDesk

log = structlog.get_logger()


class Hosts:
    """One for the whole house."""

    def __init__(self, desk: FrontDesk) -> None:
        self._desk = desk

    async def promote(self, call: RoomCall, pin: str) -> None:
        """Make a host of whoever knows the host PIN; who waits before the room comes in by it.

        Raises `Refused`: NOT_ALLOWED where there is none, WRONG_PIN, LOCKED_OUT, BAD_REQUEST for one in no room.
        """
        place = self._desk.lobby.place_of(call)
        if place is not None:
            await self._desk.lobby.promote(place, pin)
            return
        if not call.inside:
            raise Refused(Reason.BAD_REQUEST, "not in the room yet")
        self._desk.pins.prove_host(call.room, call.facts, pin)
        await self.set_rank(call.room, call.participant_id, Rank.HOST)

    async def set_rank(self, room: Room, id: ParticipantId, rank: Rank) -> None:
        """Make a host or a guest of a participant. Raises `Refused` with NO_SUCH_USER."""
        call = self._desk.call_of(room, id)
        call.rank = rank
        log.info("rank_changed", call=call.id, room=room.settings.id, rank=rank.value)
        self._desk.publish(room.change(id, rank=rank))
        await self._desk.direct(room.settings.id)

    async def decide(self, call: RoomCall, id: str, admitted: bool) -> None:
        """Let somebody in who waits, or turn it away, for one who is in the room.

        Raises `Refused`: NOT_ALLOWED for who may not, NO_SUCH_USER, ROOM_FULL.
        """
        room = call.room
        one = room.participant(call.participant_id) if call.inside else None
        if one is None or not room.may_admit(one):
            raise Refused(Reason.NOT_ALLOWED, "hosts decide on who comes in")
        if admitted:
            await self._desk.lobby.admit(room, id, one.name)
        else:
            self._desk.lobby.refuse(room, id, one.name)
