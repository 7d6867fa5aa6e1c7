"""H.323 through a real address translator: H323Plus inside, our gateway inside, GnuGk outside and inside.

The translator masquerades on a port of its own for each flow, and lets nothing in that nobody asked for.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import house
import marks
import party
import pytest
from peers import callgen, translator
from peers.callgen import Callgen
from peers.gnugk import GnuGk
from peers.gnugk import needed as gnugk_needed
from peers.translator import WATCHED, Translator
from starting import StartGateway

from gateway.bench.ports import DGRAM, free_port, free_row
from gateway.bench.process import GatewayProcess

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300), translator.needed]
LISTENING = 8.0
WAIT = 60.0
OUTBOUND = {"rules": [{"roles": ["api"]}]}
EVERYWHERE = {"listen": {"address": "0.0.0.0"}, "outbound": OUTBOUND}


def free_multiplex_port() -> int:
    """Return a port that is free with the next one."""
    return free_row((DGRAM,), (DGRAM,))


async def outside(start_gateway: StartGateway, **h323: Any) -> tuple[GatewayProcess, int]:
    """Start a gateway that listens everywhere, and return it with the port of its gatekeeper."""
    ras = free_port()
    media = {"address": "0.0.0.0"}
    told = {"gatekeeper": "embedded", "ras": ras, **h323}
    return await start_gateway(h323=told, media=media, **EVERYWHERE), ras


async def inside(start_gateway: StartGateway, nat: Translator, gatekeeper: str, **h323: Any) -> GatewayProcess:
    """Start a gateway behind the translator that registers outside, with a room 500."""
    told = {"gatekeeper": gatekeeper, "ras": 0, "signalling": 1720, "tls": None, "aliases": ["bridge", "500"], **h323}
    gateway = await start_gateway(
        behind=nat,
        h323=told,
        web={"port": WATCHED},
        media={"address": "0.0.0.0"},
        rooms=[{"id": "500", "name": "Far"}],
        **EVERYWHERE,
    )
    await registered(gateway)
    return gateway


async def registered(gateway: GatewayProcess) -> None:
    async with asyncio.timeout(WAIT):
        while (await gateway.metrics()).total("roombridge_h323_joined") != 1:
            await asyncio.sleep(0.2)


async def has(gateway: GatewayProcess, *names: str) -> None:
    """Wait until these are registered by H.323, and no others."""
    async with asyncio.timeout(WAIT):
        while True:
            found = (await house.ask(gateway, "GET", "/registrations"))["registrations"]
            if sorted(one["account"] for one in found if one["protocol"] == "h323") == sorted(names):
                return
            await asyncio.sleep(0.2)


async def flowing(gateway: GatewayProcess, name: str, room: str) -> dict[str, Any]:
    """Wait until sound has gone both ways between a gateway and a participant; return what it counts."""
    async with asyncio.timeout(WAIT):
        while True:
            (one,) = [one for one in await gateway.participants(room) if one["name"] == name]
            found = await house.ask(gateway, "GET", f"/rooms/{room}/participants/{one['id']}")
            (sound,) = [one for one in found["streams"] if one["kind"] == "audio"]
            if min(sound["packets_in"], sound["packets_out"]) > 100:
                return dict(sound)
            await asyncio.sleep(0.3)


def together(peer: Callgen) -> tuple[Any, int]:
    """Return what a peer heard while all were there: not while the others came, one after the other."""
    samples, rate = peer.heard()
    return samples[-round(LISTENING * rate) :], rate


@callgen.needed
async def test_endpoints_behind_a_translator_are_called_and_call(start_gateway: StartGateway, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        nat = await stack.enter_async_context(Translator())
        gateway, ras = await outside(start_gateway, multiplex_port=free_multiplex_port())
        zone = f"{nat.outside}:{ras}"
        # By H.460.18 as it is; with a separate H.245 connection and multiplexed media; by H.460.17.
        ways: list[tuple[marks.Mark, dict[str, Any]]] = [
            (marks.ANN, {"gatekeeper": zone, "options": ["--h46018enable"]}),
            (
                marks.BOB,
                {"gatekeeper": zone, "tunnel": False, "options": ["--h46018enable", "--h46019multiplexenable"]},
            ),
            (marks.CLEO, {"options": ["-k", f"{nat.outside}:{gateway.h323}"]}),
        ]
        names = [mark.name for mark, _ in ways]
        for calls in (False, True):
            place = tmp_path / ("calls" if calls else "called")
            place.mkdir()
            peers = [Callgen(mark, place, behind=nat, **options) for mark, options in ways]
            for peer in peers:
                stack.push_async_callback(peer.hang_up)
                await (peer.dial("100") if calls else peer.listen())
            if not calls:
                await has(gateway, *names)
                for name in names:
                    await house.call(gateway, f"h323:{name}", name)
            await house.holds(gateway, len(ways), within=WAIT)
            for name in names:
                await flowing(gateway, name, "100")
            if not calls:
                await asyncio.sleep(LISTENING)
                for peer in peers:
                    others = [mark for mark, _ in ways if mark is not peer.mark]
                    party.assert_hears(peer.name, together(peer), peer.mark, others)
            await asyncio.gather(*(peer.hang_up() for peer in peers))
            await house.holds(gateway, 0, within=WAIT)


async def test_two_gateways_call_each_other_through_a_translator(start_gateway: StartGateway) -> None:
    async with Translator() as nat:
        port = free_multiplex_port()
        near, ras = await outside(start_gateway, multiplex_port=port)
        far = await inside(start_gateway, nat, f"{nat.outside}:{ras}", multiplex_port=port)
        await has(near, "bridge")
        await house.call(near, "h323:500", "Far")
        await house.holds(far, 1, "500", within=WAIT)
        (one,) = await far.participants("500")
        for gateway, name, room in ((near, "Far", "100"), (far, one["name"], "500")):
            await flowing(gateway, name, room)
        await house.remove(near, "Far")
        await house.holds(far, 0, "500", within=WAIT)
        await house.call(far, "h323:100", "Near", "500")
        await house.holds(near, 1, within=WAIT)
        await flowing(far, "Near", "500")


@gnugk_needed
@callgen.needed
async def test_gnugk_lets_a_gateway_through_a_translator(start_gateway: StartGateway, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        nat = await stack.enter_async_context(Translator())
        keeper = GnuGk(tmp_path, {}, True, home=nat.outside, multiplexing=True)
        stack.push_async_callback(keeper.stop)
        await keeper.run()
        far = await inside(start_gateway, nat, keeper.address, tunnelling=False, multiplex_port=free_multiplex_port())
        ann = Callgen(marks.ANN, tmp_path, gatekeeper=keeper.address, host=nat.outside)
        stack.push_async_callback(ann.hang_up)
        await ann.dial("500")
        await house.holds(far, 1, "500", within=WAIT)
        await flowing(far, "Ann", "500")
        await ann.hang_up()
        await house.holds(far, 0, "500", within=WAIT)
        bob = Callgen(marks.BOB, tmp_path, gatekeeper=keeper.address, host=nat.outside)
        stack.push_async_callback(bob.hang_up)
        await bob.listen()
        await keeper.traces("RCF.*Bob", WAIT)
        await house.call(far, "h323:Bob", "Bob", "500")
        await flowing(far, "Bob", "500")
