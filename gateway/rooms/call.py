"""A call in a room: what an adapter holds (`gateway.calls.Call`) and what the desk does through its line."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from gateway.calls import CallFacts, CallId, Line
from gateway.reasons import Reason, Refused
from gateway.rooms.identity import make_id
from gateway.rooms.model import Participant, ParticipantId, Rank, RoomEvent
from gateway.rooms.room import Room
from transcode.media import Candidate, LegId, MediaDescription, Wanted

if TYPE_CHECKING:
    from gateway.rooms.desk import FrontDesk

log = structlog.get_logger()

MAX_UNHEARD = 20
"""Messages that wait to be shown to one peer; one that falls further behind loses the newest."""


class RoomCall:
    """One call from its arrival to its end.

    inside says that its participant is in the room; over that it ended. Once connected it takes over its participant
    from every other call that has the same resume token.
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
    ) -> None:
        self.id = CallId(make_id())
        self.leg = LegId(self.id)
        self.room = room
        self.facts = facts
        self.line = line
        self.rank = rank
        self.participant_id = participant_id
        self.resume_token = resume_token
        self.inside = False
        self.over = False
        self._desk = desk
        self._muted = False
        self._camera_off = False
        self._hearing = asyncio.Lock()
        self._unheard = 0

    @property
    def room_name(self) -> str:
        """What people read of the room."""
        return self.room.settings.title

    async def admitted(self) -> None:
        """Return at once: whoever has a call in a room may be answered."""

    async def answer(self, remote: MediaDescription) -> MediaDescription:
        """Take the peer's offer and return our answer."""
        self._living()
        return await self._desk.plane.answer(self.leg, remote)

    async def offer(self, wanted: Wanted) -> MediaDescription:
        """Return our offer."""
        self._living()
        return await self._desk.plane.offer(self.leg, wanted)

    async def accept(self, remote: MediaDescription) -> None:
        """Take the peer's answer to our offer."""
        self._living()
        await self._desk.plane.accept(self.leg, remote)

    async def candidate(self, stream: str, candidate: Candidate | None) -> None:
        """Take a trickled remote ICE candidate."""
        if not self.over:
            await self._desk.plane.candidate(self.leg, stream, candidate)

    async def connected(self) -> None:
        """Let the participant in; a second time does nothing."""
        if self.inside or self.over:
            return
        self.inside = True
        earlier = self._desk.others_of(self)
        for each in earlier:
            each.inside = False
        participant = Participant(
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
        )
        await self._desk.came_in(self, participant)
        log.info("participant_joined", call=self.id, room=self.room.settings.id, name=participant.name)
        for each in earlier:
            await each.hang_up(Reason.REPLACED)

    async def key_frame(self) -> None:
        """Send the peer a key frame."""
        if not self.over:
            await self._desk.plane.key_frame(self.leg)

    async def dtmf(self, digit: str, duration: int) -> None:
        """Note a key that the peer pressed."""
        if self.inside:
            self._desk.pressed(self, digit)
            if self.room.settings.apart:
                await self._desk.plane.confirm_key(self.leg, digit)

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

    async def ended(self, reason: Reason) -> None:
        """The call is over; calling it again does nothing."""
        if self.over:
            return
        self.over = True
        gone: list[RoomEvent] = self.room.leave(self.participant_id, reason) if self.inside else []
        self.inside = False
        log.info("call_ended", call=self.id, room=self.room.settings.id, reason=reason.value)
        await self._desk.went_out(self, reason, gone)

    def _living(self) -> None:
        if self.over:
            raise Refused(Reason.CANCELLED)
