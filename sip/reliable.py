"""Reliable provisional responses of the called side (RFC 3262 §3): numbered, repeated until PRACK, one at a time.

Theory of operation. Each reliable 1xx has the next RSeq and is sent again at doubling intervals until a PRACK names
it. Only one waits for its PRACK at a time; further ones queue. A 2xx must not overtake a 1xx that holds a session
description, so accepting a call waits, too. What nobody acknowledges in 32 s ends the call.

Offer and answer in the early state: an offer in the INVITE is answered by the first reliable 1xx that has a body; an
INVITE without offer gets ours there, and the PRACK answers it. From then on either side may offer by UPDATE.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from sip.events import Send
from sip.message import Message, Request
from sip.timers import T1, Timer
from sip.values import BadValue, parse_number

OPTION = "100rel"
"""The option tag in Supported and Require (RFC 3262 §8.1)."""
MAX_WAITING = 8
"""Provisional responses that wait for an earlier one's PRACK; more are not sent."""
MAX_FIRST_NUMBER = 2**16
"""The first RSeq is below it; any up to 2**31 - 1 may be, and small ones are read more easily in a trace (§3)."""
MAX_NUMBER = 2**32 - 1
"""Largest RSeq (§7.1)."""


@dataclass(slots=True)
class Unpracked:
    """A reliable 1xx that waits for its PRACK; described whether it holds a description, offered whether an offer."""

    number: int
    send: Send
    described: bool
    offered: bool
    give_up: float
    interval: float = T1
    timer: Timer | None = None


@dataclass(slots=True)
class Reliable:
    """The reliable 1xx of one INVITE. number is the last RSeq used; accept what waits until a 2xx may be sent."""

    cseq: int
    number: int
    unacked: Unpracked | None = None
    waiting: deque[Callable[[float], None]] = field(default_factory=deque)
    accept: Callable[[float], None] | None = None

    def acknowledges(self, request: Request) -> bool:
        """Tell whether a PRACK is that of the 1xx which waits for one."""
        named = parse_rack(request)
        return self.unacked is not None and named == (self.unacked.number, self.cseq, "INVITE")

    def stop(self) -> None:
        """Send nothing again."""
        self.waiting.clear()
        self.accept = None
        if self.unacked is not None and self.unacked.timer is not None:
            self.unacked.timer.stop()


def supports(message: Message, option: str) -> bool:
    """Tell whether a message names an option tag in Supported or Require."""
    return option in message.headers.tokens("Supported") or requires(message, option)


def requires(message: Message, option: str) -> bool:
    """Tell whether a message names an option tag in Require."""
    return option in message.headers.tokens("Require")


def response_number(message: Message) -> int | None:
    """Return the RSeq of a reliable provisional response, None where it is not one or its number makes no sense."""
    value = message.headers.get("RSeq")
    if value is None or not requires(message, OPTION):
        return None
    try:
        return parse_number(value, MAX_NUMBER) or None
    except BadValue:
        return None


def parse_rack(request: Request) -> tuple[int, int, str] | None:
    """Return what a PRACK acknowledges: RSeq, CSeq number and method (§7.2); None where it makes no sense."""
    parts = (request.headers.get("RAck") or "").split()
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() and len(part) <= 10 for part in parts[:2]):
        return None
    return int(parts[0]), int(parts[1]), parts[2]
