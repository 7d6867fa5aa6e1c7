"""A call in a room: what an adapter holds (`gateway.calls.Call`) and what the desk does through its line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog

from gateway.calls import CallFacts, CallId, CallProtocol, Direction, Floor, KeyWay, Line
from gateway.reasons import Reason, Refused
from gateway.rooms.host_wishes import HostWish, fulfil
from gateway.rooms.identity import make_id
from gateway.rooms.keys import KeyJoiner, Source
from gateway.rooms.model import (
    CallFailed,
    Formats,
    Participant,
    ParticipantId,
    Rank,
    Ringing,
    RoomEvent,
    Stage,
    TransferGoes,
)
from gateway.rooms.room import Room
from transcode.media import Candidate, LegId, MediaDescription, Role, RoomId, Wanted

if TYPE_CHECKING:
    from gateway.rooms.bridge import Bridge
    from gateway.rooms.desk import FrontDesk
    from gateway.rooms.entrance import Visitor

log = structlog.get_logger()

MAX_UNHEARD = 20
"""Messages that wait to be shown to one peer; one that falls further behind loses the newest."""


class RoomCall:
    """One call from its arrival to its end.

    inside says that its participant is in the room, rings that the peer is being rung; over that it ended. Once
    connected it takes over its participant from every other call that has the same resume token. bridge is the gateway
    call that it is part of; visitor is there while it stands outside (`gateway.rooms.entrance`), and is not inside.
    """

    def __init__(
        self,
        desk: FrontDesk,
        room: Room,
        facts: CallFacts,
        line: Line,
        rank: Rank,
        participant_id: ParticipantId,
        resume_token: str,
        bridge: Bridge | None = None,
    ) -> None:
        self.id = CallId(make_id())
        self.leg = LegId(self.id)
        self.room = room
        self.facts = facts
        self.line = line
        self.rank = rank
        self.participant_id = participant_id
        self.resume_token = resume_token
        self.bridge = bridge
        self.visitor: Visitor | None = None
        self.inside = False
        self.rings = False
        self.over = False
        self.floor = Floor.FREE
        """What its line knows of who presents."""
        self.transferring = ""
        """Where the peer was asked to call instead, while that is open."""
        self._moving = False
        self._at_end: list[Callable[[], None]] = []
        self._desk = desk
        self._muted = False
        self._camera_off = False
        self._hearing = asyncio.Lock()
        self._unheard = 0
        self._keys = KeyJoiner()
        self.signals_keys = facts.protocol is CallProtocol.H323
        """Whether its line is told of keys where media have no events: H.245 always can, SIP's peers do not tell."""

    @property
    def room_name(self) -> str:
        """What people read of the room."""
        return self.room.settings.title

    @property
    def room_id(self) -> RoomId:
        """The room that the call is in or goes to."""
        return self.room.settings.id

    def at_end(self, do: Callable[[], None]) -> None:
        """Have something done when the call is over."""
        self._at_end.append(do)

    @contextmanager
    def on_its_way(self) -> Iterator[None]:
        """Say that its media are brought into another room: once at a time, or house and media would not agree.

        Raises `Refused` with GLARE.
        """
        if self._moving:
            raise Refused(Reason.GLARE, "it is on its way to another room")
        self._moving = True
        try:
            yield
        finally:
            self._moving = False

    async def admitted(self) -> None:
        """Return at once for a room; of a gateway call when the other one has answered. Raises `Refused`."""
        self._living()
        if self.bridge is not None:
            await self.bridge.put_through(self)

    @property
    def waits(self) -> bool:
        """Whether it waits before a room, to be let in."""
        return self._desk.lobby.place_of(self) is not None

    async def waiting(self) -> AsyncIterator[tuple[Stage, str]]:
        """Iterate over what it waits for and before which room, with each change, until it may come in or is over."""
        async for stage in self._desk.lobby.follow(self):
            wish = None if self.visitor is None else self.visitor.wish
            yield stage, "" if wish is None else wish.settings.title

    async def promote(self, pin: str) -> None:
        """Make a host of whoever knows the host PIN. Raises `Refused`: see `Hosts.promote`."""
        await self._desk.hosts.promote(self, pin)

    async def decide(self, id: str, admitted: bool) -> None:
        """Let somebody in who waits, or turn it away. Raises `Refused`: see `Hosts.decide`."""
        await self._desk.hosts.decide(self, id, admitted)

    async def ringing(self) -> None:
        """The peer of a call that we place is being rung; a second time does nothing."""
        if self.rings or self.inside or self.over:
            return
        self.rings = True
        self._desk.publish([Ringing(self.room_id, self.id, self.facts)])
        if self.bridge is not None:
            await self.bridge.rings()

    async def answer(self, remote: MediaDescription) -> MediaDescription:
        """Take the peer's offer and return our answer."""
        self._living()
        with self._desk.load.one():
            return await self._desk.plane.answer(self.leg, remote)

    async def offer(self, wanted: Wanted) -> MediaDescription:
        """Return our offer."""
        self._living()
        with self._desk.load.one():
            return await self._desk.plane.offer(self.leg, wanted)

    async def accept(self, remote: MediaDescription) -> None:
        """Take the peer's answer to our offer."""
        self._living()
        with self._desk.load.one():
            await self._desk.plane.accept(self.leg, remote)

    async def candidate(self, stream: str, candidate: Candidate | None) -> None:
        """Take a trickled remote ICE candidate."""
        if not self.over:
            await self._desk.plane.candidate(self.leg, stream, candidate)

    async def connected(self) -> None:
        """Let the participant in; a second time does nothing."""
        if self.inside or self.over:
            return
        if self.visitor is not None:
            await self.visitor.connected(self._participant())
            return
        await self.come_in()

    async def come_in(self, **formats: Formats) -> None:
        """Bring the participant into the room; formats are what is known of its audio, video and slides."""
        self.inside = True
        earlier = self._desk.others_of(self)
        for each in earlier:
            each.inside = False
        participant = self._participant().but(**formats)
        await self._desk.came_in(self, participant)
        log.info("participant_joined", call=self.id, room=self.room.settings.id, name=participant.name)
        for each in earlier:
            await each.hang_up(Reason.REPLACED)

    def _participant(self) -> Participant:
        return Participant(
            id=self.participant_id,
            call=self.id,
            leg=self.leg,
            name=self.facts.name or self.facts.caller or self.facts.source,
            protocol=self.facts.protocol,
            rank=self.rank,
            facts=self.facts,
            joined=self._desk.clock(),
            muted_by_self=self._muted,
            camera_off=self._camera_off,
            signals_keys=self.signals_keys,
        )

    async def key_frame(self, role: Role | None = None) -> None:
        """Send the peer a key frame."""
        if not self.over:
            await self._desk.plane.key_frame(self.leg, role)

    async def present(self, wanted: bool) -> None:
        """The peer wants to present, or no longer."""
        await self._desk.presenting.ask(self, wanted)

    async def dtmf(self, digit: str, duration: int, way: KeyWay = KeyWay.INFO) -> None:
        """The peer pressed a key by signalling; who does so by INFO is told of keys by it."""
        if way is KeyWay.INFO and not self.signals_keys:
            self.signals_keys = True
            if self.inside and self.bridge is not None:
                self._desk.publish(self.room.change(self.participant_id, signals_keys=True))
                await self._desk.direct(self.room_id)
        await self.key(digit, duration, way)

    async def key(self, digit: str, duration: int, source: Source) -> None:
        """Take a key that the peer pressed, once for all sources that tell of it; duration in ms."""
        if not self._keys.press(digit, duration, source, asyncio.get_running_loop().time()):
            return
        if self.visitor is not None:
            self.visitor.pressed(digit)
        elif self.inside:
            if self.bridge is None and not self.room.settings.apart:
                await self._desk.commands.pressed(self, digit)
                return
            self._desk.pressed(self, digit)
            if self.bridge is not None:
                await self.bridge.pressed(self, digit, duration)
            if self.room.settings.apart:
                await self._desk.plane.confirm_key(self.leg, digit)

    async def fulfil(self, wish: HostWish) -> None:
        """Do what the peer wants, where it is a host. Raises `Refused`: see `host_wishes.fulfil`."""
        await fulfil(self._desk, self, wish)

    async def wrote(self, text: str) -> None:
        """Bring what the peer wrote to the room. Raises `Refused`."""
        one = self.room.participant(self.participant_id) if self.inside else None
        if one is None:
            raise Refused(Reason.BAD_REQUEST, "not in the room yet")
        self._desk.say(self.room, one, text)

    async def hear(self, name: str, text: str) -> None:
        """Show the peer what somebody else wrote: as real-time text if it has that, else as its line can."""
        if self._unheard >= MAX_UNHEARD:
            return
        self._unheard += 1
        try:
            async with self._hearing:
                if not self.over and not await self._desk.plane.send_text(self.leg, f"{name}: {text}"):
                    await self.line.say(name, text)
        except Refused as refused:
            log.info("message_not_shown", call=self.id, reason=refused.reason.value)
        finally:
            self._unheard -= 1

    async def mute(self, audio: bool | None = None, video: bool | None = None) -> None:
        """Note that the peer muted or unmuted itself."""
        if audio is not None:
            self._muted = audio
        if video is not None:
            self._camera_off = video
        if self.inside:
            changes: dict[str, object] = {"muted_by_self": self._muted, "camera_off": self._camera_off}
            if self._muted:
                changes["talking"] = False
            self._desk.publish(self.room.change(self.participant_id, **changes))
            await self._desk.direct(self.room.settings.id)

    async def hang_up(self, reason: Reason) -> None:
        """End the call from our side; if its adapter does not, it is ended here."""
        try:
            await self.line.hang_up(reason)
        finally:
            await self.ended(reason)

    async def transfer_goes(self, reason: Reason | None, over: bool) -> None:
        """The peer tells how the call goes that it was asked to make instead of this one."""
        target = self.transferring
        if not target or self.over:
            return
        if over:
            self.transferring = ""
        said = "trying" if reason is None else reason.value
        log.info("transfer_goes", call=self.id, room=self.room_id, target=target, reason=said, over=over)
        self._desk.publish([TransferGoes(self.room_id, self.participant_id, target, reason, over)])
        if reason is Reason.NORMAL and over:
            await self.hang_up(Reason.TRANSFERRED)

    async def ended(self, reason: Reason) -> None:
        """The call is over; calling it again does nothing."""
        if self.over:
            return
        self.over = True
        if self.transferring and reason is Reason.NORMAL:
            reason = Reason.TRANSFERRED  # it left us for the one that it was sent to
        gone: list[RoomEvent] = self.room.leave(self.participant_id, reason) if self.inside else []
        if not self.inside and (self.bridge is not None or self.facts.direction is Direction.OUTGOING):
            gone = [CallFailed(self.room_id, self.id, self.facts, reason)]
        if self.visitor is not None:
            gone = self._desk.entrance.left(self.visitor, reason)
        self.inside = False
        log.info("call_ended", call=self.id, room=self.room_id, reason=reason.value)
        for do in self._at_end:
            do()
        try:
            await self._desk.went_out(self, reason, gone)
        finally:
            if self.bridge is not None:
                await self.bridge.left(self, reason)

    def _living(self) -> None:
        if self.over:
            raise Refused(Reason.CANCELLED)
