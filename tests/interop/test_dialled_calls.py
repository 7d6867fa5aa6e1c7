"""A telephone that the gateway calls: it rings, is given up, is busy and called again, is heard, and gives commands."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import hearing
import house
import marks
import pytest
from peers.chromium import Chromium
from peers.ours import Terminal
from peers.pjsua import Pjsua
from playwright.async_api import Page, expect
from recognising import heard_prompts, keys_in
from starting import StartGateway
from test_browser_page import in_room, shoot

from gateway.bench.process import GatewayProcess

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]
ACCOUNTS = [{"user": "cleo", "password": "correct horse"}]
RINGBACK = 425
"""Hz of the ring tone."""
PATIENCE = 60.0
"""Seconds for which anything is waited for on a busy machine."""


async def until(true: Callable[[], Any], what: str) -> Any:
    """Wait until something is so, and return it; what is awaitable is awaited. Raises AssertionError."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while True:
        found = true()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        assert asyncio.get_running_loop().time() < deadline, f"{what}: not within {PATIENCE} s"
        await asyncio.sleep(0.2)


async def registered_phone(gateway: GatewayProcess, stack: AsyncExitStack, directory: Path) -> Pjsua:
    """Return Cleo's phone, which can be called."""
    phone = Pjsua(
        marks.CLEO,
        directory,
        registrar=f"127.0.0.1:{gateway.udp}",
        password="correct horse",
        host="127.0.0.1",
    )
    await phone.start()
    stack.push_async_callback(phone.stop)
    assert (await phone.until_registered(PATIENCE))["registered"]
    return phone


async def becomes(gateway: GatewayProcess, id: str, **wanted: Any) -> dict[str, Any]:
    """Wait until a dialled call is told of so."""

    async def told() -> dict[str, Any] | None:
        one: dict[str, Any] = await house.ask(gateway, "GET", f"/dialled/{id}")
        return one if all(one[name] == value for name, value in wanted.items()) else None

    found: dict[str, Any] = await until(told, f"a dialled call with {wanted}")
    return found


async def test_a_telephone_is_called_given_up_called_again_heard_and_gives_commands(
    start_gateway: StartGateway, tmp_path: Path
) -> None:
    listed = {"target": "user:cleo", "name": "Cleo"}
    room = {"id": "100", "name": "Everyone", "host_pin": "4711", "auto_dial": [listed]}
    gateway = await start_gateway(accounts=ACCOUNTS, rooms=[room])
    async with AsyncExitStack() as stack:
        phone = await registered_phone(gateway, stack, tmp_path)
        bob = Terminal(marks.BOB)
        await bob.dial("127.0.0.1", gateway.udp, "100")
        stack.push_async_callback(bob.hang_up)

        # The room calls it by its list, for Bob has come. It rings, and Bob hears that; then it is given up.
        await phone.until(0, PATIENCE, there=True)
        await phone.do("answer", call=0, status=180)
        (told,) = (await house.ask(gateway, "GET", "/rooms/100/dialled"))["dialled"]
        assert (told["by"], told["name"]) == ("house", "Cleo")
        await becomes(gateway, told["id"], state="ringing")
        await until(lambda: hearing.heard(*bob.heard(), [RINGBACK])[RINGBACK] >= 0.5, "the ring tone")
        await house.ask(gateway, "DELETE", f"/dialled/{told['id']}")
        await phone.until(0, PATIENCE, over=True)
        await becomes(gateway, told["id"], state="cancelled", reason="cancelled")

        # It is busy, is called again by itself, answers and is heard.
        wish = {**listed, "wait": False, "retries": 1, "pause": 1}
        told = await house.ask(gateway, "POST", "/rooms/100/participants", wish)
        await phone.until(1, PATIENCE, there=True)
        await phone.do("answer", call=1, status=486)
        await phone.until(2, PATIENCE, there=True)
        assert (await becomes(gateway, told["id"], number=2))["reason"] == "busy"
        await phone.do("answer", call=2, status=200)
        answered = await becomes(gateway, told["id"], state="answered")
        await phone.until(2, PATIENCE, active=True)
        await phone.sing(2)
        tone = marks.CLEO.tone
        await until(lambda: hearing.heard(*bob.heard(), [tone])[tone] >= 0.8, "Cleo at Bob")

        # It mutes itself by keys, is told so, and Bob hears neither it nor its keys any more.
        async def muted() -> bool:
            people = await gateway.participants()
            return bool(next(one for one in people if one["id"] == answered["participant"])["muted"])

        await phone.do("press", call=2, digits="*6", by_info=False)
        await until(muted, "muted by *6")

        async def told_muted() -> bool:
            return "en/muted" in [one.name for one in heard_prompts(await phone.heard(2), ("en/muted", "en/unmuted"))]

        await until(told_muted, "the prompt")

        def silent() -> bool:
            samples, rate = bob.heard()
            return not any(hearing.heard(samples[-3 * rate :], rate, [tone]).values())

        await until(silent, "Cleo no more at Bob")
        assert keys_in(bob.heard()[0]) == ""
        await phone.do("press", call=2, digits="*6", by_info=True)
        await until(lambda: _not(muted), "unmuted by *6, by INFO")
        await until(lambda: not silent(), "Cleo at Bob again")
    assert "4711" not in gateway.output


