"""Holes in a received sequence, and when to ask for them (RFC 4585 §6.2).

A hole is asked for once the reorder tolerance has passed, again each round trip, and forgotten when it is filled,
too old, or asked for often enough. Sequence numbers are extended ones; times are in seconds.
"""

from __future__ import annotations

REORDER_TIME = 0.01
"""Seconds that a packet may be late by mere reordering; Wi-Fi and load balancing swap within a few ms."""
MAX_AGE = 0.5
"""Seconds after which the picture has moved on and a key frame is cheaper."""
MAX_TRIES = 6
"""Requests for one packet."""
MIN_RETRY = 0.03
"""Seconds between two requests for one packet on a path without noticeable delay."""
DEFAULT_ROUND_TRIP = 0.1
"""Seconds assumed before the first report."""
MAX_HOLES = 256
"""Packets missed at once; a longer outage is repaired by a key frame."""


class Missing:
    """The packets of one source that did not come yet: number -> [first missed, next request, requests]."""

    __slots__ = ("_holes", "abandoned", "due")

    def __init__(self) -> None:
        self._holes: dict[int, list[float]] = {}
        self.due = float("inf")
        self.abandoned = 0

    def __len__(self) -> int:
        return len(self._holes)

    def add(self, first: int, last: int, now: float) -> None:
        """Note that the numbers from first to last, both included, were skipped."""
        if last - first >= MAX_HOLES:
            self.abandoned += last - first + 1 + len(self._holes)
            self.clear()
            return
        due = now + REORDER_TIME
        for number in range(first, last + 1):
            self._holes[number] = [now, due, 0]
        while len(self._holes) > MAX_HOLES:
            del self._holes[next(iter(self._holes))]
            self.abandoned += 1
        self.due = min(self.due, due)

    def found(self, number: int) -> bool:
        """Forget a packet that came after all; tells whether it was missed."""
        if self._holes.pop(number, None) is None:
            return False
        if not self._holes:
            self.due = float("inf")
        return True

    def clear(self) -> None:
        """Forget all."""
        self._holes.clear()
        self.due = float("inf")

    def requests(self, now: float, round_trip: float | None) -> list[int]:
        """Return the numbers to ask for now, oldest first; round_trip in seconds."""
        if now < self.due:
            return []
        retry = max(MIN_RETRY, 1.25 * (DEFAULT_ROUND_TRIP if round_trip is None else round_trip))
        wanted, given_up = [], []
        for number, hole in self._holes.items():
            since, due, tries = hole
            if due > now:
                continue
            if now - since > MAX_AGE or tries >= MAX_TRIES:
                given_up.append(number)
                continue
            hole[1], hole[2] = now + retry, tries + 1
            wanted.append(number)
        for number in given_up:
            del self._holes[number]
        self.abandoned += len(given_up)
        self.due = min((hole[1] for hole in self._holes.values()), default=float("inf"))
        return wanted
