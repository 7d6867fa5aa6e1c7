"""The keys that one call presses: told from several sources, each press counts once. Pure: the clock is handed in.

Many devices tell of one press twice: by telephone events and in the sound itself, by two kinds of H.245, by INFO beside
telephone events. They do not say so, and do it at different times: H.245 and the tone when the key goes down, telephone
events when it comes up again. So a press is known by its digit, its time, and the sources that have told of it: the
same digit from another source within `WINDOW` is the same press, from a source that told of it already it is another.

    events   1 . . 1 . . . .         two presses of 1, for each source tells of two:
    tones    . . 1 . 1 . . .         the second press is told before the first one was told by all
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from gateway.calls import KeyWay
from transcode.events import KeySource

WINDOW = 0.8
"""Seconds between what two sources tell of one press, its own length apart: INFO and telephone events pass different
queues, and both are sent again where they were lost."""
MAX_LENGTH = 5_000
"""ms that a press is taken to last at most, whatever a peer says; longer ones only widen the window."""
MAX_PRESSES = 32
"""Presses that are remembered: a second of what the fastest peer is let send."""

Source = KeySource | KeyWay
"""Who told of a press: media or signalling, and how."""


@dataclass(slots=True)
class _Press:
    """A press: digit, when and by whom it was told first, how many ms it lasted."""

    digit: str
    at: float
    length: int
    told: set[Source] = field(default_factory=set)


class KeyJoiner:
    """The presses of one call."""

    def __init__(self) -> None:
        self._presses: deque[_Press] = deque(maxlen=MAX_PRESSES)

    def press(self, digit: str, duration: int, source: Source, now: float) -> bool:
        """Tell whether this is a press that nobody told of yet; duration in ms, now in seconds of any steady clock."""
        length = max(0, min(duration, MAX_LENGTH))
        while self._presses and now - self._presses[0].at > WINDOW + MAX_LENGTH / 1000:
            self._presses.popleft()
        for press in self._presses:
            if press.digit == digit and source not in press.told and self._near(press, length, now):
                press.told.add(source)
                return False
        self._presses.append(_Press(digit, now, length, {source}))
        return True

    @staticmethod
    def _near(press: _Press, length: int, now: float) -> bool:
        return now - press.at <= WINDOW + max(press.length, length) / 1000
