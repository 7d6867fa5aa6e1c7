"""The notice board: what browsers in a room read of it, made once for all of them.

Theory of operation. One subscription to the desk serves every browser. A change of a room marks its list as old; at
most INTERVAL later the list is written once, as text, and put before each viewer. A viewer holds at most one list, the
newest, and a bounded row of short messages, so that a slow browser costs nothing but its own delay.
"""

from __future__ import annotations

import asyncio
import datetime
import json
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any

from gateway.reasons import Reason
from gateway.rooms.chat import MAX_HISTORY
from gateway.rooms.desk import FrontDesk
from gateway.rooms.lobby import Place
from gateway.rooms.model import (
    Admitted,
    CallFailed,
    Changed,
    DialChanged,
    Dialled,
    DialState,
    Joined,
    Left,
    NotAdmitted,
    Participant,
    ParticipantId,
    PresenterChanged,
    Rank,
    RoomChanged,
    RoomEvent,
    Said,
    SpeakerChanged,
    SpotlightChanged,
    StandsOutside,
    TransferGoes,
)
from gateway.rooms.room import Room
from transcode.media import RoomId

INTERVAL = 0.1
"""Seconds between two lists of one room: 10 a second look immediate, and talking marks change far more often."""
MAX_WAITING = 100
"""Short messages that wait for one slow browser; the oldest is dropped, the list that follows tells all that counts."""

_LISTED = (Joined, Changed, Left, RoomChanged, StandsOutside, Admitted, NotAdmitted, CallFailed, DialChanged)
"""Events that change what a room's list holds, or that of those who wait before it."""

SendText = Callable[[str], Awaitable[None]]


class Viewer:
    """One browser that reads a room's board; send puts a text on its socket and may raise ConnectionError."""

    def __init__(self, room: RoomId, me: str, send: SendText) -> None:
        self.room = room
        self.me = me
        self._me = json.dumps(me)
        self._send = send
        self._list: str | None = None
        self._dialled: str | None = None
        self.dialled = "[]"
        """What it was shown last of who is being called."""
        self._door: str | None = None
        self.door = "[]"
        """What it was shown last of those who wait."""
        self._short: deque[str] = deque(maxlen=MAX_WAITING)
        self._said: deque[str] = deque(maxlen=MAX_HISTORY)
        self._wake = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._write())

    def show(self, shared: str) -> None:
        """Put a new list before this viewer; one that was not sent yet is replaced."""
        self._list = shared
        self._wake.set()

    def show_dialled(self, dialled: str) -> None:
        """Put the list of who is being called before this viewer, where it is another one than it knows."""
        if dialled != self.dialled:
            self.dialled = self._dialled = dialled
            self._wake.set()

    def show_door(self, waiting: str) -> None:
        """Put the list of those who wait before this viewer, where it is another one than it knows."""
        if waiting != self.door:
            self.door = self._door = waiting
            self._wake.set()

    def say(self, text: str) -> None:
        """Put a short message before this viewer."""
        self._short.append(text)
        self._wake.set()

    def tell(self, message: str) -> None:
        """Put a message of the chat before this viewer; one that falls behind the history loses the oldest."""
        self._said.append(message)
        self._wake.set()

    async def _write(self) -> None:
        with suppress(ConnectionError):
            while True:
                await self._wake.wait()
                self._wake.clear()
                shared, self._list = self._list, None
                if shared is not None:
                    await self._send(f'{{"type":"room","you":{self._me},{shared}}}')
                dialled, self._dialled = self._dialled, None
                if dialled is not None:
                    await self._send(f'{{"type":"dialled","dialled":{dialled}}}')
                door, self._door = self._door, None
                if door is not None:
                    await self._send(f'{{"type":"door","waiting":{door}}}')
                while self._short:
                    await self._send(self._short.popleft())
                if self._said:
                    waiting = ",".join(self._said)
                    self._said.clear()
                    await self._send(f'{{"type":"chat","messages":[{waiting}]}}')

    async def close(self) -> None:
        """Send no more."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task


class Board:
    """All viewers of all rooms."""

    def __init__(self, desk: FrontDesk) -> None:
        self._desk = desk
        self._viewers: dict[RoomId, set[Viewer]] = {}
        self._due: dict[RoomId, asyncio.TimerHandle] = {}
        self._shown: dict[RoomId, float] = {}

    async def follow(self) -> None:
        """Take the desk's events until cancelled."""
        async for event in self._desk.subscribe():
            self.take(event)

    def take(self, event: RoomEvent) -> None:
        """Tell the viewers of one room what happened in it."""
        viewers = self._viewers.get(event.room)
        if not viewers:
            return
        if isinstance(event, Said):
            message, apart = json.dumps(told_message(event)), self._apart(event.room)
            for viewer in viewers:
                if not apart or viewer.me == event.participant:
                    viewer.tell(message)
            return
        text = _short(event)
        if text is not None and not self._apart(event.room):
            for viewer in viewers:
                viewer.say(text)
        if isinstance(event, DialChanged) and event.dialled.state is DialState.FAILED:
            self._tell_hosts(event.room, {"type": "call-failed", **_told_dialled(event.dialled)})
        if isinstance(event, TransferGoes) and event.over and event.reason not in (None, Reason.NORMAL):
            self._tell_hosts(event.room, {"type": "undone", "what": "transfer", "reason": event.reason.value})
        if isinstance(event, _LISTED):
            self._mark(event.room)

    def _mark(self, room: RoomId) -> None:
        if room in self._due:
            return
        loop = asyncio.get_running_loop()
        wait = max(0.0, self._shown.get(room, 0.0) + INTERVAL - loop.time())
        self._due[room] = loop.call_later(wait, self._show, room)

    def _show(self, id: RoomId) -> None:
        self._due.pop(id, None)
        viewers = self._viewers.get(id)
        room = self._desk.rooms.get(id)
        if not viewers or room is None:
            return
        self._shown[id] = asyncio.get_running_loop().time()
        if self._apart(id):
            for viewer in viewers:
                viewer.show(shared_list(room, viewer.me))
            return
        shared = shared_list(room)
        waiting = waiting_list(self._desk.lobby.waiting(room))
        calls = [one for one in self._desk.dial_out.told(id) if one.state in _BEING_CALLED]
        dialled = json.dumps([_told_dialled(one) for one in calls])
        for viewer in viewers:
            viewer.show(shared)
            viewer.show_door(waiting if self._may_admit(room, viewer.me) else "[]")
            viewer.show_dialled(dialled if self._hosts(id, viewer.me) else "[]")

    @staticmethod
    def _may_admit(room: Room, me: str) -> bool:
        """Whether a viewer reads who waits: those who may let others in."""
        one = room.participant(ParticipantId(me))
        return one is not None and room.may_admit(one)

    def _tell_hosts(self, id: RoomId, message: dict[str, Any]) -> None:
        text = json.dumps(message)
        for viewer in self._viewers.get(id, ()):
            if self._hosts(id, viewer.me):
                viewer.say(text)

    def _hosts(self, id: RoomId, me: str) -> bool:
        """Whether a viewer is a host, who reads who is being called."""
        room = self._desk.rooms.get(id)
        one = None if room is None else room.participant(ParticipantId(me))
        return one is not None and one.rank is Rank.HOST

    def _apart(self, id: RoomId) -> bool:
        """Whether those in a room are told of nobody but themselves."""
        room = self._desk.rooms.get(id)
        return room is not None and room.settings.apart

    def attach(self, room_id: str, me: str, send: SendText) -> Viewer:
        """Let one browser read a room's board from now on. Raises `Refused` if there is no such room."""
        room = self._desk.room(room_id)
        viewer = Viewer(room.settings.id, me, send)
        self._viewers.setdefault(viewer.room, set()).add(viewer)
        viewer.show(shared_list(room, me if room.settings.apart else None))
        viewer.say(json.dumps({"type": "speaker", "participant": room.speaker}))
        viewer.say(json.dumps({"type": "presenter", "participant": room.floor.holder}))
        viewer.say(json.dumps({"type": "spotlight", "participant": room.spotlight}))
        readable = (said for said in room.chat.recent if not room.settings.apart or said.participant == me)
        recent = [told_message(said) for said in readable]
        viewer.say(json.dumps({"type": "chat", "history": True, "messages": recent}))
        return viewer

    async def detach(self, viewer: Viewer) -> None:
        """Forget a viewer."""
        viewers = self._viewers.get(viewer.room, set())
        viewers.discard(viewer)
        if not viewers:
            self._viewers.pop(viewer.room, None)
            self._shown.pop(viewer.room, None)
            due = self._due.pop(viewer.room, None)
            if due is not None:
                due.cancel()
        await viewer.close()

    @property
    def viewers(self) -> int:
        """How many browsers read now."""
        return sum(len(viewers) for viewers in self._viewers.values())


