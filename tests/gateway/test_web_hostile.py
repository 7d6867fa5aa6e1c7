"""What nobody should send to a web server: each gets an end, a count, and harms nobody."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import ssl
from pathlib import Path

import pytest
from web_house import ADMIN, WebHouse, hear, say, web_house

from gateway.certificates import keep_certificate
from gateway.metrics import Metrics
from gateway.rooms.desk import FrontDesk, HouseRules
from gateway.web.server import WebServer, WebSettings
from transcode.media import Abilities

SEED = int(os.environ.get("SEED", "20"))

HEAD = b"POST /api/v1/rooms HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + ADMIN.encode() + b"\r\n"
JSON = b"Content-Type: application/json\r\n"


async def pour(house: WebHouse, octets: bytes, seconds: float = 3.0) -> bytes:
    """Write octets into a connection of its own and return what comes until the server closes it, or b"" if reset."""
    reader, writer = await asyncio.open_connection("127.0.0.1", house.server.port)
    try:
        writer.write(octets)
        async with asyncio.timeout(seconds):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


def status(answer: bytes) -> int:
    return int(answer.split(b" ")[1]) if answer.startswith(b"HTTP/1.1 ") else 0


async def _well(house: WebHouse) -> None:
    async with house.client() as client:
        assert (await client.get("/api/v1/rooms")).status_code == 200


async def test_rubbish_is_refused_and_counted() -> None:
    chance = random.Random(SEED)
    samples = [
        b"\x00" + chance.randbytes(3000) + b"\r\n\r\n",
        b"G" + chance.randbytes(3000) + b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + chance.randbytes(500),
        b"INVITE sip:100@x SIP/2.0\r\nVia: SIP/2.0/TCP x\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",  # no Host
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 5000,
        b"GET /" + b"a" * 100_000,
        b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost x\r\n\r\n",
    ]
    async with web_house() as house:
        for octets in samples:
            answer = await pour(house, octets)
            assert status(answer) in (0, 400, 431), f"seed {SEED}: {octets[:60]!r} got {answer[:60]!r}"
        count = house.server.office.rubbish["malformed"]
        assert count == len(samples), f"seed {SEED}: {count} of {len(samples)} counted"
        await _well(house)


async def test_a_request_that_breaks_off_in_its_body_ends_quietly() -> None:
    async with web_house() as house:
        for octets in (
            HEAD + JSON + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
            HEAD + JSON + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{\xff\xfe",
            HEAD + JSON + b"Content-Length: 500\r\n\r\n{",
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", house.server.port)
            writer.write(octets)
            await asyncio.sleep(0.05)
            writer.transport.abort()
            del reader
        await asyncio.sleep(0.1)
        await _well(house)


async def test_a_large_body_is_refused_before_it_is_all_there() -> None:
    async with web_house() as house:
        chunk = b"10001\r\n" + b" " * 0x10001 + b"\r\n"
        answer = await pour(house, HEAD + JSON + b"Transfer-Encoding: chunked\r\n\r\n" + chunk)
        assert status(answer) == 413
        assert b'"message-too-large"' in answer
        plain = b"Content-Length: 1000000000\r\n\r\n"
        assert status(await pour(house, HEAD + JSON + plain)) == 413
        assert house.server.office.rubbish["large-body"] == 2
        await _well(house)


async def test_a_slow_body_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.web.guard.BODY_TIME", 0.2)
    async with web_house() as house:
        answer = await pour(house, HEAD + JSON + b"Content-Length: 100\r\n\r\n{")
        assert status(answer) == 408
        assert house.server.office.rubbish["slow-body"] == 1


async def test_a_connection_that_never_becomes_a_request_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.web.protocols.REQUEST_TIME", 0.2)
    async with web_house() as house, house.socket() as open_:
        assert await pour(house, b"") == b""
        assert await pour(house, b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ") == b""
        assert house.server.office.rubbish["no-request"] == 2
        await say(open_, type="ping")  # a WebSocket is not taken for one of those
        await hear(open_, "pong")


async def test_a_path_cannot_leave_the_pages() -> None:
    async with web_house() as house:
        for path in (
            b"/static/../server.py",
            b"/static/%2e%2e/server.py",
            b"/static/..%2fserver.py",
            b"/static/..%5c..%5cserver.py",
            b"/static//etc/passwd",
            b"/static/%00",
            b"/static/\xc3\xa4",
            b"/api/docs/../server.py",
            b"//static/index.html",
        ):
            answer = await pour(house, b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert status(answer) in (400, 404), path
            assert b"import" not in answer


UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)

FRAMES = {
    # RFC 6455 §5.2: fin, reserved bits and opcode | mask bit and length | ...
    "no mask": "81 02 7b 7d",
    "reserved bit": "c1 82 00000000 7b 7d",
    "unknown opcode": "83 82 00000000 7b 7d",
    "continues nothing": "80 82 00000000 7b 7d",
    "long ping": "89 fe 0080 00000000" + "00" * 128,
    "ping in fragments": "09 80 00000000",
    "claims 2**62 octets": "81 ff 4000000000000000 00000000",
    "length with a sign": "81 ff ffffffffffffffff 00000000",
    "text that is no UTF-8": "81 82 00000000 ff fe",
    "close of one octet": "88 81 00000000 03",
    "close with a code that is none": "88 82 00000000 0001",
}


async def test_a_frame_that_breaks_the_rules_ends_its_socket_alone() -> None:
    async with web_house() as house, house.socket() as other:
        for number, (what, frame) in enumerate(FRAMES.items(), 1):
            reader, writer = await asyncio.open_connection("127.0.0.1", house.server.port)
            writer.write(UPGRADE)
            assert b" 101 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 3)
            writer.write(bytes.fromhex(frame))
            async with asyncio.timeout(3):
                await reader.read()
            writer.close()
            assert house.server.office.rubbish.get("malformed-websocket", 0) == number, what
        await say(other, type="ping")
        await hear(other, "pong")


async def test_a_message_in_countless_fragments_is_ended() -> None:
    async with web_house() as house:
        reader, writer = await asyncio.open_connection("127.0.0.1", house.server.port)
        writer.write(UPGRADE)
        assert b" 101 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 3)
        # 01 80: an empty text that goes on; 00 80: an empty continuation that goes on.
        writer.write(bytes.fromhex("01 80 00000000") + bytes.fromhex("00 80 00000000") * 1000)
        async with asyncio.timeout(3):
            with contextlib.suppress(ConnectionResetError):
                await reader.read()
        writer.close()
        assert house.server.office.rubbish["fragments"] == 1


async def test_a_socket_at_another_address_or_by_another_method_is_refused() -> None:
    async with web_house() as house:
        for octets in (
            UPGRADE.replace(b"/ws", b"/elsewhere"),
            UPGRADE.replace(b"GET", b"POST"),
            UPGRADE.replace(b"Version: 13", b"Version: 8"),
            UPGRADE.replace(b"AAAAAAAAAAAAAAAAAAAAAA==", b"short"),
        ):
            assert status(await pour(house, octets)) in (400, 403, 404, 405, 426), octets[:40]
        await _well(house)


async def test_a_port_that_is_taken_and_a_certificate_that_is_none_are_told(tmp_path: Path) -> None:
    async with web_house() as house:
        desk = FrontDesk(house.plane, HouseRules(Abilities()))
        second = WebServer(WebSettings("127.0.0.1", house.server.port), desk, Metrics())
        with pytest.raises(OSError, match=f"port {house.server.port}"):
            await second.start()
        bad = tmp_path / "bad.pem"
        bad.write_text("nothing")
        with pytest.raises(OSError):
            await WebServer(WebSettings("127.0.0.1", 0, bad, bad), desk, Metrics()).start()


async def test_rubbish_inside_and_outside_of_tls_harms_nobody(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    certificate, key = keep_certificate(tmp_path, ["127.0.0.1"])
    house = WebHouse()
    server = WebServer(WebSettings("127.0.0.1", 0, certificate, key), house.desk, Metrics())
    await server.start()
    trust = ssl.create_default_context(cafile=str(certificate))
    try:
        for octets in (chance.randbytes(2000), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\xff\xff\x00"):
            for context in (None, trust):
                reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context)
                writer.write(octets)
                with contextlib.suppress(TimeoutError, ConnectionError, ssl.SSLError):
                    await asyncio.wait_for(reader.read(100), 0.2)
                writer.transport.abort()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=trust)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert status(await asyncio.wait_for(reader.read(), 3)) == 200
        writer.close()
    finally:
        await server.stop()
