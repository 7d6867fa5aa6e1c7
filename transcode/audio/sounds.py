"""Sounds out of files: prompts, tones, music, decoded once for all who are played them.

Theory of operation. A sound's name ("en/enter-room") is a file's without its suffix, looked for in one directory after
the other, so that an operator's own comes before the one that was shipped. Whoever asks for a sound gets a `Clip` at
once; a worker fills it. A clip holds the whole sound at each rate that is mixed. It is brought to them as if it went
round, end to beginning, so that music goes round without a seam; a prompt, which begins and ends in silence, does not
notice. What was not asked for for longest is forgotten when too much is kept. A missing file is looked for again each
time that it is asked for, and told in the log once.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from pathlib import Path

import av
import numpy as np
import structlog
from av.audio.resampler import AudioResampler
from av.error import FFmpegError

from transcode.audio import key_sounds
from transcode.audio.g711 import Pcm
from transcode.audio.levels import levels
from transcode.audio.resample import RATES, TAPS, Floats, Resampler

log = structlog.get_logger()

RATE = 48_000
"""Hz at which files are read; the other rates are made from it."""
UNIT = 8_000
"""Units of time in a second: a sample at the lowest rate, and a whole number of them at each other one."""
SUFFIXES = (".ogg", ".opus", ".wav")
"""Kinds of files that are looked for, in this order."""
NAME = re.compile(r"[a-z0-9-]{1,16}/[A-Za-z0-9_-]{1,80}")
"""What a sound may be called: nothing that leads out of a directory."""
MAX_SECONDS = 120
"""Longest sound in seconds, 17 MB at all rates; what comes behind is left out."""
LEAST_UNITS = UNIT // 50
"""Shortest sound, 20 ms: a shorter one is made that long."""
MAX_OCTETS = 64_000_000
"""Octets of sounds that are kept: all prompts of two languages are about 20 million."""
MAX_CLIPS = 2_000
"""Sounds that are kept: names that were spoken are many and small."""
MAX_TOLD = 256
"""Sounds whose files are missing that are told of; each once."""
_STEP = RATE
"""Samples that are brought to another rate at once: windows of a second take 28 MB for a moment."""


class State(Enum):
    """How far a clip is."""

    LOADING = "loading"
    READY = "ready"
    MISSING = "missing"


class Clip:
    """One sound. While it is READY, sounds holds its int16 samples by rate in Hz, length is in units of 1/8000 s, and
    level in dBov, of what in it is not silence. ducks says whether others are turned down under it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ducks = not name.startswith("tones/")
        self.state = State.LOADING
        self.sounds: Mapping[int, Pcm] = {}
        self.length = 0
        self.level = 0.0

    def fill(self, samples: Pcm) -> None:
        """Take the sound: int16 at RATE. May be called by any thread, once."""
        whole = max(-(-len(samples) // (RATE // UNIT)), LEAST_UNITS) * (RATE // UNIT)
        samples = np.concatenate((samples, np.zeros(whole - len(samples), np.int16)))
        self.sounds = {rate: _at_rate(samples, rate) for rate in RATES}
        self.length = whole // (RATE // UNIT)
        self.level = _level(samples)
        self.state = State.READY

    @property
    def octets(self) -> int:
        """What it takes of memory."""
        return sum(one.nbytes for one in self.sounds.values())


def find_file(directories: Iterable[Path], name: str) -> Path | None:
    """Return the file of a sound: that of the first directory that has one."""
    if NAME.fullmatch(name) is None:
        return None
    for directory in directories:
        for suffix in SUFFIXES:
            path = directory / f"{name}{suffix}"
            if path.is_file():
                return path
    return None


class SoundLibrary:
    """The sounds of a media plane. submit runs a job off the loop, and says whether it will."""

    def __init__(self, directories: Iterable[Path], submit: Callable[[Callable[[], None]], bool]) -> None:
        self._directories = tuple(directories)
        self._submit = submit
        self._clips: OrderedDict[str, Clip] = OrderedDict()
        self._told: set[str] = set()

    def clip(self, name: str) -> Clip:
        """Return a sound, which may be LOADING still; one that cannot be had is or becomes MISSING."""
        known = self._clips.get(name)
        if known is not None and known.state is not State.MISSING:
            self._clips.move_to_end(name)
            return known
        clip = Clip(name)
        if NAME.fullmatch(name) is None or not self._submit(lambda: self._load(clip)):
            self._miss(clip, "no sound is called that, or too many are asked for")
            return clip
        self._clips[name] = clip
        self._forget()
        return clip

    def _forget(self) -> None:
        octets = sum(clip.octets for clip in self._clips.values())
        while self._clips and (octets > MAX_OCTETS or len(self._clips) > MAX_CLIPS):
            _, oldest = self._clips.popitem(last=False)
            octets -= oldest.octets

    # On a worker's thread.

    def _load(self, clip: Clip) -> None:
        try:
            made = key_sounds.made(clip.name, RATE)
            path = None if made is not None else find_file(self._directories, clip.name)
            if made is not None:
                clip.fill(made)
            elif path is None:
                self._miss(clip, "no such file")
            else:
                clip.fill(_read(path))
        except (FFmpegError, OSError, ValueError) as error:
            self._miss(clip, str(error))
        finally:
            if clip.state is State.LOADING:  # a fault, which goes on to the pool: nobody is to wait for ever
                self._miss(clip, "a fault inside")

    def _miss(self, clip: Clip, why: str) -> None:
        clip.state = State.MISSING
        if clip.name not in self._told and len(self._told) < MAX_TOLD:
            self._told.add(clip.name)
            log.warning("sound_missing", sound=clip.name[:100], why=why[:200])


def _read(path: Path) -> Pcm:
    """Return a file's sound at RATE, one channel. Raises OSError or ValueError where it is none."""
    with av.open(str(path)) as file:
        if not file.streams.audio:
            raise ValueError("there is no sound in it")
        parts = []
        missing = MAX_SECONDS * RATE
        for samples in _decoded(file):
            parts.append(samples[:missing])
            missing -= len(parts[-1])
            if not missing:
                break
    return np.concatenate(parts) if parts else np.zeros(0, np.int16)


def _decoded(file: av.container.InputContainer) -> Iterator[Pcm]:
    resampler = AudioResampler("s16", "mono", RATE)
    for frame in file.decode(file.streams.audio[0]):
        for ready in resampler.resample(frame):
            yield np.asarray(ready.to_ndarray().reshape(-1), np.int16)
    for ready in resampler.resample(None):
        yield np.asarray(ready.to_ndarray().reshape(-1), np.int16)


def _at_rate(samples: Pcm, rate: int) -> Pcm:
    if rate == RATE:
        return samples
    factor = RATE // rate
    resampler = Resampler(RATE, rate)
    resampler(_floats(np.resize(samples[::-1], TAPS * factor)[::-1]))  # its end, as what comes before its beginning
    made = [resampler(_floats(samples[at : at + _STEP])) for at in range(0, len(samples), _STEP)]
    return np.asarray(np.clip(np.rint(np.concatenate(made) * 32768), -32768, 32767), np.int16)


def _floats(samples: Pcm) -> Floats:
    return samples.astype(np.float32) / np.float32(32768)


def _level(samples: Pcm) -> float:
    """Return the level of the frames of 20 ms that are not silent, in dBov."""
    whole = len(samples) // (RATE // 50) * (RATE // 50)
    found = levels(_floats(samples[:whole]).reshape(-1, RATE // 50))
    loud = found[found > -60]
    return float(10 * np.log10(np.mean(10 ** (loud / 10)))) if len(loud) else -127.0
