"""Which keys mean what, read key by key under a clock that the test turns."""

from __future__ import annotations

import random

import pytest

from gateway.rooms.key_commands import (
    FOR_HOSTS,
    KEY_TIME,
    KEYS,
    MAX_COMMANDS,
    MAX_PIN,
    NO_COMMANDS,
    PIN_TIME,
    PRESETS,
    Action,
    CommandTable,
    KeyReader,
    Pin,
    Read,
    Understood,
    Unknown,
)

PEXIP, RMX, WEBEX = PRESETS["pexip"], PRESETS["rmx"], PRESETS["webex"]
A = Action


def typed(table: CommandTable, keys: str, has_pin: bool = False) -> list[Read]:
    """Return what is read of keys that are pressed fast; a space is a pause."""
    reader, now, found = KeyReader(table, has_pin=has_pin), 0.0, []
    for key in keys:
        if key == " ":
            now += KEY_TIME
            found += reader.expire(now)
        else:
            now += 0.2
            found += reader.press(key, now)
    return found


def actions(table: CommandTable, keys: str) -> list[Action]:
    return [one.action for one in typed(table, keys) if isinstance(one, Understood)]


@pytest.mark.parametrize(
    ("preset", "keys", "action"),
    [
        ("pexip", "*6", A.TOGGLE_MUTE),
        ("pexip", "*5", A.TOGGLE_GUESTS),
        ("pexip", "*7", A.TOGGLE_LOCK),
        ("pexip", "*8", A.LAYOUT),
        ("pexip", "*4", A.SLIDES),
        ("pexip", "#3", A.END),
        ("rmx", "*6", A.MUTE),
        ("rmx", "#6", A.UNMUTE),
        ("rmx", "*5", A.MUTE_GUESTS),
        ("rmx", "#5", A.UNMUTE_GUESTS),
        ("rmx", "*71", A.LOCK),
        ("rmx", "*78", A.HOST),
        ("webex", "*6", A.TOGGLE_MUTE),
        ("webex", "##", A.MUTE_GUESTS),
        ("webex", "99", A.UNMUTE_GUESTS),
        ("webex", "*5", A.TOGGLE_LOCK),
    ],
)
def test_the_presets_have_the_habits_of_their_makers(preset: str, keys: str, action: Action) -> None:
    assert actions(PRESETS[preset], keys) == [action]


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_no_command_of_a_preset_is_the_beginning_of_another_so_that_nobody_waits(preset: str) -> None:
    keys = [one for one, _ in PRESETS[preset].entries]
    assert len(keys) == len(set(keys))
    for one in keys:
        assert not PRESETS[preset].leads(one)


def test_commands_follow_one_another() -> None:
    assert actions(PEXIP, "*6*6#3") == [A.TOGGLE_MUTE, A.TOGGLE_MUTE, A.END]


def test_keys_that_mean_nothing_alone_are_passed_over_and_spoil_no_command() -> None:
    assert typed(PEXIP, "1 2 5") == []
    assert actions(PEXIP, "5*6") == [A.TOGGLE_MUTE]
    assert actions(PEXIP, "**6") == [A.TOGGLE_MUTE]


def test_what_began_like_a_command_and_is_none_is_told() -> None:
    assert typed(PEXIP, "*9") == [Unknown("*9")]
    assert typed(PEXIP, "* ") == [Unknown("*")]
    assert typed(RMX, "*7 ") == [Unknown("*7")]
    assert typed(PEXIP, "*9*6") == [Unknown("*9"), Understood(A.TOGGLE_MUTE, "*6")]


LONGER = CommandTable((("*7", A.LOCK), ("*71", A.UNLOCK), ("*712", A.COUNT)))


@pytest.mark.parametrize(
    ("keys", "wanted"),
    [
        ("*7 ", [A.LOCK]),
        ("*71 ", [A.UNLOCK]),
        ("*712", [A.COUNT]),
        ("*7*7 ", [A.LOCK, A.LOCK]),
        ("*71*712", [A.UNLOCK, A.COUNT]),
    ],
)
def test_the_longest_sequence_counts_and_a_pause_ends_a_shorter_one(keys: str, wanted: list[Action]) -> None:
    assert actions(LONGER, keys) == wanted


def test_a_sequence_is_over_when_its_time_is_and_not_before() -> None:
    reader = KeyReader(LONGER, 2.0)
    assert reader.press("*", 10.0) == []
    assert reader.press("7", 11.0) == []
    assert reader.due == 13.0
    assert reader.expire(12.9) == []
    assert reader.expire(13.0) == [Understood(A.LOCK, "*7")]
    assert (reader.due, reader.expire(99.0)) == (None, [])


