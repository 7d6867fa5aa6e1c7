"""Sound through the whole plane in each codec that we send, beside G.711, both ways."""

from __future__ import annotations

import asyncio
import time

import av
import numpy as np
import pytest
from plane_peer import ANN, BOB, ROOM, Line, Peer, together, until
from rtp_phone import loudness

from transcode.audio import g711
from transcode.interface import MediaPlane
from transcode.media import Abilities, Codec, Format, Kind, MediaDescription

pytestmark = pytest.mark.parametrize("plane", ["direct"], indirect=True)

# Format, FFmpeg's encoder and decoder, sampling rate.
CODECS = {
    "g722": (Format(Codec.G722, 9, 8000), "g722", "g722", 16000),
    "opus": (Format(Codec.OPUS, 111, 48000, 2), "libopus", "libopus", 48000),
    "pcma": (Format(Codec.PCMA, 8, 8000), "pcm_alaw", "pcm_alaw", 8000),
}


async def sing(line: Line, name: str, tone: float) -> None:
    format, encoder, _, rate = CODECS[name]
    coder = av.CodecContext.create(encoder, "w")
    coder.sample_rate, coder.layout, coder.format = rate, "mono", "s16"
    if name == "opus":
        coder.options = {"frame_duration": "20"}
    coder.open()
    size, due, stamp = rate // 50, time.monotonic(), 0
    for number in range(1_000_000):
        at = np.arange(number * size, (number + 1) * size) / rate
        frame = av.AudioFrame.from_ndarray((8000 * np.sin(2 * np.pi * tone * at)).astype(np.int16)[None], "s16", "mono")
        frame.sample_rate, frame.pts = rate, number * size
        for packet in coder.encode(frame):
            line.send(format.payload_type, bytes(packet), stamp)
            stamp += format.clock_rate // 50
        due += 0.02
        await asyncio.sleep(max(0.0, due - time.monotonic()))


def heard(line: Line, name: str) -> tuple[np.ndarray, int]:
    """Return what came last, and its sampling rate."""
    _, _, decoder, rate = CODECS[name]
    payloads = [packet.payload for packet in line.packets[-20:]]
    if name == "pcma":
        return np.concatenate([g711.decode(Codec.PCMA, one) for one in payloads]).astype(float), rate
    coder = av.CodecContext.create(decoder, "r")
    if name == "g722":
        coder.layout, coder.sample_rate = "mono", rate
    frames = [frame for one in payloads for frame in coder.decode(av.Packet(one))]
    parts = [frame.to_ndarray().astype(float) for frame in frames]
    if frames[0].format.is_planar:
        sound = np.concatenate([part[0] for part in parts])
    else:
        sound = np.concatenate([part[0][:: len(frames[0].layout.channels)] for part in parts])
    return sound * (32768 if "flt" in frames[0].format.name else 1), rate


@pytest.mark.parametrize("name", CODECS)
async def test_each_codec_is_heard_both_ways(plane: MediaPlane, name: str) -> None:
    ann, line = Peer(plane, ANN), Line()
    try:
        await ann.join()
        await plane.open(BOB, ROOM, Abilities())
        answer = await plane.answer(BOB, MediaDescription((line.describe("0", Kind.AUDIO, CODECS[name][0]),)))
        line.connect(answer.streams[0].transport)
        await together(plane, ANN, BOB)
        ann.sing(440)
        ann.start(sing(line, name, 850))
        await until(lambda: loudness(ann.heard(10), 850) > -25 and loudness(ann.heard(10), 440) < -45)

        def hears() -> bool:
            if len(line.packets) < 30:
                return False
            sound, rate = heard(line, name)
            return loudness(sound, 440, rate) > -25 and loudness(sound, 850, rate) < -40

        await until(hears)
    finally:
        await ann.close()
        line.close()
