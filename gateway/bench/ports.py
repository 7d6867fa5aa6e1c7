"""Free ports of the loopback for programs that are about to start.

A port that is free when it is looked for is bound only seconds later, by the program. So that two processes which start
programs at the same time do not choose the same one, each takes from a share of its own, above the ports that Linux
gives out by itself. A process holds its share by the name of a socket, which ends with it.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import socket
from collections.abc import Sequence
from functools import cache
from pathlib import Path

HOST = "127.0.0.1"
FIRST, SIZE = 61_000, 320
"""Where the shares begin, and how many ports each has: 25 gateways come and go until a port is used again."""
SHARES = 14
"""What fits below 65,536, and as many ranges of media ports below the ephemeral ones."""
FIRST_MEDIA, LAST_MEDIA, MEDIA_STEP = 12_000, 31_000, 1_300
DGRAM, STREAM = socket.SOCK_DGRAM, socket.SOCK_STREAM

_place = 0


@cache
def share() -> int:
    """Return the number of this process's share; one more process than there are shares has one with another."""
    for number in range(SHARES):
        name = socket.socket(socket.AF_UNIX, DGRAM)
        try:
            name.bind(f"\0roombridge-ports-{number}")
        except OSError:
            name.close()
            continue
        atexit.register(name.close)
        return number
    return os.getpid() % SHARES


def _is_free(port: int, kind: socket.SocketKind) -> bool:
    with socket.socket(socket.AF_INET, kind) as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def is_bound(port: int, kind: socket.SocketKind = DGRAM) -> bool:
    """Tell whether a program has bound a port, of whichever local address, without touching it."""
    for family in ("", "6"):
        table = Path(f"/proc/net/{'udp' if kind is DGRAM else 'tcp'}{family}")
        for line in table.read_text().splitlines()[1:] if table.exists() else ():
            if line.split()[1].endswith(f":{port:04X}"):  # the local address
                return True
    return False


async def until_bound(port: int, kind: socket.SocketKind = DGRAM, seconds: float = 60.0) -> None:
    """Wait until a program has bound a port. Raises TimeoutError."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not is_bound(port, kind):
        if loop.time() > deadline:
            raise TimeoutError(f"nothing has bound port {port}")
        await asyncio.sleep(0.02)


def free_row(*kinds: Sequence[socket.SocketKind]) -> int:
    """Return an even port; it and those after it, one for each of `kinds`, are free for these kinds of sockets.

    A row is not given out again before all others were. Raises OSError if none is free.
    """
    global _place
    length = len(kinds) + len(kinds) % 2
    first = FIRST + share() * SIZE
    for _ in range(SIZE // 2):
        _place = _place if _place + length <= SIZE else 0
        port = first + _place
        _place += length
        if all(_is_free(port + offset, kind) for offset, wanted in enumerate(kinds) for kind in wanted):
            return port
    raise OSError("no free ports")


def free_port(kind: socket.SocketKind = DGRAM) -> int:
    """Return a port that nothing uses at the moment. Raises OSError."""
    return free_row((kind,))


def free_range(count: int) -> tuple[int, int]:
    """Return the ends of a range of UDP ports, of which the first, the middle and the last are free. Raises OSError."""
    starts = range(FIRST_MEDIA, LAST_MEDIA - count, MEDIA_STEP)
    for number in range(len(starts)):
        start = starts[(share() + number) % len(starts)]
        if all(_is_free(port, DGRAM) for port in (start, start + count // 2, start + count - 1)):
            return start, start + count - 1
    raise OSError("no free range of media ports")
