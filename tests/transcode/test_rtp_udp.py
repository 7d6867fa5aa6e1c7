"""UDP transports on real sockets of the loopback addresses."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import Awaitable, Callable, Iterator

import pytest
import structlog

from gateway.reasons import Reason, Refused
from transcode.media import Kind, Suite
from transcode.rtp import rtcp
from transcode.rtp.packet import pack
from transcode.rtp.ports import PortPool
from transcode.rtp.source import NEEDED
from transcode.rtp.srtp import SrtpSession, make_key
from transcode.rtp.udp import MAX_DATAGRAM, UdpTransport

RR = rtcp.pack([rtcp.ReceiverReport(9), rtcp.SourceDescription(((9, "name"),))])
Make = Callable[..., UdpTransport]


def rtp(sequence: int, ssrc: int = 9) -> bytes:
    return pack(0, sequence, sequence * 160, ssrc, b"payload")


class Ear:
    """Keeps what a transport delivers."""

    def __init__(self, transport: UdpTransport) -> None:
        self.rtp: list[bytes] = []
        self.rtcp: list[bytes] = []
        transport.on_rtp = lambda data, _: self.rtp.append(data)
        transport.on_rtcp = lambda data, _: self.rtcp.append(data)


class Peer:
    """A plain socket on the loopback address."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, 0))
        self.socket.setblocking(False)
        self.host, self.port = self.socket.getsockname()[:2]

    def send(self, data: bytes, transport: UdpTransport, control: bool = False) -> None:
        self.socket.sendto(data, (transport.address, transport.rtcp_port if control else transport.port))

    def received(self) -> list[bytes]:
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                found.append(self.socket.recv(4096))
        return found


@pytest.fixture
def peers() -> Iterator[Callable[..., Peer]]:
    made: list[Peer] = []

    def make(host: str = "127.0.0.1") -> Peer:
        made.append(Peer(host))
        return made[-1]

    yield make
    for peer in made:
        peer.socket.close()


@pytest.fixture
async def make() -> Iterator[Make]:  # type: ignore[misc]
    made: list[UdpTransport] = []
    pools: dict[str, PortPool] = {}

    def build(kind: Kind = Kind.AUDIO, pair: bool = True, host: str = "127.0.0.1") -> UdpTransport:
        pool = pools.setdefault(host, PortPool(host, 12_000, 12_199))
        made.append(UdpTransport(pool, kind, pair))
        return made[-1]

    yield build
    for transport in made:
        transport.close()


async def settle() -> None:
    """Let the loop read what is in the sockets: on loopback it is there once it is sent."""
    for _ in range(60):
        await asyncio.sleep(0)
    await asyncio.sleep(0.005)


Settle = Callable[[], Awaitable[None]]


async def test_packets_pass_both_ways_on_a_pair(make: Make) -> None:
    one, other = make(), make()
    ears = Ear(one), Ear(other)
    one.set_remote("127.0.0.1", other.port)
    other.set_remote("127.0.0.1", one.port)
    for n in range(5):
        one.send_rtp(rtp(n))
        other.send_rtp(rtp(n, 8))
    one.send_rtcp(RR)
    other.send_rtcp(RR)
    await settle()
    assert ears[1].rtp == [rtp(n) for n in range(5)]
    assert ears[0].rtp == [rtp(n, 8) for n in range(5)]
    assert (ears[0].rtcp, ears[1].rtcp) == ([RR], [RR])
    assert one.learned
    assert one.rtcp_port == one.port + 1


@pytest.mark.parametrize("pair", [True, False])
async def test_multiplexed_rtcp_goes_by_the_rtp_port(make: Make, peers: Callable[..., Peer], pair: bool) -> None:
    one, peer = make(pair=pair), peers()
    ear = Ear(one)
    one.set_remote(peer.host, peer.port, mux=True)
    one.send_rtcp(RR)
    peer.send(RR, one)
    peer.send(rtp(1), one)
    await settle()
    assert peer.received() == [RR]
    assert (ear.rtp, ear.rtcp) == ([rtp(1)], [RR])


