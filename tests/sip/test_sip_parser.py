"""Reading messages: what is taken, and the verdict on what is not. Shapes after RFC 4475, messages our own."""

from __future__ import annotations

import pytest

from sip.headers import Headers, canonical, parse_parameters, split_values
from sip.message import Request, Response
from sip.parser import Malformed, parse
from sip.uri import BadUri, parse_uri
from sip.values import BadValue, parse_address, parse_cseq, parse_via

VIA = b"Via: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK7\r\n"
REST = b"From: <sip:a@example.org>;tag=f\r\nTo: <sip:b@example.com>\r\nCall-ID: c7\r\n"


def options(*lines: bytes, first: bytes = b"OPTIONS sip:b@example.com SIP/2.0", via: bytes = VIA) -> bytes:
    """Return a plain OPTIONS with more lines behind it."""
    method = first.split()[0]
    return first + b"\r\n" + via + REST + b"CSeq: 1 " + method + b"\r\n" + b"".join(lines) + b"\r\n"


def request(data: bytes) -> Request:
    read = parse(data)
    assert isinstance(read, Request)
    return read


def test_a_tortuous_invite_is_read() -> None:
    # RFC 4475 §3.1.1.1: folds, compact names, odd spacing and case, unknown headers, quoted specials
    read = request(
        b"INVITE sip:vivekg@chair-dnrc.example.com;unknownparam SIP/2.0\r\n"
        b"TO :\r\n sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n\r\n"
        b'from   : "J Rosenberg \\\\\\""       <sip:jdrosen@example.com>\r\n  ;\r\n  tag = 98asjd8\r\n'
        b"MaX-fOrWaRdS: 0068\r\nCall-ID: wsinv.one@192.0.2.1\r\nCSeq: 0009\r\n  INVITE\r\n"
        b"Via  : SIP  /   2.0\r\n /UDP\r\n    192.0.2.2;branch=390skdjuw\r\n"
        b"s :\r\nNewFangledHeader:   newfangled value\r\n continued newfangled value\r\n"
        b"UnknownHeaderWithUnusualValue: ;;,,;;,;\r\nContent-Type: application/sdp\r\n"
        b"Route:\r\n <sip:services.example.com;lr;unknownwith=value;unknown-no-value>\r\n"
        b"v:  SIP  / 2.0  / TCP     spindle.example.com   ;\r\n  branch  =   z9hG4bK9ikj8  ,\r\n"
        b" SIP  /    2.0   / UDP  192.168.255.111   ; branch=\r\n z9hG4bK30239\r\n"
        b'm:"Quoted string \\"\\"" <sip:jdrosen@example.com> ; newparam =\r\n      newvalue ;\r\n'
        b"  secondparam ; q = 0.33\r\n\r\n"
    )
    assert read.to.tag == "1918181833n"
    assert (read.from_.display, read.from_.tag) == ('J Rosenberg \\"', "98asjd8")
    assert (read.max_forwards, read.cseq.number, read.cseq.method) == (68, 9, "INVITE")
    assert [(via.transport, via.host, via.branch) for via in read.vias] == [
        ("UDP", "192.0.2.2", "390skdjuw"),
        ("TCP", "spindle.example.com", "z9hG4bK9ikj8"),
        ("UDP", "192.168.255.111", "z9hG4bK30239"),
    ]
    assert read.contacts[0].display == 'Quoted string ""'
    assert read.contacts[0].parameters == {"newparam": "newvalue", "secondparam": "", "q": "0.33"}
    assert read.headers.get("NewFangledHeader") == "newfangled value continued newfangled value"


@pytest.mark.parametrize(
    ("data", "method"),
    [
        (b"\r\n\r\n" + options(), "OPTIONS"),
        (options().replace(b"\r\n", b"\n"), "OPTIONS"),
        (options().rstrip(b"\r\n"), "OPTIONS"),
        (options(first=b"OPTIONS  sip:b@example.com  SIP/2.0"), "OPTIONS"),
        (options(first=b"OPTIONS sip:b@example.com SIP/2.0  "), "OPTIONS"),
        (options(first=b"RE%47IST%45R sip:b@example.com SIP/2.0"), "RE%47IST%45R"),
        (options(first=b"!interesting-Method0123456789_*+`.%indeed'~ sip:b@c SIP/2.0"), None),
        (options(b"Subject: caf\xe9\r\n"), "OPTIONS"),
        (options(b"Contact: *\r\n"), "OPTIONS"),
        (options(b"Max-Forwards: 0\r\n"), "OPTIONS"),
        (options(b"Date: Fri, 01 Jan 2010 16:00:00 EST\r\n"), "OPTIONS"),
        (options(b"Contact: sip:user@example.com?Route=%3Csip:sip.example.com%3E\r\n"), "OPTIONS"),
        (options(first=b"OPTIONS sip:user;par=u%40example.net@example.com SIP/2.0"), "OPTIONS"),
        (options(first=b"OPTIONS tel:+49-30-1234;phone-context=example.org SIP/2.0"), "OPTIONS"),
        (options(first=b"OPTIONS sip:#100@my_host SIP/2.0"), "OPTIONS"),
        (options(first=b"OPTIONS sip:b@[2001:db8::1]:5070;transport=tcp SIP/2.0"), "OPTIONS"),
    ],
)
def test_odd_but_clear_requests_are_read(data: bytes, method: str | None) -> None:
    read = request(data)
    assert read.method == (method or "!interesting-Method0123456789_*+`.%indeed'~")


