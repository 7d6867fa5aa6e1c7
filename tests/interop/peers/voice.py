"""A participant's sound as plain G.711 RTP: sends its bursts and records what comes."""

from __future__ import annotations

import marks
import numpy as np

from gateway.bench import sound
from gateway.bench.legs import AUDIO_TICKS, AudioLeg, Driver, Kept, RtpSocket

SILENCE = bytes([sound.PCMU_SILENCE]) * AUDIO_TICKS


def payloads(samples: sound.Samples) -> list[bytes]:
    """Return a sound as payloads of 20 ms of G.711."""
    data = sound.to_pcmu(samples)
    return [data[place : place + AUDIO_TICKS] for place in range(0, len(data) - AUDIO_TICKS + 1, AUDIO_TICKS)]


def timeline(packets: list[Kept]) -> sound.Samples:
    """Return received G.711 laid out by its timestamps; silence where a packet is missing."""
    packets = [packet for packet in packets if packet.data[1] & 0x7F == 0]
    if not packets:
        return np.empty(0, np.int16)
    first = packets[0].timestamp
    places = [((packet.timestamp - first + 2**31) % 2**32 - 2**31, packet.payload) for packet in packets]
    end = max(place + len(payload) for place, payload in places)
    samples = np.zeros(min(end, sound.RATE * 600), np.int16)
    for place, payload in places:
        if 0 <= place <= len(samples) - len(payload):
            samples[place : place + len(payload)] = sound.from_pcmu(payload)
    return samples


class Voice:
    """An RTP socket that sends a mark's bursts, or other samples, and records."""

    def __init__(self, mark: marks.Mark, samples: sound.Samples | None = None) -> None:
        self.mark = mark
        self.socket = RtpSocket()
        self.socket.keeping = True
        self.leg = AudioLeg(self.socket, payloads(mark.voice(90) if samples is None else samples), mark.code + 1)
        self._driver = Driver()

    async def open(self) -> int:
        """Bind a port and return it."""
        return await self.socket.open()

    def start(self, host: str, port: int) -> None:
        """Send to an address from now on."""
        self.socket.remote = (host, port)
        self._driver.add_audio(self.leg)
        self._driver.start()

    async def stop(self) -> None:
        """Stop sending and give the port back."""
        await self._driver.stop()
        self.socket.close()

    def heard(self) -> tuple[sound.Samples, int]:
        """Return all that was heard, and the sampling rate."""
        return timeline(self.socket.kept), sound.RATE
