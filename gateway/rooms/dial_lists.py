"""The lists of rooms: whom the house calls by itself, when the first one joins or at any time.

A first one is somebody who was not called by the house: those who are on the list do not set it off themselves. Who is
being called, is in, or waits for another try is not called a second time. What an entry of a list is called for ends
with the entry and with the room; of `first_joins` also when the room is empty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from gateway.reasons import Reason, Refused
from gateway.rooms.dial_out import Dialling, DialWish
from gateway.rooms.model import AutoDial, DialTime, Joined, RoomChanged, RoomDeleted, RoomEvent, RoomSettings
from gateway.rooms.outbound import Asker, Role
from gateway.rooms.redialling import Tries
from transcode.media import RoomId

if TYPE_CHECKING:
    from gateway.rooms.desk import FrontDesk

log = structlog.get_logger()

MAX_LIST = 50
"""Entries of one room's list."""


class DialLists:
    """All rooms' lists. Nobody is called before `start`: adapters must be there first."""

    def __init__(self, desk: FrontDesk) -> None:
        self._desk = desk
        self._started = False
        self._called: dict[tuple[RoomId, AutoDial], Dialling] = {}

    def start(self) -> None:
        """Call those who are to be in at any time."""
        self._started = True
        for room in list(self._desk.rooms.values()):
            self._call(room.settings, DialTime.ALWAYS)

    def always(self, id: str) -> bool:
        """Tell whether a dialled call is one of those that are wanted at any time."""
        return any(one.id == id and entry.when is DialTime.ALWAYS for (_, entry), one in self._called.items())

    def take(self, event: RoomEvent) -> None:
        """Hear of something that happened in the house."""
        if not self._started:
            return
        match event:
            case Joined():
                self._joined(event)
            case RoomChanged():
                self._changed(event.settings)
            case RoomDeleted():
                for key in [key for key in self._called if key[0] == event.room]:
                    del self._called[key]

    def _joined(self, event: Joined) -> None:
        room = self._desk.rooms.get(event.room)
        if room is None or not room.settings.auto_dial or self._listed(event.participant.facts.dialled):
            return
        others = [one for one in room.participants if not self._listed(one.facts.dialled)]
        if len(others) == 1:
            self._call(room.settings, DialTime.FIRST_JOINS)

    def _listed(self, dialled: str) -> bool:
        return self._desk.dial_out.asker_of(dialled) is Role.HOUSE

    def _changed(self, settings: RoomSettings) -> None:
        for room, entry in list(self._called):
            if room == settings.id and entry not in settings.auto_dial:
                one = self._called.pop((room, entry))
                self._desk.dial_out.stop(one, Reason.CANCELLED)
        self._call(settings, DialTime.ALWAYS, again=False)

    def _call(self, settings: RoomSettings, when: DialTime, again: bool = True) -> None:
        """Call those of a list who are not there; again: those too who were called once."""
        room = self._desk.rooms[settings.id]
        for entry in settings.auto_dial:
            before = self._called.get((settings.id, entry))
            if entry.when is not when or (before is not None and (not again or not before.life.over)):
                continue
            insist = entry.keep_connected and entry.when is DialTime.ALWAYS
            tries = Tries(entry.retries, entry.pause, entry.keep_connected, insist)
            wish = DialWish(entry.target, entry.trunk, entry.name, tries)
            try:
                one = self._desk.dial_out.begin(Asker(Role.HOUSE, settings.id), room, wish)
            except Refused as refused:
                log.warning("list_not_called", room=settings.id, target=entry.target, reason=refused.reason.value)
                continue
            self._called[settings.id, entry] = one
