"""Two stacks wired together in memory under a virtual clock, with loss, doubling and reordering by a seeded chance."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field

from sip.config import StackConfig
from sip.events import Event, Flow, Send, Target, Transport
from sip.stack import Stack

ALICE = ("192.0.2.1", 5060)
BOB = ("192.0.2.2", 5060)
CAROL = ("192.0.2.3", 5060)
BOTH = ("192.0.2.9", 5060)
OFFER = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\n"
ANSWER = b"v=0\r\no=- 2 1 IN IP4 192.0.2.2\r\n"


@dataclass
class Side:
    """One stack, its address, and what it told and sent."""

    stack: Stack
    address: tuple[str, int]
    events: list[Event] = field(default_factory=list)
    sent: list[Send] = field(default_factory=list)

    def of(self, kind: type) -> list:
        return [event for event in self.events if isinstance(event, kind)]

    def last(self, kind: type):
        found = self.of(kind)
        assert found, f"no {kind.__name__} among {self.events}"
        return found[-1]


class Pair:
    """Alice and Bob, and the network between them. loss and doubling are probabilities, delay a range in seconds."""

    def __init__(
        self,
        seed: int = 1,
        loss: float = 0.0,
        doubling: float = 0.0,
        delay: tuple[float, float] = (0.01, 0.01),
        transport: Transport = Transport.UDP,
        **config: object,
    ) -> None:
        self.rng = random.Random(seed)
        self.loss, self.doubling, self.delay = loss, doubling, delay
        self.transport = transport
        self.now = 1000.0
        self.alice = self._side(ALICE, seed + 1, config)
        self.bob = self._side(BOB, seed + 2, config)
        self.drop: list = []
        self._wire: list = []
        self._count = 0

    @property
    def sides(self) -> tuple[Side, ...]:
        return (self.alice, self.bob)

    def callee(self, side: Side) -> tuple[str, int]:
        """The address that a side calls."""
        return self.other(side).address

    def _side(self, address: tuple[str, int], seed: int, config: dict) -> Side:
        made = StackConfig(host=address[0], ports={self.transport: address[1]}, **config)
        return Side(Stack(made, random.Random(seed)), address)

    def other(self, side: Side) -> Side:
        return self.bob if side is self.alice else self.alice

    def target(self, side: Side) -> Target:
        return Target(self.transport, *side.address)

    def flow(self, side: Side) -> Flow:
        """The way by which side hears the other one."""
        return Flow(self.transport, *side.address, *self.other(side).address)

    def drain(self) -> None:
        """Move what the stacks have to say to their lists and onto the wire."""
        for side in self.sides:
            for item in side.stack.take():
                if isinstance(item, Send):
                    side.sent.append(item)
                    self._put(side, item)
                else:
                    side.events.append(item)

    def _put(self, side: Side, send: Send) -> None:
        to = send.target
        address = (to.remote_address, to.remote_port) if isinstance(to, Flow) else (to.host, to.port or 5060)
        for receiver in self._receivers(address):
            if any(unwanted(send.data) for unwanted in self.drop) or self.rng.random() < self.loss:
                continue
            flow = Flow(self.transport, *receiver.address, *side.address)
            for _ in range(2 if self.rng.random() < self.doubling else 1):
                self._count += 1
                due = self.now + self.rng.uniform(*self.delay)
                heapq.heappush(self._wire, (due, self._count, receiver, flow, send.data))

    def _receivers(self, address: tuple[str, int]) -> list[Side]:
        return [one for one in self.sides if one.address == address]

    def run(self, seconds: float = 1.0) -> None:
        """Let that much time go by."""
        end = self.now + seconds
        self.drain()
        while (soonest := self._next()) is not None and soonest <= end:
            self.now = max(self.now, soonest)
            while self._wire and self._wire[0][0] <= self.now:
                _, _, side, flow, data = heapq.heappop(self._wire)
                side.stack.receive(data, flow, self.now)
            for side in self.sides:
                side.stack.tick(self.now)
            self.drain()
        self.now = end

    def _next(self) -> float | None:
        times = [self._wire[0][0] if self._wire else None]
        times += [side.stack.next_timeout() for side in self.sides]
        return min((time for time in times if time is not None), default=None)

    def call(self, offer: bytes = OFFER) -> tuple:
        """Alice calls Bob; return both sessions once the call stands."""
        from sip.events import InviteReceived

        ours = self.alice.stack.invite(
            self.target(self.bob), "sip:100@192.0.2.2", "sip:alice@192.0.2.1", self.now, offer
        )
        self.run(0.2)
        theirs = self.bob.last(InviteReceived).session
        assert self.bob.stack.accept(theirs, ANSWER, self.now)
        self.run(0.2)
        return ours, theirs

    def empty(self) -> bool:
        """Whether nothing is left over on any side."""
        return not any(any(side.stack.sizes().values()) for side in self.sides)


class Fork(Pair):
    """A third side, Carol, and one address at which Alice reaches both of the others: each may answer."""

    def __init__(self, seed: int = 1, *arguments: object, **config: object) -> None:
        super().__init__(seed, *arguments, **config)  # type: ignore[arg-type]
        self.carol = self._side(CAROL, seed + 3, config)

    @property
    def sides(self) -> tuple[Side, ...]:
        return (self.alice, self.bob, self.carol)

    def callee(self, side: Side) -> tuple[str, int]:
        return BOTH if side is self.alice else ALICE

    def _receivers(self, address: tuple[str, int]) -> list[Side]:
        return [self.bob, self.carol] if address == BOTH else super()._receivers(address)


def text(send: Send) -> str:
    return send.data.decode()


def starts(side: Side) -> list[str]:
    """First lines of what a side sent, without the version."""
    lines = [text(send).split("\r\n", 1)[0] for send in side.sent]
    return [" ".join(line.split()[1:2]) if line.startswith("SIP/2.0") else line.split()[0] for line in lines]