async def test_the_source_is_learned_and_strangers_are_dropped(make: Make, peers: Callable[..., Peer]) -> None:
    one, signalled, real, stranger = make(), peers(), peers(), peers()
    ear = Ear(one)
    one.set_remote(signalled.host, signalled.port)
    one.send_rtp(rtp(0, 1))
    for n in range(NEEDED):
        real.send(rtp(n), one)
    await settle()
    one.send_rtp(rtp(1, 1))
    for n in range(10):
        stranger.send(rtp(n, 66), one)
    real.send(rtp(NEEDED), one)
    await settle()
    assert ear.rtp == [rtp(n) for n in range(NEEDED + 1)]
    assert signalled.received() == [rtp(0, 1)]
    assert real.received() == [rtp(1, 1)]
    assert (stranger.received(), one.foreign) == ([], 10)


async def test_a_new_offer_with_another_address_begins_the_learning_anew(
    make: Make, peers: Callable[..., Peer]
) -> None:
    one, before, after = make(), peers(), peers()
    ear = Ear(one)
    one.set_remote(before.host, before.port)
    before.send(rtp(1), one)
    await settle()
    one.set_remote(after.host, after.port)
    after.send(rtp(2), one)
    await settle()
    before.send(rtp(3), one)
    await settle()
    assert ear.rtp == [rtp(1), rtp(2)]
    assert one.foreign == 1


async def test_rtcp_of_another_host_than_the_media_is_foreign(make: Make, peers: Callable[..., Peer]) -> None:
    one, peer, stranger = make(), peers(), peers("127.0.0.2")
    ear = Ear(one)
    one.set_remote(peer.host, peer.port)
    peer.send(rtp(1), one)
    await settle()
    for _ in range(5):
        stranger.send(RR, one, control=True)
    await settle()
    assert (ear.rtcp, one.foreign) == ([], 5)


async def test_rtcp_follows_media_that_nat_has_moved(make: Make, peers: Callable[..., Peer]) -> None:
    one, real, control = make(), peers(), peers()
    one.set_remote("127.0.0.9", 9)
    for n in range(NEEDED):
        real.send(rtp(n), one)
    await settle()
    for _ in range(2):
        control.send(RR, one, control=True)
    await settle()
    one.send_rtcp(RR)
    await settle()
    assert control.received() == [RR]


async def test_with_keys_everything_is_encrypted_and_only_authentic_packets_count(
    make: Make, peers: Callable[..., Peer]
) -> None:
    one, other, stranger = make(), make(), peers()
    ear = Ear(other)
    mine, theirs = make_key(Suite.AEAD_AES_128_GCM), make_key(Suite.AEAD_AES_128_GCM)
    one.set_remote("127.0.0.1", other.port)
    other.set_remote(None, 0)
    one.set_keys(mine, theirs)
    other.set_keys(theirs, mine)
    for n in range(10):
        stranger.send(rtp(n), other)
    await settle()
    assert (other.learned, ear.rtp) == (False, [])
    for n in range(NEEDED):
        one.send_rtp(rtp(n))
    one.send_rtcp(RR)
    one.send_rtcp(RR)
    await settle()
    assert ear.rtp == [rtp(n) for n in range(NEEDED)]
    assert ear.rtcp == [RR, RR]
    assert other.counters()["srtp_failed"] == 10
    assert one.encrypted == "AEAD_AES_128_GCM"


