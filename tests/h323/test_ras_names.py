"""DNS entries of H.323's domains, by real sockets: a name server of our own on the loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest
from twisted.names import client, dns, server
from twisted.names.authority import FileAuthority

from h323.ras.names import LOCATION, SIGNALLING, SystemNames, look_up
from h323.signalling.events import Address


class Zone(FileAuthority):
    """The zone "test", written down here and not in a file."""

    def loadFile(self, filename: Any) -> None:  # noqa: N802 (Twisted's name)
        self.soa, self.records = filename


def zone() -> Zone:
    records: dict[bytes, list[Any]] = {
        b"_h323cs._tcp.one.test": [
            dns.Record_SRV(20, 0, 1721, b"localhost", ttl=60),
            dns.Record_SRV(10, 5, 1720, b"localhost", ttl=60),
        ],
        b"_h323cs._tcp.none.test": [dns.Record_SRV(0, 0, 0, b".", ttl=60)],
        b"_h323rs._udp.two.test": [dns.Record_SRV(0, 0, 1719, b"localhost", ttl=60)],
    }
    soa = (b"test", dns.Record_SOA(b"ns.test", b"root.test", 1, 60, 60, 60, 60))
    records[soa[0]] = [soa[1]]
    return Zone((soa, records))


@pytest.fixture
async def names(reactor: Any) -> AsyncIterator[SystemNames]:
    """Return the names that this machine knows, but of a name server on the loopback."""
    made = SystemNames(reactor)
    protocol = dns.DNSDatagramProtocol(server.DNSServerFactory(authorities=[zone()]), reactor)
    listener = reactor.listenUDP(0, protocol, "127.0.0.1")
    made._names = client.Resolver(servers=[("127.0.0.1", listener.getHost().port)], timeout=(1, 1), reactor=reactor)
    yield made
    await listener.stopListening().asFuture(asyncio.get_running_loop())


async def test_servers_of_a_domain_are_asked_of_the_name_server(names: SystemNames) -> None:
    rng = Random(1)
    found = await look_up(names, SIGNALLING, "one.test", rng)
    assert [one.port for one in found if one.host == "127.0.0.1"] == [1720, 1721]
    assert Address("127.0.0.1", 1719) in await look_up(names, LOCATION[1], "two.test", rng)


@pytest.mark.parametrize(
    "domain", ["none.test", "nobody.test", "elsewhere.invalid", "a" * 64 + ".test", "..", "ü.test"]
)
async def test_a_domain_without_servers_has_none(names: SystemNames, domain: str) -> None:
    assert await look_up(names, SIGNALLING, domain, Random(1)) == []
    assert list(await names.addresses("nobody.invalid")) == []
