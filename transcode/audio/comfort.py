"""What makes a room pleasant to listen to: speakers at one level, less noise where that is asked for, no holes.

A listener to whom nobody sends anything (a sender that suppresses silence, a lone one) hears faint noise instead of a
line that seems dead: as loud as the noise that those in the room have brought with them, within bounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from transcode.audio.codecs import noise
from transcode.audio.levelling import Leveller
from transcode.audio.levels import Activity
from transcode.audio.suppression import Suppressor
from transcode.settings import AudioSettings, Suppression

FIRST_NOISE = -70.0
"""dBov of the comfort noise before anybody's own noise is known."""
LEAST_NOISE, MOST_NOISE = -76.0, -65.0
"""dBov between which it stays: G.711's smallest steps, and a quiet room."""
NOISE_STEP = 0.1
"""dB a tick (5 dB/s) by which it follows."""
PHONE_RATE = 8000

Floats = NDArray[np.float32]


class Seated(Protocol):
    """A leg with a seat, as the mixer holds it: gain is the factor that its sound was last multiplied with."""

    @property
    def slot(self) -> int:
        """Its index into `Activity`."""

    gain: float


Leg = TypeVar("Leg", bound=Seated)


class Comfort:
    """One room's."""

    def __init__(self, settings: AudioSettings) -> None:
        self._settings = settings
        self._leveller = Leveller()
        self._suppressors: dict[int, Suppressor] = {}
        self._noise = FIRST_NOISE
        self._wanted = FIRST_NOISE

    def forget(self, slot: int) -> None:
        """A leg is gone."""
        self._leveller.forget(slot)

    def update(self, activity: Activity, heard: NDArray[np.bool_]) -> None:
        """Take one tick's activity of all legs, and which of them may be heard."""
        if self._settings.levelling:
            self._leveller.update(activity)
        speaking = np.flatnonzero(activity.talking & heard)
        if len(speaking):
            floor = activity.floor[speaking]
            if self._settings.levelling:
                floor = floor + self._leveller.gain[speaking]
            self._wanted = float(np.clip(floor.min(), LEAST_NOISE, MOST_NOISE))
        self._noise += max(-NOISE_STEP, min(NOISE_STEP, self._wanted - self._noise))

    def treat(self, sources: list[tuple[Leg, Floats]], leaving: Sequence[Leg] = ()) -> list[tuple[Leg, Floats]]:
        """Return the legs that sound with their sound as others are to hear it.

        leaving are those whose slots are not theirs any more: they keep the gain that they had.
        """
        if self._settings.noise_suppression is not Suppression.OFF:
            sources = self._suppress(sources, leaving)
        if self._settings.levelling:
            return [(leg, self._level(leg, sound, leg in leaving)) for leg, sound in sources]
        return sources

    def fill(self, sound: Floats) -> Floats:
        """Return a bus's sound, comfort noise if there is nothing in it."""
        if sound.any():
            return sound
        return noise(len(sound), self._noise).astype(np.float32) / np.float32(32768)

    def _level(self, leg: Seated, sound: Floats, leaving: bool) -> Floats:
        gain = leg.gain if leaving else float(10 ** (self._leveller.gain[leg.slot] / 20))
        before, leg.gain = leg.gain, gain
        if before == gain:
            return sound if gain == 1.0 else sound * np.float32(gain)
        return sound * np.linspace(before, gain, len(sound), dtype=np.float32)

    def _suppress(self, sources: list[tuple[Leg, Floats]], leaving: Sequence[Leg]) -> list[tuple[Leg, Floats]]:
        result = list(sources)
        phones_only = self._settings.noise_suppression is Suppression.PHONES
        groups: dict[int, list[int]] = {}
        for index, (leg, sound) in enumerate(sources):
            rate = len(sound) * 50
            if leg not in leaving and (rate == PHONE_RATE or not phones_only):
                groups.setdefault(rate, []).append(index)
        for rate in {*groups, *self._suppressors}:
            suppressor = self._suppressors.get(rate)
            if suppressor is None:
                suppressor = self._suppressors[rate] = Suppressor(rate)
            indices = groups.get(rate, [])
            slots = [sources[index][0].slot for index in indices]
            suppressor.keep(set(slots))
            if slots:
                cleaned = suppressor(slots, np.stack([sources[index][1] for index in indices]))
                for index, sound in zip(indices, cleaned, strict=True):
                    result[index] = sources[index][0], sound
        return result
