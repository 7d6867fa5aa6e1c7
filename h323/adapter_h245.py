"""The connections of one call: its signalling, and H.245's own where it is not tunnelled (H.323 §8.2.3).

Ports for H.245 are any free ones, or come from a range that a firewall lets through: one for each call that needs it.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import structlog
from twisted.internet.error import CannotListenError

from gateway.reasons import Reason
from h323.adapter_call import H323Line
from h323.adapter_traversal import Doors
from h323.signalling.events import Address
from h323.transport import Connection, Network

log = structlog.get_logger()


class Leg:
    """What belongs to one call on the wire."""

    def __init__(self, line: H323Line, connection: Connection | None) -> None:
        self.line = line
        self.connection = connection
        self.control: Connection | None = None
        self.listener: Any = None
        self.timer: asyncio.TimerHandle | None = None
        self.due: float | None = None
        self.pumping = False

    def close_control(self) -> None:
        """Give back what H.245 had."""
        if self.listener is not None:
            self.listener.stopListening()
            self.listener = None
        if self.control is not None:
            self.control.close()


class Owner(Protocol):
    """What this needs of the adapter."""

    doors: Doors

    def now(self) -> float:
        """Return the loop's time in seconds."""

    def count(self, name: str) -> None:
        """Count one thing that happened."""

    def guard(self, leg: Leg, action: Any) -> None:
        """Do something with a call's core."""

    def advertised(self, line: H323Line) -> str:
        """Return the IP literal that a call's peer is to connect to."""

    def closed(self, connection: Connection) -> None:
        """A connection is gone."""


class ControlConnections:
    """H.245 connections of all calls. ports are the first and last to listen on, None for any free ones."""

    def __init__(self, owner: Owner, network: Network, ports: tuple[int, int] | None) -> None:
        self._owner = owner
        self._network = network
        self._ports = ports
        self._next = 0

    def listen(self, leg: Leg) -> None:
        """Listen for a peer's connection, and tell the call where. A call that finds no port ends with NO_PORTS."""
        if leg.connection is None:
            return
        receiver = _Receiver(self._owner, leg)
        leg.listener = self._listener(leg.connection.local.host, receiver)
        if leg.listener is None:
            self._owner.count("h245_ports_missing")
            log.warning("h323_no_h245_port", ports=self._ports, reason=Reason.NO_PORTS.value)
            leg.line.drop(Reason.NO_PORTS, "no port for H.245")
            return
        address = Address(self._owner.advertised(leg.line), leg.listener.getHost().port)
        leg.line.core.listening(address, self._owner.now())

    def _listener(self, host: str, receiver: _Receiver) -> Any:
        low, high = self._ports or (0, 0)
        count = high - low + 1
        for _ in range(count):
            port = low + self._next % count
            self._next += 1  # one after the other: what comes late for an ended call finds nobody
            try:
                return self._network.listen(host, port, receiver, receiver.opened)
            except CannotListenError:
                continue
        return None

    def connect(self, leg: Leg, address: Address) -> None:
        """Connect to where the peer listens."""
        receiver = _Receiver(self._owner, leg)
        self._network.connect(address, receiver, receiver.opened, receiver.failed)


class _Receiver:
    """The separate H.245 connection of one call."""

    def __init__(self, owner: Owner, leg: Leg) -> None:
        self._owner = owner
        self._leg = leg

    def opened(self, connection: Connection) -> None:
        """The connection is there; a second one is not wanted."""
        leg = self._leg
        if leg.control is not None or leg.line.core.over:
            connection.close()
            return
        connection.used()
        leg.control = connection
        if leg.line.core.traversal.connects:
            self._owner.doors.keep_open(connection)
        self._owner.guard(leg, leg.line.core.control_connected)

    def failed(self, detail: str) -> None:
        """The peer cannot be connected to."""
        log.info("h323_control_unreachable", detail=detail[:128])
        self._owner.count("control_unreachable")
        self._owner.guard(self._leg, self._leg.line.core.control_closed)

    def received(self, connection: Connection, data: bytes) -> None:
        """Take one message."""
        if connection is self._leg.control and data:
            core = self._leg.line.core
            self._owner.guard(self._leg, lambda now: core.control_received(data, now))

    def closed(self, connection: Connection) -> None:
        """The connection is gone."""
        self._owner.closed(connection)
