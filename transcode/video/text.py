"""Names, initials and slates, rendered once and kept as planes that composing can copy or blend.

Pillow draws; what is kept is yuv420p. Fonts are DejaVu where it is installed and the one inside Pillow otherwise;
characters that it lacks are drawn with the first other installed font that has them. Every cache is bounded and
forgets what was not used for longest.
"""

from __future__ import annotations

import unicodedata
import zlib
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from transcode.video.slates import CARD_BOTTOM, CARD_TOP, INK, Colour, Slate, broken

Plane = NDArray[np.uint8]
Wide = NDArray[np.uint16]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

MAX_NAME = 48
"""Characters of a name that are drawn; more do not fit a tile."""
MAX_LINES = 8
"""Lines of a slate's text."""
MAX_LINE = 120
"""Characters of a slate's line."""
MAX_GROUNDS = 4
"""Grounds of slates kept, 2.8 MB each at 720p: a slate is drawn anew for each key that is typed."""
MAX_ENTRY = 32
"""Characters of what was typed that are drawn; the last ones, where a field is too narrow for all."""
MAX_NOTICE_ROWS = 2
"""Rows of a notice: it stands over what somebody wants to see."""
MAX_MARKS = 2
"""Combining marks on one character; towers of them would leave the bar."""
MAX_LABELS = 64
"""Name patches kept: four grids of sixteen, about 40 KB each."""
MAX_CARDS = 24
"""Initials and slates kept: 1.4 MB each at 720p."""
MAX_FONTS = 48
"""Fonts in one size kept open; a room uses about eight."""
MAX_GLYPHS = 4096
"""Remembered answers to whether a font has a character."""
_PROBE_SIZE = 16
"""Pixels of the letters with which fonts are looked at."""
_TRUETYPE = Path("/usr/share/fonts/truetype")
_OPENTYPE = Path("/usr/share/fonts/opentype")
_REGULAR = (_TRUETYPE / "dejavu/DejaVuSans.ttf", _TRUETYPE / "noto/NotoSans-Regular.ttf")
_BOLD = (_TRUETYPE / "dejavu/DejaVuSans-Bold.ttf", _TRUETYPE / "noto/NotoSans-Bold.ttf")
_FALLBACK = (
    _TRUETYPE / "dejavu/DejaVuSans.ttf",
    _OPENTYPE / "noto/NotoSansCJK-Regular.ttc",
    _TRUETYPE / "noto/NotoSansCJK-Regular.ttc",
    _TRUETYPE / "droid/DroidSansFallbackFull.ttf",
    _TRUETYPE / "wqy/wqy-zenhei.ttc",
    _TRUETYPE / "wqy/wqy-microhei.ttc",
    _TRUETYPE / "arphic/uming.ttc",
    _TRUETYPE / "unifont/unifont.ttf",
)
BACKGROUND: Colour = (18, 20, 26)
_BAR: Colour = (10, 12, 16)
_BAR_ALPHA = 150
_NOTICE_ALPHA = 205
_CARD_COLOURS: tuple[Colour, ...] = (
    (78, 121, 167), (89, 139, 92), (176, 96, 84), (131, 101, 158),
    (66, 135, 140), (178, 128, 62), (156, 90, 124), (98, 112, 140),
)  # fmt: skip
"""Muted colours on which white initials read well; one is chosen by the name."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Card:
    """An opaque picture: planes of yuv420p, uint8, of shapes (h, w), (h/2, w/2), (h/2, w/2)."""

    planes: tuple[Plane, Plane, Plane]


@dataclass(frozen=True, slots=True)
class Patch:
    """A picture to blend: for each plane its samples times opacity, and what is left of those below.

    uint16, 256 is opaque: result = (below * rest + ink + 128) >> 8. Shapes (h, w), (h/2, w/2), (h/2, w/2).
    """

    ink: tuple[Wide, Wide, Wide]
    rest: tuple[Wide, Wide]
    width: int
    height: int


class Lru(OrderedDict[Hashable, _T]):
    """A cache of at most `limit` entries."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def obtain(self, key: Hashable, make: Callable[[], _T]) -> _T:
        """Return the entry, made if it is not there."""
        if key in self:
            self.move_to_end(key)
            return self[key]
        value = self[key] = make()
        if len(self) > self._limit:
            self.popitem(last=False)
        return value


