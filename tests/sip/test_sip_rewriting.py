"""Rewriting of numbers: the first rule that fits the whole number, and patterns that can never take long."""

from __future__ import annotations

import time

import pytest

from sip.rewriting import MAX_NUMBER, BadRule, Rule, rewritten

RULES = (Rule.of(r"00(\d+)", r"+\1"), Rule.of(r"0(\d+)", r"+49\1"), Rule.of(r"\+?(?P<all>\d+)", r"+\g<all>"))


@pytest.mark.parametrize(
    ("number", "wanted"),
    [
        ("0044201234", "+44201234"),
        ("030123456", "+4930123456"),
        ("+15551234", "+15551234"),
        ("15551234", "+15551234"),
        ("ann", "ann"),
        ("030 12", "030 12"),
        ("", ""),
    ],
)
def test_the_first_rule_that_fits_the_whole_number_rewrites_it(number: str, wanted: str) -> None:
    assert rewritten(number, RULES) == wanted


def test_a_group_that_took_no_part_leaves_nothing() -> None:
    assert rewritten("12", (Rule.of(r"(9)?(\d+)", r"\1x\2"),)) == "x12"


def test_a_number_that_is_too_long_stays_and_one_that_grows_is_cut() -> None:
    assert rewritten("1" * (MAX_NUMBER + 1), RULES) == "1" * (MAX_NUMBER + 1)
    assert rewritten("1" * MAX_NUMBER, (Rule.of(r"(\d+)", r"\1\1"),)) == "1" * MAX_NUMBER


@pytest.mark.parametrize(
    ("match", "replace"),
    [
        (r"(\d+)+x", ""),
        (r"(a|b)*", ""),
        (r"(a){2,}", ""),
        (r".*.*.*.*x", ""),
        (r"(\d", ""),
        (r"\d+", r"\1"),
        (r"(\d+)", r"\g<name>"),
        ("1" * 300, ""),
    ],
)
def test_a_rule_that_makes_no_sense_or_may_take_long_is_not_taken(match: str, replace: str) -> None:
    with pytest.raises(BadRule):
        Rule.of(match, replace)


@pytest.mark.parametrize("match", [r"[(+)*]+\+(\d+)", r"\)+(\d*)", r"(\d{3})?(\d+)"])
def test_what_only_looks_like_a_repeated_group_is_taken(match: str) -> None:
    Rule.of(match, r"\1")


def test_the_worst_pattern_that_is_taken_ends_soon() -> None:
    rule = Rule.of(r"\d*\d*\d*x", "")
    start = time.process_time()
    assert rewritten("1" * MAX_NUMBER, (rule,)) == "1" * MAX_NUMBER
    assert time.process_time() - start < 1.0
