"""A page with JsSIP, from another origin, that registers, calls and is called over a WebSocket."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import house
import marks
import party
import pytest
from peers.chromium import Chromium
from peers.jssip import JsSip, page_server
from peers.sipp import Sipp
from starting import LendGateway, StartGateway

from gateway.probe.analysis import confirmed_keys

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]
ACCOUNTS = [{"user": "ann", "password": "correct horse", "display_name": "Ann"}]
LOOKING = 60.0


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    """Serve the page, and give where it comes from."""
    with page_server() as found:
        yield found


def settings(origin: str, **more: Any) -> dict[str, Any]:
    """Return a gateway's settings for pages of that origin."""
    return {"accounts": ACCOUNTS, "sip": {"authenticate": "registered"}, "web": {"sip_origins": [origin]}} | more


async def confirms(page: JsSip, start: int, key: str) -> bool:
    """Tell whether the echo room has confirmed a key, and no other, since a sample of what a page heard."""
    samples, rate = await page.heard()
    return confirmed_keys(samples[start:], rate) == key


async def test_a_page_registers_refreshes_and_is_gone_when_it_closes(
    lend_gateway: LendGateway, tmp_path: Path, origin: str
) -> None:
    gateway = await lend_gateway(**settings(origin))
    page = JsSip(marks.ANN, tmp_path, origin, gateway.url, "ann", "correct horse")
    try:
        await page.begin()
        await house.registered(gateway, 1)
        await page.do("phone.ua.unregister()")
        await page.expect("unregistered")
        await house.registered(gateway, 0)
        await page.do("phone.ua.register()")
        await page.expect("registered")
        await house.registered(gateway, 1)
    finally:
        await page.stop()
    await house.registered(gateway, 0)


async def test_a_wrong_password_and_a_strange_origin_are_refused(
    start_gateway: StartGateway, tmp_path: Path, origin: str
) -> None:
    gateway = await start_gateway(**settings(origin))
    page = JsSip(marks.ANN, tmp_path, origin, gateway.url, "ann", "guess")
    try:
        await page.open()
        await page.tells("registrationFailed 401")
    finally:
        await page.stop()
    await house.registered(gateway, 0)
    closed = await start_gateway(**settings("https://another.example"))
    page = JsSip(marks.BOB, tmp_path, origin, closed.url, "ann", "correct horse")
    try:
        await page.open()
        await page.tells("403")
    finally:
        await page.stop()
    assert (await closed.metrics()).total("roombridge_http_refused_total", reason="foreign-origin") >= 1


async def test_a_page_and_others_hear_and_see_each_other_and_it_hangs_up(
    lend_gateway: LendGateway, tmp_path: Path, origin: str
) -> None:
    gateway = await lend_gateway(**settings(origin))
    async with AsyncExitStack() as stack:
        page = JsSip(marks.ANN, tmp_path, origin, gateway.url, "ann", "correct horse")
        other = Chromium(marks.EVE, tmp_path)
        phone = Sipp(marks.CLEO, tmp_path, "udp", seconds=90)
        for leave in (page.stop, other.stop, phone.finish):
            stack.push_async_callback(leave)
        await asyncio.gather(page.begin(), other.begin())
        await page.dial("sip:100@127.0.0.1")
        await other.join(gateway.url, "100")
        await phone.dial("127.0.0.1", gateway.udp, "100")
        await house.holds(gateway, 3)
        (call,) = [one for one in await house.calls(gateway) if one["name"] == "ann"]
        assert call["secure"] is True, call
        await party.assert_all_see({"jssip": (marks.ANN, page.sees), "chromium": (marks.EVE, other.sees)}, LOOKING)
        await party.assert_all_hear({one.name: (one.mark, one.heard) for one in (page, other, phone)})
        await page.hang_up()
        await house.holds(gateway, 2)


async def test_a_page_is_called_by_the_house_which_hangs_up(
    lend_gateway: LendGateway, tmp_path: Path, origin: str
) -> None:
    gateway = await lend_gateway(**settings(origin))
    async with AsyncExitStack() as stack:
        page = JsSip(marks.ANN, tmp_path, origin, gateway.url, "ann", "correct horse")
        other = Chromium(marks.EVE, tmp_path)
        stack.push_async_callback(page.stop)
        stack.push_async_callback(other.stop)
        await asyncio.gather(page.begin(), other.begin())
        await other.join(gateway.url, "100")
        await page.answer()
        participant = await house.call(gateway, "sip:ann@127.0.0.1", "Ann")
        assert participant["name"] == "Ann"
        assert (await page.expect("called by")).startswith("called by Everyone")
        await page.expect("confirmed")
        await page.browser.record()
        await house.holds(gateway, 2)
        await party.assert_all_see({"jssip": (marks.ANN, page.sees), "chromium": (marks.EVE, other.sees)}, LOOKING)
        await party.assert_all_hear({one.name: (one.mark, one.heard) for one in (page, other)})
        await house.remove(gateway, "Ann")
        ended = await page.expect("ended by remote")
        assert "Q.850" in ended or "SIP" in ended, ended


@pytest.mark.parametrize("way", ["INFO", "RFC2833"])
async def test_keys_of_a_page_are_understood(lend_gateway: LendGateway, tmp_path: Path, origin: str, way: str) -> None:
    """The echo room confirms each key by a tone of its own."""
    gateway = await lend_gateway(**settings(origin), rooms=[{"id": "echo", "mode": "echo"}])
    page = JsSip(marks.ANN, tmp_path, origin, gateway.url, "ann", "correct horse")
    try:
        await page.begin()
        await page.dial("sip:echo@127.0.0.1", picture=False)
        await page.do("phone.call.mute({audio: true})")  # its own voice comes back for a second more
        await asyncio.sleep(2)
        for key in "58":
            before = len((await page.heard())[0])
            await page.do(f"phone.call.sendDTMF('{key}', {{transportType: '{way}', duration: 200}})")
            await house.until(lambda start=before, key=key: confirms(page, start, key), f"{key} by {way}")
        await page.hang_up()
        await house.holds(gateway, 0, "echo")
    finally:
        await page.stop()


async def test_a_page_that_is_closed_in_a_call_leaves_the_room(
    lend_gateway: LendGateway, tmp_path: Path, origin: str
) -> None:
    gateway = await lend_gateway(**settings(origin))
    page = JsSip(marks.ANN, tmp_path, origin, gateway.url, "ann", "correct horse")
    try:
        await page.begin()
        await page.dial("sip:100@127.0.0.1")
        await house.holds(gateway, 1)
    finally:
        await page.stop()
    await house.holds(gateway, 0, within=45)


async def test_a_page_whose_websocket_breaks_in_a_call_comes_back_to_it(
    lend_gateway: LendGateway, tmp_path: Path, origin: str
) -> None:
    gateway = await lend_gateway(**settings(origin))
    page = JsSip(marks.ANN, tmp_path, origin, gateway.url, "ann", "correct horse")
    try:
        await page.begin()
        await page.dial("sip:100@127.0.0.1", picture=False)
        await house.holds(gateway, 1)
        await page.do("phone.ua.transport.socket._ws.close()")
        await page.expect("disconnected")
        await page.expect("registered", 30)
        await house.holds(gateway, 1)
        await house.remove(gateway, "ann")
        await page.expect("ended by remote")
    finally:
        await page.stop()
