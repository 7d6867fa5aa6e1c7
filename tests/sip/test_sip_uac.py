"""The calling side, answered by a peer that is written by hand."""

from __future__ import annotations

import pytest
from sip_peer import ANSWER, OFFER, Peer

from gateway.reasons import Reason
from sip.events import (
    Answered,
    Ended,
    InfoAnswered,
    Provisional,
    ReinviteAnswered,
    ReinviteRejected,
    Rejected,
    RequestAnswered,
    Send,
    Target,
    Transport,
    UpdateAnswered,
    UpdateRejected,
)
from sip.message import Request, Response


def test_a_call_is_placed_answered_and_acknowledged() -> None:
    peer = Peer()
    session, invite = peer.place()
    assert (invite.target, invite.body, str(invite.cseq)) == ("sip:peer@198.51.100.7", OFFER, "1 INVITE")
    assert str(invite.contacts[0].uri) == "sip:us@198.51.100.1:5060"
    assert "rport" in invite.via.parameters
    peer.respond(invite, 100)
    peer.respond(invite, 180)
    assert peer.event(Provisional).session == session
    peer.respond(invite, 200, body=ANSWER)
    ack = peer.only()
    assert isinstance(ack, Request)
    assert (ack.method, ack.cseq.number, ack.body) == ("ACK", 1, b"")
    assert ack.target == "sip:peer@198.51.100.7:5060"
    assert ack.via.branch != invite.via.branch
    assert peer.event(Answered).response.body == ANSWER
    peer.stack.hang_up(session, Reason.NORMAL, peer.now)
    bye = peer.only()
    assert isinstance(bye, Request)
    assert (bye.method, bye.cseq.number, bye.to.tag) == ("BYE", 2, "peer")
    peer.respond(bye, 200)
    assert peer.kinds() == ["Provisional", "Answered", "Ended"]
    assert peer.settled()


def test_each_repeated_answer_gets_the_same_ack() -> None:
    peer = Peer()
    _, invite = peer.placed()
    for _ in range(3):
        peer.respond(invite, 200, body=ANSWER)
    acks = {send.data for send in peer.sends if send.data.startswith(b"ACK")}
    assert peer.statuses() == ["ACK", "ACK", "ACK"]
    assert len(acks | {send.data for send in peer.sends[1:]}) == 1
    assert peer.kinds() == ["Answered"]


def test_a_late_offer_is_acknowledged_with_our_answer() -> None:
    peer = Peer()
    session, invite = peer.place(body=b"")
    peer.respond(invite, 200, body=OFFER)
    peer.respond(invite, 200, body=OFFER)
    assert peer.statuses() == []
    assert peer.kinds() == ["Answered"]
    assert peer.stack.ack_with(session, ANSWER, peer.now)
    ack = peer.only()
    assert ack.body == ANSWER
    assert not peer.stack.ack_with(session, ANSWER, peer.now)
    peer.respond(invite, 200, body=OFFER)
    assert peer.only().body == ANSWER


def test_a_late_offer_that_nobody_answers_ends_the_call() -> None:
    peer = Peer()
    session, invite = peer.place(body=b"")
    peer.respond(invite, 200, body=OFFER)
    peer.pass_time(33)
    assert peer.statuses()[:2] == ["ACK", "BYE"]
    assert peer.settled()
    assert peer.event(Ended) == Ended(session, Reason.TIMEOUT)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (404, Reason.NO_SUCH_USER),
        (486, Reason.BUSY),
        (488, Reason.NO_COMMON_FORMAT),
        (503, Reason.OVERLOAD),
        (603, Reason.DECLINED),
        (401, Reason.AUTHENTICATION_NEEDED),
    ],
)
def test_a_refusal_is_acknowledged_and_told_once(status: int, reason: Reason) -> None:
    peer = Peer()
    session, invite = peer.place()
    peer.respond(invite, status)
    peer.respond(invite, status)
    first, second = peer.drain()
    for ack in (first, second):
        assert isinstance(ack, Request)
        assert (ack.method, ack.via.branch, ack.to.tag) == ("ACK", invite.via.branch, "peer")
        assert ack.target == invite.target
    rejected = peer.event(Rejected)
    assert (rejected.status, rejected.reason) == (status, reason)
    assert peer.kinds() == ["Rejected", "Ended"]
    assert peer.event(Ended) == Ended(session, reason)
    assert peer.settled()


