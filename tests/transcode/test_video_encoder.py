"""Encoders: what comes out can be decoded, keeps its bounds, and changes without a key frame where it can."""

from __future__ import annotations

from itertools import pairwise

import av
import pytest
from video_samples import Screen, coded, key, moving, picture

from transcode.media import Codec
from transcode.payload.h264_sps import parse_sps, split_annexb
from transcode.video.encoder import BUCKETS, Encoder, bucket, coded_size
from transcode.video.layout import Layout, PictureKey
from transcode.video.limits import canonical, fit, fitting_level, parse_profile

CODECS = [Codec.H264, Codec.VP8, Codec.H263, Codec.H263P, Codec.H261]


def run(encoder: Encoder, count: int, keys: tuple[int, ...] = (0,), start: int = 0) -> list[int]:
    """Encode moving pictures; return the octets of each."""
    out = []
    for number in range(start, start + count):
        size = encoder.key.width, encoder.key.height
        frame = encoder.encode(moving(number, *size), 50 + number / 30, number in keys)
        out.append(0 if frame is None else len(frame.data))
    return out


@pytest.mark.parametrize("codec", CODECS)
def test_each_codec_is_decoded_to_what_was_encoded(codec: Codec) -> None:
    screen = Screen()
    for frame in coded(codec, 6, 352, 288):
        screen(frame)
    assert screen.last is not None
    assert (screen.last.width, screen.last.height) == (352, 288)
    seen = screen.last.reformat(format="gray").to_ndarray().astype(int)
    sent = moving(5, 352, 288).reformat(format="gray").to_ndarray().astype(int)
    assert abs(seen - sent).mean() < 12


@pytest.mark.parametrize("codec", CODECS)
def test_key_frames_come_when_asked_for_and_only_then(codec: Codec) -> None:
    encoder = Encoder(key(codec, 352, 288))
    made = [encoder.encode(moving(n, 352, 288), n / 30, n in (0, 7)) for n in range(15)]
    assert [n for n, frame in enumerate(made) if frame is not None and frame.key] == [0, 7]
    assert encoder.key_frames == 2
    assert encoder.frames == 15


def test_timestamps_follow_the_clock_in_90_khz_and_always_move_on() -> None:
    encoder = Encoder(key())
    times = [1000.0, 1000.0 + 1 / 30, 1000.1, 1000.1, 1000.05, 1000.2]
    stamps = [frame.timestamp for at in times if (frame := encoder.encode(moving(0), at)) is not None]
    assert stamps[:3] == [90_000_000, 90_003_000, 90_009_000]
    assert all(after > before for before, after in pairwise(stamps))
    assert stamps[-1] == 90_018_000


def test_a_clock_that_ran_for_long_is_encoded() -> None:
    encoder = Encoder(key(Codec.VP8))
    frame = encoder.encode(moving(0), 3e8)
    assert frame is not None
    assert frame.timestamp == round(3e8 * 90_000) & 0xFFFFFFFF


def test_parameter_sets_stand_before_each_key_frame() -> None:
    encoder = Encoder(key())
    for number in range(3):
        frame = encoder.encode(moving(number), number / 30, True)
        assert frame is not None
        kinds = [nal[0] & 0x1F for nal in split_annexb(frame.data)]
        assert kinds.index(7) < kinds.index(8) < kinds.index(5)
        assert frame.data.startswith(b"\x00\x00\x00\x01")


@pytest.mark.parametrize(
    ("profile", "head"), [("42e01f", (66, 0x40)), ("4d001f", (77, 0x40)), ("64001f", (100, 0)), ("bad", (66, 0x40))]
)
def test_the_stream_has_the_negotiated_profile_and_no_b_frames(profile: str, head: tuple[int, int]) -> None:
    encoder = Encoder(key(profile=profile))
    screen = Screen()
    for number in range(5):
        frame = encoder.encode(moving(number), number / 30)
        assert frame is not None
        screen(frame)
    sps = next(parse_sps(nal) for nal in split_annexb(screen.frames[0].data) if nal[0] & 0x1F == 7)
    assert (sps.profile, sps.constraints & 0x40) == head
    assert sps.reference_frames == 1


@pytest.mark.parametrize(
    ("profile", "size", "level"),
    [("42e01f", (1280, 720), 31), ("42e028", (1280, 720), 31), ("42e00d", (352, 288), 13), ("42e00c", (352, 288), 12)],
)
def test_the_level_fits_what_was_negotiated(profile: str, size: tuple[int, int], level: int) -> None:
    encoder = Encoder(key(width=size[0], height=size[1], profile=profile))
    frame = encoder.encode(moving(0, *size), 0.0)
    assert frame is not None
    sps = next(parse_sps(nal) for nal in split_annexb(frame.data) if nal[0] & 0x1F == 7)
    assert sps.level == level


