"""Which prompts a recording holds, and when: by how the energy of its bands goes, as it went in the prompt's file.

A prompt comes to a phone through a mixer, a codec and a network; what survives all is where in time and pitch its
energy lies. Each prompt is a picture of that, 20 ms by a few bands, which is laid over the recording's at each place;
two pictures of the same words correlate, others do not. It is laid there in pieces, each a little beside its place if
it fits better there: a jitter buffer takes a step now and then. Of several prompts that fit one place the longer one
counts for more: a sentence that fits is no chance, a number that does may be a part of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from gateway.bench.sound import Samples
from gateway.ivr.texts import PROMPTS
from transcode.audio.sounds import SoundLibrary, State
from transcode.audio.tones import FRAME, ToneDetector

LIKE = 0.8
"""Correlation from which on a prompt may have been heard. The same one through a codec has 0.9 and more; another one
has so much where it is short, as a number is, and sounds like a part of the other."""
HOP = 0.01
"""Seconds between two looks at a recording; a prompt is looked at half as often, so that any place fits."""
_PIECE = 35
"""Looks of a prompt that one piece has, 0.7 s."""
_SLIP = 8
"""Looks of a recording by which a piece may stand beside its place, 80 ms: a few packets left out or doubled."""
_WINDOW = 0.032
_BANDS = 14
_LOW, _HIGH = 250.0, 3400.0
_RANGE = 45.0
"""dB below the loudest band that are looked at; below that is noise."""

Look = np.ndarray


@dataclass(frozen=True, order=True)
class Heard:
    """A prompt that was heard: from which second of the recording on, its name, and how like it was."""

    at: float
    name: str
    likeness: float

    @property
    def weight(self) -> float:
        """How much speaks for it: of two correlations the logarithm of their odds, over how long each holds."""
        return -len(_pattern(self.name)) * math.log(1.0 - min(self.likeness, 0.999) ** 2)


def heard_prompts(recording: tuple[Samples, int], names: Iterable[str]) -> list[Heard]:
    """Return which of these prompts ("en/welcome", "tones/knock") a recording holds, in order of time.

    Where several fit, the one that fits best is told; the same one is told again where it is heard again.
    """
    samples, rate = recording
    looked = _Recording(_look(samples.astype(float) / 32768, rate))
    found = [heard for name in names for heard in _places(looked, name)]
    kept: list[tuple[float, float, Heard]] = []
    for one in sorted(found, key=lambda heard: -heard.weight):
        begin, end = one.at, one.at + len(_pattern(one.name)) * 2 * HOP
        shared = [(min(end, other_end) - max(begin, other)) / (end - begin) for other, other_end, _ in kept]
        if not any(part > 0.3 for part in shared):
            kept.append((begin, end, one))
    return sorted(one for _, _, one in kept)


def heard_in_order(recording: tuple[Samples, int], *names: str) -> bool:
    """Whether these prompts were heard one after the other, whatever lay between them."""
    order = iter([heard.name for heard in heard_prompts(recording, dict.fromkeys(names))])
    return all(name in order for name in names)


def holds_part(recording: tuple[Samples, int], name: str, seconds: float = 3.0) -> bool:
    """Whether any stretch of so many seconds of a long sound ("music/waiting") stands in a recording.

    A recording of twice that length holds one of them whole, wherever in the sound it begins.
    """
    samples, rate = recording
    looked, pattern = _Recording(_look(samples.astype(float) / 32768, rate)), _pattern(name)
    size = round(seconds / (2 * HOP))
    stretches = (pattern[start : start + size] for start in range(0, len(pattern) - size + 1, size))
    return any(_scores(looked, stretch).max(initial=-1.0) >= LIKE for stretch in stretches)


def likeness(recording: tuple[Samples, int], name: str) -> float:
    """Return how like a prompt the place of a recording is that is most like it, at most 1."""
    samples, rate = recording
    scores = _scores(_Recording(_look(samples.astype(float) / 32768, rate)), _pattern(name))
    return float(scores.max(initial=-1.0))


def _places(recording: _Recording, name: str) -> list[Heard]:
    pattern = _pattern(name)
    scores = _scores(recording, pattern)
    found = []
    while len(scores) and scores.max() >= LIKE:
        best = int(np.argmax(scores))
        found.append(Heard(round(best * HOP, 2), name, float(scores[best])))
        scores[max(0, best - len(pattern)) : best + len(pattern)] = -1.0
    return found


def _scores(recording: _Recording, pattern: Look) -> np.ndarray:
    """Return how like a pattern the recording is from each place on: the mean of what its pieces have near there."""
    count = len(recording.look) - 2 * len(pattern) + 2
    if count <= 0:
        return np.empty(0)
    pieces = max(1, round(len(pattern) / _PIECE))
    edges = [round(number * len(pattern) / pieces) for number in range(pieces + 1)]
    total, exact = np.zeros(count), np.zeros(count)
    for begin, end in pairwise(edges):
        fits = recording.fits(pattern[begin:end])
        exact += fits[2 * begin : 2 * begin + count]
        if pieces > 1:
            fits = sliding_window_view(np.pad(fits, _SLIP, constant_values=-1.0), 2 * _SLIP + 1).max(axis=1)
        total += fits[2 * begin : 2 * begin + count]
    return np.asarray((total + 0.01 * exact) / (1.01 * pieces))  # of places that are alike the exact one is best


class _Recording:
    """A recording's look, with what is needed of it for each piece that is laid over it."""

    def __init__(self, look: Look) -> None:
        self.look = look
        parts = [look[phase::2] for phase in (0, 1)]
        self._size = 1 << (len(parts[0]) + 2 * _PIECE).bit_length()
        self._spectra = [np.fft.rfft(part, self._size, axis=0) for part in parts]
        self._sums = [np.concatenate((np.zeros(1), np.cumsum(part.sum(axis=1)))) for part in parts]
        self._squares = [np.concatenate((np.zeros(1), np.cumsum((part**2).sum(axis=1)))) for part in parts]

    def fits(self, piece: Look) -> np.ndarray:
        """Return the correlation with a piece from each place on."""
        shape = piece - piece.mean()
        turned = np.fft.rfft(shape, self._size, axis=0).conj()
        count = len(piece)
        scores = np.empty(len(self.look) - 2 * count + 2)
        for phase, spectrum in enumerate(self._spectra):
            sums, squares = self._sums[phase], self._squares[phase]
            # The mean of the place counts nothing: that of shape is 0.
            fits = np.fft.irfft((spectrum * turned).sum(axis=1), self._size)[: len(sums) - count]
            total = sums[count:] - sums[:-count]
            spread = np.sqrt(np.maximum(squares[count:] - squares[:-count] - total**2 / shape.size, 0.0))
            # A place without sound has nothing to be like.
            spread = np.maximum(spread, 2.0 * np.sqrt(shape.size))
            scores[phase::2] = fits / (spread * np.sqrt((shape**2).sum()))
        return scores


