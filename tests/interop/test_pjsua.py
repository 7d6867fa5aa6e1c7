"""PJSUA2, a stack by others, calls rooms and is called from them: sound, encryption, and changes in mid call."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import hearing
import marks
import party
import pytest
import pytest_asyncio
from peers.ours import Terminal
from peers.pjsua import Pjsua
from starting import LendGateway, StartGateway

from gateway.bench.process import TOKEN, GatewayProcess
from gateway.probe.analysis import confirmed_keys

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]
ACCOUNTS = [{"user": "ann", "password": "correct horse"}, {"user": "bob", "password": "battery"}]
ROOMS = [{"id": "100"}, {"id": "echo", "mode": "echo", "aliases": ["9196"]}]

SETTINGS: dict[str, Any] = {"rooms": ROOMS, "accounts": ACCOUNTS, "media": {"process": False}}
MakePhone = Callable[..., Any]


@pytest_asyncio.fixture
async def make_phone(tmp_path: Path) -> AsyncIterator[MakePhone]:
    """Give a function that starts a phone; all are stopped at the end, and must have lived until then."""
    async with AsyncExitStack() as stack:

        async def make(mark: marks.Mark = marks.ANN, **settings: Any) -> Pjsua:
            phone = Pjsua(mark, tmp_path, **settings)
            await phone.start()
            stack.push_async_callback(phone.stop)
            return phone

        yield make


def at(gateway: GatewayProcess, transport: str = "udp") -> str:
    return f"127.0.0.1:{ {'udp': gateway.udp, 'tcp': gateway.tcp, 'tls': gateway.tls}[transport] }"


async def ask(gateway: GatewayProcess, method: str, path: str, **body: Any) -> tuple[int, dict[str, Any]]:
    """Ask the API; return the status and the answer."""

    def send() -> tuple[int, dict[str, Any]]:
        request = urllib.request.Request(
            f"{gateway.url}/api/v1/{path}",
            json.dumps(body).encode() if body else None,
            {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=30, context=gateway._tls) as answer:
                return answer.status, json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    return await asyncio.to_thread(send)


async def until_there(gateway: GatewayProcess, count: int, room: str = "100") -> list[dict[str, Any]]:
    async with asyncio.timeout(60):
        while len(found := await gateway.participants(room)) != count:
            await asyncio.sleep(0.1)
    return found


async def both_hear(phone: Pjsua, other: Terminal, call: int) -> None:
    """Wait until a phone in a call and a terminal hear each other, and assert that neither hears itself."""
    await party.assert_all_hear(
        {phone.name: (phone.mark, partial(phone.heard, call)), "ours": (other.mark, other.heard)}
    )


def hears(recording: tuple[Any, int], mark: marks.Mark) -> float:
    """Return for how many seconds somebody's tone is in a recording."""
    samples, rate = recording
    return hearing.heard(samples, rate, [mark.tone])[mark.tone]


@pytest.mark.parametrize(
    ("transport", "srtp", "codec"),
    [
        ("udp", "off", "PCMU"),
        ("tcp", "off", "PCMA"),
        ("tls", "off", "G722"),
        ("udp", "optional", "PCMU"),
        ("tls", "required", "G722"),
    ],
)
async def test_it_hears_a_room_and_is_heard_there(
    lend_gateway: LendGateway, make_phone: MakePhone, transport: str, srtp: str, codec: str
) -> None:
    gateway = await lend_gateway(**SETTINGS)
    phone = await make_phone(transport=transport, srtp=srtp, codecs=[codec])
    other = Terminal(marks.BOB)
    await other.dial("127.0.0.1", gateway.udp, "100")
    try:
        call = await phone.call(f"sip:100@{at(gateway, transport)}")
        await phone.sing(call)
        await both_hear(phone, other, call)
        state = await phone.do("state", call=call)
        assert state["codec"] == codec
        # Encryption that is offered and not demanded keeps the profile RTP/AVP (RFC 8643): its log tells.
        assert ("SRTP started, keying=SDES" in phone.log) == (srtp != "off")
        await phone.do("hang_up", call=call)
        await until_there(gateway, 1)
    finally:
        await other.hang_up()


