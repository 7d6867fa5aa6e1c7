"""What a recording tells: which of the known tones stand out when, and how long sound was missing."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from gateway.bench.sound import Samples

WINDOW = 0.2
"""Seconds that one look at the spectrum takes: 5 Hz a bin, enough to tell any two tones apart."""
STEP = 0.1
STANDS_OUT = 20.0
"""dB that a tone must stand above the middle of the spectrum."""
PEAKS = 12.0
"""dB that it must stand above what is near it. Where another's tone breaks off (a packet was late, a phone starved) its
spectrum falls off like a hillside for hundreds of Hz: high above the middle, but no peak anywhere."""
NEAR = (20.0, 60.0)
"""Hz from a tone to both sides that are near it: beyond its own foot, within the next one's."""
FLOOR = -50.0
"""dB of full scale below which nothing counts as heard."""
_BAND = (250.0, 3500.0)


def read_wav(path: Path) -> tuple[Samples, int]:
    """Return the first channel of a WAV file of 16-bit samples and its rate; it may still be growing.

    The lengths in the header are not looked at: who is still writing has not filled them in. Raises ValueError.
    """
    data = path.read_bytes()
    form, start = data.find(b"fmt "), data.find(b"data")
    if data[:4] != b"RIFF" or form < 0 or start < 0:
        raise ValueError(f"{path} is no WAV file yet")
    channels, rate = struct.unpack_from("<HI", data, form + 10)
    samples = data[start + 8 :]
    samples = samples[: len(samples) // (2 * channels) * 2 * channels]
    return np.frombuffer(samples, dtype="<i2").reshape(-1, channels)[:, 0].copy(), rate


def levels(samples: Samples, rate: int, tones: Iterable[int]) -> dict[int, np.ndarray]:
    """Return for each tone its level in dB of full scale at each step, -120 where it does not stand out."""
    size, step = round(WINDOW * rate), round(STEP * rate)
    if len(samples) < size:
        return {tone: np.empty(0) for tone in tones}
    blocks = np.lib.stride_tricks.sliding_window_view(samples, size)[::step] * np.hanning(size)
    spectrum = np.abs(np.fft.rfft(blocks, axis=1)) / (size / 4 * 32768) + 1e-9
    decibels = 20 * np.log10(spectrum)
    frequencies = np.fft.rfftfreq(size, 1 / rate)
    band = (frequencies >= _BAND[0]) & (frequencies <= _BAND[1])
    middle = np.median(decibels[:, band], axis=1)
    found = {}
    for tone in tones:
        apart = np.abs(frequencies - tone)
        at = decibels[:, apart <= 8].max(axis=1)
        around = np.median(decibels[:, (apart >= NEAR[0]) & (apart <= NEAR[1])], axis=1)
        heard = (at > FLOOR) & (at > middle + STANDS_OUT) & (at > around + PEAKS)
        found[tone] = np.where(heard, at, -120.0)
    return found


def heard(samples: Samples, rate: int, tones: Iterable[int]) -> dict[int, float]:
    """Return for each tone how many seconds of the recording it stands out."""
    return {tone: round(float((level > -120).sum()) * STEP, 1) for tone, level in levels(samples, rate, tones).items()}


def longest_gap(samples: Samples, rate: int, threshold: float = 0.004) -> float:
    """Return the longest time in ms without sound, between the first and the last sound of a recording.

    Sound is a window of 5 ms whose effective value is above `threshold` of full scale.
    """
    size = round(0.005 * rate)
    count = len(samples) // size
    blocks = samples[: count * size].reshape(count, size).astype(float) / 32768
    loud = np.flatnonzero(np.sqrt((blocks**2).mean(axis=1)) > threshold)
    if len(loud) < 2:
        return float("inf")
    return float((np.diff(loud).max() - 1) * 5)


def added_gaps(sent: Samples, received: Samples, rate: int, threshold: float = 0.004) -> float:
    """Return the longest silence in ms of a received speech that the sent one does not have at that place.

    The two are laid over one another by their envelopes; a place where the sent speech is itself silent within
    100 ms does not count.
    """
    size = round(0.005 * rate)

    def loudness(samples: Samples) -> np.ndarray:
        count = len(samples) // size
        return np.sqrt((samples[: count * size].reshape(count, size).astype(float) ** 2).mean(axis=1)) / 32768

    ours, theirs = loudness(sent), loudness(received)
    if len(theirs) < len(ours):
        theirs = np.pad(theirs, (0, len(ours) - len(theirs)))
    likeness = np.correlate(theirs, ours - ours.mean(), mode="valid")
    start = int(np.argmax(likeness))
    theirs = theirs[start : start + len(ours)]
    near = 20
    speaking = np.array([ours[max(0, i - near) : i + near + 1].min() > threshold for i in range(len(ours))])
    longest = run = 0
    for silent, counts in zip(theirs < threshold / 2, speaking, strict=True):
        run = run + 1 if silent and counts else 0
        longest = max(longest, run)
    return float(longest * 5)
