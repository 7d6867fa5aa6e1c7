"""Slates: what somebody sees who sees nobody else. A title, lines of text, and what was typed so far.

Pure drawing. Sizes grow with the picture, but not below what can be read after coding in a small one; lines that are
too wide are broken, and what then does not fit becomes smaller before it is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from PIL import Image, ImageDraw

Colour = tuple[int, int, int]

CARD_TOP: Colour = (30, 36, 50)
CARD_BOTTOM: Colour = (14, 17, 24)
INK: Colour = (240, 243, 248)
DIM: Colour = (160, 170, 188)
ACCENT: Colour = (74, 158, 255)
_FIELD: Colour = (22, 27, 39)
_FIELD_EDGE: Colour = (64, 76, 102)
MAX_ROWS = 4
"""Rows that one line of text is broken into."""
WIDE, HIGH = 0.88, 0.92
"""Share of the picture that texts may take; the rest is a margin, which television sets cut off."""
SMALLER = 0.88
"""By how much everything shrinks, again and again, until it fits."""
LEAST = 8
"""Pixels of the smallest text."""
TITLE_LEAST = 0.6
"""Part of its size to which a title shrinks before it is cut."""
DOTS = 4
"""Dots that stand where nothing was typed yet."""


class Pen(Protocol):
    """What writes (`transcode.video.text.Painter`)."""

    def write(
        self, draw: ImageDraw.ImageDraw, text: str, x: float, middle: float, size: int, ink: Colour, bold: bool = False
    ) -> None:
        """Write one line from x on about a middle."""

    def length(self, text: str, size: int, bold: bool = False) -> float:
        """Return a text's width in pixels."""

    def shortened(self, text: str, size: int, room: int, bold: bool = False) -> str:
        """Return a text, cut if it is wider than `room` pixels."""


@dataclass(frozen=True, slots=True)
class _Block:
    """Something that stands below another: its height, the space behind it, and what draws it from a y on."""

    height: float
    after: float
    draw: Callable[[float], None]


