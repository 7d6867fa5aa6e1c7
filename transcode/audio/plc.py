"""Packet loss concealment for decoded sound by repeating the pitch (in the spirit of ITU-T G.711 Appendix I).

Theory of operation. What was played last is searched for its period by normalised correlation (66 to 400 Hz). The
last period is played over and over; where it wraps, its end is faded into what came before it, and its beginning is
shifted to meet the last sample played, so that neither makes a step. After 10 ms it fades, to be gone after
`MAX_GAP_MS`, and comfort noise fades in at the level of the quietest recent piece. When sound comes back, the
repetition goes on under it for `FADE_MS` and is faded out.

`shorten` and `lengthen` use the same search to take a piece out of running sound or put one in, for the jitter
buffer's corrections.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from transcode.audio.codecs import noise
from transcode.audio.g711 import Pcm

MAX_GAP_MS = 60
"""Beyond 60 ms a repeated period sounds like a machine: only noise is left then."""
HOLD_MS = 10
"""The first repetition is played at full level (G.711 Appendix I §I.2.4)."""
FADE_MS = 5
"""Over which sound that comes back replaces the repetition."""
HISTORY_MS = 60
"""What must be remembered of the past: two periods of 66 Hz and the pattern to compare."""
MIN_LAG_MS, MAX_LAG_MS = 2.5, 15.0
"""Periods that are looked for: voices from 66 to 400 Hz."""
PATTERN_MS = 15.0
"""Length of the pattern that is compared."""
MAX_NOISE = -50.0
"""dBov: comfort noise in gaps is never louder."""
MIN_NOISE = -75.0
"""dBov: and never more quiet, so that the line does not seem dead."""

Floats = NDArray[np.float32]


def find_lag(past: Floats, rate: int, longest_ms: float = MAX_LAG_MS) -> int:
    """Return the period in samples with which `past` (at rate Hz) best continues itself.

    Above 8 kHz the search is made on every second or sixth sample and then refined.
    """
    stride = max(1, rate // 8000)
    coarse = past[len(past) % stride :: stride] if stride > 1 else past
    low, high = int(MIN_LAG_MS * rate / stride / 1000), int(longest_ms * rate / stride / 1000)
    best = _best_lag(coarse, low, high, int(PATTERN_MS * rate / stride / 1000)) * stride
    if stride > 1:
        best = _best_lag(past, max(2, best - stride), best + stride, int(PATTERN_MS * rate / 1000))
    return best


def _best_lag(past: Floats, low: int, high: int, pattern: int) -> int:
    high = max(low, min(high, len(past) - pattern))
    tail = past[-pattern:]
    area = past[-pattern - high : len(past) - low] if low else past[-pattern - high :]
    if len(tail) < pattern or len(area) < pattern:
        return max(low, 1)
    products = np.correlate(area, tail, "valid")
    energy = np.cumsum(np.concatenate((np.zeros(1), area.astype(np.float64) ** 2)))
    scale = np.sqrt(energy[pattern:] - energy[:-pattern]) + 1.0
    return high - int(np.argmax(products / scale))


def ramp(count: int) -> Floats:
    """Return a straight line from just above 0 to 1, count samples."""
    return (np.arange(1, count + 1, dtype=np.float32)) / np.float32(count)


def to_pcm(samples: Floats | NDArray[np.float64]) -> Pcm:
    """Round and bound to int16."""
    return np.clip(np.rint(samples), -32768, 32767).astype(np.int16)


class Concealer:
    """Fills gaps of one stream; rate in Hz of its samples."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._loop: Floats | None = None
        self._join: Floats = np.zeros(0, np.float32)
        self._position = 0
        self._level = MIN_NOISE

    @property
    def active(self) -> bool:
        """Whether a gap is being filled."""
        return self._loop is not None

    def conceal(self, past: Pcm, count: int) -> Pcm:
        """Return count samples for a gap; past is what was played before it began, best HISTORY_MS or more."""
        if self._loop is None:
            self._start(past)
        return to_pcm(self._continue(count))

    def resume(self, samples: Pcm) -> Pcm:
        """Return the samples that end a gap, with the repetition faded out under them."""
        if self._loop is None:
            return samples
        count = min(len(samples), self.rate * FADE_MS // 1000)
        under = self._continue(count)
        self._loop = None
        result = samples.astype(np.float32)
        rising = ramp(count)
        result[:count] = result[:count] * rising + under * (1 - rising)
        return to_pcm(result)

    def stop(self) -> None:
        """Forget the gap: what follows joins by itself."""
        self._loop = None

    def _start(self, past: Pcm) -> None:
        self._position = 0
        self._join = np.zeros(0, np.float32)
        piece = self.rate // 100
        needed = int((MAX_LAG_MS + PATTERN_MS) * self.rate / 1000)
        if len(past) < piece * 2 or not past.any():
            self._loop, self._level = np.zeros(piece, np.float32), MIN_NOISE
            return
        history = past[-needed - piece :].astype(np.float32)
        if len(history) < needed:
            history = np.concatenate((np.zeros(needed - len(history), np.float32), history))
        whole = past[len(past) % piece :].astype(np.float32).reshape(-1, piece)
        quietest = float(np.sqrt((whole**2).mean(axis=1)).min())
        self._level = min(MAX_NOISE, max(MIN_NOISE, 20 * float(np.log10(quietest / 32768 + 1e-9))))
        lag = find_lag(history, self.rate)
        loop = history[-lag:].copy()
        quarter = max(1, lag // 4)
        rising = ramp(quarter)
        before = history[-lag - quarter : -lag]
        loop[-quarter:] = loop[-quarter:] * (1 - rising) + before * rising
        step = history[-1] - history[-lag - 1]
        self._join = step * (1 - ramp(self.rate // 500))
        self._loop = loop

    def _continue(self, count: int) -> Floats:
        assert self._loop is not None
        at = np.arange(self._position, self._position + count)
        self._position += count
        result = self._loop[at % len(self._loop)]
        if len(self._join):
            part = self._join[:count]
            result[: len(part)] += part
            self._join = self._join[count:]
        hold, gone = self.rate * HOLD_MS // 1000, self.rate * MAX_GAP_MS // 1000
        gain = np.clip((gone - at) / np.float32(gone - hold), 0.0, 1.0).astype(np.float32)
        return result * gain + noise(count, self._level).astype(np.float32) * (1 - gain)


def shorten(samples: Pcm, rate: int, most: int) -> tuple[Pcm, int]:
    """Take at most `most` samples out of running sound; return the rest and how many went.

    samples must hold twice as much as may go. The piece is one period long where a period is found.
    """
    sound = samples.astype(np.float32)
    lag = _piece(sound, rate, most)
    if lag <= 0:
        return samples, 0
    falling = 1 - ramp(lag)
    joined = sound[:lag] * falling + sound[lag : 2 * lag] * (1 - falling)
    return np.concatenate((to_pcm(joined), samples[2 * lag :])), lag


def lengthen(samples: Pcm, rate: int, most: int) -> tuple[Pcm, int]:
    """Put at most `most` samples into running sound; return it and how many came in."""
    sound = samples.astype(np.float32)
    lag = _piece(sound, rate, most)
    if lag <= 0:
        return samples, 0
    rising = ramp(lag)
    joined = sound[lag : 2 * lag] * (1 - rising) + sound[:lag] * rising
    return np.concatenate((samples[:lag], to_pcm(joined), samples[lag:])), lag


def _piece(sound: Floats, rate: int, most: int) -> int:
    """Choose the length of a piece to take out or put in: a period if one fits, else what is left to do."""
    shortest = int(MIN_LAG_MS * rate / 1000)
    longest = min(most, len(sound) // 2)
    if longest < shortest:
        return longest
    scores = [
        (float(np.dot(sound[:lag], sound[lag : 2 * lag])) + 1.0)
        / (float(np.linalg.norm(sound[:lag]) * np.linalg.norm(sound[lag : 2 * lag])) + 1.0)
        for lag in range(longest, shortest - 1, -max(1, rate // 8000))
    ]
    return longest - int(np.argmax(scores)) * max(1, rate // 8000)
