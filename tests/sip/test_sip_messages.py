"""MESSAGE between phones on real sockets and a house that notes everything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from sip_fake_house import FakeCall, FakeDesk
from sip_phone import OFFER, Peer, settled
from sip_registering_phone import Phone

from gateway.reasons import Reason, Refused
from sip.accounts import Account
from sip.adapter import SipAdapter, SipConfig
from sip.adapter_config import MessagePolicy, SendMessages
from sip.events import RequestAnswered, Transport
from sip.gate import Policy
from sip.message_bodies import MAX_PIECE

Start = Callable[..., Awaitable[SipAdapter]]
Plug = Callable[..., Awaitable[Peer]]
TEXT = "text/plain"
TAKES = "Allow: INVITE, ACK, BYE, CANCEL, MESSAGE\n"


@pytest.fixture
def desk() -> FakeDesk:
    return FakeDesk()


@pytest.fixture
async def start(reactor: Any, desk: FakeDesk, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Start]:
    monkeypatch.setattr("sip.adapter.STOP_TIME", 0.1)
    made: list[SipAdapter] = []

    async def build(**options: Any) -> SipAdapter:
        adapter = SipAdapter(SipConfig(**{"address": "127.0.0.1", "udp": 0, "tcp": None} | options), desk, reactor)
        await adapter.start()
        made.append(adapter)
        return adapter

    yield build
    for adapter in made:
        await adapter.stop()


@pytest.fixture
async def plug() -> AsyncIterator[Plug]:
    transports: list[asyncio.BaseTransport] = []

    async def build(adapter: SipAdapter) -> Peer:
        transport, peer = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: Peer(adapter.ports[Transport.UDP]), local_addr=("127.0.0.1", 0)
        )
        transports.append(transport)
        return peer

    yield build
    for transport in transports:
        transport.close()


async def joined(peer: Peer, desk: FakeDesk, extra: str = "") -> FakeCall:
    """Set up a call and wait until it is connected."""
    peer.tag = ""
    peer.request("INVITE", OFFER, extra=extra)
    answer = await peer.response(200)
    peer.tag = answer.get("to").partition("tag=")[2]
    peer.request("ACK")
    call = await desk.call()
    await call.heard("connected")
    return call


def outside(peer: Peer, body: bytes, kind: str = TEXT, to: str = "100", user: str = "ann") -> None:
    """Send a MESSAGE outside of the call's dialog."""
    peer.branches += 1
    peer.send_text(
        f"MESSAGE sip:{to}@127.0.0.1:{peer.port} SIP/2.0\n"
        f"Via: SIP/2.0/UDP 127.0.0.1:{peer.local};branch=z9hG4bKo{peer.local}x{peer.branches};rport\n"
        f"From: <sip:{user}@127.0.0.1>;tag=m{peer.branches}\nTo: <sip:{to}@127.0.0.1>\n"
        f"Call-ID: message{peer.branches}@peer\nCSeq: 1 MESSAGE\nMax-Forwards: 70\nContent-Type: {kind}\n",
        body,
    )


# to the room


async def test_a_participant_writes_in_its_call(start: Start, plug: Plug, desk: FakeDesk) -> None:
    adapter = await start()
    peer = await plug(adapter)
    call = await joined(peer, desk)
    peer.request("MESSAGE", "Grüße".encode(), "text/plain;charset=utf-8")
    await peer.response(200)
    assert call.messages == ["Grüße"]
    assert adapter.counters()["messages_taken"] == 1


async def test_a_participant_writes_beside_its_call(start: Start, plug: Plug, desk: FakeDesk) -> None:
    peer = await plug(await start())
    call = await joined(peer, desk)
    outside(peer, b"Hello")
    await peer.response(200)
    assert (call.messages, desk.messages) == (["Hello"], [])


@pytest.mark.parametrize(("to", "user"), [("100", "eve"), ("200", "ann")])
async def test_another_name_or_another_room_is_a_stranger_s(
    start: Start, plug: Plug, desk: FakeDesk, to: str, user: str
) -> None:
    peer = await plug(await start())
    call = await joined(peer, desk)
    outside(peer, b"Hello", to=to, user=user)
    refusal = await peer.response(403)
    assert 'text="This is not allowed"' in refusal.get("reason")
    assert (call.messages, desk.messages) == ([], [])


