"""Two calls of ours joined in memory: signalling and a separate H.245 connection, each in order, under one clock."""

from __future__ import annotations

import pickle
from collections import deque
from random import Random
from typing import Any

from h245_pair import ABILITIES

from h323.h245.events import ControlEvent, Pdu
from h323.signalling.call import H323Call
from h323.signalling.events import (
    Address,
    CallItem,
    CloseSignalling,
    ConnectControl,
    ControlReported,
    ListenControl,
    SendControl,
    SendSignal,
    SetupFacts,
    Signal,
)
from h323.signalling.messages import LocalParty
from h323.signalling.wire import PerCodec, read_signal, write_signal


class PickleCodec:
    """Octets that only tests read: the shapes are the codec's, the encoding is not."""

    def encode(self, pdu: Pdu) -> bytes:
        return pickle.dumps(pdu)

    def decode(self, data: bytes) -> Pdu:
        try:
            return pickle.loads(data)
        except Exception as error:
            raise ValueError(str(error)) from None

    def encode_channel(self, channel: dict[str, Any]) -> bytes:
        return pickle.dumps(channel)

    def decode_channel(self, data: bytes) -> dict[str, Any]:
        return self.decode(data)


class End:
    """One end: its call, what it sent, what it told, and what lies on its ways to the other end."""

    def __init__(self, call: H323Call, port: int) -> None:
        self.call = call
        self.port = port
        self.sent: list[Signal] = []
        self.told: list[CallItem] = []
        self.way: deque[tuple[str, Any]] = deque()
        self.listening = False

    def kinds(self) -> list[str]:
        return [one.kind.name for one in self.sent]

    def reported(self, kind: type) -> list[Any]:
        return [one for one in self.told if isinstance(one, kind)]

    def controlled(self, kind: type) -> list[ControlEvent]:
        return [one.event for one in self.reported(ControlReported) if isinstance(one.event, kind)]


class CallPair:
    """The two ends; caller and callee are options of their calls."""

    def __init__(
        self,
        caller: dict[str, Any] | None = None,
        callee: dict[str, Any] | None = None,
        seed: int = 1,
        quick: bool = False,
    ) -> None:
        """quick: messages are handed over as they are, for tests of very many calls."""
        self.now = 50.0
        self.quick = quick
        codec = PickleCodec() if quick else PerCodec()
        self.caller = End(H323Call(7, LocalParty("caller"), codec, Random(seed), **(caller or {})), 3001)
        self.callee = End(H323Call(7, LocalParty("callee"), codec, Random(seed + 1), **(callee or {})), 3002)

    def other(self, end: End) -> End:
        return self.callee if end is self.caller else self.caller

    def drain(self, end: End) -> None:
        """Do what an end's call asks of its shell."""
        while items := end.call.take():
            for item in items:
                match item:
                    case SendSignal(signal):
                        end.sent.append(signal)
                        end.way.append(("signal", signal if self.quick else write_signal(signal)))
                    case SendControl(data):
                        end.way.append(("control", data))
                    case ListenControl():
                        end.listening = True
                        end.call.listening(Address("127.0.0.1", end.port), self.now)
                    case ConnectControl(address):
                        assert address.port == self.other(end).port
                        end.way.append(("connect", None))
                        end.call.control_connected(self.now)
                    case CloseSignalling():
                        end.way.append(("close", None))
                        end.told.append(item)
                    case _:
                        end.told.append(item)

    def deliver(self, end: End) -> bool:
        """Let the other end take one thing; False if there is none."""
        self.drain(end)
        if not end.way:
            return False
        what, value = end.way.popleft()
        call = self.other(end).call
        match what:
            case "signal":
                call.receive(value if self.quick else read_signal(value), self.now)
            case "control":
                call.control_received(value, self.now)
            case "connect":
                call.control_connected(self.now)
            case _:
                call.control_closed(self.now)
                call.closed(self.now)
        self.drain(self.other(end))
        return True

    def settle(self) -> None:
        while self.deliver(self.caller) or self.deliver(self.callee):
            pass

    def place(self, **facts: Any) -> None:
        given = {"called_aliases": ("100",), "conference": bytes(range(16)), "call": bytes(range(16, 32)), **facts}
        self.caller.call.place(SetupFacts(**given), ABILITIES, self.now)

    def connect(self, **more: Any) -> None:
        self.callee.call.connect(ABILITIES, self.now, **more)
        self.settle()

    def tick(self, seconds: float) -> None:
        self.now += seconds
        for end in (self.caller, self.callee):
            end.call.tick(self.now)
            self.drain(end)
