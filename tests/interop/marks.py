"""Whose sound and picture it is: a tone and a stripe code for each participant, and the files that carry them.

Tones lie within 300 to 3,400 Hz, and none within 20 Hz of a harmonic, sum or difference of two others' fundamentals
below the third order. They come in bursts of differing periods, so that in the long run each is heard although the
bridge mixes only the loudest few at a time, and so that noise suppression does not take them for hum.
"""

from __future__ import annotations

import subprocess
import wave
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from gateway.bench import clip, sound

FRAME_RATE = 15


@dataclass(frozen=True, slots=True)
class Mark:
    """One participant's marks: name, tone in Hz, stripe code, and the period of its bursts in seconds."""

    name: str
    tone: int
    code: int
    period: float

    def voice(self, seconds: float, rate: int = 8000) -> sound.Samples:
        """Return its bursts: 0.7 s of tone in each period."""
        return sound.bursts(self.tone, seconds, 0.7, self.period, rate)


MARKS = (
    Mark("Ann", 433, 3, 1.9),
    Mark("Bob", 617, 6, 2.3),
    Mark("Cleo", 1181, 9, 2.0),
    Mark("Dan", 1511, 12, 2.6),
    Mark("Eve", 1913, 17, 2.2),
    Mark("Fay", 2411, 20, 2.5),
    Mark("Gus", 2903, 24, 2.1),
)
ANN, BOB, CLEO, DAN, EVE, FAY, GUS = MARKS
TONES = tuple(mark.tone for mark in MARKS)


def write_wav(path: Path, samples: sound.Samples, rate: int, channels: int = 1) -> Path:
    """Write samples of 16 bit, the same on each channel."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").repeat(channels).tobytes())
    return path


def voice_file(directory: Path, mark: Mark, seconds: float = 90.0, rate: int = 48000, channels: int = 1) -> Path:
    """Write a participant's sound as WAV."""
    return write_wav(directory / f"{mark.name}-{rate}.wav", mark.voice(seconds, rate), rate, channels)


def speech(directory: Path, rate: int = 8000) -> sound.Samples:
    """Return about ten seconds of synthetic speech without pauses, spoken by espeak-ng."""
    text = (
        "Roombridge carries every word of this sentence from one room to the other and loses none of them on the way "
        "because whoever listens wants to follow what is said even when one packet in twenty is lost"
    )
    path = directory / "speech.wav"
    command = ["espeak-ng", "-v", "en", "-s", "170", "-w", str(path), text]
    subprocess.run(command, check=True, timeout=20, capture_output=True)
    with av.open(str(path)) as file:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=rate)
        parts = [out.to_ndarray()[0] for frame in file.decode(audio=0) for out in resampler.resample(frame)]
    return np.concatenate(parts)


def clip_file(directory: Path, mark: Mark, width: int = 640, height: int = 360, seconds: float = 90.0) -> Path:
    """Write a participant's picture as H.264 in MP4: one coded loop, repeated until it is long enough."""
    path = directory / f"{mark.name}.mp4"
    loop = clip.encode(mark.code, width, height, FRAME_RATE, 600_000)
    units = [b"".join(b"\x00\x00\x00\x01" + unit for unit in frame) for frame in loop.frames]
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=FRAME_RATE, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.extradata = b"".join(b"\x00\x00\x00\x01" + unit for unit in loop.frames[0][:2])
        for index in range(round(seconds * FRAME_RATE)):
            packet = av.Packet(units[index % len(units)])
            packet.stream, packet.time_base = stream, Fraction(1, FRAME_RATE)
            packet.pts = packet.dts = index
            packet.is_keyframe = index % len(units) == 0
            file.mux(packet)
    return path


def raw_file(directory: Path, mark: Mark, width: int = 640, height: int = 360, count: int = 16) -> Path:
    """Write a participant's picture as Y4M, which Chromium plays as a camera in a loop."""
    path = directory / f"{mark.name}.y4m"
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F{FRAME_RATE}:1 Ip A1:1 C420jpeg\n".encode())
        for picture in clip.pictures(mark.code, count, width, height, texture=0.3):
            file.write(b"FRAME\n" + picture.tobytes())
    return path
