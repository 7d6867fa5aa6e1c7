"""What a host does to a whole room."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from gateway.reasons import Reason, Refused
from gateway.rooms.model import ParticipantId, Rank
from gateway.rooms.room import Room

if TYPE_CHECKING:
    from gateway.rooms.desk import FrontDesk

log = structlog.get_logger()


async def mute_guests(desk: FrontDesk, room: Room, muted: bool) -> None:
    """Mute all guests for all, or lift that again; who comes later is not muted."""
    for one in room.participants:
        if one.rank is Rank.GUEST:
            desk.publish(room.change(one.id, muted_by_host=muted, **({"talking": False} if muted else {})))
    await desk.direct(room.settings.id)


async def spotlight(desk: FrontDesk, room: Room, id: ParticipantId | None, by: str) -> None:
    """Have everybody in a room see a participant large, whoever speaks; None: as before. by is who wants it.

    Raises `Refused`: NO_SUCH_USER, NOT_ALLOWED in a room where nobody sees anybody else.
    """
    if id is not None and room.participant(id) is None:
        raise Refused(Reason.NO_SUCH_USER, id)
    if id is not None and (room.settings.apart or room.private):
        raise Refused(Reason.NOT_ALLOWED, "nobody is seen large in this room")
    events = room.light(id, by)
    if events:
        log.info("spotlight_changed", room=room.settings.id, participant=id, by=by)
        desk.publish(events)
        await desk.direct(room.settings.id)


async def end_meeting(desk: FrontDesk, room: Room) -> None:
    """End everybody's call in a room, and have nobody called into it any more. The room stays."""
    for one in desk.dial_out.living(room.settings.id):
        desk.dial_out.stop(one, Reason.ROOM_CLOSED)
    await desk.behaviour.end(room, Reason.ROOM_CLOSED)
