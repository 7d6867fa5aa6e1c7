"""What the control protocol reports: plain frozen data.

Message contents are values of the codec (`h323.messages`): SEQUENCEs are dictionaries, CHOICEs are pairs of name and
value. Channel numbers are told with their owner, since each side numbers the channels that it opens on its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.reasons import Reason

Pdu = tuple[str, tuple[str, Any]]
"""A MultimediaSystemControlMessage: ("request", ("terminalCapabilitySet", {...}))."""
Value = dict[str, Any]


@dataclass(frozen=True, slots=True)
class CapabilitiesReceived:
    """The peer told what it can; empty is the set that asks us to stop sending until the next one (H.323 §8.4.6)."""

    capabilities: Value
    empty: bool


@dataclass(frozen=True, slots=True)
class CapabilitiesAnswered:
    """The peer took our capabilities, or did not: cause is then the reject's alternative, or "timeout"."""

    accepted: bool
    cause: str = ""


@dataclass(frozen=True, slots=True)
class CapabilitiesWanted:
    """The peer asks for our capabilities again (sendTerminalCapabilitySet)."""


@dataclass(frozen=True, slots=True)
class Determined:
    """It is known who is the master."""

    master: bool


@dataclass(frozen=True, slots=True)
class ChannelOffered:
    """The peer wants to open a channel: `Control.accept` or `Control.reject` answers it."""

    number: int
    request: Value
    bidirectional: bool


@dataclass(frozen=True, slots=True)
class ChannelAnswered:
    """The peer took a channel of ours: answer is the openLogicalChannelAck."""

    number: int
    answer: Value


@dataclass(frozen=True, slots=True)
class ChannelRefused:
    """The peer refused a channel of ours: the cause is the reject's alternative, or "timeout"."""

    number: int
    cause: str


@dataclass(frozen=True, slots=True)
class ChannelConfirmed:
    """The peer knows that its bidirectional channel is open: media may flow towards it."""

    number: int


@dataclass(frozen=True, slots=True)
class ChannelClosed:
    """A channel is no more; ours says whether we had opened it."""

    number: int
    ours: bool


@dataclass(frozen=True, slots=True)
class CloseAsked:
    """The peer asks us to close a channel of ours: `Control.grant_close` answers it."""

    number: int
    reason: str


@dataclass(frozen=True, slots=True)
class CloseAnswered:
    """The peer agreed to close a channel of its own, or refused to."""

    number: int
    agreed: bool


@dataclass(frozen=True, slots=True)
class ModeAsked:
    """The peer asks us to send in one of these modes, best first: `Control.answer_mode` answers it."""

    modes: list[Any]


@dataclass(frozen=True, slots=True)
class ModeAnswered:
    """The peer said what becomes of our request for a mode."""

    accepted: bool
    cause: str = ""


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """The peer answered a round trip request; seconds it took, None if no answer came in time."""

    seconds: float | None


@dataclass(frozen=True, slots=True)
class Keys:
    """The peer pressed keys, each of 0-9, *, #, A-D or ! (hook flash); duration in ms, 0 if it was not told.

    update says that a key told before lasts so long; signal that it was told as a signal, and not as text.
    """

    keys: str
    duration: int = 0
    update: bool = False
    signal: bool = False


@dataclass(frozen=True, slots=True)
class KeyFrameAsked:
    """The peer needs a key frame on a channel of ours, or a part of a picture."""

    number: int


@dataclass(frozen=True, slots=True)
class RateLimited:
    """The peer takes no more than so many bit/s on a channel of ours, 0 for all of them; None lifts the limit."""

    number: int
    rate: int | None


@dataclass(frozen=True, slots=True)
class TokenAsked:
    """The peer asks for the presentation token (H.239): `Presentation.answer` answers it.

    label is the asking terminal's (0 where none was given), channel the number of the channel it is for.
    """

    label: int
    channel: int


@dataclass(frozen=True, slots=True)
class TokenAnswered:
    """The peer said whether we may present, or did not answer in time."""

    granted: bool


@dataclass(frozen=True, slots=True)
class TokenReleased:
    """The peer presents no more."""


@dataclass(frozen=True, slots=True)
class TokenLost:
    """The peer gave the token that it had let us have to another (as an MCU does): we present no more."""


@dataclass(frozen=True, slots=True)
class RateReleaseAsked:
    """The peer was told that it may send so many bit/s on its presentation channel, as it asked."""

    channel: int
    rate: int


@dataclass(frozen=True, slots=True)
class Told:
    """Any other message that somebody above may care for, by its place: "command", "conferenceCommand", value."""

    kind: str
    name: str
    value: Any


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """The peer ended the control session; no more is sent."""


@dataclass(frozen=True, slots=True)
class ControlFailed:
    """The control protocol cannot go on, so the call cannot either."""

    reason: Reason
    detail: str


ControlEvent = (
    CapabilitiesReceived
    | CapabilitiesAnswered
    | CapabilitiesWanted
    | Determined
    | ChannelOffered
    | ChannelAnswered
    | ChannelRefused
    | ChannelConfirmed
    | ChannelClosed
    | CloseAsked
    | CloseAnswered
    | ModeAsked
    | ModeAnswered
    | RoundTrip
    | Keys
    | KeyFrameAsked
    | RateLimited
    | TokenAsked
    | TokenAnswered
    | TokenReleased
    | TokenLost
    | RateReleaseAsked
    | Told
    | SessionEnded
    | ControlFailed
)
