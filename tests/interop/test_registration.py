"""Real phones that register with a password, and are called where they are."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from pathlib import Path
from typing import Any

import marks
import pytest
from peers.baresip import Baresip
from peers.sipp import Sipp
from starting import StartGateway

from gateway.bench.process import TOKEN, GatewayProcess

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]
ACCOUNTS = [{"user": "ann", "password": "correct horse"}, {"user": "bob", "password": "battery"}]


def _port(gateway: GatewayProcess, transport: str) -> int:
    return {"udp": gateway.udp, "tcp": gateway.tcp, "tls": gateway.tls}[transport]


async def _registered(gateway: GatewayProcess, count: int) -> None:
    async with asyncio.timeout(60):
        while (await gateway.metrics()).total("roombridge_sip_registrations") != count:
            await asyncio.sleep(0.1)


async def _call(gateway: GatewayProcess, target: str) -> dict[str, Any]:
    def post() -> dict[str, Any]:
        request = urllib.request.Request(
            gateway.url + "/api/v1/rooms/100/participants",
            json.dumps({"target": target, "name": "Ann"}).encode(),
            {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=20, context=gateway._tls) as answer:
            found: dict[str, Any] = json.loads(answer.read())
            return found

    return await asyncio.to_thread(post)


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
async def test_baresip_registers_calls_and_is_called(
    start_gateway: StartGateway, tmp_path: Path, transport: str
) -> None:
    gateway = await start_gateway(
        accounts=ACCOUNTS, sip={"authenticate": "all"}, media={"process": False, "srtp": "off"}
    )
    port = _port(gateway, transport)
    phone = Baresip(marks.ANN, tmp_path, transport, video=False, registrar=(port, '"correct horse"'))
    phone.configure(answer=True)
    try:
        await phone.begin()
        await phone.expect(r"200 OK", 30)
        await _registered(gateway, 1)
        participant = await _call(gateway, "sip:ann@127.0.0.1")
        assert participant["name"] == "Ann"
        await phone.expect(r"Call established", 30)
        await phone.hang_up()
        phone.output = ""
        await phone.dial(f"sip:100@127.0.0.1:{port};transport={transport}")
        assert len(await gateway.participants()) == 1
        await phone.hang_up()
    finally:
        await phone.stop()
    if transport == "udp":
        await _registered(gateway, 0)


async def test_a_wrong_password_does_not_register_and_is_put_off(start_gateway: StartGateway, tmp_path: Path) -> None:
    gateway = await start_gateway(accounts=ACCOUNTS, media={"process": False})
    phone = Baresip(marks.ANN, tmp_path, video=False, registrar=(gateway.udp, "guess"))
    phone.configure()
    try:
        await phone.begin()
        await phone.expect(r"503 Service Unavailable", 30)  # it answers each new nonce, until it is put off
        assert (await gateway.metrics()).total("roombridge_sip_registrations") == 0
    finally:
        await phone.stop()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_sipp_registers_and_leaves(start_gateway: StartGateway, tmp_path: Path, transport: str) -> None:
    gateway = await start_gateway(accounts=ACCOUNTS, media={"process": False})
    sipp = Sipp(marks.BOB, tmp_path, transport)
    status = await sipp.register("127.0.0.1", _port(gateway, transport), "bob", "battery")
    assert status == 0, sipp._file("errors") + sipp._file("messages")[-4000:]
    assert "CONTACT" in sipp._file("log")
    await _registered(gateway, 0)
    assert (await gateway.metrics()).total("roombridge_sip_messages_total", kind="registrations_added") == 1
