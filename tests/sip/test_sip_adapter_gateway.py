"""Calls that the house lets wait, and what it asks of a line for the sake of another: ringing, keys, transfers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sip_fake_house import FakeCall, FakeDesk, our_answer
from sip_phone import FACTS, OFFER, Message, Peer, settled

from gateway.calls import Call, CallFacts, Order
from gateway.reasons import Reason, Refused
from sip.adapter import SipAdapter, SipConfig
from sip.describe_exchange import Exchange
from sip.events import Transport

VIDEO_OFFER = OFFER + b"m=video 4002 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"


class House:
    """Allows what it is told to, and notes who asked."""

    def __init__(self) -> None:
        self.allowed: set[str] = set()
        self.asked: list[tuple[Call, str]] = []

    def may_refer(self, call: Call, target: str) -> bool:
        self.asked.append((call, target))
        return target in self.allowed

    async def refer(self, call: Call, target: str, dial: Callable[[Order, CallFacts], Awaitable[Call]]) -> Call:
        return await dial(Order(target, sender="ann", display="Ann", hops=7), FACTS)


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def desk() -> FakeDesk:
    desk = FakeDesk()
    desk.prepare = _wait
    return desk


def _wait(call: FakeCall) -> None:
    call.admission = asyncio.get_running_loop().create_future()


@pytest.fixture
async def adapter(
    reactor: Any, certificate: Path, desk: FakeDesk, house: House, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[SipAdapter]:
    monkeypatch.setattr("sip.adapter.STOP_TIME", 0.1)
    config = SipConfig(address="127.0.0.1", udp=0, tcp=0, certificate=certificate, domain="house.example")
    made = SipAdapter(config, desk, reactor, referrals=house)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def phone(adapter: SipAdapter) -> AsyncIterator[Callable[[], Any]]:
    transports = []

    async def open_one() -> Peer:
        loop = asyncio.get_running_loop()
        transport, made = await loop.create_datagram_endpoint(
            lambda: Peer(adapter.ports[Transport.UDP]), local_addr=("127.0.0.1", 0)
        )
        transports.append(transport)
        return made

    yield open_one
    for transport in transports:
        transport.close()


@pytest.fixture
async def peer(phone: Callable[[], Any]) -> Peer:
    made: Peer = await phone()
    return made


async def waiting(peer: Peer, desk: FakeDesk, body: bytes = OFFER) -> FakeCall:
    peer.request("INVITE", body)
    call = await desk.call()
    while call.admission is None:
        await asyncio.sleep(0)
    return call


async def up(peer: Peer, desk: FakeDesk, number: int = 1) -> FakeCall:
    """Set up a call that is let in at once."""
    desk.prepare = None
    await peer.join()
    call = await desk.call(number)
    await call.heard("connected")
    return call


async def test_a_caller_hears_ringing_and_is_answered_when_the_house_says_so(peer: Peer, desk: FakeDesk) -> None:
    call = await waiting(peer, desk)
    await call.line.ringing()
    await call.line.ringing()
    await peer.response(180)
    assert "answer" not in call.said
    assert call.admission is not None
    call.admission.set_result(None)
    answer = await peer.response(200)
    peer.tag = answer.get("to").partition("tag=")[2]
    peer.request("ACK")
    await call.heard("connected")


@pytest.mark.parametrize(("reason", "status"), [(Reason.BUSY, 486), (Reason.DECLINED, 603), (Reason.NO_ANSWER, 480)])
async def test_why_the_other_end_did_not_answer_is_told_to_the_caller(
    adapter: SipAdapter, peer: Peer, desk: FakeDesk, reason: Reason, status: int
) -> None:
    call = await waiting(peer, desk)
    assert call.admission is not None
    call.admission.set_exception(Refused(reason))
    answer = await peer.response(status)
    assert any(value.startswith("Q.850;cause=") for value in answer.all("reason"))
    peer.request("ACK")
    await call.heard("ended")
    assert call.reason is reason
    await settled(adapter)


async def test_a_caller_who_cancels_while_it_waits_ends_the_waiting(
    adapter: SipAdapter, peer: Peer, desk: FakeDesk
) -> None:
    call = await waiting(peer, desk)
    peer.request("CANCEL")
    statuses = {(await peer.next()).status, (await peer.next()).status}
    assert statuses == {200, 487}
    peer.request("ACK")
    await call.heard("given up")
    await call.heard("ended")
    assert call.reason is Reason.CANCELLED
    await settled(adapter)


async def test_waiting_longer_than_any_job_may_take_holds_nothing_up(
    peer: Peer, desk: FakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.jobs.JOB_TIME", 0.05)
    call = await waiting(peer, desk)
    await asyncio.sleep(0.2)
    assert call.reason is None
    await call.line.ringing()
    ringing = await peer.response(180)
    peer.tag = ringing.get("to").partition("tag=")[2]
    peer.request("INFO", b"Signal=5\r\nDuration=100\r\n", "application/dtmf-relay")
    await peer.response(200)
    await call.heard("dtmf")
    assert call.admission is not None
    call.admission.set_result(None)
    await peer.response(200)


async def test_a_house_that_stops_turns_away_who_waits(adapter: SipAdapter, peer: Peer, desk: FakeDesk) -> None:
    call = await waiting(peer, desk)
    stopping = asyncio.create_task(adapter.stop())
    await peer.response(503)
    peer.request("ACK")
    await stopping
    assert call.reason is Reason.SHUTDOWN
    assert "given up" in call.said


@pytest.mark.parametrize(("body", "video"), [(OFFER, False), (VIDEO_OFFER, True), (b"", True)])
async def test_the_house_hears_whether_a_caller_has_a_picture_and_how_far_it_has_come(
    peer: Peer, desk: FakeDesk, body: bytes, video: bool
) -> None:
    call = await waiting(peer, desk, body)
    assert call.facts.video is video
    assert call.facts.hops == 70


async def test_a_placed_call_tells_that_it_rings_and_from_whom_it_comes(
    adapter: SipAdapter, peer: Peer, desk: FakeDesk
) -> None:
    desk.prepare = None
    order = Order(f"sip:bob@127.0.0.1:{peer.local}", sender="ann", display="Ann O.", hops=7)
    placing = asyncio.create_task(adapter.place(order, FACTS))
    invite = await peer.asked("INVITE", 180)
    assert invite.get("from").startswith('"Ann O." <sip:ann@house.example>')
    call = await desk.call()
    await call.heard("ringing")
    peer.reply(invite, 180)
    peer.reply(invite, 200, answer_to(invite))
    await peer.asked("ACK", None)
    await placing
    assert call.said.count("ringing") == 1


def answer_to(invite: Message) -> bytes:
    exchange = Exchange("127.0.0.1")
    return exchange.local_answer(our_answer(exchange.remote_offer(invite.body)))


async def test_keys_are_pressed_by_info(peer: Peer, desk: FakeDesk) -> None:
    call = await up(peer, desk)
    await call.line.press("#", 120)
    info = await peer.asked("INFO")
    assert info.get("content-type") == "application/dtmf-relay"
    assert info.body == b"Signal=#\r\nDuration=120\r\n"


async def notify(peer: Peer, status: str, state: str) -> None:
    peer.request(
        "NOTIFY", f"SIP/2.0 {status}\r\n".encode(), "message/sipfrag", f"Event: refer\nSubscription-State: {state}\n"
    )
    await peer.response(200)


async def test_how_a_transfer_goes_is_told_to_the_house(peer: Peer, desk: FakeDesk) -> None:
    call = await up(peer, desk)
    await call.line.transfer("sip:bob@elsewhere.example")
    refer = await peer.asked("REFER", 202)
    assert refer.get("refer-to") == "sip:bob@elsewhere.example"
    await notify(peer, "180 Ringing", "active;expires=60")
    await notify(peer, "486 Busy Here", "terminated;reason=noresource")
    await call.heard("transfer_goes", 3)
    assert call.transfers == [(None, False), (None, False), (Reason.BUSY, True)]


async def test_a_peer_that_takes_no_transfer_says_so(peer: Peer, desk: FakeDesk) -> None:
    call = await up(peer, desk)
    await call.line.transfer("sip:bob@elsewhere.example")
    await peer.asked("REFER", 603)
    await call.heard("transfer_goes")
    assert call.transfers == [(Reason.DECLINED, True)]


async def test_an_attended_transfer_names_the_call_whose_place_is_taken(
    phone: Callable[[], Any], peer: Peer, desk: FakeDesk
) -> None:
    call = await up(peer, desk)
    other: Peer = await phone()
    other.calls = 6
    second = await up(other, desk, 2)
    await call.line.transfer("", second.line)
    refer = await peer.asked("REFER", 202)
    target = refer.get("refer-to")
    assert target.startswith(f"<sip:ann@127.0.0.1:{other.local}?Replaces=call7%40peer%3Bto-tag%3Dpeer%3Bfrom-tag%3D")


async def test_a_call_that_is_not_up_is_not_transferred(peer: Peer, desk: FakeDesk) -> None:
    call = await waiting(peer, desk)
    with pytest.raises(Refused) as refused:
        await call.line.transfer("sip:bob@elsewhere.example")
    assert refused.value.reason is Reason.UNSUPPORTED


async def test_the_house_decides_on_referrals_and_places_them(
    phone: Callable[[], Any], peer: Peer, desk: FakeDesk, house: House
) -> None:
    call = await up(peer, desk)
    guest: Peer = await phone()
    target = f"sip:bob@127.0.0.1:{guest.local}"
    peer.request("REFER", extra=f"Refer-To: <{target}>\n")
    await peer.response(403)
    assert house.asked == [(call, target)]
    house.allowed.add(target)
    peer.request("REFER", extra=f"Refer-To: <{target}>\n")
    await peer.response(202)
    await peer.asked("NOTIFY")
    invite = await guest.asked("INVITE", None)
    assert invite.get("from").startswith('"Ann" <sip:ann@house.example>')
    assert invite.get("referred-by")
    guest.reply(invite, 486)
    await guest.asked("ACK", None)
    assert (await peer.asked("NOTIFY")).body == b"SIP/2.0 486 Busy Here\r\n"


async def test_who_takes_anothers_place_says_whose(phone: Callable[[], Any], peer: Peer, desk: FakeDesk) -> None:
    call = await up(peer, desk)
    other: Peer = await phone()
    other.calls = 5
    other.request("INVITE", OFFER, extra=f"Replaces: call1@peer;to-tag={peer.tag};from-tag=peer\n")
    second = await desk.call(2)
    assert second.facts.instead_of == call.id
    await other.response(200)
