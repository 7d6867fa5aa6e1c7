"""One SIP connection over TCP or TLS: framing, keep-alive, and what bounds a peer that misbehaves.

Theory of operation. A connection is ready when TCP is up, or TLS has shaken hands; what is to be sent before waits.
It ends when the peer ends it, when the stream cannot be cut into messages any more, when it says nothing for too
long, or when the peer does not read what it is sent. One that carries a call or a registration is `held`: silence
is normal there, so it is not closed for it; we ping it instead, and TCP's own keep-alive finds out dead peers.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Protocol

import structlog
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Protocol as StreamProtocol
from zope.interface import implementer

from gateway.tls import peer_names
from sip.events import Flow, Transport
from sip.framing import PING, StreamFramer
from sip.transport_udp import plain_address

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """Bounds of connections; times in seconds.

    handshake_time: TLS; a slow device with RSA 4096 takes 3. first_message_time: from connecting to the first whole
    message (RFC 3261's timer B). idle_time: without a message or ping where no call is held. ping_time: how often we
    ping a held one; NAT forgets TCP after 5 minutes at the worst. unsent: octets that a peer may leave unread, a few
    of the largest messages. waiting: messages for a connection that is not ready. connections: descriptors are 1,024
    by default and media needs most of them. per_address: a site behind one NAT has fewer systems.
    """

    handshake_time: float = 10.0
    first_message_time: float = 32.0
    idle_time: float = 600.0
    ping_time: float = 120.0
    connect_time: float = 5.0
    unsent: int = 262_144
    waiting: int = 64
    connections: int = 500
    per_address: int = 100


class Link(Protocol):
    """A connection of whatever kind.

    holds counts the calls and registrations on it. heard is the loop's time of the last sign of life.
    """

    flow: Flow
    holds: int
    heard: float
    is_ready: bool
    closed: bool

    def send(self, data: bytes) -> None:
        """Send; a peer that does not read is cut off once too much waits for it."""

    def end(self, why: str, abort: bool = False) -> None:
        """Close, and count under `why`. What was sent before still goes out, unless aborted."""

    def abort(self) -> None:
        """Close at once, whatever waits; also while closing already."""


class ConnectionOwner(Protocol):
    """Who has the connections: the network shell."""

    limits: StreamLimits

    def ready(self, connection: Link) -> None:
        """The connection can send now."""

    def received(self, data: bytes, flow: Flow) -> None:
        """One whole message came."""

    def gone(self, connection: Link) -> None:
        """The connection is closed; called once for each that was admitted."""

    def count(self, name: str) -> None:
        """Count what happened to a connection."""


def is_sip(message: bytes) -> bool:
    """Tell whether a start line is one of SIP, of any version; another protocol's client is not worth an answer."""
    return b"SIP/" in message[: message.find(b"\n") + 1].upper()


@implementer(IHandshakeListener)
class Connection(StreamProtocol):
    """One connection, ours or the peer's."""

    transport: Any

    def __init__(
        self, owner: ConnectionOwner, transport: Transport, number: int, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._owner = owner
        self._kind = transport
        self._number = number
        self._loop = loop
        self._framer = StreamFramer()
        self._timer: asyncio.TimerHandle | None = None
        self._paused = False
        self._unsent = 0
        self.flow = Flow(transport, "", 0, "", 0, number)
        self.holds = 0
        self.heard = self._opened = loop.time()
        self.is_ready = False
        self.has_spoken = False
        self.asks_names = False
        self.peer_names: frozenset[str] = frozenset()
        self.closed = False

    def connectionMade(self) -> None:  # noqa: N802 (Twisted's name)
        """Note the addresses; plain TCP is ready at once."""
        local, remote = self.transport.getHost(), self.transport.getPeer()
        self.flow = Flow(
            self._kind,
            plain_address(local.host),
            local.port,
            plain_address(remote.host),
            remote.port,
            self._number,
        )
        self.transport.setTcpNoDelay(True)
        self.transport.setTcpKeepAlive(True)
        self.transport.registerProducer(self, True)
        if self._kind.secure:
            self._after(self._owner.limits.handshake_time, self._handshake_late)
        else:
            self._begin()

    def handshakeCompleted(self) -> None:  # noqa: N802 (Twisted's name)
        """TLS is up."""
        if not self.closed:
            if self.asks_names:
                self.peer_names = peer_names(self.transport.getHandle())
            self._begin()

    def _begin(self) -> None:
        self.is_ready = True
        self._after(self._owner.limits.first_message_time, self._check)
        self._owner.ready(self)

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 (Twisted's name)
        """Cut what came into messages and hand them on."""
        if self.closed:
            return
        framed = self._framer.receive(data)
        if framed.reply:
            self.send(framed.reply)
        if framed.messages or framed.reply or framed.pongs:
            self.heard = self._loop.time()
        for message in framed.messages:
            if not is_sip(message):
                self._broken("not SIP")
                return
            self.has_spoken = True
            self._owner.received(message, self.flow)
        if framed.broken is not None:
            self._broken(framed.broken)

    def _broken(self, why: str) -> None:
        log.info("sip_stream_broken", peer=self.flow.remote_address, transport=self._kind.value, why=why)
        self.end("streams_broken")

    def send(self, data: bytes) -> None:
        """Write; a peer that does not read is cut off once too much waits for it."""
        if self.closed:
            return
        if self._paused:
            self._unsent += len(data)
            if self._unsent > self._owner.limits.unsent:
                self.end("peers_not_reading", abort=True)
                return
        self.transport.write(data)

    def pauseProducing(self) -> None:  # noqa: N802 (Twisted's name)
        """The system's buffer is full: what is written now piles up here."""
        self._paused = True

    def resumeProducing(self) -> None:  # noqa: N802 (Twisted's name)
        """The buffer is empty again."""
        self._paused, self._unsent = False, 0

    def stopProducing(self) -> None:  # noqa: N802 (Twisted's name)
        """The connection is gone; `connectionLost` says so."""

    def end(self, why: str, abort: bool = False) -> None:
        """Close, and count under `why`. What was written is still sent, unless aborted."""
        if self.closed:
            return
        self._owner.count(why)
        self._close(abort or not self.is_ready)

    def _close(self, abort: bool) -> None:
        self.closed = True
        self._cancel()
        self.transport.unregisterProducer()
        if abort:
            self.transport.abortConnection()
        else:
            self.transport.loseConnection()
            # A peer that does not read would keep the closing connection for ever.
            self._timer = self._loop.call_later(self._owner.limits.connect_time, self.transport.abortConnection)

    def abort(self) -> None:
        """Close at once, whatever waits; also while closing already."""
        self.transport.abortConnection()

    def connectionLost(self, reason: Any = None) -> None:  # noqa: N802 (Twisted's name)
        """Tell the owner, once."""
        self.closed = True
        self._cancel()
        self._owner.gone(self)

    def _handshake_late(self) -> None:
        self.end("handshakes_late", abort=True)

    def _check(self) -> None:
        """Close what is silent for too long, ping what is held, and look again when the next of it may be due."""
        limits = self._owner.limits
        silent = self._loop.time() - (self.heard if self.has_spoken else self._opened)
        if self.holds:
            self.send(PING)
            self._after(limits.ping_time, self._check)
            return
        allowed = limits.idle_time if self.has_spoken else limits.first_message_time
        if silent + 0.001 >= allowed:
            self.end("connections_idle")
        else:
            self._after(min(allowed - silent, limits.ping_time), self._check)

    def _after(self, delay: float, what: Any) -> None:
        self._cancel()
        self._timer = self._loop.call_later(delay, what)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
