"""The H.245 session of a call: how it starts, which way its messages go, and what it reports (H.323 §8.2).

Tunnelled, or on a connection of its own that either side opens. In a call that passes a translator the side behind it
opens the connection, and says first whose it is (H.460.18 §11).
"""

from __future__ import annotations

from collections import deque
from random import Random
from typing import Any

from gateway.reasons import Reason
from h323.h235.security import MediaSecurity
from h323.h245.control import Control
from h323.h245.events import ControlFailed, Determined, Pdu, RoundTrip, SessionEnded
from h323.h460.call import CallTraversal
from h323.h460.incoming import write_indication
from h323.q931 import Type
from h323.signalling import messages
from h323.signalling.aliases import read_address
from h323.signalling.control_way import ControlCodec, ControlWay, Separate
from h323.signalling.events import (
    Address,
    CallItem,
    ConnectControl,
    ControlReported,
    ListenControl,
    SendControl,
    SetupFacts,
    Signal,
    Value,
)
from h323.signalling.states import LEAVE_TIME, ROUND_TRIP_INTERVAL, State


class ControlledCall:
    """What `H323Call` is made on."""

    def __init__(self, codec: ControlCodec, rng: Random, tunnelling: bool, traversal: CallTraversal) -> None:
        self.state = State.NULL
        self.caller = False
        self.control = Control(rng)
        self.facts = SetupFacts()
        self.security: MediaSecurity | None = None
        """The call's media encryption; None where there is to be none."""
        self.traversal = traversal
        self._codec = codec
        self._way = ControlWay(codec, tunnelling)
        self._out: deque[CallItem] = deque()
        self._capabilities: Value | None = None
        self._started = False
        self._introduction: Pdu | None = None
        """What tells the peer's H.245 session once who we are."""
        self._spoken_to = False
        """Whether the peer has spoken H.245."""
        self._asked_where = False
        """Whether the peer has asked where we listen for H.245."""
        self._unanswered = 0
        self._answers = False
        self._due: float | None = None
        self._round_trip: float | None = None

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
        """Send a message of the call, which knows how: `H323Call` fills this in."""
        raise NotImplementedError

    # what goes out

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
                    continue
                if isinstance(item, RoundTrip) and item.seconds is not None:
                    self._lives()
                if isinstance(item, Determined) and self._introduction is not None:
                    self.control.send(self._introduction)
                    self._introduction = None
                if not (isinstance(item, SessionEnded) and self.over):
                    self._report(ControlReported(item))

    def _lives(self) -> None:
        """The peer has answered a question of whether it lives."""
        self._unanswered, self._answers = 0, True

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

    # its start

    def _begin_control(self, now: float) -> None:
        """Start the session, and see that there is a way for it."""
        self._start_control(now)
        self._pump_control()
        if not self._way.decided:
            self._seek_way()

    def _seek_way(self) -> None:
        """Let the peer connect to us; where it is to be the other way round, ask where."""
        self._way.separate = Separate.LISTENING
        if self.traversal.connects:
            self._send(Type.FACILITY, messages.facility(self.facts, "startH245"))
        else:
            self._report(ListenControl())

    def _keep_way(self) -> None:
        """Find another way for the session if the peer has stopped tunnelling in the middle of it (H.323 §8.2.1)."""
        if self.state is State.ACTIVE and self._started and not self._way.decided:
            self._seek_way()

    def _start_control(self, now: float) -> None:
        if not self._started and self._capabilities is not None:
            self._started = True
            self._round_trip = now + ROUND_TRIP_INTERVAL
            if self.security is not None:
                self.control.dress = self.security.dress
            self.control.start(self._capabilities, now)

    # the separate connection

    def listening(self, address: Address, now: float) -> None:
        """The shell listens for the peer's H.245 connection; the peer is told, in CONNECT or by FACILITY."""
        self._way.own_address = address
        told = self.state is State.ACTIVE or self._asked_where
        if told and self._way.separate is Separate.LISTENING:
            self._send(Type.FACILITY, messages.start_h245(self.facts, address))

    def control_connected(self, now: float) -> None:
        """The separate H.245 connection is there, whoever opened it."""
        if self._way.separate is Separate.OPEN or self.over:
            return
        if self.traversal.connects:
            # It must be the first message: the server knows by it whose connection this is.
            self._out.append(SendControl(self._codec.encode(write_indication(self.facts.call, not self.caller))))
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

    # what comes in

    def _take_control(self, data: bytes, now: float) -> None:
        self._spoken_to = True
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
        if self._way.offered:  # one that does not tunnel reads nothing there
            for data in signal.control:
                self._take_control(data, now)
        address = read_address((signal.body or {}).get("h245Address"))
        free = self._way.separate in (Separate.NONE, Separate.LISTENING)
        if address is None or not free or self._way.tunnels or self.over or self.traversal.waits:
            return
        self._way.separate = Separate.CONNECTING
        self._report(ConnectControl(address))

    def _asked_to_listen(self) -> None:
        """The peer wants a separate connection and cannot be connected to: tell it where we listen."""
        if self._way.tunnels or self._way.separate not in (Separate.NONE, Separate.LISTENING):
            return
        self._asked_where = True
        if self._way.own_address is not None:
            self._send(Type.FACILITY, messages.start_h245(self.facts, self._way.own_address))
        elif self._way.separate is Separate.NONE:
            self._seek_way()
