"""DNS through real sockets: a name server of our own on loopback, and names that certificates must hold."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sip_name_server import Records, name_server
from twisted.names import client, dns

from sip.events import Flow, Send, Target, Transport
from sip.locate import Address, Hop, Kind, Naptr, Query, Record, Srv
from sip.resolver import EMPTY_AGE, MAX_KNOWN, Resolver, SystemLookup
from sip.transport import Network, NetworkConfig
from sip.uri import parse_uri

UDP, TCP, TLS = Transport.UDP, Transport.TCP, Transport.TLS
RECORDS: Records = {
    b"example.test": [
        dns.Record_NAPTR(10, 5, b"s", b"SIP+D2T", b"", b"_sip._tcp.example.test", ttl=300),
        dns.Record_NAPTR(20, 5, b"s", b"SIP+D2U", b"", b"_sip._udp.example.test", ttl=300),
    ],
    b"_sip._tcp.example.test": [dns.Record_SRV(1, 0, 5070, b"localhost", ttl=60)],
    b"_sip._udp.example.test": [dns.Record_SRV(1, 0, 5080, b"localhost", ttl=60)],
}


@pytest.fixture
async def lookup(reactor: Any) -> AsyncIterator[SystemLookup]:
    """Return a lookup that asks a name server on loopback."""
    made = SystemLookup(reactor, ipv6=False)
    async with name_server(reactor, RECORDS) as made._names:
        yield made


async def test_naptr_and_srv_are_asked_of_the_name_server(lookup: SystemLookup) -> None:
    found, age = await lookup.lookup(Query(Kind.NAPTR, "example.test"))
    assert found[0] == Naptr(10, 5, "s", "SIP+D2T", "_sip._tcp.example.test")
    assert age == 300.0
    found, age = await lookup.lookup(Query(Kind.SRV, "_sip._tcp.example.test"))
    assert (list(found), age) == ([Srv(1, 0, 5070, "localhost")], 60.0)


async def test_a_name_without_records_is_no_fault(lookup: SystemLookup) -> None:
    for kind in (Kind.NAPTR, Kind.SRV):
        for name in ("nobody.test", "elsewhere.invalid", "a" * 64 + ".test", "ü.test", ".."):
            assert await lookup.lookup(Query(kind, name)) == ((), EMPTY_AGE)
    assert (await lookup.lookup(Query(Kind.ADDRESS, "nobody.invalid")))[0] == []
    assert (await lookup.lookup(Query(Kind.ADDRESS, "a" * 70)))[0] == []


async def test_a_name_server_that_is_silent_is_given_up(reactor: Any) -> None:
    class Silent(asyncio.DatagramProtocol):
        pass

    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Silent, local_addr=("127.0.0.1", 0))
    lookup = SystemLookup(reactor, ipv6=False)
    servers = [("127.0.0.1", transport.get_extra_info("sockname")[1])]
    lookup._names = client.Resolver(servers=servers, timeout=(0.05,), reactor=reactor)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sip.resolver.TIMES", (0.05,))
        assert await lookup.lookup(Query(Kind.SRV, "_sip._udp.example.test")) == ((), EMPTY_AGE)
    transport.close()


async def test_a_domain_leads_to_its_servers(lookup: SystemLookup) -> None:
    resolver = Resolver(lookup, random.Random(1))
    hops = await resolver.locate(parse_uri("sip:a@example.test"), [UDP, TCP])
    assert hops == [Hop(TCP, "127.0.0.1", 5070, "example.test"), Hop(UDP, "127.0.0.1", 5080, "example.test")]
    assert await resolver.locate(parse_uri("sip:a@localhost:5099"), [UDP]) == [Hop(UDP, "127.0.0.1", 5099, "localhost")]


class Counting:
    """A lookup that counts its questions."""

    def __init__(self, age: float) -> None:
        self.age = age
        self.asked: list[Query] = []

    async def lookup(self, query: Query) -> tuple[Sequence[Record], float]:
        self.asked.append(query)
        return ([Address("192.0.2.1")] if query.kind is Kind.ADDRESS else []), self.age


async def test_answers_are_remembered_within_a_bound() -> None:
    counting = Counting(600.0)
    resolver = Resolver(counting, random.Random(1))
    for _ in range(3):
        await resolver.locate(parse_uri("sip:a@example.com:5060"), [UDP])
    assert len(counting.asked) == 1
    for number in range(MAX_KNOWN + 50):
        await resolver.locate(parse_uri(f"sip:a@n{number}.example.com:5060"), [UDP])
    assert len(resolver._known) == MAX_KNOWN


# the network


class User:
    """Notes what the network reports."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[tuple[bytes, Flow]] = asyncio.Queue()
        self.lost: list[Send] = []

    def received(self, data: bytes, flow: Flow) -> None:
        self.heard.put_nowait((data, flow))

    def closed(self, flow: Flow) -> None:
        pass

    def unreachable(self, send: Send) -> None:
        self.lost.append(send)


class Fixed:
    """A lookup with one SRV record."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def lookup(self, query: Query) -> tuple[Sequence[Record], float]:
        if query.kind is Kind.SRV:
            return [Srv(0, 0, self.port, "server.example.test")], 60.0
        return ([Address("127.0.0.1")] if query.kind is Kind.ADDRESS else []), 60.0


async def test_a_request_to_a_name_without_port_goes_to_its_srv_target(reactor: Any) -> None:
    far, near = User(), User()
    there = Network(NetworkConfig("127.0.0.1", {UDP: 0}), far, reactor)
    there.start()
    resolver = Resolver(Fixed(there.ports[UDP]), random.Random(1))
    here = Network(NetworkConfig("127.0.0.1", {UDP: 0}), near, reactor, resolver)
    here.start()
    here.send(Send(b"OPTIONS", Target(UDP, "example.test")))
    assert (await asyncio.wait_for(far.heard.get(), 3))[0] == b"OPTIONS"
    await there.stop()
    await here.stop()


async def test_a_certificate_must_name_the_domain_that_was_asked_for(reactor: Any, certificate: Path) -> None:
    far, near = User(), User()
    there = Network(NetworkConfig("127.0.0.1", {TLS: 0}, certificate), far, reactor)
    there.start()
    here = Network(NetworkConfig("127.0.0.1", {TLS: 0}, certificate, authorities=certificate), near, reactor)
    here.start()
    port = there.ports[TLS]
    named = await here.open(Target(TLS, "127.0.0.1", port, "127.0.0.1"))
    with pytest.raises(OSError):
        await here.open(Target(TLS, "127.0.0.1", port, "example.test"))
    assert await here.open(Target(TLS, "127.0.0.1", port)) == named  # proved to be who is asked for
    await here.stop()
    await there.stop()
