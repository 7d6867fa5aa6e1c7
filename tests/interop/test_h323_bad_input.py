"""200,000 changed messages on each of H.323's ports: nothing breaks or grows, and a call in progress goes on."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import marks
import party
import pytest
from peers.ours import Terminal
from peers.ours323 import Terminal323
from starting import StartGateway

sys.path.append(str(Path(__file__).parents[1] / "h323"))
from h323_hostile import mutants, throw

pytestmark = [pytest.mark.interop, pytest.mark.timeout(1200)]
COUNT = 200_000
PART = 2_000
GROWTH = 60 << 20
"""Octets that memory may grow: the reserve of a process that served hundreds of calls at once, and no more."""


@pytest.mark.parametrize("separate", [False, True], ids=["signalling", "H.245"])
async def test_changed_messages_harm_no_call(start_gateway: StartGateway, separate: bool) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    gateway = await start_gateway(media={"process": False, "ports": [20_000, 21_999]})
    hardware, terminal = Terminal323(marks.ANN), Terminal(marks.BOB)
    try:
        await hardware.dial("127.0.0.1", gateway.h323, "100")
        await terminal.dial("127.0.0.1", gateway.udp, "100")
        await throw(gateway.h323, mutants(chance, PART), separate)
        memory = gateway.usage().memory
        for _ in range(COUNT // PART - 1):
            await throw(gateway.h323, mutants(chance, PART), separate)
        for one in (hardware, terminal):
            one.voice.socket.kept.clear()
        await party.assert_all_hear({"h323": (marks.ANN, hardware.heard), "sip": (marks.BOB, terminal.heard)})
        grown = gateway.usage().memory - memory
        print(f"memory grew by {grown >> 10} KiB")
        assert grown < GROWTH, f"seed {seed}"
        metrics = await gateway.metrics()
        assert metrics.total("roombridge_h323_messages_total", kind="internal_errors") == 0, f"seed {seed}"
        assert metrics.total("roombridge_bad_input_total", where="h323") > 0
        assert metrics.total("roombridge_h323_open", what="calls") <= 1
    finally:
        await hardware.hang_up()
        await terminal.hang_up()
