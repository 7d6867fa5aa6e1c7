"""Who calls and who was called first: good and bad samples of each header, and what we say ourselves."""

from __future__ import annotations

import pytest

from sip.dialling import trunk_target
from sip.identity import caller_of, carried_user, diverted_from, identity_headers, request_uri
from sip.message import Request
from sip.parser import parse
from sip.trunk import IdentityHeader

HEAD = (
    "INVITE sip:100@us.example SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n"
    "To: <sip:100@us.example>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\nContact: <sip:a@192.0.2.1>\r\n"
)
ANN = 'From: "Ann" <sip:+4930111@carrier.example>;tag=1\r\n'
NOBODY = 'From: "Anonymous" <sip:anonymous@anonymous.invalid>;tag=1\r\n'


def invite(*lines: str, sender: str = ANN) -> Request:
    made = parse((HEAD + sender + "".join(f"{line}\r\n" for line in lines) + "Content-Length: 0\r\n\r\n").encode())
    assert isinstance(made, Request)
    return made


def told(*lines: str, sender: str = ANN, trusted: bool = True) -> tuple[str, str]:
    caller = caller_of(invite(*lines, sender=sender), trusted)
    return str(caller.uri), caller.name


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        # good: one SIP identity, with a name of its own (RFC 3325 §9.1)
        (
            ['P-Asserted-Identity: "Ann Lee" <sip:+4930222@carrier.example>'],
            ("sip:+4930222@carrier.example", "Ann Lee"),
        ),
        # good: a tel identity alone; From's name is another number's and is not taken
        (["P-Asserted-Identity: <tel:+4930222>"], ("tel:+4930222", "")),
        # good: sip and tel in one header; the first counts
        (["P-Asserted-Identity: <sip:+4930222@c.example>, <tel:+4930222>"], ("sip:+4930222@c.example", "")),
        # good: the same number without a name; From's name may stand
        (["P-Asserted-Identity: <sip:4930111@c.example>"], ("sip:4930111@c.example", "Ann")),
        # good: URI without brackets
        (["P-Asserted-Identity: sip:+4930222@c.example"], ("sip:+4930222@c.example", "")),
        # good: the older header, with its parameters
        (
            ['Remote-Party-ID: "Bob" <sip:777@c.example>;party=calling;screen=yes;privacy=off'],
            ("sip:777@c.example", "Bob"),
        ),
        # good: it wishes not to be known
        (
            ['Remote-Party-ID: "Bob" <sip:777@c.example>;party=calling;privacy=full'],
            ("sip:anonymous@anonymous.invalid", "Anonymous"),
        ),
        # good, but it speaks of who is called
        (["Remote-Party-ID: <sip:777@c.example>;party=called"], ("sip:+4930111@carrier.example", "Ann")),
        # bad: no address; what can be read of the others counts
        (["P-Asserted-Identity: <>", "Remote-Party-ID: <sip:777@c.example>"], ("sip:777@c.example", "")),
        (["P-Asserted-Identity: <sip:>"], ("sip:+4930111@carrier.example", "Ann")),
        # bad: an unclosed bracket, and a scheme that calls nobody
        (["P-Asserted-Identity: <sip:+49@c"], ("sip:+4930111@carrier.example", "Ann")),
        (["P-Asserted-Identity: <mailto:ann@c.example>"], ("sip:+4930111@carrier.example", "Ann")),
        # bad: an empty value
        (["P-Asserted-Identity:"], ("sip:+4930111@carrier.example", "Ann")),
    ],
)
def test_a_trusted_trunk_proves_its_callers(lines: list[str], wanted: tuple[str, str]) -> None:
    assert told(*lines) == wanted


def test_nobody_else_does() -> None:
    lines = ["P-Asserted-Identity: <sip:1@c.example>", "Remote-Party-ID: <sip:2@c.example>"]
    assert told(*lines, trusted=False) == ("sip:+4930111@carrier.example", "Ann")


@pytest.mark.parametrize(
    ("privacy", "private"),
    [
        ("id", True),
        ("user;id", True),
        ("header", True),
        ("ID ; critical", True),
        ("session", False),
        ("none", False),
        ("critical", False),
        ("", False),
        (";;,", False),
    ],
)
def test_who_wishes_privacy_is_nobody_even_to_us(privacy: str, private: bool) -> None:
    caller = caller_of(invite("P-Asserted-Identity: <tel:+4930222>", f"Privacy: {privacy}"), True)
    assert caller.private is private
    assert ("+4930222" in str(caller.uri)) is not private


