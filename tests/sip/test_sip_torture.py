"""Every case of the torture tests of RFC 4475 and RFC 5118, in renderings of our own, with the verdict it deserves.

A verdict is the status of our answer, the name of the event that it became, or None: dropped. Where the RFC leaves it
to the receiver, the comment says which way we went and why.
"""

from __future__ import annotations

import random

import pytest

from sip.config import BASIC_METHODS, StackConfig
from sip.events import Flow, InviteReceived, OptionsReceived, RequestReceived, Send, Transport
from sip.message import Request, Response
from sip.parser import parse
from sip.sdp import parse as parse_sdp
from sip.stack import Stack

FLOW = Flow(Transport.UDP, "192.0.2.53", 5060, "192.0.2.1", 5060)
FLOW6 = Flow(Transport.UDP, "2001:db8::53", 5060, "2001:db8::9:1", 5060)
METHODS = (*BASIC_METHODS, "REGISTER", "MESSAGE")
SDP = "v=0\r\no=m 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 49217 RTP/AVP 0\r\n"

Verdict = int | str | None


def message(
    start: str = "OPTIONS sip:user@example.com SIP/2.0",
    *more: str,
    via: str = "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKtorture",
    to: str = "<sip:user@example.com>",
    sender: str = "<sip:caller@example.net>;tag=torture",
    cseq: str = "",
    call_id: str = "torture@192.0.2.1",
    body: str | bytes = "",
    without: tuple[str, ...] = (),
    length: bool = True,
) -> bytes:
    """Return a message; cseq is that of the start line's method unless given."""
    octets = body.encode() if isinstance(body, str) else body
    fields = [("Via", via), ("Max-Forwards", "70"), ("From", sender), ("To", to), ("Call-ID", call_id)]
    fields.append(("CSeq", cseq or f"1 {start.split(' ')[0]}"))
    lines = [start, *(f"{name}: {value}" for name, value in fields if name not in without), *more]
    if length:
        lines.append(f"Content-Length: {len(octets)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape") + octets


def invite(*more: str, **changes: object) -> bytes:
    """Return an INVITE with Contact and description."""
    lines = ["Contact: <sip:caller@192.0.2.1>", "Content-Type: application/sdp", *more]
    changes = {"body": SDP, **changes}
    return message("INVITE sip:user@example.com SIP/2.0", *lines, **changes)  # type: ignore[arg-type]


def register(*more: str, **changes: object) -> bytes:
    return message("REGISTER sip:example.com SIP/2.0", *more, **changes)  # type: ignore[arg-type]


def response(start: str, **changes: object) -> bytes:
    return message(start, cseq="1 OPTIONS", **changes)  # type: ignore[arg-type]


ODD_METHOD = "!interesting-Method0123456789_*+`.%indeed'~"
LONG = "longvalue" * 30

