"""Who waits before a room: what it hears and sees meanwhile, and who lets it in from the page or turns it away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import house
import marks
import pytest
from hearing import heard
from peers.chromium import Chromium
from peers.ours import Terminal
from playwright.async_api import expect
from recognising import heard_prompts, holds_part
from starting import StartGateway

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]
PATIENCE = 60.0
"""Seconds for which anything is waited for."""
WAIT = PATIENCE * 1000
"""The same in ms, as pages want it."""
PROMPTS = ("en/waiting-for-host", "en/knocking", "en/admitted", "en/not-admitted", "en/goodbye")
HOST = marks.GUS
"""Its tone is higher than anything in the music."""
PLAYS = """() => !document.querySelector("#lobby-music").paused"""
"""Whether the page plays music."""
BURST = 0.5
"""Seconds of its tone below which it was not heard: its bursts last 0.7, and a look here and there is mistaken."""


async def until(so: Callable[[], bool], what: str) -> None:
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while not so():
        assert asyncio.get_running_loop().time() < deadline, what
        await asyncio.sleep(0.3)


def prompts(phone: Terminal) -> list[str]:
    return [one.name.partition("/")[2] for one in heard_prompts(phone.heard(), PROMPTS)]


def host_heard(phone: Terminal) -> float:
    """Return for how many seconds a phone heard the host's tone."""
    samples, rate = phone.heard()
    return heard(samples, rate, (HOST.tone,))[HOST.tone]


async def test_a_host_lets_one_phone_in_from_its_page_and_turns_another_away(
    start_gateway: StartGateway, tmp_path: Path
) -> None:
    gateway = await start_gateway(rooms=[{"id": "100", "host_pin": "1"}], media={"process": False})
    host, bob, eve = Chromium(HOST, tmp_path), Terminal(marks.BOB), Terminal(marks.EVE)
    try:
        page = await host.begin()
        await page.goto(f"{gateway.url}/r/100?name=Host")
        await page.locator("#pin-show").click()
        await page.locator("#pin-field").fill("1")
        await page.locator("#join-button").click()
        await expect(page.locator("#room-link-text")).to_have_text("Connected", timeout=WAIT)
        await house.ask(gateway, "PATCH", "/rooms/100", {"locked": True})
        await bob.dial("127.0.0.1", gateway.udp, "100")
        await expect(page.locator(".door-name")).to_have_text("Bob", timeout=WAIT)
        await until(lambda: prompts(bob) == ["knocking"], "the phone is told that it knocked")
        await until(lambda: holds_part(bob.heard(), "music/waiting"), "the phone hears music")
        assert host_heard(bob) < BURST
        await eve.dial("127.0.0.1", gateway.udp, "100")
        rows = page.locator(".door-row")
        await expect(rows).to_have_count(2, timeout=WAIT)

        await rows.filter(has_text="Bob").get_by_role("button", name="Admit").click()
        await house.holds(gateway, 2, "100", PATIENCE)
        await until(lambda: host_heard(bob) > 2 * BURST, "the phone hears the host")
        await until(lambda: "admitted" in prompts(bob), "the phone is told that it may come in")

        await rows.filter(has_text="Eve").get_by_role("button", name="Refuse").click()
        assert eve.call is not None
        await asyncio.wait_for(eve.call.ended.wait(), PATIENCE)
        assert prompts(eve)[-2:] == ["not-admitted", "goodbye"]
        assert host_heard(eve) < BURST
        assert "not let in" in eve.call.end_reason
        await expect(page.locator("#door")).to_be_hidden(timeout=WAIT)
        assert host.complaints == []
    finally:
        await asyncio.gather(bob.hang_up(), eve.hang_up())
        await host.stop()


async def hears_music(guest: Chromium) -> None:
    """Wait until a page has played three seconds of the waiting music."""
    async with asyncio.timeout(PATIENCE):
        while not await asyncio.to_thread(holds_part, await guest.heard(), "music/waiting"):
            await asyncio.sleep(1.0)


async def test_a_page_waits_for_the_host_and_comes_in_by_itself(start_gateway: StartGateway, tmp_path: Path) -> None:
    rooms = [{"id": "100", "name": "Everyone", "host_pin": "1", "lobby": True}]
    gateway = await start_gateway(rooms=rooms, media={"process": False})
    guest, host = Chromium(marks.ANN, tmp_path), Terminal(HOST)
    try:
        page = await guest.begin()
        await page.goto(f"{gateway.url}/r/100?name=Guest&join=1")
        await expect(page.locator("#lobby-title")).to_have_text("Waiting for the host", timeout=WAIT)
        await expect(page.locator("#preview-video")).to_be_visible(timeout=WAIT)
        await guest.record()
        music = page.locator("#lobby-music-button")
        await expect(music).to_have_text("Turn the music off", timeout=WAIT)
        await hears_music(guest)
        await music.click()
        await expect(music).to_have_text("Play music while I wait", timeout=WAIT)
        await music.click()
        await page.wait_for_function(PLAYS, timeout=WAIT)
        assert await gateway.participants("100") == []
        (waiting,) = (await house.ask(gateway, "GET", "/rooms/100/waiting"))["waiting"]
        assert (waiting["name"], waiting["stage"], waiting["protocol"]) == ("Guest", "lobby", "webrtc")
        await page.locator("#lobby-host summary").click()
        await page.locator("#lobby-pin").fill("9")
        await page.locator("#lobby-form button").click()
        await expect(page.locator("#lobby-problem")).to_contain_text("The PIN is wrong", timeout=WAIT)

        await host.dial("127.0.0.1", gateway.udp, "100*1")
        await expect(page.locator("#room-link-text")).to_have_text("Connected", timeout=WAIT)
        await house.holds(gateway, 2, "100", PATIENCE)
        await page.wait_for_function(f"!({PLAYS})()", timeout=WAIT)
        ids = [one["id"] for one in await gateway.participants("100")]
        assert waiting["id"] in ids
        await page.locator("#settings-button").click()
        await page.locator("#settings-pin").fill("1")
        await page.locator("#settings-prove").click()
        await expect(page.locator("#settings-host")).to_be_hidden(timeout=WAIT)
        assert {one["rank"] for one in await gateway.participants("100")} == {"host"}
        assert guest.complaints == []
    finally:
        await host.hang_up()
        await guest.stop()
