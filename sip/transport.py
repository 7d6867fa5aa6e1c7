"""The network side of SIP: listeners, the table of connections, and the way of each message out.

Theory of operation. A `Flow` names a UDP peer or one connection. What the stack sends to a flow goes there; where its
connection is gone, a response goes to its fallback (RFC 3261 §18.2.2) and a request is reported as unreachable. What
it sends to a `Target` uses a connection that is open to that address (RFC 5923's reuse, by remote address), or opens
one; messages that wait for it are bounded. WebSockets are handed over by the web server and never opened. Over the
bound of connections the one that was silent longest and holds no call is closed for a new one; if all are held, the
new one is refused.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Protocol

import structlog
from twisted.internet.protocol import ClientFactory, Factory
from twisted.protocols.tls import TLSMemoryBIOFactory

from gateway.tls import ClientCertificates, Own, ServerContext, client_context
from sip.events import Flow, Send, Target, Transport
from sip.resolver import Resolver
from sip.transport_stream import Connection, Link, StreamLimits
from sip.transport_udp import MAX_DATAGRAM, Routes, UdpShell, plain_address
from sip.transport_websocket import Close, WebSocketFlow, Write
from sip.uri import Uri

log = structlog.get_logger()

BACKLOG = 128
"""TCP connections that may wait to be taken."""
MAX_LOOKUPS = 256
"""Names being looked up and connections being opened at the same time; more are refused as unreachable."""


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """Where to listen: ports by transport (0 is any free one). address is an IP literal.

    certificate and key are PEM files for TLS; authorities, if given, is a PEM file of those who may have signed the
    certificates of servers that we connect to; and of clients, where those are asked for one. show_certificate lets
    servers see ours that ask for it. more are certificates of other names that clients may ask for.
    """

    address: str
    ports: dict[Transport, int]
    certificate: Path | None = None
    key: Path | None = None
    authorities: Path | None = None
    client_certificates: ClientCertificates = ClientCertificates.OFF
    limits: StreamLimits = field(default_factory=StreamLimits)
    show_certificate: bool = False
    more: tuple[Own, ...] = ()


class NetworkUser(Protocol):
    """Who speaks SIP over the network; called on the loop's thread, and never from inside `Network.send`."""

    def received(self, data: bytes, flow: Flow) -> None:
        """One whole message came."""

    def closed(self, flow: Flow) -> None:
        """A connection is gone."""

    def unreachable(self, send: Send) -> None:
        """A message could not be sent."""


@dataclass
class _Opening:
    """A connection that is being opened, and what waits for it."""

    waiting: list[Send] = field(default_factory=list)
    callers: list[asyncio.Future[Flow]] = field(default_factory=list)


_Key = tuple[Transport, str, int, str]
"""Transport, address, port, and whom its certificate named where that was checked."""


