"""What keys mean in rooms, and whom rooms call by themselves: in the configuration, the API and the database alike."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError, field_validator, model_validator

from gateway.config_base import Section
from gateway.reasons import Refused
from gateway.rooms.dial_lists import MAX_LIST
from gateway.rooms.key_commands import KEY_TIME, MAX_COMMANDS, PIN_ALONE, PRESETS, Action, CommandTable
from gateway.rooms.model import AutoDial, DialTime
from gateway.rooms.outbound import read_target
from gateway.rooms.redialling import LONGEST_PAUSE, MAX_RETRIES, PAUSE, SHORTEST_PAUSE

NOTHING = "nothing"
"""What stands in a table for a sequence that the preset has, and that is to do nothing."""

Preset = Literal["pexip", "rmx", "webex", "none"]


class CommandsConfig(Section):
    """What keys mean: a preset, and entries of one's own that win over it. A preset's bare name stands for it."""

    preset: Preset = "pexip"
    keys: dict[str, str] = Field(default={}, max_length=MAX_COMMANDS)

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        return {"preset": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _makes_sense(self) -> CommandsConfig:
        self.table()
        return self

    def table(self) -> CommandTable:
        """Return the table that this is. Raises ValueError."""
        entries: dict[str, Action | None] = {}
        for keys, word in self.keys.items():
            if word not in _ACTIONS:
                raise ValueError(f"{word!r} is no command; there are {', '.join(sorted(_ACTIONS))}")
            entries[keys] = _ACTIONS[word]
        return PRESETS[self.preset].changed(entries)


_ACTIONS: dict[str, Action | None] = {**{action.value: action for action in Action}, NOTHING: None}


class HouseCommandsConfig(CommandsConfig):
    """The same for all rooms that have no table of their own; key_time is the pause in s that ends a sequence."""

    key_time: Annotated[float, Field(ge=1, le=10)] = KEY_TIME


class AutoDialConfig(Section):
    """Somebody whom a room calls by itself: when the first one joins, or always. pause is in seconds."""

    target: Annotated[str, Field(max_length=256)]
    trunk: Annotated[str, Field(max_length=64)] = ""
    name: Annotated[str, Field(max_length=64)] = ""
    when: DialTime = DialTime.FIRST_JOINS
    keep_connected: bool = False
    retries: Annotated[int, Field(ge=0, le=MAX_RETRIES)] = 0
    pause: Annotated[float, Field(ge=SHORTEST_PAUSE, le=LONGEST_PAUSE)] = PAUSE

    @field_validator("target")
    @classmethod
    def _is_address(cls, value: str) -> str:
        try:
            read_target(value)
        except Refused as refused:
            raise ValueError(refused.detail) from None
        return value

    def entry(self) -> AutoDial:
        """Return the entry that this is."""
        return AutoDial(
            self.target, self.trunk, self.name, self.when, self.keep_connected, self.retries, float(self.pause)
        )

    @classmethod
    def of(cls, entry: AutoDial) -> AutoDialConfig:
        """Return an entry as it is written."""
        return cls(**{name: getattr(entry, name) for name in cls.model_fields})


DialList = Annotated[tuple[AutoDialConfig, ...], Field(max_length=MAX_LIST)]
_LIST: TypeAdapter[tuple[AutoDialConfig, ...]] = TypeAdapter(tuple[AutoDialConfig, ...])


def written_commands(table: CommandTable | None) -> dict[str, str] | None:
    """Return a table as keys and commands; None for none."""
    if table is None:
        return None
    return {
        **{keys: action.value for keys, action in table.entries},
        **({PIN_ALONE: "host"} if table.pin_alone else {}),
    }


def kept_commands(text: str | None) -> CommandTable | None:
    """Return the table that the database keeps; None, the house's, where it cannot be read any more."""
    if text is None:
        return None
    try:
        return CommandsConfig.model_validate_json(text).table()
    except ValidationError:
        return None


def keep_commands(table: CommandTable | None) -> str | None:
    """Return what the database keeps of a table."""
    written = written_commands(table)
    return None if written is None else CommandsConfig(preset="none", keys=written).model_dump_json()


def kept_list(text: str) -> tuple[AutoDial, ...]:
    """Return the list that the database keeps; nobody where it cannot be read any more."""
    try:
        return tuple(one.entry() for one in _LIST.validate_json(text))
    except ValidationError:
        return ()


def keep_list(entries: tuple[AutoDial, ...]) -> str:
    """Return what the database keeps of a list."""
    return _LIST.dump_json(tuple(AutoDialConfig.of(entry) for entry in entries)).decode()
