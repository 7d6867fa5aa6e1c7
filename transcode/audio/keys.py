"""Telephone events that we send: keys pressed elsewhere, put into a stream in the place of its sound (RFC 4733 §2.5.1).

One packet goes in each packet time. All of one press carry the timestamp of its beginning and a duration that grows;
the last one has the end bit and goes three times, as nobody asks for a lost one. Then sound goes on for a while, so
that two presses of one key stay two.
"""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass

from transcode.audio.dtmf import DIGITS

MAX_WAITING = 32
"""Presses that wait to be sent: three seconds of them, more than fingers do."""
LEAST, MOST = 80, 1000
"""ms that a press lasts as we send it: receivers in telephone networks want 40 at least (Q.24), and a longer one is
held for nothing; 1,000 at 48 kHz still fit a segment of 65,535 ticks."""
GAP = 60
"""ms of sound between two presses (Q.24 asks for 40)."""
END_PACKETS = 3
"""Times that the end is sent (RFC 4733 §2.5.1.4)."""
_VOLUME = 10
"""-dBm0, as telephones do."""
_EVENT = struct.Struct("!BBH")


@dataclass(slots=True)
class _Press:
    event: int
    length: int
    timestamp: int
    ticks: int = 0
    ends: int = 0


class KeySender:
    """The presses of one stream; ask `next` in each packet time what goes instead of sound.

    busy tells whether `next` may have something.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[str, int]] = deque()
        self._press: _Press | None = None
        self._gap = 0
        self.busy = False

    def press(self, digit: str, duration: int) -> bool:
        """Have a key pressed for so many ms; False for what is no key, or where too many wait."""
        if len(digit) != 1 or digit.upper() not in DIGITS or len(self._waiting) >= MAX_WAITING:
            return False
        self._waiting.append((digit.upper(), max(LEAST, min(MOST, duration))))
        self.busy = True
        return True

    def next(self, timestamp: int, ticks: int, clock_rate: int) -> tuple[bytes, int, bool] | None:
        """Return payload, RTP timestamp and marker of what goes instead of sound that begins at this timestamp.

        ticks is the sound's length, clock_rate the events' in Hz. None: let the sound go.
        """
        press = self._press
        if press is None:
            if self._gap > 0:
                self._gap -= ticks
                return None
            if not self._waiting:
                return None
            digit, duration = self._waiting.popleft()
            press = self._press = _Press(DIGITS.index(digit), duration * clock_rate // 1000, timestamp)
        begins = press.ticks == 0
        if press.ticks < press.length:
            press.ticks = min(press.length, press.ticks + ticks)
        over = press.ticks >= press.length
        if over:
            press.ends += 1
            if press.ends >= END_PACKETS:
                self._press, self._gap = None, GAP * clock_rate // 1000
                self.busy = bool(self._waiting)
        return _EVENT.pack(press.event, (0x80 if over else 0) | _VOLUME, press.ticks), press.timestamp, begins
