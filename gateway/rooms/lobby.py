"""The lobby: those who may come into a room, but not yet. They wait for a host, or knock at a locked room.

Theory of operation. What somebody waits for follows from the room alone (`Room.holds_back`). Each of them has a place,
in the order they came, at one of two stages; after each change of the room all its places are looked at again:

    LOBBY      a host comes, or the lobby is taken away  -> in      the room is locked           -> KNOCKING
    KNOCKING   the room is opened, and a host is there   -> in      it is opened without a host  -> LOBBY

Whoever may admit (`Room.may_admit`) lets one in or refuses it, whatever it waits for; who waits too long is refused.
Telephones and room systems wait outside, as visitors of the entrance, with music and a slate (`WaitingGuide`). Browsers
wait as visitors too, but have no media yet: their page is told by `Lobby.follow` and shows what they wait for.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from gateway.calls import CallFacts, CallId, CallProtocol, Line
from gateway.reasons import Reason, Refused
from gateway.rooms.call import RoomCall
from gateway.rooms.entrance import HeldBack, Visitor
from gateway.rooms.errands import Errands
from gateway.rooms.model import (
    Admitted,
    Changed,
    Joined,
    NotAdmitted,
    Participant,
    ParticipantId,
    Rank,
    RoomChanged,
    RoomDeleted,
    RoomEvent,
    Stage,
)
from gateway.rooms.policy import Decision
from gateway.rooms.room import Room
from gateway.rooms.waiting_guide import WaitingGuide
from transcode.media import RoomId, Sound

if TYPE_CHECKING:
    from gateway.rooms.desk import FrontDesk

log = structlog.get_logger()

MAX_WAITING = 100
"""Who may wait before one room: a town hall's guests come in within minutes, and more nobody admits one by one."""
WAIT_TIMES = {Stage.LOBBY: 1_800.0, Stage.KNOCKING: 300.0}
"""Seconds that somebody may wait: for a host who is late, and for somebody inside to answer a knock."""
KNOCK_PAUSE = 3.0
"""Seconds from one knock to the next that is heard: several who come at once knock once."""
SHOWN = 3
"""Names in the notice of those who knock."""


@dataclass(eq=False, slots=True)
class Place:
    """One who waits. rank is what it comes in as, since when it came, in seconds since 1970."""

    visitor: Visitor
    call: RoomCall
    room: Room
    rank: Rank
    stage: Stage
    since: float
    guide: WaitingGuide
    news: asyncio.Event = field(default_factory=asyncio.Event)
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    admitting: bool = False
    limit: asyncio.TimerHandle | None = None

    @property
    def id(self) -> ParticipantId:
        """What it will have as a participant."""
        return self.call.participant_id

    @property
    def name(self) -> str:
        """What the others read of it."""
        facts = self.call.facts
        return facts.name or facts.caller or facts.source