async def test_nothing_leaves_in_clear_once_encryption_is_agreed(make: Make, peers: Callable[..., Peer]) -> None:
    one, peer = make(), peers()
    ear = Ear(one)
    one.set_remote(peer.host, peer.port, mux=True)
    one.set_keys(None, None)
    one.send_rtp(rtp(1))
    one.send_rtcp(RR)
    peer.send(rtp(1), one)
    peer.send(RR, one)
    await settle()
    assert (peer.received(), ear.rtp, ear.rtcp, one.unencrypted) == ([], [], [], 2)
    key = make_key(Suite.AES_CM_128_HMAC_SHA1_80)
    one.set_keys(key, None)
    one.send_rtp(rtp(2))
    await settle()
    (sealed,) = peer.received()
    assert SrtpSession(None, key).unprotect_rtp(sealed) == rtp(2)
    one.set_keys(None, None, required=False)
    one.send_rtp(rtp(3))
    await settle()
    assert peer.received() == [rtp(3)]


async def test_clear_rtcp_beside_encrypted_media_is_taken_where_allowed(make: Make, peers: Callable[..., Peer]) -> None:
    one, peer = make(), peers()
    ear = Ear(one)
    key = make_key(Suite.AES_CM_128_HMAC_SHA1_80)
    one.set_remote(peer.host, peer.port, mux=True)
    one.set_keys(key, key, clear_rtcp=True)
    peer.send(RR, one)
    await settle()
    assert ear.rtcp == [RR]
    assert one.counters()["srtcp_clear"] == 1


async def test_what_is_no_media_is_sorted_and_counted(make: Make, peers: Callable[..., Peer]) -> None:
    one, peer = make(Kind.VIDEO), peers()
    ear = Ear(one)
    one.set_remote(peer.host, peer.port)
    for data in (
        b"\x00\x01\x00\x00\x21\x12\xa4\x42" + bytes(12),  # STUN binding request
        b"\x16\xfe\xff" + bytes(30),  # DTLS handshake
        b"GET / HTTP/1.1\r\n",
        b"",
        b"\x80",
        bytes([0x80, 0]) + bytes(MAX_DATAGRAM),
        bytes([0x80, 0]) + bytes(8),  # too short for RTP
        bytes([0x80, 201, 0, 9]) + bytes(8),  # RTCP that claims more than it has
    ):
        peer.send(data, one)
    await settle()
    counters = one.counters()
    assert [counters[name] for name in ("stun", "dtls", "garbage", "malformed", "oversized")] == [1, 1, 1, 4, 1]
    assert (ear.rtp, ear.rtcp) == ([], [])


async def test_without_an_address_packets_are_dropped_and_counted(make: Make) -> None:
    one = make()
    one.send_rtp(rtp(1))
    one.set_remote("0.0.0.0", 4000)
    one.send_rtp(rtp(2))
    one.set_remote("127.0.0.1", 0)
    one.send_rtp(rtp(3))
    assert (one.homeless, one.sent, one.remote) == (3, 0, None)


@pytest.mark.parametrize(
    ("address", "port", "reason"),
    [
        ("room.example", 4000, Reason.BAD_DESCRIPTION),
        ("224.0.0.1", 4000, Reason.BAD_DESCRIPTION),
        ("255.255.255.255", 4000, Reason.BAD_DESCRIPTION),
        ("127.0.0.1", 70_000, Reason.BAD_DESCRIPTION),
        ("127.0.0.1", -1, Reason.BAD_DESCRIPTION),
        ("::1", 4000, Reason.UNREACHABLE),
    ],
)
async def test_an_address_of_no_use_is_refused(make: Make, address: str, port: int, reason: Reason) -> None:
    with pytest.raises(Refused) as refusal:
        make().set_remote(address, port)
    assert refusal.value.reason is reason


async def test_ipv6_packets_pass_both_ways(make: Make, peers: Callable[..., Peer]) -> None:
    one, peer = make(host="::1"), peers("::1")
    ear = Ear(one)
    one.set_remote("0:0:0:0:0:0:0:1", peer.port)
    peer.send(rtp(1), one)
    one.send_rtp(rtp(2))
    await settle()
    assert (ear.rtp, peer.received(), one.learned) == ([rtp(1)], [rtp(2)], True)
    with pytest.raises(Refused):
        one.set_remote("127.0.0.1", 4000)


