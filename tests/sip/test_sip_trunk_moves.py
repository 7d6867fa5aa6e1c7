"""Carriers that move: what DNS says of them changes, over real sockets and a name server of our own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from sip_carrier import Carrier, open_carrier
from sip_fake_house import FakeDesk
from sip_phone import FACTS, OFFER
from twisted.names import client, dns, server
from twisted.names.authority import FileAuthority

from sip.adapter import SipAdapter, SipConfig
from sip.events import Transport
from sip.locate import Hop
from sip.resolver import SystemLookup
from sip.trunk import Trunk
from sip.trunk_finder import GIVEN_UP, MAX_ADDRESSES, TrunkFinder
from sip.uri import Uri
from transcode.media import Wanted

DOMAIN = b"_sip._udp.carrier.test"
PATIENCE = 30.0


class Zone(FileAuthority):
    """The zone "test", with the carrier's one record, which may change."""

    def loadFile(self, filename: Any) -> None:  # noqa: N802 (Twisted's name)
        self.soa = (b"test", dns.Record_SOA(b"ns.test", b"root.test", 1, 1, 1, 1, 1))
        self.records = {b"test": [self.soa[1]]}

    def point(self, carrier: Carrier, host: str) -> None:
        self.records[DOMAIN] = [dns.Record_SRV(1, 0, carrier.local, host.encode(), ttl=1)]


@pytest.fixture
async def zone(reactor: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Zone]:
    """Return the zone of a name server that the adapter asks."""
    made = Zone("")
    protocol = dns.DNSDatagramProtocol(server.DNSServerFactory(authorities=[made]), reactor)
    listener = reactor.listenUDP(0, protocol, "127.0.0.1")

    def lookup(reactor: Any, ipv6: bool) -> SystemLookup:
        asking = SystemLookup(reactor, ipv6)
        servers = [("127.0.0.1", listener.getHost().port)]
        asking._names = client.Resolver(servers=servers, timeout=(5, 10), reactor=reactor)
        return asking

    monkeypatch.setattr("sip.adapter.SystemLookup", lookup)
    yield made
    await listener.stopListening().asFuture(asyncio.get_running_loop())


async def trunk_of(desk: FakeDesk, carrier: Carrier) -> str:
    """Let a carrier call, and return which trunk the house took it for."""
    known = len(desk.facts)
    carrier.tag = ""
    carrier.request("INVITE", OFFER, to="100")
    async with asyncio.timeout(PATIENCE):
        while len(desk.facts) == known:
            await asyncio.sleep(0.01)
    return desk.facts[-1].trunk


async def test_a_carrier_that_moves_is_followed_and_its_old_address_is_nobodys(
    reactor: Any, zone: Zone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sip.adapter.STOP_TIME", 0.1)
    monkeypatch.setattr("sip.trunk_registration.FRACTION", (0.02, 0.02))  # a binding of 60 s is refreshed after 1.2
    monkeypatch.setattr("sip.trunk_finder.GIVEN_UP", 0.0)
    desk = FakeDesk()
    first, second = await open_carrier("127.0.0.2"), await open_carrier("127.0.0.3")
    zone.point(first, "127.0.0.2")
    second.calls = 100  # so that their calls have names of their own
    facts = {"user": "4930", "password": "secret", "register": True, "expires": 60, "options_interval": 0.0}
    trunk = Trunk("carrier", ("carrier.test",), **facts)  # type: ignore[arg-type]
    adapter = SipAdapter(SipConfig(address="127.0.0.1", udp=0, tcp=None, trunks=(trunk,)), desk, reactor)
    await adapter.start()
    try:
        for one in (first, second):
            one.port = adapter.ports[Transport.UDP]
        await first.until(lambda: adapter.trunk_states()[0].registered, PATIENCE)
        assert adapter.trunk_states()[0].server == f"127.0.0.2:{first.local}"
        assert await trunk_of(desk, first) == "carrier"
        assert await trunk_of(desk, second) == ""

        zone.point(second, "127.0.0.3")
        await second.until(lambda: len(second.registers) >= 2, PATIENCE)
        there = f"127.0.0.3:{second.local}"
        await second.until(lambda: adapter.trunk_states()[0].server == there, PATIENCE)
        assert adapter.trunk_states()[0].registered
        assert await trunk_of(desk, second) == "carrier"
        assert await trunk_of(desk, first) == ""
        dialling = asyncio.create_task(adapter.dial("tel:+4930555", FACTS, Wanted(video=False), trunk="carrier"))
        while (invite := await second.next(PATIENCE)).method != "INVITE":
            pass  # answers to its own call, said again as it acknowledges none
        second.reply(invite, 200, OFFER)
        await dialling
    finally:
        await adapter.stop()
        for one in (first, second):
            one.transport.close()


class Named:
    """A finder that says what it is told to."""

    def __init__(self) -> None:
        self.hosts: dict[str, tuple[str, ...]] = {}

    async def locate(self, uri: Uri, ways: Sequence[Transport]) -> list[Hop]:
        return [Hop(ways[0], address, 5060, uri.host) for address in self.hosts.get(uri.host, ())]


async def test_an_address_that_dns_names_no_more_is_forgotten_after_a_while() -> None:
    now, named = 0.0, Named()
    finder = TrunkFinder(Trunk("t", ("one.example", "two.example")), named, lambda: now)

    async def look(**hosts: tuple[str, ...]) -> list[str]:
        named.hosts = {f"{name}.example": found for name, found in hosts.items()}
        return [hop.address for hop in await finder.locate(Uri("sip", host="any"), [Transport.UDP])]

    def known() -> list[str]:
        return [f"192.0.2.{last}" for last in range(1, 9) if finder.is_server(f"192.0.2.{last}")]

    assert await look(one=("192.0.2.1", "192.0.2.2"), two=("192.0.2.3",)) == ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
    now = GIVEN_UP / 2
    assert await look(one=("192.0.2.2",)) == ["192.0.2.2"]
    assert known() == ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
    now = GIVEN_UP + 1
    await look(one=("192.0.2.4",))  # nobody says anything of the other server, so it stays
    assert known() == ["192.0.2.2", "192.0.2.3", "192.0.2.4"]
    now += GIVEN_UP + 1
    await look(one=("192.0.2.4",), two=("192.0.2.5",))
    assert known() == ["192.0.2.4", "192.0.2.5"]
    await look(one=tuple(f"198.51.100.{last}" for last in range(2 * MAX_ADDRESSES)))
    assert len(finder._named) == MAX_ADDRESSES
