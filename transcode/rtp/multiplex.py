"""One pair of UDP ports for many streams, told apart by four octets before each packet (H.460.19 §7.3).

The pair is bound when the first stream takes it and given back with the last. A firewall then needs one hole for all
media of all calls.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import time
from collections.abc import Callable
from typing import Protocol

from gateway.reasons import Reason, Refused
from transcode.media import Kind
from transcode.rtp.ports import open_socket

PREFIX = 4
"""Octets of a multiplexID."""
BURST = 64
"""Datagrams read in one wake-up: those of all streams come here."""
MAX_DATAGRAM = 2048 + PREFIX


class Rider(Protocol):
    """A stream that shares the ports."""

    def take(self, data: bytes, source: tuple[object, ...], control: bool, now: float) -> None:
        """Take a packet without its prefix."""


class SharedPorts:
    """The pair; port is that of RTP, RTCP has the next one. Needs the running loop when streams enter."""

    def __init__(self, address: str, port: int) -> None:
        self.address = address
        self.port = port
        self.unknown = 0
        """Packets of no stream here."""
        self._sockets: tuple[socket.socket, socket.socket] | None = None
        self._riders: dict[int, Rider] = {}
        self._random: Callable[[int], int] = secrets.SystemRandom().getrandbits

    def new_id(self) -> int:
        """Return an id that no stream has; it cannot be guessed."""
        while True:
            found = self._random(32)
            if found and found not in self._riders:
                return found

    def enter(self, id: int, rider: Rider) -> tuple[socket.socket, socket.socket]:
        """Bring packets with this id to a stream, and return the sockets that it sends from. Raises `Refused`."""
        if self._sockets is None:
            self._sockets = self._bind()
        self._riders[id] = rider
        return self._sockets

    def leave(self, id: int) -> None:
        """A stream has ended."""
        self._riders.pop(id, None)
        if not self._riders and self._sockets is not None:
            loop = asyncio.get_running_loop()
            for one in self._sockets:
                loop.remove_reader(one.fileno())
                one.close()
            self._sockets = None

    def _bind(self) -> tuple[socket.socket, socket.socket]:
        opened: list[socket.socket] = []
        try:
            opened.append(open_socket(self.address, self.port, Kind.VIDEO))
            opened.append(open_socket(self.address, self.port + 1, Kind.VIDEO))
        except OSError as error:
            for one in opened:
                one.close()
            raise Refused(Reason.NO_PORTS, f"the shared media ports are taken: {error.strerror}") from None
        loop = asyncio.get_running_loop()
        for one, control in ((opened[0], False), (opened[1], True)):
            loop.add_reader(one.fileno(), self._ready, one, control)
        return opened[0], opened[1]

    def _ready(self, one: socket.socket, control: bool) -> None:
        now = time.monotonic()
        for _ in range(BURST):
            try:
                data, source = one.recvfrom(MAX_DATAGRAM + 1)
            except BlockingIOError:
                return
            except OSError:
                continue
            rider = self._riders.get(int.from_bytes(data[:PREFIX], "big")) if len(data) > PREFIX else None
            if rider is None:
                self.unknown += 1
                continue
            rider.take(data[PREFIX:], source, control, now)
            if self._sockets is None:
                return  # what the packet led to has ended the last stream


def prefix_of(id: int) -> bytes:
    """Return a multiplexID as it stands before a packet."""
    return id.to_bytes(PREFIX, "big")


__all__ = ["SharedPorts", "prefix_of"]
