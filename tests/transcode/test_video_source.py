"""Decoding one leg: order, delay, bounds, damage and what is asked of the peer."""

from __future__ import annotations

import random
from dataclasses import replace
from fractions import Fraction

import av
import pytest
from test_video_sizes import SPS_4096
from video_samples import VirtualPool, coded, moving

from transcode.frames import EncodedFrame
from transcode.media import Codec, LegId
from transcode.video.source import MAX_QUEUE, PATIENCE, VideoSource

LEG = LegId("a")
SEED = 20_240_611


class Bench:
    """A source on a virtual clock, and all that it said."""

    def __init__(self, codec: Codec = Codec.H264) -> None:
        self.pool = VirtualPool()
        self.sizes: list[tuple[int, int]] = []
        self.refused: list[tuple[int, int]] = []
        self.source = VideoSource(
            LEG,
            codec,
            self.pool,
            lambda _, width, height: self.sizes.append((width, height)),
            lambda _, width, height: self.refused.append((width, height)),
        )

    def feed(self, *frames: EncodedFrame, step: float = 1 / 30) -> None:
        for frame in frames:
            self.source.feed(frame)
            self.pool.advance(step)


def h264(profile: str, count: int = 12) -> list[EncodedFrame]:
    """A stream of a profile as other encoders make it: several references, no B frames."""
    context = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt = 320, 180, "yuv420p"
    context.time_base, context.framerate = Fraction(1, 30), Fraction(30, 1)
    context.max_b_frames = 0
    context.options = {
        "preset": "medium",
        "profile": profile,
        "x264-params": "bframes=0:rc-lookahead=0",
    }
    context.thread_count = 1
    out = []
    for number in range(count):
        frame = moving(number)
        frame.pts, frame.time_base = number, Fraction(1, 30)
        out += context.encode(frame)
    out += context.encode(None)
    return [EncodedFrame(Codec.H264, bytes(one), n * 3000, one.is_keyframe) for n, one in enumerate(out)]


@pytest.mark.parametrize("profile", ["baseline", "main", "high"])
def test_h264_gives_each_picture_out_at_once(profile: str) -> None:
    bench = Bench()
    for number, frame in enumerate(h264(profile), 1):
        bench.feed(frame)
        assert bench.source.statistics.pictures == number
    assert bench.source.statistics.errors == 0


@pytest.mark.parametrize("codec", [Codec.H264, Codec.VP8, Codec.H263, Codec.H263P, Codec.H261])
def test_every_codec_gives_each_picture_out_at_once(codec: Codec) -> None:
    bench = Bench(codec)
    for number, frame in enumerate(coded(codec, 6, 352, 288), 1):
        bench.feed(frame)
        assert bench.source.statistics.pictures == number
        assert bench.source.latest is not None
        assert bench.source.latest.arrival == frame.arrival
    assert bench.sizes == [(352, 288)]
    assert bench.source.latest is not None
    assert bench.source.latest.aspect == Fraction(12, 11) or codec is Codec.VP8
    assert not bench.source.needs_key_frame


def test_a_codec_that_is_none_of_video_is_refused() -> None:
    with pytest.raises(ValueError, match="opus"):
        VideoSource(LEG, Codec.OPUS, VirtualPool(), print)


def test_a_claim_of_4096x2304_is_refused_before_decoding() -> None:
    bench = Bench()
    good = coded(Codec.H264)
    huge = EncodedFrame(Codec.H264, SPS_4096 + good[0].data, 0, True)
    bench.feed(huge, huge, good[1])
    assert bench.refused == [(4096, 2304)]
    assert bench.source.statistics.refused == 3
    assert bench.source.latest is None
    assert bench.source._decoder is None
    bench.feed(good[0])
    assert bench.sizes == [(320, 180)]


def test_a_huge_picture_that_slips_by_is_refused_by_the_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transcode.video.source.picture_size", lambda codec, data: None)
    context = av.CodecContext.create("libvpx", "w")
    context.width, context.height, context.pix_fmt, context.time_base = 2048, 1200, "yuv420p", Fraction(1, 30)
    context.options = {"deadline": "realtime", "cpu-used": "-16", "lag-in-frames": "0"}
    frame = av.VideoFrame(2048, 1200, "yuv420p")
    frame.pts = 0
    data = bytes(context.encode(frame)[0])
    bench = Bench(Codec.VP8)
    bench.feed(EncodedFrame(Codec.VP8, data, 0, True))
    assert bench.source.statistics.errors == 1
    assert bench.source.latest is None


def test_a_new_size_in_mid_stream_is_followed_by_one_decoder() -> None:
    bench = Bench()
    bench.feed(*coded(Codec.H264))
    decoder = bench.source._decoder
    bench.feed(*coded(Codec.H264, 6, 640, 360), *coded(Codec.H264))
    assert bench.sizes == [(320, 180), (640, 360), (320, 180)]
    assert bench.source._decoder is decoder
    assert bench.source.statistics.pictures == 18


def test_a_change_of_codec_waits_for_a_key_frame() -> None:
    bench = Bench()
    bench.feed(*coded(Codec.H264))
    vp8 = coded(Codec.VP8)
    bench.feed(vp8[1])
    assert bench.source.codec is Codec.H264
    assert bench.source.needs_key_frame
    bench.feed(*vp8)
    assert bench.source.codec is Codec.VP8
    assert bench.source.statistics.pictures == 12


