"""The called side, spoken to by a peer that is written by hand."""

from __future__ import annotations

import pytest
from sip_peer import ANSWER, OFFER, Peer

from gateway.reasons import Reason
from sip.events import (
    AckReceived,
    ByeReceived,
    Cancelled,
    Ended,
    InfoReceived,
    InviteReceived,
    OptionsReceived,
    ReinviteReceived,
    RequestReceived,
    Target,
    Transport,
    UpdateReceived,
)
from sip.message import Request, Response
from sip.uas import KNOWN_METHODS


def test_a_call_is_answered_acknowledged_and_ended() -> None:
    peer = Peer()
    session, tag = peer.arrived()
    answer = peer.sent[1]
    assert isinstance(answer, Response)
    assert (answer.status, answer.body) == (200, ANSWER)
    assert str(answer.contacts[0].uri) == "sip:100@198.51.100.1:5060"
    assert answer.headers.tokens("Allow") >= {"invite", "bye", "update"}
    peer.request("BYE", 2, tag)
    assert peer.statuses() == [200]
    assert peer.kinds() == ["InviteReceived", "AckReceived", "ByeReceived", "Ended"]
    assert peer.event(Ended) == Ended(session, Reason.NORMAL)
    assert peer.settled()


def test_a_repeated_invite_gets_the_same_answer_and_no_second_call() -> None:
    peer = Peer()
    peer.request("INVITE", body=OFFER)
    peer.request("INVITE", body=OFFER)
    assert peer.statuses() == [100, 100]
    peer.stack.ringing(peer.event(InviteReceived).session, peer.now)
    peer.request("INVITE", body=OFFER)
    assert peer.statuses() == [180, 180]
    assert peer.kinds() == ["InviteReceived"]


def test_ringing_is_repeated_each_minute_until_nobody_answers() -> None:
    peer = Peer()
    peer.request("INVITE", body=OFFER)
    session = peer.event(InviteReceived).session
    peer.stack.ringing(session, peer.now)
    peer.pass_time(130)
    assert peer.statuses() == [180, 180, 180]
    peer.pass_time(60)
    assert peer.statuses()[0] == 480
    assert peer.event(Ended) == Ended(session, Reason.NO_ANSWER)
    assert not peer.stack.accept(session, ANSWER, peer.now)
    assert peer.settled()


def test_the_answer_is_repeated_until_the_ack_is_given_up_and_the_call_hung_up() -> None:
    peer = Peer()
    peer.request("INVITE", body=OFFER)
    session = peer.event(InviteReceived).session
    begin = peer.now
    peer.stack.accept(session, ANSWER, peer.now)
    peer.drain()
    times = []
    while peer.now < begin + 32.5:
        peer.pass_time(0.5)
        times += [peer.now - begin for status in peer.statuses() if status == 200]
    assert times == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    bye = peer.sent[-1]
    assert isinstance(bye, Request)
    assert bye.method == "BYE"
    assert bye.headers.all("Reason") == [
        'SIP;cause=408;text="The peer never acknowledged the answer"',
        'Q.850;cause=102;text="The peer never acknowledged the answer"',
    ]
    peer.respond(bye, 200)
    assert peer.kinds() == ["InviteReceived", "NoAck", "Ended"]
    assert peer.event(Ended).reason is Reason.NO_ACK
    assert peer.settled()


def test_the_answer_is_repeated_over_tcp_too() -> None:
    peer = Peer(Transport.TCP)
    peer.request("INVITE", body=OFFER)
    peer.stack.accept(peer.event(InviteReceived).session, ANSWER, peer.now)
    peer.drain()
    peer.pass_time(2)
    assert peer.statuses() == [200, 200]


def test_a_late_offer_gets_ours_and_the_ack_brings_the_answer() -> None:
    peer = Peer()
    peer.arrived(body=b"")
    ack = peer.event(AckReceived)
    assert ack.request is not None
    assert ack.request.body == OFFER


