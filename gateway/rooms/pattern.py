"""Regular expressions out of the configuration that no dialled text can make slow.

What is matched is what a stranger dialled, so that a pattern with two ways to read the same text, such as `(a+)+`,
would let him hold up the whole house. Two bounds end that: the text's length, and how many ways there are at most to
lay the pattern over a text of that length, which is reckoned out when the pattern is read.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from functools import cached_property
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

MAX_TEXT = 128
"""Characters of what is matched; longer text matches nothing. A telephone number has 15, an address seldom 60."""
MAX_PATTERN = 256
"""Characters of a pattern; more is a list and belongs into several rules."""
MAX_WAYS = 100_000
"""Ways to lay a pattern over a text that may have to be tried: a few milliseconds. Two free repetitions are 16,641."""


class BadPattern(ValueError):
    """The pattern makes no sense, or may take too long; the text says which, for people."""


class Pattern:
    """A regular expression that must match the whole of a text."""

    def __init__(self, text: str, ignore_case: bool = False) -> None:
        """Raises `BadPattern`."""
        if len(text) > MAX_PATTERN:
            raise BadPattern(f"a pattern has at most {MAX_PATTERN} characters")
        self.text = text
        flags = re.IGNORECASE if ignore_case else 0
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # what will mean something else one day means nothing here
                self._compiled = re.compile(text, flags)
                ways = _ways(parser.parse(text, flags))
        except (re.error, RecursionError, OverflowError, Warning) as error:
            raise BadPattern(f"{text!r} is no regular expression: {error}") from None
        if ways > MAX_WAYS:
            raise BadPattern(
                f"{text!r} may take too long to match: leave out repetitions inside of repetitions, and * or + after"
                " one another; say {1,20} where that is enough"
            )

    def __repr__(self) -> str:
        return f"Pattern({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pattern) and other._compiled == self._compiled

    def __hash__(self) -> int:
        return hash(self._compiled)

    @property
    def groups(self) -> int:
        """How many groups there are."""
        return self._compiled.groups

    def match(self, text: str) -> re.Match[str] | None:
        """Match the whole text; one that is too long matches nothing."""
        return self._compiled.fullmatch(text) if len(text) <= MAX_TEXT else None


class Template:
    r"""A text with `\1` or `\g<name>` where groups of a match are to stand."""

    def __init__(self, text: str, pattern: Pattern | None) -> None:
        """Raises `BadPattern` where a group is named that the pattern does not have."""
        self.text = text
        self._pattern = pattern
        if "\\" in text:
            if pattern is None:
                raise BadPattern(f"{text!r} needs a pattern whose groups it can use")
            try:
                parser.parse_template(text, pattern._compiled)
            except (re.error, IndexError) as error:
                raise BadPattern(f"{text!r} does not fit the pattern: {error}") from None

    @cached_property
    def fixed(self) -> bool:
        """Whether nothing that was dialled gets into it."""
        return "\\" not in self.text

    def fill(self, match: re.Match[str] | None) -> str:
        """Return the text with the groups of a match in it; a group that took no part is empty."""
        return self.text if match is None or self.fixed else match.expand(self.text)


def _ways(parsed: Iterable[tuple[Any, Any]]) -> int:
    """Return in how many ways at most a sequence can be laid over a text of MAX_TEXT. Raises re.error."""
    ways = 1
    for name, value in parsed:
        ways = min(ways * _ways_of(name, value), MAX_WAYS + 1)
    return ways


def _ways_of(name: Any, value: Any) -> int:
    if name in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
        least, most, inner = int(value[0]), min(int(value[1]), MAX_TEXT), _ways(value[2])
        if inner == 1:
            return max(1, most - least + 1)
        # Each round may be laid in `inner` ways: a power, which is cut off long before it is large.
        total = 0
        for rounds in range(least, most + 1):
            total += min(inner**rounds if rounds < 64 else MAX_WAYS + 1, MAX_WAYS + 1)
            if total > MAX_WAYS:
                break
        return max(1, total)
    if name is op.BRANCH:
        return sum(_ways(branch) for branch in value[1])
    if name is op.SUBPATTERN:
        return _ways(value[3])
    if name is op.ATOMIC_GROUP:
        return _ways(value)
    if name in (op.ASSERT, op.ASSERT_NOT):
        return _ways(value[1])
    if name in (op.GROUPREF, op.GROUPREF_IGNORE, op.GROUPREF_EXISTS):
        raise re.error("a pattern may not refer to its own groups")
    return 1
