"""Opus in H.323, between two gateways: the only ones that know its identifier."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import house
import marks
import party
import pytest
from peers.ours import Terminal
from starting import StartGateway

from gateway.bench.process import GatewayProcess

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]
WAIT = 60.0
OUTBOUND = {"rules": [{"roles": ["api"]}]}


async def _sound(gateway: GatewayProcess) -> dict[str, Any]:
    """Wait until sound has gone both ways by H.323, and return what is told of it."""
    async with asyncio.timeout(WAIT):
        while True:
            (one,) = [one for one in await gateway.participants() if one["protocol"] == "h323"]
            found = await house.ask(gateway, "GET", f"/rooms/100/participants/{one['id']}")
            (sound,) = [stream for stream in found["streams"] if stream["kind"] == "audio"]
            if min(sound["packets_in"], sound["packets_out"]) > 50:
                return dict(sound)
            await asyncio.sleep(0.3)


async def test_two_gateways_speak_opus_in_slow_and_fast_starts(start_gateway: StartGateway) -> None:
    quick = await start_gateway(outbound=OUTBOUND, h323={"fast_start": True})
    slow = await start_gateway(outbound=OUTBOUND)  # and so its calls are encrypted
    ann, bob = Terminal(marks.ANN), Terminal(marks.BOB)
    async with AsyncExitStack() as stack:
        for terminal, gateway in ((ann, quick), (bob, slow)):
            stack.push_async_callback(terminal.hang_up)
            await terminal.dial("127.0.0.1", gateway.udp, "100")
        for caller, called in ((quick, slow), (slow, quick)):
            await house.call(caller, f"h323:100@127.0.0.1:{called.h323}", "Far")
            await house.holds(called, 2, within=WAIT)
            for gateway in (caller, called):
                sound = await _sound(gateway)
                assert (sound["codec_in"], sound["codec_out"]) == ("opus", "opus")
            for terminal in (ann, bob):
                terminal.voice.socket.kept.clear()
            await party.assert_all_hear({"ann": (marks.ANN, ann.heard), "bob": (marks.BOB, bob.heard)})
            await house.remove(caller, "Far")
            await house.holds(called, 1, within=WAIT)
