"""Logical channels (H.245 §C.4 to §C.6: the machines LCSE, B-LCSE and CLCSE), one machine a channel.

A channel is opened by the side that sends on it, and numbered by it. A bidirectional one (data) carries both ways; its
opener confirms once more. Either side may ask the owner to close a channel; only the owner closes it.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Any

from h323.h245.events import (
    ChannelAnswered,
    ChannelClosed,
    ChannelConfirmed,
    ChannelOffered,
    ChannelRefused,
    CloseAnswered,
    CloseAsked,
    Value,
)
from h323.h245.machine import Machine, Outside, Table

T103 = 30.0
"""Seconds that a peer has to answer an open or a close."""
T108 = 30.0
"""Seconds that a peer has to answer a request to close a channel of its own."""
CAUSES = frozenset(
    {
        "unspecified",
        "unsuitableReverseParameters",
        "dataTypeNotSupported",
        "dataTypeNotAvailable",
        "unknownDataType",
        "dataTypeALCombinationNotSupported",
        "insufficientBandwidth",
        "invalidSessionID",
        "masterSlaveConflict",
        "replacementForRejected",
        "securityDenied",
    }
)
"""Why we refuse channels (openLogicalChannelReject)."""


class State(Enum):
    """States of §C.4.5 and §C.5.5."""

    RELEASED = auto()
    OPENING = auto()
    ESTABLISHED = auto()
    CONFIRMING = auto()
    """A bidirectional channel of the peer's that we took and it has not confirmed."""
    CLOSING = auto()


class OwnChannel(Machine[State]):
    """A channel that we opened."""

    def __init__(self, outside: Outside, number: int, request: Value) -> None:
        super().__init__(outside, State.RELEASED, OWN_CHANNEL_TABLE)
        self.number = number
        self.request = request
        self.bidirectional = "reverseLogicalChannelParameters" in request

    def _named(self) -> Value:
        return {"forwardLogicalChannelNumber": self.number}

    def _open(self, _: Any, now: float) -> State:
        self.send("request", "openLogicalChannel", {**self._named(), **self.request})
        self.due = now + T103
        return State.OPENING

    def _taken(self, value: Value, _: float) -> State:
        self.due = None
        if self.bidirectional:
            self.send("indication", "openLogicalChannelConfirm", self._named())
        self.report(ChannelAnswered(self.number, value))
        return State.ESTABLISHED

    def _refused(self, value: Value, _: float) -> State:
        self.due = None
        self.report(ChannelRefused(self.number, str(value["cause"][0])))
        return State.RELEASED

    def _refused_late(self, value: Value, _: float) -> State:
        """A peer may take back what it took (§C.4.7.1): the channel is gone."""
        return self._gone(value, 0.0)

    def _unanswered(self, _: Any, now: float) -> State:
        self._say_close()
        self.report(ChannelRefused(self.number, "timeout"))
        return State.RELEASED

    def _close(self, _: Any, now: float) -> State:
        self._say_close()
        self.due = now + T103
        return State.CLOSING

    def _say_close(self) -> None:
        self.send(
            "request", "closeLogicalChannel", {**self._named(), "source": ("user", None), "reason": ("unknown", None)}
        )

    def _gone(self, _: Any, now: float) -> State:
        self.due = None
        self.report(ChannelClosed(self.number, True))
        return State.RELEASED

    def _asked_to_close(self, value: Value, _: float) -> State:
        reason = value.get("reason") or ("unknown", None)
        self.report(CloseAsked(self.number, str(reason[0])))
        return self.state

    def _asked_while_closing(self, _: Any, now: float) -> State:
        self.send("response", "requestChannelCloseAck", self._named())
        return State.CLOSING


OWN_CHANNEL_TABLE: Table[State] = {
    (State.RELEASED, "open"): OwnChannel._open,
    (State.OPENING, "openLogicalChannelAck"): OwnChannel._taken,
    (State.OPENING, "openLogicalChannelReject"): OwnChannel._refused,
    (State.OPENING, "timer"): OwnChannel._unanswered,
    (State.OPENING, "close"): OwnChannel._close,
    (State.ESTABLISHED, "close"): OwnChannel._close,
    (State.ESTABLISHED, "openLogicalChannelReject"): OwnChannel._refused_late,
    (State.ESTABLISHED, "requestChannelClose"): OwnChannel._asked_to_close,
    (State.CLOSING, "closeLogicalChannelAck"): OwnChannel._gone,
    (State.CLOSING, "openLogicalChannelReject"): OwnChannel._gone,
    (State.CLOSING, "requestChannelClose"): OwnChannel._asked_while_closing,
    (State.CLOSING, "timer"): OwnChannel._gone,
}


