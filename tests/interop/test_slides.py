"""Slides through the running gateway: from a SIP terminal and from callgen323 by H.239, to all kinds of others.

callgen323 shares only after it was shown slides itself, once, some seconds after its call began.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import house
import marks
import numpy as np
import pytest
import seeing
from peers import callgen
from peers.callgen import Callgen
from peers.chromium import Chromium
from peers.ours import Terminal
from peers.presenter import Presenter
from PIL import Image
from starting import StartGateway

from gateway.bench import clip
from gateway.bench.legs import RtpSocket
from gateway.bench.process import GatewayProcess

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]
SLIDES = marks.GUS.code
"""The stripe that slides show; nobody of these tests has it as a picture."""
DELAY = 24
"""Seconds after which callgen323 shares: the slides of others have come and gone by then."""
BARS = 4
"""Hues of NTSC bars that must be seen, of six."""


def filmed(code: int, width: int = 640, height: int = 360) -> clip.Clip:
    return clip.encode(code, width, height, marks.FRAME_RATE, 600_000)


async def streams(gateway: GatewayProcess, name: str) -> dict[str, Any]:
    """Return a participant's video streams by role."""
    (one,) = [one for one in await gateway.participants() if one["name"] == name]
    found = await house.ask(gateway, "GET", f"/rooms/100/participants/{one['id']}")
    return {stream["role"]: stream for stream in found["streams"] if stream["kind"] == "video"}


async def presenter(gateway: GatewayProcess) -> str | None:
    """Return the name of who presents."""
    room = await house.ask(gateway, "GET", "/rooms/100")
    return next((one["name"] for one in await gateway.participants() if one["id"] == room["presenter"]), None)


async def comes(what: Callable[[], Awaitable[Any]], seconds: float = 15.0) -> Any:
    """Wait until something is true, and return it. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not (found := await what()):
            await asyncio.sleep(0.3)
        return found


class Eye:
    """Looks at what comes on a terminal's line, piece by piece, beside the loop: it takes long where the machine is
    busy, and the tests' terminals are to go on."""

    def __init__(self, line: RtpSocket) -> None:
        self._line = line
        self._watcher = seeing.Watcher()

    async def codes(self) -> set[int]:
        """Return the codes in what came since the last look."""
        packets = [packet for packet in self._line.kept if packet.data[1] & 0x7F == 96]
        self._line.kept.clear()
        before = len(self._watcher.seen)
        await asyncio.to_thread(self._watcher.watch, packets, 3)
        return {code for _, codes in self._watcher.seen[before:] for code in codes}

    async def sees(self, code: int, seconds: float = 40.0) -> None:
        """Wait until a code is seen. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while code not in await self.codes():
                await asyncio.sleep(1)

    async def sees_others(self, code: int, seconds: float = 40.0) -> None:
        """Wait until pictures come without a code. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while not (found := await self.codes()) or code in found:
                await asyncio.sleep(1)


def hues(image: Image.Image) -> set[int]:
    """Return the well coloured hues of a picture in six sectors: bars of colour show most of them, gray clips none."""
    hsv = np.asarray(image.convert("HSV")).reshape(-1, 3)
    strong = hsv[(hsv[:, 1] > 110) & (hsv[:, 2] > 90)]
    counts = np.bincount(((strong[:, 0].astype(int) + 21) // 43) % 6, minlength=6)
    return {int(sector) for sector in np.flatnonzero(counts > 0.01 * len(hsv))}


async def test_slides_of_a_sip_terminal_reach_second_streams_and_stand_in_the_others_pictures(
    start_gateway: StartGateway, tmp_path: Path
) -> None:
    gateway = await start_gateway()
    async with AsyncExitStack() as stack:
        ann = Presenter(marks.ANN, filmed(marks.ANN.code), filmed(SLIDES, 1280, 720))
        bob = Presenter(marks.BOB, filmed(marks.BOB.code), filmed(marks.FAY.code))
        cleo = Terminal(marks.CLEO, filmed(marks.CLEO.code))
        for each in (ann, bob, cleo):
            stack.push_async_callback(each.hang_up)
            await each.dial("127.0.0.1", gateway.udp, "100")
        web = Chromium(marks.DAN, tmp_path)
        stack.push_async_callback(web.stop)
        page = await web.begin()
        await web.join(gateway.url, "100")
        await house.holds(gateway, 4)
        assert await presenter(gateway) is None

        ann.share()

        async def ann_presents() -> bool:
            return await presenter(gateway) == "Ann"

        await comes(ann_presents)
        await Eye(bob.screen).sees(SLIDES)
        eye = Eye(cleo.picture)
        await eye.sees(SLIDES)
        assert SLIDES not in await Eye(bob.picture).codes()
        assert SLIDES not in await Eye(ann.picture).codes()
        assert not ann.screen.kept

        async def seen_by_browser() -> bool:
            return SLIDES in await web.sees()

        await comes(seen_by_browser, 40)  # its path takes little at first where the machine is busy
        assert await page.locator(".person .mark.slides:not([hidden])").count() == 1

        async def nobody_presents() -> bool:
            return await presenter(gateway) is None

        await ann.stop_sharing()
        await comes(nobody_presents)
        await eye.sees_others(SLIDES)
        assert await page.locator(".person .mark.slides:not([hidden])").count() == 0
        # What listens for the test's tones in the page is of an old kind, which Chromium warns of.
        assert [said for said in web.complaints if "ScriptProcessorNode is deprecated" not in said] == []


@callgen.needed
async def test_h239_both_ways_with_callgen323(start_gateway: StartGateway, tmp_path: Path) -> None:
    gateway = await start_gateway()
    async with AsyncExitStack() as stack:
        bob = Presenter(marks.BOB, filmed(marks.BOB.code), filmed(SLIDES))
        cleo = Terminal(marks.CLEO, filmed(marks.CLEO.code))
        for each in (bob, cleo):
            stack.push_async_callback(each.hang_up)
            await each.dial("127.0.0.1", gateway.udp, "100")
        web = Chromium(marks.DAN, tmp_path)
        stack.push_async_callback(web.stop)
        page = await web.begin()
        await web.join(gateway.url, "100")
        bob.share()
        pattern = ("--h239enable", "--h239videopattern", "Fake/NTSCTest", "--h239delay", str(DELAY))
        ann = Callgen(marks.ANN, tmp_path, video="H.264", options=pattern)
        stack.push_async_callback(ann.hang_up)
        await ann.dial(f"100@127.0.0.1:{gateway.h323}", 80)
        await house.holds(gateway, 4)

        async def ann_is_shown() -> Any:
            found = (await streams(gateway, "Ann")).get("slides")
            return found if found is not None and found["frames_out"] > 10 else None

        shown = await comes(ann_is_shown)
        assert shown["packets_out"] > 10
        await bob.stop_sharing()

        async def ann_presents() -> bool:
            return await presenter(gateway) == "Ann"

        await comes(ann_presents, DELAY + 10)

        async def slides_come() -> Any:
            found = (await streams(gateway, "Ann"))["slides"]
            return found if found["frames_in"] > 10 else None

        shared = await comes(slides_come)
        before = sum(bob.slides().sizes.values())
        await asyncio.sleep(5)
        shot = Image.open(io.BytesIO(await page.screenshot()))
        shot.save(tmp_path / "h239.png")
        assert sum(bob.slides().sizes.values()) > before + 5, shared
        assert len(hues(shot)) >= BARS, hues(shot)
        await ann.hang_up()

        async def nobody_presents() -> bool:
            return await presenter(gateway) is None

        await comes(nobody_presents)
