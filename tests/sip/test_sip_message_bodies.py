"""Bodies of MESSAGE: plain text, CPIM, what is no text, and what is refused."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sip.message_bodies import MAX_BODY, BadBody, pieces, read_message

CPIM = (
    b"From: Ann <im:ann@example.com>\r\n"
    b"To: <im:100@example.com>\r\n"
    b"DateTime: 2026-01-01T10:00:00Z\r\n"
    b"NS: imdn <urn:ietf:params:imdn>\r\n"
    b"imdn.Disposition-Notification: positive-delivery\r\n"
    b"\r\n"
    b"Content-type: text/plain; charset=utf-8\r\n"
    b"\r\n"
    b"Hello \xe2\x82\xac\r\n\r\nthere"
)


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        ("text/plain", "Grüße".encode(), "Grüße"),
        ("Text/Plain; charset=UTF-8", "Grüße".encode(), "Grüße"),
        ('text/plain;charset="iso-8859-1"', "Grüße".encode("latin-1"), "Grüße"),
        ("text/plain; charset=windows-1252", "€".encode("cp1252"), "€"),
        ("text/plain; charset=US-ASCII", b"Hi", "Hi"),
        ("text/plain", b"a\xffb", "a\ufffdb"),
        ("", b"no type", "no type"),
        ("text/plain", b"", ""),
        ("message/cpim", CPIM, "Hello €\n\nthere"),
        ("message/cpim", CPIM.replace(b"\r\n", b"\n"), "Hello €\n\nthere"),
        ("message/CPIM", b"From: x\r\n\r\nX-Other: 1\r\n\r\nHi", "Hi"),
        ("application/im-iscomposing+xml", b"<isComposing><state>active</state></isComposing>", ""),
        ("message/cpim", b"From: x\n\nContent-Type: message/imdn+xml\n\n<imdn/>", ""),
    ],
)
def test_what_a_message_says(kind: str, body: bytes, text: str) -> None:
    assert read_message(kind, "", body) == text


@pytest.mark.parametrize(
    ("kind", "encoding", "body", "status"),
    [
        ("text/html", "", b"<b>Hi</b>", 415),
        ("multipart/mixed;boundary=x", "", b"--x--", 415),
        ("text/plain", "gzip", b"\x1f\x8b", 415),
        ("text/plain;charset=ebcdic-at-de", "", b"x", 415),
        ("text/plain;charset=utf-7", "", b"x", 415),
        ("text/plain;charset=\x00", "", b"x", 415),
        ("text/plain", "", b"x" * (MAX_BODY + 1), 413),
        ("message/cpim", "", b"nothing of a message", 400),
        ("message/cpim", "", b"From: x\r\n\r\nContent-Type: text/plain", 400),
        ("message/cpim", "", b"From: x\r\n\r\nContent-Type: message/cpim\r\n\r\nFrom: y\r\n\r\n", 415),
    ],
)
def test_what_is_not_taken(kind: str, encoding: str, body: bytes, status: int) -> None:
    with pytest.raises(BadBody) as bad:
        read_message(kind, encoding, body)
    assert bad.value.status == status


@given(st.text(max_size=40), st.binary(max_size=300))
def test_no_body_raises_anything_else(kind: str, body: bytes) -> None:
    for name in (kind, "message/cpim", f"text/plain;charset={kind}"):
        with suppress(BadBody):
            read_message(name, "", body)


@given(st.text(), st.integers(4, 200))
def test_a_text_is_cut_into_pieces_that_hold_all_of_it(text: str, most: int) -> None:
    text = text.encode("utf-8", "replace").decode()
    parts = pieces(text, most)
    assert all(0 < len(part.encode()) <= most for part in parts)
    assert "".join("".join(parts).split()) == "".join(text.split())


def test_pieces_end_at_blanks() -> None:
    assert pieces("one two three", 8) == ["one two", "three"]
