"""UDP ports for media: pairs of sockets from a configured range.

Ports are handed out in turn, and a freed one rests for a while, so that packets of a call that ended do not find
their way into a new one. Each slot of the range is an even port and the odd one after it (RFC 3550 §11); a stream that
needs a single port uses the even one alone.
"""

from __future__ import annotations

import ipaddress
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from gateway.reasons import Reason, Refused
from transcode.media import Kind

REST = 10.0
"""Seconds that a freed port is left alone if another one is free: a peer needs a moment to hear that the call ended."""
MAX_ATTEMPTS = 64
"""Slots tried for one stream: other programs may hold some ports of the range, not most of it."""
DSCP = {Kind.AUDIO: 46, Kind.VIDEO: 34, Kind.TEXT: 18, Kind.DATA: 18, Kind.CAMERA: 18}
"""Expedited forwarding for sound, AF41 for pictures, AF21 for data (RFC 4594 §2.3)."""
RECEIVE_BUFFER = {kind: 512 * 1024 if kind is Kind.VIDEO else 64 * 1024 for kind in Kind}
"""Octets in the kernel: a second of sound; two large key frames that arrive while the loop is busy."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Bound non-blocking sockets of one stream; rtcp is None for a single port."""

    port: int
    rtp: socket.socket
    rtcp: socket.socket | None


class PortPool:
    """The media ports of one local address, from low to high, both included.

    Raises ValueError if the range holds no even port with an odd one after it, or the address is no IP address.
    """

    def __init__(self, address: str, low: int, high: int, clock: Callable[[], float] = time.monotonic) -> None:
        if not 0 < low <= high <= 65535:
            raise ValueError("media ports are from 1 to 65535, the lower one first")
        self.address = address
        ipaddress.ip_address(address)
        self._clock = clock
        self._free = deque(port for port in range(low + low % 2, high, 2))
        self._resting: deque[tuple[float, int]] = deque()
        self._used: set[int] = set()
        if not self._free:
            raise ValueError("the media port range holds no pair")
        self.refused = self.reused_early = self.occupied = 0

    @property
    def in_use(self) -> int:
        """Slots handed out at present."""
        return len(self._used)

    def allocate(self, kind: Kind, pair: bool = True) -> Ports:
        """Bind the next free slot, both ports or the even one. Raises Refused(NO_PORTS) if none can be had."""
        now = self._clock()
        while self._resting and self._resting[0][0] <= now:
            self._free.append(self._resting.popleft()[1])
        for _ in range(min(MAX_ATTEMPTS, len(self._free) + len(self._resting))):
            if self._free:
                port = self._free.popleft()
            else:
                port = self._resting.popleft()[1]
                self.reused_early += 1
            ports = self._bind(port, kind, pair)
            if ports is not None:
                self._used.add(port)
                return ports
            self.occupied += 1
            # Not back to the free ones: if it were the only one of them, it would be tried again and again.
            self._resting.append((now + REST, port))
        self.refused += 1
        raise Refused(Reason.NO_PORTS)

    def release(self, ports: Ports) -> None:
        """Close a slot's sockets and let it rest; releasing twice does nothing."""
        ports.rtp.close()
        if ports.rtcp is not None:
            ports.rtcp.close()
        if ports.port in self._used:
            self._used.remove(ports.port)
            self._resting.append((self._clock() + REST, ports.port))

    def _bind(self, port: int, kind: Kind, pair: bool) -> Ports | None:
        try:
            rtp = self._open(port, kind)
        except OSError:
            return None
        if not pair:
            return Ports(port, rtp, None)
        try:
            return Ports(port, rtp, self._open(port + 1, kind))
        except OSError:
            rtp.close()
            return None

    def _open(self, port: int, kind: Kind) -> socket.socket:
        return open_socket(self.address, port, kind)


def open_socket(address: str, port: int, kind: Kind) -> socket.socket:
    """Return a bound socket as media want it: it blocks nobody. Raises OSError."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_DGRAM)
    try:
        opened.setblocking(False)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if address == "::" else 1)
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, DSCP[kind] << 2)
        else:
            opened.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, DSCP[kind] << 2)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER[kind])
        opened.bind((address, port))
    except OSError:
        opened.close()
        raise
    return opened