def _look(samples: np.ndarray, rate: int) -> Look:
    """Return dB by time and band."""
    size, step = round(_WINDOW * rate), round(HOP * rate)
    if len(samples) < size:
        return np.empty((0, _BANDS))
    blocks = sliding_window_view(samples, size)[::step] * np.hanning(size)
    power = np.abs(np.fft.rfft(blocks, axis=1)) ** 2 / (size / 4) ** 2
    frequencies = np.fft.rfftfreq(size, 1 / rate)
    edges = np.geomspace(_LOW + 300, _HIGH + 300, _BANDS + 1) - 300  # nearly even below, wider above, as ears have it
    bands = [power[:, (frequencies >= low) & (frequencies < high)].sum(axis=1) for low, high in pairwise(edges)]
    decibels = 10 * np.log10(np.stack(bands, axis=1) + 1e-12)
    return np.maximum(decibels, decibels.max(initial=-120.0) - _RANGE)


@cache
def _pattern(name: str) -> Look:
    """Return the look of a prompt from its first to its last sound, with a little silence around it."""
    samples, rate = recorded(name)
    look = _look(samples.astype(float) / 32768, rate)
    loud = np.flatnonzero(look.max(axis=1) > look.max() - 30)
    return look[max(0, loud[0] - 4) : loud[-1] + 7 : 2]


@cache
def recorded(name: str, directory: Path = PROMPTS) -> tuple[Samples, int]:
    """Return a prompt's own sound at 16 kHz."""

    def at_once(job: object) -> bool:
        job()  # type: ignore[operator]
        return True

    clip = SoundLibrary([directory], at_once).clip(name)
    assert clip.state is State.READY, name
    return clip.sounds[16000], 16000


def keys_in(samples: Samples) -> str:
    """Return the keys whose tones stand in a recording at 8 kHz."""
    detector, slot = ToneDetector(), np.zeros(1, np.intp)
    whole = samples[: len(samples) // FRAME * FRAME].reshape(-1, 1, FRAME)
    return "".join(press.digit for frame in whole for press in detector.update(slot, frame))
