"""Which legs' sound is listened to for key tones, and what the others hear meanwhile: nothing.

Keys come as tones where telephone events were not agreed on, and from gateways that agree on them and then let the
tones through all the same. So every G.711 leg is listened to until its first telephone event: that comes before the
tone of the same key has ended, and from then on its tones are passed over, so that no press counts twice. Wide-band
legs are listened to only where no events were agreed on. What other codecs make of tones cannot be trusted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from transcode.audio.fades import falling, rising
from transcode.audio.levels import SILENCE, Levels
from transcode.audio.tones import FAINTEST, FRAME, RATE, Press, ToneDetector

Floats = NDArray[np.float32]


class Receiver(Protocol):
    """What is asked of a leg's receiver."""

    @property
    def tones(self) -> bool:
        """Whether keys may come as tones."""


class Listened(Protocol):
    """A leg as the mixer holds it: the sound of this tick, at a rate in Hz."""

    @property
    def receiver(self) -> Receiver:
        """What its sound comes from."""

    rate: int
    sound: Floats | None


@dataclass(frozen=True, slots=True)
class _Nothing:
    slots = np.zeros(0, np.intp)
    frames = np.zeros((0, FRAME), np.float32)


class ToneListener:
    """The key tones of one room's legs."""

    def __init__(self) -> None:
        self._detector = ToneDetector()
        self._hushed: set[int] = set()

    def forget(self, slot: int) -> None:
        """A leg is gone."""
        self._detector.forget(slot)
        self._hushed.discard(slot)

    def listen(self, legs: Mapping[int, Listened], level: Levels) -> list[Press]:
        """Look at a tick's sound of all legs by their slots; return the presses that ended.

        level is that of each slot in dBov. Sound that is a key's is taken away from the leg, and its level too.
        """
        slots: list[int] = []
        frames: list[Floats] = []
        for slot in {*np.flatnonzero(level > FAINTEST).tolist(), *self._detector.watched}:
            leg = legs.get(slot)
            if leg is None or not leg.receiver.tones:
                self._detector.forget(slot)
            elif leg.sound is not None:
                slots.append(slot)
                frames.append(leg.sound[:: leg.rate // RATE])
        if slots:
            presses = self._detector.update(np.array(slots), np.stack(frames))
        else:
            presses = self._detector.update(_Nothing.slots, _Nothing.frames)
        if self._hushed or self._detector.watched:
            self._hush(legs, level)
        return presses

    def _hush(self, legs: Mapping[int, Listened], level: Levels) -> None:
        for slot in {*self._hushed, *self._detector.watched}:
            leg = legs.get(slot)
            if leg is None or leg.sound is None:
                self._hushed.discard(slot)
            elif self._detector.sounding(slot):
                leg.sound = np.zeros_like(leg.sound) if slot in self._hushed else falling(leg.sound, leg.rate)
                level[slot] = SILENCE
                self._hushed.add(slot)
            else:
                leg.sound = rising(leg.sound, leg.rate)
                self._hushed.discard(slot)
