"""H.323 calls by TLS, and calls that the adapter places."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import h323_peer
import pytest
from h323_house import FACTS, Start, codec, connected, heard, settled
from h323_peer import Peer
from sip_fake_house import FakeDesk

from gateway.reasons import Reason, Refused
from h323.adapter import H323Adapter
from h323.q931 import Type
from transcode.media import Codec, Wanted

# TLS


async def test_a_call_by_tls_is_secure(start: Start, desk: FakeDesk, certificate: tuple[Path, Path]) -> None:
    adapter = await start(tls=0, certificate=certificate[0], key=certificate[1])
    peer = await Peer.connect(adapter.ports["tls"], tls=True)
    call = await connected(peer, desk)
    assert call.facts.secure
    await peer.close()
    await call.heard("ended")


async def test_a_call_goes_out_by_tls(start: Start, desk: FakeDesk, certificate: tuple[Path, Path]) -> None:
    adapter = await start(tls=0, certificate=certificate[0], key=certificate[1])
    caller = asyncio.ensure_future(
        adapter.dial(f"h323:100@127.0.0.1:{adapter.ports['tls']};transport=tls", FACTS, Wanted())
    )
    called = await desk.call(2)
    await called.heard("connected")
    call: Any = await asyncio.wait_for(caller, 5)
    assert call.facts.secure
    assert called.facts.secure
    streams = await heard(call, lambda streams: codec(streams[1], "receive") is codec(streams[1], "send") is Codec.H264)
    assert codec(streams[0], "receive") is Codec.OPUS
    await called.line.hang_up(Reason.HUNG_UP_BY_HOST)
    await call.heard("ended")


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "slow"])
@pytest.mark.parametrize("tunnelling", [True, False], ids=["tunnelled", "separate"])
async def test_two_adapters_call_each_other(start: Start, desk: FakeDesk, fast: bool, tunnelling: bool) -> None:
    caller = await start(fast_start=fast, tunnelling=tunnelling)
    callee = await start()
    dialling = asyncio.ensure_future(caller.dial(f"h323:100@127.0.0.1:{callee.ports['signalling']}", FACTS))
    call: Any = await asyncio.wait_for(dialling, 5)
    other = await desk.call(2)
    for one in (call, other):
        streams = await heard(one, lambda streams: all(codec(s, "receive") and codec(s, "send") for s in streams))
        assert {codec(streams[0], "receive"), codec(streams[0], "send")} == {Codec.OPUS}
        assert codec(streams[1], "receive") is Codec.H264
    await call.line.press("4", 100)
    await other.heard("dtmf")
    await call.line.hang_up(Reason.NORMAL)
    await other.heard("ended")
    await settled(caller)
    await settled(callee)


# placing calls


async def _placed(adapter: H323Adapter, target: str) -> Any:
    return asyncio.ensure_future(adapter.dial(target, FACTS, Wanted(), "Everyone"))


async def test_a_call_is_placed_rung_and_answered(adapter: H323Adapter, desk: FakeDesk) -> None:
    async with h323_peer.listening() as (port, called):
        placed = await _placed(adapter, f"h323:4711@127.0.0.1:{port}")
        peer = await asyncio.wait_for(called.get(), 5)
        setup = await peer.expect(Type.SETUP)
        assert setup.body is not None
        assert setup.body["destinationAddress"] == [("dialledDigits", "4711")]
        assert (setup.number, setup.display) == ("4711", "Everyone")
        assert setup.bandwidth == 64_000 * 31  # 1.92 Mbit/s of picture and the sound
        guid = setup.body["callIdentifier"]["guid"]
        body = {
            "protocolIdentifier": h323_peer.OID,
            "destinationInfo": h323_peer.ENDPOINT,
            "callIdentifier": {"guid": guid},
        }
        peer.send(Type.ALERTING, body)
        call = await desk.call()
        await call.heard("ringing")
        peer.send(Type.CONNECT, {**body, "conferenceID": setup.body["conferenceID"]}, display="Bob")
        await call.heard("connected")
        await asyncio.wait_for(placed, 5)
        await peer.exchange()
        await peer.channel(6004)
        await heard(call, lambda streams: codec(streams[0], "receive") is Codec.PCMU)
        peer.send(Type.RELEASE_COMPLETE, cause=16)
        await call.heard("ended")
        assert call.reason is Reason.NORMAL


@pytest.mark.parametrize(
    ("word", "cause", "reason"),
    [
        ("inConf", 17, Reason.BUSY),
        (None, 17, Reason.BUSY),
        (None, 21, Reason.DECLINED),
        ("destinationRejection", 21, Reason.DECLINED),
    ],
)
async def test_why_a_called_one_does_not_answer(
    adapter: H323Adapter, desk: FakeDesk, word: str | None, cause: int, reason: Reason
) -> None:
    async with h323_peer.listening() as (port, called):
        placed = await _placed(adapter, f"h323:127.0.0.1:{port}")
        peer = await asyncio.wait_for(called.get(), 5)
        setup = await peer.expect(Type.SETUP)
        assert setup.body is not None
        assert "destinationAddress" not in setup.body
        body = None
        if word is not None:
            guid = setup.body["callIdentifier"]["guid"]
            body = {"protocolIdentifier": h323_peer.OID, "reason": (word, None), "callIdentifier": {"guid": guid}}
        peer.send(Type.RELEASE_COMPLETE, body, cause=cause)
        with pytest.raises(Refused) as refused:
            await placed
        assert refused.value.reason is reason
        await (await desk.call()).heard("ended")


async def test_a_call_to_nobody_is_unreachable(adapter: H323Adapter, desk: FakeDesk) -> None:
    async with h323_peer.listening() as (port, _):
        pass
    with pytest.raises(Refused) as refused:
        await adapter.dial(f"h323:127.0.0.1:{port}", FACTS)
    assert refused.value.reason is Reason.UNREACHABLE


async def test_a_placed_call_that_is_given_up_is_released(adapter: H323Adapter, desk: FakeDesk) -> None:
    async with h323_peer.listening() as (port, called):
        placed = await _placed(adapter, f"h323:127.0.0.1:{port}")
        peer = await asyncio.wait_for(called.get(), 5)
        await peer.expect(Type.SETUP)
        placed.cancel()
        await peer.expect(Type.RELEASE_COMPLETE)
        call = await desk.call()
        await call.heard("ended")
        assert call.reason is Reason.CANCELLED
        await settled(adapter)


async def test_a_number_follows_where_the_called_side_takes_its_digits_afterwards(start: Start, desk: FakeDesk) -> None:
    caller, callee = await start(), await start()
    target = f"h323:100@127.0.0.1:{callee.ports['signalling']};overlap=yes"
    call: Any = await asyncio.wait_for(caller.dial(target, FACTS), 30)
    other = await desk.call(2)
    assert other.facts.called == "100"
    counted = callee.counters()
    assert (counted["sent.SETUP_ACKNOWLEDGE"], counted["received.INFORMATION"]) == (1, 1)
    await heard(call, lambda streams: codec(streams[0], "receive") is Codec.OPUS)
    await call.line.hang_up(Reason.NORMAL)
    await other.heard("ended")
