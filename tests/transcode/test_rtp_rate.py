"""The rate of sent video on a virtual clock."""

from __future__ import annotations

import pytest

from transcode.rtp.rate import FLOOR, RateController


def reports(rate: RateController, loss: float, seconds: int) -> None:
    """Report each second."""
    for n in range(seconds):
        rate.report(loss, 50.0, float(n))


def test_without_loss_it_stays_at_the_negotiated_maximum() -> None:
    rate = RateController(2_000_000)
    reports(rate, 0.0, 60)
    assert rate.target == 2_000_000


def test_a_narrow_line_is_never_given_more_than_was_negotiated() -> None:
    rate = RateController(64_000)
    assert rate.target == 64_000
    reports(rate, 0.5, 20)
    assert rate.target == 64_000


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
    reports(rate, 1.0, 30)
    assert rate.target == FLOOR


def test_a_limit_holds_at_once_and_is_replaced_by_its_own_kind() -> None:
    rate = RateController(2_000_000)
    rate.limit(600_000, "remb")
    assert rate.target == 600_000
    rate.limit(400_000, "tmmbr")
    assert rate.target == 400_000
    rate.limit(5_000_000, "tmmbr")
    assert rate.target == 600_000
    rate.limit(10_000, "remb")
    assert rate.target == FLOOR


def test_a_request_for_nothing_stops_the_stream_and_the_next_one_starts_it_at_once() -> None:
    rate = RateController(2_000_000)
    rate.limit(0, "tmmbr")
    assert rate.target == 0
    rate.limit(800_000, "tmmbr")
    assert rate.target == 800_000


def test_a_lower_maximum_holds_at_once() -> None:
    rate = RateController(2_000_000)
    rate.set_maximum(384_000)
    assert rate.target == 384_000
