"""A small SIP caller for loads and tests (RFC 3261), independent of the stack that it calls.

One phone has one UDP socket or one TCP or TLS connection and carries many calls. It dials, acknowledges, answers
what comes inside a dialog, and hangs up; it retransmits over UDP and knows no forking, routing or authentication.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

T1 = 0.5
"""Seconds until the first retransmission (RFC 3261 §17.1.1.1)."""
MAX_MESSAGE = 65_535
_NUMBERS = itertools.count(1)
_LENGTH = re.compile(rb"(?:^|\r\n)(?:content-length|l)[ \t]*:[ \t]*(\d+)", re.IGNORECASE)
_TO_TAG = re.compile(r";\s*tag=([^;\s]+)")
_CONTACT = re.compile(r"<([^>]+)>")
_SHORT = {
    "f": "from",
    "t": "to",
    "i": "call-id",
    "v": "via",
    "m": "contact",
    "l": "content-length",
    "c": "content-type",
}


class CallRefused(Exception):
    """The far end refused a call; carries status, phrase and headers (names in lower case)."""

    def __init__(self, status: int, phrase: str, headers: dict[str, str]) -> None:
        super().__init__(f"{status} {phrase} {headers.get('reason', '')}")
        self.status = status
        self.phrase = phrase
        self.headers = headers


@dataclass(slots=True)
class Message:
    """A SIP message; headers by lower-case name, those that stand more than once joined with a comma, but for Via."""

    first: str
    headers: dict[str, str]
    vias: list[str]
    body: str

    @classmethod
    def parse(cls, data: bytes) -> Message:
        """Read a message. Raises ValueError if it is none."""
        head, _, body = data.decode("utf-8", "replace").partition("\r\n\r\n")
        first, *lines = head.split("\r\n")
        headers: dict[str, str] = {}
        vias: list[str] = []
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon:
                raise ValueError(f"header without colon: {line!r}")
            name = name.strip().lower()
            name = _SHORT.get(name, name)
            if name == "via":
                vias.append(value.strip())
            else:
                headers[name] = f"{headers[name]}, {value.strip()}" if name in headers else value.strip()
        return cls(first, headers, vias, body)

    @property
    def status(self) -> int:
        """A response's status; 0 for a request."""
        return int(self.first.split(" ", 2)[1]) if self.first.startswith("SIP/2.0 ") else 0

    @property
    def method(self) -> str:
        """A request's method, or that of the request which a response answers."""
        return self.headers["cseq"].split()[-1] if self.status else self.first.split(" ", 1)[0]


@dataclass(eq=False, slots=True)
class PhoneCall:
    """One call of a phone. on_key_frame is called when the far end asks for a key frame by INFO (RFC 5168)."""

    phone: Phone
    id: str
    target: str
    local: str
    sdp: str
    remote: str = ""
    remote_target: str = ""
    remote_sdp: str = ""
    sequence: int = 1
    ack: bytes = b""
    answered: asyncio.Future[Message] | None = None
    waiting: dict[str, asyncio.Future[Message]] = field(default_factory=dict)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    end_reason: str = ""
    on_key_frame: Callable[[], None] | None = None
    on_offer: Callable[[str], str] | None = None

    async def hang_up(self, seconds: float = 5.0) -> None:
        """Send BYE and wait for its answer, `seconds` seconds at most."""
        if self.ended.is_set():
            return
        self.ended.set()
        try:
            await self.request("BYE", seconds=seconds)
        except TimeoutError:
            pass
        finally:
            self.phone.calls.pop(self.id, None)

    async def request(
        self, method: str, body: str = "", content_type: str = "application/sdp", seconds: float = 5.0
    ) -> Message:
        """Send a request inside the dialog and return its final response. Raises TimeoutError."""
        self.sequence += 1
        message = self.phone.build(self, method, self.sequence, body, content_type)
        response = await self.phone.transact(self, f"{self.sequence} {method}", message, seconds)
        if method == "INVITE" and response.status < 300:
            self.remote_sdp = response.body or self.remote_sdp
            self.ack = self.phone.build(self, "ACK", self.sequence)
            self.phone.send(self.ack)
        return response


