"""Our own H.323 terminal in a room with a SIP terminal and Chromium: who hears whom, who sees whom; and loss, keys."""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from pathlib import Path

import house
import marks
import party
import pytest
from peers.chromium import Chromium
from peers.ours import Terminal
from peers.ours323 import Terminal323
from peers.ours_registered import Registered
from starting import LendGateway, StartGateway

from gateway.bench import clip
from gateway.bench.h323_phone import CallRefused
from gateway.reasons import Reason

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]
LOOKING = 60.0


@pytest.mark.parametrize(
    ("tunnelling", "fast"), [(True, False), (False, True)], ids=["slow-tunnelled", "fast-separate"]
)
async def test_h323_sip_and_chromium_hear_and_see_each_other(
    lend_gateway: LendGateway, tmp_path: Path, tunnelling: bool, fast: bool
) -> None:
    """Our terminal asks our gatekeeper for the room and calls where it is told."""
    gateway = await lend_gateway(h323={"gatekeeper": "embedded", "ras": 0})
    told = re.search(r'"ras": (\d+)', gateway.output)
    assert told is not None
    async with AsyncExitStack() as stack:
        registered = await stack.enter_async_context(Registered("Ann", "127.0.0.1", int(told[1])))
        hardware = Terminal323(marks.ANN, clip.encode(marks.ANN.code, 640, 360, marks.FRAME_RATE, 600_000))
        stack.push_async_callback(hardware.hang_up)
        terminal = Terminal(marks.BOB, clip.encode(marks.BOB.code, 640, 360, marks.FRAME_RATE, 600_000))
        stack.push_async_callback(terminal.hang_up)
        browser = Chromium(marks.EVE, tmp_path)
        stack.push_async_callback(browser.stop)
        await browser.begin()
        where = await registered.admitted("100")
        assert where.port == gateway.h323
        await hardware.dial(where.host, where.port, "100", tunnelling, fast)
        await terminal.dial("127.0.0.1", gateway.udp, "100")
        await browser.join(gateway.url, "100")
        await house.holds(gateway, 3)
        assert sorted(one["protocol"] for one in await gateway.participants()) == ["h323", "sip", "webrtc"]
        watchers = {
            "h323": (marks.ANN, hardware.sees),
            "sip": (marks.BOB, terminal.sees),
            "chromium": (marks.EVE, browser.sees),
        }
        await party.assert_all_see(watchers, LOOKING)
        everyone = (hardware, terminal, browser)
        await party.assert_all_hear({one.mark.name: (one.mark, one.heard) for one in everyone})
        await hardware.hang_up()
        await house.holds(gateway, 2)


async def _sees(watcher: Terminal | Terminal323, other: marks.Mark) -> None:
    """Wait until somebody's picture stands in what was received since it was last cleared."""
    async with asyncio.timeout(60):
        while other.code not in watcher.saw(every=2).codes(least=1):
            await asyncio.sleep(0.5)


async def test_a_lost_key_frame_is_asked_for_and_sent_again(lend_gateway: LendGateway) -> None:
    gateway = await lend_gateway()
    async with AsyncExitStack() as stack:
        hardware = Terminal323(marks.ANN, clip.encode(marks.ANN.code, 640, 360, marks.FRAME_RATE, 600_000))
        stack.push_async_callback(hardware.hang_up)
        terminal = Terminal(marks.BOB, clip.encode(marks.BOB.code, 640, 360, marks.FRAME_RATE, 600_000))
        stack.push_async_callback(terminal.hang_up)
        await hardware.dial("127.0.0.1", gateway.h323, "100")
        await terminal.dial("127.0.0.1", gateway.udp, "100")
        await _sees(hardware, marks.BOB)
        await _sees(terminal, marks.ANN)

        # Ours to it: all that came before counts as lost, so that only a new key frame shows anything.
        assert hardware.phone is not None
        hardware.picture.kept.clear()
        hardware.phone.ask_for_key_frame()
        await _sees(hardware, marks.BOB)

        # Its own to us: a hole in what it sends has us ask by videoFastUpdatePicture.
        asked = hardware.picture.counters.key_frame_requests
        assert hardware.video is not None
        hardware.video.sequence += 40
        hardware.video.place = 7
        async with asyncio.timeout(60):
            while hardware.picture.counters.key_frame_requests == asked:
                await asyncio.sleep(0.1)
        terminal.ask_for_key_frame()
        terminal.picture.kept.clear()
        await _sees(terminal, marks.ANN)


