"""Reliable provisional responses, PRACK, and UPDATE before the answer (RFC 3262, RFC 3311)."""

from __future__ import annotations

import pytest
from sip_pair import Pair, starts
from sip_peer import ANSWER, OFFER, Peer

from gateway.reasons import Reason
from sip.events import (
    Answered,
    Ended,
    InviteReceived,
    PrackReceived,
    Provisional,
    UpdateAnswered,
    UpdateReceived,
)
from sip.message import Request, Response
from sip.reliable import parse_rack, response_number

ABLE = "Supported: 100rel\r\n"
MUST = "Require: 100rel\r\n"


def ringing(peer: Peer, extra: str = ABLE, body: bytes = OFFER):
    peer.request("INVITE", body=body, extra=extra)
    session = peer.event(InviteReceived).session
    peer.drain()
    return session


def prack(peer: Peer, response: Response, cseq: int = 2, body: bytes = b"", **changes: str) -> None:
    rack = changes.get("rack") or f"{response.headers.get('RSeq')} 1 INVITE"
    peer.request("PRACK", cseq, response.to.tag, body, f"RAck: {rack}\r\n")


def reliably(peer: Peer, invite: Request, number: int, tag: str = "peer", body: bytes = b"", status: int = 183) -> None:
    peer.respond(invite, status, tag, body, f"Require: 100rel\r\nRSeq: {number}\r\n")


# the called side


def test_a_183_with_a_body_is_reliable_where_the_caller_can_take_it() -> None:
    peer = Peer()
    session = ringing(peer)
    assert peer.stack.progress(session, ANSWER, peer.now)
    sent = peer.only()
    assert isinstance(sent, Response)
    assert (sent.status, sent.headers.get("Require"), sent.body) == (183, "100rel", ANSWER)
    assert response_number(sent) == int(sent.headers.get("RSeq") or 0) > 0
    prack(peer, sent)
    assert peer.statuses() == [200]
    peer.pass_time(20)
    assert peer.statuses() == []


def test_a_180_is_reliable_only_where_the_caller_requires_it() -> None:
    peer = Peer()
    assert peer.stack.ringing(ringing(peer), peer.now)
    assert response_number(peer.only()) is None
    peer = Peer()
    assert peer.stack.ringing(ringing(peer, MUST), peer.now)
    assert response_number(peer.only()) is not None


