"""The browser application and other files that never change while the server runs.

All files are read into memory once: a request is a look into a table, and no path of the disk can be asked for.
"""

from __future__ import annotations

import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Request, Response

CLIENT = Path(__file__).parent / "client"
DOCS = Path(__file__).parent / "docs"
MAX_FILE = 4 << 20
"""Octets of one file; the largest is a script of some ten KiB, so what is above this does not belong here."""
MAX_FILES = 500
"""Files of one directory, for the same reason."""
TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
    ".ico": "image/x-icon",
    ".png": "image/png",
    ".txt": "text/plain; charset=utf-8",
}
"""Content types that are the same on every machine, whatever its own table says."""

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Page:
    """One file as it is sent."""

    content: bytes
    type: str
    tag: str


class Pages:
    """Files by their path below a directory, with "/" between the parts."""

    def __init__(self, directory: Path) -> None:
        self._pages: dict[str, Page] = {}
        for path in sorted(directory.rglob("*")):
            if path.is_file() and len(self._pages) < MAX_FILES and path.stat().st_size <= MAX_FILE:
                content = path.read_bytes()
                known = TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
                tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
                self._pages[path.relative_to(directory).as_posix()] = Page(content, known, tag)

    def get(self, path: str) -> Page | None:
        """Return one file."""
        return self._pages.get(path)

    def respond(self, request: Request, path: str) -> Response:
        """Answer with a file, or with 304 if the browser has it already (RFC 9110 §13.1.2), or with 404."""
        page = self._pages.get(path)
        if page is None:
            return Response("There is no such page.\n", 404, media_type="text/plain")
        # The names of files do not change with what is in them: they are kept, but asked for each time.
        headers = {"ETag": page.tag, "Cache-Control": "no-cache"}
        known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
        if page.tag in known:
            return Response(status_code=304, headers=headers)
        return Response(page.content, headers=headers, media_type=page.type)


@router.api_route("/", methods=["GET", "HEAD"])
@router.api_route("/r/{room}", methods=["GET", "HEAD"])
@router.api_route("/r/{room}/", methods=["GET", "HEAD"])
async def index(request: Request) -> Response:
    """Return the page to join by; it reads the room from its own address."""
    pages: Pages = request.app.state.client
    return pages.respond(request, "index.html")


@router.api_route("/static/{path:path}", methods=["GET", "HEAD"])
async def static(request: Request, path: str) -> Response:
    """Return a file of the browser application."""
    pages: Pages = request.app.state.client
    return pages.respond(request, path)


@router.api_route("/favicon.ico", methods=["GET", "HEAD"])
async def icon(request: Request) -> Response:
    """Return the icon that browsers ask for by themselves."""
    pages: Pages = request.app.state.client
    for name in ("favicon.ico", "favicon.svg", "logo.svg"):
        if pages.get(name) is not None:
            return pages.respond(request, name)
    return Response(status_code=204)


@router.api_route("/api/docs", methods=["GET", "HEAD"])
async def docs(request: Request) -> Response:
    """Return the page that describes the API."""
    pages: Pages = request.app.state.docs
    return pages.respond(request, "index.html")


@router.api_route("/api/docs/{path:path}", methods=["GET", "HEAD"])
async def docs_file(request: Request, path: str) -> Response:
    """Return a file of the page that describes the API."""
    pages: Pages = request.app.state.docs
    return pages.respond(request, path)
