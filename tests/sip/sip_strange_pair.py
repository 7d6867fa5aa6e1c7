"""Two wild peers whose stacks are wired together in memory, and a network that changes what they say."""

from __future__ import annotations

import random

from sip_grafts import Grafts
from sip_pair import Pair, Side
from sip_wild import Wild

from gateway.reasons import Reason
from sip.adapter import METHODS
from sip.events import Send, Transport
from sip.message import Message, Request
from sip.parser import parse
from sip.values import parse_address

REFUSED = (b"SIP/2.0 400 ", b"SIP/2.0 416 ")
"""Answers to what cannot be read, of which they repeat parts."""


def read_back(data: bytes) -> Message | None:
    """Read what one of our stacks says, as its peers must be able to; None for what repeats parts of the unreadable."""
    if data.startswith(REFUSED):
        return None
    message = parse(data)
    assert all(parse_address(value).uri.is_sip for value in message.headers.values("Route"))
    assert isinstance(message, Request) or message.status == 100 or message.to.tag
    return message


class StrangePair(Pair):
    """Two wild peers, and a network that changes what they say."""

    def __init__(self, seed: int) -> None:
        chance = random.Random(seed)
        transport = chance.choice([Transport.UDP, Transport.UDP, Transport.TCP])
        loss = chance.choice([0.0, 0.0, 0.1])
        interval = chance.choice([90, 1_800])
        methods = (*METHODS, "REGISTER")
        super().__init__(seed, loss, loss, transport=transport, methods=methods, session_expires=interval)
        self.chance = chance
        self.changing = chance.choice([0.0, 0.02, 0.2, 0.5])
        self.stubborn = chance.random() < 0.3
        self._grafts = Grafts(chance)
        self.wild = [self._wild(side) for side in self.sides]
        self.heard = [0, 0]

    def _wild(self, side: Side) -> Wild:
        ours, theirs = side.address[0], self.callee(side)[0]
        made = Wild(
            side.stack, self.chance, lambda: self.target(self.other(side)), f"sip:100@{theirs}", f"sip:x@{ours}"
        )
        if self.chance.random() < 0.3:
            made.always = self.chance.choice([(503, [("Retry-After", "0")]), (491, []), (422, [("Min-SE", "90")])])
        return made

    def _put(self, side: Side, send: Send) -> None:
        read_back(send.data)
        if self.stubborn and send.data.startswith(b"SIP/2.0 200 ") and b" UPDATE\r\n" in send.data:
            refused = send.data.replace(b"SIP/2.0 200 OK\r\n", b"SIP/2.0 503 No\r\nRetry-After: 0\r\n", 1)
            send = Send(refused, send.target)
        elif self.chance.random() < self.changing:
            send = Send(self._grafts.message(send.data, self.chance.randrange(1, 4)), send.target)
        super()._put(side, send)

    def hear(self) -> None:
        """Let both react to what they were told."""
        for at, (side, wild) in enumerate(zip(self.sides, self.wild, strict=True)):
            while self.heard[at] < len(side.events):
                wild.hear(side.events[self.heard[at]], self.now)
                self.heard[at] += 1

    def spend(self, seconds: float) -> None:
        """Let time go by in small pieces."""
        end = self.now + seconds
        while self.now < end:
            due = self._next()
            self.run(min(max(0.01, (due or end) - self.now), end - self.now + 0.001))
            self.hear()
            self.drain()

    @property
    def said(self) -> int:
        """How many messages both have sent."""
        return sum(len(side.sent) for side in self.sides)

    def kept(self) -> list[object]:
        """Return what the stacks have not forgotten."""
        found: list[object] = []
        for side in self.sides:
            subscriptions = side.stack._uas.subscriptions
            tables = (subscriptions._by_dialog, subscriptions._refers, side.stack._layer._merged)
            found += [side.stack.sizes(), *tables, side.stack._layer._by_way]
        return [one for one in found if one and (not isinstance(one, dict) or any(one.values()))]

    def end(self) -> None:
        """Let both hang up and react to nothing any more, and the network change nothing."""
        self.changing, self.stubborn = 0.0, False
        for side, wild in zip(self.sides, self.wild, strict=True):
            wild.quiet = True
            for session in list(side.stack._core.sessions):
                side.stack.hang_up(session, Reason.NORMAL, self.now)
