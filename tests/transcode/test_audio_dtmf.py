"""Telephone events: every press once, whatever was lost, doubled or left out."""

from __future__ import annotations

from transcode.audio.dtmf import MAX_KEYS, TIMEOUT, EventReceiver, looks_like_event
from transcode.rtp.packet import RtpPacket

#                        event  E R volume  duration
BEGIN = bytes.fromhex("05     0a          00a0")  # key 5, -10 dBm0, 160 ticks
GOING = bytes.fromhex("05     0a          0140")
END = bytes.fromhex("05     8a          0320")  # E=1, 800 ticks: 100 ms
STAR_END = bytes.fromhex("0a  8a          0320")
FLASH_END = bytes.fromhex("10 8a          0320")  # hook flash: no key
SHORT = bytes.fromhex("05     8a          03")  # malformed: three octets


def packet(payload: bytes, timestamp: int, sequence: int = 0, marker: bool = False, arrival: float = 1.0) -> RtpPacket:
    return RtpPacket(101, sequence, timestamp, 1, payload, marker, arrival)


def pressed(*packets: RtpPacket) -> list[tuple[str, int]]:
    receiver = EventReceiver()
    for one in packets:
        receiver.push(one)
    return receiver.take()


def test_a_press_is_reported_once_with_its_duration() -> None:
    keys = pressed(packet(BEGIN, 1000, 1, True), packet(GOING, 1000, 2), *[packet(END, 1000, 3 + n) for n in range(3)])
    assert keys == [("5", 100)]


def test_a_press_without_marker_counts() -> None:
    assert pressed(packet(BEGIN, 1000), packet(END, 1000)) == [("5", 100)]


def test_an_end_packet_alone_counts() -> None:
    assert pressed(packet(END, 1000)) == [("5", 100)]


def test_the_same_key_twice_is_two_presses() -> None:
    assert pressed(packet(END, 1000), packet(END, 1000), packet(END, 3000), packet(END, 3000)) == [("5", 100)] * 2


def test_a_press_whose_end_was_lost_ends_with_the_next_one() -> None:
    assert pressed(packet(GOING, 1000), packet(STAR_END, 5000)) == [("5", 40), ("*", 100)]


def test_a_press_whose_end_was_lost_ends_by_time_out() -> None:
    receiver = EventReceiver()
    receiver.push(packet(GOING, 1000, arrival=1.0))
    receiver.tick(1.0 + TIMEOUT)
    assert receiver.take() == []
    assert receiver.active
    receiver.tick(1.01 + TIMEOUT)
    assert receiver.take() == [("5", 40)]
    receiver.push(packet(END, 1000, arrival=1.5))
    assert receiver.take() == []


def test_a_late_packet_of_an_earlier_press_does_not_press_again() -> None:
    assert pressed(packet(GOING, 1000), packet(STAR_END, 5000), packet(END, 1000)) == [("5", 40), ("*", 100)]


def test_timestamps_may_wrap_between_presses() -> None:
    assert pressed(packet(GOING, 0xFFFFFF00), packet(STAR_END, 0x100)) == [("5", 40), ("*", 100)]


def test_a_press_longer_than_a_segment_is_one_press() -> None:
    full = bytes.fromhex("05 0a ffff")
    keys = pressed(packet(full, 1000), packet(BEGIN, 1000 + 0xFFFF), packet(END, 1000 + 0xFFFF))
    assert keys == [("5", (0xFFFF + 800) * 1000 // 8000)]


def test_flash_is_no_key_and_malformed_events_are_counted() -> None:
    receiver = EventReceiver()
    receiver.push(packet(FLASH_END, 1))
    receiver.push(packet(SHORT, 2))
    receiver.push(packet(b"", 3))
    assert receiver.take() == []
    assert receiver.malformed == 2


def test_a_flood_of_presses_is_bounded() -> None:
    assert len(pressed(*[packet(END, 1000 * n) for n in range(1000)])) == MAX_KEYS


def test_the_shape_of_an_event_is_known() -> None:
    assert looks_like_event(END)
    assert not looks_like_event(FLASH_END)
    assert not looks_like_event(SHORT)
    assert not looks_like_event(bytes.fromhex("054a0320"))  # R=1
