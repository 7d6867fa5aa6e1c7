"""Locating servers (RFC 3263) without I/O: DNS questions out, answers in, and where to send at the end, best first.

Theory of operation. `locate` is a generator: it yields a `Query`, is sent the records that answer it (none where the
name has none, or nobody answered), and returns the `Hop`s. The transport comes from the URI, else from NAPTR, else
from the SRV names that exist, else it is ours to choose; the port from the URI, else from SRV, else the usual one.
SRV targets of one priority are drawn by weight (RFC 2782). Each step has bounds, so that no zone can keep us busy.

Whoever sends tries one hop after the other: the next one where the last could not be reached, did not answer, or
answered 503 (§4.3). `Blocked` remembers those for a while.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_address

from sip.events import Target, Transport
from sip.uri import Uri

MAX_HOPS = 16
"""Hops of one URI; a call is given up long before so many have failed."""
MAX_QUERIES = 24
"""Questions for one URI: three transports of a handful of servers each."""
MAX_RECORDS = 32
"""Records looked at in one answer; large SRV sets have about ten."""
MAX_BLOCKED = 1_024
"""Hops that are remembered as not to be used; the oldest is forgotten."""


class Kind(Enum):
    """What is asked of DNS; ADDRESS is A or AAAA, whatever we speak."""

    NAPTR = "NAPTR"
    SRV = "SRV"
    ADDRESS = "ADDRESS"


@dataclass(frozen=True, slots=True)
class Query:
    """One question."""

    kind: Kind
    name: str


@dataclass(frozen=True, slots=True)
class Naptr:
    """A NAPTR record (RFC 3403 §4.1)."""

    order: int
    preference: int
    flags: str
    service: str
    replacement: str


@dataclass(frozen=True, slots=True)
class Srv:
    """An SRV record (RFC 2782)."""

    priority: int
    weight: int
    port: int
    target: str


@dataclass(frozen=True, slots=True)
class Address:
    """An IP literal."""

    literal: str


Record = Naptr | Srv | Address


@dataclass(frozen=True, slots=True)
class Hop:
    """One place to send to; name is the domain that was asked for, which a certificate must name (RFC 5922 §7.2)."""

    transport: Transport
    address: str
    port: int
    name: str

    @property
    def target(self) -> Target:
        """Where the network is to send."""
        return Target(self.transport, self.address, self.port, self.name)


_SERVICES = {
    "sip+d2u": Transport.UDP,
    "sip+d2t": Transport.TCP,
    "sips+d2t": Transport.TLS,
    "sip+d2w": Transport.WS,
    "sips+d2w": Transport.WSS,
}
"""NAPTR services (RFC 3263 §4.1, RFC 7118 §5)."""
_SRV_NAMES = {Transport.UDP: "_sip._udp", Transport.TCP: "_sip._tcp", Transport.TLS: "_sips._tcp"}
"""Where SRV records stand."""

Search = Generator[Query, Sequence[Record], list[Hop]]


def locate(uri: Uri, ways: Sequence[Transport], rng: random.Random) -> Search:
    """Find where a request to a URI may go.

    ways are the transports that we speak, best first, already narrowed to those that the URI allows (`allowed_ways`).
    """
    host = uri.parameters.get("maddr") or uri.host
    search = _Search(host.strip("[]").rstrip("."), rng)
    guessed = [way for way in ways if not way.secure] or ways  # TLS only where something says that it is there
    if _literal(search.name) is not None:
        return search.literal(guessed, uri.port)
    if uri.port is not None:
        return (yield from search.addresses([(way, search.name, uri.port) for way in guessed]))
    named = "transport" in uri.parameters
    if "." not in search.name:  # a name of this network, like localhost: no zone holds services for it
        return (yield from search.addresses(_usual(guessed, search.name)))
    found: list[tuple[Transport, str, int]] = []
    if not named:
        found = yield from search.by_naptr(ways)
    if not found:
        found = yield from search.by_srv(ways)
    return (yield from search.addresses(found or _usual(guessed, search.name)))


def allowed_ways(uri: Uri, ways: Iterable[Transport]) -> list[Transport]:
    """Return which of our transports a request to a URI may take (§4.1): sips demands TLS on every hop."""
    named = uri.parameters.get("transport", "").lower()
    secure = uri.scheme == "sips" or named == "tls"
    if secure:
        wanted = {Transport.WSS} if named in ("ws", "wss") else {Transport.TLS}
    elif named:
        wanted = {way for way in Transport if way.value == named}
    else:
        wanted = {Transport.UDP, Transport.TCP, Transport.TLS}
    return [way for way in ways if way in wanted]


class _Search:
    """One search: what was asked so far."""

    def __init__(self, name: str, rng: random.Random) -> None:
        self.name = name
        self._rng = rng
        self._asked = 0

    def literal(self, ways: Sequence[Transport], port: int | None) -> list[Hop]:
        address = _literal(self.name) or self.name
        return [Hop(way, address, port or way.default_port, self.name) for way in ways]

    def ask(self, kind: Kind, name: str) -> Generator[Query, Sequence[Record], Sequence[Record]]:
        self._asked += 1
        if self._asked > MAX_QUERIES or not 0 < len(name) < 256:
            return ()
        return (yield Query(kind, name))[:MAX_RECORDS]

    def by_naptr(
        self, ways: Sequence[Transport]
    ) -> Generator[Query, Sequence[Record], list[tuple[Transport, str, int]]]:
        """Return the servers of each service that we speak, in the order that the domain wants (RFC 3403 §4.1)."""
        records = [one for one in (yield from self.ask(Kind.NAPTR, self.name)) if isinstance(one, Naptr)]
        found: list[tuple[Transport, str, int]] = []
        for record in sorted(records, key=lambda one: (one.order, one.preference)):
            way = _SERVICES.get(record.service.lower())
            if way in ways and record.flags.lower() == "s" and way is not None:
                found += yield from self.servers(way, record.replacement.rstrip("."))
        return found

    def by_srv(self, ways: Sequence[Transport]) -> Generator[Query, Sequence[Record], list[tuple[Transport, str, int]]]:
        """Return the servers of each of our transports."""
        found: list[tuple[Transport, str, int]] = []
        for way in ways:
            if way in _SRV_NAMES:
                found += yield from self.servers(way, f"{_SRV_NAMES[way]}.{self.name}")
        return found

    def servers(
        self, way: Transport, name: str
    ) -> Generator[Query, Sequence[Record], list[tuple[Transport, str, int]]]:
        records = [one for one in (yield from self.ask(Kind.SRV, name)) if isinstance(one, Srv)]
        usable = [one for one in records if one.target.rstrip(".") and 0 < one.port < 65_536]
        return [(way, one.target.rstrip("."), one.port) for one in by_weight(usable, self._rng)]

    def addresses(self, servers: Sequence[tuple[Transport, str, int]]) -> Search:
        """Return the hops of servers, each with all its addresses."""
        known: dict[str, list[str]] = {}
        hops: list[Hop] = []
        for way, host, port in servers:
            if host not in known:
                literal = _literal(host)
                answer = [Address(literal)] if literal else (yield from self.ask(Kind.ADDRESS, host))
                known[host] = [one.literal for one in answer if isinstance(one, Address)]
            hops += [Hop(way, address, port, self.name) for address in known[host]]
        return list(dict.fromkeys(hops))[:MAX_HOPS]


def by_weight(records: Sequence[Srv], rng: random.Random) -> list[Srv]:
    """Return SRV records by priority, those of the same one drawn by weight (RFC 2782, Usage Rules)."""
    found: list[Srv] = []
    for priority in sorted({one.priority for one in records}):
        left = sorted((one for one in records if one.priority == priority), key=lambda one: one.weight)
        while left:
            mark = rng.randint(0, sum(one.weight for one in left))
            for at, one in enumerate(left):
                mark -= one.weight
                if mark <= 0:
                    found.append(left.pop(at))
                    break
    return found


class Blocked:
    """Hops that are not to be used until a time: they failed, or asked for it by Retry-After (RFC 3261 §21.5.4)."""

    def __init__(self) -> None:
        """Start with none."""
        self._until: OrderedDict[tuple[Transport, str, int], float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._until)

    def block(self, hop: Hop, until: float) -> None:
        """Do not use a hop until then."""
        self._until[_where(hop)] = until
        self._until.move_to_end(_where(hop))
        if len(self._until) > MAX_BLOCKED:
            self._until.popitem(last=False)

    def free(self, hop: Hop) -> None:
        """Use a hop again: it answered."""
        self._until.pop(_where(hop), None)

    def blocks(self, hop: Hop, now: float) -> bool:
        """Tell whether a hop is not to be used now."""
        until = self._until.get(_where(hop))
        if until is not None and until <= now:
            del self._until[_where(hop)]
            until = None
        return until is not None


def _where(hop: Hop) -> tuple[Transport, str, int]:
    return hop.transport, hop.address, hop.port


def _usual(ways: Sequence[Transport], name: str) -> list[tuple[Transport, str, int]]:
    return [(way, name, way.default_port) for way in ways]


def _literal(host: str) -> str | None:
    try:
        return str(ip_address(host))
    except ValueError:
        return None
