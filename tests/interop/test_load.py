"""Calls that come and go quickly: none fails, and memory and every table return to where they were.

A minute at a hundred calls a second, with no bound on how many stand at once, takes a machine that does nothing else:
set ROOMBRIDGE_LOAD to the seconds wanted. Without it a hundred calls stand at most, so that a busy machine slows the
caller down and fails no call.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from peers.scenario import TRYING, expect, pause, play, request, sdp
from starting import StartGateway
from test_sipp_scenarios import ends, nothing_left

from gateway.bench.process import GatewayProcess

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]

RATE = 100
"""Calls a second."""
SECONDS = int(os.environ.get("ROOMBRIDGE_LOAD", "0"))
AT_ONCE = 100
ROUNDS = 3
GROWTH = 0.03
"""What memory may grow by from the second round to the third, as a share: the first ones fill pools and caches."""
LINGER = 40.0
"""Seconds within which all transactions end: they absorb retransmissions for 32 (RFC 3261 §17.2)."""
RETRANSMITTED = '<send retrans="500">'
CALL = [
    request("INVITE", 1, sdp(), tag=False).replace("<send>", RETRANSMITTED),
    TRYING,
    expect(200),
    request("ACK", 1),
    pause(1000),
    request("BYE", 2).replace("<send>", RETRANSMITTED),
    expect(200),
]


async def _round(gateway: GatewayProcess, place: Path, calls: int) -> None:
    bound = 5_000 if SECONDS else AT_ONCE
    options = ("-r", str(RATE), "-l", str(bound))
    outcome = await play(CALL, place, gateway.udp, calls=calls, options=options, seconds=120 + SECONDS, trace=False)
    assert outcome.status == 0, f"{outcome.text}\n{gateway.output[-2000:]}"


async def _no_transaction_left(gateway: GatewayProcess) -> None:
    async with asyncio.timeout(LINGER):
        while (await gateway.metrics()).total("roombridge_sip_open"):
            await asyncio.sleep(1.0)


@pytest.mark.timeout(900)
async def test_calls_that_come_and_go_leave_nothing_behind(start_gateway: StartGateway, tmp_path: Path) -> None:
    gateway = await start_gateway()
    calls = RATE * (SECONDS or 4)
    files, memory = gateway.files(), []
    for number in range(1, ROUNDS + 1):
        await _round(gateway, tmp_path, calls)
        await nothing_left(gateway)
        await _no_transaction_left(gateway)
        assert await ends(gateway) == {"normal": float(calls * number)}
        memory.append(gateway.usage().memory)
    assert gateway.files() <= files, "files or sockets were left open"
    assert memory[2] - memory[1] < memory[1] * GROWTH, f"memory grew from round to round: {memory}"
    metrics = await gateway.metrics()
    assert metrics.total("roombridge_records_lost_total") == 0
    print(f"{calls} calls a round; memory {[size >> 20 for size in memory]} MiB")
