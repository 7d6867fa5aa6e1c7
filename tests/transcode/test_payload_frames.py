"""The video jitter buffer under a virtual clock."""

from __future__ import annotations

import random

import pytest
from payload_streams import format_of

from transcode.frames import EncodedFrame
from transcode.media import Codec
from transcode.payload.formats import depacketizer
from transcode.payload.frames import (
    MAX_OCTETS,
    MAX_PACKETS,
    MAX_WAIT,
    NACK_DELAY,
    PATIENCE,
    PROOF_FRAMES,
    QUIET,
    REORDER_WAIT,
    FrameBuffer,
)
from transcode.rtp.packet import RtpPacket

SEED = 3550
VP8_KEY = b"\x10" + bytes.fromhex("1000009d012a4001f000")
VP8_INTER = b"\x10" + bytes.fromhex("1100000102")
VP8_REST = b"\x00" + bytes.fromhex("aabbcc")
H264_SETS = bytes.fromhex("78 0009 6742c00dab40b04b20 0004 68ce3c80")
H264_IDR = bytes.fromhex("65b81111")
H264_SLICE = bytes.fromhex("41e22222")
H264_FURTHER = bytes.fromhex("414b3333")
H263_START = bytes.fromhex("00700005 0000 8016 0e07")
H263_INTRA = bytes.fromhex("00600005 0000 8016 0c07")
H263_GOB = bytes.fromhex("00700005 0000 8811 22")
STEP = 3000


def buffer(codec: Codec = Codec.VP8, retransmission: bool = False, tolerate_damage: bool | None = None) -> FrameBuffer:
    return FrameBuffer(depacketizer(format_of(codec)), retransmission=retransmission, tolerate_damage=tolerate_damage)


def packet(sequence: int, frame: int, payload: bytes, marker: bool = True) -> RtpPacket:
    return RtpPacket(96, sequence % 2**16, frame * STEP % 2**32, 7, payload, marker)


