"""What the tests of the adapter ask of the house and of the little endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from h323_peer import G711, H261, KEYS, Peer, open_channel
from sip_fake_house import FakeCall, FakeDesk

from gateway.calls import CallFacts, CallProtocol, Direction
from h323.adapter import H323Adapter
from h323.q931 import Type
from transcode.media import Codec, StreamDescription

Start = Callable[..., Any]
ULAW_SOUND = ("audioData", ("g711Ulaw64k", 20))
ALAW_SOUND = ("audioData", ("g711Alaw64k", 20))
H261_DATA = ("videoData", H261[1])
FACTS = CallFacts(CallProtocol.H323, Direction.OUTGOING, "", "", "Bob", "100")


async def settled(adapter: H323Adapter, within: float = 5.0) -> None:
    """Wait until no call is left."""
    async with asyncio.timeout(within):
        while adapter.counters()["calls"]:
            await asyncio.sleep(0.01)


async def heard(call: FakeCall, fits: Callable[[tuple[StreamDescription, ...]], bool], within: float = 5.0) -> Any:
    """Wait until the house was told of a peer that fits; return its streams."""
    async with asyncio.timeout(within):
        while call.remote is None or not fits(call.remote.streams):
            await call.heard("accept", call.said.count("accept") + 1, within)
    return call.remote.streams


def codec(stream: StreamDescription, direction: str) -> Codec | None:
    formats = [one for one in getattr(stream, direction) if one.codec is not Codec.TELEPHONE_EVENT]
    return formats[0].codec if formats else None


def closed_ack(closed: Any) -> dict[str, Any]:
    return {"forwardLogicalChannelNumber": closed["forwardLogicalChannelNumber"]}


async def connected(peer: Peer, desk: FakeDesk, *entries: Any) -> FakeCall:
    """Call room 100 by a slow start, and open sound both ways."""
    peer.setup()
    await peer.expect(Type.CONNECT)
    await peer.exchange(*(entries or (G711, KEYS)))
    peer.say(open_channel(7, ULAW_SOUND, 1, 5005))
    await peer.told("openLogicalChannelAck")
    await peer.channel()
    call = await desk.call()
    await heard(call, lambda streams: codec(streams[0], "receive") is Codec.PCMU)
    return call
