"""Echo: what comes in leaves a second later, in order, and keys are confirmed one after the other."""

from __future__ import annotations

import numpy as np
import pytest

from transcode.echo import DELAY_TICKS, ECHO_DELAY, MAX_KEYS, MAX_OCTETS, MAX_PICTURES, TONES, PictureEcho, SoundEcho
from transcode.frames import EncodedFrame
from transcode.media import Codec


def frame(number: int = 0, size: int = 100, key: bool = False) -> EncodedFrame:
    return EncodedFrame(Codec.H264, bytes(size), number, key, arrival=5.0)


def level(sound: np.ndarray, rate: int, frequency: float) -> float:
    at = np.arange(len(sound)) / rate
    return float(2 * abs(np.dot(sound, np.exp(-2j * np.pi * frequency * at))) / len(sound))


def test_sound_leaves_a_second_later_at_the_rate_that_it_came_with() -> None:
    echo = SoundEcho()
    wide = np.full(320, 0.5, np.float32)
    assert not echo.next(wide, 16000).any()
    for _ in range(DELAY_TICKS - 1):
        assert not echo.next(None, 8000).any()
    assert np.array_equal(echo.next(None, 8000), wide)
    assert len(echo.next(None, 8000)) == 160


@pytest.mark.parametrize("key", TONES)
@pytest.mark.parametrize("rate", [8000, 48000])
def test_each_key_is_its_own_two_tones_one_after_the_other(key: str, rate: int) -> None:
    echo = SoundEcho()
    echo.confirm(key)
    heard = np.concatenate([echo.next(None, rate) for _ in range(20)])
    row, column = TONES[key]
    first, second, rest = heard[: rate * 12 // 100], heard[rate * 12 // 100 : rate * 24 // 100], heard[rate // 4 :]
    assert level(first, rate, row) > 0.15 > 0.03 > level(first, rate, column)
    assert level(second, rate, column) > 0.15 > 0.03 > level(second, rate, row)
    assert not rest.any()
    assert abs(np.diff(heard)).max() < 0.25


def test_keys_wait_for_one_another_and_a_storm_of_them_is_bounded() -> None:
    echo = SoundEcho()
    for _ in range(1000):
        echo.confirm("1")
    echo.confirm("x")
    heard = np.concatenate([echo.next(None, 8000) for _ in range(400)])
    sounding = np.flatnonzero(np.abs(heard) > 0.01)
    assert sounding[-1] / 8000 == pytest.approx(MAX_KEYS * 0.3 - 0.06, abs=0.01)


def test_a_key_is_heard_together_with_the_echo() -> None:
    echo = SoundEcho()
    at = np.arange(160) / 8000
    tone = (0.2 * np.sin(2 * np.pi * 1000 * at)).astype(np.float32)
    for _ in range(DELAY_TICKS):
        echo.next(tone, 8000)
    echo.confirm("1")
    heard = np.concatenate([echo.next(tone, 8000) for _ in range(6)])
    assert level(heard, 8000, 1000) == pytest.approx(0.2, abs=0.03)
    assert level(heard, 8000, 697) == pytest.approx(0.2, abs=0.03)


def test_pictures_leave_a_second_later_and_their_arrival_with_them() -> None:
    echo = PictureEcho()
    echo.push(frame(1, key=True), 10.0)
    echo.push(frame(2), 10.04)
    assert echo.holds_key
    assert echo.pop(10.0 + ECHO_DELAY - 0.01) == []
    (first,) = echo.pop(10.0 + ECHO_DELAY + 0.01)
    assert first.timestamp == 1
    assert first.arrival == pytest.approx(5.0 + ECHO_DELAY + 0.01)
    assert not echo.holds_key
    assert [one.timestamp for one in echo.pop(10.05, delay=0.0)] == [2]
    assert not echo


def test_too_many_or_too_large_pictures_leave_sooner() -> None:
    echo = PictureEcho()
    for number in range(1000):
        echo.push(frame(number), 10.0)
    assert [one.timestamp for one in echo.pop(10.0)] == list(range(1000 - MAX_PICTURES))
    assert len(echo) == MAX_PICTURES
    echo.push(frame(size=MAX_OCTETS), 10.0)
    assert len(echo.pop(10.0)) == MAX_PICTURES
    assert len(echo) == 1