class Network:
    """All sockets of SIP."""

    def __init__(
        self, config: NetworkConfig, user: NetworkUser, reactor: Any, resolver: Resolver | None = None
    ) -> None:
        """Prepare. resolver finds the servers of names without port; without it they are taken as host names."""
        self.limits = config.limits
        self.ports: dict[Transport, int] = {}
        self._config = config
        self._user = user
        self._reactor = reactor
        self._resolver = resolver
        self._routes = Routes(config.address)
        self._udp: UdpShell | None = None
        self._listeners: list[Any] = []
        self._connections: dict[int, Link] = {}
        self._by_peer: dict[_Key, Link] = {}
        self._opening: dict[_Key, _Opening] = {}
        self._keys: dict[int, _Key] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._numbers = 0
        self._counters: dict[str, int] = {}
        self._stopped = False
        self._empty = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()

    # listening

    def start(self) -> None:
        """Bind what is configured. Raises OSError or ValueError, with nothing left bound."""
        try:
            for transport, port in self._config.ports.items():
                self._listen(transport, port)
        except Exception:
            for listener in self._listeners:
                listener.stopListening()
            raise

    def _listen(self, transport: Transport, port: int) -> None:
        address = self._config.address
        factory: Any = _Incoming(self, transport)
        if transport is Transport.UDP:
            self._udp = UdpShell(address, self._routes, self._user.received)
            listener = self._reactor.listenUDP(port, self._udp, address, MAX_DATAGRAM)
        elif transport is Transport.TLS:
            config = self._config
            if config.certificate is None:
                raise ValueError("TLS needs a certificate")
            context: Any = ServerContext(
                config.certificate, config.key, config.authorities, config.client_certificates, config.more
            )
            factory = _TlsFactory(context, False, factory, clock=self._reactor)
            listener = self._reactor.listenTCP(port, factory, BACKLOG, address)
        else:
            listener = self._reactor.listenTCP(port, factory, BACKLOG, address)
        self._listeners.append(listener)
        self.ports[transport] = listener.getHost().port

    async def stop(self) -> None:
        """Close everything; what was written to connections before is given a moment to leave."""
        self._stopped = True
        for listener in self._listeners:
            done = listener.stopListening()
            if done is not None:
                await done.asFuture(self._loop)
        for task in tuple(self._tasks):
            task.cancel()
        for opening in self._opening.values():
            for caller in opening.callers:
                caller.cancel()
        self._opening.clear()
        for connection in tuple(self._connections.values()):
            connection.end("connections_closed")
        if self._connections:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), self.limits.connect_time)
        for connection in tuple(self._connections.values()):
            connection.abort()

    def local_address(self, remote: str) -> str:
        """Return our address on the way to an IP literal."""
        return self._routes.towards(remote)

    def counters(self) -> dict[str, int]:
        """Return the counts of what happened to connections, by name, and how many are open."""
        return {**self._counters, "connections": len(self._connections)}

    # sending

    def send(self, send: Send) -> None:
        """Put a message on the wire, now or when its connection is open; after `stop` it is dropped."""
        target = send.target
        if self._stopped:
            return
        if isinstance(target, Target):
            self._send_to(send, target)
        elif target.transport is Transport.UDP:
            self._datagram(send, target.remote_address, target.remote_port)
        else:
            connection = self._connections.get(target.connection)
            if connection is not None and connection.is_ready and not connection.closed:
                connection.send(send.data)
            elif send.fallback is not None:
                self._send_to(send, send.fallback)
            else:
                self._fail(send)

    def peer_names(self, flow: Flow) -> frozenset[str]:
        """Return the names that the peer of a TLS connection proved by its certificate."""
        connection = self._connections.get(flow.connection)
        return connection.peer_names if isinstance(connection, Connection) else frozenset()

    def hold(self, flow: Flow) -> None:
        """Keep a flow's connection open through silence until `release`; for UDP nothing is to be done."""
        connection = self._connections.get(flow.connection)
        if connection is not None:
            connection.holds += 1

    def release(self, flow: Flow) -> None:
        """Take back one `hold`."""
        connection = self._connections.get(flow.connection)
        if connection is not None and connection.holds:
            connection.holds -= 1

    async def open(self, target: Target) -> Flow:
        """Return a flow to a target, connecting where needed. Raises OSError."""
        if target.transport.web:
            raise OSError("who is behind a WebSocket is reached by its own connection alone")
        address, port = await self._resolve(target)
        if target.transport is Transport.UDP:
            if self._udp is None:
                raise OSError("UDP is turned off")
            return self._udp.flow(address, port)
        key = self._key(target, address, port)
        known = self._by_peer.get(key)
        if known is not None and known.is_ready and not known.closed:
            return known.flow
        if len(self._opening) >= MAX_LOOKUPS or self._stopped:
            raise OSError("too many connections are being opened")
        caller: asyncio.Future[Flow] = self._loop.create_future()
        self._connect(key, target.name or target.host).callers.append(caller)
        return await caller

    def _send_to(self, send: Send, target: Target) -> None:
        literal = _literal(target.host)
        if target.transport.web:
            self._fail(send)
        elif literal is None:
            self._look_up(send, target)
        else:
            self._send_address(send, target, literal, target.port or target.transport.default_port)

    async def _send_named(self, send: Send, target: Target) -> None:
        try:
            address, port = await self._resolve(target)
        except OSError:
            self._user.unreachable(send)
            return
        self._send_address(send, target, address, port)

    def _send_address(self, send: Send, target: Target, address: str, port: int) -> None:
        if target.transport is Transport.UDP:
            self._datagram(send, address, port)
            return
        key = self._key(target, address, port)
        known = self._by_peer.get(key)
        if known is not None and known.is_ready and not known.closed:
            known.send(send.data)
        elif len(self._opening) >= MAX_LOOKUPS and key not in self._opening:
            self._fail(send)
        else:
            opening = self._connect(key, target.name or target.host)
            if len(opening.waiting) < self.limits.waiting:
                opening.waiting.append(send)
            else:
                self._fail(send)

    def _key(self, target: Target, address: str, port: int) -> _Key:
        """Return what a connection is found by; one that proved to be one domain's is no other's (RFC 5922 §7.2)."""
        proved = target.transport is Transport.TLS and self._config.authorities is not None
        return (target.transport, address, port, (target.name or target.host).lower() if proved else "")

    def _datagram(self, send: Send, address: str, port: int) -> None:
        if self._udp is None or not self._udp.send(send.data, address, port):
            self.count("datagrams_unsent")
            self._fail(send)

    def _fail(self, send: Send) -> None:
        self._loop.call_soon(self._user.unreachable, send)

    async def _resolve(self, target: Target) -> tuple[str, int]:
        """Return the address and port of a target; a name by the system's resolver. Raises OSError."""
        port = target.port or target.transport.default_port
        literal = _literal(target.host)
        if literal is not None:
            return literal, port
        if target.port is None and self._resolver is not None:
            uri = Uri("sip", host=target.host, parameters={"transport": target.transport.value})
            hops = await self._resolver.locate(uri, [target.transport])
            if hops:
                return hops[0].address, hops[0].port
        try:
            found = await self._loop.getaddrinfo(target.host, port, type=socket.SOCK_STREAM)
        except UnicodeError as error:
            raise OSError(f"no such host: {target.host!r}") from error
        ours = 6 if ":" in self._config.address else 4
        fitting = [entry for entry in found if (entry[0] == socket.AF_INET6) == (ours == 6)] or found
        if not fitting:
            raise OSError(f"no address of {target.host!r}")
        return plain_address(str(fitting[0][4][0])), port

    def _look_up(self, send: Send, target: Target) -> None:
        if self._stopped or len(self._tasks) >= MAX_LOOKUPS:
            self.count("lookups_refused")
            self._fail(send)
            return
        task = self._loop.create_task(self._send_named(send, target))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # connections

    def _connect(self, key: _Key, host: str) -> _Opening:
        """Return what waits for a connection to key, which is opened if it is not on its way."""
        opening = self._opening.get(key)
        if opening is not None:
            return opening
        opening = self._opening[key] = _Opening()
        transport, address, port, _ = key
        factory: Any = _Outgoing(self, key)
        try:
            if transport is Transport.TLS:
                config = self._config
                own = None
                if config.certificate is not None and config.show_certificate:
                    own = (config.certificate, config.key)
                context = client_context(host, config.authorities, own)
                factory = _TlsFactory(context, True, factory, clock=self._reactor)
            ours = ip_address(self._config.address)
            source = (str(ours), 0) if ours.version == ip_address(address).version and not ours.is_unspecified else None
            self._reactor.connectTCP(address, port, factory, self.limits.connect_time, source)
        except (OSError, ValueError) as error:
            self._loop.call_soon(self.failed, key, str(error))
        return opening

    def admit(self, transport: Transport, address: str, key: _Key | None = None) -> Connection | None:
        """Make the protocol of a new connection, at the cost of an idle one if need be; None refuses it."""
        if not self._room(address, key is not None):
            return None
        connection = Connection(self, transport, self._numbers, self._loop)
        connection.asks_names = key is None and self._config.client_certificates is not ClientCertificates.OFF
        self._connections[self._numbers] = connection
        if key is not None:
            self._keys[self._numbers] = key
        self.count("connections_out" if key else "connections_in")
        return connection

    def join(
        self, secure: bool, local: tuple[str, int], remote: tuple[str, int], write: Write, close: Close
    ) -> WebSocketFlow | None:
        """Take in a WebSocket that the web server has opened, as `admit` does; None refuses it."""
        address = plain_address(remote[0])
        if not self._room(address, False):
            return None
        transport = Transport.WSS if secure else Transport.WS
        flow = Flow(transport, plain_address(local[0]), local[1], address, remote[1], self._numbers)
        connection = self._connections[self._numbers] = WebSocketFlow(self, flow, write, close, self._loop)
        self.count("connections_in")
        return connection

    def _room(self, address: str, ours: bool) -> bool:
        """Make room and a number for a connection, at the cost of an idle one if need be; False: there is none."""
        if self._stopped:
            return False
        here = [one for one in self._connections.values() if one.flow.remote_address == address]
        if not ours and len(here) >= self.limits.per_address:
            if not self._evict(here):
                return False
        elif len(self._connections) >= self.limits.connections and not self._evict(list(self._connections.values())):
            return False
        self._numbers += 1
        return True

    def _evict(self, among: list[Link]) -> bool:
        idle = [one for one in among if not one.holds and not one.closed]
        if not idle:
            self.count("connections_refused")
            log.warning("sip_connection_refused", open=len(self._connections))
            return False
        min(idle, key=lambda one: one.heard).end("connections_evicted", abort=True)
        return True

    def ready(self, connection: Link) -> None:
        """Let a connection's peer be reached by it, and send what waited."""
        flow = connection.flow
        key = self._keys.get(flow.connection) or (flow.transport, flow.remote_address, flow.remote_port, "")
        self._by_peer[key] = connection
        opening = self._opening.pop(key, None)
        if opening is not None:
            for send in opening.waiting:
                connection.send(send.data)
            for caller in opening.callers:
                if not caller.done():
                    caller.set_result(flow)

    def failed(self, key: _Key, why: str) -> None:
        """A connection could not be opened."""
        opening = self._opening.pop(key, None)
        if opening is None:
            return
        self.count("connects_failed")
        for caller in opening.callers:
            if not caller.done():
                caller.set_exception(OSError(why or "the connection failed"))
        for send in opening.waiting:
            self._user.unreachable(send)

    def received(self, data: bytes, flow: Flow) -> None:
        """Hand on a message that a connection brought."""
        self._user.received(data, flow)

    def gone(self, connection: Link) -> None:
        """Forget a connection; one that never became ready fails what waited for it."""
        flow = connection.flow
        self._connections.pop(flow.connection, None)
        if self._stopped and not self._connections:
            self._empty.set()
        key = self._keys.pop(flow.connection, None) or (flow.transport, flow.remote_address, flow.remote_port, "")
        if self._by_peer.get(key) is connection:
            del self._by_peer[key]
        if connection.is_ready:
            self._user.closed(flow)
        else:
            self.count("handshakes_failed")
            self.failed(key, "the connection was closed before it was ready")

    def count(self, name: str) -> None:
        """Count one thing that happened."""
        self._counters[name] = self._counters.get(name, 0) + 1