async def test_a_stranger_is_refused(start: Start, plug: Plug, desk: FakeDesk) -> None:
    adapter = await start()
    peer = await plug(adapter)
    peer.request("MESSAGE", b"hello", TEXT)
    await peer.response(403)
    assert (desk.messages, adapter.counters()["messages_refused"]) == ([], 1)


async def test_where_messages_are_off_the_method_is_unknown(start: Start, plug: Plug, desk: FakeDesk) -> None:
    peer = await plug(await start(messages=MessagePolicy.OFF))
    await joined(peer, desk)
    peer.request("MESSAGE", b"hello", TEXT)
    refusal = await peer.response(405)
    assert "MESSAGE" not in refusal.get("allow")


@pytest.mark.parametrize(
    ("kind", "body", "status", "accept"),
    [
        ("text/html", b"<p>", 415, True),
        ("message/cpim", b"broken", 400, False),
        (TEXT, b"x" * 20_000, 413, False),
        ("application/im-iscomposing+xml", b"<isComposing/>", 200, False),
        (TEXT, b"  ", 200, False),
    ],
)
async def test_bodies_get_the_answer_they_deserve(
    start: Start, plug: Plug, desk: FakeDesk, kind: str, body: bytes, status: int, accept: bool
) -> None:
    peer = await plug(await start())
    call = await joined(peer, desk)
    peer.request("MESSAGE", body, kind)
    answer = await peer.response(status)
    assert ("text/plain" in answer.get("accept")) == accept
    assert call.messages == []


@pytest.mark.parametrize(
    ("reason", "status"), [(Reason.OVERLOAD, 503), (Reason.MESSAGE_TOO_LARGE, 513), (Reason.BAD_REQUEST, 400)]
)
async def test_what_the_room_does_not_take_is_said(
    start: Start, plug: Plug, desk: FakeDesk, reason: Reason, status: int
) -> None:
    peer = await plug(await start())
    call = await joined(peer, desk)
    call.error = Refused(reason)
    peer.request("MESSAGE", b"hello", TEXT)
    await peer.response(status)
    peer.request("MESSAGE", b"again", TEXT)
    await peer.response(200)


# accounts


ACCOUNTS = (Account("ann", "secret", display_name="Ann"), Account("bob", "pass"))


async def write(phone: Phone, text: str, to: str = "100", sender: str = "") -> int:
    before = len([event for event in phone.events if isinstance(event, RequestAnswered)])
    phone.stack.request(
        "MESSAGE",
        phone.flow,
        f"sip:{to}@127.0.0.1",
        f"sip:{sender or phone.user}@127.0.0.1",
        phone.now(),
        body=text.encode(),
        content_type=TEXT,
        call_id=f"message-{phone.local}-{len(phone.events)}",
        login=phone.login,
    )
    phone.pump()
    answered: RequestAnswered = await phone.wait(RequestAnswered, before + 1)
    return answered.status


@pytest.fixture
async def phone_of() -> AsyncIterator[Callable[..., Awaitable[Phone]]]:
    phones: list[Phone] = []

    async def build(adapter: SipAdapter, user: str = "ann", password: str = "secret") -> Phone:
        phone = Phone(Transport.UDP, adapter.ports[Transport.UDP], user, password, "127.0.0.1")
        await phone.open()
        phones.append(phone)
        return phone

    yield build
    for phone in phones:
        phone.close()


async def test_an_account_may_write_without_a_call_where_policy_says_so(
    start: Start, phone_of: Callable[..., Awaitable[Phone]], desk: FakeDesk
) -> None:
    adapter = await start(accounts=ACCOUNTS, messages=MessagePolicy.ACCOUNTS)
    phone = await phone_of(adapter)
    assert await write(phone, "Hello", "100*4711") == 200
    ((facts, text),) = desk.messages
    assert (facts.called, facts.pin, facts.account, text) == ("100", "4711", "ann", "Hello")
    assert await write(phone, "Hello", "999") == 404
    desk.refuse = Refused(Reason.ROOM_LOCKED)
    assert await write(phone, "Hello") == 403
    desk.refuse = None
    assert await write(phone, "Hello", sender="bob") == 403
    assert await write(await phone_of(adapter, password="guess"), "Hello") == 401
    assert await write(await phone_of(adapter, user="eve"), "Hello") == 401
    assert len(desk.messages) == 1


