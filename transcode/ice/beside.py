"""ICE on a stream's own pair of UDP ports, for legs that are not a browser's (RFC 8445, RFC 8839).

Theory of operation. What the peer offers decides: a leg whose peer speaks no ICE has none of this. Once checks have
chosen a pair, RTP goes there; from then on, and before, only addresses that checks have proved are listened to. RTCP
is component 2 unless it shares RTP's port. An ICE restart takes a new agent with new credentials on the same ports,
and packets go on by the chosen address until another one is chosen.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Callable

from aioice.ice import get_host_addresses

from gateway.reasons import Refused
from transcode.ice.agent import COMPONENT
from transcode.ice.path import ICE_TIME, check_credentials
from transcode.ice.shared import Address, SharedAgent
from transcode.media import Candidate, Ice
from transcode.rtp.source import ProvedLock, Source
from transcode.rtp.udp import UdpTransport

CONTROL = 2
"""RTCP's component (RFC 8445 §4)."""
MAX_ADDRESSES = 4
"""Local addresses listed for one socket: SIP messages stay small, and container bridges are reached by no peer."""
ADDRESSES_KEPT = 10.0
"""Seconds that this host's addresses are kept: asking for them costs a millisecond."""

_known: list[tuple[float, list[str]]] = []


def host_addresses() -> list[str]:
    """Return this host's addresses but loopback and link-local ones."""
    now = time.monotonic()
    if not _known or now - _known[0][0] > ADDRESSES_KEPT:
        found = get_host_addresses(use_ipv4=True, use_ipv6=True)
        _known[:] = [(now, [one for one in found if not ipaddress.ip_address(one).is_link_local])]
    return _known[0][1]


def reachable_by(bound: str, default: str) -> list[str]:
    """Return the addresses under which a socket bound to `bound` is reached, the default one first."""
    if not ipaddress.ip_address(bound).is_unspecified:
        return [bound]
    others = [one for one in host_addresses() if ":" not in one or ":" in bound]
    own = [] if ipaddress.ip_address(default).is_unspecified else [default]
    return list(dict.fromkeys([*own, *others]))[:MAX_ADDRESSES] or ["127.0.0.1"]


