"""The echo room: a browser and a terminal with picture are in it at once, and each meets itself alone."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import hearing
import marks
import party
import pytest
from peers.chromium import Chromium
from peers.ours import Terminal
from starting import StartGateway

from gateway.bench import clip

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]
ROOMS = [{"id": "100"}, {"id": "echo", "name": "Echo test", "mode": "echo", "aliases": ["9196"]}]
ARTIFACTS = Path(__file__).parents[2] / "artifacts"


async def test_a_browser_and_a_terminal_hear_see_and_read_of_themselves_alone(
    start_gateway: StartGateway, tmp_path: Path
) -> None:
    gateway = await start_gateway(rooms=ROOMS)
    async with AsyncExitStack() as stack:
        browser = Chromium(marks.EVE, tmp_path)
        stack.push_async_callback(browser.stop)
        await browser.begin()
        terminal = Terminal(marks.ANN, clip.encode(marks.ANN.code, 640, 360, 15, 500_000))
        stack.push_async_callback(terminal.hang_up)
        await terminal.dial("127.0.0.1", gateway.udp, "9196")
        await browser.join(gateway.url, "echo")
        assert len(await gateway.participants("echo")) == 2
        seen: set[int] = set()
        async with asyncio.timeout(60):
            while marks.EVE.code not in seen:
                seen |= await browser.sees()
                await asyncio.sleep(0.3)
        # A burst of each falls into these seconds: the other would hear it.
        await party.assert_comes_to_hear("chromium", browser.heard, marks.EVE)
        await party.assert_comes_to_hear("ours", terminal.heard, marks.ANN)
        await asyncio.sleep(party.LISTENED)
        seen |= await browser.sees()
        assert seen == {marks.EVE.code}
        assert await terminal.sees() == {marks.ANN.code}
        for (samples, rate), own, other in (
            (await browser.heard(), marks.EVE, marks.ANN),
            (terminal.heard(), marks.ANN, marks.EVE),
        ):
            found = hearing.heard(samples, rate, [own.tone, other.tone])
            assert found[own.tone] > 0.8, found
            assert found[other.tone] == 0, found
        page = browser.page
        assert page is not None
        ARTIFACTS.mkdir(exist_ok=True)
        await page.screenshot(path=ARTIFACTS / "echo-room.png")
        text = await page.inner_text("body")
        assert marks.ANN.name not in text, "the page tells of the other one in the room"
        assert not [said for said in browser.complaints if said.startswith("error")], browser.complaints
