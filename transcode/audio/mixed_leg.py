"""A leg as the mixer of its room holds it, and its sound as the others are to hear it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from transcode.audio.fades import falling
from transcode.audio.player import Voice
from transcode.audio.receiver import AudioReceiver
from transcode.audio.resample import Floats, Resampler
from transcode.audio.senders import Sender
from transcode.echo import SoundEcho
from transcode.media import LegId


@dataclass(slots=True, eq=False)
class MixedLeg:
    """One leg: slot is its index into what is kept of all legs; sound is that of this tick, at rate in Hz."""

    id: LegId
    receiver: AudioReceiver
    slot: int
    heard: bool = True
    listens: bool = True
    rate: int = 8000
    sound: Floats | None = None
    filters: dict[int, Resampler] = field(default_factory=dict)
    sender: Sender | None = None
    fail: Callable[[Exception], None] | None = None
    echo: SoundEcho | None = None
    echoed: Floats | None = None
    voice: Voice | None = None
    gain: float = 1.0


def sound_of(leg: MixedLeg) -> Floats:
    """Return a leg's sound of this tick, silence where it has none."""
    return leg.sound if leg.sound is not None else np.zeros(leg.rate // 50, np.float32)


def at_rate(leg: MixedLeg, sound: Floats, rate: int) -> Floats:
    """Bring a leg's sound to a rate with the leg's own filter for it."""
    source = len(sound) * 50
    if source == rate:
        return sound
    resampler = leg.filters.get(rate)
    if resampler is None or resampler.source != source:
        resampler = leg.filters[rate] = Resampler(source, rate)
    return resampler(sound)


def last_of(leg: MixedLeg) -> Floats:
    """Return the end of a leg that was taken out: its last tick, mirrored so that it joins, fading."""
    return falling(sound_of(leg)[::-1].copy(), leg.rate)
