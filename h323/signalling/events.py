"""What crosses the edge of a call: signalling messages, what the shell is asked to do, and what is reported.

Values of the codec are plain: SEQUENCEs are dictionaries, CHOICEs pairs of name and value, OCTET STRINGs bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gateway.reasons import Reason
from h323.h245.events import ControlEvent
from h323.q931 import Type

Value = dict[str, Any]


BODIES = {
    Type.ALERTING: "alerting",
    Type.CALL_PROCEEDING: "callProceeding",
    Type.PROGRESS: "progress",
    Type.SETUP: "setup",
    Type.CONNECT: "connect",
    Type.SETUP_ACKNOWLEDGE: "setupAcknowledge",
    Type.RELEASE_COMPLETE: "releaseComplete",
    Type.FACILITY: "facility",
    Type.NOTIFY: "notify",
    Type.STATUS_INQUIRY: "statusInquiry",
    Type.INFORMATION: "information",
    Type.STATUS: "status",
}
"""The h323-message-body that belongs to each message."""


@dataclass(frozen=True, slots=True)
class Signal:
    """One signalling message, with what matters of its Q.931 elements and of its H323-UserInformation.

    from_callee is the flag of the call reference. body is the h323-message-body's value; None for `empty`, and for
    messages without one. control are encoded H.245 messages that it carries; tunnelling is h245Tunnelling, None where
    a message does not speak for its endpoint. parallel says that control goes beside fast start (parallelH245Control).
    cause is
    a Q.850 cause, keypad the keys of that element, number the called party number, caller the calling party number.
    extra holds further members of the h323-uu-pdu (h4501SupplementaryService, genericData). complete says that no more
    digits will come (Sending complete).
    """

    kind: Type
    reference: int
    from_callee: bool
    body: Value | None = None
    tunnelling: bool | None = False
    control: tuple[bytes, ...] = ()
    display: str = ""
    number: str = ""
    caller: str = ""
    keypad: str = ""
    cause: int | None = None
    call_state: int | None = None
    bandwidth: int | None = None
    extra: Value = field(default_factory=dict)
    complete: bool = False
    parallel: bool = False


@dataclass(frozen=True, slots=True)
class Address:
    """An IP transport address."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class SetupFacts:
    """What a SETUP says, in plain terms; both ways.

    aliases are strings as `h323.signalling.aliases` writes them. conference and call are the 16 octets of the ids.
    fast_start are decoded openLogicalChannels. product is the peer's product and version. tokens and the like stay
    in body, as does all else.
    """

    caller_aliases: tuple[str, ...] = ()
    called_aliases: tuple[str, ...] = ()
    caller_number: str = ""
    called_number: str = ""
    display: str = ""
    called_address: Address | None = None
    caller_address: Address | None = None
    conference: bytes = b""
    call: bytes = b""
    product: str = ""
    bandwidth: int | None = None
    fast_start: tuple[Value, ...] = ()
    body: Value = field(default_factory=dict)


# What the shell is asked to do


@dataclass(frozen=True, slots=True)
class SendSignal:
    """Put this on the call signalling connection."""

    signal: Signal


@dataclass(frozen=True, slots=True)
class SendControl:
    """Put this on the separate H.245 connection: one encoded message, one TPKT."""

    data: bytes


@dataclass(frozen=True, slots=True)
class ConnectControl:
    """Open the separate H.245 connection to the peer."""

    address: Address


@dataclass(frozen=True, slots=True)
class ListenControl:
    """Listen for the peer's separate H.245 connection, and say where by `H323Call.listening`."""


@dataclass(frozen=True, slots=True)
class CloseSignalling:
    """The call is over: close the call signalling connection if no other call uses it, and H.245's."""


# What is reported above


@dataclass(frozen=True, slots=True)
class CallArrived:
    """A SETUP came."""

    facts: SetupFacts


@dataclass(frozen=True, slots=True)
class Proceeding:
    """The peer works on our call."""


@dataclass(frozen=True, slots=True)
class Ringing:
    """The one we called is being rung."""


@dataclass(frozen=True, slots=True)
class CallConnected:
    """The call is up; product is the peer's, display its name."""

    display: str
    product: str


@dataclass(frozen=True, slots=True)
class FastStartAnswered:
    """The peer took some of the channels that we proposed: its decoded openLogicalChannels; () refuses them all."""

    channels: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class ControlReported:
    """The H.245 session reported something."""

    event: ControlEvent


@dataclass(frozen=True, slots=True)
class KeypadPressed:
    """Keys came in an INFORMATION message or the like."""

    keys: str


@dataclass(frozen=True, slots=True)
class Forwarded:
    """The peer asks that the call goes elsewhere (FACILITY callForwarded, routeCallToMC, routeCallToGatekeeper)."""

    why: str
    address: Address | None
    aliases: tuple[str, ...]
    conference: bytes = b""


@dataclass(frozen=True, slots=True)
class SupplementaryService:
    """The peer asks for a service of H.450: the encoded h4501SupplementaryService APDUs."""

    apdus: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class CallEnded:
    """The call is over; cause is the Q.850 cause, detail the peer's own word for it."""

    reason: Reason
    cause: int | None = None
    detail: str = ""


CallItem = (
    SendSignal
    | SendControl
    | ConnectControl
    | ListenControl
    | CloseSignalling
    | CallArrived
    | Proceeding
    | Ringing
    | CallConnected
    | FastStartAnswered
    | ControlReported
    | KeypadPressed
    | Forwarded
    | SupplementaryService
    | CallEnded
)
