"""Types with members: SEQUENCE and SET, SEQUENCE OF and SET OF, CHOICE.

Values are a dict of the members that are there, a list, and a tuple of an alternative's name and its value. An
alternative that a later version has added decodes to `(None, None)`, which cannot be encoded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from h323.per.bits import MAX_ITEMS, Reader, Writer
from h323.per.errors import DecodeError, EncodeError, PerError, shown
from h323.per.scalars import Sized, Type, Unused

MAX_ADDITIONS = 256
"""Additions of one SEQUENCE: the Recommendations' longest have about 25."""


@dataclass(slots=True)
class Member:
    """A member of a SEQUENCE or an alternative of a CHOICE; the type is filled in when all are known.

    default: the value that an absent member has, where `has_default` says that there is one.
    """

    name: str
    type: Type
    optional: bool = False
    has_default: bool = False
    default: Any = None


def _open(type_: Type, value: Any, writer: Writer) -> None:
    """An open type (X.691 §11.2): a complete encoding behind its length, of at least one octet."""
    inner = Writer(writer.depth, writer.trimmed)
    type_.encode(value, inner)
    writer.pieces(inner.whole())


class Sequence(Type):
    """SEQUENCE (X.691 §19), and SET whose members stand in the order of their tags already."""

    def __init__(self) -> None:
        self.root: list[Member] = []
        self.additions: list[Member] | None = None
        self._names: frozenset[str] = frozenset()
        self._choosable: list[Member] = []

    def fill(self, root: list[Member], additions: list[Member] | None) -> None:
        """Give the members; apart from the constructor because types contain themselves."""
        self.root = root
        self.additions = additions
        self._choosable = [member for member in root if member.optional or member.has_default]
        self._names = frozenset(member.name for member in [*root, *(additions or [])])

    def encode(self, value: Any, writer: Writer) -> None:
        if not isinstance(value, dict):
            raise EncodeError(f"wants a dict, not {shown(value)}")
        if not value.keys() <= self._names:
            raise EncodeError(f"no such member: {shown(next(name for name in value if name not in self._names))}")
        writer.enter()
        count = self._additions_sent(value)
        if self.additions is not None:
            writer.bits(count > 0, 1)
        for member in self._choosable:
            writer.bits(self._sent(member, value), 1)
        for member in self.root:
            if self._sent(member, value):
                self._member(member, value, writer)
        if count:
            self._encode_additions(value, writer)
        writer.leave()

    def _sent(self, member: Member, value: dict[str, Any]) -> bool:
        if member.name in value:
            return not (member.has_default and value[member.name] == member.default)
        if not (member.optional or member.has_default):
            raise EncodeError(f"{member.name} is missing")
        return False

    def _member(self, member: Member, value: dict[str, Any], writer: Writer) -> None:
        try:
            member.type.encode(value[member.name], writer)
        except EncodeError as exc:
            exc.within(member.name)
            raise

    def _additions_sent(self, value: dict[str, Any]) -> int:
        """How many additions are there.

        One that must be there can be missing only when none follows it: so a sender of an older version speaks.
        """
        count = 0
        missing = ""
        for member in self.additions or ():
            if member.name in value:
                if missing:
                    raise EncodeError(f"{missing} is missing before {member.name}")
                count += 1
            elif not (member.optional or member.has_default):
                missing = missing or member.name
        return count

    def _encode_additions(self, value: dict[str, Any], writer: Writer) -> None:
        assert self.additions is not None
        number = len(self.additions)
        if writer.trimmed:
            number = max(place for place, member in enumerate(self.additions, 1) if member.name in value)
        if number <= 64:
            writer.bits(number - 1, 7)
        else:
            writer.bits(1, 1)
            writer.length(number)
        for member in self.additions[:number]:
            writer.bits(member.name in value, 1)
        for member in self.additions[:number]:
            if member.name in value:
                try:
                    _open(member.type, value[member.name], writer)
                except EncodeError as exc:
                    exc.within(member.name)
                    raise

    def decode(self, reader: Reader) -> dict[str, Any]:
        reader.enter()
        extended = self.additions is not None and reader.bit()
        there = [reader.bit() for _ in self._choosable]
        absent = {member.name for member, bit in zip(self._choosable, there, strict=True) if not bit}
        value: dict[str, Any] = {}
        for member in self.root:
            if member.name in absent:
                if member.has_default:
                    value[member.name] = member.default
                continue
            try:
                value[member.name] = member.type.decode(reader)
            except DecodeError as exc:
                exc.within(member.name)
                raise
        if extended:
            self._decode_additions(value, reader)
        reader.leave()
        return value

    def _decode_additions(self, value: dict[str, Any], reader: Reader) -> None:
        assert self.additions is not None
        number = reader.length() if reader.bit() else reader.bits(6) + 1
        if not 1 <= number <= MAX_ADDITIONS:
            raise DecodeError(f"{number} additions")
        present = reader.bits(number)
        for place in range(number):
            if not present >> (number - 1 - place) & 1:
                continue
            octets = reader.pieces()
            if place >= len(self.additions):
                continue
            member = self.additions[place]
            if isinstance(member.type, Unused):
                continue
            try:
                value[member.name] = member.type.decode(Reader(octets, reader))
            except DecodeError as exc:
                exc.within(member.name)
                raise


