"""Random values of compiled ASN.1 types, for round trips and for the comparison with other decoders."""

from __future__ import annotations

import random
from typing import Any

from h323.per.constructed import Choice, Member, Sequence, SequenceOf
from h323.per.scalars import (
    BitString,
    Boolean,
    Enumerated,
    Integer,
    Null,
    ObjectIdentifier,
    OctetString,
    Sized,
    Type,
    Unused,
)
from h323.per.strings import BmpString, KnownMultiplier, OctetText

DEEP = 12
"""Constructed types inside one another from which on only the shortest way out is taken."""
HUGE = 1 << 30


class Values:
    """Makes values; knows of each type how deep its shallowest value is.

    avoid: names of members and alternatives that shall not be in them. tame: keep numbers without bounds, and the arcs
    of object identifiers, in 32 bits.
    """

    def __init__(self, rng: random.Random, avoid: frozenset[str] = frozenset(), tame: bool = False) -> None:
        self.rng = rng
        self._far = 31 if tame else 70
        self.avoid = avoid
        self._heights: dict[int, int] = {}

    def height(self, type_: Type, above: tuple[int, ...] = ()) -> int:
        """Constructed types inside one another in the shallowest value; HUGE where there is no value."""
        key = id(type_)
        if key in above or isinstance(type_, Unused):
            return HUGE
        if not isinstance(type_, Sequence | SequenceOf | Choice):
            return 0
        if key in self._heights:
            return self._heights[key]
        inside = (*above, key)
        if isinstance(type_, Choice):
            height = 1 + min(self.height(m.type, inside) for m in [*type_.root, *(type_.additions or [])])
        elif isinstance(type_, SequenceOf):
            height = 1 + (self.height(type_.element, inside) if type_.size.low else 0)
        else:
            needed = [m for m in type_.root if not (m.optional or m.has_default)]
            height = 1 + max((self.height(m.type, inside) for m in needed), default=0)
        if not above:
            self._heights[key] = height
        return height

    def value(self, type_: Type, depth: int = 0) -> Any:
        """A random value of the type."""
        if isinstance(type_, Sequence):
            return self._sequence(type_, depth + 1)
        if isinstance(type_, SequenceOf):
            most = 3 if depth < DEEP and self.height(type_.element) < HUGE else 0
            return [self.value(type_.element, depth + 1) for _ in range(self._count(type_.size, most))]
        if isinstance(type_, Choice):
            return self._choice(type_, depth + 1)
        return self._scalar(type_)

    def _sequence(self, type_: Sequence, depth: int) -> dict[str, Any]:
        value = {m.name: self.value(m.type, depth) for m in type_.root if self._there(m, depth)}
        if not type_.additions or self.rng.random() < 0.4:
            return value
        for member in type_.additions[: self.rng.randint(1, len(type_.additions))]:
            if isinstance(member.type, Unused) and not member.optional:
                break
            if self._there(member, depth):
                value[member.name] = self.value(member.type, depth)
        return value

    def _there(self, member: Member, depth: int) -> bool:
        if not (member.optional or member.has_default):
            return True
        if depth >= DEEP or self.height(member.type) >= HUGE or member.name in self.avoid:
            return False
        return self.rng.random() < 1.5 / (depth + 1)

    def _choice(self, type_: Choice, depth: int) -> tuple[str, Any]:
        members = [m for m in [*type_.root, *(type_.additions or [])] if self.height(m.type) < HUGE]
        members = [m for m in members if m.name not in self.avoid]
        if depth >= DEEP:
            lowest = min(self.height(m.type) for m in members)
            members = [m for m in members if self.height(m.type) == lowest]
        member = self.rng.choice(members)
        return (member.name, self.value(member.type, depth))

    def _count(self, size: Sized, most: int) -> int:
        high = size.low + most if size.high is None else min(size.high, size.low + most)
        return self.rng.randint(size.low, high)

    def _scalar(self, type_: Type) -> Any:
        rng = self.rng
        if isinstance(type_, Boolean):
            return rng.random() < 0.5
        if isinstance(type_, Null):
            return None
        if isinstance(type_, Integer):
            low = type_.low if type_.low is not None else -(1 << rng.choice([1, 7, 8, 15, 30]))
            high = type_.high if type_.high is not None else low + (1 << rng.choice([1, 8, 16, 30, self._far]))
            return rng.choice([low, high, rng.randint(low, high), rng.randint(low, min(high, low + 300))])
        if isinstance(type_, Enumerated):
            return rng.choice([*type_.root, *(type_.additions or [])])
        if isinstance(type_, ObjectIdentifier):
            arcs = [rng.choice([0, 5, 127, 128, 2250, (1 << self._far) - 1]) for _ in range(rng.randint(0, 6))]
            return ".".join(map(str, [*rng.choice([(0, 0), (0, 39), (1, 3), (2, 16), (2, 999)]), *arcs]))
        if isinstance(type_, OctetString):
            return rng.randbytes(self._count(type_.size, rng.choice([3, 20, 200])))
        if isinstance(type_, BitString):
            count = self._count(type_.size, 40)
            number = rng.getrandbits(count) << (-count % 8) if count else 0
            return (number.to_bytes((count + 7) // 8, "big"), count)
        if isinstance(type_, KnownMultiplier):
            return "".join(rng.choice(type_.alphabet) for _ in range(self._count(type_.size, 20)))
        if isinstance(type_, BmpString):
            return "".join(rng.choice("aZ0é漢") for _ in range(self._count(type_.size, 20)))
        assert isinstance(type_, OctetText)
        return "".join(rng.choice("aZ0 ") for _ in range(rng.randint(0, 20)))
