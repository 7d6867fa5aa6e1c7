"""Media of load calls: RTP sockets, what they send by one clock, and what they keep of what they hear.

A leg sends payloads that were made beforehand, so that a packet costs a header and a system call. All legs are driven
by one timer of 5 ms; audio legs are spread over its four slots, so that packets do not leave in one burst of 20 ms.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.bench.clip import Clip

AUDIO_TICKS = 160
"""Samples of G.711 in a packet of 20 ms."""
VIDEO_CLOCK = 90_000
SLOT = 0.005
SLOTS = 4
MAX_KEPT = 200_000
"""Packets that a leg keeps for measuring: a minute of 2 Mbit/s video and more, 300 MB at the very most."""
_HEADER = struct.Struct("!BBHII")
_PLI, _FIR = 1, 4
_NACK = 1
_TRANSPORT_FEEDBACK = 205
_PAYLOAD_FEEDBACK = 206
HISTORY = 512
"""Packets of picture that can be sent again: more than two seconds of 2 Mbit/s."""


@dataclass(slots=True)
class Counters:
    """Packets and octets of one leg."""

    sent: int = 0
    received: int = 0
    octets: int = 0
    key_frame_requests: int = 0
    refused: int = 0
    repeated: int = 0


@dataclass(frozen=True, slots=True)
class Kept:
    """A packet that was kept: arrival in seconds of the monotonic clock, and the whole of it."""

    arrival: float
    data: bytes

    @property
    def sequence(self) -> int:
        """Its sequence number."""
        return int.from_bytes(self.data[2:4], "big")

    @property
    def timestamp(self) -> int:
        """Its timestamp."""
        return int.from_bytes(self.data[4:8], "big")

    @property
    def marker(self) -> bool:
        """Whether its marker bit is set."""
        return self.data[1] >= 0x80

    @property
    def payload(self) -> bytes:
        """Its payload; header extensions are stepped over."""
        start = 12 + 4 * (self.data[0] & 0x0F)
        if self.data[0] & 0x10:
            start += 4 + 4 * int.from_bytes(self.data[start + 2 : start + 4], "big")
        return self.data[start:]


class RtpSocket(asyncio.DatagramProtocol):
    """A UDP socket for RTP and RTCP of one stream, both on one port or RTCP on the next one is left alone."""

    def __init__(self) -> None:
        self.counters = Counters()
        self.kept: list[Kept] = []
        self.keeping = False
        self.key_frame_wanted = False
        self.missed: list[int] = []
        self.port = 0
        self.remote: tuple[str, int] | None = None
        self._transport: asyncio.DatagramTransport | None = None

    async def open(self, host: str = "127.0.0.1") -> int:
        """Bind a free port and return it."""
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(host, 0))
        self._transport = transport
        self.port = int(transport.get_extra_info("sockname")[1])
        return self.port

    def send(self, data: bytes) -> None:
        """Send a packet, if it is known where to."""
        if self._transport is not None and self.remote is not None:
            self._transport.sendto(data, self.remote)
            self.counters.sent += 1

    def close(self) -> None:
        """Give the port back."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def datagram_received(self, data: bytes, addr: object) -> None:
        """Count, look for key frame requests, keep."""
        if len(data) < 12:
            return
        if 192 <= data[1] <= 223:
            self._take_rtcp(data)
            return
        self.counters.received += 1
        self.counters.octets += len(data)
        if self.keeping and len(self.kept) < MAX_KEPT:
            self.kept.append(Kept(time.monotonic(), data))

    def error_received(self, exc: Exception) -> None:
        """An ICMP message: the far port is closed."""
        self.counters.refused += 1

    def _take_rtcp(self, data: bytes) -> None:
        place = 0
        while place + 4 <= len(data):
            count, kind, words = data[place] & 0x1F, data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
            if kind == _PAYLOAD_FEEDBACK and count in (_PLI, _FIR):
                self.key_frame_wanted = True
                self.counters.key_frame_requests += 1
            elif kind == _TRANSPORT_FEEDBACK and count == _NACK and len(self.missed) < HISTORY:
                self.missed += read_nack(data[place + 12 : place + 4 + 4 * words])
            place += 4 + 4 * words


@dataclass(slots=True)
class AudioLeg:
    """Sends a loop of 20 ms payloads; keeps when each pass of the loop began, on request."""

    socket: RtpSocket
    payloads: Sequence[bytes]
    ssrc: int
    payload_type: int = 0
    ticks: int = AUDIO_TICKS
    index: int = 0
    sequence: int = 0
    starts: list[float] = field(default_factory=list)
    keep_starts: bool = False

    def tick(self) -> None:
        """Send the next packet."""
        place = self.index % len(self.payloads)
        if place == 0 and self.keep_starts:
            self.starts.append(time.monotonic())
        header = _HEADER.pack(
            0x80, self.payload_type, self.sequence & 0xFFFF, self.index * self.ticks & 0xFFFFFFFF, self.ssrc
        )
        self.socket.send(header + self.payloads[place])
        self.index += 1
        self.sequence += 1


