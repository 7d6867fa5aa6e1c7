"""JsSIP in Chromium: a page that speaks SIP over WebSocket, served from another origin than the gateway's.

The library is fetched from npm and bundled by tests/install-peers.sh into a cache folder.
"""

from __future__ import annotations

import asyncio
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import marks
from peers.chromium import Chromium

from gateway.bench.sound import Samples

VERSION = "3.13.8"
PAGE = Path(__file__).with_suffix(".html")
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "roombridge-tests"
BUNDLE = CACHE / f"jssip-{VERSION}" / "jssip.js"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        script = self.path == "/jssip.js"
        data = (BUNDLE if script else PAGE).read_bytes()
        self.send_response(200)
        self.send_header("Content-Type", "text/javascript" if script else "text/html")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@contextmanager
def page_server() -> Iterator[str]:
    """Serve the page and yield its origin: browsers give devices to pages of localhost without TLS."""
    assert BUNDLE.exists(), "JsSIP is missing; tests/install-peers.sh fetches it"
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://localhost:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class JsSip:
    """One page of an origin; user and password are those of an account of the gateway at url."""

    def __init__(self, mark: marks.Mark, directory: Path, origin: str, url: str, user: str, password: str = "") -> None:
        self.mark, self.origin, self.url, self.user, self.password = mark, origin, url, user, password
        self.name = f"jssip {mark.name}"
        self.browser = Chromium(mark, directory)
        self._read = 0

    async def begin(self) -> None:
        """Open the page and connect; wait until it is registered."""
        await self.open()
        await self.expect("registered", 30)

    async def open(self) -> None:
        """Open the page, which connects and registers."""
        page = await self.browser.begin()
        await page.goto(f"{self.origin}/phone")
        await page.evaluate(
            "(all) => phone.start(...all)",
            [self.url.replace("http", "ws", 1) + "/sip", self.user, "127.0.0.1", self.password, True],
        )

    async def noted(self) -> list[str]:
        """Return all events so far."""
        assert self.browser.page is not None
        found: list[str] = await self.browser.page.evaluate("() => phone.noted")
        return found

    async def expect(self, pattern: str, seconds: float = 30.0) -> str:
        """Wait for an event that was not expected yet, and return it. Raises AssertionError."""
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            noted = await self.noted()
            for at in range(self._read, len(noted)):
                if re.match(pattern, noted[at]):
                    self._read = at + 1
                    return noted[at]
            told = f"{self.name} noted {noted}, and {self.browser.complaints}; wanted is {pattern!r}"
            assert asyncio.get_running_loop().time() < deadline, told
            await asyncio.sleep(0.1)

    async def tells(self, text: str, seconds: float = 30.0) -> None:
        """Wait until a text stands in its events or in the browser's console. Raises AssertionError."""
        deadline = asyncio.get_running_loop().time() + seconds
        while text not in (told := f"{await self.noted()}, and {self.browser.complaints}"):
            assert asyncio.get_running_loop().time() < deadline, f"{self.name} noted {told}; wanted is {text!r}"
            await asyncio.sleep(0.1)

    async def dial(self, target: str, picture: bool = True) -> None:
        """Call and wait until the call stands and media comes."""
        await self.do(f"phone.dial('{target}', {str(picture).lower()}, false)")
        await self.expect("confirmed")
        await self.browser.record()

    async def answer(self, picture: bool = True) -> None:
        """Answer calls from now on."""
        await self.do(f"phone.dial('', {str(picture).lower()}, true)")

    async def do(self, script: str) -> object:
        """Run a line of script on the page."""
        assert self.browser.page is not None
        return await self.browser.page.evaluate(f"() => {{ {script} }}")

    async def hang_up(self) -> None:
        """End the call and wait until it is over."""
        await self.do("phone.call.terminate()")
        await self.expect("ended by local")

    async def heard(self) -> tuple[Samples, int]:
        """Return all that it has heard since the call stood, and the sampling rate."""
        return await self.browser.heard()

    async def sees(self) -> set[int]:
        """Return the codes of all that it sees at the moment."""
        return await self.browser.sees()

    async def stop(self) -> None:
        """Close the browser."""
        await self.browser.stop()