def test_a_redirection_tells_its_contacts_best_first() -> None:
    peer = Peer()
    _, invite = peer.place()
    peer.respond(invite, 302, contact="<sip:a@x>;q=0.2, <sip:b@x>;q=0.9, <sip:c@x>")
    assert peer.event(Rejected).contacts == ("sip:c@x", "sip:b@x", "sip:a@x")


def test_an_invite_is_repeated_over_udp_and_given_up() -> None:
    peer = Peer()
    session, _ = peer.place()
    begin, times = peer.now, []
    while peer.now < begin + 31.5:
        peer.pass_time(0.5)
        times += [peer.now - begin for _ in peer.statuses()]
    assert times == [0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    peer.pass_time(1)
    assert peer.event(Rejected).status == 408
    assert peer.event(Ended) == Ended(session, Reason.TIMEOUT)
    assert peer.settled()


def test_an_invite_is_not_repeated_over_tcp() -> None:
    peer = Peer(Transport.TCP)
    peer.place()
    peer.pass_time(31)
    assert peer.statuses() == []


def test_cancel_waits_for_the_first_provisional_response() -> None:
    peer = Peer()
    session, invite = peer.place()
    assert peer.stack.hang_up(session, Reason.CANCELLED, peer.now)
    assert peer.statuses() == []
    peer.respond(invite, 100)
    cancel = peer.only()
    assert isinstance(cancel, Request)
    assert (cancel.method, str(cancel.cseq), cancel.via.branch) == ("CANCEL", "1 CANCEL", invite.via.branch)
    assert cancel.target == invite.target
    assert cancel.headers.get("To") == invite.headers.get("To")
    peer.respond(cancel, 200)
    peer.respond(invite, 180)
    peer.respond(invite, 487)
    assert peer.statuses() == ["ACK"]
    assert peer.kinds() == ["Ended"]
    assert peer.event(Ended) == Ended(session, Reason.CANCELLED)
    assert peer.settled()


def test_an_answer_that_crosses_the_cancel_is_acknowledged_and_hung_up() -> None:
    peer = Peer()
    session, invite = peer.place()
    peer.respond(invite, 180)
    peer.stack.hang_up(session, Reason.CANCELLED, peer.now)
    peer.respond(invite, 200, body=ANSWER)
    assert peer.statuses() == ["CANCEL", "ACK", "BYE"]
    bye = peer.sent[-1]
    assert isinstance(bye, Request)
    peer.respond(bye, 200)
    assert peer.kinds() == ["Provisional", "Ended"]
    assert peer.settled()


def test_a_cancelled_invite_that_gets_no_final_response_is_forgotten() -> None:
    peer = Peer()
    session, invite = peer.place()
    peer.respond(invite, 180)
    peer.stack.hang_up(session, Reason.CANCELLED, peer.now)
    peer.pass_time(33)
    assert peer.event(Ended) == Ended(session, Reason.CANCELLED)
    assert peer.settled()


def test_a_call_that_rings_too_long_is_cancelled_as_not_answered() -> None:
    peer = Peer(ring_time=60)
    session, invite = peer.place()
    peer.respond(invite, 180)
    peer.pass_time(61)
    assert "CANCEL" in peer.statuses()
    assert peer.event(Rejected).reason is Reason.NO_ANSWER
    peer.respond(invite, 487)
    assert peer.event(Ended) == Ended(session, Reason.NO_ANSWER)
    assert peer.kinds() == ["Provisional", "Rejected", "Ended"]


def test_a_second_answer_of_a_forked_invite_is_acknowledged_and_hung_up() -> None:
    peer = Peer()
    session, invite = peer.place()
    peer.respond(invite, 180, tag="one")
    peer.respond(invite, 183, tag="two", body=ANSWER)
    assert peer.stack.sizes()["dialogs"] == 2
    peer.respond(invite, 200, tag="two", body=ANSWER)
    assert peer.stack.sizes()["dialogs"] == 1
    peer.drain()
    peer.respond(invite, 200, tag="one", body=ANSWER)
    ack, bye = peer.drain()
    assert isinstance(ack, Request)
    assert isinstance(bye, Request)
    assert (ack.method, ack.to.tag, bye.method, bye.to.tag) == ("ACK", "one", "BYE", "one")
    peer.respond(invite, 200, tag="one", body=ANSWER)
    assert peer.statuses() == ["ACK"]
    assert peer.kinds() == ["Provisional", "Provisional", "Answered"]
    peer.request("BYE", 1, to_tag=invite.from_.tag)
    assert peer.statuses() == [481]
    assert peer.stack.hang_up(session, Reason.NORMAL, peer.now)


def test_a_second_answer_does_not_acknowledge_the_first_one_that_waits_for_our_answer() -> None:
    peer = Peer()
    session, invite = peer.place(b"")
    peer.respond(invite, 200, tag="one", body=OFFER)
    assert peer.drain() == []
    peer.respond(invite, 200, tag="two", body=OFFER)
    assert [(one.method, one.to.tag) for one in peer.drain()] == [("ACK", "two"), ("BYE", "two")]
    assert peer.stack.ack_with(session, ANSWER, peer.now)
    (ack,) = peer.drain()
    assert (ack.method, ack.to.tag, ack.body) == ("ACK", "one", ANSWER)
    lost = Peer()
    _, invite = lost.place(b"")
    for tag in ("one", "two"):
        lost.respond(invite, 200, tag=tag, body=OFFER)
    assert lost.settled(), "nobody answers the offer, so the call must end by itself"


def test_early_dialogs_are_bounded() -> None:
    peer = Peer()
    _, invite = peer.place()
    for number in range(100):
        peer.respond(invite, 180, tag=f"t{number}")
    assert peer.stack.sizes()["dialogs"] == 16
    for number in range(100):
        peer.respond(invite, 200, tag=f"t{number}")
    assert peer.stack.sizes()["dialogs"] == 1
    assert peer.settled() or peer.stack.sizes()["sessions"] == 1


def test_a_reinvite_is_answered_and_its_ack_carries_its_number() -> None:
    peer = Peer()
    session, _ = peer.placed()
    assert peer.stack.reinvite(session, b"v=0 hold", peer.now)
    assert not peer.stack.reinvite(session, b"v=0 again", peer.now)
    assert not peer.stack.update(session, b"v=0 again", peer.now)
    invite = peer.only()
    assert isinstance(invite, Request)
    peer.respond(invite, 200, body=ANSWER, contact="<sip:new@198.51.100.7>")
    ack = peer.only()
    assert isinstance(ack, Request)
    assert (ack.cseq.number, ack.target) == (2, "sip:new@198.51.100.7")
    assert peer.event(ReinviteAnswered).response.body == ANSWER
    assert not peer.stack.busy(session)


def test_a_reinvite_without_offer_is_acknowledged_with_our_answer() -> None:
    peer = Peer()
    session, _ = peer.placed()
    peer.stack.reinvite(session, b"", peer.now)
    invite = peer.only()
    assert isinstance(invite, Request)
    peer.respond(invite, 200, body=OFFER)
    assert peer.statuses() == []
    assert peer.stack.busy(session)
    assert peer.stack.ack_with(session, ANSWER, peer.now)
    assert peer.only().body == ANSWER
    assert not peer.stack.busy(session)


def test_glare_tells_how_long_to_wait_by_who_owns_the_call() -> None:
    for caller, least, most in ((True, 2.1, 4.0), (False, 0.0, 2.0)):
        peer = Peer()
        session = peer.placed()[0] if caller else peer.arrived()[0]
        peer.stack.reinvite(session, OFFER, peer.now)
        invite = peer.only()
        assert isinstance(invite, Request)
        peer.respond(invite, 491)
        rejected = peer.event(ReinviteRejected)
        assert rejected.retry_after is not None
        assert least <= rejected.retry_after <= most
        assert rejected.reason is Reason.GLARE
        assert "Ended" not in peer.kinds()


@pytest.mark.parametrize(("status", "reason"), [(481, Reason.UNREACHABLE), (408, Reason.TIMEOUT)])
def test_a_peer_that_forgot_the_call_is_hung_up(status: int, reason: Reason) -> None:
    peer = Peer()
    session, _ = peer.placed()
    peer.stack.reinvite(session, OFFER, peer.now)
    invite = peer.only()
    assert isinstance(invite, Request)
    peer.respond(invite, status)
    assert peer.statuses() == ["ACK", "BYE"]
    bye = peer.sent[-1]
    assert isinstance(bye, Request)
    peer.respond(bye, 481)
    assert peer.event(Ended) == Ended(session, reason)
    assert peer.settled()


def test_hanging_up_while_a_reinvite_is_out_leaves_nothing_over() -> None:
    peer = Peer()
    session, _ = peer.placed()
    peer.stack.reinvite(session, OFFER, peer.now)
    invite = peer.only()
    assert isinstance(invite, Request)
    peer.respond(invite, 100)
    peer.stack.hang_up(session, Reason.NORMAL, peer.now)
    bye = peer.only()
    assert isinstance(bye, Request)
    peer.respond(bye, 200)
    peer.respond(invite, 200, body=ANSWER)
    assert peer.statuses() == ["ACK"]
    assert peer.kinds() == ["Answered", "Ended"]
    assert peer.settled()


def test_a_reinvite_that_is_never_answered_leaves_nothing_over() -> None:
    for hang_up in (True, False):
        peer = Peer()
        session, _ = peer.placed()
        peer.stack.reinvite(session, OFFER, peer.now)
        invite = peer.only()
        assert isinstance(invite, Request)
        peer.respond(invite, 100)
        if hang_up:
            peer.stack.hang_up(session, Reason.NORMAL, peer.now)
        assert peer.settled()
        assert peer.kinds().count("Ended") == 1


def test_update_is_sent_only_to_who_allows_it() -> None:
    peer = Peer()
    session, _ = peer.placed()
    assert peer.stack.update(session, OFFER, peer.now)
    update = peer.only()
    assert isinstance(update, Request)
    assert update.headers.get("Contact")
    peer.respond(update, 200, body=ANSWER)
    assert peer.event(UpdateAnswered).response.body == ANSWER
    assert peer.stack.update(session, OFFER, peer.now)
    again = peer.only()
    assert isinstance(again, Request)
    peer.respond(again, 500, extra="Retry-After: 3\r\n")
    assert peer.event(UpdateRejected).retry_after == 3.0
    other = Peer()
    session, invite = other.place()
    data = f"SIP/2.0 200 OK\r\nVia: {invite.headers.get('Via')}\r\nFrom: {invite.headers.get('From')}\r\n"
    data += (
        f"To: <sip:p@x>;tag=t\r\nCall-ID: {invite.call_id}\r\nCSeq: 1 INVITE\r\nContact: <sip:p@198.51.100.7>\r\n\r\n"
    )
    other.stack.receive(data.encode(), other.flow, other.now)
    assert not other.stack.update(session, OFFER, other.now)


def test_info_tells_its_outcome_and_does_not_end_the_call() -> None:
    peer = Peer()
    session, _ = peer.placed()
    number = peer.stack.info(session, "application/media_control+xml", b"<x/>", peer.now)
    info = peer.only()
    assert isinstance(info, Request)
    assert (info.content_type, info.body) == ("application/media_control+xml", b"<x/>")
    peer.respond(info, 415)
    event = peer.event(InfoAnswered)
    assert (event.request_id, event.status) == (number, 415)
    peer.stack.info(session, "a/b", b"", peer.now)
    peer.pass_time(33)
    assert peer.event(InfoAnswered).status == 408
    assert "Ended" not in peer.kinds()


def test_options_outside_of_a_call_is_asked_and_answered() -> None:
    peer = Peer()
    number = peer.stack.request("OPTIONS", peer.target(), "sip:198.51.100.7", "sip:us@198.51.100.1", peer.now)
    options = peer.only()
    assert isinstance(options, Request)
    peer.respond(options, 200)
    event = peer.event(RequestAnswered)
    assert (event.request_id, event.status) == (number, 200)
    assert peer.settled()


def test_a_request_outside_of_a_call_that_nobody_answers_tells_408() -> None:
    peer = Peer()
    peer.stack.request("OPTIONS", peer.target(), "sip:198.51.100.7", "sip:us@198.51.100.1", peer.now)
    peer.drain()
    begin, times = peer.now, []
    while peer.now < begin + 32:
        peer.pass_time(0.5)
        times += [peer.now - begin for _ in peer.statuses()]
    assert times == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert peer.event(RequestAnswered).status == 408


def test_what_cannot_be_sent_fails_at_once() -> None:
    peer = Peer()
    session, _ = peer.place()
    peer.stack.unreachable(peer.sends[-1], peer.now)
    assert peer.event(Rejected).reason is Reason.UNREACHABLE
    assert peer.event(Ended) == Ended(session, Reason.UNREACHABLE)
    assert not any(peer.stack.sizes().values())
    peer.stack.unreachable(Send(b"nonsense", Target(Transport.UDP, "x")), peer.now)


def test_a_lost_connection_fails_what_was_just_sent_and_keeps_what_rings() -> None:
    peer = Peer(Transport.TCP)
    peer.place()
    peer.stack.closed(peer.flow, peer.now)
    assert peer.event(Rejected).reason is Reason.UNREACHABLE
    session, invite = peer.place()
    peer.respond(invite, 180)
    peer.stack.closed(peer.flow, peer.now)
    peer.respond(invite, 200, body=ANSWER)
    assert peer.event(Answered).session == session


@pytest.mark.parametrize("port", [5060, None])
def test_a_lost_connection_fails_what_it_was_opened_for(port: int | None) -> None:
    peer = Peer(Transport.TCP)
    target = Target(Transport.TCP, "198.51.100.7", port)
    session = peer.stack.invite(target, "sip:peer@198.51.100.7", "sip:us@198.51.100.1", peer.now, OFFER)
    peer.stack.closed(peer.flow, peer.now)
    assert peer.event(Ended) == Ended(session, Reason.UNREACHABLE)
    assert not any(peer.stack.sizes().values())


def test_a_call_over_tcp_stays_on_its_connection_and_names_where_else_to_go() -> None:
    peer = Peer(Transport.TCP)
    session, tag = peer.arrived()
    assert tag
    peer.stack.hang_up(session, Reason.NORMAL, peer.now)
    peer.drain()
    send = peer.sends[-1]
    assert send.target == peer.flow
    assert send.fallback == Target(Transport.TCP, "198.51.100.7", 5060)


@pytest.mark.parametrize(
    ("uri", "sender"),
    [("100", "sip:a@b"), ("sip:", "sip:a@b"), ("sip:a@b", "nobody"), ("sip:a@b", '"x <sip:a@b>')],
)
def test_addresses_that_make_no_sense_raise(uri: str, sender: str) -> None:
    peer = Peer()
    with pytest.raises(ValueError, match=r"."):
        peer.stack.invite(peer.target(), uri, sender, peer.now, OFFER)
    assert not any(peer.stack.sizes().values())


def test_over_the_bound_a_call_that_we_place_ends_at_once() -> None:
    peer = Peer(max_sessions=1)
    peer.place()
    session = peer.stack.invite(peer.target(), "sip:x@y", "sip:a@b", peer.now, OFFER)
    assert peer.statuses() == []
    assert peer.event(Ended) == Ended(session, Reason.OVERLOAD)


def test_a_response_with_a_foreign_via_is_dropped() -> None:
    peer = Peer()
    _, invite = peer.place()
    invite.headers.set("Via", "SIP/2.0/UDP 198.51.100.1;branch=z9hG4bKforeign")
    peer.respond(invite, 200)
    assert peer.statuses() == []
    assert peer.stack.counters()["dropped.response"] == 1


def test_a_preloaded_route_and_a_name_go_into_the_invite() -> None:
    peer = Peer()
    peer.stack.invite(
        Target(Transport.TLS, "proxy.example.net"),
        "sips:bob@example.com",
        '"Room 100" <sip:100@example.org>',
        peer.now,
        OFFER,
        route=["<sip:proxy.example.net;lr>"],
        headers=[("Subject", "Meeting\r\nX: y")],
    )
    invite = peer.only()
    assert isinstance(invite, Request)
    assert invite.headers.get("Route") == "<sip:proxy.example.net;lr>"
    assert invite.from_.display == "Room 100"
    assert str(invite.contacts[0].uri) == "sips:100@198.51.100.1:5061"
    assert invite.via.transport == "TLS"
    assert invite.headers.get("Subject") == "Meeting X: y"
    assert not isinstance(invite, Response)
