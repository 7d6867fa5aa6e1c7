"""Free ports are free, differ from call to call, and from those of another process that looks for some."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from gateway.bench import ports
from gateway.bench.ports import (
    DGRAM,
    FIRST,
    SIZE,
    STREAM,
    free_port,
    free_range,
    free_row,
    is_bound,
    share,
    until_bound,
)


def test_ports_are_free_and_distinct() -> None:
    found = [free_port(STREAM) for _ in range(20)]
    assert len(set(found)) == 20
    for port in found:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", port))


def test_a_row_is_free_from_its_even_port_on() -> None:
    row = free_row((DGRAM, STREAM), (STREAM,))
    assert row % 2 == 0
    ports._place -= 2
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", row + 1))
        assert free_row((DGRAM, STREAM), (STREAM,)) == row + 2


async def test_who_waits_for_a_port_learns_that_it_is_bound() -> None:
    for kind in (DGRAM, STREAM):
        port = free_port(kind)
        assert not is_bound(port, kind)
        with socket.socket(socket.AF_INET, kind) as bound:
            bound.bind(("127.0.0.1", port))
            if kind is STREAM:
                bound.listen()
            await until_bound(port, kind)
    with pytest.raises(TimeoutError):
        await until_bound(port, STREAM, 0.05)


def test_rows_begin_again_when_all_were_given_out() -> None:
    found = {free_row((DGRAM,), (DGRAM,), (DGRAM,)) for _ in range(SIZE)}
    assert all(FIRST + share() * SIZE <= row <= FIRST + (share() + 1) * SIZE - 4 for row in found)
    assert 40 < len(found) <= SIZE // 4


def test_a_range_is_as_long_as_wanted() -> None:
    first, last = free_range(200)
    assert last - first == 199


def test_another_process_takes_from_a_share_of_its_own() -> None:
    share()
    told = subprocess.run(
        [sys.executable, "-c", "from gateway.bench.ports import free_range, share; print(share(), *free_range(200))"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    other, *media = (int(word) for word in told.stdout.split())
    assert other != share()
    assert tuple(media) != free_range(200)
