"""The worker pool: order, timers, faults, bounds, and no thread left."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from video_samples import VirtualPool

from transcode.video.pool import MAX_JOBS, WorkerPool


def test_jobs_of_a_strand_run_in_order_and_never_together() -> None:
    pool = WorkerPool(workers=3)
    strand, seen, inside, done = pool.strand(), [], [], threading.Event()

    def job(number: int) -> None:
        inside.append(number)
        assert len(inside) == 1
        time.sleep(0.0005)
        inside.clear()
        seen.append(number)
        if number == 49:
            done.set()

    for number in range(50):
        assert strand.submit(lambda number=number: job(number))
    assert done.wait(5)
    pool.close()
    assert seen == list(range(50))
    assert pool.faults == 0


def test_two_strands_run_beside_each_other() -> None:
    pool = WorkerPool(workers=2)
    barrier = threading.Barrier(3, timeout=5)
    for _ in range(2):
        pool.strand().submit(lambda: barrier.wait() and None)
    barrier.wait()
    pool.close()


def test_no_thread_is_left_after_close() -> None:
    before = set(threading.enumerate())
    pool = WorkerPool(workers=4)
    pool.strand().submit_at(time.monotonic() + 60, lambda: None)
    assert len(set(threading.enumerate()) - before) == 4
    pool.close()
    assert not set(threading.enumerate()) - before


def test_a_fault_is_counted_and_the_strand_goes_on() -> None:
    pool, seen = VirtualPool(), []
    strand = pool.strand()
    strand.submit(lambda: 1 // 0)  # type: ignore[arg-type, return-value]
    strand.submit(lambda: seen.append(1))
    pool.run_due()
    assert seen == [1]
    assert pool.faults == 1
    assert isinstance(pool.fault_list[0], ZeroDivisionError)


def test_timed_jobs_run_at_their_time_and_in_order() -> None:
    pool, seen = VirtualPool(), []
    strand = pool.strand()
    strand.submit_at(pool.now + 2, lambda: seen.append(("b", pool.now)))
    strand.submit_at(pool.now + 1, lambda: seen.append(("a", pool.now)))
    pool.advance(0.5)
    assert seen == []
    pool.advance(2)
    assert seen == [("a", 1001.0), ("b", 1002.0)]


def test_a_closed_strand_forgets_its_jobs_but_the_last() -> None:
    pool, seen = VirtualPool(), []
    strand = pool.strand()
    strand.submit(lambda: seen.append("never"))
    strand.submit_at(pool.now + 1, lambda: seen.append("never"))
    strand.close(lambda: seen.append("last"))
    assert not strand.submit(lambda: seen.append("never"))
    assert not strand.submit_at(pool.now, lambda: seen.append("never"))
    pool.advance(2)
    assert seen == ["last"]
    assert pool.next_due() is None


def test_a_strand_holds_a_bounded_number_of_jobs() -> None:
    pool = VirtualPool()
    strand = pool.strand()
    taken = [strand.submit(lambda: None) for _ in range(MAX_JOBS + 3)]
    assert taken.count(True) == MAX_JOBS
    assert pool.refused == 3


@pytest.mark.parametrize("workers", [1, 2])
async def test_results_come_back_on_the_loop_thread(workers: int) -> None:
    loop = asyncio.get_running_loop()
    pool = WorkerPool(loop, workers=workers)
    came: asyncio.Future[int] = loop.create_future()
    pool.strand().submit(lambda: pool.to_loop(lambda: came.set_result(threading.get_ident())))
    assert await asyncio.wait_for(came, 5) == threading.get_ident()
    pool.close()


def test_a_closed_loop_is_survived() -> None:
    loop = asyncio.new_event_loop()
    pool = WorkerPool(loop, workers=0)
    loop.close()
    pool.to_loop(lambda: None)
    pool.close()
