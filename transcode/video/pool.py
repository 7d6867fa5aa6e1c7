"""The worker threads that codecs run in, shared by all rooms.

A `WorkerPool` has as many threads as the machine has cores. Work comes through a `Strand`: jobs of one strand run in
the order given and never two at a time, so that a decoder or a room's composition needs no lock of its own; different
strands run beside each other, because FFmpeg gives the interpreter's lock back while it works. A strand can also ask
for a job at a later time; the threads sleep until the earliest one is due, so that no thread belongs to a clock and a
busy event loop does not shift the picture clock.

A job is `Callable[[], None]`. One that raises is counted, told to `on_fault` (on the loop thread) and forgotten; the
thread goes on.

The interpreter hands its lock over at the earliest after `sys.getswitchinterval()` when a thread is in Python code;
at the default of 5 ms a composing thread can hold up the event loop for as long. The process that owns the pool is to
call `sys.setswitchinterval(SWITCH_INTERVAL)` once.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import os
import threading
import time
from collections import deque
from collections.abc import Callable

Job = Callable[[], None]

SWITCH_INTERVAL = 0.0005
"""Seconds after which a waiting thread gets the interpreter: a tenth of the bound on event-loop lag."""
MAX_WORKERS = 16
"""Threads of one pool; above this the interpreter's lock is the bound and not the cores."""
MAX_JOBS = 256
"""Jobs waiting in one strand; its users bound themselves far lower (a source at 32 frames)."""
JOIN_SECONDS = 5.0
"""Longest wait for a thread to end its last job at close; encoding a picture takes a hundredth of it."""


class Strand:
    """Jobs that run one after another; made by `WorkerPool.strand`. Every method may be called from any thread."""

    def __init__(self, pool: WorkerPool) -> None:
        self._pool = pool
        self._jobs: deque[Job] = deque()
        self._running = False
        self._closed = False

    def submit(self, job: Job) -> bool:
        """Run a job as soon as the ones before it are done; False if it was refused: closed, or too many wait."""
        return self._pool._submit(self, job)

    def submit_at(self, when: float, job: Job) -> bool:
        """Run a job at a time, in seconds of the pool's clock; False if it was refused."""
        return self._pool._submit_at(self, when, job)

    def close(self, last: Job | None = None) -> None:
        """Forget the jobs that wait, and refuse later ones; the one that runs ends by itself, and `last` follows it."""
        self._pool._close_strand(self, last)


class WorkerPool:
    """Threads for codec work, and the way back from them to the event loop.

    loop is where `to_loop` brings calls; None calls them at once on the calling thread (tests, benchmarks). clock
    gives seconds and must be the monotonic clock that the timed wait of threads follows. workers 0 starts no thread:
    jobs then run only inside `run_due`, for tests with a virtual clock.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop | None = None,
        workers: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        count = (os.cpu_count() or 1) if workers is None else workers
        self.clock = clock
        self.on_fault: Callable[[BaseException], None] | None = None
        self.faults = 0
        self.refused = 0
        self._loop = loop
        self._condition = threading.Condition()
        self._ready: deque[Strand] = deque()
        self._timers: list[tuple[float, int, Strand, Job]] = []
        self._order = itertools.count()
        self._stopped = False
        self._threads = [
            threading.Thread(target=self._work, name=f"video-{number}", daemon=True)
            for number in range(min(count, MAX_WORKERS))
        ]
        for thread in self._threads:
            thread.start()

    def strand(self) -> Strand:
        """Return a new strand of jobs."""
        return Strand(self)

    def to_loop(self, function: Callable[..., object], *arguments: object) -> None:
        """Call a function on the loop thread, soon; dropped if the loop is closed."""
        if self._loop is None:
            function(*arguments)
            return
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            if not self._loop.is_closed():
                raise

    def close(self) -> None:
        """Stop the threads and wait for them; jobs that wait are forgotten."""
        with self._condition:
            self._stopped = True
            self._ready.clear()
            self._timers.clear()
            self._condition.notify_all()
        for thread in self._threads:
            thread.join(JOIN_SECONDS)

    def run_due(self) -> int:
        """Run on this thread all that is due now and return how many jobs that were."""
        count = 0
        while True:
            with self._condition:
                self._move_due()
                if not self._ready:
                    return count
                strand, job = self._take()
            self._run(strand, job)
            count += 1

    def next_due(self) -> float | None:
        """When the earliest timed job is due, in seconds of the clock; None if there is none."""
        with self._condition:
            return self._timers[0][0] if self._timers else None

    # What strands call.

    def _submit(self, strand: Strand, job: Job) -> bool:
        with self._condition:
            return self._enqueue(strand, job)

    def _submit_at(self, strand: Strand, when: float, job: Job) -> bool:
        with self._condition:
            if strand._closed or self._stopped:
                return False
            heapq.heappush(self._timers, (when, next(self._order), strand, job))
            if self._timers[0][2] is strand:
                self._condition.notify()
            return True

    def _close_strand(self, strand: Strand, last: Job | None) -> None:
        with self._condition:
            strand._jobs.clear()
            if strand in self._ready:
                self._ready.remove(strand)
            if last is not None:
                self._enqueue(strand, last)
            strand._closed = True
            if any(timer[2] is strand for timer in self._timers):
                self._timers = [timer for timer in self._timers if timer[2] is not strand]
                heapq.heapify(self._timers)

    # With the lock held.

    def _enqueue(self, strand: Strand, job: Job) -> bool:
        if strand._closed or self._stopped:
            return False
        if len(strand._jobs) >= MAX_JOBS:
            self.refused += 1
            return False
        strand._jobs.append(job)
        if not strand._running and len(strand._jobs) == 1:
            self._ready.append(strand)
            self._condition.notify()
        return True

    def _move_due(self) -> float | None:
        """Move the timed jobs that are due to their strands; return the seconds until the next one."""
        now = self.clock()
        while self._timers:
            when, _, strand, job = self._timers[0]
            if when > now:
                return when - now
            heapq.heappop(self._timers)
            self._enqueue(strand, job)
        return None

    def _take(self) -> tuple[Strand, Job]:
        strand = self._ready.popleft()
        strand._running = True
        return strand, strand._jobs.popleft()

    # The threads.

    def _work(self) -> None:
        while True:
            with self._condition:
                while True:
                    if self._stopped:
                        return
                    wait = self._move_due()
                    if self._ready:
                        break
                    self._condition.wait(wait)
                strand, job = self._take()
                if self._ready:
                    self._condition.notify()
            self._run(strand, job)

    def _run(self, strand: Strand, job: Job) -> None:
        try:
            job()
        except Exception as fault:
            self.faults += 1
            if self.on_fault is not None:
                self.to_loop(self.on_fault, fault)
        finally:
            with self._condition:
                strand._running = False
                if strand._jobs:
                    self._ready.append(strand)
                    self._condition.notify()
