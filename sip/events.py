"""What goes in and out of the SIP core: flows, what to send, and the events of calls and requests.

A call is named by a `SessionId`: one INVITE and all that follows from it. `Ended` is the last event of every session
that `InviteReceived` announced or `Stack.invite` returned, and comes exactly once. Any other request that wants an
answer from above is named by a `RequestId`, to be given to `Stack.respond`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NewType

from gateway.reasons import Reason
from sip.message import Request, Response

SessionId = NewType("SessionId", int)
"""One INVITE session; never used again in the life of a stack."""
RequestId = NewType("RequestId", int)
"""One request without a session of its own, received or sent; never used again in the life of a stack."""


SubscriptionId = NewType("SubscriptionId", int)
"""One subscription of a peer; never used again in the life of a stack."""


class Transport(StrEnum):
    """How a message travels; the value in upper case is what Via says (RFC 3261 §20.42, RFC 7118 §4.1)."""

    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"
    WS = "ws"
    WSS = "wss"

    @property
    def reliable(self) -> bool:
        """Whether nothing is lost on it, so that nothing is sent twice."""
        return self is not Transport.UDP

    @property
    def secure(self) -> bool:
        """Whether it is encrypted."""
        return self in (Transport.TLS, Transport.WSS)

    @property
    def web(self) -> bool:
        """Whether it is a WebSocket, which only the peer opens (RFC 7118)."""
        return self in (Transport.WS, Transport.WSS)

    @property
    def parameter(self) -> str:
        """What a URI's transport parameter says: "ws" for both kinds of WebSocket (RFC 7118 §4.2)."""
        return "ws" if self.web else self.value

    @property
    def default_port(self) -> int:
        """The port where a URI names none (RFC 3261 §19.1.2, RFC 7118 §4)."""
        return _DEFAULT_PORTS[self]


_DEFAULT_PORTS = {Transport.UDP: 5060, Transport.TCP: 5060, Transport.TLS: 5061, Transport.WS: 80, Transport.WSS: 443}


@dataclass(frozen=True, slots=True)
class Flow:
    """Where a message came from and the way back: a UDP address pair or one open connection.

    Addresses are IP literals without brackets. connection tells connections of the same addresses apart; 0 for UDP.
    """

    transport: Transport
    local_address: str
    local_port: int
    remote_address: str
    remote_port: int
    connection: int = 0


@dataclass(frozen=True, slots=True)
class Target:
    """Where to send when no flow is open: the shell resolves the host and connects where needed.

    host is a name or an IP literal without brackets. port None: by DNS (RFC 3263), else the transport's default.
    name is what a certificate must name where that is not host: the domain that led here.
    """

    transport: Transport
    host: str
    port: int | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class Send:
    """Bytes to put on the wire, one whole message. When that fails, hand it to `Stack.unreachable`.

    fallback is where to send a response when the flow's connection is gone (RFC 3261 §18.2.2).
    """

    data: bytes
    target: Flow | Target
    fallback: Target | None = None


@dataclass(frozen=True, slots=True)
class InviteReceived:
    """A new call; 100 is sent already. Answer with `accept`, `refuse`; before it `ringing` or `progress`.

    replaces is the call that it is to take the place of (RFC 3891): accepting it ends that one with REPLACED.
    """

    session: SessionId
    request: Request
    flow: Flow
    replaces: SessionId | None = None