def test_a_flapping_codec_does_not_open_a_decoder_each_frame() -> None:
    bench = Bench()
    for _ in range(10):
        bench.feed(coded(Codec.VP8)[0], coded(Codec.H264)[0])
    assert bench.source.statistics.pictures < 14
    assert bench.source.statistics.dropped > 6


def test_full_range_is_brought_to_video_range() -> None:
    context = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt, context.time_base = 64, 64, "yuvj420p", Fraction(1, 30)
    context.color_range = 2
    context.options = {"tune": "zerolatency"}
    frame = av.VideoFrame(64, 64, "yuvj420p")
    for plane, value in zip(frame.planes, (255, 128, 128), strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    frame.pts, frame.color_range = 0, 2
    bench = Bench()
    bench.feed(EncodedFrame(Codec.H264, bytes(context.encode(frame)[0]), 0, True))
    assert bench.source.latest is not None
    assert bench.source.latest.frame.format.name == "yuv420p"
    assert abs(bytes(bench.source.latest.frame.planes[0])[0] - 235) <= 2


def test_nothing_is_decoded_before_the_first_key_frame_and_one_is_asked_for() -> None:
    bench = Bench()
    first, *rest = coded(Codec.H264)
    bench.feed(*rest)
    assert bench.source.statistics.pictures == 0
    assert bench.source.statistics.dropped == len(rest)
    assert bench.source.needs_key_frame
    bench.feed(first)
    assert not bench.source.needs_key_frame
    assert bench.source.statistics.pictures == 1


def test_a_peer_that_never_sends_a_key_frame_is_decoded_anyway() -> None:
    bench = Bench(Codec.H261)
    late = coded(Codec.H261, 3, 352, 288)
    for number in range(int((PATIENCE + 0.5) * 30)):
        bench.feed(replace(late[0], key=False, timestamp=number * 3000))
    assert bench.source.statistics.pictures > 10


def test_a_damaged_frame_needs_a_key_frame_until_one_comes() -> None:
    bench = Bench()
    first, second, *rest = coded(Codec.H264)
    bench.feed(first, replace(second, damaged=True), *rest)
    assert bench.source.needs_key_frame
    bench.feed(replace(first, damaged=True))
    assert bench.source.needs_key_frame
    bench.feed(first)
    assert not bench.source.needs_key_frame


def test_a_damaged_vp8_frame_is_not_shown() -> None:
    bench = Bench(Codec.VP8)
    first, second, *rest = coded(Codec.VP8)
    bench.feed(first, replace(second, damaged=True), *rest)
    assert bench.source.statistics.pictures == 1 + len(rest)


def test_an_overflowing_queue_drops_to_the_next_key_frame() -> None:
    bench = Bench(Codec.VP8)
    first, *rest = coded(Codec.VP8)
    for frame in (first, *rest * 5)[: MAX_QUEUE + 4]:
        bench.source.feed(frame)
    assert bench.source.statistics.dropped == 4
    assert bench.source.needs_key_frame
    bench.pool.run_due()
    assert bench.source.statistics.pictures == MAX_QUEUE
    bench.feed(rest[0])
    assert bench.source.statistics.pictures == MAX_QUEUE
    bench.feed(first, rest[0])
    assert bench.source.statistics.pictures == MAX_QUEUE + 2


def test_a_key_frame_empties_a_full_queue() -> None:
    bench = Bench(Codec.VP8)
    first, *rest = coded(Codec.VP8)
    for frame in (first, *rest * 5)[:MAX_QUEUE]:
        bench.source.feed(frame)
    bench.source.feed(first)
    bench.pool.run_due()
    assert bench.source.statistics.pictures == 1
    assert bench.source.statistics.dropped == MAX_QUEUE


@pytest.mark.parametrize("codec", [Codec.H264, Codec.VP8, Codec.H263, Codec.H263P, Codec.H261])
def test_garbage_is_harmless(codec: Codec) -> None:
    chance = random.Random(SEED)
    bench = Bench(codec)
    good = coded(codec, 6, 352, 288)
    bench.feed(*good)
    for _ in range(60):
        data = bytearray(chance.choice(good).data)
        for _ in range(chance.randint(1, 30)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        data = data[: chance.randint(1, len(data))]
        bench.feed(EncodedFrame(codec, bytes(data), 0, chance.random() < 0.5), EncodedFrame(codec, b"", 0, False))
        bench.feed(EncodedFrame(codec, chance.randbytes(chance.randint(1, 400)), 0, chance.random() < 0.5))
    assert bench.pool.faults == 0, f"seed {SEED}: {bench.pool.fault_list}"
    pictures = bench.source.statistics.pictures
    bench.feed(*good)
    assert bench.source.statistics.pictures > pictures, f"seed {SEED}"


def test_the_frame_rate_is_learnt_from_timestamps() -> None:
    bench = Bench()
    first = coded(Codec.H264)[0]
    bench.feed(*(replace(first, timestamp=(0xFFFFFFFF - 9000 + 6000 * n) & 0xFFFFFFFF) for n in range(20)))
    assert bench.source.frame_rate == pytest.approx(15)


def test_a_closed_source_says_nothing_more() -> None:
    bench = Bench()
    frames = coded(Codec.H264)
    bench.source.feed(frames[0])
    bench.source.close()
    bench.feed(*frames)
    assert bench.source.statistics.pictures == 0
    assert bench.source.latest is None
    assert bench.sizes == []
