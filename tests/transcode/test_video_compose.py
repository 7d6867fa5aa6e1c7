"""Composing: the right picture in the right place, and no work that is not needed."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from video_samples import BLUE, GREEN, GREY, RED, colour_at, flat, near, picture

from transcode.media import Layout, LegId
from transcode.video.compose import Compositor, planes
from transcode.video.layout import PictureKey
from transcode.video.slates import ACCENT
from transcode.video.text import BACKGROUND, Painter, colour

A, B, C, D = (LegId(name) for name in "ABCD")
BLACK = colour(BACKGROUND)


def grid(*legs: LegId, layout: Layout = Layout.GRID, names: bool = False) -> PictureKey:
    return PictureKey(layout, legs, tuple(str(leg) if names else "" for leg in legs))


def compositor(width: int = 1280, height: int = 720) -> Compositor:
    return Compositor(width, height, Painter())


def test_each_source_is_in_its_tile() -> None:
    pictures = {A: picture(RED), B: picture(GREEN), C: picture(BLUE), D: picture(GREY)}
    frame = compositor().compose(grid(A, B, C, D, names=True), pictures, None).frame
    assert near(colour_at(frame, 0.25, 0.25), RED, 2)
    assert near(colour_at(frame, 0.75, 0.25), GREEN, 2)
    assert near(colour_at(frame, 0.25, 0.75), BLUE, 2)
    assert near(colour_at(frame, 0.75, 0.75), GREY, 2)


def test_a_tall_picture_gets_bars_at_its_sides() -> None:
    frame = compositor().compose(grid(A), {A: picture(RED, 360, 640)}, None).frame
    assert near(colour_at(frame, 0.5, 0.5), RED, 2)
    assert near(colour_at(frame, 0.5, 0.01), RED, 2)
    assert near(colour_at(frame, 0.2, 0.5), BLACK, 1)
    assert near(colour_at(frame, 0.8, 0.5), BLACK, 1)


def test_a_wide_picture_gets_bars_above_and_below() -> None:
    frame = compositor().compose(grid(A), {A: picture(RED, 640, 180)}, None).frame
    assert near(colour_at(frame, 0.01, 0.5), RED, 2)
    assert near(colour_at(frame, 0.5, 0.1), BLACK, 1)
    assert near(colour_at(frame, 0.5, 0.9), BLACK, 1)


def test_the_shape_of_pixels_counts() -> None:
    cif = picture(RED, 352, 288, aspect=Fraction(12, 11))
    frame = compositor().compose(grid(A), {A: cif}, None).frame
    columns = [near(colour_at(frame, x / 1280, 0.5), RED, 2) for x in range(0, 1280, 2)]
    assert sum(columns) * 2 == pytest.approx(960, abs=6)  # 4:3 of 720 lines
    wide = compositor(352, 288).compose(grid(A), {A: picture(RED, 1280, 720)}, None).frame
    rows = [near(colour_at(wide, 0.5, y / 288), RED, 2) for y in range(288)]
    assert sum(rows) == pytest.approx(216, abs=4)  # 16:9 in a picture that is shown as 4:3


def test_only_what_has_a_new_picture_is_scaled_again() -> None:
    one = compositor()
    pictures = {A: picture(RED), B: picture(GREEN), C: picture(BLUE)}
    assert one.compose(grid(A, B, C), pictures, None).changed
    assert one.scaled == 3
    again = one.compose(grid(A, B, C), pictures, None)
    assert not again.changed
    assert again.arrivals == ()
    pictures[B] = picture(GREY, serial=2)
    third = one.compose(grid(A, B, C), pictures, None)
    assert third.changed
    assert third.frame is again.frame
    assert third.arrivals == (2.0,)
    assert one.scaled == 4
    assert near(colour_at(third.frame, 0.75, 0.25), GREY, 2)


def test_a_full_screen_picture_of_the_right_size_is_not_copied() -> None:
    source = picture(RED, 1280, 720)
    result = compositor().compose(grid(A), {A: source}, None)
    assert result.frame is source.frame
    assert result.arrival == 1.0


def test_a_full_screen_picture_of_the_same_shape_is_scaled_once() -> None:
    one, source = compositor(), picture(RED, 640, 360)
    first = one.compose(grid(A), {A: source}, None)
    assert (first.frame.width, first.frame.height) == (1280, 720)
    assert not one.compose(grid(A), {A: source}, None).changed
    assert one.scaled == 1


def test_the_source_is_never_written_to() -> None:
    one, source = compositor(), picture(RED, 1280, 720)
    before = [view.copy() for view in planes(source.frame)]
    one.compose(grid(A, names=True), {A: source}, A)
    one.compose(grid(A, B, names=True), {A: source, B: picture(GREEN)}, A)
    one.compose(grid(), {}, None)
    assert all((view == old).all() for view, old in zip(planes(source.frame), before, strict=True))


def test_who_has_no_picture_is_shown_by_initials() -> None:
    one = compositor()
    frame = one.compose(grid(A, B, names=True), {A: picture(RED)}, None).frame
    assert int((planes(frame)[0][300:420, 900:1020] > 200).sum()) > 200
    assert near(colour_at(frame, 0.25, 0.5), RED, 2)
    frame = one.compose(grid(A, B, names=True), {A: picture(RED), B: picture(GREEN)}, None).frame
    assert near(colour_at(frame, 0.75, 0.5), GREEN, 2)


def test_the_speaker_is_framed_and_nobody_else() -> None:
    one, pictures = compositor(), {A: picture(RED), B: picture(GREEN), C: picture(BLUE)}
    frame = one.compose(grid(A, B, C), pictures, B).frame
    assert near(colour_at(frame, 0.75, 0.001), colour(ACCENT), 2)
    assert near(colour_at(frame, 0.25, 0.001), BLACK, 2)
    assert one.scaled == 3
    result = one.compose(grid(A, B, C), pictures, A)
    assert result.changed
    assert one.scaled == 3
    assert near(colour_at(result.frame, 0.25, 0.001), colour(ACCENT), 2)
    assert near(colour_at(result.frame, 0.75, 0.001), BLACK, 2)


def test_names_are_written_on_tiles() -> None:
    pictures = {A: picture(RED), B: picture(GREEN)}
    bare = planes(compositor().compose(grid(A, B), pictures, None).frame)[0].copy()
    named = planes(compositor().compose(grid(A, B, names=True), pictures, None).frame)[0]
    changed = (bare != named).nonzero()
    assert changed[0].size > 500
    assert changed[0].min() > 360  # in the lower half of the picture


def test_nothing_of_the_last_picture_is_left() -> None:
    one = compositor()
    one.compose(grid(A, B, C, D), {leg: picture(RED) for leg in (A, B, C, D)}, A)
    frame = one.compose(grid(A, layout=Layout.SPEAKER), {A: picture(GREEN, 360, 640)}, None).frame
    assert near(colour_at(frame, 0.05, 0.05), BLACK, 1)
    slate = one.compose(PictureKey(Layout.SPEAKER, (), (), "Room", "Hello"), {}, None)
    assert slate.changed
    assert colour_at(slate.frame, 0.5, 0.97)[0] < 40
    assert not one.compose(PictureKey(Layout.SPEAKER, (), (), "Room", "Hello"), {}, None).changed


def test_one_picture_to_a_whole_and_back_to_bars() -> None:
    one = compositor()
    one.compose(grid(A), {A: picture(RED, 1280, 720, 1)}, None)
    tall = one.compose(grid(A), {A: picture(GREEN, 360, 640, 2)}, None)
    assert near(colour_at(tall.frame, 0.5, 0.5), GREEN, 2)
    whole = one.compose(grid(A), {A: picture(BLUE, 1280, 720, 3)}, None)
    assert near(colour_at(whole.frame, 0.01, 0.5), BLUE, 2)
    gone = one.compose(grid(A), {}, None)
    assert gone.changed
    assert not near(colour_at(gone.frame, 0.01, 0.5), BLUE, 20)


@pytest.mark.parametrize("size", [(353, 288), (0, 16), (4096, 2304)])
def test_sizes_that_cannot_be_composed_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="no size"):
        compositor(*size)


@pytest.mark.parametrize("size", [(96, 96), (128, 96), (1920, 1080)])
@pytest.mark.parametrize("layout", [Layout.GRID, Layout.ONE_PLUS_FIVE, Layout.ONE_PLUS_SEVEN])
def test_every_layout_is_composed_in_every_size(size: tuple[int, int], layout: Layout) -> None:
    legs = tuple(LegId(f"leg {number}") for number in range(16))
    pictures = {leg: picture(RED, 355, 201) for leg in legs[::2]}
    one = compositor(*size)
    assert one.compose(grid(*legs, layout=layout, names=True), pictures, legs[0]).changed
    assert (one.compose(grid(*legs, layout=layout, names=True), pictures, None).frame.width) == size[0]


def test_planes_are_views_of_the_frame() -> None:
    frame = flat(RED, 176, 144)
    y, u, v = planes(frame)
    assert (y.shape, u.shape, v.shape) == ((144, 176), (72, 88), (72, 88))
    y[5, 7] = 200
    assert planes(frame)[0][5, 7] == 200


def test_a_picture_with_a_text_has_it_written_at_its_foot_in_each_new_picture() -> None:
    one = compositor()
    key = PictureKey(Layout.SPEAKER, (A,), ("Ann",), text="This is you")
    for serial, shade in ((1, RED), (2, GREEN)):
        frame = one.compose(key, {A: picture(shade, 1280, 720, serial=serial)}, None).frame
        assert near(colour_at(frame, 0.5, 0.5), shade, 2)
        foot = planes(frame)[0][650:715, 10:300]
        assert foot.max() > 200  # white letters
        assert foot.min() < shade[0] - 10  # on a bar
    plain = one.compose(PictureKey(Layout.SPEAKER, (A,), ("Ann",)), {A: picture(GREEN, 1280, 720, serial=3)}, None)
    assert near(colour_at(plain.frame, 0.05, 0.95), GREEN, 2)


def test_a_notice_leaves_the_picture_below_it_as_it_is() -> None:
    one, noticed = compositor(), replace(grid(A, B), notice="You are muted")
    pictures = {A: picture(RED), B: picture(GREEN)}
    bare = planes(compositor().compose(grid(A, B), pictures, None).frame)[0].copy()
    over = planes(one.compose(noticed, pictures, None).frame)[0].copy()
    rows = (bare != over).nonzero()[0]
    assert rows.min() > 10
    assert rows.max() < 180  # above the faces
    assert not one.compose(noticed, pictures, None).changed
    pictures[A] = picture(BLUE, serial=2)
    again = one.compose(noticed, pictures, None)
    assert again.changed
    assert near(colour_at(again.frame, 0.25, 0.5), BLUE, 2)
    assert planes(again.frame)[0][rows.min() : rows.max()].max() > 200
    other = one.compose(replace(noticed, notice="Go"), pictures, None)
    assert other.changed
    back = one.compose(grid(A, B), pictures, None)
    assert back.changed
    fresh = compositor().compose(grid(A, B), pictures, None)
    assert (planes(back.frame)[0] == planes(fresh.frame)[0]).all()


def test_a_notice_over_one_whole_picture_does_not_touch_the_source() -> None:
    source = picture(RED, 1280, 720)
    before = planes(source.frame)[0].copy()
    frame = compositor().compose(replace(grid(A), notice="Hello"), {A: source}, None).frame
    assert planes(frame)[0].max() > 200
    assert (planes(source.frame)[0] == before).all()


@pytest.mark.parametrize("size", [(96, 96), (128, 96), (176, 144), (352, 288), (1920, 1080), (720, 1280)])
def test_a_notice_fits_every_size(size: tuple[int, int]) -> None:
    for notice in ("Muted", "word " * 60, "名" * 100, "x" * 200):
        assert compositor(*size).compose(replace(grid(A), notice=notice), {}, None).changed
