"""Slows down who guesses: after some wrong answers a source is turned away for a while, longer each time.

`Pauses` counts for anybody. Of those who prove who they are two counts run side by side (`Backoff`): of one user name
from one address, which a good answer clears, and of the address alone, which nothing but time clears, so that owning
one account does not help to guess others. The second allows more, for a site's phones may share an address and one of
them may hold an old password.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
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
"""Sources of one kind that are remembered; at the bound the one that was wrong longest ago is forgotten."""


@dataclass(slots=True)
class _Failures:
    count: int = 0
    last: float = 0.0
    until: float = 0.0


class Pauses:
    """Wrong answers by whoever gave them, and the pauses that follow. Times are of the clock that is passed in, in s.

    tries are wrong answers before the first pause, which each wrong answer after it doubles, up to longest.
    """

    def __init__(self, tries: int, first: float = FIRST_PAUSE, longest: float = LONGEST_PAUSE) -> None:
        """Start with nobody known."""
        self.tries = tries
        self.first = first
        self.longest = longest
        self._known: OrderedDict[Hashable, _Failures] = OrderedDict()

    def __len__(self) -> int:
        """Return how many are remembered."""
        return len(self._known)

    def wait(self, who: Hashable, now: float) -> float:
        """Return for how many seconds somebody is to be turned away; 0 where it may try."""
        failures = self._known.get(who)
        return max(0.0, failures.until - now) if failures is not None else 0.0

    def failed(self, who: Hashable, now: float) -> float:
        """Count a wrong answer, and return the seconds of the pause that it brings; 0 for none."""
        failures = self._known.setdefault(who, _Failures())
        if now - failures.last >= FORGET:
            failures.count = 0
        failures.count += 1
        failures.last = now
        over = failures.count - self.tries
        pause = min(self.first * 2 ** min(over, 16), self.longest) if over >= 0 else 0.0
        if pause:
            failures.until = now + pause
        self._known.move_to_end(who)
        while self._known:
            oldest, failures = next(iter(self._known.items()))
            if len(self._known) <= MAX_SOURCES and now - failures.last < FORGET:
                break
            del self._known[oldest]
        return pause

    def passed(self, who: Hashable) -> None:
        """Forget what somebody got wrong."""
        self._known.pop(who, None)


class Backoff:
    """Wrong answers by address, and by user from an address."""

    def __init__(self) -> None:
        """Start with nobody known."""
        self._users = Pauses(USER_TRIES)
        self._addresses = Pauses(ADDRESS_TRIES)

    def __len__(self) -> int:
        """Return how many sources are remembered."""
        return len(self._users) + len(self._addresses)

    def wait(self, address: str, user: str, now: float) -> float:
        """Return for how many seconds this source is to be turned away; 0 where it may try."""
        return max(self._addresses.wait(address, now), self._users.wait((address, user), now))

    def failed(self, address: str, user: str, now: float) -> None:
        """Count a wrong answer."""
        self._addresses.failed(address, now)
        if user:
            self._users.failed((address, user), now)

    def passed(self, address: str, user: str) -> None:
        """Forget what a user got wrong before; the address's own count stays."""
        self._users.passed((address, user))
