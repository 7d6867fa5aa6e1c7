"""Commands by keys: which keys mean what, and how they are read one by one. Pure: the clock is handed in.

A table says what sequences mean. They are read by the longest match: a sequence that may go on is held for the table's
time between two keys, all others take effect at once. What begins no command is passed over; what began like one and
became none is `Unknown`. Where a room has a host PIN and the table says so, digits alone are read as that PIN, until
`#` or a pause. After `ask_pin` all digits are, for longer.

    typed   *      *7       *71              *7 and a pause     *9           4711#
    read    (held) (held)   Understood(*71)  Understood(*7)     Unknown(*9)  Pin(4711)

Digits of PINs are `secret`: they stand in no event and no log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

KEYS = "0123456789*#ABCD"
MAX_KEYS = 8
"""Keys of one command: more nobody remembers."""
MAX_COMMANDS = 64
"""Commands of one table."""
MAX_PIN = 16
"""Digits of a PIN, as in the configuration."""
KEY_TIME = 3.0
"""Seconds between two keys, after which a sequence is over: people look at the remote control in between."""
PIN_TIME = 15.0
"""Seconds between two digits of a PIN that was asked for: somebody looks it up."""
PIN_ALONE = "pin"
"""What stands in a table for the digits of the room's host PIN."""


class Action(Enum):
    """What a command does."""

    MUTE = "mute"
    UNMUTE = "unmute"
    TOGGLE_MUTE = "toggle-mute"
    MUTE_GUESTS = "mute-guests"
    UNMUTE_GUESTS = "unmute-guests"
    TOGGLE_GUESTS = "toggle-guests"
    LOCK = "lock"
    UNLOCK = "unlock"
    TOGGLE_LOCK = "toggle-lock"
    LAYOUT = "layout"
    SLIDES = "slides"
    END = "end"
    HOST = "host"
    ADMIT = "admit"
    REFUSE = "refuse"
    COUNT = "count"


FOR_HOSTS = frozenset(
    {
        Action.MUTE_GUESTS,
        Action.UNMUTE_GUESTS,
        Action.TOGGLE_GUESTS,
        Action.LOCK,
        Action.UNLOCK,
        Action.TOGGLE_LOCK,
        Action.LAYOUT,
        Action.END,
        Action.ADMIT,
        Action.REFUSE,
    }
)
"""What touches others, and is refused to guests."""


@dataclass(frozen=True, slots=True)
class CommandTable:
    """What sequences of keys mean; pin_alone: the digits of the room's host PIN make a host of who presses them."""

    entries: tuple[tuple[str, Action], ...] = ()
    pin_alone: bool = False

    def action(self, keys: str) -> Action | None:
        """Return what a sequence means."""
        return next((action for known, action in self.entries if known == keys), None)

    def leads(self, keys: str) -> bool:
        """Tell whether a longer sequence begins so."""
        return any(len(known) > len(keys) and known.startswith(keys) for known, _ in self.entries)

    def longest(self, keys: str) -> str:
        """Return the longest command that a sequence begins with, empty for none."""
        return max((known for known, _ in self.entries if keys.startswith(known)), key=len, default="")

    def changed(self, entries: Mapping[str, Action | None]) -> CommandTable:
        """Return this table with entries of one's own; None takes one away. `PIN_ALONE` may be Action.HOST or None.

        Raises ValueError for keys that there are not, and for too many.
        """
        known = dict(self.entries)
        pin_alone = self.pin_alone
        for keys, action in entries.items():
            if keys == PIN_ALONE:
                if action not in (None, Action.HOST):
                    raise ValueError(f"{PIN_ALONE!r} makes a host, or nothing")
                pin_alone = action is Action.HOST
                continue
            if not 1 <= len(keys) <= MAX_KEYS or any(key not in KEYS for key in keys):
                raise ValueError(f"{keys!r} is not one to {MAX_KEYS} of the keys {KEYS}")
            known.pop(keys, None)
            if action is not None:
                known[keys] = action
        if len(known) > MAX_COMMANDS:
            raise ValueError(f"more than {MAX_COMMANDS} commands")
        return replace(self, entries=tuple(known.items()), pin_alone=pin_alone)


