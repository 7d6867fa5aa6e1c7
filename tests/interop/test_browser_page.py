"""The page that people join by, in headless Chromium against a real gateway: seen, heard, typed and read aloud."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import marks
import pytest
import pytest_asyncio
from peers.chromium import Chromium
from peers.ours import Terminal
from playwright.async_api import BrowserContext, Page, async_playwright, expect
from starting import LendGateway, StartGateway

from gateway.bench import clip
from gateway.bench.process import TOKEN, GatewayProcess

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]

OpenPage = Callable[..., Awaitable[Page]]

ARTIFACTS = Path(__file__).parents[2] / "artifacts"
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
ROOMS = [
    {"id": "100", "name": "Everyone"},
    {"id": "200", "name": "Board room", "guest_pin": "1234"},
    {"id": "300", "name": "Cell", "max_participants": 1},
]
WAIT = 30_000
"""ms that anything on the page may take on a busy machine."""
expect.set_options(timeout=WAIT)

_NOTE_SOCKETS = """
window.sockets = [];
const Socket = window.WebSocket;
window.WebSocket = class extends Socket {
  constructor(...given) { super(...given); window.sockets.push(this); }
};
"""

_TELL_SILENCED = """
const play = HTMLMediaElement.prototype.play;
HTMLMediaElement.prototype.play = function () {
  const playing = play.call(this);
  playing.catch((error) => error.name === "NotAllowedError" && console.info("held back"));
  return playing;
};
"""

_KEEP_NOTICES = """
() => {
  window.notices = [];
  const toasts = document.getElementById("toasts");
  new MutationObserver(() => window.notices.push(toasts.textContent)).observe(toasts, {childList: true});
}
"""

_LEVEL = 'Number(document.getElementById("level").style.getPropertyValue("--level"))'

_NAMELESS = """
() => [...document.querySelectorAll("button, input, select, video, [role=meter]")]
  .filter((one) => one.checkVisibility())
  .filter((one) => !(one.getAttribute("aria-label") || one.labels?.length || one.textContent.trim()))
  .map((one) => one.outerHTML)
"""


@pytest_asyncio.fixture
async def gateway(lend_gateway: LendGateway) -> GatewayProcess:
    """Lend a gateway with an open room, one with a PIN and one for a single participant."""
    return await lend_gateway(rooms=ROOMS)


@pytest_asyncio.fixture
async def open_page(tmp_path: Path) -> AsyncIterator[OpenPage]:
    """Give a function that opens a browser with an empty page; at the end no browser may have complained."""
    browsers: list[Chromium] = []

    async def start(mark: marks.Mark = marks.ANN) -> Page:
        browser = Chromium(mark, tmp_path)
        browsers.append(browser)
        page = await browser.begin()
        page.set_default_timeout(WAIT)
        await page.add_init_script(_NOTE_SOCKETS)
        return page

    yield start
    for browser in browsers:
        await browser.stop()
        # A gateway that is down while it restarts is noted on the console by the browser itself.
        assert [each for each in browser.complaints if "ERR_CONNECTION_REFUSED" not in each] == []


@asynccontextmanager
async def plain_browser(*permissions: str) -> AsyncIterator[BrowserContext]:
    """Open a browser that has devices but asks for them, and that plays sound only after a gesture."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--use-fake-device-for-media-stream",
                "--allow-loopback-in-peer-connection",
                "--disable-features=WebRtcHideLocalIpsWithMdns",
                "--autoplay-policy=document-user-activation-required",
            ],
        )
        yield await browser.new_context(ignore_https_errors=True, permissions=list(permissions))
        await browser.close()


async def shoot(page: Page, name: str) -> None:
    """Keep screenshots at a desk's and at a phone's size."""
    ARTIFACTS.mkdir(exist_ok=True)
    for size, suffix in ((PHONE, "phone"), (DESKTOP, "desktop")):
        await page.set_viewport_size(size)  # type: ignore[arg-type]
        await page.wait_for_timeout(400)
        await page.screenshot(path=ARTIFACTS / f"{name}-{suffix}.png")
        wider = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wider <= 0, f"{name} is {wider} px wider than a {suffix}"


