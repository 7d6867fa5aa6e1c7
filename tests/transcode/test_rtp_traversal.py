"""Media through a translator (H.460.19): where a hidden peer is, keep-alive packets, and shared ports."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from gateway.reasons import Reason, Refused
from transcode.media import H235Cipher, H235Key, H235Keys, KeepAlive, Kind
from transcode.rtp import keep_alive, rtcp
from transcode.rtp.keep_alive import KeptOpen
from transcode.rtp.multiplex import SharedPorts, prefix_of
from transcode.rtp.packet import pack
from transcode.rtp.ports import PortPool
from transcode.rtp.udp import UdpTransport

HOST = "127.0.0.1"
WAIT = 10.0
REPORT = rtcp.pack([rtcp.ReceiverReport(9), rtcp.SourceDescription(((9, "name"),))])
EMPTY = pack(127, 1, 0, 77, b"")


def rtp(sequence: int, ssrc: int = 9) -> bytes:
    return pack(0, sequence, sequence * 160, ssrc, b"payload")


class Plain:
    """A socket of somebody else's."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((HOST, 0))
        self.socket.setblocking(False)
        self.port = self.socket.getsockname()[1]

    def send(self, data: bytes, port: int) -> None:
        self.socket.sendto(data, (HOST, port))

    async def receive(self) -> bytes:
        async with asyncio.timeout(WAIT):
            return await asyncio.get_running_loop().sock_recv(self.socket, 4096)

    def nothing(self) -> bool:
        with contextlib.suppress(BlockingIOError):
            self.socket.recv(4096)
            return False
        return True


Make = Callable[[], UdpTransport]
MakePlain = Callable[[], Plain]


def free_pair() -> int:
    """Return a port that is free with the next one."""
    while True:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as two,
        ):
            one.bind((HOST, 0))
            port = one.getsockname()[1]
            with contextlib.suppress(OSError, OverflowError):
                two.bind((HOST, port + 1))
                return int(port)


@pytest.fixture
async def make() -> AsyncIterator[Callable[[], UdpTransport]]:
    pool = PortPool(HOST, 43_000, 43_199)
    made: list[UdpTransport] = []

    def build() -> UdpTransport:
        made.append(UdpTransport(pool, Kind.AUDIO))
        return made[-1]

    yield build
    for one in made:
        one.close()


@pytest.fixture
def plain() -> Iterator[Callable[[], Plain]]:
    made: list[Plain] = []

    def build() -> Plain:
        made.append(Plain())
        return made[-1]

    yield build
    for one in made:
        one.socket.close()


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(WAIT):
        while not holds():
            await asyncio.sleep(0.005)


async def test_a_hidden_peer_is_found_by_one_empty_packet_which_nobody_is_given(make: Make, plain: MakePlain) -> None:
    udp, peer = make(), plain()
    heard: list[bytes] = []
    udp.on_rtp = lambda data, _: heard.append(data)
    udp.set_remote("0.0.0.0", 9)
    udp.expect_from(HOST)
    udp.send_rtp(rtp(1))
    assert udp.homeless == 1
    peer.send(EMPTY, udp.port)
    await until(lambda: udp.learned)
    udp.send_rtp(rtp(2))
    assert await peer.receive() == rtp(2)
    assert udp.kept_alive == 1
    assert heard == []
    peer.send(rtp(5), udp.port)
    await until(lambda: heard)
    assert heard == [rtp(5)]


async def test_who_comes_from_elsewhere_than_the_signalling_is_put_on_trial_as_ever(
    make: Make, plain: MakePlain
) -> None:
    udp, peer = make(), plain()
    udp.set_remote("0.0.0.0", 9)
    udp.expect_from("192.0.2.1")
    for _ in range(2):
        peer.send(EMPTY, udp.port)
    await until(lambda: udp.kept_alive == 2)
    assert not udp.learned
    peer.send(EMPTY, udp.port)
    await until(lambda: udp.learned)


