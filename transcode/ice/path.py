"""The way to one peer: an ICE agent, and during an ICE restart a second one that takes its place.

Theory of operation. A restart (RFC 8445 §9) gathers new sockets and credentials and checks them while packets go on
by the old pair; the first pair that the new agent selects makes it the current one, and the old one is closed. A
restart that finds no pair in ICE_TIME is given up: the old way stays if it still works, and is lost otherwise. What
runs above, DTLS and SRTP, does not notice (RFC 8842: new ICE credentials alone ask for no new association).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from aioice.ice import CandidatePair

from gateway.reasons import Reason, Refused
from transcode.ice.agent import Agent, DatagramHandler
from transcode.media import Candidate, Ice

ICE_TIME = 30.0
"""Seconds until a pair must have been chosen (RFC 8863 asks for patience; people give up sooner than its 39.5 s)."""


class Path:
    """ICE with restarts, for one bundle. The parameters are those of `IceTransport`.

    on_media and on_dtls take datagrams; on_change is called when `selected` changed; on_lost when no way is left.
    """

    def __init__(
        self,
        controlling: bool,
        addresses: Sequence[str] | None,
        ports: tuple[int, int] | None,
        public_address: str | None,
        counters: dict[str, int],
        on_media: DatagramHandler,
        on_dtls: DatagramHandler,
        on_change: Callable[[], None],
        on_lost: Callable[[], None],
    ) -> None:
        self._controlling = controlling
        self._addresses = addresses
        self._ports = ports
        self._public_address = public_address
        self._counters = counters
        self._on_media = on_media
        self._on_dtls = on_dtls
        self._on_change = on_change
        self._on_lost = on_lost
        self._current = self._next = self._agent()
        self._tasks: dict[Agent, asyncio.Task[None]] = {}
        self._retiring: set[asyncio.Task[None]] = set()
        self._ready = asyncio.Event()
        self._over = False

    @property
    def selected(self) -> CandidatePair | None:
        """The pair that packets take; None if there is none (any more)."""
        return self._current.selected

    async def gather(self) -> Ice:
        """Bind the first sockets and describe them. Raises `Refused` with NO_PORTS."""
        return await self._current.gather(self._public_address)

    def start(self, remote: Ice) -> None:
        """Begin to check the peer's candidates. Raises `Refused` with BAD_DESCRIPTION."""
        check_credentials(remote)
        self._begin(self._current, remote)

    async def restart(self, remote: Ice) -> Ice:
        """Gather anew and check the peer's new candidates; return our new side. Raises `Refused`."""
        check_credentials(remote)
        fresh = self._agent()
        try:
            described = await fresh.gather(self._public_address)
        except Refused:
            await fresh.close()
            raise
        if self._over:
            await fresh.close()
            raise Refused(Reason.TRANSPORT_FAILED, "the transport ended meanwhile")
        before, self._next = self._next, fresh
        if before is not self._current:
            self._retire(before)
        self._begin(fresh, remote)
        return described

    def add(self, candidate: Candidate) -> None:
        """Take a candidate that belongs to the peer's latest description."""
        self._next.add(candidate)

    async def ready(self) -> None:
        """Return once a pair was selected for the first time."""
        await self._ready.wait()

    def transmit(self, data: bytes) -> bool:
        """Send one datagram; False if no pair is selected."""
        return self._current.transmit(data)

    def abandon(self) -> None:
        """Report nothing any more; `close` follows."""
        self._over = True
        self._current.shut = self._next.shut = True

    async def close(self) -> None:
        """Give all sockets back."""
        self.abandon()
        for agent in {self._current, self._next}:
            self._retire(agent)
        if self._retiring:
            await asyncio.wait(self._retiring)

    def _agent(self) -> Agent:
        agent = Agent(self._controlling, self._addresses, self._ports, self._counters)
        agent.on_media = self._on_media
        agent.on_dtls = self._on_dtls
        agent.on_selected = lambda: self._selected(agent)
        agent.on_lost = lambda: self._lost(agent)
        return agent

    def _begin(self, agent: Agent, remote: Ice) -> None:
        agent.remote_username = remote.user
        agent.remote_password = remote.password
        agent.remote_is_lite = remote.lite
        if remote.lite:
            # Whoever offered: a lite agent never makes checks, so the full one controls (RFC 8445 §6.1.1).
            agent.ice_controlling = True
        for candidate in remote.candidates:
            agent.add(candidate)
        self._tasks[agent] = asyncio.get_running_loop().create_task(self._run(agent))

    async def _run(self, agent: Agent) -> None:
        try:
            async with asyncio.timeout(ICE_TIME):
                await agent.connect()
        except (ConnectionError, TimeoutError):
            self._lost(agent)

    def _selected(self, agent: Agent) -> None:
        if agent is self._next and agent is not self._current and agent.selected is not None:
            before, self._current = self._current, agent
            self._retire(before)
        if agent is self._current:
            if agent.selected is not None:
                self._ready.set()
            self._on_change()

    def _lost(self, agent: Agent) -> None:
        """Hear that an agent has no pair, or has none any more."""
        if self._over or agent.shut:
            return
        if agent is self._next and agent is not self._current:
            self._next = self._current
            self._retire(agent)
        if self._next is self._current and self._current.selected is None:
            self._on_lost()

    def _retire(self, agent: Agent) -> None:
        agent.shut = True
        running = self._tasks.pop(agent, None)
        task = asyncio.get_running_loop().create_task(_close(agent, running))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)


async def _close(agent: Agent, running: asyncio.Task[None] | None) -> None:
    if running is not None and not running.done():
        running.cancel()
        await asyncio.wait([running])
    await agent.close()


def check_credentials(remote: Ice) -> None:
    """Raise `Refused` with BAD_DESCRIPTION if credentials cannot be right (RFC 8839 §5.4)."""
    if not 4 <= len(remote.user) <= 256 or not 22 <= len(remote.password) <= 256:
        raise Refused(Reason.BAD_DESCRIPTION, "ICE credentials of a wrong length")
