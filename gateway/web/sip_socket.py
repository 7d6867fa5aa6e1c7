"""SIP over WebSocket (RFC 7118): the endpoint, who may open it, and the queue of what goes out.

What a message means is the SIP adapter's business, which is known here by two small protocols alone. One WebSocket
message is one SIP message, as text or binary; the answer comes in the kind that the peer uses.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import structlog
from fastapi import APIRouter, Response, WebSocket, WebSocketDisconnect

from gateway.reasons import Reason
from gateway.web.browser import CLOSE_TIME, NORMAL, POLICY, TRY_LATER, same_origin
from gateway.web.office import Office, SipDoor, SipLink

log = structlog.get_logger()
router = APIRouter()

SUBPROTOCOL = "sip"
"""RFC 7118 §4.1."""
GOING_AWAY, INTERNAL = 1001, 1011
"""WebSocket close codes (RFC 6455 §7.4.1)."""


@router.websocket("/sip")
async def sip(websocket: WebSocket) -> None:
    """Serve one SIP client."""
    office: Office = websocket.app.state.office
    if not allowed(websocket, office.sip_origins):
        office.refused("foreign-origin")
        await websocket.close(POLICY)
        return
    if office.sip is None:
        await websocket.send_denial_response(Response("there is no SIP here\n", 404, media_type="text/plain"))
        return
    if SUBPROTOCOL not in websocket.scope["subprotocols"]:
        office.bad_input("no-sip-subprotocol")
        await websocket.send_denial_response(Response("the subprotocol sip is needed\n", 400, media_type="text/plain"))
        return
    try:
        await websocket.accept(SUBPROTOCOL)
    except WebSocketDisconnect:
        return
    await SipSocket(websocket).run(office.sip, office.stopping, office.refused)


def allowed(websocket: WebSocket, origins: frozenset[str]) -> bool:
    """Tell whether a page may speak SIP to us: one of ours, one of the origins, any for "*"; programs name none."""
    return same_origin(websocket) or "*" in origins or websocket.headers.get("origin", "").lower() in origins


class SipSocket:
    """One open WebSocket: what came goes to the link at once, what goes out waits here until the peer reads."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._waiting: deque[bytes] = deque()
        self._octets = 0
        self._changed = asyncio.Event()
        self._over = asyncio.Event()
        self._code = NORMAL
        self._ending = False
        self._binary = False

    def write(self, data: bytes) -> int:
        """Queue one message; returns how many octets wait by now."""
        self._waiting.append(data)
        self._octets += len(data)
        self._changed.set()
        return self._octets

    def close(self, code: int, abort: bool) -> None:
        """Close with a code; abort: without sending what waits."""
        self._code, self._ending = code, True
        self._changed.set()
        if abort:
            self._over.set()

    async def run(self, door: SipDoor, stopping: asyncio.Event, refused: Callable[[str], None]) -> None:
        """Carry messages until either side closes or the server stops."""
        server, client = self._websocket.scope["server"], self._websocket.client
        remote = (client.host, client.port) if client is not None else ("127.0.0.1", 0)
        link = door(self._websocket.url.scheme == "wss", (server[0], server[1] or 0), remote, self.write, self.close)
        if link is None:
            refused(Reason.OVERLOAD.value)
            await self._say_goodbye(TRY_LATER)
            return
        events = (asyncio.create_task(event.wait()) for event in (self._over, stopping))
        tasks = [*events, asyncio.create_task(self._read(link)), asyncio.create_task(self._send())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            link.lost()
        for fault in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(fault, Exception):
                # The outermost shell of one client: what goes wrong here must not reach the others.
                log.error("sip_socket_broke", peer=remote[0], error=repr(fault), exc_info=fault)
                self.close(INTERNAL, True)
        await self._say_goodbye(GOING_AWAY if stopping.is_set() and not self._ending else self._code)

    async def _read(self, link: SipLink) -> None:
        while (message := await self._websocket.receive())["type"] == "websocket.receive":
            text: str | None = message.get("text")
            self._binary = text is None
            link.received(text.encode() if text is not None else message["bytes"])

    async def _send(self) -> None:
        with suppress(WebSocketDisconnect, RuntimeError):  # it is gone; reading tells
            while self._waiting or not self._ending:
                self._changed.clear()
                while self._waiting:
                    data = self._waiting.popleft()
                    await self._put(data)
                    self._octets -= len(data)
                if not self._ending:
                    await self._changed.wait()

    async def _put(self, data: bytes) -> None:
        """Send one message as the peer does, and as binary where it is no UTF-8 (RFC 7118 §5.1)."""
        text: str | None = None
        if not self._binary:
            with suppress(UnicodeDecodeError):
                text = data.decode()
        message: dict[str, Any] = {"type": "websocket.send"}
        await self._websocket.send(message | ({"bytes": data} if text is None else {"text": text}))

    async def _say_goodbye(self, code: int) -> None:
        with suppress(WebSocketDisconnect, RuntimeError, TimeoutError):
            await asyncio.wait_for(self._websocket.close(code), CLOSE_TIME)
