"""What a host does to a whole room."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.reasons import Reason
from gateway.rooms.model import Rank
from gateway.rooms.room import Room

if TYPE_CHECKING:
    from gateway.rooms.desk import FrontDesk


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
    await desk.behaviour.end(room, Reason.ROOM_CLOSED)
