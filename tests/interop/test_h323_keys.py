"""An H.323 telephone of H323Plus' stack: its keys of each kind, ours at it, the menu, and the lobby."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import house
import marks
import party
import pytest
from hearing import heard
from peers import keypad
from peers.keypad import Keypad
from peers.ours import Terminal
from peers.pjsua import Pjsua
from recognising import heard_prompts, holds_part
from starting import StartGateway
from test_menu_heard import PIN, ROOMS, is_in, prompts_heard, until_asked, until_outside

from gateway.bench.process import GatewayProcess
from gateway.bench.sound import Samples

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300), keypad.needed]
PATIENCE = 60.0
"""Seconds for which anything is waited for."""
PRESSED = {"q931": "11*", "string": "22#", "signal": "330", "rfc2833": "447"}
"""What is pressed by each way. A key that comes by two ways at about one time is one press: each way has its own."""


async def until(so: Callable[[], bool], what: Callable[[], object]) -> None:
    """Wait for something. Raises AssertionError with what there is instead."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while not so():
        assert asyncio.get_running_loop().time() < deadline, what()
        await asyncio.sleep(0.1)


@asynccontextmanager
async def between(
    gateway: GatewayProcess, phone: Pjsua, number: int, terminal: Keypad, calls: bool
) -> AsyncIterator[None]:
    """Have the two in a call: the terminal calls or is called. number is the call's number at the phone."""
    try:
        if calls:
            await terminal.dial(f"ann@127.0.0.1:{gateway.h323}")
            await phone.until(number, PATIENCE, there=True)
            await phone.do("answer", call=number, status=200)
        else:
            await terminal.listen()
            await phone.do("dial", target=f"sip:7{terminal.port}@127.0.0.1:{gateway.udp}")
        await terminal.established()
        await phone.until(number, PATIENCE, answered=True, active=True)
        yield
    finally:
        await terminal.hang_up()
        await phone.until(number, PATIENCE, over=True)


Told = list[tuple[str, dict[str, Any]]]


async def press_both_ways(
    told: Told, phone: Pjsua, number: int, terminal: Keypad, ways: Sequence[str], ours: str
) -> None:
    """Press keys at the terminal by these ways, and at the phone, from which they come to the terminal by ours."""

    def keys() -> str:
        return "".join(data["digit"] for kind, data in told if kind == "key-pressed")

    for way in ways:
        await terminal.press(PRESSED[way], way)
    pressed = "".join(PRESSED[way] for way in ways)
    await until(lambda: len(keys()) >= len(pressed), keys)
    await phone.until(number, PATIENCE, keys=pressed)
    assert keys() == pressed
    await phone.do("press", call=number, digits="1234*#", by_info=number % 2 == 1)
    await until(lambda: len(terminal.received) >= 6, lambda: terminal.output)
    assert terminal.received == [(ours, key) for key in "1234*#"]
    await until(lambda: len(keys()) >= len(pressed) + 6, keys)  # what is told of them may come later than they
    assert keys() == pressed + "1234*#"


async def test_keys_of_each_kind_cross_between_an_h323_and_a_sip_phone_once(
    start_gateway: StartGateway, tmp_path: Path
) -> None:
    """All four kinds from the terminal; and to it the one that it says it takes. It never is without H.245, which our
    Q.931 is for."""
    gateway = await start_gateway(
        accounts=[{"user": "ann", "password": "correct horse"}],
        dial_plan=[{"called": r"7(\d+)", "call": r"h323:100@127.0.0.1:\1"}],
        outbound={"rules": [{"roles": ["caller"], "sources": ["127.0.0.0/8"]}]},
        media={"process": False},
    )
    calls: list[tuple[dict[str, Any], bool, tuple[str, ...], str]] = [
        ({}, True, tuple(PRESSED), "rfc2833"),
        ({"takes": ["string", "signal"], "tunnel": False}, False, ("q931", "string", "signal"), "signal"),
        ({"takes": ["string"]}, True, ("string",), "string"),
        ({"fast": True, "takes": ["signal"]}, True, ("q931",), "signal"),
    ]
    phone = Pjsua(marks.ANN, tmp_path, registrar=f"127.0.0.1:{gateway.udp}", password="correct horse")
    await phone.start()
    try:
        assert (await phone.until_registered())["registered"]
        for number, (settings, calling, ways, ours) in enumerate(calls):
            terminal = Keypad(marks.BOB, tmp_path, **settings)
            async with between(gateway, phone, number, terminal, calling), house.events(gateway) as told:
                await press_both_ways(told, phone, number, terminal, ways, ours)
    finally:
        await phone.stop()


