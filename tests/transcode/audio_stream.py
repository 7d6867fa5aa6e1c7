"""A sender of RTP audio and a receiver's ticks in virtual time, for the tests of the audio path."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

import numpy as np

from transcode.audio import g711
from transcode.audio.receiver import AudioReceiver
from transcode.media import Codec
from transcode.rtp.packet import RtpPacket

START = 100.0
PHASE = 0.007


def tone(frequency: float, count: int, rate: int = 8000, amplitude: float = 8000, begin: int = 0) -> np.ndarray:
    at = np.arange(begin, begin + count) / rate
    return (amplitude * np.sin(2 * np.pi * frequency * at)).astype(np.int16)


def packets(
    sound: np.ndarray,
    packet_time: int = 20,
    ppm: float = 0.0,
    jitter: float = 0.0,
    loss: float = 0.0,
    seed: int = 1,
    sequence: int = 65_500,
    timestamp: int = 2**32 - 5000,
    ssrc: int = 7,
    begin: float = START + PHASE,
) -> list[RtpPacket]:
    """Cut 8 kHz sound into PCMU packets with arrivals; wraps come early. Sorted by arrival; lost ones are left out."""
    chance = random.Random(seed)
    size = 8 * packet_time
    result = []
    for number in range(len(sound) // size):
        if chance.random() < loss:
            continue
        arrival = begin + (number + 1) * packet_time / 1000 * (1 + ppm * 1e-6) + chance.random() * jitter
        payload = g711.encode(Codec.PCMU, sound[number * size : (number + 1) * size])
        result.append(
            RtpPacket(
                0,
                (sequence + number) & 0xFFFF,
                (timestamp + number * size) & 0xFFFFFFFF,
                ssrc,
                payload,
                number == 0,
                arrival,
            )
        )
    return sorted(result, key=lambda packet: packet.arrival)


def play(
    receiver: AudioReceiver,
    arriving: Iterable[RtpPacket],
    seconds: float,
    each_tick: Callable[[float], None] | None = None,
) -> np.ndarray:
    """Run ticks of 20 ms in virtual time and return all that was played."""
    waiting = sorted(arriving, key=lambda packet: packet.arrival)
    at = 0
    played = []
    for tick in range(int(seconds * 50)):
        now = START + tick * 0.02
        while at < len(waiting) and waiting[at].arrival <= now:
            receiver.push(waiting[at])
            at += 1
        played.append(receiver.pull_samples(now))
        if each_tick is not None:
            each_tick(now)
    return np.concatenate(played)


def longest_silence(samples: np.ndarray, rate: int = 8000, below: float = 500) -> int:
    """Return the longest run of 5 ms pieces with an RMS under `below`, in ms."""
    piece = rate // 200
    rms = np.sqrt((samples[: len(samples) // piece * piece].astype(float).reshape(-1, piece) ** 2).mean(axis=1))
    longest = run = 0
    for quiet in rms < below:
        run = run + 1 if quiet else 0
        longest = max(longest, run)
    return longest * 5