def shared_list(room: Room, only: str | None = None) -> str:
    """Return the inside of a room's message, which is the same for all who read it; only: of one participant."""
    settings = room.settings
    about = {
        "id": settings.id,
        "name": settings.title,
        "locked": settings.locked,
        "layout": settings.layout.value,
    }
    people = [shown(one) for one in room.participants if only in (None, one.id)]
    return f'"room":{json.dumps(about)},"participants":{json.dumps(people)}'


def waiting_list(places: Iterable[Place]) -> str:
    """Return the list of those who wait before a room, as those read it who may let them in."""
    told = (
        {"id": one.id, "name": one.name, "protocol": one.call.facts.protocol.value, "stage": one.stage.value}
        for one in places
    )
    return json.dumps(list(told))


def shown(one: Participant) -> dict[str, Any]:
    """Return what the others in a room may read of a participant."""
    return {
        "id": one.id,
        "name": one.name,
        "protocol": one.protocol.value,
        "rank": one.rank.value,
        "talking": one.talking,
        "muted": one.muted,
        "muted_by_host": one.muted_by_host,
        "camera_off": one.camera_off,
    }


_BEING_CALLED = frozenset({DialState.DIALLING, DialState.RINGING, DialState.WAITING})


def _told_dialled(one: Dialled) -> dict[str, Any]:
    """Return what hosts read of somebody who is being called."""
    return {
        "id": one.id,
        "target": one.target,
        "name": one.name,
        "state": one.state.value,
        "reason": None if one.reason is None else one.reason.value,
        "number": one.number,
    }


def told_message(said: Said) -> dict[str, Any]:
    """Return what is told of a message; at is when it was written, by ISO 8601."""
    at = datetime.datetime.fromtimestamp(said.at, datetime.UTC).isoformat(timespec="milliseconds")
    return {
        "number": said.number,
        "participant": said.participant,
        "name": said.name,
        "text": said.text,
        "at": at.replace("+00:00", "Z"),
    }


def _short(event: RoomEvent) -> str | None:
    match event:
        case SpeakerChanged():
            return json.dumps({"type": "speaker", "participant": event.participant})
        case PresenterChanged():
            return json.dumps({"type": "presenter", "participant": event.participant})
        case SpotlightChanged():
            return json.dumps({"type": "spotlight", "participant": event.participant})
        case Joined():
            who = event.participant
            return json.dumps({"type": "notice", "kind": "joined", "participant": who.id, "name": who.name})
        case Left():
            who, reason = event.participant, event.reason.value
            return json.dumps(
                {"type": "notice", "kind": "left", "participant": who.id, "name": who.name, "reason": reason}
            )
    return None
