"""An H.323 telephone of H323Plus' stack: how it proves a password, sends calls elsewhere, and asks for transfers."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack
from pathlib import Path

import house
import marks
import pytest
from peers import keypad
from peers.keypad import PATIENCE, Keypad
from starting import StartGateway

from gateway.bench.ports import free_port

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300), keypad.needed]


async def test_it_proves_a_password_by_cat_and_md5(start_gateway: StartGateway, tmp_path: Path) -> None:
    ras = free_port(socket.SOCK_DGRAM)
    gateway = await start_gateway(
        h323={"gatekeeper": "embedded", "ras": ras},
        accounts=[{"user": marks.BOB.name, "password": "secret2"}],
        media={"process": False},
    )
    for number, proof in enumerate(("CAT", "MD5"), 1):
        options = ["-g", f"127.0.0.1:{ras}", "-a", proof]
        async with AsyncExitStack() as stack:
            bob = Keypad(marks.BOB, tmp_path, options=[*options, "-p", "secret2"])
            stack.push_async_callback(bob.hang_up)
            await bob.dial("100")
            await house.holds(gateway, 1, within=PATIENCE)
            (one,) = (await house.ask(gateway, "GET", "/registrations"))["registrations"]
            assert (one["account"], one["protocol"]) == ("Bob", "h323")
            assert gateway.output.count(f'"proof": "{proof.lower()}"') == 1
        eve = Keypad(marks.BOB, tmp_path, options=[*options, "-p", "secret3"])
        try:
            with pytest.raises(TimeoutError, match="cannot begin"):
                await eve.dial("100")
        finally:
            await eve.hang_up()
        assert (await gateway.metrics()).total("roombridge_h323_proofs_refused_total", reason="wrong-proof") >= number


async def test_a_call_that_it_forwards_goes_there(start_gateway: StartGateway, tmp_path: Path) -> None:
    gateway = await start_gateway(outbound={"rules": [{"roles": ["api"]}]}, media={"process": False})
    carol = Keypad(marks.CLEO, tmp_path)
    bob = Keypad(marks.BOB, tmp_path, options=["-F", f"Cleo@127.0.0.1:{carol.port}"])
    try:
        await carol.listen()
        await bob.listen()
        await house.call(gateway, f"h323:Bob@127.0.0.1:{bob.port}", "Bob")
        await carol.established()
        await house.holds(gateway, 1, within=PATIENCE)
        metrics = await gateway.metrics()
        assert metrics.total("roombridge_h323_messages_total", kind="forwarded.callForwarded") == 1
    finally:
        await asyncio.gather(bob.hang_up(), carol.hang_up())


async def test_a_transfer_that_it_asks_for_is_declined_and_the_call_goes_on(
    start_gateway: StartGateway, tmp_path: Path
) -> None:
    gateway = await start_gateway(media={"process": False})
    bob = Keypad(marks.BOB, tmp_path)
    try:
        await bob.dial(f"100@127.0.0.1:{gateway.h323}")
        await bob.established()
        await house.holds(gateway, 1, within=PATIENCE)
        await bob.transfer("127.0.0.1:9")
        async with asyncio.timeout(PATIENCE):
            while not (await gateway.metrics()).total("roombridge_h323_messages_total", kind="services_declined"):
                await asyncio.sleep(0.1)
        before = len(bob.heard()[0])
        async with asyncio.timeout(PATIENCE):
            while len(bob.heard()[0]) < before + 8_000:
                await asyncio.sleep(0.1)
        await house.holds(gateway, 1, within=PATIENCE)
        assert "cleared" not in bob.output
    finally:
        await bob.hang_up()
