"""From asn1tools' parse of ASN.1 modules, a plain dictionary, to types that encode and decode.

Of ASN.1 it does what H.323's modules need: automatic tags (so members stand in the order of their tags), imports,
named numbers in constraints, extension markers. What it does not know raises CompileError.
"""

from __future__ import annotations

from typing import Any

from h323.per.bits import MAX_PDU, Reader, Writer
from h323.per.constructed import Choice, Member, Sequence, SequenceOf
from h323.per.errors import CompileError, DecodeError, EncodeError
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
from h323.per.strings import IA5, NUMERIC, PRINTABLE, VISIBLE, BmpString, KnownMultiplier, OctetText

UNUSED = "Unused"
"""A type of this name is a placeholder for what is not spoken here."""

_ALPHABETS = {"IA5String": IA5, "VisibleString": VISIBLE, "NumericString": NUMERIC, "PrintableString": PRINTABLE}
_OCTET_TEXTS = {"GeneralString": "latin-1", "UTF8String": "utf-8"}


class Specification:
    """The types of all modules, each compiled when it is asked for first or at once by `compile_all`."""

    def __init__(self, modules: dict[str, Any]) -> None:
        self._modules = modules
        self._types: dict[tuple[str, str], Type] = {}

    def encode(self, module: str, name: str, value: Any, trimmed: bool = False) -> bytes:
        """The complete encoding of a value; EncodeError when it is not one of the type or is over a bound.

        trimmed: as of Writer.
        """
        type_ = self.type(module, name)
        writer = Writer(trimmed=trimmed)
        type_.encode(value, writer)
        octets = writer.whole()
        if len(octets) > MAX_PDU:
            raise EncodeError(f"{name} of {len(octets)} octets")
        return octets

    def decode(self, module: str, name: str, data: bytes) -> Any:
        """The value in a complete encoding; DecodeError when there is none. Octets behind it are left alone."""
        if len(data) > MAX_PDU:
            raise DecodeError(f"{name} of {len(data)} octets")
        return self.type(module, name).decode(Reader(bytes(data)))

    def names(self, module: str) -> list[str]:
        """Names of the types of a module."""
        return list(self._modules[module]["types"])

    def reach(self, module: str) -> list[str]:
        """A module and all that it imports from, directly or through others, the nearest first."""
        found = [module]
        for near in found:
            found += [far for far in self._modules[near]["imports"] if far not in found]
        return found

    def compile_all(self) -> None:
        """Compile every type, so that none costs time later."""
        for module, parsed in self._modules.items():
            for name in parsed["types"]:
                self.type(module, name)

    def type(self, module: str, name: str) -> Type:
        """A type by its name, in a module that defines or imports it."""
        key = self._home(module, name, "types")
        known = self._types.get(key)
        if known is None:
            parsed = self._modules[key[0]]["types"][key[1]]
            known = self._types[key] = self._begin(key[1], parsed)
            if known is _PENDING:
                self._types[key] = known = self._compile(key[0], parsed, key)
        return known

    def _begin(self, name: str, parsed: dict[str, Any]) -> Type:
        """The type of a definition that may contain itself, still empty."""
        return Unused() if name == UNUSED else _PENDING

    def _home(self, module: str, name: str, kind: str) -> tuple[str, str]:
        """The module in which a type or value is defined."""
        if name in self._modules[module][kind]:
            return (module, name)
        for source, names in self._modules[module]["imports"].items():
            if name in names:
                return self._home(source, name, kind)
        raise CompileError(f"{module} has no {name}")

    def _compile(self, module: str, parsed: dict[str, Any], key: tuple[str, str] | None = None) -> Type:
        kind = parsed["type"]
        if kind in ("SEQUENCE", "SET"):
            sequence = Sequence()
            if key:
                self._types[key] = sequence
            sequence.fill(*self._members(module, parsed))
            return sequence
        if kind == "CHOICE":
            choice = Choice()
            if key:
                self._types[key] = choice
            choice.fill(*self._members(module, parsed))
            return choice
        if kind in ("SEQUENCE OF", "SET OF"):
            listed = SequenceOf(self._size(module, parsed, "items"), Null())
            if key:
                self._types[key] = listed
            listed.element = self._compile(module, parsed["element"])
            return listed
        return self._scalar(module, parsed)

    def _scalar(self, module: str, parsed: dict[str, Any]) -> Type:
        kind = parsed["type"]
        if kind == "BOOLEAN":
            return Boolean()
        if kind == "NULL":
            return Null()
        if kind == "INTEGER":
            return self._integer(module, parsed)
        if kind == "ENUMERATED":
            return self._enumerated(parsed)
        if kind == "OBJECT IDENTIFIER":
            return ObjectIdentifier()
        if kind == "OCTET STRING":
            return OctetString(self._size(module, parsed, "octets"))
        if kind == "BIT STRING":
            return BitString(self._size(module, parsed, "bits"))
        if kind == "BMPString":
            return BmpString(self._size(module, parsed, "characters"))
        if kind in _OCTET_TEXTS:
            return OctetText(_OCTET_TEXTS[kind])
        if kind in _ALPHABETS:
            return KnownMultiplier(self._size(module, parsed, "characters"), self._alphabet(parsed))
        if kind == UNUSED:
            return Unused()
        return self._reference(module, parsed)

    def _reference(self, module: str, parsed: dict[str, Any]) -> Type:
        """A type by name; where the use narrows it down, the definition is compiled again with the constraint."""
        name = parsed["type"]
        if parsed.keys().isdisjoint(("size", "restricted-to", "from")):
            return self.type(module, name)
        home, name = self._home(module, name, "types")
        narrowed: dict[str, Any] = {key: parsed[key] for key in ("size", "restricted-to", "from") if key in parsed}
        return self._compile(home, {**self._modules[home]["types"][name], **self._resolved(module, narrowed)})

    def _resolved(self, module: str, narrowed: dict[str, Any]) -> dict[str, Any]:
        """Constraints with their named numbers put in, since they are read in another module."""
        for key in ("size", "restricted-to"):
            if key in narrowed:
                low, high, extensible = self._range(module, narrowed[key])
                pair = [["MIN" if low is None else low, "MAX" if high is None else high]]
                narrowed[key] = [*pair, None] if extensible else pair
        return narrowed

    def _members(self, module: str, parsed: dict[str, Any]) -> tuple[list[Member], list[Member] | None]:
        root: list[Member] = []
        additions: list[Member] | None = None
        for member in parsed["members"]:
            if member is None:
                if additions is not None:
                    raise CompileError("a second extension marker")
                additions = []
            elif not isinstance(member, dict):
                raise CompileError("a group of additions")
            else:
                (root if additions is None else additions).append(self._member(module, member))
        return root, additions

    def _member(self, module: str, parsed: dict[str, Any]) -> Member:
        return Member(
            name=parsed["name"],
            type=self._compile(module, parsed),
            optional=parsed.get("optional", False),
            has_default="default" in parsed,
            default=parsed.get("default"),
        )

    def _number(self, module: str, number: Any) -> int | None:
        if isinstance(number, int):
            return number
        if number in ("MIN", "MAX"):
            return None
        home, name = self._home(module, number, "values")
        return self._number(home, self._modules[home]["values"][name]["value"])

    def _range(self, module: str, parts: list[Any]) -> tuple[int | None, int | None, bool]:
        """Lowest and highest number of a constraint, the hull of its parts, and whether it has an extension marker."""
        extensible = None in parts
        parts = parts[: parts.index(None)] if extensible else parts
        lows: list[int | None] = []
        highs: list[int | None] = []
        for part in parts:
            low, high = part if isinstance(part, list | tuple) else (part, part)
            lows.append(self._number(module, low))
            highs.append(self._number(module, high))
        low = None if None in lows else min(n for n in lows if n is not None)
        high = None if None in highs else max(n for n in highs if n is not None)
        return low, high, extensible

    def _size(self, module: str, parsed: dict[str, Any], units: str) -> Sized:
        if not parsed.get("size"):
            return Sized(0, None, False, units)
        low, high, extensible = self._range(module, parsed["size"])
        return Sized(low or 0, high, extensible, units)

    def _integer(self, module: str, parsed: dict[str, Any]) -> Integer:
        if not parsed.get("restricted-to"):
            return Integer(None, None, False)
        return Integer(*self._range(module, parsed["restricted-to"]))

    def _enumerated(self, parsed: dict[str, Any]) -> Enumerated:
        values = parsed["values"]
        extensible = None in values
        split = values.index(None) if extensible else len(values)
        root = [name for name, _ in sorted(values[:split], key=lambda value: value[1])]
        return Enumerated(root, [name for name, _ in values[split + 1 :]] if extensible else None)

    def _alphabet(self, parsed: dict[str, Any]) -> str:
        whole = _ALPHABETS[parsed["type"]]
        if "from" not in parsed:
            return whole
        ranges = [part if isinstance(part, list | tuple) else (part, part) for part in parsed["from"]]
        return "".join(c for c in whole if any(low <= c <= high for low, high in ranges))


_PENDING = Null()


def compile_modules(modules: dict[str, Any]) -> Specification:
    """A specification whose types are all compiled."""
    specification = Specification(modules)
    specification.compile_all()
    return specification
