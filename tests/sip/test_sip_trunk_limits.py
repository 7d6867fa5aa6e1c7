"""Places in a trunk, and how fast calls may begin."""

from __future__ import annotations

from contextlib import suppress

import pytest

from gateway.reasons import Reason, Refused
from sip.trunk_limits import Limits


def test_a_place_is_given_back_once() -> None:
    limits = Limits(2, 0)
    first, _ = limits.take(0), limits.take(0)
    with pytest.raises(Refused) as refused:
        limits.take(0)
    assert refused.value.reason is Reason.BUSY
    assert "2 lines" in refused.value.detail
    first.release()
    first.release()
    assert limits.calls == 1
    limits.take(0)
    with pytest.raises(Refused):
        limits.take(0)


def test_calls_may_begin_at_the_rate_and_not_faster() -> None:
    limits = Limits(0, 2)
    begun = 0
    for tick in range(101):  # ten seconds
        with suppress(Refused):
            limits.take(100 + tick / 10)
            begun += 1
    assert begun == 22  # two at once, then two a second
    with pytest.raises(Refused) as refused:
        limits.take(110)
    assert refused.value.reason is Reason.OVERLOAD


def test_a_rate_below_one_a_second_lets_one_call_begin() -> None:
    limits = Limits(0, 0.1)
    limits.take(0)
    with pytest.raises(Refused):
        limits.take(9.9)
    limits.take(20)


def test_a_refused_call_takes_no_place() -> None:
    limits = Limits(5, 1)
    limits.take(0)
    with pytest.raises(Refused):
        limits.take(0)
    assert limits.calls == 1
