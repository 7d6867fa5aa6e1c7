"""Messages that follow the grammar and make no sense: each is refused or passed over, and nothing runs on for ever."""

from __future__ import annotations

import random
from copy import copy

import pytest
from sip_carrier import Carrier, open_carrier
from sip_fake_house import FakeDesk, our_answer
from sip_peer import ANSWER, OFFER, Peer
from sip_phone import Message
from test_sip_registrar import PHONE, Bench

from sip.adapter import SipAdapter, SipConfig
from sip.describe_exchange import Exchange
from sip.digest_client import MAX_ANSWERS, Login
from sip.events import InviteReceived, RequestAnswered
from sip.message import Request
from sip.replaces import Replaces, read_replaces
from sip.sdp import parse as parse_description
from sip.trunk import Trunk
from sip.uri import parse_uri

HEAD = b"v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n"
AUDIO = b"m=audio 4000 RTP/AVP 0\r\na=mid:a\r\n"
VIDEO = b"m=video 4002 RTP/AVP 34\r\na=mid:v\r\n"


@pytest.mark.parametrize("group", [b"a=group\r\n", b"a=group:\r\n", b"a=group: \r\na=group:BUNDLE a\r\n"])
def test_a_group_of_nothing_is_passed_over(group: bytes) -> None:
    description = Exchange("192.0.2.1").remote_offer(HEAD + group + AUDIO)
    assert description.bundle == (("a",) if b"BUNDLE" in group else ())


def test_a_new_offer_that_leaves_out_a_bundled_line_is_answered() -> None:
    exchange = Exchange("192.0.2.1")
    bundle = HEAD + b"a=group:BUNDLE a v\r\n"
    exchange.local_answer(our_answer(exchange.remote_offer(bundle + AUDIO + VIDEO)))
    answer = parse_description(exchange.local_answer(our_answer(exchange.remote_offer(bundle + AUDIO))))
    assert [media.kind for media in answer.media] == ["audio"]
    assert answer.all("group") == ["BUNDLE a"]


@pytest.mark.parametrize("empty", [";tag", ";tag=", ';x=y;tag=""', ';text="x'])
def test_an_empty_tag_or_an_open_quote_does_not_hide_ours(empty: str) -> None:
    peer = Peer()
    peer.request("INVITE", body=OFFER)
    invite = peer.stack._core.sessions[peer.event(InviteReceived).session].incoming
    assert invite is not None
    peer = Peer()
    peer.stack.receive(invite.request.to_bytes().replace(b"\r\nCall-ID", empty.encode() + b"\r\nCall-ID"), peer.flow, 0)
    assert peer.stack.accept(peer.event(InviteReceived).session, ANSWER, peer.now)
    answer = peer.drain()[-1]
    peer.request("ACK", to_tag=answer.to.tag)
    assert "AckReceived" in peer.kinds()


@pytest.mark.parametrize("contact", ["<tel:+4930>", "<mailto:ann@x.example>", "<urn:service:sos>"])
def test_a_call_from_where_no_sip_request_can_go_is_refused(contact: str) -> None:
    peer = Peer()
    peer.request("INVITE", body=OFFER, contact=f"Contact: {contact}\r\n")
    assert peer.statuses() == [400]
    assert peer.settled()


def test_a_contact_that_is_no_sip_address_leaves_the_target_as_it_was() -> None:
    peer = Peer()
    session, invite = peer.place()
    peer.respond(invite, 200, body=ANSWER, contact="<tel:+4930>")
    ack = peer.only()
    assert (ack.method, ack.target) == ("ACK", "sip:peer@198.51.100.7")
    peer.request("UPDATE", 7, invite.from_.tag, call_id=invite.call_id, contact="Contact: <mailto:a@b>\r\n")
    assert peer.stack.remote_target(session) == "sip:peer@198.51.100.7"


