"""H.323 calls between real sockets and a house that notes everything: every start, media, and how calls end."""

from __future__ import annotations

import asyncio
from typing import Any

import h323_peer
import pytest
from h323_house import ALAW_SOUND, H261_DATA, ULAW_SOUND, Start, closed_ack, codec, connected, heard, settled
from h323_peer import ALAW, CALL, G711, H261, KEYS, Peer, capabilities, open_channel, reverse
from sip_fake_house import FakeCall, FakeDesk

from gateway.calls import CallProtocol, Direction
from gateway.reasons import Reason, Refused
from h323.adapter import H323Adapter
from h323.q931 import Type
from h323.signalling import states
from transcode.media import Codec, Kind, Wanted

# starts


async def test_a_slow_start_tunnels_capabilities_and_opens_sound_both_ways(
    adapter: H323Adapter, desk: FakeDesk, peer: Peer
) -> None:
    peer.setup(display="Ann\0")
    await peer.expect(Type.CALL_PROCEEDING)
    connect = await peer.expect(Type.CONNECT)
    assert connect.body is not None
    assert connect.body["conferenceID"] == bytes(range(16))
    assert connect.display == "Roombridge"
    await peer.exchange()
    peer.say(open_channel(7, ULAW_SOUND, 1, 5005))
    ack = await peer.told("openLogicalChannelAck")
    _, parameters = ack["forwardMultiplexAckParameters"]
    assert parameters["mediaChannel"] == h323_peer.address(40_000)
    assert parameters["mediaControlChannel"] == h323_peer.address(40_001)
    opened = await peer.channel(6004)
    assert opened["forwardLogicalChannelParameters"]["dataType"] == ULAW_SOUND
    call = await desk.call()
    sound, picture = await heard(call, lambda streams: codec(streams[0], "receive") is not None)
    assert (codec(sound, "receive"), codec(sound, "send")) == (Codec.PCMU, Codec.PCMU)
    assert (sound.transport.address, sound.transport.port, sound.transport.rtcp_port) == ("127.0.0.1", 6004, 6005)
    assert sound.separate
    assert (picture.receive, picture.send) == ((), ())
    facts = call.facts
    assert (facts.called, facts.name, facts.agent) == ("100", "Ann", "Room 3000 1.2")
    assert (facts.protocol, facts.direction, facts.secure) == (CallProtocol.H323, Direction.INCOMING, False)
    assert facts.peer_call_id == CALL.hex()
    peer.send(Type.RELEASE_COMPLETE, cause=16)
    await call.heard("ended")
    assert call.reason is Reason.NORMAL
    await settled(adapter)


@pytest.mark.parametrize("dynamic", [True, False], ids=["connects to us", "listens itself"])
async def test_a_peer_that_does_not_tunnel_speaks_h245_on_a_connection_of_its_own(
    adapter: H323Adapter, desk: FakeDesk, dynamic: bool
) -> None:
    peer = await Peer.connect(adapter.ports["signalling"], tunnelling=False)
    listener: Any = None
    try:
        if dynamic:
            peer.setup()
            connect = await peer.expect(Type.CONNECT)
            assert connect.body is not None
            await peer.connect_control(connect.body["h245Address"])
        else:
            came: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            listener = await asyncio.start_server(lambda *ends: came.set_result(ends), "127.0.0.1", 0)
            port = listener.sockets[0].getsockname()[1]
            where = ("ipAddress", {"ip": bytes((127, 0, 0, 1)), "port": port})
            peer.setup(body={"h245Address": where})
            await peer.expect(Type.CONNECT)
            peer.separate = h323_peer.Stream(*await asyncio.wait_for(came, 5))
            peer._tasks.append(asyncio.ensure_future(peer._read_separate(peer.separate)))
        await peer.exchange()
        peer.say(open_channel(7, ULAW_SOUND, 1, 5005))
        await peer.told("openLogicalChannelAck")
        await peer.channel()
        call = await desk.call()
        await heard(call, lambda streams: codec(streams[0], "receive") is Codec.PCMU)
        assert not any(signal.control for signal in peer.signals)
    finally:
        if listener is not None:
            listener.close()
        await peer.close()
    await call.heard("ended")
    assert call.reason is Reason.TRANSPORT_FAILED


