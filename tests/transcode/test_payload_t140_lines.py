"""T.140 characters become lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcode.payload.t140_lines import MAX_LINE, MAX_SEQUENCE, PAUSE, LineMaker


def lines(text: str) -> list[str]:
    maker = LineMaker()
    return maker.take(text, 0.0) + maker.finish()


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\u2028", "\u2029"])
def test_a_line_ends_by_whatever_ends_lines(end: str) -> None:
    maker = LineMaker()
    assert maker.take(f"Hello{end}there{end}wai", 0.0) == ["Hello", "there"]
    assert maker.finish() == ["wai"]


def test_cr_and_lf_may_come_apart() -> None:
    maker = LineMaker()
    assert [maker.take(part, 0.0) for part in ("a\r", "\nb", "\r\n")] == [["a"], [], ["b"]]


def test_a_pause_ends_a_line_too() -> None:
    maker = LineMaker()
    maker.take("Hel", 0.0)
    maker.take("lo", 3.0)
    assert maker.poll(3.0 + PAUSE - 0.01) == []
    assert maker.poll(3.0 + PAUSE) == ["Hello"]
    assert maker.poll(99.0) == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Helo\blo", "Hello"),
        ("\b\bHello", "Hello"),
        ("Hella\u0301\bo", "Hello"),  # an accent goes with its letter
        ("Hel\x07lo\0", "Hello"),  # a bell, and a nothing
        ("He\x9b31mllo\x9b0m", "Hello"),  # colours
        ("He\x1b[31mllo", "Hello"),
        ("He\x98anything\x9cllo", "Hello"),  # words to an application
        ("He\x1bXanything\x9cllo", "Hello"),
        ("He\x1b7llo", "Hello"),
        ("Hel\ufffdo", "Hel\ufffdo"),
        ("  Hello ", "Hello"),
        ("He\tllo", "He\tllo"),
    ],
)
def test_what_is_read_of_a_line(text: str, line: str) -> None:
    assert lines(text) == [line]


def test_backspace_does_not_reach_what_was_told() -> None:
    maker = LineMaker()
    assert maker.take("one\n\b\btwo\n", 0.0) == ["one", "two"]


def test_empty_lines_are_not_told() -> None:
    assert lines("\r\n\r\n  \n") == []


def test_long_lines_are_told_in_pieces() -> None:
    assert [len(line) for line in lines("x" * (2 * MAX_LINE + 5))] == [MAX_LINE, MAX_LINE, 5]


def test_a_control_sequence_that_never_ends_loses_little() -> None:
    assert lines("\x98" + "x" * (MAX_SEQUENCE + 10)) == ["x" * 10]
    assert lines("\x9b12\nafter") == ["after"]


@given(st.lists(st.text(), max_size=20))
def test_nothing_is_told_that_a_terminal_would_obey(parts: list[str]) -> None:
    maker = LineMaker()
    told = [line for part in parts for line in maker.take(part, 0.0)] + maker.finish()
    assert all(line and len(line) <= MAX_LINE for line in told)
    assert not any((char < " " and char != "\t") or "\x7f" <= char < "\xa0" for line in told for char in line)
