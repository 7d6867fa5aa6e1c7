"""What a host does to a whole room."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from gateway.reasons import Reason
from gateway.rooms.model import Rank
from gateway.rooms.room import Room

if TYPE_CHECKING:
    from gateway.rooms.call import RoomCall
    from gateway.rooms.desk import FrontDesk

log = structlog.get_logger()


async def mute_guests(desk: FrontDesk, room: Room, muted: bool) -> None:
    """Mute all guests for all, or lift that again; who comes later is not muted."""
    for one in room.participants:
        if one.rank is Rank.GUEST:
            desk.publish(room.change(one.id, muted_by_host=muted, **({"talking": False} if muted else {})))
    await desk.direct(room.settings.id)


async def end_meeting(desk: FrontDesk, room: Room) -> None:
    """End everybody's call in a room, and have nobody called into it any more. The room stays."""
    for one in desk.dial_out.living(room.settings.id):
        desk.dial_out.stop(one, Reason.ROOM_CLOSED)
    calls = [desk.calls[one.call] for one in room.participants if one.call in desk.calls]
    log.info("meeting_ended", room=room.settings.id, participants=len(calls))
    await asyncio.gather(*(call.hang_up(Reason.ROOM_CLOSED) for call in calls), return_exceptions=True)


async def promote(desk: FrontDesk, call: RoomCall) -> None:
    """Make a host of somebody in a room."""
    call.rank = Rank.HOST
    desk.publish(call.room.change(call.participant_id, rank=Rank.HOST))
    await desk.direct(call.room_id)