class PeerChannel(Machine[State]):
    """A channel that the peer opened."""

    def __init__(self, outside: Outside, number: int) -> None:
        super().__init__(outside, State.RELEASED, PEER_CHANNEL_TABLE)
        self.number = number
        self.bidirectional = False
        self._asked = False

    def _named(self) -> Value:
        return {"forwardLogicalChannelNumber": self.number}

    def _offered(self, value: Value, _: float) -> State:
        self.bidirectional = "reverseLogicalChannelParameters" in value
        self.report(ChannelOffered(self.number, value, self.bidirectional))
        return State.OPENING

    def _offered_again(self, value: Value, now: float) -> State:
        """A number used again without a close stands for a new channel (§C.4.7.2)."""
        self.due = None
        self.report(ChannelClosed(self.number, False))
        return self._offered(value, now)

    def _accept(self, value: Value, now: float) -> State:
        self.send("response", "openLogicalChannelAck", {**self._named(), **value})
        if self.bidirectional:
            self.due = now + T103
            return State.CONFIRMING
        return State.ESTABLISHED

    def _reject(self, cause: str, _: float) -> State:
        self.send("response", "openLogicalChannelReject", {**self._named(), "cause": (cause, None)})
        return State.RELEASED

    def _confirmed(self, _: Any, now: float) -> State:
        self.due = None
        self.report(ChannelConfirmed(self.number))
        return State.ESTABLISHED

    def _unconfirmed(self, _: Any, now: float) -> State:
        """Take a channel for confirmed whose opener never says so: media on it tell the same."""
        return self._confirmed(None, now)

    def _closed(self, _: Any, now: float) -> State:
        self.due = None
        self._asked = False
        self.send("response", "closeLogicalChannelAck", self._named())
        self.report(ChannelClosed(self.number, False))
        return State.RELEASED

    def _closed_already(self, _: Any, now: float) -> State:
        self.send("response", "closeLogicalChannelAck", self._named())
        return State.RELEASED

    def _ask_close(self, reason: str, now: float) -> State:
        if not self._asked:
            self._asked = True
            self.send("request", "requestChannelClose", {**self._named(), "reason": (reason, None)})
            self.due = now + T108
        return self.state

    def _close_granted(self, _: Any, now: float) -> State:
        return self._close_answered(True)

    def _close_refused(self, _: Any, now: float) -> State:
        return self._close_answered(False)

    def _close_unanswered(self, _: Any, now: float) -> State:
        if self._asked:
            self.send("indication", "requestChannelCloseRelease", self._named())
        return self._close_answered(False)

    def _close_answered(self, agreed: bool) -> State:
        if self._asked:
            self._asked, self.due = False, None
            self.report(CloseAnswered(self.number, agreed))
        return State.ESTABLISHED


PEER_CHANNEL_TABLE: Table[State] = {
    (State.RELEASED, "openLogicalChannel"): PeerChannel._offered,
    (State.RELEASED, "closeLogicalChannel"): PeerChannel._closed_already,
    (State.OPENING, "openLogicalChannel"): PeerChannel._offered_again,
    (State.OPENING, "accept"): PeerChannel._accept,
    (State.OPENING, "reject"): PeerChannel._reject,
    (State.OPENING, "closeLogicalChannel"): PeerChannel._closed,
    (State.CONFIRMING, "openLogicalChannel"): PeerChannel._offered_again,
    (State.CONFIRMING, "openLogicalChannelConfirm"): PeerChannel._confirmed,
    (State.CONFIRMING, "closeLogicalChannel"): PeerChannel._closed,
    (State.CONFIRMING, "timer"): PeerChannel._unconfirmed,
    (State.ESTABLISHED, "openLogicalChannel"): PeerChannel._offered_again,
    (State.ESTABLISHED, "closeLogicalChannel"): PeerChannel._closed,
    (State.ESTABLISHED, "ask close"): PeerChannel._ask_close,
    (State.ESTABLISHED, "requestChannelCloseAck"): PeerChannel._close_granted,
    (State.ESTABLISHED, "requestChannelCloseReject"): PeerChannel._close_refused,
    (State.ESTABLISHED, "timer"): PeerChannel._close_unanswered,
}
