"""Names, initials and slates."""

from __future__ import annotations

import numpy as np
import pytest

from transcode.video import slates, text
from transcode.video.text import MAX_CARDS, MAX_LABELS, MAX_NAME, Painter, clean, colour, initials


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("Anna", "Anna"),
        ("  Anna \t\n Müller ", "Anna Müller"),
        ("caller\0", "caller"),
        ("a\u202eb\u2066c\u200bd\ufeff", "abcd"),
        ("\x1b[31mred", "[31mred"),
        ("e" + "\u0301" * 20, "é\u0301\u0301"),
        ("\u0301x", "x"),
        ("Сергей", "Сергей"),
        ("\ud800\U000e0041", ""),
    ],
)
def test_a_name_is_cleaned_of_what_would_mislead(raw: str, shown: str) -> None:
    assert clean(raw) == shown


def test_a_long_name_is_cut() -> None:
    assert len(clean("x" * 100_000)) == MAX_NAME
    assert clean("x" * 100_000).endswith("…")


@pytest.mark.parametrize(
    ("name", "letters"),
    [("Anna Müller", "AM"), ("room", "R"), ("a b c", "AC"), ("", "?"), ("— !", "?"), ("bob@example.com", "BE")],
)
def test_initials_stand_for_a_name(name: str, letters: str) -> None:
    assert initials(name) == letters


@pytest.mark.parametrize("name", ["Anna", "Сергей Иванов", "李小龍", "مرحبا", "", "é\u0301", "😀", "W" * 48])
@pytest.mark.parametrize(("room", "height"), [(400, 240), (160, 90), (40, 24)])
def test_a_label_stays_within_its_room(name: str, room: int, height: int) -> None:
    patch = Painter().label(name, room, height)
    assert patch.width <= room + 1
    assert patch.width % 2 == patch.height % 2 == 0
    assert patch.ink[0].shape == patch.rest[0].shape == (patch.height, patch.width)
    assert patch.ink[1].shape == patch.rest[1].shape == (patch.height // 2, patch.width // 2)
    assert max(int(plane.max()) for plane in patch.ink) <= 255 * 256
    worst = 255 * patch.rest[0].astype(int) + patch.ink[0] + 128
    assert worst.max() < 65536


def test_a_label_is_bright_text_on_a_dark_bar_that_lets_the_picture_through() -> None:
    patch = Painter().label("Anna", 200, 240)
    over_white = (235 * patch.rest[0] + patch.ink[0] + 128) >> 8
    over_black = (16 * patch.rest[0] + patch.ink[0] + 128) >> 8
    assert over_white.max() > 220
    assert over_black.max() > 220
    middle = np.median(over_white), np.median(over_black)
    assert middle[1] < middle[0] < 150


def test_initials_are_on_a_colour_that_the_name_chooses() -> None:
    painter = Painter()
    cards = [painter.initials(f"Person {number}", 320, 180) for number in range(20)]
    assert len({bytes(card.planes[1][88:92, 130:134]) for card in cards}) > 3
    assert painter.initials("Person 1", 320, 180) is cards[1]


def test_a_slate_shows_its_texts() -> None:
    painter = Painter()
    empty = painter.slate("", " ", 640, 360)
    full = painter.slate("Room", "Waiting for others\nSIP: 100@example.com", 640, 360)
    assert full.planes[0].shape == (360, 640)
    assert full.planes[1].shape == (180, 320)
    assert int((full.planes[0] > 180).sum()) > 500  # how much depends on the font that is there
    assert int((empty.planes[0] > 180).sum()) == 0


@pytest.mark.parametrize("size", [(128, 96), (176, 144), (1920, 1080), (720, 1280)])
def test_a_slate_fits_every_size(size: tuple[int, int]) -> None:
    card = Painter().slate("A rather long name of a room" * 9, "\n".join(["line " * 40] * 30), *size)
    assert card.planes[0].shape == (size[1], size[0])


def ink(card: text.Card) -> list[int]:
    """The rows that have something bright in them."""
    return sorted(set((card.planes[0] > 150).nonzero()[0].tolist()))


@pytest.mark.parametrize("size", [(128, 96), (176, 144), (352, 288), (640, 360), (1280, 720), (1920, 1080)])
def test_a_slate_has_room_for_what_was_typed(size: tuple[int, int]) -> None:
    painter = Painter()
    words = "There is no such room.\nPlease enter the room number, then press #.\n* clears what you typed"
    shown = [painter.slate("House", words, *size, entry=entry) for entry in (None, "", "1", "12345678", "1" * 60)]
    assert len({bytes(card.planes[0]) for card in shown}) == 5
    for card in shown:
        rows = ink(card)
        assert min(rows) >= size[1] * 0.02
        assert max(rows) <= size[1] * 0.98
        columns = (card.planes[0] > 150).nonzero()[1]
        assert columns.min() >= size[0] * 0.02
        assert columns.max() <= size[0] * 0.98


def test_a_line_that_is_too_wide_is_broken_into_rows_of_about_one_length() -> None:
    painter = Painter()
    words = "The meeting begins as soon as the host is here. Please wait."
    rows = slates.broken(painter, words, 20, 360)
    assert " ".join(rows) == words
    assert len(rows) == 2
    lengths = [painter.length(row, 20) for row in rows]
    assert max(lengths) <= 360
    assert min(lengths) > 0.7 * max(lengths)
    assert slates.broken(painter, words, 20, 2000) == [words]
    unbroken = slates.broken(painter, "x" * 90, 20, 360)
    assert "".join(unbroken) == "x" * 90
    cut = slates.broken(painter, words * 5, 20, 360)
    assert len(cut) == slates.MAX_ROWS
    assert cut[-1].endswith("…")
    assert all(painter.length(row, 20) <= 360 for row in cut)


def test_what_no_font_has_cannot_be_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    assert text.can_draw("Everyone, 100 #")
    assert not text.can_draw("a\U000f1234")
    monkeypatch.setattr(text, "_FALLBACK", ())
    assert not text.can_draw("请")


def test_the_caches_are_bounded() -> None:
    painter = Painter()
    for number in range(max(MAX_CARDS, MAX_LABELS) + 10):
        painter.label(f"{number}", 60, 40)
        painter.initials(f"{number}", 32, 32)
    assert len(painter._labels) == MAX_LABELS
    assert len(painter._cards) == MAX_CARDS


def test_without_any_installed_font_pillows_own_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "_REGULAR", ())
    monkeypatch.setattr(text, "_BOLD", ())
    monkeypatch.setattr(text, "_FALLBACK", ())
    patch = Painter().label("Anna Сергей", 200, 240)
    assert patch.ink[0].max() > 200 * 256


def test_grey_has_no_colour() -> None:
    assert colour((255, 255, 255)) == (235, 128, 128)
    assert colour((0, 0, 0)) == (16, 128, 128)
