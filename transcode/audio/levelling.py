"""Bringing quiet and loud speakers to one level, slowly; for all legs of a room at once.

Theory of operation. Only speech moves a leg's gain: ticks that stand above the leg's noise (levels.py), while its
level goes up and down as syllables make it do. A hum, a fan or a tone does not, and is left as it is. Of speech the
mean power is followed over some seconds; the gain goes towards what brings it to within `MARGIN` of `TARGET`, a little
in each tick of speech and not at all in pauses, so that nothing pumps and no noise swells. It is never so high that the
leg's noise would rise above `MOST_NOISE`. What it makes too loud for a moment is the soft limiter's. Gains are worked
out for all legs, but only those with a seat are multiplied.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from transcode.audio.levels import SILENCE, Activity, Levels

TARGET = -24.0
"""dBov of speech while it is spoken: a little above the telephone network's -26, with 15 dB left for its peaks."""
MARGIN = 2.0
"""dB around it in which nothing is done."""
LOWEST, HIGHEST = -12.0, 15.0
"""dB of gain."""
MOST_NOISE = -50.0
"""dBov above which no leg's noise is lifted."""
UP, DOWN = 0.08, 0.2
"""dB a tick (4 and 10 dB/s of speech) by which a gain moves."""
LIVELY = 10.0
"""dB between syllables and the gaps between them; steady sounds have less."""
DRIFT = 0.15
"""dB a tick (7.5 dB/s) by which peaks and gaps are forgotten."""
FRESH_GAP = 3.0
"""dB by which what is known of gaps may have risen above them since the last one."""
BELOW_PEAK = 20.0
"""dB under the recent peak where speech ends and its gaps begin."""
FIRST_TICKS = 15
"""Ticks of speech (0.3 s) after which a leg's level counts as known."""
MEMORY_TICKS = 100
"""Ticks of speech (2 s) over which its power is averaged."""


@dataclass(slots=True)
class _State:
    peak: Levels
    gap: Levels
    power: Levels
    ticks: NDArray[np.int32]


class Leveller:
    """The gains of one room's legs in dB, by the slots of `Activity`."""

    def __init__(self) -> None:
        self.gain: Levels = np.zeros(0, np.float32)
        empty = np.zeros(0, np.float32)
        self._state = _State(empty, empty, empty, np.zeros(0, np.int32))

    def _grow(self, size: int) -> None:
        state, more = self._state, size - len(self.gain)
        self.gain = np.concatenate((self.gain, np.zeros(more, np.float32)))
        state.peak = np.concatenate((state.peak, np.full(more, SILENCE, np.float32)))
        state.gap = np.concatenate((state.gap, np.zeros(more, np.float32)))
        state.power = np.concatenate((state.power, np.zeros(more, np.float32)))
        state.ticks = np.concatenate((state.ticks, np.zeros(more, np.int32)))

    def forget(self, slot: int) -> None:
        """A leg is gone; the next one in its place begins anew."""
        if slot < len(self.gain):
            state = self._state
            self.gain[slot] = state.power[slot] = state.ticks[slot] = state.gap[slot] = 0
            state.peak[slot] = SILENCE

    def update(self, activity: Activity) -> None:
        """Take one tick's activity of all slots."""
        if activity.size > len(self.gain):
            self._grow(activity.size)
        state, level = self._state, activity.level
        state.peak = np.maximum(level, state.peak - np.float32(DRIFT))
        state.gap = np.minimum(level, state.gap + np.float32(DRIFT))
        speech = activity.talking & (activity.idle == 0) & (state.peak - state.gap > LIVELY)
        speech &= level > state.peak - np.float32(BELOW_PEAK)
        slots = np.flatnonzero(speech)
        if len(slots):
            noise = np.maximum(activity.floor[slots], state.gap[slots] - np.float32(FRESH_GAP))
            self._speak(slots, level[slots], noise)

    def _speak(self, slots: NDArray[np.intp], level: Levels, noise: Levels) -> None:
        state = self._state
        state.ticks[slots] += 1
        ticks = state.ticks[slots]
        share = 1 / np.minimum(ticks, MEMORY_TICKS)
        power = state.power[slots] + (10 ** (level / 10) - state.power[slots]) * share
        state.power[slots] = power
        off = np.float32(TARGET) - 10 * np.log10(power + 1e-13)
        wanted = np.clip(np.sign(off) * np.maximum(np.abs(off) - MARGIN, 0), LOWEST, HIGHEST)
        wanted = np.minimum(wanted, np.maximum(MOST_NOISE - noise, 0))
        step = np.clip(wanted - self.gain[slots], -DOWN, UP)
        self.gain[slots] += np.where(ticks >= FIRST_TICKS, step, 0)
