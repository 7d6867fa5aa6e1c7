"""The lobby and the locked door with phones of others: what those outside hear, and who lets them in and how."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import house
import marks
import numpy as np
import pytest
from hearing import heard
from peers.baresip import Baresip
from peers.listener import Event, events_of
from peers.ours import Terminal
from peers.pjsua import Pjsua
from recognising import heard_prompts, holds_part
from starting import StartGateway

from gateway.bench.process import GatewayProcess
from gateway.bench.sound import Samples

pytestmark = [pytest.mark.interop, pytest.mark.timeout(420)]
PATIENCE = 60.0
"""Seconds for which anything is waited for."""
HOST = marks.GUS
"""Its tone is higher than anything in the music."""
BURST = 0.5
"""Seconds of a tone below which it was not heard: its bursts last 0.7, and a look here and there is mistaken."""
WORDS = 1.2
"""Seconds of a prompt that are enough to know it by: a busy machine may spoil the rest."""
MUSIC = 2.0
"""The same of music."""
SOUNDS = 0.8
"""The same of a short prompt."""
HOST_PIN, GUEST_PIN = "90417", "2301"
LEAVES = {"host_leaves": "end", "host_leaves_after": 12}
ROOM = {"id": "100", "host_pin": HOST_PIN, "guest_pin": GUEST_PIN, "lobby": True, "entry": "names", **LEAVES}
MAX_KNOCKS = 6
OVER = r"session closed|terminated"
"""What baresip prints at the end of a call."""
SILENT = np.zeros(8000, np.int16)


@dataclass(slots=True)
class Phone:
    """Somebody's phone: its mark, and how all that it has heard is got at; of that counts what came from since on."""

    mark: marks.Mark
    hear: Callable[[], Awaitable[tuple[Samples, int]]]
    since: int = 0

    async def seconds_of(self, mark: marks.Mark) -> float:
        """Return for how long it has heard another one's tone."""
        samples, rate = await self.hear()
        return heard(samples[self.since :], rate, (mark.tone,))[mark.tone]

    async def heard_words(self, name: str) -> bool:
        """Whether it has heard a good part of a long prompt."""
        return await asyncio.to_thread(holds_part, await self.hear(), f"en/{name}", WORDS)

    async def heard_music(self) -> bool:
        """Whether it has heard some of the waiting music."""
        return await asyncio.to_thread(holds_part, await self.hear(), "music/waiting", MUSIC)

    async def heard_any(self, *names: str) -> bool:
        """Whether it has heard one of these prompts or tones, or a good part of it."""
        samples, rate = await self.hear()
        recording = samples[self.since :], rate
        if await asyncio.to_thread(heard_prompts, recording, names):
            return True
        return any([await asyncio.to_thread(holds_part, recording, name, SOUNDS) for name in names])


async def until(so: Callable[[], Awaitable[bool]], what: str) -> None:
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while not await so():
        assert asyncio.get_running_loop().time() < deadline, what
        await asyncio.sleep(0.5)


