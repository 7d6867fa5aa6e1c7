"""How a leg's sound comes in and goes out, so that no change makes a step."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RISE_MS = 5
"""Over which a leg's sound comes in: too short to eat a consonant, long enough to make no click."""
FALL_MS = 14
"""Over which it goes out; the rest of the tick flushes the resampling filters."""

Floats = NDArray[np.float32]


def rising(sound: Floats, rate: int) -> Floats:
    """Return a tick's sound, coming in over its first RISE_MS."""
    count = rate * RISE_MS // 1000
    result = sound.copy()
    result[:count] *= np.arange(count, dtype=np.float32) / np.float32(count)
    return result


def falling(sound: Floats, rate: int) -> Floats:
    """Return a tick's sound, going out over its first FALL_MS; a shorter one goes out over all of it."""
    count = min(len(sound), rate * FALL_MS // 1000)
    result = np.zeros(len(sound), np.float32)
    result[:count] = sound[:count] * (1 - np.arange(count, dtype=np.float32) / np.float32(count))
    return result