async def test_a_socket_of_both_families_reaches_ipv4_peers(make: Make, peers: Callable[..., Peer]) -> None:
    one, peer = make(host="::"), peers()
    ear = Ear(one)
    one.set_remote("127.0.0.1", peer.port)
    peer.socket.sendto(rtp(1), ("127.0.0.1", one.port))
    one.send_rtp(rtp(2))
    await settle()
    assert (ear.rtp, peer.received(), one.learned) == ([rtp(1)], [rtp(2)], True)


async def test_a_dead_port_at_the_peer_raises_nothing(make: Make, peers: Callable[..., Peer]) -> None:
    one, peer = make(), peers()
    one.set_remote(peer.host, peer.port)
    peer.socket.close()
    for n in range(20):
        one.send_rtp(rtp(n))
        await asyncio.sleep(0)
    await settle()
    one.send_rtp(bytes(70_000))
    assert one.errors == 1


async def test_a_handler_that_fails_is_counted_and_the_next_packet_comes(
    make: Make, peers: Callable[..., Peer]
) -> None:
    one, peer = make(), peers()
    heard: list[bytes] = []

    def handler(data: bytes, _: float) -> None:
        heard.append(data)
        raise RuntimeError("broken")

    one.on_rtp = handler
    one.set_remote(peer.host, peer.port)
    with structlog.testing.capture_logs() as logs:
        peer.send(rtp(1), one)
        peer.send(rtp(2), one)
        await settle()
    assert (heard, one.handler_errors, len(logs)) == ([rtp(1), rtp(2)], 2, 1)


async def test_after_close_nothing_is_delivered_and_the_port_is_given_back(
    make: Make, peers: Callable[..., Peer]
) -> None:
    one, peer = make(), peers()
    ear = Ear(one)
    one.set_remote(peer.host, peer.port)
    peer.send(rtp(1), one)
    one.close()
    one.close()
    one.send_rtp(rtp(1))
    await settle()
    assert (ear.rtp, peer.received(), one._pool.in_use) == ([], [], 0)


async def test_a_transport_closed_by_its_own_handler_stops_reading(make: Make, peers: Callable[..., Peer]) -> None:
    one, peer = make(Kind.VIDEO), peers()
    heard: list[bytes] = []

    def handler(data: bytes, _: float) -> None:
        heard.append(data)
        one.close()

    one.on_rtp = handler
    one.set_remote(peer.host, peer.port)
    for n in range(3):
        peer.send(rtp(n), one)
    await settle()
    assert (heard, one.handler_errors) == ([rtp(0)], 0)


async def test_random_datagrams_from_anywhere_leave_the_call_unharmed(make: Make, peers: Callable[..., Peer]) -> None:
    chance = random.Random(seed := 11)
    one, peer, stranger = make(Kind.VIDEO), peers(), peers()
    ear = Ear(one)
    one.set_remote(peer.host, peer.port)
    peer.send(rtp(0), one)
    await settle()
    for n in range(1, 20_001):
        sender = peer if n % 2 else stranger
        data = chance.randbytes(chance.randint(0, 40))
        if n % 3 == 0:
            data = bytes([0x80 | chance.randrange(64), chance.randrange(256)]) + data
        sender.send(data, one, control=n % 5 == 0)
        if n % 100 == 0:
            peer.send(rtp(n // 100), one)
        if n % 20 == 0:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
    await settle()
    good = [data for data in ear.rtp if data[8:] == rtp(0)[8:]]
    assert good == [rtp(n) for n in range(201)], f"seed {seed}"
    counters = one.counters()
    assert counters["handler_errors"] == counters["errors"] == 0
    assert min(counters[name] for name in ("stun", "dtls", "garbage", "malformed", "foreign")) > 10
    assert len(one._lock._candidates) + len(one._control_lock._candidates) <= 8
