"""Calls out of a room, asked for on the command line, to phones of other makers: by sips: and by h323:."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import house
import marks
import party
import pytest
from peers import callgen
from peers.baresip import Baresip
from peers.callgen import Callgen
from peers.ours import Terminal
from starting import StartGateway

from gateway.bench.process import TOKEN, GatewayProcess
from gateway.certificates import keep_certificate

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]
OUTBOUND = {"rules": [{"schemes": ["sips", "h323"], "hosts": ["127.0.0.1"]}]}
PATIENCE = 60.0
"""Seconds for which anything is waited for on a busy machine."""


async def command(gateway: GatewayProcess, *words: str) -> tuple[int, str]:
    """Run the terminal's command and return its exit status with what it printed."""
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway.cli", *words, "--url", gateway.url, "--token", TOKEN, "--insecure"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "COLUMNS": "200"},
    )
    said, _ = await asyncio.wait_for(running.communicate(), PATIENCE)
    assert running.returncode is not None
    return running.returncode, said.decode()


async def test_a_phone_is_called_by_sips_with_its_certificate_proved(
    start_gateway: StartGateway, tmp_path: Path
) -> None:
    certificate, key = keep_certificate(tmp_path, ["127.0.0.1"])
    both = tmp_path / "both.pem"
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    secure = {"authorities": str(certificate), "srtp": {"tls": "require"}}
    gateway = await start_gateway(outbound=OUTBOUND, sip=secure)
    async with AsyncExitStack() as stack:
        bob = Terminal(marks.BOB)
        stack.push_async_callback(bob.hang_up)
        await bob.dial("127.0.0.1", gateway.udp, "100")
        ann = Baresip(marks.ANN, tmp_path, "tls", secure=True, video=False, certificate=both)
        ann.configure(answer=True)
        stack.push_async_callback(ann.stop)
        await ann.begin()
        status, said = await command(gateway, "calls", "dial", "100", "tel:+4930555")
        assert (status, "not allowed" in said.lower()) == (1, True), said
        status, said = await command(
            gateway, "calls", "dial", "100", f"sips:ann@127.0.0.1:{ann.port + 1}", "--name", "Ann"
        )
        assert (status, "Ann is in" in said) == (0, True), said
        (one,) = [one for one in await gateway.participants() if one["name"] == "Ann"]
        assert (one["protocol"], one["direction"], one["secure"]) == ("sip", "outgoing", True)
        await party.assert_all_hear({"bob": (marks.BOB, bob.heard), "ann": (marks.ANN, ann.heard)})
        status, said = await command(gateway, "calls", "hangup", one["call"])
        assert status == 0, said
        await ann.expect(r"session closed|terminated", PATIENCE)
        await house.holds(gateway, 1, within=PATIENCE)


@callgen.needed
async def test_an_h323_terminal_is_called_on_the_command_line(start_gateway: StartGateway, tmp_path: Path) -> None:
    gateway = await start_gateway(outbound=OUTBOUND)
    async with AsyncExitStack() as stack:
        bob = Terminal(marks.BOB)
        stack.push_async_callback(bob.hang_up)
        await bob.dial("127.0.0.1", gateway.udp, "100")
        ann = Callgen(marks.ANN, tmp_path)
        stack.push_async_callback(ann.hang_up)
        await ann.listen()
        status, said = await command(gateway, "calls", "dial", "100", f"h323:127.0.0.1:{ann.port}", "--name", "Ann")
        assert (status, "Ann is in" in said) == (0, True), said
        await party.assert_all_hear({"bob": (marks.BOB, bob.heard), "ann": (marks.ANN, ann.heard)})