class SequenceOf(Type):
    """SEQUENCE OF (X.691 §20) and SET OF."""

    def __init__(self, size: Sized, element: Type) -> None:
        self.size = size
        self.element = element

    def encode(self, value: Any, writer: Writer) -> None:
        if not isinstance(value, list | tuple):
            raise EncodeError(f"wants a list, not {shown(value)}")
        if len(value) > MAX_ITEMS:
            raise EncodeError(f"too many items: {len(value)}")
        size = self.size
        fits = size.check(len(value))
        writer.enter()
        if size.extensible:
            writer.bits(not fits, 1)
        if not (fits and size.bounded):
            writer.length(len(value))
        elif size.low != size.high:
            assert size.high is not None
            writer.within(len(value), size.low, size.high)
        for place, item in enumerate(value):
            try:
                self.element.encode(item, writer)
            except EncodeError as exc:
                exc.within(str(place))
                raise
        writer.leave()

    def decode(self, reader: Reader) -> list[Any]:
        size = self.size
        reader.enter()
        if (size.extensible and reader.bit()) or not size.bounded:
            count = reader.length()
        else:
            assert size.high is not None
            count = size.high if size.low == size.high else reader.within(size.low, size.high)
        reader.count(count)
        items: list[Any] = []
        try:
            for _ in range(count):
                items.append(self.element.decode(reader))  # noqa: PERF401 - the place is told when one fails
        except DecodeError as exc:
            exc.within(str(len(items)))
            raise
        reader.leave()
        return items


class Choice(Type):
    """CHOICE (X.691 §23), its alternatives in the order of their tags already."""

    def __init__(self) -> None:
        self.root: list[Member] = []
        self.additions: list[Member] | None = None
        self._places: dict[str, tuple[bool, int]] = {}

    def fill(self, root: list[Member], additions: list[Member] | None) -> None:
        """Give the alternatives; apart from the constructor because types contain themselves."""
        self.root = root
        self.additions = additions
        self._places = {member.name: (False, place) for place, member in enumerate(root)}
        self._places |= {member.name: (True, place) for place, member in enumerate(additions or [])}

    def encode(self, value: Any, writer: Writer) -> None:
        if not (isinstance(value, tuple) and len(value) == 2 and (value[0] is None or isinstance(value[0], str))):
            raise EncodeError(f"wants an alternative's name and value, not {shown(value)}")
        name, inner = value
        if name not in self._places:
            raise EncodeError(f"no such alternative: {shown(name)}")
        added, place = self._places[name]
        writer.enter()
        if self.additions is not None:
            writer.bits(added, 1)
        try:
            if added:
                assert self.additions is not None
                writer.small(place)
                _open(self.additions[place].type, inner, writer)
            else:
                writer.within(place, 0, len(self.root) - 1)
                self.root[place].type.encode(inner, writer)
        except EncodeError as exc:
            exc.within(name)
            raise
        writer.leave()

    def decode(self, reader: Reader) -> tuple[str | None, Any]:
        reader.enter()
        if self.additions is not None and reader.bit():
            value = self._decode_addition(reader)
        else:
            member = self.root[reader.within(0, len(self.root) - 1)]
            value = (member.name, self._inner(member, reader))
        reader.leave()
        return value

    def _decode_addition(self, reader: Reader) -> tuple[str | None, Any]:
        assert self.additions is not None
        place = reader.small()
        octets = reader.pieces()
        if place >= len(self.additions) or isinstance(self.additions[place].type, Unused):
            return (None, None)
        member = self.additions[place]
        return (member.name, self._inner(member, Reader(octets, reader)))

    def _inner(self, member: Member, reader: Reader) -> Any:
        try:
            return member.type.decode(reader)
        except PerError as exc:
            exc.within(member.name)
            raise