RFC_4475: list[tuple[str, bytes, Verdict]] = [
    # §3.1.1 valid messages
    (
        "3.1.1.1 folds, compact names, odd case and spacing",
        b"INVITE sip:u@chair.example.com;unknownparam SIP/2.0\r\nTO :\r\n sip:u@chair.example.com ;   tag    = \r\n"
        b'from   : "J \\\\\\""       <sip:j@example.com>\r\n  ;\r\n  tag = 98asjd8\r\nMaX-fOrWaRdS: 0068\r\n'
        b"Call-ID: tortuous\r\nContent-Length   : 0\r\ncseq: 0009\r\n  INVITE\r\n"
        b"Via  : SIP  /   2.0\r\n /UDP\r\n    192.0.2.2;branch=390skdjuw\r\ns :\r\n"
        b"NewFangledHeader:   newfangled value\r\n continued\r\nUnknownHeaderWithUnusualValue: ;;,,;;,;\r\n"
        b"Route:\r\n <sip:services.example.com;lr;unknownwith=value;unknown-no-value>\r\n"
        b"v:  SIP  / 2.0  / TCP     spindle.example.com   ;\r\n  branch  =   z9hG4bK9ikj8  ,\r\n"
        b" SIP  /    2.0   / UDP  192.168.255.111   ; branch=\r\n z9hG4bK30239\r\n"
        b'm:"Quoted string \\"\\"" <sip:j@example.com> ; newparam =\r\n      newvalue ;\r\n  secondparam ; q = 0.33\r\n'
        b"\r\n",
        "InviteReceived",
    ),
    (
        "3.1.1.2 every character that may stand somewhere; the method exists nowhere",
        message(
            f"{ODD_METHOD} sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(x)"
            "@example.com SIP/2.0",
            "extensionHeader-!.%*+_`'~:\ufeff\u5927\u505c\u96fb",
            to='"BEL:\x07 NUL:\\\x01 DEL:\x7f" <sip:1_unusual.URI~(to-be!sure)&isn\'t+it$/crazy?,/;;*@example.com>',
            sender="token1~` token2'+_ token3*%!.- <sip:mundane@example.com>;fromParam''~+*_!.-%=\"w\";tag=_t~1",
            call_id="intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{",
        ),
        501,
    ),
    (
        "3.1.1.3 escapes in a user part are part of it",
        invite(to="<sip:%75se%72@example.com>", sender="<sip:I%20have%20spaces@example.net>;tag=938"),
        "InviteReceived",
    ),
    (
        "3.1.1.4 escaped zeros in URIs",
        register(
            "Contact: <sip:%00@host5.example.com>",
            to="sip:null-%00-null@example.com",
            sender="sip:null-%00-null@example.com;tag=839923423",
        ),
        "RequestReceived",
    ),
    (
        "3.1.1.5 a percent sign that escapes nothing: this method is not REGISTER",
        message("RE%47IST%45R sip:registrar.example.com SIP/2.0", 'Contact: "%Z%45" <sip:resource@example.com>'),
        501,
    ),
    (
        "3.1.1.6 no blank between display name and address",
        message(sender="caller<sip:caller@example.com>;tag=323"),
        "OptionsReceived",
    ),
    (
        "3.1.1.7 long values",
        invite(
            f"Unknown-{LONG}: unknown-{LONG}-value; unknown-{LONG}-parameter = unknown-{LONG}-value",
            "Contact: <sip:amazinglylongcallername" + LONG + "@host.example.net>",
            to=f'"I have a user name of {LONG}" <sip:user@example.com:6000;unknownparam1=v{LONG};long{LONG}=x>',
            via=", ".join(f"SIP/2.0/TCP sip{n}.example.com;branch=z9hG4bKlong{n}" for n in range(33)),
            call_id="longreq." + LONG,
        ),
        "InviteReceived",
    ),
    (
        "3.1.1.8 a second request behind the first in one datagram is not looked at",
        register("Contact: <sip:j@host.example.com>") + invite(),
        "RequestReceived",
    ),
    (
        "3.1.1.9 parameters with semicolons in the user part",
        message("OPTIONS sip:user;par=u%40example.net@example.com SIP/2.0"),
        "OptionsReceived",
    ),
    (
        "3.1.1.10 many transports, known and not",
        message(
            via="SIP/2.0/UDP t1.example.com;branch=z9hG4bKtr, SIP/2.0/SCTP t2.example.com;branch=z9hG4bKa, "
            "SIP/2.0/TLS t3.example.com;branch=z9hG4bKb, SIP/2.0/UNKNOWN t4.example.com;branch=z9hG4bKc"
        ),
        "OptionsReceived",
    ),
    (
        "3.1.1.11 a signed multipart body",
        message(
            "MESSAGE sip:kumiko@example.org SIP/2.0",
            'Content-Type: multipart/mixed;boundary="7a9cbec02ceef655"',
            body=b"--7a9cbec02ceef655\r\nContent-Type: text/plain\r\n\r\nHello\r\n--7a9cbec02ceef655\r\n"
            b"Content-Type: application/octet-stream\r\n\r\n0\x82\x01R\x06\t*\x86H\x86\r\n--7a9cbec02ceef655--",
        ),
        "RequestReceived",
    ),
    ("3.1.1.12 an unusual phrase", response("SIP/2.0 200 = 2**3 * 5**2 но сто девяносто девять"), None),
    ("3.1.1.13 an empty phrase", response("SIP/2.0 100 "), None),
    # §3.1.2 invalid messages
    (
        "3.1.2.1 separators with nothing between",
        invite('Contact: "Joe" <sip:joe@example.org>;;;;', via="SIP/2.0/UDP 192.0.2.15;;,;,,", call_id="badinv01"),
        400,
    ),
    ("3.1.2.2 a body shorter than its length", invite("Content-Length: 9999", length=False), 400),
    ("3.1.2.3 a negative length", invite("Content-Length: -999", length=False), 400),
    ("3.1.2.4 numbers that are too large", register(cseq="36893488147419103232 REGISTER"), 400),
    (
        "3.1.2.5 numbers that are too large, in a response",
        response("SIP/2.0 503 Service Unavailable", call_id="scalarlg").replace(
            b"1 OPTIONS", b"9292394834772304023312 OPTIONS"
        ),
        None,
    ),
    ("3.1.2.6 a quote that never ends", invite(to='"Mr. J. User <sip:j.user@example.com>'), 400),
    ("3.1.2.7 brackets round the Request-URI", message("INVITE <sip:user@example.com> SIP/2.0"), 400),
    ("3.1.2.8 a blank inside the Request-URI", message("INVITE sip:user@example.com; lr SIP/2.0"), 400),
    # the RFC leaves both to us; nothing can be mistaken here
    ("3.1.2.9 several blanks in the start line", message("OPTIONS  sip:user@example.com  SIP/2.0"), "OptionsReceived"),
    ("3.1.2.10 blanks at the end of the start line", message("OPTIONS sip:r@example.com SIP/2.0  "), "OptionsReceived"),
    # headers in a Request-URI are no reason to refuse; nothing here ever looks at them
    (
        "3.1.2.11 headers in the Request-URI",
        message("OPTIONS sip:user@example.com?Route=%3Csip:example.com%3E SIP/2.0"),
        "OptionsReceived",
    ),
    # nobody here needs the date
    (
        "3.1.2.12 a date in no time zone of SIP",
        message("OPTIONS sip:u@e.com SIP/2.0", "Date: Fri, 01 Jan 2010 16:00:00 EST"),
        "OptionsReceived",
    ),
    # "?" without brackets cannot be meant otherwise
    (
        "3.1.2.13 a Contact with headers and without brackets",
        register("Contact: sip:user@example.com?Route=%3Csip:sip.example.com%3E"),
        "RequestReceived",
    ),
    (
        "3.1.2.14 blanks inside an address",
        message(to='"Watson, Thomas" < sip:t.watson@ieee.org >'),
        "OptionsReceived",
    ),
    # common in the field, and clear
    (
        "3.1.2.15 a name with a comma and a bracket, not quoted",
        message(sender="Bell, Alexander <sip:a@example.com>;tag=43"),
        "OptionsReceived",
    ),
    ("3.1.2.16 SIP 7.0", message("OPTIONS sip:t.watson@ieee.org SIP/7.0"), 505),
    ("3.1.2.17 CSeq names another method", message(cseq="8 INVITE"), 400),
    (
        "3.1.2.18 CSeq names another method than the unknown one",
        message("NEWMETHOD sip:u@example.com SIP/2.0", cseq="8 INVITE"),
        400,
    ),
    ("3.1.2.19 a status that is none", response("SIP/2.0 4294967301 better not break the receiver"), None),
    # §3.2 transactions
    (
        "3.2.1 a branch that is the magic cookie alone",
        message(via="SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK"),
        "OptionsReceived",
    ),
    # §3.3 above the transactions
    (
        "3.3.1 From, To and Call-ID missing: nobody could match an answer",
        message("INVITE sip:user@example.com SIP/2.0", without=("From", "To", "Call-ID")),
        None,
    ),
    ("3.3.1 From alone missing", message(without=("Max-Forwards", "From")), None),
    ("3.3.2 an unknown scheme", message("OPTIONS nobodyKnowsThisScheme:totallyopaquecontent SIP/2.0"), 416),
    ("3.3.3 a known scheme that is none of ours", message("OPTIONS soap.beep://192.0.2.103:3002 SIP/2.0"), 416),
    (
        "3.3.4 unknown schemes in headers are not ours to judge",
        register(
            "Contact: <name:John_Smith>",
            to="isbn:2983792873",
            sender="<http://www.example.com>;tag=3234233",
        ),
        "RequestReceived",
    ),
    (
        "3.3.5 unknown extensions",
        message(
            "OPTIONS sip:user@example.com SIP/2.0",
            "Require: nothingSupportsThis, nothingSupportsThisEither",
            "Proxy-Require: noProxiesSupportThis",
        ),
        420,
    ),
    (
        "3.3.6 an unknown type of body",
        message(
            "INVITE sip:user@example.com SIP/2.0",
            "Contact: <sip:c@192.0.2.1>",
            "Content-Type: application/unknownformat",
            body="<audio> <pcmu port='443'/> </audio>",
        ),
        415,
    ),
    (
        "3.3.7 an unknown scheme of authorization",
        register("Authorization: NoOneKnowsThisScheme opaque-data=here"),
        "RequestReceived",
    ),
    (
        "3.3.8 fields that may stand once only, twice",
        invite("From: <sip:other@example.net>;tag=2", "To: <sip:other@example.com>", "CSeq: 59 INVITE", "Call-ID: x"),
        400,
    ),
    ("3.3.9 two different lengths", invite("Content-Length: 13", "Content-Length: 138", length=False), 400),
    (
        "3.3.10 a response whose Via is the broadcast address",
        response(
            "SIP/2.0 200 OK", via="SIP/2.0/UDP 192.0.2.198;branch=z9hG4bK1, SIP/2.0/UDP 255.255.255.255;branch=z9hG4bK2"
        ),
        None,
    ),
    (
        "3.3.11 no hops left, at its destination",
        message("OPTIONS sip:u@example.com SIP/2.0", "Max-Forwards: 0", without=("Max-Forwards",)),
        "OptionsReceived",
    ),
    (
        "3.3.12 an unknown parameter of Contact",
        register("Contact: sip:+19725552222@gw1.example.net;unknownparam"),
        "RequestReceived",
    ),
    (
        "3.3.13 an unknown parameter of a Contact's URI",
        register("Contact: <sip:+19725552222@gw1.example.net;unknownparam>"),
        "RequestReceived",
    ),
    (
        "3.3.14 headers in a Contact's URI are kept",
        register("Contact: <sip:user@example.com?Route=%3Csip:sip.example.com%3E>"),
        "RequestReceived",
    ),
    ("3.3.15 an offer, but no description in Accept", invite("Accept: text/nobodyKnowsThis"), 406),
    # §3.4
    (
        "3.4.1 an INVITE of RFC 2543: no branch, no tag, no Max-Forwards, no type",
        b"INVITE sip:UserB@example.com SIP/2.0\r\nVia: SIP/2.0/UDP iftgw.example.com\r\n"
        b"From: <sip:+13035551111@ift.client.example.net;user=phone>\r\n"
        b"Record-Route: <sip:UserB@example.com;maddr=ss1.example.com>\r\n"
        b"To: sip:+16505552222@ss1.example.net;user=phone\r\nCall-ID: inv2543.1717@ift.client.example.com\r\n"
        b"CSeq: 56 INVITE\r\nContact: <sip:a@192.0.2.1>\r\nContent-Type: application/sdp\r\n\r\n" + SDP.encode(),
        "InviteReceived",
    ),
]