def test_slices_keep_within_the_packet_of_a_mode_0_receiver() -> None:
    encoder = Encoder(key(width=640, height=360, slice_size=1200, bit_rate=2_048_000))
    for number in range(8):
        frame = encoder.encode(moving(number, 640, 360), number / 30, number == 0)
        assert frame is not None
        slices = [nal for nal in split_annexb(frame.data) if nal[0] & 0x1F in (1, 5)]
        assert len(slices) > 1
        assert max(map(len, slices)) <= 1200


@pytest.mark.parametrize("codec", CODECS)
def test_the_bit_rate_is_kept(codec: Codec) -> None:
    encoder = Encoder(key(codec, 352, 288, bit_rate=256_000))
    sizes = run(encoder, 90)
    assert 0.5 * 256_000 < 8 * sum(sizes[30:]) / 2 < 1.4 * 256_000


def test_h264_follows_a_lower_bit_rate_without_a_key_frame() -> None:
    encoder = Encoder(key(width=640, height=360, bit_rate=1_024_000))
    before = sum(run(encoder, 60)[30:]) * 8
    assert encoder.adopt(key(width=640, height=360, bit_rate=256_000))
    after = sum(run(encoder, 60, start=60)[30:]) * 8
    assert encoder.adopt(key(width=640, height=360, bit_rate=768_000))
    again = sum(run(encoder, 60, start=120)[30:]) * 8
    assert encoder.key_frames == 1
    assert before > 700_000
    assert after < 350_000
    assert 500_000 < again < 950_000


def test_what_an_encoder_cannot_become_it_refuses() -> None:
    encoder = Encoder(key(bit_rate=512_000))
    assert not encoder.adopt(key(bit_rate=768_000))
    assert not encoder.adopt(key(width=640, height=360))
    assert not encoder.adopt(key(slice_size=1200))
    assert encoder.adopt(key(picture=PictureKey(Layout.GRID, (), ())))
    old = Encoder(key(Codec.VP8))
    assert not old.adopt(key(Codec.VP8, bit_rate=256_000))


def test_a_key_frame_of_vp8_is_bounded() -> None:
    encoder = Encoder(key(Codec.VP8, 1280, 720, bit_rate=1_024_000))
    assert max(run(encoder, 3)) < 0.5 * 1_024_000 / 8


def test_the_picture_is_not_changed_by_encoding() -> None:
    frame = picture((81, 90, 240)).frame
    before = bytes(frame.planes[0])
    Encoder(key()).encode(frame, 0.0)
    assert bytes(frame.planes[0]) == before


def test_sizes_that_an_old_codec_does_not_have_are_refused() -> None:
    with pytest.raises((ValueError, av.error.FFmpegError)):
        Encoder(key(Codec.H261, 640, 360))
    with pytest.raises(ValueError, match="opus"):
        Encoder(key(Codec.OPUS))


@pytest.mark.parametrize(
    ("codec", "asked", "given"),
    [
        (Codec.H264, (1281, 721), (1280, 720)),
        (Codec.H263, (1280, 720), (704, 576)),
        (Codec.H263P, (640, 480), (352, 288)),
        (Codec.H261, (1280, 720), (352, 288)),
        (Codec.H261, (100, 100), (176, 144)),
        (Codec.H263, (10, 10), (128, 96)),
    ],
)
def test_a_codec_gets_a_size_that_it_has(codec: Codec, asked: tuple[int, int], given: tuple[int, int]) -> None:
    assert coded_size(codec, *asked) == given


@pytest.mark.parametrize(
    ("path", "rate"),
    [(0, 48_000), (64_000, 64_000), (1_500_000, 1_024_000), (2_000_000, 1_536_000), (10**9, BUCKETS[-1])],
)
def test_a_bucket_is_never_more_than_the_path_takes(path: int, rate: int) -> None:
    assert bucket(path) == rate


def test_profiles_are_read_as_rfc_6184_writes_them() -> None:
    assert parse_profile("42e01f") == ("baseline", 31)
    assert parse_profile("64001F") == ("high", 31)
    assert parse_profile("4d400b") == ("main", 11)
    assert parse_profile("42f00b") == ("baseline", 10)  # level 1b
    assert parse_profile("") == parse_profile("zz") == parse_profile("420000ff") == ("baseline", 31)


def test_receivers_of_higher_levels_meet_in_one_stream() -> None:
    streams = {canonical(profile, 1280, 720, 30, 1_536_000) for profile in ("42e01f", "42801f", "42c034", "420028")}
    assert streams == {"42e01f"}
    assert fitting_level("42e034", 1920, 1080, 30, 4_096_000) == ("baseline", 40)


@pytest.mark.parametrize(
    ("profile", "given"),
    [("42e01f", (1280, 720, 30)), ("42e01e", (640, 360, 30)), ("42e00d", (352, 288, 30)), ("42e00a", (176, 144, 15))],
)
def test_a_low_level_gets_a_smaller_picture(profile: str, given: tuple[int, int, int]) -> None:
    assert fit(profile, 1280, 720, 30) == given
