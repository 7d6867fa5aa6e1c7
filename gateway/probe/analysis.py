"""What a recording tells: whether a tone came back, how late, how loud and how whole, and which keys were confirmed.

Pure: samples in, figures out. Levels are those of one frequency in a window of 40 ms, which moves by 5 ms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from transcode.echo import TONES

Samples = NDArray[np.int16]
Levels = NDArray[np.float64]

WINDOW = 0.04
"""Seconds of sound that one level is taken from: 25 Hz wide, and short enough to tell when a tone began."""
STEP = 0.005
PEAK_WINDOW = 0.2
"""Seconds that the strongest frequency is looked for in: 5 Hz a bin."""
SILENCE = -120.0
"""dB of full scale that stands for nothing at all."""
HEARD = -45.0
"""dB of full scale from which a tone counts as heard: quieter is lost in a telephone line's noise."""
KEY_WINDOW = 0.1
"""Seconds of each confirming tone that are looked at, of the 120 ms that it lasts: 10 Hz a bin."""
MAX_APART = 8
"""Windows, each a fifth of its length behind the other, from a row tone's last to its column tone's first."""
_ROWS = sorted({row for row, _ in TONES.values()})
_COLUMNS = sorted({column for _, column in TONES.values()})


@dataclass(frozen=True, slots=True)
class ToneFound:
    """A tone in a recording: when it began (seconds from the recording's beginning), its level in dB of full scale,
    the strongest frequency in Hz, and the share of the time looked at in which it was there."""

    began: float
    level: float
    frequency: float
    whole: float


def levels(samples: Samples, rate: int, frequency: float) -> Levels:
    """Return the level of a frequency in dB of full scale (a sine of full scale is 0) at each step."""
    size, step = round(WINDOW * rate), round(STEP * rate)
    if len(samples) < size:
        return np.full(0, SILENCE)
    window = np.hanning(size)
    turn = window * np.exp(-2j * np.pi * frequency * np.arange(size) / rate) * (2 / window.sum() / 32768)
    blocks = np.lib.stride_tricks.sliding_window_view(samples, size)[::step]
    return np.asarray(20 * np.log10(np.abs(blocks @ turn) + 1e-6))


def find_tone(samples: Samples, rate: int, frequency: float, seconds: float) -> ToneFound | None:
    """Look for a tone that was sent for so many seconds; None if it is nowhere.

    It begins at the middle of the first window of which half is sound.
    """
    level = levels(samples, rate, frequency)
    there = level > HEARD
    if not there.any():
        return None
    loud = float(np.median(level[there]))
    first = int(np.flatnonzero(level > max(loud - 6.0, HEARD))[0])
    began = first * STEP + WINDOW / 2
    # Both ends are left out: what is cut off there says nothing of what was lost in between.
    inside = level[first + 10 : first + max(11, round(seconds / STEP) - 10)]
    whole = float(np.mean(inside > max(loud - 12.0, HEARD))) if len(inside) else 0.0
    return ToneFound(began, loud, strongest(samples[round(began * rate) :][: round(seconds * rate)], rate), whole)


def strongest(samples: Samples, rate: int) -> float:
    """Return the strongest frequency of a sound in Hz, 0 for silence."""
    size = round(PEAK_WINDOW * rate)
    if len(samples) < size:
        return 0.0
    blocks = samples[: len(samples) // size * size].reshape(-1, size) * np.hanning(size)
    spectrum = np.abs(np.fft.rfft(blocks, axis=1)).mean(axis=0)
    return float(spectrum.argmax() / PEAK_WINDOW) if spectrum.any() else 0.0


def loudness(samples: Samples) -> float:
    """Return a sound's effective level in dB of full scale."""
    if not len(samples):
        return SILENCE
    power = float(np.mean(samples.astype(np.float64) ** 2)) / 32768**2
    return float(10 * np.log10(power + 1e-12))


def confirmed_keys(samples: Samples, rate: int) -> str:
    """Return the keys that were confirmed in a recording: a key's row tone, and right behind it its column tone."""
    keys = {tones: key for key, tones in TONES.items()}
    found: list[str] = []
    row: int | None = None
    since = 0
    for number, here in enumerate(_alone(samples, rate)):
        if here in _ROWS:
            row, since = here, number
        elif here is not None and row is not None and number - since <= MAX_APART:
            found.append(keys[row, here])
            row = None
    return "".join(found)


def _alone(samples: Samples, rate: int) -> list[int | None]:
    """Return for each window which single tone it consists of; None if it is none or more than one.

    A window behind the row tone's middle holds the column tone too: only one that holds one tone tells.
    """
    frequencies = np.array([*_ROWS, *_COLUMNS])
    size = round(KEY_WINDOW * rate)
    if len(samples) < size:
        return []
    window = np.hanning(size)
    blocks = np.lib.stride_tricks.sliding_window_view(samples, size)[:: size // 5] * (window / 32768)
    turns = np.exp(-2j * np.pi * np.outer(np.arange(size), frequencies) / rate)
    amplitudes = np.abs(blocks @ turns) * (2 / window.sum())
    best = amplitudes.argmax(axis=1)
    ordered = np.sort(amplitudes, axis=1)
    # What the tone itself would be, of all that sounds: a tone amid others is an echo of something else.
    whole = np.sqrt(np.mean(blocks**2, axis=1)) / np.sqrt(np.mean(window**2) / 2)
    alone = (
        (ordered[:, -1] > 10 ** (HEARD / 20)) & (ordered[:, -1] > 4 * ordered[:, -2]) & (ordered[:, -1] > 0.7 * whole)
    )
    return [int(frequencies[index]) if only else None for index, only in zip(best, alone, strict=True)]
