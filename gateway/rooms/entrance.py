"""The entrance: calls that were answered but are in no room yet, and the one place through which they come into one.

Theory of operation. Such a call stands in a private room of its own, its porch: nobody hears or sees it, and it is in
no room's list. It is a visitor, at a stage (asked for a room, asked for a PIN), and somebody leads it: a guide, who
hears its keys and has it shown and told things.

    arrive --answered, connected()--> StandsOutside --enter()--> Joined (in the room, as if it had called that one)
                                            \\--hung up------> CallFailed

A visitor that goes in gets another room in the media plane; its peer notices nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import structlog

from gateway.calls import CallFacts, CallProtocol, Direction, Line
from gateway.reasons import Reason, Refused
from gateway.rooms.call import RoomCall
from gateway.rooms.identity import make_id, make_token
from gateway.rooms.model import (
    CallFailed,
    Participant,
    ParticipantId,
    Rank,
    RoomEvent,
    RoomSettings,
    Stage,
    StandsOutside,
)
from gateway.rooms.pins import source_of
from gateway.rooms.policy import Decision
from gateway.rooms.room import Room
from transcode.media import LegPlan, RoomId, Sound, ViewPlan

if TYPE_CHECKING:
    from gateway.rooms.desk import FrontDesk

log = structlog.get_logger()

_KEYS = str.maketrans("abcdefghijklmnopqrstuvwxyz", "22233344455566677778889999", "._-")
"""Which key of a telephone a letter stands on (ITU-T E.161); what stands on none is left out."""
MAX_OUTSIDE = 500
"""Calls that may stand outside at once: a town hall's worth of guests, and far less than the house takes."""
MAX_OUTSIDE_FROM_ONE = 100
"""Of one address, account or caller: a whole site may stand behind one address, but it must not take all there are."""
ASKED_FOR = frozenset({Reason.PIN_NEEDED, Reason.WRONG_PIN})
"""Why a call is not let in that can be asked for what is wrong."""


class HeldBack(Exception):
    """Somebody may come in with this rank, but has to wait at a stage."""

    def __init__(self, rank: Rank, stage: Stage) -> None:
        super().__init__(rank, stage)
        self.rank = rank
        self.stage = stage


class Porch(Room):
    """The private room of one visitor. What happens in it is nobody's business, so its changes make no events."""

    def __init__(self, id: RoomId) -> None:
        super().__init__(RoomSettings(id), private=True)
        self.title = ""
        self.slate = ""
        self.entry: str | None = None
        self.background: tuple[Sound, ...] = ()

    def join(self, participant: Participant) -> list[RoomEvent]:
        """Let the visitor stand here."""
        super().join(participant)
        return []

    def leave(self, id: ParticipantId, reason: Reason) -> list[RoomEvent]:
        """Let the visitor go."""
        super().leave(id, reason)
        return []

    def change(self, id: ParticipantId, **changes: object) -> list[RoomEvent]:
        """Change fields of the visitor."""
        super().change(id, **changes)
        return []

    def speaks(self, leg: object) -> list[RoomEvent]:
        """Nobody listens."""
        return []

    def plan(self, dial: str = "") -> ViewPlan:
        """Return what the visitor sees and hears."""
        legs = tuple(LegPlan(one.leg, one.name) for one in self.participants)
        return ViewPlan(legs, title=self.title, slate=self.slate, background=self.background, entry=self.entry)


class Guide(Protocol):
    """Leads one visitor. What it does takes its own time: no method waits."""

    def begin(self) -> None:
        """The visitor is there: it hears and sees what it is told."""

    def pressed(self, digit: str) -> None:
        """The visitor pressed a key: 0-9, *, #, A-D."""

    def played(self, number: int) -> None:
        """The visitor has heard all that `Visitor.play` gave this number."""

    def end(self) -> None:
        """It is not led any more: it went in, its call ended, or somebody else leads it from now on."""


