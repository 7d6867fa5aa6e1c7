"""H.263 macroblocks: where each begins, and what a decoder must know to start there (ITU-T H.263 §5.3, §5.4, §6.1.1).

RFC 2190 lets a group of blocks (GOB) that is larger than a packet be cut between macroblocks, if the packet's header
tells quantiser, address and motion vector predictor. Nothing but reading all variable length codes tells these. Only
the base syntax is read: none of the optional modes, and no header of version 2.
"""

from __future__ import annotations

from dataclasses import dataclass

from transcode.payload.bits import BitReader
from transcode.payload.h263_picture import START_ZEROS, PictureHeader

MAX_STUFFING = 64
"""MCBPC stuffing codes in a row."""
MAX_SPARE = 16
"""Octets of PSUPP; none is in use in the base syntax."""
_STUFFING = -1
_INTER, _INTER_Q, _INTRA, _INTRA_Q = 0, 1, 3, 4
_MCBPC_INTRA = {
    (3, 0): "1", (3, 1): "001", (3, 2): "010", (3, 3): "011",
    (4, 0): "0001", (4, 1): "000001", (4, 2): "000010", (4, 3): "000011",
}  # fmt: skip
_MCBPC_INTER = {
    (0, 0): "1", (0, 1): "0011", (0, 2): "0010", (0, 3): "000101",
    (1, 0): "011", (1, 1): "0000111", (1, 2): "0000110", (1, 3): "000000101",
    (2, 0): "010", (2, 1): "0000101", (2, 2): "0000100", (2, 3): "00000101",
    (3, 0): "00011", (3, 1): "00000100", (3, 2): "00000011", (3, 3): "0000011",
    (4, 0): "000100", (4, 1): "000000100", (4, 2): "000000011", (4, 3): "000000010",
}  # fmt: skip
_MCBPC_STUFFING = "000000001"
_CBPY = [
    "0011", "00101", "00100", "1001", "00011", "0111", "000010", "1011",
    "00010", "000011", "0101", "1010", "0100", "1000", "0110", "11",
]  # fmt: skip
_MVD = [
    (1, 1), (1, 2), (1, 3), (1, 4), (3, 6), (5, 7), (4, 7), (3, 7), (11, 9), (10, 9), (9, 9), (17, 10), (16, 10),
    (15, 10), (14, 10), (13, 10), (12, 10), (11, 10), (10, 10), (9, 10), (8, 10), (7, 10), (6, 10), (5, 10), (4, 10),
    (7, 11), (6, 11), (5, 11), (4, 11), (3, 11), (2, 11), (3, 12), (2, 12),
]  # fmt: skip
"""Code and length for each vector difference from 0 to 32 half pixels, a sign bit follows all but 0 (Table 14)."""
_TCOEF = [
    (2, 0x2, 0x2, 0), (3, 0x6, 0x6, 0), (4, 0x7, 0x7, 1), (4, 0xE, 0xF, 0), (5, 0xB, 0xD, 0),
    (6, 0xC, 0xF, 1), (6, 0x10, 0x15, 0), (6, 0x14, 0x15, 0), (7, 0x10, 0x13, 1), (7, 0x14, 0x17, 0),
    (8, 0x13, 0x1A, 1), (8, 0x1B, 0x1F, 0), (9, 0x11, 0x19, 1), (9, 0x1A, 0x25, 0),
    (10, 0x4, 0x7, 1), (10, 0x8, 0xF, 0), (10, 0x20, 0x21, 0), (11, 0x4, 0x5, 1), (11, 0x6, 0x7, 0),
    (11, 0x20, 0x23, 0), (11, 0x24, 0x27, 1), (12, 0x50, 0x57, 0), (12, 0x58, 0x5F, 1),
]  # fmt: skip
"""Length without the sign, first and last code, and LAST of each run of coefficient codes (Table 16)."""
_ESCAPE, _ESCAPE_LENGTH = 0x3, 7
_ESCAPED = 15


