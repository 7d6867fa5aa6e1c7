"""Tiles, seats, and who sees what."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import pytest

from transcode.media import Layout, LegId, LegPlan, ViewPlan
from transcode.video.layout import PictureKey, Seating, Tile, places, slides_of, tiles, views

SIZES = [(1280, 720), (1920, 1080), (640, 360), (352, 288), (176, 144), (720, 1280)]


def legs(text: str) -> tuple[LegId, ...]:
    return tuple(LegId(char) for char in text)


def plan(text: str, layout: Layout = Layout.AUTO, **more: Layout) -> ViewPlan:
    named = (LegPlan(leg, f"Name {leg}", layout=more.get(leg)) for leg in legs(text))
    return ViewPlan(tuple(named), layout, "Room", "Hello")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("layout", [Layout.GRID, Layout.ONE_PLUS_FIVE, Layout.ONE_PLUS_SEVEN, Layout.SPEAKER])
@pytest.mark.parametrize("count", range(1, 18))
def test_tiles_are_even_inside_the_picture_and_apart(size: tuple[int, int], layout: Layout, count: int) -> None:
    places = tiles(layout, count, *size)
    assert places
    for tile in places:
        assert not any(value % 2 for value in (tile.x, tile.y, tile.width, tile.height))
        assert tile.width > 0 < tile.height
        assert tile.x >= 0 <= tile.y
        assert tile.x + tile.width <= size[0]
        assert tile.y + tile.height <= size[1]
    for one, other in combinations(places, 2):
        apart_across = one.x + one.width <= other.x or other.x + other.width <= one.x
        apart_down = one.y + one.height <= other.y or other.y + other.height <= one.y
        assert apart_across or apart_down


@pytest.mark.parametrize(
    ("layout", "count", "places"),
    [
        (Layout.GRID, 4, 4),
        (Layout.GRID, 9, 9),
        (Layout.GRID, 30, 16),
        (Layout.ONE_PLUS_FIVE, 9, 6),
        (Layout.ONE_PLUS_SEVEN, 9, 8),
        (Layout.SPEAKER, 9, 1),
    ],
)
def test_a_layout_has_its_number_of_places(layout: Layout, count: int, places: int) -> None:
    assert len(tiles(layout, count, 1280, 720)) == places


def test_a_grid_keeps_the_shape_of_the_picture() -> None:
    for count in range(1, 17):
        for tile in tiles(Layout.GRID, count, 1280, 720):
            assert tile.width / tile.height == pytest.approx(16 / 9, rel=0.02)


def test_four_share_the_picture_in_quarters() -> None:
    assert tiles(Layout.GRID, 4, 1280, 720) == (
        Tile(0, 0, 640, 360),
        Tile(640, 0, 640, 360),
        Tile(0, 360, 640, 360),
        Tile(640, 360, 640, 360),
    )


def test_the_large_tile_of_one_plus_five_takes_four_ninths() -> None:
    large, *small = tiles(Layout.ONE_PLUS_FIVE, 6, 1152, 648)
    assert large == Tile(0, 0, 768, 432)
    assert {(tile.width, tile.height) for tile in small} == {(384, 216)}


def test_auto_is_no_shape() -> None:
    with pytest.raises(ValueError, match="AUTO"):
        tiles(Layout.AUTO, 2, 1280, 720)


def test_alone_one_sees_the_slate() -> None:
    seen = views(plan("a"), legs("a"), Seating())
    assert seen == {LegId("a"): PictureKey(Layout.SPEAKER, (), (), "Room", "Hello")}


def test_two_see_each_other_full_screen() -> None:
    seen = views(plan("ab"), legs("ab"), Seating())
    assert seen[LegId("a")].legs == legs("b")
    assert seen[LegId("b")].legs == legs("a")


@pytest.mark.parametrize("who", ["abc", "abcdefghi"])
def test_from_three_on_all_share_one_grid(who: str) -> None:
    seen = views(plan(who), legs(who), Seating())
    assert set(seen.values()) == {
        PictureKey(Layout.GRID, legs(who), tuple(f"Name {leg}" for leg in who)),
    }


def test_above_nine_all_share_one_plus_seven_with_the_speaker_large() -> None:
    who = "abcdefghij"
    seen = set(views(plan(who), legs(who), Seating(), LegId("d")).values())
    assert len(seen) == 1
    picture = seen.pop()
    assert picture.layout is Layout.ONE_PLUS_SEVEN
    assert picture.legs[0] == LegId("d")
    assert len(picture.legs) == 8


def test_a_viewer_without_camera_sees_the_shared_picture() -> None:
    seen = views(plan("abcx"), legs("abc"), Seating())
    assert seen[LegId("x")] == seen[LegId("a")]
    assert LegId("x") not in seen[LegId("a")].legs


def test_a_third_without_camera_sees_both_who_see_each_other() -> None:
    seen = views(plan("abx"), legs("ab"), Seating())
    assert seen[LegId("x")].legs == legs("ab")
    assert seen[LegId("a")].legs == legs("b")


def test_with_only_phones_one_sees_their_names() -> None:
    seen = views(plan("axy"), legs("a"), Seating())
    assert seen[LegId("a")].legs == legs("xy")
    assert seen[LegId("x")].legs == legs("a")


def test_a_leg_that_is_taken_out_is_not_shown() -> None:
    wanted = ViewPlan((LegPlan(LegId("a"), "A"), LegPlan(LegId("b"), "B", seen=False), LegPlan(LegId("c"), "C")))
    seen = views(wanted, legs("abc"), Seating())
    assert seen[LegId("a")].legs == legs("c")
    assert seen[LegId("b")].legs == legs("ac")


def test_everyone_sees_the_speaker_and_the_speaker_the_one_before() -> None:
    seating = Seating()
    views(plan("abcd", Layout.SPEAKER), legs("abcd"), seating, LegId("b"))
    seen = views(plan("abcd", Layout.SPEAKER), legs("abcd"), seating, LegId("c"))
    assert seen[LegId("c")].legs == legs("b")
    assert all(seen[leg].legs == legs("c") for leg in legs("abd"))


def test_silence_leaves_the_last_speaker() -> None:
    seating = Seating()
    views(plan("abcd", Layout.SPEAKER), legs("abcd"), seating, LegId("b"))
    assert views(plan("abcd", Layout.SPEAKER), legs("abcd"), seating, None)[LegId("a")].legs == legs("b")


def test_a_speaker_who_left_is_followed_by_the_one_before() -> None:
    seating = Seating()
    views(plan("abcd", Layout.SPEAKER), legs("abcd"), seating, LegId("b"))
    views(plan("abcd", Layout.SPEAKER), legs("abcd"), seating, LegId("c"))
    assert views(plan("abd", Layout.SPEAKER), legs("abd"), seating)[LegId("a")].legs == legs("b")


def test_a_leg_may_have_a_layout_of_its_own() -> None:
    seen = views(plan("abcd", c=Layout.SPEAKER), legs("abcd"), Seating(), LegId("a"))
    assert seen[LegId("c")].legs == legs("a")
    assert seen[LegId("d")].legs == legs("abcd")


def test_nobody_jumps_but_the_two_who_change_places() -> None:
    seating, who = Seating(), "abcdef"
    before = views(plan(who, Layout.ONE_PLUS_FIVE), legs(who), seating, LegId("a"))[LegId("a")].legs
    after = views(plan(who, Layout.ONE_PLUS_FIVE), legs(who), seating, LegId("d"))[LegId("a")].legs
    assert before == legs("abcdef")
    assert after == legs("dbcaef")


def test_a_hidden_speaker_takes_the_place_of_who_was_silent_longest() -> None:
    seating, who = Seating(), "abcdefgh"
    for speaker in "abcdf":
        views(plan(who, Layout.ONE_PLUS_FIVE), legs(who), seating, LegId(speaker))
    seen = views(plan(who, Layout.ONE_PLUS_FIVE), legs(who), seating, LegId("h"))[LegId("a")].legs
    assert seen[0] == LegId("h")
    assert LegId("e") not in seen
    assert LegId("f") in seen


def test_a_speaker_is_in_the_largest_grid_too() -> None:
    who = "abcdefghijklmnopqrst"
    seen = views(plan(who, Layout.GRID), legs(who), Seating(), LegId("t"))[LegId("a")].legs
    assert len(seen) == 16
    assert seen[-1] == LegId("t")


def test_who_comes_sits_down_last_and_who_leaves_moves_nobody_before() -> None:
    seating = Seating()
    seating.update(legs("abc"))
    seating.update(legs("xabc"))
    assert seating.grid == legs("abcx")
    seating.update(legs("xac"))
    assert seating.grid == legs("acx")


def test_in_an_echo_room_each_sees_itself_with_the_slates_text() -> None:
    echo = replace(plan("ab"), echo=True)
    seen = views(echo, legs("ab"), Seating(), None)
    assert seen == {leg: PictureKey(Layout.SPEAKER, (leg,), (f"Name {leg}",), text="Hello") for leg in legs("ab")}


def test_only_viewers_get_a_view_where_they_are_named() -> None:
    everybody = views(plan("abc"), legs("ab"), Seating())
    seen = views(plan("abc"), legs("ab"), Seating(), viewers=set(legs("c")))
    assert seen == {LegId("c"): everybody[LegId("c")]}


def presenting(text: str, presenter: str) -> ViewPlan:
    return replace(plan(text), presenter=LegId(presenter))


def test_slides_go_to_second_streams_and_into_the_picture_of_the_others() -> None:
    slides = slides_of(LegId("a"))
    sources = {*legs("abc"), slides}
    seen = views(
        presenting("abcd", "a"), sources, Seating(), LegId("b"), {*legs("abcd"), slides_of(LegId("b")), slides}
    )
    assert seen[slides_of(LegId("b"))] == PictureKey(Layout.SPEAKER, (slides,), ("Name a",))
    assert seen[LegId("a")].legs == seen[LegId("b")].legs == legs("abc")
    assert seen[LegId("c")] == seen[LegId("d")]
    assert seen[LegId("c")].slides
    assert seen[LegId("c")].legs == (slides, *legs("bac"))
    assert slides not in seen


def test_slides_are_seen_alone_where_nobody_else_has_a_picture() -> None:
    slides = slides_of(LegId("a"))
    seen = views(presenting("abc", "a"), {slides, LegId("b")}, Seating())
    assert seen[LegId("b")] == PictureKey(Layout.SPEAKER, (slides,), ("Name a",))
    assert seen[LegId("c")].legs == (slides, LegId("b"))


def test_who_wants_no_slides_sees_people_but_for_a_second_stream() -> None:
    slides = slides_of(LegId("a"))
    meeting = presenting("abcd", "a")
    wants_none = replace(meeting, legs=tuple(replace(leg, slides=leg.leg not in ("c", "b")) for leg in meeting.legs))
    sources = {*legs("abcd"), slides}
    people = views(plan("abcd"), legs("abcd"), Seating())
    seen = views(wants_none, sources, Seating(), viewers={*legs("abcd"), slides_of(LegId("b"))})
    assert seen[LegId("c")] == people[LegId("c")]
    assert seen[LegId("d")].slides
    assert seen[slides_of(LegId("b"))].legs == (slides,)


def test_before_slides_come_and_when_the_presenter_is_gone_people_are_seen() -> None:
    for one in (presenting("abc", "a"), presenting("abc", "x")):
        sources = set(legs("abc")) | {slides_of(LegId("x"))}
        assert views(one, sources, Seating()) == views(plan("abc"), set(legs("abc")), Seating())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("count", range(2, 8))
def test_slides_stand_large_with_people_down_the_side(size: tuple[int, int], count: int) -> None:
    key = PictureKey(Layout.SPEAKER, legs("abcdefg")[:count], ("",) * count, slides=True)
    large, *small = places(key, *size)
    assert len(small) == min(count, 5) - 1
    for tile in (large, *small):
        assert not any(value % 2 for value in (tile.x, tile.y, tile.width, tile.height))
        assert tile.x >= 0 <= tile.y
        assert tile.x + tile.width <= size[0]
        assert tile.y + tile.height <= size[1]
    assert large.width >= 0.75 * size[0]
    assert all(tile.x >= large.x + large.width and tile.height * 4 == large.height for tile in small)


def test_a_notice_is_over_what_its_leg_sees_and_over_nothing_else() -> None:
    bare = views(plan("abc"), legs("abc"), Seating())
    first, *rest = plan("abc").legs
    seen = views(replace(plan("abc"), legs=(replace(first, notice="Muted"), *rest)), legs("abc"), Seating())
    assert seen[LegId("a")] == replace(bare[LegId("a")], notice="Muted")
    assert seen[LegId("a")].scene == bare[LegId("a")]
    assert seen[LegId("b")] == seen[LegId("c")] == bare[LegId("b")]


def test_the_slate_has_what_was_typed() -> None:
    seen = views(replace(plan("a"), entry="12"), (), Seating())
    assert seen == {LegId("a"): PictureKey(Layout.SPEAKER, (), (), "Room", "Hello", entry="12")}
    assert views(replace(plan("ab"), entry="12"), legs("ab"), Seating())[LegId("a")].entry is None


# the spotlight


def spotlit(text: str, who: str, layout: Layout = Layout.AUTO) -> ViewPlan:
    return replace(plan(text, layout), spotlight=LegId(who))


@pytest.mark.parametrize("layout", [Layout.AUTO, Layout.GRID, Layout.ONE_PLUS_FIVE])
def test_who_stands_in_the_spotlight_is_large_whoever_speaks(layout: Layout) -> None:
    seating, who = Seating(), "abcd"
    for speaker in ("d", "a", None, "b"):
        seen = views(spotlit(who, "c", layout), legs(who), seating, speaker and LegId(speaker))
        assert len(set(seen.values())) == 1
        picture = seen[LegId("a")]
        assert picture.layout is Layout.ONE_PLUS_FIVE
        assert picture.legs[0] == "c"
        assert set(picture.legs) == set(who)


def test_nobody_moves_while_the_others_of_a_spotlight_speak() -> None:
    seating, who = Seating(), "abcdef"
    first = views(spotlit(who, "c"), legs(who), seating, LegId("a"))[LegId("a")].legs
    for speaker in "bdefa":
        assert views(spotlit(who, "c"), legs(who), seating, LegId(speaker))[LegId("a")].legs == first


def test_who_speaks_beside_the_spotlight_comes_in_from_beyond_the_seats() -> None:
    seating, who = Seating(), "abcdefghijkl"
    views(spotlit(who, "c"), legs(who), seating, LegId("a"))
    seen = views(spotlit(who, "c"), legs(who), seating, LegId("l"))[LegId("a")]
    assert (seen.layout, seen.legs[0]) == (Layout.ONE_PLUS_SEVEN, "c")
    assert {"l", "a"} <= set(seen.legs)


def test_the_one_in_the_spotlight_sees_who_speaks_where_there_is_one_picture() -> None:
    seating, who = Seating(), "abcd"
    for speaker in "abd":
        seen = views(spotlit(who, "c", Layout.SPEAKER), legs(who), seating, LegId(speaker))
        assert seen[LegId("c")].legs == (speaker,)
        assert {seen[leg].legs for leg in legs("abd")} == {("c",)}


def test_a_spotlight_on_somebody_without_a_picture_changes_nothing() -> None:
    for who in ("abc", "ab"):
        plain = views(plan("abcx"), legs(who), Seating(), LegId("a"))
        assert views(spotlit("abcx", "x"), legs(who), Seating(), LegId("a")) == plain


def test_two_alone_see_each_other_in_any_light() -> None:
    seen = views(spotlit("ab", "a"), legs("ab"), Seating(), LegId("b"))
    assert (seen[LegId("a")].legs, seen[LegId("b")].legs) == (("b",), ("a",))


def test_when_the_spotlight_goes_out_the_speaker_has_its_place() -> None:
    seating, who = Seating(), "abcd"
    views(spotlit(who, "c", Layout.ONE_PLUS_FIVE), legs(who), seating, LegId("b"))
    seen = views(plan(who, Layout.ONE_PLUS_FIVE), legs(who), seating, LegId("b"))
    assert seen[LegId("a")].legs[0] == "b"
