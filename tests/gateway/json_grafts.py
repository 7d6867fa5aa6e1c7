"""JSON with a part replaced: what can be written and nobody would send.

Octets changed by chance are mostly no JSON any more. A graft is a message that can be read: somewhere in it stands
another value of the same kind or of another one, a member is missing, doubled or new.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Sequence
from typing import Any

Path = tuple[Any, ...]

TEXTS = (
    "",
    " ",
    "0",
    "100",
    "-1",
    "\0",
    "\ud800",
    "a\udfff b",
    "\u202e\u2066",
    "\u200d",
    "e\u0301" * 20,
    "\U0001f468\u200d\U0001f469",
    "\r\n\r\n",
    "../../etc/passwd",
    "%00%s{0}",
    "'; --",
    "null",
    "\uff11\uff10\uff10",
    "a" * 65,
    "\u00e4" * 300,
    "x" * 5_000,
    "sip:100@127.0.0.1",
    "sip:\ud800@127.0.0.1",
    "sip:a@[::1",
    "h323:\u0660\u0661",
    "tel:+",
    "user:ann",
    "door:100",
    "call:100",
)
NUMBERS = (0, 1, -1, 2, 15, 64, 127, 255, 65_535, 2**31 - 1, 2**31, -(2**31), 2**63 - 1, 2**63, 2**64, 10**30)
FLOATS = (0.5, -0.0, 1e-320, 1e308, float("inf"), float("-inf"), float("nan"), 1.0)


class Doubled(dict[str, Any]):
    """An object whose first member stands in it twice, with another value the second time."""


class Grafts:
    """Makes them, by chance."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def graft(self, value: Any, times: int = 1) -> Any:
        """Return a value with so many parts replaced."""
        for _ in range(times):
            path, inner = self._chance.choice(list(_places(value)))
            value = self._changed(value, path, inner)
        return value

    def _changed(self, value: Any, path: Path, inner: Any) -> Any:
        match self._chance.randrange(10):
            case 0 if path:
                return _put(value, path, _GONE)
            case 1 if isinstance(inner, dict) and inner:
                return _put(value, path, Doubled(inner))
            case 2 if isinstance(inner, dict):
                return _put(value, path, {**inner, self._chance.choice(TEXTS): self.any()})
            case 3:
                return _put(value, path, [inner])
            case 4 | 5 | 6:
                return _put(value, path, self.like(inner))
        return _put(value, path, self.any())

    def like(self, value: Any) -> Any:
        """Return another value of the same kind."""
        match value:
            case bool():
                return not value
            case int():
                return self._chance.choice(NUMBERS)
            case float():
                return self._chance.choice(FLOATS)
            case str():
                return self.text(value)
            case list():
                return self._chance.choice([[], value * 2, value * 40, [*value, self.any()]])
        return self.any()

    def text(self, value: str) -> str:
        """Return another text, or this one with something in it."""
        if self._chance.random() < 0.6:
            return self._chance.choice(TEXTS)
        at = self._chance.randrange(len(value) + 1)
        return value[:at] + self._chance.choice(TEXTS) + value[at:]

    def any(self, depth: int = 3) -> Any:
        """Return a value of any kind."""
        match self._chance.randrange(8 if depth else 5):
            case 0:
                return None
            case 1:
                return self._chance.random() < 0.5
            case 2:
                return self._chance.choice(NUMBERS)
            case 3:
                return self._chance.choice(FLOATS)
            case 4:
                return self._chance.choice(TEXTS)
            case 5:
                return [self.any(depth - 1) for _ in range(self._chance.randrange(4))]
            case 6:
                return {self._chance.choice(TEXTS): self.any(depth - 1) for _ in range(self._chance.randrange(3))}
        nested: Any = 0
        for _ in range(self._chance.choice([5, 200, 900])):
            nested = [nested]
        return nested


def written(value: Any) -> str:
    """Write a value as JSON, lone surrogates as \\u escapes, members twice where they stand twice."""
    if isinstance(value, Doubled) and value:
        name, first = next(iter(value.items()))
        rest = "".join(f", {json.dumps(key)}: {written(inner)}" for key, inner in value.items())
        return f"{{{json.dumps(name)}: {written(_other(first))}{rest}}}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)}: {written(inner)}" for key, inner in value.items()) + "}"
    depth = 0
    while isinstance(value, list) and len(value) == 1:
        depth, value = depth + 1, value[0]
    if isinstance(value, list):
        inside = "[" + ", ".join(map(written, value)) + "]"
    else:
        inside = json.dumps(value) if not isinstance(value, dict) else written(value)
    return "[" * depth + inside + "]" * depth


def _other(value: Any) -> Any:
    return 0 if isinstance(value, str) else "0"


class Shapes:
    """Makes values that fit a JSON schema, as far as it is told; texts are taken from words that fit."""

    def __init__(self, chance: random.Random, schemas: dict[str, Any], words: Sequence[str]) -> None:
        self._chance = chance
        self._schemas = schemas
        self._words = words

    def value(self, schema: dict[str, Any], depth: int = 6) -> Any:
        """Return a value."""
        chance = self._chance
        if "$ref" in schema:
            return self.value(self._schemas[schema["$ref"].rpartition("/")[2]], depth)
        if "anyOf" in schema:
            return self.value(chance.choice(schema["anyOf"]), depth)
        if "enum" in schema:
            return chance.choice(schema["enum"])
        if "const" in schema:
            return schema["const"]
        match schema.get("type"):
            case "object":
                return self._object(schema, depth)
            case "array":
                least = schema.get("minItems", 0)
                if "prefixItems" in schema:
                    return [self.value(one, depth - 1) for one in schema["prefixItems"]]
                return [self.value(schema["items"], depth - 1) for _ in range(chance.randrange(least, least + 3))]
            case "integer" | "number":
                low, high = int(schema.get("minimum", -5)), int(schema.get("maximum", 1_000_000))
                return chance.choice([low, high, chance.randint(low, high)])
            case "boolean":
                return chance.random() < 0.5
            case "null":
                return None
        return self.text(schema)

    def _object(self, schema: dict[str, Any], depth: int) -> Any:
        needed = schema.get("required", ())
        return {
            name: self.value(inner, depth - 1)
            for name, inner in schema.get("properties", {}).items()
            if name in needed or self._chance.random() < 0.4
        }

    def text(self, schema: dict[str, Any]) -> str:
        """Return a text that fits."""
        pattern, longest = schema.get("pattern"), schema.get("maxLength", 1_000_000)
        pool = [*self._words, *TEXTS] if pattern is None else self._words
        fits = [one for one in pool if len(one) <= longest and (pattern is None or re.search(pattern, one))]
        return self._chance.choice(fits or [""])


class _Gone:
    pass


_GONE = _Gone()


def _places(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Give every part of a value; what is nested without end, not to its bottom."""
    yield path, value
    if len(path) > 8:
        return
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _places(inner, (*path, name))
    elif isinstance(value, list):
        for at, inner in enumerate(value[:20]):
            yield from _places(inner, (*path, at))


def _put(value: Any, path: Path, new: Any) -> Any:
    if not path:
        return None if new is _GONE else new
    first, rest = path[0], path[1:]
    if isinstance(value, dict):
        if not rest and new is _GONE:
            return type(value)({name: inner for name, inner in value.items() if name != first})
        return type(value)({**value, first: _put(value[first], rest, new)})
    changed = [*value]
    if not rest and new is _GONE:
        del changed[first]
    else:
        changed[first] = _put(value[first], rest, new)
    return changed
