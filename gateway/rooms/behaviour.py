"""What rooms do by themselves: they end a meeting that has outlived itself, and tell of who comes and goes.

Theory of operation. The desk shows each event that it publishes to `Behaviour.take`, at once and in order. A room
whose settings ask for it has a `Watch`, which decides; one timer of the house waits for the earliest that any is due.
What was decided is done beside that, for hanging up on a roomful takes a while.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from gateway.calls import CallId
from gateway.reasons import Reason, Refused
from gateway.rooms.errands import Errands
from gateway.rooms.greeting import Greetings
from gateway.rooms.model import (
    Announced,
    Changed,
    Joined,
    KeyPressed,
    Left,
    PresenterChanged,
    RoomChanged,
    RoomDeleted,
    RoomEnding,
    RoomEvent,
    Said,
)
from gateway.rooms.room import Room
from gateway.rooms.watch import CalledOff, Decision, Over, Warn, Watch
from transcode.media import RoomId

if TYPE_CHECKING:
    from gateway.rooms.desk import FrontDesk

log = structlog.get_logger()

SEEN = (Joined, Changed, Left, KeyPressed, Said, PresenterChanged, RoomChanged)
"""Events after which a room is looked at. Most are signs of life; of a changed participant its changes tell."""


class Behaviour:
    """One for the whole house. clock gives seconds that never go back."""

    def __init__(self, desk: FrontDesk, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.greetings = Greetings(desk, clock)
        self._desk = desk
        self._watches: dict[RoomId, Watch] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._errands = Errands()

    def take(self, event: RoomEvent) -> None:
        """Take an event of any room."""
        if isinstance(event, RoomDeleted):
            self._watches.pop(event.room, None)
            return
        if not isinstance(event, SEEN):
            return
        room = self._desk.rooms.get(event.room)
        if room is None:
            return
        if isinstance(event, Joined | Left):
            self.greetings.take(room, event)
        watch = self._watches.get(event.room)
        if watch is None:
            if not room.settings.ends_itself:
                return
            watch = self._watches[event.room] = Watch()
        stirred = not isinstance(event, Changed | RoomChanged)
        self._do(room, watch.see(room.settings, room.participants, self.clock(), stirred))
        if not room.settings.ends_itself:
            del self._watches[event.room]
        self._arm()

    def _look(self) -> None:
        """See what is due."""
        self._timer = None
        now = self.clock()
        for id, watch in list(self._watches.items()):
            room = self._desk.rooms.get(id)
            if room is not None:
                self._do(room, watch.due(now))
        self._arm()

    def _arm(self) -> None:
        times = [due for watch in self._watches.values() if (due := watch.next) is not None]
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if times:
            wait = max(0.0, min(times) - self.clock())
            self._timer = asyncio.get_running_loop().call_later(wait, self._look)

    def _do(self, room: Room, decisions: list[Decision]) -> None:
        id = room.settings.id
        for decision in decisions:
            match decision:
                case Warn(reason, seconds, prompts):
                    log.info("room_ends_soon", room=id, reason=reason.value, seconds=round(seconds))
                    self._desk.publish([RoomEnding(id, reason, seconds)])
                    self._errands.run(self.say(room, prompts))
                case CalledOff(reason):
                    log.info("room_goes_on", room=id, reason=reason.value)
                    self._desk.publish([RoomEnding(id, reason, None)])
                case Over(reason):
                    log.info("room_ends", room=id, reason=reason.value, participants=len(room.participants))
                    self._desk.publish([RoomEnding(id, reason, 0.0)])
                    self._errands.run(self.end(room, reason))

    async def say(self, room: Room, prompts: tuple[str, ...]) -> None:
        """Say prompts to everybody in a room, in its language."""
        voice = self._desk.voice
        sounds = voice.prompts(voice.language(room.settings.language), *prompts)
        await self._desk.plane.announce(room.settings.id, sounds)

    async def announce(self, room: Room, prompts: tuple[str, ...], language: str, by: str) -> None:
        """Let everybody in a room hear prompts, behind what it hears already; language empty is the room's.

        Raises `Refused` with BAD_REQUEST for a prompt or a language that there is not.
        """
        voice = self._desk.voice
        if language and language not in voice.texts.languages:
            raise Refused(Reason.BAD_REQUEST, f"nothing is spoken in {language!r}; see {voice.texts.languages}")
        language = voice.language(language, room.settings.language)
        unknown = [name for name in prompts if not voice.texts.has_prompt(name)]
        if unknown:
            raise Refused(Reason.BAD_REQUEST, f"there is no prompt {unknown[0]!r}")
        log.info("room_told", room=room.settings.id, prompts=prompts, language=language, by=by)
        self._desk.publish([Announced(room.settings.id, prompts, language, by)])
        await self._desk.plane.announce(room.settings.id, voice.prompts(language, *prompts))

    async def end(self, room: Room, reason: Reason) -> None:
        """Hang up on everybody who is in a room now."""
        await asyncio.gather(*(self._remove(room, one.call, reason) for one in room.participants))

    async def _remove(self, room: Room, id: CallId, reason: Reason) -> None:
        call = self._desk.calls.get(id)
        if call is not None and call.room is room:
            with suppress(Refused):
                await call.hang_up(reason)
