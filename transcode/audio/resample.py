"""Streaming resampling between 8, 16 and 48 kHz by polyphase FIR filters.

Theory of operation. One windowed-sinc low-pass for each pair of rates. Going up by L, each input sample gives L
outputs, each from its own phase of the filter: one matrix product of the windows of the input with the phases.
Going down by M, the windows are M apart. The last inputs are kept between calls, so that frames join without a seam.
The delay is half the filter: 1.5 ms (`DELAY_MS`).
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

TAPS = 24
"""Filter length in samples at the lower rate: 3 ms at 8 kHz; images are down by more than 60 dB from 4.6 kHz on."""
BETA = 6.0
"""Kaiser window: 60 dB beside the pass band."""
CUTOFF = 0.46
"""Pass band edge as a share of the lower rate: 3.7 of 4 kHz, as far as telephones go."""
RATES = (8000, 16000, 48000)

Floats = NDArray[np.float32]


@cache
def _low_pass(factor: int) -> NDArray[np.float64]:
    length = TAPS * factor
    at = np.arange(length) - (length - 1) / 2
    taps = np.sinc(2 * CUTOFF * at / factor) * np.kaiser(length, BETA)
    return np.asarray(taps / taps.sum())


@cache
def _up(factor: int) -> Floats:
    """Return the phases, shape (TAPS, factor): windows of the input times this are the outputs."""
    phases = _low_pass(factor).reshape(TAPS, factor) * factor
    phases = phases / phases.sum(axis=0)
    return np.ascontiguousarray(phases[::-1], np.float32)


@cache
def _down(factor: int) -> Floats:
    return np.ascontiguousarray(_low_pass(factor)[::-1], np.float32)


class Resampler:
    """Turns one stream from one rate to another; both among RATES, in Hz."""

    def __init__(self, source: int, target: int) -> None:
        if source not in RATES or target not in RATES:
            raise ValueError(f"no resampling from {source} to {target} Hz")
        self.source, self.target = source, target
        self._factor = max(source, target) // min(source, target)
        length = TAPS if target > source else TAPS * self._factor
        self._past: Floats = np.zeros(length - (1 if target > source else self._factor), np.float32)

    def __call__(self, samples: Floats) -> Floats:
        """Return float32 samples at the target rate; going down, their number must divide by the factor."""
        if self.source == self.target:
            return samples
        joined = np.concatenate((self._past, samples))
        self._past = joined[len(samples) :]
        if self.target > self.source:
            return (sliding_window_view(joined, TAPS) @ _up(self._factor)).reshape(-1)
        windows = sliding_window_view(joined, TAPS * self._factor)[:: self._factor]
        return np.asarray(windows @ _down(self._factor))
