"""A phone made of our own stack on a real socket: it registers with a password, answers calls and hangs up."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from sip.config import BASIC_METHODS, StackConfig
from sip.digest_client import Login
from sip.events import Event, Flow, InviteReceived, RequestAnswered, Send, Transport
from sip.framing import StreamFramer
from sip.stack import Stack

ANSWER = b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"


class Phone(asyncio.DatagramProtocol):
    """contact_host is what it writes into its Contact; another one than 127.0.0.1 makes it one behind a translator."""

    def __init__(self, transport: Transport, port: int, user: str, password: str, contact_host: str) -> None:
        self.kind, self.port = transport, port
        self.user, self.contact_host = user, contact_host
        self.login = Login(user, password, random.Random(1))
        self.events: list[Event] = []
        self.pings = 0
        self.answers: int | None = 200
        self.cseq = 1
        self.changed = asyncio.Event()
        self._framer = StreamFramer()
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        if self.kind is Transport.UDP:
            self.wire, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))
            local = self.wire.get_extra_info("sockname")[1]
        else:
            reader, self.wire = await asyncio.open_connection("127.0.0.1", self.port)
            local = self.wire.get_extra_info("sockname")[1]
            self._tasks.append(loop.create_task(self._read(reader)))
        self.local = local
        self.flow = Flow(self.kind, "127.0.0.1", local, "127.0.0.1", self.port, 1)
        config = StackConfig("127.0.0.1", {self.kind: local}, methods=(*BASIC_METHODS, "NOTIFY"))
        self.stack = Stack(config, random.Random(local))
        self._tasks.append(loop.create_task(self._tick()))

    @property
    def contact(self) -> str:
        named = "" if self.kind is Transport.UDP else f";transport={self.kind}"
        return f"<sip:{self.user}@{self.contact_host}:{self.local}{named}>"

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        self.wire.close()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(65536):
            framed = self._framer.receive(data)
            self.pings += len(framed.reply) // 2
            for message in framed.messages:
                self._take(message)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if data.strip():
            self._take(data)
        else:
            self.pings += 1
            self.changed.set()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(0.05)
            self.stack.tick(self.now())
            self.pump()

    def _take(self, data: bytes) -> None:
        self.stack.receive(data, self.flow, self.now())
        self.pump()

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def pump(self) -> None:
        while items := self.stack.take():
            for item in items:
                self._put_out(item)

    def _put_out(self, item: Send | Event) -> None:
        if isinstance(item, Send):
            if self.kind is Transport.UDP:
                self.wire.sendto(item.data, ("127.0.0.1", self.port))
            else:
                self.wire.write(item.data)
            return
        self.events.append(item)
        self.changed.set()
        if isinstance(item, InviteReceived) and self.answers is not None:
            if self.answers == 200:
                self.stack.accept(item.session, ANSWER, self.now())
            else:
                self.stack.refuse(item.session, self.answers, self.now())

    async def wait(self, kind: type, times: int = 1, within: float = 5.0) -> Any:
        """Wait until an event was told so many times, and return the last one."""
        async with asyncio.timeout(within):
            while len(found := [event for event in self.events if isinstance(event, kind)]) < times:
                self.changed.clear()
                await self.changed.wait()
        return found[-1]

    async def register(self, *more: tuple[str, str], expires: int = 600, user: str = "") -> RequestAnswered:
        """Register and return what became of it."""
        address = f"sip:{user or self.user}@127.0.0.1"
        before = len([event for event in self.events if isinstance(event, RequestAnswered)])
        self.cseq += 10
        self.stack.request(
            "REGISTER",
            self.flow,
            "sip:127.0.0.1",
            address,
            self.now(),
            address,
            [("Contact", f"{self.contact};expires={expires}"), *more],
            call_id=f"{self.user}-{self.local}",
            cseq=self.cseq,
            login=self.login,
        )
        self.pump()
        answered: RequestAnswered = await self.wait(RequestAnswered, before + 1)
        return answered
