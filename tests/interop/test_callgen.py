"""H323Plus' callgen323 calls rooms and is called into them: every way to start, sound and picture both ways."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import house
import marks
import party
import pytest
from peers import callgen
from peers.callgen import Callgen
from peers.ours import Terminal
from starting import StartGateway

from gateway.bench import clip
from gateway.bench.ports import free_port
from gateway.bench.process import GatewayProcess
from gateway.certificates import keep_certificate

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300), callgen.needed]
OUTBOUND = {"rules": [{"roles": ["api"]}]}
WAYS = [(fast, tunnel) for fast in (False, True) for tunnel in (False, True)]
IDS = [f"{'fast' if fast else 'slow'}-{'tunnelled' if tunnel else 'separate'}" for fast, tunnel in WAYS]


async def _detail(gateway: GatewayProcess, name: str) -> dict[str, Any]:
    (one,) = [one for one in await gateway.participants() if one["name"] == name]
    found: dict[str, Any] = await house.ask(gateway, "GET", f"/rooms/100/participants/{one['id']}")
    return {**found, "kinds": {stream["kind"]: stream for stream in found["streams"] if stream["role"] == "main"}}


async def _hear_each_other(peer: Callgen, terminal: Terminal) -> None:
    await party.assert_all_hear({peer.name: (peer.mark, peer.heard), "sip": (terminal.mark, terminal.heard)})


@pytest.mark.parametrize(("fast", "tunnel"), WAYS, ids=IDS)
@pytest.mark.parametrize("called", [False, True], ids=["calls", "is called"])
async def test_sound_goes_both_ways_whatever_the_start(
    start_gateway: StartGateway, tmp_path: Path, called: bool, fast: bool, tunnel: bool
) -> None:
    gateway = await start_gateway(outbound=OUTBOUND, h323={"fast_start": fast, "tunnelling": tunnel or not called})
    async with AsyncExitStack() as stack:
        terminal = Terminal(marks.BOB)
        stack.push_async_callback(terminal.hang_up)
        await terminal.dial("127.0.0.1", gateway.udp, "100")
        peer = Callgen(marks.ANN, tmp_path, fast=fast, tunnel=tunnel)
        stack.push_async_callback(peer.hang_up)
        if called:
            await peer.listen()
            await house.call(gateway, f"h323:127.0.0.1:{peer.port}", "Ann")
        else:
            await peer.dial(f"100@127.0.0.1:{gateway.h323}")
        await house.holds(gateway, 2)
        await _hear_each_other(peer, terminal)
        (one,) = [one for one in await gateway.participants() if one["protocol"] == "h323"]
        assert one["name"] == "Ann"
        await peer.hang_up()
        await house.holds(gateway, 1)


@pytest.mark.parametrize("tunnel", [True, False], ids=["tunnelled", "separate"])
@pytest.mark.parametrize("called", [False, True], ids=["calls", "is called"])
@pytest.mark.parametrize(("codec", "size"), [("H.261", (352, 288)), ("H.264", (1280, 720))])
async def test_pictures_go_both_ways(
    start_gateway: StartGateway, tmp_path: Path, codec: str, size: tuple[int, int], called: bool, tunnel: bool
) -> None:
    gateway = await start_gateway(outbound=OUTBOUND)
    async with AsyncExitStack() as stack:
        terminal = Terminal(marks.BOB, clip.encode(marks.BOB.code, 640, 360, marks.FRAME_RATE, 600_000))
        stack.push_async_callback(terminal.hang_up)
        await terminal.dial("127.0.0.1", gateway.udp, "100")
        peer = Callgen(marks.ANN, tmp_path, video=codec, tunnel=tunnel)
        stack.push_async_callback(peer.hang_up)
        if called:
            await peer.listen()
            await house.call(gateway, f"h323:127.0.0.1:{peer.port}", "Ann")
        else:
            await peer.dial(f"100@127.0.0.1:{gateway.h323}")
        await house.holds(gateway, 2)
        await _hear_each_other(peer, terminal)
        async with asyncio.timeout(60):
            while True:
                picture = (await _detail(gateway, "Ann"))["kinds"]["video"]
                if min(picture["frames_in"], picture["frames_out"]) > 15:
                    break
                await asyncio.sleep(0.5)
        assert (picture["codec_in"], picture["codec_out"]) == (codec.replace(".", ""), codec.replace(".", ""))
        assert (picture["width_in"], picture["height_in"]) == ((640, 400) if codec == "H.264" else (352, 288))
        assert (picture["width_out"], picture["height_out"]) == size
        assert terminal.saw().sizes, "the SIP terminal sees nothing"
        if codec == "H.264":
            assert peer.traced(r"SetFrameSize to 1280x720"), "what callgen323 shows has not our size"


async def test_sound_goes_both_ways_inside_tls(start_gateway: StartGateway, tmp_path: Path) -> None:
    """It calls, and is called on a port of its own for TLS; neither looks at the other's certificate.

    It takes TLS to no other port than 1300 where it names whom it calls.
    """
    certificate, key = keep_certificate(tmp_path, ["127.0.0.1"])
    gateway = await start_gateway(outbound=OUTBOUND, dial_plan=[{"protocol": "h323", "room": "100"}])
    port = free_port(socket.SOCK_STREAM)
    options = ["--tls", "--tls-cert", str(certificate), "--tls-privkey", str(key), "--tls-listenport", str(port)]
    async with AsyncExitStack() as stack:
        caller = Callgen(marks.ANN, tmp_path, options=options)
        stack.push_async_callback(caller.hang_up)
        await caller.dial(f"h323s:127.0.0.1:{gateway.h323_tls}")
        await house.holds(gateway, 1, within=30)
        options[-1] = str(free_port(socket.SOCK_STREAM))
        called = Callgen(marks.BOB, tmp_path, options=options)
        stack.push_async_callback(called.hang_up)
        await called.listen()
        await house.call(gateway, f"h323:127.0.0.1:{options[-1]};transport=tls", "Bob")
        await house.holds(gateway, 2)
        assert all(one["secure"] for one in await gateway.participants())
        await party.assert_all_hear({one.name: (one.mark, one.heard) for one in (caller, called)})
