"""ICE: sockets, connectivity checks and consent, on aioice; it and `shared` alone touch aioice's private parts.

Theory of operation. aioice's Connection runs the checks. Four things are ours:

- Sockets are bound to configured addresses (loopback included, which aioice leaves out) and from a range of ports.
- Datagrams are sorted by their first octet (RFC 7983 §7) before anything parses them, and go straight to their
  handler, without a queue and a task in between.
- Only addresses from which a check with our password came, or which answered one of ours, may send DTLS and media:
  nobody else can start a handshake (the race between ClientHello and ICE that has brought other servers down).
- End-of-candidates is never passed on. A peer whose candidates are all hidden (mDNS names) or that is slow still
  reaches us by its own checks, so failure is a matter of time alone (RFC 8863).

After completion aioice leaves cancelled checks in state IN_PROGRESS; a peer that later nominates such a pair would
never be followed. `check_incoming` sets them back to WAITING.

Private parts used (aioice 0.13): Connection._nominated, _check_list, _early_checks, _early_checks_done,
_components, _remote_candidates, _protocols, _add_remote_candidate, _emit_event, _find_remote_candidate.
"""

from __future__ import annotations

import asyncio
import ipaddress
import random
import socket
import struct
from collections.abc import Callable, Sequence
from typing import Any

import aioice
import structlog
from aioice.candidate import candidate_foundation, candidate_priority
from aioice.ice import CandidatePair, ConnectionClosed, ConnectionEvent, StunProtocol, get_host_addresses
from aioice.stun import Message

from gateway.reasons import Reason, Refused
from transcode.media import Candidate, Ice

log = structlog.get_logger()

MAX_ADDRESSES = 16
"""Local addresses bound for one transport; a machine with more has container bridges that no peer reaches."""
MAX_REMOTE_CANDIDATES = 64
"""Remote candidates of one peer, its own and those learned from checks; a browser on three networks has about 20."""
MAX_PAIRS = 100
"""Pairs checked (RFC 8445 §6.1.2.5): bounds what a description can make us send to addresses that it names."""
MAX_CONFLICTS = 4
"""Times in a row that a check may be answered with a conflict of roles: one settles it (RFC 8445 §7.2.5.1)."""
MAX_VALIDATED = 128
"""Remote addresses that checks came from; twice what candidates can name."""
BIND_TRIES = 100
"""Ports tried in the range before it counts as full."""
RECEIVE_BUFFER = 1 << 20
"""Octets of socket buffer: 200 ms of a key frame burst at 40 Mbit/s; the system may give less."""
MAX_DATAGRAM = 2048
"""Octets of one datagram; nothing that belongs here is larger than a 1500-octet packet."""
COMPONENT = 1
"""RTP and RTCP share one component (RFC 5761)."""

DatagramHandler = Callable[[bytes], None]


class _Socket(StunProtocol):
    """One bound socket: sorts what comes in (RFC 7983)."""

    def __init__(self, agent: Agent) -> None:
        super().__init__(agent)
        self._agent = agent

    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        agent = self._agent
        assert isinstance(data, bytes)
        try:
            if len(data) < 2 or len(data) > MAX_DATAGRAM:
                agent.count("garbage" if len(data) < 2 else "oversized")
                return
            first = data[0]
            if first > 127:
                if first < 192:
                    if addr in agent.validated or addr[:2] in agent.validated:
                        agent.on_media(data)
                    else:
                        agent.count("foreign")
                else:
                    agent.count("garbage")
            elif first < 4:
                super().datagram_received(data, addr)
            elif 20 <= first < 64:
                agent.dtls_received(data, addr[:2])
            else:
                agent.count("garbage")
        except (struct.error, IndexError, KeyError, AssertionError):
            # The parser lets these out on attributes that are cut short.
            agent.count("malformed")
        except Exception:
            # The outermost shell: one peer's packet must not close the socket.
            agent.count("handler_errors")
            log.exception("ice_datagram_handler_failed")

    def error_received(self, exc: Exception) -> None:
        self._agent.count("errors")


