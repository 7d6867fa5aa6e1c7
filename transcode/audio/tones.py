"""Key presses that are sent as the tones themselves (ITU-T Q.23), found in the sound of many legs at once.

Theory of operation. Sound is looked at in windows of 20 ms that begin every 10 ms. Each frame brings two of them for
each leg: the end of the last frame with the beginning of this one, and this one. One product with a table gives the
share of the eight frequencies in all windows of all legs (Goertzel's sums, written as a matrix). A window in which one
frequency of each group holds most of the energy is a candidate; those are few, and each is looked at closely (Q.24):

    frequency   each within ACCEPTED of its nominal one, by how its neighbours at both sides compare
    twist       the higher one at most 4 dB stronger, at most 8 dB weaker than the lower one
    purity      the two hold nearly all energy of the window: a window that a tone fills in part does not pass, nor
                do most vowels, nor does music
    harmonics   nothing at twice each frequency: voices have it there

A press begins with two such windows in a row that tell the same key at the same level, so a tone of 40 ms, which holds
two whole windows wherever it begins, is always long enough, and one of 23 ms never. It ends when four windows in a row
fail: a break of 10 ms spoils three, a pause of 40 ms five. A press is told when it has ended. What is too faint costs
one comparison of levels. Of two windows in a row one is a whole frame: where the eight frequencies together do not hold
what a candidate has in two of them, no press begins in that frame, and nothing more is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ROWS = (697, 770, 852, 941)
COLUMNS = (1209, 1336, 1477, 1633)
"""Frequencies of the two groups in Hz (Q.23)."""
KEYS = ("123A", "456B", "789C", "*0#D")
RATE = 8000
FRAME = 160
"""Samples of a frame and of a window: 20 ms."""
FAINTEST = -36.0
"""dBov below which no frame is looked at: two tones of -30 dBm0 each, where Q.24 lets receivers be deaf."""
CANDIDATE = 0.5
"""Share of a window's energy at two of the eight frequencies; a tone that is 1.5 % off still shows 0.73 of its own."""
WEAKER = 0.05
"""Share of the weaker one at least: at 10 dB of twist it has 0.09, and 0.73 of that where it is off."""
ACCEPTED = 0.025
"""How far a frequency may be off: in the middle of 1.5 %, which must be taken, and 3.5 %, which must not (Q.24)."""
MOST_TWIST, LEAST_TWIST = 5.5, -10.0
"""dB by which the higher tone may be above the lower one: Q.24's 4 and -8, and more for what noise adds."""
PURITY = 0.86
"""Least share of a window's energy in the two tones: 0.97 are left by noise at 15 dB, so 17 of 20 ms must be filled."""
HARMONIC = 10 ** (-13 / 10)
"""Most power at twice a frequency, as a share of what is at it; noise at 15 dB brings -25 dB to the weaker tone."""
APART = 110.0
"""Hz within which twice the lower frequency and the higher one cannot be told apart: keys 2, 3 and 6."""
STEADY = 3.0
"""dB by which the second window of a press may differ from the first."""
END_WINDOWS = 4
"""Windows in a row without the key after which a press has ended."""
LEAST_WINDOWS = 2
STEP_MS, WINDOW_MS = 10, 20
_BIN = RATE / FRAME
_LEAST_POWER = 2 * 10 ** ((FAINTEST - 3) / 10)
_FREQUENCIES = np.array(ROWS + COLUMNS, np.float64)

Floats = NDArray[np.float32]


def _turns(frequencies: NDArray[np.float64], window: NDArray[np.float64]) -> Floats:
    """Return cosines and sines of a window, shape (FRAME, 2 * frequencies), that give amplitudes."""
    angles = 2 * np.pi * np.arange(FRAME)[:, None] * frequencies[None, :] / RATE
    both = np.concatenate((np.cos(angles), np.sin(angles)), axis=1)
    return np.ascontiguousarray(both * window[:, None] * (2 / window.sum()), np.float32)


