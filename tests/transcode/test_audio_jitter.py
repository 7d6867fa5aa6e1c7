"""The jitter buffer: order, lateness, doubles, wraps, silences, new sources, drift and depth."""

from __future__ import annotations

import random

import pytest

from transcode.audio.jitter import MAX_PACKETS, STARVED_TICKS, JitterBuffer
from transcode.rtp.packet import RtpPacket


def packet(number: int, arrival: float = 0.0, ssrc: int = 1, marker: bool = False, offset: int = 0) -> RtpPacket:
    """Packet `number` of 20 ms in a stream that wraps at its 20th."""
    sequence, timestamp = (65_516 + number) & 0xFFFF, (2**32 - 3200 + 160 * number + offset) & 0xFFFFFFFF
    return RtpPacket(0, sequence, timestamp, ssrc, bytes([number & 0xFF]) * 160, marker, arrival)


def drain(buffer: JitterBuffer, ticks: int, now: float = 0.0) -> list[int | None]:
    """Pull some ticks; return the number in each packet's payload, None for a gap."""
    result: list[int | None] = []
    for tick in range(ticks):
        buffer.tick(now + 0.02 * tick)
        taken = buffer.take()
        if taken is None:
            buffer.skip(160)
        result.append(taken.payload[0] if taken is not None else None)
    return result


def filled(*numbers: int) -> JitterBuffer:
    buffer = JitterBuffer(8000)
    for number in numbers:
        buffer.push(packet(number), 160)
    return buffer


def test_packets_come_out_in_order_across_the_wraps() -> None:
    buffer = JitterBuffer(8000)
    seen: list[int | None] = []
    for number in range(0, 60, 3):
        for each in (number, number + 2, number + 1):
            assert buffer.push(packet(each), 160)
        seen += drain(buffer, 3)
    assert seen == list(range(60))
    assert (buffer.received, buffer.lost, buffer.late, buffer.duplicates) == (60, 0, 0, 0)


def test_a_lost_packet_is_a_gap_and_counted() -> None:
    buffer = filled(0, 1, 3)
    assert drain(buffer, 2) == [0, 1]
    buffer.tick(0.04)
    assert buffer.take() is None
    ticks, lost, following = buffer.gap()
    assert (ticks, lost) == (160, True)
    assert following is not None
    buffer.skip(160)
    assert drain(buffer, 1) == [3]
    assert buffer.lost == 1


def test_a_late_packet_is_dropped_and_counted() -> None:
    buffer = filled(0, 2)
    assert drain(buffer, 2) == [0, None]
    assert not buffer.push(packet(1), 160)
    assert buffer.late == 1
    assert drain(buffer, 1) == [2]


def test_a_duplicate_is_dropped_and_counted_before_and_after_it_was_played() -> None:
    buffer = filled(0, 1)
    assert not buffer.push(packet(1), 160)
    assert drain(buffer, 2) == [0, 1]
    assert not buffer.push(packet(0), 160)
    assert buffer.duplicates == 2
    assert buffer.late == 0


def test_a_silence_of_the_sender_is_no_loss() -> None:
    buffer = JitterBuffer(8000)
    buffer.push(packet(0), 160)
    assert drain(buffer, 1) == [0]
    buffer.push(packet(1, offset=320), 160)
    assert buffer.gap()[:2] == (320, False)
    assert drain(buffer, 3) == [None, None, 1]
    assert buffer.lost == 0


def test_packets_without_sound_are_not_missed() -> None:
    buffer = filled(0)
    buffer.note(packet(1))
    buffer.push(packet(2), 160)
    assert drain(buffer, 1) == [0]
    assert buffer.gap()[:2] == (160, False)
    assert drain(buffer, 2) == [None, 2]
    assert buffer.lost == 0


def test_one_stray_packet_of_another_source_changes_nothing() -> None:
    buffer = filled(0)
    assert not buffer.push(packet(500, ssrc=2), 160)
    buffer.push(packet(1), 160)
    assert not buffer.push(packet(501, ssrc=3), 160)
    assert drain(buffer, 2) == [0, 1]
    assert buffer.resets == 0