async def test_it_registers_is_called_and_either_side_ends_the_call(
    lend_gateway: LendGateway, make_phone: MakePhone
) -> None:
    gateway = await lend_gateway(**SETTINGS)
    phone = await make_phone(registrar=at(gateway), password="correct horse", host="127.0.0.1")
    assert (await phone.until_registered())["registered"]
    other = Terminal(marks.BOB)
    await other.dial("127.0.0.1", gateway.udp, "100")
    try:
        calling = asyncio.create_task(
            ask(gateway, "POST", "rooms/100/participants", target="sip:ann@127.0.0.1", name="Ann")
        )
        await phone.until(0, there=True)
        await phone.do("answer", call=0, status=180)
        await asyncio.sleep(0.5)
        await phone.do("answer", call=0, status=200)
        status, participant = await calling
        assert status == 201, participant
        await phone.until(0, active=True)
        await phone.sing(0)
        await both_hear(phone, other, 0)
        status, _ = await ask(gateway, "DELETE", f"rooms/100/participants/{participant['id']}")
        assert status in (200, 204)
        await phone.until(0, over=True)
        calling = asyncio.create_task(
            ask(gateway, "POST", "rooms/100/participants", target="sip:ann@127.0.0.1", name="Ann")
        )
        await phone.until(1, there=True)
        await phone.do("answer", call=1, status=200)
        assert (await calling)[0] == 201
        await until_there(gateway, 2)
        await phone.do("hang_up", call=1)
        await until_there(gateway, 1)
    finally:
        await other.hang_up()
    await phone.do("register", on=False)
    async with asyncio.timeout(60):
        while (await gateway.metrics()).total("roombridge_sip_registrations"):
            await asyncio.sleep(0.1)


async def test_a_wrong_password_neither_registers_nor_calls(start_gateway: StartGateway, make_phone: MakePhone) -> None:
    gateway = await start_gateway(rooms=ROOMS, accounts=ACCOUNTS, sip={"authenticate": "all"}, media={"process": False})
    phone = await make_phone(registrar=at(gateway), password="guess", host="127.0.0.1")
    told = await phone.until_registered()
    assert not told["registered"]
    assert told["status"] in (401, 403), told
    await phone.do("dial", target=f"sip:100@{at(gateway)}")
    state = await phone.until(0, over=True)
    assert state["status"] in (401, 407, 403, 503), state
    assert not await gateway.participants()


async def test_a_call_with_the_right_password_is_let_in_where_all_must_prove_themselves(
    start_gateway: StartGateway, make_phone: MakePhone
) -> None:
    gateway = await start_gateway(rooms=ROOMS, accounts=ACCOUNTS, sip={"authenticate": "all"}, media={"process": False})
    phone = await make_phone(password="correct horse", host="127.0.0.1")
    await phone.call(f"sip:100@{at(gateway)}")
    assert len(await until_there(gateway, 1)) == 1


@pytest.mark.parametrize(("status", "reason"), [(486, "busy"), (603, "declined")])
async def test_a_phone_that_refuses_is_told_of_by_its_reason(
    lend_gateway: LendGateway, make_phone: MakePhone, status: int, reason: str
) -> None:
    gateway = await lend_gateway(**SETTINGS)
    phone = await make_phone(registrar=at(gateway), password="correct horse", host="127.0.0.1")
    assert (await phone.until_registered())["registered"]
    calling = asyncio.create_task(ask(gateway, "POST", "rooms/100/participants", target="sip:ann@127.0.0.1"))
    await phone.until(0, there=True)
    await phone.do("answer", call=0, status=status)
    _, told = await calling
    assert told["reason"] == reason, told
    assert not await gateway.participants()


