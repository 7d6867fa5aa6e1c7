"""Cuts a byte stream into SIP messages by Content-Length (RFC 3261 §18.3), and answers keep-alive pings.

Between messages a peer may send CRLF CRLF, a ping that is answered with CRLF, or CRLF, the pong to ours (RFC 5626
§4.4.1). Whatever cannot be cut (no end of head within the bound, a senseless Content-Length, a message over the
bound) loses the stream's boundaries for good: `broken` says why, and the shell closes once it has handed on what was
whole. A missing Content-Length, which a stream must have, is read as an empty body.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sip.parser import MAX_MESSAGE

PING = b"\r\n\r\n"
PONG = b"\r\n"
MAX_HEAD = 32_768
"""Octets before the empty line; heads of real messages stay under 8 KiB."""
MAX_PINGS = 64
"""Pings answered in one read; a peer sends one in 30 s or so."""

_HEAD_END = re.compile(rb"\r?\n\r?\n")
_LENGTH = re.compile(rb"^(?:content-length|l)[ \t]*:[ \t]*(?:\r?\n[ \t]+)?(\S*)", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Framed:
    """What one read of a stream gave.

    messages: whole messages for `Stack.receive`. reply: keep-alive bytes to send back now. pongs: how many pongs
    came. broken: None, or why the stream must be closed, for the log.
    """

    messages: tuple[bytes, ...] = ()
    reply: bytes = b""
    pongs: int = 0
    broken: str | None = None


class StreamFramer:
    """The reading side of one connection; what it holds back is never more than one message's bound and one read."""

    def __init__(self) -> None:
        """Start between messages."""
        self._buffer = bytearray()
        self._searched = 0
        self._needed: int | None = None
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
        pings = pongs = 0
        while self._buffer and self._broken is None:
            if self._needed is None and self._buffer[0] in b"\r\n":
                taken = self._keep_alive()
                if not taken:
                    break
                pings += taken == len(PING)
                pongs += taken == len(PONG)
                continue
            message = self._cut()
            if message is None:
                break
            messages.append(message)
        if self._broken is not None:
            self._buffer.clear()
        return Framed(tuple(messages), PONG * min(pings, MAX_PINGS), pongs, self._broken)

    def _keep_alive(self) -> int:
        """Drop line ends between messages; return how many octets, 0 where more must come to tell ping from pong."""
        if self._buffer.startswith(PING):
            taken = len(PING)
        elif len(self._buffer) < len(PING) and PING.startswith(self._buffer):
            # a lone CRLF at the end of a read is a pong; half of a ping is completed by the next read
            taken = len(PONG) if len(self._buffer) == len(PONG) else 0
        else:
            taken = len(PONG) if self._buffer.startswith(PONG) else 1
        del self._buffer[:taken]
        return taken

    def _cut(self) -> bytes | None:
        if self._needed is None:
            end = _HEAD_END.search(self._buffer, max(0, self._searched - 3))
            if end is None or end.end() > MAX_HEAD:
                self._searched = len(self._buffer)
                if len(self._buffer) > MAX_HEAD:
                    self._broken = "the head is too long"
                return None
            self._needed = self._length(end.end())
            if self._needed is None:
                return None
        if len(self._buffer) < self._needed:
            return None
        message = bytes(self._buffer[: self._needed])
        del self._buffer[: self._needed]
        self._needed = None
        self._searched = 0
        return message

    def _length(self, head: int) -> int | None:
        found = set(_LENGTH.findall(bytes(self._buffer[:head])))
        if not found:
            return head
        value = found.pop()
        if found or not value.isdigit() or len(value) > 6:
            self._broken = "Content-Length makes no sense"
            return None
        if head + int(value) > MAX_MESSAGE:
            self._broken = "the message is too long"
            return None
        return head + int(value)
