"""One H.323 call: signalling messages, H.245 messages and time in; what is to be sent, done and told out.

Theory of operation. The table `TABLE` says for each state and message what happens (H.225.0 §7.4 on Q.931 §5); what
stands in no row changes nothing. Whatever the message, the same things are taken out of it first: whether the peer
tunnels, tunnelled H.245 messages, its H.245 address, and its answer to fast start. The H.245 session is a
`Control` inside; what it wants sent goes by `ControlWay`. The same class is caller and callee.

The one above calls `place`, or answers `CallArrived` with `ring`, `connect` or `release`; it opens and accepts logical
channels at `control` and calls `flush` after having spoken to it. `take` returns everything in order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from enum import Enum
from random import Random
from typing import Any

from gateway.reasons import Reason
from h323.h235.security import MediaSecurity
from h323.h245.control import Control
from h323.h245.events import ControlFailed, Pdu, SessionEnded
from h323.q931 import Type
from h323.signalling import messages
from h323.signalling.aliases import read_address, read_aliases
from h323.signalling.control_way import ControlCodec, ControlWay, Separate
from h323.signalling.events import (
    Address,
    CallArrived,
    CallConnected,
    CallEnded,
    CallItem,
    CloseSignalling,
    ConnectControl,
    ControlReported,
    FastStartAnswered,
    Forwarded,
    KeypadPressed,
    ListenControl,
    Proceeding,
    Ringing,
    SendControl,
    SendSignal,
    SetupFacts,
    Signal,
    SupplementaryService,
    Value,
)

T303 = 15.0
"""Seconds that a callee has to say anything at all; H.225.0 has 4, gateways in front of others need more."""
T310 = 60.0
"""Seconds from CALL PROCEEDING to the next message; H.225.0 has 10, which calls through gateways exceed."""
T302 = 8.0
"""Seconds from one dialled digit to the next, then the number counts as whole; Q.931 has 10 to 15."""
T301 = 180.0
"""Seconds that a call may ring (Q.931 §9.5)."""
LEAVE_TIME = 3.0
"""Seconds from the peer's endSession to its RELEASE COMPLETE (H.323 §8.5); then we send ours."""
MAX_DIALLED = 32
"""Digits of a number that is dialled one by one."""
ROUND_TRIP_INTERVAL = 60.0
"""Seconds between two round trip requests; real endpoints do the same."""
MAX_KEYPAD = 32
"""Keys taken of one message."""
STATUS_ENQUIRY_CAUSE = 30
"""Cause of a STATUS that answers an inquiry (Q.850)."""


class State(Enum):
    """Call states, by their Q.931 numbers (§2.2, Table 4-8)."""

    NULL = 0
    INITIATED = 1
    PROCEEDING = 3
    DELIVERED = 4
    PRESENT = 6
    RECEIVED = 7
    INCOMING_PROCEEDING = 9
    ACTIVE = 10
    RELEASED = 19
    OVERLAP_RECEIVING = 25


_TIMES = {State.OVERLAP_RECEIVING: T302, State.INITIATED: T303, State.PROCEEDING: T310, State.DELIVERED: T301}
_EXPIRED = {State.DELIVERED: Reason.NO_ANSWER, State.ACTIVE: Reason.NORMAL}
"""Why a call ends whose timer rings; others end by TIMEOUT."""
_CALLING = (State.INITIATED, State.PROCEEDING, State.DELIVERED)
_CALLED = (State.PRESENT, State.INCOMING_PROCEEDING, State.RECEIVED)