async def test_hold_resume_and_renewed_offers_in_one_call(lend_gateway: LendGateway, make_phone: MakePhone) -> None:
    gateway = await lend_gateway(**SETTINGS)
    phone = await make_phone()
    other = Terminal(marks.BOB)
    await other.dial("127.0.0.1", gateway.udp, "100")
    try:
        call = await phone.call(f"sip:100@{at(gateway)}")
        await phone.sing(call)
        await party.assert_comes_to_hear("ours", other.heard, marks.ANN)
        await phone.do("hold", call=call)
        await phone.until(call, held=True, active=False)
        await asyncio.sleep(1.0)
        before = len(other.heard()[0])
        await asyncio.sleep(party.LISTENED)
        samples, rate = other.heard()
        assert hears((samples[before:], rate), marks.ANN) == 0, "a held phone is heard"
        for command in ("resume", "reinvite", "update"):
            await phone.do(command, call=call)
            await phone.until(call, active=True)
            await asyncio.sleep(0.7)  # what came before the command has been played
            ours, its = len(other.heard()[0]), len((await phone.heard(call))[0])
            await party.assert_comes_to_hear(f"ours behind {command}", other.heard, marks.ANN, ours)
            await party.assert_comes_to_hear(f"it behind {command}", partial(phone.heard, call), marks.BOB, its)
        assert "UPDATE sip:" in phone.log
        assert len(await gateway.participants()) == 2
        await phone.do("hang_up", call=call)
        await until_there(gateway, 1)
    finally:
        await other.hang_up()


async def test_a_session_is_refreshed_at_half_its_interval(lend_gateway: LendGateway, make_phone: MakePhone) -> None:
    gateway = await lend_gateway(**SETTINGS)
    phone = await make_phone(timers="always", session=90)
    call = await phone.call(f"sip:100@{at(gateway)}")
    answer = phone.log.partition("SIP/2.0 200 OK")[2]
    assert "Session-Expires: 90;refresher=" in answer.replace(" ;", ";"), answer[:1500]
    async with asyncio.timeout(150):
        while phone.log.count("Session-Expires: 90") < 4:
            await asyncio.sleep(0.5)
    state = await phone.do("state", call=call)
    assert state["active"]
    assert not state["over"]
    assert len(await gateway.participants()) == 1


async def test_reliable_responses_as_caller_and_as_callee(lend_gateway: LendGateway, make_phone: MakePhone) -> None:
    gateway = await lend_gateway(**SETTINGS)
    phone = await make_phone(registrar=at(gateway), password="correct horse", host="127.0.0.1", reliable="required")
    assert (await phone.until_registered())["registered"]
    call = await phone.call(f"sip:100@{at(gateway)}")
    assert "Require: 100rel" in phone.log
    await phone.do("hang_up", call=call)
    await until_there(gateway, 0)
    calling = asyncio.create_task(ask(gateway, "POST", "rooms/100/participants", target="sip:ann@127.0.0.1"))
    await phone.until(1, there=True)
    await phone.do("answer", call=1, status=183)
    async with asyncio.timeout(60):
        while "PRACK sip:" not in phone.log:
            await asyncio.sleep(0.1)
    await phone.do("answer", call=1, status=200)
    assert (await calling)[0] == 201
    await phone.until(1, active=True)


async def test_sound_before_the_answer_is_taken_and_the_call_answered_with_it(
    lend_gateway: LendGateway, make_phone: MakePhone
) -> None:
    gateway = await lend_gateway(**SETTINGS)
    phone = await make_phone(registrar=at(gateway), password="correct horse", host="127.0.0.1")
    assert (await phone.until_registered())["registered"]
    other = Terminal(marks.BOB)
    await other.dial("127.0.0.1", gateway.udp, "100")
    try:
        calling = asyncio.create_task(ask(gateway, "POST", "rooms/100/participants", target="sip:ann@127.0.0.1"))
        await phone.until(0, there=True)
        await phone.do("answer", call=0, status=183)
        await phone.until(0, active=True)
        await phone.sing(0)
        await asyncio.sleep(1.5)
        assert len(await gateway.participants()) == 1, "nobody is in the room before the answer"
        await phone.do("answer", call=0, status=200)
        assert (await calling)[0] == 201
        await both_hear(phone, other, 0)
    finally:
        await other.hang_up()