class Visitor:
    """One call that stands outside.

    wish is the room that it wants to go to, None while nobody knows; fault why it was not let in at once, None where it
    was not tried. decision is what was decided when it arrived, and holds when it goes in. language is what it is
    spoken to in, empty for the house's; began when it came, in seconds since 1970.
    """

    def __init__(self, entrance: Entrance, call: RoomCall, porch: Porch, decision: Decision, stage: Stage) -> None:
        self.call = call
        self.porch = porch
        self.decision = decision
        self.stage = stage
        self.began = entrance.now()
        self.wish: Room | None = None
        self.fault: Reason | None = None
        self.language = ""
        self.guide: Guide | None = None
        self.told = False
        """Whether the others were told of it."""
        self._entrance = entrance
        self._playing = 0
        self._begun = False

    @property
    def over(self) -> bool:
        """Whether it stands outside no more."""
        return self.call.visitor is not self

    async def connected(self, participant: Participant) -> None:
        """The call is up: whoever leads it begins."""
        if self._begun or self.over:
            return
        self._begun = True
        self.porch.join(participant)
        self._entrance.tell(self)
        await self._entrance.direct(self)
        if self.guide is not None and not self.over:
            self.guide.begin()

    def led_by(self, guide: Guide, stage: Stage) -> None:
        """Have somebody else lead it from now on; what it was played goes on."""
        self.end_guide()
        self.guide = guide
        self.at(stage)
        if self._begun and not self.over:
            guide.begin()

    def end_guide(self) -> None:
        """Let nobody lead it any more."""
        before, self.guide = self.guide, None
        if before is not None:
            before.end()

    def at(self, stage: Stage, wish: Room | None = None) -> None:
        """Note what it is at, and where it wants to go."""
        before = self.stage, self.wish
        self.stage, self.wish = stage, wish or self.wish
        if self.told and not self.over and (self.stage, self.wish) != before:
            self._entrance.tell(self)

    async def play(self, sounds: tuple[Sound, ...]) -> int:
        """Let it hear sounds, and return the number that `Guide.played` tells; what it heard before is broken off."""
        self._playing += 1
        number = self._playing
        await self._entrance.play(self, sounds, number)
        return number

    async def show(
        self, slate: str, entry: str | None = None, title: str = "", background: tuple[Sound, ...] = ()
    ) -> None:
        """Let it see lines, what it typed so far, and a title; background is heard over and over."""
        porch = self.porch
        shown = porch.slate, porch.entry, porch.title, porch.background
        porch.slate, porch.entry, porch.title, porch.background = slate, entry, title, background
        if shown != (slate, entry, title, background) and not self.over:
            await self._entrance.direct(self)

    def pressed(self, digit: str) -> None:
        """It pressed a key. That is told to nobody else, for it may be one of a PIN."""
        if self.guide is not None:
            self.guide.pressed(digit)

    def played(self, number: int) -> None:
        """It has heard what was played."""
        if self.guide is not None and number == self._playing:
            self.guide.played(number)


