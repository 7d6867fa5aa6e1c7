"""The HTTP API, version 1: rooms and participants."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from fastapi import APIRouter, Response

from gateway.reasons import Reason, Refused
from gateway.rooms.hosting import spotlight
from gateway.rooms.model import Participant, ParticipantId, RoomSettings, Said
from gateway.rooms.room import Room
from gateway.web.access import CALLS, PEERS, READ, REFUSALS, ROOMS, UNSUPPORTED, InOffice, RoomKey, SomebodyKey
from gateway.web.board import told_message
from gateway.web.calls import start_transfer
from gateway.web.office import Office
from gateway.web.shapes import (
    CameraWish,
    MessageList,
    MessageShape,
    Move,
    NewMessage,
    NewRoom,
    ParticipantChange,
    ParticipantDetail,
    ParticipantList,
    RoomChange,
    RoomList,
    RoomShape,
    Transfer,
    participant_detail,
    participant_shape,
    room_shape,
)
from transcode.media import CameraAct, CameraAction, RoomId

VERSION = "1"
MAX_ROOMS = 10_000
"""Rooms in the house, as in the configuration."""

router = APIRouter(prefix="/api/v1", responses=REFUSALS)


@router.get("/rooms", dependencies=READ, tags=["rooms"])
async def list_rooms(office: InOffice) -> RoomList:
    """List all rooms."""
    rooms = sorted(office.desk.rooms.items())
    return RoomList(rooms=[_tell(office, room) for _, room in rooms])


@router.post("/rooms", dependencies=ROOMS, tags=["rooms"], status_code=201)
async def make_room(office: InOffice, asked: NewRoom) -> RoomShape:
    """Make a room. It is kept until it is deleted."""
    id = RoomId(asked.id)
    async with office.rooms_turn:
        if id in office.desk.rooms:
            raise Refused(Reason.GLARE, f"there is a room {id} already")
        if len(office.desk.rooms) >= MAX_ROOMS:
            raise Refused(Reason.OVERLOAD, f"there are {MAX_ROOMS} rooms already")
        settings = RoomSettings(**{**asked.settings(), "id": id})
        await office.keep_room(settings)
        office.desk.open_room(settings)
        return _tell(office, office.desk.room(id))


@router.get("/rooms/{room}", dependencies=READ, tags=["rooms"])
async def show_room(office: InOffice, room: RoomKey) -> RoomShape:
    """Show one room."""
    return _tell(office, office.desk.room(room))


@router.patch("/rooms/{room}", dependencies=ROOMS, tags=["rooms"])
async def change_room(office: InOffice, room: RoomKey, asked: RoomChange) -> RoomShape:
    """Change a room, also while people are in it: name, layout, lock, PINs, how many it holds, what it does by itself.

    A room of the configuration is as it stands there again after the next start.
    """
    async with office.rooms_turn:
        found = office.desk.room(room)
        if found.settings.id in office.made:
            await office.keep_room(replace(found.settings, **asked.changes()))
    # Somebody inside may have locked it meanwhile: what was not asked for stays as it is now.
    await office.desk.set_room(replace(found.settings, **asked.changes()))
    return _tell(office, found)


@router.delete("/rooms/{room}", dependencies=ROOMS, tags=["rooms"], status_code=204)
async def delete_room(office: InOffice, room: RoomKey) -> Response:
    """End everybody's call in a room and forget it. A room of the configuration cannot be deleted."""
    async with office.rooms_turn:
        id = office.desk.room(room).settings.id
        if id not in office.made:
            raise Refused(Reason.NOT_ALLOWED, "this room stands in the configuration")
        await office.forget_room(id)
        await office.desk.close_room(id)
    return Response(status_code=204)


@router.get("/rooms/{room}/messages", dependencies=READ, tags=["messages"])
async def list_messages(office: InOffice, room: RoomKey) -> MessageList:
    """List the latest messages of a room's chat, oldest first. They are forgotten when the last participant leaves."""
    return MessageList(messages=[_message(said) for said in office.desk.room(room).chat.recent])


@router.post("/rooms/{room}/messages", dependencies=ROOMS, tags=["messages"], status_code=201)
async def say_something(office: InOffice, room: RoomKey, asked: NewMessage) -> MessageShape:
    """Write a message to everybody in a room: to browsers, to terminals with real-time text, and by SIP MESSAGE."""
    return _message(office.desk.say(office.desk.room(room), None, asked.text, asked.name, by=f"api {asked.name}"))


