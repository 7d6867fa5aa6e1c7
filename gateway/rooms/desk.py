"""The desk: where calls of every protocol arrive, and where rooms are looked after.

It joins three things: the pure `Room`s, the media plane, and the adapters' `Call`s. Each change of a room is followed
by one `MediaPlane.direct` with the room's new plan; what happens is published to whoever subscribed. Where a call goes
that comes in is decided by the `Switchboard`.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import replace

import structlog

from gateway.calls import CallFacts, CallId, CallProtocol, Line
from gateway.ivr.voice import Voice
from gateway.reasons import Reason, Refused
from gateway.rooms.arriving import Arrivals
from gateway.rooms.behaviour import Behaviour
from gateway.rooms.call import RoomCall
from gateway.rooms.cameras import Cameras
from gateway.rooms.commanding import Commands
from gateway.rooms.dial_lists import DialLists
from gateway.rooms.dial_out import DialOut
from gateway.rooms.directing import Directing
from gateway.rooms.entrance import Entrance
from gateway.rooms.errands import Errands
from gateway.rooms.hosting import spotlight
from gateway.rooms.hosts import Hosts
from gateway.rooms.load import Load
from gateway.rooms.lobby import Lobby
from gateway.rooms.media_news import take_news
from gateway.rooms.model import (
    KeyPressed,
    Left,
    Participant,
    ParticipantId,
    Rank,
    RoomChanged,
    RoomDeleted,
    RoomEvent,
    RoomSettings,
    Said,
    Stage,
)
from gateway.rooms.notices import Notices
from gateway.rooms.outbound import Asker
from gateway.rooms.pins import PinGuard
from gateway.rooms.policy import Decision
from gateway.rooms.presenting import Presenting
from gateway.rooms.room import Room
from gateway.rooms.rules import HouseRules
from gateway.rooms.switchboard import Switchboard
from transcode.events import MediaEvent
from transcode.interface import MediaPlane
from transcode.media import LegId, RoomId

__all__ = ["FrontDesk", "HouseRules"]

log = structlog.get_logger()

MAX_CALLS = 2_000
"""Calls at once: far above what one machine carries; it bounds what a flood of invitations can make us keep."""
MAX_WAITING_EVENTS = 1_000
"""Events that a slow subscriber may leave unread before it loses the oldest."""
MAX_SUBSCRIBERS = 2_000
"""Event streams at once; every browser in a room has one."""


class FrontDesk:
    """Implements `gateway.calls.Desk`; one for the whole house."""

    def __init__(self, plane: MediaPlane, rules: HouseRules, clock: Callable[[], float] = time.time) -> None:
        self.plane = plane
        self.rules = rules
        self.clock = clock
        self.load = Load()
        self.switchboard = Switchboard(self)
        self.presenting = Presenting(self)
        self.cameras = Cameras(plane)
        self.dial_out = DialOut(self)
        self.lists = DialLists(self)
        self.notices = Notices(self)
        self.commands = Commands(self)
        self.voice = Voice()
        self.entrance = Entrance(self)
        self.lobby = Lobby(self)
        self.hosts = Hosts(self)
        self.behaviour = Behaviour(self)
        self._arrivals = Arrivals(self)
        self.pins = PinGuard(lambda events: self.publish(events))
        self.rooms: dict[RoomId, Room] = {}
        self._aliases: dict[str, RoomId] = {}
        self.calls: dict[CallId, RoomCall] = {}
        self.outcomes: Counter[tuple[CallProtocol, Reason]] = Counter()
        """How many calls ended or were refused, for what reason."""
        self._private: dict[RoomId, Room] = {}
        self._legs: dict[LegId, RoomCall] = {}
        self._resumable: dict[str, RoomCall] = {}
        self._same: dict[str, list[RoomCall]] = {}
        self._calls_of: Counter[Room] = Counter()
        self._subscribers: set[asyncio.Queue[RoomEvent]] = set()
        self._directing = Directing(self, self.anywhere)
        self._errands = Errands()

    # Rooms

    def open_room(self, settings: RoomSettings) -> None:
        """Make a room, or give the one with this id new settings."""
        room = self.rooms.get(settings.id)
        if room is None:
            self.rooms[settings.id] = Room(settings)
            self._directing.begin(settings.id)
            self.publish([RoomChanged(settings.id, settings)])
        else:
            self._forget_aliases(settings.id)
            self.publish(room.change_settings(settings))
        self._aliases.update(dict.fromkeys(settings.aliases, settings.id))

    def _forget_aliases(self, id: RoomId) -> None:
        self._aliases = {alias: room for alias, room in self._aliases.items() if room != id}

    async def set_room(self, settings: RoomSettings) -> None:
        """Change a room's settings while people are in it."""
        self.open_room(settings)
        await self.direct(settings.id)

    async def lock(self, id: RoomId, locked: bool) -> None:
        """Lock a room against newcomers, or open it again. Raises `Refused` if there is no such room."""
        await self.set_room(replace(self.room(id).settings, locked=locked))

    async def close_room(self, id: RoomId) -> None:
        """Forget the room and end all calls that are in it or on their way into it.

        No other room of this id may be made before this returns.
        """
        room = self.room(id)
        id = room.settings.id
        del self.rooms[id]
        self._forget_aliases(id)
        calls = [call for call in self.calls.values() if call.room is room]
        await asyncio.gather(*(self._shut(call, Reason.ROOM_CLOSED) for call in calls))
        self._directing.end(id)
        self.publish([RoomDeleted(id)])

    def room(self, id: str) -> Room:
        """Return a room by its id or an alias of it. Raises `Refused` with NO_SUCH_ROOM."""
        room = self.rooms.get(RoomId(id)) or self.rooms.get(self._aliases.get(id, RoomId("")))
        if room is None:
            raise Refused(Reason.NO_SUCH_ROOM, id[:64])
        return room

    def language_of(self, room: Room) -> str:
        """Return the language that a room is spoken to in."""
        return self.voice.language(room.settings.language)

    def knows(self, id: str) -> bool:
        """Tell whether there is a room of this id or alias."""
        return RoomId(id) in self.rooms or id in self._aliases

    def keep_private(self, room: Room) -> None:
        """Take a room that nobody can dial: of a gateway call, or of a call that stands outside."""
        self._private[room.settings.id] = room
        self._directing.begin(room.settings.id)

    def forget_private(self, id: RoomId) -> None:
        """Forget a room that nobody could dial."""
        self._private.pop(id, None)
        self._directing.end(id)

    def has(self, room: Room) -> bool:
        """Tell whether a room is there still."""
        return self.anywhere(room.settings.id) is room

    def by_leg(self, leg: LegId) -> RoomCall | None:
        """Return the call whose media a leg is."""
        return self._legs.get(leg)

    def anywhere(self, id: RoomId) -> Room | None:
        """Return a room that is there, one that nobody can dial too."""
        return self.rooms.get(id) or self._private.get(id)

    # Participants

    async def mute(self, room: Room, id: ParticipantId, muted: bool) -> None:
        """Mute a participant for all, or lift that again; what it muted itself stays muted."""
        self.publish(room.change(id, muted_by_host=muted, talking=False))
        await self.direct(room.settings.id)

    async def rename(self, room: Room, id: ParticipantId, name: str) -> None:
        """Show a participant under another name."""
        self.publish(room.change(id, name=name))
        await self.direct(room.settings.id)

    async def remove(self, room: Room, id: ParticipantId, reason: Reason = Reason.HUNG_UP_BY_HOST) -> None:
        """End a participant's call. Raises `Refused` with NO_SUCH_USER if nobody has this id."""
        await self.call_of(room, id).hang_up(reason)

    async def spotlight(self, room: Room, id: ParticipantId | None, by: str) -> None:
        """Have everybody in a room see a participant large: see `hosting.spotlight`."""
        await spotlight(self, room, id, by)

    def call_of(self, room: Room, id: ParticipantId) -> RoomCall:
        """Return a participant's call. Raises `Refused` with NO_SUCH_USER if nobody has this id."""
        one = room.participant(id)
        call = None if one is None else self.calls.get(one.call)
        if call is None:
            raise Refused(Reason.NO_SUCH_USER, id)
        return call

    async def move(self, room: Room, id: ParticipantId, to: Room) -> None:
        """Bring a participant into another room of ours, without a word to its peer. No PIN and no lock keeps it out.

        It is a guest there: whose host somebody is was proved to one room.
        Raises `Refused`: NO_SUCH_USER, ROOM_FULL, UNSUPPORTED for browsers, whose page shows one room, GLARE for who is
        on its way already.
        """
        call = self.call_of(room, id)
        if call.facts.protocol is CallProtocol.WEBRTC:
            raise Refused(Reason.UNSUPPORTED, "a browser stays in the room that it opened")
        if to is room:
            return
        if len(to.participants) >= to.settings.max_participants:
            raise Refused(Reason.ROOM_FULL)
        with call.on_its_way():
            await self.plane.move(call.leg, to.settings.id)
        one = room.participant(id)
        if one is None or call.over:
            raise Refused(Reason.NO_SUCH_USER, id)
        self.publish(room.leave(id, Reason.MOVED))
        call.room = to
        self.count(room, -1)
        self.count(to, 1)
        before, call.bridge = call.bridge, self.switchboard.bridges.get(to.settings.id)
        if call.bridge is not None:
            call.bridge.take(call)
        call.rank = Rank.GUEST
        self.publish(to.join(one.but(talking=False, rank=call.rank, joined=self.clock())))
        self.presenting.tell(room)
        self.presenting.tell(to)
        log.info("participant_moved", call=call.id, room=room.settings.id, to=to.settings.id)
        await self.direct(room.settings.id)
        await self.direct(to.settings.id)
        if before is not None:
            await before.left(call, Reason.MOVED)
        if not self.has(to):  # it was deleted meanwhile
            await call.hang_up(Reason.ROOM_CLOSED)

    async def transfer(self, call: RoomCall, asker: Asker, target: str, to: RoomCall | None = None) -> None:
        """Have a participant's peer call somebody else instead of us; `TransferGoes` tells how that goes.

        target is an address; or it calls the peer of another call of ours and takes our place there (attended).
        Raises `Refused`: NOT_ALLOWED by the outbound rules, UNSUPPORTED where the peer cannot, GLARE while one is open.
        """
        if call.transferring:
            raise Refused(Reason.GLARE, "it is being transferred already")
        if to is None:
            target = self.switchboard.transferable(asker, target, call.room)
        call.transferring = target or (to.facts.name or to.facts.caller if to is not None else "")
        try:
            await call.line.transfer(target, None if to is None else to.line)
        except BaseException:
            call.transferring = ""
            raise

    # Messages

    def say(self, room: Room, who: Participant | None, text: str, name: str = "", by: str = "") -> Said:
        """Bring a message to everybody in a room but the one who wrote it, and to its history.

        In a room where all are apart it comes back to the one who wrote it and to nobody else.
        who None with a name is nobody in the room; by tells such writers apart. Raises `Refused`: see `Chat.say`.
        """
        said = room.chat.say(who.id if who else None, who.name if who else name, text, self.clock(), by)
        self.publish([said])
        apart = room.settings.apart
        for call in self.calls.values():
            browser = call.facts.protocol is CallProtocol.WEBRTC  # reads the events
            if call.room is room and call.inside and not browser and (call.participant_id == said.participant) is apart:
                self._errands.run(call.hear(said.name, said.text))
        return said

    async def message(self, facts: CallFacts, text: str) -> None:
        """Take a message of somebody who has no call in the room (see `gateway.calls.Desk`)."""
        room = self.room(facts.called)
        stage = room.holds_back(self.pins.admit(room, facts, facts.pin))
        if stage is not None:
            raise Refused(Reason.ROOM_LOCKED if stage is Stage.KNOCKING else Reason.NO_HOST)
        self.say(room, None, text, facts.name, by=facts.account or facts.source)

    # Calls

    async def arrive(self, facts: CallFacts, line: Line) -> RoomCall:
        """Decide on a new call (see `gateway.calls.Desk`)."""
        return await self._arrivals.arrive(facts, line)

    def resumable(self, token: str | None) -> RoomCall | None:
        """Return the call that one with this token comes back to."""
        return self._resumable.get(token) if token else None

    def waiting(self, room: Room) -> int:
        """Return how many are admitted but not in yet: each call of a room is a participant's or becomes one."""
        return max(0, self._calls_of[room] - len(room.participants))

    def bear(self) -> None:
        """Raise `Refused` with OVERLOAD where another call would be too much."""
        if len(self.calls) >= MAX_CALLS:
            raise Refused(Reason.OVERLOAD, "too many calls")
        self.load.check()

    async def take(self, call: RoomCall, decision: Decision) -> None:
        """Enter a call into every table, and open its media. Raises `Refused`."""
        facts, room = call.facts, call.room
        self.calls[call.id] = call
        self._legs[call.leg] = call
        self._same.setdefault(call.resume_token, []).append(call)
        self.count(room, 1)
        try:
            with self.load.one():
                await self.plane.open(call.leg, room.settings.id, self.rules.abilities_for(facts, decision.bandwidth))
        except BaseException as error:
            self.forget(call)
            if not isinstance(error, Refused):  # the caller gave up on the way, and the leg may be open or open yet
                self._errands.run(self.plane.close(call.leg, Reason.CANCELLED))
            raise
        if call.over or not self.has(room):  # it was ended, or its room deleted, while its media were opened
            self.forget(call)
            await self.plane.close(call.leg, Reason.CANCELLED)
            raise Refused(Reason.CANCELLED if self.has(room) else Reason.ROOM_CLOSED)
        self._resumable[call.resume_token] = call
        if decision.seconds is not None:
            limit = asyncio.get_running_loop().call_later(decision.seconds, self._too_long, call)
            call.at_end(limit.cancel)
        log.info(
            "call_arrived",
            call=call.id,
            protocol=facts.protocol.value,
            source=facts.source,
            room=room.settings.id,
            name=facts.name,
        )

    def _too_long(self, call: RoomCall) -> None:
        self._errands.run(call.hang_up(Reason.TIME_LIMIT))

    def forget(self, call: RoomCall) -> None:
        """Drop a call from every table; it is over."""
        if self.calls.pop(call.id, None) is None:
            return
        self._legs.pop(call.leg, None)
        self.cameras.forget(call)
        self.count(call.room, -1)
        same = self._same[call.resume_token]
        same.remove(call)
        if not same:
            del self._same[call.resume_token]
        if self._resumable.get(call.resume_token) is call:
            del self._resumable[call.resume_token]
            # One that came back in vain must not take the token from the call that is still in the room.
            for other in self.others_of(call):
                self._resumable[call.resume_token] = other

    def count(self, room: Room, more: int) -> None:
        """Count calls that are in a room or on their way into it."""
        self._calls_of[room] += more
        if not self._calls_of[room]:
            del self._calls_of[room]

    def others_of(self, call: RoomCall) -> list[RoomCall]:
        """Return the other living calls of the same participant: a browser may come back more than once at a time."""
        return [other for other in self._same.get(call.resume_token, ()) if other is not call and not other.over]

    async def direct(self, id: RoomId) -> None:
        """Give the media plane a room's plan, and return when it has it."""
        await self._directing.direct(id)

    async def close(self) -> None:
        """End every call, for the house shuts."""
        await self.dial_out.close()
        await asyncio.gather(*(self._shut(call, Reason.SHUTDOWN) for call in list(self.calls.values())))

    @staticmethod
    async def _shut(call: RoomCall, reason: Reason) -> None:
        with suppress(Refused):
            await call.hang_up(reason)

    # Events

    def publish(self, events: list[RoomEvent]) -> None:
        """Hand events to all who subscribed; one who does not read loses the oldest."""
        for queue in self._subscribers:
            for event in events:
                if queue.full():
                    queue.get_nowait()
                queue.put_nowait(event)
        for event in events:
            self.lobby.take(event)
            self.behaviour.take(event)
            self.dial_out.take(event)
            self.lists.take(event)

    async def subscribe(self) -> AsyncIterator[RoomEvent]:
        """Iterate over all that happens in the house from now on. Raises `Refused` with OVERLOAD."""
        if len(self._subscribers) >= MAX_SUBSCRIBERS:
            raise Refused(Reason.OVERLOAD)
        queue: asyncio.Queue[RoomEvent] = asyncio.Queue(MAX_WAITING_EVENTS)
        self._subscribers.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._subscribers.discard(queue)

    async def follow_media(self) -> None:
        """Take the media plane's events until it stops."""
        async for event in self.plane.events():
            try:
                await self._media_event(event)
            except Refused as refusal:
                log.warning("media_event_failed", media=type(event).__name__, reason=refusal.reason.value)

    async def _media_event(self, event: MediaEvent) -> None:
        await take_news(self, event)

    # What calls tell

    async def came_in(self, call: RoomCall, participant: Participant) -> None:
        """A call is connected: its participant is in the room."""
        room = call.room
        returns = room.participant(participant.id) is not None
        self.publish(room.join(participant))
        if returns:  # it came back without what it shared
            self.publish(room.release_floor(participant.id))
        self.presenting.tell(room)
        await self.direct(call.room.settings.id)

    async def went_out(self, call: RoomCall, reason: Reason, gone: list[RoomEvent]) -> None:
        """A call is over: the tables forget it, the others are told, and media is closed."""
        self.forget(call)
        self.outcomes[call.facts.protocol, reason] += 1
        self.publish(gone)
        left = any(isinstance(event, Left) for event in gone)
        if left:
            self.presenting.tell(call.room)
        # Whoever says that the call is over may be cancelled on this very way, as one that is dialled is.
        await asyncio.shield(asyncio.ensure_future(self._close_media(call, reason, left)))

    async def _close_media(self, call: RoomCall, reason: Reason, left: bool) -> None:
        await self.plane.close(call.leg, reason)
        if left:
            await self.direct(call.room.settings.id)

    def pressed(self, call: RoomCall, digit: str) -> None:
        """A participant pressed a key."""
        self.publish([KeyPressed(call.room.settings.id, call.participant_id, digit)])