VIA6 = "SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKsix"
SDP6 = SDP.replace("IP4 192.0.2.1", "IP6 2001:db8::20")

RFC_5118: list[tuple[str, bytes, Verdict]] = [
    ("4.1 an address in brackets", message("OPTIONS sip:[2001:db8::10] SIP/2.0", via=VIA6), "OptionsReceived"),
    ("4.2 an address without brackets", message("OPTIONS sip:2001:db8::10 SIP/2.0", via=VIA6), 400),
    # the port is part of the address here, which is one
    ("4.3 a port inside the brackets", message("OPTIONS sip:[2001:db8::10:5070] SIP/2.0", via=VIA6), "OptionsReceived"),
    ("4.4 a port behind the brackets", message("OPTIONS sip:[2001:db8::10]:5070 SIP/2.0", via=VIA6), "OptionsReceived"),
    ("4.5 received in brackets", message(via=f"{VIA6};received=[2001:db8::9:255]"), "OptionsReceived"),
    ("4.5 received without brackets", message(via=f"{VIA6};received=2001:db8::9:255"), "OptionsReceived"),
    ("4.6 addresses in a description", invite(via=VIA6, body=SDP6), "InviteReceived"),
    (
        "4.7 several addresses in headers",
        message(
            via="SIP/2.0/UDP [2001:db8::9:1]:6050;branch=z9hG4bKs, SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKt",
            to="sip:user@[2001:db8::1]",
        ),
        "OptionsReceived",
    ),
    (
        "4.8 both families in a description",
        invite(via=VIA6, body=SDP6 + "m=video 6024 RTP/AVP 34\r\nc=IN IP4 192.0.2.7\r\n"),
        "InviteReceived",
    ),
    (
        "4.9 an IPv4 address inside an IPv6 one",
        invite(
            via="SIP/2.0/UDP [::ffff:192.0.2.10]:19823;branch=z9hG4bKm",
            body=SDP6.replace("2001:db8::20", "::ffff:192.0.2.2"),
        ),
        "InviteReceived",
    ),
    # RFC 5118 §4.10: three colons come from a faulty grammar and are told from no address
    ("4.10 three colons", message("OPTIONS sip:u@[2001:db8:::192.0.2.1] SIP/2.0", via=VIA6), "OptionsReceived"),
]


