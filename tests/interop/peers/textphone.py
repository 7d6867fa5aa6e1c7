"""A text telephone of the tests' own: it calls by SIP, sends silence as sound, and writes and reads RFC 4103.

What it writes goes out character by character, as people type, with two redundant generations.
"""

from __future__ import annotations

import asyncio
import os
import struct

from gateway.bench.legs import RtpSocket
from gateway.bench.phone import Phone, PhoneCall, media_address, media_lines

T140, RED = 98, 100


class TextPhone:
    """One telephone; `read` is all that it has received."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.read = ""
        self.sound, self.text = RtpSocket(), RtpSocket()
        self.phone: Phone | None = None
        self.call: PhoneCall | None = None
        self._ssrc = os.urandom(4)
        self._sequence = 1
        self._recent: list[tuple[int, bytes]] = []

    async def dial(self, host: str, port: int, room: str) -> None:
        """Call a room. Raises CallRefused or TimeoutError."""
        sound, text = await self.sound.open(), await self.text.open()
        self.text.keeping = True
        self.phone = await Phone.open(host, port, "udp", self.name)
        lines = [
            "v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0",
            f"m=audio {sound} RTP/AVP 0", "a=rtpmap:0 PCMU/8000",
            f"m=text {text} RTP/AVP {RED} {T140}", f"a=rtpmap:{T140} t140/1000", f"a=rtpmap:{RED} red/1000",
            f"a=fmtp:{RED} {T140}/{T140}/{T140}",
        ]  # fmt: skip
        self.call = await self.phone.dial(room, "".join(f"{line}\r\n" for line in lines))
        address = media_address(self.call.remote_sdp)
        for kind, remote, _ in media_lines(self.call.remote_sdp):
            if kind == "text":
                assert remote, "the gateway refused text"
                self.text.remote = (address, remote)

    async def write(self, text: str) -> None:
        """Type a text, three characters at a time."""
        for at in range(0, len(text), 3):
            self._send(text[at : at + 3])
            await asyncio.sleep(0.3)
        self._send("")
        self._send("")

    def _send(self, text: str) -> None:
        now, octets = self._sequence * 300, text.encode()
        heads = b"".join(
            struct.pack("!I", 1 << 31 | T140 << 24 | (now - then) << 10 | len(old)) for then, old in self._recent
        )
        payload = heads + bytes([T140]) + b"".join(old for _, old in self._recent) + octets
        self._recent = [*self._recent, (now, octets)][-2:]
        self.text.send(struct.pack("!BBHI", 0x80, RED, self._sequence, now) + self._ssrc + payload)
        self._sequence += 1

    async def reads(self, text: str, seconds: float = 10.0) -> None:
        """Wait until a text has come."""
        for _ in range(int(seconds * 20)):
            while self.text.kept:
                self._take(self.text.kept.pop(0).data)
            if text in self.read:
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"wanted {text!r}, read {self.read!r}")

    def _take(self, packet: bytes) -> None:
        """Read a packet's newest block; nothing is lost on the way from the same machine."""
        payload, older = packet[12:], 0
        assert packet[1] & 0x7F == RED
        while payload[0] & 0x80:
            older += struct.unpack("!I", payload[:4])[0] & 0x3FF
            payload = payload[4:]
        self.read += payload[1 + older :].decode()

    async def stop(self) -> None:
        """Hang up."""
        if self.call is not None:
            await self.call.hang_up()
        if self.phone is not None:
            await self.phone.close()
        self.sound.close()
        self.text.close()