async def in_room(page: Page) -> None:
    """Wait until the page shows the room and its picture moves."""
    await expect(page.locator("#room-link-text")).to_have_text("Connected", timeout=WAIT)
    await moves(page, "#picture")


async def moves(page: Page, video: str) -> None:
    """Wait until a video shows new frames."""
    before = await page.evaluate(f'document.querySelector("{video}").currentTime')
    await page.wait_for_function(
        f'(before) => {{ const one = document.querySelector("{video}");'
        " return one.videoWidth && one.currentTime > before + 0.3; }",
        arg=before,
        timeout=WAIT,
    )


async def noticed(page: Page, text: str) -> None:
    """Wait until the page has shown a notice."""
    await page.wait_for_function(
        "(text) => window.notices.some((shown) => shown.includes(text))", arg=text, timeout=WAIT
    )


async def becomes(gateway: GatewayProcess, **wanted: Any) -> dict[str, Any]:
    """Wait until the room's only participant is as wanted for the API, and return it."""
    return await _only(gateway, lambda one: all(one[key] == value for key, value in wanted.items()), str(wanted))


async def _only(gateway: GatewayProcess, right: Callable[[dict[str, Any]], bool], told: str) -> dict[str, Any]:
    people: list[dict[str, Any]] = []
    for _ in range(100):
        people = await gateway.participants()
        if len(people) == 1 and right(people[0]):
            return people[0]
        await asyncio.sleep(0.1)
    raise AssertionError(f"wanted one participant with {told}, found {people}")


async def test_the_join_page_shows_camera_and_level(gateway: GatewayProcess, open_page: OpenPage) -> None:
    page = await open_page()
    await page.goto(f"{gateway.url}/r/100?name=Ann")
    await moves(page, "#preview-video")
    levels = [await page.evaluate(_LEVEL) for _ in range(40) if not await page.wait_for_timeout(100)]
    assert max(levels) > 0.5, levels
    assert min(levels) < max(levels) / 2, levels
    assert int(await page.get_by_role("meter", name="Microphone level").get_attribute("aria-valuenow") or "") >= 0
    await shoot(page, "join")

    await page.get_by_role("button", name="Mute").click()
    await page.wait_for_function(f"() => {_LEVEL} === 0")
    await page.get_by_role("button", name="Stop camera").click()
    await expect(page.locator("#preview-note")).to_have_text("Camera is off")
    await page.emulate_media(color_scheme="dark")
    await shoot(page, "join-dark")


async def test_every_control_has_a_name(gateway: GatewayProcess, open_page: OpenPage) -> None:
    page = await open_page()
    await page.goto(f"{gateway.url}/r/100?name=Ann")
    await moves(page, "#preview-video")
    assert await page.evaluate(_NAMELESS) == []
    tree = await page.get_by_role("main").aria_snapshot()
    for control in ('heading "Join room 100"', 'textbox "Room"', 'textbox "Your name"', 'combobox "Camera"',
                    'combobox "Microphone"', 'button "Mute"', 'button "Stop camera"', 'button "Join"'):  # fmt: skip
        assert control in tree, tree

    await page.get_by_role("button", name="Join").click()
    await in_room(page)
    assert await page.evaluate(_NAMELESS) == []
    for role, name in (("group", "Meeting controls"), ("complementary", "People 1"), ("main", "Picture of the room")):
        await expect(page.get_by_role(role, name=name)).to_have_count(1)  # type: ignore[arg-type]
    bar = await page.get_by_role("group", name="Meeting controls").aria_snapshot()
    for name in ("Mute", "Stop camera", "People (1)", "Full screen", "Settings", "Leave"):
        assert f'button "{name}"' in bar, bar
    await page.get_by_role("button", name="Settings").click()
    dialog = page.get_by_role("dialog", name="Settings")
    await expect(dialog.get_by_role("combobox", name="Camera")).to_be_focused()
    assert await page.evaluate(_NAMELESS) == []
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("button", name="Settings")).to_be_focused()


