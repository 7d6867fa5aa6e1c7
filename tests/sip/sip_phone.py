"""A SIP phone over UDP that is spoken through by hand, and what tests of the adapter do with it."""

from __future__ import annotations

import asyncio
from typing import Any

from gateway.calls import CallFacts, CallProtocol, Direction
from sip.adapter import SipAdapter

OFFER = b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0 8\r\n"
FACTS = CallFacts(CallProtocol.SIP, Direction.OUTGOING, "", "", "Room", "100")


class Message:
    """One message as the test peer reads it."""

    def __init__(self, data: bytes) -> None:
        head, _, self.body = data.partition(b"\r\n\r\n")
        self.start, *lines = head.decode().split("\r\n")
        self.headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]

    @property
    def status(self) -> int:
        return int(self.start.split()[1]) if self.start.startswith("SIP/2.0") else 0

    @property
    def method(self) -> str:
        return self.start.split()[0]

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name.lower()]

    def get(self, name: str) -> str:
        return (self.all(name) or [""])[0]


class Peer(asyncio.DatagramProtocol):
    """A SIP phone of few words, over UDP: it sends what the test says and answers nothing by itself."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.heard: asyncio.Queue[Message] = asyncio.Queue()
        self.calls = 0
        self.branches = 0
        self.cseq = 0
        self.call_id = "call0@peer"
        self.tag = ""
        self.invite: tuple[str, int, str] = ("", 0, "")

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.local = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: Any) -> None:
        message = Message(data)
        if message.status != 100:
            self.heard.put_nowait(message)

    def send_text(self, text: str, body: bytes = b"") -> None:
        head = text.strip().replace("\n", "\r\n")
        data = f"{head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        self.transport.sendto(data, ("127.0.0.1", self.port))

    def request(
        self, method: str, body: bytes = b"", kind: str = "application/sdp", extra: str = "", to: str = "100"
    ) -> None:
        """Send a request of the present call."""
        if method == "INVITE" and not self.tag:
            self.calls += 1
            self.cseq = 0
            self.call_id = f"call{self.calls}@peer"
        self.branches += 1
        self.cseq += 1
        cseq, branch, tag = self.cseq, f"z9hG4bK{self.local}x{self.branches}", f";tag={self.tag}" if self.tag else ""
        if method in ("ACK", "CANCEL"):
            cseq = self.invite[1]
            self.cseq -= 1
        if method == "CANCEL":
            branch, tag = self.invite[0], ""
        if method == "INVITE":
            self.invite = (branch, cseq, to)
        self.send_text(
            f"{method} sip:{to}@127.0.0.1:{self.port} SIP/2.0\n"
            f"Via: SIP/2.0/UDP 127.0.0.1:{self.local};branch={branch};rport\n"
            f'From: "Ann\x07 O" <sip:ann@127.0.0.1>;tag=peer\nTo: <sip:{to}@127.0.0.1>{tag}\n'
            f"Call-ID: {self.call_id}\nCSeq: {cseq} {method}\nMax-Forwards: 70\n"
            f"Contact: <sip:ann@127.0.0.1:{self.local}>\nUser-Agent: Peer/1\n{extra}"
            + (f"Content-Type: {kind}\n" if body else ""),
            body,
        )

    def reply(self, request: Message, status: int, body: bytes = b"") -> None:
        """Answer a request of the adapter's."""
        lines = [f"Via: {via}" for via in request.all("via")]
        to = request.get("to")
        to += "" if "tag=" in to else ";tag=answered"
        lines += [f"From: {request.get('from')}", f"To: {to}", f"Call-ID: {request.get('call-id')}"]
        lines += [f"CSeq: {request.get('cseq')}", f"Contact: <sip:bob@127.0.0.1:{self.local}>"]
        lines += ["Content-Type: application/sdp"] if body else []
        self.send_text("\n".join([f"SIP/2.0 {status} Because", *lines]), body)

    async def next(self, within: float = 5.0) -> Message:
        return await asyncio.wait_for(self.heard.get(), within)

    async def response(self, status: int) -> Message:
        """Wait for the next message, which must be this response."""
        message = await self.next()
        assert message.status == status, message.start
        return message

    async def asked(self, method: str, answer: int | None = 200) -> Message:
        """Wait for the next message, which must be this request, and answer it."""
        message = await self.next()
        assert message.method == method, message.start
        if answer is not None:
            self.reply(message, answer)
        return message

    async def join(self, body: bytes = OFFER, ack: bytes = b"") -> Message:
        """Set up a call; return the 200."""
        self.tag = ""
        self.request("INVITE", body)
        answer = await self.response(200)
        self.tag = answer.get("to").partition("tag=")[2]
        self.request("ACK", ack)
        return answer


async def settled(adapter: SipAdapter) -> None:
    """Wait until no call is left."""
    for _ in range(1_000):
        if not adapter.calls and not adapter.calls.working:
            return
        await asyncio.sleep(0.005)
    raise AssertionError("calls are left after 5 s")
