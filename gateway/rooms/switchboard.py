"""The switchboard: where a call goes that comes in, and who may have which call placed.

It holds what the configuration says of that (dial plan, outbound rules, external policy), and the gateway calls that
go on. The desk asks it about each call that arrives; calls out of the house are placed here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from gateway.calls import Call, CallFacts, CallProtocol, Dialler, Direction, Order, Place
from gateway.reasons import Reason, Refused
from gateway.rooms.bridge import Bridge
from gateway.rooms.dial_plan import Destination, DialPlan, Refuse, ToCall, ToMenu, ToRoom
from gateway.rooms.identity import make_id
from gateway.rooms.model import OutboundRefused, RoomSettings
from gateway.rooms.outbound import Asker, Denied, Outbound, Permit, Role, Target, read_target
from gateway.rooms.pattern import MAX_TEXT
from gateway.rooms.policy import NOTHING_SAID, Decision, Policy
from gateway.rooms.room import Room
from gateway.text import clean
from transcode.media import RoomId, Wanted

if TYPE_CHECKING:
    from gateway.rooms.call import RoomCall
    from gateway.rooms.desk import FrontDesk

log = structlog.get_logger()

MAX_NAME = 64
"""Characters of a called one's number that the others read as its name."""


def _nobody(user: str) -> bool:
    return False