def test_a_new_source_is_followed_from_its_first_packet() -> None:
    buffer = filled(0)
    assert drain(buffer, 1) == [0]
    buffer.push(packet(100, ssrc=2), 160)
    buffer.push(packet(101, ssrc=2), 160)
    assert drain(buffer, 2) == [100, 101]
    assert buffer.resets == 1


def test_a_jump_in_time_is_followed_when_the_next_packet_confirms_it() -> None:
    buffer = filled(0, 1)
    assert not buffer.push(packet(2, offset=8_000_000), 160)
    assert buffer.push(packet(3, offset=8_000_000), 160)
    assert drain(buffer, 2) == [2, 3]


def test_a_sender_that_stopped_its_clock_in_silence_is_played_at_once() -> None:
    buffer = filled(0)
    drain(buffer, 1 + STARVED_TICKS + 2)
    assert buffer.push(packet(1, marker=True), 160)
    assert drain(buffer, 1) == [1]


def test_a_flood_is_bounded() -> None:
    buffer = JitterBuffer(8000)
    for number in range(5 * MAX_PACKETS):
        sequence = number & 0xFFFF
        buffer.push(RtpPacket(0, sequence, 8 * number, 1, b"", False, 1.0), 8)
        assert len(buffer._queue) <= MAX_PACKETS
    assert buffer.overflows > 0


def test_a_burst_after_a_stall_is_cut_to_the_greatest_depth() -> None:
    buffer = filled(0)
    drain(buffer, 1)
    for number in range(1, 45):
        buffer.push(packet(number), 160)
    buffer.tick(0.02)
    assert buffer.depth <= 220


def run(buffer: JitterBuffer, seconds: float, delay: list[float], ppm: float = 0.0) -> list[float]:
    """Send for some seconds, packet n delayed by delay[n % len]; make corrections at once; return waits in ms."""
    arrivals = sorted(
        (number * 0.02 * (1 + ppm * 1e-6) + 0.005 + delay[number % len(delay)], number)
        for number in range(int(seconds * 50))
    )
    at, waits = 0, []
    for tick in range(int(seconds * 50)):
        now = tick * 0.02
        while at < len(arrivals) and arrivals[at][0] <= now:
            when, number = arrivals[at]
            buffer.push(RtpPacket(0, number & 0xFFFF, 160 * number, 1, b"", False, when), 160)
            at += 1
        correction = buffer.tick(now)
        if correction > 0:
            buffer.corrected(160)
            continue
        if correction < 0:
            buffer.take()
            buffer.corrected(-160)
        taken = buffer.take()
        if taken is None:
            buffer.skip(160)
        else:
            waits.append((now - taken.arrival) * 1000)
    return waits


def test_on_a_calm_network_a_packet_waits_less_than_a_tick() -> None:
    waits = run(JitterBuffer(8000), 20, [0.0])
    assert max(waits) <= 20


@pytest.mark.parametrize("milliseconds", [20, 50, 90])
def test_the_depth_follows_the_jitter_and_goes_back(milliseconds: int) -> None:
    chance = random.Random(7)  # the seed of this run
    buffer = JitterBuffer(8000)
    noisy = [chance.random() * milliseconds / 1000 for _ in range(1500)]
    waits = run(buffer, 60, noisy + [0.0] * 1500)
    assert buffer.lost <= 0.03 * 1500
    assert max(waits[750:1400]) <= 1.5 * milliseconds + 40
    assert max(waits[-500:]) <= 45


@pytest.mark.parametrize("ppm", [200, -200])
def test_drift_is_followed_without_loss(ppm: int) -> None:
    buffer = JitterBuffer(8000)
    waits = run(buffer, 600, [0.0], ppm)
    assert buffer.lost <= 6
    assert max(waits) <= 45
    assert (buffer.grown if ppm > 0 else buffer.shrunk) >= 4 * 160


def test_jitter_is_measured() -> None:
    buffer = JitterBuffer(8000)
    run(buffer, 20, [0.0, 0.0, 0.03, 0.01])
    assert 25 <= buffer.jitter <= 35
