"""Connections by which calls pass a translator: those that endpoints open for us, and ours at a gatekeeper of others.

Theory of operation. As the server (H.460.18) we summon the endpoint by RAS and wait for its connection, whose first
message names the call. As the client we are summoned, connect, say which call we mean, and keep the connection's way
open. A connection that carries RAS (H.460.17) belongs to its endpoint, stays as long as that is registered, and all its
calls go there.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import structlog

from gateway.reasons import Reason, Refused
from h323.adapter_facts import source
from h323.adapter_ras import Ras
from h323.h460.incoming import WaitingCall, read_arrival, write_arrival
from h323.h460.tunnel import TunnelAddress, read_tunnelled, write_tunnelled
from h323.signalling.events import Address, Signal
from h323.signalling.wire import write_signal
from h323.transport import Connection

log = structlog.get_logger()

ARRIVAL_TIME = 15.0
"""Seconds that an endpoint has from our summons to its connection: three tries of 3 s by RAS, and a slow network."""
KEEP_ALIVE_INTERVAL = 15.0
"""Seconds between two empty TPKTs on a connection of ours; translators forget an idle one after some minutes, but some
much sooner."""
ARRIVAL_DELAY = 0.1
"""Seconds from a summons to our connection: GnuGk puts the SETUP ready only after it has summoned, and on a fast
network a connection would be there first and find nothing."""
MAX_AWAITED = 1_000
MAX_TUNNELS = 2_000
"""Endpoints that are registered by connections of their own."""


class Owner(Protocol):
    """What this needs of the adapter."""

    ras: Ras

    def count(self, name: str) -> None:
        """Count one thing that happened."""

    def busy(self, connection: Connection) -> bool:
        """Tell whether a call uses a connection."""

    async def connect(self, address: Address, context: Any = None) -> Connection:
        """Open a signalling connection. Raises `Refused`."""


class Doors:
    """Of one adapter."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._awaited: dict[bytes, asyncio.Future[Connection]] = {}
        self._tunnels: dict[TunnelAddress, Connection] = {}
        self._kept: dict[Connection, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # as the server

    async def summon(self, address: Address, call: bytes) -> Connection:
        """Return a connection to an endpoint that stands behind a translator. Raises `Refused`."""
        if isinstance(address, TunnelAddress):
            tunnel = self._tunnels.get(address)
            if tunnel is None:
                raise Refused(Reason.UNREACHABLE, "the endpoint's connection is gone")
            return tunnel
        if len(self._awaited) >= MAX_AWAITED:
            raise Refused(Reason.OVERLOAD, "too many endpoints are waited for")
        waiting = self._awaited[call] = asyncio.get_running_loop().create_future()

        def failed() -> None:
            if not waiting.done():
                waiting.set_exception(Refused(Reason.UNREACHABLE, "the endpoint does not hear that it is called"))

        self._owner.ras.summon(address, call, failed)
        try:
            return await asyncio.wait_for(waiting, ARRIVAL_TIME)
        except TimeoutError:
            raise Refused(Reason.UNREACHABLE, "the endpoint does not connect") from None
        finally:
            self._awaited.pop(call, None)

    def take(self, connection: Connection, signal: Signal) -> bool:
        """Take a message of no call; False if it is nothing of ours."""
        carried = read_tunnelled(signal)
        if carried is not None:
            self._take_ras(connection, carried)
            return True
        call = read_arrival(signal)
        if call is None:
            return False
        waiting = self._awaited.get(call)
        if waiting is None or waiting.done():
            self._owner.count("arrivals_unexpected")
            connection.close()
            return True
        log.info("h323_arrived", source=source(connection.peer), h323_call_id=call.hex())
        connection.used()
        waiting.set_result(connection)
        return True

    def _take_ras(self, connection: Connection, carried: list[bytes]) -> None:
        address = TunnelAddress(connection.peer.host, connection.peer.port)
        if address not in self._tunnels:
            if len(self._tunnels) >= MAX_TUNNELS:
                self._owner.count("tunnels_refused")
                connection.close()
                return
            self._tunnels[address] = connection
        for data in carried:
            self._owner.count("tunnelled_ras")
            self._owner.ras.tunnelled(data, address, connection.local)
        if self._owner.ras.holds(address):
            connection.kept = True
            connection.used()

    def let_go(self, address: TunnelAddress) -> None:
        """An endpoint is registered by its connection no more: that stays as long as any other without a call."""
        connection = self._tunnels.get(address)
        if connection is not None and connection.kept:
            connection.kept = False
            if not self._owner.busy(connection):
                connection.idle()

    def send_ras(self, data: bytes, address: TunnelAddress) -> None:
        """Send a RAS message to an endpoint that is registered by its connection."""
        connection = self._tunnels.get(address)
        if connection is not None:
            connection.send(write_signal(write_tunnelled(data)))

    # as the client

    def summoned(self, waiting: WaitingCall) -> None:
        """A gatekeeper wants us to connect to it for a call."""
        task = asyncio.get_running_loop().create_task(self._answer(waiting))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, waiting: WaitingCall) -> None:
        try:
            await asyncio.sleep(ARRIVAL_DELAY)
            connection = await self._owner.connect(waiting.address)
        except Refused as refused:
            self._owner.count("summons_failed")
            log.warning("h323_summons_failed", to=source(waiting.address), detail=refused.detail)
            return
        connection.send(write_signal(write_arrival(waiting.call)))
        self.keep_open(connection)

    def keep_open(self, connection: Connection) -> None:
        """Send an empty TPKT again and again, as long as the connection is there."""
        if connection in self._kept:
            return
        loop = asyncio.get_running_loop()

        def send() -> None:
            connection.send(b"")
            self._kept[connection] = loop.call_later(KEEP_ALIVE_INTERVAL, send)

        self._kept[connection] = loop.call_later(KEEP_ALIVE_INTERVAL, send)

    # both

    def closed(self, connection: Connection) -> None:
        """A connection is gone."""
        timer = self._kept.pop(connection, None)
        if timer is not None:
            timer.cancel()
        for address in [one for one, tunnel in self._tunnels.items() if tunnel is connection]:
            del self._tunnels[address]
            self._owner.ras.tunnel_closed(address)

    async def stop(self) -> None:
        """Connect to nobody any more."""
        for timer in self._kept.values():
            timer.cancel()
        self._kept.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def counters(self) -> dict[str, int]:
        """Return how many there are."""
        return {"tunnels": len(self._tunnels), "summoned": len(self._awaited)}


__all__ = ["Doors"]