class Switchboard:
    """One for the whole house. is_user tells whether a name is that of an account."""

    def __init__(self, desk: FrontDesk) -> None:
        self.desk = desk
        self.plan = DialPlan()
        self.outbound = Outbound()
        self.policy: Policy | None = None
        self.dialler: Dialler | None = None
        self.is_user: Callable[[str], bool] = _nobody
        self.bridges: dict[RoomId, Bridge] = {}
        """The gateway calls that go on, by their private rooms."""

    # calls that come in

    async def where(self, facts: CallFacts) -> tuple[Destination, Decision]:
        """Decide where a call goes that came in, and as what. Raises `Refused`."""
        destination, decision = self.plan.arriving(facts, self.desk.knows, self.is_user), NOTHING_SAID
        if isinstance(destination, Refuse):
            raise Refused(destination.reason, "by the dial plan")
        if self.policy is not None:
            decision = await self.policy.decide(facts, destination)
            destination = decision.destination or destination
        if isinstance(destination, Refuse):
            raise Refused(destination.reason, "by the external policy")
        if isinstance(destination, ToMenu) and not self.desk.entrance.leads(facts):
            raise Refused(Reason.NO_SUCH_ROOM, "no room was named")
        if isinstance(destination, ToCall) and facts.protocol is CallProtocol.WEBRTC:
            raise Refused(Reason.NO_SUCH_ROOM, facts.called[:64])  # browsers enter rooms alone
        return destination, decision

    def leads(self, facts: CallFacts) -> Destination | None:
        """Return where a call would go that has not come yet; None where nobody knows whom it is for.

        The external policy is asked when the call comes, so that with one every alias may lead somewhere.
        """
        destination = self.plan.arriving(facts, self.desk.knows, self.is_user)
        nowhere = (isinstance(destination, ToMenu) and not self.desk.entrance.leads(facts)) or (
            isinstance(destination, ToRoom) and not self.desk.knows(destination.room)
        )
        return None if nowhere and self.policy is None else destination

    def bridge(self, facts: CallFacts, to: ToCall) -> Bridge:
        """Make the private room of a gateway call."""
        id = RoomId(f"call:{make_id()}")  # no room of anybody's has a colon in its id
        room = Room(RoomSettings(id, f"{facts.name or facts.caller} - {to.target.partition(':')[2]}"), private=True)
        made = self.bridges[id] = Bridge(self, room, to)
        self.desk.keep_private(room)
        return made

    def closed(self, bridge: Bridge) -> None:
        """Forget a gateway call that is over."""
        id = bridge.room.settings.id
        if self.bridges.pop(id, None) is not None:
            self.desk.forget_private(id)

    # calls out of the house

    async def place(
        self, asker: Asker, order: Order, room: Room, name: str = "", dial: Place | None = None, dialled: str = ""
    ) -> RoomCall:
        """Call somebody into a room for one who may do so; return the call when it was answered.

        name is what the others read of the one who is called; dial places the call instead of the house's dialler;
        dialled is the id of the dialled call that it is a try of.
        Raises `Denied` where the house will not call: NOT_ALLOWED, OVERLOAD, BAD_REQUEST; else `Refused` with the
        reason that the one who is called gave.
        """
        if self.dialler is None:
            raise Refused(Reason.UNSUPPORTED, "this gateway places no calls")
        try:
            order, permit = self._allowed(asker, order, room)
        except Refused as refused:
            raise Denied(refused.reason, refused.detail) from None
        number = clean(read_target(order.target).number, MAX_NAME)
        facts = CallFacts(
            protocol=CallProtocol.SIP,
            direction=Direction.OUTGOING,
            source="",
            caller=order.target,
            name=name or number or order.target,
            called=room.settings.id,
            pin=room.settings.guest_pin,
            trunk=order.trunk,
            video=order.wanted.video,
            hops=order.hops,
            dialled=dialled,
        )
        bridge = self.bridges.get(room.settings.id)
        reason = Reason.NORMAL
        if bridge is not None:
            bridge.pending += 1
        try:
            placed = await (dial or self.dialler.dial)(order, facts)
        except BaseException as error:
            reason = error.reason if isinstance(error, Refused) else Reason.CANCELLED
            if permit is not None:
                permit.give_back()
            raise
        finally:
            if bridge is not None:
                bridge.pending -= 1
                await bridge.settled(reason)
        call = self.desk.calls.get(placed.id)
        if call is None or call.over:
            if permit is not None:
                permit.give_back()
            raise Refused(Reason.CANCELLED, "the call ended at once")
        if permit is not None:
            call.at_end(permit.give_back)
        return call

    def check(self, asker: Asker, order: Order, room: Room) -> None:
        """Tell whether somebody may have a call placed now. Raises `Denied` as `place` does."""
        if self.dialler is None:
            raise Denied(Reason.UNSUPPORTED, "this gateway places no calls")
        try:
            _, permit = self._allowed(asker, order, room)
        except Refused as refused:
            raise Denied(refused.reason, refused.detail) from None
        if permit is not None:
            permit.give_back()

    def _allowed(self, asker: Asker, order: Order, room: Room) -> tuple[Order, Permit | None]:
        """Return what is really called, and the permit for it where it is outside. Raises `Refused`."""
        planned = self._planned(asker, order.target, order.trunk, room.settings.id)
        target = read_target(planned.target)
        user = self._user(planned.target)
        if user is not None and not planned.trunk:
            return replace(order, target=f"user:{user}", trunk=""), None
        if target.scheme == "user":
            raise Refused(Reason.NO_SUCH_USER, target.number[:64])
        permit = self._permit(asker, target, planned.trunk, room.settings.id)
        return replace(order, target=target.text, trunk=permit.trunk), permit

    def _permit(self, asker: Asker, target: Target, trunk: str, room: RoomId) -> Permit:
        """Return the permit for a call to the outside. Raises `Refused`, and tells of that."""
        try:
            return self.outbound.permit(asker, target, trunk)
        except Refused as refused:
            self._refused(asker, target.text, room, refused.reason)
            raise

    def _refused(self, asker: Asker, target: str, room: RoomId, reason: Reason) -> None:
        """Tell that somebody wanted an address called and may not."""
        role = asker.role.value
        log.warning(
            "outbound_refused",
            reason=reason.value,
            role=role,
            room=room,
            account=asker.account,
            source=asker.source,
            target=target,
        )
        self.desk.publish([OutboundRefused(room, role, asker.account, asker.source, target, reason)])

    def _planned(self, asker: Asker, target: str, trunk: str, room: RoomId) -> ToCall:
        """Return what the dial plan makes of an outgoing call. Raises `Refused`."""
        facts = CallFacts(
            protocol=CallProtocol.SIP,
            direction=Direction.OUTGOING,
            source=asker.source,
            caller="",
            name="",
            called=room,
            trunk=asker.trunk,
            account=asker.account,
        )
        planned = self.plan.leaving(facts, target, trunk)
        if isinstance(planned, Refuse):
            self.outbound.refused[planned.reason] += 1
            self._refused(asker, target[:MAX_TEXT], room, planned.reason)
            raise Refused(planned.reason, "by the dial plan")
        return planned

    def _user(self, target: str) -> str | None:
        scheme, _, name = target.partition(":")
        if scheme.lower() == "user":
            return name if self.is_user(name) else None
        return self.dialler.user_of(target) if self.dialler is not None else None

    # calls for those who are in one

    def asker(self, call: RoomCall) -> Asker:
        """Return as whom somebody in a room asks."""
        facts = call.facts
        room = "" if call.room.private else str(call.room.settings.id)
        role = Role(call.rank.value) if room else Role.CALLER
        return Asker(role, room, facts.account, facts.source, facts.trunk)

    def may_refer(self, call: Call, target: str) -> bool:
        """Tell whether somebody in a call may have us call an address into it, or call it in our stead."""
        mine = self.desk.calls.get(call.id)
        if mine is None or mine.visitor is not None:
            return False
        asker = self.asker(mine)
        try:
            planned = self._planned(asker, target, "", mine.room_id)
            known = read_target(planned.target)
        except Refused:
            return False
        if self._user(planned.target) is not None and not planned.trunk:
            return True
        allowed = self.outbound.may(asker, known)
        if not allowed:
            self.outbound.refused[Reason.NOT_ALLOWED] += 1
            self._refused(asker, known.text, mine.room_id, Reason.NOT_ALLOWED)
        return allowed

    def transferable(self, asker: Asker, target: str, room: Room) -> str:
        """Return the address that a peer may be sent to. Raises `Refused`."""
        planned = self._planned(asker, target, "", room.settings.id)
        known = read_target(planned.target)
        if self._user(known.text) is None:
            # Nobody counts the calls that others make: the permit is only to be had.
            self._permit(asker, known, "", room.settings.id).give_back()
        return known.text

    async def refer(self, call: Call, target: str, dial: Place) -> Call:
        """Call an address into the room of somebody who asked for it (REFER). Raises `Refused`."""
        mine = self.desk.calls.get(call.id)
        if mine is None:
            raise Refused(Reason.CANCELLED)
        if mine.visitor is not None:
            raise Refused(Reason.NOT_ALLOWED, "it is in no room yet")
        facts = mine.facts
        wanted = Wanted(video=facts.video or not mine.room.private)
        order = Order(target, sender=facts.account, display=facts.name, wanted=wanted, hops=facts.hops - 1)
        return await self.place(self.asker(mine), order, mine.room, dial=dial)

    async def join(self, call: Call, other: Call) -> None:
        """Put together those whom somebody is in two calls with, for it wants to leave both (attended transfer).

        Whoever is at the other end of the second call comes into the first one, or the reverse where the second is in
        a room. Raises `Refused`: UNSUPPORTED where neither is a gateway call.
        """
        mine, theirs = self.desk.calls.get(call.id), self.desk.calls.get(other.id)
        if mine is None or theirs is None or mine.room is theirs.room:
            raise Refused(Reason.CANCELLED)
        if mine.visitor is not None or theirs.visitor is not None:
            raise Refused(Reason.UNSUPPORTED, "one of the calls is in no room yet")
        if theirs.bridge is None:
            mine, theirs = theirs, mine
        if theirs.bridge is None or not theirs.bridge.up:
            raise Refused(Reason.UNSUPPORTED, "neither is a call between two")
        for one in theirs.bridge.calls:
            if one is not theirs and one.inside:
                await self.desk.move(one.room, one.participant_id, mine.room)
