"""What becomes of a call whose H.245 goes wrong, and what H.245 asks of the house beside channels."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import h323_peer
import pytest
from h323_house import FACTS, ULAW_SOUND, Start, codec, connected, heard, settled
from h323_peer import G711, KEYS, Peer, capabilities, open_channel
from sip_fake_house import FakeDesk

from gateway.reasons import Reason, Refused
from h323.adapter import H323Adapter, H323Config
from h323.q931 import Type
from transcode.media import Codec

WITHIN = 30.0


async def test_a_peer_that_does_not_take_our_set_is_released(adapter: H323Adapter, desk: FakeDesk, peer: Peer) -> None:
    peer.setup()
    await peer.expect(Type.CONNECT)
    ours = await peer.told("terminalCapabilitySet")
    cause = ("descriptorCapacityExceeded", None)
    peer.say(("response", ("terminalCapabilitySetReject", {"sequenceNumber": ours["sequenceNumber"], "cause": cause})))
    call = await desk.call()
    await call.heard("ended")
    assert call.reason is Reason.BAD_REQUEST
    assert adapter.counters()["control_failed"] == 1
    await settled(adapter)


@pytest.mark.parametrize("flowing", [False, True], ids=["before media", "with media"])
async def test_a_lost_h245_connection_ends_only_a_call_without_media(
    adapter: H323Adapter, desk: FakeDesk, flowing: bool
) -> None:
    peer = await Peer.connect(adapter.ports["signalling"], tunnelling=False)
    try:
        peer.setup()
        connect = await peer.expect(Type.CONNECT)
        assert connect.body is not None
        await peer.connect_control(connect.body["h245Address"])
        assert peer.separate is not None
        call = await desk.call()
        if flowing:
            await peer.exchange()
            peer.say(open_channel(7, ULAW_SOUND, 1, 5005))
            await peer.told("openLogicalChannelAck")
            await peer.channel()
            await heard(call, lambda streams: codec(streams[0], "receive") is Codec.PCMU)
        await peer.separate.close()
        async with asyncio.timeout(WITHIN):
            while not adapter.counters().get("control_failed"):
                await asyncio.sleep(0.02)
        if flowing:
            peer.send(Type.STATUS_INQUIRY, {"protocolIdentifier": h323_peer.OID, "callIdentifier": {"guid": bytes(16)}})
            assert (await peer.expect(Type.STATUS)).call_state == 10
            assert call.reason is None
        else:
            await call.heard("ended")
            assert call.reason is Reason.TRANSPORT_FAILED
    finally:
        await peer.close()


async def test_a_peer_that_halts_a_channel_lets_it_go_by_flow_control(
    adapter: H323Adapter, desk: FakeDesk, peer: Peer
) -> None:
    peer.setup()
    await peer.expect(Type.CONNECT)
    await peer.exchange(G711, KEYS)
    request = await peer.told("openLogicalChannel")
    number = request["forwardLogicalChannelNumber"]
    kind, (name, value) = h323_peer.taken(number, 1, 6004)
    value["forwardMultiplexAckParameters"][1]["flowControlToZero"] = True
    peer.say((kind, (name, value)))
    call = await desk.call()
    await heard(call, lambda streams: streams[0].transport.port == 6004)
    assert call.remote is not None
    assert call.remote.streams[0].receive == ()
    lifted = {"scope": ("logicalChannelNumber", number), "restriction": ("noRestriction", None)}
    peer.say(("command", ("flowControlCommand", lifted)))
    await heard(call, lambda streams: codec(streams[0], "receive") is Codec.PCMU)


async def test_an_mcu_that_numbers_us_is_told_our_label_with_the_token(
    adapter: H323Adapter, desk: FakeDesk, peer: Peer
) -> None:
    await connected(peer, desk)
    label = {"mcuNumber": 2, "terminalNumber": 5}
    peer.say(
        ("indication", ("conferenceIndication", ("terminalNumberAssign", label))),
        ("request", ("roundTripDelayRequest", {"sequenceNumber": 1})),
    )
    await peer.told("roundTripDelayResponse")
    (leg,) = adapter._legs.values()
    assert leg.line.core.control.presentation.label == 0x0205


async def test_who_is_no_chair_cannot_end_a_conference(adapter: H323Adapter, desk: FakeDesk, peer: Peer) -> None:
    call = await connected(peer, desk)
    peer.say(("command", ("conferenceCommand", ("dropConference", None))))
    refused = await peer.told("functionNotUnderstood")
    assert refused[0] == "command"
    assert call.reason is None


class Meeting:
    """A house that knows one room, in which a call's peer is a host and Bob a guest."""

    def __init__(self) -> None:
        self.lit: list[str | None] = []

    def room(self, id: str) -> Any:
        people = [
            SimpleNamespace(id="ann", name="Ann", call="call-1", rank=SimpleNamespace(value="host")),
            SimpleNamespace(id="bob", name="Bob", call="call-2", rank=SimpleNamespace(value="guest")),
        ]
        settings = SimpleNamespace(apart=False)
        return SimpleNamespace(settings=settings, participants=people, speaker=None, shown=None, spotlight=None)

    async def remove(self, room: Any, id: Any) -> None:
        raise Refused(Reason.NO_SUCH_USER)

    async def spotlight(self, room: Any, id: Any, by: str) -> None:
        self.lit.append(id)

    async def subscribe(self) -> AsyncIterator[Any]:
        while True:
            yield SimpleNamespace(room="100")
            await asyncio.sleep(0.05)


