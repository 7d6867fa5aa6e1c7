"""Every message of captured calls (H323Plus 1.28, GnuGk 5.15) is read, and written again as it was."""

from __future__ import annotations

from collections import Counter

from h323_samples import encodings, frames

from h323 import q931
from h323.messages import Kind, decode, encode


def test_every_kind_of_message_is_there() -> None:
    counts = Counter(kind for _, kind, _ in encodings())
    assert counts[Kind.H225] > 150
    assert counts[Kind.H245] > 150
    assert counts[Kind.RAS] > 50
    assert counts[Kind.FAST_START] > 100


def test_q931_messages_are_written_as_they_were_read() -> None:
    for where, kind, octets in frames():
        if kind == "Q931":
            assert q931.build(q931.parse(octets)) == octets, where


def test_messages_are_written_as_they_were_read() -> None:
    """None of them has an addition that is unknown to us; H323Plus tells of additions up to the last alone."""
    for where, kind, octets in encodings():
        assert encode(kind, decode(kind, octets), trimmed=True) == octets, where


def test_the_recommendation_s_form_says_the_same() -> None:
    for where, kind, octets in encodings():
        value = decode(kind, octets)
        assert decode(kind, encode(kind, value)) == value, where
