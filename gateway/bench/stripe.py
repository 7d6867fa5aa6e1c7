"""A code stripe in pictures: whose picture this is, and which one of it.

A stripe is one row of black and white modules on a white panel, like a bar code: a finder (dark runs of 1, 1, 3, 1,
1 modules with light between), one light module, the payload (dark is 1), a light module, and a dark end bar. The
payload is the sender's code, a picture counter and a check sum. Reading scans single rows, so a stripe is found at
any place and size inside a composed picture, after scaling, letterboxing and coding, as long as a module is about
three pixels wide and the picture is upright.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CODE_BITS = 5
COUNT_BITS = 6
CHECK_BITS = 5
PAYLOAD_BITS = CODE_BITS + COUNT_BITS + CHECK_BITS
MAX_CODE = (1 << CODE_BITS) - 1
COUNTS = 1 << COUNT_BITS
"""Pictures until the counter starts again: 2.1 s at 30 pictures/s."""

QUIET = 2
FINDER = (1, 1, 3, 1, 1)
_FINDER_WIDTH = sum(FINDER)
_END = _FINDER_WIDTH + 1 + PAYLOAD_BITS + 2
"""Modules from the finder's first edge to the end bar's last."""
MODULES = 2 * QUIET + _END
_DARK, _LIGHT = 16, 235
_MIDDLE = (_DARK + _LIGHT) // 2
_MIN_CONTRAST = 110
"""Between the means of dark and light modules: half of what was drawn; a camera's picture hardly has it in a row."""
_POLYNOMIAL = 0b100101
"""CRC-5 as USB uses it; 5 bits let one misread row in 32 through, which the vote of rows then removes."""
_ROW_STEP = 3
_MIN_ROWS = 3
"""Rows that must agree before a stripe counts as seen."""

Plane = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Sighting:
    """A stripe that was read: its code, its counter, and its place in pixels (left edge, middle row, width)."""

    code: int
    count: int
    x: int
    y: int
    width: int


def _check(value: int) -> int:
    """Return the check sum of the code and counter bits."""
    rest = (value ^ 0b10110101101) << CHECK_BITS
    for bit in range(CODE_BITS + COUNT_BITS - 1, -1, -1):
        if rest >> (bit + CHECK_BITS) & 1:
            rest ^= _POLYNOMIAL << bit
    return rest & ((1 << CHECK_BITS) - 1)


def modules(code: int, count: int) -> list[bool]:
    """Return a stripe's modules from left to right, True for dark. Raises ValueError if a number is too large."""
    if not 0 <= code <= MAX_CODE:
        raise ValueError(f"stripe code {code} is not within 0 to {MAX_CODE}")
    value = code << COUNT_BITS | count % COUNTS
    bits = value << CHECK_BITS | _check(value)
    row = [False] * QUIET
    for index, width in enumerate(FINDER):
        row += [index % 2 == 0] * width
    row.append(False)
    row += [bool(bits >> bit & 1) for bit in range(PAYLOAD_BITS - 1, -1, -1)]
    return [*row, False, True] + [False] * QUIET


def draw(luma: Plane, code: int, count: int, top: float = 0.3, bottom: float = 0.6) -> None:
    """Draw a stripe across a picture's luma plane (height, width; uint8), between two shares of its height."""
    height, width = luma.shape
    row = np.array([_DARK if dark else _LIGHT for dark in modules(code, count)], dtype=np.uint8)
    left, right = round(width * 0.04), round(width * 0.96)
    index = np.arange(right - left) * MODULES // (right - left)
    luma[round(height * top) : round(height * bottom), left:right] = row[index]


def _read_row(row: Plane) -> list[tuple[int, int, int]]:
    """Return (value of code and counter, left edge, width) for each stripe that one row of luma holds."""
    bright = row > _MIDDLE
    edges = np.flatnonzero(bright[1:] != bright[:-1]) + 1
    if len(edges) < 8:
        return []
    runs = np.diff(edges).astype(float)
    found: list[tuple[int, int, int]] = []
    five = np.lib.stride_tricks.sliding_window_view(runs, len(FINDER))
    unit = five.sum(axis=1) / _FINDER_WIDTH
    off = np.abs(five - unit[:, None] * np.array(FINDER)).max(axis=1)
    good = (off < 0.45 * unit + 0.6) & (unit >= 2) & ~bright[edges[: len(unit)]]
    taken = 0.0  # what lies inside a stripe that was read is payload, whatever it looks like
    for index in np.flatnonzero(good):
        start, module = float(edges[index]), float(unit[index])
        if start < taken:
            continue
        ends = edges[(edges > start + (_END - 1.5) * module) & (edges < start + (_END + 1.5) * module)]
        for end in ends:
            value = _read_payload(row, start, (float(end) - start) / _END)
            if value is not None:
                found.append((value, round(start), round(float(end) - start)))
                taken = float(end)
                break
    return found


def _read_payload(row: Plane, start: float, module: float) -> int | None:
    """Sample the modules behind a finder; None if contrast, guards or check sum are wrong."""
    places = (start + (np.arange(_FINDER_WIDTH, _END + 1) + 0.5) * module).astype(int)
    if places[-1] >= len(row):
        return None
    values = row[places]
    dark = values <= _MIDDLE
    if not dark.any() or dark.all() or values[~dark].mean() - values[dark].mean() < _MIN_CONTRAST:
        return None
    guards = dark[0], dark[1 + PAYLOAD_BITS], dark[2 + PAYLOAD_BITS], dark[3 + PAYLOAD_BITS]
    if guards != (False, False, True, False):
        return None
    bits = 0
    for bit in dark[1 : 1 + PAYLOAD_BITS]:
        bits = bits << 1 | int(bit)
    value = bits >> CHECK_BITS
    return value if _check(value) == bits & ((1 << CHECK_BITS) - 1) else None


def read(luma: Plane) -> list[Sighting]:
    """Return every stripe that a picture's luma plane (height, width; uint8) shows."""
    votes: Counter[tuple[int, int]] = Counter()
    places: dict[tuple[int, int], list[tuple[int, int, int]]] = {}
    for y in range(0, luma.shape[0], _ROW_STEP):
        for value, x, width in _read_row(luma[y]):
            # The same code may stand in several tiles, but hardly at the same left edge with another value.
            key = value, round(x / max(width, 1) * 4)
            votes[key] += 1
            places.setdefault(key, []).append((x, y, width))
    found = []
    for (value, rest), rows in votes.items():
        if rows >= _MIN_ROWS:
            x, y, width = places[value, rest][rows // 2]
            found.append(Sighting(value >> COUNT_BITS, value % COUNTS, x, y, width))
    return found
