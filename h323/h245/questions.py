"""Round trip delay (H.245 §C.9, RTDSE) and mode requests (§C.8, MRSE): one question of each kind at a time."""

from __future__ import annotations

from enum import Enum, auto
from typing import Any

from h323.h245.events import ModeAnswered, ModeAsked, RoundTrip, Value
from h323.h245.machine import Machine, Outside, Table

T105 = 10.0
"""Seconds after which a round trip counts as lost: a peer that is alive answers at once."""
T109 = 10.0
"""Seconds that a peer has to say what becomes of a mode request."""
SEQUENCES = 256


class State(Enum):
    """Whether a question of ours is under way."""

    IDLE = auto()
    AWAITING = auto()


class RoundTripDelay(Machine[State]):
    """Ours; the peer's is answered at once by the session."""

    def __init__(self, outside: Outside) -> None:
        super().__init__(outside, State.IDLE, ROUND_TRIP_DELAY_TABLE)
        self._sequence = 0
        self._sent = 0.0

    def _ask(self, _: Any, now: float) -> State:
        self._sequence = (self._sequence + 1) % SEQUENCES
        self._sent = now
        self.due = now + T105
        self.send("request", "roundTripDelayRequest", {"sequenceNumber": self._sequence})
        return State.AWAITING

    def _answered(self, value: Value, now: float) -> State:
        if value["sequenceNumber"] != self._sequence:
            return State.AWAITING
        self.due = None
        self.report(RoundTrip(now - self._sent))
        return State.IDLE

    def _lost(self, _: Any, now: float) -> State:
        self.report(RoundTrip(None))
        return State.IDLE


ROUND_TRIP_DELAY_TABLE: Table[State] = {
    (State.IDLE, "start"): RoundTripDelay._ask,
    (State.AWAITING, "roundTripDelayResponse"): RoundTripDelay._answered,
    (State.AWAITING, "timer"): RoundTripDelay._lost,
}


class OwnModeRequest(Machine[State]):
    """What we want the peer to send; a new one replaces the one under way."""

    def __init__(self, outside: Outside) -> None:
        super().__init__(outside, State.IDLE, OWN_MODE_REQUEST_TABLE)
        self._sequence = 0

    def _ask(self, modes: list[Any], now: float) -> State:
        self._sequence = (self._sequence + 1) % SEQUENCES
        self.due = now + T109
        self.send("request", "requestMode", {"sequenceNumber": self._sequence, "requestedModes": modes})
        return State.AWAITING

    def _taken(self, value: Value, _: float) -> State:
        return self._finish(value, True, str(value["response"][0]))

    def _refused(self, value: Value, _: float) -> State:
        return self._finish(value, False, str(value["cause"][0]))

    def _finish(self, value: Value, accepted: bool, cause: str) -> State:
        if value["sequenceNumber"] != self._sequence:
            return State.AWAITING
        self.due = None
        self.report(ModeAnswered(accepted, cause))
        return State.IDLE

    def _expired(self, _: Any, now: float) -> State:
        self.send("indication", "requestModeRelease", {})
        self.report(ModeAnswered(False, "timeout"))
        return State.IDLE


OWN_MODE_REQUEST_TABLE: Table[State] = {
    (State.IDLE, "ask"): OwnModeRequest._ask,
    (State.AWAITING, "ask"): OwnModeRequest._ask,
    (State.AWAITING, "requestModeAck"): OwnModeRequest._taken,
    (State.AWAITING, "requestModeReject"): OwnModeRequest._refused,
    (State.AWAITING, "timer"): OwnModeRequest._expired,
}


class PeerModeRequest(Machine[State]):
    """What the peer wants us to send; it waits for our answer."""

    def __init__(self, outside: Outside) -> None:
        super().__init__(outside, State.IDLE, PEER_MODE_REQUEST_TABLE)
        self._sequence = 0

    def _asked(self, value: Value, _: float) -> State:
        self._sequence = value["sequenceNumber"]
        self.report(ModeAsked(list(value["requestedModes"])))
        return State.AWAITING

    def _accept(self, preferred: bool, _: float) -> State:
        word = "willTransmitMostPreferredMode" if preferred else "willTransmitLessPreferredMode"
        self.send("response", "requestModeAck", {"sequenceNumber": self._sequence, "response": (word, None)})
        return State.IDLE

    def _refuse(self, cause: str, _: float) -> State:
        self.send("response", "requestModeReject", {"sequenceNumber": self._sequence, "cause": (cause, None)})
        return State.IDLE

    def _released(self, _: Any, now: float) -> State:
        return State.IDLE


PEER_MODE_REQUEST_TABLE: Table[State] = {
    (State.IDLE, "requestMode"): PeerModeRequest._asked,
    (State.AWAITING, "requestMode"): PeerModeRequest._asked,
    (State.AWAITING, "accept"): PeerModeRequest._accept,
    (State.AWAITING, "refuse"): PeerModeRequest._refuse,
    (State.AWAITING, "requestModeRelease"): PeerModeRequest._released,
}
