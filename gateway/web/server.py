"""The web server: browser application, browsers' WebSockets, HTTP API, metrics; on the loop that runs already."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
import uvicorn
from fastapi import FastAPI

from gateway.config import Token
from gateway.metrics import Metrics
from gateway.records import RecordBook
from gateway.rooms.desk import FrontDesk
from gateway.web import (
    announcing,
    api,
    browser,
    calls,
    dialled,
    events,
    health,
    lobby,
    music,
    pages,
    registrations,
    sip_socket,
)
from gateway.web.board import Board
from gateway.web.errors import tell_errors
from gateway.web.guard import Application, Guard
from gateway.web.keyring import Keyring
from gateway.web.office import Office, SipDoor, SipLines
from gateway.web.pages import Pages
from gateway.web.protocols import MAX_HEAD, counting
from gateway.webrtc.messages import MAX_MESSAGE_SIZE

log = structlog.get_logger()

MAX_CONNECTIONS = 4_000
"""TCP connections at once: every browser in a call holds one and opens a few more while it loads."""
BACKLOG = 512
"""Connections that wait to be accepted."""
KEEP_ALIVE = 15
"""Seconds that an idle connection is kept after a request."""
PING_INTERVAL = 10.0
"""Seconds between WebSocket pings; with PING_TIMEOUT, how soon a browser that fell silent is seen to be away."""
PING_TIMEOUT = 10.0
STOP_TIME = 3
"""Seconds that open requests get when the server stops."""


@dataclass(frozen=True, slots=True)
class WebSettings:
    """Where to listen; port 0 takes any free one. Without certificate and key (PEM files) it is plain HTTP.

    Plain HTTP is for a proxy on the same machine and for tests: browsers give no camera to a page that came by it.
    sip_origins are the origins ("https://host[:port]", "*" for any) of other servers' pages that may speak SIP to us.
    """

    address: str = "0.0.0.0"
    port: int = 8443
    certificate: Path | None = None
    key: Path | None = None
    tokens: tuple[Token, ...] = ()
    sip_origins: tuple[str, ...] = ()


class WebServer:
    """From start to stop; `port` is the bound one.

    book keeps rooms and records, without it rooms that
    the API makes last as long as the house; sip takes in WebSockets that speak SIP, without it there are none; lines
    tells of registrations and trunks; sounds are where the waiting music is looked for.
    """

    def __init__(
        self,
        settings: WebSettings,
        desk: FrontDesk,
        metrics: Metrics,
        *,
        book: RecordBook | None = None,
        sip: SipDoor | None = None,
        lines: SipLines | None = None,
        sounds: tuple[Path, ...] = (),
    ) -> None:
        self.settings = settings
        self.port = settings.port
        origins = frozenset(origin.lower() for origin in settings.sip_origins)
        self.office = Office(desk, metrics, Keyring(settings.tokens), Board(desk), book, sip, origins, lines, sounds)
        self.app: Application = Guard(make_app(self.office), self.office)
        self._server: _Server | None = None
        self._tasks: list[asyncio.Task[Any]] = []
        metrics.add_source(self.office.samples)

    async def start(self) -> None:
        """Listen. Raises OSError if the port is taken or the certificate cannot be used."""
        settings = self.settings
        http, websocket = counting(self.office.bad_input)
        config = uvicorn.Config(
            self.app,
            loop="none",
            http=http,
            ws=websocket,
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level="critical",  # what goes wrong is logged and counted here, with a name
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=MAX_CONNECTIONS,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=STOP_TIME,
            h11_max_incomplete_event_size=MAX_HEAD,
            ws_max_size=MAX_MESSAGE_SIZE,
            ws_ping_interval=PING_INTERVAL,
            ws_ping_timeout=PING_TIMEOUT,
            ws_per_message_deflate=False,
            ssl_certfile=settings.certificate,
            ssl_keyfile=settings.key,
        )
        config.load()
        listener = bind(settings.address, settings.port)
        self.port = listener.getsockname()[1]
        self._server = _Server(config)
        self._tasks.append(asyncio.create_task(self.office.board.follow()))
        serving = asyncio.create_task(self._server.serve(sockets=[listener]))
        self._tasks.append(serving)
        listening = asyncio.create_task(self._server.listening.wait())
        await asyncio.wait({serving, listening}, return_when=asyncio.FIRST_COMPLETED)
        listening.cancel()
        if serving.done():
            await serving

    async def stop(self) -> None:
        """Let browsers and streams go, and stop listening."""
        self.office.stopping.set()
        if self._server is not None:
            self._server.should_exit = True
            self._server.leaving.set()
            *others, serving = self._tasks
            await serving
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            self._server = None
            self._tasks.clear()


class _Server(uvicorn.Server):
    """uvicorn's server on a loop whose signals are somebody else's business; it says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()
        self.leaving = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    async def main_loop(self) -> None:
        for second in itertools.count():
            await self.on_tick(10 * second)  # at every tenth it renews the date of its answers
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.leaving.wait(), 1.0)
                return

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def bind(address: str, port: int) -> socket.socket:
    """Return a socket that listens on an address of either family. Raises OSError."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if address == "::":
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind((address, port))
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"the web server cannot listen on {address} port {port}: {error.strerror}") from None
    return listener


def make_app(office: Office) -> FastAPI:
    """Put all routes together."""
    app = FastAPI(
        title="Roombridge",
        version=api.VERSION,
        summary="Rooms, participants and calls of one gateway",
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
        redirect_slashes=False,
    )
    app.state.office = office
    app.state.client = Pages(pages.CLIENT)
    app.state.docs = Pages(pages.DOCS)
    tell_errors(app)
    for part in (
        health.router,
        browser.router,
        sip_socket.router,
        api.router,
        lobby.router,
        announcing.router,
        calls.router,
        dialled.router,
        registrations.router,
        events.router,
        music.router,
        pages.router,
    ):
        app.include_router(part)
    app.openapi = lambda: _description(app)  # type: ignore[method-assign]
    return app


def _description(app: FastAPI) -> dict[str, Any]:
    """Return the API's description, written at the first request; the answer 422 is told as 400 here."""
    if app.openapi_schema is None:
        description = FastAPI.openapi(app)
        for path in description["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)
        for unused in ("HTTPValidationError", "ValidationError"):
            description["components"]["schemas"].pop(unused, None)
    return app.openapi_schema or {}