class Phone:
    """The phone; open it with `Phone.open`, and close it."""

    def __init__(self, host: str, port: int, transport: str, name: str) -> None:
        self.host, self.port, self.transport, self.name = host, port, transport, name
        self.local_host, self.local_port = "127.0.0.1", 0
        self.calls: dict[str, PhoneCall] = {}
        self.strange = 0
        self._datagrams: asyncio.DatagramTransport | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._reader: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls,
        host: str,
        port: int,
        transport: str = "udp",
        name: str = "Load",
        tls: ssl.SSLContext | None = None,
        local_host: str = "127.0.0.1",
    ) -> Phone:
        """Open a phone that calls by transport udp, tcp or tls; without a context, any certificate is taken."""
        phone = cls(host, port, transport, name)
        phone.local_host = local_host
        loop = asyncio.get_running_loop()
        if transport == "udp":
            connection, _ = await loop.create_datagram_endpoint(
                lambda: _Datagrams(phone), local_addr=(local_host, 0), remote_addr=(host, port)
            )
            phone._datagrams = connection
            phone.local_port = connection.get_extra_info("sockname")[1]
            return phone
        if transport == "tls" and tls is None:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
        reader, writer = await asyncio.open_connection(host, port, ssl=tls if transport == "tls" else None)
        phone._writer = writer
        phone.local_port = writer.get_extra_info("sockname")[1]
        phone._reader = loop.create_task(phone._read(reader))
        return phone

    async def close(self) -> None:
        """Hang up all calls and close the socket."""
        await asyncio.gather(*(call.hang_up() for call in list(self.calls.values())))
        if self._datagrams:
            self._datagrams.close()
        if self._reader:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        if self._writer:
            self._writer.close()

    async def dial(self, user: str, sdp: str, seconds: float = 10.0) -> PhoneCall:
        """Call a user of the far end, offering sdp ("" to make it offer). Raises CallRefused or TimeoutError."""
        number = next(_NUMBERS)
        scheme = "sips" if self.transport == "tls" else "sip"
        transport = ";transport=tcp" if self.transport == "tcp" else ""
        target = f"{scheme}:{user}@{self.host}:{self.port}{transport}"
        me = self.name.lower().replace(" ", "-")
        local = f'"{self.name}" <{scheme}:{me}@{self.local_host}>;tag=t{number}x{self.local_port}'
        call = PhoneCall(self, f"{number}-{self.local_port}@{self.local_host}", target, local, sdp)
        call.remote, call.remote_target = f"<{target}>", target
        self.calls[call.id] = call
        try:
            response = await self.transact(call, "1 INVITE", self.build(call, "INVITE", 1, sdp), seconds)
        except TimeoutError:
            self.calls.pop(call.id, None)
            raise
        call.remote = response.headers.get("to", call.remote)
        contact = _CONTACT.search(response.headers.get("contact", ""))
        if response.status < 300 and contact:
            call.remote_target = contact[1]
        call.ack = self.build(call, "ACK", 1, same_branch=response.status >= 300)
        self.send(call.ack)
        if response.status >= 300:
            self.calls.pop(call.id, None)
            phrase = response.first.split(" ", 2)[-1]
            raise CallRefused(response.status, phrase, response.headers)
        call.remote_sdp = response.body
        return call

    def build(
        self,
        call: PhoneCall,
        method: str,
        sequence: int,
        body: str = "",
        content_type: str = "application/sdp",
        same_branch: bool = False,
    ) -> bytes:
        """Return a request of a call as octets."""
        # An ACK to a refusal is part of the INVITE's transaction, all other requests have a branch of their own.
        branch_of = "INVITE" if same_branch else method
        target = call.target if same_branch else call.remote_target
        scheme = "sips" if self.transport == "tls" else "sip"
        parameter = ";transport=tcp" if self.transport == "tcp" else ""
        lines = [
            f"{method} {target} SIP/2.0",
            f"Via: SIP/2.0/{self.transport.upper()} {self.local_host}:{self.local_port}"
            f";branch=z9hG4bK{call.id.split('@')[0]}-{sequence}-{branch_of};rport",
            "Max-Forwards: 70",
            f"From: {call.local}",
            f"To: {call.remote}",
            f"Call-ID: {call.id}",
            f"CSeq: {sequence} {method}",
            f"Contact: <{scheme}:load@{self.local_host}:{self.local_port}{parameter}>",
            "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, UPDATE",
            "User-Agent: roombridge-load",
        ]
        if body:
            lines.append(f"Content-Type: {content_type}")
        lines.append(f"Content-Length: {len(body.encode())}")
        return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()

    def send(self, message: bytes) -> None:
        """Send octets to the far end."""
        if self._datagrams:
            self._datagrams.sendto(message)
        elif self._writer and not self._writer.is_closing():
            self._writer.write(message)

    async def transact(self, call: PhoneCall, key: str, message: bytes, seconds: float) -> Message:
        """Send a request until its final response is there, and return that. Raises TimeoutError."""
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        call.waiting[key] = future
        end = asyncio.get_running_loop().time() + seconds
        pause = T1
        try:
            self.send(message)
            while True:
                left = end - asyncio.get_running_loop().time()
                try:
                    return await asyncio.wait_for(asyncio.shield(future), min(pause, left))
                except TimeoutError:
                    if left <= pause:
                        raise
                if self.transport == "udp" and f"{key} provisional" not in call.waiting:
                    self.send(message)
                pause = min(pause * 2, 4.0)
        finally:
            call.waiting.pop(key, None)
            call.waiting.pop(f"{key} provisional", None)

    def take(self, data: bytes) -> None:
        """Take one message from the far end."""
        try:
            message = Message.parse(data)
            call = self.calls.get(message.headers["call-id"])
            status = message.status
        except (ValueError, KeyError, IndexError):
            self.strange += 1
            return
        if not status:
            self._serve(message, call)
        elif call is not None:
            self._respond(message, call, status)

    def _respond(self, message: Message, call: PhoneCall, status: int) -> None:
        key = message.headers["cseq"]
        future = call.waiting.get(key)
        if future is None:
            if message.method == "INVITE" and 200 <= status < 300:
                self.send(call.ack)
        elif status < 200:
            call.waiting[f"{key} provisional"] = future
        elif not future.done():
            future.set_result(message)

    def _serve(self, message: Message, call: PhoneCall | None) -> None:
        method, body = message.method, ""
        if method == "ACK":
            return
        if call is None and method != "OPTIONS":
            self._answer(message, "481 Call/Transaction Does Not Exist")
            return
        if call is not None:
            if method == "BYE":
                call.end_reason = message.headers.get("reason", "")
                call.ended.set()
                self.calls.pop(call.id, None)
            elif method == "INFO" and "picture_fast_update" in message.body and call.on_key_frame:
                call.on_key_frame()
            elif method in ("INVITE", "UPDATE") and (message.body or method == "INVITE"):
                body = call.on_offer(message.body) if call.on_offer else call.sdp
                call.remote_sdp = message.body or call.remote_sdp
        self._answer(message, "200 OK", body)

    def _answer(self, message: Message, status: str, body: str = "") -> None:
        to = message.headers.get("to", "")
        if not _TO_TAG.search(to):
            to += ";tag=answer"
        lines = [f"SIP/2.0 {status}", *(f"Via: {via}" for via in message.vias)]
        lines += [f"From: {message.headers.get('from', '')}", f"To: {to}"]
        lines += [f"Call-ID: {message.headers.get('call-id', '')}", f"CSeq: {message.headers.get('cseq', '')}"]
        scheme = "sips" if self.transport == "tls" else "sip"
        lines.append(f"Contact: <{scheme}:load@{self.local_host}:{self.local_port}>")
        if body:
            lines.append("Content-Type: application/sdp")
        lines.append(f"Content-Length: {len(body.encode())}")
        self.send(("\r\n".join(lines) + "\r\n\r\n" + body).encode())

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if not head.strip():
                    continue
                found = _LENGTH.search(head)
                body = await reader.readexactly(min(int(found[1]), MAX_MESSAGE)) if found else b""
                self.take(head.lstrip() + body)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
            for call in self.calls.values():
                call.end_reason = call.end_reason or "connection lost"
                call.ended.set()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, phone: Phone) -> None:
        self._phone = phone

    def datagram_received(self, data: bytes, addr: object) -> None:
        if data.strip():
            self._phone.take(data)

    def error_received(self, exc: Exception) -> None:
        self._phone.strange += 1


def media_lines(sdp: str) -> list[tuple[str, int, list[str]]]:
    """Return (kind, port, payload types) of each media line of a description."""
    found = []
    for line in sdp.splitlines():
        if line.startswith("m="):
            kind, port, _, *formats = line[2:].split()
            found.append((kind, int(port.partition("/")[0]), formats))
    return found


def media_address(sdp: str) -> str:
    """Return the address of the first connection line. Raises ValueError if there is none."""
    for line in sdp.splitlines():
        if line.startswith("c="):
            return line.split()[-1]
    raise ValueError("a description without address")
