"""Keys as the two tones that say them (ITU-T Q.23), played to peers that are told of keys in no other way."""

from __future__ import annotations

import re

import numpy as np

from transcode.audio.g711 import Pcm
from transcode.audio.tones import COLUMNS, KEYS, ROWS
from transcode.media import Sound

DIRECTORY = "keys/"
"""What names of such sounds begin with: they are made, and no files."""
LEAST, MOST, STEP = 100, 1_000, 50
"""ms that the tones last: well above the 40 that Q.24 asks for; in steps, so that few sounds are made."""
PAUSE = 100
"""ms of silence behind them: Q.24 asks for 40, and what else is heard comes up meanwhile."""
LEAD = 40
"""ms of silence before them, in which what else is heard goes down."""
LEVEL = 0.2
"""Amplitude of each tone as a share of full scale (-11 dBm0), as telephones send them."""
_EDGE = 0.002
"""Seconds over which the tones rise and fall."""
_WORDS = {"*": "star", "#": "hash"}
_NAME = re.compile(rf"{DIRECTORY}([0-9A-D]|star|hash)-(\d{{1,4}})")


def key_sound(digit: str, duration: int) -> Sound:
    """Return the sound of a key that is pressed for so many ms."""
    length = round(max(LEAST, min(MOST, duration)) / STEP) * STEP
    return Sound(f"{DIRECTORY}{_WORDS.get(digit, digit.upper())}-{length}")


def made(name: str, rate: int) -> Pcm | None:
    """Return the samples of such a sound at a rate in Hz; None where it is not one that is made."""
    found = _NAME.fullmatch(name)
    if found is None or not LEAST <= int(found[2]) <= MOST:
        return None
    digit = next((key for key, word in _WORDS.items() if word == found[1]), found[1])
    row = next(number for number, keys in enumerate(KEYS) if digit in keys)
    seconds = int(found[2]) / 1000
    at = np.arange(round(seconds * rate)) / rate
    both = np.sin(2 * np.pi * ROWS[row] * at) + np.sin(2 * np.pi * COLUMNS[KEYS[row].index(digit)] * at)
    both *= LEVEL * np.clip(np.minimum(at, seconds - at) / _EDGE, 0, 1)
    silences = (np.zeros(rate * LEAD // 1000), np.zeros(rate * PAUSE // 1000))
    return np.asarray(np.rint(np.concatenate((silences[0], both, silences[1])) * 32767), np.int16)
