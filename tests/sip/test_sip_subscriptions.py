"""Subscriptions of peers, the NOTIFYs that follow, and REFERs both ways (RFC 6665, RFC 3515)."""

from __future__ import annotations

import pytest
from sip_peer import Peer

from gateway.reasons import Reason
from sip.events import (
    ReferAnswered,
    ReferProgress,
    RequestReceived,
    Resubscribed,
    SubscriptionEnded,
)
from sip.message import Request, Response
from sip.replaces import Replaces
from sip.subscriptions import MAX_SUBSCRIPTIONS, MAX_WAITING, REFER_TIME, fragment, fragment_status

METHODS = ("INVITE", "ACK", "BYE", "CANCEL", "UPDATE", "PRACK", "REFER", "NOTIFY", "SUBSCRIBE", "MESSAGE")
EVENT = "Event: conference\r\n"


def peer_with(**config: object) -> Peer:
    return Peer(methods=METHODS, **config)


def subscribed(peer: Peer, extra: str = "Expires: 600\r\n", number: int = 1):
    """Let the peer subscribe; return our id of it and our tag."""
    peer.request("SUBSCRIBE", extra=EVENT + extra, call_id=f"sub-{number}", branch=f"z9hG4bKsub{number}")
    event = peer.event(RequestReceived)
    peer.drain()
    subscription = peer.stack.subscribe(event.request_id, peer.now)
    assert subscription is not None
    answer = peer.only()
    assert isinstance(answer, Response)
    return subscription, answer


def notify(peer: Peer) -> Request:
    sent = peer.only()
    assert isinstance(sent, Request)
    assert sent.method == "NOTIFY"
    return sent


def test_a_subscription_is_answered_with_its_time_and_gets_the_state_in_its_own_dialog() -> None:
    peer = peer_with()
    subscription, answer = subscribed(peer)
    assert (answer.status, answer.headers.get("Expires")) == (200, "600")
    assert answer.contacts
    assert peer.stack.notify(subscription, b"<all/>", peer.now, "application/x+xml")
    sent = notify(peer)
    assert (sent.headers.get("Event"), sent.headers.get("Subscription-State")) == ("conference", "active;expires=600")
    assert (sent.from_.tag, sent.to.tag, sent.call_id, sent.body) == (answer.to.tag, "peer", "sub-1", b"<all/>")
    assert (sent.content_type, sent.target) == ("application/x+xml", "sip:peer@198.51.100.7:5060")
    assert sent.contacts


def test_one_notify_is_on_its_way_at_a_time() -> None:
    peer = peer_with()
    subscription, _ = subscribed(peer)
    for body in (b"1", b"2", b"3"):
        peer.stack.notify(subscription, body, peer.now)
    first = notify(peer)
    peer.respond(first, 200)
    second = notify(peer)
    assert (first.body, second.body) == (b"1", b"2")
    assert second.cseq.number == first.cseq.number + 1


def test_a_subscriber_that_falls_behind_is_sent_the_whole_state_instead() -> None:
    peer = peer_with()
    subscription, _ = subscribed(peer)
    for _ in range(MAX_WAITING + 2):
        peer.stack.notify(subscription, b"x", peer.now)
    assert peer.event(Resubscribed).subscription == subscription


def test_a_refresh_keeps_the_subscription_and_asks_for_the_whole_state() -> None:
    peer = peer_with()
    subscription, answer = subscribed(peer)
    peer.pass_time(500)
    again = EVENT + "Expires: 300\r\n"
    peer.request("SUBSCRIBE", 2, answer.to.tag, extra=again, call_id="sub-1")
    assert peer.only().headers.get("Expires") == "300"
    assert peer.event(Resubscribed).subscription == subscription
    peer.pass_time(299)
    assert peer.statuses() == []
    peer.request("SUBSCRIBE", 2, answer.to.tag, extra=again, call_id="sub-1", branch="z9hG4bKold")
    assert peer.statuses() == [500]


