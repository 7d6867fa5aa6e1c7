"""Audio codecs behind one face: decoders and encoders by `transcode.media.Format`.

Every decoder and encoder belongs to one stream and keeps that stream's state. Samples are int16, one channel, at the
codec's own rate. PyAV (FFmpeg) does G.722, G.729, G.723.1 and Opus encoding; G.711 is a table; Opus is decoded by
libopus (see opus.py). FFmpeg has no G.729 encoder: G.729 is received only.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any, Literal, Protocol

import av
import numpy as np

from transcode.audio import g711, opus
from transcode.audio.g711 import Pcm
from transcode.media import Codec, Format

MAX_PAYLOAD = 4096
"""Octets of one audio payload that are decoded: 512 ms of G.711, more than any packet time of sense."""
MAX_SPEECH_MS = 240
"""ms of one payload of G.729 or G.723.1, the longest that gateways can be set to. Their frames are small and cost much:
one datagram has room for a minute of them, which would hold up everybody's sound while it is decoded."""
OPUS_BIT_RATE = 32_000
"""bit/s: full-band mono speech without audible loss, with room for FEC."""
MIN_OPUS_BIT_RATE, MAX_OPUS_BIT_RATE = 8_000, 128_000
"""Bounds on a peer's maxaveragebitrate: below 8 kbit/s speech is no longer clear, above 128 mono gains nothing."""
OPUS_EXPECTED_LOSS = 10
"""Per cent of loss that encoders prepare for: makes libopus put FEC data in; shared encoders know no one's own."""
OPUS_COMPLEXITY = 5
"""libopus complexity 0 to 10: 5 costs 30 % less than 10 and differs little for speech."""
SID_COLOUR = 6.0
"""dB by which the noise of a G.729 silence descriptor is louder than its excitation: what the synthesis filter of
common room noise adds."""
LEAST_SID, MOST_SID = -75.0, -40.0
"""dBov between which that noise is kept."""


class Decoder(Protocol):
    """One stream's decoder; rate is that of its samples, clock_rate that of RTP, both in Hz.

    native tells that `conceal` knows more than the samples already played, redundant that the stream carries what
    `recover` needs. silent tells that the packet last decoded ended in a silence descriptor, or was one: until the
    next one, noise like its sound goes on.
    """

    rate: int
    clock_rate: int
    native: bool
    redundant: bool
    silent: bool

    def ticks(self, payload: bytes) -> int:
        """Return the payload's duration in RTP ticks; 0: it is malformed."""

    def decode(self, payload: bytes) -> Pcm | None:
        """Return the payload's samples; None: it is malformed."""

    def recover(self, following: bytes, ticks: int) -> Pcm | None:
        """Return the samples before the payload `following` from redundant data in it; None: it has none."""

    def conceal(self, ticks: int) -> Pcm | None:
        """Return samples in place of lost ones; None: conceal by other means."""


class _Plain:
    """What decoders without redundancy and without concealment of their own share."""

    native = False
    redundant = False
    silent = False

    def recover(self, following: bytes, ticks: int) -> Pcm | None:
        return None

    def conceal(self, ticks: int) -> Pcm | None:
        return None


class G711Decoder(_Plain):
    """PCMU and PCMA: one octet a sample."""

    rate = g711.RATE
    clock_rate = g711.RATE

    def __init__(self, codec: Codec) -> None:
        self._codec = codec

    def ticks(self, payload: bytes) -> int:
        return len(payload) if len(payload) <= MAX_PAYLOAD else 0

    def decode(self, payload: bytes) -> Pcm | None:
        return g711.decode(self._codec, payload) if payload and len(payload) <= MAX_PAYLOAD else None


def _context(name: str, mode: Literal["r", "w"]) -> Any:
    return av.CodecContext.create(name, mode)


class _AvDecoder(_Plain):
    """A decoder of FFmpeg's."""

    clock_rate = 8000

    def __init__(self, name: str, rate: int) -> None:
        self.rate = rate
        self._context: Any = _context(name, "r")
        self._context.sample_rate = rate
        self._context.layout = "mono"

    def _decode(self, data: bytes) -> Pcm | None:
        try:
            frames = self._context.decode(av.Packet(data))
        except av.error.FFmpegError:
            return None
        parts = [np.asarray(frame.to_ndarray()).reshape(-1) for frame in frames]
        return np.concatenate(parts).astype(np.int16, copy=False) if parts else None