async def test_by_default_an_account_needs_a_call_too(
    start: Start, phone_of: Callable[..., Awaitable[Phone]], desk: FakeDesk
) -> None:
    phone = await phone_of(await start(accounts=ACCOUNTS))
    assert await write(phone, "Hello") == 403
    assert await write(phone, "Hello", "bob") == 403
    assert desk.messages == []


async def test_who_claims_to_be_an_account_proves_it_where_calls_must(start: Start, plug: Plug, desk: FakeDesk) -> None:
    peer = await plug(await start(accounts=ACCOUNTS, authenticate=Policy.REGISTERED))
    outside(peer, b"Hello")
    await peer.response(401)


# from the room


async def test_who_wrote_is_written_to(start: Start, plug: Plug, desk: FakeDesk) -> None:
    adapter = await start()
    peer = await plug(adapter)
    call = await joined(peer, desk, TAKES)
    await call.line.say("Bob", "before")  # nothing is sent: it has not written yet
    peer.request("MESSAGE", b"hello", TEXT)
    await peer.response(200)
    saying = asyncio.create_task(call.line.say("Bob", "Grüße\nan alle"))
    message = await peer.asked("MESSAGE")
    await asyncio.wait_for(saying, 5)
    assert message.body.decode() == "Bob: Grüße\nan alle"
    assert message.get("content-type") == "text/plain;charset=UTF-8"
    assert adapter.counters()["messages_said"] == 1


@pytest.mark.parametrize(
    ("policy", "allow", "wrote", "said"),
    [
        (SendMessages.NEVER, TAKES, True, False),
        (SendMessages.ANSWER, TAKES, False, False),
        (SendMessages.ANSWER, "", True, True),
        (SendMessages.ALWAYS, TAKES, False, True),
        (SendMessages.ALWAYS, "Allow: INVITE, ACK, BYE\n", False, False),
        (SendMessages.ALWAYS, "", False, False),
    ],
)
async def test_policy_and_allow_say_who_is_written_to(
    start: Start, plug: Plug, desk: FakeDesk, policy: SendMessages, allow: str, wrote: bool, said: bool
) -> None:
    peer = await plug(await start(send_messages=policy))
    call = await joined(peer, desk, allow)
    if wrote:
        peer.request("MESSAGE", b"hello", TEXT)
        await peer.response(200)
    saying = asyncio.create_task(call.line.say("Bob", "Hi"))
    if said:
        await peer.asked("MESSAGE")
    await asyncio.wait_for(saying, 5)
    assert peer.heard.empty()


@pytest.mark.parametrize(("status", "again"), [(405, False), (415, False), (480, True), (503, True)])
async def test_a_peer_that_takes_no_messages_gets_no_more(
    start: Start, plug: Plug, desk: FakeDesk, status: int, again: bool
) -> None:
    peer = await plug(await start(send_messages=SendMessages.ALWAYS))
    call = await joined(peer, desk, TAKES)
    for number in range(1 + again):
        saying = asyncio.create_task(call.line.say("Bob", str(number)))
        await peer.asked("MESSAGE", status)
        await asyncio.wait_for(saying, 5)
    if not again:
        await call.line.say("Bob", "more")
        assert peer.heard.empty()


async def test_a_long_message_is_cut_to_what_udp_carries(start: Start, plug: Plug, desk: FakeDesk) -> None:
    peer = await plug(await start(send_messages=SendMessages.ALWAYS))
    call = await joined(peer, desk, TAKES)
    saying = asyncio.create_task(call.line.say("Bob", "word " * 400))
    parts = [(await peer.asked("MESSAGE")).body for _ in range(3)]
    await asyncio.wait_for(saying, 5)
    assert max(map(len, parts)) <= MAX_PIECE
    assert b" ".join(parts).decode().split() == ["Bob:", *["word"] * 400]


async def test_a_message_under_way_does_not_outlive_its_call(start: Start, plug: Plug, desk: FakeDesk) -> None:
    adapter = await start(send_messages=SendMessages.ALWAYS)
    peer = await plug(adapter)
    call = await joined(peer, desk, TAKES)
    saying = asyncio.create_task(call.line.say("Bob", "Hi"))
    await peer.asked("MESSAGE", answer=None)
    peer.request("BYE")
    await asyncio.wait_for(saying, 5)
    await settled(adapter)
    await call.line.say("Bob", "too late")
