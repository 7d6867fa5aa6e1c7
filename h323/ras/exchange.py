"""Requests of ours and their answers, and answers of ours given again (H.225.0 §7.19: timeouts and retries).

A request goes to one address after the other until one answers; RIP lets it take longer. A request that comes twice
is answered twice alike: the first answer may have been lost.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from h323.ras.messages import MAX_SEQUENCE, Message
from h323.signalling.events import Address

REQUEST_TIME = 3.0
"""Seconds until a request is sent again; the Recommendation's default for most, and what real stacks do."""
TRIES = 3
"""Times that a request is sent to one address."""
MAX_PROGRESS = 30.0
"""Seconds that a RIP may ask for."""
MAX_RIPS = 4
"""RIPs that count, so that nobody keeps a request open for ever."""
ANSWER_KEPT = 20.0
"""Seconds that an answer is kept: as long as a retry may come."""
MAX_ANSWERS = 20_000
"""Answers kept: two a registration."""
MAX_OPEN = 10_000
"""Requests of ours that wait at once."""

Answer = Callable[[Message | None], None]
"""Takes the answer to a request; None where nobody gave one."""
Write = Callable[[int], bytes]
"""Makes the request's octets, anew for each time it is sent; it is given the requestSeqNum."""


@dataclass(slots=True)
class _Open:
    write: Write
    answer: Answer
    places: list[Address]
    tries: int
    due: float
    rips: int = 0
    expected: tuple[str, ...] = ()


class Requests:
    """Our open requests. send puts octets on the way."""

    def __init__(self, send: Callable[[bytes, Address], None], first: int) -> None:
        self._send = send
        self._sequence = first % MAX_SEQUENCE
        self._open: dict[int, _Open] = {}

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._open)

    def ask(
        self,
        write: Write,
        places: Sequence[Address],
        answer: Answer,
        now: float,
        expected: tuple[str, ...],
        tries: int = TRIES,
    ) -> int:
        """Send a request, and return its number; answer is called once. expected are the names of its answers."""
        if not places or len(self._open) >= MAX_OPEN:
            answer(None)
            return 0
        number = self._next()
        self._open[number] = one = _Open(write, answer, list(places), 0, now, expected=expected)
        self._put_out(number, one, now, tries)
        return number

    def _next(self) -> int:
        while True:
            self._sequence = self._sequence % MAX_SEQUENCE + 1
            if self._sequence not in self._open:
                return self._sequence

    def _put_out(self, number: int, one: _Open, now: float, tries: int) -> None:
        one.tries = tries - 1
        one.due = now + REQUEST_TIME
        self._send(one.write(number), one.places[0])

    def take(self, message: Message, source: Address, now: float) -> bool:
        """Take a message that may be an answer; tell whether it was one that is waited for."""
        one = self._open.get(message.sequence)
        if one is None or not (source.host == one.places[0].host or ip_address(one.places[0].host).is_multicast):
            return False
        if message.name == "requestInProgress":
            if one.rips < MAX_RIPS:
                one.rips += 1
                one.due = now + min(message.body["delay"] / 1000, MAX_PROGRESS)
            return True
        if message.name not in one.expected:
            return False
        del self._open[message.sequence]
        one.answer(message)
        return True

    def tick(self, now: float) -> None:
        """Send again what got no answer, or give it up."""
        for number, one in tuple(self._open.items()):
            if one.due > now or number not in self._open:
                continue
            if one.tries > 0:
                self._put_out(number, one, now, one.tries)
            elif len(one.places) > 1:
                del one.places[0]
                self._put_out(number, one, now, TRIES)
            else:
                del self._open[number]
                one.answer(None)

    def drop(self, number: int) -> None:
        """Forget a request; its answer is not called."""
        self._open.pop(number, None)

    def next_timeout(self) -> float | None:
        """Return when `tick` is wanted."""
        return min((one.due for one in self._open.values()), default=None)


class Answers:
    """What we answered, for requests that come again."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[Address, int, bytes], tuple[float, bytes, Address]] = OrderedDict()

    def again(self, message: Message, source: Address, now: float) -> tuple[bytes, Address] | None:
        """Return the answer to a request that has been answered, and where it went."""
        found = self._kept.get(_key(message, source))
        return found[1:] if found is not None and found[0] > now else None

    def keep(self, message: Message, source: Address, answer: bytes, to: Address, now: float) -> None:
        """Keep an answer for a while."""
        key = _key(message, source)
        self._kept[key] = (now + ANSWER_KEPT, answer, to)
        self._kept.move_to_end(key)
        while self._kept and (len(self._kept) > MAX_ANSWERS or next(iter(self._kept.values()))[0] <= now):
            self._kept.popitem(last=False)


def _key(message: Message, source: Address) -> tuple[Address, int, bytes]:
    return source, message.sequence, hashlib.blake2b(message.data, digest_size=16).digest()
