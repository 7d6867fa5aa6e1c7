"""Phones that register with the adapter over real sockets, and are called where they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sip_fake_house import FakeDesk
from sip_registering_phone import ANSWER, Phone

from gateway.calls import CallFacts, CallProtocol, Direction
from gateway.reasons import Reason, Refused
from gateway.store.registrations import DatabaseRegistrations, MemoryRegistrations
from sip.accounts import Account
from sip.adapter import SipAdapter, SipConfig
from sip.digest import Qop
from sip.events import Answered, InviteReceived, Rejected, Transport
from sip.framing import PING
from sip.gate import Policy
from transcode.media import Wanted

ACCOUNTS = (Account("ann", "secret", display_name="Ann"), Account("bob", "pass"))
FACTS = CallFacts(CallProtocol.SIP, Direction.OUTGOING, "", "", "Ann", "100")

Start = Callable[..., Awaitable[SipAdapter]]
Plug = Callable[..., Awaitable[Phone]]


@pytest.fixture
async def start(reactor: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Start]:
    monkeypatch.setattr("sip.adapter.STOP_TIME", 0.1)
    made: list[SipAdapter] = []

    async def build(**options: Any) -> SipAdapter:
        options = {"address": "127.0.0.1", "udp": 0, "tcp": 0, "tls": None, "accounts": ACCOUNTS} | options
        adapter = SipAdapter(SipConfig(**options), FakeDesk(), reactor)
        await adapter.start()
        made.append(adapter)
        return adapter

    yield build
    for adapter in made:
        await adapter.stop()


@pytest.fixture
async def plug() -> AsyncIterator[Plug]:
    phones: list[Phone] = []

    async def build(
        adapter: SipAdapter, kind: Transport = Transport.UDP, user: str = "ann", password: str = "secret", **more: str
    ) -> Phone:
        phone = Phone(kind, adapter.ports[kind], user, password, more.get("host", "192.0.2.55"))
        await phone.open()
        phones.append(phone)
        return phone

    yield build
    for phone in phones:
        phone.close()


@pytest.mark.parametrize("kind", [Transport.UDP, Transport.TCP])
async def test_a_phone_registers_and_is_called_through_its_flow(start: Start, plug: Plug, kind: Transport) -> None:
    adapter = await start()
    phone = await plug(adapter, kind)
    answered = await phone.register()
    assert answered.status == 200
    (info,) = adapter.registrations()
    assert (info.account, info.display_name, info.source) == ("ann", "Ann", f"127.0.0.1:{phone.local}")
    assert (info.transport, info.reachable, info.contact) == (kind.value, True, phone.contact.strip("<>"))
    assert 590 <= info.seconds <= 600
    call = await adapter.dial("sip:ann@127.0.0.1", FACTS, Wanted(video=False))
    invite = await phone.wait(InviteReceived)
    assert invite.request.target == phone.contact.strip("<>")
    await call.heard("connected")
    assert (await phone.register(expires=0)).status == 200
    assert adapter.registrations() == ()


async def test_a_wrong_password_is_refused_and_counted(start: Start, plug: Plug) -> None:
    adapter = await start()
    phone = await plug(adapter, password="guess")
    assert (await phone.register()).status == 401
    assert adapter.registrations() == ()
    assert adapter.counters()["authentications_failed"] == 1
    assert (await (await plug(adapter)).register(user="bob")).status == 403


@pytest.mark.parametrize("qops", [(Qop.AUTH, Qop.AUTH_INT), (Qop.AUTH_INT,)])
async def test_digests_cover_bodies_where_that_is_asked_for(start: Start, plug: Plug, qops: tuple[Qop, ...]) -> None:
    adapter = await start(qops=qops, authenticate=Policy.ALL)
    phone = await plug(adapter)
    assert (await phone.register()).status == 200
    assert {known.challenge.qops for known in phone.login._known.values()} == {qops}
    offer = ANSWER.replace(b"RTP/AVP 0", b"RTP/AVP 0 8")
    phone.stack.invite(phone.flow, "sip:100@127.0.0.1", "sip:ann@127.0.0.1", phone.now(), offer, login=phone.login)
    phone.pump()
    await phone.wait(Answered)


async def test_without_accounts_nobody_registers(start: Start, plug: Plug) -> None:
    adapter = await start(accounts=())
    assert (await (await plug(adapter)).register()).status == 405
    assert adapter.registrations() == ()


async def test_contacts_are_tried_in_turn(start: Start, plug: Plug, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sip.adapter_dial.RING_TIME", 0.3)
    adapter = await start()
    silent, busy, there = [await plug(adapter) for _ in range(3)]
    for phone, q in ((silent, "1.0"), (busy, "0.8"), (there, "0.1")):
        assert (await phone.register(("Contact", f"{phone.contact};q={q}"))).status == 200
    silent.answers, busy.answers = None, 486
    await adapter.dial("sip:ann@127.0.0.1", FACTS, Wanted(video=False))
    for phone in (silent, busy, there):
        await phone.wait(InviteReceived)
    calls = adapter.desk.calls  # type: ignore[attr-defined]
    assert [call.reason for call in calls] == [Reason.CANCELLED, Reason.BUSY, None]


async def test_a_user_who_declines_is_not_tried_elsewhere(start: Start, plug: Plug) -> None:
    adapter = await start()
    first, second = await plug(adapter), await plug(adapter)
    await first.register()
    await second.register(("Contact", f"{second.contact};q=0.5"))
    first.answers = 603
    with pytest.raises(Refused) as refused:
        await adapter.dial("sip:ann@127.0.0.1", FACTS, Wanted(video=False))
    assert refused.value.reason is Reason.DECLINED
    assert not [event for event in second.events if isinstance(event, InviteReceived)]


async def test_a_user_who_is_nowhere_cannot_be_reached(start: Start) -> None:
    adapter = await start()
    with pytest.raises(Refused) as refused:
        await adapter.dial(f"sip:bob@127.0.0.1:{adapter.ports[Transport.UDP]}", FACTS)
    assert refused.value.reason is Reason.UNREACHABLE


async def test_an_account_s_name_at_another_host_is_dialled_there(start: Start, plug: Plug) -> None:
    adapter = await start(domain="house.example")
    phone = await plug(adapter, host="127.0.0.1")
    await phone.register()
    await adapter.dial(f"sip:bob@127.0.0.1:{phone.local}", FACTS, Wanted(video=False))
    invite = await phone.wait(InviteReceived)
    assert invite.request.target == f"sip:bob@127.0.0.1:{phone.local}"
    await adapter.dial("ann@HOUSE.example", FACTS, Wanted(video=False))
    assert (await phone.wait(InviteReceived, 2)).request.target.startswith("sip:ann@127.0.0.1")


async def test_a_lost_connection_ends_what_only_it_led_to(start: Start, plug: Plug) -> None:
    adapter = await start()
    phone = await plug(adapter, Transport.TCP)
    await phone.register()
    (connection,) = adapter._network._connections.values()
    assert connection.holds == 1
    await phone.register()
    assert connection.holds == 1, "a refresh holds it once"
    phone.wire.close()
    async with asyncio.timeout(5):
        while adapter.registrations():
            await asyncio.sleep(0.01)
    assert adapter.counters()["registrations_ended_flow-lost"] == 1


async def test_a_phone_behind_a_translator_is_pinged(start: Start, plug: Plug, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sip.registrar.PING", 0.05)
    adapter = await start()
    phone = await plug(adapter)
    await phone.register()
    async with asyncio.timeout(5):
        while phone.pings < 2:
            await asyncio.sleep(0.01)
    assert PING == b"\r\n\r\n"


async def test_a_registered_phone_is_called_after_a_restart(start: Start, plug: Plug, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/house.db"
    adapter = await start(registrations=DatabaseRegistrations(url))
    phone = await plug(adapter)
    await phone.register()
    port = adapter.ports[Transport.UDP]
    await adapter.stop()
    adapter = await start(udp=port, registrations=DatabaseRegistrations(url))
    (info,) = adapter.registrations()
    assert info.reachable
    await adapter.dial("sip:ann@127.0.0.1", FACTS, Wanted(video=False))
    await phone.wait(InviteReceived)
    phone.cseq += 1
    assert (await phone.register()).status == 200, "an old nonce is stale, which the phone answers by itself"


@pytest.mark.parametrize(
    ("policy", "sender", "password", "status"),
    [
        (Policy.OFF, "ann", "wrong", 200),
        (Policy.REGISTERED, "ann", "secret", 200),
        (Policy.REGISTERED, "ann", "wrong", 401),
        (Policy.REGISTERED, "guest", "wrong", 200),
        (Policy.ALL, "guest", "wrong", 401),
    ],
)
async def test_calls_prove_who_they_come_from_where_policy_asks(
    start: Start, plug: Plug, policy: Policy, sender: str, password: str, status: int
) -> None:
    adapter = await start(authenticate=policy, registrations=MemoryRegistrations())
    phone = await plug(adapter, user=sender, password=password)
    offer = ANSWER.replace(b"RTP/AVP 0", b"RTP/AVP 0 8")
    phone.stack.invite(
        phone.flow, "sip:100@127.0.0.1", f"sip:{sender}@127.0.0.1", phone.now(), offer, login=phone.login
    )
    phone.pump()
    if status == 200:
        await phone.wait(Answered)
    else:
        assert (await phone.wait(Rejected)).status == status
        assert adapter.desk.facts == []  # type: ignore[attr-defined]
