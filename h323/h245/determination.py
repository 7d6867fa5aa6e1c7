"""Master/slave determination (H.245 §C.2, the machine MSDSE).

Both sides may ask at once. Each compares terminal types and then the random numbers; where these settle nothing, new
numbers are drawn, ten times at most.
"""

from __future__ import annotations

from enum import Enum, auto
from random import Random
from typing import Any

from gateway.reasons import Reason
from h323.h245.events import ControlFailed, Determined
from h323.h245.machine import Machine, Outside, Table

T106 = 30.0
"""Seconds that a peer has to answer (H.323 leaves it open; real endpoints take 30)."""
TRIES = 10
"""N100: how often numbers are drawn before it counts as failed; two of 24 bits never tie so often by chance."""
MODULUS = 1 << 24
HALF = 1 << 23


class State(Enum):
    """States of §C.2.5."""

    IDLE = auto()
    OUTGOING = auto()
    """We asked and wait for the answer."""
    INCOMING = auto()
    """We answered and wait for the peer's own acknowledgement."""


def is_master(own_type: int, own_number: int, peer_type: int, peer_number: int) -> bool | None:
    """Tell whether we are the master; None if it cannot be told from these (§C.2.1, table of the determination)."""
    if own_type != peer_type:
        return own_type > peer_type
    difference = (peer_number - own_number) % MODULUS
    if difference in (0, HALF):
        return None
    return difference < HALF


class Determination(Machine[State]):
    """The machine; master is None until it is known. terminal_type is the one of H.323 Table 1 (0 to 255)."""

    def __init__(self, outside: Outside, terminal_type: int, rng: Random) -> None:
        super().__init__(outside, State.IDLE, DETERMINATION_TABLE)
        self.master: bool | None = None
        self._type = terminal_type
        self._rng = rng
        self._number = rng.randrange(MODULUS)
        self._pending: bool | None = None
        self._tries = 0

    def start(self, now: float) -> None:
        """Ask, if nothing is under way."""
        self.feed("start", None, now)

    def _ask(self, _: Any, now: float) -> State:
        self._tries = 1
        return self._send_request(now)

    def _send_request(self, now: float) -> State:
        self._number = self._rng.randrange(MODULUS)
        value = {"terminalType": self._type, "statusDeterminationNumber": self._number}
        self.send("request", "masterSlaveDetermination", value)
        self.due = now + T106
        return State.OUTGOING

    def _compare(self, value: dict[str, int]) -> bool | None:
        return is_master(self._type, self._number, value["terminalType"], value["statusDeterminationNumber"])

    def _acknowledge(self, master: bool) -> None:
        """Tell the peer what it is."""
        self.send("response", "masterSlaveDeterminationAck", {"decision": ("slave" if master else "master", None)})

    def _asked(self, value: dict[str, int], now: float) -> State:
        master = self._compare(value)
        if master is None:
            self._number = self._rng.randrange(MODULUS)
            self.send("response", "masterSlaveDeterminationReject", {"cause": ("identicalNumbers", None)})
            return State.IDLE
        return self._answer(master, now)

    def _answer(self, master: bool, now: float) -> State:
        self._pending = master
        self._acknowledge(master)
        self.due = now + T106
        return State.INCOMING

    def _asked_while_asking(self, value: dict[str, int], now: float) -> State:
        master = self._compare(value)
        if master is None:
            return self._again(None, now)
        return self._answer(master, now)

    def _again(self, _: Any, now: float) -> State:
        if self._tries >= TRIES:
            return self._fail("no master could be found")
        self._tries += 1
        return self._send_request(now)

    def _answered(self, value: dict[str, Any], _: float) -> State:
        master = value["decision"][0] == "master"
        self._acknowledge(master)
        return self._settle(master)

    def _confirmed(self, value: dict[str, Any], _: float) -> State:
        master: bool = value["decision"][0] == "master"
        if self._pending != master:
            return self._fail("the two sides do not agree who is the master")
        return self._settle(master)

    def _settle(self, master: bool) -> State:
        self.due = None
        self._tries = 0
        if self.master != master:
            self.master = master
            self.report(Determined(master))
        return State.IDLE

    def _expired(self, _: Any, now: float) -> State:
        self.send("indication", "masterSlaveDeterminationRelease", {})
        return self._fail("the peer did not say who is the master", Reason.TIMEOUT)

    def _released(self, _: Any, now: float) -> State:
        return self._fail("the peer gave up finding a master")

    def _unconfirmed(self, _: Any, now: float) -> State:
        """A peer that never confirms has still been told, and acts on it."""
        return self._settle(bool(self._pending))

    def _fail(self, detail: str, reason: Reason = Reason.BAD_REQUEST) -> State:
        self.due = None
        self.report(ControlFailed(reason, detail))
        return State.IDLE


DETERMINATION_TABLE: Table[State] = {
    (State.IDLE, "start"): Determination._ask,
    (State.IDLE, "masterSlaveDetermination"): Determination._asked,
    (State.OUTGOING, "masterSlaveDetermination"): Determination._asked_while_asking,
    (State.OUTGOING, "masterSlaveDeterminationAck"): Determination._answered,
    (State.OUTGOING, "masterSlaveDeterminationReject"): Determination._again,
    (State.OUTGOING, "masterSlaveDeterminationRelease"): Determination._released,
    (State.OUTGOING, "timer"): Determination._expired,
    (State.INCOMING, "masterSlaveDetermination"): Determination._asked,
    (State.INCOMING, "masterSlaveDeterminationAck"): Determination._confirmed,
    (State.INCOMING, "masterSlaveDeterminationReject"): Determination._again,
    (State.INCOMING, "masterSlaveDeterminationRelease"): Determination._unconfirmed,
    (State.INCOMING, "timer"): Determination._unconfirmed,
}
