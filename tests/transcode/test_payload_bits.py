"""Bits: start codes at any bit, cutting and joining."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from transcode.payload.bits import BitJoiner, BitReader, cut, start_codes

SEED = 263


def naive(data: bytes, zeros: int) -> list[int]:
    text = "".join(f"{octet:08b}" for octet in data)
    wanted, found, at = "0" * zeros + "1", [], 0
    while (at := text.find(wanted, at)) >= 0:
        found.append(at)
        at += zeros + 1
    return found


def test_start_codes_are_found_at_every_bit() -> None:
    rng = random.Random(SEED)
    for zeros in (15, 16):
        hits = 0
        for _ in range(500):
            data = b"".join(rng.choice((b"\0", b"\0\0", b"\1", b"\x80", rng.randbytes(2))) for _ in range(12))
            assert start_codes(data, zeros) == naive(data, zeros), data.hex()
            hits += len(naive(data, zeros))
        assert hits > 500


@pytest.mark.parametrize("data", [b"", b"\0", b"\0\0\0\0", b"\xff\0"])
def test_zeros_alone_are_no_start_code(data: bytes) -> None:
    assert start_codes(data, 15) == []


def test_pieces_cut_at_any_bit_join_to_the_whole() -> None:
    rng = random.Random(SEED)
    for _ in range(300):
        data = rng.randbytes(rng.randrange(1, 40))
        bounds = sorted({0, 8 * len(data), *(rng.randrange(8 * len(data)) for _ in range(5))})
        joiner = BitJoiner()
        for start, end in pairwise(bounds):
            joiner.add(*cut(data, start, end))
        assert joiner.octets() == data


def test_after_aligning_a_piece_begins_at_an_octet() -> None:
    joiner = BitJoiner()
    joiner.add(b"\xff", 0, 3)
    joiner.align()
    joiner.add(b"\x1f\x80", 3, 7)
    assert joiner.octets() == bytes([0b11111000, 0b11111100])


def test_a_piece_that_fits_at_no_edge_is_shifted() -> None:
    joiner = BitJoiner()
    joiner.add(b"\xa0", 0, 5)
    joiner.add(b"\xff", 0, 0)
    assert joiner.octets() == bytes([0b10111111, 0b11100000])


def test_a_piece_without_bits_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing"):
        BitJoiner().add(b"\xff", 5, 3)


def test_reading_over_the_end_raises_value_error() -> None:
    bits = BitReader(b"\xab\xcd")
    assert bits.read(12) == 0xABC
    assert bits.peek(8) == 0xD0
    with pytest.raises(ValueError, match="end"):
        bits.read(5)
    with pytest.raises(ValueError, match="end"):
        BitReader(b"\xff", 0, 4).skip(5)
