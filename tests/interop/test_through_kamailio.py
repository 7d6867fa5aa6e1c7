"""Kamailio between us and phones: a proxy that records its route, their registrar, an edge that adds Path."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import hearing
import house
import marks
import party
import pytest
import pytest_asyncio
from peers.baresip import Baresip
from peers.kamailio import Kamailio
from peers.sipp import Sipp
from starting import LendGateway, StartGateway

from gateway.bench.process import GatewayProcess

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]

PLAIN: dict[str, Any] = {"media": {"srtp": "off"}, "outbound": {"rules": [{"hosts": ["127.0.0.1"]}]}}
"""Rooms may call phones behind the proxy, which is outside for the gateway."""

StartProxy = Callable[..., Awaitable[Kamailio]]
StartPhone = Callable[..., Awaitable[Baresip]]


@pytest_asyncio.fixture
async def running() -> AsyncIterator[AsyncExitStack]:
    """Give a stack that ends all programs of a test."""
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def start_proxy(running: AsyncExitStack, tmp_path: Path) -> StartProxy:
    """Give a function that starts Kamailio before a gateway, over a transport."""

    async def start(gateway: GatewayProcess, transport: str = "udp", **options: Any) -> Kamailio:
        proxy = Kamailio(tmp_path, f"sip:127.0.0.1:{port_of(gateway, transport)};transport={transport}", **options)
        running.push_async_callback(proxy.stop)
        await proxy.begin()
        return proxy

    return start


@pytest.fixture
def start_phone(running: AsyncExitStack, tmp_path: Path) -> StartPhone:
    """Give a function that starts a baresip; registrar is a Kamailio where it registers first."""

    async def start(
        mark: marks.Mark,
        transport: str = "udp",
        answer: bool = False,
        registrar: Kamailio | None = None,
        password: str = "any",
    ) -> Baresip:
        port = None if registrar is None else (registrar.tls if transport == "tls" else registrar.port)
        known = (port, password) if port is not None else None
        phone = Baresip(mark, tmp_path, transport, video=False, registrar=known)
        phone.configure(answer=answer)
        running.push_async_callback(phone.stop)
        await phone.begin()
        if known is not None:
            await phone.expect(r"200 OK", 30)
        return phone

    return start


def port_of(gateway: GatewayProcess, transport: str) -> int:
    """Return where the gateway listens for SIP."""
    return {"udp": gateway.udp, "tcp": gateway.tcp, "tls": gateway.tls}[transport]


def since(recording: tuple[Any, int], start: int) -> dict[int, float]:
    """Return for each tone how long it was heard in a recording from a sample on."""
    samples, rate = recording
    return hearing.heard(samples[start:], rate, marks.TONES)


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
async def test_calls_through_a_proxy_are_heard_held_and_ended_by_either_side(
    lend_gateway: LendGateway, start_proxy: StartProxy, start_phone: StartPhone, transport: str
) -> None:
    gateway = await lend_gateway(**PLAIN)
    proxy = await start_proxy(gateway, transport)
    ann, bob = await start_phone(marks.ANN, transport), await start_phone(marks.BOB, transport)
    for phone in (ann, bob):
        await phone.dial(f"sip:100@{proxy.address(transport)}")
    await house.holds(gateway, 2)
    await party.assert_all_hear({"ann": (marks.ANN, ann.heard), "bob": (marks.BOB, bob.heard)})

    await ann.write("/hold")
    await proxy.expect(r"(?s)(RELAY INVITE.*){3}", 30)
    await asyncio.sleep(1.5)  # what is under way arrives
    held_from = len(bob.heard()[0])
    await asyncio.sleep(party.LISTENED)
    assert since(bob.heard(), held_from)[marks.ANN.tone] <= party.MOST_OF_SELF, "one who holds is still heard"
    assert len(proxy.relayed("INVITE")) == 3
    resumed_from = len(bob.heard()[0])
    await ann.write("/resume")
    await party.assert_comes_to_hear("bob", bob.heard, marks.ANN, resumed_from)
    assert len(proxy.relayed("INVITE")) == 4
    assert len(await gateway.participants()) == 2

    await ann.hang_up()
    await house.holds(gateway, 1)
    await house.remove(gateway, "Bob")
    await bob.expect(r"(?i)session closed|call.*terminated|closed", 30)
    await house.holds(gateway, 0)
    from_phone, from_house = proxy.relayed("BYE")
    assert from_phone.startswith("sip:100@127.0.0.1:"), from_phone
    assert from_house.startswith("sip:bob"), from_house


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_sipp_is_heard_through_a_proxy(
    lend_gateway: LendGateway,
    start_proxy: StartProxy,
    start_phone: StartPhone,
    running: AsyncExitStack,
    tmp_path: Path,
    transport: str,
) -> None:
    gateway = await lend_gateway(**PLAIN)
    proxy = await start_proxy(gateway, transport)
    caller = Sipp(marks.CLEO, tmp_path, transport, seconds=10)
    running.push_async_callback(caller.finish)
    ann = await start_phone(marks.ANN)
    await ann.dial(f"sip:100@{proxy.address()}")
    await caller.dial("127.0.0.1", proxy.port, "100")
    await house.holds(gateway, 2)
    assert await caller.wait(30) == 0
    await house.holds(gateway, 1)
    party.assert_hears("cleo", caller.heard(), marks.CLEO, [marks.ANN])
    party.assert_hears("ann", ann.heard(), marks.ANN, [marks.CLEO])


async def test_a_proxy_that_forks_to_us_and_a_phone_cancels_the_one_that_rings(
    lend_gateway: LendGateway, start_proxy: StartProxy, start_phone: StartPhone
) -> None:
    gateway = await lend_gateway(**PLAIN)
    ringing = await start_phone(marks.CLEO)
    proxy = await start_proxy(gateway, fork=(f"sip:cleo@127.0.0.1:{ringing.port}",))
    bob = await start_phone(marks.BOB)
    await bob.dial(f"sip:100@{proxy.address()}")
    await house.holds(gateway, 1)
    await ringing.expect(r"(?i)cancel|closed|terminated", 30)
    assert len(proxy.relayed("INVITE")) == 2
    await bob.hang_up()
    await house.holds(gateway, 0)


async def test_a_phone_that_answers_first_takes_the_forked_call_of_the_room(
    lend_gateway: LendGateway, start_proxy: StartProxy, start_phone: StartPhone
) -> None:
    gateway = await lend_gateway(**PLAIN)
    ringing = await start_phone(marks.CLEO)
    proxy = await start_proxy(gateway, fork=(f"sip:cleo@127.0.0.1:{ringing.port}",))
    ann = await start_phone(marks.ANN, answer=True, registrar=proxy)
    bob = await start_phone(marks.BOB)
    await bob.dial(f"sip:100@127.0.0.1:{gateway.udp}")
    await house.call(gateway, f"sip:ann@{proxy.address()}", "Ann")
    await ringing.expect(r"(?i)cancel|closed|terminated", 30)
    assert len(proxy.relayed("INVITE")) == 2
    await house.holds(gateway, 2)
    await party.assert_all_hear({"ann": (marks.ANN, ann.heard), "bob": (marks.BOB, bob.heard)})
    await house.remove(gateway, "Ann")
    await ann.expect(r"(?i)session closed|call.*terminated|closed", 30)


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
async def test_a_phone_registered_at_kamailio_is_called_and_hangs_up(
    lend_gateway: LendGateway, start_proxy: StartProxy, start_phone: StartPhone, transport: str
) -> None:
    gateway = await lend_gateway(**PLAIN)
    proxy = await start_proxy(gateway, transport)
    ann = await start_phone(marks.ANN, answer=True, registrar=proxy)
    participant = await house.call(gateway, f"sip:ann@{proxy.address(transport)}", "Ann")
    assert participant["name"] == "Ann"
    await ann.expect(r"Call established", 30)
    await house.holds(gateway, 1)
    await ann.hang_up()
    await house.holds(gateway, 0)
    (bye,) = proxy.relayed("BYE")
    assert bye.startswith(f"sip:100@127.0.0.1:{port_of(gateway, transport)}"), bye


async def test_a_call_that_rings_behind_a_proxy_is_cancelled(
    lend_gateway: LendGateway, start_proxy: StartProxy, start_phone: StartPhone
) -> None:
    gateway = await lend_gateway(**PLAIN)
    proxy = await start_proxy(gateway)
    ann = await start_phone(marks.ANN, registrar=proxy)
    calling = asyncio.create_task(house.call(gateway, f"sip:ann@{proxy.address()}", "Ann"))
    await ann.expect(r"(?i)incoming call", 30)
    (call,) = await house.calls(gateway)
    await house.ask(gateway, "DELETE", f"/calls/{call['id']}")
    with pytest.raises(OSError, match="hung-up-by-host"):
        await calling
    await proxy.expect(r"GOT CANCEL sip:ann", 30)
    await ann.expect(r"(?i)cancel|closed|terminated", 30)
    assert await house.calls(gateway) == []


@pytest.mark.parametrize("house_calls", [False, True], ids=["called", "calling"])
async def test_a_strict_router_gets_its_own_address_as_request_uri(
    lend_gateway: LendGateway, start_proxy: StartProxy, start_phone: StartPhone, house_calls: bool
) -> None:
    """RFC 3261 §12.2.1.1 and §16.4: the phone's address travels as the last Route."""
    gateway = await lend_gateway(**PLAIN)
    proxy = await start_proxy(gateway, strict=True)
    ann = await start_phone(marks.ANN, answer=True, registrar=proxy)
    bob = await start_phone(marks.BOB)
    await bob.dial(f"sip:100@127.0.0.1:{gateway.udp}")
    if house_calls:
        await house.call(gateway, f"sip:ann@{proxy.address()}", "Ann")
        (ack,) = proxy.got("ACK")
        assert ack.startswith(f"sip:127.0.0.1:{proxy.port} route=<sip:ann"), ack
    else:
        await ann.dial(f"sip:100@{proxy.address()}")
    await house.holds(gateway, 2)
    await party.assert_all_hear({"ann": (marks.ANN, ann.heard)}, [marks.BOB])
    await house.remove(gateway, "Ann")
    await ann.expect(r"(?i)session closed|call.*terminated|closed", 30)
    (bye,) = proxy.relayed("BYE")
    assert bye.startswith("sip:ann"), bye
    await house.holds(gateway, 1)


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
async def test_a_phone_registers_with_us_through_an_edge_and_is_called_by_its_path(
    start_gateway: StartGateway, start_proxy: StartProxy, start_phone: StartPhone, transport: str
) -> None:
    """RFC 3327; the edge speaks another transport to us than to the phone, so that it names itself twice."""
    accounts = [{"user": "ann", "password": "correct horse"}]
    gateway = await start_gateway(accounts=accounts, sip={"authenticate": "registered"}, **PLAIN)
    proxy = await start_proxy(gateway, transport, edge=True)
    ann = await start_phone(marks.ANN, answer=True, registrar=proxy, password='"correct horse"')
    await house.registered(gateway, 1)
    bob = await start_phone(marks.BOB)
    await bob.dial(f"sip:100@127.0.0.1:{gateway.udp}")
    await house.call(gateway, "sip:ann@127.0.0.1", "Ann")
    (invite,) = proxy.relayed("INVITE")
    assert invite.startswith("sip:ann"), invite
    await house.holds(gateway, 2)
    await party.assert_all_hear({"ann": (marks.ANN, ann.heard), "bob": (marks.BOB, bob.heard)})
    await house.remove(gateway, "Ann")
    await ann.expect(r"(?i)session closed|call.*terminated|closed", 30)
    await house.holds(gateway, 1)


