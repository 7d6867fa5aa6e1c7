"""Pace, key-frame bounds, overload and rises of bit rate, on a virtual clock."""

from __future__ import annotations

import pytest

from transcode.video.pacing import (
    KEY_INTERVAL,
    MAX_HALVINGS,
    OVERLOAD_TICKS,
    RECOVERY_SECONDS,
    RISE_HOLD,
    Governor,
    KeyFrameGate,
    Pacer,
    RateGate,
    room_rate,
)


@pytest.mark.parametrize(("rate", "source", "made"), [(30, 30, 300), (15, 30, 150), (30, 60, 300), (30, 15, 150)])
def test_a_pacer_gives_its_rate_and_no_more(rate: int, source: int, made: int) -> None:
    pacer, count = Pacer(rate), 0
    for number in range(10 * source):
        now = 5.0 + number / source
        if pacer.due(now):
            pacer.spend(now)
            count += 1
    assert abs(count - made) <= 2


def test_a_late_picture_does_not_delay_the_next() -> None:
    pacer = Pacer(30)
    pacer.spend(1.0)
    pacer.spend(1.0 + 1 / 30 + 0.02)
    assert pacer.due(1.0 + 2 / 30)


def test_a_long_pause_saves_up_no_burst() -> None:
    pacer, count = Pacer(30), 0
    pacer.spend(0.0)
    for number in range(100):
        now = 10.0 + number / 1000
        if pacer.due(now):
            pacer.spend(now)
            count += 1
    assert count <= 5


@pytest.mark.parametrize(
    ("source", "room"), [(0, 30), (5, 5), (7.5, 10), (10, 10), (15, 15), (14.2, 15), (25, 30), (60, 30)]
)
def test_a_rooms_rate_follows_the_fastest_source(source: float, room: int) -> None:
    assert room_rate(source) == room


def test_a_join_gets_a_key_frame_at_once() -> None:
    gate = KeyFrameGate()
    gate.served(10.0)
    assert not gate.due(10.01)
    gate.demand()
    assert gate.due(10.02)


def test_a_storm_of_requests_gets_one_key_frame_a_second() -> None:
    gate, given = KeyFrameGate(), []
    for number in range(300):
        now = number / 100
        gate.request()
        if gate.due(now):
            gate.served(now)
            given.append(now)
    assert given == [0.0, KEY_INTERVAL, 2 * KEY_INTERVAL]


def test_a_request_in_between_is_served_later_and_once() -> None:
    gate = KeyFrameGate()
    gate.served(0.0)
    gate.request()
    assert not gate.due(0.5)
    assert gate.due(1.0)
    gate.served(1.0)
    assert not gate.due(5.0)


def test_overload_halves_the_rate_and_rest_restores_it() -> None:
    governor, now = Governor(), 100.0
    for _ in range(OVERLOAD_TICKS):
        governor.observe(now, 0.05, 1 / 30)
        now += 1 / 15
    assert governor.halvings == 1
    assert governor.overloads == 1
    governor.observe(now + RECOVERY_SECONDS, 0.01, 1 / 30)
    assert governor.halvings == 0


def test_one_late_tick_is_no_overload() -> None:
    governor = Governor()
    for number in range(200):
        governor.observe(number / 30, 0.2 if number % 9 == 0 else 0.001, 1 / 30)
    assert governor.overloads == 0


def test_lasting_overload_ends_at_a_quarter_of_the_rate() -> None:
    governor = Governor()
    for number in range(500):
        governor.observe(number / 10, 1.0, 1 / 30)
    assert governor.halvings == MAX_HALVINGS


def test_a_bit_rate_falls_at_once_and_rises_late() -> None:
    gate = RateGate(1_000, 0.0)
    assert gate.offer(500, 1.0)
    assert not gate.offer(900, 2.0)
    assert (gate.taken, gate.held) == (500, 900)
    assert gate.offer(900, 1.0 + RISE_HOLD)
    assert (gate.taken, gate.held) == (900, None)


def test_a_fall_forgets_the_rise_that_was_held() -> None:
    gate = RateGate(1_000, 0.0)
    gate.offer(2_000, 1.0)
    assert gate.held == 2_000
    assert not gate.offer(1_000, 2.0)
    assert gate.held is None