@router.get("/rooms/{room}/participants", dependencies=READ, tags=["participants"])
async def list_participants(office: InOffice, room: RoomKey) -> ParticipantList:
    """List everybody in a room, in the order they came."""
    return ParticipantList(participants=[participant_shape(one) for one in office.desk.room(room).participants])


@router.get("/rooms/{room}/participants/{id}", dependencies=READ, tags=["participants"])
async def show_participant(office: InOffice, room: RoomKey, id: SomebodyKey) -> ParticipantDetail:
    """Show one participant with the counters of its media."""
    one = _somebody(office.desk.room(room), id)
    return await detail(office, one)


@router.patch("/rooms/{room}/participants/{id}", dependencies=ROOMS, tags=["participants"])
async def change_participant(
    office: InOffice, room: RoomKey, id: SomebodyKey, asked: ParticipantChange
) -> ParticipantDetail:
    """Mute a participant for all, lift that again, show it under another name or large for everybody, or make a host or
    guest of it."""
    found = office.desk.room(room)
    one = _somebody(found, id)
    if asked.muted is not None:
        await office.desk.mute(found, one.id, asked.muted)
    if asked.name is not None:
        await office.desk.rename(found, one.id, asked.name)
    if asked.rank is not None:
        await office.desk.hosts.set_rank(found, one.id, asked.rank)
    if asked.spotlight:
        await spotlight(office.desk, found, one.id, "api")
    elif asked.spotlight is False and found.spotlight == one.id:
        await spotlight(office.desk, found, None, "api")
    return await detail(office, _somebody(found, id))


@router.delete("/rooms/{room}/participants/{id}", dependencies=ROOMS, tags=["participants"], status_code=204)
async def remove_participant(office: InOffice, room: RoomKey, id: SomebodyKey) -> Response:
    """End a participant's call."""
    await office.desk.remove(office.desk.room(room), ParticipantId(id))
    return Response(status_code=204)


@router.post("/rooms/{room}/participants/{id}/move", dependencies=ROOMS, tags=["participants"], responses=UNSUPPORTED)
async def move_participant(office: InOffice, room: RoomKey, id: SomebodyKey, asked: Move) -> ParticipantDetail:
    """Bring a participant into another room; its peer notices nothing. Neither lock nor PIN keeps it out."""
    to = office.desk.room(asked.room)
    await office.desk.move(office.desk.room(room), ParticipantId(id), to)
    return await detail(office, _somebody(to, id))


@router.post(
    "/rooms/{room}/participants/{id}/transfer",
    dependencies=CALLS,
    tags=["participants"],
    status_code=202,
    responses=PEERS,
)
async def transfer_participant(office: InOffice, room: RoomKey, id: SomebodyKey, asked: Transfer) -> Response:
    """Have a participant's peer call somebody else instead of us; `transfer` events tell how that goes.

    It leaves when the other one has answered. An address outside must be allowed by an outbound rule.
    """
    await start_transfer(office, office.desk.call_of(office.desk.room(room), ParticipantId(id)), asked)
    return Response(status_code=202)


@router.post(
    "/rooms/{room}/participants/{id}/camera",
    dependencies=ROOMS,
    tags=["participants"],
    status_code=204,
    responses=UNSUPPORTED,
)
async def move_camera(office: InOffice, room: RoomKey, id: SomebodyKey, asked: CameraWish) -> Response:
    """Move the camera of a participant that lets it be moved from afar: one in an H.323 call with H.224."""
    one = _somebody(office.desk.room(room), id)
    wish = CameraAction(CameraAct(asked.act), asked.pan, asked.tilt, asked.zoom, asked.focus, asked.number)
    if not await office.desk.plane.camera(one.leg, wish):
        raise Refused(Reason.UNSUPPORTED, "this participant has no camera that can be moved from here")
    return Response(status_code=204)


def _tell(office: Office, room: Room) -> RoomShape:
    source: Literal["api", "configuration"] = "api" if room.settings.id in office.made else "configuration"
    return room_shape(room, source, len(office.desk.lobby.waiting(room)))


def _message(said: Said) -> MessageShape:
    return MessageShape(**told_message(said))


def _somebody(room: Room, id: str) -> Participant:
    one = room.participant(ParticipantId(id))
    if one is None:
        raise Refused(Reason.NO_SUCH_USER, id)
    return one


async def detail(office: Office, one: Participant) -> ParticipantDetail:
    """Return a participant with the counters of its media."""
    try:
        statistics = await office.desk.plane.statistics(one.leg)
    except Refused:
        statistics = None
    return participant_detail(one, statistics)