def test_hanging_up_before_the_ack_waits_for_it() -> None:
    peer = Peer()
    peer.request("INVITE", body=OFFER)
    session = peer.event(InviteReceived).session
    peer.stack.accept(session, ANSWER, peer.now)
    tag = peer.drain()[-1].to.tag
    assert peer.stack.hang_up(session, Reason.ROOM_CLOSED, peer.now)
    assert not peer.stack.hang_up(session, Reason.NORMAL, peer.now)
    assert peer.statuses() == []
    peer.request("ACK", to_tag=tag)
    bye = peer.only()
    assert isinstance(bye, Request)
    assert bye.method == "BYE"
    peer.respond(bye, 200)
    assert peer.kinds() == ["InviteReceived", "Ended"]
    assert peer.event(Ended).reason is Reason.ROOM_CLOSED
    assert peer.settled()


def test_a_refusal_is_repeated_until_its_ack() -> None:
    peer = Peer()
    peer.request("INVITE", body=OFFER)
    session = peer.event(InviteReceived).session
    assert peer.stack.refuse(session, 488, peer.now, "No way", [("Warning", '399 us "no codec"')])
    refusal = peer.drain()[-1]
    assert isinstance(refusal, Response)
    assert (refusal.status, refusal.phrase) == (488, "No way")
    assert refusal.headers.get("Warning") == '399 us "no codec"'
    peer.pass_time(3.6)
    assert peer.statuses() == [488, 488, 488]
    peer.request("ACK", to_tag=refusal.to.tag, branch="z9hG4bKINVITE1")
    peer.pass_time(20)
    assert peer.statuses() == []
    assert peer.event(Ended) == Ended(session, Reason.NO_COMMON_FORMAT)
    assert peer.settled()


def test_hanging_up_a_ringing_call_refuses_it_with_the_reason() -> None:
    peer = Peer()
    peer.request("INVITE", body=OFFER)
    session = peer.event(InviteReceived).session
    peer.stack.hang_up(session, Reason.ROOM_FULL, peer.now)
    refusal = peer.drain()[-1]
    assert isinstance(refusal, Response)
    assert refusal.status == 486
    assert refusal.headers.all("Reason")[0] == 'SIP;cause=486;text="The room is full"'
    assert peer.event(Ended).reason is Reason.ROOM_FULL


def test_cancel_gets_200_and_its_invite_487() -> None:
    peer = Peer()
    peer.request("INVITE", body=OFFER)
    session = peer.event(InviteReceived).session
    peer.stack.ringing(session, peer.now)
    ringing = peer.drain()[-1]
    peer.request("CANCEL", branch="z9hG4bKINVITE1")
    ok, terminated = peer.drain()
    assert isinstance(ok, Response)
    assert isinstance(terminated, Response)
    assert (ok.status, str(ok.cseq)) == (200, "1 CANCEL")
    assert (terminated.status, str(terminated.cseq)) == (487, "1 INVITE")
    assert ok.to.tag == terminated.to.tag == ringing.to.tag
    assert peer.event(Cancelled).session == session
    assert peer.event(Ended).reason is Reason.CANCELLED
    assert not peer.stack.accept(session, ANSWER, peer.now)
    assert peer.settled()


def test_cancel_after_the_answer_changes_nothing_and_without_invite_gets_481() -> None:
    peer = Peer()
    _, tag = peer.arrived()
    peer.request("CANCEL", branch="z9hG4bKINVITE1")
    (ok,) = peer.drain()
    assert isinstance(ok, Response)
    assert (ok.status, ok.to.tag) == (200, tag), "one tag for both (§9.2): some callers take it for the dialog's"
    assert "Cancelled" not in peer.kinds()
    peer.request("CANCEL", branch="z9hG4bKother", cseq=7)
    assert peer.statuses() == [481]


def test_bye_before_the_answer_ends_the_call_and_its_invite() -> None:
    peer = Peer()
    peer.request("INVITE", body=OFFER)
    peer.stack.ringing(peer.event(InviteReceived).session, peer.now)
    tag = peer.drain()[-1].to.tag
    peer.request("BYE", 2, tag)
    assert peer.statuses() == [200, 487]
    assert peer.kinds()[-2:] == ["ByeReceived", "Ended"]
    assert peer.settled()


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ('Reason: Q.850;cause=17;text="User busy"\r\n', Reason.BUSY),
        ("Reason: SIP;cause=503, Q.850 ;cause=16\r\n", Reason.NORMAL),
        ("Reason: SIP;cause=503\r\n", Reason.OVERLOAD),
        ("Reason: preemption;cause=1\r\n", Reason.NORMAL),
        ("Reason: Q.850;cause=x\r\n", Reason.NORMAL),
        ("", Reason.NORMAL),
    ],
)
def test_the_reason_of_a_bye_is_understood(header: str, reason: Reason) -> None:
    peer = Peer()
    _, tag = peer.arrived()
    peer.request("BYE", 2, tag, extra=header)
    assert peer.event(Ended).reason is reason


