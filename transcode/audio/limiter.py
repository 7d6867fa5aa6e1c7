"""The soft limiter of a bus, without memory: nothing below the knee is touched, and nothing clips."""

from __future__ import annotations

import numpy as np

from transcode.audio.g711 import Pcm
from transcode.audio.resample import Floats

KNEE = 0.75
"""Share of full scale up to which the limiter changes nothing (-2.5 dBov)."""


def limit(sound: Floats) -> Pcm:
    """Return int16 samples of float32 ones that may exceed 1.0: below KNEE unchanged, above bent towards 1.0."""
    size = np.abs(sound)
    if size.max(initial=0.0) > KNEE:
        room = np.float32(1 - KNEE)
        bent = np.float32(KNEE) + room * np.tanh((size - np.float32(KNEE)) / room)
        sound = np.where(size > KNEE, np.copysign(bent, sound), sound)
    return np.asarray(np.rint(sound * np.float32(32767)), np.int16)
