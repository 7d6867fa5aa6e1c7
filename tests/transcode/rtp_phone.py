"""A bare RTP peer for tests of the media plane, and an ear for tones."""

from __future__ import annotations

import asyncio
import socket

import numpy as np

from transcode.rtp.packet import RtpPacket, pack


class Phone:
    """A bare RTP peer on 127.0.0.1: one socket that sends and keeps what it gets."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.port: int = self.socket.getsockname()[1]
        self.remote = ("127.0.0.1", 9)
        self.packets: list[RtpPacket] = []
        self._sequence = 0
        asyncio.get_running_loop().add_reader(self.socket, self._ready)

    def _ready(self) -> None:
        data = self.socket.recv(4096)
        if not 192 <= data[1] <= 223:
            self.packets.append(RtpPacket.parse(data))

    def send(self, payload_type: int, payload: bytes, timestamp: int, marker: bool = False) -> None:
        """Send one RTP packet to the plane."""
        data = pack(payload_type, self._sequence & 0xFFFF, timestamp & 0xFFFFFFFF, 0x1000 + self.port, payload, marker)
        self._sequence += 1
        self.socket.sendto(data, self.remote)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self.socket)
        self.socket.close()


def loudness(sound: np.ndarray, frequency: float, rate: int = 8000) -> float:
    """Return a tone's share in a sound, in dB below full scale."""
    window = np.hanning(len(sound))
    turn = np.exp(-2j * np.pi * frequency * np.arange(len(sound)) / rate)
    amplitude = 2 * abs(np.sum(sound * window * turn)) / np.sum(window)
    return float(20 * np.log10(max(amplitude, 1e-3) / 32768))
