"""Which prompts stand in a recording, in what order: each is looked for by its fingerprint, its spectrum over time.

A prompt is cut into pieces, each of which is looked for near its place, so that the small steps of a jitter buffer do
no harm; codecs and gain change little. Another sentence of the same voice is another fingerprint.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from itertools import pairwise

import av
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from gateway.bench.sound import Samples
from gateway.ivr.texts import PROMPTS

RATE = 8000
FRAME = 256
HOP = 128
"""Samples of one look at the spectrum, and between two: 16 ms."""
PIECE = 30
"""Looks that one piece has: half a second."""
SLIP = 15
"""Looks by which a piece may stand beside its place: what concealment and lost packets move it, many times over."""
LIKENESS = 0.8
"""Share in which a recording and a prompt must go together. The same one has 0.97 behind G.711; another one 0.7 at
most, but for those that differ in one word: of these the one that fits better as a whole is heard."""
FLOOR = -75.0
"""dB of full scale below which nothing is told apart: noise of codecs."""
_EDGES = np.geomspace(250, 3600, 17)


def heard_prompts(samples: Samples, rate: int, language: str, names: Iterable[str]) -> list[str]:
    """Return which of these prompts stand in a recording, in their order; of those that fit one place the best."""
    recording = _bands(_at_rate(samples, rate))
    found: list[tuple[float, int, int, str]] = []
    for name in names:
        prompt = _fingerprint(language, name)
        likeness, whole = _likeness(recording, prompt)
        while len(likeness) and likeness.max() >= LIKENESS:
            at = int(likeness.argmax())
            found.append((float(whole[at]), at, at + len(prompt), name))
            likeness[max(0, at - len(prompt) // 2) : at + len(prompt) // 2] = 0.0
    kept: list[tuple[int, int, str]] = []
    for _, begin, end, name in sorted(found, reverse=True):
        if all(begin + end < 2 * other_begin or begin + end > 2 * other_end for other_begin, other_end, _ in kept):
            kept.append((begin, end, name))
    return [name for _, _, name in sorted(kept)]


@cache
def _fingerprint(language: str, name: str) -> np.ndarray:
    with av.open(str(PROMPTS / language / f"{name}.ogg")) as container:
        resampler = av.AudioResampler("s16", "mono", RATE)
        frames = [out for frame in container.decode(audio=0) for out in resampler.resample(frame)]
        frames += resampler.resample(None)
    bands = _bands(np.concatenate([frame.to_ndarray()[0] for frame in frames]))
    loud = np.flatnonzero(bands.max(axis=1) > FLOOR + 20)
    return bands[loud[0] : loud[-1] + 1]


def _at_rate(samples: Samples, rate: int) -> Samples:
    if rate == RATE:
        return samples
    step = rate // RATE
    assert step * RATE == rate, rate
    # A mean over each step is low-pass enough for speech in bands below 3.6 kHz.
    return samples[: len(samples) // step * step].reshape(-1, step).mean(axis=1).astype(np.int16)


def _bands(samples: Samples) -> np.ndarray:
    """Return the level of each band in dB at each look."""
    if len(samples) < FRAME:
        return np.zeros((0, len(_EDGES) - 1))
    frames = sliding_window_view(samples, FRAME)[::HOP] * np.hanning(FRAME)
    power = np.abs(np.fft.rfft(frames, axis=1) / (FRAME / 4 * 32768)) ** 2
    frequencies = np.fft.rfftfreq(FRAME, 1 / RATE)
    places = [(frequencies >= low) & (frequencies < high) for low, high in pairwise(_EDGES)]
    bands = np.stack([power[:, place].sum(axis=1) for place in places], axis=1)
    return np.maximum(10 * np.log10(bands + 1e-12), FLOOR)


def _likeness(recording: np.ndarray, prompt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return at each place how well the prompt's pieces fit there: the mean of each one's best near its place.

    First without the worst quarter of them, which a busy machine may have spoilt, then of all.
    """
    count = len(recording) - len(prompt) + 1
    if count <= 0:
        return np.zeros(0), np.zeros(0)
    starts = list(range(0, max(1, len(prompt) - PIECE + 1), PIECE))
    likeness = np.zeros((len(starts), count))
    for row, start in enumerate(starts):
        piece = prompt[start : start + PIECE]
        fits = np.pad(_fits(recording, piece), (SLIP, SLIP), constant_values=0.0)
        best = sliding_window_view(fits, 2 * SLIP + 1).max(axis=1)
        likeness[row] = best[start : start + count]
    return np.sort(likeness, axis=0)[len(starts) // 4 :].mean(axis=0), likeness.mean(axis=0)


def _fits(recording: np.ndarray, piece: np.ndarray) -> np.ndarray:
    """Return at each place the correlation of levels over bands and time."""
    wanted = (piece - piece.mean()) / np.linalg.norm(piece - piece.mean())
    windows = sliding_window_view(recording, len(piece), axis=0)
    middle = windows.mean(axis=(1, 2))
    size = np.sqrt(np.maximum((windows**2).mean(axis=(1, 2)) - middle**2, 1e-9) * wanted.size)
    return np.einsum("nbt,tb->n", windows, wanted) / np.maximum(size, 10.0)


def holds_music(samples: Samples, rate: int, name: str = "waiting", seconds: float = 3.0) -> bool:
    """Tell whether a stretch of so many seconds of a piece of music stands in a recording; any one will do.

    A recording of twice that length holds one of them whole, wherever in the piece it begins.
    """
    recording, music = _bands(_at_rate(samples, rate)), _fingerprint("music", name)
    size = round(seconds * RATE / HOP)
    stretches = (music[start : start + size] for start in range(0, len(music) - size + 1, size))
    return any(_likeness(recording, stretch).max(initial=0.0) >= LIKENESS for stretch in stretches)
