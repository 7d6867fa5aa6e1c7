"""H.239 on real sockets, between the adapter and an endpoint that knows no procedure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import h323_peer
import pytest
from h323_peer import G711, Peer, open_channel
from sip_fake_house import FakeCall, FakeDesk, our_offer

from gateway.calls import Floor
from gateway.reasons import Reason, Refused
from h323.adapter import H323Adapter, H323Config
from h323.describe.video import write_video
from h323.h245.parameters import read_numbers
from h323.h245.presentation import MESSAGE
from h323.q931 import Type
from transcode.media import Codec, Format, MediaDescription, Role, Wanted

H264 = write_video(Format(Codec.H264, 96, 90_000, parameters=(("profile-level-id", "42e01f"),)), 2_000_000)
ROLE = {
    "capabilityIdentifier": ("standard", "0.0.8.239.1.2"),
    "collapsing": [{"parameterIdentifier": ("standard", 1), "parameterValue": ("booleanArray", 1)}],
}
SLIDES = ("extendedVideoCapability", {"videoCapability": [H264], "videoCapabilityExtension": [ROLE]})
CONTROL = ("genericControlCapability", {"capabilityIdentifier": ("standard", "0.0.8.239.1.1")})


def token(kind: str, number: int, **parameters: int) -> Any:
    """Return a message of H.239."""
    numbers = {"acknowledge": 126, "label": 44, "channel": 42, "symmetry": 43}
    content = [
        {
            "parameterIdentifier": ("standard", numbers[name]),
            "parameterValue": ("logical", None) if name == "acknowledge" else ("unsignedMin", value),
        }
        for name, value in parameters.items()
    ]
    value = {"messageIdentifier": MESSAGE, "subMessageIdentifier": number, "messageContent": content}
    return (kind, (f"generic{kind.capitalize()}", value))


@pytest.fixture
def desk() -> FakeDesk:
    """A house that takes slides."""

    async def offer(wanted: Wanted) -> MediaDescription:
        plain = our_offer(wanted.audio, wanted.video, "127.0.0.1")
        assert wanted.slides
        people = plain.streams[1]
        port = replace(people.transport, port=40_008, rtcp_port=40_009)
        return MediaDescription((*plain.streams, replace(people, id="2", role=Role.SLIDES, transport=port)))

    made = FakeDesk()
    made.prepare = lambda call: setattr(call, "offer", offer)
    return made


@pytest.fixture
async def adapter(reactor: Any, desk: FakeDesk) -> AsyncIterator[H323Adapter]:
    made = H323Adapter(H323Config(address="127.0.0.1", signalling=0), desk, reactor)
    await made.start()
    yield made
    await made.stop()
    assert made.counters().get("internal_errors", 0) == 0


@pytest.fixture
async def peer(adapter: H323Adapter) -> AsyncIterator[Peer]:
    made = await Peer.connect(adapter.ports["signalling"])
    yield made
    await made.close()


async def connected(peer: Peer, desk: FakeDesk) -> FakeCall:
    peer.setup()
    await peer.expect(Type.CONNECT)
    await peer.exchange(G711, ("receiveVideoCapability", SLIDES), CONTROL)
    await peer.channel()
    call = await desk.call()
    await call.heard("connected")
    return call


async def told_slides(call: FakeCall, receives: bool, sends: bool) -> None:
    """Wait until the house knows that the peer takes or sends slides."""
    async with asyncio.timeout(5):
        while True:
            described = None if call.remote is None else call.remote.stream("2")
            if described is not None and (bool(described.receive), bool(described.send)) == (receives, sends):
                assert described.role is Role.SLIDES
                return
            await asyncio.sleep(0.01)


async def test_h239_is_offered_and_a_terminal_that_asks_presents(desk: FakeDesk, peer: Peer) -> None:
    call = await connected(peer, desk)
    offered = [entry["capability"] for entry in peer.theirs["capabilityTable"]]
    assert CONTROL in offered
    assert [one[1][0] for one in offered if one[0] == "receiveVideoCapability"].count("extendedVideoCapability") >= 1
    peer.say(token("request", 3, label=0, channel=103, symmetry=6))
    answer = await peer.told("genericResponse")
    assert (answer["subMessageIdentifier"], read_numbers(answer["messageContent"])) == (4, {126: 1, 44: 0, 42: 103})
    assert call.said.count("present") == 1
    peer.say(token("indication", 6, label=0, channel=103), open_channel(103, ("videoData", SLIDES), 0, 5009))
    ack = await peer.told("openLogicalChannelAck")
    _, parameters = ack["forwardMultiplexAckParameters"]
    assert parameters["sessionID"] == 32
    assert parameters["mediaChannel"] == h323_peer.address(40_008)
    await told_slides(call, receives=False, sends=True)
    await call.line.floor(Floor.PEER)
    await call.line.request_key_frame("2")
    asked = await peer.told("miscellaneousCommand")
    assert (asked["logicalChannelNumber"], asked["type"][0]) == (103, "videoFastUpdatePicture")
    peer.say(token("command", 5, label=0, channel=103))
    await call.heard("present", 2)


async def test_a_terminal_is_refused_while_somebody_else_presents(
    desk: FakeDesk, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def busy(call: FakeCall, wanted: bool) -> None:
        raise Refused(Reason.BUSY, "somebody else presents")

    monkeypatch.setattr(FakeCall, "present", busy)
    await connected(peer, desk)
    peer.say(token("request", 3, label=0, channel=103, symmetry=6))
    answer = await peer.told("genericResponse")
    assert read_numbers(answer["messageContent"]) == {127: 1, 44: 0, 42: 103}


async def test_slides_of_others_come_in_a_channel_of_their_own(desk: FakeDesk, peer: Peer) -> None:
    call = await connected(peer, desk)
    await call.line.floor(Floor.TAKEN)
    asked = await peer.told("genericRequest")
    number = read_numbers(asked["messageContent"])[42]
    peer.say(token("response", 4, acknowledge=1, label=0, channel=number))
    owner = await peer.told("genericIndication")
    assert (owner["subMessageIdentifier"], read_numbers(owner["messageContent"])[42]) == (6, number)
    opened = await peer.channel(6010)
    assert opened["forwardLogicalChannelNumber"] == number
    assert opened["forwardLogicalChannelParameters"]["dataType"] == ("videoData", SLIDES)
    active = await peer.told("miscellaneousIndication")
    assert active["type"][0] == "logicalChannelActive"
    await told_slides(call, receives=True, sends=False)
    update = ("videoFastUpdatePicture", None)
    peer.say(("command", ("miscellaneousCommand", {"logicalChannelNumber": number, "type": update})))
    await call.heard("key_frame")
    await call.line.floor(Floor.FREE)
    closed = await peer.told("closeLogicalChannel")
    assert closed["forwardLogicalChannelNumber"] == number
    peer.say(("response", ("closeLogicalChannelAck", {"forwardLogicalChannelNumber": number})))
    released = await peer.told("genericCommand")
    assert released["subMessageIdentifier"] == 5
    await told_slides(call, receives=False, sends=False)
