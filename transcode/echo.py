"""Echo: what a leg sends comes back to it a little later, and each key it presses is confirmed by two tones.

Theory of operation. Sound is kept behind the decoder, one frame for each tick of the mixer, so that what comes back
has gone through decoder, mixer and encoder. Pictures are kept before the decoder, where a second of them is small, and
so both come back equally late. A key is confirmed by the two tones that ITU-T Q.23 gives it, one after the other and
not together: that tells which key was understood, and nobody takes it for another press.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from transcode.frames import EncodedFrame

ECHO_DELAY = 1.0
"""Seconds after which sound and picture come back: a short word is over by then, so that people tell it from the
line's own echo and loudspeakers do not howl at once; and nobody needs to wait for it."""
TICK = 0.02
"""Seconds between two ticks of the mixer."""
DELAY_TICKS = round(ECHO_DELAY / TICK)
MAX_PICTURES = 150
"""Pictures that wait: a second of 60 a second, and as many again and more in a burst."""
MAX_OCTETS = 4_000_000
"""Octets of them: a second of 32 Mbit/s, eight times what a room system sends. Above it they come back sooner."""
MAX_KEYS = 16
"""Keys that wait to be confirmed, four seconds of them: faster than that nobody dials."""

TONES = {
    key: (row, column)
    for row, keys in zip((697, 770, 852, 941), ("123A", "456B", "789C", "*0#D"), strict=True)
    for column, key in zip((1209, 1336, 1477, 1633), keys, strict=True)
}
"""Row and column frequency of each key in Hz (ITU-T Q.23)."""
TONE_TICKS = 6
"""Ticks (120 ms) of each of the two tones: long enough for a spectrum to tell neighbouring rows apart."""
PAUSE_TICKS = 3
"""Ticks of silence behind the second one, before the next key."""
TONE_LEVEL = 0.2
"""Amplitude as a share of full scale (-17 dBov): as loud as speech."""
_EDGE = 0.005
"""Seconds over which a tone rises and falls, so that it makes no click."""

Floats = NDArray[np.float32]


class SoundEcho:
    """One leg's sound; frames are float32 in -1.0 to 1.0, 20 ms at whatever rate the leg is received with."""

    def __init__(self) -> None:
        self._past: deque[Floats | None] = deque([None] * DELAY_TICKS)
        self._keys: deque[str] = deque()
        self._tick = 0

    def confirm(self, key: str) -> None:
        """Let the leg hear that a key was understood; what is no key, and more than MAX_KEYS, is left out."""
        if key in TONES and len(self._keys) < MAX_KEYS:
            self._keys.append(key)

    def next(self, sound: Floats | None, rate: int) -> Floats:
        """Take a tick's sound, None for silence, and return what the leg hears in this tick.

        rate in Hz is that of silence, if there is nothing to hear.
        """
        self._past.append(sound)
        past = self._past.popleft()
        heard = np.zeros(rate // 50, np.float32) if past is None else past
        if self._keys:
            return np.add(heard, self._tone(len(heard)))
        return heard

    def _tone(self, count: int) -> Floats:
        """Return the next tick of the tones of the first key."""
        part, tick = divmod(self._tick, TONE_TICKS)
        if part < 2:
            length = TONE_TICKS * TICK
            at = tick * TICK + np.arange(count) * (TICK / count)
            edge = np.clip(np.minimum(at, length - at) / _EDGE, 0.0, 1.0)
            tone = TONE_LEVEL * edge * np.sin(2 * np.pi * TONES[self._keys[0]][part] * at)
        else:
            tone = np.zeros(count)
        self._tick += 1
        if self._tick == 2 * TONE_TICKS + PAUSE_TICKS:
            self._tick = 0
            self._keys.popleft()
        return np.asarray(tone, np.float32)


class PictureEcho:
    """One leg's coded pictures, in order; they leave ECHO_DELAY after they came, sooner where too much waits."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[float, EncodedFrame]] = deque()
        self._octets = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def holds_key(self) -> bool:
        """Whether a whole key frame is among those that wait: the peer need not be asked for another."""
        return any(frame.key and not frame.damaged for _, frame in self._waiting)

    def push(self, frame: EncodedFrame, now: float) -> None:
        """Take the next picture; now in seconds."""
        self._waiting.append((now, frame))
        self._octets += len(frame.data)

    def pop(self, now: float, delay: float = ECHO_DELAY) -> list[EncodedFrame]:
        """Return the pictures whose time has come; their arrival is told as that much later, so that no meter of our
        own delay counts it."""
        out = []
        while self._waiting and (
            self._waiting[0][0] + delay <= now or len(self._waiting) > MAX_PICTURES or self._octets > MAX_OCTETS
        ):
            came, frame = self._waiting.popleft()
            self._octets -= len(frame.data)
            out.append(replace(frame, arrival=frame.arrival + now - came))
        return out
