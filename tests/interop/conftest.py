"""The gateway that interop tests call, as a process of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from peers.translator import Translator
from starting import StartGateway

from gateway.bench.process import GatewayProcess


@pytest_asyncio.fixture
async def start_gateway(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[StartGateway]:
    """Give a function that starts a gateway with changes to its configuration.

    At the end the gateway must still run, stop by itself when asked, and have logged no traceback.
    """
    started: list[GatewayProcess] = []

    async def start(behind: Translator | None = None, **changes: Any) -> GatewayProcess:
        place = tmp_path / f"gateway-{len(started)}"
        place.mkdir()
        where = (behind.behind, behind.inside) if behind is not None else ()
        gateway = GatewayProcess(place, changes, *where)
        started.append(gateway)
        await gateway.start()
        return gateway

    yield start
    for gateway in started:
        ran = gateway.running
        status = await gateway.stop()
        tail = gateway.output[-4000:]
        request.node.add_report_section("teardown", "gateway", tail)
        assert ran, f"the gateway ended by itself with {status}:\n{tail}"
        assert status == 0, f"the gateway ended with {status}:\n{tail}"
        assert "Traceback" not in gateway.output, tail