def test_a_reinvite_is_answered_and_moves_the_remote_target() -> None:
    peer = Peer()
    session, tag = peer.arrived()
    peer.request("INVITE", 2, tag, b"v=0 hold", contact="Contact: <sip:moved@198.51.100.7:5080>\r\n")
    event = peer.event(ReinviteReceived)
    assert (event.session, event.request.body) == (session, b"v=0 hold")
    assert peer.stack.busy(session)
    assert peer.stack.answer_reinvite(session, b"v=0 held", peer.now)
    answer = peer.drain()[-1]
    assert answer.body == b"v=0 held"
    peer.request("ACK", 2, tag)
    assert not peer.stack.busy(session)
    assert peer.kinds().count("AckReceived") == 2
    peer.stack.hang_up(session, Reason.NORMAL, peer.now)
    bye = peer.only()
    assert isinstance(bye, Request)
    assert bye.target == "sip:moved@198.51.100.7:5080"
    assert peer.sends[-1].target == Target(Transport.UDP, "198.51.100.7", 5080)


def test_a_refused_reinvite_leaves_the_call() -> None:
    peer = Peer()
    session, tag = peer.arrived()
    peer.request("INVITE", 2, tag, OFFER)
    assert peer.stack.refuse_reinvite(session, 488, peer.now)
    assert peer.statuses() == [100, 488]
    peer.request("ACK", 2, tag, branch=f"z9hG4bKINVITE2{tag}")
    assert peer.stack.reinvite(session, OFFER, peer.now)
    assert "Ended" not in peer.kinds()


def test_a_cancelled_reinvite_gets_487_and_leaves_the_call() -> None:
    peer = Peer()
    session, tag = peer.arrived()
    peer.request("INVITE", 2, tag, OFFER)
    peer.request("CANCEL", 2, tag, branch=f"z9hG4bKINVITE2{tag}")
    assert peer.statuses() == [100, 200, 487]
    assert not peer.stack.answer_reinvite(session, ANSWER, peer.now)
    assert "Ended" not in peer.kinds()


def test_a_second_offer_meets_491_for_ours_and_500_for_the_peers_own() -> None:
    peer = Peer()
    session, tag = peer.arrived()
    assert peer.stack.reinvite(session, OFFER, peer.now)
    peer.drain()
    peer.request("INVITE", 2, tag, OFFER)
    peer.request("UPDATE", 3, tag, OFFER)
    assert peer.statuses() == [491, 491]
    other = Peer()
    session, tag = other.arrived()
    other.request("INVITE", 2, tag, OFFER)
    other.request("INVITE", 3, tag, OFFER)
    other.request("UPDATE", 4, tag, OFFER)
    first, second, third = other.drain()
    assert [one.status for one in (first, second, third) if isinstance(one, Response)] == [100, 500, 500]
    assert 0 <= int(second.headers.get("Retry-After") or "") <= 10
    assert not other.stack.reinvite(session, OFFER, other.now)
    assert not other.stack.update(session, OFFER, other.now)


def test_a_reinvite_shows_that_our_answer_arrived_though_the_ack_was_lost() -> None:
    peer = Peer()
    peer.request("INVITE", body=OFFER)
    session = peer.event(InviteReceived).session
    peer.stack.accept(session, ANSWER, peer.now)
    tag = peer.drain()[-1].to.tag
    peer.request("INVITE", 2, tag, OFFER)
    assert peer.kinds() == ["InviteReceived", "AckReceived", "ReinviteReceived"]
    assert peer.event(AckReceived).request is None
    peer.request("ACK", 1, tag)
    assert peer.kinds()[-1] == "ReinviteReceived"


