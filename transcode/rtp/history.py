"""Packets that were sent, kept for retransmission (RFC 4585 §6.2.1, RFC 4588).

A ring indexed by sequence number: storing is one assignment, and the ring bounds the count. Age and the number of
resends are judged when a packet is asked for.
"""

from __future__ import annotations

import struct

SLOTS = 512
"""Packets kept, a power of two: a second of video at 4 Mbit/s in packets of 1,000 octets."""
MAX_AGE = 1.0
"""Seconds after which a packet is of no use to anyone's jitter buffer."""
MAX_RESENDS = 4
"""Times one packet is sent again; a path that loses all of them needs a key frame, not a fifth copy."""
MIN_SPACING = 0.02
"""Seconds between two resends of one packet, or the round-trip time if that is longer: copies are on their way."""
MAX_BURST = 64
"""Packets that wait to be sent again; more at once would only add to the congestion that lost them."""

_HEAD = struct.Struct("!BBHII")


class History:
    """The last packets of one SSRC. `ring` is written by the sender as (sequence, time in seconds, packet)."""

    __slots__ = ("_queue", "_resent", "ring")

    def __init__(self) -> None:
        self.ring: list[tuple[int, float, bytes] | None] = [None] * SLOTS
        self._resent: list[tuple[int, int, float]] = [(-1, 0, 0.0)] * SLOTS
        self._queue: list[bytes] = []

    def ask(self, sequences: tuple[int, ...], now: float, round_trip: float) -> None:
        """Queue what the peer misses and what is still here; now and round_trip in seconds."""
        spacing = max(MIN_SPACING, round_trip)
        for sequence in sequences:
            if len(self._queue) >= MAX_BURST:
                return
            slot = sequence % SLOTS
            entry = self.ring[slot]
            if entry is None or entry[0] != sequence or now - entry[1] > MAX_AGE:
                continue
            known, count, last = self._resent[slot]
            if known != sequence or last < entry[1]:
                count, last = 0, -spacing
            if count >= MAX_RESENDS or now - last < spacing:
                continue
            self._resent[slot] = (sequence, count + 1, now)
            self._queue.append(entry[2])

    def take(self) -> list[bytes]:
        """Return the queued packets, as they were sent first, and forget the queue."""
        queue = self._queue
        if queue:
            self._queue = []
        return queue


def wrap(packet: bytes, payload_type: int, sequence: int, ssrc: int) -> bytes:
    """Make the RTX packet of a sent packet without CSRC; its header extension goes along (RFC 4588 §4)."""
    head = _HEAD.pack(packet[0], packet[1] & 0x80 | payload_type, sequence, int.from_bytes(packet[4:8], "big"), ssrc)
    payload = 12
    if packet[0] & 0x10:
        payload += 4 + 4 * int.from_bytes(packet[14:16], "big")
    return head + packet[12:payload] + packet[2:4] + packet[payload:]
