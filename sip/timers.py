"""Timers of a sans-IO core: what is due when, on a clock that is passed in."""

from __future__ import annotations

import heapq
from collections.abc import Callable

T1 = 0.5
"""Round-trip estimate in seconds (RFC 3261 §17.1.1.1)."""
T2 = 4.0
"""Longest time between retransmissions of requests other than INVITE, and of responses to INVITE, in seconds."""
T4 = 5.0
"""How long a message stays in the network, in seconds."""
PATIENCE = 64 * T1
"""Timers B, F, H, J, L, M: when the other side is given up, in seconds."""
_SWEEP = 64
"""Stopped timers that may stay in the heap before it is swept; below it a sweep costs more than it frees."""


class Timer:
    """One thing to do at a time; `stop` forgets it."""

    __slots__ = ("_timers", "call", "deadline")

    def __init__(self, timers: Timers, deadline: float, call: Callable[[float], None]) -> None:
        self._timers = timers
        self.deadline = deadline
        self.call: Callable[[float], None] | None = call

    def stop(self) -> None:
        """Do not call; stopping twice, or after it rang, does nothing."""
        if self.call is not None:
            self.call = None
            self._timers.stopped()


class Timers:
    """All running timers of one stack, soonest first."""

    def __init__(self) -> None:
        """Start with none."""
        self._heap: list[tuple[float, int, Timer]] = []
        self._count = 0
        self._stopped = 0

    def __len__(self) -> int:
        """Return how many are running."""
        return len(self._heap) - self._stopped

    def start(self, deadline: float, call: Callable[[float], None]) -> Timer:
        """Call at deadline with the time it then is."""
        timer = Timer(self, deadline, call)
        self._count += 1
        heapq.heappush(self._heap, (deadline, self._count, timer))
        return timer

    def next(self) -> float | None:
        """Return when the soonest is due."""
        heap = self._heap
        while heap and heap[0][2].call is None:
            heapq.heappop(heap)
            self._stopped -= 1
        return heap[0][0] if heap else None

    def run(self, now: float) -> None:
        """Call all that are due, also those that these start anew for a time that has come."""
        while (soonest := self.next()) is not None and soonest <= now:
            timer = heapq.heappop(self._heap)[2]
            call, timer.call = timer.call, None
            if call is not None:
                call(now)

    def stopped(self) -> None:
        """Count one timer as stopped, and sweep where most of the heap is."""
        self._stopped += 1
        if self._stopped > _SWEEP and self._stopped * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].call is not None]
            heapq.heapify(self._heap)
            self._stopped = 0
