"""DNS entries of H.323's domains, by real sockets: a name server of our own on the loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest
from sip_name_server import Records, name_server
from twisted.names import dns

from h323.ras.names import LOCATION, SIGNALLING, SystemNames, look_up
from h323.signalling.events import Address

RECORDS: Records = {
    b"_h323cs._tcp.one.test": [
        dns.Record_SRV(20, 0, 1721, b"localhost", ttl=60),
        dns.Record_SRV(10, 5, 1720, b"localhost", ttl=60),
    ],
    b"_h323cs._tcp.none.test": [dns.Record_SRV(0, 0, 0, b".", ttl=60)],
    b"_h323rs._udp.two.test": [dns.Record_SRV(0, 0, 1719, b"localhost", ttl=60)],
}


@pytest.fixture
async def names(reactor: Any) -> AsyncIterator[SystemNames]:
    """Return the names that this machine knows, but of a name server on the loopback."""
    made = SystemNames(reactor)
    async with name_server(reactor, RECORDS) as made._names:
        yield made


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