class Agent(aioice.Connection):
    """ICE for one bundle.

    addresses are local ones to bind, None for all of this host's; ports the range to bind in, None for any.
    on_media and on_dtls take datagrams of validated peers, on_selected is called when `selected` changed, on_lost when
    consent ran out (RFC 7675) or the socket in use closed.
    """

    def __init__(
        self,
        controlling: bool,
        addresses: Sequence[str] | None,
        ports: tuple[int, int] | None,
        counters: dict[str, int],
    ) -> None:
        super().__init__(ice_controlling=controlling)
        self._addresses = addresses
        self._ports = ports
        self._counters = counters
        self.validated: set[tuple[str, int]] = set()
        self.selected: CandidatePair | None = None
        self.on_media: DatagramHandler = _ignore
        self.on_dtls: DatagramHandler = _ignore
        self.on_selected: Callable[[], None] = _nothing
        self.on_lost: Callable[[], None] = _nothing
        self._conflicts: dict[CandidatePair, int] = {}
        self.shut = False
        """Set by the owner before it closes: `on_lost` is not called any more."""

    def count(self, name: str) -> None:
        """Count one thing that happened."""
        self._counters[name] = self._counters.get(name, 0) + 1

    async def gather(self, public_address: str | None) -> Ice:
        """Bind sockets and describe them. Raises `Refused` with NO_PORTS if nothing could be bound."""
        await self.gather_candidates()
        local = [_to_plain(each) for each in self.local_candidates]
        if not local:
            raise Refused(Reason.NO_PORTS, "no local address could be bound for ICE")
        if public_address is not None:
            local += [mapped(each, public_address) for each in local if _same_family(each.address, public_address)]
        return Ice(self.local_username, self.local_password, tuple(local), complete=True)

    async def get_component_candidates(self, component: int, addresses: list[str], timeout: int = 5) -> list[Any]:  # noqa: ASYNC109
        """Bind one socket for each address; the library calls this from gather_candidates()."""
        wanted = list(self._addresses) if self._addresses is not None else addresses
        if not wanted:
            wanted = get_host_addresses(use_ipv4=True, use_ipv6=True) or ["127.0.0.1"]
        found = []
        for address in wanted[:MAX_ADDRESSES]:
            try:
                bound = self._bind(address)
            except OSError:
                self.count("bind_failed")
                continue
            found.append(await self._listen(bound))
        return found

    def _bind(self, address: str) -> socket.socket:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        made = socket.socket(family, socket.SOCK_DGRAM)
        try:
            made.setblocking(False)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            if self._ports is None:
                made.bind((address, 0))
                return made
            low, high = self._ports
            span = high - low + 1
            start = random.randrange(span)
            for step in range(min(BIND_TRIES, span)):
                try:
                    made.bind((address, low + (start + step) % span))
                    return made
                except OSError as failure:
                    last = failure
            raise last
        except BaseException:
            made.close()
            raise

    async def _listen(self, bound: socket.socket) -> Any:
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_datagram_endpoint(lambda: _Socket(self), sock=bound)
        host, port = transport.get_extra_info("sockname")[:2]
        protocol.local_candidate = aioice.Candidate(
            foundation=candidate_foundation("host", "udp", host),
            component=COMPONENT,
            transport="udp",
            priority=candidate_priority(COMPONENT, "host", 65535 - len(self._protocols)),
            host=host,
            port=port,
            type="host",
        )
        self._protocols.append(protocol)
        return protocol.local_candidate

    def add(self, candidate: Candidate) -> None:
        """Take one remote candidate; what cannot be used is counted and left out."""
        if candidate.address.endswith(".local"):
            # Not resolved: the peer's own checks show its address, and no multicast leaves this machine.
            self.count("hidden_candidates")
        elif (
            candidate.component not in self._components or candidate.protocol.lower() != "udp" or not _usable(candidate)
        ):
            self.count("unusable_candidates")
        elif self._full():
            self.count("surplus_candidates")
        else:
            self._add_remote_candidate(_from_plain(candidate), candidate.address)

    def _full(self) -> bool:
        return len(self._remote_candidates) >= MAX_REMOTE_CANDIDATES or len(self._check_list) >= MAX_PAIRS

    def dtls_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Pass on DTLS of a validated peer and drop any other."""
        if addr in self.validated or any(early == addr for _, early, _ in self._early_checks):
            self.on_dtls(data)
        else:
            self.count("dtls")

    def transmit(self, data: bytes) -> bool:
        """Send by the selected pair at once; False if there is none."""
        pair = self.selected
        if pair is None:
            return False
        pair.protocol.transport.sendto(data, pair.remote_addr)
        return True

    def check_incoming(self, message: Message, addr: tuple[str, int], protocol: StunProtocol) -> None:
        """Take a check that the library found authentic (RFC 8445 §7.3)."""
        if "PRIORITY" not in message.attributes:
            self.count("malformed")
            return
        known = next((each for each in self._remote_candidates if (each._network_host, each.port) == addr), None)
        if known is None and self._full():
            self.count("surplus_candidates")
            return
        if len(self.validated) < MAX_VALIDATED:
            self.validated.add(addr)
        pair = self._find_pair(protocol, known) if known is not None else None
        if pair is not None and pair.task is not None and pair.task.done():
            pair.task = None
            if pair.state == CandidatePair.State.IN_PROGRESS:
                pair.state = CandidatePair.State.WAITING
        super().check_incoming(message, addr, protocol)

    async def check_start(self, pair: CandidatePair) -> None:
        """Check a pair. The library calls this again from within, as fast as the peer answers, while the roles are in
        conflict: a peer for whom they always are is given up."""
        before = self._conflicts.get(pair, 0)
        if before > MAX_CONFLICTS:
            self.count("role_conflicts")
            self.check_state(pair, CandidatePair.State.FAILED)
            self.check_complete(pair)
            return
        self._conflicts[pair] = before + 1
        try:
            await super().check_start(pair)
        finally:
            self._conflicts.pop(pair, None)

    def check_complete(self, pair: CandidatePair) -> None:
        """Note what a finished check of ours tells."""
        super().check_complete(pair)
        if pair.state == CandidatePair.State.SUCCEEDED and len(self.validated) < MAX_VALIDATED:
            self.validated.add(pair.remote_addr)
        chosen = self._nominated.get(COMPONENT)
        if chosen is not None and chosen is not self.selected:
            self.selected = chosen
            self.on_selected()

    def data_received(self, data: bytes, component: int) -> None:
        """Drop what the library's STUN parser refused: the queue that it would fill has no reader and no bound."""
        self.count("malformed")

    def protocol_lost(self, protocol: StunProtocol) -> None:
        """Hear that a socket closed: if packets went through it, the path is gone."""
        if self.selected is not None and self.selected.protocol is protocol:
            self.selected = None
            self.on_selected()
            if not self.shut:
                self.on_lost()

    def _emit_event(self, event: ConnectionEvent) -> None:
        super()._emit_event(event)
        if isinstance(event, ConnectionClosed) and not self.shut:
            self.selected = None
            self.on_lost()

    async def close(self) -> None:
        """Stop checks and give the sockets back; the library calls it too, when consent ran out."""
        self.selected = None
        self.on_selected()
        self.validated.clear()
        await super().close()


