"""Leads a telephone or room system that waits before a room: music, a slate that says what for, and a goodbye."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.reasons import Reason
from gateway.rooms.entrance import Visitor
from gateway.rooms.errands import Errands
from gateway.rooms.model import Stage
from gateway.rooms.room import Room
from transcode.media import Sound

if TYPE_CHECKING:
    from gateway.rooms.desk import FrontDesk

MUSIC = (Sound("music/waiting"),)
SAYS = {Stage.LOBBY: "waiting-for-host", Stage.KNOCKING: "knocking"}
"""What is said and written at each stage."""
GOODBYE_TIME = 12.0
"""Seconds from the refusal to the end of the call where nothing tells that the goodbye was heard."""
MAX_PIN = 16
"""Digits of a PIN, as in the configuration."""


class WaitingGuide:
    """Leads one visitor; a `gateway.rooms.entrance.Guide`. give_pin takes digits that were pressed before a #."""

    def __init__(self, desk: FrontDesk, room: Room) -> None:
        self.begun = False
        self.give_pin: Callable[[str], None] | None = None
        self._desk = desk
        self._room = room
        self._visitor: Visitor | None = None
        self._stage = Stage.LOBBY
        self._typed = ""
        self._leaving: Reason | None = None
        self._farewell = False
        self._limit: asyncio.TimerHandle | None = None
        self._over = False
        self._turn = asyncio.Lock()
        self._errands = Errands()

    def lead(self, visitor: Visitor) -> WaitingGuide:
        """Lead this visitor."""
        self._visitor = visitor
        self._stage = visitor.stage
        return self

    # what the visitor tells

    def begin(self) -> None:
        """Tell it what it waits for."""
        self.begun = True
        if self._visitor is not None:
            self._stage = self._visitor.stage
        self._tell()

    def pressed(self, digit: str) -> None:
        """Take a digit of the host PIN; # ends it, * begins anew."""
        if digit == "#":
            typed, self._typed = self._typed, ""
            if typed and self.give_pin is not None and self._leaving is None:
                self.give_pin(typed)
        elif digit == "*":
            self._typed = ""
        elif digit.isdigit():
            self._typed = (self._typed + digit)[-MAX_PIN:]

    def played(self, number: int) -> None:
        """Hang up where the goodbye was heard."""
        if self._farewell:
            self._hang_up()

    def end(self) -> None:
        """Lead it no more."""
        self._over = True
        if self._limit is not None:
            self._limit.cancel()

    # what the lobby tells

    def prompts(self, *names: str) -> tuple[Sound, ...]:
        """Return prompts in the language that this visitor is spoken to in."""
        return self._desk.voice.prompts(self._language, *names)

    def changed(self, stage: Stage) -> None:
        """It waits for something else now."""
        self._stage = stage
        if self.begun:
            self._tell()

    def say(self, name: str) -> None:
        """Say a prompt above the music."""
        if self.begun:
            self._errands.run(self._say(name))

    def say_goodbye(self, reason: Reason, names: tuple[str, ...]) -> None:
        """Say that it will not come in, and hang up."""
        self._leaving = reason
        self._limit = asyncio.get_running_loop().call_later(GOODBYE_TIME, self._hang_up)
        self._errands.run(self._say_goodbye(names))

    @property
    def _language(self) -> str:
        own = self._visitor.language if self._visitor is not None else ""
        return self._desk.voice.language(own, self._room.settings.language)

    def _tell(self) -> None:
        if self._leaving is None:
            self._errands.run(self._show_and_say())

    async def _show_and_say(self) -> None:
        async with self._turn:
            visitor, name = self._visitor, SAYS[self._stage]
            if visitor is None or self._over or self._leaving is not None:
                return
            slate = self._desk.voice.written(self._language, name).replace(". ", ".\n")  # each sentence has its line
            await visitor.show(slate, title=self._room.settings.title, background=MUSIC)
            await visitor.play(self.prompts(name))

    async def _say(self, name: str) -> None:
        if self._visitor is not None and not self._over and self._leaving is None:
            await self._visitor.play(self.prompts(name))

    async def _say_goodbye(self, names: tuple[str, ...]) -> None:
        async with self._turn:
            visitor = self._visitor
            if visitor is None or self._over:
                return
            await visitor.show(self._desk.voice.written(self._language, *names), title=self._room.settings.title)
            self._farewell = True  # what ends from here on is this
            await visitor.play(self.prompts(*names))

    def _hang_up(self) -> None:
        reason, self._leaving = self._leaving, None
        if self._limit is not None:
            self._limit.cancel()
        if self._visitor is not None and reason is not None:
            self._errands.run(self._visitor.call.hang_up(reason))
