"""What the adapter does beyond plain calls: redirection, early media, changes of ours, transfer, conference events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from sip_fake_house import FakeDesk, our_answer
from sip_phone import FACTS, OFFER, Message, Peer, settled

from gateway.calls import CallFacts, CallId, CallProtocol, Direction
from gateway.reasons import Reason, Refused
from gateway.rooms.model import Joined, Participant, ParticipantId, Rank, RoomEvent, RoomMode, RoomSettings
from sip.adapter import SipAdapter, SipConfig
from sip.describe_exchange import Exchange
from sip.events import Transport
from sip.uri import parse_uri
from transcode.media import LegId, RoomId, Wanted

CONFERENCE = "application/conference-info+xml"


@dataclass
class House:
    """One room, and who is told of what happens in it."""

    settings: RoomSettings = field(default_factory=lambda: RoomSettings(RoomId("100"), "Everyone"))
    participants: tuple[Participant, ...] = ()
    queue: asyncio.Queue[RoomEvent] = field(default_factory=asyncio.Queue)

    def room(self, id: str) -> House:
        if id != "100":
            raise Refused(Reason.NO_SUCH_ROOM)
        return self

    async def subscribe(self) -> AsyncIterator[RoomEvent]:
        while True:
            yield await self.queue.get()

    def join(self, number: int, source: str) -> None:
        facts = CallFacts(CallProtocol.SIP, Direction.INCOMING, source, f"sip:p{number}@x", "", "100")
        one = Participant(
            ParticipantId(f"p{number}"), CallId("c"), LegId("l"), f"P {number}", facts.protocol, Rank.GUEST, facts, 0.0
        )
        self.participants = (*self.participants, one)
        self.queue.put_nowait(Joined(RoomId("100"), one))


@pytest.fixture
def desk() -> FakeDesk:
    return FakeDesk()


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
async def adapter(
    reactor: Any, certificate: Path, desk: FakeDesk, house: House, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[SipAdapter]:
    monkeypatch.setattr("sip.adapter.STOP_TIME", 0.1)
    monkeypatch.setattr("sip.adapter_conference.GATHER", 0.02)
    config = SipConfig(address="127.0.0.1", udp=0, tcp=0, certificate=certificate, domain="house.example")
    made = SipAdapter(config, desk, reactor, watch=house, refer_policy=lambda facts, uri: uri.host == "127.0.0.1")
    await made.start()
    yield made
    await made.stop()


Phone = Callable[[], Any]


@pytest.fixture
async def phone(adapter: SipAdapter) -> AsyncIterator[Phone]:
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
async def peer(phone: Phone) -> Peer:
    made: Peer = await phone()
    return made


def dial(adapter: SipAdapter, target: str, **options: Any) -> asyncio.Task[Any]:
    return asyncio.get_running_loop().create_task(adapter.dial(target, FACTS, **options))


def answer_to(invite: Message) -> bytes:
    exchange = Exchange("127.0.0.1")
    return exchange.local_answer(our_answer(exchange.remote_offer(invite.body)))


async def placed(adapter: SipAdapter, peer: Peer) -> None:
    """Let the adapter call the peer."""
    dialling = dial(adapter, f"sip:bob@127.0.0.1:{peer.local}")
    invite = await peer.asked("INVITE", None)
    peer.reply(invite, 200, answer_to(invite))
    await peer.asked("ACK", None)
    await dialling


# changes and the end


async def test_a_bye_right_behind_a_reinvite_ends_both(adapter: SipAdapter, desk: FakeDesk, peer: Peer) -> None:
    await peer.join()
    peer.request("INVITE", OFFER.replace(b"- 1 1", b"- 1 2"))
    reinvite = f"{peer.cseq} INVITE"
    peer.request("BYE")
    answers = {message.get("cseq"): message.status for message in [await peer.next(), await peer.next()]}
    # RFC 3261 §15.1.2: what is unanswered gets 487, unless it was answered just before.
    assert answers in ({f"{peer.cseq} BYE": 200, reinvite: 487}, {f"{peer.cseq} BYE": 200, reinvite: 200})
    peer.request("ACK")
    await settled(adapter)
    assert (desk.calls[0].said.count("ended"), desk.calls[0].reason) == (1, Reason.NORMAL)


# calls that we place


async def test_a_redirection_is_followed(adapter: SipAdapter, desk: FakeDesk, phone: Phone) -> None:
    first, second = await phone(), await phone()
    dialling = dial(adapter, f"sip:bob@127.0.0.1:{first.local}")
    invite = await first.asked("INVITE", None)
    first.local, own = second.local, first.local
    first.reply(invite, 302)  # its Contact names the second one's port
    first.local = own
    await first.asked("ACK", None)
    invite = await second.asked("INVITE", None)
    assert invite.start.startswith(f"INVITE sip:bob@127.0.0.1:{second.local} ")
    second.reply(invite, 200, answer_to(invite))
    await second.asked("ACK", None)
    await dialling
    assert len(desk.calls) == 1
    assert desk.calls[0].said[-2:] == ["accept", "connected"]


async def test_two_that_redirect_to_each_other_are_given_up(adapter: SipAdapter, desk: FakeDesk, phone: Phone) -> None:
    one, two = await phone(), await phone()
    dialling = dial(adapter, f"sip:bob@127.0.0.1:{one.local}")
    for here, there in ((one, two), (two, one)):
        invite = await here.asked("INVITE", None)
        own, here.local = here.local, there.local
        here.reply(invite, 302)
        here.local = own
        await here.asked("ACK", None)
    with pytest.raises(Refused):
        await dialling
    await desk.calls[0].heard("ended")
    await settled(adapter)


async def test_a_reliable_183_is_acknowledged_and_its_media_heard_before_the_answer(
    adapter: SipAdapter, desk: FakeDesk, peer: Peer
) -> None:
    dialling = dial(adapter, f"sip:bob@127.0.0.1:{peer.local}")
    invite = await peer.asked("INVITE", None)
    lines = [f"Via: {via}" for via in invite.all("via")]
    lines += [f"From: {invite.get('from')}", f"To: {invite.get('to')};tag=t", f"Call-ID: {invite.get('call-id')}"]
    lines += [f"CSeq: {invite.get('cseq')}", f"Contact: <sip:bob@127.0.0.1:{peer.local}>", "Require: 100rel"]
    lines += ["RSeq: 17", "Content-Type: application/sdp"]
    peer.send_text("\n".join(["SIP/2.0 183 Early", *lines]), answer_to(invite))
    prack = await peer.asked("PRACK")
    assert prack.get("rack") == "17 1 INVITE"
    await (await desk.call()).heard("accept")
    assert "connected" not in desk.calls[0].said
    lines = [line for line in lines if not line.startswith(("Require", "RSeq", "Content-Type"))]
    peer.send_text("\n".join(["SIP/2.0 200 OK", *lines]))
    await peer.asked("ACK", None)
    await dialling
    assert desk.calls[0].said == ["offer", "ringing", "accept", "connected"]


async def test_another_phone_s_answer_replaces_the_early_one(adapter: SipAdapter, desk: FakeDesk, peer: Peer) -> None:
    dialling = dial(adapter, f"sip:bob@127.0.0.1:{peer.local}")
    invite = await peer.asked("INVITE", None)
    early = answer_to(invite)
    peer.reply(invite, 183, early)
    peer.reply(invite, 200, early.replace(b"m=audio 4", b"m=audio 5"))
    await peer.asked("ACK", None)
    await dialling
    assert desk.calls[0].said == ["offer", "ringing", "accept", "offer", "accept", "connected"]


async def test_a_call_is_changed_by_re_invite_and_tried_again_after_491(
    adapter: SipAdapter, desk: FakeDesk, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await placed(adapter, peer)
    (call,) = adapter.calls.by_session.values()
    monkeypatch.setattr("sip.uac.GLARE_OURS", (1, 2))
    await call.renegotiate(Wanted(video=False))
    invite = await peer.asked("INVITE", None)
    peer.reply(invite, 491)
    await peer.asked("ACK", None)
    again = await peer.asked("INVITE", None)
    assert b"m=video 0" in again.body
    peer.reply(again, 200, answer_to(again))
    await peer.asked("ACK", None)
    await desk.calls[0].heard("accept", 2)
    assert adapter.counters().get("internal_errors") is None


# Replaces


async def test_a_call_takes_another_s_place_in_the_same_room(adapter: SipAdapter, desk: FakeDesk, phone: Phone) -> None:
    old, new = await phone(), await phone()
    new.calls = 7
    await old.join()
    extra = f"Replaces: {old.call_id};to-tag={old.tag};from-tag=peer\n"
    new.request("INVITE", OFFER, extra=extra, to="anything")
    answer = await new.response(200)
    new.tag = answer.get("to").partition("tag=")[2]
    new.request("ACK")
    bye = await old.asked("BYE")
    assert "joined again" in bye.get("reason")
    assert desk.facts[1].called == "100"
    await desk.calls[0].heard("ended")
    assert desk.calls[0].reason is Reason.REPLACED


# REFER


async def notified(peer: Peer) -> Message:
    return await peer.asked("NOTIFY")


async def test_a_referred_target_joins_the_referrer_s_room(adapter: SipAdapter, desk: FakeDesk, phone: Phone) -> None:
    host, guest = await phone(), await phone()
    await host.join()
    target = f"sip:guest@127.0.0.1:{guest.local}?Replaces=c%3Bto-tag%3Da%3Bfrom-tag%3Db"
    host.request("REFER", extra=f"Refer-To: <{target}>\n")
    await host.response(202)
    trying = await notified(host)
    assert trying.body == b"SIP/2.0 100 Trying\r\n"
    invite = await guest.asked("INVITE", None)
    assert invite.get("replaces") == "c;to-tag=a;from-tag=b"
    assert invite.get("referred-by").endswith("<sip:ann@127.0.0.1>")
    guest.reply(invite, 200, answer_to(invite))
    await guest.asked("ACK", None)
    done = await notified(host)
    assert (done.body, done.get("subscription-state")) == (b"SIP/2.0 200 OK\r\n", "terminated;reason=noresource")
    assert (desk.facts[1].called, desk.facts[1].direction) == ("100", Direction.OUTGOING)
    assert desk.facts[1].name == "guest"


async def test_a_referred_target_that_is_busy_is_told_of(adapter: SipAdapter, phone: Phone) -> None:
    host, guest = await phone(), await phone()
    await host.join()
    host.request("REFER", extra=f"Refer-To: <sip:guest@127.0.0.1:{guest.local}>\n")
    await host.response(202)
    await notified(host)
    await guest.asked("INVITE", 486)
    assert (await notified(host)).body == b"SIP/2.0 486 Busy Here\r\n"


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("Refer-To: <sip:0900123@carrier.example>\n", 403),
        ("Refer-To: <tel:+123>\n", 400),
        ("Refer-To: <sip:a@127.0.0.1;method=BYE>\n", 400),
        ("Refer-To: <sip:a@127.0.0.1?Replaces=nonsense>\n", 400),
        ("Refer-To: <sip:a@127.0.0.1>, <sip:b@127.0.0.1>\n", 400),
        ("", 400),
    ],
)
async def test_a_refer_that_may_not_be_or_makes_no_sense_is_refused(peer: Peer, target: str, status: int) -> None:
    await peer.join()
    peer.request("REFER", extra=target)
    await peer.response(status)


async def test_a_stranger_refers_nobody(peer: Peer) -> None:
    peer.request("REFER", extra="Refer-To: <sip:a@127.0.0.1>\n")
    await peer.response(403)


async def test_without_a_policy_only_our_own_domain_may_be_called(adapter: SipAdapter) -> None:
    assert adapter._may_refer(FACTS, parse_uri("sip:ann@HOUSE.example"))
    assert not adapter._may_refer(FACTS, parse_uri("sip:ann@127.0.0.1"))


# conference events


def subscribe(peer: Peer, extra: str = "", event: str = "conference", to: str = "100") -> None:
    peer.request("SUBSCRIBE", extra=f"Event: {event}\nExpires: 600\n{extra}", to=to)


async def test_a_participant_hears_who_comes_and_goes(
    adapter: SipAdapter, house: House, peer: Peer, desk: FakeDesk
) -> None:
    answer = await peer.join()
    assert answer.get("contact").endswith(";isfocus")
    house.join(1, f"127.0.0.1:{peer.local}")
    subscribe(peer, f"Accept: {CONFERENCE}\n")
    ok = await peer.response(200)
    assert ok.get("expires") == "600"
    first = await notified(peer)
    assert (first.get("event"), first.get("content-type")) == ("conference", CONFERENCE)
    root = ElementTree.fromstring(first.body)
    assert (root.get("entity"), root.get("state")) == ("sip:100@house.example", "full")
    await asyncio.sleep(0.05)
    house.join(2, "127.0.0.2:5060")
    second = await notified(peer)
    root = ElementTree.fromstring(second.body)
    assert (root.get("state"), root.get("version")) == ("partial", "2")
    assert b"sip:p2@house.example" in second.body
    assert b"sip:p1@house.example" not in second.body


async def test_one_who_calls_from_the_same_address_may_subscribe_outside_of_the_call(
    adapter: SipAdapter, house: House, peer: Peer
) -> None:
    subscribe(peer)
    await peer.response(403)
    peer.call_id, peer.branches = "again@peer", 50
    house.join(1, "127.0.0.1:9999")
    subscribe(peer)
    await peer.response(200)
    await notified(peer)
    assert len(adapter.conferences) == 1
    house.settings = RoomSettings(RoomId("100"), "Renamed")
    house.join(2, "x:1")
    assert b"Renamed" in (await notified(peer)).body


async def test_nobody_is_told_who_else_is_in_an_echo_room(house: House, peer: Peer) -> None:
    house.settings = RoomSettings(RoomId("100"), "Echo", mode=RoomMode.ECHO)
    await peer.join()
    house.join(1, f"127.0.0.1:{peer.local}")
    subscribe(peer)
    await peer.response(403)


@pytest.mark.parametrize(
    ("event", "extra", "to", "status"),
    [("presence", "", "100", 489), ("conference", "Accept: text/plain\n", "100", 406), ("conference", "", "999", 404)],
)
async def test_a_subscription_that_cannot_be_is_refused(
    house: House, peer: Peer, event: str, extra: str, to: str, status: int
) -> None:
    house.join(1, "127.0.0.1:9999")
    subscribe(peer, extra, event, to)
    answer = await peer.response(status)
    assert status != 489 or answer.get("allow-events") == "conference"