async def test_a_host_s_terminal_chooses_whom_all_see(start_gateway: StartGateway) -> None:
    """The room shows one person at a time, and all three make sound: without a spotlight anybody's picture comes."""
    room = {"id": "700", "layout": "speaker", "host_pin": "4711"}
    gateway = await start_gateway(rooms=[room])
    async with AsyncExitStack() as stack:

        def made(mark: marks.Mark) -> clip.Clip:
            return clip.encode(mark.code, 640, 360, marks.FRAME_RATE, 600_000)

        hardware = Terminal323(marks.ANN, made(marks.ANN))
        bob, cleo = (Terminal(mark, made(mark)) for mark in (marks.BOB, marks.CLEO))
        for one in (hardware, bob, cleo):
            stack.push_async_callback(one.hang_up)
        await hardware.dial("127.0.0.1", gateway.h323, "700#4711")
        await house.holds(gateway, 1, "700")
        await bob.dial("127.0.0.1", gateway.udp, "700")
        await house.holds(gateway, 2, "700")
        await cleo.dial("127.0.0.1", gateway.udp, "700")
        await house.holds(gateway, 3, "700")
        assert hardware.phone is not None
        ask = hardware.phone.tell
        third = {"mcuNumber": 0, "terminalNumber": 3}
        (who,) = [one["id"] for one in await gateway.participants("700") if one["name"] == "Cleo"]
        async with asyncio.timeout(LOOKING):
            while (await house.ask(gateway, "GET", "/rooms/700"))["spotlight"] != who:
                # Granted once both are numbered.
                ask(("request", ("conferenceRequest", ("makeMeChair", None))))
                ask(("request", ("conferenceRequest", ("makeTerminalBroadcaster", third))))
                await asyncio.sleep(0.5)
        await _shows(bob, {marks.CLEO.code})
        ask(("request", ("conferenceRequest", ("broadcastMyLogicalChannel", 1))))
        await _shows(bob, {marks.ANN.code})
        await _shows(cleo, {marks.ANN.code})
        (who,) = [one["id"] for one in await gateway.participants("700") if one["name"] == "Bob"]
        await house.ask(gateway, "PATCH", f"/rooms/700/participants/{who}", {"spotlight": True})
        await _shows(hardware, {marks.BOB.code})


async def _shows(watcher: Terminal | Terminal323, codes: set[int]) -> None:
    """Wait until the pictures of two seconds show these people and nobody else."""
    found: set[int] = set()
    try:
        async with asyncio.timeout(LOOKING):
            while found != codes:
                watcher.ask_for_key_frame()
                watcher.picture.kept.clear()
                await asyncio.sleep(2.5)
                found = watcher.saw(every=3).codes(least=1)
    except TimeoutError:
        raise AssertionError(f"wanted {codes}, saw {found}") from None


async def test_who_calls_nobody_is_told_so(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(media={"process": False})
    hardware = Terminal323(marks.ANN)
    with pytest.raises(CallRefused) as refused:
        await hardware.dial("127.0.0.1", gateway.h323, "999")
    assert refused.value.reason is Reason.UNREACHABLE  # that is what H.225.0 has for it
    await hardware.hang_up()
    metrics = await gateway.metrics()
    assert metrics.total("roombridge_h323_messages_total", kind="received.SETUP") == 1
    assert metrics.total("roombridge_h323_open", what="calls") == 0
