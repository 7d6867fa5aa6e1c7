"""Forwarding between the two of a gateway call: what one sends goes to the other without being decoded.

Theory of operation. The plan of a room says whether it may (`ViewPlan.forward`). Each tick the room asks whether it
still may: two legs are there and no third, both heard and listening, nobody is played anything. Each direction of each
kind of stream stands for itself: one that fits (forwarding_fits.py) is forwarded, another one is mixed, composed and
coded as in every room. What turns out not to fit on the way (another codec, a larger picture, more than the path
carries) goes back to that for some time.

Sound goes packet by packet, with an SSRC and numbers of our own that keep gaps, order and distance in time. Telephone
events are not forwarded: the room hears of them and presses the key at the other side, once and in the way that this
one understands; so it does with keys that come as tones where the other side is told of keys apart from sound
(forwarding_keys.py). Pictures go frame by frame, so that each side gets payloads of its own kind and may ask for
packets again; a direction begins with a key frame, and until one comes the composed picture goes on. Requests for key
frames and limits on bit rate go on to the source.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from transcode.media import Kind, LegId

HOLD_OFF, MAX_HOLD_OFF = 20.0, 1_280.0
"""Seconds in which a direction that did not fit is not tried again, at first and after many times: each trial asks a
source for a key frame."""
_HALF, _WRAP = 1 << 31, 1 << 32


def ahead(newer: int, older: int) -> int:
    """Return how many ticks one timestamp is ahead of another, negative if it is behind."""
    return ((newer - older + _HALF) % _WRAP) - _HALF


class HoldOff:
    """How long one direction is not tried again; times in seconds."""

    def __init__(self) -> None:
        self._until = float("-inf")
        self._next = HOLD_OFF

    def holds(self, unfit: bool, now: float) -> bool:
        """Take whether the direction has just turned out not to fit; tell whether to leave it alone."""
        if unfit and now >= self._until:
            self._until = now + self._next
            self._next = min(2 * self._next, MAX_HOLD_OFF)
        return now < self._until


class PacketRelay:
    """The numbers of forwarded packets: those of the source, moved to where the receiver stands."""

    def __init__(self, sequence: int, timestamp: int, generation: int) -> None:
        """sequence and timestamp are those of the first packet to be sent; generation counts the source's restarts."""
        self._next_sequence = sequence
        self._next_timestamp = timestamp
        self._generation = generation
        self._begun = False
        self._sequence_offset = self._timestamp_offset = 0

    def skip(self) -> None:
        """A packet of the source is not forwarded: its number is left out, so that nobody misses it."""
        self._sequence_offset -= 1

    def onward(self, sequence: int, timestamp: int, ticks: int, generation: int) -> tuple[int, int, bool]:
        """Return sequence number and timestamp to send a packet of so many ticks with, and whether it is the first."""
        first = not self._begun or generation != self._generation
        if first:
            self._begun, self._generation = True, generation
            self._sequence_offset = self._next_sequence - sequence
            self._timestamp_offset = self._next_timestamp - timestamp
        sequence = (sequence + self._sequence_offset) & 0xFFFF
        timestamp = (timestamp + self._timestamp_offset) % _WRAP
        if (sequence - self._next_sequence) & 0xFFFF < 0x8000:
            self._next_sequence = (sequence + 1) & 0xFFFF
            self._next_timestamp = (timestamp + ticks) % _WRAP
        return sequence, timestamp, first


class FrameRelay:
    """The timestamps (90 kHz) of forwarded pictures: those of the source, moved to the clock of composed ones."""

    def __init__(self) -> None:
        self._offset: int | None = None
        self._generation = 0
        self._last: int | None = None

    def onward(self, timestamp: int, arrival: float, generation: int) -> int:
        """Return a picture's timestamp on our clock; arrival in seconds of that, generation as in `PacketRelay`."""
        if self._offset is None or generation != self._generation:
            self._generation = generation
            self._offset = round(arrival * 90_000) - timestamp
            if self._last is not None:
                self._offset += max(0, 1 - ahead(timestamp + self._offset, self._last))
        self._last = (timestamp + self._offset) % _WRAP
        return self._last


@dataclass(frozen=True, slots=True)
class Pairing:
    """The two legs that may be forwarded to each other, and which kinds of streams."""

    legs: tuple[LegId, LegId]
    sound: bool
    picture: bool


class End(Protocol):
    """A stream as forwarding sees it, both source and target."""

    @property
    def leg(self) -> LegId:
        """Whose it is."""

    @property
    def kind(self) -> Kind:
        """Sound or picture."""

    @property
    def forwards_to(self) -> object | None:
        """The stream that this one's packets go to, None while they do not."""

    def may_forward(self, target: object, now: float) -> bool:
        """Whether what comes here suits another stream of this kind as it is."""

    def forward(self, target: object | None, now: float) -> None:
        """Send what comes here to another stream from now on, or with None decode it again."""


class Forwarding:
    """Who is forwarded to whom in one room."""

    def __init__(self) -> None:
        self._ends: dict[tuple[Kind, LegId], End] = {}

    def join(self, end: End) -> None:
        """A stream came into the room."""
        self._ends[end.kind, end.leg] = end

    def leave(self, end: End, now: float) -> None:
        """A stream goes: what went to it or came from it stops."""
        for other in self._ends.values():
            if other.forwards_to is not None and end in (other, other.forwards_to):
                other.forward(None, now)
        if self._ends.get((end.kind, end.leg)) is end:
            del self._ends[end.kind, end.leg]

    @property
    def active(self) -> bool:
        """Whether anything is forwarded."""
        return any(end.forwards_to is not None for end in self._ends.values())

    def update(self, pairing: Pairing | None, now: float) -> None:
        """Begin and end forwarding; pairing None: nobody may be forwarded."""
        for (kind, leg), end in self._ends.items():
            target = self._target(pairing, kind, leg)
            if target is not None and not end.may_forward(target, now):
                target = None
            if end.forwards_to is not target:
                if end.forwards_to is not None:
                    end.forward(None, now)
                if target is not None:
                    end.forward(target, now)

    def _target(self, pairing: Pairing | None, kind: Kind, leg: LegId) -> End | None:
        if pairing is None or leg not in pairing.legs or not (pairing.sound if kind is Kind.AUDIO else pairing.picture):
            return None
        other = pairing.legs[1] if leg == pairing.legs[0] else pairing.legs[0]
        return self._ends.get((kind, other))
