"""Messages to throw at a running adapter: those of captures and of the little endpoint, changed by chance."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Iterable
from functools import cache

import h323_peer
from h323_peer import CODEC, Peer, Stream
from h323_samples import frames

from h323.q931 import Type
from h323.signalling.events import Signal
from h323.signalling.wire import write_signal
from h323.tpkt import frame

BATCH = 50
"""Messages on one connection; then another one is opened, for mutants end calls."""


@cache
def whole() -> tuple[bytes, ...]:
    """Return messages that are right."""
    found = [octets for _, kind, octets in frames() if kind == "Q931"]
    pdus = [
        h323_peer.capabilities(h323_peer.G711, h323_peer.H261, h323_peer.KEYS),
        h323_peer.determination(),
        h323_peer.open_channel(7, ("audioData", ("g711Ulaw64k", 20)), 1, 5005),
        h323_peer.taken(1, 1, 5004),
        ("indication", ("userInput", ("alphanumeric", "1"))),
    ]
    for pdu in pdus:
        kinds = (Type.SETUP, Type.FACILITY, Type.INFORMATION)
        found += [write_signal(Signal(kind, 21, False, None, True, (CODEC.encode(pdu),))) for kind in kinds]
    return tuple(found)


@cache
def control() -> tuple[bytes, ...]:
    """Return H.245 messages that are right."""
    found = [octets for _, kind, octets in frames() if kind == "H245"]
    return tuple(found) or tuple(
        CODEC.encode(one) for one in (h323_peer.capabilities(h323_peer.G711), h323_peer.determination())
    )


def mutants(chance: random.Random, count: int) -> list[tuple[bytes, bytes]]:
    """Return so many changed messages: of signalling, and of H.245."""
    return [(mutate(chance, chance.choice(whole())), mutate(chance, chance.choice(control()))) for _ in range(count)]


def mutate(chance: random.Random, data: bytes) -> bytes:
    """Change a few octets, cut, double or insert; leave it as it is one time in ten."""
    changed = bytearray(data)
    match chance.randrange(10):
        case 0:
            pass
        case 1:
            del changed[chance.randrange(len(changed)) :]
        case 2:
            at = chance.randrange(len(changed))
            changed[at:at] = chance.randbytes(chance.randrange(1, 9))
        case 3:
            at = chance.randrange(len(changed))
            del changed[at : at + chance.randrange(1, 9)]
        case 4:
            changed += changed[chance.randrange(len(changed)) :]
        case _:
            for _ in range(chance.randrange(1, 6)):
                changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


async def throw(port: int, messages: Iterable[tuple[bytes, bytes]], separate: bool) -> None:
    """Throw messages at the signalling port, or at a separate H.245 connection that belongs to a call."""
    waiting = list(messages)
    while waiting:
        batch, waiting = waiting[:BATCH], waiting[BATCH:]
        with contextlib.suppress(OSError, TimeoutError):
            if separate:
                await _throw_control(port, [one for _, one in batch])
            else:
                await _throw_signals(port, [one for one, _ in batch])


async def _throw_signals(port: int, batch: list[bytes]) -> None:
    stream = Stream(*await asyncio.open_connection("127.0.0.1", port))
    stream.writer.write(b"".join(frame(one) for one in batch))
    stream.writer.write_eof()
    async with asyncio.timeout(10):
        while await stream.reader.read(65_536):
            pass
    await stream.close()


async def _throw_control(port: int, batch: list[bytes]) -> None:
    peer = await Peer.connect(port, tunnelling=False)
    try:
        peer.setup()
        connect = await peer.expect(Type.CONNECT)
        assert connect.body is not None
        where = connect.body["h245Address"][1]
        stream = Stream(*await asyncio.open_connection("127.0.0.1", where["port"]))
        stream.writer.write(b"".join(frame(one) for one in batch))
        stream.writer.write_eof()
        async with asyncio.timeout(10):
            while await stream.reader.read(65_536):
                pass
        await stream.close()
    finally:
        await peer.close()