def test_octets_behind_the_body_of_a_datagram_are_dropped() -> None:
    assert request(options(b"Content-Length: 2\r\n") + b"abREGISTER sip:x SIP/2.0\r\n\r\n").body == b"ab"


def test_without_content_length_the_body_is_the_rest() -> None:
    assert request(options() + b"abc").body == b"abc"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (options(b"Content-Length: 9999\r\n"), 400),  # §3.1.2.2: longer than the datagram
        (options(b"Content-Length: -999\r\n"), 400),  # §3.1.2.3
        (options(b"Content-Length: 1\r\nContent-Length: 2\r\n") + b"abc", 400),  # §3.3.9
        (options(b"Max-Forwards: 300\r\n"), 400),
        (options(b"Max-Forwards: many\r\n"), 400),
        (options().replace(b"CSeq: 1 ", b"CSeq: 36893488147419103232 "), 400),  # §3.1.2.4
        (options().replace(b"CSeq: 1 ", b"CSeq: 2147483648 "), 400),
        (options().replace(b"To: <sip:b@example.com>", b'To: "Mr. J. User <sip:j.user@example.com>'), 400),  # §3.1.2.6
        (options(first=b"OPTIONS <sip:b@example.com> SIP/2.0"), 400),  # §3.1.2.7
        (options(first=b"OPTIONS sip:b@example.com; lr SIP/2.0"), 400),  # §3.1.2.8
        (options(first=b"OPTIONS sip:b@example.com:99999 SIP/2.0"), 400),
        (options(first=b"OPTIONS sip:b@example.com SIP/7.0"), 505),  # §3.1.2.16
        (options().replace(b"CSeq: 1 OPTIONS", b"CSeq: 8 INVITE"), 400),  # §3.1.2.17
        (options().replace(b"From: <sip:a@example.org>;tag=f\r\n", b""), 400),  # §3.3.1
        (options(b"To: <sip:c@example.com>\r\n"), 400),  # §3.3.8
        (options(b"no colon here\r\n"), 400),
        (options(b": no name\r\n"), 400),
        (options(first=b"OPTIONS nobodyKnowsThisScheme:totallyopaquecontent SIP/2.0"), 416),  # §3.3.2
        (options(first=b"OPTIONS soap.beep://192.0.2.103:3002 SIP/2.0"), 416),  # §3.3.3
        (options(via=VIA + b"Via: SIP/2.0/UDP 192.0.2.15;;,;,,\r\n"), 400),  # §3.1.2.1
        (b"", 0),
        (b"\r\n\r\n", 0),
        (b"\x00\x01\x02\x03", 0),
        (b"HELLO\r\n\r\n", 0),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 0),
        (options(first=b"OPTIONS sip:b@example.com SIP/2.0").replace(b"OPTIONS sip:b@example.com ", b""), 0),
        (options().replace(b"OPTIONS sip:b@example.com SIP/2.0", b"SIP/2.0 4294967301 Too big"), 0),  # §3.1.2.19
        (options().replace(b"OPTIONS sip:b@example.com SIP/2.0", b"SIP/2.0 099 Too small"), 0),
        (options().replace(b"OPTIONS sip:b@example.com SIP/2.0", b"SIP/3.0 200 OK"), 0),
        (options(b"Content-Length: 10\r\n").replace(b"OPTIONS sip:b@example.com SIP/2.0", b"SIP/2.0 200 OK"), 0),
    ],
)
def test_a_message_that_cannot_be_used_gets_its_verdict(data: bytes, status: int) -> None:
    with pytest.raises(Malformed) as caught:
        parse(data)
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("first", "phrase"),
    [(b"SIP/2.0 200 = 2**3 * 5**2", "= 2**3 * 5**2"), (b"SIP/2.0 200 ", "OK"), (b"SIP/2.0 200", "OK")],
)
def test_unusual_and_missing_phrases_are_read(first: bytes, phrase: str) -> None:
    read = parse(options().replace(b"OPTIONS sip:b@example.com SIP/2.0", first))
    assert isinstance(read, Response)
    assert (read.status, read.phrase) == (200, phrase)


