"""Keeps the way through a translator open, as the server on its other side asks for (H.460.19 §7): on a transport."""

from __future__ import annotations

import asyncio
import secrets
import struct

from transcode.media import KeepAlive
from transcode.rtp.source import Source
from transcode.rtp.udp import UdpTransport

FIRST = (0.0, 0.1, 0.5)
"""Seconds until the first packets: until one arrives nothing comes back, and each may be lost."""
LEAST_INTERVAL = 1
_HEAD = struct.Struct(">BBHII")
_REPORT = struct.Struct(">BBHI")


class KeptOpen:
    """Sends to one address until it is closed: empty RTP packets, and an empty report by RTCP's way. Needs the loop."""

    def __init__(self, udp: UdpTransport, wanted: KeepAlive, target: Source | None) -> None:
        """target is where RTP goes, as the transport spells it."""
        self.wanted = wanted
        self.sent = 0
        self._udp = udp
        self._target = target
        self._ssrc = secrets.randbits(32)
        self._loop = asyncio.get_running_loop()
        self._timers = [self._loop.call_later(wait, self._send) for wait in FIRST]
        self._timers.append(self._loop.call_later(self._interval, self._repeat))

    @property
    def _interval(self) -> int:
        return max(self.wanted.interval, LEAST_INTERVAL)

    def _repeat(self) -> None:
        self._send()
        self._timers = [self._loop.call_later(self._interval, self._repeat)]

    def _send(self) -> None:
        packet = _HEAD.pack(0x80, self.wanted.payload_type & 0x7F, self.sent & 0xFFFF, 0, self._ssrc)
        self._udp.send_keep_alive(packet, self._target)
        self._udp.send_control_keep_alive(_REPORT.pack(0x80, 201, 1, self._ssrc))
        self.sent += 1

    def close(self) -> None:
        """Send no more."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
