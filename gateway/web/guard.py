"""The outermost shell around every request: safe headers, bounded bodies, and no exception beyond it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import structlog
from starlette.exceptions import HTTPException

from gateway.reasons import Reason
from gateway.web.office import Office

log = structlog.get_logger()

MAX_BODY = 64 * 1024
"""Octets of a request's body: the largest that makes sense, a room with every field at its longest, has below 1 KiB."""
BODY_TIME = 15.0
"""Seconds that a body may take to come in."""

CLOSE = {"Connection": "close"}
"""Said with an answer that does not wait for the rest of a request."""

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "media-src 'self' blob:",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "worker-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
"""Nothing inline, nothing from elsewhere, and in nobody's frame."""

HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(self), microphone=(self), fullscreen=(self), display-capture=(self)"),
)


class Guard:
    """An ASGI application around another."""

    def __init__(self, inner: Application, office: Office) -> None:
        self._inner = inner
        self._office = office

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or WebSocket."""
        if scope["type"] != "http":
            await self._websocket(scope, receive, send)
            return
        begun = False

        async def answer(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                message = {**message, "headers": [*message.get("headers", ()), *HEADERS]}
            await send(message)

        if _announced(scope) > MAX_BODY:
            self._office.bad_input("large-body")
            await _tell(answer, 413, Reason.MESSAGE_TOO_LARGE)
            return
        try:
            await self._inner(scope, self._bounded(scope, receive), answer)
        except Exception:
            log.exception("request_broke", method=scope["method"], path=scope["path"][:200])
            if not begun:
                await _tell(answer, 500, Reason.INTERNAL)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._inner(scope, receive, send)
        except ConnectionError:
            pass  # it was gone before it was taken
        except Exception:
            log.exception("websocket_broke", path=scope["path"][:200])

    def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        """Return a receive that gives up on a body that is too large or too slow."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + BODY_TIME
        taken, complete = 0, False

        async def bounded() -> Message:
            nonlocal taken, complete
            if complete:
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                self._office.bad_input("slow-body")
                raise HTTPException(408, headers=CLOSE) from None
            taken += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if taken > MAX_BODY:
                self._office.bad_input("large-body")
                raise HTTPException(413, headers=CLOSE)
            return message

        return bounded


def _announced(scope: Scope) -> int:
    """Return the length that a request says its body has; 0 if it says none."""
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value)  # the parser has let digits alone pass
    return 0


async def _tell(send: Send, status: int, reason: Reason) -> None:
    body = json.dumps({"reason": reason.value, "message": reason.text}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers.append((b"connection", b"close"))  # what is still to come of the request is not read
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