async def _not(ask: Callable[[], Any]) -> bool:
    return not await ask()


async def test_a_host_calls_somebody_from_the_page_and_sends_it_elsewhere(
    start_gateway: StartGateway, tmp_path: Path
) -> None:
    rooms = [{"id": "100", "name": "Everyone", "host_pin": "4711", "guest_pin": "1234"}, {"id": "200"}]
    async with AsyncExitStack() as stack:
        landline = Pjsua(marks.DAN, tmp_path)
        await landline.start()
        stack.push_async_callback(landline.stop)
        carrier = {
            "name": "carrier",
            "servers": [(await landline.do("address"))["uri"].rpartition("@")[2]],
            "options_interval": 0,
            "rewrite_out": [{"match": r"\+4930555", "replace": "dan"}],
        }
        rules = [
            {"roles": "host", "rooms": ["100"], "schemes": "tel", "number": r"\+4930\d{3}", "trunk": "carrier"},
            {"roles": "host", "schemes": "sip", "hosts": ["127.0.0.1"]},
        ]
        gateway = await start_gateway(accounts=ACCOUNTS, rooms=rooms, trunks=[carrier], outbound={"rules": rules})
        phone = await registered_phone(gateway, stack, tmp_path)
        browser = Chromium(marks.ANN, tmp_path)
        stack.push_async_callback(browser.stop)
        page = await browser.begin()
        page.set_default_timeout(PATIENCE * 1000)
        expect.set_options(timeout=PATIENCE * 1000)
        await page.goto(f"{gateway.url}/r/100?name=Ann")
        await _join(page, "4711")
        people = page.get_by_role("complementary", name="People 1")
        await people.get_by_role("button", name="Call somebody").click()
        dialog = page.get_by_role("dialog", name="Call somebody")
        field = dialog.get_by_role("textbox", name="Address or number")
        await expect(field).to_be_focused()
        await field.fill("not an address")
        await field.press("Enter")
        await expect(dialog.get_by_role("alert")).to_have_text("This is no address that can be called.")
        await shoot(page, "call-dialog")
        await field.fill("cleo")
        await dialog.get_by_role("textbox", name="Name that the others see").fill("Cleo in the office")
        await dialog.get_by_role("button", name="Call", exact=True).click()

        await phone.until(0, PATIENCE, there=True)
        await phone.do("answer", call=0, status=180)
        row = page.locator(".being-called")
        await expect(row).to_contain_text("Cleo in the office")
        await expect(row).to_contain_text("Ringing…")
        await shoot(page, "calling")
        await row.get_by_role("button", name="Give up calling Cleo in the office").click()
        await phone.until(0, PATIENCE, over=True)
        await expect(row).to_have_count(0)

        for call, status in ((1, 486), (2, 200)):
            await page.get_by_role("button", name="Call somebody").click()
            await field.fill("user:cleo")
            await field.press("Enter")
            await phone.until(call, PATIENCE, there=True)
            await phone.do("answer", call=call, status=status)
            if status == 486:
                await expect(page.locator("#alerts")).to_contain_text("cleo: busy")
        await expect(page.get_by_role("complementary", name="People 2")).to_be_visible()
        star = page.get_by_role("button", name="Show cleo large for everybody")
        for lit in (True, False):
            await star.click()
            await expect(star).to_have_attribute("aria-pressed", str(lit).lower())
            assert bool((await house.ask(gateway, "GET", "/rooms/100"))["spotlight"]) is lit
            await shoot(page, f"spotlight-{lit}")
        await page.get_by_role("button", name="Send cleo elsewhere").click()
        dialog = page.get_by_role("dialog", name="Send cleo elsewhere")
        await dialog.get_by_role("textbox").fill("sip:premium@192.0.2.1")
        await shoot(page, "send-dialog")
        await dialog.get_by_role("button", name="Send").click()
        await expect(page.locator("#alerts")).to_contain_text("The participant was not sent there: not allowed")

        # A telephone rings by way of the carrier, answers and is heard; then it is sent to another one, and calls that.
        await browser.record()
        await page.get_by_role("button", name="Call somebody").click()
        await field.fill("tel:+4930555")
        await field.press("Enter")
        await landline.until(0, PATIENCE, there=True)
        await landline.do("answer", call=0, status=180)
        await expect(row).to_contain_text("Ringing…")
        await landline.do("answer", call=0, status=200)
        await landline.until(0, PATIENCE, active=True)
        await landline.sing(0)

        async def hears_it() -> bool:
            samples, rate = await browser.heard()
            return bool(hearing.heard(samples, rate, [marks.DAN.tone])[marks.DAN.tone] >= 0.8)

        await until(hears_it, "the telephone at the page")
        await page.get_by_role("button", name="Send +4930555 elsewhere").click()
        dialog = page.get_by_role("dialog", name="Send +4930555 elsewhere")
        await dialog.get_by_role("textbox").fill((await phone.do("address"))["uri"])
        await dialog.get_by_role("button", name="Send").click()
        await phone.until(3, PATIENCE, there=True)
        await expect(page.locator("#toasts")).to_contain_text("+4930555 is being sent to sip:cleo@127.0.0.1")
        await shoot(page, "sending")
        await phone.do("answer", call=3, status=200)
        await expect(page.locator("#toasts")).to_contain_text("+4930555 left: transferred")
        await expect(page.get_by_role("complementary", name="People 2")).to_be_visible()
        await shoot(page, "sent")
        await landline.until(0, PATIENCE, over=True)

        await page.get_by_role("button", name="Send cleo elsewhere").click()
        dialog = page.get_by_role("dialog", name="Send cleo elsewhere")
        await dialog.get_by_role("textbox").fill("200")
        await dialog.get_by_role("button", name="Send").click()
        await expect(page.locator("#toasts")).to_contain_text("cleo left: moved to another room")
        await house.holds(gateway, 1, "200", PATIENCE)
        assert not (await phone.do("state", call=2))["over"]
        assert [one for one in browser.complaints if "ScriptProcessor" not in one] == []  # which the test records with


async def _join(page: Page, pin: str) -> None:
    """Join with a PIN, which the page asks for once the gateway does."""
    await page.get_by_role("button", name="Join").click()
    field = page.get_by_label("PIN of the room")
    await field.fill(pin)
    await field.press("Enter")
    await in_room(page)
