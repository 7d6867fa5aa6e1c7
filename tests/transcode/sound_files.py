"""Sounds for tests: files of tones, and a library that reads them at once."""

from __future__ import annotations

import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np

from transcode.audio.sounds import SoundLibrary

TONES = {"one": 1000, "two": 2100, "three": 3100}
"""Hz of the sounds in "test/"."""


def at_once(job: Callable[[], None]) -> bool:
    """Run a job now."""
    job()
    return True


def tone(frequency: float, seconds: float, rate: int = 16000, level: float = 0.25) -> np.ndarray:
    return (level * 32767 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)).astype(np.int16)


def write(path: Path, samples: np.ndarray, rate: int = 16000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(samples.astype("<i2").tobytes())


def make_sounds(directory: Path, seconds: float = 0.4) -> Path:
    """Write a tone for each of TONES as "test/NAME", 0.1 s of 1700 Hz as "tones/short", 440 Hz as "music/steady"."""
    for name, frequency in TONES.items():
        write(directory / "test" / f"{name}.wav", tone(frequency, seconds))
    write(directory / "tones" / "short.wav", tone(1700, 0.1))
    write(directory / "music" / "steady.wav", tone(440, 2.0))
    return directory


def library(directory: Path, submit: Callable[[Callable[[], None]], bool] = at_once) -> SoundLibrary:
    return SoundLibrary([directory], submit)
