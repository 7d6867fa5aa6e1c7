"""Replaces (RFC 3891), Reason (RFC 3326), and Contacts that are GRUUs (RFC 5627)."""

from __future__ import annotations

import pytest
from sip_peer import ANSWER, OFFER, PEER, Peer

from gateway.reasons import Reason
from sip.building import reason_of
from sip.events import Ended, InviteReceived, Rejected, Target, Transport
from sip.message import Request, Response
from sip.replaces import Replaces, read_replaces


def replacing(peer: Peer, call_id: str, ours: str, theirs: str, more: str = "") -> None:
    """Let the peer call anew in place of a dialog."""
    extra = f"Replaces: {call_id};to-tag={ours};from-tag={theirs}{more}\r\n"
    peer.request("INVITE", 1, body=OFFER, extra=extra, branch=f"z9hG4bKnew{len(more)}", call_id=f"call-2{len(more)}")


def test_a_call_takes_the_place_of_another_when_it_is_accepted() -> None:
    peer = Peer()
    old, tag = peer.arrived()
    replacing(peer, "call-1", tag, "peer")
    event = peer.event(InviteReceived)
    assert event.replaces == old
    peer.drain()
    assert peer.stack.accept(event.session, ANSWER, peer.now)
    ok, bye = peer.drain()
    assert isinstance(ok, Response)
    assert isinstance(bye, Request)
    assert (ok.status, ok.call_id, bye.method, bye.call_id) == (200, "call-20", "BYE", "call-1")
    peer.respond(bye, 200)
    assert peer.event(Ended) == Ended(old, Reason.REPLACED)


def test_a_call_that_is_refused_leaves_the_other_as_it_was() -> None:
    peer = Peer()
    _, tag = peer.arrived()
    replacing(peer, "call-1", tag, "peer")
    peer.stack.refuse(peer.event(InviteReceived).session, 488, peer.now)
    assert peer.event(Ended).session == peer.event(InviteReceived).session
    assert "BYE" not in peer.statuses()


def test_an_early_call_of_ours_is_cancelled_for_the_one_in_its_place() -> None:
    peer = Peer()
    session, invite = peer.place()
    peer.respond(invite, 180)
    replacing(peer, invite.call_id, invite.from_.tag, "peer", ";early-only")
    event = peer.event(InviteReceived)
    assert event.replaces == session
    peer.drain()
    peer.stack.accept(event.session, ANSWER, peer.now)
    assert peer.statuses() == [200, "CANCEL"]


@pytest.mark.parametrize(
    ("value", "status"),
    [
        ("call-9;to-tag={tag};from-tag=peer", 481),
        ("call-1;to-tag={tag};from-tag=other", 481),
        ("call-1;to-tag=peer;from-tag={tag}", 481),
        ("call-1;to-tag={tag};from-tag=peer;early-only", 486),
        ("call-1;to-tag={tag}", 400),
        (";to-tag={tag};from-tag=peer", 400),
        ("call-1;to-tag={tag};from-tag=peer, call-2;to-tag=1;from-tag=2", 400),
        ("call-1;to-tag={tag};from-tag=peer\r\nJoin: call-1;to-tag={tag};from-tag=peer", 400),
        ("call-1;to-tag={tag};from-tag=peer\r\nReplaces: call-1;to-tag={tag};from-tag=peer", 400),
    ],
)
def test_a_replaces_that_names_no_call_is_refused(value: str, status: int) -> None:
    peer = Peer()
    _, tag = peer.arrived()
    peer.request(
        "INVITE", body=OFFER, extra=f"Replaces: {value.format(tag=tag)}\r\n", call_id="call-2", branch="z9hG4bKn"
    )
    assert peer.statuses() == [status]
    assert peer.kinds().count("InviteReceived") == 1


def test_a_call_that_has_not_been_answered_or_is_ending_cannot_be_replaced() -> None:
    peer = Peer()
    peer.request("INVITE", body=OFFER)
    session = peer.event(InviteReceived).session
    peer.stack.ringing(session, peer.now)
    tag = peer.drain()[-1].to.tag
    replacing(peer, "call-1", tag, "peer")
    assert peer.statuses() == [481]
    peer.stack.accept(session, ANSWER, peer.now)
    peer.request("ACK", to_tag=tag)
    peer.stack.hang_up(session, Reason.NORMAL, peer.now)
    peer.drain()
    replacing(peer, "call-1", tag, "peer", ";x")
    assert peer.statuses() == [603]


