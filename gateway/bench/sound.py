"""Sounds for tests and loads: tones, bursts, chirps, and G.711 (ITU-T G.711) in whole arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.int16]
RATE = 8000
PCMU_SILENCE = 0xFF
_BIAS, _CLIP = 132, 32635
_FULL_SCALE = 32767.0


def _ramp(samples: NDArray[np.float64], rate: int, seconds: float = 0.01) -> NDArray[np.float64]:
    """Fade both ends, so that no click spreads over the spectrum."""
    count = min(round(rate * seconds), len(samples) // 2)
    shape = np.ones(len(samples))
    if count:
        shape[:count] = np.sin(np.linspace(0, np.pi / 2, count)) ** 2
        shape[-count:] = shape[:count][::-1]
    return samples * shape


def tone(frequency: float, seconds: float, rate: int = RATE, level: float = 0.25) -> Samples:
    """Return a steady tone; level is its amplitude as a share of full scale."""
    time = np.arange(round(seconds * rate)) / rate
    return (_ramp(np.sin(2 * np.pi * frequency * time), rate) * level * _FULL_SCALE).astype(np.int16)


def bursts(
    frequency: float, seconds: float, on: float, period: float, rate: int = RATE, level: float = 0.25
) -> Samples:
    """Return bursts of a tone, `on` seconds in each `period`, for `seconds` in all."""
    one = np.zeros(round(period * rate), dtype=np.int16)
    burst = tone(frequency, on, rate, level)
    one[: len(burst)] = burst[: len(one)]
    count = round(seconds * rate)
    return np.tile(one, count // len(one) + 1)[:count]


def chirp(low: float, high: float, seconds: float, rate: int = RATE, level: float = 0.4) -> Samples:
    """Return a linear sweep, whose correlation with itself has one sharp peak: a mark in time."""
    time = np.arange(round(seconds * rate)) / rate
    phase = 2 * np.pi * (low * time + (high - low) * time**2 / (2 * seconds))
    return (_ramp(np.sin(phase), rate, 0.004) * level * _FULL_SCALE).astype(np.int16)


def add(first: Samples, second: Samples, start: int = 0) -> None:
    """Add the second sound into the first, in place, clipped at full scale, from sample `start` on."""
    end = min(len(first), start + len(second))
    total = first[start:end].astype(np.int32) + second[: end - start]
    first[start:end] = np.clip(total, -32768, 32767)


def _encode_table() -> NDArray[np.uint8]:
    linear = np.arange(-32768, 32768)
    magnitude = np.minimum(np.abs(linear), _CLIP) + _BIAS
    exponent = np.floor(np.log2(magnitude)).astype(int) - 7
    mantissa = (magnitude >> (exponent + 3)) & 0x0F
    sign = np.where(linear < 0, 0x80, 0)
    table: NDArray[np.uint8] = (~(sign | exponent << 4 | mantissa) & 0xFF).astype(np.uint8)
    return table


def _decode_table() -> Samples:
    code = ~np.arange(256) & 0xFF
    magnitude = ((((code & 0x0F) << 3) + _BIAS) << (code >> 4 & 7)) - _BIAS
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


_ENCODE = _encode_table()
_DECODE = _decode_table()


def to_pcmu(samples: Samples) -> bytes:
    """Encode to G.711 µ-law, one octet a sample."""
    return bytes(_ENCODE[samples.astype(np.int32) + 32768])


def from_pcmu(data: bytes) -> Samples:
    """Decode G.711 µ-law."""
    return _DECODE[np.frombuffer(data, dtype=np.uint8)]