async def test_a_fast_start_needs_no_h245(adapter: H323Adapter, desk: FakeDesk, peer: Peer) -> None:
    proposals = [
        h323_peer.channel(
            1, ("audioData", ("g7231", {"maxAl-sduAudioFrames": 1, "silenceSuppression": False})), 1, 5005
        ),
        h323_peer.channel(2, ALAW_SOUND, 1, 5005),
        reverse(ULAW_SOUND, 1, 5004),
        reverse(ALAW_SOUND, 1, 5004),
    ]
    peer.setup(fast=proposals)
    connect = await peer.expect(Type.CONNECT)
    assert connect.body is not None
    chosen = [h323_peer.CODEC.decode_channel(one) for one in connect.body["fastStart"]]
    assert ["reverseLogicalChannelParameters" in one for one in chosen] == [False, True]
    call = await desk.call()
    (sound, _) = await heard(call, lambda streams: codec(streams[0], "send") is not None)
    assert codec(sound, "receive") is Codec.PCMU
    assert sound.transport.port == 5004
    peer.send(Type.INFORMATION, {"protocolIdentifier": h323_peer.OID, "callIdentifier": {"guid": CALL}}, keypad="5#")
    await call.heard("dtmf", 2)
    assert [key for key, _ in call.keys] == ["5", "#"]
    await call.line.press("7", 200)
    pressed = await peer.expect(Type.INFORMATION)
    assert pressed.keypad == "7"


async def test_a_peer_that_opens_before_the_master_is_known_and_says_its_set_twice(
    adapter: H323Adapter, desk: FakeDesk, peer: Peer
) -> None:
    peer.setup(control=[capabilities(G711)])
    await peer.expect(Type.CONNECT)
    peer.say(capabilities(G711, sequence=2), open_channel(7, ULAW_SOUND, 1, 5005))
    await peer.told("openLogicalChannelAck")
    peer.say(open_channel(7, ULAW_SOUND, 1, 5007))  # a request that is repeated stands for a new channel
    await peer.told("openLogicalChannelAck")
    await peer.exchange(G711)
    opened = await peer.channel()
    assert opened["forwardLogicalChannelParameters"]["dataType"] == ULAW_SOUND
    call = await desk.call()
    sound, _ = await heard(call, lambda streams: codec(streams[0], "receive") is not None)
    assert codec(sound, "send") is Codec.PCMU


async def test_what_the_house_does_not_speak_is_refused_and_the_call_goes_on(
    adapter: H323Adapter, desk: FakeDesk, peer: Peer
) -> None:
    call = await connected(peer, desk)
    peer.say(open_channel(8, ("audioData", ("g728", 2)), 1, 5005))
    refused = await peer.told("openLogicalChannelReject")
    assert refused["cause"] == ("dataTypeNotSupported", None)
    peer.say(open_channel(9, H261_DATA, 77, 5007))
    assert (await peer.told("openLogicalChannelReject"))["cause"] == ("invalidSessionID", None)
    peer.say(("request", ("conferenceRequest", ("terminalListRequest", None))))
    await peer.told("functionNotUnderstood")
    assert call.reason is None


# dialling


@pytest.mark.parametrize(
    ("dialled", "called", "pin"),
    [
        ("100", "100", None),
        ("100#4711", "100", "4711"),
        ("127.0.0.1##100#12", "100", "12"),
        ("100@house", "100", None),
        ("h323:100@house", "100", None),
    ],
)
async def test_what_was_dialled(
    adapter: H323Adapter, desk: FakeDesk, peer: Peer, dialled: str, called: str, pin: str | None
) -> None:
    peer.setup(dialled)
    await peer.expect(Type.CONNECT)
    assert (desk.facts[0].called, desk.facts[0].pin) == (called, pin)