def test_a_replaces_value_is_written_as_it_is_read_and_escaped_for_refer_to() -> None:
    value = Replaces("12@host", "a", "b", early_only=True)
    assert str(value) == "12@host;to-tag=a;from-tag=b;early-only"
    assert read_replaces(str(value)) == value
    assert value.escaped() == "12%40host%3Bto-tag%3Da%3Bfrom-tag%3Db%3Bearly-only"
    assert value.key == ("12@host", "a", "b")
    assert read_replaces("c;to-tag=0;from-tag=x") == Replaces("c", "", "x")


# Reason


@pytest.mark.parametrize(
    ("status", "header", "reason"),
    [
        (480, "Q.850;cause=17", Reason.BUSY),
        (500, 'Q.850 ; cause=3 ; text="no route"', Reason.UNREACHABLE),
        (480, "", Reason.NO_ANSWER),
        (486, "Q.850;cause=16", Reason.BUSY),
        (503, "Q.850;cause=42", Reason.OVERLOAD),
        (603, "SIP;cause=607", Reason.DECLINED),
        (480, "Q.850;cause=x", Reason.NO_ANSWER),
    ],
)
def test_a_gateways_cause_says_more_than_a_general_status(status: int, header: str, reason: Reason) -> None:
    peer = Peer()
    _, invite = peer.place()
    peer.respond(invite, status, extra=f"Reason: {header}\r\n" if header else "")
    assert peer.event(Rejected).reason is reason
    assert peer.event(Ended).reason is reason


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ('Reason: SIP;cause=200;text="Call completed elsewhere"\r\n', Reason.NORMAL),
        ("Reason: SIP;cause=486, Q.850;cause=16\r\n", Reason.NORMAL),
        ("Reason: preemption;cause=1\r\n", Reason.NORMAL),
        ("Reason: SIP ;cause=408\r\n", Reason.TIMEOUT),
        ('Reason: SIP;text="a, b;cause=1";cause=603\r\n', Reason.DECLINED),
        ("", Reason.NORMAL),
    ],
)
def test_the_reason_header_of_a_bye_is_read(headers: str, reason: Reason) -> None:
    peer = Peer()
    session, tag = peer.arrived()
    peer.request("BYE", 2, tag, extra=headers)
    assert peer.event(Ended) == Ended(session, reason)
    assert reason_of(peer.events[-2].request) is reason


# GRUU


def test_a_gruu_is_kept_whole_and_requests_go_to_its_domain_and_not_to_the_flow() -> None:
    peer = Peer()
    gruu = "sip:peer@example.org;gr=urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6"
    contact = f'Contact: <{gruu}>;+sip.instance="<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>";reg-id=1\r\n'
    peer.request("INVITE", body=OFFER, contact=contact)
    session = peer.event(InviteReceived).session
    peer.stack.accept(session, ANSWER, peer.now)
    tag = peer.drain()[-1].to.tag
    peer.request("ACK", to_tag=tag)
    peer.stack.hang_up(session, Reason.NORMAL, peer.now)
    bye = peer.only()
    assert isinstance(bye, Request)
    assert bye.target == gruu
    assert peer.sends[-1].target == Target(Transport.UDP, "example.org")


def test_a_contact_with_parameters_of_outbound_and_gruu_in_a_2xx_is_taken() -> None:
    peer = Peer()
    session, invite = peer.place()
    contact = f'<sip:peer@{PEER[0]};gr;ob>;pub-gruu="sip:p@x;gr=1,2;3";temp-gruu="sip:t@x;gr";+sip.instance="<urn:x>"'
    peer.respond(invite, 200, body=ANSWER, contact=contact)
    assert peer.statuses() == ["ACK"]
    peer.stack.hang_up(session, Reason.NORMAL, peer.now)
    bye = peer.only()
    assert isinstance(bye, Request)
    assert bye.target == f"sip:peer@{PEER[0]};gr;ob"


def test_a_focus_says_so_in_its_contact() -> None:
    peer = Peer(focus=True)
    _, invite = peer.placed()
    assert "isfocus" in invite.contacts[0].parameters
    assert "isfocus" not in Peer().placed()[1].contacts[0].parameters