def test_an_update_before_the_ack_is_no_sign_that_our_answer_arrived() -> None:
    peer = Peer()
    peer.request("INVITE", body=OFFER)
    peer.stack.accept(peer.event(InviteReceived).session, ANSWER, peer.now)
    tag = peer.drain()[-1].to.tag
    peer.request("UPDATE", 2, tag, OFFER)
    assert peer.stack.respond(peer.event(UpdateReceived).request_id, 200, peer.now, ANSWER)
    assert peer.statuses() == [200]
    peer.pass_time(0.6)
    (again,) = peer.drain()
    assert str(again.cseq) == "1 INVITE"
    peer.request("ACK", 1, tag)
    assert peer.kinds() == ["InviteReceived", "UpdateReceived", "AckReceived"]


def test_after_our_late_offer_a_reinvite_before_the_ack_meets_491() -> None:
    peer = Peer()
    peer.request("INVITE")
    peer.stack.accept(peer.event(InviteReceived).session, OFFER, peer.now)
    tag = peer.drain()[-1].to.tag
    peer.request("INVITE", 2, tag, OFFER)
    assert peer.statuses() == [491]


def test_update_with_an_offer_is_asked_above_and_without_one_answered() -> None:
    peer = Peer()
    session, tag = peer.arrived()
    peer.request("UPDATE", 2, tag, OFFER)
    event = peer.event(UpdateReceived)
    assert event.session == session
    assert peer.stack.busy(session)
    assert peer.stack.respond(event.request_id, 200, peer.now, ANSWER)
    assert peer.drain()[-1].body == ANSWER
    assert not peer.stack.busy(session)
    peer.request("UPDATE", 3, tag)
    assert peer.statuses() == [200]
    assert not peer.stack.respond(event.request_id, 200, peer.now)


def test_info_is_answered_from_above_or_with_500_when_nobody_does() -> None:
    peer = Peer()
    session, tag = peer.arrived()
    peer.request("INFO", 2, tag, b"Signal=1", content_type="application/dtmf-relay")
    event = peer.event(InfoReceived)
    assert (event.session, event.request.content_type) == (session, "application/dtmf-relay")
    peer.stack.respond(event.request_id, 200, peer.now)
    assert peer.statuses() == [200]
    peer.request("INFO", 3, tag, b"x", content_type="text/plain")
    peer.pass_time(31)
    assert peer.statuses() == [500]


def test_options_is_answered_with_what_we_can() -> None:
    peer = Peer()
    peer.request("OPTIONS", contact="")
    event = peer.event(OptionsReceived)
    assert event.session is None
    peer.stack.respond(event.request_id, 200, peer.now)
    answer = peer.only()
    assert answer.headers.get("Accept") == "application/sdp"
    assert "INVITE" in (answer.headers.get("Allow") or "")
    assert answer.to.tag


