"""Data channels over two transports on loopback, and peers that break the protocol or the bounds."""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import AsyncIterator, Callable

import pytest

from transcode.ice import channels as module
from transcode.ice.channels import MAX_MESSAGE, DataChannels
from transcode.ice.transport import IceState, IceTransport
from transcode.media import Setup
from transcode.rtp.packet import pack

SEED = 20261120

Pair = tuple[IceTransport, IceTransport]


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    one, other = IceTransport(True, ["127.0.0.1"]), IceTransport(False, ["127.0.0.1"])
    ice_one, ice_other = await one.gather(), await other.gather()
    one.open_channels()
    await other.start(ice_one, one.dtls(Setup.ACTPASS), Setup.ACTIVE)
    await one.start(ice_other, other.dtls(Setup.ACTIVE), Setup.PASSIVE)
    async with asyncio.timeout(10):
        await asyncio.gather(one.wait(), other.wait())
    other.open_channels()
    yield one, other
    one.close()
    other.close()
    await asyncio.gather(one.closed(), other.closed())


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def opened(pair: Pair) -> tuple[DataChannels, DataChannels]:
    """Open one channel and wait until both sides have it."""
    near, far = pair[0].open_channels(), pair[1].open_channels()
    near.create("chat")
    await until(lambda: far.labels == ("chat",) and near._open["chat"].readyState == "open")
    return near, far


def faults(transport: IceTransport) -> int:
    return transport.counters().get("sctp_faults", 0) + transport.counters().get("sctp_overflow", 0)


async def still_talks(one: IceTransport, other: IceTransport) -> bool:
    got = asyncio.Event()
    other.on_rtp = lambda *_: got.set()
    one.send_rtp(pack(96, 7, 1, 77, b"still here"))
    async with asyncio.timeout(2):
        await got.wait()
    return one.state is other.state is IceState.CONNECTED


async def test_messages_pass_both_ways_with_their_label(pair: Pair) -> None:
    near, far = await opened(pair)
    got: list[tuple[str, str | bytes]] = []
    near.on_message = lambda label, data: got.append((label, data))
    far.on_message = lambda label, data: got.append((label, data))
    large = bytes(range(256)) * 256
    assert near.send("chat", "héllo")
    await until(lambda: len(got) == 1)
    assert far.send("chat", large)
    await until(lambda: len(got) == 2)
    assert far.send("chat", "")
    assert far.send("chat", b"")
    await until(lambda: len(got) == 4)
    assert got == [("chat", "héllo"), ("chat", large), ("chat", ""), ("chat", b"")]


async def test_what_cannot_be_sent_is_told_and_counted(pair: Pair) -> None:
    near, _ = await opened(pair)
    assert not near.send("elsewhere", "x")
    assert not near.send("chat", bytes(MAX_MESSAGE + 1))
    assert pair[0].counters()["data_unsent"] == 2
    results = [near.send("chat", bytes(MAX_MESSAGE)) for _ in range(20)]
    assert results.count(True) <= 5
    assert pair[0].counters()["data_overflow"] >= 15


async def test_a_handler_that_raises_does_not_end_the_association(pair: Pair) -> None:
    near, far = await opened(pair)
    got: list[str | bytes] = []

    def handle(_: str, data: str | bytes) -> None:
        got.append(data)
        raise RuntimeError("a fault in a handler")

    far.on_message = handle
    near.send("chat", "one")
    near.send("chat", "two")
    await until(lambda: len(got) == 2)
    assert pair[1].counters()["handler_errors"] == 2


async def test_too_many_channels_end_the_association_and_leave_the_media(pair: Pair) -> None:
    near, _ = await opened(pair)
    for number in range(module.MAX_CHANNELS + 4):
        near._association.transport  # noqa: B018
        module.RTCDataChannel(near._association, module.RTCDataChannelParameters(label=f"c{number}"))
    await until(lambda: faults(pair[1]) > 0)
    assert await still_talks(*pair)


async def test_fragments_without_an_end_are_bounded(pair: Pair) -> None:
    near, far = await opened(pair)
    association = near._association
    # DATA (00), no flags: a middle fragment; TSN, stream 0, sequence 1, protocol 51 (text), one octet
    for _ in range(module.MAX_HELD_CHUNKS + 50):
        chunk = module_data_chunk(association._local_tsn)
        association._local_tsn = (association._local_tsn + 1) % 2**32
        await association._send_chunk(chunk)
        await asyncio.sleep(0)
        if faults(pair[1]):
            break
    await until(lambda: faults(pair[1]) == 1)
    held = sum(len(each.reassembly) for each in far._association._inbound_streams.values())
    assert held <= module.MAX_HELD_CHUNKS + 1
    assert await still_talks(*pair)


def module_data_chunk(tsn: int) -> module.Chunk:
    from aiortc.rtcsctptransport import DataChunk

    chunk = DataChunk()
    chunk.flags, chunk.tsn, chunk.stream_id, chunk.stream_seq, chunk.protocol = 0, tsn, 0, 1, 51
    chunk.user_data = b"x"
    return chunk


async def test_random_sctp_ends_the_association_at_worst(pair: Pair) -> None:
    await opened(pair)
    chance = random.Random(SEED)
    tag = pair[1].open_channels()._association._local_verification_tag
    for _ in range(300):
        kind = chance.choice([0, 1, 2, 3, 4, 7, 10, 11, 64, 130, 192, chance.randrange(256)])
        body = chance.randbytes(chance.randrange(40))
        chunk = struct.pack("!BBH", kind, chance.randrange(8), len(body) + 4) + body + bytes(-len(body) % 4)
        packet = struct.pack("!HHII", 5000, 5000, tag, 0) + chunk
        packet = packet[:8] + struct.pack("<I", crc32c(packet)) + packet[12:]
        await pair[0]._dtls._send_data(packet if chance.random() < 0.8 else chance.randbytes(50))
        await asyncio.sleep(0)
    await asyncio.sleep(0.05)
    assert await still_talks(*pair), f"seed {SEED}"


def crc32c(data: bytes) -> int:
    """CRC-32C (RFC 9260 appendix A), bit by bit."""
    crc = 0xFFFFFFFF
    for octet in data:
        crc ^= octet
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


async def test_channels_of_an_ended_transport_are_refused() -> None:
    transport = IceTransport(True, ["127.0.0.1"])
    transport.close()
    await transport.closed()
    with pytest.raises(ValueError, match="closed"):
        transport.open_channels()
