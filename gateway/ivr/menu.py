"""The menu: asks a caller for a room and its PIN. Pure: inputs in, outputs out, no clock and no media.

Theory of operation. Each question is played and shown; a key breaks the prompt off, # ends what was typed, * clears it,
and a pause ends it too: a short one where a room has this number, a longer one elsewhere. What was typed goes to the
entrance (`Ask`), which decides; meanwhile keys are kept, for many type room and PIN in one go. Wrong rooms, wrong PINs
and silence count as tries; after the third the caller is told goodbye.

    GREETING --> ROOM --# or pause--> ENTERING --let in--> OVER
       |          ^ <-- no such room ---' | ^
       |          '---- * without PIN --. | PIN needed or wrong
       '--------------------------------> PIN --# or pause--> ENTERING
    any --three tries, or refused--> GOODBYE --played, a moment later--> OVER

A timer is part of it: `Wait` says which input comes after so many seconds if no other output of that kind came before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from gateway.reasons import Reason

MAX_TRIES = 3
"""Wrong or missing answers in one call."""
MAX_ROOM = 32
"""Digits of a room's number; more are not taken."""
MAX_PIN = 16
"""Digits of a PIN, as in the configuration."""
MAX_AHEAD = 48
"""Keys that are kept while the entrance decides: the longest PIN and what ends it, typed twice and more."""
KNOWN_PAUSE = 3.0
"""Seconds without a key after which a number that a room has counts as complete."""
UNKNOWN_PAUSE = 7.0
"""The same of any other number: somebody looks for the next digit."""
PIN_PAUSE = 6.0
"""The same of a PIN. It is longer, for a PIN that is cut short counts as wrong."""
SILENCE = 10.0
"""Seconds after a question in which nothing was typed."""
PARTING = 0.7
"""Seconds from the last word to the end of the call: the caller's end still has some of it to play."""
PROMPT = 20.0
"""Seconds after which a prompt counts as heard, if nobody tells of its end: a leg may have no sound at all."""


class State(Enum):
    """Where the menu is."""

    GREETING = "greeting"
    ROOM = "room"
    PIN = "pin"
    ENTERING = "entering"
    GOODBYE = "goodbye"
    OVER = "over"


class Input(Enum):
    """What can happen: keys, the end of a prompt, timers, and what the entrance decided."""

    BEGUN = "begun"
    DIGIT = "digit"
    HASH = "hash"
    STAR = "star"
    PLAYED = "played"
    PAUSED = "paused"
    SILENT = "silent"
    EXPIRED = "expired"
    LET_IN = "let in"
    PIN_WANTED = "pin wanted"
    WRONG_ROOM = "wrong room"
    WRONG_PIN = "wrong pin"
    TURNED_AWAY = "turned away"


