"""Numbers as trunks want them: an ordered list of patterns, of which the first that fits the whole number rewrites it.

Patterns come from the configuration and numbers from peers, so a pattern that could take long on some number is not
taken: no repeated group, and few repetitions in all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_NUMBER = 128
"""Characters of a number that is rewritten; E.164 has 15 digits, an extension and a name are longer."""
MAX_RULES = 64
"""Rules of one list; a numbering plan has a dozen."""
MAX_PATTERN = 200
"""Characters of a pattern."""
MAX_REPEATS = 3
"""Repetitions in one pattern: with three, a number of 128 characters takes a million steps at the very worst."""

_CLASS = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]")
_ESCAPE = re.compile(r"\\.")
_REPEAT = re.compile(r"[*+]|\{\d*,\d*\}")


class BadRule(ValueError):
    """A rule cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One pattern and what takes the place of a number that fits it; \\1 and \\g<name> stand for groups."""

    match: re.Pattern[str]
    replace: str

    @classmethod
    def of(cls, match: str, replace: str) -> Rule:
        """Make a rule. Raises BadRule."""
        bare = _CLASS.sub("c", _ESCAPE.sub("e", match))
        if len(match) > MAX_PATTERN or len(replace) > MAX_PATTERN:
            raise BadRule(f"a pattern is longer than {MAX_PATTERN} characters")
        if re.search(r"\)[*+{]", bare):
            raise BadRule("a group must not be repeated: it may take long on some numbers")
        if len(_REPEAT.findall(bare)) > MAX_REPEATS:
            raise BadRule(f"more than {MAX_REPEATS} repetitions in a pattern may take long on some numbers")
        try:
            pattern = re.compile(match, re.ASCII)
            _check_template(pattern, replace)
        except (re.error, IndexError) as error:
            raise BadRule(f"the pattern makes no sense: {error}") from None
        return cls(pattern, replace)


def _check_template(pattern: re.Pattern[str], replace: str) -> None:
    """Raise re.error or IndexError where a replacement names a group that the pattern has not."""
    optional = "|".join((f"(?:{pattern.pattern})", ""))  # fits the empty text with every group unset
    re.sub(optional, replace, "", count=1)


def rewritten(number: str, rules: tuple[Rule, ...]) -> str:
    """Return a number as the first rule that fits it says; as it is where none does or it is too long."""
    if len(number) > MAX_NUMBER:
        return number
    for rule in rules:
        found = rule.match.fullmatch(number)
        if found is not None:
            return found.expand(rule.replace)[:MAX_NUMBER]
    return number
