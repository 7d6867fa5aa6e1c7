"""Sequence numbers, loss and jitter of one source."""

from __future__ import annotations

import random

import pytest

from transcode.rtp.missing import MAX_AGE, MAX_HOLES, MAX_TRIES, REORDER_TIME, Missing
from transcode.rtp.reception import MAX_DROPOUT, Reception, Step


def test_the_sequence_wraps_and_the_extended_number_goes_on() -> None:
    reception = Reception(1, 8000, 65534)
    steps = [reception.update(n & 0xFFFF, n * 160 & 0xFFFFFFFF, n * 0.02) for n in range(65534, 65540)]
    assert steps == [Step.NEXT] * 6
    assert reception.highest == 65539
    assert (reception.expected, reception.lost) == (6, 0)


def test_a_hole_counts_as_lost_until_the_late_packet_comes() -> None:
    reception = Reception(1, 8000, 10)
    assert reception.update(10, 0, 0.0) is Step.NEXT
    assert reception.update(13, 480, 0.06) is Step.AHEAD
    assert reception.lost == 2
    assert reception.update(11, 160, 0.07) is Step.LATE
    assert (reception.lost, reception.highest) == (1, 13)


def test_a_copy_is_counted_as_received_so_loss_may_be_negative() -> None:
    reception = Reception(1, 8000, 10)
    reception.update(10, 0, 0.0)
    assert reception.update(10, 0, 0.0) is Step.LATE
    assert reception.lost == -1
    assert reception.block(1.0).lost == -1
    assert reception.block(1.0).fraction_lost == 0


def test_a_far_jump_is_refused_once_and_then_is_a_restart() -> None:
    reception = Reception(1, 8000, 100)
    reception.update(100, 0, 0.0)
    assert reception.update(30_000, 0, 0.02) is Step.REFUSED
    assert reception.update(101, 160, 0.02) is Step.NEXT
    assert reception.update(30_001, 160, 0.04) is Step.RESTARTED
    assert reception.update(30_002, 320, 0.06) is Step.NEXT
    assert reception.highest == 30_002
    assert reception.lost == 0


def test_a_hole_up_to_the_bound_is_no_restart() -> None:
    reception = Reception(1, 90_000, 0)
    reception.update(0, 0, 0.0)
    assert reception.update(MAX_DROPOUT - 1, 0, 1.0) is Step.AHEAD
    assert reception.update(2 * MAX_DROPOUT, 0, 1.0) is Step.REFUSED


def test_steady_packets_have_no_jitter_and_a_timestamp_wrap_adds_none() -> None:
    reception = Reception(1, 8000, 0)
    start = 2**32 - 800
    for n in range(50):
        reception.update(n, (start + 160 * n) & 0xFFFFFFFF, 5.0 + n * 0.02)
    assert reception.jitter == pytest.approx(0, abs=1e-6)


def test_jitter_follows_rfc_3550() -> None:
    reception = Reception(1, 8000, 0)
    chance = random.Random(3)
    jitter, before = 0.0, None
    for n in range(500):
        now = n * 0.02 + chance.uniform(0, 0.01)
        reception.update(n, n * 160, now)
        transit = now * 8000 - n * 160
        if before is not None:
            jitter += (abs(transit - before) - jitter) / 16
        before = transit
    assert reception.jitter == pytest.approx(jitter / 8, rel=1e-6)
    assert reception.block(11.0).jitter == int(jitter)


def test_a_new_timestamp_base_is_no_jitter() -> None:
    reception = Reception(1, 8000, 0)
    reception.update(0, 0, 0.0)
    reception.update(1, 3_000_000_000, 0.02)
    assert reception.jitter == 0


def test_a_report_block_tells_the_share_lost_since_the_last_one() -> None:
    reception = Reception(7, 8000, 0)
    for n in range(100):
        if n % 4:
            reception.update(n, n * 160, n * 0.02)
    reception.report_received(0x0001_2345_6789_0000, 1.5)
    block = reception.block(2.0)
    assert (block.ssrc, block.lost, block.highest) == (7, 25, 99)
    assert block.fraction_lost == 64
    assert reception.loss == pytest.approx(0.25)
    assert (block.last_sr, block.delay) == (0x2345_6789, 32768)
    for n in range(100, 120):
        reception.update(n, n * 160, n * 0.02)
    assert reception.block(3.0).fraction_lost == 0


def test_a_hole_is_asked_for_after_the_reorder_time_and_then_each_round_trip() -> None:
    missing = Missing()
    missing.add(5, 6, 1.0)
    assert missing.requests(1.0 + REORDER_TIME / 2, 0.1) == []
    assert missing.requests(1.0 + REORDER_TIME, 0.1) == [5, 6]
    assert missing.found(5)
    assert missing.requests(1.1, 0.1) == []
    assert missing.requests(1.0 + REORDER_TIME + 0.126, 0.1) == [6]
    assert missing.found(6)
    assert not missing.found(6)
    assert missing.due == float("inf")


def test_a_hole_is_given_up_by_age_and_by_tries() -> None:
    missing = Missing()
    missing.add(1, 1, 0.0)
    now, tries = 0.0, 0
    while len(missing):
        now = missing.due
        tries += len(missing.requests(now, 0.0))
    assert tries <= MAX_TRIES
    missing.add(2, 2, 10.0)
    assert missing.requests(10.0 + MAX_AGE + 0.01, 0.0) == []
    assert (len(missing), missing.abandoned) == (0, 2)


def test_holes_are_bounded() -> None:
    missing = Missing()
    for n in range(0, 4 * MAX_HOLES, 2):
        missing.add(n, n, 0.0)
    assert len(missing) == MAX_HOLES
    missing.add(5000, 5000 + MAX_HOLES, 0.0)
    assert len(missing) == 0
