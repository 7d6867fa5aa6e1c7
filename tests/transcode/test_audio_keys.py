"""Keys that we send as telephone events: what the receiving half reads of them, and their bounds."""

from __future__ import annotations

import pytest

from transcode.audio.dtmf import EventReceiver
from transcode.audio.keys import END_PACKETS, MAX_WAITING, KeySender
from transcode.rtp.packet import RtpPacket


def sent(sender: KeySender, packets: int, clock_rate: int = 8000) -> list[tuple[bytes, int, bool] | None]:
    ticks = clock_rate // 50
    return [sender.next(1000 + number * ticks, ticks, clock_rate) for number in range(packets)]


def read(packets: list[tuple[bytes, int, bool] | None], clock_rate: int = 8000) -> list[tuple[str, int]]:
    receiver = EventReceiver(clock_rate)
    for number, packet in enumerate(packets):
        if packet is not None:
            payload, timestamp, marker = packet
            receiver.push(RtpPacket(101, number, timestamp, 7, payload, marker, number * 0.02))
    return receiver.take()


def test_a_press_is_one_event_with_a_growing_duration_and_three_ends() -> None:
    sender = KeySender()
    assert sender.press("5", 100)
    packets = sent(sender, 12)
    assert [packet and packet[0].hex() for packet in packets] == [
        "050a00a0",
        "050a0140",
        "050a01e0",
        "050a0280",
        "058a0320",
        "058a0320",
        "058a0320",
        None,
        None,
        None,
        None,
        None,
    ]
    assert {packet[1] for packet in packets if packet} == {1000}
    assert [packet[2] for packet in packets if packet] == [True] + [False] * 6
    assert not sender.busy


@pytest.mark.parametrize("clock_rate", [8000, 16000, 48000])
def test_keys_in_a_row_arrive_once_each_and_in_order(clock_rate: int) -> None:
    sender = KeySender()
    for digit in "0019*#a":
        assert sender.press(digit, 90)
    assert [digit for digit, _ in read(sent(sender, 120, clock_rate), clock_rate)] == list("0019*#A")


@pytest.mark.parametrize(("asked", "got"), [(1, 80), (100_000, 1000)])
def test_a_press_is_neither_too_short_to_be_heard_nor_endless(asked: int, got: int) -> None:
    sender = KeySender()
    sender.press("7", asked)
    assert read(sent(sender, 80)) == [("7", got)]


def test_what_is_no_key_and_too_many_at_once_are_not_taken() -> None:
    sender = KeySender()
    assert not sender.press("x", 100)
    assert not sender.press("", 100)
    assert not sender.press("12", 100)
    assert [sender.press("1", 100) for _ in range(MAX_WAITING + 1)].count(False) == 1


def test_the_end_goes_as_often_as_the_standard_says() -> None:
    sender = KeySender()
    sender.press("1", 80)
    assert sum(1 for packet in sent(sender, 20) if packet and packet[0][1] & 0x80) == END_PACKETS
