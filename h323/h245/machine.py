"""What the state machines of H.245 Annex C have in common: a table, a timer, and a way to send and to report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Generic, Protocol, TypeVar

from h323.h245.events import ControlEvent, Pdu

StateT = TypeVar("StateT", bound=Enum)


Table = Mapping[tuple[StateT, str], Callable[[Any, Any, float], StateT]]


class Outside(Protocol):
    """What a machine needs of the control session around it."""

    def send(self, pdu: Pdu) -> None:
        """Put a message on the wire."""

    def report(self, event: ControlEvent) -> None:
        """Tell above."""


class Machine(Generic[StateT]):
    """A state, a table from (state, input) to an action which returns the next state, and one timer.

    Inputs are named as the messages are; "start" and the like come from above, "timer" when time is up. What stands in
    no row is ignored: Annex C reports it as a protocol error, which changes nothing.
    """

    def __init__(self, outside: Outside, state: StateT, table: Table[StateT]) -> None:
        self.state = state
        self.table = table
        self.due: float | None = None
        self._outside = outside

    def feed(self, name: str, value: Any, now: float) -> bool:
        """Move by one input; False if it does not belong here."""
        action = self.table.get((self.state, name))
        if action is None:
            return False
        self.state = action(self, value, now)
        return True

    def tick(self, now: float) -> None:
        """Ring the timer if it is due."""
        if self.due is not None and now >= self.due:
            self.due = None
            self.feed("timer", None, now)

    def send(self, kind: str, name: str, value: Any) -> None:
        """Put a message on the wire."""
        self._outside.send((kind, (name, value)))

    def report(self, event: ControlEvent) -> None:
        """Tell above."""
        self._outside.report(event)
