"""Sounds of the load generator, and the marks in what comes back."""

from __future__ import annotations

import math

import av
import numpy as np

from gateway.bench import generator, sound
from gateway.bench.generator import Job
from gateway.bench.legs import Kept

SEED = 11


def test_pcmu_agrees_with_another_codec() -> None:
    samples = np.arange(-32768, 32768, 5).astype(np.int16)[:13_000]
    encoder = av.CodecContext.create("pcm_mulaw", "w")
    encoder.sample_rate, encoder.layout, encoder.format = 8000, "mono", "s16"
    frame = av.AudioFrame.from_ndarray(samples[None, :], format="s16", layout="mono")
    frame.sample_rate = 8000
    theirs = b"".join(bytes(packet) for packet in encoder.encode(frame))
    ours = sound.to_pcmu(samples)
    decoded = sound.from_pcmu(theirs).astype(int) - sound.from_pcmu(ours).astype(int)
    # They round at the borders of the steps in their own way; a whole step's difference would be the next code.
    assert np.mean(np.frombuffer(ours, np.uint8) == np.frombuffer(theirs, np.uint8)) > 0.97
    assert np.abs(decoded).max() <= 1024
    assert sound.to_pcmu(np.zeros(3, np.int16)) == b"\xff\xff\xff"
    again = sound.from_pcmu(bytes(range(256)))
    assert (sound.from_pcmu(sound.to_pcmu(again)) == again).all()


def test_bursts_sound_for_their_share_of_the_time() -> None:
    samples = sound.bursts(1000, 6.0, 0.5, 2.0)
    loud = np.abs(samples.reshape(-1, 80)).max(axis=1) > 1000
    assert len(samples) == 48_000
    assert abs(loud.mean() - 0.25) < 0.02


def _packets(samples: sound.Samples, first: float, late: float = 0.0) -> list[Kept]:
    data = sound.to_pcmu(samples)
    kept = []
    for index in range(len(data) // 160):
        head = bytes([0x80, 0]) + index.to_bytes(2, "big") + (index * 160).to_bytes(4, "big") + bytes(4)
        kept.append(Kept(first + index * 0.02 + late, head + data[index * 160 : index * 160 + 160]))
    return kept


def test_a_bridge_that_hands_through_adds_no_delay() -> None:
    loop = b"".join(generator.talk(0, Job("", 0, "", "audio", 3, 1, 1)))
    kept = _packets(np.tile(sound.from_pcmu(loop), 3), 100.0)
    delays = generator.audio_delays([100.0, 102.0, 104.0], kept)
    assert len(delays) == 3
    assert max(abs(delay) for delay in delays) < 0.5


def test_the_delay_counts_packets_and_samples_among_other_talkers() -> None:
    random = np.random.default_rng(SEED)
    loop = sound.from_pcmu(b"".join(generator.talk(0, Job("", 0, "", "audio", 3, 1, 1))))
    heard = np.concatenate([np.zeros(50, np.int16), np.tile(loop, 3)])
    sound.add(heard, sound.tone(350, 6.0, level=0.1))
    sound.add(heard, random.normal(0, 300, len(heard)).astype(np.int16))
    delays = generator.audio_delays([100.0, 102.0, 104.0], _packets(heard, 100.0, late=0.030))
    assert len(delays) == 3, f"seed {SEED}"
    assert all(abs(delay - 36.25) < 0.5 for delay in delays), f"seed {SEED}: {delays}"


def test_no_mark_is_found_where_none_is() -> None:
    assert generator.audio_delays([100.0], _packets(sound.tone(400, 3.0), 100.0)) == []
    assert generator.audio_delays([100.0], []) == []
    assert not math.isnan(0.0)
