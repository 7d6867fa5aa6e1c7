"""Cutting a stream into messages, and keep-alives between them."""

from __future__ import annotations

import random

import pytest

from sip.framing import MAX_HEAD, MAX_PINGS, PING, PONG, StreamFramer
from sip.parser import MAX_MESSAGE

ONE = b"OPTIONS sip:a@b SIP/2.0\r\nContent-Length: 5\r\n\r\nhello"
TWO = b"BYE sip:a@b SIP/2.0\r\nl : 0\r\n\r\n"
BARE = b"ACK sip:a@b SIP/2.0\nCall-ID: x\n\n"


def test_messages_are_cut_by_content_length() -> None:
    framed = StreamFramer().receive(ONE + TWO + BARE + ONE)
    assert framed.messages == (ONE, TWO, BARE, ONE)
    assert (framed.reply, framed.pongs, framed.broken) == (b"", 0, None)


@pytest.mark.parametrize("seed", range(5))
def test_it_does_not_matter_how_the_stream_is_cut(seed: int) -> None:
    print(f"seed {seed}")
    rng = random.Random(seed)
    stream = (ONE + TWO + ONE) * 20
    framer = StreamFramer()
    found: list[bytes] = []
    while stream:
        size = rng.choice([1, 2, 7, 40, 200])
        found += framer.receive(stream[:size]).messages
        stream = stream[size:]
    assert found == [ONE, TWO, ONE] * 20
    assert framer.pending == 0


def test_a_ping_is_answered_and_a_pong_is_counted() -> None:
    framer = StreamFramer()
    assert framer.receive(PING).reply == PONG
    assert framer.receive(PONG).pongs == 1
    assert framer.receive(ONE + PING + TWO) == StreamFramer().receive(ONE + PING + TWO)
    assert framer.receive(PING + TWO).messages == (TWO,)


def test_a_flood_of_pings_is_not_answered_one_by_one() -> None:
    assert len(StreamFramer().receive(PING * 1000).reply) == MAX_PINGS * len(PONG)


@pytest.mark.parametrize(
    "data",
    [
        b"OPTIONS sip:a@b SIP/2.0\r\nContent-Length: -5\r\n\r\n",
        b"OPTIONS sip:a@b SIP/2.0\r\nContent-Length: five\r\n\r\n",
        b"OPTIONS sip:a@b SIP/2.0\r\nContent-Length: 5\r\nl: 6\r\n\r\n",
        b"OPTIONS sip:a@b SIP/2.0\r\nContent-Length: %d\r\n\r\n" % MAX_MESSAGE,
        b"OPTIONS sip:a@b SIP/2.0\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"x" * (MAX_HEAD + 1),
        b"\x16\x03\x01\x02\x00" * 8000,
    ],
    ids=["negative", "word", "two", "long", "huge", "head", "tls"],
)
def test_a_stream_that_cannot_be_cut_is_broken_for_good(data: bytes) -> None:
    framer = StreamFramer()
    first = framer.receive(TWO + data)
    assert first.messages == (TWO,)
    assert first.broken
    assert framer.receive(TWO).messages == ()
    assert framer.pending == 0


def test_what_is_held_back_is_bounded() -> None:
    framer = StreamFramer()
    framer.receive(b"OPTIONS sip:a@b SIP/2.0\r\nContent-Length: 60000\r\n\r\n")
    for _ in range(200):
        framer.receive(b"x" * 1000)
        assert framer.pending < MAX_MESSAGE + 1000
