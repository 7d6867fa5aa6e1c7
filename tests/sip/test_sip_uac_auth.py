"""Our requests when they are challenged: on the wire by hand, and between two stacks under loss."""

from __future__ import annotations

import random
import re

import pytest
from sip_pair import ANSWER, OFFER, Pair
from sip_peer import Peer

from gateway.reasons import Reason
from sip.accounts import Account, Accounts
from sip.digest_client import Login
from sip.digest_server import DigestServer
from sip.events import Answered, Ended, InfoAnswered, InviteReceived, Rejected, RequestAnswered, RequestReceived
from sip.gate import Gate, Policy
from sip.message import Request

CHALLENGE = 'WWW-Authenticate: Digest realm="room", nonce="{}", qop="auth", algorithm=SHA-256{}\r\n'


def login(password: str = "secret") -> Login:
    return Login("ann", password, random.Random(1))


def ask(peer: Peer, request: Request, nonce: str = "n1", more: str = "", status: int = 401) -> None:
    extra = CHALLENGE.format(nonce, more)
    peer.respond(request, status, extra=extra if status == 401 else extra.replace("WWW-Auth", "Proxy-Auth"))


def place(peer: Peer, known: Login | None) -> tuple:
    session = peer.stack.invite(
        peer.target(), "sip:peer@198.51.100.7", "sip:us@198.51.100.1", peer.now, OFFER, login=known
    )
    return session, peer.only()


@pytest.mark.parametrize("status", [401, 407])
def test_an_invite_is_sent_again_with_credentials(status: int) -> None:
    peer = Peer()
    session, first = place(peer, login())
    ask(peer, first, status=status)
    ack, second = peer.drain()
    assert (ack.method, ack.via.branch) == ("ACK", first.via.branch)
    field = "Authorization" if status == 401 else "Proxy-Authorization"
    assert re.search(r'nonce="n1".*qop=auth.*nc=00000001', second.headers.get(field) or "")
    assert (second.call_id, second.from_.tag, second.body) == (first.call_id, first.from_.tag, OFFER)
    assert second.cseq.number == first.cseq.number + 1
    assert second.via.branch != first.via.branch
    peer.respond(second, 200, body=ANSWER)
    ack = peer.only()
    assert (ack.method, ack.cseq.number) == ("ACK", second.cseq.number)
    assert ack.headers.get(field) == second.headers.get(field)
    assert peer.event(Answered).session == session
    assert not [event for event in peer.events if isinstance(event, Rejected)]


def test_a_wrong_password_ends_the_call_after_one_try() -> None:
    peer = Peer()
    _, first = place(peer, login("wrong"))
    ask(peer, first)
    ask(peer, peer.drain()[-1], "n2")
    assert peer.statuses() == ["ACK"]
    assert peer.event(Rejected).status == 401
    assert peer.event(Ended).reason is Reason.AUTHENTICATION_NEEDED


def test_without_a_login_the_challenge_is_the_refusal() -> None:
    peer = Peer()
    _, first = place(peer, None)
    ask(peer, first)
    assert peer.event(Rejected).status == 401


def test_a_call_given_up_while_challenged_is_not_tried_again() -> None:
    peer = Peer()
    session, first = place(peer, login())
    peer.respond(first, 180)
    assert peer.stack.hang_up(session, Reason.CANCELLED, peer.now)
    peer.drain()
    ask(peer, first)
    assert peer.statuses() == ["ACK"]
    assert peer.event(Ended).reason is Reason.CANCELLED


def test_the_second_invite_can_be_cancelled_and_early_dialogs_of_the_first_are_gone() -> None:
    peer = Peer()
    session, first = place(peer, login())
    peer.respond(first, 180, tag="first")
    ask(peer, first)
    second = peer.drain()[-1]
    assert peer.stack.sizes()["dialogs"] == 0
    peer.respond(second, 180, tag="second")
    assert peer.stack.hang_up(session, Reason.CANCELLED, peer.now)
    cancel = peer.only()
    assert (cancel.method, cancel.via.branch, cancel.cseq.number) == (
        "CANCEL",
        second.via.branch,
        second.cseq.number,
    )