class _Incoming(Factory):
    """Makes the protocols of connections that peers open."""

    noisy = False

    def __init__(self, network: Network, transport: Transport) -> None:
        self._network = network
        self._transport = transport

    def buildProtocol(self, addr: Any) -> Connection | None:  # noqa: N802 (Twisted's name)
        """Return the protocol, or None to close the connection at once."""
        return self._network.admit(self._transport, plain_address(addr.host))


class _TlsFactory(TLSMemoryBIOFactory):
    """TLS around a factory that may refuse a connection."""

    noisy = False

    def buildProtocol(self, addr: Any) -> Any:  # noqa: N802 (Twisted's name)
        """Return the protocol, or None where the wrapped factory makes none."""
        inner = self.wrappedFactory.buildProtocol(addr)
        return None if inner is None else self.protocol(self, inner)


class _Outgoing(ClientFactory):
    """Makes the protocol of one connection that we open."""

    noisy = False

    def __init__(self, network: Network, key: _Key) -> None:
        self._network = network
        self._key = key

    def buildProtocol(self, addr: Any) -> Connection | None:  # noqa: N802 (Twisted's name)
        """Return the protocol, or None where there is no room."""
        connection = self._network.admit(self._key[0], self._key[1], self._key)
        if connection is None:
            self._network.failed(self._key, "too many connections")
        return connection

    def clientConnectionFailed(self, connector: Any, reason: Any) -> None:  # noqa: N802 (Twisted's name)
        """The connection could not be opened."""
        self._network.failed(self._key, reason.getErrorMessage())


def _literal(host: str) -> str | None:
    """Return an IP literal in its usual form, None for a name."""
    with suppress(ValueError):
        return str(ip_address(host.strip("[]")))
    return None
