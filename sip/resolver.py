"""Asks DNS what `sip.locate` wants to know: twisted.names for NAPTR and SRV, the system's resolver for addresses."""

from __future__ import annotations

import asyncio
import random
import socket
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Protocol

import structlog
from twisted.internet import defer
from twisted.names import dns, error
from twisted.names.client import Resolver as NamesResolver

from sip.events import Transport
from sip.locate import Address, Hop, Kind, Naptr, Query, Record, Srv, allowed_ways, locate
from sip.transport_udp import plain_address
from sip.uri import Uri

log = structlog.get_logger()

TIMES = (1, 2)
"""Seconds that a server has for each try; a caller waits no longer for a domain than for a phone to ring."""
MAX_KNOWN = 1_024
"""Answers kept; the domains that are called from one machine are far fewer."""
MAX_AGE = 3_600.0
"""Seconds that an answer is kept at most, whatever its zone says."""
EMPTY_AGE = 30.0
"""Seconds that it is remembered that a name has no such records, or that nobody answered."""


class Lookup(Protocol):
    """What is asked of a DNS client."""

    async def lookup(self, query: Query) -> tuple[Sequence[Record], float]:
        """Return the records of a name and the seconds that they hold."""


class SystemLookup:
    """The name servers and the hosts file of this machine. ipv6 says which addresses are wanted first."""

    def __init__(self, reactor: Any, ipv6: bool) -> None:
        self._reactor = reactor
        self._ipv6 = ipv6
        self._names: Any = None

    async def lookup(self, query: Query) -> tuple[Sequence[Record], float]:
        """Return the records of a name; none where there are none or nobody answers."""
        if query.kind is Kind.ADDRESS:
            return await self._addresses(query.name), EMPTY_AGE
        if self._names is None:
            self._names = NamesResolver("/etc/resolv.conf", None, TIMES, self._reactor)  # type: ignore[no-untyped-call]
        ask = self._names.lookupService if query.kind is Kind.SRV else self._names.lookupNamingAuthorityPointer
        try:
            answers, _, _ = await ask(query.name, TIMES).asFuture(asyncio.get_running_loop())
        except (
            defer.TimeoutError,
            error.ResolverError,
            OSError,
            ValueError,
        ) as fault:  # its DomainErrors are ValueErrors
            log.debug("sip_dns_no_answer", name=query.name, kind=query.kind.value, error=repr(fault))
            return (), EMPTY_AGE
        return [record for answer in answers if (record := _record(answer)) is not None], _age(answers)

    async def _addresses(self, name: str) -> list[Record]:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return []
        wanted = socket.AF_INET6 if self._ipv6 else socket.AF_INET
        first = [entry for entry in found if entry[0] == wanted] or (found if self._ipv6 else [])
        return [Address(literal) for literal in dict.fromkeys(plain_address(str(entry[4][0])) for entry in first)]


def _record(answer: Any) -> Record | None:
    payload = answer.payload
    if isinstance(payload, dns.Record_SRV):
        return Srv(payload.priority, payload.weight, payload.port, _text(payload.target.name))
    if isinstance(payload, dns.Record_NAPTR):
        return Naptr(
            payload.order,
            payload.preference,
            _text(payload.flags.string),
            _text(payload.service.string),
            _text(payload.replacement.name),
        )
    return None


def _text(octets: bytes) -> str:
    return octets.decode("ascii", "replace")


def _age(answers: Sequence[Any]) -> float:
    return float(min((answer.ttl or 0 for answer in answers), default=EMPTY_AGE))


class Resolver:
    """Finds the hops of URIs, and remembers answers while they hold."""

    def __init__(self, lookup: Lookup, rng: random.Random) -> None:
        self._lookup = lookup
        self._rng = rng
        self._known: OrderedDict[Query, tuple[float, Sequence[Record]]] = OrderedDict()

    async def locate(self, uri: Uri, ways: Sequence[Transport]) -> list[Hop]:
        """Return where a request to a URI may go by the given transports of ours, best first; maybe nowhere."""
        search = locate(uri, allowed_ways(uri, ways), self._rng)
        try:
            query = next(search)
            while True:
                query = search.send(await self._ask(query))
        except StopIteration as done:
            found: list[Hop] = done.value
            return found

    async def _ask(self, query: Query) -> Sequence[Record]:
        now = asyncio.get_running_loop().time()
        known = self._known.get(query)
        if known is not None and known[0] > now:
            return known[1]
        records, age = await self._lookup.lookup(query)
        self._known[query] = (now + min(max(age, 1.0), MAX_AGE), records)
        self._known.move_to_end(query)
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        return records
