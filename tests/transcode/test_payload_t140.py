"""Real-time text in RTP (RFC 4103): samples by hand, and streams with loss, doubling and disorder."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcode.payload import red
from transcode.payload.red import Block
from transcode.payload.t140 import BOM, INTERVAL, MAX_HELD, MAX_WAITING, MISSING, REORDER_TIME, TextReceiver, TextSender

T140, RED = 98, 100
SAMPLE = bytes.fromhex(
    "e2"  # another block follows; payload type 98
    "0960 02"  # 600 ticks older (14 bits), 2 octets (10 bits)
    "e2 04b0 01"  # payload type 98, 300 ticks older, 1 octet
    "62"  # the primary block: payload type 98
    "4865"  # "He"
    "6c"  # "l"
    "6c6f"  # "lo"
)
BLOCKS = [Block(98, 600, b"He"), Block(98, 300, b"l"), Block(98, 0, b"lo")]


def receiver() -> TextReceiver:
    made = TextReceiver()
    made.set_formats(frozenset({T140}), frozenset({RED}))
    return made


def redundant(*blocks: str) -> bytes:
    ages = range(len(blocks) - 1, -1, -1)
    return red.pack([Block(T140, 300 * age, text.encode()) for age, text in zip(ages, blocks, strict=True)])


# redundancy


def test_a_redundant_payload_is_read_and_written() -> None:
    assert red.parse(SAMPLE) == BLOCKS
    assert red.pack(BLOCKS) == SAMPLE


def test_a_payload_without_redundancy_is_one_octet_and_text() -> None:
    assert red.parse(bytes.fromhex("62 48")) == [Block(98, 0, b"H")]
    assert red.parse(bytes.fromhex("62")) == [Block(98, 0, b"")]


@pytest.mark.parametrize(
    "text",
    [
        "",  # nothing at all
        "e2",  # a header of one octet
        "e2 0960",  # and of three
        "e2 0960 02",  # no primary block
        "e2 0960 02 62 48",  # two octets promised, one there
        "e2 0000 00" * 17 + "62",  # more blocks than anybody sends
    ],
)
def test_a_redundant_payload_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="block"):
        red.parse(bytes.fromhex(text))


@pytest.mark.parametrize("block", [Block(98, 0, bytes(1024)), Block(98, 16384, b""), Block(98, -1, b"")])
def test_a_block_that_its_header_cannot_tell_is_refused(block: Block) -> None:
    with pytest.raises(ValueError, match="too long or too old"):
        red.pack([block, Block(98, 0, b"")])


@given(st.lists(st.tuples(st.integers(0, 127), st.integers(0, 16383), st.binary(max_size=40)), max_size=10))
def test_redundant_payloads_survive_the_round_trip(parts: list[tuple[int, int, bytes]]) -> None:
    blocks = [*(Block(*part) for part in parts), Block(98, 0, b"primary")]
    assert red.parse(red.pack(blocks)) == blocks


@given(st.binary(max_size=200))
def test_no_octets_raise_anything_else(octets: bytes) -> None:
    taker = receiver()
    taker.take(RED, 1, octets, 0.0)
    taker.take(T140, 2, octets, 0.1)
    taker.poll(5.0)


# receiving


def test_text_is_taken_in_order_and_only_once() -> None:
    taker = receiver()
    assert taker.take(RED, 10, redundant("", "", "H"), 0.0) == "H"
    assert taker.take(RED, 11, redundant("", "H", "i"), 0.3) == "i"
    assert taker.take(RED, 12, redundant("H", "i", ""), 0.6) == ""
    assert (taker.lost, taker.recovered, taker.malformed) == (0, 0, 0)


def test_two_lost_packets_are_made_up_for_by_redundancy() -> None:
    taker = receiver()
    taker.take(RED, 65534, redundant("", "", "a"), 0.0)
    assert taker.take(RED, 1, redundant("b", "c", "d"), 0.9) == "bcd"
    assert (taker.lost, taker.recovered) == (0, 2)


def test_the_first_packet_s_redundancy_is_text_too() -> None:
    assert receiver().take(RED, 7, redundant("He", "l", "lo"), 0.0) == "Hello"


def test_a_gap_is_waited_for_and_then_marked() -> None:
    taker = receiver()
    taker.take(RED, 1, redundant("", "", "a"), 0.0)
    assert taker.take(RED, 5, redundant("c", "d", "e"), 1.0) == ""
    assert taker.poll(1.0 + REORDER_TIME - 0.01) == ""
    assert taker.poll(1.0 + REORDER_TIME) == MISSING + "cde"
    assert taker.lost == 1
    assert taker.take(RED, 6, redundant("d", "e", "f"), 3.0) == "f"


def test_a_packet_that_comes_late_fills_the_gap() -> None:
    taker = receiver()
    taker.take(T140, 1, b"a", 0.0)
    assert taker.take(T140, 3, b"c", 0.3) == ""
    assert taker.take(T140, 2, b"b", 0.4) == "bc"
    assert taker.poll(9.0) == ""
    assert taker.lost == 0


def test_what_waits_behind_a_gap_is_bounded() -> None:
    taker = receiver()
    taker.take(T140, 1, b"a", 0.0)
    text = "".join(taker.take(T140, 3 + number, b"x", 0.3) for number in range(MAX_HELD + 1))
    assert text == MISSING + "x" * (MAX_HELD + 1)


def test_a_character_may_be_cut_in_two() -> None:
    taker = receiver()
    octets = "é€😀".encode()
    taken = [taker.take(T140, number, octets[number : number + 1], 0.0) for number in range(len(octets))]
    assert "".join(taken) == "é€😀"


def test_half_a_character_before_a_gap_is_marked_once() -> None:
    taker = receiver()
    taker.take(T140, 1, "€".encode()[:2], 0.0)
    taker.take(T140, 3, b"x", 0.3)
    assert taker.poll(2.0) == MISSING + "x"


def test_octets_that_are_no_utf_8_are_marked() -> None:
    assert receiver().take(T140, 1, b"a\xffb", 0.0) == "a" + MISSING + "b"


def test_byte_order_marks_are_no_text() -> None:
    taker = receiver()
    assert taker.take(T140, 1, BOM.encode(), 0.0) == ""
    assert taker.take(T140, 2, ("a" + BOM + "b").encode(), 0.3) == "ab"


@pytest.mark.parametrize(("payload_type", "payload"), [(97, b"x"), (RED, b""), (RED, bytes.fromhex("63 48"))])
def test_what_is_no_text_is_counted(payload_type: int, payload: bytes) -> None:
    taker = receiver()
    assert taker.take(payload_type, 1, payload, 0.0) == ""
    assert taker.malformed == 1


def test_lost_repetitions_before_silence_are_no_loss() -> None:
    """Some begin anew after silence without the blocks before it."""
    taker = receiver()
    taker.take(RED, 1, redundant("", "", "a"), 0.0)
    assert taker.take(RED, 4, redundant("b"), 60.0, marker=True) == "b"
    assert taker.take(RED, 8, redundant("c"), 90.0, marker=True) == ""
    assert taker.poll(99.0) == MISSING + "c"


def test_another_source_begins_anew() -> None:
    taker = receiver()
    taker.take(T140, 500, b"a", 0.0)
    taker.restart()
    assert taker.take(T140, 20, b"b", 1.0) == "b"


# sending


def sent(sender: TextSender, until: float, now: float = 0.0) -> list[tuple[float, int, bytes, bool]]:
    found = []
    while now < until:
        packet = sender.poll(now)
        if packet is not None:
            found.append((round(now, 2), *packet))
        now += 0.02
    return found


def opened(**more: int) -> TextSender:
    sender = TextSender(T140, RED, **more)
    sent(sender, 2.0)
    return sender


def test_a_stream_begins_with_a_byte_order_mark() -> None:
    first = sent(TextSender(T140, RED), 5.0)
    assert [red.parse(payload)[-1].data for _, _, payload, _ in first] == [BOM.encode(), b"", b""]
    assert [marker for *_, marker in first] == [True, False, False]


def test_each_block_goes_three_times_and_then_there_is_silence() -> None:
    sender = opened()
    sender.write("Hi")
    packets = sent(sender, 8.0, now=2.0)
    assert [(at, marker) for at, _, _, marker in packets] == [(2.0, True), (2.3, False), (2.6, False)]
    assert [[block.data for block in red.parse(payload)] for _, _, payload, _ in packets] == [
        [b"", b"", b"Hi"],
        [b"", b"Hi", b""],
        [b"Hi", b"", b""],
    ]
    assert [block.offset for block in red.parse(packets[-1][2])] == [600, 300, 0]


def test_what_is_written_meanwhile_waits_for_the_next_packet() -> None:
    sender = opened()
    sender.write("a")
    sender.poll(2.0)
    for letter in "bcd":
        sender.write(letter)
    assert sender.poll(2.0 + INTERVAL - 0.01) is None
    packet = sender.poll(2.0 + INTERVAL)
    assert packet is not None
    assert [block.data for block in red.parse(packet[1])] == [b"", b"a", b"bcd"]


def test_without_redundancy_plain_text_is_sent_once() -> None:
    sender = TextSender(T140, None)
    sent(sender, 1.0)
    sender.write("Hi")
    assert [(payload_type, payload) for _, payload_type, payload, _ in sent(sender, 5.0, now=1.0)] == [(T140, b"Hi")]


def test_the_peer_gets_no_more_characters_than_it_takes() -> None:
    sender = opened(rate=30)
    sender.write("x" * 900)
    packets = [(at, red.parse(payload)[-1].data) for at, _, payload, _ in sent(sender, 40.0, now=10.0)]
    assert sum(len(data) for at, data in packets if at < 20.0) <= 600
    assert sum(len(data) for _, data in packets) == 900


def test_a_long_text_goes_in_blocks_that_can_be_repeated() -> None:
    sender = opened(rate=5000)
    sender.write("€" * 3000)
    blocks = [red.parse(payload)[-1].data for _, _, payload, _ in sent(sender, 20.0, now=2.0)]
    assert max(map(len, blocks)) <= 1000
    assert b"".join(blocks).decode() == "€" * 3000


def test_no_more_waits_than_the_bound() -> None:
    sender = opened()
    assert sender.write("x" * MAX_WAITING)
    assert not sender.write("x")


# both ends


@given(st.lists(st.text(max_size=20), max_size=30), st.integers(0, 2**32))
def test_what_is_written_is_read_where_no_three_packets_in_a_row_are_lost(texts: list[str], seed: int) -> None:
    """Loss of up to two in a row, doubling and disorder change nothing."""
    rng = random.Random(seed)
    sender, taker = TextSender(T140, RED, rate=10_000), receiver()
    now, sequence, lost, heard = 0.0, rng.randrange(65536), 0, ""
    late: list[tuple[int, int, bytes, bool]] = []
    waiting = list(texts)
    # Surrogates cannot be sent, and byte order marks are no text.
    wanted = "".join(texts).replace(BOM, "").encode("utf-8", "replace").decode()
    while waiting or now < 30 + len(texts):
        if waiting and rng.random() < 0.1:
            sender.write(waiting.pop(0))
        packet = sender.poll(now)
        if packet is not None:
            payload_type, payload, marker = packet
            first = now == 0.0  # without it nobody knows where the stream began
            if not first and lost < 2 and rng.random() < 0.4:
                lost += 1
            else:
                lost = 0
                late += [(payload_type, sequence & 0xFFFF, payload, marker)] * rng.choice((1, 1, 2))
            sequence += 1
        if late and rng.random() < 0.5:
            *one, marker = late.pop(rng.randrange(min(2, len(late))))
            heard += taker.take(*one, now, marker)
        now += 0.1
    for *one, marker in late:
        heard += taker.take(*one, now, marker)
    assert heard + taker.poll(now + 5) == wanted, f"seed {seed}"
    assert taker.lost == 0


@given(st.integers(0, 2**32), st.floats(0.0, 0.9))
def test_whatever_is_lost_what_is_read_is_in_order_and_gaps_are_marked(seed: int, loss: float) -> None:
    rng = random.Random(seed)
    sender, taker = TextSender(T140, RED, rate=10_000), receiver()
    heard, sequence, number = "", 0, 0
    for step in range(400):
        now = step * 0.1
        if rng.random() < 0.3 and step < 300:
            sender.write(f"<{number}>")
            number += 1
        packet = sender.poll(now)
        if packet is not None:
            if rng.random() >= loss:
                heard += taker.take(packet[0], sequence, packet[1], now, packet[2])
            sequence += 1
        heard += taker.poll(now)
    heard += taker.poll(99.0)
    numbers = [int(one) for part in heard.split(MISSING) for one in part.replace(">", "").split("<") if one.isdigit()]
    assert numbers == sorted(set(numbers)), f"seed {seed}"
    if taker.lost:
        assert MISSING in heard
