"""Messages that were tampered with: nothing but DecodeError comes out, and in time."""

from __future__ import annotations

import contextlib
import os
import random
import time

import pytest
from h323_samples import encodings

from h323.messages import DecodeError, EncodeError, Kind, decode, encode
from h323.per import MAX_ERROR_TEXT

SLOWEST = 0.25
"""Processor seconds for one message of a few kilobytes; real ones take a hundredth of it on a machine under load."""


def mutated(rng: random.Random, octets: bytes, other: bytes) -> bytes:
    """The octets with bits turned, pieces cut, doubled, or taken from another message."""
    data = bytearray(octets)
    for _ in range(rng.choice([1, 1, 1, 2, 3, 8])):
        place = rng.randrange(len(data)) if data else 0
        way = rng.randrange(7)
        if way == 0 and data:
            data[place] ^= 1 << rng.randrange(8)
        elif way == 1 and data:
            data[place] = rng.choice([0, 0x7F, 0x80, 0xBF, 0xC1, 0xC4, 0xFF, rng.randrange(256)])
        elif way == 2:
            del data[place:]
        elif way == 3:
            del data[place : place + rng.randint(1, 8)]
        elif way == 4:
            data[place:place] = rng.randbytes(rng.randint(1, 8))
        elif way == 5:
            start = rng.randrange(len(other))
            data[place : place + 16] = other[start : start + 16]
        else:
            data[place:place] = data[place : place + rng.randint(1, 64)] * rng.choice([1, 2, 50])
    return bytes(data[:65_000])


def torture(count: int, seed: int) -> None:
    print(f"seed {seed}")
    rng = random.Random(seed)
    samples = encodings()
    refused = 0
    for number in range(count):
        _, kind, octets = rng.choice(samples)
        data = mutated(rng, octets, rng.choice(samples)[2])
        before = time.process_time()
        try:
            value = decode(kind, data)
        except DecodeError as exc:
            refused += 1
            assert len(str(exc)) <= MAX_ERROR_TEXT  # noqa: PT017 - most are refused, not all
            value = None
        taken = time.process_time() - before
        assert taken < SLOWEST, (seed, number, kind, data.hex())
        if value is not None:
            try:
                again = encode(kind, value)
            except EncodeError:
                continue  # something that a newer version could have added
            assert decode(kind, again) == value, (seed, number, kind, data.hex())
    assert 0 < refused < count


def test_tampered_messages_raise_nothing_else() -> None:
    torture(3_000, random.SystemRandom().randrange(1 << 32))


@pytest.mark.interop
@pytest.mark.timeout(900)
def test_two_hundred_thousand_tampered_messages_raise_nothing_else() -> None:
    torture(200_000, int(os.environ.get("ROOMBRIDGE_TEST_SEED", random.SystemRandom().randrange(1 << 32))))


@pytest.mark.parametrize("kind", list(Kind))
def test_noise_raises_nothing_else(kind: Kind) -> None:
    rng = random.Random(kind.name)
    for size in [*range(40), *[300] * 50, 65_536]:
        for data in (rng.randbytes(size), bytes(size), b"\xff" * size):
            before = time.process_time()
            with contextlib.suppress(DecodeError):
                decode(kind, data)
            assert time.process_time() - before < 4 * SLOWEST