NO_COMMANDS = CommandTable()
PRESETS: dict[str, CommandTable] = {
    "pexip": CommandTable(
        (
            ("*6", Action.TOGGLE_MUTE),
            ("*5", Action.TOGGLE_GUESTS),
            ("*7", Action.TOGGLE_LOCK),
            ("*8", Action.LAYOUT),
            ("*4", Action.SLIDES),
            ("*1", Action.ADMIT),
            ("*2", Action.REFUSE),
            ("*3", Action.COUNT),
            ("#3", Action.END),
        ),
        pin_alone=True,
    ),
    "rmx": CommandTable(
        (
            ("*6", Action.MUTE),
            ("#6", Action.UNMUTE),
            ("*5", Action.MUTE_GUESTS),
            ("#5", Action.UNMUTE_GUESTS),
            ("*71", Action.LOCK),
            ("#71", Action.UNLOCK),
            ("*78", Action.HOST),
            ("*4", Action.ADMIT),
            ("#4", Action.REFUSE),
            ("*0", Action.COUNT),
        )
    ),
    "webex": CommandTable(
        (
            ("*6", Action.TOGGLE_MUTE),
            ("##", Action.MUTE_GUESTS),
            ("99", Action.UNMUTE_GUESTS),
            ("*5", Action.TOGGLE_LOCK),
            ("*1", Action.ADMIT),
            ("*2", Action.REFUSE),
            ("*3", Action.COUNT),
        )
    ),
    "none": NO_COMMANDS,
}
"""Tables by name: the habits of three makers where they have one, and what they have no key for beside that."""


@dataclass(frozen=True, slots=True)
class Understood:
    """A command was given."""

    action: Action
    keys: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """Keys that began like a command and are none."""

    keys: str


@dataclass(frozen=True, slots=True)
class Pin:
    """Digits that are meant as a PIN. asked: it was asked for; ended: by `#`, and not by a pause."""

    digits: str = field(repr=False)
    asked: bool
    ended: bool


Read = Understood | Unknown | Pin


class KeyReader:
    """The keys of one participant. has_pin: the room has a host PIN, so that digits may be one."""

    def __init__(self, table: CommandTable, key_time: float = KEY_TIME, has_pin: bool = False) -> None:
        self.table = table
        self.has_pin = has_pin
        self.due: float | None = None
        """When the sequence is over if no key follows; None while nothing is typed."""
        self.asking = False
        """Whether a PIN was asked for."""
        self._key_time = key_time
        self._typed = ""

    def ask_pin(self, now: float) -> None:
        """Read digits as a PIN from now on, once."""
        self.asking = True
        self._typed = ""
        self.due = now + PIN_TIME

    def secret(self, key: str) -> bool:
        """Tell whether a key that is pressed next may belong to a PIN."""
        return self.asking or (self._reads_pins and key.isdigit() and (self._typed + key).isdigit())

    @property
    def _reads_pins(self) -> bool:
        return self.has_pin and self.table.pin_alone

    def press(self, key: str, now: float) -> list[Read]:
        """Take one key and return what it completes."""
        if self.asking:
            return self._digit_of_pin(key, now)
        found: list[Read] = []
        self._typed += key
        while self._typed:
            if self.table.leads(self._typed):
                break
            known = self.table.longest(self._typed)
            if known:
                found.append(Understood(self._action(known), known))
                self._typed = self._typed[len(known) :]
            elif self._reads_pins and self._typed.rstrip("#").isdigit():
                if not self._typed.endswith("#") and len(self._typed) < MAX_PIN:
                    break
                found.append(Pin(self._typed.rstrip("#"), False, self._typed.endswith("#")))
                self._typed = ""
            else:
                found += self._fail()
        self.due = now + self._key_time if self._typed else None
        return found

    def _action(self, keys: str) -> Action:
        action = self.table.action(keys)
        assert action is not None
        return action

    def _fail(self) -> list[Read]:
        """What was typed is no command: forget it, but for a last key that may begin one."""
        typed, last = self._typed, self._typed[-1]
        begins = len(typed) > 1 and (self.table.leads(last) or self.table.action(last) is not None)
        self._typed = last if begins else ""
        # A single key that begins nothing is somebody's habit; so is a digit too many before a command.
        return [] if len(typed) == 1 or begins else [Unknown(typed)]

    def _digit_of_pin(self, key: str, now: float) -> list[Read]:
        if key.isdigit():
            self._typed += key
            self.due = now + PIN_TIME
            if len(self._typed) < MAX_PIN:
                return []
        typed, self._typed = self._typed, ""
        self.asking, self.due = False, None
        return [Pin(typed if key != "*" else "", True, key == "#")]

    def expire(self, now: float) -> list[Read]:
        """Return what a pause completes; nothing before `due`."""
        if self.due is None or now < self.due:
            return []
        typed, asking = self._typed, self.asking
        self._typed, self.asking, self.due = "", False, None
        if asking:
            return [Pin(typed, True, False)]
        known = self.table.longest(typed)
        if known:
            rest = typed[len(known) :]
            return [Understood(self._action(known), known), *([Unknown(rest)] if rest else [])]
        if self._reads_pins and typed.isdigit():
            return [Pin(typed, False, False)]
        return [Unknown(typed)] if typed else []
