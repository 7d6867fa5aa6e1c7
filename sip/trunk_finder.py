"""Where the servers of a trunk are, and which addresses are theirs (RFC 3263)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sip.dialling import Finder
from sip.events import Transport
from sip.locate import Hop
from sip.trunk import Trunk, split_server
from sip.uri import Uri

GIVEN_UP = 600.0
"""Seconds for which an address stays a server's that DNS names no more: calls may still come from a machine that is
being replaced. Not longer: whoever is given the address next is no carrier."""
MAX_ADDRESSES = 64
"""Addresses that are remembered; carriers have two to eight, more come only by a zone that changes all the time."""


class TrunkFinder:
    """Finds the servers of a trunk, whatever a URI names: the configured ones in their order, each by RFC 3263.

    A server whose name nobody answers for keeps the addresses that it had.
    """

    def __init__(self, trunk: Trunk, finder: Finder, now: Callable[[], float]) -> None:
        self._trunk = trunk
        self._finder = finder
        self._now = now
        self._named: dict[tuple[str, str], float] = {}

    async def locate(self, uri: Uri, ways: Sequence[Transport]) -> list[Hop]:
        """Return where a request may go, best first."""
        way = self._trunk.transport
        found: dict[Hop, None] = {}
        for server in self._trunk.servers:
            host, port = split_server(server)
            there = Uri("sip", host=host, port=port, parameters={"transport": way.value})
            hops = await self._finder.locate(there, [way])
            if hops:
                self._name(server, [hop.address for hop in hops])
            found.update(dict.fromkeys(hops))
        return list(found)

    def is_server(self, address: str) -> bool:
        """Tell whether an address is one of the trunk's servers, or was a moment ago."""
        return any(known == address for _, known in self._named)

    def _name(self, server: str, addresses: list[str]) -> None:
        """Note which addresses a server has now, and forget those that it has not had for a while."""
        now = self._now()
        for address in addresses:
            self._named.pop((server, address), None)
            self._named[server, address] = now
        for key, seen in list(self._named.items()):
            if key[0] == server and now - seen > GIVEN_UP:
                del self._named[key]
        while len(self._named) > MAX_ADDRESSES:
            del self._named[next(iter(self._named))]
