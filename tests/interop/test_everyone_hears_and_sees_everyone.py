"""Terminals, phones and browsers of other makers in one room: by spectrum and by code stripe."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import marks
import party
import pytest
from peers.baresip import Baresip
from peers.chromium import Chromium
from peers.linphone import Linphone
from peers.ours import Terminal
from peers.sipp import Sipp
from starting import LendGateway

from gateway.bench import clip
from gateway.bench.phone import CallRefused

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]

LOOKING = 60.0


async def test_baresip_linphone_sipp_and_chromium_hear_and_see_each_other(
    lend_gateway: LendGateway, tmp_path: Path
) -> None:
    gateway = await lend_gateway()
    async with AsyncExitStack() as stack:
        terminal = Baresip(marks.ANN, tmp_path)
        terminal.configure()
        stack.push_async_callback(terminal.stop)
        encrypted = Baresip(marks.GUS, tmp_path, transport="tls", video=False)
        encrypted.configure("PCMA/8000/1")
        stack.push_async_callback(encrypted.stop)
        softphone = Linphone(marks.BOB, tmp_path)
        stack.push_async_callback(softphone.quit)
        over_udp = Sipp(marks.CLEO, tmp_path, "udp", seconds=70)
        over_tcp = Sipp(marks.DAN, tmp_path, "tcp", seconds=70)
        stack.push_async_callback(over_udp.finish)
        stack.push_async_callback(over_tcp.finish)
        browser = Chromium(marks.EVE, tmp_path)
        stack.push_async_callback(browser.stop)

        await asyncio.gather(terminal.begin(), encrypted.begin(), softphone.begin(), browser.begin())
        await terminal.dial(f"sip:100@127.0.0.1:{gateway.udp}")
        await encrypted.dial(f"sip:100@127.0.0.1:{gateway.tls};transport=tls")
        await softphone.dial(f"sip:100@127.0.0.1:{gateway.udp}")
        await over_udp.dial("127.0.0.1", gateway.udp, "100")
        await over_tcp.dial("127.0.0.1", gateway.tcp, "100")
        await browser.join(gateway.url, "100")

        present = await gateway.participants()
        assert len(present) == 6, present
        assert sorted(one["protocol"] for one in present) == ["sip"] * 5 + ["webrtc"]
        await party.assert_all_see(
            {"baresip": (marks.ANN, terminal.sees), "chromium": (marks.EVE, browser.sees)}, LOOKING
        )
        everyone = (terminal, encrypted, over_udp, over_tcp, browser, softphone)
        await party.assert_all_hear({one.name: (one.mark, one.heard) for one in everyone})
        await softphone.hang_up()
        await terminal.hang_up()
        for _ in range(50):
            if len(await gateway.participants()) == 4:
                break
            await asyncio.sleep(0.1)
        assert len(await gateway.participants()) == 4
        assert not [text for text in browser.complaints if text.startswith("error")], browser.complaints


async def test_encrypted_peers_meet_where_encryption_is_required(lend_gateway: LendGateway, tmp_path: Path) -> None:
    gateway = await lend_gateway(media={"srtp": "require"})
    async with AsyncExitStack() as stack:
        terminal = Baresip(marks.ANN, tmp_path, transport="tls", secure=True)
        terminal.configure()
        stack.push_async_callback(terminal.stop)
        softphone = Linphone(marks.BOB, tmp_path, secure=True)
        stack.push_async_callback(softphone.quit)
        browser = Chromium(marks.EVE, tmp_path)
        stack.push_async_callback(browser.stop)
        await asyncio.gather(terminal.begin(), softphone.begin(), browser.begin())
        await terminal.dial(f"sip:100@127.0.0.1:{gateway.tls};transport=tls")
        await softphone.dial(f"sip:100@127.0.0.1:{gateway.udp}")
        await browser.join(gateway.url, "100")
        await party.assert_all_see(
            {"baresip": (marks.ANN, terminal.sees), "chromium": (marks.EVE, browser.sees)}, LOOKING
        )
        await party.assert_all_hear({one.name: (one.mark, one.heard) for one in (terminal, softphone, browser)})


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_plain_peer_is_refused_where_encryption_is_required(
    lend_gateway: LendGateway, tmp_path: Path, transport: str
) -> None:
    gateway = await lend_gateway(media={"srtp": "require"})
    phone = Sipp(marks.CLEO, tmp_path, transport)
    try:
        reason = await phone.be_refused("127.0.0.1", gateway.udp if transport == "udp" else gateway.tcp, "100")
    finally:
        await phone.finish()
    assert "encrypt" in reason.lower(), reason
    assert not await gateway.participants()


async def test_nobody_is_let_into_a_room_that_does_not_exist(lend_gateway: LendGateway) -> None:
    gateway = await lend_gateway()
    terminal = Terminal(marks.ANN)
    try:
        with pytest.raises(CallRefused) as refused:
            await terminal.dial("127.0.0.1", gateway.udp, "nosuchroom")
    finally:
        await terminal.hang_up()
    assert refused.value.status == 404


async def test_three_terminals_with_picture_see_each_other(lend_gateway: LendGateway) -> None:
    gateway = await lend_gateway()
    people = (marks.ANN, marks.BOB, marks.CLEO)
    terminals = [Terminal(mark, clip.encode(mark.code, 640, 360, 15, 500_000)) for mark in people]
    try:
        for terminal in terminals:
            await terminal.dial("127.0.0.1", gateway.udp, "100")
        await party.assert_all_see({one.mark.name: (one.mark, one.sees) for one in terminals}, LOOKING)
        await party.assert_all_hear({one.mark.name: (one.mark, one.heard) for one in terminals})
    finally:
        for terminal in terminals:
            await terminal.hang_up()