def test_digits_alone_are_the_host_pin_where_the_room_has_one() -> None:
    assert typed(PEXIP, "4711#", has_pin=True) == [Pin("4711", asked=False, ended=True)]
    assert typed(PEXIP, "4711 ", has_pin=True) == [Pin("4711", asked=False, ended=False)]
    assert typed(PEXIP, "4711", has_pin=True) == []
    assert typed(PEXIP, "4711#") == []
    assert typed(RMX, "4711# ", has_pin=True) == [Unknown("#")]
    assert typed(PEXIP, "47*6", has_pin=True) == [Understood(A.TOGGLE_MUTE, "*6")]
    assert typed(PEXIP, "1" * MAX_PIN, has_pin=True) == [Pin("1" * MAX_PIN, asked=False, ended=False)]


def test_a_table_with_digits_reads_pins_that_begin_like_a_command() -> None:
    table = WEBEX.changed({"pin": A.HOST})
    assert typed(table, "9123#", has_pin=True) == [Pin("9123", asked=False, ended=True)]
    assert typed(table, "99", has_pin=True) == [Understood(A.UNMUTE_GUESTS, "99")]


def test_a_pin_that_was_asked_for_takes_every_digit_and_longer() -> None:
    reader = KeyReader(WEBEX)
    reader.ask_pin(10.0)
    assert reader.due == 10.0 + PIN_TIME
    for number, key in enumerate("9911"):
        assert reader.secret(key)
        assert reader.press(key, 11.0 + number) == []
    assert reader.press("#", 15.0) == [Pin("9911", asked=True, ended=True)]
    assert not reader.asking
    assert reader.press("*", 16.0) == []
    assert reader.press("6", 16.1) == [Understood(A.TOGGLE_MUTE, "*6")]


def test_a_pin_that_was_asked_for_is_given_up_by_a_star_and_by_a_pause() -> None:
    reader = KeyReader(PEXIP)
    reader.ask_pin(0.0)
    reader.press("1", 1.0)
    assert reader.press("*", 2.0) == [Pin("", asked=True, ended=False)]
    reader.ask_pin(3.0)
    reader.press("1", 4.0)
    assert reader.expire(4.0 + PIN_TIME) == [Pin("1", asked=True, ended=False)]


def test_keys_that_may_be_a_pin_are_secret_and_commands_are_not() -> None:
    reader = KeyReader(PEXIP, has_pin=True)
    assert reader.secret("4")
    reader.press("4", 0.0)
    assert reader.secret("7")
    assert not reader.secret("*")
    reader.press("*", 0.1)
    assert not reader.secret("6")
    assert "4711" not in repr(Pin("4711", True, True))
    assert not KeyReader(PEXIP).secret("4")
    assert not KeyReader(RMX, has_pin=True).secret("4")


def test_entries_of_one_s_own_win_and_take_away() -> None:
    table = PEXIP.changed({"*6": A.COUNT, "#3": None, "11": A.LAYOUT, "pin": None})
    assert actions(table, "*6") == [A.COUNT]
    assert actions(table, "#3") == []
    assert actions(table, "11") == [A.LAYOUT]
    assert not table.pin_alone
    assert NO_COMMANDS.changed({"pin": A.HOST}).pin_alone


@pytest.mark.parametrize("keys", ["", "6x", "*123456789", " *6", "pins"])
def test_keys_that_there_are_not_are_no_entry(keys: str) -> None:
    with pytest.raises(ValueError, match="keys"):
        PEXIP.changed({keys: A.MUTE})


def test_a_table_has_a_bound() -> None:
    with pytest.raises(ValueError, match="more than"):
        NO_COMMANDS.changed({f"*{number:03}": A.MUTE for number in range(MAX_COMMANDS + 1)})
    with pytest.raises(ValueError, match="host"):
        NO_COMMANDS.changed({"pin": A.MUTE})


def test_what_touches_others_is_for_hosts() -> None:
    assert Action.END in FOR_HOSTS
    for own in (A.MUTE, A.UNMUTE, A.TOGGLE_MUTE, A.SLIDES, A.HOST, A.COUNT):
        assert own not in FOR_HOSTS


def test_any_keys_at_any_pace_are_read_without_an_end_and_without_growing() -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    for _ in range(100):
        table = chance.choice([*PRESETS.values(), LONGER])
        reader, now = KeyReader(table, has_pin=chance.random() < 0.5), 0.0
        for _ in range(200):
            now += chance.choice([0.1, 0.3, 1.0, KEY_TIME, PIN_TIME])
            if chance.random() < 0.05:
                reader.ask_pin(now)
            reader.expire(now)
            assert reader.due is None or reader.due > now, f"seed {seed}"
            reader.press(chance.choice(KEYS), now)
            assert len(reader._typed) <= MAX_PIN, f"seed {seed}"
            assert reader.due is not None or not reader._typed, f"seed {seed}"
