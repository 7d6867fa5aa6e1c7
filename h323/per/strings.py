"""Character strings: those with a fixed width for a character (X.691 §30) and the others. Values are str."""

from __future__ import annotations

from typing import Any

from h323.per.bits import MAX_PDU, Reader, Writer
from h323.per.errors import DecodeError, EncodeError, shown
from h323.per.scalars import Sized, Type

IA5 = "".join(map(chr, range(128)))
VISIBLE = "".join(map(chr, range(0x20, 0x7F)))
NUMERIC = " 0123456789"
PRINTABLE = "".join(c for c in VISIBLE if c.isalnum() or c in " '()+,-./:=?")


class KnownMultiplier(Type):
    """IA5String, VisibleString, NumericString and PrintableString, with or without a permitted alphabet.

    Characters are 1, 2, 4 or 8 bits wide in the aligned variant; they are numbered by their place in the alphabet
    where that saves bits (X.691 §30.5.2 to .4).
    """

    def __init__(self, size: Sized, alphabet: str) -> None:
        self.size = size
        self.alphabet = "".join(sorted(set(alphabet)))
        width = max(1, (len(self.alphabet) - 1).bit_length())
        self.width = 1 << (width - 1).bit_length()
        if ord(self.alphabet[-1]) < 1 << self.width:
            self._numbers = {c: ord(c) for c in self.alphabet}
        else:
            self._numbers = {c: place for place, c in enumerate(self.alphabet)}
        self._characters = {number: c for c, number in self._numbers.items()}

    def _padded(self) -> bool:
        """Whether the characters begin on an octet (X.691 §30.5.6 and .7)."""
        size = self.size
        assert size.high is not None
        bits = size.high * self.width
        return bits > 16 if size.low == size.high else bits >= 16

    def encode(self, value: Any, writer: Writer) -> None:
        if not isinstance(value, str):
            raise EncodeError(f"wants a str, not {shown(value)}")
        size = self.size
        fits = size.check(len(value))
        if len(value) > MAX_PDU:
            raise EncodeError(f"too long: {len(value)} characters")
        number = 0
        for character in value:
            place = self._numbers.get(character)
            if place is None:
                raise EncodeError(f"{character!r} is not in the alphabet")
            number = number << self.width | place
        if size.extensible:
            writer.bits(not fits, 1)
        if not (fits and size.bounded):
            writer.length(len(value))
        else:
            assert size.high is not None
            if size.low != size.high:
                writer.within(len(value), size.low, size.high)
            if value and self._padded():
                writer.align()
        writer.bits(number, self.width * len(value))

    def decode(self, reader: Reader) -> str:
        size = self.size
        if (size.extensible and reader.bit()) or not size.bounded:
            count = reader.length()
        else:
            assert size.high is not None
            count = size.high if size.low == size.high else reader.within(size.low, size.high)
            if count and self._padded():
                reader.align()
        field = reader.bits(self.width * count)
        if self.width == 8:
            numbers = field.to_bytes(count, "big")
        else:
            mask = (1 << self.width) - 1
            numbers = bytes(field >> (self.width * place) & mask for place in range(count - 1, -1, -1))
        try:
            return "".join([self._characters[number] for number in numbers])
        except KeyError as exc:
            raise DecodeError(f"character {exc.args[0]} is not in the alphabet") from None


class BmpString(Type):
    """BMPString: 16 bits a character. A character outside the plane goes as two surrogates, lone ones pass too."""

    def __init__(self, size: Sized) -> None:
        self.size = size

    def encode(self, value: Any, writer: Writer) -> None:
        if not isinstance(value, str):
            raise EncodeError(f"wants a str, not {shown(value)}")
        octets = value.encode("utf-16-be", "surrogatepass")
        count = len(octets) // 2
        size = self.size
        fits = size.check(count)
        if size.extensible:
            writer.bits(not fits, 1)
        if not (fits and size.bounded):
            writer.length(count)
        else:
            assert size.high is not None
            if size.low != size.high:
                writer.within(count, size.low, size.high)
            if count and size.high > (1 if size.low == size.high else 0):
                writer.align()
        writer.octets(octets)

    def decode(self, reader: Reader) -> str:
        size = self.size
        if (size.extensible and reader.bit()) or not size.bounded:
            count = reader.length()
        else:
            assert size.high is not None
            count = size.high if size.low == size.high else reader.within(size.low, size.high)
            if count and size.high > (1 if size.low == size.high else 0):
                reader.align()
        return reader.octets(2 * count).decode("utf-16-be", "surrogatepass")


class OctetText(Type):
    """GeneralString and UTF8String: octets behind a length, in an encoding of Python's."""

    def __init__(self, encoding: str) -> None:
        self.encoding = encoding

    def encode(self, value: Any, writer: Writer) -> None:
        if not isinstance(value, str):
            raise EncodeError(f"wants a str, not {shown(value)}")
        if len(value) > MAX_PDU:
            raise EncodeError(f"too long: {len(value)} characters")
        try:
            octets = value.encode(self.encoding)
        except UnicodeEncodeError as exc:
            raise EncodeError("a character that the string cannot hold") from exc
        writer.pieces(octets)

    def decode(self, reader: Reader) -> str:
        try:
            return reader.pieces().decode(self.encoding)
        except UnicodeDecodeError as exc:
            raise DecodeError("no text in its encoding") from exc
