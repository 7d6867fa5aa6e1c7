"""Who is let in, who is asked, and who is put off for guessing."""

from __future__ import annotations

import random

import pytest

from gateway.backoff import ADDRESS_TRIES, FIRST_PAUSE, FORGET, LONGEST_PAUSE, MAX_SOURCES, USER_TRIES, Backoff
from sip.accounts import Account, Accounts
from sip.digest_client import Attempt, Login
from sip.digest_server import DigestServer
from sip.events import Flow, Transport
from sip.gate import Gate, Policy, Verdict
from sip.headers import Headers
from sip.message import Request, Response
from sip.parser import parse

FLOW = Flow(Transport.UDP, "198.51.100.1", 5060, "198.51.100.7", 5060)
ELSEWHERE = Flow(Transport.UDP, "198.51.100.1", 5060, "203.0.113.9", 5060)


def message(method: str, sender: str = "ann", to: str = "ann", host: str = "house.example") -> Request:
    made = parse(
        f"{method} sip:{host} SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bK1\r\n"
        f"From: <sip:{sender}@{host}>;tag=1\r\nTo: <sip:{to}@{host}>\r\nCall-ID: 1\r\nCSeq: 1 {method}\r\n\r\n".encode()
    )
    assert isinstance(made, Request)
    return made


def gate(policy: Policy = Policy.OFF) -> Gate:
    accounts = Accounts("room", [Account("ann", "secret"), Account("bob", "pass")])
    server = DigestServer("room", accounts, random.Random(1))
    return Gate(accounts, server, policy, lambda uri: uri.host == "house.example")


def proved(made: Gate, request: Request, user: str, password: str, now: float = 1.0, flow: Flow = FLOW) -> Verdict:
    """Ask, answer the challenge, and return the verdict on the second request."""
    look = made.register if request.method == "REGISTER" else made.invite
    asked = look(request, flow, now)
    assert asked.status == 401
    login = Login(user, password, random.Random(2))
    again = Attempt(login).answer(request, Response(401, "", Headers(asked.headers)))
    assert again is not None
    return look(again, flow, now)


def test_a_user_registers_itself_and_nobody_else() -> None:
    made = gate()
    assert proved(made, message("REGISTER"), "ann", "secret") == Verdict(user="ann")
    assert proved(made, message("REGISTER"), "bob", "pass").status == 403
    assert proved(made, message("REGISTER", host="other.example"), "ann", "secret").status == 404


def test_a_wrong_password_and_an_unknown_user_get_the_same_answer() -> None:
    made = gate()
    wrong = proved(made, message("REGISTER"), "ann", "guess")
    unknown = proved(made, message("REGISTER", to="eve"), "eve", "guess")
    assert wrong.status == unknown.status == 401
    assert wrong.failed
    assert unknown.failed
    assert [name for name, _ in wrong.headers] == [name for name, _ in unknown.headers]
    assert "stale" not in str(wrong.headers)


@pytest.mark.parametrize(
    ("policy", "sender", "host", "asked"),
    [
        (Policy.OFF, "ann", "house.example", False),
        (Policy.REGISTERED, "ann", "house.example", True),
        (Policy.REGISTERED, "ann", "other.example", False),
        (Policy.REGISTERED, "guest", "house.example", False),
        (Policy.ALL, "guest", "other.example", True),
    ],
)
def test_policy_says_which_calls_are_asked(policy: Policy, sender: str, host: str, asked: bool) -> None:
    assert gate(policy).invite(message("INVITE", sender, "100", host), FLOW, 1.0).status == (401 if asked else 0)


def test_nobody_calls_in_another_account_s_name() -> None:
    made = gate(Policy.ALL)
    assert proved(made, message("INVITE", "ann", "100"), "ann", "secret").status == 0
    assert proved(made, message("INVITE", "ann", "100"), "bob", "pass").status == 403
    assert proved(made, message("INVITE", "desk-4711", "100"), "bob", "pass") == Verdict(user="bob")


def test_who_guesses_is_put_off_and_the_right_password_waits_too() -> None:
    made = gate()
    for _ in range(USER_TRIES):
        assert proved(made, message("REGISTER"), "ann", "guess").status == 401
    put_off = proved(made, message("REGISTER"), "ann", "secret")
    assert (put_off.status, put_off.headers) == (503, [("Retry-After", str(round(FIRST_PAUSE)))])
    assert proved(made, message("REGISTER", to="bob"), "bob", "pass").status == 0, "a neighbour is not punished"
    assert proved(made, message("REGISTER"), "ann", "secret", flow=ELSEWHERE).status == 0
    assert proved(made, message("REGISTER"), "ann", "secret", now=1.0 + FIRST_PAUSE + 1).status == 0


# the counts themselves


def test_pauses_double_up_to_a_bound() -> None:
    backoff = Backoff()
    now = 0.0
    for _ in range(USER_TRIES - 1):
        backoff.failed("a", "ann", now)
    assert backoff.wait("a", "ann", now) == 0
    waits = []
    for _ in range(9):
        backoff.failed("a", "ann", now)
        waits.append(backoff.wait("a", "ann", now))
        now += waits[-1]
    assert waits[:3] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    assert waits[-1] == LONGEST_PAUSE


def test_a_good_answer_clears_the_user_but_not_the_address() -> None:
    backoff = Backoff()
    for at in range(ADDRESS_TRIES):
        assert backoff.wait("a", f"user{at}", 1.0) == 0
        backoff.failed("a", f"user{at}", 1.0)
        backoff.passed("a", "ann")
    assert backoff.wait("a", "ann", 1.0) == FIRST_PAUSE
    assert backoff.wait("b", "ann", 1.0) == 0


def test_sources_are_forgotten_by_time_and_bounded() -> None:
    backoff = Backoff()
    for at in range(MAX_SOURCES + 5):
        backoff.failed(str(at), "ann", 1.0)
    assert len(backoff) == 2 * MAX_SOURCES, "so many addresses, and so many users"
    backoff.failed("x", "ann", FORGET + 2.0)
    assert len(backoff) == 2
