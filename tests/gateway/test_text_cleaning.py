"""Names and addresses of peers, made fit to be shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.text import clean, is_visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("A\x00n\x1bn\u202e  \u200bO\r\n'Hara", "Ann O 'Hara"),
        ("é漢😀", "é漢😀"),
        ("a\u00a0b\u2028c\td", "a b c d"),
        ("\ue000\ud800\ufeff", ""),
        ("x" * 10_000, "x" * 64),
        ("x" * 63 + " y", "x" * 63),
    ],
)
def test_a_line_loses_what_cannot_be_seen_and_what_is_too_much(text: str, shown: str) -> None:
    assert clean(text, 64) == shown


@given(st.text())
def test_a_clean_line_is_short_visible_and_stays_as_it_is(text: str) -> None:
    shown = clean(text, 20)
    assert len(shown) <= 20
    assert all(map(is_visible, shown))
    assert shown.strip() == clean(shown, 20) == shown