class Lobby:
    """Everybody who waits before a room; one for the whole house. clock gives seconds that never go back."""

    def __init__(self, desk: FrontDesk, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._desk = desk
        self._places: dict[CallId, Place] = {}
        self._knocked: dict[RoomId, float] = {}
        self._errands = Errands()

    # who waits

    def __len__(self) -> int:
        return len(self._places)

    def waiting(self, room: Room) -> tuple[Place, ...]:
        """Return who waits before a room, in the order they came."""
        return tuple(place for place in self._places.values() if place.room is room and not place.admitting)

    def count(self, stage: Stage) -> int:
        """Return how many wait at a stage, before all rooms."""
        return sum(place.stage is stage for place in self._places.values())

    def place_of(self, call: RoomCall) -> Place | None:
        """Return the place of a call."""
        return self._places.get(call.id)

    async def arrive(self, room: Room, facts: CallFacts, line: Line, decision: Decision, held: HeldBack) -> RoomCall:
        """Let a call that comes wait. Raises `Refused`: ROOM_FULL where too many do, OVERLOAD."""
        self._check_space(room)
        guide = WaitingGuide(self._desk, room)
        call = await self._desk.entrance.arrive(facts, line, decision, held.stage, room, guide=guide.lead)
        if call.visitor is None:
            raise Refused(Reason.CANCELLED)
        self._sit_down(call.visitor, room, held, guide)
        if facts.protocol is CallProtocol.WEBRTC:
            self._desk.entrance.tell(call.visitor)  # the others are told of when they are answered
        return call

    def hold(self, visitor: Visitor, room: Room, held: HeldBack) -> None:
        """Let a visitor of the entrance wait. Raises `Refused`: ROOM_FULL where too many do."""
        self._check_space(room)
        guide = WaitingGuide(self._desk, room)
        guide.lead(visitor)
        self._sit_down(visitor, room, held, guide)
        visitor.led_by(guide, held.stage)

    def _check_space(self, room: Room) -> None:
        if len(self.waiting(room)) >= MAX_WAITING:
            raise Refused(Reason.ROOM_FULL, "too many wait")

    def _sit_down(self, visitor: Visitor, room: Room, held: HeldBack, guide: WaitingGuide) -> None:
        call = visitor.call
        place = Place(visitor, call, room, held.rank, held.stage, self._desk.clock(), guide)
        guide.give_pin = lambda pin: self._errands.run(self._pin_pressed(place, pin))
        self._places[call.id] = place
        call.at_end(lambda: self._forget(place))
        log.info("call_waits", call=call.id, room=room.settings.id, stage=held.stage.value, name=place.name)
        self._begin_waiting(place)
        self._look_again(room)  # it may have changed while media were opened

    def _begin_waiting(self, place: Place) -> None:
        if place.limit is not None:
            place.limit.cancel()
        wait = WAIT_TIMES[place.stage]
        place.limit = asyncio.get_running_loop().call_later(wait, self._waited_too_long, place)
        if place.stage is Stage.KNOCKING:
            self._knock(place.room)
        self._write_notice(place.room)

    def _waited_too_long(self, place: Place) -> None:
        reason = Reason.NO_HOST if place.stage is Stage.LOBBY else Reason.NOT_ADMITTED
        self._turn_away(place, reason, ("not-admitted", "goodbye"))

    async def follow(self, call: RoomCall) -> AsyncIterator[Stage]:
        """Iterate over what a call waits for, from now on, with each change; ends when it is in or its call is over."""
        place = self._places.get(call.id)
        while place is not None and not place.admitting and not place.settled.is_set():
            place.news.clear()
            yield place.stage
            await place.news.wait()
        if place is not None:
            await place.settled.wait()

    # what happens in rooms

    def take(self, event: RoomEvent) -> None:
        """Take an event of any room."""
        if isinstance(event, RoomDeleted):
            for place in list(self._places.values()):
                if place.room.settings.id == event.room:
                    self._turn_away(place, Reason.ROOM_CLOSED, ())
        elif isinstance(event, Joined | Changed | RoomChanged) and self._places:
            room = self._desk.rooms.get(event.room)
            if room is not None:
                self._look_again(room)

    def _look_again(self, room: Room) -> None:
        """See what those who wait before a room wait for now."""
        may_come = []
        for place in self.waiting(room):
            stage = room.holds_back(place.rank)
            if stage is None:
                may_come.append(place)
                self._begin_admitting(place)
            elif stage is not place.stage:
                place.stage = stage
                place.visitor.at(stage)
                place.guide.changed(stage)
                place.news.set()
                self._begin_waiting(place)
        if may_come:
            self._errands.run(self._admit_in_turn(may_come))

    async def _admit_in_turn(self, places: list[Place]) -> None:
        for place in places:
            with suppress(Refused):
                await self._admit(place, "")

    # who lets in, and who not

    async def admit(self, room: Room, id: str, by: str) -> None:
        """Let somebody in who waits; by is who does. Raises `Refused`: NO_SUCH_USER, ROOM_FULL."""
        place = self._find(room, id)
        if self._is_full(place):
            raise Refused(Reason.ROOM_FULL)
        self._begin_admitting(place)
        await self._admit(place, by)

    def refuse(self, room: Room, id: str, by: str) -> None:
        """Turn somebody away who waits; by is who does. Raises `Refused`: NO_SUCH_USER."""
        self._turn_away(self._find(room, id), Reason.NOT_ADMITTED, ("not-admitted", "goodbye"), by)

    async def admit_first(self, room: Room, by: str) -> None:
        """Let in who waits the longest. Raises `Refused`: NO_SUCH_USER, ROOM_FULL."""
        await self.admit(room, self._first(room), by)

    def refuse_first(self, room: Room, by: str) -> None:
        """Turn away who waits the longest. Raises `Refused`: NO_SUCH_USER."""
        self.refuse(room, self._first(room), by)

    def _first(self, room: Room) -> ParticipantId:
        waiting = self.waiting(room)
        if not waiting:
            raise Refused(Reason.NO_SUCH_USER, "nobody waits")
        return waiting[0].id

    def _find(self, room: Room, id: str) -> Place:
        for place in self.waiting(room):
            if place.id == id:
                return place
        raise Refused(Reason.NO_SUCH_USER, id[:64])

    def _is_full(self, place: Place) -> bool:
        room, most = place.room, place.visitor.decision.participants
        inside = len(room.participants) + self._desk.waiting(room)
        return inside >= (most or room.settings.max_participants)

    @staticmethod
    def _begin_admitting(place: Place) -> None:
        place.admitting = True
        place.news.set()

    async def _admit(self, place: Place, by: str) -> None:
        """Bring somebody in. Raises `Refused` where it went away meanwhile."""
        call, room = place.call, place.room
        if self._places.get(call.id) is not place:
            raise Refused(Reason.NO_SUCH_USER, place.id)
        if self._is_full(place):
            self._turn_away(place, Reason.ROOM_FULL, ("room-full", "goodbye"))
            raise Refused(Reason.ROOM_FULL)
        self._forget(place, settle=False)
        log.info("call_admitted", call=call.id, room=room.settings.id, name=place.name, by=by)
        self._desk.publish([Admitted(room.settings.id, call.id, place.id, call.facts, by)])
        try:
            await self._desk.entrance.bring_in(place.visitor, room, place.rank)
        except Refused as refused:
            if not call.over:
                await call.hang_up(refused.reason)
            raise
        finally:
            place.settled.set()
        if call.inside:
            with suppress(Refused):  # it left in this moment
                await self._desk.plane.play(call.leg, place.guide.prompts("admitted"))

    def _turn_away(self, place: Place, reason: Reason, prompts: tuple[str, ...], by: str = "") -> None:
        call, room = place.call, place.room
        self._forget(place, settle=False)  # who follows it is let go when its call is over
        log.info("call_not_admitted", call=call.id, room=room.settings.id, name=place.name, reason=reason.value, by=by)
        self._desk.publish([NotAdmitted(room.settings.id, call.id, place.id, call.facts, reason, by)])
        if prompts and place.guide.begun:
            place.guide.say_goodbye(reason, prompts)
        else:
            self._errands.run(call.hang_up(reason))

    def _forget(self, place: Place, settle: bool = True) -> None:
        """It waits no more."""
        if place.limit is not None:
            place.limit.cancel()
        place.admitting = True
        place.news.set()
        if settle:
            place.settled.set()
        if self._places.pop(place.call.id, None) is not None:
            self._write_notice(place.room)

    async def promote(self, place: Place, pin: str) -> None:
        """Let in who waits and knows the host PIN. Raises `Refused`: see `PinGuard.prove_host`."""
        self._desk.pins.prove_host(place.room, place.call.facts, pin)
        place.rank = Rank.HOST
        self._look_again(place.room)

    async def _pin_pressed(self, place: Place, pin: str) -> None:
        try:
            await self.promote(place, pin)
        except Refused as refused:
            log.info("entry_refused", call=place.call.id, reason=refused.reason.value)
            place.guide.say("wrong-pin" if refused.reason is Reason.WRONG_PIN else "not-allowed")

    # what those inside hear and read

    def _knock(self, room: Room) -> None:
        now, id = self.clock(), room.settings.id
        self._knocked = {id: at for id, at in self._knocked.items() if now - at < KNOCK_PAUSE}
        if id not in self._knocked:
            self._knocked[id] = now
            self._errands.run(self._sound_knock([one for one in room.participants if room.may_admit(one)]))

    async def _sound_knock(self, hearers: list[Participant]) -> None:
        for one in hearers:
            with suppress(Refused):  # that one left in this moment
                await self._desk.plane.play(one.leg, (Sound("tones/knock"),))

    def _write_notice(self, room: Room) -> None:
        knocking = [place.name for place in self.waiting(room) if place.stage is Stage.KNOCKING]
        notice = ""
        if knocking:
            voice = self._desk.voice
            names = ", ".join(knocking[:SHOWN]) + (f" +{len(knocking) - SHOWN}" if len(knocking) > SHOWN else "")
            notice = f"{voice.written(voice.language(room.settings.language), 'at-the-door')}: {names}"
        if notice != room.notice:
            room.notice = notice
            self._errands.run(self._desk.direct(room.settings.id))
