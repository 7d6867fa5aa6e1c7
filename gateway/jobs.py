"""The jobs of one call: done one after the other in one task, so that the house hears everything in order.

A job that takes too long or raises what nobody expected is told to the call, and the next one is done.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

MAX_JOBS = 32
"""Jobs that may wait in one call; a peer that presses keys or re-offers faster than we work is cut off there."""
JOB_TIME = 20.0
"""Seconds that the house may take for one job; a caller gives up at 32 (RFC 3261 timer B)."""

Job = Callable[[], Awaitable[None]]


class Jobs:
    """A queue of jobs and the task that does them; there is no task before the first job."""

    def __init__(self, fault: Callable[[Exception], None]) -> None:
        """fault hears of each job that failed."""
        self.task: asyncio.Task[None] | None = None
        self._fault = fault
        self._waiting: deque[Job] = deque()
        self._wake = asyncio.Event()
        self._last: Job | None = None

    def add(self, job: Job) -> bool:
        """Do a job after those that wait; False, and nothing is done, where too many do."""
        if len(self._waiting) >= MAX_JOBS:
            return False
        self._waiting.append(job)
        self._start()
        return True

    def end_with(self, job: Job) -> None:
        """Do what waits, then this, and then no more."""
        self._last = job
        self._start()

    def _start(self) -> None:
        self._wake.set()
        if self.task is None:
            self.task = asyncio.get_running_loop().create_task(self._work())

    async def _work(self) -> None:
        while self._last is None or self._waiting:
            if not self._waiting:
                self._wake.clear()
                await self._wake.wait()
                continue
            await self._attempt(self._waiting.popleft())
        await self._attempt(self._last)

    async def _attempt(self, job: Job) -> None:
        try:
            async with asyncio.timeout(JOB_TIME):
                await job()
        except Exception as error:
            self._fault(error)
