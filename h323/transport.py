"""The sockets of call signalling and H.245: TPKTs on TCP and TLS, on Twisted. Thin: they know no message.

A connection that carries nothing useful costs little and not for long: how many there are, how many an address has,
and how long one without a call may stay are bounded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

import structlog
from twisted.internet.protocol import ClientFactory, ServerFactory, connectionDone
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.protocols.tls import TLSMemoryBIOFactory

from h323.signalling.events import Address
from h323.tpkt import TpktFramer, frame

log = structlog.get_logger()

MAX_CONNECTIONS = 2_000
"""Signalling connections at once: as many as calls in the house."""
MAX_PER_ADDRESS = 200
"""Of them from one address: gatekeepers and traversal servers bring many calls from one."""
IDLE_TIME = 30.0
"""Seconds that a connection may stay without a call; a caller sends its SETUP at once."""
CONNECT_TIME = 10
"""Seconds that a connection of ours may take to be made."""
MAX_UNSENT = 262_144
"""Octets that wait for a peer which does not read, before the connection is given up."""


class Receiver(Protocol):
    """What takes a connection's messages."""

    def received(self, connection: Connection, data: bytes) -> None:
        """Take the content of one TPKT; an empty one keeps the connection alive."""

    def closed(self, connection: Connection) -> None:
        """The connection is gone."""


class Limits:
    """Counts connections by address, and what was dropped."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self._addresses: Counter[str] = Counter()

    @property
    def open(self) -> int:
        """Connections that there are."""
        return self._addresses.total()

    def enter(self, host: str) -> bool:
        """Let a connection in, or not."""
        if self.open >= MAX_CONNECTIONS or self._addresses[host] >= MAX_PER_ADDRESS:
            self.counters["connections_refused"] += 1
            return False
        self._addresses[host] += 1
        return True

    def leave(self, host: str) -> None:
        """Let it go."""
        self._addresses[host] -= 1
        if self._addresses[host] <= 0:
            del self._addresses[host]


class Connection(TwistedProtocol):
    """One TCP or TLS connection, ours or the peer's."""

    transport: Any

    def __init__(
        self,
        receiver: Receiver,
        limits: Limits,
        reactor: Any,
        opened: Callable[[Connection], None],
        secure: bool = False,
    ) -> None:
        self.secure = secure
        self.kept = False
        """Whether it stays without a call: an endpoint is registered by it (H.460.17)."""
        self.peer = Address("", 0)
        self.local = Address("", 0)
        self._receiver = receiver
        self._limits = limits
        self._reactor = reactor
        self._opened = opened
        self._framer = TpktFramer()
        self._inside = False
        self._idle: Any = None
        self._paused = False
        self._unsent = 0

    def connectionMade(self) -> None:  # noqa: N802 - Twisted's name
        """Take note of the ends, and of the connection among the others."""
        peer, local = self.transport.getPeer(), self.transport.getHost()
        self.peer, self.local = Address(peer.host, peer.port), Address(local.host, local.port)
        if not self._limits.enter(self.peer.host):
            self.transport.abortConnection()
            return
        self._inside = True
        self.transport.setTcpNoDelay(True)
        self.transport.registerProducer(self, True)
        self.idle()
        self._opened(self)

    def idle(self) -> None:
        """Nothing uses the connection: it may stay for `IDLE_TIME`."""
        self.used()
        self._idle = self._reactor.callLater(IDLE_TIME, self.close)

    def used(self) -> None:
        """Something uses the connection."""
        if self._idle is not None and self._idle.active():
            self._idle.cancel()
        self._idle = None

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        """Cut the stream into messages."""
        framed = self._framer.receive(data)
        for message in framed.messages:
            self._receiver.received(self, message)
        if framed.broken is not None:
            self._limits.counters["malformed_frames"] += 1
            log.info("h323_bad_stream", source=f"{self.peer.host}:{self.peer.port}", fault=framed.broken)
            self.transport.abortConnection()

    def send(self, data: bytes) -> None:
        """Put one message on the wire. Raises ValueError for one that is too large."""
        if self.transport is None or not self._inside:
            return
        self.transport.write(frame(data))
        if self._paused:
            self._unsent += len(data)
            if self._unsent > MAX_UNSENT:
                self._limits.counters["unread"] += 1
                self.transport.abortConnection()

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's name
        """The peer does not read: what is written from now on waits."""
        self._paused = True

    def resumeProducing(self) -> None:  # noqa: N802 - Twisted's name
        """What waited has gone."""
        self._paused, self._unsent = False, 0

    def stopProducing(self) -> None:  # noqa: N802 - Twisted's name
        """The connection is gone."""

    def close(self) -> None:
        """Close in good order: what was sent still goes out."""
        if self.transport is not None:
            if self._inside:
                self.transport.unregisterProducer()  # with a producer it would never close
            self.transport.loseConnection()
            # A peer that does not close its own side must not keep ours.
            self._reactor.callLater(CONNECT_TIME, self._abort)

    def _abort(self) -> None:
        if self._inside:
            self.transport.abortConnection()

    def connectionLost(self, reason: Any = connectionDone) -> None:  # noqa: N802 - Twisted's name
        """Tell the receiver once."""
        self.used()
        if self._inside:
            self._inside = False
            self._limits.leave(self.peer.host)
            self._receiver.closed(self)


class Network:
    """Listens and connects for one adapter."""

    def __init__(self, reactor: Any, limits: Limits) -> None:
        self._reactor = reactor
        self._limits = limits

    def listen(
        self,
        address: str,
        port: int,
        receiver: Receiver,
        opened: Callable[[Connection], None],
        context: Any = None,
    ) -> Any:
        """Listen on TCP, or TLS with a context factory. Raises twisted's CannotListenError."""
        network = self

        class Factory(ServerFactory):
            noisy = False

            def buildProtocol(self, addr: Any) -> Connection:  # noqa: N802 - Twisted's name
                return Connection(receiver, network._limits, network._reactor, opened, context is not None)

        return self._reactor.listenTCP(port, self._inside_tls(Factory(), context, client=False), interface=address)

    def _inside_tls(self, factory: Any, context: Any, client: bool) -> Any:
        """Return a factory whose connections carry TLS; the same one without context."""
        if context is None:
            return factory
        return TLSMemoryBIOFactory(context, client, factory, clock=self._reactor)

    def connect(
        self,
        address: Address,
        receiver: Receiver,
        opened: Callable[[Connection], None],
        failed: Callable[[str], None],
        context: Any = None,
    ) -> None:
        """Connect by TCP, or TLS with a context factory; one of opened and failed is called."""
        network = self

        class Factory(ClientFactory):
            noisy = False

            def buildProtocol(self, addr: Any) -> Connection:  # noqa: N802 - Twisted's name
                return Connection(receiver, network._limits, network._reactor, opened, context is not None)

            def clientConnectionFailed(self, connector: Any, reason: Any) -> None:  # noqa: N802 - Twisted's name
                failed(reason.getErrorMessage())

        factory = self._inside_tls(Factory(), context, client=True)
        self._reactor.connectTCP(address.host, address.port, factory, timeout=CONNECT_TIME)
