"""Keys that come as tones in sound that is forwarded: found on its way, and taken out of it. Pure.

Where one of the two agreed on no telephone events and the other one is told of keys apart from the sound, a key must
not go as a tone: who looks for tones in a telephone's sound is not always there, and who is told in two ways may take
it for two presses. So the packets of the first one are listened to as they pass, by the detector that rooms have
(`audio/tones.py`): what it finds is told and pressed at the other side, and the packet that holds a tone goes on with
silence in it. The beginning of a tone is heard, up to 30 ms, for until then it may be a voice. What is too faint for a
key costs one sum; all else about 0.1 ms of a processor for each packet.
"""

from __future__ import annotations

import numpy as np

from transcode.audio import g711
from transcode.audio.fades import Floats, falling, rising
from transcode.audio.levels import levels
from transcode.audio.tones import FAINTEST, FRAME, RATE, Press, ToneDetector
from transcode.media import Codec

_SLOT = np.zeros(1, np.intp)
_SCALE = np.float32(1 / 32768)


class ToneFilter:
    """The packets of one G.711 source in the order in which they come, each of 20 ms or more."""

    def __init__(self, law: Codec) -> None:
        self._law = law
        self._detector = ToneDetector()
        self._rest: Floats = np.zeros(0, np.float32)
        self._hushed = False
        self._found: list[Press] = []

    @property
    def listening(self) -> bool:
        """Whether a key may be pressed at present."""
        return bool(self._detector.watched)

    def take(self, payload: bytes) -> bytes:
        """Take a packet's sound and return what goes on in its place."""
        sound = g711.decode(self._law, payload).astype(np.float32) * _SCALE
        whole = np.concatenate((self._rest, sound)) if len(self._rest) else sound
        count = len(whole) // FRAME
        for frame in whole[: count * FRAME].reshape(count, FRAME):
            self._listen(frame)
        self._rest = whole[count * FRAME :]
        before, self._hushed = self._hushed, self._detector.sounding(0)
        if self._hushed:
            return self._code(np.zeros_like(sound) if before else falling(sound, RATE))
        return self._code(rising(sound, RATE)) if before else payload

    def end(self) -> None:
        """No more comes for now: a key that is pressed has ended."""
        self._rest = np.zeros(0, np.float32)
        while self._detector.watched:
            self._listen(np.zeros(FRAME, np.float32))

    def pressed(self) -> list[Press]:
        """Return the presses that ended since the last call."""
        found, self._found = self._found, []
        return found

    def _listen(self, frame: Floats) -> None:
        row = frame[None]
        brought = 1 if self._detector.watched or levels(row)[0] > FAINTEST else 0
        self._found += self._detector.update(_SLOT[:brought], row[:brought])

    def _code(self, sound: Floats) -> bytes:
        return g711.encode(self._law, np.asarray(np.rint(sound * np.float32(32767)), np.int16))