async def test_a_meeting_can_be_held_by_keyboard_alone(gateway: GatewayProcess, open_page: OpenPage) -> None:
    page = await open_page()
    await page.goto(f"{gateway.url}/")
    await expect(page.get_by_label("Room", exact=True)).to_be_focused()
    await moves(page, "#preview-video")
    await page.keyboard.press("Enter")
    await expect(page.locator("#room-problem")).to_contain_text("Enter the room")
    await page.keyboard.type("100")
    await page.keyboard.press("Tab")
    await page.keyboard.type("Ann Marvel")
    await page.keyboard.press("Enter")
    await in_room(page)
    assert page.url == f"{gateway.url}/r/100"
    await expect(page.get_by_role("heading", name="Everyone")).to_be_focused()
    await expect(page.locator("#people-list")).to_contain_text("Ann Marvel (you)")
    await becomes(gateway, name="Ann Marvel", muted=False, camera_off=False)

    await page.keyboard.press("m")
    await becomes(gateway, muted=True)
    await expect(page.locator("#people-list .microphone-off")).to_be_visible()
    await expect(page.get_by_role("button", name="Unmute")).to_have_count(1)
    await page.keyboard.press("v")
    await becomes(gateway, muted=True, camera_off=True)
    await expect(page.locator("#self")).to_be_hidden()
    await page.keyboard.press("m")
    await page.keyboard.press("v")
    await becomes(gateway, muted=False, camera_off=False)
    await moves(page, "#self-video")
    await page.keyboard.press("f")
    await page.wait_for_function("() => document.fullscreenElement !== null")
    await page.keyboard.press("f")
    await page.wait_for_function("() => document.fullscreenElement === null")

    for _ in range(12):
        await page.keyboard.press("Tab")
        if await page.evaluate("document.activeElement.id") == "leave-button":
            break
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="You left the room")).to_be_focused()
    assert await gateway.participants() == []


async def test_each_refusal_is_explained_where_it_can_be_cured(gateway: GatewayProcess, open_page: OpenPage) -> None:
    page = await open_page()
    await page.goto(f"{gateway.url}/r/999?name=Ann&join=1")
    await expect(page.locator("#room-problem")).to_contain_text("There is no such room")
    room, pin = page.get_by_label("Room", exact=True), page.get_by_label("PIN of the room")
    await expect(room).to_be_focused()
    await expect(room).to_have_attribute("aria-invalid", "true")
    await shoot(page, "no-such-room")

    await room.fill("200")
    await page.keyboard.press("Enter")
    await expect(page.locator("#pin-problem")).to_contain_text("The room asks for a PIN")
    await expect(pin).to_be_focused()
    await pin.fill("4321")
    await page.keyboard.press("Enter")
    await expect(page.locator("#pin-problem")).to_contain_text("The PIN is wrong")
    await pin.fill("1234")
    await page.keyboard.press("Enter")
    await in_room(page)
    await expect(page.get_by_role("heading", name="Board room")).to_be_visible()
    await page.get_by_role("button", name="Leave").click()

    await page.goto(f"{gateway.url}/r/300?name=Ann&join=1")
    await in_room(page)
    late = await open_page(marks.BOB)
    await late.goto(f"{gateway.url}/r/300?name=Bob&join=1")
    await expect(late.get_by_role("alert").filter(has_text="The room is full")).to_be_visible()

    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(verify=False, base_url=gateway.url, headers=headers) as api:
        (one,) = await gateway.participants("300")
        answer = await api.patch(f"/api/v1/rooms/300/participants/{one['id']}", json={"muted": True})
        assert answer.is_success, answer.text
        await expect(page.get_by_role("alert").filter(has_text="A host muted you")).to_be_visible()
        answer = await api.delete(f"/api/v1/rooms/300/participants/{one['id']}")
        assert answer.is_success, answer.text
    await expect(page.get_by_role("heading", name="A host ended your call")).to_be_visible()


async def test_a_denied_camera_is_explained_and_joining_goes_on(gateway: GatewayProcess) -> None:
    async with plain_browser("microphone") as context:
        page = await context.new_page()
        page.set_default_timeout(WAIT)
        await page.goto(f"{gateway.url}/r/100?name=Ann")
        await expect(page.locator("#camera-problem")).to_contain_text("No permission for the camera", timeout=WAIT)
        await expect(page.locator("#microphone-problem")).to_be_empty()
        await page.get_by_role("button", name="Join").click()
        await in_room(page)
        await becomes(gateway, camera_off=True, muted=False)

        # Allowed at last: the camera is added to the running call.
        await context.grant_permissions(["microphone", "camera"])
        await page.get_by_role("button", name="Start camera").click()
        await becomes(gateway, camera_off=False)
        await _only(gateway, lambda one: one["video"]["in"] != "", "a picture that comes in")


