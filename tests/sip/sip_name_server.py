"""A name server of our own on the loopback, for tests that ask DNS by real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from twisted.names import client, dns, server
from twisted.names.authority import FileAuthority

Records = dict[bytes, list[Any]]


class Zone(FileAuthority):
    """The zone "test", written down in a test and not in a file."""

    def loadFile(self, filename: Any) -> None:  # noqa: N802 (Twisted's name)
        self.soa, self.records = filename


@asynccontextmanager
async def name_server(reactor: Any, records: Records) -> AsyncIterator[client.Resolver]:
    """Serve the zone's records, by their names, and give a resolver that asks for them."""
    soa = (b"test", dns.Record_SOA(b"ns.test", b"root.test", 1, 60, 60, 60, 60))
    authority = Zone((soa, {**records, soa[0]: [soa[1]]}))
    protocol = dns.DNSDatagramProtocol(server.DNSServerFactory(authorities=[authority]), reactor)
    listener = reactor.listenUDP(0, protocol, "127.0.0.1")
    yield client.Resolver(servers=[("127.0.0.1", listener.getHost().port)], timeout=(1, 1), reactor=reactor)
    await listener.stopListening().asFuture(asyncio.get_running_loop())
