"""Where a domain's H.323 is, by its DNS entries (H.323 Annex O)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

import structlog
from twisted.internet import defer
from twisted.names import dns, error
from twisted.names.client import Resolver

from h323.signalling.events import Address

log = structlog.get_logger()

SIGNALLING = "_h323cs._tcp"
"""Call signalling: there a SETUP may go at once."""
LOCATION = ("_h323ls._udp", "_h323rs._udp")
"""Gatekeepers that are asked by LRQ; domains name them under either."""
TIMES = (1, 2)
"""Seconds that a name server has for each try; nobody waits longer for a domain than for a room to ring."""
MAX_SERVERS = 8
"""Servers of one domain that are tried."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server of a domain, by name."""

    host: str
    port: int
    priority: int = 0
    weight: int = 0


class Names(Protocol):
    """What is asked of DNS."""

    async def servers(self, service: str) -> Sequence[Server]:
        """Return the SRV records of a name, none where there are none or nobody answers."""

    async def addresses(self, host: str) -> Sequence[str]:
        """Return the IP literals of a host name, none where it is not known."""


class SystemNames:
    """The name servers and the hosts file of this machine."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._names: Any = None

    async def servers(self, service: str) -> Sequence[Server]:
        """See `Names.servers`."""
        if self._names is None:
            self._names = Resolver("/etc/resolv.conf", None, TIMES, self._reactor)  # type: ignore[no-untyped-call]
        try:
            answers, _, _ = await self._names.lookupService(service, TIMES).asFuture(asyncio.get_running_loop())
        except (defer.TimeoutError, error.ResolverError, OSError, ValueError) as fault:  # DomainErrors are ValueErrors
            log.debug("h323_dns_no_answer", name=service, error=repr(fault))
            return ()
        return [_server(one.payload) for one in answers if isinstance(one.payload, dns.Record_SRV)]

    async def addresses(self, host: str) -> Sequence[str]:
        """See `Names.addresses`."""
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, None, type=1)
        except (OSError, UnicodeError):
            return ()
        return list(dict.fromkeys(str(one[4][0]) for one in found))


def _server(record: Any) -> Server:
    target = record.target.name.decode("ascii", "replace")
    return Server(target, int(record.port), int(record.priority), int(record.weight))


def in_order(servers: Sequence[Server], rng: Random) -> list[Server]:
    """Return servers as they are to be tried: the least priority first, in each by chance after their weights.

    RFC 2782: one of weight 0 is taken now and then only, where there are others.
    """

    def turn(server: Server) -> tuple[int, float]:
        # The least of exponential times of these rates is each one's with the chance of its weight.
        return server.priority, rng.expovariate(server.weight or 0.01)

    return sorted(servers, key=turn)


async def look_up(names: Names, service: str, domain: str, rng: Random) -> list[Address]:
    """Return the addresses of a domain's servers for a service, best first; a target "." says there is none."""
    found = await names.servers(f"{service}.{domain}")
    addresses = []
    for one in in_order(found, rng)[:MAX_SERVERS]:
        if one.host not in ("", "."):
            addresses += [Address(host, one.port) for host in await names.addresses(one.host)]
    return addresses
