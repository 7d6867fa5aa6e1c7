"""The rate of sent video on a virtual clock."""

from __future__ import annotations

import itertools

import pytest

from transcode.rtp.rate import FLOOR, LADDER, RELAPSE, RISE_HOLD, RateController, bucket


def reports(rate: RateController, loss: float, start: float, seconds: int) -> list[tuple[float, int]]:
    """Report each second; returns what the encoder was told and when."""
    told = []
    for n in range(seconds):
        rate.report(loss, 50.0, start + n)
        change = rate.update(start + n)
        if change is not None:
            told.append((start + n, change))
    return told


def test_a_bucket_is_the_highest_rung_that_is_afforded() -> None:
    assert [bucket(rate) for rate in (0, 128_000, 191_999, 192_000, 999_999, 9_000_000)] == [
        128_000,
        128_000,
        128_000,
        192_000,
        768_000,
        4_000_000,
    ]
    assert all(low < high for low, high in itertools.pairwise(LADDER))
    assert LADDER[0] == FLOOR


def test_without_loss_it_stays_at_the_negotiated_maximum() -> None:
    rate = RateController(2_000_000)
    assert rate.rung == 2_000_000
    assert reports(rate, 0.0, 0.0, 60) == []
    assert rate.target == 2_000_000


def test_it_grows_by_eight_percent_a_second() -> None:
    rate = RateController(4_000_000, start=500_000)
    rate.report(0.0, 50.0, 0.0)
    for n in range(1, 11):
        rate.report(0.01, 50.0, float(n))
    assert rate.target == pytest.approx(500_000 * 1.08**10, rel=0.001)


def test_a_long_silence_is_no_growth() -> None:
    rate = RateController(4_000_000, start=500_000)
    rate.report(0.0, 50.0, 0.0)
    rate.report(0.0, 50.0, 600.0)
    assert rate.target < 600_000


def test_much_loss_cuts_by_half_its_share_and_moderate_loss_does_nothing() -> None:
    rate = RateController(2_000_000)
    rate.report(0.05, 50.0, 0.0)
    assert rate.target == 2_000_000
    rate.report(0.2, 50.0, 1.0)
    assert rate.target == 1_800_000
    rate.report(0.2, 50.0, 1.1)
    assert rate.target == 1_800_000, "this report does not know of the cut yet"
    rate.report(0.2, 500.0, 1.4)
    assert rate.target == 1_800_000, "nor this one, with such a round trip"
    rate.report(0.2, 50.0, 2.0)
    assert rate.target == 1_620_000


def test_total_loss_ends_at_the_floor() -> None:
    rate = RateController(2_000_000)
    reports(rate, 1.0, 0.0, 30)
    assert (rate.target, rate.rung) == (FLOOR, FLOOR)


def test_a_limit_holds_at_once_and_is_replaced_by_its_own_kind() -> None:
    rate = RateController(2_000_000)
    rate.limit(600_000, "remb")
    assert rate.update(0.0) == 512_000
    rate.limit(400_000, "tmmbr")
    assert rate.update(0.1) == 320_000
    rate.limit(5_000_000, "tmmbr")
    assert rate.target == 600_000
    rate.limit(10_000, "remb")
    assert rate.target == FLOOR


def test_a_request_for_nothing_stops_the_stream_and_the_next_one_starts_it_at_once() -> None:
    rate = RateController(2_000_000)
    rate.limit(0, "tmmbr")
    assert rate.update(0.0) == 0
    assert (rate.target, rate.rung) == (0, 0)
    rate.limit(800_000, "tmmbr")
    assert rate.update(0.1) == 768_000


def test_a_rise_waits_until_it_lasts() -> None:
    rate = RateController(2_000_000)
    rate.limit(600_000, "remb")
    rate.update(0.0)
    rate.limit(1_100_000, "remb")
    assert rate.update(1.0) is None
    rate.limit(600_000, "remb")
    assert rate.update(2.0) is None
    rate.limit(1_100_000, "remb")
    assert rate.update(3.0) is None
    assert rate.update(3.0 + RISE_HOLD - 0.1) is None
    assert rate.update(3.0 + RISE_HOLD) == 1_000_000


def test_a_path_that_wavers_touches_the_encoder_seldom() -> None:
    rate = RateController(2_000_000)
    changes = 0
    for n in range(600):
        rate.limit(760_000 if n % 10 < 5 else 1_050_000, "remb")
        changes += rate.update(n * 1.0) is not None
    assert changes < 20


def test_a_rise_soon_taken_back_makes_the_next_one_wait_longer() -> None:
    rate = RateController(1_000_000, start=700_000)
    assert rate.rung == 512_000
    rate.limit(700_000, "remb")
    rate.limit(1_000_000, "remb")
    told = reports(rate, 0.0, 0.0, 15)
    assert told
    first = told[-1][0]
    rate.limit(520_000, "remb")
    assert rate.update(first + RELAPSE / 2) == 512_000
    rate.limit(1_000_000, "remb")
    start = first + RELAPSE / 2
    assert rate.update(start) is None
    assert rate.update(start + RISE_HOLD + 1) is None
    assert rate.update(start + 2 * RISE_HOLD) is not None


def test_a_lower_maximum_holds_at_once() -> None:
    rate = RateController(2_000_000)
    rate.set_maximum(384_000)
    assert rate.update(0.0) == 320_000
    rate.set_maximum(1)
    assert rate.target == FLOOR
