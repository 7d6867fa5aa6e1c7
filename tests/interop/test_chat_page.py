"""The chat of the page in headless Chromium against a real gateway: two browsers write to each other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import marks
import pytest
import pytest_asyncio
from peers.chromium import Chromium
from playwright.async_api import Page, expect
from starting import LendGateway
from test_browser_page import PHONE, WAIT, in_room, shoot

from gateway.bench.process import GatewayProcess

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]

EVIL = "<img src=x onerror=\"document.title='owned'\"><b>bold</b>"


@pytest_asyncio.fixture
async def gateway(lend_gateway: LendGateway) -> GatewayProcess:
    return await lend_gateway(rooms=[{"id": "100", "name": "Everyone"}])


@pytest_asyncio.fixture
async def pages(gateway: GatewayProcess, tmp_path: Path) -> AsyncIterator[tuple[Page, Page]]:
    """Give the pages of Ann and Bob, both in the room; at the end neither browser may have complained."""
    browsers = [Chromium(mark, tmp_path) for mark in (marks.ANN, marks.BOB)]
    opened = []
    for browser in browsers:
        page = await browser.begin()
        page.set_default_timeout(WAIT)
        await page.goto(f"{gateway.url}/r/100?name={browser.mark.name}&join=1")
        await in_room(page)
        opened.append(page)
    yield opened[0], opened[1]
    for browser in browsers:
        await browser.stop()
        # A network that was turned off is noted on the console by the browser itself.
        assert [each for each in browser.complaints if "ERR_INTERNET_DISCONNECTED" not in each] == []


async def write(page: Page, text: str) -> None:
    field = page.get_by_role("textbox", name="Message to everybody")
    await field.fill(text)
    await field.press("Enter")
    await expect(field).to_have_value("")


async def test_two_browsers_write_to_each_other(pages: tuple[Page, Page]) -> None:
    ann, bob = pages
    await ann.keyboard.press("c")
    await expect(ann.get_by_role("textbox", name="Message to everybody")).to_be_focused()
    await expect(ann.get_by_role("button", name="Chat", exact=True)).to_have_attribute("aria-expanded", "true")
    await expect(ann.locator("#chat-empty")).to_be_visible()
    await write(ann, "Hello, can you all hear me?")
    await expect(ann.locator(".message.own .message-text")).to_have_text("Hello, can you all hear me?")

    # Bob, who looks at the people, is told and sees how many he has not read.
    await expect(bob.locator("#toasts")).to_contain_text("Ann: Hello, can you all hear me?")
    await write(ann, EVIL)
    await expect(bob.get_by_role("button", name="Chat, 2 unread")).to_be_visible()
    await shoot(bob, "chat-unread")
    await bob.get_by_role("button", name="Chat, 2 unread").click()
    await expect(bob.get_by_role("button", name="Chat", exact=True)).to_be_visible()
    log = bob.get_by_role("log", name="Chat")
    await expect(log.locator(".message")).to_have_count(2)
    assert await log.locator(".message-text").nth(1).text_content() == EVIL
    assert await bob.locator("#chat-list img, #chat-list b").count() == 0
    assert "owned" not in await bob.title()

    # Lines, links, and whose message it is.
    field = bob.get_by_role("textbox", name="Message to everybody")
    await field.fill("Yes. The plan is at https://example.com/plan?a=1&b=2.")
    await field.press("Shift+Enter")
    await field.type("javascript:alert(1) is no link")
    await field.press("Enter")
    message = ann.locator(".message:not(.own)")
    await expect(message.locator(".message-name")).to_have_text("Bob")
    link = message.get_by_role("link")
    assert await link.get_attribute("href") == "https://example.com/plan?a=1&b=2"
    assert await link.get_attribute("rel") == "noopener noreferrer"
    assert await message.get_by_role("link").count() == 1
    assert "\n" in (await message.locator(".message-text").text_content() or "")
    assert await message.locator("time").get_attribute("datetime")

    for number in range(4):
        await write(ann, f"Another line, number {number}, that is long enough to need more than one row of the panel")
    await expect(log.locator(".message")).to_have_count(7)
    at_end = "() => { const l = document.getElementById('chat-list');"
    at_end += " return l.scrollHeight - l.scrollTop - l.clientHeight < 3; }"
    await bob.wait_for_function(at_end)
    await shoot(ann, "chat")
    await shoot(bob, "chat-other")

    # Escape closes and gives the focus back; letters typed in the field are no shortcuts.
    await field.fill("mute")
    assert await bob.get_by_role("button", name="Mute").count() == 1
    await field.press("Escape")
    await expect(bob.locator("#chat")).to_be_hidden()
    await expect(bob.get_by_role("button", name="Chat", exact=True)).to_be_focused()


async def test_who_comes_later_or_comes_back_reads_what_was_written_once(
    gateway: GatewayProcess, pages: tuple[Page, Page]
) -> None:
    ann, bob = pages
    await ann.keyboard.press("c")
    await write(ann, "Before")
    await bob.reload()
    await in_room(bob)
    await expect(bob.get_by_role("button", name="Chat, 1 unread")).to_be_visible()
    await bob.keyboard.press("c")
    await expect(bob.locator(".message-text")).to_have_text(["Before"])
    # A socket that breaks brings the history again; nothing stands there twice.
    await bob.context.set_offline(True)
    await bob.evaluate("dispatchEvent(new Event('offline'))")
    await expect(bob.locator("#room-link-text")).to_have_text("Reconnecting", timeout=30_000)
    await bob.locator("#chat-field").fill("Too soon")
    await bob.locator("#chat-field").press("Enter")
    await expect(bob.locator("#chat-problem")).to_contain_text("Not connected")
    await write(ann, "Meanwhile")
    await bob.context.set_offline(False)
    await in_room(bob)
    await expect(bob.locator(".message-text")).to_have_text(["Before", "Meanwhile"])
    await bob.locator("#chat-field").press("Enter")
    await expect(ann.locator(".message:not(.own) .message-text")).to_have_text("Too soon")


async def test_who_writes_too_much_gets_its_text_back(pages: tuple[Page, Page]) -> None:
    ann, _ = pages
    await ann.set_viewport_size(PHONE)  # type: ignore[arg-type]
    await ann.get_by_role("button", name="Chat", exact=True).click()
    field = ann.locator("#chat-field")
    for number in range(12):
        await field.fill(f"Message {number}")
        await field.press("Enter")
    await expect(ann.locator("#chat-problem")).to_contain_text("Too many messages")
    assert (await field.input_value()).startswith("Message")
    await shoot(ann, "chat-refused")