@pytest.mark.parametrize("transport", ["udp", "tls"])
async def test_the_house_registers_a_trunk_at_kamailio_and_is_called_by_it(
    start_gateway: StartGateway, start_phone: StartPhone, running: AsyncExitStack, tmp_path: Path, transport: str
) -> None:
    proxy = Kamailio(tmp_path, "sip:127.0.0.1:9", password="trunk secret")
    running.push_async_callback(proxy.stop)
    await proxy.begin()
    trunk = {
        "name": "kamailio",
        "servers": [f"127.0.0.1:{proxy.tls if transport == 'tls' else proxy.port}"],
        "transport": transport,
        "register": True,
        "user": "house",
        "password": "trunk secret",
        "rewrite_in": [{"match": "house", "replace": "100"}],
    }
    # Over TLS its certificate is checked, by name and signer.
    trusted = {"sip": {"authorities": str(proxy.certificate)}} if transport == "tls" else {}
    gateway = await start_gateway(trunks=[trunk], **PLAIN, **trusted)
    await proxy.expect(r"SAVED house", 30)
    ann, bob = await start_phone(marks.ANN), await start_phone(marks.BOB)
    for phone in (ann, bob):
        await phone.dial(f"sip:house@{proxy.address()}")
    await house.holds(gateway, 2)
    await party.assert_all_hear({"ann": (marks.ANN, ann.heard), "bob": (marks.BOB, bob.heard)})
    await ann.hang_up()
    await house.remove(gateway, "Bob")
    await house.holds(gateway, 0)
    assert len(proxy.got("REGISTER")) == 2  # the first one is challenged
