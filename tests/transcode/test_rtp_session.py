"""RTP sessions: whose packets are taken, what is sent, retransmission."""

from __future__ import annotations

import random

import pytest

from transcode.media import Kind
from transcode.rtp import rtcp
from transcode.rtp.events import Bye, NackReceived
from transcode.rtp.history import MAX_AGE, MAX_BURST, MAX_RESENDS, SLOTS
from transcode.rtp.packet import RtpPacket, pack
from transcode.rtp.receiving import MAX_CANDIDATES
from transcode.rtp.session import RtpSession


def audio(ssrc: int = 1) -> RtpSession:
    return RtpSession(Kind.AUDIO, ssrc, "cname", 8000, 7)


def video(ssrc: int = 1, *feedback: str) -> RtpSession:
    return RtpSession(Kind.VIDEO, ssrc, "cname", 90_000, 7, feedback=feedback or ("nack", "nack pli"))


def send(sequence: int, ssrc: int = 9, payload_type: int = 0) -> bytes:
    return pack(payload_type, sequence & 0xFFFF, sequence * 160, ssrc, b"payload")


def test_the_first_packet_is_taken_at_once() -> None:
    session = audio()
    packet = session.receive_rtp(send(5), 1.0)
    assert packet is not None
    assert (packet.sequence, packet.payload, packet.arrival) == (5, b"payload", 1.0)
    assert (session.remote_ssrc, session.packets_in, session.bytes_in, session.generation) == (9, 1, 7, 0)


def test_what_is_no_rtp_packet_is_counted_and_dropped() -> None:
    session = audio()
    for data in (b"", b"\x80", bytes(12), b"\x8f\x00" + bytes(20), b"\x90\x00" + bytes(12), b"\xa0\x00" + bytes(10)):
        assert session.receive_rtp(data, 0.0) is None
    assert session.malformed == 6


def test_an_unknown_payload_type_is_dropped_where_types_are_given() -> None:
    session = audio()
    session.payload_types = frozenset({0})
    assert session.receive_rtp(send(1, payload_type=96), 0.0) is None
    assert session.remote_ssrc is None
    assert session.receive_rtp(send(1), 0.0) is not None
    assert session.receive_rtp(send(2, payload_type=96), 0.0) is None
    assert session.unknown_payload == 2


def test_another_source_is_foreign_while_the_first_one_sends() -> None:
    session = audio()
    for n in range(50):
        assert session.receive_rtp(send(n), n * 0.02) is not None
        assert session.receive_rtp(send(n, ssrc=66), n * 0.02 + 0.01) is None
    assert (session.foreign, session.generation, session.remote_ssrc) == (50, 0, 9)


def test_another_source_takes_over_when_the_first_falls_silent() -> None:
    session = audio()
    session.receive_rtp(send(1), 0.0)
    taken = [session.receive_rtp(send(100 + n, ssrc=66), 0.02 * (n + 1)) is not None for n in range(6)]
    assert taken == [False, False, True, True, True, True]
    assert (session.remote_ssrc, session.generation, session.source_changes) == (66, 1, 1)


def test_a_promised_source_takes_over_at_once() -> None:
    session = audio()
    session.announce([66])
    session.receive_rtp(send(1), 0.0)
    assert session.receive_rtp(send(1, ssrc=66), 0.01) is not None
    assert session.receive_rtp(send(2), 0.02) is None
    assert session.source_changes == 1


def test_after_bye_the_next_source_is_taken_at_once_but_the_old_one_may_go_on() -> None:
    session = audio()
    session.receive_rtp(send(1), 0.0)
    bye = rtcp.pack([rtcp.ReceiverReport(9), rtcp.Goodbye((9,), "moved")])
    assert session.receive_rtcp(bye, 0.01) == [Bye(9, "moved")]
    assert session.receive_rtp(send(2), 0.02) is not None
    assert session.receive_rtp(send(1, ssrc=66), 0.03) is None
    session.receive_rtcp(bye, 0.04)
    assert session.receive_rtp(send(7, ssrc=66), 0.05) is not None


def test_watched_sources_are_bounded() -> None:
    session = audio()
    session.receive_rtp(send(1), 0.0)
    for ssrc in range(100, 5000):
        assert session.receive_rtp(send(1, ssrc=ssrc), 0.0) is None
    assert len(session._candidates) <= MAX_CANDIDATES


