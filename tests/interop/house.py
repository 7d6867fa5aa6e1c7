"""What tests ask of a gateway's API, as an operator would."""

from __future__ import annotations

import asyncio
import contextlib
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx

from gateway.bench.process import TOKEN, GatewayProcess

WAIT = 60.0
"""Seconds that anything may take on a busy machine."""


async def until(true: Callable[[], Awaitable[object]], what: str) -> None:
    """Wait until something is so. Raises AssertionError."""
    deadline = asyncio.get_running_loop().time() + WAIT
    while not await true():
        assert asyncio.get_running_loop().time() < deadline, f"{what}: not within {WAIT} s"
        await asyncio.sleep(0.2)


async def ask(gateway: GatewayProcess, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """Send a request to the API and return what it answers. Raises OSError where it refuses."""

    def send() -> Any:
        request = urllib.request.Request(
            gateway.url + "/api/v1" + path,
            json.dumps(body).encode() if body is not None else None,
            {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=30, context=gateway._tls) as answer:
                data = answer.read()
        except urllib.error.HTTPError as refused:
            with refused:
                raise OSError(f"{refused.code}: {refused.read()[:500].decode()}") from None
        return json.loads(data) if data else None

    return await asyncio.to_thread(send)


@contextlib.asynccontextmanager
async def events(gateway: GatewayProcess) -> AsyncIterator[list[tuple[str, dict[str, Any]]]]:
    """Give a list of all that happens in the house from now on, which grows: its kind and its data."""
    told: list[tuple[str, dict[str, Any]]] = []
    begun = asyncio.Event()

    async def listen() -> None:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with (
            httpx.AsyncClient(verify=gateway._tls, headers=headers, timeout=None) as client,
            client.stream("GET", gateway.url + "/api/v1/events") as answer,
        ):
            kind = ""
            async for line in answer.aiter_lines():
                begun.set()
                name, _, value = line.partition(": ")
                if name == "event":
                    kind = value
                elif name == "data":
                    told.append((kind, json.loads(value)))

    listening = asyncio.get_running_loop().create_task(listen())
    try:
        await asyncio.wait_for(begun.wait(), 30)
        yield told
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def call(gateway: GatewayProcess, target: str, name: str = "Called", room: str = "100") -> dict[str, Any]:
    """Call somebody into a room and return the participant. Raises OSError where nobody answers."""
    found: dict[str, Any] = await ask(gateway, "POST", f"/rooms/{room}/participants", {"target": target, "name": name})
    return found


async def remove(gateway: GatewayProcess, name: str, room: str = "100") -> None:
    """Hang up on the participant of that name."""
    (one,) = [one for one in await gateway.participants(room) if one["name"].lower() == name.lower()]
    await ask(gateway, "DELETE", f"/rooms/{room}/participants/{one['id']}")


async def calls(gateway: GatewayProcess) -> list[dict[str, Any]]:
    """Return all calls that go on, those that are still arriving too."""
    found = await ask(gateway, "GET", "/calls")
    return list(found["calls"])


async def holds(gateway: GatewayProcess, count: int, room: str = "100", within: float = WAIT) -> None:
    """Wait until so many are in a room. Raises AssertionError."""
    deadline = asyncio.get_running_loop().time() + within
    while len(present := await gateway.participants(room)) != count:
        assert asyncio.get_running_loop().time() < deadline, f"wanted {count} in the room, found {present}"
        await asyncio.sleep(0.1)


async def registered(gateway: GatewayProcess, count: int) -> None:
    """Wait until so many contacts are registered. Raises AssertionError."""
    deadline = asyncio.get_running_loop().time() + WAIT
    while (found := (await gateway.metrics()).total("roombridge_sip_registrations")) != count:
        assert asyncio.get_running_loop().time() < deadline, f"wanted {count} registrations, found {found}"
        await asyncio.sleep(0.1)
