"""Slows down who guesses: after some wrong answers a source is turned away for a while, longer each time.

Two counts run side by side: of one user name from one address, which a good answer clears, and of the address alone,
which nothing but time clears, so that owning one account does not help to guess others. The second allows more, for
a site's phones may share an address and one of them may hold an old password.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

USER_TRIES = 5
"""Wrong answers for one user from one address before the first pause; people mistype twice or three times."""
ADDRESS_TRIES = 30
"""Wrong answers from one address: a few phones of a site with old passwords stay below it."""
FIRST_PAUSE = 10.0
"""Seconds of the first pause; each wrong answer after it doubles the next one."""
LONGEST_PAUSE = 900.0
"""Seconds at most: 96 tries a day guess no password, and a corrected phone is back within a quarter of an hour."""
FORGET = 3_600.0
"""Seconds without a wrong answer after which a source is forgotten."""
MAX_SOURCES = 10_000
"""Sources that are remembered; at the bound the one that was wrong longest ago is forgotten."""

_Source = tuple[str, str]
"""Address and user; the address alone has user ""."""


@dataclass(slots=True)
class _Failures:
    count: int = 0
    last: float = 0.0
    until: float = 0.0


class Backoff:
    """Wrong answers by source. Times are of the clock that is passed in, in seconds."""

    def __init__(self) -> None:
        """Start with nobody known."""
        self._sources: OrderedDict[_Source, _Failures] = OrderedDict()

    def __len__(self) -> int:
        """Return how many sources are remembered."""
        return len(self._sources)

    def wait(self, address: str, user: str, now: float) -> float:
        """Return for how many seconds this source is to be turned away; 0 where it may try."""
        found = (self._sources.get((address, "")), self._sources.get((address, user)))
        return max(0.0, *(failures.until - now for failures in found if failures is not None), 0.0)

    def failed(self, address: str, user: str, now: float) -> None:
        """Count a wrong answer."""
        self._count((address, ""), ADDRESS_TRIES, now)
        if user:
            self._count((address, user), USER_TRIES, now)
        while self._sources:
            source, failures = next(iter(self._sources.items()))
            if len(self._sources) <= MAX_SOURCES and now - failures.last < FORGET:
                break
            del self._sources[source]

    def passed(self, address: str, user: str) -> None:
        """Forget what a user got wrong before; the address's own count stays."""
        self._sources.pop((address, user), None)

    def _count(self, source: _Source, tries: int, now: float) -> None:
        failures = self._sources.setdefault(source, _Failures())
        if now - failures.last >= FORGET:
            failures.count = 0
        failures.count += 1
        failures.last = now
        over = failures.count - tries
        if over >= 0:
            failures.until = now + min(FIRST_PAUSE * 2 ** min(over, 16), LONGEST_PAUSE)
        self._sources.move_to_end(source)
