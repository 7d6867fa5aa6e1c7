"""What a host wants: somebody called into the room, that given up, a participant sent elsewhere or seen large."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.reasons import Reason, Refused
from gateway.rooms.dial_out import DialWish
from gateway.rooms.hosting import spotlight
from gateway.rooms.model import ParticipantId, Rank
from gateway.rooms.outbound import Asker, Role

if TYPE_CHECKING:
    from gateway.rooms.call import RoomCall
    from gateway.rooms.desk import FrontDesk


@dataclass(frozen=True, slots=True)
class WantsCalled:
    """Call an address into the room; name is what the others read, empty for the number."""

    target: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class WantsCancelled:
    """Call somebody no more: the id of a dialled call."""

    id: str


@dataclass(frozen=True, slots=True)
class WantsMoved:
    """Bring a participant into another room."""

    participant: str
    room: str


@dataclass(frozen=True, slots=True)
class WantsTransferred:
    """Have a participant's device call an address instead of us."""

    participant: str
    target: str


@dataclass(frozen=True, slots=True)
class WantsSpotlight:
    """Have everybody see a participant large, whoever speaks; None: nobody."""

    participant: str | None


HostWish = WantsCalled | WantsCancelled | WantsMoved | WantsTransferred | WantsSpotlight


async def fulfil(desk: FrontDesk, call: RoomCall, wish: HostWish) -> None:
    """Do what somebody wants who is in a room. Raises `Refused`: NOT_ALLOWED for who is no host, and what that raises.

    Addresses outside are called where an outbound rule allows that to hosts of this room. Somebody is brought only into
    rooms that take everybody at this moment: without a guest PIN, open, and with nobody waiting for a host.
    """
    room = call.room
    one = room.participant(call.participant_id) if call.inside else None
    if one is None or one.rank is not Rank.HOST or room.private:
        raise Refused(Reason.NOT_ALLOWED, "only a host may do that")
    asker = Asker(Role.HOST, room.settings.id, call.facts.account, call.facts.source, call.facts.trunk)
    match wish:
        case WantsCalled(target, name):
            desk.dial_out.begin(asker, room, DialWish(target, name=name))
        case WantsCancelled(id):
            if desk.dial_out.one(id).room is not room:
                raise Refused(Reason.NO_SUCH_USER)
            await desk.dial_out.cancel(id)
        case WantsMoved(participant, target):
            to = desk.room(target)
            if to.settings.guest_pin is not None or to.holds_back(Rank.GUEST) is not None:
                raise Refused(Reason.NOT_ALLOWED, "that room does not take everybody")
            await desk.move(room, ParticipantId(participant), to)
        case WantsSpotlight(participant):
            await spotlight(desk, room, None if participant is None else ParticipantId(participant), one.name)
        case WantsTransferred(participant, target):
            await desk.transfer(desk.call_of(room, ParticipantId(participant)), asker, target)