class UdpIce:
    """ICE for one `UdpTransport`, from its making on.

    controlling is True for the side that offered (RFC 8445 §6.1.1). mux: RTCP shares the port of RTP, as is known
    already. default is the local address that the description names. on_ready is called when RTP has its first pair,
    on_lost when there is none (any more).
    """

    def __init__(
        self,
        udp: UdpTransport,
        controlling: bool,
        mux: bool,
        default: str,
        public_address: str | None,
        on_ready: Callable[[], None],
        on_lost: Callable[[], None],
    ) -> None:
        self.counters: dict[str, int] = {}
        self.ready = False
        self._udp = udp
        self._controlling = controlling
        self._default = default
        self._public_address = public_address
        self._on_ready = on_ready
        self._on_lost = on_lost
        self._remote: Ice | None = None
        self._proved: set[Address] = set()
        self._media = ProvedLock(self._allowed)
        self._control: ProvedLock | None = None if mux else ProvedLock(self._allowed)
        self._tasks: dict[SharedAgent, asyncio.Task[None]] = {}
        self._retiring: set[asyncio.Task[None]] = set()
        self._agent = self._make()
        udp.on_stun = self._take

    @property
    def description(self) -> Ice:
        """Our side."""
        return self._agent.description

    def _make(self) -> SharedAgent:
        udp = self._udp
        ports = [udp.port] if self._control is None or udp.rtcp_port == udp.port else [udp.port, udp.rtcp_port]
        addresses = reachable_by(udp.address, self._default)
        agent = SharedAgent(self._controlling, ports, addresses, self._public_address, self._send, self.counters)
        agent.on_pair = lambda component, address: self._paired(agent, component, address)
        agent.on_lost = lambda: self._lost(agent)
        return agent

    def start(self, remote: Ice, mux: bool, answered: bool) -> None:
        """Take the peer's side, or a new one of it, and begin to check. Raises `Refused` with BAD_DESCRIPTION.

        answered: it answers our offer, so that our credentials stay those that were offered; otherwise new ones of
        the peer's get new ones of ours.
        """
        check_credentials(remote)
        if self._remote is not None:
            if not self.is_restart(remote):
                for candidate in remote.candidates:
                    self._agent.add(candidate)
                self._udp.set_mux(mux or self._control is None)
                return
            before = self._agent
            self._proved = set(before.validated)  # packets go on by them until another pair is chosen
            self._agent = self._make()
            if answered:
                self._agent.take_over(before)
            self._retire(before)
        self._remote = remote
        agent = self._agent
        agent.remote_username, agent.remote_password = remote.user, remote.password
        agent.remote_is_lite = remote.lite
        if remote.lite:
            agent.ice_controlling = True
        listed = [one for one in remote.candidates if one.component in (COMPONENT, CONTROL)]
        if mux or self._control is None or not any(one.component == CONTROL for one in listed):
            agent.narrow()
            self._control = None
        self._udp.prove(self._media, self._control)
        self._udp.set_mux(mux)
        for candidate in listed:
            agent.add(candidate)
        self._tasks[agent] = asyncio.get_running_loop().create_task(self._run(agent))

    def is_restart(self, remote: Ice) -> bool:
        """Tell whether a later description of the peer asks for an ICE restart (RFC 8839 §4.4.1.1.1)."""
        known = self._remote
        return known is not None and (known.user, known.password) != (remote.user, remote.password)

    def add(self, candidate: Candidate) -> None:
        """Take one more remote candidate."""
        self._agent.add(candidate)

    async def _run(self, agent: SharedAgent) -> None:
        try:
            async with asyncio.timeout(ICE_TIME):
                await agent.connect()
        except (ConnectionError, TimeoutError):
            self._lost(agent)

    def _paired(self, agent: SharedAgent, component: int, address: Address) -> None:
        if agent is not self._agent or agent.shut:
            return
        lock = self._media if component == COMPONENT else self._control
        target = self._udp.resolve(*address)
        if lock is None or target is None:
            return
        lock.choose(target)
        if component == COMPONENT:
            self.ready = True
            self._on_ready()

    def _lost(self, agent: SharedAgent) -> None:
        if agent is self._agent and not agent.shut:
            agent.shut = True
            self._on_lost()

    def _allowed(self, source: Source) -> bool:
        address = plain(source)
        return address in self._agent.validated or address in self._proved

    def _take(self, data: bytes, source: Source, control: bool) -> bool:
        self._agent.take(data, plain(source), CONTROL if control else COMPONENT)
        return True

    def _send(self, data: bytes, component: int, address: Address) -> None:
        try:
            target = self._udp.resolve(*address)
        except Refused:
            self.counters["unusable_candidates"] = self.counters.get("unusable_candidates", 0) + 1
            return
        if target is not None:
            self._udp.send_aside(data, component == CONTROL, target)

    def close(self) -> None:
        """Check nothing any more."""
        if self._udp.on_stun == self._take:
            self._udp.on_stun = None
        self._retire(self._agent)

    async def closed(self) -> None:
        """Return when all checks have ended."""
        if self._retiring:
            await asyncio.wait(self._retiring)

    def _retire(self, agent: SharedAgent) -> None:
        agent.shut = True
        task = asyncio.get_running_loop().create_task(_close(agent, self._tasks.pop(agent, None)))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)


async def _close(agent: SharedAgent, running: asyncio.Task[None] | None) -> None:
    if running is not None and not running.done():
        running.cancel()
        await asyncio.wait([running])
    await agent.close()


def plain(source: Source) -> Address:
    """Return a socket's address as ICE spells it."""
    return str(source[0]).removeprefix("::ffff:"), int(source[1])
