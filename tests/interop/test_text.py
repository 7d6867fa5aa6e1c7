"""A room's chat between protocols: browsers, real-time text (RFC 4103), and MESSAGE (RFC 3428) of a real phone."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import marks
import pytest
import pytest_asyncio
from peers import linphone_text
from peers.baresip import Baresip
from peers.chromium import Chromium
from peers.program import Program
from peers.textphone import TextPhone
from playwright.async_api import Page, expect
from starting import LendGateway
from test_browser_page import WAIT, in_room

from gateway.bench.ports import free_port
from gateway.bench.process import TOKEN, GatewayProcess

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]


@pytest_asyncio.fixture
async def gateway(lend_gateway: LendGateway) -> GatewayProcess:
    return await lend_gateway(rooms=[{"id": "100", "name": "Everyone"}])


@pytest_asyncio.fixture
async def page(gateway: GatewayProcess, tmp_path: Path) -> AsyncIterator[Page]:
    """Give Ann's page in the room with the chat open; at the end its browser may not have complained."""
    browser = Chromium(marks.ANN, tmp_path)
    page = await browser.begin()
    page.set_default_timeout(WAIT)
    await page.goto(f"{gateway.url}/r/100?name=Ann&join=1")
    await in_room(page)
    await page.keyboard.press("c")
    yield page
    await browser.stop()
    assert browser.complaints == []


async def write(page: Page, text: str) -> None:
    await page.locator("#chat-field").fill(text)
    await page.locator("#chat-field").press("Enter")


async def messages(gateway: GatewayProcess) -> list[tuple[str, str]]:
    """Return names and texts of the room's chat, by the API."""
    async with httpx.AsyncClient(verify=False, headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        answer = await client.get(f"{gateway.url}/api/v1/rooms/100/messages")
        return [(message["name"], message["text"]) for message in answer.json()["messages"]]


async def until_said(gateway: GatewayProcess, name: str, text: str) -> None:
    for _ in range(150):
        if (name, text) in await messages(gateway):
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"wanted {text!r} of {name}, found {await messages(gateway)}")


async def test_a_text_telephone_and_a_browser_read_each_other(gateway: GatewayProcess, page: Page) -> None:
    telephone = TextPhone("Tom")
    await telephone.dial("127.0.0.1", gateway.udp, "100")
    try:
        await telephone.write("Hello Ann, grüß dixx\b\bch\u2028")
        await expect(page.locator(".message:not(.own) .message-text")).to_have_text(["Hello Ann, grüß dich"])
        await expect(page.locator(".message:not(.own) .message-name")).to_have_text(["Tom"])
        await write(page, "Hello Tom €")
        await telephone.reads("Ann: Hello Tom €\u2028")
        await telephone.write("and one without an end")
        await expect(page.locator(".message:not(.own) .message-text")).to_have_count(2)
        assert "Tom:" not in telephone.read
    finally:
        await telephone.stop()


async def test_baresip_writes_messages_and_reads_them(gateway: GatewayProcess, page: Page, tmp_path: Path) -> None:
    baresip = Baresip(marks.BOB, tmp_path, video=False)
    baresip.configure()
    room = f"sip:100@127.0.0.1:{gateway.udp}"
    with (baresip.directory / "config").open("a") as config:
        config.write("module_app contact.so\n")
    (baresip.directory / "contacts").write_text(f'"Room" <{room}>\n')
    await baresip.begin()
    try:
        await baresip.dial(room)
        await baresip.write("/message Hello from a telephone")
        await until_said(gateway, "Bob", "Hello from a telephone")
        await expect(page.locator(".message:not(.own) .message-text")).to_have_text(["Hello from a telephone"])
        await write(page, "Hello telephone")
        await baresip.expect("Ann: Hello telephone", 30)
        await baresip.hang_up()
        await baresip.write("/message From outside")
        await baresip.expect("403|Forbidden", 30)
        assert ("Bob", "From outside") not in await messages(gateway)
    finally:
        await baresip.stop()


@pytest.mark.parametrize("way", [(), ("bundle",)], ids=["alone", "bundled"])
async def test_linphone_with_real_time_text_and_a_browser_read_each_other(
    gateway: GatewayProcess, page: Page, tmp_path: Path, way: tuple[str, ...]
) -> None:
    linphone = Program("linphone with text")
    room = f"sip:100@127.0.0.1:{gateway.udp}"
    command = [sys.executable, linphone_text.__file__, str(tmp_path), str(free_port()), "Lin", room, *way]
    await linphone.start(command, tmp_path)
    try:
        await linphone.expect("running", 30)
        for number in range(1, 16):  # what is typed before the handshake is over reaches nobody
            said = f"Hello number {number} from linphone"
            await linphone.write(said)
            for _ in range(10):
                await asyncio.sleep(0.3)
                if ("Lin", said) in await messages(gateway):
                    break
            else:
                continue
            break
        await until_said(gateway, "Lin", said)
        await expect(page.locator(".message:not(.own) .message-text").last).to_have_text(said)
        await write(page, "Hello linphone, grüß dich")
        await linphone.expect("read: \ufeff?Ann: Hello linphone, grüß dich\n", 30)
    finally:
        await linphone.stop()
