"""Cutting a stream into TPKTs."""

from __future__ import annotations

import random

import pytest

from h323.tpkt import KEEP_ALIVE, MAX_MESSAGE, TpktFramer, frame

# version 3, reserved, length 7 with the header; the message: STATUS INQUIRY's first three octets
ONE = bytes.fromhex("03000007 080200".replace(" ", ""))


def test_messages_are_cut_by_length() -> None:
    framed = TpktFramer().receive(ONE + KEEP_ALIVE + ONE)
    assert framed.messages == (b"\x08\x02\x00", b"", b"\x08\x02\x00")
    assert framed.broken is None


def test_what_is_framed_comes_out_again() -> None:
    for size in (0, 1, 300, MAX_MESSAGE):
        assert TpktFramer().receive(frame(bytes(size))).messages == (bytes(size),)
    with pytest.raises(ValueError):
        frame(bytes(MAX_MESSAGE + 1))


@pytest.mark.parametrize("seed", range(5))
def test_it_does_not_matter_how_the_stream_is_cut(seed: int) -> None:
    print(f"seed {seed}")
    rng = random.Random(seed)
    sent = [rng.randbytes(rng.choice([0, 1, 200, 3000])) for _ in range(50)]
    stream = b"".join(map(frame, sent))
    framer = TpktFramer()
    found: list[bytes] = []
    while stream:
        size = rng.choice([1, 3, 50, 2000])
        found += framer.receive(stream[:size]).messages
        stream = stream[size:]
    assert found == sent
    assert framer.pending == 0


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        ("04000007", "version 4"),
        ("03000003", "length 3"),
        ("47455420", "version 71"),  # GET, of somebody who takes us for a web server
    ],
)
def test_a_stream_out_of_step_is_broken_and_takes_no_more(octets: str, why: str) -> None:
    framer = TpktFramer()
    framed = framer.receive(ONE + bytes.fromhex(octets))
    assert framed.messages == (b"\x08\x02\x00",)
    assert framed.broken is not None
    assert why in framed.broken
    assert framer.receive(ONE).messages == ()
    assert framer.pending == 0


def test_no_more_than_one_message_is_held_back() -> None:
    framer = TpktFramer()
    for _ in range(10):
        framer.receive(bytes.fromhex("0300ffff") + bytes(MAX_MESSAGE))
    assert framer.pending == 0
    framer.receive(bytes.fromhex("0300ffff") + bytes(MAX_MESSAGE - 1))
    assert framer.pending == MAX_MESSAGE + 3
