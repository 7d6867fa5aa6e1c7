"""The HTTP API, version 1: rooms and participants."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response

from gateway.reasons import Reason, Refused
from gateway.rooms.model import Participant, ParticipantId, RoomSettings
from gateway.rooms.room import Room
from gateway.web.auth import need
from gateway.web.office import Office
from gateway.web.shapes import (
    NewRoom,
    ParticipantChange,
    ParticipantDetail,
    ParticipantList,
    Problem,
    RoomChange,
    RoomList,
    RoomShape,
    participant_detail,
    participant_shape,
    room_shape,
)
from transcode.media import RoomId

VERSION = "1"
MAX_ROOMS = 10_000
"""Rooms in the house, as in the configuration."""

_REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "The request makes no sense"},
    401: {"model": Problem, "description": "No token, or one that is not known"},
    403: {"model": Problem, "description": "The token may not do this"},
    404: {"model": Problem, "description": "There is no such room or participant"},
}

router = APIRouter(prefix="/api/v1", responses=_REFUSALS)


def _office(request: Request) -> Office:
    office: Office = request.app.state.office
    return office


InOffice = Annotated[Office, Depends(_office)]
RoomKey = Annotated[str, Path(max_length=128)]
SomebodyKey = Annotated[str, Path(max_length=64)]
READ = [Depends(need("read"))]
ROOMS = [Depends(need("rooms"))]
CALLS = [Depends(need("calls"))]


@router.get("/rooms", dependencies=READ, tags=["rooms"])
async def list_rooms(office: InOffice) -> RoomList:
    """List all rooms."""
    rooms = sorted(office.desk.rooms.items())
    return RoomList(rooms=[_tell(office, room) for _, room in rooms])


@router.post("/rooms", dependencies=ROOMS, tags=["rooms"], status_code=201)
async def make_room(office: InOffice, asked: NewRoom) -> RoomShape:
    """Make a room. It is kept until it is deleted."""
    id = RoomId(asked.id)
    if id in office.desk.rooms:
        raise Refused(Reason.GLARE, f"there is a room {id} already")
    if len(office.desk.rooms) >= MAX_ROOMS:
        raise Refused(Reason.OVERLOAD, f"there are {MAX_ROOMS} rooms already")
    settings = RoomSettings(**{**asked.model_dump(), "id": id, "layout": asked.layout})
    office.desk.open_room(settings)
    return _tell(office, office.desk.room(id))


@router.get("/rooms/{room}", dependencies=READ, tags=["rooms"])
async def show_room(office: InOffice, room: RoomKey) -> RoomShape:
    """Show one room."""
    return _tell(office, office.desk.room(room))


@router.patch("/rooms/{room}", dependencies=ROOMS, tags=["rooms"])
async def change_room(office: InOffice, room: RoomKey, asked: RoomChange) -> RoomShape:
    """Change a room, also while people are in it: name, layout, lock, PINs, how many it holds."""
    found = office.desk.room(room)
    settings = replace(found.settings, **asked.changes())
    await office.desk.set_room(settings)
    return _tell(office, found)


@router.delete("/rooms/{room}", dependencies=ROOMS, tags=["rooms"], status_code=204)
async def delete_room(office: InOffice, room: RoomKey) -> Response:
    """End everybody's call in a room and forget it."""
    await office.desk.close_room(office.desk.room(room).settings.id)
    return Response(status_code=204)


@router.get("/rooms/{room}/participants", dependencies=READ, tags=["participants"])
async def list_participants(office: InOffice, room: RoomKey) -> ParticipantList:
    """List everybody in a room, in the order they came."""
    return ParticipantList(participants=[participant_shape(one) for one in office.desk.room(room).participants])


@router.get("/rooms/{room}/participants/{id}", dependencies=READ, tags=["participants"])
async def show_participant(office: InOffice, room: RoomKey, id: SomebodyKey) -> ParticipantDetail:
    """Show one participant with the counters of its media."""
    one = _somebody(office.desk.room(room), id)
    return await _detail(office, one)


@router.patch("/rooms/{room}/participants/{id}", dependencies=ROOMS, tags=["participants"])
async def change_participant(
    office: InOffice, room: RoomKey, id: SomebodyKey, asked: ParticipantChange
) -> ParticipantDetail:
    """Mute a participant for all, lift that again, or show it under another name."""
    found = office.desk.room(room)
    one = _somebody(found, id)
    if asked.muted is not None:
        await office.desk.mute(found, one.id, asked.muted)
    if asked.name is not None:
        await office.desk.rename(found, one.id, asked.name)
    return await _detail(office, _somebody(found, id))


@router.delete("/rooms/{room}/participants/{id}", dependencies=ROOMS, tags=["participants"], status_code=204)
async def remove_participant(office: InOffice, room: RoomKey, id: SomebodyKey) -> Response:
    """End a participant's call."""
    await office.desk.remove(office.desk.room(room), ParticipantId(id))
    return Response(status_code=204)


def _tell(office: Office, room: Room) -> RoomShape:
    return room_shape(room, "configuration")


def _somebody(room: Room, id: str) -> Participant:
    one = room.participant(ParticipantId(id))
    if one is None:
        raise Refused(Reason.NO_SUCH_USER, id)
    return one


async def _detail(office: Office, one: Participant) -> ParticipantDetail:
    try:
        statistics = await office.desk.plane.statistics(one.leg)
    except Refused:
        statistics = None
    return participant_detail(one, statistics)