class Entrance:
    """Everybody who stands outside; one for the whole house.

    leader gives each visitor its guide; with None nobody stands outside, and whoever needs to be asked is refused.
    """

    def __init__(self, desk: FrontDesk) -> None:
        self.leader: Callable[[Visitor], Guide] | None = None
        self._desk = desk
        self._visitors: dict[RoomId, Visitor] = {}

    def __len__(self) -> int:
        return len(self._visitors)

    @property
    def visitors(self) -> tuple[Visitor, ...]:
        """All who stand outside, in the order they came."""
        return tuple(self._visitors.values())

    def leads(self, facts: CallFacts) -> bool:
        """Tell whether a caller can be asked where it wants to go; browsers ask on their page."""
        asked = facts.protocol is not CallProtocol.WEBRTC and facts.direction is Direction.INCOMING
        return self.leader is not None and asked and facts.keys

    async def arrive(
        self,
        facts: CallFacts,
        line: Line,
        decision: Decision,
        stage: Stage,
        wish: Room | None = None,
        fault: Reason | None = None,
        language: str = "",
        guide: Callable[[Visitor], Guide] | None = None,
    ) -> RoomCall:
        """Take a call that cannot go into a room yet; guide gives it its guide instead of the house's leader.

        Raises `Refused`: OVERLOAD, LOCKED_OUT.
        """
        leader = guide or self.leader
        if leader is None:
            raise Refused(fault or Reason.NO_SUCH_ROOM)
        if wish is None:
            self._desk.pins.check_seeker(facts)
        if len(self._visitors) >= MAX_OUTSIDE:
            raise Refused(Reason.OVERLOAD, "too many calls stand outside")
        origin = source_of(facts)
        if sum(source_of(one.call.facts) == origin for one in self._visitors.values()) >= MAX_OUTSIDE_FROM_ONE:
            raise Refused(Reason.OVERLOAD, "too many calls of this source stand outside")
        porch = Porch(RoomId(f"door:{make_id()}"))  # no room of anybody's has a colon in its id
        call = RoomCall(self._desk, porch, facts, line, Rank.GUEST, ParticipantId(make_id()), make_token())
        visitor = call.visitor = Visitor(self, call, porch, decision, stage)
        visitor.wish, visitor.fault, visitor.language = wish, fault, language
        self._visitors[porch.settings.id] = visitor
        self._desk.keep_private(porch)
        try:
            visitor.guide = leader(visitor)
            self._desk.bear()
            await self._desk.take(call, decision)
        except BaseException:
            self._forget(visitor)
            raise
        return call

    def knows(self, digits: str) -> bool:
        """Tell whether a room has this number."""
        return self._desk.knows(digits)

    def meant(self, digits: str) -> str:
        """Return the room that a number typed on a keypad means: one of that id or alias, or the one that it spells."""
        if self._desk.knows(digits):
            return digits
        names = (name for room in self._desk.rooms.values() for name in (room.settings.id, *room.settings.aliases))
        spelled = {self._desk.room(name) for name in names if _keys(name) == digits}
        return str(spelled.pop().settings.id) if len(spelled) == 1 else digits

    async def enter(self, call: RoomCall, room_id: str, pin: str | None = None) -> None:
        """Let a visitor into a room if it may go in, as if it had called that one; it may have to wait in the lobby.

        Raises `Refused` and leaves it where it is: NO_SUCH_ROOM, PIN_NEEDED, WRONG_PIN, LOCKED_OUT, ROOM_LOCKED,
        ROOM_FULL; CANCELLED where it stands outside no more.
        """
        visitor = call.visitor
        if visitor is None or call.over:
            raise Refused(Reason.CANCELLED, "it stands outside no more")
        room = self._find(call.facts, room_id)
        visitor.at(visitor.stage, room)
        rank = self._desk.pins.admit(room, call.facts, pin, self._desk.waiting(room), visitor.decision)
        stage = room.holds_back(rank)
        if stage is None:
            await self.bring_in(visitor, room, rank)
        else:
            self._desk.lobby.hold(visitor, room, HeldBack(rank, stage))

    def _find(self, facts: CallFacts, room_id: str) -> Room:
        try:
            return self._desk.room(room_id)
        except Refused:
            self._desk.pins.wrong_room(facts)
            raise

    async def bring_in(self, visitor: Visitor, room: Room, rank: Rank) -> None:
        """Bring a visitor into a room, whatever keeps others out of it. Raises `Refused`: CANCELLED."""
        desk, call, porch = self._desk, visitor.call, visitor.porch
        if visitor.over or call.over:
            raise Refused(Reason.CANCELLED, "it stands outside no more")
        desk.count(room, 1)  # its place is taken while the media plane is asked
        try:
            with call.on_its_way():
                await desk.plane.play(call.leg, ())
                await desk.plane.move(call.leg, room.settings.id)
            if visitor.over or call.over:
                raise Refused(Reason.CANCELLED, "it went away")
        except BaseException:
            desk.count(room, -1)
            raise
        desk.count(porch, -1)
        stood = porch.participant(call.participant_id)
        call.room, call.rank = room, rank
        self._forget(visitor)
        log.info("call_let_in", call=call.id, room=room.settings.id, rank=rank.value)
        if stood is not None:
            await call.come_in(audio=stood.audio, video=stood.video, slides=stood.slides)
        if not desk.has(room):  # it was deleted meanwhile
            await call.hang_up(Reason.ROOM_CLOSED)

    def left(self, visitor: Visitor, reason: Reason) -> list[RoomEvent]:
        """A visitor's call is over: return what is to be told."""
        call = visitor.call
        self._forget(visitor)
        wish = visitor.wish.settings.id if visitor.wish else RoomId("")
        return [CallFailed(wish, call.id, call.facts, reason, visitor.began)]

    def _forget(self, visitor: Visitor) -> None:
        visitor.call.visitor = None
        visitor.end_guide()
        id = visitor.porch.settings.id
        if self._visitors.pop(id, None) is not None:
            self._desk.forget_private(id)

    # what visitors need

    def now(self) -> float:
        """Return seconds since 1970."""
        return self._desk.clock()

    def tell(self, visitor: Visitor) -> None:
        """Publish what a visitor is at."""
        call, wish = visitor.call, visitor.wish.settings.id if visitor.wish else RoomId("")
        visitor.told = True
        log.info("call_stands_outside", call=call.id, room=wish, stage=visitor.stage.value)
        self._desk.publish([StandsOutside(wish, call.id, call.participant_id, call.facts, visitor.stage)])

    async def direct(self, visitor: Visitor) -> None:
        """Bring what a visitor sees and hears to the media plane."""
        await self._desk.direct(visitor.porch.settings.id)

    async def play(self, visitor: Visitor, sounds: tuple[Sound, ...], number: int) -> None:
        """Let a visitor hear sounds."""
        if not visitor.over:
            await self._desk.plane.play(visitor.call.leg, sounds, number)


def _keys(name: str) -> str:
    return name.lower().translate(_KEYS)
