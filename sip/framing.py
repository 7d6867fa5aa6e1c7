"""Cuts a byte stream into SIP messages by Content-Length (RFC 3261 §18.3), and answers keep-alive pings.

Between messages a peer may send CRLF CRLF, a ping that is answered with CRLF, or CRLF, the pong to ours (RFC 5626
§4.4.1). Whatever cannot be cut (no end of head within the bound, no or a senseless Content-Length) loses the stream's
boundaries for good: `broken` says why, and the shell answers with what `receive` returned so far and closes.
"""

from __future__ import annotations

from dataclasses import dataclass

PING = b"\r\n\r\n"
PONG = b"\r\n"


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
    """The reading side of one connection. `pending` octets are never more than one message's bound."""

    def receive(self, data: bytes) -> Framed:
        """Take what was read and return what is whole. After `broken` it returns the same for ever."""
        raise ValueError(data)