async def test_a_chair_chooses_whom_all_see(reactor: Any, desk: FakeDesk) -> None:
    meeting = Meeting()
    adapter = H323Adapter(H323Config(address="127.0.0.1", signalling=0), desk, reactor, watch=meeting)
    await adapter.start()
    peer = await Peer.connect(adapter.ports["signalling"])
    try:
        await connected(peer, desk)
        while (await peer.told("conferenceIndication", WITHIN))[0] != "terminalNumberAssign":
            pass
        bob = {"mcuNumber": 0, "terminalNumber": 2}

        async def asks(request: str, value: Any) -> Any:
            peer.say(("request", ("conferenceRequest", (request, value))))
            return (await peer.told("conferenceResponse", WITHIN))[1][0]

        assert await asks("makeTerminalBroadcaster", bob) == "deniedMakeTerminalBroadcaster"
        assert await asks("broadcastMyLogicalChannel", 7) == "grantedBroadcastMyLogicalChannel"
        assert await asks("makeMeChair", None) == "grantedChairToken"
        assert await asks("makeTerminalBroadcaster", bob) == "grantedMakeTerminalBroadcaster"
        assert await asks("makeTerminalBroadcaster", {**bob, "terminalNumber": 9}) == "deniedMakeTerminalBroadcaster"
        peer.say(("command", ("conferenceCommand", ("cancelMakeTerminalBroadcaster", None))))
        assert await asks("sendThisSource", bob) == "deniedSendThisSource"
        async with asyncio.timeout(WITHIN):
            while len(meeting.lit) < 3:
                await asyncio.sleep(0.01)
        assert meeting.lit == ["ann", "bob", None]
    finally:
        await peer.close()
        await adapter.stop()
    assert adapter.counters().get("internal_errors", 0) == 0


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "slow"])
async def test_a_call_may_carry_its_first_h245_messages_in_setup(start: Start, desk: FakeDesk, fast: bool) -> None:
    caller: Any = await start(fast_start=fast, early_h245=True)
    async with h323_peer.listening() as (port, called):
        placed = asyncio.ensure_future(caller.dial(f"h323:100@127.0.0.1:{port}", FACTS))
        peer = await asyncio.wait_for(called.get(), WITHIN)
        setup = await peer.expect(Type.SETUP)
        assert setup.parallel is fast
        assert [h323_peer.CODEC.decode(one)[1][0] for one in setup.control] == [
            "terminalCapabilitySet",
            "masterSlaveDetermination",
        ]
        assert setup.body is not None
        body = {
            "protocolIdentifier": h323_peer.OID,
            "destinationInfo": h323_peer.ENDPOINT,
            "callIdentifier": setup.body["callIdentifier"],
            "conferenceID": setup.body["conferenceID"],
        }
        peer.send(Type.CONNECT, body, capabilities(G711))
        call: Any = await asyncio.wait_for(placed, WITHIN)
        assert (await peer.told("terminalCapabilitySetAck"))["sequenceNumber"] == 1
        await call.line.hang_up(Reason.NORMAL)
    await settled(caller)


async def test_two_of_us_start_with_early_h245(start: Start, desk: FakeDesk) -> None:
    caller, callee = await start(early_h245=True), await start()
    call: Any = await asyncio.wait_for(caller.dial(f"h323:100@127.0.0.1:{callee.ports['signalling']}", FACTS), WITHIN)
    other = await desk.call(2)
    for one in (call, other):
        streams = await heard(one, lambda streams: all(codec(s, "receive") and codec(s, "send") for s in streams))
        assert (codec(streams[0], "receive"), codec(streams[0], "send")) == (Codec.OPUS, Codec.OPUS)
    await call.line.hang_up(Reason.NORMAL)
    await other.heard("ended")