@dataclass(slots=True)
class VideoLeg:
    """Sends a clip; starts it anew when a key frame is asked for. sent_at is when each counter last left."""

    socket: RtpSocket
    clip: Clip
    ssrc: int
    payload_type: int = 96
    place: int = 0
    sequence: int = 0
    began: float = 0.0
    pictures: int = 0
    sent_at: list[tuple[float, int]] = field(default_factory=list)
    keep_times: bool = False
    history: dict[int, bytes] = field(default_factory=dict)

    def send_again(self) -> None:
        """Send what the far end asks for once more (RFC 4585 §6.2.1), as far as it is remembered."""
        for number in self.socket.missed:
            packet = self.history.get(number)
            if packet is not None:
                self.socket.send(packet)
                self.socket.counters.repeated += 1
        self.socket.missed.clear()

    def due(self, now: float) -> bool:
        """Tell whether the next picture's time has come."""
        if self.began == 0.0:
            self.began = now
        return now >= self.began + self.pictures / self.clip.frame_rate

    def tick(self, now: float) -> None:
        """Send the next picture."""
        if self.socket.key_frame_wanted:
            self.socket.key_frame_wanted = False
            self.place = 0
        payloads = self.clip.payloads[self.place]
        timestamp = round(self.pictures * VIDEO_CLOCK / self.clip.frame_rate) & 0xFFFFFFFF
        last = len(payloads) - 1
        for index, payload in enumerate(payloads):
            kind = self.payload_type | (0x80 if index == last else 0)
            packet = _HEADER.pack(0x80, kind, self.sequence & 0xFFFF, timestamp, self.ssrc) + payload
            self.socket.send(packet)
            self.history[self.sequence & 0xFFFF] = packet
            self.history.pop(self.sequence - HISTORY & 0xFFFF, None)
            self.sequence += 1
        if self.keep_times:
            self.sent_at.append((time.monotonic(), self.place))
        self.pictures += 1
        self.place = (self.place + 1) % len(self.clip.payloads)


class Driver:
    """The one timer that drives all legs."""

    def __init__(self) -> None:
        self.audio: list[list[AudioLeg]] = [[] for _ in range(SLOTS)]
        self.video: list[VideoLeg] = []
        self.late = 0
        self._task: asyncio.Task[None] | None = None

    def add_audio(self, leg: AudioLeg) -> None:
        """Drive one more audio leg, in the emptiest slot."""
        min(self.audio, key=len).append(leg)

    def add_video(self, leg: VideoLeg) -> None:
        """Drive one more video leg."""
        self.video.append(leg)

    def start(self) -> None:
        """Start sending."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Stop sending."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        began, slot = time.monotonic(), 0
        while True:
            now = time.monotonic()
            for leg in self.audio[slot % SLOTS]:
                leg.tick()
            for video in self.video:
                if video.socket.missed:
                    video.send_again()
                if video.due(now):
                    video.tick(now)
            slot += 1
            wait = began + slot * SLOT - time.monotonic()
            if wait < -SLOT:
                self.late += 1
            await asyncio.sleep(max(0.0, wait))


def read_nack(body: bytes) -> list[int]:
    """Return the sequence numbers that a generic NACK's entries name (RFC 4585 §6.2.1)."""
    found = []
    for place in range(0, len(body) - 3, 4):
        first, rest = int.from_bytes(body[place : place + 2], "big"), int.from_bytes(body[place + 2 : place + 4], "big")
        found.append(first)
        found += [first + 1 + bit & 0xFFFF for bit in range(16) if rest >> bit & 1]
    return found


def describe(
    host: str,
    audio_port: int,
    video_port: int | None = None,
    bandwidth: int = 2000,
    mode: int = 1,
    retransmission: bool = False,
) -> str:
    """Return an offer of G.711 µ-law and, with a port, H.264 at up to 720p; bandwidth in kbit/s."""
    lines = ["v=0", f"o=load 1 1 IN IP4 {host}", "s=-", f"c=IN IP4 {host}", "t=0 0"]
    lines += [f"m=audio {audio_port} RTP/AVP 0 101", "a=rtpmap:0 PCMU/8000", "a=rtpmap:101 telephone-event/8000"]
    lines += ["a=fmtp:101 0-15", "a=ptime:20", "a=rtcp-mux", "a=sendrecv"]
    if video_port is not None:
        lines += [f"m=video {video_port} RTP/AVP 96", f"b=AS:{bandwidth}", "a=rtpmap:96 H264/90000"]
        lines += [f"a=fmtp:96 profile-level-id=42e01f;packetization-mode={mode}"]
        lines += ["a=rtcp-fb:96 nack pli", "a=rtcp-fb:96 ccm fir", "a=rtcp-mux", "a=sendrecv"]
        lines += ["a=rtcp-fb:96 nack"] * retransmission
    return "\r\n".join(lines) + "\r\n"