def stamps(frames: list[EncodedFrame]) -> list[int]:
    return [frame.timestamp // STEP for frame in frames]


def primed(codec: Codec = Codec.VP8, **options: bool) -> FrameBuffer:
    """Return a buffer that has released a key frame of one packet: sequence 0, frame 0, at 0 s."""
    made = buffer(codec, **options)
    first = VP8_KEY
    if codec is Codec.H264:
        made.push(packet(-1, 0, H264_SETS, False), 0.0)
        first = H264_IDR
    assert stamps(made.push(packet(0, 0, first), 0.0)) == [0]
    assert not made.needs_key_frame
    return made


def test_a_frame_leaves_with_its_last_packet_and_tells_its_first_arrival() -> None:
    frames = buffer()
    assert frames.push(packet(1, 0, VP8_KEY, False), 5.0) == []
    (frame,) = frames.push(packet(2, 0, VP8_REST), 5.25)
    assert frame == EncodedFrame(Codec.VP8, VP8_KEY[1:] + VP8_REST[1:], 0, True, False, 5.0)
    assert frames.next_due is None


def test_reordered_packets_wait_for_each_other() -> None:
    frames = primed()
    assert frames.push(packet(3, 2, VP8_INTER), 0.100) == []
    assert frames.push(packet(2, 1, VP8_REST), 0.101) == []
    assert stamps(frames.push(packet(1, 1, VP8_INTER, False), 0.102)) == [1, 2]
    assert frames.next_due is None
    assert frames.lost == 0


def test_a_doubled_packet_is_dropped_and_counted() -> None:
    frames = primed()
    frames.push(packet(2, 1, VP8_REST), 0.1)
    frames.push(packet(2, 1, VP8_REST), 0.1)
    assert stamps(frames.push(packet(1, 1, VP8_INTER, False), 0.1)) == [1]
    assert frames.push(packet(1, 1, VP8_INTER, False), 0.1) == []
    assert (frames.doubled, frames.late) == (1, 1)


def test_sequence_and_timestamp_wrap() -> None:
    frames = buffer()
    last = 2**32 // STEP
    got = []
    for index in range(6):
        sequence, stamp = 65_533 + index, last - 2 + index
        got += frames.push(packet(sequence, stamp, VP8_INTER if index else VP8_KEY), index / 30)
    assert len(got) == 6
    assert got[-1].timestamp < STEP * 4 < got[0].timestamp


def test_without_retransmission_a_hole_waits_only_for_reordering() -> None:
    frames = primed()
    assert frames.wait == REORDER_WAIT
    assert frames.push(packet(2, 2, VP8_INTER), 1.0) == []
    assert frames.next_due == pytest.approx(1.0 + REORDER_WAIT)
    assert not frames.needs_key_frame
    frames.poll(1.0 + REORDER_WAIT)
    assert frames.needs_key_frame
    assert (frames.lost, frames.frames_frozen, frames.next_due) == (1, 1, None)
    assert frames.push(packet(1, 1, VP8_INTER), 1.2) == []
    assert frames.late == 1


def test_with_retransmission_the_wait_follows_round_trip_and_jitter_up_to_a_bound() -> None:
    frames = primed(retransmission=True)
    assert frames.wait == MAX_WAIT
    frames.set_timing(0.030, 0.002)
    assert frames.wait == pytest.approx(NACK_DELAY + 0.060 + 0.006)
    frames.set_timing(1.0, 0.1)
    assert frames.wait == MAX_WAIT
    frames.set_timing(0.0, 0.0)
    assert frames.wait == REORDER_WAIT
    frames.set_timing(0.030, 0.002)
    frames.push(packet(2, 2, VP8_INTER), 1.0)
    assert frames.poll(1.080) == []
    assert stamps(frames.push(packet(1, 1, VP8_INTER), 1.085)) == [1, 2]
    assert not frames.needs_key_frame


def test_two_holes_have_their_own_times() -> None:
    frames = primed(tolerate_damage=True)
    frames.push(packet(2, 2, VP8_INTER), 1.000)
    frames.push(packet(4, 4, VP8_INTER), 1.020)
    assert stamps(frames.poll(1.031)) == [2]
    assert frames.next_due == pytest.approx(1.050)
    assert stamps(frames.push(packet(3, 3, VP8_INTER), 1.040)) == [3, 4]
    assert frames.lost == 1


def test_after_a_loss_the_picture_freezes_until_a_key_frame() -> None:
    frames = primed()
    frames.push(packet(2, 2, VP8_INTER), 1.0)
    frames.poll(1.1)
    assert frames.push(packet(3, 3, VP8_INTER), 1.1) == []
    assert frames.needs_key_frame
    (key,) = frames.push(packet(4, 4, VP8_KEY), 1.2)
    assert key.key
    assert not key.damaged
    assert not frames.needs_key_frame
    assert stamps(frames.push(packet(5, 5, VP8_INTER), 1.3)) == [5]


def test_a_key_frame_right_behind_a_hole_is_whole() -> None:
    frames = primed()
    frames.push(packet(2, 2, VP8_KEY), 1.0)
    assert stamps(frames.poll(1.1)) == [2]
    assert not frames.needs_key_frame


def test_a_key_frame_whose_front_is_lost_is_not_shown() -> None:
    frames = primed()
    frames.push(packet(2, 2, VP8_REST), 1.0)
    assert frames.poll(1.1) == []
    assert frames.needs_key_frame


def test_a_lost_tail_is_noticed_by_the_next_frame() -> None:
    frames = primed(tolerate_damage=True)
    frames.push(packet(1, 1, VP8_INTER, False), 1.0)
    frames.push(packet(3, 2, VP8_INTER), 1.03)
    got = frames.poll(1.1)
    assert [(frame.timestamp // STEP, frame.damaged) for frame in got] == [(1, True), (2, True)]
    assert (frames.frames_damaged, frames.lost) == (2, 1)


def test_frames_without_marker_end_where_the_timestamp_changes() -> None:
    frames = buffer()
    assert frames.push(packet(1, 0, VP8_KEY, False), 0.0) == []
    assert stamps(frames.push(packet(2, 1, VP8_INTER, False), 0.03)) == [0]


def test_before_the_first_key_frame_nothing_is_shown_and_one_is_asked_for() -> None:
    frames = buffer()
    assert frames.needs_key_frame
    assert frames.push(packet(1, 1, VP8_INTER), 0.0) == []
    assert frames.needs_key_frame


def test_an_h264_sender_without_key_frames_is_shown_after_patience_with_its_parameter_sets() -> None:
    frames = buffer(Codec.H264)
    frames.push(packet(0, 0, H264_SETS, False), 0.0)
    assert frames.push(packet(1, 0, H264_SLICE), 0.0) == []
    assert frames.push(packet(2, 1, H264_SLICE), PATIENCE - 0.1) == []
    (first,) = frames.push(packet(3, 2, H264_SLICE), PATIENCE + 0.1)
    (second,) = frames.push(packet(4, 3, H264_SLICE), PATIENCE + 0.2)
    assert first.damaged
    assert bytes.fromhex("6742c00d") in first.data
    assert second.data == b"\0\0\0\1" + H264_SLICE
    assert frames.needs_key_frame
    (key,) = frames.push(packet(5, 4, H264_IDR), PATIENCE + 0.3)
    assert not key.damaged
    assert not frames.needs_key_frame


def test_a_recovery_point_lets_an_h264_picture_mend_at_once() -> None:
    frames = primed(Codec.H264)
    frames.push(packet(2, 2, H264_SLICE), 0.1)
    assert frames.poll(0.2) == []
    recovery = bytes.fromhex("06 0601 24 80")  # recovery_frame_cnt 3
    frames.push(packet(3, 3, recovery, False), 0.2)
    (first,) = frames.push(packet(4, 3, H264_SLICE), 0.2)
    assert first.damaged
    assert bytes.fromhex("6742c00d") in first.data
    got = [frames.push(packet(5 + index, 4 + index, H264_SLICE), 0.3) for index in range(4)]
    assert [frame.damaged for (frame,) in got] == [True, True, False, False]
    assert not frames.needs_key_frame


def test_a_loss_during_recovery_waits_for_the_next_recovery_point() -> None:
    frames = buffer(Codec.H264)
    recovery = bytes.fromhex("06 0601 24 80")
    frames.push(packet(3, 3, recovery, False), 0.2)
    frames.push(packet(4, 3, H264_SLICE), 0.2)
    frames.push(packet(6, 5, H264_SLICE), 0.3)
    frames.poll(0.5)
    for index in range(7, 12):
        frames.push(packet(index, index, H264_SLICE), 0.6)
    assert frames.needs_key_frame


def test_vp8_stays_frozen_however_long_it_lasts() -> None:
    frames = buffer()
    for index in range(100):
        assert frames.push(packet(index, index, VP8_INTER), float(index)) == []
    assert frames.frames_frozen == 100


def test_parameter_sets_with_a_marker_of_their_own_are_no_frame() -> None:
    frames = buffer(Codec.H264)
    assert frames.push(packet(1, 0, H264_SETS, True), 0.0) == []
    (key,) = frames.push(packet(2, 0, H264_IDR), 0.0)
    assert key.key
    assert frames.frames_continued == 0


def test_a_marker_on_every_slice_is_not_believed_for_long() -> None:
    frames = primed(Codec.H264)
    frames.push(packet(1, 1, H264_SLICE, True), 0.03)
    frames.push(packet(2, 1, H264_FURTHER, True), 0.03)
    assert frames.frames_continued == 1
    frames.push(packet(3, 2, H264_SETS, True), 0.06)
    frames.push(packet(4, 2, H264_IDR, True), 0.06)
    frames.push(packet(5, 3, H264_SLICE, True), 0.09)
    frames.push(packet(6, 3, H264_FURTHER, True), 0.09)
    (whole,) = frames.push(packet(7, 4, H264_SLICE, True), 0.12)
    assert whole.data == b"\0\0\0\1" + H264_SLICE + b"\0\0\0\1" + H264_FURTHER
    assert not whole.damaged


def test_h263_with_a_marker_on_every_packet_is_cut_by_timestamp() -> None:
    frames = buffer(Codec.H263)
    got, sequence = [], 0
    for index in range(30):
        for payload in (H263_START if index else H263_INTRA, H263_GOB, H263_GOB):
            got += frames.push(packet(sequence, index, payload, True), index / 30)
            sequence += 1
    assert stamps(got) == list(range(29))
    assert all(len(frame.data) == 6 + 2 * 5 and not frame.damaged for frame in got)
    assert frames.counters()["frames_continued"] == 0


def test_h263_markers_are_believed_after_they_proved_true() -> None:
    frames = buffer(Codec.H263)
    released = []
    for index in range(PROOF_FRAMES + 3):
        frames.push(packet(2 * index, index, H263_START if index else H263_INTRA, False), index / 30)
        released.append(stamps(frames.push(packet(2 * index + 1, index, H263_GOB, True), index / 30)))
    assert released[0] == []
    assert released[-1] == [PROOF_FRAMES + 2]


def test_a_doubted_marker_ends_the_frame_when_nothing_follows() -> None:
    frames = buffer(Codec.H263)
    assert frames.push(packet(0, 0, H263_INTRA, True), 1.0) == []
    assert frames.next_due == pytest.approx(1.0 + QUIET)
    assert stamps(frames.poll(1.0 + QUIET)) == [0]
    assert frames.next_due is None


def test_old_codecs_show_damaged_frames_and_ask_for_a_key_frame() -> None:
    frames = buffer(Codec.H263)
    frames.push(packet(0, 0, H263_INTRA, True), 0.0)
    frames.push(packet(1, 1, H263_START, False), 0.03)
    frames.push(packet(3, 1, H263_GOB, True), 0.03)
    got = frames.poll(0.2) + frames.poll(0.4)
    assert [frame.damaged for frame in got] == [True]
    assert frames.needs_key_frame


def test_a_padding_packet_is_no_frame_and_keeps_the_gap_before_it() -> None:
    frames = primed()
    assert frames.push(packet(1, 0, b"", False), 0.01) == []
    assert stamps(frames.push(packet(2, 1, VP8_INTER), 0.03)) == [1]
    frames.push(packet(4, 1, b"", False), 0.04)
    frames.poll(0.2)
    assert frames.push(packet(5, 2, VP8_INTER), 0.2) == []
    assert frames.needs_key_frame


def test_a_leap_forward_goes_on_at_once() -> None:
    frames = primed(tolerate_damage=True)
    frames.push(packet(2, 2, VP8_INTER), 0.1)
    assert stamps(frames.push(packet(5000, 3, VP8_INTER), 0.1)) == [2, 3]
    assert frames.lost == 1 + 4997


def test_a_sender_that_begins_anew_is_followed_after_two_packets() -> None:
    frames = buffer()
    frames.push(packet(20_000, 0, VP8_KEY), 0.0)
    assert frames.push(packet(100, 9, VP8_KEY), 0.1) == []
    assert stamps(frames.push(packet(101, 10, VP8_KEY), 0.1)) == [10]
    assert frames.resets == 1


def test_a_stray_old_packet_changes_nothing() -> None:
    frames = buffer()
    frames.push(packet(20_000, 0, VP8_KEY), 0.0)
    frames.push(packet(100, 9, VP8_KEY), 0.1)
    assert stamps(frames.push(packet(20_001, 1, VP8_INTER), 0.1)) == [1]
    assert (frames.late, frames.resets) == (1, 0)


def test_reset_forgets_the_stream_and_keeps_the_counters() -> None:
    frames = primed()
    frames.push(packet(2, 2, VP8_INTER), 0.1)
    frames.reset()
    assert frames.needs_key_frame
    assert frames.next_due is None
    assert stamps(frames.push(packet(40_000, 5, VP8_KEY), 0.2)) == [5]
    assert (frames.frames, frames.resets, frames.lost) == (2, 1, 0)


def test_packets_held_behind_a_hole_are_bounded() -> None:
    frames = primed(retransmission=True)
    for index in range(2, MAX_PACKETS):
        frames.push(packet(index, index, VP8_INTER), 1.0)
    assert frames.lost == 0
    for index in range(MAX_PACKETS, MAX_PACKETS + 10):
        frames.push(packet(index, index, VP8_INTER), 1.0)
    assert frames.lost == 1
    octets = primed(retransmission=True)
    large = VP8_INTER + bytes(MAX_OCTETS // 64)
    for index in range(2, 70):
        octets.push(packet(index, index, large), 1.0)
    assert octets.lost == 1


@pytest.mark.parametrize(("count", "size"), [(MAX_PACKETS + 5, 1), (70, MAX_OCTETS // 64)])
def test_a_frame_that_is_too_large_is_dropped_and_counted(count: int, size: int) -> None:
    frames = primed()
    frames.push(packet(1, 1, VP8_INTER, False), 0.1)
    for index in range(count):
        assert frames.push(packet(2 + index, 1, b"\0" + bytes(size), index == count - 1), 0.1) == []
    assert frames.frames_too_large == 1
    assert frames.needs_key_frame
    assert stamps(frames.push(packet(2 + count, 2, VP8_KEY), 0.2)) == [2]


@pytest.mark.parametrize("codec", [Codec.H264, Codec.VP8, Codec.H263, Codec.H263P, Codec.H261])
def test_random_packets_are_harmless_and_nothing_grows(codec: Codec) -> None:
    rng = random.Random(SEED)
    frames = buffer(codec, retransmission=True)
    now, sequence = 0.0, 0
    for _ in range(4000):
        now += rng.random() * 0.02
        sequence += rng.choice((0, 1, 1, 1, 1, 2, 3, -2, rng.randrange(-40_000, 40_000) if rng.random() < 0.01 else 1))
        payload = rng.choice((VP8_KEY, H264_IDR, H263_INTRA, b"")) + rng.randbytes(rng.randrange(8))
        got = frames.push(packet(sequence, sequence // 3, payload, rng.random() < 0.4), now)
        if rng.random() < 0.3:
            got += frames.poll(now)
        assert all(frame.data for frame in got)
        due = frames.next_due
        assert due is None or due <= now + MAX_WAIT
    counters = frames.counters()
    assert counters["lost"] > 0
    assert counters["late"] > 0
    frames.poll(now + 1.0)
    frames.poll(now + 2.0)
    assert frames.next_due is None


def test_5_percent_loss_with_retransmission_loses_no_frame() -> None:
    rng = random.Random(SEED)
    frames = buffer(retransmission=True)
    frames.set_timing(0.040, 0.003)
    arrivals = []
    for index in range(600):
        sent = index * 0.005
        travel = 0.020 + rng.random() * 0.003
        if index and rng.random() < 0.05:
            travel += NACK_DELAY + 0.040
        payload = VP8_REST if index % 4 else (VP8_INTER if index else VP8_KEY)
        arrivals.append((sent + travel, packet(index, index // 4, payload, index % 4 == 3)))
    got = []
    for now, item in sorted(arrivals, key=lambda pair: pair[0]):
        got += frames.poll(now) + frames.push(item, now)
    assert stamps(got) == list(range(150))
    assert frames.lost == 0
