"""What outlives the house: rooms that were made by the API, and a record of each call.

Theory of operation. The book follows the desk's events. It notes who came in, writes a record when somebody left, was
refused, or came back with a new call, and puts them aside; a second task brings what was put aside to the store once in
WRITE_INTERVAL. So a flood of calls costs one transaction a second, and a database that hangs holds nobody up.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from contextlib import suppress
from enum import Enum
from typing import TypeVar

import structlog

from gateway.calls import CallFacts
from gateway.config import LONGEST_WAIT, MAX_PARTICIPANTS, ROOM_NAME
from gateway.config_calling import keep_commands, keep_list, kept_commands, kept_list
from gateway.reasons import Reason
from gateway.rooms.desk import FrontDesk
from gateway.rooms.model import (
    CallFailed,
    CallRefused,
    Changed,
    Greeting,
    HostLeaves,
    Joined,
    Left,
    Participant,
    ParticipantId,
    RoomEvent,
    RoomSettings,
    WhenLocked,
)
from gateway.store.store import Store, StoreError
from gateway.store.tables import CallRecord, StoredRoom
from transcode.interface import Sample
from transcode.media import Layout, RoomId

log = structlog.get_logger()
Word = TypeVar("Word", bound=Enum)

WRITE_INTERVAL = 1.0
"""Seconds that records wait to be written together."""
MAX_WAITING = 5_000
"""Records that wait for the database: a minute of a flood; the oldest are dropped and counted."""
BATCH = 500
"""Records written in one transaction."""


class RecordBook:
    """Writes call records, and remembers which rooms the API made."""

    def __init__(self, desk: FrontDesk, store: Store) -> None:
        self.desk = desk
        self.store = store
        self.kept: set[str] = set()
        self.lost = 0
        self._inside: dict[ParticipantId, Participant] = {}
        self._waiting: deque[CallRecord] = deque()
        self._following: asyncio.Task[None] | None = None
        self._writing: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()

    async def start(self) -> None:
        """Open the rooms that were kept, but those that the house has already, and follow the desk's events."""
        for stored in await self.store.rooms():
            if not re.fullmatch(ROOM_NAME, stored.id):
                log.error("room_not_opened", room=stored.id[:64], error="its id is none; correct the table rooms")
            elif RoomId(stored.id) not in self.desk.rooms:
                self.desk.open_room(settings_of(stored))
                self.kept.add(stored.id)
        self._following = asyncio.create_task(self._follow())
        self._writing = asyncio.create_task(self._write_on())

    async def stop(self) -> None:
        """Write what waits, and stop."""
        await asyncio.sleep(0)  # what was published in this very moment is taken first
        self._stopping.set()
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        if self._writing is not None:
            await self._writing

    async def keep_room(self, settings: RoomSettings) -> None:
        """Keep a room that the API made or changed. Raises StoreError."""
        await self.store.keep_room(stored_of(settings))
        self.kept.add(settings.id)

    async def forget_room(self, id: str) -> None:
        """Keep a room no longer. Raises StoreError."""
        await self.store.forget_room(id)
        self.kept.discard(id)

    async def _follow(self) -> None:
        async for event in self.desk.subscribe():
            self.take(event)

    def take(self, event: RoomEvent) -> None:
        """Note one event."""
        match event:
            case Joined():
                self._inside[event.participant.id] = event.participant
            case Changed():
                self._changed(event.participant)
            case Left():
                self._inside.pop(event.participant.id, None)
                self._put(self._record_of(event.participant, event.room, event.reason))
            case CallRefused() | CallFailed():
                now = self.desk.clock()
                began = event.began if isinstance(event, CallFailed) else None
                self._put(record(event.facts, event.room, began or now, now, event.reason, event.facts.name))

    def _changed(self, now: Participant) -> None:
        before = self._inside.get(now.id)
        if before is not None and before.call != now.call:
            self._put(self._record_of(before, before.facts.called, Reason.REPLACED))
        self._inside[now.id] = now
        if len(self._inside) > 2 * len(self.desk.calls) + MAX_WAITING:
            # Events were lost on the way: those who left unheard are struck out.
            self._inside = {id: one for id, one in self._inside.items() if one.call in self.desk.calls}

    def _record_of(self, one: Participant, room: str, reason: Reason) -> CallRecord:
        return record(one.facts, room, one.joined, self.desk.clock(), reason, one.name, one.call)

    def _put(self, one: CallRecord) -> None:
        if len(self._waiting) >= MAX_WAITING:
            self._waiting.popleft()
            self.lost += 1
        self._waiting.append(one)

    async def _write_on(self) -> None:
        while not self._stopping.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), WRITE_INTERVAL)
            await self.write()

    async def write(self) -> None:
        """Bring what waits to the store; what it does not take is lost and counted."""
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            try:
                await self.store.add_records(batch)
            except StoreError as error:
                self.lost += len(batch)
                log.error("records_lost", count=len(batch), error=str(error))
                return

    async def samples(self) -> list[Sample]:
        """Return counts for metrics."""
        return [Sample("records_lost_total", (), self.lost), Sample("records_waiting", (), len(self._waiting))]


