"""Session timers (RFC 4028): what is agreed, who refreshes, and what happens where no refresh comes."""

from __future__ import annotations

import pytest
from sip_pair import OFFER as PAIR_OFFER
from sip_pair import Pair, starts
from sip_peer import ANSWER, OFFER, Peer

from gateway.reasons import Reason
from sip.events import Answered, Ended, InviteReceived, OptionsReceived, Refreshed, ReinviteReceived, Rejected
from sip.message import Request, Response
from sip.refresh import MAX_SE, minimum, wished

ABLE = "Supported: timer\r\n"


def answered(peer: Peer, extra: str) -> Response:
    """Let the peer call and be answered; return the 200."""
    peer.request("INVITE", body=OFFER, extra=extra)
    session = peer.event(InviteReceived).session
    assert peer.stack.accept(session, ANSWER, peer.now)
    response = peer.drain()[-1]
    assert isinstance(response, Response)
    peer.request("ACK", to_tag=response.to.tag)
    peer.drain()
    return response


@pytest.mark.parametrize(
    ("asked", "agreed", "required"),
    [
        # no timer asked for: one who knows timers gets ours, others none
        ("", None, False),
        (ABLE, "1800;refresher=uas", False),
        # what is asked is taken down to the minimum, and never above our own
        ("Session-Expires: 600\r\n" + ABLE, "600;refresher=uas", False),
        ("x: 7200;refresher=uac\r\nk: timer\r\n", "1800;refresher=uac", True),
        ("Session-Expires: 90;refresher=uas\r\n" + ABLE, "90;refresher=uas", False),
        # a proxy asks on behalf of a peer that knows nothing of it
        ("Session-Expires: 300\r\n", "300;refresher=uas", False),
        ("Session-Expires: 60\r\n", "90;refresher=uas", False),
        ("Session-Expires: 600\r\nMin-SE: 500\r\n" + ABLE, "600;refresher=uas", False),
        # what makes no sense counts as not said
        ("Session-Expires: soon\r\n" + ABLE, "1800;refresher=uas", False),
        ("Session-Expires: 600;refresher=me\r\n" + ABLE, "600;refresher=uas", False),
    ],
)
def test_the_200_says_the_interval_and_who_refreshes(asked: str, agreed: str | None, required: bool) -> None:
    response = answered(Peer(), asked)
    assert response.headers.get("Session-Expires") == agreed
    assert ("timer" in response.headers.tokens("Require")) is required


def test_an_interval_below_our_minimum_gets_422_that_says_it() -> None:
    peer = Peer()
    peer.request("INVITE", body=OFFER, extra="Session-Expires: 89\r\n" + ABLE)
    refusal = peer.only()
    assert (refusal.status, refusal.headers.get("Min-SE")) == (422, "90")
    assert peer.kinds() == []


def test_the_side_that_refreshes_sends_update_after_half_of_the_interval() -> None:
    peer = Peer()
    answered(peer, "Session-Expires: 600;refresher=uas\r\n" + ABLE)
    peer.pass_time(299)
    assert peer.statuses() == []
    peer.pass_time(1.2)
    update = peer.only()
    assert isinstance(update, Request)
    assert (update.method, update.body) == ("UPDATE", b"")
    assert update.headers.get("Session-Expires") == "600;refresher=uac"
    peer.respond(update, 200, extra="Session-Expires: 600;refresher=uac\r\n")
    peer.pass_time(299)
    assert peer.statuses() == []
    peer.pass_time(1.2)
    assert peer.statuses() == ["UPDATE"]


def test_a_peer_that_knows_no_update_is_refreshed_by_the_same_description() -> None:
    pair = Pair(methods=("INVITE", "ACK", "BYE", "CANCEL", "INFO"), session_expires=200)
    _, theirs = pair.call()
    pair.run(101)
    assert starts(pair.bob).count("INVITE") == 1
    event = pair.alice.last(ReinviteReceived)
    assert pair.alice.stack.answer_reinvite(event.session, PAIR_OFFER, pair.now)
    pair.run(1)
    refreshed = pair.bob.last(Refreshed)
    assert (refreshed.session, refreshed.response.body) == (theirs, PAIR_OFFER)
    assert event.request.body == b"v=0\r\no=- 2 1 IN IP4 192.0.2.2\r\n"
    assert not pair.alice.of(Ended)


def test_a_call_that_nobody_refreshes_ends_on_both_sides_with_timeout() -> None:
    pair = Pair(session_expires=300)
    pair.call()
    pair.run(140)
    pair.loss = 1.0
    pair.run(160)
    assert pair.alice.last(Ended).reason is Reason.TIMEOUT
    pair.run(200)
    assert pair.bob.last(Ended).reason is Reason.TIMEOUT
    assert pair.alice.stack.counters()["expired"] == 1
    assert pair.empty()


def test_the_one_who_is_refreshed_hangs_up_shortly_before_the_interval_ends() -> None:
    peer = Peer()
    answered(peer, "Session-Expires: 600;refresher=uac\r\n" + ABLE)
    peer.pass_time(567)
    assert peer.statuses() == []
    peer.pass_time(1.2)
    bye = peer.only()
    assert isinstance(bye, Request)
    assert bye.method == "BYE"
    assert "cause=408" in (bye.headers.get("Reason") or "")
    peer.respond(bye, 200)
    assert peer.event(Ended).reason is Reason.TIMEOUT
    assert peer.settled()


