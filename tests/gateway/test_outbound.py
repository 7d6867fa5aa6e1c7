"""Who may have the house call whom: nobody, unless a rule says so."""

from __future__ import annotations

import random
from ipaddress import ip_network

import pytest

from gateway.reasons import Reason, Refused
from gateway.rooms.outbound import Asker, Outbound, OutboundRule, Permit, Role, read_target
from gateway.rooms.pattern import Pattern
from h323.adapter_ras import split_host
from h323.signalling.aliases import read_dialled

API = Asker(Role.API, "100")
STRANGER = Asker(Role.CALLER, source="198.51.100.9:5060")
ANN = Asker(Role.CALLER, account="ann", source="198.51.100.9:5060")
CARRIER = OutboundRule(
    roles=frozenset({Role.API, Role.CALLER}),
    accounts=frozenset({"ann"}),
    schemes=frozenset({"tel", "sip"}),
    number=Pattern(r"\+49\d{3,12}"),
    trunk="carrier",
)


def permit(outbound: Outbound, asker: Asker = API, target: str = "sip:x@example.com", trunk: str = "") -> Permit:
    return outbound.permit(asker, read_target(target), trunk)


def refusal(outbound: Outbound, asker: Asker = API, target: str = "sip:x@example.com", trunk: str = "") -> Reason:
    with pytest.raises(Refused) as refused:
        permit(outbound, asker, target, trunk)
    return refused.value.reason


def test_without_a_rule_nobody_may_call_anybody() -> None:
    outbound = Outbound()
    assert refusal(outbound) is Reason.NOT_ALLOWED
    assert outbound.refused == {Reason.NOT_ALLOWED: 1}


def test_a_rule_that_names_nobody_is_for_the_api_alone() -> None:
    outbound = Outbound([OutboundRule()])
    permit(outbound)
    for role in (Role.HOST, Role.GUEST, Role.CALLER):
        assert refusal(outbound, Asker(role, "100", "ann")) is Reason.NOT_ALLOWED


@pytest.mark.parametrize("role", [Role.GUEST, Role.CALLER])
def test_who_only_says_who_it_is_needs_a_rule_that_names_where_it_comes_from(role: Role) -> None:
    everybody = frozenset(Role)
    stranger = Asker(role, "100", source="198.51.100.9:5060", trunk="pbx")
    assert refusal(Outbound([OutboundRule(roles=everybody)]), stranger) is Reason.NOT_ALLOWED
    assert refusal(Outbound([OutboundRule(roles=everybody, rooms=frozenset({"100"}))]), stranger) is Reason.NOT_ALLOWED
    assert refusal(Outbound([OutboundRule(roles=everybody, accounts=frozenset({"ann"}))]), stranger)
    permit(Outbound([OutboundRule(roles=everybody, sources=(ip_network("198.51.100.0/24"),))]), stranger)
    permit(Outbound([OutboundRule(roles=everybody, from_trunks=frozenset({"pbx"}))]), stranger)
    assert refusal(Outbound([OutboundRule(roles=everybody, sources=(ip_network("192.0.2.0/24"),))]), stranger)


def test_a_stranger_reaches_no_trunk_and_an_account_reaches_its_own() -> None:
    outbound = Outbound([CARRIER])
    assert refusal(outbound, STRANGER, "tel:+4989123") is Reason.NOT_ALLOWED
    assert permit(outbound, ANN, "tel:+49-89-123").trunk == "carrier"
    assert refusal(outbound, ANN, "tel:+1900555") is Reason.NOT_ALLOWED
    assert refusal(outbound, ANN, "h323:+4989123") is Reason.NOT_ALLOWED


def test_a_telephone_number_goes_nowhere_without_a_trunk() -> None:
    assert refusal(Outbound([OutboundRule()]), API, "tel:+4989123") is Reason.NOT_ALLOWED


def test_a_trunk_that_the_dial_plan_names_must_be_the_rules() -> None:
    outbound = Outbound([OutboundRule(trunk="carrier"), OutboundRule()])
    assert permit(outbound, target="sip:1@x", trunk="carrier").trunk == "carrier"
    assert refusal(outbound, target="sip:1@x", trunk="expensive") is Reason.NOT_ALLOWED


