"""The menu as callers find it: prompts are recognised by their sound, and keys come in every way that there is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import house
import marks
import pytest
from peers.ours323 import Terminal323
from peers.pjsua import Pjsua
from peers.scenario import TRYING, answer, asked, expect, play, request, sdp
from recognising import heard_prompts
from starting import StartGateway

from gateway.bench import clip
from gateway.bench.process import GatewayProcess
from gateway.bench.sound import Samples
from gateway.rooms.pins import ADDRESS_TRIES

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]
PIN = "471104815"
ROOMS = [{"id": "100"}, {"id": "200", "guest_pin": PIN, "language": "de"}]
PATIENCE = 60.0
"""Seconds for which a prompt or a change is waited for: questions are put again where nothing is typed."""
PROMPTS = ("welcome", "enter-room", "enter-pin", "wrong-pin", "wrong-room", "too-many-tries", "goodbye")

Hear = Callable[[], Awaitable[tuple[Samples, int]]]
Press = Callable[[str], Awaitable[None]]


async def prompts_heard(hear: Hear, language: str) -> list[str]:
    samples, rate = await hear()
    names = [f"{language}/{name}" for name in PROMPTS]
    return [one.name for one in await asyncio.to_thread(heard_prompts, (samples, rate), names)]


async def until_asked(hear: Hear, question: str, times: int = 1) -> None:
    """Wait until a question (LANGUAGE/NAME) was put so often; one that a busy machine spoilt is put again."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while (heard := await prompts_heard(hear, question.partition("/")[0])).count(question) < times:
        assert asyncio.get_running_loop().time() < deadline, f"wanted {question}, heard {heard}"
        await asyncio.sleep(0.25)


async def until_outside(gateway: GatewayProcess, name: str, stage: str, room: str = "") -> None:
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while True:
        found = [one for one in await house.calls(gateway) if one["name"].lower() == name.lower()]
        told = [(one["state"], one["stage"], one["room"]) for one in found]
        if told == [("outside", stage, room)]:
            return
        assert asyncio.get_running_loop().time() < deadline, told
        await asyncio.sleep(0.1)


class Telephone:
    """PJSUA2 in one call: what it hears, and its keys by one of three ways."""

    def __init__(self, phone: Pjsua, call: int, way: str) -> None:
        self.phone = phone
        self.call = call
        self.way = way

    async def hear(self) -> tuple[Samples, int]:
        return await self.phone.heard(self.call)

    async def press(self, keys: str) -> None:
        if self.way != "dtmf":
            await self.phone.do("press", call=self.call, digits=keys, by_info=self.way == "dtmf-relay")
            return
        for key in keys:
            await self.phone.do("send_info", call=self.call, kind="application/dtmf", body=key)


async def finds_its_way(gateway: GatewayProcess, name: str, hear: Hear, press: Press) -> set[str]:
    """Type a room, a wrong PIN and the right one, each when it is asked for; return what was heard until one is in."""
    await until_asked(hear, "en/enter-room")
    await until_outside(gateway, name, "menu")
    await press("200#")
    await until_asked(hear, "de/enter-pin")
    await until_outside(gateway, name, "menu", "200")
    await press("1#")
    await until_asked(hear, "de/enter-pin", 2)
    await press(f"{PIN}#")
    await is_in(gateway, name)
    return {*await prompts_heard(hear, "en"), *await prompts_heard(hear, "de")}


async def is_in(gateway: GatewayProcess, name: str, room: str = "200", seconds: float = PATIENCE) -> None:
    async with asyncio.timeout(seconds):
        while name.lower() not in {one["name"].lower() for one in await gateway.participants(room)}:
            await asyncio.sleep(0.1)


async def by_telephone(gateway: GatewayProcess, directory: Path) -> set[str]:
    heard: set[str] = set()
    phone = Pjsua(marks.ANN, directory)
    await phone.start()
    try:
        for way in ("events", "dtmf-relay", "dtmf"):
            telephone = Telephone(phone, await phone.call(f"sip:127.0.0.1:{gateway.udp}"), way)
            if way == "events":
                heard = await finds_its_way(gateway, "ann", telephone.hear, telephone.press)
            else:  # the greeting is broken off, and all is typed in one go
                await until_outside(gateway, "ann", "menu")
                await telephone.press(f"200#{PIN}#")
                await is_in(gateway, "ann")
            await phone.do("hang_up", call=telephone.call)
            await phone.until(telephone.call, PATIENCE, over=True)
    finally:
        await phone.stop()
    return heard


async def by_tones(gateway: GatewayProcess, directory: Path) -> None:
    """Come in by the tones of keys alone; one that a busy machine breaks is typed again, as people do."""
    phone = Pjsua(marks.CLEO, directory, codecs=["PCMU"])
    await phone.start()
    try:
        call = await phone.call(f"sip:127.0.0.1:{gateway.udp}")
        await until_outside(gateway, "cleo", "menu")
        for attempt in range(3):
            await phone.do("press_tones", call=call, digits=f"{'*' if attempt else ''}200#{PIN}#")
            try:
                await is_in(gateway, "cleo", seconds=15.0)
            except TimeoutError:
                continue
            break
        await is_in(gateway, "cleo", seconds=1.0)
        await phone.do("hang_up", call=call)
        await phone.until(call, PATIENCE, over=True)
    finally:
        await phone.stop()


