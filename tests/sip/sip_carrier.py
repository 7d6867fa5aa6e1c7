"""A carrier over UDP: it registers us by password, answers OPTIONS, and is spoken through by hand for calls."""

from __future__ import annotations

import asyncio
from typing import Any

from sip_phone import Message, Peer

CHALLENGE = 'Digest realm="carrier.example", nonce="abc123", algorithm=MD5, qop="auth"'


class Carrier(Peer):
    """alive: status of OPTIONS. accepts: status of REGISTER with credentials, with these headers; None stays silent.

    shortest: seconds below which a registration is refused.
    """

    def __init__(self) -> None:
        super().__init__(0)
        self.alive: int | None = 200
        self.accepts: int | None = 200
        self.more: list[str] = []
        self.shortest = 0
        self.registers: list[Message] = []
        self.options = 0
        self.changed = asyncio.Event()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if not data.strip():
            return
        self.port = addr[1]
        message = Message(data)
        if message.method == "OPTIONS":
            self.options += 1
            if self.alive is not None:
                self.reply(message, self.alive)
        elif message.method == "REGISTER":
            self.registers.append(message)
            self._register(message)
        else:
            super().datagram_received(data, addr)
        self.changed.set()

    def _register(self, message: Message) -> None:
        if not message.get("Authorization"):
            self.say(message, 401, f"WWW-Authenticate: {CHALLENGE}")
        elif int(message.get("Contact").partition("expires=")[2]) in range(1, self.shortest):
            self.say(message, 423, f"Min-Expires: {self.shortest}")
        elif self.accepts is not None:
            self.say(message, self.accepts, *self.more)

    def say(self, request: Message, status: int, *headers: str) -> None:
        """Answer a request with further headers."""
        lines = [f"Via: {via}" for via in request.all("via")]
        to = request.get("to")
        lines += [f"From: {request.get('from')}", f"To: {to}" + ("" if "tag=" in to else ";tag=said")]
        lines += [f"Call-ID: {request.get('call-id')}", f"CSeq: {request.get('cseq')}", *headers]
        self.send_text("\n".join([f"SIP/2.0 {status} Because", *lines]))

    async def until(self, what: Any, within: float = 5.0) -> None:
        """Wait until something holds, looked at whenever a message came and now and then."""
        async with asyncio.timeout(within):
            while not what():
                self.changed.clear()
                try:
                    await asyncio.wait_for(self.changed.wait(), 0.05)
                except TimeoutError:
                    continue

    @property
    def contact_user(self) -> str:
        """The user part of the Contact that was registered last."""
        return self.registers[-1].get("contact").partition("sip:")[2].partition("@")[0]


async def open_carrier(host: str = "127.0.0.1") -> Carrier:
    """Return a carrier at a free port."""
    loop = asyncio.get_running_loop()
    _, carrier = await loop.create_datagram_endpoint(Carrier, local_addr=(host, 0))
    return carrier
