"""Keys that several sources tell of: each press counts once, under a clock that the test turns."""

from __future__ import annotations

import random

import pytest
from test_desk import House, RecordingLine, facts

from gateway.calls import KeyWay
from gateway.rooms.keys import MAX_LENGTH, MAX_PRESSES, WINDOW, KeyJoiner, Source
from gateway.rooms.model import KeyPressed
from transcode.events import Dtmf, KeySource

EVENT, TONE, INFO = KeySource.EVENT, KeySource.TONE, KeyWay.INFO
SIGNAL, TEXT, KEYPAD = KeyWay.SIGNAL, KeyWay.ALPHANUMERIC, KeyWay.KEYPAD


def counted(*told: tuple[float, str, Source], duration: int = 100) -> list[str]:
    """Return the digits that count, of what is told as (time, digit, source)."""
    keys = KeyJoiner()
    return [digit for at, digit, source in told if keys.press(digit, duration, source, at)]


@pytest.mark.parametrize(
    ("first", "second"), [(EVENT, TONE), (TONE, EVENT), (EVENT, INFO), (SIGNAL, TEXT), (TEXT, KEYPAD)]
)
def test_a_press_that_two_sources_tell_of_counts_once(first: Source, second: Source) -> None:
    assert counted((1.0, "5", first), (1.0, "5", second)) == ["5"]
    assert counted((1.0, "5", first), (1.0 + WINDOW, "5", second)) == ["5"]
    assert counted((1.0, "5", first), (1.3 + WINDOW, "5", second)) == ["5", "5"]


@pytest.mark.parametrize("source", [EVENT, TONE, INFO, SIGNAL, TEXT, KEYPAD, KeyWay.PAGE])
def test_the_same_source_twice_is_two_presses(source: Source) -> None:
    assert counted((1.0, "5", source), (1.05, "5", source)) == ["5", "5"]


def test_different_digits_are_different_presses_whoever_tells() -> None:
    assert counted((1.0, "5", EVENT), (1.0, "6", TONE), (1.1, "6", EVENT), (1.1, "5", TONE)) == ["5", "6"]


def test_fast_presses_of_one_key_are_paired_in_their_order() -> None:
    told = [
        (1.0, "9", EVENT),
        (1.2, "9", EVENT),
        (1.25, "9", TONE),
        (1.4, "9", EVENT),
        (1.45, "9", TONE),
        (1.6, "9", TONE),
    ]
    assert counted(*told) == ["9", "9", "9"]


def test_three_sources_may_tell_of_one_press() -> None:
    assert counted((1.0, "#", SIGNAL), (1.02, "#", TEXT), (1.2, "#", EVENT), (1.3, "#", SIGNAL)) == ["#", "#"]


def test_a_key_held_down_long_is_told_at_both_its_ends() -> None:
    keys = KeyJoiner()
    assert keys.press("*", 100, TONE, 1.0)
    assert not keys.press("*", 3_000, EVENT, 4.0)
    assert keys.press("*", 100, TONE, 4.1)


def test_no_peer_makes_a_press_last_for_ever() -> None:
    keys = KeyJoiner()
    assert keys.press("1", 10**9, EVENT, 1.0)
    assert keys.press("1", -5, TONE, 1.1 + WINDOW + MAX_LENGTH / 1000)


def test_little_is_remembered_however_fast_keys_come() -> None:
    keys = KeyJoiner()
    for number in range(10 * MAX_PRESSES):
        keys.press("1", 100, EVENT, number / 1000)
    assert len(keys._presses) == MAX_PRESSES


def test_any_number_of_sources_in_any_order_of_arrival_counts_what_was_pressed() -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    for _ in range(200):
        pressed = [chance.choice("0123456789*#") for _ in range(12)]
        sources = chance.sample([EVENT, TONE, INFO, SIGNAL, TEXT, KEYPAD], chance.randint(1, 4))
        late = {source: chance.uniform(0.0, 0.3) for source in sources}
        told = [
            (0.25 * number + late[source], digit, source) for number, digit in enumerate(pressed) for source in sources
        ]
        count = len(counted(*sorted(told, key=lambda one: one[0])))
        assert count == len(pressed), f"seed {seed}: {pressed} from {late}"


async def test_media_and_signalling_meet_in_the_call() -> None:
    house = House()
    call = await house.desk.arrive(facts(), RecordingLine())
    await call.connected()
    await house.desk._media_event(Dtmf(call.leg, "5", 100))
    await call.dtmf("5", 100)
    await house.desk._media_event(Dtmf(call.leg, "5", 100, KeySource.TONE))
    await call.dtmf("5", 100, KeyWay.INFO)
    assert [event.digit for event in house.events if isinstance(event, KeyPressed)] == ["5", "5"]