def test_a_restarted_sequence_moves_the_generation() -> None:
    session = audio()
    session.receive_rtp(send(1), 0.0)
    assert session.receive_rtp(send(40_000), 0.02) is None
    assert session.receive_rtp(send(40_001), 0.04) is not None
    assert (session.generation, session.source_changes, session.refused) == (1, 0, 1)


def test_an_echo_of_our_own_packets_is_told_and_taken() -> None:
    session = audio(ssrc=1)
    assert session.receive_rtp(session.pack(0, b"x", 0), 0.0) is not None
    assert session.looped == 1


def test_sent_packets_count_on_and_wrap() -> None:
    session = audio(ssrc=0xCAFE)
    session._sequence = 65534
    sent = [RtpPacket.parse(session.pack(8, b"abc", 2**32 - 1 + n, n == 2, 1.0)) for n in range(3)]
    assert [packet.sequence for packet in sent] == [65534, 65535, 0]
    assert [packet.timestamp for packet in sent] == [2**32 - 1, 0, 1]
    assert [packet.marker for packet in sent] == [False, False, True]
    assert {(packet.ssrc, packet.payload_type) for packet in sent} == {(0xCAFE, 8)}
    assert (session.packets_out, session.bytes_out) == (3, 9)


def test_the_first_sequence_number_is_far_from_the_wrap() -> None:
    assert all(RtpSession(Kind.AUDIO, 1, "c", 8000, seed)._sequence < 1 << 15 for seed in range(100))


def nack(*sequences: int, media: int = 1) -> bytes:
    return rtcp.pack([rtcp.Nack(9, media, sequences)])


def test_a_missed_packet_is_sent_again_as_it_was() -> None:
    session = video()
    packets = [session.pack(96, bytes([n]), n, now=1.0) for n in range(10)]
    first = RtpPacket.parse(packets[0]).sequence
    events = session.receive_rtcp(nack(first + 3, first + 5, first + 100), 1.1)
    assert events == [NackReceived((first + 3, first + 5, first + 100))]
    assert session.retransmissions() == [packets[3], packets[5]]
    assert session.retransmissions() == []
    assert session.resent == 2


def test_retransmission_is_bounded_by_count_age_spacing_and_burst() -> None:
    session = video()
    numbers = [RtpPacket.parse(session.pack(96, b"x", n, now=1.0)).sequence for n in range(SLOTS + 10)]
    session.receive_rtcp(nack(*numbers[:10]), 1.1)
    assert session.retransmissions() == []
    session.receive_rtcp(nack(*numbers[-200:]), 1.1)
    assert len(session.retransmissions()) == MAX_BURST
    times = 0
    for step in range(20):
        session.receive_rtcp(nack(numbers[20]), 1.2 + step * 0.03)
        session.receive_rtcp(nack(numbers[20]), 1.2 + step * 0.03)
        times += len(session.retransmissions())
    assert times == MAX_RESENDS
    session.receive_rtcp(nack(numbers[30]), 1.0 + MAX_AGE + 0.1)
    assert session.retransmissions() == []


def test_sound_keeps_no_history() -> None:
    session = RtpSession(Kind.AUDIO, 1, "c", 8000, 7, feedback=("nack",))
    number = RtpPacket.parse(session.pack(0, b"x", 0, now=1.0)).sequence
    session.receive_rtcp(nack(number), 1.1)
    assert session.retransmissions() == []


def test_a_packet_lost_on_the_way_comes_back_by_rtx() -> None:
    sender, receiver = video(ssrc=1), video(ssrc=2)
    sender.send_rtx(97, 11)
    receiver.rtx_types = {97: 96}
    packets = [sender.pack(96, bytes([n]) * 20, 3000 * n, n == 2, now=n * 0.01) for n in range(5)]
    for n in (0, 1, 3, 4):
        assert receiver.receive_rtp(packets[n], 0.1 + n * 0.01) is not None
    assert receiver.lost == 1
    due = receiver.next_due(0.14)
    assert due is not None
    (request,) = receiver.poll(max(due, 0.15))
    assert any(isinstance(event, NackReceived) for event in sender.receive_rtcp(request, 0.16))
    (again,) = sender.retransmissions()
    wrapped = RtpPacket.parse(again)
    assert (wrapped.payload_type, wrapped.ssrc, wrapped.marker) == (97, 11, True)
    restored = receiver.receive_rtp(again, 0.18)
    assert restored is not None
    original = RtpPacket.parse(packets[2])
    for name in ("payload_type", "sequence", "timestamp", "ssrc", "payload", "marker"):
        assert getattr(restored, name) == getattr(original, name)
    assert (receiver.lost, receiver.recovered) == (0, 1)
    assert receiver.receive_rtp(again, 0.19) is None, "a second copy is of no use"