_HANN = np.hanning(FRAME + 1)[:-1]
_NOMINAL = _turns(_FREQUENCIES, _HANN)
_BELOW, _ABOVE = _turns(_FREQUENCIES - _BIN, _HANN), _turns(_FREQUENCIES + _BIN, _HANN)
_DOUBLE = _turns(2 * _FREQUENCIES, _HANN)
_ALL = np.ones(2 * len(_FREQUENCIES), np.float32)
_WEIGHTS = np.asarray(_HANN / _HANN.sum() * 2, np.float32)


def _hann_response(bins: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the size of a Hann window's spectrum at an offset in bins, 1 in the middle."""
    safe = np.where(np.abs(np.abs(bins) - 1) < 1e-6, bins + 1e-5, bins)
    return np.asarray(np.abs(np.sinc(safe) / (1 - safe**2)))


_OFFSETS = np.linspace(-0.99, 0.99, 397)
_RATIOS = np.log(_hann_response(_OFFSETS - 1) + 1e-9) - np.log(_hann_response(_OFFSETS + 1) + 1e-9)
"""Of each offset of a tone in bins: how what is a bin above the nominal frequency compares with a bin below."""


@dataclass(frozen=True, slots=True)
class Press:
    """A key that a leg pressed; duration in ms."""

    slot: int
    digit: str
    duration: int


@dataclass(slots=True)
class _Watch:
    """What is known of one leg: the key that may be pressed, for how many windows, and for how many it was missed."""

    key: str = ""
    level: float = 0.0
    windows: int = 0
    missed: int = 0

    @property
    def pressed(self) -> bool:
        return self.windows >= LEAST_WINDOWS


class ToneDetector:
    """The key tones of many legs; a slot is a leg's number. `update` is called for each 20 ms."""

    def __init__(self) -> None:
        self._watches: dict[int, _Watch] = {}
        self._before: dict[int, Floats] = {}

    @property
    def watched(self) -> tuple[int, ...]:
        """The slots that are in the middle of a press: their frames are to be brought however faint they are."""
        return tuple(self._watches)

    def forget(self, slot: int) -> None:
        """A leg is gone, or its tones are of no interest any more: an unended press is not told."""
        self._watches.pop(slot, None)
        self._before.pop(slot, None)

    def sounding(self, slot: int) -> bool:
        """Whether a key's tones are heard at present, so that others need not hear them."""
        return slot in self._watches

    def update(self, slots: NDArray[np.intp], frames: NDArray[np.int16] | Floats) -> list[Press]:
        """Take a frame of 20 ms at 8 kHz of each of these slots, shape (slots, FRAME); return the presses that ended.

        Frames are int16, or float32 in -1.0 to 1.0, and are kept until the next call.
        A slot that is watched and brings no frame has fallen silent.
        """
        sound: Floats = frames.astype(np.float32, copy=False)
        if frames.dtype == np.int16:
            sound = sound * np.float32(1 / 32768)
        found = self._look_at(slots.tolist(), sound)
        presses: list[Press] = []
        for slot in [*self._watches, *(slot for slot in found if slot not in self._watches)]:
            watch = self._watches.setdefault(slot, _Watch())
            for key, level in found.get(slot, (("", 0.0), ("", 0.0))):
                presses += self._window(slot, watch, key, level)
            if not watch.windows:
                del self._watches[slot]
        return presses

    def _look_at(self, slots: list[int], frames: Floats) -> dict[int, list[tuple[str, float]]]:
        """Return what the two windows of each slot show, of those that show anything."""
        before, self._before = self._before, dict(zip(slots, frames, strict=True))
        found: dict[int, list[tuple[str, float]]] = {}
        if not slots:
            return found
        sums = np.dot(frames, _NOMINAL)
        likely = np.dot(sums * sums, _ALL) > CANDIDATE * np.dot(frames * frames, _WEIGHTS)
        worth = {slots[row] for row in likely.nonzero()[0]}
        worth.update(slot for slot in self._watches if slot in self._before)
        if not worth:
            return found
        half, ordered = FRAME // 2, sorted(worth)
        windows = np.zeros((2 * len(ordered), FRAME), np.float32)
        for index, slot in enumerate(ordered):
            if slot in before:
                windows[2 * index, :half] = before[slot][half:]
            windows[2 * index, half:] = self._before[slot][:half]
            windows[2 * index + 1] = self._before[slot]
        for index, key, level in find_keys(windows):
            shown = found.setdefault(ordered[index // 2], [("", 0.0), ("", 0.0)])
            shown[index % 2] = key, level
        return found

    @staticmethod
    def _window(slot: int, watch: _Watch, key: str, level: float) -> list[Press]:
        """Take what one window shows: a key at a level in dBov, or none."""
        if key and key == watch.key and (watch.pressed or abs(level - watch.level) <= STEADY):
            watch.windows += watch.missed + 1
            watch.missed = 0
            return []
        watch.missed += 1
        if watch.pressed and watch.missed < END_WINDOWS:
            return []
        presses = [Press(slot, watch.key, (watch.windows - 1) * STEP_MS + WINDOW_MS)] if watch.pressed else []
        watch.key, watch.level, watch.windows, watch.missed = key, level, 1 if key else 0, 0
        return presses


def find_keys(windows: Floats) -> list[tuple[int, str, float]]:
    """Return which windows of FRAME samples show a key: their index, the key, and its level in dBov.

    windows are float32 in -1.0 to 1.0, shape (any, FRAME).
    """
    power = _power(windows, _NOMINAL)
    weighted = np.dot(windows * windows, _WEIGHTS)
    lower, higher = power[:, :4].max(axis=1), power[:, 4:].max(axis=1)
    likely = (lower + higher > CANDIDATE * weighted) & (np.minimum(lower, higher) > WEAKER * weighted)
    likely = np.flatnonzero(likely & (weighted > _LEAST_POWER))
    if not len(likely):
        return []
    rows, columns = power[likely, :4].argmax(axis=1), power[likely, 4:].argmax(axis=1)
    levels = _look(windows[likely], rows, columns)
    return [
        (int(index), KEYS[row][column], level)
        for index, row, column, level in zip(likely, rows, columns, levels, strict=True)
        if level is not None
    ]


def _power(windows: Floats, turns: Floats) -> Floats:
    """Return the squared amplitude at each frequency of a table."""
    sums = windows @ turns
    count = turns.shape[1] // 2
    return np.asarray(sums[:, :count] ** 2 + sums[:, count:] ** 2)


def _look(windows: Floats, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> list[float | None]:
    """Return the level in dBov of each window that shows exactly these two tones, None for others."""
    each = np.arange(len(windows))
    both = np.stack((rows, columns + 4), axis=1)
    below, above = _power(windows, _BELOW)[each[:, None], both], _power(windows, _ABOVE)[each[:, None], both]
    bins = np.interp(0.5 * np.log((above + 1e-12) / (below + 1e-12)), _RATIOS, _OFFSETS)
    nominal = _FREQUENCIES[both]
    exact = nominal + bins * _BIN
    near = (np.abs(exact - nominal) <= ACCEPTED * nominal).all(axis=1)
    tones = _power(windows, _NOMINAL)[each[:, None], both] / _hann_response(bins) ** 2
    twist = 10 * np.log10((tones[:, 1] + 1e-12) / (tones[:, 0] + 1e-12))
    harmonics = _power(windows, _DOUBLE)[each[:, None], both]
    harmonics[:, 0] *= np.abs(2 * nominal[:, 0] - nominal[:, 1]) > APART
    good = near & (twist <= MOST_TWIST) & (twist >= LEAST_TWIST) & (harmonics < HARMONIC * tones).all(axis=1)
    result: list[float | None] = [None] * len(windows)
    for index in np.flatnonzero(good):
        energy = float(np.dot(windows[index], windows[index]))
        if _held(windows[index], exact[index]) >= PURITY * energy:
            result[int(index)] = float(10 * np.log10(energy / FRAME + 1e-12))
    return result


def _held(window: Floats, frequencies: NDArray[np.float64]) -> float:
    """Return how much of a window's energy two tones of these frequencies in Hz can make up."""
    angles = 2 * np.pi * frequencies[:, None] * np.arange(FRAME)[None, :] / RATE
    basis = np.concatenate((np.cos(angles), np.sin(angles)))
    sums = basis @ window.astype(np.float64)
    return float(sums @ np.linalg.solve(basis @ basis.T, sums))
