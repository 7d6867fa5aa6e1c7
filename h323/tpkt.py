"""TPKT (RFC 1006 §6): cuts a TCP stream into the messages of H.225.0 call signalling and H.245, and puts them in.

    03    version
    00    reserved
    0012  length with these four octets
    ...   the message

A TPKT without a message keeps the connection's way through a NAT open (H.460.18 §7.1); it comes out as an empty
message. Another version or a length under 4 loses the stream's boundaries for good: `broken` says why, and the shell
closes once it has handed on what was whole.
"""

from __future__ import annotations

from dataclasses import dataclass

VERSION = 3
HEADER = 4
MAX_MESSAGE = 0xFFFF - HEADER
"""Octets of a message: the header's length has 16 bits."""

KEEP_ALIVE = bytes((VERSION, 0, 0, HEADER))
"""A TPKT without a message."""


@dataclass(frozen=True, slots=True)
class Framed:
    """What one read of a stream gave.

    messages: whole messages, an empty one for a keep-alive. broken: None, or why the stream must be closed, for the
    log.
    """

    messages: tuple[bytes, ...] = ()
    broken: str | None = None


class TpktFramer:
    """The reading side of one connection; what it holds back is never more than one TPKT and one read."""

    def __init__(self) -> None:
        """Start between messages."""
        self._buffer = bytearray()
        self._broken: str | None = None

    @property
    def pending(self) -> int:
        """Octets held back."""
        return len(self._buffer)

    def receive(self, data: bytes) -> Framed:
        """Take what was read and return what is whole. After `broken` nothing more is taken."""
        if self._broken is not None:
            return Framed(broken=self._broken)
        self._buffer += data
        messages: list[bytes] = []
        start = 0
        while len(self._buffer) - start >= HEADER:
            length = self._buffer[start + 2] << 8 | self._buffer[start + 3]
            if self._buffer[start] != VERSION:
                self._broken = f"TPKT of version {self._buffer[start]}"
                break
            if length < HEADER:
                self._broken = f"TPKT of length {length}"
                break
            if len(self._buffer) - start < length:
                break
            messages.append(bytes(self._buffer[start + HEADER : start + length]))
            start += length
        del self._buffer[:start]
        if self._broken is not None:
            self._buffer.clear()
        return Framed(tuple(messages), self._broken)


def frame(message: bytes) -> bytes:
    """A message as a TPKT. Raises ValueError for one over MAX_MESSAGE."""
    if len(message) > MAX_MESSAGE:
        raise ValueError(f"a message of {len(message)} octets does not go into a TPKT")
    return bytes((VERSION, 0)) + (len(message) + HEADER).to_bytes(2, "big") + message
