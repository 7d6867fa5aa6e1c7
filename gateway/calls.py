"""Calls: what every protocol adapter hands over, and nothing of any protocol.

An adapter that hears of a new call gathers `CallFacts`, brings them with a `Line` to the `Desk`, and gets a `Call`
back or `Refused`. From then on it speaks to the call, and the house speaks to the call's line:

    call = await desk.arrive(facts, line)          # Refused: tell the peer why
    await call.admitted()                          # the house may let the caller wait: a call to another terminal;
                                                   # to be cancelled when the caller gives up meanwhile
    local = await call.answer(remote)              # or: local = await call.offer(wanted); await call.accept(remote)
    await call.connected()                         # the peer knows that we answered
    ...                                            # re-offers: answer() or offer()/accept() again
    await call.ended(reason)                       # always, exactly once; media is closed by it

`Desk` is implemented by `gateway.rooms`, `Line` by each adapter. A call that the house places goes the same way: the
`Dialler` has an adapter place it, and the adapter brings it to the desk with outgoing facts before it invites the peer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import NewType, Protocol

from gateway.reasons import Reason
from transcode.media import Candidate, LegId, MediaDescription, Role, RoomId, SrtpPolicy, Wanted

CallId = NewType("CallId", str)
"""The id of a call in logs, records and the API; never a protocol's own."""


MAX_HOPS = 70
"""Times that a call may be passed on, where nobody said less (RFC 3261 §8.1.1.6)."""


class CallProtocol(Enum):
    """How a participant is connected."""

    SIP = "sip"
    H323 = "h323"
    WEBRTC = "webrtc"


class KeyWay(Enum):
    """How signalling told of a pressed key: SIP INFO, H.245's two kinds, Q.931's keypad, a browser's page."""

    INFO = "info"
    ALPHANUMERIC = "alphanumeric"
    SIGNAL = "signal"
    KEYPAD = "keypad"
    PAGE = "page"


class Floor(Enum):
    """Who presents in a room, as one call in it sees that: nobody, its own peer, or somebody else."""

    FREE = "free"
    PEER = "peer"
    TAKEN = "taken"


class Direction(Enum):
    """Who called whom."""

    INCOMING = "incoming"
    OUTGOING = "outgoing"


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What is known of a call when it arrives, all of it said by the peer but protocol, source and secure.

    source is "address:port"; caller an address as the protocol writes it; name what to show of the caller; called
    the alias that was dialled, without host; pin None unless one was dialled with it; secure whether the signalling
    was encrypted; agent the peer's product; resume the participant id that a returning browser holds.

    What the adapter found out itself: trunk is the name of the trunk or static peer that the call came through,
    account the user whose password was checked; both empty if none. srtp is the encryption policy of the listener or
    trunk, None leaves it to the house. diverted_from is the number that the call was diverted from (RFC 5806), empty
    if it was not. video is False where the caller surely sends and takes no pictures. hops is how often the call may
    still be passed on (RFC 3261 §8.1.1.6), so that it does not go round for ever. instead_of is the call whose place
    it takes (RFC 3891), None for most. keys is False where the caller surely can press no keys and hear no question.
    dialled is the id of the dialled call that it is a try of, empty for others.
    """

    protocol: CallProtocol
    direction: Direction
    source: str
    caller: str
    name: str
    called: str
    pin: str | None = field(default=None, repr=False)
    secure: bool = False
    agent: str = ""
    peer_call_id: str = ""
    resume: str | None = None
    trunk: str = ""
    account: str = ""
    srtp: SrtpPolicy | None = None
    diverted_from: str = ""
    video: bool = True
    hops: int = MAX_HOPS
    instead_of: CallId | None = None
    dialled: str = ""
    keys: bool = True


class Line(Protocol):
    """What the house asks of a call's adapter."""

    async def hang_up(self, reason: Reason) -> None:
        """End the call towards the peer, in whatever state it is; the adapter still calls `Call.ended`."""

    async def request_key_frame(self, stream: str) -> None:
        """Ask the peer for a key frame by signalling."""

    async def local_candidate(self, stream: str, candidate: Candidate | None) -> None:
        """Pass on a local ICE candidate; adapters without trickle ignore it."""

    async def ringing(self) -> None:
        """Tell a caller who waits to be admitted that the one it wants is being rung; a second time does nothing."""

    async def renegotiate(self, wanted: Wanted) -> None:
        """Offer the peer new media in mid call: `Call.offer` and `Call.accept` follow."""

    async def say(self, name: str, text: str) -> None:
        """Show the peer what somebody else wrote in the room, if its protocol has a way for it."""

    async def press(self, digit: str, duration: int) -> None:
        """Press a key at the peer by signalling, where media cannot carry it; duration in ms."""

    async def floor(self, floor: Floor) -> None:
        """Tell the peer who presents now, told with each change: TAKEN means that slides are there to be seen.

        A peer whose floor went from PEER to another one lost it; its slides are shown no more.
        """

    async def transfer(self, target: str, replaces: Line | None = None) -> None:
        """Have the peer call somewhere else and leave us (SIP: REFER); `Call.transfer_goes` tells how that goes.

        With replaces (attended) the peer calls that line's peer and takes our place there; target may be empty then.
        Raises `Refused`: UNSUPPORTED if it cannot.
        """


