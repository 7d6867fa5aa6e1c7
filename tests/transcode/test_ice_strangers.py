"""What strangers send to a transport's port: dropped, counted, and without effect on the call."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator

import pytest
from aioice import Candidate, stun
from aioice.ice import CandidatePair

from transcode.ice.agent import MAX_CONFLICTS, Agent
from transcode.ice.dtls import DATAGRAM, split_flight
from transcode.ice.transport import IceState, IceTransport
from transcode.media import Setup
from transcode.rtp.packet import pack

SEED = 20261120

# DTLS 1.2 record: handshake (16), version fe fd, epoch 0, sequence 0, length 0x0d; ClientHello (01) of length 1
CLIENT_HELLO = bytes.fromhex("16 fefd 0000 000000000000 000d 01 000001 0000 000000 000001 fe")
# STUN binding request: type 0001, length 8, cookie, transaction id; USERNAME (0006) of 4 octets "a:bc"
STRANGE_CHECK = bytes.fromhex("0001 0008 2112a442 000102030405060708090a0b 0006 0004 613a6263")
# The same with USERNAME that claims 4 octets of invalid UTF-8
BAD_TEXT = bytes.fromhex("0001 0008 2112a442 000102030405060708090a0b 0006 0004 ff80fe81")
# PRIORITY (0024) of 1 octet instead of 4, padded
SHORT_PRIORITY = bytes.fromhex("0001 0008 2112a442 000102030405060708090a0b 0024 0001 01000000")
# RTP version 2, payload type 0
CLEAR_RTP = bytes.fromhex("8000 0001 000000a0 00000001") + bytes(160)


@pytest.fixture
async def pair() -> AsyncIterator[tuple[IceTransport, IceTransport]]:
    one, other = IceTransport(True, ["127.0.0.1"]), IceTransport(False, ["127.0.0.1"])
    ice_one, ice_other = await one.gather(), await other.gather()
    await other.start(ice_one, one.dtls(Setup.ACTPASS), Setup.ACTIVE)
    await one.start(ice_other, other.dtls(Setup.ACTIVE), Setup.PASSIVE)
    async with asyncio.timeout(10):
        await asyncio.gather(one.wait(), other.wait())
    yield one, other
    one.close()
    other.close()
    await asyncio.gather(one.closed(), other.closed())


async def throw(target: IceTransport, datagrams: list[bytes]) -> None:
    """Send datagrams to a transport's port from a stranger's socket, gently enough for the socket buffer."""
    address = ("127.0.0.1", (await target.gather()).candidates[0].port)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.setblocking(False)
        for number, datagram in enumerate(datagrams):
            stranger.sendto(datagram, address)
            if number % 50 == 49:
                await asyncio.sleep(0.001)
    await asyncio.sleep(0.02)


async def still_talks(one: IceTransport, other: IceTransport) -> bool:
    got = asyncio.Event()
    other.on_rtp = lambda *_: got.set()
    one.send_rtp(pack(96, random.Random(SEED).randrange(65536), 1, 77, b"still here"))
    async with asyncio.timeout(2):
        await got.wait()
    return one.state is other.state is IceState.CONNECTED


@pytest.mark.parametrize(
    ("datagram", "counter"),
    [
        (CLIENT_HELLO, "dtls"),
        (CLEAR_RTP, "foreign"),
        (BAD_TEXT, "malformed"),
        (SHORT_PRIORITY, "malformed"),
        (b"\x80", "garbage"),
        (b"", "garbage"),
        (bytes(3000), "oversized"),
        (b"GET / HTTP/1.1\r\n\r\n", "garbage"),
        (b"\xff" * 20, "garbage"),
    ],
)
async def test_a_strangers_datagram_is_dropped_and_counted(
    pair: tuple[IceTransport, IceTransport], datagram: bytes, counter: str
) -> None:
    one, other = pair
    before = one.counters().get(counter, 0)
    await throw(one, [datagram])
    assert one.counters()[counter] == before + 1
    assert await still_talks(one, other)


async def test_a_check_without_our_password_is_refused_and_opens_nothing(
    pair: tuple[IceTransport, IceTransport],
) -> None:
    one, _ = pair
    loop = asyncio.get_running_loop()
    port = (await one.gather()).candidates[0].port
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.setblocking(False)
        stranger.bind(("127.0.0.1", 0))
        await loop.sock_sendto(stranger, STRANGE_CHECK, ("127.0.0.1", port))
        answer = stun.parse_message((await loop.sock_recvfrom(stranger, 2000))[0])
        assert answer.message_class is stun.Class.ERROR
        await loop.sock_sendto(stranger, CLIENT_HELLO, ("127.0.0.1", port))
        await asyncio.sleep(0.02)
    assert one.counters()["dtls"] == 1


async def test_random_datagrams_leave_the_call_calm(pair: tuple[IceTransport, IceTransport]) -> None:
    one, other = pair
    chance = random.Random(SEED)
    samples = [CLIENT_HELLO, STRANGE_CHECK, BAD_TEXT, SHORT_PRIORITY, CLEAR_RTP]
    datagrams = []
    for _ in range(4000):
        kind = chance.randrange(3)
        if kind == 0:
            datagrams.append(chance.randbytes(chance.randrange(200)))
        elif kind == 1:
            sample = bytearray(chance.choice(samples))
            sample[chance.randrange(len(sample))] = chance.randrange(256)
            datagrams.append(bytes(sample))
        else:
            sample_bytes = chance.choice(samples)
            datagrams.append(sample_bytes[: chance.randrange(len(sample_bytes))])
    # cookie and a right length: attributes of random content
    for _ in range(1000):
        body = chance.randbytes(4 * chance.randrange(1, 20))
        datagrams.append(b"\x00\x01" + len(body).to_bytes(2, "big") + bytes.fromhex("2112a442") + bytes(12) + body)
    await throw(one, datagrams)
    counters = one.counters()
    assert "handler_errors" not in counters, f"seed {SEED}"
    assert counters["malformed"] > 100
    assert len(one._path._current.validated) <= 4
    assert len(one._path._current._remote_candidates) <= 2
    assert one._path._current._queue.qsize() == 0
    assert await still_talks(one, other)


async def test_a_replayed_packet_is_dropped_and_counted(pair: tuple[IceTransport, IceTransport]) -> None:
    one, other = pair
    got: list[bytes] = []
    one.on_rtp = lambda data, _: got.append(data)
    raw = other._srtp.protect_rtp(pack(0, 1, 160, 5, b"once"))
    other._path._current.transmit(raw)
    other._path._current.transmit(raw)
    changed = other._srtp.protect_rtp(pack(0, 2, 320, 5, b"changed"))
    other._path._current.transmit(changed[:-1] + bytes([changed[-1] ^ 1]))
    await asyncio.sleep(0.02)
    assert len(got) == 1
    assert (one.counters()["srtp_replayed"], one.counters()["srtp_failed"]) == (1, 1)


async def test_random_dtls_and_media_from_the_peers_own_address_change_nothing(
    pair: tuple[IceTransport, IceTransport],
) -> None:
    one, other = pair
    chance = random.Random(SEED)
    for number in range(500):
        first = chance.choice([22, 23, 0x80, 0x90])
        other._path._current.transmit(bytes([first]) + chance.randbytes(chance.randrange(1, 100)))
        if number % 50 == 49:
            await asyncio.sleep(0.002)
    await asyncio.sleep(0.02)
    assert await still_talks(other, one)


async def test_a_packet_that_is_too_long_to_protect_is_counted(pair: tuple[IceTransport, IceTransport]) -> None:
    one, _ = pair
    one.send_rtp(pack(96, 1, 1, 1, bytes(1500)))
    assert one.counters()["srtp_unsendable"] == 1


def test_a_flight_is_cut_at_records() -> None:
    record = b"\x16\xfe\xfd" + bytes(8) + (500).to_bytes(2, "big") + bytes(500)
    flight = record * 5
    datagrams = split_flight(flight)
    assert b"".join(datagrams) == flight
    assert [len(each) for each in datagrams] == [1026, 1026, 513]
    assert all(len(each) <= DATAGRAM for each in datagrams)
    assert split_flight(b"") == []


def test_a_flight_that_is_no_flight_is_not_lost() -> None:
    chance = random.Random(SEED)
    for _ in range(200):
        noise = chance.randbytes(chance.randrange(4000))
        assert b"".join(split_flight(noise)) == noise


async def test_sources_that_the_peer_makes_up_are_bounded(pair: tuple[IceTransport, IceTransport]) -> None:
    one, other = pair
    for ssrc in range(1, 301):
        other.send_rtp(pack(0, 1, 160, ssrc, b"x"))
        if ssrc % 50 == 0:
            await asyncio.sleep(0.002)
    await asyncio.sleep(0.02)
    assert one.counters()["received"] == 300
    assert one._srtp is not None
    assert len(one._srtp._sources) == 64


async def test_a_peer_that_always_finds_the_roles_in_conflict_is_given_up() -> None:
    asked = 0

    class Way:
        local_candidate = Candidate("1", 1, "udp", 1, "127.0.0.1", 9, "host")

        async def request(self, request: stun.Message, *_: object, **__: object) -> None:
            nonlocal asked
            asked += 1
            refusal = stun.Message(stun.Method.BINDING, stun.Class.ERROR, request.transaction_id)
            refusal.attributes["ERROR-CODE"] = (487, "Role Conflict")
            raise stun.TransactionFailed(refusal)

    counters: dict[str, int] = {}
    agent = Agent(True, None, None, counters)
    agent.remote_username, agent.remote_password = "user", "p" * 24
    for _ in range(2):  # and it may be checked again later
        asked = 0
        pair = CandidatePair(Way(), Candidate("2", 1, "udp", 1, "127.0.0.1", 10, "host"))
        await agent.check_start(pair)
        assert pair.state is CandidatePair.State.FAILED
        assert asked == MAX_CONFLICTS + 1
    assert counters == {"role_conflicts": 2}
    assert not agent._conflicts
