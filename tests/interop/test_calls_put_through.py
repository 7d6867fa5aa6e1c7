"""Registered phones that call each other through the gateway: who hears whom, who sees whom, and how calls end."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import marks
import numpy as np
import party
import pytest
from peers.baresip import Baresip
from peers.sipp import Sipp
from recognising import keys_in
from starting import LendGateway, StartGateway

from gateway.bench.process import TOKEN, GatewayProcess
from transcode.audio.key_sounds import made

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]
ACCOUNTS = [{"user": "ann", "password": "correct horse"}, {"user": "bob", "password": "battery"}]


async def _ask(gateway: GatewayProcess, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    def ask() -> tuple[int, Any]:
        request = urllib.request.Request(
            gateway.url + "/api/v1" + path,
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=20, context=gateway._tls) as answer:
                content = answer.read()
                return answer.status, json.loads(content) if content else None
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    return await asyncio.to_thread(ask)


async def _calls(gateway: GatewayProcess) -> list[dict[str, Any]]:
    _, answer = await _ask(gateway, "GET", "/calls")
    found: list[dict[str, Any]] = answer["calls"]
    return found


async def _nobody_calls(gateway: GatewayProcess) -> None:
    async with asyncio.timeout(60):
        while await _calls(gateway):
            await asyncio.sleep(0.2)


async def _records(gateway: GatewayProcess) -> list[dict[str, Any]]:
    _, answer = await _ask(gateway, "GET", "/records")
    return list(answer["records"])


async def _two_more(gateway: GatewayProcess, before: int) -> list[dict[str, Any]]:
    """Wait until two more calls are recorded than were before, and return their records."""
    async with asyncio.timeout(60):
        while len(found := await _records(gateway)) < before + 2:
            await asyncio.sleep(0.3)
    return found[: len(found) - before]  # the latest stand first


async def _forwarded(gateway: GatewayProcess, *kinds: str) -> None:
    """Wait until packets of each kind were sent on as they came."""
    async with asyncio.timeout(60):
        for kind in kinds:
            while (await gateway.metrics()).total("roombridge_forwarded_packets_total", kind=kind) < 50:
                await asyncio.sleep(0.5)


@asynccontextmanager
async def phones(
    gateway: GatewayProcess, tmp_path: Path, answer: bool = True, video: bool = False
) -> AsyncIterator[tuple[Baresip, Baresip]]:
    """Give ann and bob, both registered; bob takes calls by himself if answer is set."""
    async with AsyncExitStack() as stack:
        ann = Baresip(marks.ANN, tmp_path, video=video, registrar=(gateway.udp, '"correct horse"'))
        bob = Baresip(marks.BOB, tmp_path, video=video, registrar=(gateway.udp, '"battery"'))
        ann.configure()
        bob.configure(answer=answer)
        for phone in (ann, bob):
            stack.push_async_callback(phone.stop)
            await phone.begin()
        async with asyncio.timeout(60):
            while (await gateway.metrics()).total("roombridge_sip_registrations") != 2:
                await asyncio.sleep(0.2)
        yield ann, bob


async def test_two_terminals_call_each_other_with_sound_and_picture(
    start_gateway: StartGateway, tmp_path: Path
) -> None:
    gateway = await start_gateway(accounts=ACCOUNTS, sip={"authenticate": "all"})
    async with phones(gateway, tmp_path, video=True) as (ann, bob):
        await ann.dial(f"sip:bob@127.0.0.1:{gateway.udp}")
        await bob.expect("Call established", 30)
        calls = await _calls(gateway)
        assert {(one["direction"], one["state"], one["gateway"]) for one in calls} == {
            ("incoming", "inside", True),
            ("outgoing", "inside", True),
        }
        assert len({one["room"] for one in calls}) == 1
        assert not await gateway.participants()
        await _forwarded(gateway, "audio", "video")
        await party.assert_all_see({"ann": (marks.ANN, ann.sees), "bob": (marks.BOB, bob.sees)}, 60.0)
        await party.assert_all_hear({"ann": (marks.ANN, ann.heard), "bob": (marks.BOB, bob.heard)})
        await bob.hang_up()
        await ann.expect(r"session closed|terminated|Call.*closed", 30)
        await _nobody_calls(gateway)
        records = await _two_more(gateway, 0)
        assert {one["reason"] for one in records} == {"normal"}
        assert len({one["room"] for one in records}) == 1


async def test_a_called_one_who_says_no_is_heard_by_the_caller(lend_gateway: LendGateway, tmp_path: Path) -> None:
    gateway = await lend_gateway(accounts=ACCOUNTS, media={"process": False})
    before = len(await _records(gateway))
    async with phones(gateway, tmp_path, answer=False) as (ann, bob):
        await ann.write(f"/dial sip:bob@127.0.0.1:{gateway.udp}")
        await bob.expect(r"Incoming call", 30)
        await ann.expect(r"180 Ringing|ringing", 30)
        await bob.hang_up()
        await ann.expect(r"486|Busy|Rejected", 30)
        await _nobody_calls(gateway)
        assert {one["reason"] for one in await _two_more(gateway, before)} == {"busy"}


async def test_a_caller_who_gives_up_stops_the_ringing(lend_gateway: LendGateway, tmp_path: Path) -> None:
    gateway = await lend_gateway(accounts=ACCOUNTS, media={"process": False})
    before = len(await _records(gateway))
    async with phones(gateway, tmp_path, answer=False) as (ann, bob):
        await ann.write(f"/dial sip:bob@127.0.0.1:{gateway.udp}")
        await bob.expect(r"Incoming call", 30)
        bob.output = ""
        await ann.hang_up()
        await bob.expect(r"session closed|terminated|closed|[Cc]ancelled", 30)
        await _nobody_calls(gateway)
        assert {one["reason"] for one in await _two_more(gateway, before)} == {"cancelled"}


def _with_keys(mark: marks.Mark, keys: str, after: float) -> np.ndarray:
    """Return a mark's sound with tones of keys in it after so many seconds, 0.2 s each, between pauses."""
    pause = np.zeros(1600, np.int16)
    tones = [one for key in keys for one in (made(f"keys/{key}-200", 8000), pause) if one is not None]
    return np.concatenate((mark.voice(after), pause, *tones, mark.voice(60)))


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_sipp_calls_a_registered_terminal_and_presses_keys_by_their_tones(
    lend_gateway: LendGateway, tmp_path: Path, transport: str
) -> None:
    gateway = await lend_gateway(accounts=ACCOUNTS, media={"process": False})
    async with phones(gateway, tmp_path) as (_, bob):
        # It has G.711 and no telephone events, bob has both: his sound is forwarded, but keys come to him as events.
        sound = _with_keys(marks.CLEO, "47", after=3.0)
        sipp = Sipp(marks.CLEO, tmp_path, transport, seconds=10.0, samples=sound, events=False)
        try:
            await sipp.dial("127.0.0.1", gateway.udp if transport == "udp" else gateway.tcp, "bob")
            await party.assert_all_hear({"bob": (marks.BOB, bob.heard), "cleo": (marks.CLEO, sipp.heard)})
            await _forwarded(gateway, "audio")
            for key in "47":
                await bob.expect(rf"[Rr]eceived.*event.*{key}|'{key}'", 30)
            samples, rate = bob.heard()
            assert (keys_in(samples), rate) == ("", 8000)
            assert await sipp.wait(20) == 0  # it hangs up itself
        finally:
            await sipp.finish()
        await bob.expect(r"session closed|terminated|closed", 30)
        await _nobody_calls(gateway)


async def test_nobody_calls_outside_who_may_not(start_gateway: StartGateway, tmp_path: Path) -> None:
    gateway = await start_gateway(
        accounts=ACCOUNTS,
        media={"process": False},
        dial_plan=[{"called": r"0(\d+)", "call": r"sip:\1@127.0.0.1:9"}],
        outbound={"rules": [{"roles": ["caller"], "sources": ["192.0.2.0/24"]}]},
    )
    status, answer = await _ask(gateway, "POST", "/rooms/100/participants", {"target": "sip:x@127.0.0.1:9"})
    assert (status, answer["reason"]) == (403, "not-allowed")
    async with phones(gateway, tmp_path) as (ann, _):
        await ann.write(f"/dial sip:0900123@127.0.0.1:{gateway.udp}")
        await ann.expect(r"403", 30)
    metrics = await gateway.metrics()
    assert metrics.total("roombridge_outbound_refused_total", reason="not-allowed") == 2
    assert metrics.total("roombridge_outbound_calls") == 0