def test_a_refresh_of_the_peer_begins_the_interval_anew() -> None:
    peer = Peer()
    tag = answered(peer, "Session-Expires: 600;refresher=uac\r\n" + ABLE).to.tag
    peer.pass_time(500)
    peer.request("UPDATE", 2, tag, extra="Session-Expires: 600;refresher=uac\r\n" + ABLE)
    assert peer.only().headers.get("Session-Expires") == "600;refresher=uac"
    peer.pass_time(500)
    peer.request("UPDATE", 3, tag, extra="Session-Expires: 600\r\n" + ABLE)
    assert peer.only().headers.get("Session-Expires") == "600;refresher=uac"
    peer.pass_time(500)
    assert peer.statuses() == []


def test_a_refresh_without_session_expires_from_one_who_knows_no_timers_ends_the_timer() -> None:
    peer = Peer()
    tag = answered(peer, "Session-Expires: 600;refresher=uac\r\n" + ABLE).to.tag
    peer.request("UPDATE", 2, tag)
    assert peer.only().headers.get("Session-Expires") is None
    peer.pass_time(2000)
    assert peer.statuses() == []


def test_a_refused_refresh_is_tried_again_until_the_interval_ends() -> None:
    peer = Peer()
    answered(peer, "Session-Expires: 600;refresher=uas\r\n" + ABLE)
    peer.pass_time(300.2)
    update = peer.only()
    assert isinstance(update, Request)
    peer.respond(update, 500, extra="Retry-After: 7\r\n")
    peer.pass_time(6)
    assert peer.statuses() == []
    peer.pass_time(1.2)
    update = peer.only()
    assert isinstance(update, Request)
    peer.respond(update, 481)
    bye = peer.only()
    assert isinstance(bye, Request)
    peer.respond(bye, 481)
    assert peer.event(Ended).reason is Reason.UNREACHABLE
    assert peer.settled()


def test_our_invite_asks_for_our_interval_and_keeps_what_the_200_says() -> None:
    peer = Peer(session_expires=900)
    _, invite = peer.place()
    assert invite.headers.get("Session-Expires") == "900"
    assert invite.headers.get("Min-SE") is None
    peer.respond(invite, 200, body=ANSWER, extra="Session-Expires: 400;refresher=uac\r\nRequire: timer\r\n")
    peer.drain()
    peer.pass_time(200.2)
    assert peer.statuses() == ["UPDATE"]


def test_a_200_without_session_expires_means_no_timer() -> None:
    peer = Peer()
    peer.placed()
    peer.pass_time(4000)
    assert peer.statuses() == []


def test_422_raises_the_interval_and_the_same_call_is_tried_again() -> None:
    peer = Peer()
    session, invite = peer.place()
    peer.respond(invite, 422, extra="Min-SE: 3600\r\n")
    ack, again = peer.drain()
    assert isinstance(again, Request)
    assert (ack.method, again.method, again.cseq.number) == ("ACK", "INVITE", 2)
    assert (again.call_id, again.from_.tag, again.to.tag) == (invite.call_id, invite.from_.tag, "")
    assert (again.headers.get("Session-Expires"), again.headers.get("Min-SE")) == ("3600", "3600")
    assert (again.body, len(again.headers.all("Content-Type")), len(again.vias)) == (OFFER, 1, 1)
    peer.respond(again, 200, body=ANSWER, extra="Session-Expires: 3600;refresher=uas\r\n")
    ack = peer.only()
    assert (ack.method, ack.cseq.number) == ("ACK", 2)
    assert peer.event(Answered).session == session


def test_422_again_and_again_is_given_up() -> None:
    peer = Peer()
    session, invite = peer.place()
    for least in (100, 200, 300):
        peer.respond(invite, 422, extra=f"Min-SE: {least}\r\n")
        invite = peer.drain()[-1]
        assert invite.method == "INVITE"
    peer.respond(invite, 422, extra="Min-SE: 400\r\n")
    assert peer.statuses() == ["ACK"]
    assert peer.event(Rejected).status == 422
    assert peer.event(Ended).session == session
    assert peer.settled()


@pytest.mark.parametrize("least", ["", "Min-SE: 0\r\n", "Min-SE: x\r\n", f"Min-SE: {MAX_SE + 1}\r\n"])
def test_422_that_says_no_usable_minimum_ends_the_call(least: str) -> None:
    peer = Peer()
    _, invite = peer.place()
    peer.respond(invite, 422, extra=least)
    assert peer.statuses() == ["ACK"]
    assert peer.event(Rejected).status == 422


def test_a_reinvite_with_too_small_an_interval_leaves_the_call_as_it_was() -> None:
    peer = Peer()
    tag = answered(peer, "").to.tag
    peer.request("INVITE", 2, tag, OFFER, "Session-Expires: 30\r\n" + ABLE)
    assert peer.statuses() == [422]
    peer.request("UPDATE", 3, tag, b"", "Session-Expires: 30\r\n" + ABLE)
    assert peer.statuses() == [422]
    assert "Ended" not in peer.kinds()


def test_without_session_timers_in_the_configuration_nothing_is_said_of_them() -> None:
    peer = Peer(supported=())
    _, invite = peer.place()
    assert invite.headers.get("Session-Expires") is None
    assert answered(peer, "Session-Expires: 30\r\n" + ABLE).headers.get("Session-Expires") is None


def test_the_headers_are_read() -> None:
    peer = Peer()
    for value, expected in [
        ("Session-Expires: 1800;refresher=uac", (1800, "uac")),
        ("x:90 ; Refresher = UAS ; foo=bar", (90, "uas")),
        ("Session-Expires: 4294967296", (MAX_SE, "")),
        ("Session-Expires: 99999999999999999999", (0, "")),
        ("Session-Expires: -1", (0, "")),
        ("Subject: none", (0, "")),
    ]:
        peer.request("OPTIONS", extra=value + "\r\n", call_id=value[-8:].strip(), branch=f"z9hG4bK{value[-5:]}")
        assert wished(peer.event(OptionsReceived).request) == expected
        assert minimum(peer.event(OptionsReceived).request) == 0
