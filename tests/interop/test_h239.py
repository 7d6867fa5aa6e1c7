"""H.239 with callgen323: its slides reach another terminal's second stream, and stand in the picture of who has none."""

from __future__ import annotations

import asyncio
import io
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import house
import marks
import numpy as np
import pytest
from peers import callgen
from peers.callgen import Callgen
from peers.chromium import Chromium
from peers.ours import Terminal
from PIL import Image
from starting import StartGateway

from gateway.bench import clip
from gateway.bench.process import GatewayProcess

pytestmark = [pytest.mark.interop, pytest.mark.timeout(150), callgen.needed]
SLIDES = ("--h239enable", "--h239videopattern", "Fake/NTSCTest")
"""Slides of callgen323's: colour bars, which no camera of these tests shows."""
OUTBOUND = {"rules": [{"roles": ["api"]}]}
BARS = 4
"""Bars of clearly different colour that must be seen, of seven."""


async def streams(gateway: GatewayProcess, name: str) -> dict[str, Any]:
    """Return a participant's video streams by role."""
    (one,) = [one for one in await gateway.participants() if one["name"] == name]
    found = await house.ask(gateway, "GET", f"/rooms/100/participants/{one['id']}")
    return {stream["role"]: stream for stream in found["streams"] if stream["kind"] == "video"}


async def until(gateway: GatewayProcess, name: str, role: str, field: str, least: int, seconds: float = 20.0) -> Any:
    """Wait until a counter of a stream has reached something. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while True:
            found = (await streams(gateway, name)).get(role)
            if found is not None and found[field] >= least:
                return found
            await asyncio.sleep(0.3)


async def presenter(gateway: GatewayProcess) -> str | None:
    """Return the name of who presents."""
    room = await house.ask(gateway, "GET", "/rooms/100")
    return next((one["name"] for one in await gateway.participants() if one["id"] == room["presenter"]), None)


def hues(image: Image.Image) -> set[int]:
    """Return the well coloured hues of a picture in six sectors: bars of colour show most of them, a room does not."""
    hsv = np.asarray(image.convert("HSV")).reshape(-1, 3)
    strong = hsv[(hsv[:, 1] > 110) & (hsv[:, 2] > 90)]
    sectors = ((strong[:, 0].astype(int) + 21) // 43) % 6
    counts = np.bincount(sectors, minlength=6)
    return {int(sector) for sector in np.flatnonzero(counts > 0.01 * len(hsv))}


async def test_slides_reach_a_second_stream_a_one_stream_terminal_and_a_browser(
    start_gateway: StartGateway, tmp_path: Path
) -> None:
    gateway = await start_gateway(outbound=OUTBOUND)
    async with AsyncExitStack() as stack:
        terminal = Terminal(marks.CLEO, clip.encode(marks.CLEO.code, 640, 360, marks.FRAME_RATE, 600_000))
        stack.push_async_callback(terminal.hang_up)
        await terminal.dial("127.0.0.1", gateway.udp, "100")
        bob = Callgen(marks.BOB, tmp_path, video="H.264", options=("--h239enable",))
        stack.push_async_callback(bob.hang_up)
        await bob.listen()
        await house.call(gateway, f"h323:127.0.0.1:{bob.port}", "Bob")
        web = Chromium(marks.DAN, tmp_path)
        stack.push_async_callback(web.stop)
        page = await web.begin()
        await web.join(gateway.url, "100")
        before = hues(Image.open(io.BytesIO(await page.screenshot())))
        ann = Callgen(marks.ANN, tmp_path, video="H.264", options=SLIDES)
        stack.push_async_callback(ann.hang_up)
        await ann.dial(f"100@127.0.0.1:{gateway.h323}")
        await house.holds(gateway, 4)

        shared = await until(gateway, "Ann", "slides", "frames_in", 20)
        assert await presenter(gateway) == "Ann"
        assert (await streams(gateway, "Ann"))["main"]["frames_in"] > 0
        received = await until(gateway, "Bob", "slides", "frames_out", 20)
        assert received["codec_out"] != ""
        assert await bob.traces(r"H239.*|H\.239.*")
        print(shared, received)
        await asyncio.sleep(4)
        shot = Image.open(io.BytesIO(await page.screenshot()))
        shot.save(tmp_path / "browser.png")
        seen = terminal.saw(seconds=3)
        assert seen.sizes
        assert len(hues(shot)) >= BARS > len(before), (hues(shot), before)

        await ann.hang_up()
        await house.holds(gateway, 3)
        assert await presenter(gateway) is None
