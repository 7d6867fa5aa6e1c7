"""Levels, who talks, and who is the active speaker; for all legs of a room at once.

Theory of operation. Each tick gives one level a leg. A noise floor follows it down at once and up slowly; a leg is
*active* in a tick that stands well above its floor. Talking begins after a few active ticks and ends after
`HANG_TICKS` without one. `loudness` follows the level up at once and falls slowly, so that syllables do not reorder
the speakers. All state is in arrays with a slot for each leg.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

SILENCE = -127.0
"""dBov of digital silence (RFC 6464 §3 has the same lowest level)."""
LEAST_SPEECH = -50.0
"""dBov below which nothing is speech: a whisper into a telephone is about -45."""
ABOVE_FLOOR = 9.0
"""dB that speech stands above the noise floor: fans and hum vary by less."""
FLOOR_RISE = 0.06
"""dB a tick (3 dB/s) by which the floor rises in noise that grew."""
FLOOR_RISE_TALKING = 0.005
"""dB a tick in plain speech: a minute of unbroken sound at one level is not yet noise."""
PLAIN_SPEECH = -40.0
"""dBov above which an active leg is taken to speak; below, what goes on for some seconds is noise."""
FIRST_FLOOR = -60.0
"""dBov of the floor of a leg that just came, until its own is known."""
ON_TICKS = 3
"""Active ticks (60 ms) before a leg counts as talking: longer than a click on the line."""
HANG_TICKS = 25
"""Ticks (0.5 s) without activity before it ceases to: longer than the pauses between words."""
RELEASE = 1.0
"""dB a tick (50 dB/s) by which loudness falls."""
CHALLENGE_TICKS = 30
"""Ticks (0.6 s) for which a challenger must be louder than the active speaker: longer than a "yes" or a cough."""
TAKEOVER_TICKS = 10
"""Ticks (0.2 s) of talking after which it follows a speaker who has ceased."""
CHALLENGE_DB = 3.0
"""dB by which it must be louder."""

Levels = NDArray[np.float32]


def levels(frames: NDArray[np.float32]) -> Levels:
    """Return the RMS level in dBov of each row; frames are float32 in -1.0 to 1.0, shape (legs, samples)."""
    power = np.einsum("ij,ij->i", frames, frames) / np.float32(frames.shape[1])
    decibels: Levels = np.float32(10) * np.log10(power + np.float32(2e-13))
    return decibels


class Activity:
    """Levels and talking of all legs of a room; a slot is a leg's index into every array."""

    def __init__(self) -> None:
        self._free: list[int] = []
        self._grow(16)

    def _grow(self, size: int) -> None:
        before = len(self.level) if hasattr(self, "level") else 0
        more = size - before
        names: tuple[tuple[str, float, type], ...] = (
            ("level", SILENCE, np.float32),
            ("loudness", SILENCE, np.float32),
            ("floor", FIRST_FLOOR, np.float32),
            ("idle", HANG_TICKS, np.int32),
            ("_run", 0, np.int32),
            ("talking", False, np.bool_),
        )
        for name, value, kind in names:
            old: NDArray[Any] = getattr(self, name, np.zeros(0, kind))
            setattr(self, name, np.concatenate((old, np.full(more, value, kind))))
        self._free.extend(range(size - 1, before - 1, -1))

    level: Levels
    loudness: Levels
    floor: Levels
    """Each leg's noise in dBov."""
    idle: NDArray[np.int32]
    talking: NDArray[np.bool_]
    _run: NDArray[np.int32]

    def open(self) -> int:
        """Return a slot for a new leg."""
        if not self._free:
            self._grow(2 * len(self.level))
        return self._free.pop()

    def close(self, slot: int) -> None:
        """Give a slot back."""
        self.level[slot] = self.loudness[slot] = SILENCE
        self.floor[slot] = FIRST_FLOOR
        self.idle[slot], self._run[slot], self.talking[slot] = HANG_TICKS, 0, False
        self._free.append(slot)

    @property
    def size(self) -> int:
        """How many slots there are, free ones included."""
        return len(self.level)

    def update(self, level: Levels) -> list[int]:
        """Take one tick's levels in dBov for all slots; return the slots that began or ceased to talk."""
        self.level = level
        np.maximum(level, self.loudness - np.float32(RELEASE), out=self.loudness)
        active = level > np.maximum(self.floor + np.float32(ABOVE_FLOOR), np.float32(LEAST_SPEECH))
        speech = active & (level > np.float32(PLAIN_SPEECH))
        rise = np.where(speech, np.float32(FLOOR_RISE_TALKING), np.float32(FLOOR_RISE))
        floor = np.minimum(np.maximum(level, np.float32(-90)), self.floor + rise)
        self.floor = np.where(level > np.float32(-100), floor, self.floor)
        self.idle = np.where(active, 0, self.idle + 1)
        self._run = np.where(active, self._run + 1, np.where(self.idle > 2, 0, self._run))
        before = self.talking
        self.talking = (before & (self.idle < HANG_TICKS)) | (self._run >= ON_TICKS)
        changed = np.flatnonzero(before != self.talking)
        return [int(slot) for slot in changed]


class ActiveSpeaker:
    """Chooses the one active speaker of a room, and does not let go of it for a cough."""

    def __init__(self) -> None:
        self.slot: int | None = None
        self._challenger: int | None = None
        self._ticks = 0

    def forget(self, slot: int) -> None:
        """A leg left or may no longer be heard."""
        if self.slot == slot:
            self.slot = None
        if self._challenger == slot:
            self._challenger, self._ticks = None, 0

    def update(self, activity: Activity, slots: Iterable[int]) -> bool:
        """Look at the legs that may be heard and say whether the active speaker changed."""
        talking = [slot for slot in slots if activity.talking[slot]]
        if not talking:
            self._challenger, self._ticks = None, 0
            return False
        best = max(talking, key=lambda slot: float(activity.loudness[slot]))
        current = self.slot
        if current is None:
            self.slot, self._challenger, self._ticks = best, None, 0
            return True
        needed = CHALLENGE_TICKS if activity.talking[current] else TAKEOVER_TICKS
        louder = activity.loudness[best] >= activity.loudness[current] + CHALLENGE_DB
        if best == current or (activity.talking[current] and not louder):
            self._challenger, self._ticks = None, 0
            return False
        if best != self._challenger:
            self._challenger, self._ticks = best, 0
        if activity.idle[best] == 0:  # the end of a cough, while it still counts as talking, is no challenge
            self._ticks += 1
        if self._ticks < needed:
            return False
        self.slot, self._challenger, self._ticks = best, None, 0
        return True
