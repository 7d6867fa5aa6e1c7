"""Bad input on the ports of a running adapter: it is counted, and a call in progress goes on."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from h323_hostile import mutants, throw
from h323_peer import Peer
from sip_fake_house import FakeDesk
from test_h323_adapter import connected, settled

from h323.adapter import MAX_CALLS_OF_CONNECTION, H323Adapter, H323Config
from h323.q931 import Type

pytestmark = pytest.mark.usefixtures("quiet")
EACH = 1_500
"""Messages on each port; the interop tests throw many more."""


@pytest.fixture
def desk() -> FakeDesk:
    return FakeDesk()


@pytest.fixture
async def adapter(reactor: Any, desk: FakeDesk) -> AsyncIterator[H323Adapter]:
    made = H323Adapter(H323Config(address="127.0.0.1", signalling=0), desk, reactor)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def peer(adapter: H323Adapter) -> AsyncIterator[Peer]:
    made = await Peer.connect(adapter.ports["signalling"])
    yield made
    await made.close()


@pytest.mark.parametrize("separate", [False, True], ids=["signalling", "H.245"])
async def test_mutated_messages_do_no_harm(adapter: H323Adapter, desk: FakeDesk, peer: Peer, separate: bool) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    call = await connected(peer, desk)
    for part in range(3):
        await throw(adapter.ports["signalling"], mutants(chance, EACH // 3), separate)
        assert adapter.counters().get("internal_errors", 0) == 0, f"seed {seed}, part {part}"
    assert call.reason is None
    peer.say(("request", ("roundTripDelayRequest", {"sequenceNumber": 77})))
    assert (await peer.told("roundTripDelayResponse"))["sequenceNumber"] == 77
    if not separate:
        assert adapter.counters()["malformed_messages"] > EACH / 10
    await peer.close()
    await settled(adapter, 15)
    assert not adapter._calls


async def test_connections_that_say_nothing_are_closed(
    adapter: H323Adapter, desk: FakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("h323.transport.IDLE_TIME", 0.2)
    silent = [await Peer.connect(adapter.ports["signalling"]) for _ in range(5)]
    talking = await Peer.connect(adapter.ports["signalling"])
    call = await connected(talking, desk)
    for one in silent:
        await one.end()
        await one.close()
    assert call.reason is None
    assert not talking.ended
    await talking.close()


async def test_too_many_connections_of_an_address_are_refused(
    adapter: H323Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("h323.transport.MAX_PER_ADDRESS", 4)
    kept = [await Peer.connect(adapter.ports["signalling"]) for _ in range(4)]
    await asyncio.sleep(0.1)
    refused = await Peer.connect(adapter.ports["signalling"])
    await refused.end()
    assert adapter.counters()["connections_refused"] == 1
    for one in (*kept, refused):
        await one.close()
    async with asyncio.timeout(5):
        while adapter.counters()["connections"]:
            await asyncio.sleep(0.02)


async def test_calls_of_one_connection_are_bounded(
    adapter: H323Adapter, desk: FakeDesk, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MAX_CALLS_OF_CONNECTION < 1_000
    monkeypatch.setattr("h323.adapter.MAX_CALLS_OF_CONNECTION", 3)
    for reference in range(1, 5):
        peer.reference = reference
        peer.setup()
    released = await peer.expect(Type.RELEASE_COMPLETE)
    assert (released.reference, released.cause) == (4, 42)
    await desk.call(3)


@pytest.mark.parametrize(
    "octets",
    [b"GET / HTTP/1.1\r\n\r\n", b"\x03\x00\x00\x00", b"\x03\x00\x00\x03", b"\x16\x03\x01\x02\x00\x01", b"\x00" * 4000],
)
async def test_what_is_no_tpkt_closes_the_connection(adapter: H323Adapter, peer: Peer, octets: bytes) -> None:
    peer.stream.writer.write(octets)
    await peer.end()
    assert adapter.counters()["malformed_frames"] == 1


async def test_stray_messages_are_answered_and_half_a_message_is_waited_for(
    adapter: H323Adapter, desk: FakeDesk, peer: Peer
) -> None:
    peer.stream.send(b"")  # keeps the connection alive
    peer.send(Type.FACILITY, None)
    stray = await peer.expect(Type.RELEASE_COMPLETE)
    assert (stray.reference, stray.from_callee) == (21, True)
    assert adapter.counters()["stray_messages"] == 1
    peer.stream.writer.write(b"\x03\x00\x04")
    await asyncio.sleep(0.05)
    assert not peer.ended


async def test_a_peer_that_does_not_read_is_given_up(
    adapter: H323Adapter, desk: FakeDesk, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = await connected(peer, desk)
    monkeypatch.setattr("h323.transport.MAX_UNSENT", 10_000)
    peer._tasks[0].cancel()
    await asyncio.sleep(0)
    peer.stream.writer.transport.pause_reading()
    (leg,) = adapter._legs.values()
    assert leg.connection is not None
    async with asyncio.timeout(10):
        while call.reason is None:
            for _ in range(50):
                if leg.connection is not None:
                    leg.connection.send(bytes(60_000))
            await asyncio.sleep(0.01)
    assert adapter.counters()["unread"] >= 1
