"""RAS over UDP, on Twisted: one socket, one more for multicast discovery, and the address that each peer sees of us."""

from __future__ import annotations

import socket
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import structlog
from twisted.internet.error import CannotListenError, MessageLengthError
from twisted.internet.protocol import DatagramProtocol

from h323.ras.endpoint import MULTICAST
from h323.signalling.events import Address

log = structlog.get_logger()

MAX_ROUTES = 1_024
"""Peers whose view of us is remembered; finding one again costs three system calls."""

Received = Callable[[bytes, Address, bool], None]
"""Takes a datagram, where it came from, and whether it was multicast."""


class _Shell(DatagramProtocol):
    transport: Any

    def __init__(self, received: Received, multicast: bool) -> None:
        self._received = received
        self._multicast = multicast

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:  # noqa: N802 - Twisted's name
        """Hand a datagram on."""
        self._received(datagram, Address(_plain(str(addr[0])), int(addr[1])), self._multicast)


class RasSocket:
    """The socket. public is what peers are told instead of our own address, None for none."""

    def __init__(self, reactor: Any, address: str, public: str | None, received: Received) -> None:
        self._reactor = reactor
        self._address = address
        self.public = public
        self._received = received
        self._known: OrderedDict[str, str] = OrderedDict()
        self._ports: list[Any] = []
        self._shell = _Shell(received, False)
        self.port = 0

    def listen(self, port: int) -> None:
        """Bind. Raises twisted's CannotListenError."""
        bound = self._reactor.listenUDP(port, self._shell, interface=self._address, maxPacketSize=65_535)
        self._ports.append(bound)
        self.port = bound.getHost().port

    def join(self) -> None:
        """Hear discovery by multicast too, where this machine lets us; never on the loopback."""
        ip = ip_address(self._address)
        if ip.version != 4 or ip.is_loopback:
            return
        shell = _Shell(self._received, True)
        try:
            port = self._reactor.listenMulticast(MULTICAST.port, shell, listenMultiple=True)
        except (CannotListenError, OSError) as error:
            log.info("h323_no_multicast", error=str(error))
            return
        self._ports.append(port)
        joined = shell.transport.joinGroup(MULTICAST.host, "" if ip.is_unspecified else self._address)
        joined.addErrback(lambda failure: log.info("h323_no_multicast", error=failure.getErrorMessage()))

    def send(self, data: bytes, to: Address) -> None:
        """Send a datagram; one that the system refuses is lost like any other."""
        host = f"::ffff:{to.host}" if ":" in self._address and ":" not in to.host else to.host
        try:
            self._shell.transport.write(data, (host, to.port))
        except (OSError, MessageLengthError, ValueError) as error:
            log.info("h323_ras_unsent", to=f"{to.host}:{to.port}", error=str(error))

    def towards(self, peer: str) -> Address:
        """Return our address as a peer sees it."""
        return Address(self.host_towards(peer), self.port)

    def host_towards(self, peer: str) -> str:
        """Return the IP literal of `towards`."""
        if self.public:
            return self.public
        if not ip_address(self._address).is_unspecified:
            return self._address
        local = self._known.get(peer)
        if local is None:
            local = self._known[peer] = _local(peer)
            if len(self._known) > MAX_ROUTES:
                self._known.popitem(last=False)
        return local

    async def stop(self, loop: Any) -> None:
        """Close the sockets."""
        for port in self._ports:
            stopped = port.stopListening()
            if stopped is not None:
                await stopped.asFuture(loop)
        self._ports.clear()


def _plain(host: str) -> str:
    """Return an address as it is written: no scope, and an IPv4 one that came in IPv6 form as what it is."""
    host = host.partition("%")[0]
    return host[7:] if host.lower().startswith("::ffff:") and "." in host else host


def _local(peer: str) -> str:
    family = socket.AF_INET6 if ":" in peer else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((peer, 9))  # sends nothing: it asks the routing table
            return str(probe.getsockname()[0])
    except OSError:
        return "::1" if family == socket.AF_INET6 else "127.0.0.1"