@dataclass(frozen=True, slots=True)
class Cut:
    """A bit position where a packet may begin, and the fields of its mode B header (RFC 2190 §5.2).

    inside is False where a picture or GOB header stands; the other fields are 0 then.
    """

    position: int
    inside: bool = False
    quantiser: int = 0
    group: int = 0
    address: int = 0
    horizontal: int = 0
    vertical: int = 0


Table = list[tuple[tuple[int, int], int] | None]


def _lookup(codes: dict[tuple[int, int], str], width: int) -> Table:
    """Return a table by the next `width` bits: value and length of the code that stands there."""
    table: Table = [None] * (1 << width)
    for value, code in codes.items():
        spare = width - len(code)
        first = int(code, 2) << spare
        table[first : first + (1 << spare)] = [(value, len(code))] * (1 << spare)
    return table


def _coefficients() -> list[tuple[int, int]]:
    """Return length with sign, and LAST, by the next 12 bits; (0, 0) where no code is, (0, 1) for the escape."""
    table = [(0, 0)] * 4096
    for length, first, last, final in _TCOEF:
        spare = 12 - length
        start, stop = first << spare, (last + 1) << spare
        table[start:stop] = [(length + 1, final)] * (stop - start)
    start, stop = _ESCAPE << 5, (_ESCAPE + 1) << 5
    table[start:stop] = [(0, 1)] * (stop - start)
    return table


_MCBPC_BITS, _CBPY_BITS, _MVD_BITS, _TCOEF_BITS = 9, 6, 12, 12
_INTRA_TABLE = _lookup({**_MCBPC_INTRA, (_STUFFING, 0): _MCBPC_STUFFING}, _MCBPC_BITS)
_INTER_TABLE = _lookup({**_MCBPC_INTER, (_STUFFING, 0): _MCBPC_STUFFING}, _MCBPC_BITS)
_CBPY_TABLE = _lookup({(value, 0): code for value, code in enumerate(_CBPY)}, _CBPY_BITS)
_MVD_TABLE = _lookup({(value, 0): f"{code:0{length}b}" for value, (code, length) in enumerate(_MVD)}, _MVD_BITS)
_TCOEF_TABLE = _coefficients()
_DQUANT = (-1, -2, 1, 2)


def _code(bits: BitReader, table: Table, width: int) -> tuple[int, int]:
    """Take one code. Raises ValueError if there is none."""
    found = table[bits.peek(width)]
    if found is None:
        raise ValueError("no such code in an H.263 macroblock")
    bits.skip(found[1])
    return found[0]


def _skip_block(bits: BitReader, intra: bool, coded: bool) -> None:
    """Pass over one block (§5.4)."""
    if intra:
        bits.skip(8)
    last = not coded
    while not last:
        length, final = _TCOEF_TABLE[bits.peek(_TCOEF_BITS)]
        if length:
            bits.skip(length)
            last = bool(final)
        elif final:
            bits.skip(_ESCAPE_LENGTH)
            last = bits.flag()
            bits.skip(_ESCAPED - 1)
        else:
            raise ValueError("no such code in an H.263 block")


def _component(bits: BitReader, predictor: int) -> int:
    """Take one motion vector component in half pixels, -32 to 31 (§6.1.1)."""
    difference, _ = _code(bits, _MVD_TABLE, _MVD_BITS)
    if difference and bits.flag():
        difference = -difference
    return (predictor + difference + 32) % 64 - 32


def _median(one: int, two: int, three: int) -> int:
    return max(min(one, two), min(max(one, two), three))