async def test_a_called_number_alone_names_a_room(adapter: H323Adapter, desk: FakeDesk, peer: Peer) -> None:
    peer.setup(None, number="100", caller="4930123")
    await peer.expect(Type.CONNECT)
    assert desk.facts[0].called == "100"


async def test_a_number_may_come_digit_by_digit(adapter: H323Adapter, desk: FakeDesk, peer: Peer) -> None:
    peer.setup(None, overlap=True)
    await peer.expect(Type.SETUP_ACKNOWLEDGE)
    for digit in ("1", "0"):
        peer.send(Type.INFORMATION, None, number=digit)
    await asyncio.sleep(0.05)
    assert not desk.facts
    peer.send(Type.INFORMATION, None, keypad="0#")
    await peer.expect(Type.CONNECT)
    assert (await desk.call()).keys == []


async def test_a_number_is_whole_when_no_digit_follows(
    adapter: H323Adapter, desk: FakeDesk, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(states.TIMES, states.State.OVERLAP_RECEIVING, 0.2)
    peer.setup(None, overlap=True)
    peer.send(Type.INFORMATION, None, number="100")
    await peer.expect(Type.CONNECT)


async def test_nothing_dialled_is_refused(adapter: H323Adapter, desk: FakeDesk, peer: Peer) -> None:
    peer.setup(None, complete=True, overlap=True)
    released = await peer.expect(Type.RELEASE_COMPLETE)
    assert released.cause == Reason.NO_SUCH_ROOM.meaning.q850
    await peer.end()


@pytest.mark.parametrize("reason", [Reason.NO_SUCH_ROOM, Reason.ROOM_FULL, Reason.WRONG_PIN])
async def test_a_refusal_says_why(adapter: H323Adapter, desk: FakeDesk, peer: Peer, reason: Reason) -> None:
    desk.refuse = Refused(reason)
    peer.setup()
    released = await peer.expect(Type.RELEASE_COMPLETE)
    assert released.cause == reason.meaning.q850
    assert released.body is not None
    assert released.body["reason"][0] == reason.meaning.h225
    await peer.end()
    await settled(adapter)


async def test_a_caller_who_waits_is_rung_and_may_give_up(adapter: H323Adapter, desk: FakeDesk, peer: Peer) -> None:
    def wait(call: FakeCall) -> None:
        call.admission = asyncio.get_running_loop().create_future()

    desk.prepare = wait
    peer.setup()
    call = await desk.call()
    await call.line.ringing()
    await call.line.ringing()
    await peer.expect(Type.ALERTING)
    peer.send(Type.RELEASE_COMPLETE, cause=16)
    await call.heard("given up")
    await call.heard("ended")
    assert not any(signal.kind is Type.ALERTING for signal in peer.signals)


# media in mid call


async def test_an_empty_set_pauses_and_the_next_one_goes_on(adapter: H323Adapter, desk: FakeDesk, peer: Peer) -> None:
    call = await connected(peer, desk)
    peer.say(capabilities(sequence=9))
    await peer.told("terminalCapabilitySetAck")
    closed = await peer.told("closeLogicalChannel")
    peer.say(("response", ("closeLogicalChannelAck", closed_ack(closed))))
    sound, _ = await heard(call, lambda streams: codec(streams[0], "receive") is None)
    assert codec(sound, "send") is Codec.PCMU  # what it sends stays
    await asyncio.sleep(0.1)
    assert not any(name == "openLogicalChannel" for _, (name, _) in peer.control)
    peer.say(capabilities(ALAW, KEYS, sequence=10))
    opened = await peer.channel(6010)
    assert opened["forwardLogicalChannelParameters"]["dataType"] == ALAW_SOUND
    sound, _ = await heard(call, lambda streams: codec(streams[0], "receive") is Codec.PCMA)
    assert sound.transport.port == 6010


async def test_a_picture_that_the_house_ends_is_closed_both_ways_and_comes_back(
    adapter: H323Adapter, desk: FakeDesk, peer: Peer
) -> None:
    call = await connected(peer, desk, G711, H261, KEYS)
    ours = await peer.channel(7000)
    assert ours["forwardLogicalChannelParameters"]["dataType"][0] == "videoData"
    peer.say(open_channel(12, H261_DATA, 2, 5007))
    await peer.told("openLogicalChannelAck")
    await heard(call, lambda streams: codec(streams[1], "receive") is codec(streams[1], "send") is Codec.H261)
    await call.line.renegotiate(Wanted(video=False))
    closed = await peer.told("closeLogicalChannel")
    assert closed["forwardLogicalChannelNumber"] == ours["forwardLogicalChannelNumber"]
    asked = await peer.told("requestChannelClose")
    assert asked["forwardLogicalChannelNumber"] == 12
    fresh = await peer.told("terminalCapabilitySet")
    kinds = [one["capability"][0] for one in fresh["capabilityTable"]]
    assert "receiveVideoCapability" not in kinds
    peer.say(
        ("response", ("terminalCapabilitySetAck", {"sequenceNumber": fresh["sequenceNumber"]})),
        (
            "response",
            ("closeLogicalChannelAck", {"forwardLogicalChannelNumber": closed["forwardLogicalChannelNumber"]}),
        ),
        ("request", ("closeLogicalChannel", {"forwardLogicalChannelNumber": 12, "source": ("lcse", None)})),
    )
    assert call.remote is not None
    assert [stream.kind for stream in call.remote.streams] == [Kind.AUDIO]
    await call.line.renegotiate(Wanted())
    fresh = await peer.told("terminalCapabilitySet")
    peer.say(("response", ("terminalCapabilitySetAck", {"sequenceNumber": fresh["sequenceNumber"]})))
    again = await peer.channel(7002)
    assert again["forwardLogicalChannelParameters"]["dataType"][0] == "videoData"
    await heard(call, lambda streams: len(streams) == 2 and codec(streams[1], "receive") is Codec.H261)


async def test_modes_are_granted_where_they_can_be_sent(adapter: H323Adapter, desk: FakeDesk, peer: Peer) -> None:
    call = await connected(peer, desk, G711, ALAW, KEYS)

    def mode(number: int, *names: str) -> Any:
        modes = [[{"type": ("audioMode", (name, None))}] for name in names]
        return ("request", ("requestMode", {"sequenceNumber": number, "requestedModes": modes}))

    peer.say(mode(1, "g728", "g722-48k"))
    assert (await peer.told("requestModeReject"))["sequenceNumber"] == 1
    peer.say(mode(2, "g728", "g711Alaw64k"))
    granted = await peer.told("requestModeAck")
    assert granted["response"] == ("willTransmitLessPreferredMode", None)
    closed = await peer.told("closeLogicalChannel")
    peer.say(("response", ("closeLogicalChannelAck", closed_ack(closed))))
    opened = await peer.channel()
    assert opened["forwardLogicalChannelParameters"]["dataType"] == ALAW_SOUND
    await heard(call, lambda streams: codec(streams[0], "receive") is Codec.PCMA)


async def test_the_rate_is_the_least_of_call_entry_and_flow_control(
    adapter: H323Adapter, desk: FakeDesk, peer: Peer
) -> None:
    peer.setup(bandwidth=256_000)
    await peer.expect(Type.CONNECT)
    await peer.exchange(G711, H261)
    for port in (6004, 6006):
        request = await peer.channel(port)
    number = request["forwardLogicalChannelNumber"]
    call = await desk.call()
    streams = await heard(call, lambda streams: codec(streams[1], "receive") is not None)
    assert streams[1].bandwidth == 256_000 - 64_000

    def limit(units: int | None) -> Any:
        restriction = ("noRestriction", None) if units is None else ("maximumBitRate", units)
        return (
            "command",
            ("flowControlCommand", {"scope": ("logicalChannelNumber", number), "restriction": restriction}),
        )

    peer.say(limit(1000))
    await heard(call, lambda streams: streams[1].bandwidth == 100_000)
    peer.say(limit(0))
    await heard(call, lambda streams: not streams[1].receive)
    peer.say(limit(None))
    await heard(call, lambda streams: streams[1].bandwidth == 192_000 and bool(streams[1].receive))


async def test_what_a_gatekeeper_leaves_bounds_pictures_both_ways(
    adapter: H323Adapter, desk: FakeDesk, peer: Peer
) -> None:
    call = await connected(peer, desk, G711, H261)
    await peer.channel(7000)
    peer.say(open_channel(12, H261_DATA, 2, 5007))
    await peer.told("openLogicalChannelAck")
    await heard(call, lambda streams: codec(streams[1], "send") is Codec.H261)
    (line,) = adapter._legs
    for bandwidth, picture in ((328_000, 100_000), (500_000, 186_000), (128_000, 0)):
        line.limit(bandwidth)
        limited = await peer.told("flowControlCommand")
        assert limited == {"scope": ("logicalChannelNumber", 12), "restriction": ("maximumBitRate", picture // 100)}
        await heard(call, lambda streams, most=picture: (streams[1].bandwidth if streams[1].receive else 0) == most)
    await heard(call, lambda streams: not streams[1].receive)
    # What the peer opens later is bounded as well.
    peer.say(("request", ("closeLogicalChannel", {"forwardLogicalChannelNumber": 12, "source": ("lcse", None)})))
    await peer.told("closeLogicalChannelAck")
    peer.say(open_channel(13, H261_DATA, 2, 5007))
    limited = await peer.told("flowControlCommand")
    assert limited["scope"] == ("logicalChannelNumber", 13)


async def test_key_frames_are_asked_for_both_ways(adapter: H323Adapter, desk: FakeDesk, peer: Peer) -> None:
    call = await connected(peer, desk, G711, H261)
    ours = await peer.channel(7000)
    number = ours["forwardLogicalChannelNumber"]
    wanted = {"logicalChannelNumber": number, "type": ("videoFastUpdatePicture", None)}
    peer.say(("command", ("miscellaneousCommand", wanted)))
    await call.heard("key_frame")
    peer.say(open_channel(12, H261_DATA, 2, 5007))
    await peer.told("openLogicalChannelAck")
    await heard(call, lambda streams: codec(streams[1], "send") is Codec.H261)
    await call.line.request_key_frame("video")
    await call.line.request_key_frame("video")  # within a second it is asked for once
    command = await peer.told("miscellaneousCommand")
    assert command == {"logicalChannelNumber": 12, "type": ("videoFastUpdatePicture", None)}
    await asyncio.sleep(0.05)
    assert not any(name == "miscellaneousCommand" for _, (name, _) in peer.control)


async def test_keys_of_each_kind(adapter: H323Adapter, desk: FakeDesk, peer: Peer) -> None:
    call = await connected(peer, desk)
    peer.say(
        ("indication", ("userInput", ("alphanumeric", "12"))),
        ("indication", ("userInput", ("signal", {"signalType": "*", "duration": 250}))),
        ("indication", ("userInput", ("signal", {"signalType": "!"}))),
    )
    peer.send(Type.INFORMATION, None, keypad="9")
    await call.heard("dtmf", 4)
    assert [key for key, _ in call.keys] == ["1", "2", "*", "9"]
    assert ("*", 250) in call.keys
    assert [way.value for way in call.ways] == ["alphanumeric", "alphanumeric", "signal", "keypad"]
    await call.line.press("5", 160)
    assert (await peer.told("userInput")) == ("signal", {"signalType": "5", "duration": 160})


async def test_keys_that_stand_in_the_setup_are_no_press(adapter: H323Adapter, desk: FakeDesk, peer: Peer) -> None:
    peer.setup(keypad="100")
    await peer.expect(Type.CONNECT)
    peer.send(Type.INFORMATION, None, keypad="7")
    call = await desk.call()
    await call.heard("dtmf")
    assert [key for key, _ in call.keys] == ["7"]


async def test_keys_go_as_text_to_who_takes_no_signals(adapter: H323Adapter, desk: FakeDesk, peer: Peer) -> None:
    call = await connected(peer, desk, G711, ("receiveUserInputCapability", ("basicString", None)))
    await call.line.press("5", 160)
    assert (await peer.told("userInput")) == ("alphanumeric", "5")


async def test_keys_in_the_sound_keep_the_number_of_each_side(adapter: H323Adapter, desk: FakeDesk, peer: Peer) -> None:
    event = {"dynamicRTPPayloadType": 96, "audioTelephoneEvent": "0-16"}
    call = await connected(peer, desk, G711, ("receiveRTPAudioTelephonyEventCapability", event))
    sound, _ = await heard(call, lambda streams: len(streams[0].receive) == 2)
    assert [one.payload_type for one in sound.receive] == [0, 96]
    assert [one.payload_type for one in sound.send] == [0, 101]


# ends


async def test_the_house_hangs_up(adapter: H323Adapter, desk: FakeDesk, peer: Peer) -> None:
    call = await connected(peer, desk)
    await call.line.hang_up(Reason.HUNG_UP_BY_HOST)
    released = await peer.expect(Type.RELEASE_COMPLETE)
    assert released.cause == Reason.HUNG_UP_BY_HOST.meaning.q850
    await peer.told("endSessionCommand")
    await peer.end()
    await call.heard("ended")
    assert call.reason is Reason.HUNG_UP_BY_HOST


async def test_a_connection_that_breaks_ends_the_call(adapter: H323Adapter, desk: FakeDesk, peer: Peer) -> None:
    call = await connected(peer, desk)
    peer.stream.writer.transport.abort()
    await call.heard("ended")
    assert call.reason is Reason.TRANSPORT_FAILED
    await settled(adapter)


async def test_a_peer_that_ends_the_session_and_says_no_more_is_released(
    adapter: H323Adapter, desk: FakeDesk, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("h323.signalling.call_control.LEAVE_TIME", 0.1)
    call = await connected(peer, desk)
    peer.say(("command", ("endSessionCommand", ("disconnect", None))))
    await peer.told("endSessionCommand")
    await peer.expect(Type.RELEASE_COMPLETE)
    await call.heard("ended")
    assert call.reason is Reason.NORMAL


async def test_several_calls_share_a_connection(adapter: H323Adapter, desk: FakeDesk, peer: Peer) -> None:
    first = await connected(peer, desk)
    peer.reference = 22
    peer.setup()
    await peer.expect(Type.CONNECT)
    second = await desk.call(2)
    await second.line.hang_up(Reason.NORMAL)
    assert (await peer.expect(Type.RELEASE_COMPLETE)).reference == 22
    assert first.reason is None
    peer.reference = 21
    peer.send(Type.STATUS_INQUIRY, None)
    assert (await peer.expect(Type.STATUS)).call_state == 10


async def test_the_service_says_goodbye_when_it_stops(start: Start, desk: FakeDesk) -> None:
    adapter = await start()
    peer = await Peer.connect(adapter.ports["signalling"])
    call = await connected(peer, desk)
    await adapter.stop()
    await peer.expect(Type.RELEASE_COMPLETE)
    assert call.reason is Reason.SHUTDOWN
    await peer.close()
