"""The HTTP API, version 1: calls that go on, and records of those that are over."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response

from gateway.calls import CallId
from gateway.reasons import Reason, Refused
from gateway.rooms.call import RoomCall
from gateway.rooms.outbound import Asker, Role
from gateway.store.tables import CallRecord
from gateway.web.access import CALLS, PEERS, READ, REFUSALS, InOffice, SomebodyKey
from gateway.web.office import Office
from gateway.web.shapes import CallList, CallShape, RecordList, RecordShape, Transfer, moment

MAX_PAGE = 500
"""Records in one answer."""
MAX_NUMBER = 2**63 - 1
"""The largest number of a record: databases count with 64 bits."""

router = APIRouter(prefix="/api/v1", responses=REFUSALS, tags=["calls"])


@router.get("/calls", dependencies=READ)
async def list_calls(office: InOffice) -> CallList:
    """List all calls that go on, those that are still arriving too."""
    return CallList(calls=[_shape(call) for call in office.desk.calls.values()])


@router.get("/calls/{id}", dependencies=READ)
async def show_call(office: InOffice, id: SomebodyKey) -> CallShape:
    """Show one call that goes on."""
    return _shape(_call(office, id))


@router.delete("/calls/{id}", dependencies=CALLS, status_code=204)
async def end_call(office: InOffice, id: SomebodyKey) -> Response:
    """End a call, in whatever state it is; one that was asked for and is not answered has the id that was told then."""
    if CallId(id) not in office.desk.calls and office.desk.dial_out.knows(id):
        await office.desk.dial_out.cancel(id)
        return Response(status_code=204)
    await _call(office, id).hang_up(Reason.HUNG_UP_BY_HOST)
    return Response(status_code=204)


@router.post("/calls/{id}/transfer", dependencies=CALLS, status_code=202, responses=PEERS)
async def transfer_call(office: InOffice, id: SomebodyKey, asked: Transfer) -> Response:
    """Have the peer of a call call somebody else instead of us; `transfer` events tell how that goes."""
    await start_transfer(office, _call(office, id), asked)
    return Response(status_code=202)


async def start_transfer(office: Office, call: RoomCall, asked: Transfer) -> None:
    """Begin a transfer for somebody with a token of the API. Raises `Refused`."""
    asker = Asker(Role.API, "" if call.room.private else call.room_id)
    other = None
    if asked.participant is not None:
        other = next((one for one in office.desk.calls.values() if one.participant_id == asked.participant), None)
        if other is None or other is call:
            raise Refused(Reason.NO_SUCH_USER, asked.participant)
    await office.desk.transfer(call, asker, asked.target or "", other)


@router.get("/records", dependencies=READ)
async def list_records(
    office: InOffice,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 100,
    before: Annotated[int | None, Query(ge=1, le=MAX_NUMBER)] = None,
    room: Annotated[str | None, Query(max_length=64)] = None,
    admitted: bool | None = None,
) -> RecordList:
    """List calls that are over, the latest first. A record is there about a second after its call's end."""
    if office.book is None:
        return RecordList(records=[], next=None)
    found = await office.book.store.records(limit, before, room, admitted)
    return RecordList(
        records=[_record(one) for one in found],
        next=found[-1].number if len(found) == limit else None,
    )


def _call(office: InOffice, id: str) -> RoomCall:
    call = office.desk.calls.get(CallId(id))
    if call is None:
        raise Refused(Reason.NO_SUCH_USER, f"there is no call {id}")
    return call


def _shape(call: RoomCall) -> CallShape:
    facts, visitor = call.facts, call.visitor
    one = call.room.participant(call.participant_id)
    wish = visitor.wish.settings.id if visitor is not None and visitor.wish is not None else ""
    return CallShape(
        id=call.id,
        room=call.room.settings.id if visitor is None else wish,
        participant=call.participant_id,
        protocol=facts.protocol.value,
        direction=facts.direction.value,
        inside=call.inside,
        state=_state(call),
        stage=visitor.stage if visitor is not None else None,
        gateway=call.room.private and visitor is None,
        trunk=facts.trunk,
        account=facts.account,
        name=one.name if one is not None else facts.name,
        caller=facts.caller,
        source=facts.source,
        agent=facts.agent,
        secure=facts.secure,
        joined=moment(one.joined) if one is not None and call.inside else None,
    )


def _state(call: RoomCall) -> Literal["arriving", "ringing", "outside", "inside"]:
    if call.visitor is not None and call.room.participants:
        return "outside"
    return "inside" if call.inside else "ringing" if call.rings else "arriving"


def _record(one: CallRecord) -> RecordShape:
    reason = next((known for known in Reason if known.value == one.reason), None)
    return RecordShape(
        **{
            **asdict(one),
            "call": one.call or None,
            "started": moment(one.started),
            "ended": moment(one.ended),
            "message": reason.text if reason is not None else one.reason,
        }
    )