class _Segment:
    """A GOB, and those behind it that have no header of their own: addresses, quantiser and motion vectors."""

    def __init__(self, bits: BitReader, header: PictureHeader) -> None:
        width, height = header.size or (0, 0)
        self.columns = width // 16
        self.group_rows = 1 if height <= 400 else 2 if height <= 800 else 4
        self.total = self.columns * (height // 16)
        self.intra = header.intra
        self.bits = bits
        self.vectors: list[tuple[int, int]] = []
        if bits.peek(START_ZEROS + 1 + 5) & 0x1F == 0:
            self.group = 0
            self.quantiser = self._picture()
        else:
            bits.skip(START_ZEROS + 1)
            self.group = bits.read(5)
            bits.skip(2)
            self.quantiser = bits.read(5)

    def _picture(self) -> int:
        """Pass over the picture header and return its quantiser."""
        bits = self.bits
        bits.skip(22 + 8 + 13)
        quantiser = bits.read(5)
        if bits.flag():
            raise ValueError("continuous presence multipoint is not read")
        for _ in range(MAX_SPARE):
            if not bits.flag():
                return quantiser
            bits.skip(8)
        raise ValueError("too much extra information")

    def predictor(self) -> tuple[int, int]:
        """Return the motion vector predictor of the next macroblock (§6.1.1)."""
        index, columns = len(self.vectors), self.columns
        left = self.vectors[-1] if index % columns else (0, 0)
        if index < columns:
            return left
        above = self.vectors[index - columns]
        beyond = self.vectors[index - columns + 1] if (index + 1) % columns else (0, 0)
        return _median(left[0], above[0], beyond[0]), _median(left[1], above[1], beyond[1])

    def cut(self) -> Cut:
        """Return what a packet that begins here must tell."""
        group, address = divmod(len(self.vectors), self.columns * self.group_rows)
        return Cut(self.bits.position, True, self.quantiser, self.group + group, address, *self.predictor())

    def macroblock(self) -> None:
        """Pass over one macroblock."""
        bits = self.bits
        if len(self.vectors) >= self.total:
            raise ValueError("more H.263 macroblocks than the picture has")
        kind, chroma = self._type()
        if kind == _STUFFING:
            self.vectors.append((0, 0))
            return
        luma, _ = _code(bits, _CBPY_TABLE, _CBPY_BITS)
        intra = kind >= _INTRA
        if kind in (_INTER_Q, _INTRA_Q):
            self.quantiser = min(31, max(1, self.quantiser + _DQUANT[bits.read(2)]))
        vector = (0, 0)
        if not intra:
            luma = 15 - luma
            across, down = self.predictor()
            vector = (_component(bits, across), _component(bits, down))
        self.vectors.append(vector)
        pattern = luma << 2 | chroma
        for block in range(6):
            coded = bool(pattern >> (5 - block) & 1)
            if intra or coded:
                _skip_block(bits, intra, coded)

    def _type(self) -> tuple[int, int]:
        """Take COD and MCBPC; `_STUFFING` stands for a macroblock that is not coded."""
        for _ in range(MAX_STUFFING):
            if not self.intra and self.bits.flag():
                return _STUFFING, 0
            kind = _code(self.bits, _INTRA_TABLE if self.intra else _INTER_TABLE, _MCBPC_BITS)
            if kind[0] == 2:
                raise ValueError("four vectors a macroblock are not read")
            if kind[0] != _STUFFING:
                return kind
        raise ValueError("too much stuffing in an H.263 GOB")


def macroblock_cuts(data: bytes, header: PictureHeader, start: int, end: int) -> list[Cut]:
    """Return where a GOB that fills bits `start` to `end` may be cut: before each macroblock but the first.

    Raises ValueError if it does not read as a GOB from end to end, or uses an optional mode.
    """
    if header.extended or header.unrestricted_vectors or header.arithmetic or header.advanced_prediction:
        raise ValueError("optional modes of H.263 are not read")
    if header.pb_frames:
        raise ValueError("PB frames are not read")
    bits = BitReader(data, start, end)
    segment = _Segment(bits, header)
    cuts: list[Cut] = []
    while end - bits.position > 7 or (end > bits.position and bits.peek(end - bits.position)):
        if segment.vectors:
            cuts.append(segment.cut())
        segment.macroblock()
    return cuts
