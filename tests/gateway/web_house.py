"""A web server on a free port of the loopback, over a desk whose media plane only keeps what it was told."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
from test_desk import RecordingLine, RecordingPlane, facts
from websockets.asyncio.client import ClientConnection, connect

from gateway.config import Token
from gateway.metrics import Metrics
from gateway.rooms.call import RoomCall
from gateway.rooms.desk import FrontDesk, HouseRules
from gateway.rooms.model import RoomSettings
from gateway.web.server import WebServer, WebSettings
from transcode.media import Abilities, RoomId

ADMIN, ROOMS, CALLS, READ = (f"{scope}-token-0123456789" for scope in ("admin", "rooms", "calls", "read"))
TOKENS = tuple(
    Token(token=token, scopes=(scope,))  # type: ignore[arg-type]
    for token, scope in ((ADMIN, "admin"), (ROOMS, "rooms"), (CALLS, "calls"), (READ, "read"))
)


class WebHouse:
    """Desk, server, and clients that speak to it; by calling it directly if it does not listen."""

    def __init__(self, listening: bool = True, settings: dict[str, Any] | None = None, **more: Any) -> None:
        self.listening = listening
        self.settings = settings or {}
        self.plane = RecordingPlane()
        self.desk = FrontDesk(self.plane, HouseRules(Abilities()), clock=lambda: 1_000.0)
        self.desk.open_room(RoomSettings(RoomId("100"), "Everyone"))
        self.metrics = Metrics()
        self.more = more
        self.server: WebServer

    async def start(self) -> None:
        book = self.more.get("book")
        if callable(book):
            self.more["book"] = book(self.desk)
            await self.more["book"].start()
        settings = WebSettings("127.0.0.1", 0, tokens=TOKENS, **self.settings)
        self.server = WebServer(settings, self.desk, self.metrics, **self.more)
        if self.listening:
            await self.server.start()

    async def stop(self) -> None:
        await self.server.stop()
        if "book" in self.more:
            await self.more["book"].stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    def client(self, token: str | None = ADMIN) -> httpx.AsyncClient:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        transport = None if self.listening else httpx.ASGITransport(self.server.app)  # type: ignore[arg-type]
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=10, transport=transport)

    def socket(self, **options: Any) -> connect:
        return connect(f"ws://127.0.0.1:{self.server.port}/ws", **options)

    async def enter(self, name: str = "Ann", room: str = "100", **more: Any) -> tuple[RoomCall, RecordingLine]:
        """Bring somebody into a room by a call of no protocol in particular."""
        line = RecordingLine()
        call = await self.desk.arrive(replace(facts(room), name=name, **more), line)
        await call.connected()
        return call, line

    async def scrape(self) -> str:
        return (await self.metrics.exposition()).decode()


@contextlib.asynccontextmanager
async def web_house(listening: bool = True, **more: Any) -> AsyncIterator[WebHouse]:
    house = WebHouse(listening, **more)
    await house.start()
    try:
        yield house
    finally:
        await house.stop()


async def hear(socket: ClientConnection, kind: str, seconds: float = 3.0) -> dict[str, Any]:
    """Return the next message of a kind; others are passed over."""
    async with asyncio.timeout(seconds):
        while True:
            message: dict[str, Any] = json.loads(await socket.recv())
            if message["type"] == kind:
                return message


async def say(socket: ClientConnection, **message: Any) -> None:
    await socket.send(json.dumps(message))