async def test_a_cut_websocket_is_mended_and_the_participant_stays(
    gateway: GatewayProcess, open_page: OpenPage
) -> None:
    page = await open_page()
    await page.goto(f"{gateway.url}/r/100?name=Ann&join=1")
    await in_room(page)
    await page.keyboard.press("m")
    before = await becomes(gateway, muted=True)
    others = await open_page(marks.BOB)
    await others.goto(f"{gateway.url}/r/100?name=Bob&join=1")
    await in_room(others)

    await page.evaluate("window.sockets.at(-1).close()")
    await expect(page.get_by_role("alert").filter(has_text="Connection lost")).to_be_visible()
    await page.wait_for_function("() => window.sockets.length === 2")
    await in_room(page)
    await expect(page.locator("#banner")).to_be_hidden()
    await expect(page.locator("#people-list")).to_contain_text("Ann (you)")
    after = {one["name"]: one for one in await gateway.participants()}
    assert after["Ann"]["id"] == before["id"]
    assert after["Ann"]["muted"], "it came back unmuted"
    assert len(after) == 2
    assert not re.search("Ann (left|joined)", await others.locator("#toasts").inner_text())
    await moves(others, "#picture")


async def test_the_page_comes_back_by_itself_when_the_gateway_was_restarted(
    start_gateway: StartGateway, open_page: OpenPage
) -> None:
    gateway = await start_gateway(rooms=ROOMS)
    page = await open_page()
    await page.goto(f"{gateway.url}/r/100?name=Ann&join=1")
    await in_room(page)
    assert await gateway.stop() == 0
    await expect(page.locator("#banner")).to_be_visible()
    await expect(page.locator("#room-link-text")).to_have_text("Reconnecting")
    await shoot(page, "reconnecting")
    await gateway.start()
    await page.get_by_role("button", name="Try now").click()
    await in_room(page)
    await becomes(gateway, name="Ann", muted=False, camera_off=False)


async def test_a_room_that_may_not_sound_yet_is_seen_and_asks_for_a_tap(gateway: GatewayProcess) -> None:
    async with plain_browser() as context:
        page = await context.new_page()
        page.set_default_timeout(WAIT)
        await page.add_init_script(_TELL_SILENCED)
        # Whatever the test does on the page counts as a gesture for the browser: nothing until it was held back.
        async with page.expect_console_message(lambda message: message.text == "held back", timeout=30_000):
            await page.goto(f"{gateway.url}/r/100?name=Ann&join=1")
        await becomes(gateway, muted=True, camera_off=True)
        await expect(page.locator("#hear")).to_be_visible()
        await in_room(page)
        assert await page.evaluate("document.getElementById('picture').muted")
        await page.get_by_role("button", name="Tap to hear the room").click()
        await expect(page.locator("#hear")).to_be_hidden()
        assert not await page.evaluate("document.getElementById('picture').muted")
        await moves(page, "#picture")


async def test_the_room_with_one_and_with_three(gateway: GatewayProcess, open_page: OpenPage) -> None:
    page = await open_page()
    await page.goto(f"{gateway.url}/r/100?name=Ann&join=1")
    await in_room(page)
    await page.evaluate(_KEEP_NOTICES)  # a notice may have gone before a busy machine looks
    await shoot(page, "room-alone")
    terminals = []
    for mark in (marks.BOB, marks.CLEO):
        terminals.append(Terminal(mark, clip.encode(mark.code, 640, 360, marks.FRAME_RATE, 600_000)))
        await terminals[-1].dial(gateway.host, gateway.udp, "100")
    try:
        await expect(page.locator("#people-list > li")).to_have_count(3)
        await noticed(page, "Bob joined")
        await expect(page.locator("#people-list > li.talking").filter(has_text="Bob")).to_be_visible(timeout=WAIT)
        await shoot(page, "room-three")
    finally:
        for terminal in terminals:
            await terminal.hang_up()
    await noticed(page, "Bob left")
    await expect(page.locator("#people-list > li")).to_have_count(1)
