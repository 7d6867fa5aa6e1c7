"""Who comes and goes is heard: a tone, or the name, in rooms of a few.

A burst is told once, and a room of many not at all: nobody wants to hear that the hundredth one came. Rooms in which
all are apart, and gateway calls, are never told.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.rooms.errands import Errands
from gateway.rooms.model import Greeting, Joined, Left
from gateway.rooms.room import Room
from transcode.media import RoomId, Sound

if TYPE_CHECKING:
    from gateway.rooms.desk import FrontDesk

MAX_GREETED = 12
"""Participants above which nobody is told any more: from about here on comings and goings interrupt all the time."""
BURST = 1.0
"""Seconds after a tone or name in which others who come or go are not told."""
MAX_SPEAKING = 20
"""Greetings that are being made at once, in the whole house: speaking a name takes a tenth of a second."""


class Greetings:
    """One for the whole house. clock gives seconds that never go back."""

    def __init__(self, desk: FrontDesk, clock: Callable[[], float]) -> None:
        self.clock = clock
        self._desk = desk
        self._last: dict[RoomId, float] = {}
        self._errands = Errands()

    def take(self, room: Room, event: Joined | Left) -> None:
        """Somebody came or went."""
        settings = room.settings
        alone = len(room.participants) < (2 if isinstance(event, Joined) else 1)
        if settings.entry is Greeting.NONE or settings.apart or room.private or alone:
            return
        if len(room.participants) > MAX_GREETED or len(self._errands) >= MAX_SPEAKING:
            return
        now = self.clock()
        self._last = {id: at for id, at in self._last.items() if now - at < BURST}
        if settings.id in self._last:
            return
        self._last[settings.id] = now
        self._errands.run(self._greet(room, event))

    async def _greet(self, room: Room, event: Joined | Left) -> None:
        came = isinstance(event, Joined)
        sounds: tuple[Sound, ...] = (Sound("tones/enter" if came else "tones/leave"),)
        if room.settings.entry is Greeting.NAMES:
            voice = self._desk.voice
            language = voice.language(room.settings.language)
            name = await voice.name(language, event.participant.name)
            sounds = (name, *voice.prompts(language, "joined" if came else "left"))
        await self._desk.plane.announce(room.settings.id, sounds)
