"""Calls that arrive: what is decided on each before it is anywhere in the house.

Theory of operation. A call that the house placed belongs where that was decided; one that takes another one's place
(`CallFacts.instead_of`) comes where that one is. Of all others the switchboard says where they go: to the menu, into a
room, to somebody else. One that may not go into its room yet waits outside: at the entrance where it can be asked for
what is missing, in the lobby where it has to wait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from gateway.calls import CallFacts, Direction, Line
from gateway.reasons import Reason, Refused
from gateway.rooms.bridge import Bridge
from gateway.rooms.call import RoomCall
from gateway.rooms.dial_plan import ToCall, ToMenu, ToRoom
from gateway.rooms.entrance import ASKED_FOR, HeldBack
from gateway.rooms.identity import make_id, make_token
from gateway.rooms.model import CallRefused, ParticipantId, Stage
from gateway.rooms.policy import NOTHING_SAID, Decision
from gateway.rooms.room import Room
from transcode.media import RoomId

if TYPE_CHECKING:
    from gateway.rooms.desk import FrontDesk

log = structlog.get_logger()


class Arrivals:
    """Decides on all calls that come; one for the whole house."""

    def __init__(self, desk: FrontDesk) -> None:
        self._desk = desk

    async def arrive(self, facts: CallFacts, line: Line) -> RoomCall:
        """Decide on a new call (see `gateway.calls.Desk`). Who is refused is counted and told of."""
        try:
            return await self._arrive(facts, line)
        except Refused as refusal:
            log.info(
                "call_refused",
                protocol=facts.protocol.value,
                source=facts.source,
                room=facts.called[:64],
                reason=refusal.reason.value,
                detail=refusal.detail[:128],
            )
            self._desk.outcomes[facts.protocol, refusal.reason] += 1
            self._desk.publish([CallRefused(RoomId(facts.called), facts, refusal.reason)])
            raise

    async def _arrive(self, facts: CallFacts, line: Line) -> RoomCall:
        desk = self._desk
        if facts.direction is Direction.OUTGOING:  # the house placed it and knows where it belongs
            found = desk.anywhere(RoomId(facts.called))
            if found is None:
                raise Refused(Reason.CANCELLED, "the room is gone")
            return await self._admit(found, facts, line, NOTHING_SAID, desk.switchboard.bridges.get(found.settings.id))
        old = desk.calls.get(facts.instead_of) if facts.instead_of is not None else None
        if old is not None and not old.over and old.visitor is None:
            return await self._admit(old.room, facts, line, Decision(rank=old.rank), old.bridge)
        destination, decision = await desk.switchboard.where(facts)
        facts = decision.applied(facts)
        if isinstance(destination, ToMenu):
            return await desk.entrance.arrive(facts, line, decision, Stage.MENU, language=destination.language)
        if isinstance(destination, ToRoom):
            return await self._let_in(desk.room(destination.room), facts, line, decision)
        assert isinstance(destination, ToCall)
        return await self._put_through(destination, facts, line, decision)

    async def _let_in(self, room: Room, facts: CallFacts, line: Line, decision: Decision) -> RoomCall:
        """Take a call into a room; one that can be asked for its PIN is."""
        entrance = self._desk.entrance
        try:
            return await self._admit(room, facts, line, decision, newcomer=True)
        except HeldBack as held:
            waits = held
        except Refused as refused:
            if refused.reason not in ASKED_FOR or not entrance.leads(facts):
                raise
            return await entrance.arrive(facts, line, decision, Stage.PIN, room, refused.reason)
        return await self._desk.lobby.arrive(room, facts, line, decision, waits)

    async def _put_through(self, to: ToCall, facts: CallFacts, line: Line, decision: Decision) -> RoomCall:
        bridge = self._desk.switchboard.bridge(facts, to)
        try:
            return await self._admit(bridge.room, facts, line, decision, bridge)
        except BaseException:
            self._desk.switchboard.closed(bridge)
            raise

    async def _admit(
        self,
        room: Room,
        facts: CallFacts,
        line: Line,
        decision: Decision,
        bridge: Bridge | None = None,
        newcomer: bool = False,
    ) -> RoomCall:
        """Take a call into a room. A newcomer, whom nobody called and who takes nobody's place, may have to wait.

        Raises `Refused`; HeldBack.
        """
        desk = self._desk
        earlier = desk.resumable(facts.resume)
        if earlier is not None and earlier.room is room and not earlier.over:
            call = RoomCall(desk, room, facts, line, earlier.rank, earlier.participant_id, earlier.resume_token)
        else:
            desk.bear()
            rank = desk.pins.admit(room, facts, facts.pin, desk.waiting(room), decision)
            stage = room.holds_back(rank) if newcomer else None
            if stage is not None:
                raise HeldBack(rank, stage)
            call = RoomCall(desk, room, facts, line, rank, ParticipantId(make_id()), make_token(), bridge)
        await desk.take(call, decision)
        if bridge is not None:
            bridge.take(call)
        return call
