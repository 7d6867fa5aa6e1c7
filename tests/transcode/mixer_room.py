"""A mixer with phones in virtual time, each with its own encoder and decoder, and ears for tones."""

from __future__ import annotations

import numpy as np
from audio_stream import START

from transcode.audio import codecs
from transcode.audio.mixer import Mixer, MixerEvent
from transcode.audio.player import Voice
from transcode.audio.receiver import AudioReceiver
from transcode.media import Codec, Format, LegId
from transcode.rtp.packet import RtpPacket

PCMU = Format(Codec.PCMU, 0, 8000)
PCMA = Format(Codec.PCMA, 8, 8000)
G722 = Format(Codec.G722, 9, 8000)
G723 = Format(Codec.G723, 4, 8000)
OPUS = Format(Codec.OPUS, 111, 48000, 2, (("useinbandfec", "1"),))
EVENT = Format(Codec.TELEPHONE_EVENT, 101, 8000)


class Phone:
    """A leg with its own encoder and decoder: sends a tone while its amplitude is not 0, records what it hears."""

    def __init__(self, format: Format, frequency: float, amplitude: float = 4000, source: int = 1) -> None:
        self.format, self.frequency, self.amplitude = format, frequency, amplitude
        self.receiver = AudioReceiver((format, EVENT))
        self._encoder = codecs.make_encoder(format)
        self._decoder = codecs.make_decoder(format.codec)
        self.rate = self._decoder.rate
        self._number = 0
        self._source = source
        self.heard: list[np.ndarray] = []
        self.sent: list[tuple[bytes, int, bool]] = []

    def speak(self, now: float) -> None:
        count = self.rate // 50
        at = (np.arange(count) + self._number * count) / self.rate
        sound = (self.amplitude * np.sin(2 * np.pi * self.frequency * at)).astype(np.int16)
        stamp = self._number * self._decoder.clock_rate // 50
        payload = self._encoder.encode(sound)
        packet = RtpPacket(self.format.payload_type, self._number & 0xFFFF, stamp, self._source, payload, False, now)
        self.receiver.push(packet)
        self._number += 1

    def hear(self, payload: bytes, ticks: int, marker: bool) -> None:
        self.sent.append((payload, ticks, marker))
        assert self._decoder.ticks(payload) == ticks
        samples = self._decoder.decode(payload)
        assert samples is not None
        self.heard.append(samples)

    def sound(self, seconds: float) -> np.ndarray:
        """Return the last seconds of what was heard."""
        return np.concatenate(self.heard)[-int(seconds * self.rate) :]


class Room:
    """A mixer with phones in virtual time."""

    def __init__(self, *phones: Phone) -> None:
        self.mixer = Mixer()
        self.phones: dict[str, Phone] = {}
        self.now = START
        self.events: list[MixerEvent] = []
        for number, phone in enumerate(phones):
            self.join(chr(ord("a") + number), phone)

    def join(self, name: str, phone: Phone, packet_time: int = 20, voice: Voice | None = None) -> None:
        self.phones[name] = phone
        self.mixer.add(LegId(name), phone.receiver, voice=voice)
        self.mixer.set_sender(LegId(name), phone.format, phone.hear, packet_time)

    def run(self, seconds: float) -> list[MixerEvent]:
        events: list[MixerEvent] = []
        for _ in range(round(seconds * 50)):
            for phone in self.phones.values():
                phone.speak(self.now)
            events += self.mixer.tick(self.now + 0.008)
            self.now += 0.02
        self.events += events
        return events


def power(samples: np.ndarray, rate: int, frequency: float) -> float:
    """Return the level of one frequency in dB below a full-scale sine."""
    window = np.hanning(len(samples))
    spectrum = np.abs(np.fft.rfft(samples.astype(float) * window)) / (window.sum() / 2) / 32768
    near = round(frequency * len(samples) / rate)
    return float(20 * np.log10(spectrum[max(0, near - 3) : near + 4].max() + 1e-9))


def hears(phone: Phone, frequency: float, seconds: float = 0.6) -> bool:
    return power(phone.sound(seconds), phone.rate, frequency) > -35


def worst_step(samples: np.ndarray) -> int:
    return int(np.abs(np.diff(samples.astype(int))).max())