class G722Decoder(_AvDecoder):
    """G.722 at 64 kbit/s: 16 kHz samples, two an octet, on an RTP clock of 8,000 Hz (RFC 3551 §4.5.2)."""

    def __init__(self) -> None:
        super().__init__("g722", 16000)

    def ticks(self, payload: bytes) -> int:
        return len(payload) if len(payload) <= MAX_PAYLOAD else 0

    def decode(self, payload: bytes) -> Pcm | None:
        return self._decode(payload) if payload and len(payload) <= MAX_PAYLOAD else None


class G729Decoder(_AvDecoder):
    """G.729 with Annexes A and B: 10 ms frames of 10 octets; a last one of 2 octets is a silence descriptor."""

    def __init__(self) -> None:
        super().__init__("g729", 8000)

    def ticks(self, payload: bytes) -> int:
        frames, rest = divmod(len(payload), 10)
        ticks = 80 * (frames + rest // 2)
        return ticks if rest in (0, 2) and ticks <= 8 * MAX_SPEECH_MS else 0

    def decode(self, payload: bytes) -> Pcm | None:
        if not self.ticks(payload):
            return None
        speech = payload[: len(payload) // 10 * 10]
        parts = []
        if speech:
            samples = self._decode(speech)
            if samples is None:
                return None
            parts.append(samples)
        self.silent = len(speech) < len(payload)
        if self.silent:
            parts.append(noise(80, sid_level(payload[-2:])))
        return np.concatenate(parts)


def sid_level(descriptor: bytes) -> float:
    """Return the level in dBov of the noise that a G.729 silence descriptor of two octets stands for (Annex B §B.4.2).

    The last five of its 15 bits are the excitation's gain: 2 dB a step up to 66 dB over one bit, wider steps at the
    lower end.
    """
    index = (descriptor[1] >> 1) & 0x1F
    gain = 16 + 2 * (index - 6) if index >= 6 else 4 * index - 8
    return max(LEAST_SID, min(MOST_SID, gain - 90.3 + SID_COLOUR))


_G723_OCTETS = (24, 20, 4, 1)
"""Frame sizes by the two lowest bits of the first octet: 6.3 and 5.3 kbit/s, SID, untransmitted (RFC 3551 §4.5.3)."""
_G723_SILENCE = 4


class G723Decoder(_AvDecoder):
    """G.723.1 at both rates, with Annex A's comfort noise: 30 ms frames."""

    def __init__(self) -> None:
        super().__init__("g723_1", 8000)

    def _frames(self, payload: bytes) -> list[bytes]:
        frames: list[bytes] = []
        start = 0
        while start < len(payload):
            length = _G723_OCTETS[payload[start] & 3]
            if start + length > len(payload) or 30 * len(frames) >= MAX_SPEECH_MS:
                return []
            frames.append(payload[start : start + length])
            start += length
        return frames

    def ticks(self, payload: bytes) -> int:
        return 240 * len(self._frames(payload))

    def decode(self, payload: bytes) -> Pcm | None:
        frames = self._frames(payload)
        parts = [self._decode(frame) for frame in frames]
        good = [part for part in parts if part is not None]
        self.silent = bool(frames) and len(frames[-1]) <= _G723_SILENCE
        return np.concatenate(good) if good and len(good) == len(parts) else None


def make_decoder(codec: Codec) -> Decoder:
    """Return a new decoder. Raises ValueError for a codec that carries no sound or is not known."""
    if codec in g711.LAWS:
        return G711Decoder(codec)
    maker: Callable[[], Decoder] | None = _DECODERS.get(codec)
    if maker is None:
        raise ValueError(f"no audio decoder for {codec.value}")
    return maker()


_DECODERS: dict[Codec, Callable[[], Decoder]] = {
    Codec.G722: G722Decoder,
    Codec.G729: G729Decoder,
    Codec.G723: G723Decoder,
    Codec.OPUS: opus.OpusDecoder,
}
DECODES = frozenset(_DECODERS) | g711.LAWS
"""Codecs that are received."""
ENCODES = frozenset({Codec.OPUS, Codec.G722, Codec.PCMU, Codec.PCMA, Codec.G723})
"""Codecs that are sent."""
CLOCK_RATES = {Codec.OPUS: 48000, Codec.G722: 8000, Codec.PCMU: 8000, Codec.PCMA: 8000, Codec.G729: 8000}
CLOCK_RATES[Codec.G723] = 8000
SAMPLE_RATES = {**CLOCK_RATES, Codec.G722: 16000}
"""Hz of the samples that go into an encoder and come out of a decoder."""


class Encoder(Protocol):
    """One coded stream; rate in Hz; frame in samples is what one call takes, clock_rate that of RTP."""

    rate: int
    clock_rate: int
    frame: int
    stateless: bool

    def encode(self, samples: Pcm) -> bytes:
        """Return the payload of exactly `frame` int16 samples (G.711: of any number)."""


class G711Encoder:
    """PCMU and PCMA; frame is 10 ms, but any number of samples can be given."""

    rate = clock_rate = g711.RATE
    frame = 80
    stateless = True

    def __init__(self, codec: Codec) -> None:
        self._codec = codec

    def encode(self, samples: Pcm) -> bytes:
        return g711.encode(self._codec, samples)


class AvEncoder:
    """An encoder of FFmpeg's that returns one packet for each frame."""

    stateless = False

    def __init__(
        self, name: str, rate: int, clock_rate: int, frame: int, bit_rate: int, options: dict[str, str] | None = None
    ) -> None:
        self.rate, self.clock_rate, self.frame = rate, clock_rate, frame
        self._context: Any = _context(name, "w")
        self._context.sample_rate = rate
        self._context.format = "s16"
        self._context.layout = "mono"
        self._context.time_base = Fraction(1, rate)
        self._context.bit_rate = bit_rate
        self._context.options = options or {}
        self._context.open()
        self._position = 0

    def encode(self, samples: Pcm) -> bytes:
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), "s16", "mono")
        frame.sample_rate = self.rate
        frame.pts = self._position
        self._position += len(samples)
        return b"".join(bytes(packet) for packet in self._context.encode(frame))


