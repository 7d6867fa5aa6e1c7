"""Telephone events: each key press once, whatever the sender forgets or repeats (RFC 4733).

Theory of operation. All packets of one event carry the RTP timestamp of its beginning (§2.2.1); the marker bit and
the end bit may be lost or never set, and the end packet comes three times (§2.5.1.4). So a press is known by its
timestamp alone. It is reported when its end packet comes, when another event begins, or when nothing more came for
`TIMEOUT`: then with the duration last seen. Events longer than 65,535 ticks go on in a segment with a new timestamp
(§2.5.1.3): a segment that begins where the last full one ended is the same press.

    payload, octets:  05 8a 03 20      event 5, E=1 R=0 volume=10 (-10 dBm0), duration 0x0320 = 800 ticks
"""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass

from transcode.rtp.packet import RtpPacket

DIGITS = "0123456789*#ABCD"
"""Events 0 to 15 (RFC 4733 §3.2); 16, the hook flash, and others are no keys and are passed over."""
TIMEOUT = 0.2
"""Seconds without a packet after which a press counts as ended: four packet times of 50 ms, the slowest in use."""
MAX_KEYS = 8
"""Presses that wait to be taken: more than fingers make between two ticks, and few enough that a peer which sends
nothing else floods nobody."""
MAX_ENDED = 8
"""Ended presses whose repeated end packets are still known; three repeats of one are the rule."""
FULL_SEGMENT = 0xFFFF - 0x0FFF
"""Ticks from which a segment counts as full and may be followed by another (RFC 4733 §2.5.1.3)."""

_EVENT = struct.Struct("!BBH")


@dataclass(slots=True)
class _Press:
    event: int
    timestamp: int
    ticks: int
    before: int
    seen: float


def looks_like_event(payload: bytes) -> bool:
    """Tell whether a payload has the shape of one telephone event: four octets, a key, R=0, a sane duration."""
    return len(payload) == 4 and payload[0] < len(DIGITS) and not payload[1] & 0x40 and payload[2:] != b"\x00\x00"


class EventReceiver:
    """One stream's telephone events; `push` packets, `take` presses as (digit, duration in ms)."""

    def __init__(self, clock_rate: int = 8000) -> None:
        """clock_rate in Hz of the events' RTP timestamps."""
        self.clock_rate = clock_rate or 8000
        self.malformed = 0
        self._press: _Press | None = None
        self._ended: deque[tuple[int, int]] = deque(maxlen=MAX_ENDED)
        self._keys: deque[tuple[str, int]] = deque(maxlen=MAX_KEYS)

    @property
    def active(self) -> bool:
        """Whether a key is held down."""
        return self._press is not None

    @property
    def waiting(self) -> bool:
        """Whether a press waits to be taken."""
        return bool(self._keys)

    def push(self, packet: RtpPacket) -> None:
        """Take one packet of the event's payload type. Malformed ones are counted."""
        payload = packet.payload
        if len(payload) < 4:
            self.malformed += 1
            return
        event, flags, ticks = _EVENT.unpack_from(payload)
        if event >= len(DIGITS):
            return
        key = (event, packet.timestamp)
        if key in self._ended:
            return
        press = self._press
        if press is not None and (press.event, press.timestamp) != key:
            if (packet.timestamp - press.timestamp) & 0xFFFFFFFF >= 0x80000000:
                return  # a late packet of an earlier press whose end was lost
            press = self._continued(press, event, packet.timestamp)
        if press is None:
            press = _Press(event, packet.timestamp, ticks, 0, packet.arrival)
        self._press = press
        press.ticks = max(press.ticks, ticks)
        press.seen = packet.arrival
        if flags & 0x80:
            self._end(press)

    def tick(self, now: float) -> None:
        """End a press whose end packets were lost; now in seconds of the clock that stamps arrivals."""
        if self._press is not None and now - self._press.seen > TIMEOUT:
            self._end(self._press)

    def take(self) -> list[tuple[str, int]]:
        """Return the presses that ended since the last call: digit and duration in ms."""
        keys = list(self._keys)
        self._keys.clear()
        return keys

    def _continued(self, press: _Press, event: int, timestamp: int) -> _Press | None:
        """Join a further segment of a long press to it, or end the press because another begins."""
        gap = (timestamp - press.timestamp) & 0xFFFFFFFF
        if event == press.event and press.ticks >= FULL_SEGMENT and gap <= 0xFFFF + self.clock_rate // 10:
            self._ended.append((press.event, press.timestamp))
            return _Press(event, timestamp, 0, press.before + press.ticks, press.seen)
        self._end(press)
        return None

    def _end(self, press: _Press) -> None:
        self._ended.append((press.event, press.timestamp))
        self._keys.append((DIGITS[press.event], (press.before + press.ticks) * 1000 // self.clock_rate))
        self._press = None