async def test_keys_are_understood_however_they_are_sent(lend_gateway: LendGateway, make_phone: MakePhone) -> None:
    gateway = await lend_gateway(**SETTINGS)
    phone = await make_phone()
    call = await phone.call(f"sip:9196@{at(gateway)}")
    for digits, by_info in (("159#", False), ("0*38", True)):
        start = len((await phone.heard(call))[0])
        await phone.do("press", call=call, digits=digits, by_info=by_info)
        await until_confirmed(phone, call, start, digits)
    start = len((await phone.heard(call))[0])
    await phone.do("send_info", call=call, kind="application/dtmf", body="7")
    await until_confirmed(phone, call, start, "7")


async def until_confirmed(phone: Pjsua, call: int, start: int, digits: str) -> None:
    """Wait until the echo room has confirmed these keys, and no others, since a sample."""
    deadline = asyncio.get_running_loop().time() + party.PATIENCE
    while True:
        samples, rate = await phone.heard(call)
        confirmed = await asyncio.to_thread(confirmed_keys, samples[start:], rate)
        if confirmed == digits:
            return
        assert asyncio.get_running_loop().time() < deadline, f"wanted {digits}, confirmed {confirmed}"
        await asyncio.sleep(0.3)


async def test_it_has_somebody_called_into_the_room_blind_and_attended(
    start_gateway: StartGateway, make_phone: MakePhone
) -> None:
    gateway = await start_gateway(rooms=ROOMS, accounts=ACCOUNTS, sip={"domain": "127.0.0.1"}, media={"process": False})
    ann = await make_phone(registrar=at(gateway), password="correct horse", host="127.0.0.1")
    bob = await make_phone(marks.BOB, registrar=at(gateway), password="battery", host="127.0.0.1")
    assert (await ann.until_registered())["registered"]
    assert (await bob.until_registered())["registered"]
    room = await ann.call(f"sip:100@{at(gateway)}")

    await ann.do("refer", call=room, target="sip:bob@127.0.0.1")
    await bob.until(0, there=True)
    await bob.do("answer", call=0, status=200)
    await bob.until(0, active=True)
    await until_transferred(ann, room)
    assert {one["name"] for one in await until_there(gateway, 2)} == {"ann", "bob"}
    await bob.do("hang_up", call=0)
    await until_there(gateway, 1)

    talk = int((await ann.do("dial", target=(await bob.do("address"))["uri"]))["call"])
    await bob.until(1, there=True)
    await bob.do("answer", call=1, status=200)
    await ann.until(talk, active=True)
    await ann.do("refer_replacing", call=room, other=talk)
    await until_transferred(ann, room, count=2)
    assert {one["name"] for one in await until_there(gateway, 2)} == {"ann", "bob"}
    await ann.until(talk, over=True)


async def test_nobody_is_called_for_a_phone_beyond_our_own_domain(
    lend_gateway: LendGateway, make_phone: MakePhone
) -> None:
    gateway = await lend_gateway(**SETTINGS)
    phone = await make_phone()
    room = await phone.call(f"sip:100@{at(gateway)}")
    await phone.do("refer", call=room, target="sip:premium@192.0.2.1")
    async with asyncio.timeout(60):
        while not (told := (await phone.do("state", call=room))["transfer"]):
            await asyncio.sleep(0.1)
    assert told[-1] in (403, 603), told
    assert len(await gateway.participants()) == 1


async def until_transferred(phone: Pjsua, call: int, count: int = 1) -> None:
    async with asyncio.timeout(60):
        while (await phone.do("state", call=call))["transfer"].count(200) < count:
            await asyncio.sleep(0.1)
