"""SIP over UDP: one socket, and the local address that each peer sees (RFC 3261 §18)."""

from __future__ import annotations

import socket
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

from twisted.internet.error import MessageLengthError
from twisted.internet.protocol import DatagramProtocol

from sip.events import Flow, Transport
from sip.stun_reply import binding_reply

MAX_DATAGRAM = 65_535
"""Octets of a datagram that are read; longer ones do not exist. Twisted's own default would cut at 8,192."""
MAX_ROUTES = 1_024
"""Remote addresses whose local counterpart is remembered; finding one again costs three system calls."""


class Routes:
    """Says which of our addresses a peer sees, for sockets that are bound to all of them."""

    def __init__(self, bound: str) -> None:
        self._bound = None if ip_address(bound).is_unspecified else bound
        self._known: OrderedDict[str, str] = OrderedDict()

    def towards(self, remote: str) -> str:
        """Return our address on the way to remote, both IP literals; nothing is sent."""
        if self._bound is not None:
            return self._bound
        local = self._known.get(remote)
        if local is None:
            local = _local_address(remote)
            self._known[remote] = local
            if len(self._known) > MAX_ROUTES:
                self._known.popitem(last=False)
        return local


def _local_address(remote: str) -> str:
    family = socket.AF_INET6 if ":" in remote else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((remote, 9))
            return str(probe.getsockname()[0])
    except OSError:
        return "::1" if family == socket.AF_INET6 else "127.0.0.1"


def plain_address(address: str) -> str:
    """Return an address as peers write it: an IPv4 one that an IPv6 socket saw as ::ffff:a.b.c.d, and no scope."""
    address = address.partition("%")[0]
    return address[7:] if address.lower().startswith("::ffff:") and "." in address else address


class UdpShell(DatagramProtocol):
    """The socket. received gets each datagram with its flow, on the loop's own thread."""

    transport: Any

    def __init__(self, address: str, routes: Routes, received: Callable[[bytes, Flow], None]) -> None:
        self._mapped = ":" in address
        self._routes = routes
        self._received = received
        self.port = 0

    def startProtocol(self) -> None:  # noqa: N802 (Twisted's name)
        """Note the port that was bound."""
        self.port = self.transport.getHost().port

    def flow(self, address: str, port: int) -> Flow:
        """Return the flow to a peer."""
        return Flow(Transport.UDP, self._routes.towards(address), self.port, address, port)

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:  # noqa: N802 (Twisted's name)
        """Hand a datagram on; blank ones and STUN only keep a NAT binding open (RFC 5626 §4.4)."""
        if datagram[:1] in (b"\x00", b"\x01") and (reply := binding_reply(datagram, plain_address(addr[0]), addr[1])):
            self.send(reply, plain_address(addr[0]), addr[1])
        elif datagram.strip(b"\r\n\0"):
            self._received(datagram, self.flow(plain_address(addr[0]), addr[1]))

    def send(self, data: bytes, address: str, port: int) -> bool:
        """Send a datagram; False where the system refuses to."""
        if self._mapped and ":" not in address:
            address = f"::ffff:{address}"
        try:
            self.transport.write(data, (address, port))
        except (OSError, MessageLengthError, ValueError):
            return False
        return True