@dataclass(frozen=True, slots=True)
class AckReceived:
    """The peer has our 2xx to its INVITE or re-INVITE; with the answer in request.body where the 2xx had the offer.

    request is None where the ACK was lost and a later request of the peer shows that it has our 2xx (RFC 5407 §3.1.4).
    """

    session: SessionId
    request: Request | None


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The caller gave up before we answered; 487 is sent. `Ended` follows."""

    session: SessionId
    request: Request


@dataclass(frozen=True, slots=True)
class ReinviteReceived:
    """The peer wants to change the call: `answer_reinvite` or `refuse_reinvite`. No body: answer with an offer."""

    session: SessionId
    request: Request


@dataclass(frozen=True, slots=True)
class UpdateReceived:
    """An UPDATE with an offer (RFC 3311): `respond(request_id, 200, now, answer)`, or 488."""

    session: SessionId
    request_id: RequestId
    request: Request


@dataclass(frozen=True, slots=True)
class PrackReceived:
    """A PRACK with a description (RFC 3262 §5). request_id None: the answer to the offer in our 1xx; 200 is sent.

    Else a new offer: `respond(request_id, 200, now, answer)`.
    """

    session: SessionId
    request_id: RequestId | None
    request: Request


@dataclass(frozen=True, slots=True)
class InfoReceived:
    """An INFO: `respond(request_id, 200, now)`, or 415 where its type is unknown."""

    session: SessionId
    request_id: RequestId
    request: Request


@dataclass(frozen=True, slots=True)
class ByeReceived:
    """The peer hung up; 200 is sent. `Ended` follows, with the reason that its Reason header gives."""

    session: SessionId
    request: Request


@dataclass(frozen=True, slots=True)
class OptionsReceived:
    """An OPTIONS, of a session or (None) on its own: `respond(request_id, 200, now)`."""

    session: SessionId | None
    request_id: RequestId
    request: Request
    flow: Flow


@dataclass(frozen=True, slots=True)
class RequestReceived:
    """Any other request whose method the configuration allows: `respond`."""

    session: SessionId | None
    request_id: RequestId
    request: Request
    flow: Flow


@dataclass(frozen=True, slots=True)
class Provisional:
    """A 101 to 199 to our INVITE; its body may describe early media.

    reliable whether it is one of RFC 3262, so that its body is the answer itself; where our INVITE had no offer, the
    body is one, and `prack_with` answers it.
    """

    session: SessionId
    response: Response
    reliable: bool = False


@dataclass(frozen=True, slots=True)
class Answered:
    """The first 2xx to our INVITE. ACK is sent already, except after an INVITE without offer: then `ack_with`."""

    session: SessionId
    response: Response
    flow: Flow


@dataclass(frozen=True, slots=True)
class Rejected:
    """Our INVITE failed; response is None where none came. `Ended` follows with the same reason.

    contacts are the URIs of a 3xx, best first.
    """

    session: SessionId
    status: int
    reason: Reason
    response: Response | None
    contacts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReinviteAnswered:
    """A 2xx to our re-INVITE. ACK is sent already, except after a re-INVITE without offer: then `ack_with`."""

    session: SessionId
    response: Response


@dataclass(frozen=True, slots=True)
class ReinviteRejected:
    """Our re-INVITE failed and the call stays as it was; after retry_after seconds it may be tried again (§14.1).

    retry_after is None where trying again makes no sense. Where the call is gone (408, 481), `Ended` follows.
    """

    session: SessionId
    status: int
    reason: Reason
    retry_after: float | None
    response: Response | None


@dataclass(frozen=True, slots=True)
class Refreshed:
    """A 2xx to a re-INVITE that only refreshed the session (RFC 4028); its body should say nothing new."""

    session: SessionId
    response: Response


@dataclass(frozen=True, slots=True)
class UpdateAnswered:
    """A 2xx to our UPDATE."""

    session: SessionId
    response: Response


@dataclass(frozen=True, slots=True)
class UpdateRejected:
    """Our UPDATE failed; the fields are those of `ReinviteRejected`."""

    session: SessionId
    status: int
    reason: Reason
    retry_after: float | None
    response: Response | None


@dataclass(frozen=True, slots=True)
class InfoAnswered:
    """What became of our INFO: its status, 408 or 503 where no answer came."""

    session: SessionId
    request_id: RequestId
    status: int
    response: Response | None


@dataclass(frozen=True, slots=True)
class MessageAnswered:
    """What became of our MESSAGE in a call: its status, 408 or 503 where no answer came."""

    session: SessionId
    request_id: RequestId
    status: int


@dataclass(frozen=True, slots=True)
class RequestAnswered:
    """What became of a request sent with `Stack.request`: each final response; 408 or 503 where none came."""

    request_id: RequestId
    status: int
    response: Response | None
    flow: Flow | None


@dataclass(frozen=True, slots=True)
class Resubscribed:
    """A subscription of the peer was refreshed, or fell behind: it is to be sent the whole state."""

    subscription: SubscriptionId


@dataclass(frozen=True, slots=True)
class SubscriptionEnded:
    """A subscription of the peer is over: it expired, was ended (NORMAL), or the peer wants no more of it."""

    subscription: SubscriptionId
    reason: Reason


@dataclass(frozen=True, slots=True)
class ReferAnswered:
    """What the peer said to our REFER; below 300 it tries, and `ReferProgress` tells how that goes."""

    session: SessionId
    request_id: RequestId
    status: int


@dataclass(frozen=True, slots=True)
class ReferProgress:
    """How the call goes that we referred the peer to; over says that nothing more will be heard of it."""

    session: SessionId
    request_id: RequestId
    status: int
    over: bool


@dataclass(frozen=True, slots=True)
class NoAck:
    """The peer never acknowledged our 2xx; BYE is sent. `Ended` with NO_ACK follows."""

    session: SessionId


@dataclass(frozen=True, slots=True)
class Ended:
    """The session is over and forgotten: the last event that names it.

    It comes after hanging up, too: with the reason that was given to `hang_up`.
    """

    session: SessionId
    reason: Reason


Event = (
    InviteReceived
    | AckReceived
    | Cancelled
    | ReinviteReceived
    | UpdateReceived
    | PrackReceived
    | InfoReceived
    | ByeReceived
    | OptionsReceived
    | RequestReceived
    | Provisional
    | Answered
    | Rejected
    | ReinviteAnswered
    | ReinviteRejected
    | Refreshed
    | UpdateAnswered
    | UpdateRejected
    | InfoAnswered
    | MessageAnswered
    | RequestAnswered
    | Resubscribed
    | SubscriptionEnded
    | ReferAnswered
    | ReferProgress
    | NoAck
    | Ended
)
