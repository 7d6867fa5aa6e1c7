"""Calls that the house places over real sockets, and what the configuration changes in calls."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest
from sip_fake_house import FakeDesk, our_answer
from sip_phone import FACTS, Peer, settled

from gateway.calls import Direction
from gateway.reasons import Reason, Refused
from sip.adapter import SipAdapter
from sip.describe_exchange import Exchange
from sip.events import Transport
from sip.refusals import refusal_status
from transcode.media import Codec, Wanted

Start = Callable[..., Any]


# calls that we place


@pytest.fixture
async def far_desk() -> FakeDesk:
    return FakeDesk()


@pytest.fixture
async def far(start: Start, far_desk: FakeDesk) -> SipAdapter:
    made: SipAdapter = await start(far_desk)
    return made


def address(adapter: SipAdapter, transport: Transport, user: str = "100") -> str:
    return f"sip:{user}@127.0.0.1:{adapter.ports[transport]};transport={transport}"


@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP, Transport.TLS])
async def test_a_call_between_two_houses_goes_through_its_whole_life(
    adapter: SipAdapter, desk: FakeDesk, far: SipAdapter, far_desk: FakeDesk, transport: Transport
) -> None:
    call = await adapter.dial(address(far, transport), FACTS, display="Big Room")
    assert call is desk.calls[0]
    theirs = await far_desk.call()
    await theirs.heard("connected")
    assert desk.calls[0].said == ["offer", "accept", "connected"]
    assert theirs.facts.name == "Big Room"
    assert (theirs.facts.secure, desk.facts[0].secure) == ((transport is Transport.TLS),) * 2
    assert desk.facts[0].direction is Direction.OUTGOING
    assert desk.calls[0].remote is not None
    assert Codec.OPUS in [format.codec for format in desk.calls[0].remote.streams[0].receive]
    await theirs.line.request_key_frame("video")
    await desk.calls[0].heard("key_frame")
    await theirs.line.hang_up(Reason.ROOM_CLOSED)
    await desk.calls[0].heard("ended")
    await settled(adapter)
    await settled(far)
    assert adapter.stack.sizes()["sessions"] == far.stack.sizes()["sessions"] == 0
    assert adapter.counters().get("internal_errors") is None


async def test_a_large_invite_goes_by_tcp_where_the_peer_has_it(
    start: Start, adapter: SipAdapter, desk: FakeDesk, far: SipAdapter, far_desk: FakeDesk
) -> None:
    plain = f"sip:100@127.0.0.1:{far.ports[Transport.TCP]}"
    await adapter.dial(plain, FACTS)
    assert far.counters()["connections_in"] == 1
    await far_desk.calls[0].heard("connected")
    only_udp = await start(FakeDesk(), tcp=None, tls=None)
    await adapter.dial(f"sip:100@127.0.0.1:{only_udp.ports[Transport.UDP]}", FACTS)
    assert len(desk.calls) == 2


async def test_a_call_goes_over_ipv6(start: Start) -> None:
    near_desk, far_desk = FakeDesk(), FakeDesk()
    near, far = await start(near_desk, address="::1"), await start(far_desk, address="::")
    for transport in (Transport.UDP, Transport.TCP, Transport.TLS):
        await near.dial(f"sip:100@[::1]:{far.ports[transport]};transport={transport}", FACTS)
    assert [call.facts.source.rpartition(":")[0] for call in far_desk.calls] == ["[::1]"] * 3
    await near.stop()
    for call in far_desk.calls:
        await call.heard("ended")


async def test_a_call_without_video_offers_none(adapter: SipAdapter, far: SipAdapter, far_desk: FakeDesk) -> None:
    await adapter.dial(address(far, Transport.UDP), FACTS, Wanted(video=False))
    remote = far_desk.calls[0].remote
    assert remote is not None
    assert len(remote.streams) == 1


async def test_a_refusal_is_told_to_the_house(adapter: SipAdapter, desk: FakeDesk, far: SipAdapter) -> None:
    with pytest.raises(Refused) as caught:
        await adapter.dial(address(far, Transport.UDP, "nobody"), FACTS)
    assert caught.value.reason is Reason.NO_SUCH_USER
    assert "404" in caught.value.detail
    await desk.calls[0].heard("ended")
    assert desk.calls[0].reason is Reason.NO_SUCH_USER
    await settled(adapter)


async def test_a_call_that_nobody_can_take_is_unreachable(adapter: SipAdapter, desk: FakeDesk) -> None:
    with pytest.raises(Refused) as caught:
        await adapter.dial("sip:a@127.0.0.1:1;transport=tcp", FACTS)
    assert caught.value.reason is Reason.UNREACHABLE
    assert desk.facts == []


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("", Reason.BAD_REQUEST),
        ("sip:", Reason.BAD_REQUEST),
        ("tel:+1", Reason.UNSUPPORTED),
        ("sip:a\r\nEvil: 1@127.0.0.1", Reason.BAD_REQUEST),
        ("sip:a@b;transport=sctp", Reason.UNSUPPORTED),
    ],
)
async def test_targets_that_make_no_sense_are_refused(adapter: SipAdapter, target: str, reason: Reason) -> None:
    with pytest.raises(Refused) as caught:
        await adapter.dial(target, FACTS)
    assert caught.value.reason is reason


async def test_a_desk_that_refuses_places_no_call(adapter: SipAdapter, desk: FakeDesk, peer: Peer) -> None:
    desk.refuse = Refused(Reason.NOT_ALLOWED)
    with pytest.raises(Refused) as caught:
        await adapter.dial(f"sip:bob@127.0.0.1:{peer.local}", FACTS)
    assert caught.value.reason is Reason.NOT_ALLOWED
    assert peer.heard.empty()
    await settled(adapter)


async def test_a_dial_that_is_given_up_is_cancelled(adapter: SipAdapter, desk: FakeDesk, peer: Peer) -> None:
    dialling = asyncio.get_running_loop().create_task(adapter.dial(f"bob@127.0.0.1:{peer.local}", FACTS))
    invite = await peer.asked("INVITE", 180)
    assert re.fullmatch(r"<sip:100@127\.0\.0\.1:\d+>;isfocus", invite.get("contact"))
    dialling.cancel()
    cancel = await peer.asked("CANCEL")
    assert cancel.get("call-id") == invite.get("call-id")
    peer.reply(invite, 487)
    with pytest.raises(asyncio.CancelledError):
        await dialling
    await desk.calls[0].heard("ended")
    assert desk.calls[0].reason is Reason.CANCELLED
    await settled(adapter)


async def test_an_answer_in_the_ringing_is_used_where_the_200_has_none(
    adapter: SipAdapter, desk: FakeDesk, peer: Peer
) -> None:
    dialling = asyncio.get_running_loop().create_task(adapter.dial(f"sip:bob@127.0.0.1:{peer.local}", FACTS))
    invite = await peer.asked("INVITE", None)
    answer = Exchange("127.0.0.1")
    body = answer.local_answer(our_answer(answer.remote_offer(invite.body)))
    peer.reply(invite, 183, body)
    peer.reply(invite, 200)
    await peer.asked("ACK", None)
    await dialling
    assert desk.calls[0].said == ["offer", "ringing", "accept", "connected"]


async def test_an_answer_that_makes_no_sense_ends_the_call(adapter: SipAdapter, desk: FakeDesk, peer: Peer) -> None:
    dialling = asyncio.get_running_loop().create_task(adapter.dial(f"sip:bob@127.0.0.1:{peer.local}", FACTS))
    invite = await peer.asked("INVITE", None)
    peer.reply(invite, 200, b"nonsense")
    await peer.asked("ACK", None)
    await peer.asked("BYE")
    with pytest.raises(Refused) as caught:
        await dialling
    assert caught.value.reason is Reason.BAD_DESCRIPTION
    await desk.calls[0].heard("ended")


# configuration


async def test_transports_can_be_turned_off(start: Start, desk: FakeDesk) -> None:
    adapter = await start(desk, udp=None, tls=None)
    assert set(adapter.ports) == {Transport.TCP}
    assert adapter.ports[Transport.TCP] > 0


async def test_a_public_address_is_what_peers_read(start: Start, desk: FakeDesk) -> None:
    adapter = await start(desk, public_address="203.0.113.99")
    loop = asyncio.get_running_loop()
    transport, peer = await loop.create_datagram_endpoint(
        lambda: Peer(adapter.ports[Transport.UDP]), local_addr=("127.0.0.1", 0)
    )
    answer = await peer.join()
    assert "@203.0.113.99:" in answer.get("contact")
    assert b"o=- " in answer.body
    transport.close()


async def test_on_all_addresses_each_peer_reads_the_one_it_sees(start: Start, desk: FakeDesk) -> None:
    adapter = await start(desk, address="0.0.0.0")
    loop = asyncio.get_running_loop()
    transport, peer = await loop.create_datagram_endpoint(
        lambda: Peer(adapter.ports[Transport.UDP]), local_addr=("127.0.0.1", 0)
    )
    assert "@127.0.0.1:" in (await peer.join()).get("contact")
    transport.close()


def test_every_reason_has_a_status_that_refuses() -> None:
    assert all(400 <= refusal_status(reason) <= 699 for reason in Reason)
