"""Who has the floor: the loudest few legs that are mixed.

Theory of operation. There are `SEATS` seats. A free one goes at once to whoever makes a sound, so that no first
syllable is lost, and stays taken in silence, so that small meetings are simply all mixed. When all are taken, a leg
that begins to speak takes the seat of one that has been silent for `REST_TICKS`, the longest first; if none has, that
of the most quiet one, if it is louder by `MARGIN_DB` and the other sat for `LEAST_TICKS`. These two keep the seats
from flapping.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from transcode.audio.levels import SILENCE, Activity

SEATS = 3
"""Speakers mixed at a time: more than three at once nobody understands."""
REST_TICKS = 10
"""Ticks (0.2 s) without activity after which a seat can be taken by anyone who speaks."""
LEAST_TICKS = 15
"""Ticks (0.3 s) for which a speaker keeps a seat against louder ones."""
MARGIN_DB = 6.0
"""dB by which a speaker must be louder to take a seat from one who speaks."""
FAINTEST = -80.0
"""dBov from which a sound takes a free seat."""


class Floor:
    """The seats of one room; slots are indices into `Activity`."""

    def __init__(self) -> None:
        self.since: dict[int, int] = {}
        self._tick = 0

    def leave(self, slot: int) -> None:
        """Free a seat at once."""
        self.since.pop(slot, None)

    def update(self, activity: Activity, heard: NDArray[np.bool_]) -> Sequence[int]:
        """Take one tick's activity and which slots may be heard; return the slots that have a seat."""
        self._tick += 1
        since = self.since
        for slot in [slot for slot in since if not heard[slot]]:
            del since[slot]
        free = SEATS - len(since)
        candidates = np.flatnonzero(heard & ((activity.level > FAINTEST) if free else (activity.idle == 0)))
        if len(candidates) <= len(since) and all(int(slot) in since for slot in candidates):
            return list(since)
        ordered = candidates[np.argsort(-activity.loudness[candidates], kind="stable")]
        for candidate in ordered[: 2 * SEATS]:
            slot = int(candidate)
            if slot in since:
                continue
            if len(since) < SEATS or (activity.idle[slot] == 0 and self._unseat(activity, slot)):
                since[slot] = self._tick
        return list(since)

    def _unseat(self, activity: Activity, challenger: int) -> bool:
        """Free the seat that the challenger may take, if there is one."""
        since = self.since
        rested = [slot for slot in since if activity.idle[slot] >= REST_TICKS]
        if rested:
            del since[max(rested, key=lambda slot: int(activity.idle[slot]))]
            return True
        weakest = min(since, key=lambda slot: float(activity.loudness[slot]))
        louder = activity.loudness[challenger] >= max(activity.loudness[weakest], SILENCE) + MARGIN_DB
        if louder and self._tick - since[weakest] >= LEAST_TICKS:
            del since[weakest]
            return True
        return False
