"""Loop lag: how late an event loop comes to its timers, as a histogram."""

from __future__ import annotations

import asyncio
from bisect import bisect_left

from transcode.interface import Sample

INTERVAL = 0.02
"""Seconds between two looks: often enough to see a 5 ms stall, rare enough to cost nothing."""
BOUNDS = (0.0005, 0.001, 0.002, 0.003, 0.004, 0.005, 0.0075, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0)
"""Upper bounds of the histogram's buckets, in seconds."""


class LagMeter:
    """Measures one loop; plane names it in metrics."""

    def __init__(self, plane: str) -> None:
        self._plane = plane
        self._counts = [0] * (len(BOUNDS) + 1)
        self._sum = 0.0
        self._handle: asyncio.TimerHandle | None = None
        self._due = 0.0

    def start(self) -> None:
        """Begin on the running loop."""
        loop = asyncio.get_running_loop()
        self._due = loop.time() + INTERVAL
        self._handle = loop.call_at(self._due, self._look, loop)

    def stop(self) -> None:
        """End."""
        if self._handle is not None:
            self._handle.cancel()

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        self.note(max(0.0, now - self._due))
        self._due = now + INTERVAL
        self._handle = loop.call_at(self._due, self._look, loop)

    def note(self, lag: float) -> None:
        """Count one lateness in seconds."""
        self._counts[bisect_left(BOUNDS, lag)] += 1
        self._sum += lag

    def samples(self) -> tuple[Sample, ...]:
        """Return cumulative buckets (label le), as Prometheus has them, and the sum."""
        found: list[Sample] = []
        total = 0
        for bound, count in zip((*map(str, BOUNDS), "+Inf"), self._counts, strict=True):
            total += count
            found.append(Sample("loop_lag_seconds_bucket", (("le", bound), ("plane", self._plane)), total))
        found.append(Sample("loop_lag_seconds_sum", (("plane", self._plane),), self._sum))
        return tuple(found)
