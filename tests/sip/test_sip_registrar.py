"""The registrar: what phones ask for, what they are answered, and which way leads to them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.store.registrations import MemoryRegistrations
from sip.events import Flow, Target, Transport
from sip.flow_token import flow_token, read_flow_token
from sip.message import Request
from sip.parser import parse
from sip.register_request import MAX_CONTACTS, MAX_REG_ID, same_uri
from sip.registrar import (
    LONGEST,
    MAX_BINDINGS,
    PING,
    SHORTEST,
    Added,
    Cause,
    PingDue,
    Refreshed,
    Registrar,
    Removed,
    Reply,
)
from sip.uri import parse_uri

UDP = Flow(Transport.UDP, "198.51.100.1", 5060, "198.51.100.7", 5060)
TLS = Flow(Transport.TLS, "198.51.100.1", 5061, "203.0.113.5", 40001, 7)
PHONE = "<sip:ann@198.51.100.7:5060>"
INSTANCE = '+sip.instance="<urn:uuid:00000000-0000-1000-8000-AABBCCDDEEFF>"'


class Bench:
    """A registrar, its store and a phone by hand."""

    def __init__(self, store: MemoryRegistrations | None = None) -> None:
        self.store = store or MemoryRegistrations()
        self.registrar = Registrar(self.store, epoch=1_000_000.0)
        self.now = 10.0
        self.cseq = 0

    def register(
        self,
        *contacts: str,
        extra: str = "",
        flow: Flow = UDP,
        account: str = "ann",
        cseq: int = 0,
        call_id: str = "reg-1",
        vias: int = 1,
    ) -> Reply:
        self.cseq = cseq or self.cseq + 1
        via = "".join(f"Via: SIP/2.0/UDP 198.51.100.{7 + at};branch=z9hG4bK{at}\r\n" for at in range(vias))
        lines = "".join(f"Contact: {contact}\r\n" for contact in contacts)
        request = parse(
            f"REGISTER sip:house.example SIP/2.0\r\n{via}From: <sip:ann@house.example>;tag=1\r\n"
            f"To: <sip:ann@house.example>\r\nCall-ID: {call_id}\r\nCSeq: {self.cseq} REGISTER\r\n"
            f"User-Agent: Desk/1\r\n{lines}{extra}\r\n".encode()
        )
        assert isinstance(request, Request)
        return self.registrar.register(request, flow, account, self.now)

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.registrar.tick(self.now)

    def events(self) -> list[str]:
        return [
            type(event).__name__ + (f" {event.cause.value}" if isinstance(event, Removed) else "")
            for event in self.registrar.take()
        ]

    def contacts(self, account: str = "ann") -> list[str]:
        return [str(binding.contact) for binding in self.registrar.bindings(account)]


def listed(reply: Reply) -> list[str]:
    assert reply.status == 200
    return [value for name, value in reply.headers if name == "Contact"]


def test_a_phone_registers_refreshes_and_leaves() -> None:
    bench = Bench()
    assert listed(bench.register(PHONE, extra="Expires: 600\r\n")) == [f"{PHONE};expires=600"]
    bench.pass_time(100)
    assert listed(bench.register(PHONE)) == [f"{PHONE};expires=3600"]
    assert listed(bench.register(f"{PHONE};expires=0")) == []
    assert bench.events() == ["Added", "Refreshed", "Removed unregistered"]
    assert (len(bench.registrar), bench.store.rows, bench.registrar.next_timeout()) == (0, {}, None)


def test_asking_changes_nothing() -> None:
    bench = Bench()
    bench.register(PHONE)
    bench.pass_time(10)
    assert listed(bench.register()) == [f"{PHONE};expires=3590"]


def test_several_contacts_are_tried_by_q_and_then_the_newest() -> None:
    bench = Bench()
    bench.register("<sip:a@198.51.100.7>;q=0.5, <sip:b@198.51.100.7>;q=0.9", "<sip:c@198.51.100.7>;q=0.9;expires=7000")
    assert [contact[4] for contact in bench.contacts()] == ["c", "b", "a"]
    assert listed(bench.register())[-1] == "<sip:a@198.51.100.7>;expires=3600;q=0.5"


def test_a_star_takes_all_away_and_only_with_expires_0() -> None:
    bench = Bench()
    bench.register(PHONE, "<sip:b@198.51.100.7>")
    for extra, contacts in (("", ("*",)), ("Expires: 60\r\n", ("*",)), ("Expires: 0\r\n", ("*", PHONE))):
        assert bench.register(*contacts, extra=extra).status == 400
    assert listed(bench.register("*", extra="Expires: 0\r\n")) == []


def test_times_to_live_are_held_in_bounds() -> None:
    bench = Bench()
    short = bench.register(f"{PHONE};expires={SHORTEST - 1}")
    assert (short.status, short.headers) == (423, [("Min-Expires", str(SHORTEST))])
    assert listed(bench.register(f"{PHONE};expires=4294967295")) == [f"{PHONE};expires={LONGEST}"]
    assert listed(bench.register(f"{PHONE};expires=soon")) == [f"{PHONE};expires=3600"]


def test_a_binding_expires() -> None:
    bench = Bench()
    bench.register(f"{PHONE};expires=60")
    assert bench.registrar.next_timeout() == bench.now + 60
    bench.pass_time(60)
    assert bench.events() == ["Added", "Removed expired"]


def test_a_register_that_was_overtaken_fails_as_a_whole() -> None:
    bench = Bench()
    bench.register(PHONE, cseq=5)
    late = bench.register("<sip:b@198.51.100.7>", f"{PHONE};expires=0", cseq=4)
    assert late.status == 500
    assert bench.contacts() == ["sip:ann@198.51.100.7:5060"]
    assert bench.register("*", extra="Expires: 0\r\n", cseq=5).status == 500
    assert bench.register(PHONE, cseq=1, call_id="after-reboot").status == 200


@pytest.mark.parametrize(
    ("contact", "extra"),
    [
        ("<tel:+4711>", ""),
        ("<http://example.org>", ""),
        (f"<sip:ann@198.51.100.7;x={'y' * 1100}>", ""),
        ("<sip:\u00e4nn@198.51.100.7>", ""),
        (PHONE, "Path: <tel:1>\r\n"),
        (PHONE, "Path: <sip:\u00e4@edge.example;lr>\r\n"),
        (PHONE, "Path: nonsense\r\n"),
        (PHONE, f"Path: <sip:edge.example;lr;x={'y' * 2100}>\r\n"),
        (f"{PHONE};{INSTANCE};reg-id=one", "Supported: outbound\r\n"),
        (f"{PHONE};{INSTANCE};reg-id={MAX_REG_ID + 1}", "Supported: outbound\r\n"),
        (f'{PHONE};+sip.instance="{"x" * 200}";reg-id=1', "Supported: outbound\r\n"),
        (f"{PHONE};{INSTANCE};reg-id=1, <sip:b@198.51.100.7>", "Supported: outbound\r\n"),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(contact: str, extra: str) -> None:
    bench = Bench()
    assert bench.register(contact, extra=extra).status == 400
    assert len(bench.registrar) == 0


def test_a_new_contact_crowds_out_the_one_that_ends_first() -> None:
    bench = Bench()
    for port in range(MAX_CONTACTS):
        bench.register(f"<sip:ann@198.51.100.7:{6000 + port}>;expires={3600 - port}")
    bench.register("<sip:ann@198.51.100.7:7000>")
    assert len(bench.contacts()) == MAX_CONTACTS
    assert f"sip:ann@198.51.100.7:{6000 + MAX_CONTACTS - 1}" not in bench.contacts()
    assert bench.events()[-2:] == ["Removed crowded-out", "Added"]
    assert bench.register(*(f"<sip:x@198.51.100.7:{port}>" for port in range(1, 12))).status == 403


def test_the_table_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_BINDINGS >= 10_000
    monkeypatch.setattr("sip.registrar.MAX_BINDINGS", 2)
    bench = Bench()
    bench.register(PHONE, account="ann")
    bench.register(PHONE, account="bob")
    full = bench.register(PHONE, account="eve")
    assert full.status == 503
    assert full.headers[0][0] == "Retry-After"
    assert bench.register(PHONE, account="ann").status == 200


# the way to a phone


def test_a_phone_that_stands_where_it_says_is_reached_there() -> None:
    bench = Bench()
    bench.register(PHONE)
    (binding,) = bench.registrar.bindings("ann")
    assert binding.ways == [Target(Transport.UDP, "198.51.100.7", 5060)]
    bench.pass_time(100)
    assert bench.events() == ["Added"], "nobody pings it"


def test_a_phone_behind_a_translator_is_reached_by_its_flow_and_pinged() -> None:
    bench = Bench()
    bench.register("<sip:ann@192.168.1.5:5060>")
    (binding,) = bench.registrar.bindings("ann")
    assert binding.ways == [UDP]
    bench.events()
    for _ in range(3):
        bench.pass_time(PING)
        assert bench.registrar.take() == [PingDue(UDP)]
    bench.register("<sip:ann@192.168.1.5:5060>")
    bench.pass_time(PING)
    assert bench.events() == ["Refreshed", "PingDue"], "one ping, not two, after a refresh"


def test_a_phone_on_a_connection_goes_with_it() -> None:
    bench = Bench()
    bench.register("<sip:ann@192.168.1.5:5060;transport=tls>", flow=TLS)
    assert bench.registrar.bindings("ann")[0].ways == [TLS]
    bench.registrar.closed(TLS)
    assert bench.events() == ["Added", "Removed flow-lost"]
    assert bench.registrar._by_flow == {}


def test_a_reachable_phone_outlives_its_connection() -> None:
    bench = Bench()
    bench.register("<sip:ann@203.0.113.5:5061;transport=tls>", flow=TLS)
    target = Target(Transport.TLS, "203.0.113.5", 5061)
    assert bench.registrar.bindings("ann")[0].ways == [TLS, target]
    bench.registrar.closed(TLS)
    assert bench.registrar.bindings("ann")[0].ways == [target]
    assert listed(bench.register("<sip:ann@203.0.113.5:5061;transport=tls>;expires=0", flow=TLS)) == []


def test_path_is_kept_and_leads_through_its_proxies() -> None:
    bench = Bench()
    path = ["<sip:inner@198.51.100.7;lr>", "<sip:edge@203.0.113.80;lr;ob>"]
    reply = bench.register(PHONE, extra=f"Path: {path[0]}\r\nPath: {path[1]}\r\nSupported: path\r\n", vias=3)
    assert [value for name, value in reply.headers if name == "Path"] == path
    (binding,) = bench.registrar.bindings("ann")
    assert binding.path == tuple(path)
    assert binding.ways == [Target(Transport.UDP, "198.51.100.7")]


@pytest.mark.parametrize(
    ("contact", "path"),
    [
        ("<sip:+19005550100@192.0.2.1>", ""),
        ("<sip:+19005550100@carrier.example>", ""),
        ("<sip:+19005550100@198.51.100.7;maddr=192.0.2.1>", ""),
        (PHONE, "<sip:192.0.2.1;lr>"),
        (PHONE, "<sip:carrier.example;lr>"),
    ],
)
@pytest.mark.parametrize("vias", [1, 2])
@pytest.mark.parametrize("flow", [UDP, replace(TLS, remote_address="198.51.100.7")], ids=["udp", "tls"])
def test_nobody_has_us_call_a_host_that_it_does_not_speak_from(contact: str, path: str, vias: int, flow: Flow) -> None:
    """Such a host may be a carrier that trusts our address."""
    before = Bench()
    extra = f"Path: {path}\r\nSupported: path\r\n" if path else ""
    before.register(contact, extra=extra, vias=vias, flow=flow)
    (binding,) = before.registrar.bindings("ann")
    assert binding.ways == [flow]
    after = Bench(before.store)
    after.registrar.restore(frozenset({"ann"}), 10.0)
    (restored,) = after.registrar.bindings("ann")
    assert restored.ways == ([flow] if flow is UDP else []), "a connection did not outlive the restart"


def test_a_flow_replaces_the_one_of_the_same_instance_and_number() -> None:
    bench = Bench()
    second = Flow(Transport.TLS, "198.51.100.1", 5061, "203.0.113.5", 40002, 8)
    extra = "Supported: path, outbound\r\n"
    first = bench.register(f"<sip:ann@192.168.1.5>;{INSTANCE};reg-id=1", extra=extra, flow=TLS)
    assert ("Require", "outbound") in first.headers
    assert listed(first) == [f"<sip:ann@192.168.1.5>;expires=3600;{INSTANCE};reg-id=1"]
    bench.register(f"<sip:ann@192.168.1.5>;{INSTANCE};reg-id=2", extra=extra, flow=second)
    assert {tuple(binding.ways) for binding in bench.registrar.bindings("ann")} == {(TLS,), (second,)}
    third = Flow(Transport.TLS, "198.51.100.1", 5061, "203.0.113.9", 40003, 9)
    bench.register(f"<sip:ann@10.9.9.9>;{INSTANCE};reg-id=1", extra=extra, flow=third, call_id="again")
    assert len(bench.contacts()) == 2
    bench.registrar.closed(TLS)
    assert len(bench.contacts()) == 2, "the old flow of reg-id 1 leads to nothing any more"
    bench.registrar.closed(third)
    assert bench.contacts() == ["sip:ann@192.168.1.5"]


def test_outbound_through_a_proxy_that_keeps_no_flows_is_refused() -> None:
    bench = Bench()
    contact, extra = f"{PHONE};{INSTANCE};reg-id=1", "Supported: outbound\r\n"
    assert bench.register(contact, extra=extra, vias=2).status == 439
    assert bench.register(contact, extra=f"{extra}Path: <sip:edge.example;lr;ob>\r\n", vias=2).status == 200


def test_reg_id_without_instance_or_support_is_passed_over() -> None:
    bench = Bench()
    assert ("Require", "outbound") not in bench.register(f"{PHONE};reg-id=1", extra="Supported: outbound\r\n").headers
    assert ("Require", "outbound") not in bench.register(f"{PHONE};{INSTANCE};reg-id=1").headers
    assert len(bench.contacts()) == 1


# restart


def test_registrations_survive_a_restart() -> None:
    before = Bench()
    path = 'Path: "Edge, outer" <sip:edge@203.0.113.80;lr>\r\n'
    before.register("<sip:ann@192.168.1.5:5060>;q=0.5", account="ann")
    before.register(PHONE, account="bob", extra=path, vias=2)
    before.register("<sip:eve@192.168.1.6>", account="eve", flow=TLS)
    before.register("<sip:old@198.51.100.7>", account="gone")
    after = Registrar(before.store, epoch=1_000_005.0)  # five seconds later, on a clock that began anew
    assert after.restore(frozenset({"ann", "bob", "eve"}), 10.0) == 3
    (ann,) = after.bindings("ann")
    assert (ann.ways, ann.q, ann.agent) == ([UDP], 0.5, "Desk/1")
    assert ann.expires == before.now + 3600 - 5
    (bob,) = after.bindings("bob")
    assert bob.path == ('"Edge, outer" <sip:edge@203.0.113.80;lr>',)
    (eve,) = after.bindings("eve")
    assert eve.ways == [], "its connection is gone; it is listed until it comes back"
    assert {account for account, _ in before.store.rows} == {"ann", "bob", "eve"}


def test_rows_that_expired_or_make_no_sense_are_dropped() -> None:
    before = Bench()
    before.register(PHONE)
    before.register(PHONE, account="bob")
    (key,) = [key for key in before.store.rows if key[0] == "bob"]
    object.__setattr__(before.store.rows[key], "flow", "carrier pigeon")
    after = Registrar(before.store, epoch=1_000_000.0)
    assert after.restore(frozenset({"ann", "bob"}), 5_000.0) == 0
    assert before.store.rows == {}


def test_an_account_that_is_no_more_loses_its_bindings() -> None:
    bench = Bench()
    bench.register(PHONE)
    bench.registrar.forget("ann")
    assert bench.events() == ["Added", f"Removed {Cause.ACCOUNT_GONE.value}"]


def test_a_flow_survives_as_text() -> None:
    assert read_flow_token(flow_token(UDP)) == UDP
    six = Flow(Transport.TLS, "2001:db8::1", 5061, "2001:db8::2", 40000, 9)
    assert read_flow_token(flow_token(six)) == Flow(Transport.TLS, "2001:db8::1", 5061, "2001:db8::2", 40000)
    for text in ("", "udp a 1 b 2", "udp 192.0.2.1 1 192.0.2.2 70000", "smoke 192.0.2.1 1 192.0.2.2 2"):
        with pytest.raises(ValueError):
            read_flow_token(text)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("sip:a@Host.example", "sip:a@host.EXAMPLE", True),
        ("sip:%61@host", "sip:a@host", True),
        ("sip:a@host;x=1", "sip:a@host", True),
        ("sip:a@host;x=1", "sip:a@host;x=2", False),
        ("sip:A@host", "sip:a@host", False),
        ("sip:a@host", "sips:a@host", False),
        ("sip:a@host", "sip:a@host:5060", False),
        ("sip:a@host;transport=TCP", "sip:a@host;transport=tcp", True),
        ("sip:a@host;transport=udp", "sip:a@host", False),
        ("sip:a@host?subject=x", "sip:a@host", False),
    ],
)
def test_uris_are_compared_as_rfc_3261_says(one: str, other: str, same: bool) -> None:
    assert same_uri(parse_uri(one), parse_uri(other)) is same


def test_every_event_carries_its_binding() -> None:
    bench = Bench()
    bench.register(PHONE)
    bench.register(f"{PHONE};q=0.2")
    added, refreshed = bench.registrar.take()
    assert isinstance(added, Added)
    assert isinstance(refreshed, Refreshed)
    assert refreshed.before == added.binding
    assert refreshed.binding.q == 0.2
