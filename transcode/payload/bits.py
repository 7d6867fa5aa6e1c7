"""Bits of a byte string: reading fields, finding start codes that are not byte-aligned, joining at any bit."""

from __future__ import annotations

MAX_GOLOMB_ZEROS = 31
"""Leading zeros of an Exp-Golomb code whose value still fits 32 bits (ITU-T H.264 §9.1)."""


class BitReader:
    """Reads most significant bits first. Everything that runs over the end raises ValueError."""

    __slots__ = ("data", "end", "position")

    def __init__(self, data: bytes, position: int = 0, end: int | None = None) -> None:
        """Start at bit `position`; `end` in bits is the end of the data if not given."""
        self.data = data
        self.position = position
        self.end = 8 * len(data) if end is None else end

    def peek(self, count: int) -> int:
        """Return the next `count` (at most 32) bits without taking them; zeros stand behind the data."""
        start = self.position >> 3
        window = int.from_bytes(self.data[start : start + 5].ljust(5, b"\0"))
        return (window >> (40 - (self.position & 7) - count)) & ((1 << count) - 1)

    def skip(self, count: int) -> None:
        """Pass over `count` bits."""
        self.position += count
        if self.position > self.end:
            raise ValueError("bits end too early")

    def read(self, count: int) -> int:
        """Take `count` (at most 32) bits as an unsigned number."""
        value = self.peek(count)
        self.skip(count)
        return value

    def flag(self) -> bool:
        """Take one bit."""
        return self.read(1) == 1

    def unsigned(self) -> int:
        """Take one ue(v) (ITU-T H.264 §9.1)."""
        zeros = 0
        while not self.read(1):
            zeros += 1
            if zeros > MAX_GOLOMB_ZEROS:
                raise ValueError("Exp-Golomb code is too long")
        return (1 << zeros) - 1 + (self.read(zeros) if zeros else 0)

    def signed(self) -> int:
        """Take one se(v) (ITU-T H.264 §9.1.1)."""
        code = self.unsigned()
        return (code + 1) >> 1 if code & 1 else -(code >> 1)


def start_codes(data: bytes, zeros: int) -> list[int]:
    """Return the bit positions of all start codes: at least `zeros` (15 or more) zero bits, then a one.

    A position is that of the code itself: stuffing zeros before it do not count. H.261 has 15 zeros (GBSC), H.263 16.
    """
    found: list[int] = []
    at = data.find(0)
    while at >= 0:
        one = at + 1
        while one < len(data) and not data[one]:
            one += 1
        if one == len(data):
            break
        before = data[at - 1] if at else 1
        trailing = (before & -before).bit_length() - 1
        leading = 8 - data[one].bit_length()
        if trailing + 8 * (one - at) + leading >= zeros:
            found.append(8 * one + leading - zeros)
        at = data.find(0, one)
    return found


def cut(data: bytes, start: int, end: int) -> tuple[bytes, int, int]:
    """Return the octets that hold bits `start` to `end`, with SBIT and EBIT: bits to ignore at both edges."""
    return data[start >> 3 : (end + 7) >> 3], start & 7, -end & 7


class BitJoiner:
    """Puts pieces together that begin and end at any bit (SBIT and EBIT of RFC 4587 and RFC 2190)."""

    __slots__ = ("_data", "_free")

    def __init__(self) -> None:
        self._data = bytearray()
        self._free = 0

    def __len__(self) -> int:
        return len(self._data)

    def align(self) -> None:
        """Fill the last octet with zeros: what comes next begins at an octet."""
        self._free = 0

    def add(self, piece: bytes, skip_front: int, skip_back: int) -> None:
        """Add a piece without its first and last few (0 to 7) bits. Raises ValueError if nothing is left of it."""
        length = 8 * len(piece) - skip_front - skip_back
        if length <= 0:
            raise ValueError("SBIT and EBIT leave nothing")
        if self._free == -skip_front & 7:
            rest = bytearray(piece)
            if skip_back:
                rest[-1] &= 0xFF << skip_back & 0xFF
            if skip_front:
                rest[0] &= 0xFF >> skip_front
                self._data[-1] |= rest[0]
                del rest[0]
            self._data += rest
            self._free = skip_back
            return
        value = (int.from_bytes(piece) >> skip_back) & ((1 << length) - 1)
        if self._free:
            kept = 8 - self._free
            value |= (self._data.pop() >> self._free) << length
            length += kept
        self._free = -length & 7
        self._data += (value << self._free).to_bytes((length + 7) >> 3)

    def octets(self) -> bytes:
        """Return what was put together; unused bits of the last octet are zero."""
        return bytes(self._data)
