"""A page with JsSIP, from another origin, that registers, calls and is called over a WebSocket."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import marks
import pytest
from peers.jssip import JsSip, page_server
from starting import StartGateway

from gateway.bench.process import GatewayProcess

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]
ACCOUNTS = [{"user": "ann", "password": "correct horse", "display_name": "Ann"}]
LISTENING = 12.0
"""Seconds in which all talk: several bursts of each."""


@pytest.fixture
def origin() -> Iterator[str]:
    """Serve the page, and give where it comes from."""
    with page_server() as found:
        yield found


def settings(origin: str, **more: Any) -> dict[str, Any]:
    """Return a gateway's settings for pages of that origin."""
    return {"accounts": ACCOUNTS, "sip": {"authenticate": "all"}, "web": {"sip_origins": [origin]}} | more


async def _registered(gateway: GatewayProcess, count: int) -> None:
    async with asyncio.timeout(10):
        while (await gateway.metrics()).total("roombridge_sip_registrations") != count:
            await asyncio.sleep(0.1)


async def test_a_page_registers_refreshes_and_is_gone_when_it_closes(
    start_gateway: StartGateway, tmp_path: Path, origin: str
) -> None:
    gateway = await start_gateway(**settings(origin))
    page = JsSip(marks.ANN, tmp_path, origin, gateway.url, "ann", "correct horse")
    try:
        await page.begin()
        await _registered(gateway, 1)
        await page.do("phone.ua.unregister()")
        await page.expect("unregistered")
        await _registered(gateway, 0)
        await page.do("phone.ua.register()")
        await page.expect("registered")
        await _registered(gateway, 1)
    finally:
        await page.stop()
    await _registered(gateway, 0)


async def test_a_wrong_password_and_a_strange_origin_are_refused(
    start_gateway: StartGateway, tmp_path: Path, origin: str
) -> None:
    gateway = await start_gateway(**settings(origin))
    page = JsSip(marks.ANN, tmp_path, origin, gateway.url, "ann", "guess")
    try:
        with pytest.raises(AssertionError, match="registrationFailed 401"):
            await page.begin(within=3.0)
    finally:
        await page.stop()
    await _registered(gateway, 0)
    closed = await start_gateway(**settings("https://another.example"))
    page = JsSip(marks.BOB, tmp_path, origin, closed.url, "ann", "correct horse")
    try:
        with pytest.raises(AssertionError, match="403"):
            await page.begin(within=3.0)
    finally:
        await page.stop()
    assert (await closed.metrics()).total("roombridge_http_refused_total", reason="foreign-origin") >= 1
