"""Descriptions and packets that are well-formed and that nobody would send: no fault of ours, nobody else's harm."""

from __future__ import annotations

import random

import pytest
from media_strangers import Describers, Senders, house

DESCRIBERS = 30
"""Calls of about six descriptions; some ten thousand were made by hand."""
SENDERS = 5
"""Calls of about a thousand packets; some thousand were made by hand."""
TICKS = 40


def seeds(count: int) -> range:
    first = random.SystemRandom().randrange(1 << 32)
    print(f"seed {first}")
    return range(first, first + count)


@pytest.mark.timeout(120)
async def test_strange_descriptions_are_answered_or_refused() -> None:
    answered = 0
    async with house() as plane:
        for seed in seeds(DESCRIBERS):
            describers = Describers(plane, random.Random(seed))
            await describers.run()
            answered += describers.answered
            assert not plane.faults(), f"seed {seed}"
    assert answered > DESCRIBERS // 2  # most are not simply refused


@pytest.mark.timeout(120)
async def test_strange_packets_are_no_fault_and_spoil_nobodys_sound() -> None:
    taken = 0
    async with house() as plane:
        for seed in seeds(SENDERS):
            senders = Senders(plane, random.Random(seed))
            await senders.run(TICKS)
            taken += senders.taken
            assert not plane.faults(), f"seed {seed}"
            if not senders.gateway and not senders.echo:
                assert len(senders.heard) >= TICKS - 2, f"seed {seed}"
                assert senders.loudness() > 2000, f"seed {seed}"
            await senders.close()
            assert not plane.faults(), f"seed {seed}"
    assert taken > SENDERS * TICKS  # they come far enough to be decoded
