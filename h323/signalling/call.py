"""One H.323 call: signalling messages, H.245 messages and time in; what is to be sent, done and told out.

Theory of operation. The table `TABLE` says for each state and message what happens (H.225.0 §7.4 on Q.931 §5); what
stands in no row changes nothing. Whatever the message, the same things are taken out of it first: whether the peer
tunnels, tunnelled H.245 messages, its H.245 address, and its answer to fast start. The H.245 session is a
`Control` inside, and `call_control` is about it. The same class is caller and callee.

The one above calls `place`, or answers `CallArrived` with `ring`, `connect` or `release`; it opens and accepts logical
channels at `control` and calls `flush` after having spoken to it. `take` returns everything in order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

from gateway.reasons import Reason
from h323.h460.call import CallTraversal
from h323.h460.features import refused, told, write_supported
from h323.q931 import Type
from h323.signalling import messages
from h323.signalling.aliases import read_address, read_aliases
from h323.signalling.call_control import ControlledCall
from h323.signalling.control_way import ControlCodec, Separate
from h323.signalling.events import (
    CallArrived,
    CallConnected,
    CallEnded,
    CallItem,
    CloseSignalling,
    FastStartAnswered,
    Forwarded,
    KeypadPressed,
    Proceeding,
    Ringing,
    SendControl,
    SendSignal,
    SetupFacts,
    Signal,
    SupplementaryService,
    Value,
)
from h323.signalling.fast_start import FastStart
from h323.signalling.states import EXPIRED, MAX_UNANSWERED, ROUND_TRIP_INTERVAL, TIMES, State

MAX_DIALLED = 32
"""Digits of a number that is dialled one by one."""
MAX_KEYPAD = 32
"""Keys taken of one message."""
STATUS_ENQUIRY_CAUSE = 30
"""Cause of a STATUS that answers an inquiry (Q.850)."""


_CALLING = (State.INITIATED, State.OVERLAP_SENDING, State.PROCEEDING, State.DELIVERED)
_CALLED = (State.PRESENT, State.INCOMING_PROCEEDING, State.RECEIVED)


class H323Call(ControlledCall):
    """One call. local says who we are; reference is the call reference value, 1 to 32767."""

    def __init__(
        self,
        reference: int,
        local: messages.LocalParty,
        codec: ControlCodec,
        rng: Random,
        tunnelling: bool = True,
        early_control: bool = False,
        traversal: CallTraversal | None = None,
    ) -> None:
        """tunnelling: whether we tunnel H.245; early_control: whether our SETUP carries it already.

        traversal says how the call may pass a translator; without it nothing is offered or taken.
        """
        super().__init__(codec, rng, tunnelling, traversal or CallTraversal())
        self.reference = reference
        self.rng = rng
        self._local = local
        self._introduction = messages.vendor_identification(local)
        self._early = early_control
        self._fast_start = FastStart(codec)
        self._rang = False
        self._later = ""
        self._whole = True

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
        wait = TIMES.get(state)
        self._due = None if wait is None else now + wait

    # what comes from above

    def place(self, facts: SetupFacts, capabilities: Value, now: float, overlap: bool = False) -> None:
        """Call somebody. facts.conference and facts.call are the ids to use; capabilities our first set.

        overlap: the number is not whole yet, and `dial` will add to it.
        """
        self.caller = True
        self._whole = not (overlap or facts.body.get("canOverlapSend"))
        self.facts = facts
        self._capabilities = capabilities
        if self._early and self._way.offered and self.security is None:  # our set tells of keys once they are agreed on
            self._start_control(now)
            self._pump_control()
        body = messages.setup(self._local, facts, self._fast_start.propose(facts.fast_start))
        features = self.traversal.offer()
        if features:
            body["supportedFeatures"] = features
        if overlap:
            body["canOverlapSend"] = True
        more: dict[str, Any] = {"display": facts.display, "number": facts.called_number, "caller": facts.caller_number}
        if self.security is not None:
            body["tokens"] = self.security.offer()
        self._become(State.INITIATED, now)
        parallel = bool(facts.fast_start)
        self._send(Type.SETUP, body, early=True, bandwidth=facts.bandwidth, parallel=parallel, **more)

    def dial(self, digits: str, now: float, whole: bool = False) -> None:
        """Add digits to the number of a call that was placed with overlap; whole says that these are the last."""
        if not self._whole:
            self._later = (self._later + digits)[:MAX_DIALLED]
            self._whole = whole
            self._send_digits(now)

    def _send_digits(self, now: float) -> None:
        """Send what has been dialled since the last time, once the peer wants it (Q.931 §5.1.3)."""
        if self.state is not State.OVERLAP_SENDING or not (self._later or self._whole):
            return
        digits, self._later = self._later, ""
        self._become(State.OVERLAP_SENDING, now)
        self._send(Type.INFORMATION, messages.information(self.facts.call), number=digits, complete=self._whole)

    def _wanted_more(self, signal: Signal, now: float) -> None:
        """The peer wants more digits (SETUP ACKNOWLEDGE), or to hear that there are none."""
        self._become(State.OVERLAP_SENDING, now)
        self._send_digits(now)

    def proceed(self, now: float) -> None:
        """Say that the call is being worked on; done of itself when a SETUP comes."""
        if self.state is State.PRESENT:
            self._become(State.INCOMING_PROCEEDING, now)
            self._send(Type.CALL_PROCEEDING, self._featured(messages.call_proceeding(self._local, self.facts.call)))

    def _featured(self, body: Value) -> Value:
        """Put the features that hold for the call into an answer to the SETUP."""
        features = self.traversal.answer()
        return {**body, "featureSet": write_supported(*features)} if features else body

    def ring(self, now: float, channels: tuple[Value, ...] | None = None) -> None:
        """Say that the one called is being rung; channels answers fast start already here."""
        if self.state in _CALLED and self.state is not State.RECEIVED:
            self._fast_start.choose(channels)
            self._become(State.RECEIVED, now)
            body = self._featured(messages.alerting(self._local, self.facts.call))
            self._send(Type.ALERTING, self._with_fast_start(body, final=False))

    def connect(self, capabilities: Value, now: float, channels: tuple[Value, ...] | None = None) -> None:
        """Answer the call. channels are those of the fast start that we take, () or None refuses it."""
        if self.state not in _CALLED:
            return
        self._fast_start.choose(channels)
        self._capabilities = capabilities
        self._become(State.ACTIVE, now)
        self._begin_control(now)
        body = self._featured(messages.connect(self._local, self.facts))
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
        """Ask whether the peer still has the call (STATUS INQUIRY); done of itself where no H.245 can ask."""
        self._send(Type.STATUS_INQUIRY, messages.bare(self.facts.call))

    def writable(self, channel: Value) -> bool:
        """Whether a channel of the peer's can be repeated in an answer to fast start."""
        return self._fast_start.writable(channel)

    def _with_fast_start(self, body: Value, final: bool) -> Value:
        return self._fast_start.answer(body, final) if self.facts.fast_start else body

    def _hear_fast_start(self, body: Value, final: bool) -> None:
        taken = self._fast_start.hear(body, final)
        if taken is not None:
            self._report(FastStartAnswered(taken))

    def facility(self, body: Value | None, extra: Value | None = None) -> None:
        """Send a FACILITY with this body, for services that live above."""
        self._send(Type.FACILITY, body, extra=extra or {})

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
            self._keep_way()
            self.flush()

    def _arrive(self, signal: Signal, now: float) -> None:
        if self.state is not State.NULL:
            return
        self.facts = messages.read_setup(signal, self._codec)
        if refused(signal.body):
            body = messages.release_complete(self.facts.call, Reason.UNSUPPORTED)
            body["reason"] = ("neededFeatureNotSupported", None)
            self._send(Type.RELEASE_COMPLETE, body, cause=Reason.UNSUPPORTED.meaning.q850)
            self._finish(Reason.UNSUPPORTED, now)
            return
        self.traversal.take_offer(told(signal.body))
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
        if not self._way.offered and self._way.separate is Separate.NONE and not self.traversal.connects:
            self._seek_way()
        self._report(CallArrived(self.facts))

    def _hear_agreed(self, signal: Signal) -> None:
        """Take the callee's half of our key agreement, and its features; any message up to CONNECT may bring them."""
        self.traversal.take_answer(told(signal.body))
        if self.security is not None and signal.body is not None:
            self.security.take_answer(signal.body.get("tokens"))

    def _worked_on(self, signal: Signal, now: float) -> None:
        self._become(State.PROCEEDING, now)
        self._hear_agreed(signal)
        self._hear_fast_start(signal.body or {}, final=False)
        self._report(Proceeding())

    def _rung(self, signal: Signal, now: float) -> None:
        self._become(State.DELIVERED, now)
        self._hear_agreed(signal)
        self._hear_fast_start(signal.body or {}, final=False)
        if not self._rang:
            self._rang = True
            self._report(Ringing())

    def _progressed(self, signal: Signal, now: float) -> None:
        self._hear_agreed(signal)
        self._hear_fast_start(signal.body or {}, final=False)

    def _answered(self, signal: Signal, now: float) -> None:
        self._become(State.ACTIVE, now)
        body = signal.body or {}
        self._hear_agreed(signal)
        if self.security is not None and self.security.required and not self.security.agreed:
            self.release(Reason.ENCRYPTION_NEEDED, now)
            return
        self._hear_fast_start(body, final=True)
        self._report(CallConnected(signal.display, messages.product(body.get("destinationInfo"))))
        if not self._spoken_to:
            self._way.repeat()  # a callee that knows no parallelH245Control has passed it over
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
        if why == "startH245" and "h245Address" not in body:
            self._asked_to_listen()
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
                self.release(EXPIRED.get(self.state, Reason.TIMEOUT), now)
            return
        if self._round_trip is not None and now >= self._round_trip:
            self._round_trip = now + ROUND_TRIP_INTERVAL
            self._ask_whether_alive(now)
        if not self.over:
            self.flush()

    def _ask_whether_alive(self, now: float) -> None:
        """Ask by H.245, or where that does not stand by call signalling (H.323 §8.4.2). Only a peer that has answered
        before is missed: some never do."""
        if self._unanswered >= MAX_UNANSWERED and self._answers:
            self.release(Reason.TIMEOUT, now)
            return
        self._unanswered += 1
        if self.control.ready:
            self.control.ask_round_trip(now)
        else:
            self.inquire()

    def _told_status(self, signal: Signal, now: float) -> None:
        """The peer says how the call stands with it: it lives; a call that it does not have is over (H.225.0 §7.4)."""
        self._lives()
        if signal.call_state == State.NULL.value and self.state is State.ACTIVE:
            self.release(Reason.NORMAL, now)

    def _finish(self, reason: Reason, now: float, cause: int | None = None, detail: str = "") -> None:
        self._way.flush(lambda data: self._out.append(SendControl(data)))
        self._become(State.RELEASED, now)
        self._round_trip = None
        self.control.stop()
        self._report(CallEnded(reason, cause, detail))
        self._report(CloseSignalling())


Action = Callable[[H323Call, Signal, float], None]

TABLE: dict[tuple[State, Type], Action] = {
    (State.INITIATED, Type.SETUP_ACKNOWLEDGE): H323Call._wanted_more,
    (State.INITIATED, Type.CALL_PROCEEDING): H323Call._worked_on,
    (State.OVERLAP_SENDING, Type.CALL_PROCEEDING): H323Call._worked_on,
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
    Type.STATUS: H323Call._told_status,
}
"""What a message does in every state."""
