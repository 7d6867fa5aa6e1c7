"""When signalling asks for key frames: at once without RTCP, as the last resort with it, and never a storm."""

from __future__ import annotations

from transcode.asking import GRACE, MAX_REPEAT, QUIET, KeyFrameNeed


def asked(need: KeyFrameNeed, seconds: float, by_rtcp: bool, start: float = 100.0, wanted: bool = True) -> list[float]:
    """Poll as the plane does, with packets coming all the time; return when signalling was to ask."""
    times = [start + 0.02 * number for number in range(int(seconds / 0.02))]
    return [round(now - start, 1) for now in times if need.update(wanted, by_rtcp, now, now)]


def test_without_rtcp_signalling_asks_at_once_and_then_at_doubling_intervals() -> None:
    assert asked(KeyFrameNeed(), 20.0, by_rtcp=False) == [0.0, 1.0, 3.0, 7.0, 15.0]


def test_with_rtcp_signalling_asks_after_a_while() -> None:
    need = KeyFrameNeed()
    assert asked(need, 5.0, by_rtcp=True) == [GRACE, GRACE + 1.0, GRACE + 3.0]
    assert need.needed


def test_a_key_frame_ends_the_need_and_the_next_one_begins_patiently_again() -> None:
    need = KeyFrameNeed()
    assert asked(need, 2.5, by_rtcp=True) == [1.0, 2.0]
    assert asked(need, 1.0, by_rtcp=True, start=103.0, wanted=False) == []
    assert not need.needed
    assert asked(need, 1.5, by_rtcp=True, start=110.0) == [1.0]


def test_needs_in_a_row_are_no_storm() -> None:
    need = KeyFrameNeed()
    asks = [need.update(number % 2 == 0, False, now := 100 + number * 0.02, now) for number in range(500)]
    assert sum(asks) <= 10


def test_repeats_end_at_a_longest_interval() -> None:
    times = asked(KeyFrameNeed(), 120.0, by_rtcp=False)
    assert times[-1] - times[-2] == MAX_REPEAT


def test_a_peer_that_sends_nothing_is_not_asked() -> None:
    need = KeyFrameNeed()
    assert not need.update(True, False, 100.0, 100.0 + QUIET)
    assert not need.needed
    assert need.update(True, False, 103.0, 103.0)
