"""Bodies and headers that the adapter reads: multipart, keys, picture requests, names."""

from __future__ import annotations

import pytest

from sip.adapter_facts import dialled, source
from sip.bodies import (
    DEFAULT_TONE,
    DTMF,
    DTMF_RELAY,
    MAX_TONE,
    PICTURE_FAST_UPDATE,
    asks_key_frame,
    pressed_key,
    session_description,
)
from sip.events import Flow, Transport
from sip.uri import parse_uri

SDP = b"v=0\r\nm=audio 1 RTP/AVP 0\r\n"
PART = b"--x\r\nContent-Type: application/sdp;charset=utf-8\r\n\r\n" + SDP


@pytest.mark.parametrize("kind", ["application/sdp", "Application/SDP ; charset=x", ""])
def test_a_description_alone_is_the_body(kind: str) -> None:
    assert session_description(kind, SDP) == SDP


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/mixed;boundary=x", PART + b"\r\n--x--\r\n"),
        ('multipart/mixed; Boundary = "x"', b"preamble\r\n" + PART + b"\r\n--x--\r\nepilogue"),
        ("multipart/alternative;boundary=x", b"--x\r\nContent-Type: text/plain\r\n\r\nhi\r\n" + PART),
        ("multipart/mixed;boundary=x", PART.replace(b"\r\n", b"\n")),
        ("multipart/mixed;boundary=x", PART.replace(b"Content-Type", b"C")),
    ],
)
def test_a_description_is_found_among_parts(kind: str, body: bytes) -> None:
    found = session_description(kind, body)
    assert found is not None
    assert found.replace(b"\r", b"").strip() == SDP.replace(b"\r", b"").strip()


def wrapped(kind: str, *parts: bytes, boundary: str = "x") -> tuple[str, bytes]:
    """Return type and body of a multipart body."""
    delimiter = f"--{boundary}".encode()
    body = b"".join(delimiter + b"\r\n" + part + b"\r\n" for part in parts) + delimiter + b"--\r\n"
    return f'multipart/{kind};boundary="{boundary}"', body


def typed(kind: str, content: bytes, *more: str) -> bytes:
    """Return a part of a multipart body."""
    return "".join(f"{line}\r\n" for line in (f"Content-Type: {kind}", *more, "")).encode() + content


OTHER = SDP.replace(b"audio 1", b"audio 3")


def test_a_description_is_found_in_a_part_that_has_parts_itself() -> None:
    inner = wrapped("alternative", typed("text/plain", b"hi"), typed("application/sdp", SDP), boundary="xy")
    kind, body = wrapped("mixed", typed("application/pidf+xml", b"<presence/>"), typed(*inner))
    assert (session_description(kind, body) or b"").split() == SDP.split()
    folded = typed(*inner).replace(b";boundary", b";\r\n boundary")
    assert session_description(*wrapped("mixed", folded)) is not None


def test_parts_inside_of_each_other_are_bounded() -> None:
    made = ("application/sdp", SDP)
    found = []
    for depth in range(6):
        found.append(session_description(*made) is not None)
        made = wrapped("mixed", typed(*made), boundary=f"b{depth}")
    assert found == [True, True, True, True, False, False]


def test_of_alternatives_the_last_that_is_known_is_meant() -> None:
    parts = typed("application/sdp", OTHER), typed("application/sdp", SDP), typed("application/sdpng", b"<sdpng/>")
    assert (session_description(*wrapped("alternative", *parts)) or b"").split() == SDP.split()
    assert (session_description(*wrapped("mixed", *parts)) or b"").split() == OTHER.split()


def test_a_part_that_is_not_for_the_session_is_passed_over() -> None:
    early = typed("application/sdp", OTHER, "Content-Disposition: early-session;handling=optional")
    session = typed("application/sdp", SDP, "Content-Disposition: session")
    assert (session_description(*wrapped("mixed", early, session)) or b"").split() == SDP.split()
    assert session_description(*wrapped("mixed", early)) is None


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/plain", SDP),
        ("application/sdp", b"\r\n"),
        ("multipart/mixed", PART),
        ("multipart/mixed;boundary=y", PART),
        ("multipart/mixed;boundary=x", b"--x--\r\n" + PART[3:]),
        ("multipart/mixed;boundary=x", b"--x\r\nContent-Type: text/plain\r\n\r\nhi\r\n" * 20 + PART),
        ("multipart/mixed;boundary=x", b"--x\r\nContent-Type: application/sdp"),
    ],
)
def test_no_description_is_none(kind: str, body: bytes) -> None:
    assert session_description(kind, body) is None


@pytest.mark.parametrize(
    ("kind", "body", "pressed"),
    [
        (DTMF_RELAY, b"Signal=5\r\nDuration=160\r\n", ("5", 160)),
        (DTMF_RELAY, b"signal = * \nduration = 90", ("*", 90)),
        (DTMF_RELAY, b"Signal=10", ("*", DEFAULT_TONE)),
        (DTMF_RELAY, b"Signal=11", ("#", DEFAULT_TONE)),
        (DTMF_RELAY, b"Signal=a\r\nDuration=x", ("A", DEFAULT_TONE)),
        (DTMF_RELAY, b"Signal=1\r\nDuration=999999", ("1", MAX_TONE)),
        (DTMF, b" 7 \r\n", ("7", DEFAULT_TONE)),
        (DTMF, b"Signal=7", ("7", DEFAULT_TONE)),
        (DTMF, b"55", None),
        (DTMF, b"", None),
        (DTMF_RELAY, b"Duration=1", None),
        (DTMF_RELAY, b"Signal=Q", None),
        (DTMF_RELAY, b"\xff\xfe", None),
        (DTMF_RELAY, b"Signal=5" + b" " * 5_000, None),
    ],
)
def test_keys_are_read(kind: str, body: bytes, pressed: tuple[str, int] | None) -> None:
    assert pressed_key(kind, body) == pressed


@pytest.mark.parametrize(
    ("body", "asks"),
    [
        (PICTURE_FAST_UPDATE, True),
        (b"<x:picture_fast_update xmlns:x='y'></x:picture_fast_update>", True),
        (b"<media_control><vc_primitive><to_encoder/></vc_primitive></media_control>", False),
        (b"<!-- <picture_fast_update/> -->", False),
        (b"picture_fast_update", False),
        (b"<picture_fast_update/>" + b" " * 5_000, False),
        (b"", False),
    ],
)
def test_picture_requests_are_known(body: bytes, asks: bool) -> None:
    assert asks_key_frame(body) is asks


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("sip:100@h", ("100", None)),
        ("sip:100*4711@h", ("100", "4711")),
        ("sip:100*@h", ("100", None)),
        ("sip:%23%23100%234711@h", ("100", "4711")),
        ("sip:##100#4711#@h", ("100", "4711")),
        ("sip:h", ("", None)),
        ("sip:%00%0Aroom@h", ("room", None)),
    ],
)
def test_room_and_pin_are_read_from_what_was_dialled(uri: str, expected: tuple[str, str | None]) -> None:
    assert dialled(parse_uri(uri)) == expected


def test_a_source_is_an_address_with_port() -> None:
    assert source(Flow(Transport.UDP, "::1", 1, "::2", 5060)) == "[::2]:5060"
    assert source(Flow(Transport.UDP, "1.1.1.1", 1, "192.0.2.1", 5060)) == "192.0.2.1:5060"
