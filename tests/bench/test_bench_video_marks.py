"""The delay of pictures by their code stripe."""

from __future__ import annotations

from gateway.bench import clip, generator
from gateway.bench.legs import Kept


def test_the_delay_runs_from_the_last_packet_sent_to_the_first_picture_that_shows_it() -> None:
    made = clip.encode(5, 640, 360, 30, 400_000, count=20)
    kept, sent, sequence = [], [], 0
    for index, payloads in enumerate(made.payloads):
        moment = 50.0 + index / 30
        sent.append((moment, index))
        for place, payload in enumerate(payloads):
            last = place == len(payloads) - 1
            head = bytes([0x80, 96 | (0x80 if last else 0)]) + sequence.to_bytes(2, "big") + bytes(8)
            kept.append(Kept(moment + 0.033 + (0.002 if last else 0.0), head + payload))
            sequence += 1
    delays, size = generator.video_delays(sent, kept, 5)
    assert size == (640, 360)
    assert len(delays) == 19
    assert all(abs(delay - 35.0) < 0.01 for delay in delays)
    assert generator.video_delays(sent, kept, 6)[0] == []