def test_a_subscription_that_is_not_refreshed_ends_and_says_so() -> None:
    peer = peer_with()
    subscription, _ = subscribed(peer, "Expires: 60\r\n")
    peer.pass_time(60)
    sent = notify(peer)
    assert sent.headers.get("Subscription-State") == "terminated;reason=timeout"
    assert peer.event(SubscriptionEnded).subscription == subscription
    peer.respond(sent, 200)
    assert not peer.stack.notify(subscription, b"x", peer.now)
    assert peer.settled()


def test_expires_0_ends_a_subscription_and_fetches_once() -> None:
    peer = peer_with()
    _, answer = subscribed(peer)
    peer.request("SUBSCRIBE", 2, answer.to.tag, extra=EVENT + "Expires: 0\r\n", call_id="sub-1")
    ok, last = peer.drain()
    assert isinstance(last, Request)
    assert (ok.headers.get("Expires"), last.method) == ("0", "NOTIFY")
    peer.respond(last, 200)
    assert peer.event(SubscriptionEnded).reason is Reason.NORMAL
    subscribed(peer, "Expires: 0\r\n", 2)
    assert peer.settled()


@pytest.mark.parametrize("status", [481, 489, 404])
def test_a_peer_that_knows_of_no_subscription_ends_it(status: int) -> None:
    peer = peer_with()
    subscription, _ = subscribed(peer)
    peer.stack.notify(subscription, b"x", peer.now)
    peer.respond(notify(peer), status)
    assert peer.event(SubscriptionEnded).subscription == subscription
    assert peer.settled()


def test_a_peer_that_is_busy_for_a_moment_keeps_its_subscription() -> None:
    peer = peer_with()
    subscription, _ = subscribed(peer)
    peer.stack.notify(subscription, b"1", peer.now)
    peer.respond(notify(peer), 503, extra="Retry-After: 5\r\n")
    assert peer.stack.notify(subscription, b"2", peer.now)


def test_a_lost_peer_ends_its_subscription() -> None:
    peer = peer_with()
    subscription, _ = subscribed(peer)
    peer.stack.notify(subscription, b"x", peer.now)
    assert peer.settled()
    assert peer.event(SubscriptionEnded).reason is Reason.TIMEOUT


def test_too_many_subscriptions_are_refused() -> None:
    peer = peer_with()
    for number in range(MAX_SUBSCRIPTIONS):
        subscribed(peer, number=number)
    peer.request("SUBSCRIBE", extra=EVENT, call_id="one more", branch="z9hG4bKmore")
    assert peer.stack.subscribe(peer.event(RequestReceived).request_id, peer.now) is None
    assert peer.statuses() == [503]


def test_an_unknown_dialog_or_a_stray_notify_gets_481() -> None:
    peer = peer_with()
    subscribed(peer)
    for method in ("SUBSCRIBE", "NOTIFY"):
        peer.request(method, 2, "nobody", extra=EVENT, call_id="sub-1")
    peer.request("NOTIFY", 3, extra=EVENT, call_id="none")
    assert peer.statuses() == [481, 481, 481]


# REFER of the peer's


def referred(peer: Peer, tag: str, cseq: int):
    peer.request("REFER", cseq, tag, extra="Refer-To: <sip:bob@example.com>\r\n")
    event = peer.event(RequestReceived)
    subscription = peer.stack.subscribe(event.request_id, peer.now)
    answer = peer.only()
    assert answer.status == 202
    assert answer.headers.get("Expires") is None
    return subscription


def test_a_refer_is_followed_by_notifies_in_the_call_that_outlive_it() -> None:
    peer = peer_with()
    _, tag = peer.arrived()
    first = referred(peer, tag, 2)
    peer.stack.notify(first, fragment(100, "Trying"), peer.now, "message/sipfrag;version=2.0")
    sent = notify(peer)
    assert (sent.headers.get("Event"), sent.body) == ("refer", b"SIP/2.0 100 Trying\r\n")
    assert fragment_status(sent) == 100
    peer.respond(sent, 200)
    second = referred(peer, tag, 3)
    peer.stack.notify(second, fragment(100, "Trying"), peer.now, "message/sipfrag;version=2.0")
    other = notify(peer)
    assert other.headers.get("Event") == "refer;id=3"
    peer.respond(other, 200)
    peer.request("BYE", 4, tag)
    assert peer.statuses() == [200]
    peer.stack.notify(first, fragment(200, "OK"), peer.now, "message/sipfrag;version=2.0", end="noresource")
    last = notify(peer)
    assert last.headers.get("Subscription-State") == "terminated;reason=noresource"
    peer.respond(last, 200)
    peer.pass_time(REFER_TIME + 1)
    peer.respond(notify_again(peer), 200)
    assert peer.settled()


