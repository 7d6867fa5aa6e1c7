"""Types without members: BOOLEAN, NULL, INTEGER, ENUMERATED, OBJECT IDENTIFIER, OCTET STRING and BIT STRING.

A type has `encode(value, writer)` and `decode(reader)`. Values are plain Python: bool, None, int, str (the name of an
enumeration's value; None stands for one unknown to us), str (an identifier's dotted numbers), bytes, and for a BIT
STRING a tuple of bytes and the number of bits.
"""

from __future__ import annotations

from typing import Any

from h323.per.bits import MAX_PDU, Reader, Writer
from h323.per.errors import DecodeError, EncodeError, shown

MAX_OID_OCTETS = 256
"""Octets of an OBJECT IDENTIFIER: H.323's have about 8, and each arc is an integer to build."""


MAX_INTEGER_OCTETS = 512
"""Octets of an INTEGER without bounds: a random number or a Diffie-Hellman half key at most. Python refuses to spell
out numbers of over 4,300 digits, which would throw in a log line."""


class Type:
    """One ASN.1 type."""

    def encode(self, value: Any, writer: Writer) -> None:
        """Append the value; EncodeError when it is not one of this type."""
        raise NotImplementedError

    def decode(self, reader: Reader) -> Any:
        """Take a value; DecodeError when there is none."""
        raise NotImplementedError


class Boolean(Type):
    """BOOLEAN (X.691 §12): a bit."""

    def encode(self, value: Any, writer: Writer) -> None:
        if not isinstance(value, bool):
            raise EncodeError(f"wants a bool, not {shown(value)}")
        writer.bits(value, 1)

    def decode(self, reader: Reader) -> bool:
        return bool(reader.bit())


class Null(Type):
    """NULL (X.691 §18): nothing at all."""

    def encode(self, value: Any, writer: Writer) -> None:
        if value is not None:
            raise EncodeError(f"wants None, not {shown(value)}")

    def decode(self, reader: Reader) -> None:
        return None


class Unused(Type):
    """A placeholder for a part of the Recommendations that we have no use for.

    As an addition it is left out when received (its open type has a length). Nobody can send it, and as an alternative
    or member of the root, where no length tells its end, it cannot be received either.
    """

    def encode(self, value: Any, writer: Writer) -> None:
        raise EncodeError("is not supported")

    def decode(self, reader: Reader) -> None:
        raise DecodeError("is not supported")


