"""The browser's WebSocket: messages in and out, and who may open one.

The socket carries a `BrowserSession`'s messages, and from "joined" on what the room's board shows. It is closed once
the session has ended; a session whose socket broke lives on by itself and waits for the browser to come back.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import structlog
from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from gateway.reasons import Reason, Refused
from gateway.web.board import Viewer
from gateway.web.office import Office
from gateway.webrtc.session import BrowserSession, State

log = structlog.get_logger()
router = APIRouter()

MAX_SOCKETS = 2_000
"""WebSockets at once: as many as the desk takes calls."""
MAX_SOCKETS_FROM_ONE = 500
"""WebSockets of one address: a whole building may stand behind one, but one machine must not take all there are."""
JOIN_TIME = 600.0
"""Seconds that a browser may stay without joining: somebody looks for the PIN."""
CLOSE_TIME = 2.0
"""Seconds that the browser has to take our close."""

NORMAL, POLICY, TRY_LATER = 1000, 1008, 1013
"""WebSocket close codes (RFC 6455 §7.4.1 and the registry that it opens)."""


@router.websocket("/ws")
async def browser(websocket: WebSocket) -> None:
    """Serve one browser."""
    office: Office = websocket.app.state.office
    if not same_origin(websocket):
        office.refused("foreign-origin")
        await websocket.close(POLICY)
        return
    host = websocket.client.host if websocket.client else ""
    try:
        await websocket.accept()
    except WebSocketDisconnect:
        return
    if sum(office.sockets.values()) >= MAX_SOCKETS or office.sockets.get(host, 0) >= MAX_SOCKETS_FROM_ONE:
        office.refused(Reason.OVERLOAD.value)
        await _turn_away(websocket)
        return
    office.sockets[host] = office.sockets.get(host, 0) + 1
    try:
        await BrowserSocket(office, websocket).run()
    finally:
        office.sockets[host] -= 1
        if not office.sockets[host]:
            del office.sockets[host]


def same_origin(websocket: WebSocket) -> bool:
    """Tell whether a page of ours opened this socket, or a program that is no browser and names no origin.

    Any page that somebody visits could open one otherwise, and bring what is said in a room on a private network out
    of it (RFC 6455 §10.2).
    """
    origin = websocket.headers.get("origin")
    if origin is None:
        return True
    try:
        return urlsplit(origin).netloc.lower() == websocket.headers.get("host", "").lower()
    except ValueError:
        return False


def _address(host: str, port: int) -> str:
    if host.startswith("::ffff:") and "." in host:
        host = host.removeprefix("::ffff:")  # an IPv4 peer on a socket of both families (RFC 4291 §2.5.5.2)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def _turn_away(websocket: WebSocket) -> None:
    reason = Reason.OVERLOAD
    message = {"type": "error", "reason": reason.value, "message": reason.text, "fatal": True}
    with suppress(WebSocketDisconnect, RuntimeError):
        await websocket.send_text(json.dumps(message))
        await websocket.close(TRY_LATER)


class BrowserSocket:
    """One open WebSocket and its session."""

    def __init__(self, office: Office, websocket: WebSocket) -> None:
        client = websocket.client
        self._office = office
        self._websocket = websocket
        self._sending = asyncio.Lock()
        self._over = asyncio.Event()
        self._viewer: Viewer | None = None
        self.session = BrowserSession(
            office.desk,
            self._send,
            source=_address(client.host, client.port) if client else "",
            agent=websocket.headers.get("user-agent", ""),
            secure=websocket.url.scheme == "wss",
        )

    async def run(self) -> None:
        """Take messages until the browser leaves, the session ends or the server stops."""
        over = asyncio.create_task(self._over.wait())
        stopping = asyncio.create_task(self._office.stopping.wait())
        try:
            await self._take(over, stopping)
        except Exception:
            # The outermost shell of one browser: what goes wrong here must not reach the others.
            log.exception("browser_session_broke", room=self.session.room)
            with suppress(Exception):
                await self.session.hang_up(Reason.INTERNAL)
        finally:
            over.cancel()
            stopping.cancel()
            if self._viewer is not None:
                await self._office.board.detach(self._viewer)
            await self.session.disconnected()
            with suppress(WebSocketDisconnect, RuntimeError, TimeoutError):
                await asyncio.wait_for(self._websocket.close(NORMAL), CLOSE_TIME)

    async def _take(self, over: asyncio.Task[Any], stopping: asyncio.Task[Any]) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + JOIN_TIME
        while self.session.state is not State.ENDED:
            waiting = self.session.state is State.NEW
            receiving = asyncio.create_task(self._websocket.receive())
            await asyncio.wait(
                {receiving, over, stopping},
                timeout=max(0.0, deadline - loop.time()) if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not receiving.done():
                receiving.cancel()
                if not over.done():
                    await self._leave_alone(Reason.SHUTDOWN if stopping.done() else Reason.TIMEOUT)
                return
            message = receiving.result()
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text")
            await self.session.receive_text(text if text is not None else message.get("bytes") or b"")

    async def _leave_alone(self, reason: Reason) -> None:
        if self.session.state is not State.ENDED:
            await self.session.hang_up(reason)

    async def _send(self, message: dict[str, Any]) -> None:
        """Put one of the session's messages on the socket. Raises ConnectionError."""
        await self._send_text(json.dumps(message))
        kind = message["type"]
        if kind == "joined":
            with suppress(Refused):  # the room may have been closed in this moment; the call's end is on its way
                self._viewer = self._office.board.attach(message["room"]["id"], message["participant"], self._show)
        elif kind == "ended" or message.get("fatal"):
            self._over.set()

    async def _show(self, text: str) -> None:
        """Put one of the board's messages on the socket; nothing comes after the session's last word."""
        if self._over.is_set():
            raise ConnectionError("the session has ended")
        await self._send_text(text)

    async def _send_text(self, text: str) -> None:
        async with self._sending:
            try:
                await self._websocket.send_text(text)
            except (WebSocketDisconnect, RuntimeError) as error:
                raise ConnectionError(str(error)) from None