def test_an_anonymous_from_stays_so_whatever_the_trunk_proves() -> None:
    assert told("P-Asserted-Identity: <tel:+4930222>", sender=NOBODY) == (
        "sip:anonymous@anonymous.invalid",
        "Anonymous",
    )


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        # good: the last one who diverted stands first (RFC 5806)
        (["Diversion: <sip:+49301@c.example>;reason=no-answer, <sip:+49302@c.example>;reason=user-busy"], "+49301"),
        (["Diversion: <tel:+49301>;reason=unconditional"], "+49301"),
        # good: it wishes not to be known
        (["Diversion: <sip:+49301@c.example>;privacy=full"], ""),
        # bad: no address at all
        (["Diversion: yes"], ""),
        (["Diversion: <sip:"], ""),
        # good: History-Info with a cause in the target (RFC 4458), and with the entry that was mapped (RFC 7044)
        (["History-Info: <sip:201@c.example>;index=1, <sip:202@c.example;cause=486>;index=1.1"], "201"),
        (
            [
                "History-Info: <sip:201@c.example>;index=1",
                "History-Info: <sip:203@c.example>;index=1.1",
                "History-Info: <sip:202@c.example;cause=302>;index=1.2;mp=1",
            ],
            "201",
        ),
        # good: nobody diverted, it was only routed
        (["History-Info: <sip:201@c.example>;index=1, <sip:201@10.0.0.1>;index=1.1;rc=1"], ""),
        # good: the entry is private
        (["History-Info: <sip:201@c.example?Privacy=history>;index=1, <sip:2@c.example;cause=302>;index=1.1"], ""),
        (["Privacy: history", "History-Info: <sip:201@c>;index=1, <sip:2@c;cause=302>;index=1.1"], ""),
        # bad: nonsense between good ones
        (["History-Info: <>;index=1, <sip:201@c.example>, <sip:2@c.example;cause=302>;mp=9"], "201"),
        (["History-Info: <sip:2@c.example;cause=302>;index=1"], ""),
        ([], ""),
    ],
)
def test_who_passed_a_call_on_is_known(lines: list[str], wanted: str) -> None:
    assert diverted_from(invite(*lines).headers) == wanted


@pytest.mark.parametrize(
    ("target", "uri"),
    [
        ("+4930111", "sip:+4930111@c.example;user=phone"),
        ("tel:+49-30-(111)", "sip:+4930111@c.example;user=phone"),
        ("tel:111;phone-context=+4930", "sip:+4930111@c.example;user=phone"),
        ("tel:111;phone-context=pbx.example", "sip:111;phone-context=pbx.example@c.example;user=phone"),
        ("tel:+4930111;ext=22", "sip:+4930111;ext=22@c.example;user=phone"),
        ("sip:+4930111@elsewhere.example", "sip:+4930111@c.example;user=phone"),
        ("sip:ann@elsewhere.example", "sip:ann@c.example"),
        ("sip:ann%20lee@elsewhere.example", "sip:ann%20lee@c.example"),
        ("ann@elsewhere.example", "sip:ann@c.example"),
        ("110", "sip:110@c.example;user=phone"),
    ],
)
def test_what_is_dialled_becomes_a_number_at_the_trunk(target: str, uri: str) -> None:
    number, kept, phone = carried_user(trunk_target(target))
    assert request_uri(number, kept, "c.example", phone) == uri


def test_a_trunk_is_told_who_calls_in_its_way() -> None:
    sender, headers = identity_headers(IdentityHeader.ASSERTED, "+49301", "Room 1", "us.example", False, "")
    assert sender == '"Room 1" <sip:+49301@us.example>'
    assert headers == [("P-Asserted-Identity", '"Room 1" <sip:+49301@us.example>')]
    _, headers = identity_headers(IdentityHeader.REMOTE_PARTY, "+49301", "", "us.example", True, "")
    assert headers == [
        ("Remote-Party-ID", "<sip:+49301@us.example>;party=calling;screen=yes;privacy=full"),
        ("Privacy", "id"),
    ]
    assert identity_headers(IdentityHeader.NONE, "1", "", "us.example", False, "") == ("<sip:1@us.example>", [])


def test_a_private_caller_is_nobody_in_from_and_the_diverted_number_is_told() -> None:
    sender, headers = identity_headers(IdentityHeader.ASSERTED, "+49301", "Room 1", "us.example", True, "+49302")
    assert sender == '"Anonymous" <sip:anonymous@anonymous.invalid>'
    assert ("Privacy", "id") in headers
    assert ("Diversion", "<sip:+49302@us.example>;reason=unconditional") in headers