def record(
    facts: CallFacts, room: str, started: float, ended: float, reason: Reason, name: str, call: str = ""
) -> CallRecord:
    """Return the record of a call; one without id was refused."""
    return CallRecord(
        call=call,
        room=room,
        protocol=facts.protocol.value,
        direction=facts.direction.value,
        name=name or facts.name,
        caller=facts.caller,
        source=facts.source,
        agent=facts.agent,
        started=started,
        ended=ended,
        reason=reason.value,
        secure=facts.secure,
        admitted=bool(call),
    )


def settings_of(stored: StoredRoom) -> RoomSettings:
    """Return a kept room as the desk knows it; a word that is not known any more, as of a layout, becomes the usual."""
    return RoomSettings(
        id=RoomId(stored.id),
        name=stored.name,
        layout=_word(Layout.AUTO, stored.layout),
        host_pin=stored.host_pin,
        guest_pin=stored.guest_pin,
        max_participants=min(max(stored.max_participants, 1), MAX_PARTICIPANTS),
        locked=stored.locked,
        lobby=stored.lobby,
        when_locked=_word(WhenLocked.KNOCK, stored.when_locked),
        host_leaves=_word(HostLeaves.CONTINUE, stored.host_leaves),
        host_leaves_after=_wait(stored.host_leaves_after),
        lone_timeout=_wait(stored.lone_timeout),
        idle_timeout=_wait(stored.idle_timeout),
        entry=_word(Greeting.NONE, stored.entry),
        language=stored.language,
        commands=kept_commands(stored.commands),
        auto_dial=kept_list(stored.auto_dial),
    )


def _wait(seconds: int) -> int:
    return min(max(seconds, 0), LONGEST_WAIT)


def _word(usual: Word, kept: str) -> Word:
    try:
        return type(usual)(kept)
    except ValueError:
        return usual


def stored_of(settings: RoomSettings) -> StoredRoom:
    """Return a room as it is kept."""
    return StoredRoom(
        id=settings.id,
        name=settings.name,
        layout=settings.layout.value,
        host_pin=settings.host_pin,
        guest_pin=settings.guest_pin,
        max_participants=settings.max_participants,
        locked=settings.locked,
        lobby=settings.lobby,
        when_locked=settings.when_locked.value,
        host_leaves=settings.host_leaves.value,
        host_leaves_after=settings.host_leaves_after,
        lone_timeout=settings.lone_timeout,
        idle_timeout=settings.idle_timeout,
        entry=settings.entry.value,
        language=settings.language,
        commands=keep_commands(settings.commands),
        auto_dial=keep_list(settings.auto_dial),
    )
