"""Two transports against each other on loopback: ICE, DTLS-SRTP, and what strangers send."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from transcode.ice.transport import IceState, IceTransport
from transcode.media import Setup
from transcode.rtp.packet import pack

MakeTransport = Callable[..., IceTransport]

RTCP = bytes.fromhex("80c90001 12345678")  # an empty receiver report of SSRC 0x12345678


@pytest.fixture
async def make() -> AsyncIterator[MakeTransport]:
    made: list[IceTransport] = []

    def build(controlling: bool, address: str = "127.0.0.1", **more: Any) -> IceTransport:
        made.append(IceTransport(controlling, [address], **more))
        return made[-1]

    yield build
    for each in made:
        each.close()
    for each in made:
        await each.closed()


async def connect(one: IceTransport, other: IceTransport) -> None:
    """Exchange parameters as an offer and an answer would, and wait for both."""
    ice_one, ice_other = await one.gather(), await other.gather()
    await other.start(ice_one, one.dtls(Setup.ACTPASS), Setup.ACTIVE)
    await one.start(ice_other, other.dtls(Setup.ACTIVE), Setup.PASSIVE)
    async with asyncio.timeout(10):
        await asyncio.gather(one.wait(), other.wait())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_packets_pass_both_ways(make: MakeTransport, address: str) -> None:
    one, other = make(True, address), make(False, address)
    got: list[tuple[str, bytes]] = []
    one.on_rtp = lambda data, _: got.append(("one rtp", data))
    one.on_rtcp = lambda data, _: got.append(("one rtcp", data))
    other.on_rtp = lambda data, _: got.append(("other rtp", data))
    other.on_rtcp = lambda data, _: got.append(("other rtcp", data))
    await connect(one, other)
    assert (one.state, other.state) == (IceState.CONNECTED, IceState.CONNECTED)
    assert one.encrypted == other.encrypted != ""
    packet = pack(111, 1, 960, 0x1234, b"opus")
    one.send_rtp(packet)
    one.send_rtcp(RTCP)
    other.send_rtp(packet)
    other.send_rtcp(RTCP)
    await until(lambda: len(got) == 4)
    assert sorted(got) == [("one rtcp", RTCP), ("one rtp", packet), ("other rtcp", RTCP), ("other rtp", packet)]