def test_a_reliable_1xx_is_repeated_at_doubling_intervals_and_then_the_call_gets_504() -> None:
    peer = Peer()
    session = ringing(peer)
    peer.stack.progress(session, ANSWER, peer.now)
    begin, times = peer.now, []
    peer.drain()
    while peer.now < begin + 31.5:
        peer.pass_time(0.5)
        times += [peer.now - begin for _ in peer.statuses()]
    assert times == [0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    peer.pass_time(1)
    assert 504 in peer.statuses()
    assert peer.event(Ended) == Ended(session, Reason.TIMEOUT)
    assert peer.settled()


def test_the_200_waits_for_the_prack_of_the_answer_and_holds_no_second_one() -> None:
    peer = Peer()
    session = ringing(peer)
    peer.stack.progress(session, ANSWER, peer.now)
    early = peer.only()
    assert peer.stack.accept(session, ANSWER, peer.now)
    assert not peer.stack.accept(session, ANSWER, peer.now)
    assert not peer.stack.ringing(session, peer.now)
    assert peer.statuses() == []
    prack(peer, early)
    prack_ok, invite_ok = peer.drain()
    assert (prack_ok.cseq.method, prack_ok.status) == ("PRACK", 200)
    assert (invite_ok.cseq.method, invite_ok.status, invite_ok.body) == ("INVITE", 200, b"")
    peer.request("ACK", to_tag=early.to.tag)
    peer.stack.hang_up(session, Reason.NORMAL, peer.now)
    assert peer.statuses() == ["BYE"]
    assert peer.settled()


def test_a_second_reliable_1xx_waits_for_the_first_ones_prack_and_is_numbered_one_higher() -> None:
    peer = Peer()
    session = ringing(peer, MUST)
    peer.stack.ringing(session, peer.now)
    first = peer.only()
    assert peer.stack.progress(session, ANSWER, peer.now)
    assert peer.statuses() == []
    prack(peer, first)
    ok, second = peer.drain()
    assert (ok.status, second.status) == (200, 183)
    assert response_number(second) == (response_number(first) or 0) + 1
    prack(peer, first, 3)
    assert peer.statuses() == [481]
    prack(peer, second, 4)
    assert peer.statuses() == [200]


def test_an_offer_of_ours_in_a_reliable_1xx_is_answered_in_the_prack() -> None:
    peer = Peer()
    session = ringing(peer, body=b"")
    assert not peer.stack.update(session, OFFER, peer.now)
    peer.stack.progress(session, OFFER, peer.now)
    early = peer.only()
    peer.request("UPDATE", 2, early.to.tag, OFFER)
    assert peer.statuses() == [491]
    prack(peer, early, 3, ANSWER)
    assert peer.statuses() == [200]
    event = peer.event(PrackReceived)
    assert (event.session, event.request_id, event.request.body) == (session, None, ANSWER)
    assert peer.stack.accept(session, OFFER, peer.now)
    assert peer.only().body == b""


def test_a_prack_may_hold_a_new_offer_that_is_answered_in_its_200() -> None:
    peer = Peer()
    session = ringing(peer)
    peer.stack.progress(session, ANSWER, peer.now)
    prack(peer, peer.only(), body=OFFER)
    event = peer.event(PrackReceived)
    assert event.session == session
    assert event.request_id is not None
    assert peer.stack.respond(event.request_id, 200, peer.now, b"v=0 second")
    assert peer.only().body == b"v=0 second"


@pytest.mark.parametrize("rack", ["1 1 INVITE", "x 1 INVITE", "1 1", "", "99999999999 1 INVITE", "1 1 INVITE extra"])
def test_a_prack_that_names_nothing_gets_481(rack: str) -> None:
    peer = Peer()
    session = ringing(peer)
    peer.stack.progress(session, ANSWER, peer.now)
    prack(peer, peer.only(), rack=rack or " ")
    assert peer.statuses() == [481]
    peer.stack.hang_up(session, Reason.BUSY, peer.now)
    peer.drain()


def test_the_answer_of_a_call_that_was_given_up_meanwhile_is_not_sent() -> None:
    peer = Peer()
    session = ringing(peer)
    peer.stack.progress(session, ANSWER, peer.now)
    peer.drain()
    peer.stack.accept(session, ANSWER, peer.now)
    peer.stack.hang_up(session, Reason.ROOM_CLOSED, peer.now)
    assert peer.statuses() == [410]
    peer.request("ACK", branch="z9hG4bKINVITE1")
    assert peer.settled()


# the calling side


def test_a_reliable_1xx_is_acknowledged_once_and_in_order_only() -> None:
    peer = Peer()
    session, invite = peer.place()
    assert "100rel" in invite.headers.tokens("Supported")
    reliably(peer, invite, 700, body=ANSWER)
    sent = peer.only()
    assert isinstance(sent, Request)
    assert (sent.method, parse_rack(sent), sent.to.tag) == ("PRACK", (700, 1, "INVITE"), "peer")
    assert peer.event(Provisional).reliable
    peer.respond(sent, 200)
    reliably(peer, invite, 700, body=ANSWER)
    reliably(peer, invite, 702, status=180)
    assert peer.statuses() == []
    assert peer.stack.counters()["dropped.provisional"] == 2
    reliably(peer, invite, 701, status=180)
    assert peer.statuses() == ["PRACK"]
    peer.respond(invite, 200)
    assert peer.statuses() == ["ACK"]
    assert peer.event(Answered).session == session


def test_each_branch_of_a_forked_invite_has_numbers_of_its_own() -> None:
    peer = Peer()
    _, invite = peer.place()
    reliably(peer, invite, 5, "one")
    reliably(peer, invite, 900, "two", ANSWER)
    reliably(peer, invite, 6, "one")
    assert [one.to.tag for one in peer.drain() if isinstance(one, Request)] == ["one", "two", "one"]
    peer.respond(invite, 200, "two")
    assert peer.statuses() == ["ACK"]
    peer.respond(invite, 200, "one", ANSWER)
    ack, bye = peer.drain()
    assert (ack.method, bye.method, bye.to.tag) == ("ACK", "BYE", "one")
    assert bye.cseq.number == 4  # after INVITE 1 and PRACKs 2 and 3: the branch would refuse a lower one


def test_an_offer_in_a_reliable_1xx_waits_for_our_answer() -> None:
    peer = Peer()
    session, invite = peer.place(b"")
    reliably(peer, invite, 1, body=OFFER)
    assert peer.statuses() == []
    event = peer.event(Provisional)
    assert peer.stack.prack_with(session, event.response, ANSWER, peer.now)
    assert not peer.stack.prack_with(session, event.response, ANSWER, peer.now)
    sent = peer.only()
    assert (sent.method, sent.body) == ("PRACK", ANSWER)
    peer.respond(sent, 200)
    peer.respond(invite, 200)
    assert peer.only().body == b""
    assert peer.event(Answered)


def test_a_1xx_that_cannot_be_acknowledged_is_not_told() -> None:
    peer = Peer()
    _, invite = peer.place()
    peer.respond(invite, 183, "", ANSWER, "Require: 100rel\r\nRSeq: 1\r\n")
    assert peer.kinds() == []


# both


def early(pair: Pair) -> tuple:
    ours = pair.alice.stack.invite(pair.target(pair.bob), "sip:1@192.0.2.2", "sip:a@192.0.2.1", pair.now, OFFER)
    pair.run(0.2)
    theirs = pair.bob.last(InviteReceived).session
    assert pair.bob.stack.progress(theirs, ANSWER, pair.now)
    pair.run(0.2)
    assert pair.alice.last(Provisional).response.body == ANSWER
    return ours, theirs


def test_either_side_may_update_an_early_dialog() -> None:
    pair = Pair()
    ours, theirs = early(pair)
    for side, session, other in ((pair.alice, ours, pair.bob), (pair.bob, theirs, pair.alice)):
        assert side.stack.update(session, b"v=0 new", pair.now)
        pair.run(0.1)
        event = other.last(UpdateReceived)
        assert event.request.body == b"v=0 new"
        assert other.stack.respond(event.request_id, 200, pair.now, b"v=0 newer")
        pair.run(0.1)
        assert side.last(UpdateAnswered).response.body == b"v=0 newer"
        assert side.last(UpdateAnswered).response.contacts
    assert pair.bob.stack.accept(theirs, ANSWER, pair.now)
    pair.run(0.2)
    assert pair.alice.of(Answered)
    assert pair.alice.stack.hang_up(ours, Reason.NORMAL, pair.now)
    pair.run(100)
    assert pair.empty()


def test_updates_that_meet_in_an_early_dialog_both_get_491() -> None:
    pair = Pair()
    ours, theirs = early(pair)
    assert pair.alice.stack.update(ours, b"v=0 a", pair.now)
    assert pair.bob.stack.update(theirs, b"v=0 b", pair.now)
    pair.run(0.1)
    assert starts(pair.alice).count("491") == starts(pair.bob).count("491") == 1


def test_a_lost_1xx_and_a_lost_prack_are_sent_again() -> None:
    pair = Pair()
    lost = []

    def first(data: bytes) -> bool:
        kind = data.split(b" ", 2)[0:2]
        key = b"183" if kind[1:] == [b"183"] else kind[0] if kind[0] == b"PRACK" else b""
        if key and key not in lost:
            lost.append(key)
            return True
        return False

    pair.drop.append(first)
    ours = pair.alice.stack.invite(pair.target(pair.bob), "sip:1@192.0.2.2", "sip:a@192.0.2.1", pair.now, OFFER)
    pair.run(0.2)
    theirs = pair.bob.last(InviteReceived).session
    pair.bob.stack.progress(theirs, ANSWER, pair.now)
    pair.bob.stack.accept(theirs, ANSWER, pair.now)
    pair.run(3)
    assert lost == [b"183", b"PRACK"]
    assert pair.alice.last(Answered).session == ours
    assert pair.bob.stack.hang_up(theirs, Reason.NORMAL, pair.now)
    pair.run(100)
    assert pair.empty()
