"""Media ports: pairs, turns, rest, exhaustion, on real sockets of the loopback address."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest

from gateway.reasons import Reason, Refused
from transcode.media import Kind
from transcode.rtp.ports import REST, PortPool, Ports


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def free_range(pairs: int) -> tuple[int, int]:
    """Find adjacent free ports outside the range that the system gives away by itself."""
    for low in range(20_000, 30_000, 2 * pairs):
        with contextlib.ExitStack() as stack:
            try:
                for port in range(low, low + 2 * pairs):
                    probe = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                    probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return low, low + 2 * pairs - 1
    raise AssertionError("no free ports")


@pytest.fixture
def taken() -> Iterator[list[tuple[PortPool, Ports]]]:
    """Collects what a test allocates, to be released."""
    all_taken: list[tuple[PortPool, Ports]] = []
    yield all_taken
    for pool, ports in all_taken:
        pool.release(ports)


def take(pool: PortPool, taken: list[tuple[PortPool, Ports]], kind: Kind = Kind.AUDIO, pair: bool = True) -> Ports:
    ports = pool.allocate(kind, pair)
    taken.append((pool, ports))
    return ports


def test_pairs_are_even_and_odd_and_come_in_turn(taken: list[tuple[PortPool, Ports]]) -> None:
    low, high = free_range(3)
    pool = PortPool("127.0.0.1", low - 1, high)
    for n in range(3):
        ports = take(pool, taken)
        assert ports.port == low + 2 * n
        assert ports.port % 2 == 0
        assert ports.rtp.getsockname()[1] == ports.port
        assert ports.rtcp is not None
        assert ports.rtcp.getsockname()[1] == ports.port + 1
    assert pool.in_use == 3


def test_a_single_port_leaves_the_odd_one_unbound(taken: list[tuple[PortPool, Ports]]) -> None:
    low, high = free_range(1)
    ports = take(PortPool("127.0.0.1", low, high), taken, pair=False)
    assert ports.rtcp is None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", high))


def test_an_exhausted_pool_refuses_with_its_reason(taken: list[tuple[PortPool, Ports]]) -> None:
    low, high = free_range(1)
    pool = PortPool("127.0.0.1", low, high)
    take(pool, taken)
    with pytest.raises(Refused) as refusal:
        pool.allocate(Kind.AUDIO)
    assert refusal.value.reason is Reason.NO_PORTS
    assert pool.refused == 1


def test_a_freed_port_rests_while_another_is_free(taken: list[tuple[PortPool, Ports]]) -> None:
    low, high = free_range(2)
    clock = Clock()
    pool = PortPool("127.0.0.1", low, high, clock)
    first = pool.allocate(Kind.AUDIO)
    pool.release(first)
    pool.release(first)
    assert take(pool, taken).port == low + 2
    clock.now += REST
    assert take(pool, taken).port == low
    assert pool.reused_early == 0


def test_a_resting_port_is_used_early_rather_than_refusing_a_call(taken: list[tuple[PortPool, Ports]]) -> None:
    low, high = free_range(1)
    pool = PortPool("127.0.0.1", low, high, Clock())
    pool.release(pool.allocate(Kind.AUDIO))
    assert take(pool, taken).port == low
    assert pool.reused_early == 1


def test_a_port_that_another_program_holds_is_passed_over(taken: list[tuple[PortPool, Ports]]) -> None:
    low, high = free_range(2)
    pool = PortPool("127.0.0.1", low, high)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", low + 1))
        assert take(pool, taken).port == low + 2
        with pytest.raises(Refused):
            pool.allocate(Kind.AUDIO)
    assert take(pool, taken).port == low
    assert pool.occupied == 2


def test_packets_are_marked_for_their_kind(taken: list[tuple[PortPool, Ports]]) -> None:
    low, high = free_range(2)
    pool = PortPool("127.0.0.1", low, high)
    audio, video = take(pool, taken, Kind.AUDIO), take(pool, taken, Kind.VIDEO)
    assert audio.rtp.getsockopt(socket.IPPROTO_IP, socket.IP_TOS) == 46 << 2
    assert video.rtp.getsockopt(socket.IPPROTO_IP, socket.IP_TOS) == 34 << 2


def test_ipv6_sockets_are_bound_and_marked(taken: list[tuple[PortPool, Ports]]) -> None:
    low, high = free_range(1)
    ports = take(PortPool("::1", low, high), taken)
    assert ports.rtp.getsockname()[:2] == ("::1", low)
    assert ports.rtp.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS) == 46 << 2


@pytest.mark.parametrize(
    ("address", "low", "high"),
    [
        ("127.0.0.1", 0, 10),
        ("127.0.0.1", 5, 4),
        ("127.0.0.1", 5, 65_536),
        ("127.0.0.1", 4001, 4002),
        ("localhost", 4000, 4001),
    ],
)
def test_a_range_or_address_of_no_use_is_refused(address: str, low: int, high: int) -> None:
    with pytest.raises(ValueError, match=r"port|address"):
        PortPool(address, low, high)