SECTIONS_4475 = (
    *(f"3.1.1.{number}" for number in range(1, 14)),
    *(f"3.1.2.{number}" for number in range(1, 20)),
    "3.2.1",
    *(f"3.3.{number}" for number in range(1, 16)),
    "3.4.1",
)
"""Every message of RFC 4475, by its section; those of RFC 5118 stand in §4.1 to §4.10."""


def test_every_message_of_both_rfcs_has_its_verdict() -> None:
    known, known6 = ({name.split(" ")[0] for name, _, _ in cases} for cases in (RFC_4475, RFC_5118))
    assert known == set(SECTIONS_4475)
    assert len(SECTIONS_4475) == 49
    assert known6 == {f"4.{number}" for number in range(1, 11)}


def verdict(data: bytes, flow: Flow) -> Verdict:
    """Feed one message to a fresh stack and tell what became of it."""
    stack = Stack(StackConfig("", {Transport.UDP: 5060}, methods=METHODS), random.Random(1))
    stack.receive(data, flow, 1.0)
    sent, told = [], []
    for item in stack.take():
        if isinstance(item, Send):
            status = int(item.data.split(b" ", 2)[1])  # it may repeat what nobody can read
            sent += [status] if status > 100 else []
        else:
            assert isinstance(item, InviteReceived | OptionsReceived | RequestReceived)
            told.append(item)
    assert len(sent) + len(told) <= 1
    for event in told:
        number = event.session if isinstance(event, InviteReceived) else event.request_id
        refused = (
            stack.refuse(number, 486, 1.0) if isinstance(event, InviteReceived) else stack.respond(number, 200, 1.0)
        )
        assert refused
        for item in stack.take():
            assert not isinstance(item, Send) or isinstance(parse(item.data), Response)
        return type(event).__name__
    return sent[0] if sent else None


