"""Coded streams that listeners share: one encoder for each (bus, codec and parameters, packet time).

Theory of operation. A `CodedStream` is fed with 20 ms at each tick and gives whole packets. All streams of one packet
time are in phase: a stream that is made at a tick in the middle of a packet is first fed with as much of the past, so
that a listener can go from one to another at any tick without losing or doubling anything.

The same past brings an encoder with memory (G.722, G.723.1, Opus) to about the state that the listener's decoder is
in, so that the change is not heard. Where such a listener goes back to a shared stream, it stays on its own for
`LINGER_TICKS`, fed with what the shared one is fed with: the two encoders' states come together meanwhile.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from transcode.audio.codecs import Encoder, make_encoder, parameters_key
from transcode.audio.g711 import Pcm
from transcode.media import Codec, Format

HISTORY_TICKS = 3
"""Ticks of the past with which an encoder is brought up: 60 ms, in which G.722's predictors forget."""
LINGER_TICKS = 10
"""Ticks before a listener with memory goes back to a shared stream: 200 ms."""
PACKET_TIMES = (10, 20, 30, 40, 60)
"""ms of sound in a packet that can be sent."""
OCTETS_PER_MS = 8
"""Of G.711 and G.722, whose payloads can be cut at any octet."""

_SLICED = frozenset({Codec.PCMU, Codec.PCMA, Codec.G722})


def packet_time(format: Format, wanted: int | None) -> int:
    """Return the packet time in ms that is used for a listener that wants `wanted`: the longest that is not longer.

    Opus is always sent in 20 ms, G.723.1 in 30 or 60.
    """
    wanted = wanted or 20
    if format.codec is Codec.OPUS:
        return 20
    if format.codec is Codec.G723:
        return 60 if wanted >= 60 else 30
    return max((time for time in PACKET_TIMES if time <= wanted), default=10)


def stream_key(format: Format, time: int) -> Hashable:
    """Return what listeners must have in common to share an encoder."""
    return (parameters_key(format), time)


class CodedStream:
    """One encoder and its packets. packets holds what the last `feed` completed; ticks is their RTP duration.

    bus names what it is fed with; listeners is for its owner to count. memoryless tells that what it gives depends on
    this tick alone.
    """

    def __init__(self, format: Format, time: int, past: Sequence[Pcm], position: int) -> None:
        """Make a stream that begins at a tick.

        time: packet time in ms. past: up to HISTORY_TICKS frames of 20 ms that the listeners heard last. position:
        ms since the mixer began, which fixes the phase. Raises ValueError if the codec cannot be sent.
        """
        self._encoder: Encoder = make_encoder(format)
        self.codec = format.codec
        self.rate = self._encoder.rate
        self.time = time
        self.ticks = time * self._encoder.clock_rate // 1000
        self.stateless = self._encoder.stateless
        self.memoryless = self.stateless and 20 % time == 0
        self.encodes = 0
        self.listeners = 0
        self.packets: list[bytes] = []
        self._sliced = format.codec in _SLICED
        self._octets = b""
        self._samples: Pcm = np.zeros(0, np.int16)
        self._frames: list[bytes] = []
        self._per_packet = 1 if self._sliced else time * self.rate // (1000 * self._encoder.frame)
        if self.stateless and time == 20:
            return
        phase = (position - 20 * len(past)) % time
        if phase and self._sliced:
            coded = b"".join(self._encode_frames(np.zeros(60 * self.rate // 1000, np.int16)))
            self._octets = coded[-phase * OCTETS_PER_MS :]
        elif phase:
            self.feed(np.zeros(phase * self.rate // 1000, np.int16))
        for frame in past:
            self.feed(frame)
        self.encodes = 0
        self.packets = []

    def feed(self, samples: Pcm) -> list[bytes]:
        """Take the next samples (int16, at rate; 20 ms of them) and return the payloads that they complete."""
        if self._sliced:
            self.packets = self._slice(samples)
        else:
            self.packets = self._frame(samples)
        return self.packets

    def _slice(self, samples: Pcm) -> list[bytes]:
        if self.stateless:
            coded = self._encoder.encode(samples)
            self.encodes += 1
        else:
            coded = b"".join(self._encode_frames(samples))
        size = self.time * OCTETS_PER_MS
        if not self._octets and len(coded) == size:
            return [coded]
        octets = self._octets + coded
        whole = len(octets) // size * size
        self._octets = octets[whole:]
        return [octets[start : start + size] for start in range(0, whole, size)]

    def _frame(self, samples: Pcm) -> list[bytes]:
        self._frames.extend(self._encode_frames(samples))
        packets = []
        while len(self._frames) >= self._per_packet:
            packets.append(b"".join(self._frames[: self._per_packet]))
            del self._frames[: self._per_packet]
        return packets

    def _encode_frames(self, samples: Pcm) -> list[bytes]:
        size = self._encoder.frame
        if len(self._samples):
            samples = np.concatenate((self._samples, samples))
        whole = len(samples) // size * size
        self._samples = samples[whole:]
        self.encodes += whole // size
        return [self._encoder.encode(samples[start : start + size]) for start in range(0, whole, size)]