async def until_stage(gateway: GatewayProcess, stages: dict[str, str]) -> dict[str, str]:
    """Wait until these stand before the room, each at its stage; return their ids by name."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while True:
        waiting = (await house.ask(gateway, "GET", "/rooms/100/waiting"))["waiting"]
        if {one["name"].lower(): one["stage"] for one in waiting} == stages:
            return {one["name"].lower(): str(one["id"]) for one in waiting}
        assert asyncio.get_running_loop().time() < deadline, waiting
        await asyncio.sleep(0.3)


async def pjsua(stack: AsyncExitStack, mark: marks.Mark, directory: Path) -> tuple[Pjsua, Phone]:
    program = Pjsua(mark, directory, codecs=["PCMU"], log=1)
    await program.start()
    stack.push_async_callback(program.stop)
    return program, Phone(mark, program.heard)


async def baresip(stack: AsyncExitStack, mark: marks.Mark, directory: Path) -> tuple[Baresip, Phone]:
    program = Baresip(mark, directory, video=False)
    program.configure()
    await program.begin()
    stack.push_async_callback(program.stop)

    async def hear() -> tuple[Samples, int]:
        return program.heard()

    return program, Phone(mark, hear)


async def comes_as_host(program: Pjsua, phone: Phone, gateway: GatewayProcess) -> None:
    """Call the menu, and type the room and the host PIN, each when it is wanted; then sing."""
    await program.call(f"sip:127.0.0.1:{gateway.udp}")
    for room, keys in (("", "100#"), ("100", f"{HOST_PIN}#")):
        await until(lambda room=room: stands_in_menu(gateway, "gus", room), f"the menu asks, of room {room!r}")  # type: ignore[misc]
        await program.do("press", call=0, digits=keys, by_info=False)
    await house.holds(gateway, 1, "100", PATIENCE)
    assert [one["rank"] for one in await gateway.participants("100")] == ["host"]
    phone.since = len((await phone.hear())[0])
    await program.sing()


async def stands_in_menu(gateway: GatewayProcess, name: str, room: str) -> bool:
    """Whether somebody is in the menu, on its way to a room."""
    found = [one for one in await house.calls(gateway) if one["name"].lower() == name]
    return [(one["stage"], one["room"]) for one in found] == [("menu", room)]


async def test_guests_of_two_makers_wait_with_music_and_a_third_one_s_host_decides_on_them(
    start_gateway: StartGateway, tmp_path: Path
) -> None:
    gateway = await start_gateway(rooms=[ROOM], media={"process": False})
    async with AsyncExitStack() as stack:
        told = await stack.enter_async_context(events_of(gateway))
        host_program, host = await pjsua(stack, HOST, tmp_path)
        fay_program, fay = await pjsua(stack, marks.FAY, tmp_path)
        eve_program, eve = await baresip(stack, marks.EVE, tmp_path)
        dan_program, dan = await baresip(stack, marks.DAN, tmp_path)
        guest = f"sip:100*{GUEST_PIN}@127.0.0.1:{gateway.udp}"

        # Dan waits for a host; then the room is locked, and he is one who knocks.
        await dan_program.dial(guest)
        await until_stage(gateway, {"dan": "lobby"})
        await until(lambda: dan.heard_words("waiting-for-host"), "Dan is told that he waits for the host")
        await until(dan.heard_music, "Dan hears music")
        await house.ask(gateway, "PATCH", "/rooms/100", {"locked": True})
        await until_stage(gateway, {"dan": "knocking"})
        await until(lambda: dan.heard_words("knocking"), "Dan is told that he knocked")

        # The host comes in, but not he; others knock, which the host hears.
        await comes_as_host(host_program, host, gateway)
        await until_stage(gateway, {"dan": "knocking"})
        number = await hears_the_knock(host, fay_program, guest)
        fay.hear = lambda: fay_program.heard(number)
        await fay_program.sing(number)
        await until(fay.heard_music, "Fay hears music")
        await eve_program.dial(guest)
        await until(eve.heard_music, "Eve hears music")
        waiting = await until_stage(gateway, {"dan": "knocking", "fay": "knocking", "eve": "knocking"})
        for outside in (fay, dan, eve):
            assert await outside.seconds_of(HOST) < BURST, "outside one hears nobody"
            assert await host.seconds_of(outside.mark) < BURST, "inside nobody hears those outside"

        # One comes in by the host's keys, one by the API; all hear one another from then on.
        await host_program.do("press", call=0, digits="*1", by_info=False)
        await house.holds(gateway, 2, "100", PATIENCE)
        await house.ask(gateway, "POST", f"/rooms/100/waiting/{waiting['fay']}/admit")
        await house.holds(gateway, 3, "100", PATIENCE)
        for inside in (fay, dan):
            await until(lambda one=inside: hears(one, HOST), f"{inside.mark.name} hears the host")  # type: ignore[misc]
            await until(lambda one=inside: hears(host, one.mark), f"the host hears {inside.mark.name}")  # type: ignore[misc]
        assert await fay.heard_any("en/admitted") or await dan.heard_any("en/admitted")

        # The third one is turned away by the host's keys, is told so, and let go.
        assert await eve.seconds_of(HOST) < BURST
        await host_program.do("press", call=0, digits="*2", by_info=False)
        await eve_program.expect(OVER, PATIENCE)
        assert await eve.heard_any("en/not-admitted", "en/goodbye")
        await house.holds(gateway, 3, "100", PATIENCE)
        await until(lambda: tells(told, "call-failed", "eve"), "the stream tells of Eve's end")
        assert await host.heard_any("en/joined") or await dan.heard_any("en/joined"), "they hear who comes"

        # The host leaves: those who stay are told, and hung up some seconds later.
        dan.since = len((await dan.hear())[0])
        await host_program.do("hang_up", call=0)
        await dan_program.expect(OVER, PATIENCE)
        await fay_program.until(number, PATIENCE, over=True)
        assert await dan.heard_any("en/host-left", "en/meeting-ends-soon")
        await house.holds(gateway, 0, "100", PATIENCE)
        await ends_by_itself(told, "host-left", 12.0)
    assert not {HOST_PIN, GUEST_PIN} & set(gateway.output.replace('"', " ").split())
    assert_told(told, waiting)


async def test_who_is_alone_and_a_room_in_which_nothing_happens_are_told_and_hung_up(
    start_gateway: StartGateway,
) -> None:
    rooms = [{"id": "1", "lone_timeout": 12}, {"id": "2", "idle_timeout": 12, "language": "de"}]
    gateway = await start_gateway(rooms=rooms, media={"process": False})
    lone, idle, other = Terminal(marks.ANN), Terminal(marks.BOB, samples=SILENT), Terminal(marks.EVE, samples=SILENT)
    async with AsyncExitStack() as stack:
        told = await stack.enter_async_context(events_of(gateway))
        for terminal, room in ((lone, "1"), (idle, "2"), (other, "2")):
            await terminal.dial("127.0.0.1", gateway.udp, room)
            stack.push_async_callback(terminal.hang_up)
        for terminal, name, reason in ((lone, "en/alone", "alone"), (idle, "de/meeting-ends-soon", "idle")):
            assert terminal.call is not None
            await asyncio.wait_for(terminal.call.ended.wait(), PATIENCE)
            assert [one.name for one in heard_prompts(terminal.heard(), (name,))] == [name]
            await ends_by_itself(told, reason, 6.0)
            who = (terminal.mark.name, reason)
            await until(lambda who=who: has_left(told, *who), f"the stream tells that {who} left")  # type: ignore[misc]


async def hears(phone: Phone, mark: marks.Mark) -> bool:
    return await phone.seconds_of(mark) > 2 * BURST


async def tells(told: list[Event], name: str, who: str) -> bool:
    return any(kind == name and data.get("name", "").lower() == who for kind, data in told)


async def has_left(told: list[Event], name: str, reason: str) -> bool:
    return any(
        kind == "left" and (data["participant"]["name"], data["reason"]) == (name, reason) for kind, data in told
    )


async def ends_by_itself(told: list[Event], reason: str, at_most: float) -> None:
    """Wait until the stream has told that a meeting will end, in how many seconds, and that it ends."""

    def endings() -> list[float]:
        return [data["seconds"] for kind, data in told if kind == "room-ending" and data["reason"] == reason]

    async def over() -> bool:
        return 0.0 in endings()

    await until(over, f"the stream tells of {reason}")
    before, now = endings()
    assert 0.0 < before <= at_most + 0.1
    assert now == 0.0


async def hears_the_knock(host: Phone, other: Pjsua, guest: str) -> int:
    """Have somebody call, and again where a busy machine spoilt the knock, until the host has heard one.

    Return the number of its last call.
    """
    for number in range(MAX_KNOCKS):
        assert await other.call(guest) == number
        try:
            async with asyncio.timeout(10.0):
                while not await host.heard_any("tones/knock"):
                    await asyncio.sleep(0.5)
                return number
        except TimeoutError:
            await other.do("hang_up", call=number)
            await other.until(number, PATIENCE, over=True)
    raise AssertionError("the host hears no knock")


def assert_told(told: list[Event], ids: dict[str, str]) -> None:
    """Assert what the stream told of the three."""

    def of(who: str) -> list[tuple[object, ...]]:
        keys = ("stage", "by", "reason")
        mine = [(kind, data) for kind, data in told if ids[who] in (data.get("participant"), *_id(data))]
        return [
            (kind, *(data[key] for key in keys if key in data))
            for kind, data in mine
            if kind in ("outside", "admitted", "not-admitted", "joined")
        ]

    assert of("dan") == [("outside", "lobby"), ("outside", "knocking"), ("admitted", "gus"), ("joined",)]
    assert of("fay") == [("outside", "knocking"), ("admitted", "the API"), ("joined",)]
    assert of("eve") == [("outside", "knocking"), ("not-admitted", "gus", "not-admitted")]
    (failed,) = [data for kind, data in told if kind == "call-failed" and data["reason"] == "not-admitted"]
    assert failed["name"].lower() == "eve"


def _id(data: dict[str, object]) -> tuple[object, ...]:
    who = data.get("participant")
    return (who.get("id"),) if isinstance(who, dict) else ()
