"""uvicorn's two protocols with the bounds and counts that this house wants of every listener."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState

REQUEST_TIME = 15.0
"""Seconds from connecting to the end of the first request's headers; who needs longer sends nothing useful."""
MAX_FRAGMENTS = 256
"""Fragments of one WebSocket message: browsers send one, and empty ones would cost memory without end."""
MAX_HEAD = 16 * 1024
"""Octets of a request's head; browsers send below 2 KiB."""

Count = Callable[[str], None]


class HttpProtocol(H11Protocol):
    """HTTP/1.1 that ends what does not become a request, and counts what is none."""

    count: Count = staticmethod(lambda what: None)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection and give it limited time."""
        super().connection_made(transport)
        self._patience = self.loop.call_later(REQUEST_TIME, self._no_request)

    def _no_request(self) -> None:
        if self.cycle is None and self.transport.get_protocol() is self:
            self.count("no-request")
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a connection."""
        self._patience.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take octets; what cannot be answered any more ends the connection."""
        try:
            super().data_received(data)
        except (h11.ProtocolError, ValueError):
            self.count("malformed")
            self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, once."""
        self.count("malformed")
        super().send_400_response(msg)

    def shutdown(self) -> None:
        """End the connection, in whatever state it is."""
        try:
            super().shutdown()
        except h11.ProtocolError:
            self.transport.abort()


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """WebSocket whose messages have a bounded number of fragments."""

    count: Count = staticmethod(lambda what: None)

    def handle_cont(self, event: Any) -> None:
        """Take one more fragment."""
        if len(self.frames) < MAX_FRAGMENTS:
            super().handle_cont(event)
        elif not self.transport.is_closing():
            self.count("fragments")
            self.transport.abort()

    def handle_parser_exception(self) -> None:
        """Close a connection whose octets are no WebSocket, or whose message is too large."""
        self.count("malformed-websocket")
        super().handle_parser_exception()

    def shutdown(self) -> None:
        """End the connection, in whatever state it is."""
        try:
            super().shutdown()
        except InvalidState:
            self.transport.abort()


def counting(count: Count) -> tuple[type[HttpProtocol], type[WebSocketProtocol]]:
    """Return both protocols, counting with this."""
    http = type("CountingHttpProtocol", (HttpProtocol,), {"count": staticmethod(count)})
    websocket = type("CountingWebSocketProtocol", (WebSocketProtocol,), {"count": staticmethod(count)})
    return http, websocket