def test_octets_that_are_not_utf8_go_back_unchanged_and_are_shown_as_latin1() -> None:
    data = options().replace(b"From: <", b"From: J\xf6rg <")
    read = request(data)
    assert b"J\xf6rg" in read.to_bytes()
    assert read.from_.shown == "Jörg"


def test_headers_are_found_by_any_spelling_and_cut_at_commas_outside_of_quotes() -> None:
    headers = Headers([("m", '"Bell, A." <sip:a@b;x=1,2>, <sip:c@d>'), ("CONTACT", "sip:e@f")])
    assert headers.values("contact") == ['"Bell, A." <sip:a@b;x=1,2>', "<sip:c@d>", "sip:e@f"]
    assert canonical("call-id") == canonical("i") == "Call-ID"
    headers.set("Contact", "*")
    assert headers.all("m") == ["*"]
    headers.remove("Contact")
    assert len(headers) == 0


def test_a_value_from_elsewhere_cannot_add_a_header() -> None:
    headers = Headers([("Subject", "a\r\nEvil: yes")])
    headers.add("Reason", "b\n\nbody")
    made = Request("OPTIONS", "sip:a@b", headers).to_bytes()
    assert b"\nEvil" not in made
    assert made.count(b"\r\n\r\n") == 1
    assert Response(200, "a\r\nEvil: b", Headers()).to_bytes().startswith(b"SIP/2.0 200 a  Evil")


def test_quoted_strings_hold_separators_and_escapes() -> None:
    assert split_values(r'"a\",b", c') == [r'"a\",b"', "c"]
    assert parse_parameters(r';text="a;b\"c";cause=16;flag') == {"text": 'a;b"c', "cause": "16", "flag": ""}


@pytest.mark.parametrize(
    "text",
    [
        "sip:100@example.com",
        "sips:alice:secret@example.com:5062;transport=tcp;lr?subject=x&priority=urgent",
        "sip:[2001:db8::9]:5060",
        "sip:example.com",
        "tel:+1-201-555-0123;phone-context=x",
        "mailto:a@b",
        "sip:100*4711@host",
        "sip:##100#4711@host",
    ],
)
def test_a_uri_is_printed_as_it_was_read(text: str) -> None:
    assert str(parse_uri(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sip:",
        "100",
        "sip:a@",
        "sip:a@b:c",
        "sip:a@b:70000",
        ":x",
        "sip:a@[::1",
        "1a:b",
        "sip:a b@c",
        "tel:1 2",
        "x:<y>",
    ],
)
def test_what_is_no_uri_is_refused(text: str) -> None:
    with pytest.raises(BadUri):
        parse_uri(text)


def test_uri_parts_are_told_apart() -> None:
    uri = parse_uri("SIP:%61lice;day=tuesday:p@Example.COM:5070;Transport=TCP;lr?a=b@c")
    assert (uri.scheme, uri.name, uri.password, uri.host, uri.port) == (
        "sip",
        "alice;day=tuesday",
        "p",
        "Example.COM",
        5070,
    )
    assert uri.parameters == {"transport": "TCP", "lr": ""}
    assert (uri.headers, uri.loose) == ("a=b@c", True)
    assert str(uri.bare()) == "sip:%61lice;day=tuesday@Example.COM:5070"


def test_parameters_behind_a_bare_address_belong_to_the_header() -> None:
    assert parse_address("sip:a@b;tag=1").tag == "1"
    assert parse_address("<sip:a@b;tag=1>").tag == ""


@pytest.mark.parametrize("text", ["", "Bob", '"Bob', "<sip:a@b", "<>", "Bob <sip:>", '"a" "b" <sip:c@d>'])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_address(text)


@pytest.mark.parametrize(
    "text", ["SIP/2.0/UDP", "SIP/1.0/UDP a", "SIP/2.0/UDP a:b", "SIP/2.0/UDP a:0", "UDP a", "SIP/2.0/UDP [::1"]
)
def test_what_is_no_via_is_refused(text: str) -> None:
    with pytest.raises(BadValue):
        parse_via(text)


@pytest.mark.parametrize("text", ["", "1", "INVITE", "-1 INVITE", "1 IN VITE", "1.5 INVITE"])
def test_what_is_no_cseq_is_refused(text: str) -> None:
    with pytest.raises(BadValue):
        parse_cseq(text)
