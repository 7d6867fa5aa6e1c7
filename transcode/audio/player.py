"""Playing sounds to a leg or to a room, over what is heard beside them.

Theory of operation. A `Player` goes through its sounds in steps of one tick of the mixer (20 ms), counted in samples
at 8 kHz, so that one sound follows another, or itself, without a gap. It stands still while the file of the sound that
is due is still being read, and leaves out what has no file. A `Voice` is what one ear, or a whole room, is played: it
adds its player's sound to what is heard there, and turns that down meanwhile. It comes down over `DUCK_TICKS` before
or as the sound begins, and up again slowly, behind a hold that bridges pauses between sentences.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from transcode.audio.fades import falling
from transcode.audio.resample import Floats
from transcode.audio.sounds import UNIT, Clip, SoundLibrary, State
from transcode.media import Sound

MAX_SOUNDS = 64
"""Sounds that wait to be played to one ear or room; a sentence with a number in it has about ten."""
MAX_PAUSE = 60_000
"""ms of the longest silence before a sound."""
DUCKED = 0.2
"""What is left of other sound under a prompt (-14 dB): one hears that others talk, and each word of the prompt."""
DUCK_STEP = 0.2
"""Part of full loudness that is taken away in one tick: down in 80 ms."""
RISE_STEP = 0.05
"""Part that is given back in one tick: up in 320 ms, which is not noticed."""
HOLD_TICKS = 15
"""Ticks (0.3 s) before it goes up again: the pause between two sentences."""
AHEAD = UNIT // 10
"""Units (0.1 s) before a sound begins in which the others go down already."""
GENTLE = -30.0
"""dBov above which a background is brought down: 10 dB below people's voices."""
TICK = UNIT // 50
"""Units of a tick."""


class Player:
    """Plays sounds one after the other, or round and round; `advance` before each tick."""

    def __init__(self, sounds: Iterable[tuple[Clip, int]], loop: bool = False) -> None:
        """Take clips with the ms of silence before each."""
        self._waiting = [(clip, _units(pause)) for clip, pause in sounds]
        self._loop = loop
        self._at = 0
        self._pause = self._waiting[0][1] if self._waiting else 0
        self._tick: list[tuple[Clip | None, int, int]] = []

    def append(self, sounds: Iterable[tuple[Clip, int]]) -> None:
        """Play more behind what is there."""
        was_empty = not self._waiting
        self._waiting.extend((clip, _units(pause)) for clip, pause in sounds)
        if was_empty and self._waiting:
            self._at, self._pause = 0, self._waiting[0][1]

    @property
    def count(self) -> int:
        """How many sounds are to be heard yet."""
        return len(self._waiting)

    @property
    def finished(self) -> bool:
        """Whether nothing comes behind the tick that `advance` has gone to."""
        return not self._waiting

    @property
    def ducks(self) -> bool:
        """Whether other sound is to be turned down now."""
        if any(clip is not None and clip.ducks for clip, _, _ in self._tick):
            return True
        if not self._waiting or self._pause > AHEAD:
            return False
        clip = self._waiting[0][0]
        return clip.ducks and clip.state is State.READY

    def advance(self, ready: bool = True) -> None:
        """Go to the next tick; ready False waits for it, silent."""
        self._tick = []
        room = TICK if ready else 0
        while room and self._waiting:
            clip, _ = self._waiting[0]
            if clip.state is State.MISSING:
                self._next(keep=False)
            elif self._pause:
                step = min(self._pause, room)
                self._tick.append((None, 0, step))
                self._pause -= step
                room -= step
            elif clip.state is State.LOADING:
                break
            else:
                step = min(clip.length - self._at, room)
                self._tick.append((clip, self._at, step))
                self._at += step
                room -= step
                if self._at == clip.length:
                    self._next(keep=self._loop)
        if room:
            self._tick.append((None, 0, room))

    def _next(self, keep: bool) -> None:
        done = self._waiting.pop(0)
        if keep:
            self._waiting.append(done)
        self._at = 0
        self._pause = self._waiting[0][1] if self._waiting else 0

    def sound(self, rate: int, gentle: bool = False) -> Floats | None:
        """Return this tick's sound at a rate in Hz, None for silence; gentle brings down what is too loud to stay."""
        if all(clip is None for clip, _, _ in self._tick):
            return None
        factor = rate // UNIT
        result = np.zeros(rate // 50, np.float32)
        begin = 0
        for clip, at, count in self._tick:
            end = begin + count * factor
            if clip is not None:
                gain = min(1.0, 10 ** ((GENTLE - clip.level) / 20)) if gentle else 1.0
                result[begin:end] = clip.sounds[rate][at * factor : (at + count) * factor]
                result[begin:end] *= np.float32(gain / 32768)
            begin = end
        return result


class Voice:
    """What is played to one ear or room. number is that of what is played now.

    Each tick `advance` is called first, then `over` once for each rate and ear that hears it.
    """

    def __init__(self, library: SoundLibrary, background: bool = False) -> None:
        """background: sounds go round and round, gently, and nothing is turned down under them."""
        self.background = background
        self._library = library
        self._player: Player | None = None
        self._cut: Player | None = None
        self._gain = self._before = 1.0
        self._hold = 0
        self.number = 0

    @property
    def busy(self) -> bool:
        """Whether there is anything to do in the coming ticks."""
        return self._player is not None or self._cut is not None or self._gain < 1.0

    @property
    def playing(self) -> bool:
        """Whether sounds are to be heard yet."""
        return self._player is not None

    def play(self, sounds: Sequence[Sound], number: int = 0) -> None:
        """Break off what is played and play these, if there are any."""
        if self._cut is None:  # two in one tick: the first was not heard
            self._cut = self._player
        self._player = Player(self._clips(sounds[:MAX_SOUNDS]), self.background) if sounds else None
        self.number = number

    def append(self, sounds: Sequence[Sound]) -> None:
        """Play these behind what is played; what is too much is left out."""
        if self._player is None:
            self.play(sounds)
        else:
            self._player.append(self._clips(sounds[: max(0, MAX_SOUNDS - self._player.count)]))

    def _clips(self, sounds: Sequence[Sound]) -> list[tuple[Clip, int]]:
        return [(self._library.clip(sound.name), sound.pause) for sound in sounds]

    def advance(self, ready: bool = True) -> bool:
        """Go to the next tick; return whether with it all has been heard. ready False: nobody can hear it yet."""
        self._before = self._gain
        if self._cut is not None:
            self._cut.advance()
        player = self._player
        if player is not None:
            player.advance(ready)
            if player.ducks and not self.background:
                self._hold = HOLD_TICKS
        if self._hold:
            self._hold -= 1
            self._gain = max(DUCKED, self._gain - DUCK_STEP)
        else:
            self._gain = min(1.0, self._gain + RISE_STEP)
        return ready and player is not None and player.finished

    def settle(self) -> None:
        """Let go, behind a tick, of what has ended in it."""
        self._cut = None
        if self._player is not None and self._player.finished:
            self._player = None

    def over(self, heard: Floats, rate: int) -> Floats:
        """Return what is heard at a rate in Hz in this tick, with what is played over it."""
        if self._before != 1.0 or self._gain != 1.0:
            heard = heard * np.linspace(self._before, self._gain, len(heard), dtype=np.float32)
        for player in (self._player, self._cut):
            sound = None if player is None else player.sound(rate, self.background)
            if sound is not None:
                heard = heard + (falling(sound, rate) if player is self._cut else sound)
        return heard


def _units(pause: int) -> int:
    return max(0, min(pause, MAX_PAUSE)) * UNIT // 1000
