"""A real phone as a static peer: it is watched by OPTIONS, and its calls come in by the trunk's rules."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import marks
import pytest
from peers.baresip import Baresip
from starting import StartGateway

from gateway.bench.process import TOKEN, GatewayProcess

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]


async def _trunk(gateway: GatewayProcess) -> dict[str, Any]:
    def get() -> dict[str, Any]:
        request = urllib.request.Request(gateway.url + "/api/v1/trunks", headers={"Authorization": f"Bearer {TOKEN}"})
        with urllib.request.urlopen(request, timeout=20, context=gateway._tls) as answer:
            (found,) = json.loads(answer.read())["trunks"]
            return dict(found)

    return await asyncio.to_thread(get)


async def _until(gateway: GatewayProcess, **facts: Any) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while not facts.items() <= (found := await _trunk(gateway)).items():
            await asyncio.sleep(0.3)
    return found


async def test_baresip_is_a_static_peer(start_gateway: StartGateway, tmp_path: Path) -> None:
    phone = Baresip(marks.ANN, tmp_path, "tcp", video=False)
    phone.configure()
    trunk = {
        "name": "pbx",
        "servers": [f"127.0.0.1:{phone.port}"],
        "transport": "tcp",
        "options_interval": 5,
        "rewrite_in": [{"match": r"030123(\d+)", "replace": r"\1"}],
        "max_calls": 1,
    }
    try:
        await phone.begin()
        gateway = await start_gateway(trunks=[trunk], media={"process": False, "srtp": "off"})
        found = await _until(gateway, state="up")
        assert (found["server"], found["registration"], found["calls"]) == (f"127.0.0.1:{phone.port}", "", 0)
        await phone.dial(f"sip:030123100@127.0.0.1:{gateway.tcp};transport=tcp")
        assert len(await gateway.participants()) == 1
        assert (await _trunk(gateway))["calls"] == 1
        metrics = await gateway.metrics()
        assert metrics.total("roombridge_trunk_up", trunk="pbx") == 1
        assert metrics.total("roombridge_trunk_calls", trunk="pbx") == 1
        await phone.hang_up()
        await _until(gateway, calls=0)
    finally:
        await phone.stop()
    found = await _until(gateway, state="down")
    assert found["why"] == "no answer"  # its port is closed, so that is known at once


async def test_a_number_is_called_through_the_trunk_where_a_rule_allows_it(
    start_gateway: StartGateway, tmp_path: Path
) -> None:
    phone = Baresip(marks.ANN, tmp_path, video=False)
    phone.configure(answer=True)
    trunk = {
        "name": "pbx",
        "servers": [f"127.0.0.1:{phone.port}"],
        "options_interval": 0,
        "caller": "+4930100",
        "rewrite_out": [{"match": r"\+4930555", "replace": "ann"}],
    }
    rules = [{"schemes": "tel", "number": r"\+4930\d{3}", "trunk": "pbx"}]
    try:
        await phone.begin()
        gateway = await start_gateway(
            trunks=[trunk], outbound={"rules": rules}, media={"process": False, "srtp": "off"}
        )
        assert (await _call(gateway, "tel:+4989555"))[0] == 403
        status, said = await _call(gateway, "tel:+4930555")
        assert status == 201, said
        await phone.expect(r"Call established", 30)
        assert (await _trunk(gateway))["calls"] == 1
        await phone.hang_up()
        await _until(gateway, calls=0)
    finally:
        await phone.stop()


async def _call(gateway: GatewayProcess, target: str) -> tuple[int, str]:
    def post() -> tuple[int, str]:
        request = urllib.request.Request(
            gateway.url + "/api/v1/rooms/100/participants",
            json.dumps({"target": target}).encode(),
            {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30, context=gateway._tls) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    return await asyncio.to_thread(post)
