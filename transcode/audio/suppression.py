"""Taking steady noise out of legs' sound, where the configuration asks for it; all legs of one rate at once.

Theory of operation. Windows of 20 ms, half overlapping, are weighted by the root of a Hann window before and after, so
that an unchanged spectrum gives the sound back, 10 ms later. In each bin the noise is what power falls to: it follows
down soon and rises slowly, so that speech leaves it alone and a fan that is turned on is learnt in some seconds. A
bin's gain is Wiener's for its signal to noise ratio, which is smoothed from window to window as Ephraim and Malah do
("decision directed"), lest single bins ring; it never goes below `FLOOR`, for noise that is merely lower
sounds better than holes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FLOOR = 0.2
"""Least gain of a bin: -14 dB."""
SMOOTH = 0.94
"""Share of the last window in a bin's signal to noise ratio."""
RISE = 1.006
"""Factor a window by which the noise rises (2.6 dB/s); a vowel is over before that matters."""
FALL = 0.1
"""Share by which it falls in a window towards a lower power."""
POWER_SMOOTH = 0.8
"""Share of the past in a bin's power of which the noise is the bottom: a single window's power is mostly chance."""
BIAS = 1.5
"""What the bottom of a noise's smoothed power must be multiplied with to be its mean."""
LEARN_WINDOWS = 10
"""Windows (0.1 s) of a leg that are all taken for noise if they are no louder than `FIRST_NOISE`."""
FIRST_NOISE = 10 ** (-45 / 10)
"""Power (-45 dBov) up to which a leg's first sound is noise."""

Floats = NDArray[np.float32]


@dataclass(slots=True)
class _Voice:
    """What is kept of one leg between two frames."""

    tail: Floats
    out: Floats
    power: Floats
    noise: Floats
    clean: Floats
    windows: int = 0


class Suppressor:
    """Noise suppression for legs of one rate in Hz; a slot is a leg's number."""

    def __init__(self, rate: int) -> None:
        self._hop = rate // 100
        self._window = np.sqrt(np.hanning(2 * self._hop + 1)[:-1]).astype(np.float32)
        self._voices: dict[int, _Voice] = {}

    def keep(self, slots: set[int]) -> None:
        """Forget all legs but these."""
        for slot in self._voices.keys() - slots:
            del self._voices[slot]

    def __call__(self, slots: list[int], frames: Floats) -> Floats:
        """Take a frame of 20 ms of each slot, float32, shape (slots, samples); return it without noise, 10 ms later."""
        hop = self._hop
        voices = [self._voices.get(slot) or self._begin(slot) for slot in slots]
        result = np.empty_like(frames)
        joined = np.concatenate((np.stack([voice.tail for voice in voices]), frames), axis=1)
        out = np.stack([voice.out for voice in voices])
        for begin in (0, hop):
            part = self._clean(voices, joined[:, begin : begin + 2 * hop] * self._window) * self._window
            result[:, begin : begin + hop] = out + part[:, :hop]
            out = part[:, hop:]
        for row, voice in enumerate(voices):
            voice.tail, voice.out = joined[row, -hop:], out[row]
        return result

    def _begin(self, slot: int) -> _Voice:
        bins = np.zeros(self._hop + 1, np.float32)
        none = np.zeros(self._hop, np.float32)
        voice = self._voices[slot] = _Voice(none, none, bins, bins, bins)
        return voice

    def _clean(self, voices: list[_Voice], windows: Floats) -> Floats:
        spectrum = np.fft.rfft(windows, axis=1)
        now = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
        noise = self._learn(voices, now, (windows**2).mean(axis=1) * 2)
        posterior = now / (noise + np.float32(1e-9))
        clean = np.stack([voice.clean for voice in voices])
        prior = SMOOTH * clean / (noise + np.float32(1e-9)) + (1 - SMOOTH) * np.maximum(posterior - 1, 0)
        gain = np.maximum(prior / (1 + prior), FLOOR)
        clean = gain**2 * now
        for row, voice in enumerate(voices):
            voice.clean = clean[row]
        return np.fft.irfft(spectrum * gain, axis=1).astype(np.float32)

    def _learn(self, voices: list[_Voice], now: Floats, loudness: Floats) -> Floats:
        """Follow each leg's noise and return it."""
        for row, voice in enumerate(voices):
            voice.windows += 1
            if voice.windows <= 2:
                voice.power = now[row]
            voice.power = np.float32(POWER_SMOOTH) * voice.power + np.float32(1 - POWER_SMOOTH) * now[row]
            bottom = BIAS * voice.power
            if voice.windows <= LEARN_WINDOWS:
                voice.noise = (
                    bottom if loudness[row] < FIRST_NOISE else np.minimum(bottom, np.float32(FIRST_NOISE * self._hop))
                )
            else:
                lower = bottom < voice.noise
                voice.noise = np.where(lower, voice.noise + FALL * (bottom - voice.noise), voice.noise * RISE)
        return np.stack([voice.noise for voice in voices]).astype(np.float32)
