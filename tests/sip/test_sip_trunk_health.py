"""Whether a trunk is there, by OPTIONS, under a virtual clock."""

from __future__ import annotations

import pytest

from sip.trunk_health import DOWN_INTERVAL, Health, State


def test_it_is_unknown_until_the_first_answer_and_asks_at_once() -> None:
    health = Health(60, 100)
    assert health.state is State.UNKNOWN
    assert health.tick(100)
    assert not health.tick(100)


@pytest.mark.parametrize(
    ("status", "state"),
    [
        *[(status, State.UP) for status in (200, 404, 405, 401, 500)],
        *[(status, State.DOWN) for status in (503, 408, 0)],
    ],
)
def test_any_answer_shows_life_but_503_and_silence(status: int, state: State) -> None:
    health = Health(60, 0)
    assert health.answered(status, "Said", 5)
    assert health.state is state
    assert health.since == 5
    assert bool(health.why) is (state is State.DOWN)


def test_only_changes_are_told_and_the_moment_of_the_last_one_kept() -> None:
    health = Health(60, 0)
    assert health.answered(200, "OK", 1)
    assert not health.answered(200, "OK", 61)
    assert health.since == 1
    assert health.answered(503, "Full", 121)
    assert health.why == "503 Full"
    assert not health.answered(0, "", 140)
    assert health.why == "no answer"
    assert health.answered(200, "OK", 160)
    assert health.since == 160


def test_one_that_is_down_is_asked_more_often() -> None:
    health = Health(60, 0)
    health.answered(200, "OK", 0)
    assert health.next_timeout() == 60
    health.answered(0, "", 60)
    assert health.next_timeout() == 60 + DOWN_INTERVAL


def test_a_question_whose_answer_never_comes_is_asked_again() -> None:
    health = Health(10, 0)
    assert health.tick(0)
    assert not health.tick(39)
    assert health.tick(41)


def test_without_interval_nothing_is_asked() -> None:
    health = Health(0, 0)
    assert health.next_timeout() is None
    assert health.set(State.UP, "", 1)
    health.answered(200, "OK", 2)
    assert health.next_timeout() is None