class Slate:
    """Draws one slate on an image: a background of the image's size."""

    def __init__(self, pen: Pen, image: Image.Image) -> None:
        self._pen = pen
        self._draw = ImageDraw.Draw(image)
        self._width, self._height = image.size

    def fill(self, title: str, lines: list[str], entry: str | None) -> None:
        """Write all that fits, in the middle of the picture."""
        unit = min(self._height / 720, self._width / 1280)
        scale = 1.0
        while True:
            blocks = self._blocks(title, lines, entry, unit, scale)
            total = sum(block.height + block.after for block in blocks) - blocks[-1].after
            if total <= self._height * HIGH:
                break
            if scale * max(26 * unit, 12) > LEAST:
                scale *= SMALLER
            elif lines:
                lines = lines[:-1]
            else:
                break
        y = (self._height - total) / 2
        for block in blocks:
            block.draw(y)
            y += block.height + block.after

    def _blocks(self, title: str, lines: list[str], entry: str | None, unit: float, scale: float) -> list[_Block]:
        def size(large: float, least: int) -> int:
            return max(round(max(large * unit, least) * scale), LEAST)

        blocks = []
        if title:
            blocks.append(self._title(title, size(68, 22), size(62, 20)))
        for number, line in enumerate(lines):
            first = number == 0
            space = 34 if first and len(lines) > 1 else 18
            if number == len(lines) - 1 and entry is not None:
                space = 44
            blocks += self._lines(line, size(34 if first else 26, 16 if first else 12), INK if first else DIM)
            blocks[-1] = _Block(blocks[-1].height, size(space, space // 3), blocks[-1].draw)
        if entry is not None:
            blocks.append(self._entry(entry, size(76, 32)))
        return blocks or [_Block(0, 0, lambda y: None)]

    def _title(self, title: str, size: int, after: float) -> _Block:
        room = round(self._width * WIDE)
        size = max(round(size * TITLE_LEAST), min(size, int(size * room / max(self._pen.length(title, size, True), 1))))
        text = self._pen.shortened(title, size, room, True)
        thick, half = max(2, round(size / 17)), round(size * 0.53)

        def draw(y: float) -> None:
            self._centred(text, y + size / 2, size, INK, True)
            top, middle = round(y + size + after / 2 - thick / 2), self._width // 2
            self._draw.rectangle((middle - half, top, middle + half, top + thick - 1), fill=ACCENT)

        return _Block(size, after, draw)

    def _lines(self, line: str, size: int, ink: Colour) -> list[_Block]:
        def block(row: str) -> _Block:
            return _Block(size, round(size * 0.35), lambda y: self._centred(row, y + size / 2, size, ink))

        return [block(row) for row in broken(self._pen, line, size, round(self._width * WIDE))]

    def _entry(self, entry: str, size: int) -> _Block:
        """A field with what was typed, or with dots, and a bar where the next key goes."""
        pen, height = self._pen, round(size * 1.6) & ~1
        gap = size * 0.16
        room = self._width * WIDE - size
        shown = list(entry)
        while shown and self._spread(shown, size, gap) > room:
            shown = shown[1:] if shown[0] != "…" else ["…", *shown[2:]]
            if shown and shown[0] != "…":
                shown[0] = "…"
        least = max(self._spread(shown, size, gap), (DOTS + 1) * size * 0.5) + size * 1.2
        width = max(least, min(self._width * 0.42, room))
        edge, bar = max(2, round(size / 26)), max(2, round(size / 18))

        def draw(y: float) -> None:
            left, right = (self._width - width) / 2, (self._width + width) / 2
            box = (round(left), round(y), round(right), round(y + height))
            self._draw.rounded_rectangle(box, round(height * 0.22), fill=_FIELD, outline=_FIELD_EDGE, width=edge)
            middle = y + height / 2
            if not shown:
                step, dot = size * 0.5, max(1.5, size * 0.055)
                x = self._width / 2 - DOTS / 2 * step
                for number in range(1, DOTS + 1):
                    at = x + number * step
                    self._draw.ellipse((at - dot, middle - dot, at + dot, middle + dot), fill=DIM)
            else:
                x = (self._width - self._spread(shown, size, gap)) / 2
                for char in shown:
                    pen.write(self._draw, char, x, middle, size, INK, True)
                    x += pen.length(char, size, True) + gap
            top = round(middle - size * 0.42)
            self._draw.rectangle((round(x), top, round(x) + bar - 1, round(middle + size * 0.42)), fill=ACCENT)

        return _Block(height, 0, draw)

    def _spread(self, chars: list[str], size: int, gap: float) -> float:
        return sum(self._pen.length(char, size, True) + gap for char in chars)

    def _centred(self, text: str, middle: float, size: int, ink: Colour, bold: bool = False) -> None:
        x = (self._width - self._pen.length(text, size, bold)) / 2
        self._pen.write(self._draw, text, x, middle, size, ink, bold)


def broken(pen: Pen, text: str, size: int, room: int, rows: int = MAX_ROWS) -> list[str]:
    """Return a text in at most so many rows of `room` pixels, about equally long; the last one is cut if it must be.

    It is broken at spaces, and where there are none, as in Chinese, behind any character.
    """
    if pen.length(text, size) <= room:
        return [text]
    found = _filled(pen, text, size, room, rows)
    if len(found) > rows:
        return [*found[: rows - 1], pen.shortened(" ".join(found[rows - 1 :]), size, room)]
    # As many rows as it takes, but narrower: the least width that needs no more of them.
    low, high = room // len(found), room
    while high - low > size // 2:
        half = (low + high) // 2
        narrower = _filled(pen, text, size, half, len(found))
        if len(narrower) <= len(found):
            high, found = half, narrower
        else:
            low = half
    return found


def _filled(pen: Pen, text: str, size: int, room: int, rows: int) -> list[str]:
    """Fill rows one after the other; what is left behind `rows` of them is one more."""
    found: list[str] = []
    while text and len(found) < rows:
        end = _fitting(pen, text, size, room)
        if end < len(text):
            space = text.rfind(" ", 1, end + 1)
            end = space if space > 0 else end
        found.append(text[:end].rstrip())
        text = text[end:].lstrip()
    return [*found, text] if text else found


def _fitting(pen: Pen, text: str, size: int, room: int) -> int:
    """Return how many characters fit into a row, at least one."""
    low, high = 1, len(text)
    while low < high:
        half = (low + high + 1) // 2
        if pen.length(text[:half], size) <= room:
            low = half
        else:
            high = half - 1
    return low
