"""Messages to throw at a running adapter: those of captures and of the little endpoint, changed by chance."""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
from collections.abc import Iterable
from functools import cache
from typing import Any

import h323_peer
from h323_peer import CODEC, Peer, Stream
from h323_samples import frames

from h323.messages import Kind, decode
from h323.q931 import Type
from h323.ras.messages import write
from h323.signalling.events import Signal
from h323.signalling.wire import read_signal, write_signal
from h323.tpkt import frame

BATCH = 50
"""Messages on one connection; then another one is opened, for mutants end calls."""
MAX_DATAGRAM = 8_000
NOBODYS = 0x7FFE
"""A call reference that no message uses."""
_SEARCH: dict[str, Any] = {
    "protocolIdentifier": h323_peer.OID,
    "endpointType": h323_peer.ENDPOINT,
}


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


@cache
def ras() -> tuple[bytes, ...]:
    """Return RAS messages that are right."""
    return tuple(octets for _, kind, octets in frames() if kind == "RAS")


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


async def throw(
    port: int, messages: Iterable[tuple[bytes, bytes]], separate: bool, context: ssl.SSLContext | None = None
) -> None:
    """Throw messages at the signalling port, or at a separate H.245 connection that belongs to a call.

    context says that the signalling port is that of TLS.
    """
    waiting = list(messages)
    while waiting:
        batch, waiting = waiting[:BATCH], waiting[BATCH:]
        with contextlib.suppress(OSError, TimeoutError):
            if separate:
                await _throw_control(port, [one for _, one in batch])
            else:
                await _throw_signals(port, [one for one, _ in batch], context)


async def throw_datagrams(port: int, messages: Iterable[bytes]) -> None:
    """Throw messages at the RAS port, no faster than they are read: a question that is right follows each batch."""
    loop = asyncio.get_running_loop()
    answers: asyncio.Queue[bytes] = asyncio.Queue()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Answers(answers), remote_addr=("127.0.0.1", port))
    waiting = list(messages)
    own = ("ipAddress", {"ip": b"\x7f\x00\x00\x01", "port": transport.get_extra_info("sockname")[1]})
    try:
        for number, at in enumerate(range(0, len(waiting), BATCH), 1):
            for one in waiting[at : at + BATCH]:
                transport.sendto(one[:MAX_DATAGRAM])
            transport.sendto(write("gatekeeperRequest", {**_SEARCH, "rasAddress": own, "requestSeqNum": number}))
            async with asyncio.timeout(30):
                while not _answers(await answers.get(), number):
                    pass
    finally:
        transport.close()


class _Answers(asyncio.DatagramProtocol):
    def __init__(self, answers: asyncio.Queue[bytes]) -> None:
        self._answers = answers

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._answers.put_nowait(data)


def _answers(data: bytes, number: int) -> bool:
    name, value = decode(Kind.RAS, data)
    return name in ("gatekeeperConfirm", "gatekeeperReject") and value["requestSeqNum"] == number


async def _throw_signals(port: int, batch: list[bytes], context: ssl.SSLContext | None = None) -> None:
    stream = Stream(*await asyncio.open_connection("127.0.0.1", port, ssl=context))
    stream.writer.write(b"".join(frame(one) for one in batch))
    async with asyncio.timeout(10):
        if context is None:
            stream.writer.write_eof()
            while await stream.reader.read(65_536):
                pass
        else:  # TLS cannot close one half: a question about no call tells that all was read
            stream.send(write_signal(Signal(Type.STATUS_INQUIRY, NOBODYS, False)))
            while (answer := await stream.next()) is not None and read_signal(answer).reference != NOBODYS:
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
