"""Messages with a part replaced: values that the schema allows and that nobody would send.

Octets changed by chance are mostly refused by the codec. A graft is a message that the codec reads: somewhere in it
stands another value of the same type, a member is missing that may be, or an alternative is of a later version.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from h323_values import Values

from h323.asn1 import load
from h323.messages import Kind
from h323.per import compile_modules
from h323.per.bits import Writer
from h323.per.constructed import Choice, Sequence, SequenceOf
from h323.per.scalars import Type

SPEC = compile_modules(load())
LATER = (None, None)
"""What the codec reads where an alternative is of a later version than ours."""
FAR = 60
"""The place of such an alternative: no CHOICE here has as many additions."""
Path = tuple[Any, ...]


class Grafts:
    """Makes them, by chance."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._values = Values(chance)

    def any(self, kind: Kind) -> bytes:
        """Return a message that is made of chance alone."""
        return self._encode(kind, self._values.value(SPEC.type(*kind.value)))

    def graft(self, kind: Kind, value: Any, times: int = 1) -> bytes:
        """Return a message with so many parts replaced."""
        for _ in range(times):
            value = self._replaced(SPEC.type(*kind.value), value)
        return self._encode(kind, value)

    def _replaced(self, type_: Type, value: Any) -> Any:
        path, inner = self._chance.choice(list(_places(type_, value)))
        return _put(value, path, self._other(inner))

    def _other(self, type_: Type) -> Any:
        if isinstance(type_, Choice) and type_.additions is not None and self._chance.random() < 0.25:
            return LATER
        return self._values.value(type_, 4)

    @staticmethod
    def _encode(kind: Kind, value: Any) -> bytes:
        with _later_alternatives():
            return SPEC.encode(*kind.value, value)


def _places(type_: Type, value: Any, path: Path = ()) -> Iterator[tuple[Path, Type]]:
    """Give every part of a value with its type."""
    yield path, type_
    if value == LATER:
        return
    if isinstance(type_, Sequence):
        for member in (*type_.root, *(type_.additions or ())):
            if member.name in value:
                yield from _places(member.type, value[member.name], (*path, member.name))
    elif isinstance(type_, SequenceOf):
        for at, item in enumerate(value):
            yield from _places(type_.element, item, (*path, at))
    elif isinstance(type_, Choice):
        member = next(one for one in (*type_.root, *(type_.additions or ())) if one.name == value[0])
        yield from _places(member.type, value[1], (*path, 1))


def _put(value: Any, path: Path, new: Any) -> Any:
    if not path:
        return new
    first, rest = path[0], path[1:]
    if isinstance(value, dict):
        return {**value, first: _put(value[first], rest, new)}
    changed = [*value]
    changed[first] = _put(value[first], rest, new)
    return tuple(changed) if isinstance(value, tuple) else changed


@contextmanager
def _later_alternatives() -> Iterator[None]:
    """Let the codec write alternatives of a later version, as their senders do."""
    plain = Choice.encode

    def encode(self: Choice, value: Any, writer: Writer) -> None:
        if value != LATER:
            plain(self, value, writer)
            return
        writer.enter()
        writer.bits(1, 1)
        writer.small(FAR)
        writer.pieces(bytes(3))
        writer.leave()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Choice, "encode", encode)
        yield
