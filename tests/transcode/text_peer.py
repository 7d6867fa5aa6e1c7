"""A text telephone of the tests' own (RFC 4103), which shares no code with what it tests but the RTP header.

It writes blocks with two redundant generations, and reads the primary blocks of what comes.
"""

from __future__ import annotations

import struct


class TextTelephone:
    """What a telephone sends and reads; send is called with payload type, payload, ms and marker."""

    def __init__(self, t140: int, red: int | None) -> None:
        self.t140, self.red = t140, red
        self.read = ""
        self._recent: list[tuple[int, bytes]] = []

    def block(self, text: str, at: int) -> tuple[int, bytes]:
        """Return the payload type and payload that carry a block; at in ms."""
        octets = text.encode()
        if self.red is None:
            return self.t140, octets
        head = b"".join(
            struct.pack("!BHB", 0x80 | self.t140, (at - then) << 2 | len(old) >> 8, len(old) & 0xFF)
            for then, old in self._recent
        )
        body = b"".join(old for _, old in self._recent) + octets
        self._recent = [*self._recent, (at, octets)][-2:]
        return self.red, head + bytes([self.t140]) + body

    def take(self, payload_type: int, payload: bytes) -> None:
        """Read the newest block of a packet."""
        if payload_type == self.red:
            at, older = 0, 0
            while payload[at] & 0x80:
                older += (payload[at + 2] & 3) << 8 | payload[at + 3]
                at += 4
            assert payload[at] == self.t140, "a block that is no text"
            payload = payload[at + 1 + older :]
        self.read += payload.decode()
