"""The life of a dialled call, under a clock that the test turns."""

from __future__ import annotations

import random

import pytest

from gateway.reasons import Reason, Result
from gateway.rooms.model import DialState
from gateway.rooms.redialling import (
    CURABLE,
    FIRST_BACK_OFF,
    LIVING,
    LONGEST_BACK_OFF,
    OPEN,
    STEADY,
    Redialling,
    Tries,
)

S = DialState


def test_one_that_is_answered_rings_first_and_ends_with_its_call() -> None:
    life = Redialling(Tries())
    assert life.state is S.DIALLING
    assert life.rings()
    assert not life.rings()
    assert life.answered(10.0)
    assert (life.state, life.reason) == (S.ANSWERED, None)
    assert life.ended(Reason.NORMAL, 20.0)
    assert (life.state, life.reason, life.over) == (S.ENDED, Reason.NORMAL, True)


def test_one_that_is_called_once_fails_for_good() -> None:
    life = Redialling(Tries())
    assert life.failed(Reason.BUSY, 10.0)
    assert (life.state, life.reason, life.due) == (S.FAILED, Reason.BUSY, None)
    assert not life.again(1_000.0)


@pytest.mark.parametrize("reason", sorted(CURABLE, key=lambda one: one.value))
def test_what_time_may_cure_is_tried_again_after_the_pause_and_no_more_often_than_asked(reason: Reason) -> None:
    life = Redialling(Tries(2, 30.0))
    for number, at in ((1, 0.0), (2, 100.0)):
        assert life.number == number
        assert life.failed(reason, at)
        assert (life.state, life.due) == (S.WAITING, at + 30.0)
        assert not life.again(at + 29.9)
        assert life.again(at + 30.0)
        assert (life.state, life.due) == (S.DIALLING, None)
    assert life.failed(reason, 200.0)
    assert life.state is S.FAILED


@pytest.mark.parametrize("reason", sorted(set(Reason) - CURABLE, key=lambda one: one.value))
@pytest.mark.parametrize("tries", [Tries(5), Tries(keep=True)])
def test_what_somebody_decided_is_not_tried_again(reason: Reason, tries: Tries) -> None:
    life = Redialling(tries)
    life.rings()
    assert life.failed(reason, 0.0)
    assert life.state is S.FAILED


def test_one_that_is_kept_connected_is_called_again_with_growing_pauses() -> None:
    life = Redialling(Tries(keep=True))
    now = 0.0
    life.answered(now)
    now += 2 * STEADY
    assert life.ended(Reason.NO_MEDIA, now)
    pauses = []
    for _ in range(10):
        assert life.state is S.WAITING
        assert life.due is not None
        pauses.append(life.due - now)
        now = life.due
        assert life.again(now)
        assert life.failed(Reason.TIMEOUT, now)
    assert pauses[:4] == [FIRST_BACK_OFF, 2 * FIRST_BACK_OFF, 4 * FIRST_BACK_OFF, 8 * FIRST_BACK_OFF]
    assert pauses[-1] == LONGEST_BACK_OFF


def test_a_call_that_stood_for_a_while_makes_the_pause_short_again_and_one_that_broke_at_once_does_not() -> None:
    life = Redialling(Tries(keep=True))
    now = 0.0
    for stood, pause in ((1.0, 1), (1.0, 2), (1.0, 4), (STEADY, 1), (1.0, 2)):
        life.answered(now)
        now += stood
        life.ended(Reason.TRANSPORT_FAILED, now)
        assert life.due == now + pause * FIRST_BACK_OFF
        now = life.due
        life.again(now)


@pytest.mark.parametrize("reason", list(Reason))
def test_a_call_is_lost_when_it_failed_and_not_when_somebody_ended_it(reason: Reason) -> None:
    life = Redialling(Tries(keep=True))
    life.answered(0.0)
    life.ended(reason, 100.0)
    assert life.state is (S.WAITING if reason.result is Result.FAILED else S.ENDED)


@pytest.mark.parametrize("reason", list(Reason))
def test_who_is_wanted_at_any_time_is_called_again_when_it_hung_up_but_not_when_a_host_did(reason: Reason) -> None:
    life = Redialling(Tries(keep=True, insist=True))
    life.answered(0.0)
    life.ended(reason, 100.0)
    again = reason.result is Result.FAILED or reason is Reason.NORMAL
    assert life.state is (S.WAITING if again else S.ENDED)


def test_who_is_wanted_at_any_time_may_become_known_later() -> None:
    life = Redialling(Tries(keep=True, insist=True))
    life.failed(Reason.NO_SUCH_USER, 0.0)
    assert life.state is S.WAITING
    life.again(1e9)
    life.failed(Reason.DECLINED, 1e9)
    assert life.state is S.FAILED


def test_a_call_that_is_not_to_be_kept_is_not_called_again_however_it_ends() -> None:
    life = Redialling(Tries(5))
    life.answered(0.0)
    life.ended(Reason.NO_MEDIA, 100.0)
    assert life.state is S.ENDED


def test_it_is_cancelled_in_every_state_but_the_last_ones() -> None:
    def dialling() -> Redialling:
        return Redialling(Tries(1))

    def ringing() -> Redialling:
        life = dialling()
        life.rings()
        return life

    def answered() -> Redialling:
        life = ringing()
        life.answered(0.0)
        return life

    def waiting() -> Redialling:
        life = dialling()
        life.failed(Reason.BUSY, 0.0)
        return life

    for make in (dialling, ringing, answered, waiting):
        life = make()
        assert life.cancel(Reason.CANCELLED)
        assert (life.state, life.due) == (S.CANCELLED, None)
        assert not life.cancel(Reason.CANCELLED)
        assert not life.again(1e9)


def test_whatever_happens_in_whatever_order_it_stays_within_its_bounds() -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    for _ in range(500):
        tries = chance.choice([Tries(), Tries(3, 10.0), Tries(keep=True)])
        life, now = Redialling(tries), 0.0
        for _ in range(40):
            now += chance.uniform(0.0, 400.0)
            before = life.over
            change = chance.choice(
                [
                    lambda life=life: life.rings(),
                    lambda life=life, now=now: life.answered(now),
                    lambda life=life, now=now: life.failed(chance.choice(list(Reason)), now),
                    lambda life=life, now=now: life.ended(chance.choice(list(Reason)), now),
                    lambda life=life, now=now: life.again(now),
                ]
            )()
            assert not (before and change), f"seed {seed}: something happened after the end"
            assert (life.due is not None) == (life.state is S.WAITING), f"seed {seed}"
            assert life.over == (life.state not in LIVING)
            assert life.due is None or life.due <= now + LONGEST_BACK_OFF, f"seed {seed}"
            if tries.most is not None and not life.over:
                assert life.number <= tries.most, f"seed {seed}"
    assert OPEN < LIVING