async def test_empty_packets_open_an_encrypted_path_too(make: Make, plain: MakePlain) -> None:
    udp, peer = make(), plain()
    udp.expect_from(HOST)
    key = H235Key(H235Cipher.AES_128_CBC, bytes(16), 96)
    udp.set_payload_keys(H235Keys(key, key))
    peer.send(EMPTY, udp.port)
    await until(lambda: udp.learned)


async def test_a_hidden_peers_reports_are_answered_where_they_come_from(make: Make, plain: MakePlain) -> None:
    udp, peer, control = make(), plain(), plain()
    udp.expect_from(HOST)
    peer.send(EMPTY, udp.port)
    await until(lambda: udp.learned)
    udp.send_rtcp(REPORT)
    assert udp.homeless == 1  # not to the port beside: a translator gives any
    control.send(REPORT, udp.rtcp_port)
    await until(lambda: udp.received == 1)
    udp.send_rtcp(REPORT)
    assert await control.receive() == REPORT


async def test_the_way_is_kept_open_at_once_and_again(
    make: Make, plain: MakePlain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keep_alive, "FIRST", (0.0,))
    udp, server, control = make(), plain(), plain()
    udp.set_remote(HOST, server.port, HOST, control.port)
    kept = KeptOpen(udp, KeepAlive(HOST, server.port, 1, 101), udp.resolve(HOST, server.port))
    for number in range(2):
        packet = await server.receive()
        assert (len(packet), packet[0], packet[1], packet[3]) == (12, 0x80, 101, number)
        assert rtcp.parse(await control.receive())
    kept.close()
    await asyncio.sleep(1.1)
    assert server.nothing()


async def test_streams_share_ports_and_are_told_apart_by_what_stands_before_each_packet(
    make: Make, plain: MakePlain
) -> None:
    shared = SharedPorts(HOST, free_pair())
    one, other, peer, control = make(), make(), plain(), plain()
    heard: dict[UdpTransport, list[bytes]] = {one: [], other: []}
    reports: list[bytes] = []
    ids = {one: shared.new_id(), other: shared.new_id()}
    for udp in (one, other):
        udp.on_rtp = lambda data, _, udp=udp: heard[udp].append(data)  # type: ignore[misc]
        udp.expect_from(HOST)
        udp.share(shared, ids[udp])
    one.on_rtcp = lambda data, _: reports.append(data)
    peer.send(prefix_of(ids[one]) + EMPTY, shared.port)
    await until(lambda: one.learned)
    peer.send(prefix_of(ids[other]) + rtp(1), shared.port)
    peer.send(prefix_of(ids[one]) + rtp(2), shared.port)
    control.send(prefix_of(ids[one]) + REPORT, shared.port + 1)
    for strange in (b"", b"\x01", prefix_of(ids[one]), prefix_of(ids[one] ^ 1) + rtp(3), rtp(4)):
        peer.send(strange, shared.port)
    await until(lambda: heard[one] and heard[other] and reports)
    await until(lambda: shared.unknown == 5)
    assert (heard[one], heard[other], reports) == ([rtp(2)], [rtp(1)], [REPORT])
    # What goes out comes from the shared ports, with the peer's own number before it where it wants one.
    one.set_prefix(7)
    one.send_rtp(rtp(5))
    one.send_rtcp(REPORT)
    other.send_rtp(rtp(6))
    assert await peer.receive() == b"\0\0\0\x07" + rtp(5)
    assert await peer.receive() == rtp(6)
    assert await control.receive() == b"\0\0\0\x07" + REPORT
    one.close()
    peer.send(prefix_of(ids[one]) + rtp(7), shared.port)
    await until(lambda: shared.unknown == 6)
    other.close()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
        again.bind((HOST, shared.port))  # the last one has given them back


async def test_shared_ports_that_somebody_else_has_refuse_the_stream(make: Make) -> None:
    port = free_pair()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind((HOST, port + 1))
        with pytest.raises(Refused) as refused:
            make().share(SharedPorts(HOST, port), 5)
    assert refused.value.reason is Reason.NO_PORTS
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
        again.bind((HOST, port))