@pytest.mark.parametrize("rtx", [False, True])
def test_a_lossy_path_is_repaired_by_retransmission(rtx: bool) -> None:
    """Ten seconds of video, 5 % lost and 40 ms of delay each way, RTCP lost too."""
    chance = random.Random(seed := 5)
    sender, receiver = video(1, "nack"), video(2, "nack")
    if rtx:
        sender.send_rtx(97, 11)
        receiver.rtx_types = {97: 96}
    sender._sequence = 65_000
    wire: list[tuple[float, RtpSession, str, bytes]] = []
    seen: dict[int, float] = {}
    total = 0

    def put(now: float, to: RtpSession, what: str, data: bytes) -> None:
        if chance.random() > 0.05:
            wire.append((now + 0.04 + chance.uniform(0, 0.004), to, what, data))

    for tick in range(10_500):
        now = tick / 1000
        if tick % 33 == 0 and tick < 10_000:
            for n in range(5):
                put(now, receiver, "rtp", sender.pack(96, bytes(100), tick * 90, n == 4, now))
                total += 1
        for item in sorted((entry for entry in wire if entry[0] <= now), key=lambda entry: entry[0]):
            wire.remove(item)
            arrival, to, what, data = item
            if what == "rtcp":
                to.receive_rtcp(data, arrival)
                for again in to.retransmissions():
                    put(now, receiver, "rtp", again)
            elif (packet := to.receive_rtp(data, arrival)) is not None:
                seen.setdefault(packet.sequence, arrival)
        for one, other in ((sender, receiver), (receiver, sender)):
            for data in one.poll(now):
                put(now, other, "rtcp", data)
    assert total - len(seen) <= 2, f"seed {seed}"
    assert receiver.recovered > 50
    assert sender.resent < 4 * receiver.recovered
    assert receiver.generation == 0
    assert receiver.round_trip is None or 80 <= receiver.round_trip <= 90
    assert sender.round_trip is not None
    assert 80 <= sender.round_trip <= 90


def test_rtx_padding_and_unasked_rtx_are_dropped() -> None:
    receiver = video()
    receiver.rtx_types = {97: 96}
    assert receiver.receive_rtp(pack(97, 1, 0, 11, b""), 0.0) is None
    receiver.receive_rtp(pack(96, 1, 0, 9, b"x"), 0.0)
    assert receiver.receive_rtp(pack(97, 1, 0, 11, b"\x00"), 0.0) is None
    assert receiver.receive_rtp(pack(97, 2, 0, 11, b"\x00\x01x"), 0.0) is None


def test_a_reordered_packet_is_not_asked_for() -> None:
    receiver = video()
    receiver.receive_rtp(send(1), 0.0)
    receiver.poll(0.0)
    receiver.receive_rtp(send(3), 0.001)
    receiver.receive_rtp(send(2), 0.005)
    assert receiver.poll(0.02) == []
    assert receiver.recovered == 1


@pytest.mark.parametrize("kind", [Kind.AUDIO, Kind.VIDEO])
def test_random_datagrams_are_counted_and_nothing_grows(kind: Kind) -> None:
    chance = random.Random(seed := 99)
    session = RtpSession(kind, 1, "c", 8000, seed, feedback=("nack", "nack pli", "ccm fir", "ccm tmmbr"))
    session.rtx_types = {97: 96}
    for n in range(600):
        session.pack(96, b"x", n, now=0.0)
    good = rtcp.pack([rtcp.ReceiverReport(9), rtcp.Nack(9, 1, (5, 6)), rtcp.RateRequest(9, (rtcp.RateEntry(1, 5),))])
    for n in range(20_000):
        now = n * 0.001
        data = chance.randbytes(chance.randint(0, 60))
        if n % 2:
            data = b"\x80" + bytes([chance.choice((0, 96, 97))]) + data
        session.receive_rtp(data, now)
        session.receive_rtcp(data, now)
        cut = bytearray(good[: chance.randint(0, len(good))])
        if cut:
            cut[chance.randrange(len(cut))] = chance.randrange(256)
        session.receive_rtcp(bytes(cut), now)
        session.poll(now)
        session.retransmissions()
    assert session.malformed > 5000, f"seed {seed}"
    assert session.rtcp_malformed > 10_000
    assert len(session._candidates) <= MAX_CANDIDATES
    assert session._missing is None or len(session._missing) <= 256
    assert all(value >= 0 for value in session.counters().values())
