"""ICE on the UDP ports of somebody else: an aioice agent whose sockets are those that RTP and RTCP use anyway.

Theory of operation. RTP's port is component 1, RTCP's component 2. One view for each component and address family
stands in for the socket that aioice would open; the owner hands in what STUN brings, and gets what is to be sent. All
candidates of one family and component are one socket, so checks need no more than that one view; the addresses that
the description lists beside it differ in name alone.

Like `agent`, this touches private parts of aioice 0.13: Connection._components, _protocols, _nominated,
_local_candidates_end, _local_username,
_local_password.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

import aioice
import structlog
from aioice.candidate import candidate_foundation, candidate_priority
from aioice.ice import CandidatePair, StunProtocol

from transcode.ice.agent import Agent, mapped
from transcode.media import Candidate, Ice

log = structlog.get_logger()

Address = tuple[str, int]
SendAside = Callable[[bytes, int, Address], None]
"""Sends a datagram by a component to an address."""


class _Way:
    """What a view takes for its socket."""

    def __init__(self, view: StunProtocol, component: int, send: SendAside) -> None:
        self._view = view
        self._component = component
        self._send = send

    def sendto(self, data: bytes, address: Address) -> None:
        self._send(data, self._component, address)

    def close(self) -> None:
        self._view.connection_lost(None)


class SharedAgent(Agent):
    """ICE for RTP and RTCP ports that are bound already.

    ports are those of components 1, 2. addresses are the local ones that reach them, the default one first, and
    public_address what a one-to-one NAT in front shows. on_pair is told of the remote address that was chosen for a
    component; on_lost as with `Agent`.
    """

    def __init__(
        self,
        controlling: bool,
        ports: Sequence[int],
        addresses: Sequence[str],
        public_address: str | None,
        send: SendAside,
        counters: dict[str, int],
    ) -> None:
        super().__init__(controlling, None, None, counters)
        self.on_pair: Callable[[int, Address], None] = _nobody
        self._chosen: dict[int, CandidatePair] = {}
        self._views: dict[tuple[int, bool], StunProtocol] = {}
        self._components = set(range(1, len(ports) + 1))
        self._local_candidates_end = True
        listed = [
            _host(component, port, address, number)
            for component, port in enumerate(ports, 1)
            for number, address in enumerate(addresses)
        ]
        for candidate in listed:
            self._view(candidate, send)
        if public_address is not None:
            same = [one for one in listed if (":" in one.address) == (":" in public_address)]
            firsts = {one.component: one for one in reversed(same)}
            listed += [mapped(firsts[component], public_address) for component in sorted(firsts)]
        self._listed = tuple(listed)

    @property
    def description(self) -> Ice:
        """Our side."""
        return Ice(self.local_username, self.local_password, self._listed, complete=True)

    def take_over(self, other: SharedAgent) -> None:
        """Go by the credentials of another agent: the peer was told those."""
        self._local_username, self._local_password = other.local_username, other.local_password

    def _view(self, candidate: Candidate, send: SendAside) -> None:
        key = (candidate.component, ":" in candidate.address)
        if key in self._views:
            return
        view = self._views[key] = StunProtocol(self)
        way: Any = _Way(view, candidate.component, send)
        view.connection_made(way)
        view.local_candidate = aioice.Candidate(
            foundation=candidate.foundation,
            component=candidate.component,
            transport="udp",
            priority=candidate.priority,
            host=candidate.address,
            port=candidate.port,
            type="host",
        )
        self._protocols.append(view)

    def narrow(self) -> None:
        """Leave RTCP out: it shares the way of RTP, or the peer has no candidates for it."""
        self._components = {1}

    def takes(self, component: int) -> bool:
        """Tell whether a component is looked after."""
        return component in self._components

    def take(self, data: bytes, address: Address, component: int) -> None:
        """Take one STUN datagram that came by a component's port."""
        view = self._views.get((component, ":" in address[0]))
        if view is None or self._closing:
            self.count("stun")
            return
        try:
            view.datagram_received(data, address)
        except (struct.error, IndexError, KeyError, AssertionError):
            # The parser lets these out on attributes that are cut short.
            self.count("malformed")
        except Exception:  # the outermost shell: one peer's packet must not close the socket
            self.count("handler_errors")
            log.exception("ice_datagram_handler_failed")

    def check_complete(self, pair: CandidatePair) -> None:
        """Note what a finished check of ours tells."""
        super().check_complete(pair)
        chosen = self._nominated.get(pair.component)
        if chosen is not None and chosen is not self._chosen.get(pair.component):
            self._chosen[pair.component] = chosen
            self.on_pair(pair.component, chosen.remote_addr)


def _host(component: int, port: int, address: str, number: int) -> Candidate:
    return Candidate(
        foundation=candidate_foundation("host", "udp", address),
        component=component,
        protocol="udp",
        priority=candidate_priority(component, "host", 65535 - number),
        address=address,
        port=port,
        type="host",
    )


def _nobody(_: int, __: Address) -> None:
    """Hear of a pair that nobody waits for."""