@pytest.mark.parametrize(("name", "data", "expected"), RFC_4475, ids=[case[0].split(" ")[0] for case in RFC_4475])
def test_torture_of_rfc_4475(name: str, data: bytes, expected: Verdict) -> None:
    assert verdict(data, FLOW) == expected, name


@pytest.mark.parametrize(("name", "data", "expected"), RFC_5118, ids=[case[0].split(" ")[0] for case in RFC_5118])
def test_torture_of_rfc_5118(name: str, data: bytes, expected: Verdict) -> None:
    assert verdict(data, FLOW6) == expected, name


def case(number: str, cases: list[tuple[str, bytes, Verdict]] = RFC_4475) -> Request:
    found = parse(next(data for name, data, _ in cases if name.startswith(number + " ")))
    assert isinstance(found, Request)
    return found


def test_escapes_keep_their_meaning() -> None:
    read = case("3.1.1.3")
    assert read.to.uri.name == "user"
    assert read.from_.uri.name == "I have spaces"
    assert str(read.to.uri) == "sip:%75se%72@example.com"


def test_escaped_zeros_are_no_ends() -> None:
    assert case("3.1.1.4").to.uri.name == "null-\x00-null"
    assert case("3.1.1.4").contacts[0].uri.name == "\x00"


def test_a_semicolon_in_the_user_part_begins_no_parameter() -> None:
    uri = case("3.1.1.9").uri
    assert (uri.user, uri.host, uri.parameters) == ("user;par=u%40example.net", "example.com", {})


def test_parameters_belong_to_contact_or_to_its_uri() -> None:
    outside, inside = case("3.3.12").contacts[0], case("3.3.13").contacts[0]
    assert (outside.parameters, outside.uri.parameters) == ({"unknownparam": ""}, {})
    assert (inside.parameters, inside.uri.parameters) == ({}, {"unknownparam": ""})
    assert case("3.3.14").contacts[0].uri.headers == "Route=%3Csip:sip.example.com%3E"


def test_a_port_inside_brackets_is_none_and_one_behind_them_is() -> None:
    inside, behind = case("4.3", RFC_5118).uri, case("4.4", RFC_5118).uri
    assert (inside.host, inside.port) == ("2001:db8::10:5070", None)
    assert (behind.host, behind.port) == ("2001:db8::10", 5070)


def test_descriptions_with_both_families_are_read() -> None:
    session = parse_sdp(case("4.8", RFC_5118).body)
    assert [media.connection for media in session.media][-1] == "192.0.2.7"


def test_the_answer_to_a_missing_transaction_id_finds_its_way_twice() -> None:
    first, second = (message(via="SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK", call_id=id) for id in ("one", "two"))
    stack = Stack(StackConfig("", {Transport.UDP: 5060}), random.Random(1))
    stack.receive(first, FLOW, 1.0)
    stack.receive(second, FLOW, 1.0)
    assert [type(item).__name__ for item in stack.take()] == ["OptionsReceived", "OptionsReceived"]
