"""A bad network in user space: a relay that drops packets of media at random, in each direction, by a seed.

It needs no privileges and no kernel modules, so it works wherever the tests do. The peer calls the relay's SIP port
over UDP instead of the gateway's. The relay passes SIP on and, in every description that comes by, puts ports of its
own in the place of the real ones; media then runs through it and is dropped there. Signalling is not dropped.

Each media line has one pair of sockets: the one that the peer sends to, and the one that the gateway sends to. RTCP
goes the same way where it is multiplexed; where it has a port of its own (the next one), it is passed on likewise.
"""

from __future__ import annotations

import asyncio
import random
import re
from dataclasses import dataclass, field

_MEDIA = re.compile(r"^(m=\w+ )(\d+)( .*)$", re.MULTILINE)
_RTCP = re.compile(r"^a=rtcp:(\d+).*\r?\n", re.MULTILINE)
_LENGTH = re.compile(r"^((?:Content-Length|l)\s*:\s*)\d+", re.MULTILINE | re.IGNORECASE)
_HOST = "127.0.0.1"
MAX_LINES = 8
"""Media lines of one call: sound, picture and slides, with room to spare."""
_PORT_TRIES = 50


class _Socket(asyncio.DatagramProtocol):
    def __init__(self, take: object) -> None:
        self.take = take
        self.transport: asyncio.DatagramTransport | None = None
        self.port = 0

    async def open(self, port: int = 0) -> int:
        loop = asyncio.get_running_loop()
        self.transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(_HOST, port))
        self.port = int(self.transport.get_extra_info("sockname")[1])
        return self.port

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.take(data, addr)  # type: ignore[operator]

    def error_received(self, exc: Exception) -> None:
        """The far port is closed: nothing to do."""

    def send(self, data: bytes, port: int) -> None:
        if self.transport is not None and port:
            self.transport.sendto(data, (_HOST, port))

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()


@dataclass(eq=False)
class _Line:
    """One media line: the sockets that peer and gateway send to (RTP, then RTCP), and the real ports of both."""

    for_peer: list[_Socket] = field(default_factory=list)
    for_gateway: list[_Socket] = field(default_factory=list)
    peer: int = 0
    gateway: int = 0


@dataclass
class Tally:
    """Packets of media in one direction."""

    passed: int = 0
    dropped: int = 0


class LossyPath:
    """The relay between one peer and the gateway; `loss` is the share that is dropped, once `lossy` is set."""

    def __init__(self, gateway: int, loss: float = 0.05, seed: int = 1) -> None:
        self.gateway, self.loss, self.seed = gateway, loss, seed
        self.lossy = True
        self.up, self.down = Tally(), Tally()
        self._random = random.Random(seed)
        self._lines: list[_Line] = []
        self._peer = 0
        self._near = _Socket(self._from_peer)
        self._far = _Socket(self._from_gateway)

    @property
    def port(self) -> int:
        """The SIP port that the peer calls."""
        return self._near.port

    async def open(self) -> int:
        """Open the relay for a call with up to `MAX_LINES` media lines; return the SIP port."""
        for _ in range(MAX_LINES):
            line = _Line()
            line.for_peer = await self._pair(line, up=True)
            line.for_gateway = await self._pair(line, up=False)
            self._lines.append(line)
        await self._far.open()
        return await self._near.open()

    async def _pair(self, line: _Line, up: bool) -> list[_Socket]:
        """Bind two ports in a row, the first one even, as RTP and RTCP want them."""
        for _ in range(_PORT_TRIES):
            sockets = [_Socket(self._passer(line, up, offset)) for offset in (0, 1)]
            port = self._random.randrange(33_000, 60_000) & ~1
            try:
                await sockets[0].open(port)
                await sockets[1].open(port + 1)
            except OSError:
                for one in sockets:
                    one.close()
                continue
            return sockets
        raise OSError("no free ports in a row")

    def _passer(self, line: _Line, up: bool, offset: int) -> object:
        tally = self.up if up else self.down

        def take(data: bytes, addr: tuple[str, int]) -> None:
            # Media may come from another port than was announced; what goes back goes to where it came from.
            if up and not offset:
                line.peer = addr[1]
            if self.lossy and self._random.random() < self.loss:
                tally.dropped += 1
                return
            tally.passed += 1
            out, port = (line.for_gateway, line.gateway) if up else (line.for_peer, line.peer)
            out[offset].send(data, port + offset if port else 0)

        return take

    def close(self) -> None:
        """Close everything."""
        for line in self._lines:
            for one in (*line.for_peer, *line.for_gateway):
                one.close()
        self._near.close()
        self._far.close()

    def _from_peer(self, data: bytes, addr: tuple[str, int]) -> None:
        self._peer = addr[1]
        self._far.send(self._rewrite(data, up=True), self.gateway)

    def _from_gateway(self, data: bytes, addr: tuple[str, int]) -> None:
        self._near.send(self._rewrite(data, up=False), self._peer)

    def _rewrite(self, data: bytes, up: bool) -> bytes:
        head, blank, body = data.decode("utf-8", "surrogateescape").partition("\r\n\r\n")
        if not blank or "m=" not in body:
            return data
        lines = iter(self._lines)

        def replace(found: re.Match[str]) -> str:
            line = next(lines, None)
            if line is None or found[2] == "0":
                return found[0]
            if up:
                line.peer = int(found[2])
                return f"{found[1]}{line.for_gateway[0].port}{found[3]}"
            line.gateway = int(found[2])
            return f"{found[1]}{line.for_peer[0].port}{found[3]}"

        body = _RTCP.sub("", _MEDIA.sub(replace, body))
        size = len(body.encode("utf-8", "surrogateescape"))
        head = _LENGTH.sub(lambda found: f"{found[1]}{size}", head)
        return f"{head}\r\n\r\n{body}".encode("utf-8", "surrogateescape")
