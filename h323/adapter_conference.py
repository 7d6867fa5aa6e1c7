"""Tells H.323 terminals who is in their room with them: between the calls and the house.

Whatever happens in a room is gathered for a moment; then each of its terminals whose H.245 session stands is told what
is new to it. One whose session does not stand yet is told a little later, and given up after `TRIES`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any, Protocol

import structlog

from gateway.reasons import Reason, Refused
from h323.conference import ConferenceView, TerminalNumbers

log = structlog.get_logger()

GATHER = 0.25
"""Seconds in which changes of a room are gathered."""
LATER = 1.0
"""Seconds until a terminal is tried again that cannot be told yet."""
TRIES = 10
HOST = "host"
"""Rank of those who may drop others."""


class RoomWatch(Protocol):
    """Who knows the rooms: the front desk."""

    def room(self, id: str) -> Any:
        """Return a room with settings, participants, speaker, spotlight, and who of these is shown. Raises Refused."""

    async def remove(self, room: Any, id: Any) -> None:
        """Hang up on a participant. Raises Refused where there is none."""

    async def spotlight(self, room: Any, id: Any, by: str) -> None:
        """Have everybody in a room see a participant large, None: nobody. Raises Refused."""

    def subscribe(self) -> AsyncIterator[Any]:
        """Iterate over all that happens in the house. Raises Refused where too many do."""


class Terminal(Protocol):
    """A call, as far as it is told of its room."""

    view: ConferenceView | None

    @property
    def whereabouts(self) -> tuple[str, str] | None:
        """The room and the id of the call, None before it has them."""

    def tell_room(self, people: dict[str, str], speaker: str | None) -> bool:
        """Send what the view has to tell; False if the control session does not stand."""


class Conferences:
    """Of one adapter; terminals gives its calls."""

    def __init__(self, watch: RoomWatch | None, terminals: Any) -> None:
        self._watch = watch
        self._terminals = terminals
        self._numbers: dict[str, TerminalNumbers] = {}
        self._changed: dict[str, int] = {}
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Follow what happens in the house."""
        if self._watch is not None:
            self._task = asyncio.get_running_loop().create_task(self._follow(self._watch))

    async def stop(self) -> None:
        """Follow no more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def drop(self, terminal: Terminal, who: str) -> None:
        """Drop a participant as the chair of its room wants it, who must be a host there. Raises Refused."""
        watch, room, present, _ = self._led_by(terminal)
        if who not in present:
            raise Refused(Reason.NO_SUCH_USER, "who is to be dropped has gone")
        await watch.remove(room, present[who].id)

    async def drop_all(self, terminal: Terminal) -> None:
        """Drop all participants, as the chair of their room wants it, who must be a host there. Raises Refused."""
        watch, room, present, _ = self._led_by(terminal)
        if terminal.view is None or not terminal.view.chairs:
            raise Refused(Reason.NOT_ALLOWED, "only the chair may end the conference")
        await asyncio.gather(*(watch.remove(room, one.id) for one in present.values()))

    async def show(self, terminal: Terminal, who: str) -> None:
        """Have everybody in its room see a participant large, as a host there wants it. Raises Refused."""
        watch, room, present, me = self._led_by(terminal)
        if who not in present:
            raise Refused(Reason.NO_SUCH_USER, "who is to be seen has gone")
        await watch.spotlight(room, present[who].id, me.name)

    async def show_nobody(self, terminal: Terminal, itself: bool) -> None:
        """Have nobody seen large any more, as a chair wants it that is a host; itself: only itself. Raises Refused."""
        watch, room, _, me = self._led_by(terminal)
        view = terminal.view
        if view is None or not (view.chairs or itself):
            raise Refused(Reason.NOT_ALLOWED, "only the chair may choose whom all see")
        if not itself or room.spotlight == me.id:
            await watch.spotlight(room, None, me.name)

    def _led_by(self, terminal: Terminal) -> tuple[RoomWatch, Any, dict[str, Any], Any]:
        """Return a terminal's room, those in it, and itself, if it is a host there. Raises Refused."""
        where, view = terminal.whereabouts, terminal.view
        if self._watch is None or where is None or view is None:
            raise Refused(Reason.NOT_ALLOWED, "not in a room")
        room = self._watch.room(where[0])
        present = {str(one.id): one for one in room.participants}
        me = present.get(view.me)
        if me is None or me.rank.value != HOST:
            raise Refused(Reason.NOT_ALLOWED, "it is no host of the room")
        return self._watch, room, present, me

    async def _follow(self, watch: RoomWatch) -> None:
        try:
            async for event in watch.subscribe():
                self._changed[str(event.room)] = TRIES
                self._wait(GATHER)
        except Refused as refused:
            log.warning("h323_conference_not_followed", reason=refused.reason.value)

    def _wait(self, seconds: float) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._tell_all)

    def _tell_all(self) -> None:
        self._timer = None
        changed, self._changed = self._changed, {}
        inside: dict[str, list[tuple[Terminal, str]]] = {}
        for terminal in self._terminals():
            if terminal.whereabouts is not None:
                inside.setdefault(terminal.whereabouts[0], []).append((terminal, terminal.whereabouts[1]))
        self._numbers = {room: numbers for room, numbers in self._numbers.items() if room in inside}
        for room, tries in changed.items():
            if not self._tell(room, inside.get(room, ())) and tries > 1:
                self._changed.setdefault(room, tries - 1)
        if self._changed:
            self._wait(LATER)

    def _tell(self, id: str, inside: Iterable[tuple[Terminal, str]]) -> bool:
        """Tell a room's terminals what is new. False if one of them could not be told yet."""
        assert self._watch is not None
        try:
            room = self._watch.room(id)
        except Refused:
            return True
        if room.settings.apart:
            return True  # nobody is told of the others there
        people = {str(one.id): one.name for one in room.participants}
        numbers = self._numbers.setdefault(id, TerminalNumbers())
        numbers.settle(people)
        calls = {str(one.call): str(one.id) for one in room.participants}
        done = True
        for terminal, call in inside:
            me = calls.get(call)
            if me is None:
                continue
            if terminal.view is None or terminal.view.me != me or not terminal.view.counts_by(numbers):
                terminal.view = ConferenceView(numbers, me)
            seen = room.speaker if room.shown == me else room.shown
            done = terminal.tell_room(people, seen) and done
        return done
