"""The HTTP API, version 1: calling somebody into a room, and what becomes of that."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response

from gateway.reasons import Reason, Refused
from gateway.rooms.call import RoomCall
from gateway.rooms.dial_out import Dialling
from gateway.rooms.outbound import Asker, Denied, Role
from gateway.web.access import CALLS, PEERS, READ, REFUSALS, InOffice, RoomKey, SomebodyKey
from gateway.web.api import detail
from gateway.web.dialled_shapes import DialledList, DialledShape, Invitation, dialled_shape
from gateway.web.errors import CalleeRefused
from gateway.web.office import Office
from gateway.web.shapes import ParticipantDetail

router = APIRouter(prefix="/api/v1", responses=REFUSALS, tags=["calls"])


@router.post(
    "/rooms/{room}/participants",
    dependencies=CALLS,
    tags=["participants"],
    status_code=201,
    response_model=ParticipantDetail,
    responses={
        202: {"model": DialledShape, "description": "With wait: false, the call that is being made"},
        **PEERS,
    },
)
async def call_somebody(
    request: Request, response: Response, office: InOffice, room: RoomKey, asked: Invitation
) -> ParticipantDetail | Response:
    """Call somebody into a room.

    The answer comes when the one who is called has taken the call, or will not. Each try rings for at most 90 seconds,
    and no longer than this request is waited for. With wait: false it comes at once, and tells the id of the call.
    """
    desk = office.desk
    found = desk.room(room)
    one = desk.dial_out.begin(Asker(Role.API, found.settings.id), found, asked.wish())
    if not asked.wait:
        shape = dialled_shape(desk.dial_out.tell_of(one))
        return Response(shape.model_dump_json(), 202, media_type="application/json")
    call = await _while_waited_for(request, office, one)
    somebody = call.room.participant(call.participant_id)
    if somebody is None:
        raise Refused(Reason.CANCELLED, "the call ended at once")
    return await detail(office, somebody)


@router.get("/rooms/{room}/dialled", dependencies=READ)
async def list_dialled_of_room(office: InOffice, room: RoomKey) -> DialledList:
    """List the calls that were asked for into a room, those too that were over in the last ten minutes."""
    id = office.desk.room(room).settings.id
    return DialledList(dialled=[dialled_shape(one) for one in office.desk.dial_out.told(id)])


@router.get("/dialled", dependencies=READ)
async def list_dialled(office: InOffice) -> DialledList:
    """List all calls that were asked for, those too that were over in the last ten minutes."""
    return DialledList(dialled=[dialled_shape(one) for one in office.desk.dial_out.told()])


@router.get("/dialled/{id}", dependencies=READ)
async def show_dialled(office: InOffice, id: SomebodyKey) -> DialledShape:
    """Show one call that was asked for."""
    dial_out = office.desk.dial_out
    return dialled_shape(dial_out.tell_of(dial_out.one(id)))


@router.delete("/dialled/{id}", dependencies=CALLS, status_code=204)
async def cancel_dialled(office: InOffice, id: SomebodyKey) -> Response:
    """Call somebody no more; one who has answered is hung up."""
    await office.desk.dial_out.cancel(id)
    return Response(status_code=204)


async def _while_waited_for(request: Request, office: Office, one: Dialling) -> RoomCall:
    """Return the call when it is answered; give it up when the client goes or the server stops."""
    dial_out = office.desk.dial_out
    outcome = asyncio.create_task(dial_out.outcome(one))
    gone = asyncio.create_task(_gone(request))
    stopping = asyncio.create_task(office.stopping.wait())
    try:
        await asyncio.wait({outcome, gone, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if outcome.done():
            try:
                return outcome.result()
            except Denied:
                raise
            except Refused as refused:
                raise CalleeRefused(refused.reason, refused.detail) from None
        dial_out.stop(one, Reason.CANCELLED)
        raise Refused(Reason.CANCELLED)
    except asyncio.CancelledError:
        dial_out.stop(one, Reason.CANCELLED)
        raise
    finally:
        for task in (outcome, gone, stopping):
            task.cancel()
        await asyncio.gather(outcome, gone, stopping, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
