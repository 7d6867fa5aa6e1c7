"""H323Plus' callgen323 and rooms encrypt each other's media by H.235.6, or refuse what is not encrypted."""

from __future__ import annotations

import asyncio
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
from gateway.bench.process import GatewayProcess

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300), callgen.needed]
OUTBOUND = {"rules": [{"roles": ["api"]}]}


async def _streams(gateway: GatewayProcess) -> dict[str, Any]:
    (one,) = [one for one in await gateway.participants() if one["protocol"] == "h323"]
    found = await house.ask(gateway, "GET", f"/rooms/100/participants/{one['id']}")
    return {stream["kind"]: stream for stream in found["streams"] if stream["role"] == "main"}


@pytest.mark.parametrize(
    ("cipher", "token", "policy", "used"),
    [
        (128, 1024, "prefer", "AES-128-CBC"),
        (256, 2048, "require", "AES-256-CBC"),
        (128, 2048, "require", "AES-128-CBC"),
        (256, 2048, "off", ""),
    ],
)
@pytest.mark.parametrize("called", [False, True], ids=["calls", "is called"])
async def test_encrypted_sound_goes_both_ways(
    start_gateway: StartGateway, tmp_path: Path, called: bool, cipher: int, token: int, policy: str, used: str
) -> None:
    gateway = await start_gateway(outbound=OUTBOUND, media={"srtp": policy}, sip={"srtp": {"udp": "off"}})
    async with AsyncExitStack() as stack:
        terminal = Terminal(marks.BOB)
        stack.push_async_callback(terminal.hang_up)
        await terminal.dial("127.0.0.1", gateway.udp, "100")
        options = ["--mediaenc", str(cipher), "--maxtoken", str(token)]
        peer = Callgen(marks.ANN, tmp_path, options=options)
        stack.push_async_callback(peer.hang_up)
        if called:
            await peer.listen()
            await house.call(gateway, f"h323:127.0.0.1:{peer.port}", "Ann")
        else:
            await peer.dial(f"100@127.0.0.1:{gateway.h323}")
        await house.holds(gateway, 2)
        await party.assert_all_hear({peer.name: (peer.mark, peer.heard), "sip": (terminal.mark, terminal.heard)})
        assert (await _streams(gateway))["audio"]["encrypted"] == used


@pytest.mark.parametrize("called", [False, True], ids=["calls", "is called"])
async def test_encrypted_pictures_go_both_ways(start_gateway: StartGateway, tmp_path: Path, called: bool) -> None:
    gateway = await start_gateway(outbound=OUTBOUND)
    async with AsyncExitStack() as stack:
        terminal = Terminal(marks.BOB, clip.encode(marks.BOB.code, 640, 360, marks.FRAME_RATE, 600_000))
        stack.push_async_callback(terminal.hang_up)
        await terminal.dial("127.0.0.1", gateway.udp, "100")
        peer = Callgen(marks.ANN, tmp_path, video="H.264", options=["--mediaenc", "128", "--maxtoken", "1024"])
        stack.push_async_callback(peer.hang_up)
        if called:
            await peer.listen()
            await house.call(gateway, f"h323:127.0.0.1:{peer.port}", "Ann")
        else:
            await peer.dial(f"100@127.0.0.1:{gateway.h323}")
        await house.holds(gateway, 2)
        await party.assert_comes_to_hear(peer.name, peer.heard, terminal.mark)
        async with asyncio.timeout(party.PATIENCE):
            while True:
                picture = (await _streams(gateway))["video"]
                if min(picture["frames_in"], picture["frames_out"]) > 30:
                    break
                await asyncio.sleep(0.5)
        assert picture["encrypted"] == "AES-128-CBC"
        assert peer.traced(r"H235Key"), "the peer knows of no key"


async def test_a_caller_who_does_not_encrypt_is_refused_where_it_must(
    start_gateway: StartGateway, tmp_path: Path
) -> None:
    gateway = await start_gateway(media={"srtp": "require"})
    peer = Callgen(marks.ANN, tmp_path)
    try:
        await peer.dial(f"100@127.0.0.1:{gateway.h323}")
        await peer.traces(r"securityDenied|EndedBySecurityDenial", 30)
        await house.holds(gateway, 0)
    finally:
        await peer.hang_up()


async def test_one_who_is_called_and_does_not_encrypt_is_left_where_it_must(
    start_gateway: StartGateway, tmp_path: Path
) -> None:
    gateway = await start_gateway(outbound=OUTBOUND, media={"srtp": "require"})
    peer = Callgen(marks.ANN, tmp_path)
    try:
        await peer.listen()
        with pytest.raises(OSError, match="encryption-needed"):
            await house.call(gateway, f"h323:127.0.0.1:{peer.port}", "Ann")
        await house.holds(gateway, 0)
    finally:
        await peer.hang_up()