def clean(text: str, limit: int = MAX_NAME) -> str:
    """Return a text that is safe to draw on one line: no control, bidi or invisible characters, bounded."""
    out: list[str] = []
    marks = 0
    for char in unicodedata.normalize("NFC", text[: 4 * limit]):
        kind = unicodedata.category(char)
        if kind in ("Mn", "Me", "Mc"):
            marks += 1
            if marks > MAX_MARKS or not out:
                continue
        else:
            marks = 0
        if kind in ("Zs", "Zl", "Zp") or char in "\t\r\n":
            char = " "
        elif kind[0] == "C":
            continue
        out.append(char)
    joined = " ".join("".join(out).split())
    return joined if len(joined) <= limit else joined[: limit - 1].rstrip() + "…"


def can_draw(text: str) -> bool:
    """Whether the fonts of this machine have all characters of a text."""
    painter = Painter()
    return all(painter.has(char) for char in set(text) if not char.isspace())


def initials(name: str) -> str:
    """Return one or two letters that stand for a name."""
    words = [word for word in clean(name).replace("@", " ").split() if any(map(str.isalnum, word))]
    letters = [next(filter(str.isalnum, word)) for word in words]
    if not letters:
        return "?"
    return "".join(letters[:1] if len(letters) == 1 else (letters[0], letters[-1])).upper()


def to_yuv(image: Image.Image) -> tuple[Plane, Plane, Plane]:
    """Return an RGB picture of even size as yuv420p, video range, ITU-R BT.601."""
    rgb = np.asarray(image.convert("RGB"), dtype=np.float32)
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    luma = 16.0 + (65.481 * red + 128.553 * green + 24.966 * blue) / 255.0
    half = (rgb[0::2, 0::2] + rgb[0::2, 1::2] + rgb[1::2, 0::2] + rgb[1::2, 1::2]) / 4.0
    red, green, blue = half[..., 0], half[..., 1], half[..., 2]
    u = 128.0 + (-37.797 * red - 74.203 * green + 112.0 * blue) / 255.0
    v = 128.0 + (112.0 * red - 93.786 * green - 18.214 * blue) / 255.0
    return _octets(luma), _octets(u), _octets(v)


def colour(rgb: Colour) -> tuple[int, int, int]:
    """Return one colour's Y, U and V."""
    y, u, v = to_yuv(Image.new("RGB", (2, 2), rgb))
    return int(y[0, 0]), int(u[0, 0]), int(v[0, 0])


def _octets(values: NDArray[np.float32]) -> Plane:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


