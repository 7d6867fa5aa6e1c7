"""The WebSocket that SIP comes by: who may open it, how messages go through, and how it ends."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest
from web_house import WebHouse, web_house
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway.web.office import Close, Write
from gateway.webrtc.messages import MAX_MESSAGE_SIZE

MESSAGE = b"OPTIONS sip:a@b SIP/2.0\r\nContent-Length: 0\r\n\r\n"


class Link:
    """One connection as a SIP adapter would hold it: notes what comes."""

    def __init__(self, write: Write, close: Close) -> None:
        self.write, self.close = write, close
        self.heard: asyncio.Queue[bytes] = asyncio.Queue()
        self.losses = 0
        self.gone = asyncio.Event()
        self.fault: Exception | None = None

    def received(self, data: bytes) -> None:
        if self.fault is not None:
            raise self.fault
        self.heard.put_nowait(data)

    def lost(self) -> None:
        self.losses += 1
        self.gone.set()


class Door:
    """Takes in connections, or none."""

    def __init__(self) -> None:
        self.links: list[Link] = []
        self.ends: list[tuple[bool, tuple[str, int], tuple[str, int]]] = []
        self.open = True

    def __call__(
        self, secure: bool, local: tuple[str, int], remote: tuple[str, int], write: Write, close: Close
    ) -> Link | None:
        self.ends.append((secure, local, remote))
        if not self.open:
            return None
        self.links.append(Link(write, close))
        return self.links[-1]


def sip(house: WebHouse, **options: Any) -> connect:
    options = {"subprotocols": ["sip"], "compression": None} | options
    return connect(f"ws://127.0.0.1:{house.server.port}/sip", **options)


async def until_closed(client: ClientConnection) -> int:
    """Read until the server closes; return its code, 1006 for none."""
    async with asyncio.timeout(5):
        try:
            while True:
                await client.recv()
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd is not None else 1006


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


async def test_messages_go_both_ways_as_text() -> None:
    door = Door()
    async with web_house(sip=door) as house, sip(house) as client:
        assert client.subprotocol == "sip"
        await client.send(MESSAGE.decode())
        (link,) = door.links
        assert await link.heard.get() == MESSAGE
        local, remote = ("127.0.0.1", house.server.port), client.local_address
        assert door.ends == [(False, local, tuple(remote))]
        for number in range(3):
            link.write(b"answer %d" % number)
        assert [await client.recv() for _ in range(3)] == ["answer 0", "answer 1", "answer 2"]


async def test_who_speaks_binary_is_answered_so() -> None:
    door = Door()
    async with web_house(sip=door) as house, sip(house) as client:
        await client.send(MESSAGE)
        (link,) = door.links
        assert await link.heard.get() == MESSAGE
        link.write(b"answer")
        assert await client.recv() == b"answer"


async def test_what_is_no_utf8_goes_out_as_binary() -> None:
    door = Door()
    async with web_house(sip=door) as house, sip(house) as client:
        await client.send("\r\n\r\n")
        (link,) = door.links
        assert await link.heard.get() == b"\r\n\r\n"
        link.write(b"caf\xe9")
        link.write(b"coffee")
        assert [await client.recv(), await client.recv()] == [b"caf\xe9", "coffee"]


async def test_the_link_hears_once_that_the_client_left() -> None:
    door = Door()
    async with web_house(sip=door) as house:
        async with sip(house) as client:
            await client.send("x")
        (link,) = door.links
        await asyncio.wait_for(link.gone.wait(), 5)
        await asyncio.sleep(0.05)
        assert link.losses == 1
        link.write(b"too late")


async def test_without_the_subprotocol_it_is_not_opened() -> None:
    async with web_house(sip=Door()) as house:
        for given in (None, ["xmpp"]):
            with pytest.raises(InvalidStatus) as refused:
                async with sip(house, subprotocols=given):
                    pass
            assert refused.value.response.status_code == 400
        assert 'bad_input_total{what="no-sip-subprotocol",where="web"} 2.0' in await house.scrape()


async def test_where_sip_is_turned_off_there_is_nothing() -> None:
    async with web_house() as house:
        with pytest.raises(InvalidStatus) as refused:
            async with sip(house):
                pass
        assert refused.value.response.status_code == 404


@pytest.mark.parametrize(
    ("allowed", "origin", "status"),
    [
        ((), None, 101),
        ((), "http://127.0.0.1:{port}", 101),
        ((), "https://evil.example", 403),
        ((), "null", 403),
        (("https://Shop.example",), "https://shop.example", 101),
        (("https://shop.example",), "http://shop.example", 403),
        (("https://shop.example",), "https://shop.example.evil.example", 403),
        (("*",), "https://anybody.example", 101),
    ],
)
async def test_pages_of_strangers_may_not_speak_sip(allowed: tuple[str, ...], origin: str | None, status: int) -> None:
    async with web_house(sip=Door(), settings={"sip_origins": allowed}) as house:
        told = origin.format(port=house.server.port) if origin is not None else None
        try:
            async with sip(house, origin=told):
                found = 101
        except InvalidStatus as refused:
            found = refused.response.status_code
        assert found == status
        assert ('http_refused_total{reason="foreign-origin"}' in await house.scrape()) == (status == 403)


async def test_one_too_many_is_told_to_come_later() -> None:
    door = Door()
    door.open = False
    async with web_house(sip=door) as house, sip(house) as client:
        assert await until_closed(client) == 1013
        assert 'http_refused_total{reason="overload"} 1.0' in await house.scrape()


async def test_what_was_written_before_closing_still_goes_out() -> None:
    door = Door()
    async with web_house(sip=door) as house, sip(house) as client:
        await client.send("x")
        (link,) = door.links
        link.write(b"last words")
        link.close(1008, False)
        assert await client.recv() == "last words"
        assert await until_closed(client) == 1008
        assert link.losses == 1


async def test_a_fault_of_one_client_ends_it_alone() -> None:
    door = Door()
    async with web_house(sip=door) as house, sip(house) as one, sip(house) as other:
        await one.send("x")
        await until(lambda: len(door.links) == 2 and not door.links[0].heard.empty())
        door.links[0].fault = ValueError("broken")
        await one.send("x")
        assert await until_closed(one) == 1011
        await other.send("y")
        assert await asyncio.wait_for(door.links[1].heard.get(), 5) == b"y"
        assert (door.links[0].losses, door.links[1].losses) == (1, 0)


async def test_a_message_over_the_bound_closes() -> None:
    door = Door()
    async with web_house(sip=door) as house, sip(house) as client:
        await client.send("x" * (MAX_MESSAGE_SIZE + 1))
        assert await until_closed(client) == 1009
        assert door.links[0].heard.empty()


async def test_text_that_is_no_utf8_closes() -> None:
    door = Door()
    async with web_house(sip=door) as house, sip(house) as client:
        await client.send(b"caf\xe9", text=True)
        assert await until_closed(client) == 1007
        await until(lambda: door.links[0].losses == 1)


async def test_a_client_that_does_not_read_is_known_by_what_waits_and_can_be_cut_off() -> None:
    door = Door()
    async with web_house(sip=door) as house:
        raw = socket.create_connection(("127.0.0.1", house.server.port))
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.setblocking(False)
        head = (
            "GET /sip HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: sip\r\n\r\n"
        )
        await asyncio.get_running_loop().sock_sendall(raw, head.encode())
        await until(lambda: len(door.links) == 1)
        (link,) = door.links
        waits = 0
        for _ in range(400):
            waits = link.write(b"x" * 65_000)
            await asyncio.sleep(0.001)
            if waits > 262_144:
                break
        assert waits > 262_144, "what a client leaves unread is not seen"
        link.close(1008, True)
        await asyncio.wait_for(link.gone.wait(), 5)
        raw.close()


async def test_all_are_closed_when_the_server_stops() -> None:
    door = Door()
    async with web_house(sip=door) as house:
        client = await sip(house)
        await house.server.stop()
        assert await until_closed(client) in (1001, 1012)  # the web server itself may be the first to say so
        assert [link.losses for link in door.links] == [1]
