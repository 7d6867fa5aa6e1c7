"""Which streams are encoded for whom."""

from __future__ import annotations

from dataclasses import replace

from video_samples import key

from transcode.media import Codec, Layout, LegId
from transcode.video.layout import PictureKey
from transcode.video.streams import Move, Viewer, moves, wanted_streams

A, B, C = (LegId(name) for name in "abc")
ONE, TWO = (PictureKey(Layout.GRID, (A, B, C), names) for names in (("1",), ("2",)))


def viewer(codec: Codec = Codec.H264, profile: str = "42e01f", **more: int | None) -> Viewer:
    values = {"width": 1280, "height": 720, "frame_rate": 30, "bit_rate": 1_600_000, "slice_size": None} | more
    return Viewer(codec, profile, sink=print, **values)  # type: ignore[arg-type]


def test_equal_viewers_of_one_picture_share_one_stream() -> None:
    viewers = {A: viewer(), B: viewer(profile="428028"), C: viewer(bit_rate=1_900_000)}
    assert len(set(wanted_streams(viewers, dict.fromkeys(viewers, ONE)).values())) == 1


def test_what_differs_is_a_stream_of_its_own() -> None:
    viewers = {A: viewer(), B: viewer(Codec.VP8, ""), C: viewer(bit_rate=300_000)}
    assert len(set(wanted_streams(viewers, dict.fromkeys(viewers, ONE)).values())) == 3
    assert len(set(wanted_streams({A: viewer(), B: viewer()}, {A: ONE, B: TWO}).values())) == 2


def test_a_receiver_of_small_nal_units_shares_with_the_others() -> None:
    viewers = {A: viewer(), B: viewer(slice_size=1200), C: viewer(slice_size=1100)}
    streams = set(wanted_streams(viewers, dict.fromkeys(viewers, ONE)).values())
    assert {stream.slice_size for stream in streams} == {1100}
    assert len(streams) == 1


def test_a_viewer_that_sees_nothing_gets_no_stream() -> None:
    assert wanted_streams({A: viewer()}, {}) == {}


def test_sizes_and_rates_are_bounded() -> None:
    wild = viewer(Codec.VP8, "", width=9999, height=9999, frame_rate=500, bit_rate=10**9)
    stream = wanted_streams({A: wild}, {A: ONE})[A]
    assert stream.width * stream.height <= 1920 * 1088
    assert stream.frame_rate == 30
    tiny = wanted_streams({A: viewer(Codec.VP8, "", width=0, height=-5, frame_rate=0, bit_rate=0)}, {A: ONE})[A]
    assert min(tiny.width, tiny.height) >= 96


def test_an_old_terminal_gets_a_source_format() -> None:
    stream = wanted_streams({A: viewer(Codec.H261, "")}, {A: ONE})[A]
    assert (stream.width, stream.height, stream.profile) == (352, 288, "")


def test_a_stream_that_is_still_wanted_goes_on() -> None:
    one = key()
    assert moves({one: {A, B}}, {A: one, B: one}) == [Move(one, one, False)]
    assert moves({one: {A, B}}, {A: one}) == [Move(one, one, False)]
    assert moves({one: {A}}, {A: one, B: one}) == [Move(one, one, True)]


def test_a_new_picture_goes_over_with_a_key_frame() -> None:
    one = key()
    two = replace(one, picture=TWO)
    assert moves({one: {A, B}}, {A: two, B: two}) == [Move(one, two, True)]


def test_a_new_bit_rate_goes_over_without_one() -> None:
    one = key()
    two = replace(one, bit_rate=256_000)
    assert moves({one: {A, B}}, {A: two, B: two}) == [Move(one, two, False)]
    assert moves({one: {A, B}}, {A: one, B: two}) == [Move(one, one, False), Move(None, two, True)]


def test_an_encoder_goes_where_most_of_its_viewers_go() -> None:
    one, other = key(), replace(key(), bit_rate=256_000)
    new = replace(one, picture=TWO)
    made = moves({one: {A, B}, other: {C}}, {A: new, B: new, C: new})
    assert made == [Move(one, new, True)]


def test_one_encoder_goes_over_to_one_stream_only() -> None:
    one = key()
    wanted = {A: replace(one, picture=TWO), B: replace(one, bit_rate=256_000)}
    made = moves({one: {A, B}}, wanted)
    assert [move.before for move in made].count(one) == 1
    assert len(made) == 2


def test_other_codecs_need_a_new_encoder() -> None:
    assert moves({key(): {A}}, {A: key(Codec.VP8)}) == [Move(None, key(Codec.VP8), True)]
