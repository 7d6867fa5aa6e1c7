"""G.711 µ-law and A-law by table (ITU-T G.711), for one leg or for all legs of a tick in one stroke."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from transcode.media import Codec

Pcm = NDArray[np.int16]
"""Linear samples, one channel, int16."""

RATE = 8000
"""Samples and RTP ticks a second (RFC 3551 §4.5.14)."""


def _ulaw_values() -> Pcm:
    code = ~np.arange(256) & 0xFF
    magnitude = (((code & 0x0F) << 3) + 0x84 << ((code & 0x70) >> 4)) - 0x84
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def _alaw_values() -> Pcm:
    code = np.arange(256) ^ 0x55
    mantissa = (code & 0x0F) << 4
    exponent = (code & 0x70) >> 4
    magnitude = np.where(exponent == 0, mantissa + 8, mantissa + 0x108 << np.maximum(exponent - 1, 0))
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)


def _codes(values: Pcm) -> NDArray[np.uint8]:
    """Invert a table: the nearest code for each of the 65,536 sample values, indexed by the sample as uint16.

    Of µ-law's two zeros the positive one is taken, 0xFF, which is what an idle line sends.
    """
    order = np.argsort(values, kind="stable")
    steps = values[order].astype(np.int32)
    samples = np.arange(65536).astype(np.uint16).view(np.int16).astype(np.int32)
    upper = np.clip(np.searchsorted(steps, samples, side="right"), 1, 255)
    nearer = np.where(samples - steps[upper - 1] < steps[upper] - samples, upper - 1, upper)
    return order[nearer].astype(np.uint8)


_VALUES = {Codec.PCMU: _ulaw_values(), Codec.PCMA: _alaw_values()}
_CODES = {codec: _codes(values) for codec, values in _VALUES.items()}
_FLOATS = {codec: values.astype(np.float32) / np.float32(32768) for codec, values in _VALUES.items()}

LAWS = frozenset(_VALUES)


def decode(codec: Codec, payload: bytes) -> Pcm:
    """Return the samples of one payload, int16, one a octet."""
    return _VALUES[codec][np.frombuffer(payload, np.uint8)]


def encode(codec: Codec, samples: Pcm) -> bytes:
    """Return the payload of int16 samples, one octet each."""
    return _CODES[codec][samples.view(np.uint16)].tobytes()


def decode_many(codec: Codec, payloads: list[bytes], length: int) -> NDArray[np.float32]:
    """Decode payloads of `length` octets each at once: float32 in -1.0 to 1.0, shape (len(payloads), length)."""
    return _FLOATS[codec][np.frombuffer(b"".join(payloads), np.uint8)].reshape(len(payloads), length)
