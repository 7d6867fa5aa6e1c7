"""What the media plane tells of its own accord, brought to the call or room that it is about."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import structlog

from gateway.reasons import Reason, Refused
from gateway.rooms.call import RoomCall
from transcode.events import (
    CameraAsked,
    CandidateFound,
    Connected,
    Dtmf,
    Failed,
    FormatsChanged,
    KeyFrameWanted,
    MediaEvent,
    Played,
    Sharing,
    Silent,
    Speaker,
    Talking,
    Text,
)

if TYPE_CHECKING:
    from gateway.rooms.desk import FrontDesk

log = structlog.get_logger()


async def take_news(desk: FrontDesk, event: MediaEvent) -> None:
    """Take one event; what is about nobody any more is left out. Raises `Refused`."""
    if isinstance(event, Talking | Speaker):
        room = desk.anywhere(event.room)
        if room is None:
            return
        changed = room.talking(event.leg, event.talking) if isinstance(event, Talking) else room.speaks(event.leg)
        desk.publish(changed)
        return
    call = desk.by_leg(event.leg)
    handler = _HANDLERS.get(type(event))
    if call is not None and handler is not None:
        await handler(desk, call, event)


async def _pressed(desk: FrontDesk, call: RoomCall, event: Dtmf) -> None:
    await call.key(event.digit, event.duration, event.source)


async def _played(desk: FrontDesk, call: RoomCall, event: Played) -> None:
    if call.visitor is not None:
        call.visitor.played(event.number)


async def _wrote(desk: FrontDesk, call: RoomCall, event: Text) -> None:
    try:
        await call.wrote(event.text)
    except Refused as refused:  # the peer cannot be told; at debug, for one that writes too fast does so for long
        log.debug("message_refused", call=call.id, reason=refused.reason.value)


async def _camera(desk: FrontDesk, call: RoomCall, event: CameraAsked) -> None:
    await desk.cameras.asked(call, event.action)


async def _key_frame(desk: FrontDesk, call: RoomCall, event: KeyFrameWanted) -> None:
    await call.line.request_key_frame(event.stream)


async def _failed(desk: FrontDesk, call: RoomCall, event: Failed) -> None:
    log.warning("media_failed", call=call.id, reason=event.reason.value, detail=event.detail)
    await call.hang_up(event.reason)


async def _silent(desk: FrontDesk, call: RoomCall, event: Silent) -> None:
    if 0 < desk.rules.no_media_timeout <= event.seconds:
        await call.hang_up(Reason.NO_MEDIA)


async def _candidate(desk: FrontDesk, call: RoomCall, event: CandidateFound) -> None:
    await call.line.local_candidate(event.stream, event.candidate)


async def _formats(desk: FrontDesk, call: RoomCall, event: FormatsChanged) -> None:
    desk.publish(call.room.formats(event))


async def _shares(desk: FrontDesk, call: RoomCall, event: Sharing) -> None:
    await desk.presenting.shares(call, event.sharing)


async def _flowing(desk: FrontDesk, call: RoomCall, event: Connected) -> None:
    log.info("media_connected", call=call.id, stream=event.stream)


_HANDLERS: dict[type, Callable[..., Awaitable[None]]] = {
    Dtmf: _pressed,
    Played: _played,
    CameraAsked: _camera,
    KeyFrameWanted: _key_frame,
    Failed: _failed,
    Silent: _silent,
    CandidateFound: _candidate,
    FormatsChanged: _formats,
    Connected: _flowing,
    Text: _wrote,
    Sharing: _shares,
}
