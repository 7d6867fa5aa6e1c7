"""`roombridge probe` as monitoring runs it, against a gateway that is started for it."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import pytest
from starting import StartGateway

from gateway.bench.ports import free_port
from gateway.probe.options import Report

pytestmark = [pytest.mark.interop, pytest.mark.alone, pytest.mark.timeout(300)]
SETTINGS: dict[str, Any] = {
    "rooms": [{"id": "100"}, {"id": "echo", "mode": "echo", "aliases": ["9196"]}],
    "accounts": [{"user": "ann", "password": "correct horse"}],
}


async def run(*words: str) -> tuple[int, str]:
    """Run the command; return its status and what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway.cli",
        "probe",
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 100)
    assert process.returncode is not None
    return process.returncode, out.decode()


async def run_well(*words: str) -> str:
    """Run it until all is fine, at most three times: on a busy machine sound is really cut up at times."""
    for _ in range(3):
        status, told = await run(*words)
        if status == 0:
            return told
    raise AssertionError(told)


async def test_an_echo_room_is_fine_by_every_transport_with_and_without_encryption(
    start_gateway: StartGateway,
) -> None:
    gateway = await start_gateway(**SETTINGS)
    account = ("--user", "ann", "--password", "correct horse", "--registrar", f"127.0.0.1:{gateway.tcp}")
    table = await run_well(f"sip:9196@127.0.0.1:{gateway.udp}", "--duration", "8")
    told = await run_well(f"sip:echo@127.0.0.1:{gateway.tcp}", "--transport", "tcp", "--json", *account)
    encrypted = await run_well(
        f"sip:echo@127.0.0.1:{gateway.tls}", "--transport", "tls", "--srtp", "--json", "--tone", "600"
    )
    assert table.strip().endswith("fine")
    for name in ("set-up time", "codec", "loss", "jitter", "round trip", "echo"):
        assert name in table
    report = json.loads(told)
    assert report["exit_status"] == 0
    assert set(report) == {"verdict", "exit_status", *Report("", "").plain()}
    assert (report["verdict"], report["called"], report["registered"], report["complete"]) == ("fine", True, True, True)
    assert report["keys"] == {"rfc4733": True, "info": True}
    assert 950 < report["echo_delay"] < 2000
    assert report["codec"] == "PCMU/8000"
    assert report["faults"] == []
    assert report["encryption"] == ""
    secure = json.loads(encrypted)
    assert secure["encryption"] == "SRTP"
    assert secure["tone_frequency"] == pytest.approx(600, abs=10)
    assert not await gateway.participants("echo")


async def test_what_is_wrong_is_told_with_its_own_status(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(**SETTINGS)
    meeting, nowhere, nobody, stranger = await asyncio.gather(
        run(f"sip:100@127.0.0.1:{gateway.udp}", "--duration", "8", "--json"),
        run(f"sip:nosuch@127.0.0.1:{gateway.udp}", "--json"),
        run(f"sip:echo@127.0.0.1:{free_port()}", "--timeout", "3"),
        run(
            f"sip:echo@127.0.0.1:{gateway.udp}",
            *("--user", "ann", "--password", "guess", "--registrar", f"127.0.0.1:{gateway.udp}"),
        ),
    )
    status, told = meeting
    assert status == 1, told
    report = json.loads(told)
    assert report["verdict"] == "bad"
    assert report["called"]
    assert "no echo of the tone came back" in report["faults"][0]
    status, told = nowhere
    assert status == 2, told
    assert json.loads(told)["faults"] == ["the call failed: 404 Not Found"]
    status, told = nobody
    assert status == 2, told
    assert "could not be called" in told
    status, told = stranger
    assert status == 2, told
    assert "wrong user or password" in told
    assert "guess" not in told
