"""One who reads the event stream, as a program of an operator's would."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx

from gateway.bench.process import TOKEN, GatewayProcess

Event = tuple[str, dict[str, Any]]


@contextlib.asynccontextmanager
async def events_of(gateway: GatewayProcess) -> AsyncIterator[list[Event]]:
    """Give the list of all events, name and data, that come while this lasts."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    found: list[Event] = []
    async with (
        httpx.AsyncClient(verify=False, headers=headers, timeout=None) as client,
        client.stream("GET", f"{gateway.url}/api/v1/events") as answer,
    ):
        assert answer.status_code == 200
        lines = answer.aiter_lines()
        assert (await anext(lines)).startswith("retry: ")
        reading = asyncio.get_running_loop().create_task(_read(lines, found))
        try:
            yield found
        finally:
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reading


async def _read(lines: AsyncIterator[str], found: list[Event]) -> None:
    name = ""
    async for line in lines:
        if line.startswith("event: "):
            name = line[7:]
        elif line.startswith("data: "):
            found.append((name, json.loads(line[6:])))
