"""Fields of bits and lengths as X.691 §11 lays them out: the reader and the writer under all types."""

from __future__ import annotations

from h323.per.errors import DecodeError, EncodeError

MAX_PDU = 65_536
"""Octets of one message: a TPKT carries less than 64 KiB (RFC 1006 §6), a datagram too."""

MAX_DEPTH = 64
"""Constructed types inside one another: H.245's deepest real message has about 25; the rest is somebody's recursion."""

MAX_ITEMS = 4_096
"""Items of one list: a capability table holds at most 256, and nothing that is real comes near."""

MAX_ITEMS_OF_ALL = 16_384
"""Items of all lists of a message: they cost a bit on the wire each, and a hundred octets here."""

FRAGMENT = 16_384
"""Units of a fragment (X.691 §11.9.3.8): lengths from here on are sent in pieces of one to four times this."""


class Reader:
    """Takes fields out of one complete encoding.

    Every method raises DecodeError when the encoding ends too early.
    """

    __slots__ = ("_data", "_end", "_items", "depth", "position")

    def __init__(self, data: bytes, outer: Reader | None = None) -> None:
        self._data = data
        self._end = 8 * len(data)
        self.position = 0
        self.depth: int = outer.depth if outer is not None else 0
        self._items: list[int] = outer._items if outer is not None else [MAX_ITEMS_OF_ALL]

    def bit(self) -> int:
        """One bit."""
        position = self.position
        if position >= self._end:
            raise DecodeError("ends too early")
        self.position = position + 1
        return (self._data[position >> 3] >> (7 - (position & 7))) & 1

    def bits(self, width: int) -> int:
        """A non-negative number of so many bits."""
        position = self.position
        after = position + width
        if after > self._end:
            raise DecodeError("ends too early")
        self.position = after
        last = (after + 7) >> 3
        field = int.from_bytes(self._data[position >> 3 : last], "big") >> ((last << 3) - after)
        return field & ((1 << width) - 1)

    def align(self) -> None:
        """Go on to the next octet."""
        self.position = (self.position + 7) & ~7

    def octets(self, count: int) -> bytes:
        """So many octets, from wherever the reader stands."""
        position = self.position
        after = position + 8 * count
        if after > self._end:
            raise DecodeError("ends too early")
        if position & 7:
            return self.bits(8 * count).to_bytes(count, "big")
        self.position = after
        return self._data[position >> 3 : after >> 3]

    def within(self, low: int, high: int) -> int:
        """A number of a known range of at most 64 Ki values (X.691 §11.5.7.1 to .3)."""
        span = high - low
        if span < 255:
            number = self.bits(span.bit_length())
        elif span == 255:
            self.align()
            number = self.bits(8)
        else:
            self.align()
            number = self.bits(16)
        if number > span:
            raise DecodeError(f"{low + number} is over {high}")
        return low + number

    def small(self) -> int:
        """A normally small number (X.691 §11.6)."""
        if not self.bit():
            return self.bits(6)
        self.align()
        return self.bits(8 * self.length())

    def length(self) -> int:
        """A length that is not sent in fragments (X.691 §11.9.3.6 and .7)."""
        self.align()
        first = self.bits(8)
        if first < 0x80:
            return first
        if first < 0xC0:
            return (first & 0x3F) << 8 | self.bits(8)
        raise DecodeError("a fragmented length where none can be")

    def pieces(self) -> bytes:
        """Octets behind a length, put together where they come in fragments (X.691 §11.9.3.8)."""
        self.align()
        whole = b""
        while True:
            first = self.bits(8)
            if first < 0xC0:
                count = first if first < 0x80 else (first & 0x3F) << 8 | self.bits(8)
                return whole + self.octets(count) if whole else self.octets(count)
            if not 0xC1 <= first <= 0xC4:
                raise DecodeError("a fragment of no known size")
            whole += self.octets((first & 0x3F) * FRAGMENT)

    def enter(self) -> None:
        """Go one constructed type deeper."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise DecodeError(f"nested over {MAX_DEPTH} deep")

    def leave(self) -> None:
        """Come back from a constructed type."""
        self.depth -= 1

    def count(self, items: int) -> int:
        """Check the number of items of a list against the bounds, and hand it back."""
        self._items[0] -= items
        if items > MAX_ITEMS or self._items[0] < 0:
            raise DecodeError(f"too many items: {items}")
        return items


class Writer:
    """Gathers fields of one complete encoding.

    trimmed: whether a SEQUENCE tells of its additions only up to the last that is there, as an older version of the
    type would (so OpenH323 and its descendants write), and not of all that the type has (X.691 §19.8).
    """

    __slots__ = ("_count", "_octets", "_value", "depth", "trimmed")

    def __init__(self, depth: int = 0, trimmed: bool = False) -> None:
        self._octets = bytearray()
        self._value = 0
        self._count = 0
        self.depth = depth
        self.trimmed = trimmed

    def bits(self, value: int, width: int) -> None:
        """Append a non-negative number that fits into so many bits."""
        count = self._count + width
        value |= self._value << width
        if count >= 8:
            rest = count & 7
            self._octets += (value >> rest).to_bytes(count >> 3, "big")
            value &= (1 << rest) - 1
            count = rest
        self._value = value
        self._count = count

    def align(self) -> None:
        """Fill up the octet that is begun."""
        if self._count:
            self.bits(0, 8 - self._count)

    def octets(self, data: bytes) -> None:
        """Append octets, wherever the writer stands."""
        if self._count:
            self.bits(int.from_bytes(data, "big"), 8 * len(data))
        else:
            self._octets += data

    def within(self, number: int, low: int, high: int) -> None:
        """A number of a known range of at most 64 Ki values (X.691 §11.5.7.1 to .3); the caller has checked it."""
        span = high - low
        if span < 255:
            self.bits(number - low, span.bit_length())
        else:
            self.align()
            self.bits(number - low, 8 if span == 255 else 16)

    def small(self, number: int) -> None:
        """A normally small number (X.691 §11.6)."""
        if number < 64:
            self.bits(number, 7)
            return
        self.bits(1, 1)
        count = (number.bit_length() + 7) // 8
        self.length(count)
        self.bits(number, 8 * count)

    def length(self, count: int) -> None:
        """A length that needs no fragments (X.691 §11.9.3.6 and .7)."""
        self.align()
        if count < 128:
            self.bits(count, 8)
        elif count < FRAGMENT:
            self.bits(0x8000 | count, 16)
        else:
            raise EncodeError(f"too long: {count}")

    def pieces(self, data: bytes) -> None:
        """Octets behind their length, in fragments from 16 Ki on (X.691 §11.9.3.8)."""
        self.align()
        start = 0
        while len(data) - start >= FRAGMENT:
            times = min(4, (len(data) - start) // FRAGMENT)
            self.bits(0xC0 | times, 8)
            self.octets(data[start : start + times * FRAGMENT])
            start += times * FRAGMENT
        self.length(len(data) - start)
        self.octets(data[start:])

    def enter(self) -> None:
        """Go one constructed type deeper."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise EncodeError(f"nested over {MAX_DEPTH} deep")

    def leave(self) -> None:
        """Come back from a constructed type."""
        self.depth -= 1

    def whole(self) -> bytes:
        """The complete encoding: whole octets, and at least one (X.691 §11.1)."""
        self.align()
        return bytes(self._octets) or b"\x00"