class Call(Protocol):
    """One call in a room, as its adapter sees it. Methods that take or give descriptions may raise `Refused`."""

    @property
    def id(self) -> CallId:
        """The call's id."""

    @property
    def leg(self) -> LegId:
        """The id of the call's media."""

    @property
    def room_id(self) -> RoomId:
        """The room that the call is in or goes to, whatever was dialled; it may be moved to another one.

        A call that was answered but not let in yet stands in a room of its own, which nobody else knows.
        """

    async def admitted(self) -> None:
        """Wait until the call may be answered; at once for a room, when the other end answers for a gateway call.

        Raises `Refused` with the reason that the peer is told. It may take minutes.
        """

    async def ringing(self) -> None:
        """Say that the peer of a call that we place is being rung; a second time does nothing."""

    async def answer(self, remote: MediaDescription) -> MediaDescription:
        """Take the peer's offer and return our answer."""

    async def offer(self, wanted: Wanted) -> MediaDescription:
        """Return our offer."""

    async def accept(self, remote: MediaDescription) -> None:
        """Take the peer's answer to our offer."""

    async def candidate(self, stream: str, candidate: Candidate | None) -> None:
        """Take a trickled remote ICE candidate."""

    async def connected(self) -> None:
        """Say that the peer is in: it becomes a participant that the others hear, see and read of."""

    async def key_frame(self, role: Role | None = None) -> None:
        """The peer asked for a key frame by signalling: of people or slides, None for all that it sees."""

    async def present(self, wanted: bool) -> None:
        """The peer wants to present, or no longer; its slides are shown from now on if this returns.

        Raises `Refused`: BUSY while somebody else presents who need not yield, NOT_ALLOWED in a room without others.
        """

    async def dtmf(self, digit: str, duration: int, way: KeyWay = KeyWay.INFO) -> None:
        """The peer pressed a key by signalling; duration in ms. Told of in several ways it is one press."""

    async def mute(self, audio: bool | None = None, video: bool | None = None) -> None:
        """The peer muted (True) or unmuted (False) its own sound or picture; None leaves it."""

    async def transfer_goes(self, reason: Reason | None, over: bool) -> None:
        """The peer tells how the call goes that `Line.transfer` asked for.

        reason is NORMAL where it was answered, None while that is open, else why it failed; over: no more is told.
        """

    async def wrote(self, text: str) -> None:
        """The peer wrote a message to the room by signalling. Raises `Refused`: empty, too long, too many."""

    async def ended(self, reason: Reason) -> None:
        """Say that the call is over; calling it again does nothing."""


class Desk(Protocol):
    """Where calls and messages arrive."""

    async def arrive(self, facts: CallFacts, line: Line) -> Call:
        """Decide on a new call. Raises `Refused` with the reason that the peer is told."""

    async def message(self, facts: CallFacts, text: str) -> None:
        """Take a message to a room from somebody who may have no call in it; facts are those of a call that would be.

        Raises `Refused`: no such room, the door is closed, empty, too long, too many.
        """


@dataclass(frozen=True, slots=True)
class Order:
    """A call that an adapter is to place.

    target is an address with its scheme (sip:, sips:, tel:, h323:) or user:NAME for where an account of ours is
    registered; trunk the name of the trunk to go through, empty for none. sender is the user part of the address that
    calls, display the name that the peer is shown, both empty for the house's own.
    """

    target: str
    trunk: str = ""
    sender: str = ""
    display: str = ""
    wanted: Wanted = field(default_factory=Wanted)
    hops: int = MAX_HOPS


class Dialler(Protocol):
    """Has calls placed, whatever their protocol; implemented by the composition root."""

    def user_of(self, target: str) -> str | None:
        """Return the account of ours that an address means, None where it is somebody outside."""

    async def dial(self, order: Order, facts: CallFacts) -> Call:
        """Place a call and bring it to the desk; return when the peer has answered.

        facts.called is the room; protocol, source and secure are filled in by the adapter. Cancelling gives the call
        up. Raises `Refused` with the reason that the peer or the house gave.
        """


Place = Callable[[Order, CallFacts], Awaitable[Call]]
"""Places a call as `Dialler.dial` does."""


class Referrals(Protocol):
    """Decides on the calls that those who are in one ask for (REFER); implemented by `gateway.rooms`."""

    def may_refer(self, call: Call, target: str) -> bool:
        """Tell whether who is in this call may have us call an address."""

    async def refer(self, call: Call, target: str, dial: Place) -> Call:
        """Have an address called into the room of this call; dial places it. Raises `Refused`."""

    async def join(self, call: Call, other: Call) -> None:
        """Put together those whom somebody is in two calls with; it leaves both. Raises `Refused`."""
