"""Whether a trunk is there, by OPTIONS, without I/O (RFC 3261 §11): a clock and answers in, questions and changes out.

Any answer shows that the other end lives, even a refusal; 503 and 408 do not, nor does silence.
"""

from __future__ import annotations

from enum import StrEnum

DOWN_INTERVAL = 15.0
"""Seconds between questions to one that is down, at most: that it is back is to be noticed soon."""
ANSWER_TIME = 40.0
"""Seconds after which a question counts as lost whatever became of it; a transaction ends after 32."""


class State(StrEnum):
    """How a trunk is."""

    UNKNOWN = "unknown"
    UP = "up"
    DOWN = "down"


class Health:
    """The state of one trunk. interval in seconds, 0 asks never."""

    def __init__(self, interval: float, now: float) -> None:
        self.state = State.UNKNOWN
        self.why = ""
        self.since = now
        self._interval = interval
        self._due: float | None = now if interval else None

    def next_timeout(self) -> float | None:
        """When `tick` is to be called next, or None."""
        return self._due

    def tick(self, now: float) -> bool:
        """Return whether to ask now; `answered` is expected to follow."""
        if self._due is None or now < self._due:
            return False
        self._due = now + max(self._interval, ANSWER_TIME)
        return True

    def answered(self, status: int, phrase: str, now: float) -> bool:
        """Take an answer; status 0 stands for none. Returns whether the state changed."""
        silent = status in (0, 408)
        lives = not silent and status != 503
        why = "" if lives else "no answer" if silent else f"{status} {phrase}".strip()
        if self._interval:
            self._due = now + (self._interval if lives else min(self._interval, DOWN_INTERVAL))
        return self.set(State.UP if lives else State.DOWN, why, now)

    def set(self, state: State, why: str, now: float) -> bool:
        """Take what was found out otherwise. Returns whether the state changed."""
        self.why = why
        if state is self.state:
            return False
        self.state, self.since = state, now
        return True

    def stop(self) -> None:
        """Ask no more."""
        self._due = None