class Painter:
    """Draws and keeps names, initials and slates. Used by one thread at a time."""

    def __init__(self) -> None:
        self._labels: Lru[Patch] = Lru(MAX_LABELS)
        self._cards: Lru[Card] = Lru(MAX_CARDS)
        self._fonts: Lru[Font] = Lru(MAX_FONTS)
        self._glyphs: Lru[bool] = Lru(MAX_GLYPHS)
        self._fallback = tuple(str(path) for path in _FALLBACK if path.is_file())

    def label(self, name: str, room: int, height: int) -> Patch:
        """Return a name on a half-transparent bar, for a tile of `height` pixels with `room` pixels of width."""
        text = clean(name)
        return self._labels.obtain((text, room, height), lambda: self._draw_label(text, room, height))

    def initials(self, name: str, width: int, height: int) -> Card:
        """Return the tile of a leg without picture: its initials on a colour that its name chooses."""
        text = clean(name)
        return self._cards.obtain((text, width, height), lambda: self._draw_initials(text, width, height))

    def slate(self, title: str, text: str, width: int, height: int, entry: str | None = None) -> Card:
        """Return what is shown while nobody else is there; the text's first line is set larger than the others.

        entry is what was typed so far, None where nothing is asked for.
        """
        key = (
            title[:MAX_LINE],
            text[: MAX_LINES * MAX_LINE],
            None if entry is None else entry[:MAX_LINE],
            width,
            height,
        )
        return self._cards.obtain(key, lambda: self._draw_slate(title, text, entry, width, height))

    def notice(self, text: str, width: int, height: int) -> Patch:
        """Return a line, on a bar, to be written over a picture of width x height pixels."""
        text = clean(text, MAX_LINE)
        return self._labels.obtain(("notice", text, width, height), lambda: self._draw_notice(text, width, height))

    # Drawing.

    def _draw_label(self, text: str, room: int, height: int) -> Patch:
        size = max(11, min(26, round(height / 15)))
        pad = max(4, round(size * 0.5)) & ~1
        text = self.shortened(text, size, max(room - 2 * pad, size))
        h = (size + round(size * 0.75)) & ~1
        w = min(round(self.length(text, size)) + 2 * pad, room) + 1 & ~1
        mask = Image.new("L", (w, h), 0)
        self.write(ImageDraw.Draw(mask), text, pad, h / 2, size, 255)
        return _on_bar(mask, w, h, round(h * 0.28), _BAR_ALPHA)

    def _draw_initials(self, name: str, width: int, height: int) -> Card:
        base = _CARD_COLOURS[zlib.crc32(name.encode()) % len(_CARD_COLOURS)]
        image = _gradient(width, height, _mixed(base, BACKGROUND, 0.62), _mixed(base, BACKGROUND, 0.82))
        radius = round(min(width, height) * 0.27)
        disc = Image.new("L", (8 * radius, 8 * radius), 0)
        ImageDraw.Draw(disc).ellipse((0, 0, 8 * radius - 1, 8 * radius - 1), fill=255)
        disc = disc.resize((2 * radius, 2 * radius), Image.Resampling.BOX)
        image.paste(base, (width // 2 - radius, height // 2 - radius), disc)
        letters = initials(name)
        size = max(8, round(radius * (0.86 if len(letters) > 1 else 1.05)))
        draw = ImageDraw.Draw(image)
        self.write(draw, letters, (width - self.length(letters, size, True)) / 2, height / 2, size, INK, True, True)
        return Card(to_yuv(image))

    def _draw_slate(self, title: str, text: str, entry: str | None, width: int, height: int) -> Card:
        image = _slate_ground(width, height).copy()
        lines = [clean(line, MAX_LINE) for line in (text or "Waiting for others").splitlines()[:MAX_LINES]]
        Slate(self, image).fill(clean(title, MAX_LINE), lines, None if entry is None else clean(entry, MAX_ENTRY))
        return Card(to_yuv(image))

    def _draw_notice(self, text: str, width: int, height: int) -> Patch:
        size = max(13, min(40, round(height / 20)))
        pad = round(size * 0.7) & ~1
        room = max(size, round(width * 0.92) - 2 * pad)
        rows = broken(self, text, size, room, MAX_NOTICE_ROWS)
        step = round(size * 1.35)
        h = (step * (len(rows) - 1) + size + round(size * 1.1)) & ~1
        w = min(round(max(self.length(row, size) for row in rows)) + 2 * pad, round(width * 0.92)) + 1 & ~1
        mask = Image.new("L", (w, h), 0)
        draw = ImageDraw.Draw(mask)
        for number, row in enumerate(rows):
            middle = h / 2 + (number - (len(rows) - 1) / 2) * step
            self.write(draw, row, (w - self.length(row, size)) / 2, middle, size, 255)
        return _on_bar(mask, w, h, round(size * 0.5), _NOTICE_ALPHA)

    # Text in runs of one font.

    def write(
        self,
        draw: ImageDraw.ImageDraw,
        text: str,
        x: float,
        middle: float,
        size: int,
        ink: int | Colour,
        bold: bool = False,
        capitals: bool = False,
    ) -> None:
        """Draw one line from x on, its capitals (or its small letters and capitals together) about the middle."""
        baseline = middle + size * (0.365 if capitals else 0.34)
        for font, run in self._runs(text, size, bold):
            draw.text((x, baseline), run, fill=ink, font=font, anchor="ls")
            x += font.getlength(run)

    def length(self, text: str, size: int, bold: bool = False) -> float:
        return sum(font.getlength(run) for font, run in self._runs(text, size, bold))

    def shortened(self, text: str, size: int, room: int, bold: bool = False) -> str:
        """Return the text, cut with an ellipsis if it is wider than `room` pixels."""
        if self.length(text, size, bold) <= room:
            return text
        low, high = 0, len(text)
        while low < high:
            half = (low + high + 1) // 2
            if self.length(text[:half].rstrip() + "…", size, bold) <= room:
                low = half
            else:
                high = half - 1
        return text[:low].rstrip() + "…"

    def _runs(self, text: str, size: int, bold: bool) -> list[tuple[Font, str]]:
        runs: list[tuple[Font, str]] = []
        for char in text:
            joins = char == " " or unicodedata.combining(char)
            font = runs[-1][0] if joins and runs else self._font_for(char, size, bold)
            if runs and runs[-1][0] is font:
                runs[-1] = (font, runs[-1][1] + char)
            else:
                runs.append((font, char))
        return runs

    def _font_for(self, char: str, size: int, bold: bool) -> Font:
        main = self._font(None, size, bold)
        if char.isascii() or self._has(main, "bold" if bold else "regular", char):
            return main
        for path in self._fallback:
            font = self._font(path, size, False)
            if self._has(font, path, char):
                return font
        return main

    def has(self, char: str) -> bool:
        """Whether some font has a character."""
        font = self._font_for(char, _PROBE_SIZE, False)
        return char.isascii() or self._has(font, "any", char)

    def _has(self, font: Font, name: str, char: str) -> bool:
        def look() -> bool:
            # A character that a font lacks is drawn as the font's box, as is one that is no character at all.
            return bytes(font.getmask(char)) != bytes(font.getmask("\uffff"))

        return self._glyphs.obtain((name, char), look)

    def _font(self, path: str | None, size: int, bold: bool) -> Font:
        return self._fonts.obtain((path, size, bold), lambda: _open_font(path, size, bold))


def _open_font(path: str | None, size: int, bold: bool) -> Font:
    choices = [Path(path)] if path is not None else [*(_BOLD if bold else ()), *_REGULAR]
    for choice in choices:
        try:
            return ImageFont.truetype(str(choice), size)
        except OSError:
            continue
    return ImageFont.load_default(size)


def _on_bar(mask: Image.Image, width: int, height: int, radius: int, alpha: int) -> Patch:
    """Make a patch of a text's mask on a half-transparent bar with round corners."""
    ink = np.asarray(mask, dtype=np.float32) / 255.0
    shape = np.asarray(_rounded(width, height, radius), dtype=np.float32) / 255.0
    below = shape * (alpha / 255.0)
    return _patch(ink, below * (1.0 - ink), ink + below * (1.0 - ink))


def _patch(ink: NDArray[np.float32], bar: NDArray[np.float32], opacity: NDArray[np.float32]) -> Patch:
    """Make a patch of two layers: how much of the text's and of the bar's colour each pixel has."""
    text, below = colour(INK), colour(_BAR)
    small_ink, small_bar, small_opacity = (_halved(layer) for layer in (ink, bar, opacity))
    y, u, v = (
        np.rint((above * text[plane] + bar_share * below[plane]) * 256).astype(np.uint16)
        for plane, (above, bar_share) in enumerate([(ink, bar), (small_ink, small_bar), (small_ink, small_bar)])
    )
    rest = tuple(np.rint(256 - layer * 256).astype(np.uint16) for layer in (opacity, small_opacity))
    return Patch((y, u, v), (rest[0], rest[1]), ink.shape[1], ink.shape[0])


def _halved(layer: NDArray[np.float32]) -> NDArray[np.float32]:
    height, width = layer.shape
    mean: NDArray[np.float32] = layer.reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3), dtype=np.float32)
    return mean


