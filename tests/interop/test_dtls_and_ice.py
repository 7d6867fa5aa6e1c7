"""DTLS-SRTP and ICE with other makers' phones: who hears whom, by tone, and how it was encrypted."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import marks
import party
import pytest
from peers.baresip import Baresip
from peers.linphone import Linphone
from starting import LendGateway

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]

LOOKING = 60.0


@pytest.mark.parametrize("mux", [True, False], ids=["mux", "no-mux"])
@pytest.mark.parametrize("ice", [False, True], ids=["no-ice", "ice"])
async def test_baresip_by_dtls_is_heard_and_seen(
    lend_gateway: LendGateway, tmp_path: Path, ice: bool, mux: bool
) -> None:
    gateway = await lend_gateway(media={"srtp": "prefer"})
    async with AsyncExitStack() as stack:
        one = Baresip(marks.ANN, tmp_path, dtls=True, ice=ice, mux=mux)
        other = Baresip(marks.GUS, tmp_path)
        for phone in (one, other):
            phone.configure()
            stack.push_async_callback(phone.stop)
        await asyncio.gather(one.begin(), other.begin())
        await one.dial(f"sip:100@127.0.0.1:{gateway.udp}")
        await other.dial(f"sip:100@127.0.0.1:{gateway.udp}")
        await party.assert_all_see({one.name: (one.mark, one.sees), other.name: (other.mark, other.sees)}, LOOKING)
        await party.assert_all_hear({phone.name: (phone.mark, phone.heard) for phone in (one, other)})


@pytest.mark.parametrize(("dtls", "ice"), [(True, False), (True, True), (False, True)], ids=str)
async def test_linphone_by_dtls_and_ice_is_heard(
    lend_gateway: LendGateway, tmp_path: Path, dtls: bool, ice: bool
) -> None:
    gateway = await lend_gateway()
    async with AsyncExitStack() as stack:
        softphone = Linphone(marks.BOB, tmp_path, dtls=dtls, ice=ice)
        stack.push_async_callback(softphone.quit)
        other = Baresip(marks.GUS, tmp_path, video=False)
        other.configure()
        stack.push_async_callback(other.stop)
        await asyncio.gather(softphone.begin(others=True), other.begin())
        await softphone.dial(f"sip:100@127.0.0.1:{gateway.udp}")
        await other.dial(f"sip:100@127.0.0.1:{gateway.udp}")
        await party.assert_all_hear({phone.name: (phone.mark, phone.heard) for phone in (softphone, other)})
        assert len(await gateway.participants()) == 2
