"""H.261 macroblocks: where each begins, and what a decoder must know to start there (ITU-T H.261 §4.2).

A group of blocks (GOB) that is larger than a packet may only be cut between macroblocks, and nothing but reading all
variable length codes tells where they are. Only the lengths of coefficients matter here, not their values.
"""

from __future__ import annotations

from dataclasses import dataclass

from transcode.payload.bits import BitReader

START_ZEROS = 15
"""Zero bits in front of the one of a GOB or picture start code (§4.2.2.1)."""
LAST_MACROBLOCK = 33
MAX_STUFFING = 64
"""MBA stuffing codes in a row; an encoder stuffs whole octets of fill elsewhere."""
MAX_SPARE = 16
"""Octets of GSPARE or PSPARE; none is in use."""
_STUFFING = 0
_MBA = [
    "1", "011", "010", "0011", "0010", "00011", "00010", "0000111", "0000110", "00001011", "00001010", "00001001",
    "00001000", "00000111", "00000110", "0000010111", "0000010110", "0000010101", "0000010100", "0000010011",
    "0000010010", "00000100011", "00000100010", "00000100001", "00000100000", "00000011111", "00000011110",
    "00000011101", "00000011100", "00000011011", "00000011010", "00000011001", "00000011000",
]  # fmt: skip
_MBA_STUFFING = "00000001111"
_MVD = [
    "1", "01", "001", "0001", "000011", "0000101", "0000100", "0000011", "000001011", "000001010", "000001001",
    "0000010001", "0000010000", "0000001111", "0000001110", "0000001101", "0000001100",
]  # fmt: skip
_CBP = {
    60: "111", 4: "1101", 8: "1100", 16: "1011", 32: "1010", 12: "10011", 48: "10010", 20: "10001", 40: "10000",
    28: "01111", 44: "01110", 52: "01101", 56: "01100", 1: "01011", 61: "01010", 2: "01001", 62: "01000",
    24: "001111", 36: "001110", 3: "001101", 63: "001100", 5: "0010111", 9: "0010110", 17: "0010101", 33: "0010100",
    6: "0010011", 10: "0010010", 18: "0010001", 34: "0010000", 7: "00011111", 11: "00011110", 19: "00011101",
    35: "00011100", 13: "00011011", 49: "00011010", 21: "00011001", 41: "00011000", 14: "00010111", 50: "00010110",
    22: "00010101", 42: "00010100", 15: "00010011", 51: "00010010", 23: "00010001", 43: "00010000", 25: "00001111",
    37: "00001110", 26: "00001101", 38: "00001100", 29: "00001011", 45: "00001010", 53: "00001001", 57: "00001000",
    30: "00000111", 46: "00000110", 54: "00000101", 58: "00000100", 31: "000000111", 47: "000000110",
    55: "000000101", 59: "000000100", 27: "000000011", 39: "000000010",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Type:
    """One macroblock type (Table 2): what its data holds."""

    intra: bool = False
    quantiser: bool = False
    vector: bool = False
    pattern: bool = False


_TYPES = {
    "0001": Type(intra=True),
    "0000001": Type(intra=True, quantiser=True),
    "1": Type(pattern=True),
    "00001": Type(quantiser=True, pattern=True),
    "000000001": Type(vector=True),
    "00000001": Type(vector=True, pattern=True),
    "0000000001": Type(quantiser=True, vector=True, pattern=True),
    "001": Type(vector=True),
    "01": Type(vector=True, pattern=True),
    "000001": Type(quantiser=True, vector=True, pattern=True),
}


@dataclass(frozen=True, slots=True)
class Cut:
    """A bit position where a packet may begin, and the fields of its header (RFC 4587 §4.1); all 0 at a GOB header."""

    position: int
    group: int = 0
    address: int = 0
    quantiser: int = 0
    horizontal: int = 0
    vertical: int = 0


def _lookup(codes: dict[int, str], width: int) -> list[tuple[int, int] | None]:
    """Return a table by the next `width` bits: value and length of the code that stands there."""
    table: list[tuple[int, int] | None] = [None] * (1 << width)
    for value, code in codes.items():
        spare = width - len(code)
        first = int(code, 2) << spare
        table[first : first + (1 << spare)] = [(value, len(code))] * (1 << spare)
    return table


_TYPE_LIST = list(_TYPES.values())
_MBA_BITS, _TYPE_BITS, _MVD_BITS, _CBP_BITS = 11, 10, 10, 9
_MBA_TABLE = _lookup({**{i + 1: code for i, code in enumerate(_MBA)}, _STUFFING: _MBA_STUFFING}, _MBA_BITS)
_TYPE_TABLE = _lookup(dict(enumerate(_TYPES)), _TYPE_BITS)
_MVD_TABLE = _lookup(dict(enumerate(_MVD)), _MVD_BITS)
_CBP_TABLE = _lookup(_CBP, _CBP_BITS)


def _coefficient_lengths() -> list[int]:
    """Return the length of a coefficient with its sign by its first 8 bits (Table 5); 0: see the ninth bit."""
    lengths = [0] * 256
    for window in range(1, 256):
        zeros = 8 - window.bit_length()
        if zeros == 0:
            length = 3
        elif zeros == 1:
            length = 4 if window & 0x20 else 5
        elif zeros == 2:
            length = 6 if window & 0x18 else 9
        else:
            length = {3: 7, 4: 8, 5: 20, 6: 11, 7: 13}[zeros]
        lengths[window] = length
    return lengths


_COEFFICIENTS = _coefficient_lengths()


def _code(bits: BitReader, table: list[tuple[int, int] | None], width: int) -> int:
    """Take one code. Raises ValueError if there is none."""
    found = table[bits.peek(width)]
    if found is None:
        raise ValueError("no such code in an H.261 macroblock")
    bits.skip(found[1])
    return found[0]


def _skip_block(bits: BitReader, intra: bool) -> None:
    """Pass over one block's coefficients and its end of block (§4.2.4)."""
    if intra:
        bits.skip(8)
    elif bits.peek(1):
        bits.skip(2)
    while True:
        window = bits.peek(9)
        if window >> 7 == 0b10:
            bits.skip(2)
            return
        length = _COEFFICIENTS[window >> 1]
        if not length:
            if not window & 1:
                raise ValueError("no such code in an H.261 block")
            length = 14
        bits.skip(length)


def _vector(bits: BitReader, predictor: int) -> int:
    """Take one motion vector component, -15 to 15 (§4.2.3.4)."""
    difference = _code(bits, _MVD_TABLE, _MVD_BITS)
    if difference and bits.flag():
        difference = -difference
    return (predictor + difference + 16) % 32 - 16


def group_header(bits: BitReader) -> tuple[int, int]:
    """Take a GOB header and return group number and quantiser (§4.2.2)."""
    if bits.read(START_ZEROS + 1) != 1:
        raise ValueError("no H.261 GOB start code")
    group, quantiser = bits.read(4), bits.read(5)
    if group == 0 or quantiser == 0:
        raise ValueError("H.261 GOB number or quantiser is 0")
    _skip_spare(bits)
    return group, quantiser


def _skip_spare(bits: BitReader) -> None:
    """Pass over spare information: octets that each follow a one bit."""
    for _ in range(MAX_SPARE):
        if not bits.flag():
            return
        bits.skip(8)
    raise ValueError("too much spare information")


def begins_intra(data: bytes, position: int) -> bool:
    """Whether the GOB at this bit begins with its first macroblock, coded without prediction."""
    bits = BitReader(data, position)
    try:
        group_header(bits)
        return _code(bits, _MBA_TABLE, _MBA_BITS) == 1 and _TYPE_LIST[_code(bits, _TYPE_TABLE, _TYPE_BITS)].intra
    except ValueError:
        return False


def macroblock_cuts(data: bytes, start: int, end: int) -> list[Cut]:
    """Return where a GOB that fills bits `start` to `end` may be cut: before each macroblock but the first.

    Raises ValueError if it does not read as a GOB from end to end.
    """
    bits = BitReader(data, start, end)
    group, quantiser = group_header(bits)
    cuts: list[Cut] = []
    address = horizontal = vertical = 0
    moved = False
    while end - bits.position > 7 or (end > bits.position and bits.peek(end - bits.position)):
        if address:
            vector = (horizontal, vertical) if moved else (0, 0)
            cuts.append(Cut(bits.position, group, address, quantiser, *vector))
        step = _STUFFING
        for _ in range(MAX_STUFFING):
            step = _code(bits, _MBA_TABLE, _MBA_BITS)
            if step != _STUFFING or bits.position >= end:
                break
        if step == _STUFFING:
            if bits.position < end:
                raise ValueError("too much stuffing in an H.261 GOB")
            break
        address += step
        if address > LAST_MACROBLOCK:
            raise ValueError("H.261 macroblock address over 33")
        kind = _TYPE_LIST[_code(bits, _TYPE_TABLE, _TYPE_BITS)]
        if kind.quantiser:
            quantiser = bits.read(5)
        if kind.vector:
            if not moved or step != 1 or address in (1, 12, 23):
                horizontal = vertical = 0
            horizontal, vertical = _vector(bits, horizontal), _vector(bits, vertical)
        moved = kind.vector
        pattern = 63 if kind.intra else _code(bits, _CBP_TABLE, _CBP_BITS) if kind.pattern else 0
        for _ in range(pattern.bit_count()):
            _skip_block(bits, kind.intra)
    return cuts
