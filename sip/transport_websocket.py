"""One SIP connection over WebSocket (RFC 7118), whose socket is somebody else's: the HTTPS server's.

Theory of operation. The HTTPS server takes the handshake and the frames; here a connection begins with its first
whole message in sight. One WebSocket message is one SIP message or a keep-alive (RFC 7118 §5, §6). The server pings
each WebSocket, so that a dead peer is found there and silence alone ends only what carries neither call nor
registration. What is sent is queued by the server; it says how much waits, and a peer that does not read is cut off.
We never open a WebSocket ourselves: whoever is behind one is reached by the connection that it opened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from sip.events import Flow
from sip.framing import PING, PONG
from sip.transport_stream import ConnectionOwner, is_sip

log = structlog.get_logger()

NORMAL, GOING_AWAY, POLICY, TRY_LATER = 1000, 1001, 1008, 1013
"""WebSocket close codes (RFC 6455 §7.4.1 and the registry that it opens)."""
_CODES = {
    "connections_closed": GOING_AWAY,
    "connections_idle": NORMAL,
    "connections_evicted": TRY_LATER,
    "streams_broken": POLICY,
    "peers_not_reading": POLICY,
}
"""What the peer is told where it can still be told."""

Write = Callable[[bytes], int]
"""Put one message on the wire; returns how many octets wait there by now."""
Close = Callable[[int, bool], None]
"""Close with a code; True: without sending what waits."""


class WebSocketFlow:
    """One WebSocket that carries SIP. holds, heard, is_ready and closed are as in `transport_stream.Connection`."""

    is_ready = True

    def __init__(
        self, owner: ConnectionOwner, flow: Flow, write: Write, close: Close, loop: asyncio.AbstractEventLoop
    ) -> None:
        """Begin on an open WebSocket."""
        self._owner = owner
        self._write = write
        self._shut = close
        self._loop = loop
        self._gone = False
        self.flow = flow
        self.holds = 0
        self.heard = loop.time()
        self.closed = False
        self._timer: asyncio.TimerHandle | None = loop.call_later(owner.limits.idle_time, self._check)

    def received(self, data: bytes) -> None:
        """Take one whole WebSocket message."""
        if self.closed:
            return
        self.heard = self._loop.time()
        message = data.lstrip(b"\r\n")
        if not message:
            if data == PING:
                self.send(PONG)
        elif is_sip(message):
            self._owner.received(message, self.flow)
        else:
            log.info("sip_stream_broken", peer=self.flow.remote_address, transport=self.flow.transport.value)
            self.end("streams_broken")

    def send(self, data: bytes) -> None:
        """Send one message; a peer that does not read is cut off once too much waits for it."""
        if not self.closed and self._write(data) > self._owner.limits.unsent:
            self.end("peers_not_reading", abort=True)

    def end(self, why: str, abort: bool = False) -> None:
        """Close, and count under `why`. What was sent before still goes out, unless aborted."""
        if self.closed:
            return
        self._owner.count(why)
        self._stop()
        self._shut(_CODES.get(why, NORMAL), abort)

    def abort(self) -> None:
        """Close at once, whatever waits; also while closing already."""
        self._stop()
        self._shut(GOING_AWAY, True)

    def lost(self) -> None:
        """Take note that the WebSocket is closed."""
        self._stop()
        if not self._gone:
            self._gone = True
            self._owner.gone(self)

    def _stop(self) -> None:
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self) -> None:
        """Close what is silent for too long and holds nothing."""
        allowed = self._owner.limits.idle_time
        silent = self._loop.time() - self.heard
        if not self.holds and silent + 0.001 >= allowed:
            self.end("connections_idle")
        else:
            self._timer = self._loop.call_later(allowed if self.holds else allowed - silent, self._check)