def test_an_allowed_further_method_is_handed_up() -> None:
    peer = Peer(methods=("INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "MESSAGE"))
    peer.request("MESSAGE", body=b"hi", content_type="text/plain")
    event = peer.event(RequestReceived)
    peer.stack.respond(event.request_id, 202, peer.now)
    assert peer.statuses() == [202]


@pytest.mark.parametrize(
    ("method", "options", "status", "header"),
    [
        ("REGISTER", {}, 405, "Allow"),
        ("NEWMETHOD", {}, 501, "Allow"),
        ("BYE", {}, 481, None),
        ("UPDATE", {"body": OFFER}, 481, None),
        ("INVITE", {"to_tag": "gone", "body": OFFER}, 481, None),
        ("OPTIONS", {"to_tag": "gone"}, 481, None),
        ("INVITE", {"extra": "Require: nothingSupportsThis, 100rel\r\n", "body": OFFER}, 420, "Unsupported"),
        ("INVITE", {"body": b"x", "content_type": "application/unknownformat"}, 415, "Accept"),
        ("INVITE", {"body": b"x", "extra": "Content-Encoding: gzip\r\n"}, 415, "Accept-Encoding"),
        ("INVITE", {"body": OFFER, "contact": ""}, 400, None),
    ],
)
def test_what_does_not_fit_is_refused(method: str, options: dict, status: int, header: str | None) -> None:
    peer = Peer()
    peer.request(method, **options)
    (answer,) = peer.drain()
    assert isinstance(answer, Response)
    assert answer.status == status
    assert answer.to.tag
    assert header is None or answer.headers.get(header)
    assert peer.events == []
    assert peer.settled()


def test_an_ack_is_never_answered() -> None:
    peer = Peer()
    peer.request("ACK", to_tag="gone")
    peer.request("ACK", extra="Require: x\r\n")
    peer.stack.receive(b"ACK sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.7\r\n\r\n", peer.flow, peer.now)
    assert peer.statuses() == []
    assert peer.stack.counters()["dropped.ack"] == 2


def test_the_last_hop_is_taken_by_an_endpoint_and_refused_where_configured() -> None:
    for peer, expected in ((Peer(), []), (Peer(refuse_last_hop=True), [483])):
        peer.request("OPTIONS", max_forwards=0)
        assert peer.statuses() == expected


@pytest.mark.parametrize("method", [*sorted(KNOWN_METHODS), "NEWMETHOD"])
@pytest.mark.parametrize("hops", [0, 1])
def test_no_hops_left_makes_no_difference_where_a_request_ends(method: str, hops: int) -> None:
    seen = []
    for given in (70, hops):
        peer = Peer(methods=tuple(KNOWN_METHODS))
        peer.request(method, body=OFFER if method == "INVITE" else b"", max_forwards=given)
        seen.append((peer.statuses(), peer.kinds()))
    assert seen[0] == seen[1]
    assert seen[0] != ([], []) or method == "ACK"


def test_hops_that_are_no_number_are_refused() -> None:
    for hops in ("300", "-1", "many"):
        peer = Peer()
        peer.request("OPTIONS", max_forwards=hops)  # type: ignore[arg-type]
        assert peer.statuses() == [400]


def test_a_request_that_came_two_ways_is_a_loop() -> None:
    peer = Peer()
    peer.request("INVITE", body=OFFER)
    peer.request("INVITE", body=OFFER, branch="z9hG4bKfork")
    assert peer.statuses() == [100, 482]
    assert peer.kinds() == ["InviteReceived"]


def test_requests_out_of_order_get_500() -> None:
    peer = Peer()
    _, tag = peer.arrived()
    peer.request("INFO", 5, tag)
    peer.request("INFO", 4, tag)
    assert peer.statuses() == [500]


def test_bye_of_both_sides_at_once_ends_the_call_once() -> None:
    peer = Peer()
    session, tag = peer.arrived()
    peer.stack.hang_up(session, Reason.NORMAL, peer.now)
    bye = peer.only()
    peer.request("BYE", 2, tag)
    assert peer.statuses() == [200]
    assert isinstance(bye, Request)
    peer.respond(bye, 481)
    assert peer.kinds() == ["InviteReceived", "AckReceived", "Ended"]
    assert not [event for event in peer.events if isinstance(event, ByeReceived)]
    assert peer.settled()


def test_a_bye_that_nobody_answers_ends_after_its_timer() -> None:
    peer = Peer()
    session, _ = peer.arrived()
    peer.stack.hang_up(session, Reason.SHUTDOWN, peer.now)
    peer.pass_time(31)
    assert "Ended" not in peer.kinds()
    peer.pass_time(2)
    assert peer.event(Ended).reason is Reason.SHUTDOWN
    assert peer.settled()


def test_a_peer_of_rfc_2543_without_branch_and_tag_is_served() -> None:
    peer = Peer()
    via = "SIP/2.0/UDP 198.51.100.7:5060"
    peer.request("INVITE", body=OFFER, via=via)
    peer.request("INVITE", body=OFFER, via=via)
    assert peer.statuses() == [100, 100]
    peer.stack.accept(peer.event(InviteReceived).session, ANSWER, peer.now)
    tag = peer.drain()[-1].to.tag
    peer.request("ACK", to_tag=tag, via=via)
    assert peer.kinds() == ["InviteReceived", "AckReceived"]


def test_actions_on_a_session_that_is_gone_do_nothing() -> None:
    peer = Peer()
    session, tag = peer.arrived()
    peer.request("BYE", 2, tag)
    peer.drain()
    stack, now = peer.stack, peer.now
    assert not stack.ringing(session, now)
    assert not stack.accept(session, ANSWER, now)
    assert not stack.refuse(session, 486, now)
    assert not stack.hang_up(session, Reason.NORMAL, now)
    assert not stack.reinvite(session, OFFER, now)
    assert not stack.update(session, OFFER, now)
    assert not stack.ack_with(session, ANSWER, now)
    assert stack.info(session, "a/b", b"", now) is None
    assert peer.statuses() == []