def _ignore(_: bytes) -> None:
    """Take a datagram that nobody waits for."""


def _nothing() -> None:
    """Hear of something that nobody waits for."""


def _usable(candidate: Candidate) -> bool:
    if candidate.protocol.lower() != "udp":
        return False
    try:
        address = ipaddress.ip_address(candidate.address)
    except ValueError:
        return False
    return not (address.is_multicast or address.is_unspecified) and 0 < candidate.port < 65536


def _same_family(one: str, other: str) -> bool:
    return (":" in one) == (":" in other)


def mapped(base: Candidate, public_address: str) -> Candidate:
    """Describe the public address in front of a one-to-one NAT that keeps ports."""
    return Candidate(
        foundation=candidate_foundation("srflx", "udp", base.address),
        component=base.component,
        protocol="udp",
        priority=candidate_priority(base.component, "srflx", (base.priority >> 8) & 0xFFFF),
        address=public_address,
        port=base.port,
        type="srflx",
        related_address=base.address,
        related_port=base.port,
    )


def _to_plain(candidate: Any) -> Candidate:
    return Candidate(
        foundation=candidate.foundation,
        component=candidate.component,
        protocol=candidate.transport,
        priority=candidate.priority,
        address=candidate.host,
        port=candidate.port,
        type=candidate.type,
        related_address=candidate.related_address,
        related_port=candidate.related_port,
    )


def _from_plain(candidate: Candidate) -> aioice.Candidate:
    # aioice takes host, srflx and relay; a peer-reflexive one is never signalled.
    return aioice.Candidate(
        foundation=candidate.foundation,
        component=candidate.component,
        transport="udp",
        priority=candidate.priority,
        host=candidate.address,
        port=candidate.port,
        type=candidate.type,
        related_address=candidate.related_address,
        related_port=candidate.related_port,
    )
