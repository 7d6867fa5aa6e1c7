"""Rubbish on every port while people talk: it is counted, and nobody notices."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import ssl

import marks
import party
import pytest
from peers.ours import Terminal
from starting import StartGateway

from gateway.bench.phone import media_lines
from gateway.bench.process import GatewayProcess

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]

SEED = 4475
COUNTER = "roombridge_bad_input_total"
MAX_DATAGRAM = 65_507
"""The most that UDP over IPv4 carries."""
_HOST = "127.0.0.1"
_INVITE = (
    b"INVITE sip:100@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bKbad\r\nFrom: <sip:x@y>;tag=1\r\n"
    b"To: <sip:100@127.0.0.1>\r\nCall-ID: bad\r\nCSeq: 1 INVITE\r\nContact: <sip:x@127.0.0.1:9>\r\n"
    b"Content-Type: application/sdp\r\nContent-Length: 20\r\n\r\nv=0\r\nm=audio x RTP\r\n"
)
_RTP = bytes.fromhex("8000 0001 00000001 0000dead".replace(" ", "")) + bytes(160)
_RTCP = bytes.fromhex("81ce 0002 00000001 0000dead".replace(" ", ""))


def datagrams(random_: random.Random) -> list[bytes]:
    """Return truncated, oversized, twisted and random datagrams."""
    whole = [_INVITE, _RTP, _RTCP]
    cut = [one[: random_.randrange(len(one))] for one in whole for _ in range(12)]
    twisted = []
    for one in whole * 12:
        changed = bytearray(one)
        for _ in range(6):
            changed[random_.randrange(len(changed))] = random_.randrange(256)
        twisted.append(bytes(changed))
    noise = [random_.randbytes(random_.randrange(1, 1500)) for _ in range(60)]
    large = [_INVITE[:-20] + b"A" * (MAX_DATAGRAM - len(_INVITE)), random_.randbytes(MAX_DATAGRAM), b"\x80" * 9000]
    rtp = [b"\x9f\x7f" + random_.randbytes(20), b"\xbf\xe0" + random_.randbytes(40), b"\x80\xc8\xff\xff" + bytes(8)]
    return [b"", b"\x00", b"\r\n\r\n", *cut, *twisted, *noise, *large, *rtp]


async def throw(port: int, rubbish: list[bytes]) -> None:
    """Send datagrams from a foreign port, a few at a time, so that none is lost for want of room."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as thrower:
        thrower.bind((_HOST, 0))
        for index, one in enumerate(rubbish):
            thrower.sendto(one, (_HOST, port))
            if index % 8 == 0:
                await asyncio.sleep(0.005)


async def pour(port: int, rubbish: bytes, encrypted: bool) -> None:
    """Write octets into a connection of its own and wait until the far end closes it or half a second has passed."""
    context = None
    if encrypted:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
        reader, writer = await asyncio.wait_for(asyncio.open_connection(_HOST, port, ssl=context), 5)
        try:
            writer.write(rubbish)
            await asyncio.wait_for(writer.drain(), 2)
            await asyncio.wait_for(reader.read(4096), 0.5)
        finally:
            writer.close()


def streams(random_: random.Random) -> list[bytes]:
    """Return what nobody should write into a connection."""
    return [
        random_.randbytes(3000),
        b"\x00" * 70_000,
        b"A" * 200_000,
        _INVITE[:100],
        _INVITE.replace(b"Content-Length: 20", b"Content-Length: 999999999"),
        _INVITE.replace(b"Content-Length: 20", b"Content-Length: -1"),
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"POST /api/v1/rooms HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n{\xff\xfe\x00",
        b"INVITE " * 5000,
        b"\x16\x03\x01\xff\xff" + random_.randbytes(500),
    ]


async def _assert_well(gateway: GatewayProcess, first: Terminal, second: Terminal) -> None:
    for one in (first, second):
        one.voice.socket.kept.clear()
    await party.assert_all_hear({"first": (first.mark, first.heard), "second": (second.mark, second.heard)})
    assert len(await gateway.participants()) == 2


async def test_rubbish_on_every_port_harms_no_call(start_gateway: StartGateway) -> None:
    gateway = await start_gateway()
    random_ = random.Random(SEED)
    first, second = Terminal(marks.ANN), Terminal(marks.BOB)
    try:
        await first.dial(_HOST, gateway.udp, "100")
        await second.dial(_HOST, gateway.udp, "100")
        before = await gateway.metrics()
        assert first.call is not None
        media = [port for _, port, _ in media_lines(first.call.remote_sdp) if port]
        memory = gateway.usage().memory

        counts = [before.total(COUNTER)]
        for port in [gateway.udp, *media, *(port + 1 for port in media), gateway.media[1]]:
            await throw(port, datagrams(random_))
            if port in (gateway.udp, media[0]):
                counts.append((await gateway.metrics()).total(COUNTER))
        for port in (gateway.tcp, gateway.tls, gateway.web):
            for rubbish in streams(random_):
                await pour(port, rubbish, encrypted=False)
                if port != gateway.tcp:
                    await pour(port, rubbish, encrypted=True)
            counts.append((await gateway.metrics()).total(COUNTER))
        assert counts[0] < counts[1] < counts[2], f"seed {SEED}: bad datagrams were not counted: {counts}"
        assert counts[-3] > counts[-4], f"seed {SEED}: bad input by TCP was not counted: {counts}"
        await _assert_well(gateway, first, second)
        assert gateway.usage().memory - memory < 60 << 20, "memory grew"
    finally:
        await first.hang_up()
        await second.hang_up()


async def test_idle_connections_harm_no_call(start_gateway: StartGateway) -> None:
    gateway = await start_gateway()
    first, second = Terminal(marks.ANN), Terminal(marks.BOB)
    writers: list[asyncio.StreamWriter] = []
    try:
        for port in (gateway.tcp, gateway.tls, gateway.web):
            for _ in range(30):
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection(_HOST, port)
                    writers.append(writer)
        await first.dial(_HOST, gateway.udp, "100")
        await second.dial(_HOST, gateway.tcp, "100", "tcp")
        await _assert_well(gateway, first, second)
    finally:
        for writer in writers:
            writer.close()
        await first.hang_up()
        await second.hang_up()
