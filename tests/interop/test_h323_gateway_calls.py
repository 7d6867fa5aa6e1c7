"""Calls between SIP and H.323 through the gateway: ringing, sound, keys, and how they end, both ways."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import house
import marks
import party
import pytest
from peers import callgen
from peers.baresip import Baresip
from peers.callgen import Callgen
from peers.ours import Terminal
from peers.ours323 import Terminal323
from starting import StartGateway
from test_calls_put_through import ACCOUNTS, phones

from gateway.bench import clip
from gateway.bench.h323_phone import CallRefused
from gateway.bench.process import GatewayProcess
from gateway.reasons import Reason
from h323.q931 import Type

sys.path.append(str(Path(__file__).parents[1] / "h323"))
import h323_peer

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]
OUTBOUND = {"rules": [{"roles": ["caller"], "sources": ["127.0.0.0/8"]}]}


def to_h323(port: int) -> dict[str, Any]:
    """Return a configuration in which numbers that begin with 7 are H.323's."""
    return {
        "accounts": ACCOUNTS,
        "dial_plan": [{"called": r"7(\d+)", "call": rf"h323:\1@127.0.0.1:{port}"}],
        "outbound": OUTBOUND,
    }


async def _answered(peer: h323_peer.Peer) -> dict[str, Any]:
    """Ring, and answer a second later."""
    setup = await peer.expect(Type.SETUP, 30)
    assert setup.body is not None
    body: dict[str, Any] = {
        "protocolIdentifier": h323_peer.OID,
        "destinationInfo": h323_peer.ENDPOINT,
        "callIdentifier": setup.body["callIdentifier"],
    }
    peer.send(Type.ALERTING, body)
    await asyncio.sleep(1.0)
    peer.send(Type.CONNECT, {**body, "conferenceID": setup.body["conferenceID"]})
    await peer.exchange(h323_peer.G711, h323_peer.KEYS)
    await peer.channel(5004)
    return setup.body


async def test_a_sip_phone_calls_an_h323_terminal(start_gateway: StartGateway, tmp_path: Path) -> None:
    async with h323_peer.listening() as (port, called):
        gateway = await start_gateway(**to_h323(port), media={"process": False})
        async with phones(gateway, tmp_path) as (ann, _):
            await ann.write(f"/dial sip:7100@127.0.0.1:{gateway.udp}")
            peer = await asyncio.wait_for(called.get(), 10)
            body = await _answered(peer)
            assert body["destinationAddress"] == [("dialledDigits", "100")]
            await ann.expect(r"180 Ringing|ringing", 30)
            await ann.expect("Call established", 30)
            await ann.write("5")  # baresip sends keys as they are typed, in its sound
            pressed = await peer.told("userInput", 30)
            assert pressed[1]["signalType"] == "5"
            await ann.hang_up()
            released = await peer.expect(Type.RELEASE_COMPLETE, 30)
            assert released.cause == 16


async def test_a_busy_h323_terminal_is_busy_to_a_sip_phone(start_gateway: StartGateway, tmp_path: Path) -> None:
    async with h323_peer.listening() as (port, called):
        gateway = await start_gateway(**to_h323(port), media={"process": False})
        async with phones(gateway, tmp_path) as (ann, _):
            await ann.write(f"/dial sip:7100@127.0.0.1:{gateway.udp}")
            peer = await asyncio.wait_for(called.get(), 10)
            await peer.expect(Type.SETUP, 30)
            peer.send(Type.RELEASE_COMPLETE, cause=17)
            await ann.expect(r"486|[Bb]usy", 30)


@callgen.needed
async def test_sound_goes_between_sip_and_callgen(start_gateway: StartGateway, tmp_path: Path) -> None:
    peer = Callgen(marks.ANN, tmp_path)
    gateway = await start_gateway(**to_h323(peer.port))
    terminal = Terminal(marks.BOB)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(terminal.hang_up)
        stack.push_async_callback(peer.hang_up)
        await peer.listen()
        await terminal.dial("127.0.0.1", gateway.udp, "7100")
        await party.assert_all_hear({"callgen": (marks.ANN, peer.heard), "sip": (marks.BOB, terminal.heard)})


@callgen.needed
async def test_callgen_calls_a_registered_sip_phone(start_gateway: StartGateway, tmp_path: Path) -> None:
    gateway = await start_gateway(accounts=ACCOUNTS)
    async with phones(gateway, tmp_path) as (_, bob):
        peer = Callgen(marks.CLEO, tmp_path)
        try:
            await peer.dial(f"bob@127.0.0.1:{gateway.h323}")
            await bob.expect("Call established", 30)
            await party.assert_all_hear({"callgen": (marks.CLEO, peer.heard), "bob": (marks.BOB, bob.heard)})
            await bob.hang_up()
            async with asyncio.timeout(30):
                while await house.calls(gateway):
                    await asyncio.sleep(0.2)
        finally:
            await peer.hang_up()


async def test_an_h323_terminal_calls_a_sip_phone_with_sound_picture_and_keys(
    start_gateway: StartGateway, tmp_path: Path
) -> None:
    gateway = await start_gateway(accounts=ACCOUNTS)
    async with phones(gateway, tmp_path, video=True) as (_, bob):
        hardware = Terminal323(marks.CLEO, clip.encode(marks.CLEO.code, 640, 360, marks.FRAME_RATE, 600_000))
        try:
            await hardware.dial("127.0.0.1", gateway.h323, "bob")
            await party.assert_all_see({"bob": (marks.BOB, bob.sees), "cleo": (marks.CLEO, hardware.sees)}, 60.0)
            await party.assert_all_hear({"bob": (marks.BOB, bob.heard), "cleo": (marks.CLEO, hardware.heard)})
            assert hardware.phone is not None
            hardware.phone.press("8")
            await bob.expect(r"[Rr]eceived.*(event|DTMF).*8|telev.*8|'8'", 30)
            await bob.hang_up()
            async with asyncio.timeout(60):
                while hardware.phone.ended is None:
                    await asyncio.sleep(0.1)
            assert hardware.phone.ended is Reason.NORMAL
        finally:
            await hardware.hang_up()


async def test_a_sip_phone_that_says_no_is_busy_to_an_h323_terminal(
    start_gateway: StartGateway, tmp_path: Path
) -> None:
    gateway = await start_gateway(accounts=ACCOUNTS, media={"process": False})
    async with phones(gateway, tmp_path, answer=False) as (_, bob):
        hardware = Terminal323(marks.CLEO)
        dialling = asyncio.ensure_future(hardware.dial("127.0.0.1", gateway.h323, "bob"))
        try:
            await _refuse(bob, gateway)
            with pytest.raises(CallRefused) as refused:
                await asyncio.wait_for(dialling, 15)
            assert refused.value.reason is Reason.BUSY
        finally:
            dialling.cancel()
            await hardware.hang_up()


async def _refuse(phone: Baresip, gateway: GatewayProcess) -> None:
    await phone.expect(r"Incoming call", 30)
    await phone.hang_up()