@dataclass(frozen=True, slots=True)
class Play:
    """Play these prompts one after the other, and break off what plays; none: only that."""

    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Show:
    """Show a title and lines, which have the names of texts, and what was typed (None: nothing is asked for)."""

    title: str
    lines: tuple[str, ...]
    entry: str | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask the entrance to let the caller in."""

    room: str
    pin: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Wait:
    """Give this input after so many seconds, and forget the wait before; None: wait for nothing."""

    seconds: float = 0.0
    then: Input | None = None


@dataclass(frozen=True, slots=True)
class HangUp:
    """End the call."""

    reason: Reason


Output = Play | Show | Ask | Wait | HangUp

DECISIONS = {
    Reason.NO_SUCH_ROOM: Input.WRONG_ROOM,
    Reason.PIN_NEEDED: Input.PIN_WANTED,
    Reason.WRONG_PIN: Input.WRONG_PIN,
}
"""What a refusal of the entrance is to the menu; any other one turns the caller away."""
SPOKEN = {
    Reason.ROOM_FULL: ("room-full",),
    Reason.ROOM_LOCKED: ("room-locked",),
    Reason.LOCKED_OUT: ("too-many-tries",),
}
"""What is said to a caller who is turned away, before goodbye."""
DOT = "•"
"""Stands for a digit of a PIN on the slate."""


class Menu:
    """One caller's way through the menu.

    room is where it wants to go already, empty where it is to be asked; fault why it was not let in, where it gave
    something wrong (a PIN that it dialled), which is its first try. is_room tells whether a room has a number.
    """

    def __init__(self, is_room: Callable[[str], bool], room: str = "", fault: Reason | None = None) -> None:
        self.state = State.GREETING
        self.room = room
        self.tries = 0
        self._is_room = is_room
        self._fault = fault if fault is Reason.WRONG_PIN else None
        self._asks_room = not room
        self._typed = ""
        self._last = ""
        self._ahead = ""
        self._reason = Reason.NORMAL

    def take(self, input: Input, digit: str = "", reason: Reason = Reason.NORMAL) -> list[Output]:
        """Take an input and return what is to be done; digit belongs to DIGIT, reason to TURNED_AWAY."""
        step = TABLE.get((self.state, input))
        if step is None:
            return []
        if input is Input.DIGIT:
            self._last = digit
        if input is Input.TURNED_AWAY:
            self._reason = reason
        return step(self)

    def press(self, key: str) -> list[Output]:
        """Take a key; A to D mean nothing here."""
        if key in "0123456789" and key:
            return self.take(Input.DIGIT, key)
        return self.take(Input.HASH) if key == "#" else self.take(Input.STAR) if key == "*" else []

    def decided(self, reason: Reason | None) -> list[Output]:
        """Take what the entrance decided: None lets the caller in."""
        if reason is None:
            return self.take(Input.LET_IN)
        return self.take(DECISIONS.get(reason, Input.TURNED_AWAY), reason=reason)

    # the questions

    @property
    def _question(self) -> str:
        return "enter-pin" if self.room else "enter-room"

    @property
    def _title(self) -> str:
        return "pin" if self.room else "room-number"

    def _greet(self) -> list[Output]:
        if self._fault is not None:
            return self._wrong_pin()
        return [Show("welcome", (self._question,), ""), Play(("welcome",)), Wait(PROMPT, Input.PLAYED)]

    def _ask(self, *before: str) -> list[Output]:
        """Put the question that is open, after what is to be said before it."""
        self.state = State.PIN if self.room else State.ROOM
        self._typed = ""
        lines = (*before, self._question)
        return [Show(self._title, lines, ""), Play(lines), Wait(PROMPT, Input.PLAYED)]

    def _skip_greeting(self) -> list[Output]:
        return self._ask()

    def _listen(self) -> list[Output]:
        return [] if self._typed else [Wait(SILENCE, Input.SILENT)]

    def _silent(self) -> list[Output]:
        return self._failed((), Reason.NO_INPUT)

    # what is typed

    def _first_digit(self) -> list[Output]:
        self.state = State.PIN if self.room else State.ROOM
        return self._digit()

    def _digit(self) -> list[Output]:
        if len(self._typed) < (MAX_PIN if self.room else MAX_ROOM):
            self._typed += self._last
        pause = PIN_PAUSE if self.room else KNOWN_PAUSE if self._is_room(self._typed) else UNKNOWN_PAUSE
        return [Play(), Show(self._title, (self._question, "clears"), self._shown), Wait(pause, Input.PAUSED)]

    @property
    def _shown(self) -> str:
        return DOT * len(self._typed) if self.room else self._typed

    def _star(self) -> list[Output]:
        """Clear what was typed; without anything typed, go back from the PIN to the room."""
        if not self._typed and self._asks_room:
            self.room = ""
        return self._ask()

    def _finish(self) -> list[Output]:
        if not self._typed:
            return self._ask()
        self.state, self._ahead = State.ENTERING, ""
        typed, self._typed = self._typed, ""
        if self.room:
            return [Play(), Wait(), Ask(self.room, typed)]
        self.room = typed
        return [Play(), Wait(), Ask(typed)]

    def _keep_digit(self) -> list[Output]:
        return self._keep(self._last)

    def _keep_hash(self) -> list[Output]:
        return self._keep("#")

    def _keep_star(self) -> list[Output]:
        return self._keep("*")

    def _keep(self, key: str) -> list[Output]:
        if len(self._ahead) < MAX_AHEAD:
            self._ahead += key
        return []

    # what was decided

    def _let_in(self) -> list[Output]:
        self.state = State.OVER
        return [Wait()]

    def _pin_wanted(self) -> list[Output]:
        ahead, self._ahead = self._ahead, ""
        done = self._ask()
        for key in ahead:
            done += self.press(key)
        return done

    def _wrong_room(self) -> list[Output]:
        self.room, self._asks_room = "", True
        return self._failed(("wrong-room",), Reason.TOO_MANY_TRIES)

    def _wrong_pin(self) -> list[Output]:
        return self._failed(("wrong-pin",), Reason.TOO_MANY_TRIES)

    def _failed(self, said: tuple[str, ...], reason: Reason) -> list[Output]:
        """Count a try, and ask again or say goodbye. What was typed ahead was meant for another question."""
        self.tries += 1
        self._ahead = ""
        if self.tries < MAX_TRIES:
            return self._ask(*said)
        self._reason = reason
        return self._goodbye((*said, "too-many-tries") if said else ())

    def _turned_away(self) -> list[Output]:
        return self._goodbye(SPOKEN.get(self._reason, ()))

    def _expired(self) -> list[Output]:
        self._reason = Reason.NO_INPUT
        return self._goodbye(())

    def _goodbye(self, said: tuple[str, ...]) -> list[Output]:
        self.state, self._typed = State.GOODBYE, ""
        return [Show("goodbye", said), Play((*said, "goodbye")), Wait(PROMPT, Input.PLAYED)]

    def _part(self) -> list[Output]:
        return [Wait(PARTING, Input.PAUSED)]

    def _hang_up(self) -> list[Output]:
        self.state = State.OVER
        return [Wait(), HangUp(self._reason)]


Step = Callable[[Menu], list[Output]]

_QUESTION: dict[Input, Step] = {
    Input.DIGIT: Menu._digit,
    Input.HASH: Menu._finish,
    Input.STAR: Menu._star,
    Input.PLAYED: Menu._listen,
    Input.PAUSED: Menu._finish,
    Input.SILENT: Menu._silent,
    Input.EXPIRED: Menu._expired,
}
_STATES: dict[State, dict[Input, Step]] = {
    State.GREETING: {
        Input.BEGUN: Menu._greet,
        Input.DIGIT: Menu._first_digit,
        Input.HASH: Menu._skip_greeting,
        Input.STAR: Menu._skip_greeting,
        Input.PLAYED: Menu._skip_greeting,
        Input.EXPIRED: Menu._expired,
    },
    State.ROOM: _QUESTION,
    State.PIN: _QUESTION,
    State.ENTERING: {
        Input.DIGIT: Menu._keep_digit,
        Input.HASH: Menu._keep_hash,
        Input.STAR: Menu._keep_star,
        Input.LET_IN: Menu._let_in,
        Input.PIN_WANTED: Menu._pin_wanted,
        Input.WRONG_ROOM: Menu._wrong_room,
        Input.WRONG_PIN: Menu._wrong_pin,
        Input.TURNED_AWAY: Menu._turned_away,
        Input.EXPIRED: Menu._expired,
    },
    State.GOODBYE: {Input.PLAYED: Menu._part, Input.PAUSED: Menu._hang_up},
    State.OVER: {},
}
TABLE: dict[tuple[State, Input], Step] = {
    (state, input): step for state, steps in _STATES.items() for input, step in steps.items()
}
"""What each input does in each state; one that does not stand here does nothing."""
