"""The HTTP API, version 1: who waits before a room, and is let in or not."""

from __future__ import annotations

from fastapi import APIRouter, Response

from gateway.rooms.lobby import Place
from gateway.web.access import BY_API, READ, REFUSALS, ROOMS, InOffice, RoomKey, SomebodyKey
from gateway.web.shapes import WaitingList, WaitingShape, moment

router = APIRouter(prefix="/api/v1", responses=REFUSALS, tags=["waiting"])


@router.get("/rooms/{room}/waiting", dependencies=READ)
async def list_waiting(office: InOffice, room: RoomKey) -> WaitingList:
    """List everybody who waits before a room, in the order they came."""
    found = office.desk.room(room)
    return WaitingList(waiting=[_shape(place) for place in office.desk.lobby.waiting(found)])


@router.post("/rooms/{room}/waiting/{id}/admit", dependencies=ROOMS, status_code=204)
async def admit(office: InOffice, room: RoomKey, id: SomebodyKey) -> Response:
    """Let somebody in, whatever it waits for; its id stays the same as a participant."""
    await office.desk.lobby.admit(office.desk.room(room), id, BY_API)
    return Response(status_code=204)


@router.delete("/rooms/{room}/waiting/{id}", dependencies=ROOMS, status_code=204)
async def refuse(office: InOffice, room: RoomKey, id: SomebodyKey) -> Response:
    """Turn somebody away who waits: it is told so, and its call is ended."""
    office.desk.lobby.refuse(office.desk.room(room), id, BY_API)
    return Response(status_code=204)


def _shape(place: Place) -> WaitingShape:
    facts = place.call.facts
    return WaitingShape(
        id=place.id,
        call=place.call.id,
        name=place.name,
        stage=place.stage,
        since=moment(place.since),
        protocol=facts.protocol.value,
        secure=facts.secure,
        source=facts.source,
        agent=facts.agent,
    )