def test_a_route_that_is_no_sip_address_is_refused_in_a_request_and_passed_over_in_a_response() -> None:
    peer = Peer()
    peer.request("INVITE", body=OFFER, extra="Record-Route: <tel:+4930>\r\n")
    assert peer.statuses() == [400]
    _, invite = peer.place()
    peer.respond(invite, 200, body=ANSWER, extra="Record-Route: <http://x.example>\r\n")
    ack = peer.only()
    assert (ack.target, ack.headers.get("Route")) == ("sip:peer@198.51.100.7:5060", None)


def test_a_refresh_that_is_put_off_by_no_time_at_all_is_not_sent_again_at_once() -> None:
    peer = Peer(session_expires=90)
    _, invite = peer.place()
    peer.respond(invite, 200, body=ANSWER, extra="Session-Expires: 90;refresher=uac\r\n")
    peer.drain()
    peer.pass_time(45)
    for _ in range(5):
        update = peer.only()
        assert update.method == "UPDATE"
        peer.respond(update, 503, extra="Retry-After: 0\r\n")
        peer.pass_time(0.9)
        assert not peer.drain()
        peer.pass_time(0.1)


def test_a_server_that_names_another_realm_each_time_is_given_up() -> None:
    peer = Peer()
    login = Login("ann", "secret", random.Random(1))
    peer.stack.request("REGISTER", peer.target(), "sip:x", "sip:ann@x", peer.now, login=login)
    asked = 0
    while sent := peer.drain():
        (request,) = sent
        assert isinstance(request, Request)
        asked += 1
        peer.respond(request, 401, extra=f'WWW-Authenticate: Digest realm="r{asked}", nonce="n"\r\n')
    assert asked == MAX_ANSWERS + 1
    assert peer.event(RequestAnswered).status == 401
    assert peer.settled()


def test_a_user_that_is_not_utf_8_has_a_name_that_can_be_written() -> None:
    for user in ("%ff", "\udcff"):
        assert parse_uri(f"sip:{user}@x").name == "\ufffd"


def test_a_call_id_that_is_not_utf_8_can_be_named_in_a_transfer() -> None:
    escaped = Replaces("a\udcff", "b", "c").escaped()
    assert escaped == "a%FF%3Bto-tag%3Db%3Bfrom-tag%3Dc"
    assert read_replaces("a\udcff;to-tag=b;from-tag=c") == Replaces("a\udcff", "b", "c")


def test_contacts_that_are_spelled_anew_never_share_an_entry() -> None:
    """What equals a contact need not equal its earlier spelling (RFC 3261 §19.1.4), under which the entry is kept."""
    bench = Bench()
    uri = PHONE.rstrip(">")
    for spelling in ("x=1", "y=2", "x=2;y=2", "x=1"):
        assert bench.register(f"{uri};{spelling}>").status == 200
    assert len(bench.registrar) == len(bench.registrar.bindings("ann")) == 2
    bench.registrar.tick(bench.now + 10_000)
    assert len(bench.registrar) == 0
    assert bench.registrar.next_timeout() is None


async def test_a_carrier_that_counts_on_from_the_largest_number_does_not_drive_ours_up(
    reactor: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sip.adapter.STOP_TIME", 0.1)
    carrier: Carrier = await open_carrier()
    say = carrier.say

    def counted_on(request: Message, status: int, *headers: str) -> None:
        said = copy(request)
        said.headers = [(name, "2147483647 REGISTER" if name == "cseq" else value) for name, value in said.headers]
        say(said, status, *headers)

    monkeypatch.setattr(carrier, "say", counted_on)
    trunk = Trunk(
        "carrier", (f"127.0.0.1:{carrier.local}",), user="4930", password="x", register=True, options_interval=0.0
    )
    adapter = SipAdapter(SipConfig(address="127.0.0.1", udp=0, tcp=None, trunks=(trunk,)), FakeDesk(), reactor)
    await adapter.start()
    await carrier.until(lambda: adapter.trunk_states()[0].registration == "registered", 30)
    await adapter.stop()  # un-registers
    await carrier.until(lambda: carrier.registers[-1].get("contact").endswith("expires=0"), 30)
    assert int(carrier.registers[-1].get("cseq").split()[0]) < 30
    carrier.transport.close()