class Integer(Type):
    """INTEGER (X.691 §13): constrained, semi-constrained (no upper bound) or unconstrained."""

    def __init__(self, low: int | None, high: int | None, extensible: bool) -> None:
        self.low = low
        self.high = high
        self.extensible = extensible

    def encode(self, value: Any, writer: Writer) -> None:
        if not isinstance(value, int) or isinstance(value, bool):
            raise EncodeError(f"wants an int, not {shown(value)}")
        low, high = self.low, self.high
        fits = (low is None or value >= low) and (high is None or value <= high)
        if self.extensible:
            writer.bits(not fits, 1)
            if not fits:
                low = high = None
        elif not fits:
            raise EncodeError(f"{shown(value)} is not in {self.low}..{self.high}")
        if value.bit_length() > 8 * MAX_INTEGER_OCTETS - 1:
            raise EncodeError(f"too long: {shown(value)}")
        if low is None:
            self._unconstrained(value, writer)
        elif high is None:
            count = max(1, ((value - low).bit_length() + 7) // 8)
            writer.length(count)
            writer.bits(value - low, 8 * count)
        elif high - low <= 0xFFFF:
            writer.within(value, low, high)
        else:
            count = max(1, ((value - low).bit_length() + 7) // 8)
            writer.within(count, 1, ((high - low).bit_length() + 7) // 8)
            writer.align()
            writer.bits(value - low, 8 * count)

    def _unconstrained(self, value: int, writer: Writer) -> None:
        count = (value if value >= 0 else ~value).bit_length() // 8 + 1
        writer.length(count)
        writer.bits(value & ((1 << (8 * count)) - 1), 8 * count)

    def decode(self, reader: Reader) -> int:
        low, high = self.low, self.high
        if self.extensible and reader.bit():
            low = high = None
        if low is None or high is None:
            count = reader.length()
            if not 1 <= count <= MAX_INTEGER_OCTETS:
                raise DecodeError(f"an integer of {count} octets")
            octets = reader.octets(count)
            return int.from_bytes(octets, "big", signed=True) if low is None else low + int.from_bytes(octets, "big")
        if high - low <= 0xFFFF:
            return reader.within(low, high)
        count = reader.within(1, ((high - low).bit_length() + 7) // 8)
        reader.align()
        value = low + reader.bits(8 * count)
        if value > high:
            raise DecodeError(f"{value} is over {high}")
        return value


class Enumerated(Type):
    """ENUMERATED (X.691 §14); a value that a later version has added decodes to None, which cannot be encoded."""

    def __init__(self, root: list[str], additions: list[str] | None) -> None:
        self.root = root
        self.additions = additions

    def encode(self, value: Any, writer: Writer) -> None:
        if value in self.root:
            if self.additions is not None:
                writer.bits(0, 1)
            writer.within(self.root.index(value), 0, len(self.root) - 1)
        elif self.additions is not None and value in self.additions:
            writer.bits(1, 1)
            writer.small(self.additions.index(value))
        else:
            raise EncodeError(f"no value of the enumeration: {shown(value)}")

    def decode(self, reader: Reader) -> str | None:
        if self.additions is not None and reader.bit():
            number = reader.small()
            return self.additions[number] if number < len(self.additions) else None
        return self.root[reader.within(0, len(self.root) - 1)]


class ObjectIdentifier(Type):
    """OBJECT IDENTIFIER (X.691 §24) as text, "0.0.8.2250.0.7": the arcs of X.690 §8.19 behind a length."""

    def encode(self, value: Any, writer: Writer) -> None:
        if not isinstance(value, str):
            raise EncodeError(f"wants dotted numbers, not {shown(value)}")
        texts = value.split(".") if len(value) <= MAX_OID_OCTETS else []
        if len(texts) < 2 or not all(text.isascii() and text.isdigit() for text in texts):
            raise EncodeError(f"wants dotted numbers, not {shown(value)}")
        first, second, *rest = (int(text) for text in texts)
        if first > 2 or (first < 2 and second > 39):
            raise EncodeError(f"no object identifier begins so: {shown(value)}")
        writer.pieces(b"".join(self._arc(arc) for arc in (40 * first + second, *rest)))

    def _arc(self, arc: int) -> bytes:
        octets = [arc & 0x7F]
        while arc := arc >> 7:
            octets.append(0x80 | arc & 0x7F)
        return bytes(reversed(octets))

    def decode(self, reader: Reader) -> str:
        octets = reader.pieces()
        if not octets or octets[-1] & 0x80 or len(octets) > MAX_OID_OCTETS:
            raise DecodeError(f"no object identifier: {len(octets)} octets")
        arcs: list[int] = []
        arc = 0
        for octet in octets:
            arc = arc << 7 | octet & 0x7F
            if not octet & 0x80:
                arcs.append(arc)
                arc = 0
        first = min(2, arcs[0] // 40)
        return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:])))


class Sized:
    """A SIZE constraint (X.691 §11.9): how the number of units is told, and whether it fits.

    units: what is counted, for error texts.
    """

    def __init__(self, low: int, high: int | None, extensible: bool, units: str) -> None:
        self.low = low
        self.high = high
        self.extensible = extensible
        self.units = units
        self.bounded = high is not None and high <= 0xFFFF
        """Whether the length is a number of a known range; else it is a length determinant."""

    def check(self, count: int) -> bool:
        """Whether the count is in the root of the constraint; EncodeError where it must be and is not."""
        fits = self.low <= count and (self.high is None or count <= self.high)
        if not fits and not self.extensible:
            raise EncodeError(f"{count} {self.units}, and {self.low}..{self.high} are allowed")
        return fits


class OctetString(Type):
    """OCTET STRING (X.691 §17)."""

    def __init__(self, size: Sized) -> None:
        self.size = size

    def encode(self, value: Any, writer: Writer) -> None:
        if not isinstance(value, bytes | bytearray):
            raise EncodeError(f"wants bytes, not {shown(value)}")
        size = self.size
        fits = size.check(len(value))
        if len(value) > MAX_PDU:
            raise EncodeError(f"too long: {len(value)} octets")
        if size.extensible:
            writer.bits(not fits, 1)
        if not (fits and size.bounded):
            writer.pieces(bytes(value))
            return
        assert size.high is not None
        if size.low != size.high:
            writer.within(len(value), size.low, size.high)
        if value and (size.low != size.high or size.high > 2):
            writer.align()
        writer.octets(bytes(value))

    def decode(self, reader: Reader) -> bytes:
        size = self.size
        if (size.extensible and reader.bit()) or not size.bounded:
            return reader.pieces()
        assert size.high is not None
        if size.low == size.high:
            if size.high > 2:
                reader.align()
            return reader.octets(size.high)
        count = reader.within(size.low, size.high)
        if count:
            reader.align()
        return reader.octets(count)


class BitString(Type):
    """BIT STRING (X.691 §16) as a tuple of octets, filled up with zeros at the end, and the number of bits."""

    def __init__(self, size: Sized) -> None:
        self.size = size

    def encode(self, value: Any, writer: Writer) -> None:
        if not (
            isinstance(value, tuple)
            and len(value) == 2
            and isinstance(value[0], bytes | bytearray)
            and isinstance(value[1], int)
            and 0 <= value[1] <= 8 * len(value[0]) <= 8 * MAX_PDU
        ):
            raise EncodeError(f"wants bytes and a number of bits, not {shown(value)}")
        octets, count = value
        size = self.size
        fits = size.check(count)
        number = int.from_bytes(octets, "big") >> (8 * len(octets) - count)
        if size.extensible:
            writer.bits(not fits, 1)
        if not (fits and size.bounded):
            writer.length(count)
        else:
            assert size.high is not None
            if size.low != size.high:
                writer.within(count, size.low, size.high)
            if count and (size.low != size.high or size.high > 16):
                writer.align()
        writer.bits(number, count)

    def decode(self, reader: Reader) -> tuple[bytes, int]:
        size = self.size
        if (size.extensible and reader.bit()) or not size.bounded:
            count = reader.length()
        else:
            assert size.high is not None
            count = size.high if size.low == size.high else reader.within(size.low, size.high)
            if count and (size.low != size.high or size.high > 16):
                reader.align()
        padding = -count % 8
        return (reader.bits(count) << padding).to_bytes((count + 7) // 8, "big"), count
