"""Locating servers (RFC 3263) against zones that are written down, and hunting along redirections."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from gateway.reasons import Reason
from sip.events import Target, Transport
from sip.headers import Headers
from sip.hunt import MAX_REDIRECTIONS, MAX_TARGETS, Failure, Hunt
from sip.locate import (
    MAX_BLOCKED,
    MAX_HOPS,
    MAX_QUERIES,
    Address,
    Blocked,
    Hop,
    Kind,
    Naptr,
    Query,
    Record,
    Srv,
    allowed_ways,
    by_weight,
    locate,
)
from sip.message import Response
from sip.uri import parse_uri

UDP, TCP, TLS = Transport.UDP, Transport.TCP, Transport.TLS
WAYS = [UDP, TCP, TLS]

Zone = dict[tuple[Kind, str], list[Record]]

# RFC 3263 §4.1: a domain that likes TLS best, then TCP, then UDP
EXAMPLE: Zone = {
    (Kind.NAPTR, "example.com"): [
        Naptr(50, 50, "s", "SIPS+D2T", "_sips._tcp.example.com"),
        Naptr(90, 50, "s", "SIP+D2T", "_sip._tcp.example.com."),
        Naptr(100, 50, "S", "sip+d2u", "_sip._udp.example.com"),
        Naptr(10, 10, "s", "SIP+D2S", "_sip._sctp.example.com"),
        Naptr(10, 10, "u", "E2U+sip", "!^.*$!sip:x@y!"),
    ],
    (Kind.SRV, "_sips._tcp.example.com"): [Srv(0, 1, 5061, "s1.example.com")],
    (Kind.SRV, "_sip._tcp.example.com"): [Srv(1, 1, 5060, "s1.example.com"), Srv(0, 1, 5070, "s2.example.com.")],
    (Kind.SRV, "_sip._udp.example.com"): [Srv(0, 1, 5060, "s2.example.com")],
    (Kind.ADDRESS, "s1.example.com"): [Address("192.0.2.1"), Address("192.0.2.2")],
    (Kind.ADDRESS, "s2.example.com"): [Address("192.0.2.9")],
    (Kind.ADDRESS, "example.com"): [Address("192.0.2.80")],
}
PLAIN: Zone = {(Kind.ADDRESS, "example.org"): [Address("198.51.100.1")]}
SERVICES: Zone = {
    (Kind.SRV, "_sip._tcp.example.net"): [Srv(0, 0, 5060, "a.example.net")],
    (Kind.ADDRESS, "a.example.net"): [Address("2001:db8::1")],
}


def find(text: str, zone: Zone, ways: list[Transport] = WAYS) -> tuple[list[Hop], list[Query]]:
    uri = parse_uri(text)
    asked: list[Query] = []
    search = locate(uri, allowed_ways(uri, ways), random.Random(1))
    try:
        query = next(search)
        while True:
            asked.append(query)
            query = search.send(zone.get((query.kind, query.name), []))
    except StopIteration as done:
        return done.value, asked


def short(hops: list[Hop]) -> list[tuple[str, str, int]]:
    return [(hop.transport.value, hop.address, hop.port) for hop in hops]


@pytest.mark.parametrize(
    ("uri", "zone", "hops"),
    [
        (
            "sip:a@example.com",
            EXAMPLE,
            [
                ("tls", "192.0.2.1", 5061),
                ("tls", "192.0.2.2", 5061),
                ("tcp", "192.0.2.9", 5070),
                ("tcp", "192.0.2.1", 5060),
                ("tcp", "192.0.2.2", 5060),
                ("udp", "192.0.2.9", 5060),
            ],
        ),
        ("sips:a@example.com", EXAMPLE, [("tls", "192.0.2.1", 5061), ("tls", "192.0.2.2", 5061)]),
        ("sip:a@example.com;transport=udp", EXAMPLE, [("udp", "192.0.2.9", 5060)]),
        ("sip:a@example.com:5080", EXAMPLE, [("udp", "192.0.2.80", 5080), ("tcp", "192.0.2.80", 5080)]),
        ("sips:a@example.com:5081", EXAMPLE, [("tls", "192.0.2.80", 5081)]),
        ("sip:a@example.com:5080;transport=tcp", EXAMPLE, [("tcp", "192.0.2.80", 5080)]),
        ("sip:a@example.org", PLAIN, [("udp", "198.51.100.1", 5060), ("tcp", "198.51.100.1", 5060)]),
        ("sips:a@example.org", PLAIN, [("tls", "198.51.100.1", 5061)]),
        ("sip:a@example.net", SERVICES, [("tcp", "2001:db8::1", 5060)]),
        ("sip:a@192.0.2.7", {}, [("udp", "192.0.2.7", 5060), ("tcp", "192.0.2.7", 5060)]),
        ("sip:a@[2001:db8::7]:5070;transport=tcp", {}, [("tcp", "2001:db8::7", 5070)]),
        ("sip:a@example.com;maddr=192.0.2.3;transport=udp", EXAMPLE, [("udp", "192.0.2.3", 5060)]),
        ("sip:a@nowhere.example", {}, []),
    ],
)
def test_a_uri_leads_to_hops(uri: str, zone: Zone, hops: list[tuple[str, str, int]]) -> None:
    assert short(find(uri, zone)[0]) == hops


def test_what_is_not_needed_is_not_asked() -> None:
    assert find("sip:a@192.0.2.7", EXAMPLE)[1] == []
    assert find("sip:a@example.com:5080", EXAMPLE)[1] == [Query(Kind.ADDRESS, "example.com")]
    assert find("sip:a@example.com;transport=tcp", EXAMPLE)[1][0] == Query(Kind.SRV, "_sip._tcp.example.com")
    assert find("sip:a@localhost", {})[1] == [Query(Kind.ADDRESS, "localhost")]
    kinds = [query.kind for query in find("sip:a@example.com", EXAMPLE, [UDP])[1]]
    assert kinds == [Kind.NAPTR, Kind.SRV, Kind.ADDRESS]


def test_the_name_that_a_certificate_must_hold_is_the_domain_and_not_the_server() -> None:
    hops, _ = find("sips:a@example.com", EXAMPLE)
    assert {hop.name for hop in hops} == {"example.com"}
    assert hops[0].target == Target(TLS, "192.0.2.1", 5061, "example.com")


@pytest.mark.parametrize(
    ("uri", "ways"),
    [
        ("sip:a@b", [UDP, TCP, TLS]),
        ("sips:a@b", [TLS]),
        ("sips:a@b;transport=tcp", [TLS]),
        ("sip:a@b;transport=TLS", [TLS]),
        ("sip:a@b;transport=TCP", [TCP]),
        ("sip:a@b;transport=sctp", []),
    ],
)
def test_a_uri_allows_some_transports(uri: str, ways: list[Transport]) -> None:
    assert allowed_ways(parse_uri(uri), WAYS) == ways


def test_srv_records_are_drawn_by_weight_within_their_priority() -> None:
    records = [Srv(1, 0, 1, "last"), Srv(0, 90, 1, "often"), Srv(0, 10, 1, "seldom"), Srv(0, 0, 1, "hardly")]
    rng = random.Random(5)
    first = Counter(by_weight(records, rng)[0].target for _ in range(2_000))
    assert 1_700 < first["often"] < 1_900
    assert 100 < first["seldom"] < 300
    assert first["hardly"] < 60
    assert all(by_weight(records, rng)[-1].target == "last" for _ in range(20))


def test_a_zone_that_names_ever_more_servers_is_cut_off() -> None:
    zone: Zone = {(Kind.NAPTR, "x.example"): [Naptr(i, 0, "s", "SIP+D2U", f"_s{i}.x.example") for i in range(40)]}
    for i in range(40):
        zone[Kind.SRV, f"_s{i}.x.example"] = [Srv(0, 1, 5060 + n, f"h{i}-{n}.x.example") for n in range(40)]
        for n in range(40):
            zone[Kind.ADDRESS, f"h{i}-{n}.x.example"] = [Address(f"10.0.{n}.{k}") for k in range(3)]
    hops, asked = find("sip:a@x.example", zone)
    assert len(hops) <= MAX_HOPS
    assert len(asked) <= MAX_QUERIES


def test_records_that_name_nothing_are_left_out() -> None:
    zone: Zone = {
        (Kind.SRV, "_sip._udp.x.example"): [Srv(0, 0, 5060, "."), Srv(0, 0, 0, "a.x.example"), Address("10.0.0.1")],
        (Kind.NAPTR, "x.example"): [Naptr(0, 0, "s", "SIP+D2U", "." + "x" * 300)],
    }
    assert find("sip:a@x.example", zone)[0] == []


def test_a_hop_that_failed_is_left_alone_for_a_while() -> None:
    blocked = Blocked()
    hop = Hop(UDP, "192.0.2.1", 5060, "example.com")
    blocked.block(hop, 10.0)
    assert blocked.blocks(hop, 9.0)
    assert blocked.blocks(Hop(UDP, "192.0.2.1", 5060, "example.org"), 9.0)
    assert not blocked.blocks(Hop(TCP, "192.0.2.1", 5060, "example.com"), 9.0)
    assert not blocked.blocks(hop, 10.0)
    blocked.block(hop, 99.0)
    blocked.free(hop)
    assert not blocked.blocks(hop, 9.0)
    for port in range(MAX_BLOCKED + 10):
        blocked.block(Hop(UDP, "192.0.2.1", port, ""), 99.0)
    assert len(blocked) == MAX_BLOCKED


# redirections


def test_contacts_are_tried_before_what_waits_and_none_twice() -> None:
    hunt = Hunt("sip:a@example.com")
    assert hunt.next() == "sip:a@example.com"
    assert hunt.redirected(["sip:b@example.com", "sip:c@example.com", "tel:123", "SIP:a@EXAMPLE.com:5060"])
    assert hunt.next() == "sip:b@example.com"
    assert hunt.redirected(["sip:d@example.com", "sip:a@example.com"])
    assert [hunt.next(), hunt.next(), hunt.next()] == ["sip:d@example.com", "sip:c@example.com", None]


def test_two_that_name_each_other_make_no_loop() -> None:
    hunt = Hunt("sip:a@x")
    hunt.next()
    assert hunt.redirected(["sip:b@x"])
    assert hunt.next() == "sip:b@x"
    assert not hunt.redirected(["sip:a@x", "sip:b@X"])
    assert hunt.next() is None


def test_redirections_without_end_are_given_up() -> None:
    hunt = Hunt("sip:0@x")
    followed = 0
    while (uri := hunt.next()) is not None:
        followed += hunt.redirected([f"sip:{uri}{n}@x".replace("sip:sip:", "sip:").replace("@x", "", 1) for n in "ab"])
    assert followed == MAX_REDIRECTIONS
    hunt = Hunt("sip:a@x")
    hunt.redirected([f"sip:{n}@x" for n in range(100)])
    tried = 0
    while hunt.next() is not None:
        tried += 1
    assert tried == MAX_TARGETS


def test_a_protected_call_is_not_led_to_an_open_one() -> None:
    hunt = Hunt("sips:a@x")
    assert not hunt.redirected(["sip:b@x"])
    assert hunt.redirected(["sips:b@x"])


def test_what_another_server_may_do_better_is_told_from_what_it_may_not() -> None:
    assert Failure(503, Reason.OVERLOAD, Response(503, "", Headers())).of_server
    assert not Failure(503, Reason.OVERLOAD).of_server  # our own bound
    assert Failure(408, Reason.TIMEOUT).of_server
    assert not Failure(408, Reason.NO_ANSWER).of_server
    assert not Failure(486, Reason.BUSY).of_server
    assert Failure(302, Reason.UNREACHABLE).redirects
    assert not Failure(305, Reason.UNREACHABLE).redirects
