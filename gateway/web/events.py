"""The HTTP API, version 1: what happens in the house, as server-sent events (HTML Living Standard §9.2)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from gateway.calls import CallFacts
from gateway.reasons import Reason, Refused
from gateway.rooms.model import (
    Admitted,
    Announced,
    CallFailed,
    CallRefused,
    Changed,
    CommandGiven,
    DialChanged,
    Joined,
    KeyPressed,
    Left,
    LockedOut,
    NotAdmitted,
    OutboundRefused,
    PresenterChanged,
    Ringing,
    RoomChanged,
    RoomDeleted,
    RoomEnding,
    RoomEvent,
    Said,
    SpeakerChanged,
    SpotlightChanged,
    StandsOutside,
    TransferGoes,
)
from gateway.web.access import READ, REFUSALS, InOffice
from gateway.web.board import told_message
from gateway.web.dialled_shapes import dialled_shape
from gateway.web.office import Office
from gateway.web.shapes import participant_shape

MAX_STREAMS = 100
"""Event streams at once: programs hold them and not people, and each costs work at every event."""
HEARTBEAT = 15.0
"""Seconds of silence after which a comment is sent: proxies close what is silent for 30."""
RETRY = 2_000
"""ms after which a client that lost the stream is to come back."""

router = APIRouter(prefix="/api/v1", responses=REFUSALS, tags=["events"])


@router.get(
    "/events",
    dependencies=READ,
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}, "description": "Events, until one side closes"}},
)
async def stream_events(
    office: InOffice, room: Annotated[str | None, Query(max_length=128)] = None
) -> StreamingResponse:
    """Stream what happens, in the whole house or in one room.

    Events: joined, changed, left, speaker, presenter, spotlight, room-changed, room-deleted, call-refused, locked-out,
    ringing, outside, admitted, not-admitted, call-failed, dialled, outbound-refused, room-ending, announced, transfer,
    said, key-pressed, command. The data of each is a JSON object with "room". A stream that is read too slowly loses
    the oldest events.
    """
    if room is not None and room not in office.desk.rooms:
        raise Refused(Reason.NO_SUCH_ROOM, room)
    if office.streams >= MAX_STREAMS:
        raise Refused(Reason.OVERLOAD, f"{MAX_STREAMS} event streams are open already")
    return StreamingResponse(
        _stream(office, room), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
    )


async def _stream(office: Office, room: str | None) -> AsyncIterator[str]:
    office.streams += 1
    events = office.desk.subscribe()
    following = asyncio.ensure_future(anext(events))
    stopping = asyncio.ensure_future(office.stopping.wait())
    try:
        await asyncio.sleep(0)  # subscribed before the client hears of it
        yield f"retry: {RETRY}\n\n"
        while True:
            await asyncio.wait({following, stopping}, timeout=HEARTBEAT, return_when=asyncio.FIRST_COMPLETED)
            if stopping.done():
                return
            if not following.done():
                yield ": nothing new\n\n"
                continue
            event = following.result()
            following = asyncio.ensure_future(anext(events))
            if room is None or event.room == room:
                yield written(event)
    finally:
        office.streams -= 1
        stopping.cancel()
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


def written(event: RoomEvent) -> str:
    """Return an event as it stands in the stream. JSON holds no line break, so one data line carries it."""
    name, data = told(event)
    return f"event: {name}\ndata: {json.dumps({'room': event.room, **data})}\n\n"


def told(event: RoomEvent) -> tuple[str, dict[str, Any]]:
    """Return an event's name and what it tells beside the room."""
    match event:
        case Joined() | Changed() | Left():
            shape = participant_shape(event.participant).model_dump(mode="json", by_alias=True)
            if isinstance(event, Left):
                return "left", {"participant": shape, "reason": event.reason.value}
            return ("joined" if isinstance(event, Joined) else "changed"), {"participant": shape}
        case SpeakerChanged():
            return "speaker", {"participant": event.participant}
        case PresenterChanged():
            return "presenter", {"participant": event.participant}
        case SpotlightChanged():
            return "spotlight", {"participant": event.participant, "by": event.by}
        case RoomChanged():
            settings = event.settings
            about = {"name": settings.name, "layout": settings.layout.value, "locked": settings.locked}
            return "room-changed", {**about, "max_participants": settings.max_participants}
        case RoomDeleted():
            return "room-deleted", {}
        case CallRefused():
            return "call-refused", {**_who(event.facts), "reason": event.reason.value}
        case LockedOut():
            return "locked-out", {**_who(event.facts), "what": event.what, "seconds": round(event.seconds)}
        case Ringing():
            return "ringing", {**_who(event.facts), "call": event.call}
        case StandsOutside():
            about = {"call": event.call, "participant": event.participant, "stage": event.stage.value}
            return "outside", {**_who(event.facts), **about}
        case Admitted():
            return "admitted", {**_who(event.facts), **_waited(event), "by": event.by}
        case NotAdmitted():
            return "not-admitted", {**_who(event.facts), **_waited(event), "by": event.by, "reason": event.reason.value}
        case RoomEnding():
            return "room-ending", {"reason": event.reason.value, "seconds": event.seconds}
        case Announced():
            return "announced", {"prompts": event.prompts, "language": event.language, "by": event.by}
        case CallFailed():
            return "call-failed", {**_who(event.facts), "call": event.call, "reason": event.reason.value}
        case TransferGoes():
            state = "trying" if event.reason is None else "done" if event.reason is Reason.NORMAL else "failed"
            about = {"participant": event.participant, "target": event.target, "state": state, "over": event.over}
            return "transfer", {**about, "reason": None if event.reason is None else event.reason.value}
        case OutboundRefused():
            asker = {"role": event.role, "account": event.account, "source": event.source}
            return "outbound-refused", {**asker, "target": event.target, "reason": event.reason.value}
        case DialChanged():
            return "dialled", {"dialled": dialled_shape(event.dialled).model_dump(mode="json")}
        case CommandGiven():
            command = event.command or None
            about = {"participant": event.participant, "keys": event.keys, "reason": event.reason.value}
            return "command", {**about, "command": command}
        case Said():
            return "said", told_message(event)
        case KeyPressed():
            return "key-pressed", {"participant": event.participant, "digit": event.digit}


def _waited(event: Admitted | NotAdmitted) -> dict[str, Any]:
    return {"call": event.call, "participant": event.participant}


def _who(facts: CallFacts) -> dict[str, Any]:
    """Return what events tell of a call that has no participant."""
    return {
        "protocol": facts.protocol.value,
        "direction": facts.direction.value,
        "source": facts.source,
        "caller": facts.caller,
        "name": facts.name,
    }
