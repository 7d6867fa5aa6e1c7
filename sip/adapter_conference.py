"""Tells subscribers who is in a room: the conference event package (RFC 4575) between the stack and the house.

Only who is in the room may subscribe: within its call, or from the address that one of the room's SIP calls comes
from. One task follows the house's events while anybody is subscribed. Changes are gathered for a second before they
are sent, so that a meeting that begins is not told of one by one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from gateway.calls import CallProtocol, Direction
from gateway.reasons import Refused
from gateway.rooms.model import Participant, Rank, RoomEvent, RoomSettings
from sip.adapter_facts import dialled
from sip.conference_info import CONTENT_TYPE, PACKAGE, ConferenceInfo, Person, RoomState
from sip.events import RequestReceived, Resubscribed, SubscriptionEnded, SubscriptionId
from sip.refusals import HeaderList
from sip.stack import Stack

log = structlog.get_logger()

GATHER = 1.0
"""Seconds for which changes are gathered; RFC 4575 §3.9 leaves the rate to us."""


class WatchedRoom(Protocol):
    """A room, as far as subscribers hear of it."""

    settings: RoomSettings

    @property
    def participants(self) -> tuple[Participant, ...]:
        """Everybody in the room."""


class RoomWatch(Protocol):
    """Who knows the rooms: the front desk."""

    def room(self, id: str) -> Any:
        """Return a `WatchedRoom`. Raises Refused where there is none."""

    def subscribe(self) -> AsyncIterator[RoomEvent]:
        """Iterate over all that happens in the house. Raises Refused where too many do."""


class ConferenceOwner(Protocol):
    """What is needed of the adapter."""

    stack: Stack

    def now(self) -> float:
        """Return the loop's time in seconds."""

    def pump(self) -> None:
        """Send and report what the stack has to."""


@dataclass(slots=True)
class _Subscriber:
    room: str
    info: ConferenceInfo


class ConferenceEvents:
    """All subscriptions to rooms."""

    def __init__(self, owner: ConferenceOwner, watch: RoomWatch | None) -> None:
        """Watch that desk; None: nobody may subscribe."""
        self._owner = owner
        self._watch = watch
        self._subscribers: dict[SubscriptionId, _Subscriber] = {}
        self._changed: set[str] = set()
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._subscribers)

    def stop(self) -> None:
        """Follow nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
        self._task = self._timer = None

    def subscribe(self, event: RequestReceived, room_of_call: str | None, entity: str) -> None:
        """Answer a SUBSCRIBE; room_of_call is the room of the call that it came in, entity our URI of the room."""
        status, headers = self._judge(event, room_of_call)
        stack, now = self._owner.stack, self._owner.now()
        if status:
            stack.respond(event.request_id, status, now, headers=headers)
            return
        room = room_of_call or dialled(event.request.uri)[0]
        subscription = stack.subscribe(event.request_id, now)
        if subscription is None:
            return
        self._subscribers[subscription] = _Subscriber(room, ConferenceInfo(entity))
        self._tell(subscription, whole=True)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._follow())

    def _judge(self, event: RequestReceived, room_of_call: str | None) -> tuple[int, HeaderList]:
        """Return the status that refuses a SUBSCRIBE and its headers; 0 where it is welcome."""
        headers = event.request.headers
        package = (headers.get("Event") or "").partition(";")[0].strip().lower()
        if package != PACKAGE:
            return 489, [("Allow-Events", PACKAGE)]
        accepted = headers.tokens("Accept")
        if accepted and not accepted & {CONTENT_TYPE, "application/*", "*/*"}:
            return 406, [("Accept", CONTENT_TYPE)]
        if self._watch is None:
            return 403, []
        try:
            room: WatchedRoom = self._watch.room(room_of_call or dialled(event.request.uri)[0])
        except Refused as refused:
            return refused.reason.meaning.sip, []
        if room.settings.apart:
            return 403, []  # nobody is told of the others there
        inside = room_of_call is not None or _calls_from(room.participants, event.flow.remote_address)
        return (0 if inside else 403), []

    def resubscribed(self, event: Resubscribed) -> None:
        """A subscriber wants the whole state."""
        self._tell(event.subscription, whole=True)

    def ended(self, event: SubscriptionEnded) -> None:
        """A subscriber is gone."""
        self._drop(event.subscription)

    def _drop(self, subscription: SubscriptionId) -> None:
        self._subscribers.pop(subscription, None)
        if not self._subscribers:
            self.stop()

    def _tell(self, subscription: SubscriptionId, whole: bool) -> None:
        found = self._subscribers.get(subscription)
        if found is None or self._watch is None:
            return
        try:
            state = room_state(self._watch.room(found.room))
        except Refused:
            self._owner.stack.notify(subscription, b"", self._owner.now(), end="noresource")
            self._drop(subscription)
            return
        body = found.info.full(state) if whole else found.info.partial(state)
        if body is not None:
            self._owner.stack.notify(subscription, body, self._owner.now(), CONTENT_TYPE)

    async def _follow(self) -> None:
        """Note which rooms change, until nobody is subscribed."""
        if self._watch is None:
            return
        try:
            async for event in self._watch.subscribe():
                self._changed.add(str(event.room))
                if self._timer is None:
                    self._timer = asyncio.get_running_loop().call_later(GATHER, self._tell_all)
        except Refused as refused:
            log.warning("sip_conference_not_followed", reason=refused.reason.value)
        self._task = None

    def _tell_all(self) -> None:
        self._timer = None
        changed, self._changed = self._changed, set()
        for subscription, found in tuple(self._subscribers.items()):
            if found.room in changed:
                self._tell(subscription, whole=False)
        self._owner.pump()


def room_state(room: WatchedRoom) -> RoomState:
    """Return what subscribers read of a room."""
    return RoomState(room.settings.title, room.settings.locked, tuple(map(_person, room.participants)))


def _person(one: Participant) -> Person:
    return Person(
        id=str(one.id),
        name=one.name,
        address=one.facts.caller if one.protocol is CallProtocol.SIP else "",
        host=one.rank is Rank.HOST,
        dialled_out=one.facts.direction is Direction.OUTGOING,
        joined=one.joined,
        muted=one.muted,
        video=bool(one.video.codec_in or one.video.codec_out),
    )


def _calls_from(participants: Sequence[Participant], address: str) -> bool:
    """Tell whether one of the room's SIP calls comes from an address."""
    ours = (one.facts.source for one in participants if one.protocol is CallProtocol.SIP)
    return any(source.rpartition(":")[0].strip("[]") == address for source in ours)
