"""Gatekeepers that nobody names: they are looked for by multicast, on a network of the test's own.

The group is one for the whole machine, so that only one test at a time can use it.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import house
import marks
import pytest
from peers import callgen, translator
from peers.callgen import Callgen
from peers.gnugk import GnuGk
from peers.gnugk import needed as gnugk_needed
from peers.lan import Lan
from peers.translator import WATCHED
from starting import StartGateway

from gateway.bench.ports import free_port
from gateway.bench.process import GatewayProcess

pytestmark = [pytest.mark.interop, pytest.mark.alone, pytest.mark.timeout(300), translator.needed]
WAIT = 60.0
OUTBOUND = {"rules": [{"roles": ["api"]}]}


async def keeper(start_gateway: StartGateway) -> GatewayProcess:
    """Start a gateway with a gatekeeper that listens everywhere."""
    told = {"gatekeeper": "embedded", "ras": free_port()}
    address = {"address": "0.0.0.0"}
    return await start_gateway(h323=told, media=address, listen=address, outbound=OUTBOUND)


async def searcher(start_gateway: StartGateway, lan: Lan) -> GatewayProcess:
    """Start a gateway on the other machine that looks for a gatekeeper, with a room 500."""
    told = {"gatekeeper": "auto", "ras": 0, "signalling": 1720, "tls": None, "aliases": ["bridge", "500"]}
    address = {"address": lan.inside}
    return await start_gateway(
        behind=lan,
        h323=told,
        web={"port": WATCHED},
        media=address,
        listen=address,
        rooms=[{"id": "500", "name": "Far"}],
        outbound=OUTBOUND,
    )


async def test_a_gateway_finds_a_gatekeeper_and_they_call_each_other(start_gateway: StartGateway) -> None:
    async with Lan() as lan:
        near = await keeper(start_gateway)
        far = await searcher(start_gateway, lan)
        async with asyncio.timeout(WAIT):
            while (await far.metrics()).total("roombridge_h323_joined") != 1:
                await asyncio.sleep(0.2)
        await house.call(near, "h323:500", "Far")
        await house.holds(far, 1, "500")
        await house.call(far, "h323:100", "Near", "500")
        await house.holds(near, 2)


@callgen.needed
async def test_h323plus_finds_the_gatekeeper_and_calls_a_room(start_gateway: StartGateway, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        lan = await stack.enter_async_context(Lan())
        gateway = await keeper(start_gateway)
        ann = Callgen(marks.ANN, tmp_path, gatekeeper=callgen.LOOKED_FOR, behind=lan)
        stack.push_async_callback(ann.hang_up)
        await ann.dial("100")
        await house.holds(gateway, 1)
        found = (await house.ask(gateway, "GET", "/registrations"))["registrations"]
        assert [one["account"] for one in found if one["protocol"] == "h323"] == ["Ann"]


@gnugk_needed
async def test_a_gateway_finds_gnugk(start_gateway: StartGateway, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        lan = await stack.enter_async_context(Lan())
        gnugk = GnuGk(tmp_path, {}, home=lan.outside, more={"Gatekeeper::Main": ["UseMulticastListener=1"]})
        stack.push_async_callback(gnugk.stop)
        await gnugk.run()
        far = await searcher(start_gateway, lan)
        await gnugk.traces("RCF.*bridge", WAIT)
        assert (await far.metrics()).total("roombridge_h323_joined") == 1