def notify_again(peer: Peer) -> Request:
    """Return the first of the messages that were sent."""
    sent = peer.drain()[0]
    assert isinstance(sent, Request)
    return sent


# REFER of ours


def refer(peer: Peer, session) -> tuple:
    number = peer.stack.refer(session, "<sip:carol@example.com>", peer.now, [("Referred-By", "<sip:us@x>")])
    sent = peer.only()
    assert isinstance(sent, Request)
    assert (sent.method, sent.headers.get("Refer-To")) == ("REFER", "<sip:carol@example.com>")
    return number, sent


def told(peer: Peer, sent: Request, cseq: int, body: bytes, state: str = "active", event: str = "refer") -> None:
    extra = f"Event: {event}\r\nSubscription-State: {state}\r\n"
    peer.request(
        "NOTIFY", cseq, sent.from_.tag, body, extra, call_id=sent.call_id, content_type="message/sipfrag;version=2.0"
    )


def test_we_refer_a_peer_and_hear_how_it_goes() -> None:
    peer = peer_with()
    session, _ = peer.placed()
    number, sent = refer(peer, session)
    peer.respond(sent, 202)
    assert peer.event(ReferAnswered) == ReferAnswered(session, number, 202)
    told(peer, sent, 1, b"SIP/2.0 100 Trying\r\n")
    assert peer.event(ReferProgress) == ReferProgress(session, number, 100, False)
    told(peer, sent, 2, b"SIP/2.0 200 OK\r\n", "terminated;reason=noresource", f"refer;id={sent.cseq.number}")
    assert peer.event(ReferProgress) == ReferProgress(session, number, 200, True)
    assert [one.status for one in peer.sent[-2:] if isinstance(one, Response)] == [200, 200]
    told(peer, sent, 3, b"SIP/2.0 200 OK\r\n")
    assert peer.statuses() == [481]


def test_a_refer_that_is_refused_or_never_told_of_is_over() -> None:
    peer = peer_with()
    session, _ = peer.placed()
    _, sent = refer(peer, session)
    peer.respond(sent, 603)
    assert peer.event(ReferAnswered).status == 603
    number, sent = refer(peer, session)
    peer.respond(sent, 202)
    peer.pass_time(REFER_TIME + 1)
    assert peer.event(ReferProgress) == ReferProgress(session, number, 408, True)
    assert peer.stack.sizes()["subscriptions"] == 0


def test_a_call_can_be_named_for_one_who_takes_our_place() -> None:
    peer = peer_with()
    session, invite = peer.placed()
    assert peer.stack.replaces(session) == Replaces(invite.call_id, "peer", invite.from_.tag)
    assert peer.stack.refer(session, "sip:a@b", peer.now) is not None
    other = peer_with()
    early, _ = other.place()
    assert other.stack.replaces(early) is None
    assert other.stack.refer(early, "sip:a@b", other.now) is None


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("message/sipfrag;version=2.0", b"SIP/2.0 180 Ringing\r\nContact: x", 180),
        ("message/sipfrag", b"SIP/2.0 200", 200),
        ("text/plain", b"SIP/2.0 200 OK", 0),
        ("message/sipfrag", b"SIP/2.0 2000 OK", 0),
        ("message/sipfrag", b"INVITE sip:a@b SIP/2.0", 0),
        ("message/sipfrag", b"\xff\xfe", 0),
    ],
)
def test_a_sipfrag_body_is_read(kind: str, body: bytes, status: int) -> None:
    peer = peer_with()
    peer.request("MESSAGE", body=body, content_type=kind)
    assert fragment_status(peer.event(RequestReceived).request) == status