async def test_it_finds_its_way_in_by_keys_and_talks_to_a_sip_phone(
    start_gateway: StartGateway, tmp_path: Path
) -> None:
    gateway = await start_gateway(rooms=ROOMS, media={"process": False})
    terminal, other = Keypad(marks.BOB, tmp_path), Terminal(marks.CLEO)

    async def hear() -> tuple[Samples, int]:
        return terminal.heard()

    try:
        await terminal.dial(f"127.0.0.1:{gateway.h323}")
        await terminal.established()
        await until_asked(hear, "en/enter-room")
        await until_outside(gateway, "bob", "menu")
        await terminal.press("200#", "signal")
        await until_asked(hear, "de/enter-pin")
        await until_outside(gateway, "bob", "menu", "200")
        await terminal.press("1#", "rfc2833")
        await until_asked(hear, "de/enter-pin", 2)
        await terminal.press(f"{PIN}#", "string")
        await is_in(gateway, "bob")
        prompts = {*await prompts_heard(hear, "en"), *await prompts_heard(hear, "de")}
        assert prompts >= {"en/enter-room", "de/enter-pin"}
        before = len(terminal.heard()[0])
        await other.dial("127.0.0.1", gateway.udp, f"200*{PIN}")
        await house.holds(gateway, 2, "200", PATIENCE)

        def both() -> bool:
            samples, rate = terminal.heard()
            theirs = heard(samples[before:], rate, (other.mark.tone,))[other.mark.tone]
            return min(theirs, heard(*other.heard(), (terminal.mark.tone,))[terminal.mark.tone]) > party.LEAST

        await until(both, lambda: "they hear each other")
        samples, rate = terminal.heard()
        party.assert_hears(terminal.name, (samples[before:], rate), terminal.mark, [other.mark])
        party.assert_hears("sip", other.heard(), other.mark, [terminal.mark])
        assert PIN not in gateway.output
    finally:
        await asyncio.gather(terminal.hang_up(), other.hang_up())


async def test_before_a_locked_room_it_hears_music_and_not_the_room_until_it_is_admitted(
    start_gateway: StartGateway, tmp_path: Path
) -> None:
    gateway = await start_gateway(rooms=[{"id": "100", "host_pin": "1"}], media={"process": False})
    host, guest = Terminal(marks.GUS), Keypad(marks.BOB, tmp_path)

    def heard_host() -> float:
        return heard(*guest.heard(), (host.mark.tone,))[host.mark.tone]

    def prompts() -> list[str]:
        return [one.name for one in heard_prompts(guest.heard(), ("en/knocking", "en/admitted"))]

    try:
        await host.dial("127.0.0.1", gateway.udp, "100*1")
        await house.holds(gateway, 1)
        await house.ask(gateway, "PATCH", "/rooms/100", {"locked": True})
        await guest.dial(f"100@127.0.0.1:{gateway.h323}")
        await guest.established()
        await until(lambda: prompts() == ["en/knocking"], prompts)
        await until(lambda: holds_part(guest.heard(), "music/waiting"), lambda: "no music")
        assert heard_host() < party.LEAST
        assert heard(*host.heard(), (guest.mark.tone,))[guest.mark.tone] < party.LEAST
        (waiting,) = (await house.ask(gateway, "GET", "/rooms/100/waiting"))["waiting"]
        assert (waiting["name"], waiting["protocol"]) == ("Bob", "h323")
        await house.ask(gateway, "POST", f"/rooms/100/waiting/{waiting['id']}/admit")
        await house.holds(gateway, 2, "100", PATIENCE)
        await until(lambda: heard_host() > 2 * party.LEAST, lambda: f"the host for {heard_host()} s")
        await until(lambda: "en/admitted" in prompts(), prompts)
        await until(
            lambda: heard(*host.heard(), (guest.mark.tone,))[guest.mark.tone] > party.LEAST, lambda: "the guest"
        )
    finally:
        await asyncio.gather(host.hang_up(), guest.hang_up())