def _rounded(width: int, height: int, radius: int) -> Image.Image:
    mask = Image.new("L", (4 * width, 4 * height), 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, 4 * width - 1, 4 * height - 1), 4 * radius, fill=255)
    return mask.resize((width, height), Image.Resampling.BOX)


@lru_cache(maxsize=MAX_GROUNDS)
def _slate_ground(width: int, height: int) -> Image.Image:
    return _gradient(width, height, CARD_TOP, CARD_BOTTOM)


def _gradient(width: int, height: int, top: Colour, bottom: Colour) -> Image.Image:
    """A vertical gradient, with a little fixed noise against banding."""
    share = np.linspace(0.0, 1.0, height, dtype=np.float32)[:, None, None]
    ends = np.asarray(top, np.float32), np.asarray(bottom, np.float32)
    rows = np.broadcast_to(ends[0] + (ends[1] - ends[0]) * share, (height, width, 3))
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, (height, width, 1)).astype(np.float32)
    return Image.fromarray(np.clip(np.rint(rows + noise), 0, 255).astype(np.uint8))


def _mixed(one: Colour, other: Colour, share: float) -> Colour:
    mixed = [round(a + (b - a) * share) for a, b in zip(one, other, strict=True)]
    return mixed[0], mixed[1], mixed[2]
