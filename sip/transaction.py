"""The four transaction machines of RFC 3261 §17 with the corrections of RFC 6026, as tables.

A machine is a table from (state, input) to (next state, actions); what stands in no row is ignored. Inputs are
messages of the wire, responses from above, and timers that have rung; actions send, start timers, and tell above.

Client side: 1xx, 2xx and 3xx-6xx come from the wire. Server side: they come from above, and the wire brings the
request again (`AGAIN`) or its ACK. A 2xx to an INVITE is sent again by the transaction's user, not by the
transaction; the ACCEPTED states only absorb or hand on what still comes (RFC 6026 §7.1).

Over a reliable transport nothing is sent again, and the waits for stragglers (D, I, J, K) are zero.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol

from gateway.reasons import Reason
from sip.events import Flow, Send, Target
from sip.headers import Headers
from sip.message import Request, Response
from sip.timers import PATIENCE, T1, T2, T4, Timer, Timers


class State(Enum):
    """States of RFC 3261 figures 5 to 8, and Accepted of RFC 6026."""

    CALLING = auto()
    TRYING = auto()
    PROCEEDING = auto()
    COMPLETED = auto()
    CONFIRMED = auto()
    ACCEPTED = auto()
    TERMINATED = auto()


class Input(Enum):
    """What drives a machine: START, messages, timers by their letter, ERROR of the transport."""

    START = auto()
    PROVISIONAL = auto()
    SUCCESS = auto()
    FAILURE = auto()
    AGAIN = auto()
    ACK = auto()
    ERROR = auto()
    A = auto()
    B = auto()
    D = auto()
    E = auto()
    F = auto()
    G = auto()
    H = auto()
    I = auto()  # noqa: E741 - the RFC's letter
    J = auto()
    K = auto()
    L = auto()
    M = auto()


class Layer(Protocol):
    """What a transaction needs of the stack around it."""

    timers: Timers

    def transmit(self, send: Send) -> None:
        """Put on the wire."""

    def forget(self, transaction: Transaction) -> None:
        """Drop a transaction that is over."""


OnResponse = Callable[[Response, Flow | None, float], None]
OnFailure = Callable[[Reason, float], None]
Key = tuple[str, ...]


class Transaction:
    """One transaction; its table says which of the four."""

    __slots__ = (
        "_ack",
        "_flow",
        "_interval",
        "_layer",
        "_on_failure",
        "_on_response",
        "_send",
        "_timers",
        "key",
        "reliable",
        "request",
        "state",
        "table",
    )

    def __init__(self, layer: Layer, table: Table, key: Key, request: Request, reliable: bool) -> None:
        self._layer = layer
        self.table = table
        self.key = key
        self.request = request
        self.reliable = reliable
        self.state = State.CALLING if table is CLIENT_INVITE else State.TRYING
        self._send: Send | None = None
        self._ack: Send | None = None
        self._flow: Flow | None = None
        self._interval = T1
        self._timers: dict[Input, Timer] = {}
        self._on_response: OnResponse | None = None
        self._on_failure: OnFailure | None = None

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self.state is State.TERMINATED

    @property
    def target(self) -> Send | None:
        """What was sent last."""
        return self._send

    def feed(self, event: Input, now: float, response: Response | None = None) -> None:
        """Move by one input."""
        rule = self.table.get((self.state, event))
        if rule is None:
            return
        self.state, actions = rule
        for action in actions:
            action(self, now, response)
        if self.state is State.TERMINATED:
            self._stop()

    def _start_timer(self, letter: Input, delay: float, now: float) -> None:
        old = self._timers.pop(letter, None)
        if old is not None:
            old.stop()
        self._timers[letter] = self._layer.timers.start(now + delay, lambda when: self._ring(letter, when))

    def _ring(self, letter: Input, now: float) -> None:
        self._timers.pop(letter, None)
        self.feed(letter, now)

    def _stop_timers(self, *letters: Input) -> None:
        for letter in letters:
            timer = self._timers.pop(letter, None)
            if timer is not None:
                timer.stop()

    def _linger(self, letter: Input, delay: float, now: float) -> None:
        """Wait for stragglers, or end at once where the transport brings none."""
        if self.reliable:
            self.state = State.TERMINATED
        else:
            self._start_timer(letter, delay, now)

    def _stop(self) -> None:
        self._stop_timers(*tuple(self._timers))
        self._layer.forget(self)
        self._on_response = self._on_failure = None


class ClientTransaction(Transaction):
    """A request that we sent (RFC 3261 §17.1)."""

    __slots__ = ()

    def start(self, send: Send, on_response: OnResponse, on_failure: OnFailure, now: float) -> None:
        """Send the request; on_response hears every response worth hearing, on_failure TIMEOUT or UNREACHABLE."""
        self._send = send
        self._on_response = on_response
        self._on_failure = on_failure
        self.feed(Input.START, now)

    def received(self, response: Response, flow: Flow, now: float) -> None:
        """Take a response from the wire."""
        self._flow = flow
        self.feed(_class_of(response.status), now, response)

    def abandon(self) -> None:
        """End it here and now; nothing is sent or told."""
        if self.state is not State.TERMINATED:
            self.state = State.TERMINATED
            self._stop()


class ServerTransaction(Transaction):
    """A request that we received (RFC 3261 §17.2); way is where its responses go, tag what they had in To."""

    __slots__ = ("tag", "way")

    def __init__(
        self, layer: Layer, table: Table, key: Key, request: Request, way: tuple[Flow, Target | None], reliable: bool
    ) -> None:
        super().__init__(layer, table, key, request, reliable)
        self.way = way
        self.tag = ""

    def answer(self, response: Response, send: Send, now: float) -> None:
        """Send a response from above. After a final one nothing more is sent, but for a 2xx again."""
        event = _class_of(response.status)
        if (self.state, event) in self.table:
            self.tag = response.to.tag
            self._send = send
            self.feed(event, now, response)


def _class_of(status: int) -> Input:
    if status < 200:
        return Input.PROVISIONAL
    return Input.SUCCESS if status < 300 else Input.FAILURE


Action = Callable[[Transaction, float, Response | None], None]
Rule = tuple[State, tuple[Action, ...]]
Table = dict[tuple[State, Input], Rule]


def _send(tx: Transaction, now: float, response: Response | None) -> None:
    if tx._send is not None:
        tx._layer.transmit(tx._send)


def _deliver(tx: Transaction, now: float, response: Response | None) -> None:
    if tx._on_response is not None and response is not None:
        tx._on_response(response, tx._flow, now)


def _timed_out(tx: Transaction, now: float, response: Response | None) -> None:
    if tx._on_failure is not None:
        tx._on_failure(Reason.TIMEOUT, now)


def _failed(tx: Transaction, now: float, response: Response | None) -> None:
    if tx._on_failure is not None:
        tx._on_failure(Reason.UNREACHABLE, now)


def _acknowledge(tx: Transaction, now: float, response: Response | None) -> None:
    """ACK of a refusal: same branch and target as the INVITE, To of the response (RFC 3261 §17.1.1.3)."""
    if tx._ack is None and response is not None and tx._send is not None:
        tx._ack = Send(refusal_ack(tx.request, response).to_bytes(), tx._send.target, tx._send.fallback)
    if tx._ack is not None:
        tx._layer.transmit(tx._ack)


def refusal_ack(invite: Request, response: Response) -> Request:
    """Return the ACK to a 3xx-6xx response (RFC 3261 §17.1.1.3)."""
    kept = [item for item in invite.headers if item[0] in ("From", "Call-ID", "Route", "Max-Forwards")]
    via = next(item for item in invite.headers if item[0] == "Via")
    to = ("To", response.headers.get("To") or "")
    return Request("ACK", invite.target, Headers.trusted([via, *kept, to, ("CSeq", f"{invite.cseq.number} ACK")]))


def _start(letter: Input, delay: float, unreliable_only: bool = False) -> Action:
    def action(tx: Transaction, now: float, response: Response | None) -> None:
        if not (unreliable_only and tx.reliable):
            tx._start_timer(letter, delay, now)

    return action


def _double(letter: Input, most: float) -> Action:
    def action(tx: Transaction, now: float, response: Response | None) -> None:
        tx._interval = min(tx._interval * 2, most)
        tx._start_timer(letter, tx._interval, now)

    return action


def _linger(letter: Input, delay: float) -> Action:
    def action(tx: Transaction, now: float, response: Response | None) -> None:
        tx._linger(letter, delay, now)

    return action


def _stop(*letters: Input) -> Action:
    def action(tx: Transaction, now: float, response: Response | None) -> None:
        tx._stop_timers(*letters)

    return action


TIMER_D = 32.0
"""Seconds in which refusals may come again: at least 32 (RFC 3261 §17.1.1.2)."""

CLIENT_INVITE: Table = {
    (State.CALLING, Input.START): (State.CALLING, (_send, _start(Input.A, T1, True), _start(Input.B, PATIENCE))),
    (State.CALLING, Input.A): (State.CALLING, (_send, _double(Input.A, PATIENCE))),
    (State.CALLING, Input.B): (State.TERMINATED, (_timed_out,)),
    (State.CALLING, Input.ERROR): (State.TERMINATED, (_failed,)),
    (State.CALLING, Input.PROVISIONAL): (State.PROCEEDING, (_stop(Input.A, Input.B), _deliver)),
    (State.CALLING, Input.SUCCESS): (
        State.ACCEPTED,
        (_stop(Input.A, Input.B), _start(Input.M, PATIENCE), _deliver),
    ),
    (State.CALLING, Input.FAILURE): (
        State.COMPLETED,
        (_stop(Input.A, Input.B), _acknowledge, _linger(Input.D, TIMER_D), _deliver),
    ),
    (State.PROCEEDING, Input.PROVISIONAL): (State.PROCEEDING, (_deliver,)),
    (State.PROCEEDING, Input.SUCCESS): (State.ACCEPTED, (_start(Input.M, PATIENCE), _deliver)),
    (State.PROCEEDING, Input.FAILURE): (State.COMPLETED, (_acknowledge, _linger(Input.D, TIMER_D), _deliver)),
    (State.COMPLETED, Input.FAILURE): (State.COMPLETED, (_acknowledge,)),
    (State.COMPLETED, Input.D): (State.TERMINATED, ()),
    (State.ACCEPTED, Input.SUCCESS): (State.ACCEPTED, (_deliver,)),
    (State.ACCEPTED, Input.M): (State.TERMINATED, ()),
}
"""RFC 3261 §17.1.1, RFC 6026 §8.4. Ringing has no bound here: that is timer C of the user."""

_K = (_stop(Input.E, Input.F), _linger(Input.K, T4), _deliver)

CLIENT_OTHER: Table = {
    (State.TRYING, Input.START): (State.TRYING, (_send, _start(Input.E, T1, True), _start(Input.F, PATIENCE))),
    (State.TRYING, Input.E): (State.TRYING, (_send, _double(Input.E, T2))),
    (State.TRYING, Input.F): (State.TERMINATED, (_timed_out,)),
    (State.TRYING, Input.ERROR): (State.TERMINATED, (_failed,)),
    (State.TRYING, Input.PROVISIONAL): (State.PROCEEDING, (_deliver,)),
    (State.TRYING, Input.SUCCESS): (State.COMPLETED, _K),
    (State.TRYING, Input.FAILURE): (State.COMPLETED, _K),
    (State.PROCEEDING, Input.E): (State.PROCEEDING, (_send, _start(Input.E, T2))),
    (State.PROCEEDING, Input.F): (State.TERMINATED, (_timed_out,)),
    (State.PROCEEDING, Input.PROVISIONAL): (State.PROCEEDING, (_deliver,)),
    (State.PROCEEDING, Input.SUCCESS): (State.COMPLETED, _K),
    (State.PROCEEDING, Input.FAILURE): (State.COMPLETED, _K),
    (State.COMPLETED, Input.K): (State.TERMINATED, ()),
}
"""RFC 3261 §17.1.2."""

_L = (_send, _start(Input.L, PATIENCE))
_GH = (_send, _start(Input.G, T1, True), _start(Input.H, PATIENCE))

SERVER_INVITE: Table = {
    (State.TRYING, Input.PROVISIONAL): (State.PROCEEDING, (_send,)),
    (State.TRYING, Input.SUCCESS): (State.ACCEPTED, _L),
    (State.TRYING, Input.FAILURE): (State.COMPLETED, _GH),
    (State.PROCEEDING, Input.PROVISIONAL): (State.PROCEEDING, (_send,)),
    (State.PROCEEDING, Input.AGAIN): (State.PROCEEDING, (_send,)),
    (State.PROCEEDING, Input.SUCCESS): (State.ACCEPTED, _L),
    (State.PROCEEDING, Input.FAILURE): (State.COMPLETED, _GH),
    (State.COMPLETED, Input.AGAIN): (State.COMPLETED, (_send,)),
    (State.COMPLETED, Input.G): (State.COMPLETED, (_send, _double(Input.G, T2))),
    (State.COMPLETED, Input.ACK): (State.CONFIRMED, (_stop(Input.G, Input.H), _linger(Input.I, T4))),
    (State.COMPLETED, Input.H): (State.TERMINATED, (_timed_out,)),
    (State.CONFIRMED, Input.I): (State.TERMINATED, ()),
    (State.ACCEPTED, Input.SUCCESS): (State.ACCEPTED, (_send,)),
    (State.ACCEPTED, Input.L): (State.TERMINATED, ()),
}
"""RFC 3261 §17.2.1, RFC 6026 §8.5."""

_J = (_send, _linger(Input.J, PATIENCE))

SERVER_OTHER: Table = {
    (State.TRYING, Input.PROVISIONAL): (State.PROCEEDING, (_send,)),
    (State.TRYING, Input.SUCCESS): (State.COMPLETED, _J),
    (State.TRYING, Input.FAILURE): (State.COMPLETED, _J),
    (State.PROCEEDING, Input.PROVISIONAL): (State.PROCEEDING, (_send,)),
    (State.PROCEEDING, Input.AGAIN): (State.PROCEEDING, (_send,)),
    (State.PROCEEDING, Input.SUCCESS): (State.COMPLETED, _J),
    (State.PROCEEDING, Input.FAILURE): (State.COMPLETED, _J),
    (State.COMPLETED, Input.AGAIN): (State.COMPLETED, (_send,)),
    (State.COMPLETED, Input.J): (State.TERMINATED, ()),
}
"""RFC 3261 §17.2.2."""
