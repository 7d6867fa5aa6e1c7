"""Capability exchange (H.245 §C.3, the machine CESE): one machine for our sets, and the answer to the peer's.

A new set replaces the one before. If ours changes while one waits for its answer, the newest goes out when the answer
is there: more than one under way confuses real endpoints.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Any

from h323.h245.events import CapabilitiesAnswered, CapabilitiesReceived, Value
from h323.h245.machine import Machine, Outside, Table

T101 = 30.0
"""Seconds that a peer has to answer a set."""
PROTOCOL = "0.0.8.245.0.15"
"""H.245 version 15 (the object identifier of its clause 6)."""
SEQUENCES = 256
PARTS = frozenset({"multiplexCapability", "capabilityTable", "capabilityDescriptors", "genericInformation"})
"""What a set tells of abilities; the rest is bookkeeping."""


class State(Enum):
    """States of §C.3.5."""

    IDLE = auto()
    AWAITING = auto()


class CapabilityExchange(Machine[State]):
    """Both directions; accepted says whether the peer took the last set of ours, received whether we have one of it."""

    def __init__(self, outside: Outside) -> None:
        super().__init__(outside, State.IDLE, CAPABILITY_EXCHANGE_TABLE)
        self.accepted = False
        self.received: Value | None = None
        self._sequence = 0
        self._waiting: Value | None = None

    def offer(self, capabilities: Value, now: float) -> None:
        """Send a set: a terminalCapabilitySet without its sequence number and version."""
        self.feed("offer", capabilities, now)

    def _send(self, capabilities: Value, now: float) -> State:
        self._sequence = (self._sequence + 1) % SEQUENCES
        self.accepted = False
        value = {"sequenceNumber": self._sequence, "protocolIdentifier": PROTOCOL, **capabilities}
        self.send("request", "terminalCapabilitySet", value)
        self.due = now + T101
        return State.AWAITING

    def _keep(self, capabilities: Value, _: float) -> State:
        self._waiting = capabilities
        return State.AWAITING

    def _acknowledged(self, value: Value, now: float) -> State:
        if value["sequenceNumber"] != self._sequence:
            return State.AWAITING
        return self._finish(True, "", now)

    def _rejected(self, value: Value, now: float) -> State:
        if value["sequenceNumber"] != self._sequence:
            return State.AWAITING
        return self._finish(False, str(value["cause"][0]), now)

    def _expired(self, _: Any, now: float) -> State:
        self.send("indication", "terminalCapabilitySetRelease", {})
        return self._finish(False, "timeout", now)

    def _finish(self, accepted: bool, cause: str, now: float) -> State:
        self.due = None
        self.accepted = accepted
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            return self._send(waiting, now)
        self.report(CapabilitiesAnswered(accepted, cause))
        return State.IDLE

    def take(self, value: Value) -> None:
        """Take the peer's set and acknowledge it; the same one twice, as some send it, is told once."""
        self.send("response", "terminalCapabilitySetAck", {"sequenceNumber": value["sequenceNumber"]})
        capabilities = {name: part for name, part in value.items() if name in PARTS}
        if capabilities != self.received:
            self.received = capabilities
            self.report(CapabilitiesReceived(capabilities, "capabilityTable" not in capabilities))


CAPABILITY_EXCHANGE_TABLE: Table[State] = {
    (State.IDLE, "offer"): CapabilityExchange._send,
    (State.AWAITING, "offer"): CapabilityExchange._keep,
    (State.AWAITING, "terminalCapabilitySetAck"): CapabilityExchange._acknowledged,
    (State.AWAITING, "terminalCapabilitySetReject"): CapabilityExchange._rejected,
    (State.AWAITING, "timer"): CapabilityExchange._expired,
}