def test_requests_in_a_call_are_answered_for_too_and_numbered_on() -> None:
    peer = Peer()
    known = login()
    session, first = place(peer, known)
    peer.respond(first, 200, body=ANSWER)
    peer.drain()
    peer.stack.info(session, "text/plain", b"x", peer.now)
    info = peer.only()
    ask(peer, info)
    again = peer.only()
    assert again.cseq.number == info.cseq.number + 1
    assert again.body == b"x"
    peer.respond(again, 200)
    assert peer.event(InfoAnswered).status == 200
    assert peer.stack.reinvite(session, OFFER, peer.now)
    reinvite = peer.only()
    assert "nc=00000002" in (reinvite.headers.get("Authorization") or ""), "it proves itself unasked"
    ask(peer, reinvite, "n2", ", stale=true")
    second = peer.drain()[-1]
    peer.respond(second, 200, body=ANSWER)
    assert peer.drain()[-1].cseq.number == second.cseq.number
    assert peer.stack.hang_up(session, Reason.NORMAL, peer.now)
    bye = peer.only()
    assert bye.cseq.number == second.cseq.number + 1
    peer.respond(bye, 200)
    assert peer.event(Ended).reason is Reason.NORMAL
    assert peer.settled()


def test_a_request_outside_of_calls_is_answered_for_and_told_once() -> None:
    peer = Peer()
    peer.stack.request(
        "REGISTER", peer.target(), "sip:198.51.100.7", "sip:ann@198.51.100.7", peer.now, cseq=7, login=login()
    )
    ask(peer, peer.only())
    again = peer.only()
    assert again.cseq.number == 8
    ask(peer, again, "n2", ", stale=TRUE")
    third = peer.only()
    assert third.cseq.number == 9
    peer.respond(third, 200)
    peer.drain()
    (told,) = [event for event in peer.events if isinstance(event, RequestAnswered)]
    assert told.status == 200


# two stacks


def serve(pair: Pair, gate: Gate) -> None:
    """Let Bob ask who Alice is, as an adapter does, and accept whom the gate lets in."""
    while pair.bob.events:
        event = pair.bob.events.pop(0)
        if isinstance(event, InviteReceived):
            verdict = gate.invite(event.request, event.flow, pair.now)
            if verdict.status:
                pair.bob.stack.refuse(event.session, verdict.status, pair.now, headers=verdict.headers)
            else:
                pair.bob.stack.accept(event.session, ANSWER, pair.now)
        elif isinstance(event, RequestReceived):
            verdict = gate.register(event.request, event.flow, pair.now)
            pair.bob.stack.respond(event.request_id, verdict.status or 200, pair.now, headers=verdict.headers)


@pytest.mark.parametrize("seed", range(6))
def test_two_stacks_agree_under_loss(seed: int) -> None:
    methods = ("INVITE", "ACK", "BYE", "CANCEL", "REGISTER")
    pair = Pair(seed=seed, loss=0.2, doubling=0.1, delay=(0.01, 0.3), methods=methods)
    accounts = Accounts("room", [Account("ann", "secret")])
    gate = Gate(accounts, DigestServer("room", accounts, random.Random(seed)), Policy.ALL, lambda uri: True)
    known = login()
    alice = pair.alice.stack
    us = "sip:ann@192.0.2.2"
    alice.request("REGISTER", pair.target(pair.bob), "sip:192.0.2.2", us, pair.now, us, login=known)
    call = alice.invite(pair.target(pair.bob), "sip:100@192.0.2.2", us, pair.now, OFFER, login=known)
    for _ in range(1_000):
        pair.run(0.1)
        serve(pair, gate)
    assert pair.alice.last(RequestAnswered).status in (200, 408), f"seed {seed}"
    answered = [event for event in pair.alice.events if isinstance(event, Answered)]
    ended = [event for event in pair.alice.events if isinstance(event, Ended)]
    assert answered or ended[0].reason is Reason.TIMEOUT, f"seed {seed}"
    if answered:
        alice.hang_up(call, Reason.NORMAL, pair.now)
    for _ in range(1_000):
        pair.run(0.1)
        serve(pair, gate)
    assert pair.empty(), f"seed {seed}"
