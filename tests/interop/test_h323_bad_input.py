"""200,000 changed messages each of call signalling, H.245, inside TLS, and of RAS: a call beside them goes on."""

from __future__ import annotations

import random
import socket
import ssl
import sys
from pathlib import Path

import marks
import party
import pytest
from peers.ours import Terminal
from peers.ours323 import Terminal323
from starting import StartGateway

from gateway.bench.ports import free_port
from gateway.bench.process import GatewayProcess

sys.path.append(str(Path(__file__).parents[1] / "h323"))
from h323_hostile import mutants, mutate, ras, throw, throw_datagrams

pytestmark = [pytest.mark.interop, pytest.mark.timeout(1200)]
COUNT = 200_000
PART = 2_000
GROWTH = 60 << 20
"""Octets that memory may grow: the reserve of a process that served hundreds of calls at once, and no more."""


async def _throw(gateway: GatewayProcess, ras_port: int, chance: random.Random, port: str) -> None:
    """Throw one part of the messages."""
    if port == "RAS":
        await throw_datagrams(ras_port, [mutate(chance, chance.choice(ras())) for _ in range(PART)])
    elif port == "TLS":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        await throw(gateway.h323_tls, mutants(chance, PART), False, context)
    else:
        await throw(gateway.h323, mutants(chance, PART), port == "H.245")


@pytest.mark.parametrize("port", ["signalling", "H.245", "RAS", "TLS"])
async def test_changed_messages_harm_no_call(start_gateway: StartGateway, port: str) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    keeper = free_port(socket.SOCK_DGRAM)
    told = {"ras": keeper, "gatekeeper": "embedded"} if port == "RAS" else {}
    gateway = await start_gateway(media={"process": False, "ports": [20_000, 21_999]}, h323=told)
    hardware, terminal = Terminal323(marks.ANN), Terminal(marks.BOB)
    try:
        await hardware.dial("127.0.0.1", gateway.h323, "100")
        await terminal.dial("127.0.0.1", gateway.udp, "100")
        await _throw(gateway, keeper, chance, port)
        memory = gateway.usage().memory
        for _ in range(COUNT // PART - 1):
            await _throw(gateway, keeper, chance, port)
        for one in (hardware, terminal):
            one.voice.socket.kept.clear()
        await party.assert_all_hear({"h323": (marks.ANN, hardware.heard), "sip": (marks.BOB, terminal.heard)})
        grown = gateway.usage().memory - memory
        print(f"memory grew by {grown >> 10} KiB")
        assert grown < GROWTH, f"seed {seed}"
        metrics = await gateway.metrics()
        assert metrics.total("roombridge_h323_messages_total", kind="internal_errors") == 0, f"seed {seed}"
        assert metrics.total("roombridge_bad_input_total", where="ras", what="internal_errors") == 0, f"seed {seed}"
        assert metrics.total("roombridge_bad_input_total", where="ras" if port == "RAS" else "h323") > 0
        assert metrics.total("roombridge_h323_open", what="calls") <= 1
    finally:
        await hardware.hang_up()
        await terminal.hang_up()