def opus_bit_rate(format: Format) -> int:
    """Return the bit rate in bit/s for an Opus receiver: ours, within what it says that it takes (RFC 7587 §6.1)."""
    try:
        wanted = int(format.parameter("maxaveragebitrate", str(OPUS_BIT_RATE)))
    except ValueError:
        wanted = OPUS_BIT_RATE
    return max(MIN_OPUS_BIT_RATE, min(MAX_OPUS_BIT_RATE, wanted, OPUS_BIT_RATE))


def parameters_key(format: Format) -> tuple[object, ...]:
    """Return what of a format makes a difference to its encoder: formats with equal keys can share one."""
    if format.codec is Codec.OPUS:
        return (format.codec, opus_bit_rate(format), format.parameter("useinbandfec", "0") == "1")
    return (format.codec,)


def make_encoder(format: Format) -> Encoder:
    """Return a new encoder. Raises ValueError if the codec cannot be sent.

    Opus: 20 ms frames at 48 kHz, FEC data if the receiver takes it (useinbandfec=1), never DTX. G.723.1: 6.3 kbit/s.
    """
    codec = format.codec
    if codec in g711.LAWS:
        return G711Encoder(codec)
    if codec is Codec.G722:
        return AvEncoder("g722", 16000, 8000, 320, 64_000)
    if codec is Codec.G723:
        return AvEncoder("g723_1", 8000, 8000, 240, 6_300)
    if codec is Codec.OPUS:
        fec = format.parameter("useinbandfec", "0") == "1"
        options = {
            "application": "voip",
            "frame_duration": "20",
            "compression_level": str(OPUS_COMPLEXITY),
            "fec": "1" if fec else "0",
            "packet_loss": str(OPUS_EXPECTED_LOSS if fec else 0),
        }
        return AvEncoder("libopus", 48000, 48000, 960, opus_bit_rate(format), options)
    raise ValueError(f"no audio encoder for {codec.value}")


_NOISE = np.random.default_rng(3389).uniform(-1.0, 1.0, 48000).astype(np.float32)
"""One second of white noise at 48 kHz; the seed makes every run alike."""
_NOISE_RMS = float(np.sqrt(np.mean(_NOISE**2)))
_cursor = 0


def noise(count: int, level: float) -> Pcm:
    """Return comfort noise: count samples of an RMS of `level` dBov (0 is a full-scale square wave)."""
    global _cursor
    _cursor = (_cursor + 7919) % (len(_NOISE) - 5760)  # a prime step, so that legs and frames do not repeat audibly
    amplitude = 32768.0 * 10 ** (level / 20) / _NOISE_RMS
    piece = np.resize(_NOISE[_cursor : _cursor + 5760], count) if count > 5760 else _NOISE[_cursor : _cursor + count]
    return (piece * np.float32(amplitude)).astype(np.int16)


def comfort_noise_level(payload: bytes) -> float:
    """Return the level in dBov that an RFC 3389 payload gives (§3.1); an empty one counts as -70 dBov."""
    return -float(min(payload[0] & 0x7F, 100)) if payload else -70.0
