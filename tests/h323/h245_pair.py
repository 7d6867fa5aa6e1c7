"""Two control sessions joined in memory, each way in order as TCP has it, under a clock that tests turn."""

from __future__ import annotations

from collections import deque
from random import Random
from typing import Any

from h323.h245.control import Control
from h323.h245.events import ControlEvent, Pdu

SOUND = {
    "forwardLogicalChannelParameters": {
        "dataType": ("audioData", ("g711Ulaw64k", 20)),
        "multiplexParameters": ("h2250LogicalChannelParameters", {"sessionID": 1}),
    }
}
DATA = {
    "forwardLogicalChannelParameters": {
        "dataType": ("data", {"application": ("t120", ("separateLANStack", None)), "maxBitRate": 640}),
        "multiplexParameters": ("none", None),
    },
    "reverseLogicalChannelParameters": {
        "dataType": ("data", {"application": ("t120", ("separateLANStack", None)), "maxBitRate": 640})
    },
}
ABILITIES = {
    "capabilityTable": [
        {"capabilityTableEntryNumber": 1, "capability": ("receiveAudioCapability", ("g711Ulaw64k", 20))}
    ],
    "capabilityDescriptors": [{"capabilityDescriptorNumber": 1, "simultaneousCapabilities": [[1]]}],
}


class Side:
    """One session with what it reported and what it sent."""

    def __init__(self, seed: int, terminal_type: int) -> None:
        self.control = Control(Random(seed), terminal_type)
        self.told: list[ControlEvent] = []
        self.sent: list[Pdu] = []
        self.way: deque[Pdu] = deque()

    def drain(self) -> None:
        for item in self.control.take():
            if isinstance(item, tuple):
                self.sent.append(item)
                self.way.append(item)
            else:
                self.told.append(item)

    def names(self) -> list[str]:
        """What was sent, by name."""
        return [body[0] for _, body in self.sent]

    def reported(self, kind: type) -> list[Any]:
        return [event for event in self.told if isinstance(event, kind)]


class Pair:
    """Sides a and b; what one sent and the other has not read yet lies in its way."""

    def __init__(self, a_type: int = 190, b_type: int = 50, seed: int = 1) -> None:
        self.now = 100.0
        self.a = Side(seed, a_type)
        self.b = Side(seed + 1_000_003, b_type)

    def deliver(self, sender: Side) -> bool:
        """Let the other side read one message; False if there is none."""
        sender.drain()
        if not sender.way:
            return False
        receiver = self.b if sender is self.a else self.a
        receiver.control.receive(sender.way.popleft(), self.now)
        receiver.drain()
        return True

    def settle(self) -> None:
        """Deliver until nobody has anything to say."""
        while self.deliver(self.a) or self.deliver(self.b):
            pass

    def wait(self, seconds: float) -> None:
        """Let time pass, timer by timer, delivering nothing."""
        end = self.now + seconds
        while True:
            due = [side.control.next_timeout() for side in (self.a, self.b)]
            nearest = min((one for one in due if one is not None), default=end)
            if nearest > end:
                break
            self.now = max(self.now, nearest)
            for side in (self.a, self.b):
                side.control.tick(self.now)
                side.drain()
            if nearest == end:
                break
        self.now = end

    def start(self) -> None:
        """Let both tell what they can, and settle."""
        self.a.control.start(ABILITIES, self.now)
        self.b.control.start(ABILITIES, self.now)
        self.settle()
