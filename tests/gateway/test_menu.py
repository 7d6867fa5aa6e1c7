"""The menu's table: each input in each state, and whole conversations. There is no clock and no media here."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gateway.ivr.menu import (
    DOT,
    KNOWN_PAUSE,
    MAX_AHEAD,
    MAX_PIN,
    MAX_ROOM,
    MAX_TRIES,
    PARTING,
    PIN_PAUSE,
    PROMPT,
    SILENCE,
    TABLE,
    UNKNOWN_PAUSE,
    Ask,
    HangUp,
    Input,
    Menu,
    Output,
    Play,
    Show,
    State,
    Wait,
)
from gateway.reasons import Reason

ROOMS = frozenset({"100", "10"})
TYPING, TYPING_PIN = ("enter-room", "clears"), ("enter-pin", "clears")


def begun(room: str = "", fault: Reason | None = None) -> Menu:
    menu = Menu(ROOMS.__contains__, room, fault)
    menu.take(Input.BEGUN)
    return menu


def press(menu: Menu, keys: str) -> list[Output]:
    done: list[Output] = []
    for key in keys:
        done = menu.press(key)
    return done


def asked(keys: str = "") -> Menu:
    menu = begun()
    menu.take(Input.PLAYED)
    press(menu, keys)
    return menu


def asked_pin(keys: str = "") -> Menu:
    menu = asked("100#")
    menu.decided(Reason.PIN_NEEDED)
    press(menu, keys)
    return menu


def goodbye() -> Menu:
    menu = asked("100#")
    menu.decided(Reason.ROOM_FULL)
    return menu


def over() -> Menu:
    menu = asked("100#")
    menu.decided(None)
    return menu


STATES: dict[str, tuple[State, Callable[[], Menu]]] = {
    "greeting": (State.GREETING, begun),
    "room": (State.ROOM, asked),
    "room typed": (State.ROOM, lambda: asked("10")),
    "pin": (State.PIN, asked_pin),
    "pin typed": (State.PIN, lambda: asked_pin("47")),
    "entering": (State.ENTERING, lambda: asked("100#")),
    "goodbye": (State.GOODBYE, goodbye),
    "over": (State.OVER, over),
}
ASKED = [Show, Play, Wait]
TYPED = [Play, Show, Wait]
SENT = [Play, Wait, Ask]
LEADS: dict[tuple[str, Input], tuple[State, list[type]]] = {
    ("greeting", Input.BEGUN): (State.GREETING, ASKED),
    ("greeting", Input.DIGIT): (State.ROOM, TYPED),
    ("greeting", Input.HASH): (State.ROOM, ASKED),
    ("greeting", Input.STAR): (State.ROOM, ASKED),
    ("greeting", Input.PLAYED): (State.ROOM, ASKED),
    ("greeting", Input.EXPIRED): (State.GOODBYE, ASKED),
    ("room", Input.DIGIT): (State.ROOM, TYPED),
    ("room", Input.HASH): (State.ROOM, ASKED),
    ("room", Input.STAR): (State.ROOM, ASKED),
    ("room", Input.PLAYED): (State.ROOM, [Wait]),
    ("room", Input.PAUSED): (State.ROOM, ASKED),
    ("room", Input.SILENT): (State.ROOM, ASKED),
    ("room", Input.EXPIRED): (State.GOODBYE, ASKED),
    ("room typed", Input.DIGIT): (State.ROOM, TYPED),
    ("room typed", Input.HASH): (State.ENTERING, SENT),
    ("room typed", Input.STAR): (State.ROOM, ASKED),
    ("room typed", Input.PLAYED): (State.ROOM, []),
    ("room typed", Input.PAUSED): (State.ENTERING, SENT),
    ("room typed", Input.SILENT): (State.ROOM, ASKED),
    ("room typed", Input.EXPIRED): (State.GOODBYE, ASKED),
    ("pin", Input.DIGIT): (State.PIN, TYPED),
    ("pin", Input.HASH): (State.PIN, ASKED),
    ("pin", Input.STAR): (State.ROOM, ASKED),
    ("pin", Input.PLAYED): (State.PIN, [Wait]),
    ("pin", Input.PAUSED): (State.PIN, ASKED),
    ("pin", Input.SILENT): (State.PIN, ASKED),
    ("pin", Input.EXPIRED): (State.GOODBYE, ASKED),
    ("pin typed", Input.DIGIT): (State.PIN, TYPED),
    ("pin typed", Input.HASH): (State.ENTERING, SENT),
    ("pin typed", Input.STAR): (State.PIN, ASKED),
    ("pin typed", Input.PLAYED): (State.PIN, []),
    ("pin typed", Input.PAUSED): (State.ENTERING, SENT),
    ("pin typed", Input.SILENT): (State.PIN, ASKED),
    ("pin typed", Input.EXPIRED): (State.GOODBYE, ASKED),
    ("entering", Input.DIGIT): (State.ENTERING, []),
    ("entering", Input.HASH): (State.ENTERING, []),
    ("entering", Input.STAR): (State.ENTERING, []),
    ("entering", Input.LET_IN): (State.OVER, [Wait]),
    ("entering", Input.PIN_WANTED): (State.PIN, ASKED),
    ("entering", Input.WRONG_ROOM): (State.ROOM, ASKED),
    ("entering", Input.WRONG_PIN): (State.PIN, ASKED),
    ("entering", Input.TURNED_AWAY): (State.GOODBYE, ASKED),
    ("entering", Input.EXPIRED): (State.GOODBYE, ASKED),
    ("goodbye", Input.PLAYED): (State.GOODBYE, [Wait]),
    ("goodbye", Input.PAUSED): (State.OVER, [Wait, HangUp]),
}


@pytest.mark.parametrize("input", Input)
@pytest.mark.parametrize("start", STATES)
def test_each_input_in_each_state(start: str, input: Input) -> None:
    state, make = STATES[start]
    menu = make()
    assert menu.state is state
    done = menu.take(input, digit="0", reason=Reason.ROOM_FULL)
    assert (menu.state, [type(one) for one in done]) == LEADS.get((start, input), (state, []))


def test_the_cases_above_are_the_whole_table() -> None:
    assert {(STATES[start][0], input) for start, input in LEADS} == set(TABLE)
    assert {state for state, _ in STATES.values()} == set(State)


def test_a_caller_is_greeted_and_asked_for_a_room_and_goes_in() -> None:
    menu = Menu(ROOMS.__contains__)
    assert menu.take(Input.BEGUN) == [
        Show("welcome", ("enter-room",), ""),
        Play(("welcome",)),
        Wait(PROMPT, Input.PLAYED),
    ]
    question = [Show("room-number", ("enter-room",), ""), Play(("enter-room",)), Wait(PROMPT, Input.PLAYED)]
    assert menu.take(Input.PLAYED) == question
    assert menu.take(Input.PLAYED) == [Wait(SILENCE, Input.SILENT)]
    assert menu.press("1") == [Play(), Show("room-number", TYPING, "1"), Wait(UNKNOWN_PAUSE, Input.PAUSED)]
    assert menu.press("0") == [Play(), Show("room-number", TYPING, "10"), Wait(KNOWN_PAUSE, Input.PAUSED)]
    assert menu.press("0") == [Play(), Show("room-number", TYPING, "100"), Wait(KNOWN_PAUSE, Input.PAUSED)]
    assert menu.press("#") == [Play(), Wait(), Ask("100")]
    assert menu.decided(None) == [Wait()]
    assert menu.state is State.OVER


def test_a_pin_is_shown_as_dots_and_asked_for_with_its_room() -> None:
    menu = asked("100#")
    question = [Show("pin", ("enter-pin",), ""), Play(("enter-pin",)), Wait(PROMPT, Input.PLAYED)]
    assert menu.decided(Reason.PIN_NEEDED) == question
    assert press(menu, "47") == [Play(), Show("pin", TYPING_PIN, DOT * 2), Wait(PIN_PAUSE, Input.PAUSED)]
    done = press(menu, "11#")
    assert done == [Play(), Wait(), Ask("100", "4711")]
    assert "4711" not in repr(done)


def test_a_key_breaks_off_the_greeting() -> None:
    menu = begun()
    assert menu.press("1") == [Play(), Show("room-number", TYPING, "1"), Wait(UNKNOWN_PAUSE, Input.PAUSED)]
    menu = begun("100", Reason.PIN_NEEDED)
    assert menu.press("1") == [Play(), Show("pin", TYPING_PIN, DOT), Wait(PIN_PAUSE, Input.PAUSED)]


def test_who_dialled_a_room_is_asked_for_its_pin_alone() -> None:
    menu = begun("100", Reason.PIN_NEEDED)
    assert menu.take(Input.PLAYED)[1] == Play(("enter-pin",))
    assert press(menu, "1#")[-1] == Ask("100", "1")


def test_a_wrong_pin_that_was_dialled_is_the_first_try() -> None:
    menu = Menu(ROOMS.__contains__, "100", Reason.WRONG_PIN)
    assert menu.take(Input.BEGUN)[:2] == [Show("pin", ("wrong-pin", "enter-pin"), ""), Play(("wrong-pin", "enter-pin"))]
    assert (menu.state, menu.tries) == (State.PIN, 1)
    for _ in range(MAX_TRIES - 2):
        press(menu, "1#")
        menu.decided(Reason.WRONG_PIN)
    press(menu, "1#")
    menu.decided(Reason.WRONG_PIN)
    assert menu.state is State.GOODBYE


def test_wrong_rooms_wrong_pins_and_silence_are_tries_and_the_third_ends_the_call() -> None:
    menu = asked("999#")
    assert menu.decided(Reason.NO_SUCH_ROOM)[1] == Play(("wrong-room", "enter-room"))
    assert menu.take(Input.SILENT)[1] == Play(("enter-room",))
    press(menu, "100#")
    menu.decided(Reason.PIN_NEEDED)
    press(menu, "1#")
    said = ("wrong-pin", "too-many-tries")
    shown = Show("goodbye", said)
    assert menu.decided(Reason.WRONG_PIN) == [shown, Play((*said, "goodbye")), Wait(PROMPT, Input.PLAYED)]
    assert menu.press("1") == []
    assert menu.take(Input.PLAYED) == [Wait(PARTING, Input.PAUSED)]
    assert menu.take(Input.PAUSED) == [Wait(), HangUp(Reason.TOO_MANY_TRIES)]


def test_who_says_nothing_is_told_goodbye() -> None:
    menu = asked()
    for _ in range(MAX_TRIES - 1):
        assert menu.take(Input.SILENT)[1] == Play(("enter-room",))
    assert menu.take(Input.SILENT)[1] == Play(("goodbye",))
    assert menu.take(Input.PLAYED) == [Wait(PARTING, Input.PAUSED)]
    assert menu.take(Input.PAUSED) == [Wait(), HangUp(Reason.NO_INPUT)]


def test_who_takes_too_long_is_told_goodbye() -> None:
    menu = asked("1")
    assert menu.take(Input.EXPIRED)[1] == Play(("goodbye",))
    assert menu.take(Input.PLAYED) == [Wait(PARTING, Input.PAUSED)]
    assert menu.take(Input.PAUSED) == [Wait(), HangUp(Reason.NO_INPUT)]


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (Reason.ROOM_FULL, ("room-full", "goodbye")),
        (Reason.ROOM_LOCKED, ("room-locked", "goodbye")),
        (Reason.LOCKED_OUT, ("too-many-tries", "goodbye")),
        (Reason.OVERLOAD, ("goodbye",)),
    ],
)
def test_who_is_turned_away_is_told_why(reason: Reason, said: tuple[str, ...]) -> None:
    menu = asked("100#")
    assert menu.decided(reason)[1] == Play(said)
    assert menu.take(Input.PLAYED) == [Wait(PARTING, Input.PAUSED)]
    assert menu.take(Input.PAUSED) == [Wait(), HangUp(reason)]


def test_star_clears_what_was_typed_and_then_goes_back_to_the_room() -> None:
    menu = asked("1")
    assert menu.press("*")[0] == Show("room-number", ("enter-room",), "")
    assert press(menu, "10#")[-1] == Ask("10")
    menu.decided(Reason.PIN_NEEDED)
    assert press(menu, "4*")[0] == Show("pin", ("enter-pin",), "")
    assert menu.press("*")[0] == Show("room-number", ("enter-room",), "")
    assert press(menu, "100#")[-1] == Ask("100")


def test_star_asks_who_dialled_a_room_for_nothing_but_its_pin() -> None:
    menu = begun("100", Reason.PIN_NEEDED)
    assert menu.press("*")[0] == Show("pin", ("enter-pin",), "")
    assert menu.press("*")[0] == Show("pin", ("enter-pin",), "")


def test_room_and_pin_may_be_typed_in_one_go() -> None:
    menu = asked("100#")
    assert press(menu, "4711#") == []
    assert menu.decided(Reason.PIN_NEEDED)[-1] == Ask("100", "4711")
    press(menu, "99")
    menu.decided(Reason.WRONG_PIN)
    assert menu.state is State.PIN
    assert press(menu, "1#")[-1] == Ask("100", "1"), "what was typed ahead was thrown away"


def test_what_is_typed_is_bounded() -> None:
    menu = asked("1" * 100)
    assert menu.press("#")[-1] == Ask("1" * MAX_ROOM)
    press(menu, "2" * 100)
    assert len(menu._ahead) == MAX_AHEAD
    menu.decided(Reason.PIN_NEEDED)
    assert menu.press("#")[-1] == Ask("1" * MAX_ROOM, "2" * MAX_PIN)


def test_a_room_that_is_gone_by_the_time_of_its_pin_is_asked_for_anew() -> None:
    menu = begun("100", Reason.PIN_NEEDED)
    press(menu, "1#")
    assert menu.decided(Reason.NO_SUCH_ROOM)[1] == Play(("wrong-room", "enter-room"))


@pytest.mark.parametrize("key", ["A", "D", "", "!"])
def test_other_keys_mean_nothing(key: str) -> None:
    assert asked("1").press(key) == []