@pytest.mark.parametrize(
    ("target", "allowed"),
    [
        ("sip:x@example.com", True),
        ("sip:x@EXAMPLE.com:5070;transport=tcp", True),
        ("sip:x@a.b.example.net", True),
        ("sip:x@example.net", False),
        ("sip:x@notexample.com", False),
        ("sip:example.com@evil.example.org", False),
    ],
)
def test_hosts_are_compared_whole_or_below_a_dot(target: str, allowed: bool) -> None:
    outbound = Outbound([OutboundRule(hosts=("example.com", ".example.net"))])
    if allowed:
        permit(outbound, target=target)
    else:
        assert refusal(outbound, target=target) is Reason.NOT_ALLOWED


def test_rooms_are_told_apart() -> None:
    outbound = Outbound([OutboundRule(rooms=frozenset({"100"}))])
    permit(outbound)
    assert refusal(outbound, Asker(Role.API, "200")) is Reason.NOT_ALLOWED


def test_caps_hold_by_rule_and_for_the_house_and_the_next_rule_takes_what_is_over() -> None:
    first, second = OutboundRule(trunk="one", max_calls=1), OutboundRule(trunk="two", max_calls=5)
    outbound = Outbound([first, second], max_calls=3)
    permits = [permit(outbound) for _ in range(3)]
    assert [one.trunk for one in permits] == ["one", "two", "two"]
    assert refusal(outbound) is Reason.OVERLOAD
    permits[0].give_back()
    permits[0].give_back()
    assert outbound.calls == 2
    assert permit(outbound).trunk == "one"


@pytest.mark.parametrize(
    "target",
    [
        "x@example.com",
        "http://example.com",
        "sip:",
        "sip:x@",
        "tel:",
        "tel:;x=1",
        "user:",
        "sip:x@good@evil",
        "sip:x@y?Route=%3Csip:evil%3E",
        "sip:x@y;maddr=192.0.2.1",
        "sip:x@y;%6daddr=192.0.2.1",
        'sip:"x"@y',
        "sip:x@y\r\nVia: z",
        "sip:x y@z",
        "sip:" + "x" * 300 + "@y",
        "h323:evil.example##x",
        "h323:evil.example##x;y@good.example",
        "h323:x@good.example##y",
        "sip:\ud800@y",
        "user:\ud800",
        "sip:\u202ex@y",
        "sip:x\x85@y",
        "tel:+4\u20289",
    ],
)
def test_addresses_that_could_be_read_in_two_ways_are_refused(target: str) -> None:
    with pytest.raises(Refused) as refused:
        read_target(target)
    assert refused.value.reason is Reason.BAD_REQUEST


@pytest.mark.parametrize(
    ("target", "scheme", "number", "host"),
    [
        ("sip:+49-89-(123)@example.com", "sip", "+4989123", "example.com"),
        ("sip:%2B4989123;phone-context=x@h", "sip", "+4989123;phone-context=x", "h"),
        ("SIPS:ann@[2001:db8::1]:5061", "sips", "ann", "2001:db8::1"),
        ("sip:example.com", "sip", "", "example.com"),
        ("tel:+49-89/1;ext=2", "tel", "+4989/1", ""),
        ("h323:room1", "h323", "room1", ""),
        ("h323:room1@192.0.2.1:1720", "h323", "room1", "192.0.2.1"),
        ("h323:192.0.2.1:1720;transport=tls", "h323", "192.0.2.1", "192.0.2.1"),
        ("h323:[2001:db8::1]:1720", "h323", "2001:db8::1", "2001:db8::1"),
        ("h323:evil.example;x@good.example", "h323", "evil.example", "evil.example"),
        ("h323:room1;x@good.example", "h323", "room1", ""),
        ("user:bob", "user", "bob", ""),
    ],
)
def test_addresses_are_read(target: str, scheme: str, number: str, host: str) -> None:
    found = read_target(target)
    assert (found.scheme, found.number, found.host) == (scheme, number, host)


def test_what_h323_calls_is_the_host_that_was_looked_at() -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    parts = ["a", "##", "#", "*", ";", "@", ":1720", "evil.example", "good.example", "%2e", "9", " ", "h323:", "[::1]"]
    taken = 0
    for _ in range(20_000):
        text = "h323:" + "".join(chance.choices(parts, k=chance.randint(1, 5)))
        try:
            target = read_target(text)
        except Refused:
            continue
        taken += 1
        dialled = read_dialled(text)
        host = split_host(dialled.host or dialled.alias, 0)[0]
        assert target.host in ("", host), text
        if dialled.host:
            assert target.host == host, text
    assert taken > 1000
