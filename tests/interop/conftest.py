"""The gateways that interop tests call, as processes of their own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import house
import pytest
import pytest_asyncio
from peers.lan import Lan
from peers.translator import Translator
from starting import LendGateway, StartGateway

from gateway.bench.process import GatewayProcess

LEAVING = 60.0
"""Seconds within which all of a test are gone from a gateway that was lent to it."""
LEFT = ("calls", "participants", "legs", "sip_registrations")
"""What must be none in a gateway before it is lent again."""

Lent = dict[str, GatewayProcess]


async def _ends_well(gateway: GatewayProcess) -> None:
    ran = gateway.running
    status = await gateway.stop()
    tail = gateway.output[-4000:]
    assert ran, f"the gateway ended by itself with {status}:\n{tail}"
    assert status == 0, f"the gateway ended with {status}:\n{tail}"
    assert "Traceback" not in gateway.output, tail


@pytest_asyncio.fixture
async def start_gateway(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[StartGateway]:
    """Give a function that starts a gateway with changes to its configuration.

    At the end the gateway must still run, stop by itself when asked, and have logged no traceback.
    """
    started: list[GatewayProcess] = []

    async def start(behind: Translator | Lan | None = None, **changes: Any) -> GatewayProcess:
        place = tmp_path / f"gateway-{len(started)}"
        place.mkdir()
        where = (behind.behind, behind.inside) if behind is not None else ()
        gateway = GatewayProcess(place, changes, *where)
        started.append(gateway)
        await gateway.start()
        return gateway

    yield start
    for gateway in started:
        request.node.add_report_section("teardown", "gateway", gateway.output[-4000:])
        await _ends_well(gateway)


@pytest.fixture(scope="module")
def gateways_of_module() -> Iterator[Lent]:
    """Give the gateways that tests of a module lend one after the other, by what they change; they end well, too."""
    lent: Lent = {}
    yield lent

    async def end() -> None:
        for gateway in lent.values():
            await _ends_well(gateway)

    asyncio.run(end())


@pytest_asyncio.fixture
async def lend_gateway(
    gateways_of_module: Lent, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> AsyncIterator[LendGateway]:
    """Give a function that lends a gateway, which other tests of the module with the same changes used before.

    What counts from its start on (metrics, records) counts what they did, too. At the end everybody must be gone from
    it: a test has its peers leave, or stops them.
    """
    used: Lent = {}

    async def lend(**changes: Any) -> GatewayProcess:
        key = json.dumps(changes, sort_keys=True)
        if key not in gateways_of_module:
            gateway = gateways_of_module[key] = GatewayProcess(tmp_path_factory.mktemp("gateway"), changes)
            await gateway.start()
        used[key] = gateways_of_module[key]
        return used[key]

    yield lend
    for key, gateway in used.items():
        request.node.add_report_section("teardown", "gateway", gateway.output[-4000:])
        try:
            await _hang_up_on_the_rest(gateway)
            await _nobody_left(gateway)
        except BaseException:
            del gateways_of_module[key]
            await gateway.stop()
            raise


async def _hang_up_on_the_rest(gateway: GatewayProcess) -> None:
    """End calls whose peers said no goodbye: a browser that was closed might come back, and SIPp was just stopped."""
    for call in await house.calls(gateway):
        with suppress(OSError):  # it has gone meanwhile
            await house.ask(gateway, "DELETE", f"/calls/{call['id']}")


async def _nobody_left(gateway: GatewayProcess) -> None:
    deadline = asyncio.get_running_loop().time() + LEAVING
    while True:
        metrics = await gateway.metrics()
        left = {name: metrics.total(f"roombridge_{name}") for name in LEFT}
        if not any(left.values()):
            return
        assert asyncio.get_running_loop().time() < deadline, f"left in the gateway: {left}"
        await asyncio.sleep(0.2)
