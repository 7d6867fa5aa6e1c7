"""PJSUA2, a stack by others, calls rooms and is called from them: sound, encryption, and changes in mid call."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import hearing
import marks
import party
import pytest
import pytest_asyncio
from peers.ours import Terminal
from peers.pjsua import Pjsua
from starting import StartGateway

from gateway.bench.process import TOKEN, GatewayProcess
from gateway.probe.analysis import confirmed_keys

pytestmark = [pytest.mark.interop, pytest.mark.timeout(240)]
ACCOUNTS = [{"user": "ann", "password": "correct horse"}, {"user": "bob", "password": "battery"}]
ROOMS = [{"id": "100"}, {"id": "echo", "mode": "echo", "aliases": ["9196"]}]
LISTENING = 6.0
"""Seconds in which each of two is heard with at least two bursts."""

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
    start_gateway: StartGateway, make_phone: MakePhone, transport: str, srtp: str, codec: str
) -> None:
    gateway = await start_gateway(rooms=ROOMS, media={"process": False})
    phone = await make_phone(transport=transport, srtp=srtp, codecs=[codec])
    other = Terminal(marks.BOB)
    await other.dial("127.0.0.1", gateway.udp, "100")
    try:
        call = await phone.call(f"sip:100@{at(gateway, transport)}")
        await phone.sing(call)
        await asyncio.sleep(LISTENING)
        state = await phone.do("state", call=call)
        assert state["codec"] == codec
        # Encryption that is offered and not demanded keeps the profile RTP/AVP (RFC 8643): its log tells.
        assert ("SRTP started, keying=SDES" in phone.log) == (srtp != "off")
        party.assert_hears(phone.name, await phone.heard(call), marks.ANN, [marks.BOB])
        party.assert_hears("ours", other.heard(), marks.BOB, [marks.ANN])
        await phone.do("hang_up", call=call)
        await until_there(gateway, 1)
    finally:
        await other.hang_up()


async def test_it_registers_is_called_and_either_side_ends_the_call(
    start_gateway: StartGateway, make_phone: MakePhone
) -> None:
    gateway = await start_gateway(rooms=ROOMS, accounts=ACCOUNTS, media={"process": False})
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
        await asyncio.sleep(LISTENING)
        party.assert_hears(phone.name, await phone.heard(0), marks.ANN, [marks.BOB])
        party.assert_hears("ours", other.heard(), marks.BOB, [marks.ANN])
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
    start_gateway: StartGateway, make_phone: MakePhone, status: int, reason: str
) -> None:
    gateway = await start_gateway(rooms=ROOMS, accounts=ACCOUNTS, media={"process": False})
    phone = await make_phone(registrar=at(gateway), password="correct horse", host="127.0.0.1")
    assert (await phone.until_registered())["registered"]
    calling = asyncio.create_task(ask(gateway, "POST", "rooms/100/participants", target="sip:ann@127.0.0.1"))
    await phone.until(0, there=True)
    await phone.do("answer", call=0, status=status)
    _, told = await calling
    assert told["reason"] == reason, told
    assert not await gateway.participants()


async def test_hold_resume_and_renewed_offers_in_one_call(start_gateway: StartGateway, make_phone: MakePhone) -> None:
    gateway = await start_gateway(rooms=ROOMS, media={"process": False})
    phone = await make_phone()
    other = Terminal(marks.BOB)
    await other.dial("127.0.0.1", gateway.udp, "100")
    try:
        call = await phone.call(f"sip:100@{at(gateway)}")
        await phone.sing(call)
        await asyncio.sleep(4)
        assert hears(other.heard(), marks.ANN) > 0.6
        await phone.do("hold", call=call)
        await phone.until(call, held=True, active=False)
        await asyncio.sleep(1.0)
        before = len(other.heard()[0])
        await asyncio.sleep(4.0)
        samples, rate = other.heard()
        assert hears((samples[before:], rate), marks.ANN) == 0, "a held phone is heard"
        for command in ("resume", "reinvite", "update"):
            await phone.do(command, call=call)
            await phone.until(call, active=True)
            await asyncio.sleep(1.0)
            before = len(other.heard()[0])
            await asyncio.sleep(4.5)
            samples, rate = other.heard()
            assert hears((samples[before:], rate), marks.ANN) > 0.6, f"silent behind {command}"
            assert hears(await phone.heard(call, last=4.5), marks.BOB) > 0.6, f"deaf behind {command}"
        assert "UPDATE sip:" in phone.log
        assert len(await gateway.participants()) == 2
        await phone.do("hang_up", call=call)
        await until_there(gateway, 1)
    finally:
        await other.hang_up()


async def test_a_session_is_refreshed_at_half_its_interval(start_gateway: StartGateway, make_phone: MakePhone) -> None:
    gateway = await start_gateway(rooms=ROOMS, media={"process": False})
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


async def test_reliable_responses_as_caller_and_as_callee(start_gateway: StartGateway, make_phone: MakePhone) -> None:
    gateway = await start_gateway(rooms=ROOMS, accounts=ACCOUNTS, media={"process": False})
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
    start_gateway: StartGateway, make_phone: MakePhone
) -> None:
    gateway = await start_gateway(rooms=ROOMS, accounts=ACCOUNTS, media={"process": False})
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
        await asyncio.sleep(3)
        assert len(await gateway.participants()) == 1, "nobody is in the room before the answer"
        await phone.do("answer", call=0, status=200)
        assert (await calling)[0] == 201
        await asyncio.sleep(LISTENING)
        assert hears(other.heard(), marks.ANN) > 0.6
        assert hears(await phone.heard(0), marks.BOB) > 0.6
    finally:
        await other.hang_up()


async def test_keys_are_understood_however_they_are_sent(start_gateway: StartGateway, make_phone: MakePhone) -> None:
    gateway = await start_gateway(rooms=ROOMS, media={"process": False})
    phone = await make_phone()
    call = await phone.call(f"sip:9196@{at(gateway)}")
    for digits, by_info in (("159#", False), ("0*38", True)):
        start = len((await phone.heard(call))[0])
        await phone.do("press", call=call, digits=digits, by_info=by_info)
        await asyncio.sleep(3.5)
        samples, rate = await phone.heard(call)
        assert confirmed_keys(samples[start:], rate) == digits, "INFO" if by_info else "RFC 4733"
    start = len((await phone.heard(call))[0])
    await phone.do("send_info", call=call, kind="application/dtmf", body="7")
    await asyncio.sleep(1.5)
    samples, rate = await phone.heard(call)
    assert confirmed_keys(samples[start:], rate) == "7"


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
    start_gateway: StartGateway, make_phone: MakePhone
) -> None:
    gateway = await start_gateway(rooms=ROOMS, media={"process": False})
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
