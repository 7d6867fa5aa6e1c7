"""The dial plan: where calls go by rules and without them, and patterns that nobody can make slow."""

from __future__ import annotations

import time
from dataclasses import replace
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.calls import CallFacts, CallProtocol, Direction
from gateway.reasons import Reason
from gateway.rooms.dial_plan import (
    DialPlan,
    Match,
    Refuse,
    Rule,
    ToCall,
    ToMenu,
    ToRoom,
    address_of,
    within,
)
from gateway.rooms.pattern import MAX_TEXT, BadPattern, Pattern, Template

FACTS = CallFacts(CallProtocol.SIP, Direction.INCOMING, "192.0.2.7:5060", "sip:ann@example.com", "Ann", "100")
ROOMS, USERS = {"100", "4711"}, {"bob", "100"}


def goes(plan: DialPlan, called: str = "100", **facts: object) -> object:
    return plan.arriving(replace(FACTS, called=called, **facts), ROOMS.__contains__, USERS.__contains__)  # type: ignore[arg-type]


def rule(kind: type, to: str = "", called: str | None = None, trunk: str = "", **match: object) -> Rule:
    pattern = None if called is None else Pattern(called)
    template = Template(to, pattern) if to else None
    return Rule(Match(called=pattern, **match), kind, template, trunk)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("called", "where"),
    [
        ("100", ToRoom("100")),  # a room and a user: the room
        ("bob", ToCall("user:bob")),
        ("nobody", ToRoom("nobody")),  # which the desk says does not exist
        ("", ToMenu()),
    ],
)
def test_without_rules_rooms_and_users_are_called_by_their_names(called: str, where: object) -> None:
    assert goes(DialPlan(), called) == where


def test_groups_of_the_alias_stand_in_the_destination() -> None:
    plan = DialPlan(
        [
            rule(ToRoom, r"47\1", r"9(\d\d)"),
            rule(ToCall, r"tel:+49\g<number>", r"0(?P<number>[1-9]\d{2,14})", "carrier"),
        ]
    )
    assert goes(plan, "911") == ToRoom("4711")
    assert goes(plan, "089123456") == ToCall("tel:+4989123456", "carrier")
    assert goes(plan, "9110") == ToRoom("9110")  # the whole alias must match


def test_the_first_rule_that_matches_decides() -> None:
    plan = DialPlan([rule(Refuse, called="66.*"), rule(ToRoom, "100", ".*")])
    assert goes(plan, "660") == Refuse(Reason.NOT_ALLOWED)
    assert goes(plan, "anything") == ToRoom("100")


@pytest.mark.parametrize(
    ("match", "other"),
    [
        ({"protocols": frozenset({CallProtocol.SIP})}, {"protocol": CallProtocol.H323}),
        ({"sources": (ip_network("192.0.2.0/24"),)}, {"source": "198.51.100.1:5060"}),
        ({"sources": (ip_network("192.0.2.0/24"),)}, {"source": "gibberish"}),
        ({"trunks": frozenset({""})}, {"trunk": "carrier"}),
        ({"accounts": frozenset({""})}, {"account": "ann"}),
    ],
)
def test_each_thing_that_a_rule_asks_must_hold(match: dict[str, object], other: dict[str, object]) -> None:
    plan = DialPlan([rule(ToMenu, **match)])
    assert goes(plan) == ToMenu()
    assert goes(plan, **other) == ToRoom("100")


def test_rules_for_outgoing_calls_rewrite_and_refuse_and_do_not_touch_others() -> None:
    out = Direction.OUTGOING
    plan = DialPlan(
        [
            rule(Refuse, called=r"tel:\+?0?900.*", direction=out),
            rule(ToCall, r"tel:+49\1", r"tel:0([1-9]\d+)", "carrier", direction=out),
        ]
    )
    facts = replace(FACTS, direction=out)
    assert plan.leaving(facts, "tel:0900123") == Refuse(Reason.NOT_ALLOWED)
    assert plan.leaving(facts, "tel:089123") == ToCall("tel:+4989123", "carrier")
    assert plan.leaving(facts, "sip:x@y", "other") == ToCall("sip:x@y", "other")
    assert goes(plan, "tel:089123") == ToRoom("tel:089123")


@pytest.mark.parametrize(
    ("source", "address"),
    [
        ("192.0.2.7:5060", "192.0.2.7"),
        ("[2001:db8::7]:5060", "2001:db8::7"),
        ("[::ffff:192.0.2.7]:5060", "192.0.2.7"),
        ("[fe80::1%eth0]:5060", "fe80::1"),
        ("host:5060", "None"),
        ("", "None"),
    ],
)
def test_addresses_are_read_out_of_sources(source: str, address: str) -> None:
    assert str(address_of(source)) == address


def test_an_ipv4_peer_on_an_ipv6_socket_is_in_an_ipv4_network() -> None:
    assert within("[::ffff:192.0.2.7]:5060", [ip_network("192.0.2.0/24")])
    assert not within("192.0.2.7:5060", [ip_network("2001:db8::/32")])


@pytest.mark.parametrize(
    "pattern",
    [
        r"(a+)+",
        r"(a|aa)+",
        r"(.*)*",
        r".*.*.*x",
        r"(\d+\s?)*",
        r"(a?){64}",
        r"(?:(?:a{0,9}){0,9}){0,9}",
        r"(?=(a+)+)x",
        r"(?>(a+)+)x",
        r"(a)\1",
        "(",
        "[[a]",
        "x" * 300,
    ],
)
def test_patterns_that_may_take_for_ever_or_make_no_sense_are_refused(pattern: str) -> None:
    with pytest.raises(BadPattern):
        Pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"\+?[1-9]\d{2,14}", "+4989123"),
        (r"(?:sip:)?([a-z.]+)@([a-z.]+)", "sip:a.b@c.d"),
        (r"[a-z]*\d*", "abc123"),
        (r"(1|2|3)\d{3}", "2000"),
        (r"(?:00|\+)(49|43)(\d{3,15})", "0049123"),
    ],
)
def test_patterns_that_people_write_are_taken(pattern: str, text: str) -> None:
    assert Pattern(pattern).match(text)


@given(
    pattern=st.text(st.sampled_from("ab.*+?()|[]{}1,2\\d^$"), max_size=14),
    text=st.text(st.sampled_from("ab1"), max_size=MAX_TEXT),
)
def test_no_pattern_that_is_taken_is_slow(pattern: str, text: str) -> None:
    try:
        taken = Pattern(pattern)
    except BadPattern:
        return
    began = time.thread_time()
    taken.match(text + "!")
    assert time.thread_time() - began < 0.5


@pytest.mark.parametrize("text", [".*a.*", "[ab]*b[ab]*", "a*.*"])
def test_the_worst_pattern_that_is_taken_costs_milliseconds(text: str) -> None:
    began = time.thread_time()
    Pattern(text).match("ab" * (MAX_TEXT // 2 - 1) + "!")
    assert time.thread_time() - began < 0.2


def test_text_that_is_too_long_matches_nothing() -> None:
    assert Pattern(".*").match("x" * MAX_TEXT)
    assert not Pattern(".*").match("x" * (MAX_TEXT + 1))


@pytest.mark.parametrize(("to", "pattern"), [(r"\1", None), (r"\2", "(a)"), (r"\g<x>", "(a)")])
def test_groups_that_are_not_there_are_refused(to: str, pattern: str | None) -> None:
    with pytest.raises(BadPattern):
        Template(to, None if pattern is None else Pattern(pattern))