async def by_sipp(gateway: GatewayProcess, directory: Path) -> None:
    """Come in by INFO in both forms from a scenario that holds no sound at all."""
    keys = []
    for number, key in enumerate(f"200#{PIN}#"):
        relay = number % 2
        kind = "application/dtmf-relay" if relay else "application/dtmf"
        body = f"Signal={key}\nDuration=160" if relay else key
        keys += [request("INFO", number + 2, body, kind=kind), expect(200)]
    steps = [
        request("INVITE", 1, sdp(), tag=False, uri="sip:[remote_ip]:[remote_port]"),
        TRYING,
        expect(200),
        request("ACK", 1),
        *keys,
        asked("BYE"),
        answer("200 OK"),
    ]
    calling = asyncio.get_running_loop().create_task(play(steps, directory, gateway.udp, seconds=round(3 * PATIENCE)))
    try:
        await is_in(gateway, "caller")
        one = next(one for one in await gateway.participants("200") if one["name"].lower() == "caller")
        await house.ask(gateway, "DELETE", f"/rooms/200/participants/{one['id']}")
    finally:
        outcome = await calling
    assert outcome.status == 0, outcome.text


async def by_room_system(gateway: GatewayProcess) -> set[str]:
    terminal = Terminal323(marks.BOB, clip.encode(marks.BOB.code, 640, 360, marks.FRAME_RATE, 300_000))

    async def hear() -> tuple[Samples, int]:
        return terminal.heard()

    async def press(keys: str) -> None:
        assert terminal.phone is not None
        for key in keys:
            terminal.phone.press(key)

    try:
        await terminal.dial("127.0.0.1", gateway.h323, "")
        return await finds_its_way(gateway, "bob", hear, press)
    finally:
        await terminal.hang_up()


async def test_telephones_and_a_room_system_find_their_way_in_by_keys_of_each_kind(
    start_gateway: StartGateway, tmp_path: Path
) -> None:
    gateway = await start_gateway(rooms=ROOMS, media={"process": False})
    async with asyncio.TaskGroup() as callers:
        telephone = callers.create_task(by_telephone(gateway, tmp_path))
        terminal = callers.create_task(by_room_system(gateway))
        callers.create_task(by_sipp(gateway, tmp_path))
    await by_tones(gateway, tmp_path)
    # A busy machine may spoil what is said but once; it is not spoilt for both.
    heard = telephone.result() | terminal.result()
    assert heard >= {"en/welcome", "en/enter-room", "de/enter-pin", "de/wrong-pin"}
    await house.holds(gateway, 0, "200", PATIENCE)
    assert PIN not in gateway.output


async def settled(phone: Pjsua, call: int) -> int:
    """Wait until a call was answered or refused, and return the status."""
    async with asyncio.timeout(PATIENCE):
        while not (state := await phone.do("state", call=call))["over"] and not state["active"]:
            await asyncio.sleep(0.05)
    return int(state["status"])


async def records(gateway: GatewayProcess) -> list[dict[str, Any]]:
    found = await house.ask(gateway, "GET", "/records")
    return list(found["records"])


async def test_who_guesses_is_told_goodbye_and_locked_out_but_others_are_not(
    start_gateway: StartGateway, tmp_path: Path
) -> None:
    gateway = await start_gateway(rooms=ROOMS, media={"process": False})
    room = f"@127.0.0.1:{gateway.udp}"
    async with AsyncExitStack() as stack:
        phone, other = Pjsua(marks.ANN, tmp_path), Pjsua(marks.BOB, tmp_path, address="127.0.0.2")
        for one in (phone, other):
            await one.start()
            stack.push_async_callback(one.stop)
        telephone = Telephone(phone, await phone.call(f"sip:200*1{room}"), "events")
        answered = 0
        async with asyncio.timeout(2 * PATIENCE):
            while not (await phone.do("state", call=0))["over"]:
                if (await prompts_heard(telephone.hear, "de")).count("de/enter-pin") > answered:
                    answered += 1
                    await telephone.press("2#")
                await asyncio.sleep(0.25)
        heard = await prompts_heard(telephone.hear, "de")
        assert {"de/too-many-tries", "de/goodbye"} & set(heard), heard
        for _ in range(ADDRESS_TRIES):
            number = int((await phone.do("dial", target=f"sip:200*9{room}"))["call"])
            if await settled(phone, number) == 403:
                break
            await phone.do("hang_up", call=number)
        number = int((await phone.do("dial", target=f"sip:200*{PIN}{room}"))["call"])
        assert await settled(phone, number) == 403
        assert not await gateway.participants("200")
        await other.call(f"sip:200*{PIN}{room}")
        await is_in(gateway, "bob")
    metrics = await gateway.metrics()
    assert metrics.total("roombridge_entry_faults_total", what="wrong_pin") == ADDRESS_TRIES
    assert metrics.total("roombridge_entry_faults_total", what="lock_out_source") == 1
    async with asyncio.timeout(PATIENCE):
        while not (reasons := {one["reason"] for one in await records(gateway)}) >= {"too-many-tries", "locked-out"}:
            await asyncio.sleep(0.25)
    lines = [json.loads(line) for line in gateway.output.splitlines() if '"locked_out"' in line]
    assert [(line["what"], line["room"]) for line in lines] == [("source", "200")], reasons
    assert PIN not in gateway.output