class H323Call:
    """One call. local says who we are; reference is the call reference value, 1 to 32767."""

    def __init__(
        self,
        reference: int,
        local: messages.LocalParty,
        codec: ControlCodec,
        rng: Random,
        tunnelling: bool = True,
        early_control: bool = False,
    ) -> None:
        """tunnelling: whether we tunnel H.245; early_control: whether our SETUP carries it already."""
        self.reference = reference
        self.state = State.NULL
        self.caller = False
        self.control = Control(rng)
        self.facts = SetupFacts()
        self.rng = rng
        self.security: MediaSecurity | None = None
        """The call's media encryption; None where there is to be none."""
        self._local = local
        self._codec = codec
        self._way = ControlWay(codec, tunnelling)
        self._early = early_control
        self._out: deque[CallItem] = deque()
        self._capabilities: Value | None = None
        self._started = False
        self._fast_start: tuple[Value, ...] | None = None
        """What we answer fast start with; None as long as nobody decided."""
        self._proposed = False
        self._answered_fast_start = False
        self._rang = False
        self._due: float | None = None
        self._round_trip: float | None = None

    # what goes out

    def take(self) -> list[CallItem]:
        """Return what is to be sent, done and told since the last time, in order."""
        taken = list(self._out)
        self._out.clear()
        return taken

    def next_timeout(self) -> float | None:
        """Return when `tick` is wanted."""
        due = [self._due, self._round_trip, self.control.next_timeout()]
        return min((one for one in due if one is not None), default=None)

    @property
    def over(self) -> bool:
        """Whether the call is at its end."""
        return self.state is State.RELEASED

    @property
    def controlled(self) -> bool:
        """Whether the H.245 session has been started by us."""
        return self._started

    def _report(self, item: CallItem) -> None:
        self._out.append(item)

    def _send(self, kind: Type, body: Value | None = None, early: bool = False, **more: Any) -> None:
        signal = Signal(
            kind,
            self.reference,
            not self.caller,
            body,
            self._way.offered,
            self._way.take_tunnelled(early),
            **more,
        )
        self._out.append(SendSignal(signal))

    def _become(self, state: State, now: float) -> None:
        self.state = state
        wait = _TIMES.get(state)
        self._due = None if wait is None else now + wait

    # what comes from above

    def place(self, facts: SetupFacts, capabilities: Value, now: float) -> None:
        """Call somebody. facts.conference and facts.call are the ids to use; capabilities our first set."""
        self.caller = True
        self.facts = facts
        self._capabilities = capabilities
        self._proposed = bool(facts.fast_start)
        if self._early and self._way.offered:
            self._start_control(now)
            self._pump_control()
        encoded = [self._codec.encode_channel(one) for one in facts.fast_start]
        body = messages.setup(self._local, facts, encoded)
        more: dict[str, Any] = {"display": facts.display, "number": facts.called_number, "caller": facts.caller_number}
        if self.security is not None:
            body["tokens"] = self.security.offer()
        self._become(State.INITIATED, now)
        self._send(Type.SETUP, body, early=True, bandwidth=facts.bandwidth, **more)

    def proceed(self, now: float) -> None:
        """Say that the call is being worked on; done of itself when a SETUP comes."""
        if self.state is State.PRESENT:
            self._become(State.INCOMING_PROCEEDING, now)
            self._send(Type.CALL_PROCEEDING, messages.call_proceeding(self._local, self.facts.call))

    def ring(self, now: float, channels: tuple[Value, ...] | None = None) -> None:
        """Say that the one called is being rung; channels answers fast start already here."""
        if self.state in _CALLED and self.state is not State.RECEIVED:
            self._choose(channels)
            self._become(State.RECEIVED, now)
            body = messages.alerting(self._local, self.facts.call)
            self._send(Type.ALERTING, self._with_fast_start(body, final=False))

    def connect(self, capabilities: Value, now: float, channels: tuple[Value, ...] | None = None) -> None:
        """Answer the call. channels are those of the fast start that we take, () or None refuses it."""
        if self.state not in _CALLED:
            return
        self._choose(channels)
        self._capabilities = capabilities
        self._become(State.ACTIVE, now)
        self._begin_control(now)
        body = messages.connect(self._local, self.facts)
        if self.security is not None and self.security.agreed:
            body["tokens"] = self.security.answer()
        if not self._way.tunnels and self._way.own_address is not None and self._way.separate is Separate.LISTENING:
            body["h245Address"] = messages.transport(self._way.own_address)
        self._send(Type.CONNECT, self._with_fast_start(body, final=True), display=self._local.display)
        self.flush()

    def release(self, reason: Reason, now: float, cause: int | None = None) -> None:
        """End the call in whatever state it is."""
        if self.over:
            return
        if self.state is not State.NULL:
            self.control.end(now)
            self._pump_control()
            body = messages.release_complete(self.facts.call, reason)
            self._send(Type.RELEASE_COMPLETE, body, early=True, cause=reason.meaning.q850 if cause is None else cause)
        self._finish(reason, now)

    def press(self, keys: str) -> None:
        """Send keys by INFORMATION, for a peer without H.245."""
        self._send(Type.INFORMATION, messages.information(self.facts.call), keypad=keys[:MAX_KEYPAD])

    def inquire(self) -> None:
        """Ask whether the peer still has the call (STATUS INQUIRY)."""
        self._send(Type.STATUS_INQUIRY, messages.bare(self.facts.call))

    def facility(self, body: Value | None, extra: Value | None = None) -> None:
        """Send a FACILITY with this body, for services that live above."""
        self._send(Type.FACILITY, body, extra=extra or {})

    def flush(self) -> None:
        """Put out what the H.245 session has to say; to be called after speaking to `control`."""
        self._pump_control()
        self._way.flush(lambda data: self._out.append(SendControl(data)))
        while self._way.waiting and self._way.tunnels and not self.over:
            self._send(Type.FACILITY)

    def _pump_control(self) -> None:
        while items := self.control.take():
            for item in items:
                if isinstance(item, tuple):
                    self._queue(item)
                elif not (isinstance(item, SessionEnded) and self.over):
                    self._report(ControlReported(item))

    def _queue(self, pdu: Pdu) -> None:
        try:
            self._way.queue(pdu)
        except ValueError:
            # It repeats something of the peer's that holds parts of a later version, which cannot be written.
            _, (name, value) = pdu
            if name == "openLogicalChannel":
                self.control.give_up(value["forwardLogicalChannelNumber"])
            elif name == "functionNotUnderstood":
                self._way.queue(("indication", ("functionNotSupported", {"cause": ("unknownFunction", None)})))

    # fast start

    def writable(self, channel: Value) -> bool:
        """Whether a channel of the peer's can be repeated in an answer: it may hold parts of a later version."""
        try:
            self._codec.encode_channel(channel)
        except ValueError:
            return False
        return True

    def _choose(self, channels: tuple[Value, ...] | None) -> None:
        if channels is not None and self._fast_start is None:
            self._fast_start = channels

    def _with_fast_start(self, body: Value, final: bool) -> Value:
        """Put our answer to the peer's fast start into a message; the last one refuses what was not taken."""
        if not self.facts.fast_start or self._answered_fast_start:
            return body
        if self._fast_start:
            body["fastStart"] = [self._codec.encode_channel(one) for one in self._fast_start]
            self._answered_fast_start = True
        elif final:
            body["fastConnectRefused"] = None
            self._answered_fast_start = True
        return body

    def _hear_fast_start(self, body: Value, final: bool) -> None:
        if not self._proposed:
            return
        taken = messages.read_channels(body.get("fastStart") or (), self._codec)
        if taken or final or "fastConnectRefused" in body:
            self._proposed = False
            self._report(FastStartAnswered(taken))

    # H.245

    def _begin_control(self, now: float) -> None:
        """Start the session, and see that there is a way for it."""
        self._start_control(now)
        self._pump_control()
        if not self._way.decided:
            self._way.separate = Separate.LISTENING
            self._report(ListenControl())

    def _start_control(self, now: float) -> None:
        if not self._started and self._capabilities is not None:
            self._started = True
            self._round_trip = now + ROUND_TRIP_INTERVAL
            if self.security is not None:
                self.control.dress = self.security.dress
            self.control.start(self._capabilities, now)

    def listening(self, address: Address, now: float) -> None:
        """The shell listens for the peer's H.245 connection; the peer is told, in CONNECT or by FACILITY."""
        self._way.own_address = address
        if self.state is State.ACTIVE and self._way.separate is Separate.LISTENING:
            self._send(Type.FACILITY, messages.start_h245(self.facts, address))

    def control_connected(self, now: float) -> None:
        """The separate H.245 connection is there, whoever opened it."""
        if self._way.separate is Separate.OPEN or self.over:
            return
        self._way.separate = Separate.OPEN
        self._start_control(now)
        self.flush()

    def control_received(self, data: bytes, now: float) -> None:
        """Take one message of the separate H.245 connection."""
        if not self.over:
            self._take_control(data, now)
            self.flush()

    def control_closed(self, now: float) -> None:
        """The separate connection is gone; without it the session cannot go on."""
        if self._way.separate in (Separate.OPEN, Separate.CONNECTING):
            self._way.separate = Separate.CLOSED
            if not self.over and not self.control.ended:
                self._report(ControlReported(ControlFailed(Reason.TRANSPORT_FAILED, "the H.245 connection is gone")))

    def _take_control(self, data: bytes, now: float) -> None:
        try:
            pdu = self._way.decode(data)
        except ValueError:
            self.control.unreadable()
        else:
            self.control.receive(pdu, now)
        self._pump_control()
        if self.control.ended and self.state is State.ACTIVE and self._due is None:
            self._due = now + LEAVE_TIME

    def _hear_control(self, signal: Signal, now: float) -> None:
        """Take whether the peer tunnels, and where it listens for H.245."""
        if signal.kind is not Type.RELEASE_COMPLETE:
            self._way.heard(signal.tunnelling)
        for data in signal.control:
            self._take_control(data, now)
        address = read_address((signal.body or {}).get("h245Address"))
        free = self._way.separate in (Separate.NONE, Separate.LISTENING)
        if address is not None and free and not self._way.tunnels and not self.over:
            self._way.separate = Separate.CONNECTING
            self._report(ConnectControl(address))

    # what comes from the peer

    def receive(self, signal: Signal, now: float) -> None:
        """Take one signalling message. It never raises for what a peer can send."""
        if self.over:
            return
        if signal.kind is Type.SETUP:
            self._arrive(signal, now)
            self.flush()
            return
        self._hear_control(signal, now)
        if signal.keypad and self.state is not State.OVERLAP_RECEIVING:
            self._report(KeypadPressed(signal.keypad[:MAX_KEYPAD]))
        action = TABLE.get((self.state, signal.kind)) or ANYWHERE.get(signal.kind)
        if action is not None:
            action(self, signal, now)
        if not self.over:
            self.flush()

    def _arrive(self, signal: Signal, now: float) -> None:
        if self.state is not State.NULL:
            return
        self.facts = messages.read_setup(signal, self._codec)
        self._hear_control(signal, now)
        named = self.facts.called_aliases or self.facts.called_number or signal.complete
        if not named and self.facts.body.get("canOverlapSend"):
            self._become(State.OVERLAP_RECEIVING, now)
            self._send(Type.SETUP_ACKNOWLEDGE, messages.setup_acknowledge(self.facts.call))
        else:
            self._present(now)

    def _dialled_more(self, signal: Signal, now: float) -> None:
        """Digits of a number that comes bit by bit (overlap sending, Q.931 §5.2.4); a # ends it."""
        digits = signal.number or signal.keypad
        number = (self.facts.called_number + digits.partition("#")[0])[:MAX_DIALLED]
        self.facts = replace(self.facts, called_number=number)
        self._become(State.OVERLAP_RECEIVING, now)
        if "#" in digits or signal.complete or len(number) >= MAX_DIALLED:
            self._present(now)

    def _present(self, now: float) -> None:
        """The call is known: tell of it."""
        self._become(State.PRESENT, now)
        self.proceed(now)
        if not self._way.offered and self._way.separate is Separate.NONE:
            self._way.separate = Separate.LISTENING
            self._report(ListenControl())
        self._report(CallArrived(self.facts))

    def _hear_security(self, signal: Signal) -> None:
        """Take the callee's half of our key agreement; any message before CONNECT may bring it too."""
        if self.security is not None and signal.body is not None:
            self.security.take_answer(signal.body.get("tokens"))

    def _worked_on(self, signal: Signal, now: float) -> None:
        self._become(State.PROCEEDING, now)
        self._hear_security(signal)
        self._hear_fast_start(signal.body or {}, final=False)
        self._report(Proceeding())

    def _rung(self, signal: Signal, now: float) -> None:
        self._become(State.DELIVERED, now)
        self._hear_security(signal)
        self._hear_fast_start(signal.body or {}, final=False)
        if not self._rang:
            self._rang = True
            self._report(Ringing())

    def _progressed(self, signal: Signal, now: float) -> None:
        self._hear_fast_start(signal.body or {}, final=False)

    def _answered(self, signal: Signal, now: float) -> None:
        self._become(State.ACTIVE, now)
        body = signal.body or {}
        self._hear_security(signal)
        if self.security is not None and self.security.required and not self.security.agreed:
            self.release(Reason.ENCRYPTION_NEEDED, now)
            return
        self._hear_fast_start(body, final=True)
        self._report(CallConnected(signal.display, messages.product(body.get("destinationInfo"))))
        self._begin_control(now)

    def _released(self, signal: Signal, now: float) -> None:
        reason, detail = messages.read_release(signal)
        self._finish(reason, now, signal.cause, detail)

    def _asked_for_facility(self, signal: Signal, now: float) -> None:
        apdus = signal.extra.get("h4501SupplementaryService")
        if apdus:
            self._report(SupplementaryService(tuple(bytes(one) for one in apdus)))
        body = signal.body
        if body is None:
            return
        self._hear_fast_start(body, final=False)
        why = messages.facility_reason(body)
        if why in ("callForwarded", "routeCallToMC", "routeCallToGatekeeper"):
            aliases = read_aliases(body.get("alternativeAliasAddress"))
            address = read_address(body.get("alternativeAddress"))
            self._report(Forwarded(why, address, aliases, bytes(body.get("conferenceID") or b"")))

    def _asked_for_status(self, signal: Signal, now: float) -> None:
        self._send(Type.STATUS, messages.bare(self.facts.call), cause=STATUS_ENQUIRY_CAUSE, call_state=self.state.value)

    def closed(self, now: float) -> None:
        """The signalling connection is gone. A call that ends so has not been hung up, and its peer may be dead."""
        if not self.over:
            self._finish(Reason.TRANSPORT_FAILED, now, detail="the signalling connection is gone")

    def tick(self, now: float) -> None:
        """Ring the timers that are due."""
        self.control.tick(now)
        if self._due is not None and now >= self._due:
            self._due = None
            if self.state is State.OVERLAP_RECEIVING:
                self._present(now)
                self.flush()
            else:
                self.release(_EXPIRED.get(self.state, Reason.TIMEOUT), now)
            return
        if self._round_trip is not None and now >= self._round_trip:
            self._round_trip = now + ROUND_TRIP_INTERVAL
            if self.control.ready:
                self.control.ask_round_trip(now)
        if not self.over:
            self.flush()

    def _finish(self, reason: Reason, now: float, cause: int | None = None, detail: str = "") -> None:
        self._way.flush(lambda data: self._out.append(SendControl(data)))
        self._become(State.RELEASED, now)
        self._round_trip = None
        self.control.stop()
        self._report(CallEnded(reason, cause, detail))
        self._report(CloseSignalling())


Action = Callable[[H323Call, Signal, float], None]

TABLE: dict[tuple[State, Type], Action] = {
    (State.INITIATED, Type.CALL_PROCEEDING): H323Call._worked_on,
    **{(state, Type.ALERTING): H323Call._rung for state in _CALLING},
    **{(state, Type.PROGRESS): H323Call._progressed for state in _CALLING},
    **{(state, Type.CONNECT): H323Call._answered for state in _CALLING},
    (State.OVERLAP_RECEIVING, Type.INFORMATION): H323Call._dialled_more,
}
"""What a message does in a state."""

ANYWHERE: dict[Type, Action] = {
    Type.RELEASE_COMPLETE: H323Call._released,
    Type.FACILITY: H323Call._asked_for_facility,
    Type.STATUS_INQUIRY: H323Call._asked_for_status,
}
"""What a message does in every state."""
