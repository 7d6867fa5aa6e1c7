"""RTCP that sessions send and heed: reports, key frames, limits."""

from __future__ import annotations

import itertools

import pytest

from transcode.media import Kind
from transcode.rtp import rtcp
from transcode.rtp.asking import REPEAT
from transcode.rtp.events import BandwidthLimit, KeyFrameRequested, ReportReceived
from transcode.rtp.session import FIR_REPEAT, MAX_INTERVAL, RtpSession

ALL = ("nack", "nack pli", "ccm fir", "ccm tmmbr", "goog-remb")


def session(ssrc: int = 1, *feedback: str, shared: bool = False, kind: Kind = Kind.VIDEO) -> RtpSession:
    return RtpSession(kind, ssrc, "room", 90_000, 5, feedback=feedback, shared=shared)


def run(one: RtpSession, start: float, seconds: float) -> list[tuple[float, list[rtcp.RtcpPacket]]]:
    """Poll whenever something is due; returns times and packets."""
    sent, now = [], start
    while now <= start + seconds:
        sent += [(now, rtcp.parse(data)) for data in one.poll(now)]
        due = one.next_due(now)
        assert due is not None
        assert due > now, "it must not ask to be polled again at once"
        now = due
    return sent


def find(packets: list[rtcp.RtcpPacket], kind: type[rtcp.RtcpPacket]) -> list[rtcp.RtcpPacket]:
    return [packet for packet in packets if isinstance(packet, kind)]


@pytest.mark.parametrize("kind", [Kind.AUDIO, Kind.VIDEO])
def test_reports_come_at_random_intervals_within_bounds(kind: Kind) -> None:
    sent = run(session(kind=kind), 100.0, 120.0)
    times = [time for time, _ in sent]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert times[0] - 100.0 <= 0.5
    assert all(1.0 <= gap <= MAX_INTERVAL for gap in gaps)
    assert len({round(gap, 3) for gap in gaps}) > 5
    for _, packets in sent:
        assert packets == [rtcp.ReceiverReport(1), rtcp.SourceDescription(((1, "room"),))]


def test_a_sender_reports_what_it_sent_and_which_time_its_timestamps_stand_for() -> None:
    sender = session()
    sender.pack(96, b"12345", 4_294_967_290, now=100.0)
    sender.poll(100.0)
    (report, _), *_ = (packets for _, packets in run(sender, 100.4, 1.0))
    assert isinstance(report, rtcp.SenderReport)
    assert (report.packets, report.octets) == (1, 5)
    elapsed = report.ntp / 2**32 - 100.0
    assert report.timestamp == pytest.approx(elapsed * 90_000 - 6, abs=2)


def test_an_anchor_says_which_moment_a_timestamp_stands_for() -> None:
    sender = session()
    sender.pack(96, b"x", 90_000, now=100.05)
    sender.anchor(90_000, 100.0)
    sender.poll(100.05)
    (report, _), *_ = (packets for _, packets in run(sender, 100.05, 1.0))
    assert isinstance(report, rtcp.SenderReport)
    assert report.timestamp == pytest.approx(90_000 + (report.ntp / 2**32 - 100.0) * 90_000, abs=2)


def test_two_sessions_measure_loss_jitter_and_round_trip() -> None:
    here, there = session(1), session(2)
    for n in range(100):
        packet = here.pack(96, b"x", n * 900, now=n * 0.01)
        if n % 5:
            there.receive_rtp(packet, n * 0.01 + 0.05)
    there.pack(96, b"x", 0, now=0.0)
    here.poll(0.0)
    (data,) = here.poll(1.0)
    there.receive_rtcp(data, 1.05)
    assert there.remote_cname == "room"
    assert there.sender_clock is not None
    assert there.sender_clock[0] == pytest.approx(1.0)
    there.poll(1.1)
    (data,) = there.poll(2.0)
    (event,) = here.receive_rtcp(data, 2.05)
    assert isinstance(event, ReportReceived)
    assert event.loss == pytest.approx(0.2, abs=0.01)
    assert event.round_trip == pytest.approx(100, abs=1)
    assert here.round_trip == pytest.approx(100, abs=1)
    assert there.loss_in == pytest.approx(0.2, abs=0.01)
    assert there.lost == 19  # the very first one was lost before the count began


def test_an_absurd_round_trip_is_not_believed() -> None:
    here = session(1)
    block = rtcp.ReportBlock(1, 0, 0, 0, 0, 0xFFFFFFFF, 0x7FFFFFFF)
    here.receive_rtcp(rtcp.pack([rtcp.ReceiverReport(9, (block,))]), 10.0)
    assert here.round_trip is None


def test_without_negotiated_feedback_a_key_frame_cannot_be_asked_for() -> None:
    one = session()
    assert one.request_key_frame(0.0) is False
    assert not any(find(packets, rtcp.PictureLoss) for _, packets in run(one, 0.0, 3.0))


def test_a_key_frame_is_asked_for_at_once_and_again_until_it_comes() -> None:
    one = session(1, "nack pli")
    one.announce([9])
    run(one, 0.0, 2.0)
    assert one.request_key_frame(2.5)
    asked = [time for time, packets in run(one, 2.5, 1.9) if find(packets, rtcp.PictureLoss)]
    assert asked == pytest.approx([2.5, 2.5 + REPEAT, 2.5 + 2 * REPEAT, 2.5 + 3 * REPEAT])
    one.key_frame_received()
    assert not any(find(packets, rtcp.PictureLoss) for _, packets in run(one, 4.6, 3.0))


def test_many_wishes_make_no_storm() -> None:
    one = session(1, "nack pli")
    asked = 0
    for n in range(1000):
        one.request_key_frame(n * 0.001)
        asked += sum(len(find(rtcp.parse(data), rtcp.PictureLoss)) for data in one.poll(n * 0.001))
        one.key_frame_received()
    assert asked <= 6


def test_with_both_messages_the_repeats_alternate_and_a_fir_keeps_its_number() -> None:
    one = session(1, "nack pli", "ccm fir")
    one.receive_rtp(b"\x80\x60\x00\x01\x00\x00\x00\x00\x00\x00\x00\x09x", 0.0)
    one.request_key_frame(0.0)
    packets = [packet for _, sent in run(one, 0.0, 1.6) for packet in sent]
    assert find(packets, rtcp.PictureLoss) == [rtcp.PictureLoss(1, 9)] * 2
    assert find(packets, rtcp.FullIntraRequest) == [rtcp.FullIntraRequest(1, ((9, 0),))] * 2


def test_pli_and_fir_of_the_peer_are_events_and_a_repeated_fir_is_one() -> None:
    one = session(1, *ALL)
    assert one.receive_rtcp(rtcp.pack([rtcp.PictureLoss(9, 1)]), 0.0) == [KeyFrameRequested("pli")]
    fir = rtcp.pack([rtcp.FullIntraRequest(9, ((1, 5),))])
    assert one.receive_rtcp(fir, 0.0) == [KeyFrameRequested("fir")]
    assert one.receive_rtcp(fir, FIR_REPEAT / 2) == []
    assert one.receive_rtcp(fir, FIR_REPEAT * 2) == [KeyFrameRequested("fir")]
    fresh = rtcp.pack([rtcp.FullIntraRequest(9, ((1, 6),))])
    assert one.receive_rtcp(fresh, FIR_REPEAT * 2) == [KeyFrameRequested("fir")]


def test_feedback_with_a_wrong_ssrc_counts_only_on_a_transport_of_its_own() -> None:
    data = rtcp.pack([rtcp.PictureLoss(9, 0), rtcp.Nack(9, 0, (1,)), rtcp.EstimatedBandwidth(9, 5, (0,))])
    assert len(session(1, *ALL).receive_rtcp(data, 0.0)) == 3
    assert session(1, *ALL, shared=True).receive_rtcp(data, 0.0) == []


def test_a_rate_request_is_told_and_confirmed_at_once() -> None:
    one = session(1, "ccm tmmbr")
    run(one, 0.0, 1.0)
    request = rtcp.pack([rtcp.RateRequest(9, (rtcp.RateEntry(1, 256_000, 40),))])
    assert one.receive_rtcp(request, 1.5) == [BandwidthLimit(256_000, "tmmbr")]
    (data,) = one.poll(1.5)
    assert find(rtcp.parse(data), rtcp.RateNotification) == [
        rtcp.RateNotification(1, (rtcp.RateEntry(9, 256_000, 40),))
    ]


def test_a_limit_by_tmmbr_is_repeated_until_it_is_confirmed() -> None:
    one, peer = session(1, "ccm tmmbr"), session(9, "ccm tmmbr")
    one.receive_rtp(peer.pack(96, b"x", 0, now=0.0), 0.0)
    assert one.limit_remote(512_000, 0.0)
    sent = [packet for _, packets in run(one, 0.0, 2.5) for packet in find(packets, rtcp.RateRequest)]
    assert len(sent) >= 2
    assert peer.receive_rtcp(rtcp.pack(sent[:1]), 2.5) == [BandwidthLimit(512_000, "tmmbr")]
    (answer,) = peer.poll(2.5)
    one.receive_rtcp(answer, 2.6)
    assert not [1 for _, packets in run(one, 3.0, 10.0) if find(packets, rtcp.RateRequest)]


def test_a_limit_by_remb_is_sent_at_once_and_with_each_report() -> None:
    one = session(1, "goog-remb")
    one.receive_rtp(b"\x80\x60\x00\x01\x00\x00\x00\x00\x00\x00\x00\x09x", 0.0)
    run(one, 0.0, 1.0)
    assert one.limit_remote(300_000, 1.5)
    sent = run(one, 1.5, 10.0)
    assert sent[0][0] == 1.5
    for _, packets in sent:
        assert find(packets, rtcp.EstimatedBandwidth) == [rtcp.EstimatedBandwidth(1, 300_000, (9,))]


def test_limits_that_change_all_the_time_are_not_sent_all_the_time() -> None:
    one = session(1, "goog-remb")
    one.receive_rtp(b"\x80\x60\x00\x01\x00\x00\x00\x00\x00\x00\x00\x09x", 0.0)
    sent = 0
    for n in range(1000):
        one.limit_remote(300_000 + n, n * 0.001)
        sent += len(one.poll(n * 0.001))
    assert sent <= 7
    assert session().limit_remote(1, 0.0) is False


def test_bye_ends_a_compound_that_others_can_read() -> None:
    one = session()
    one.pack(96, b"x", 0, now=1.0)
    packets = rtcp.parse(one.bye(2.0))
    assert [type(packet) for packet in packets] == [rtcp.SenderReport, rtcp.SourceDescription, rtcp.Goodbye]
    assert packets[-1] == rtcp.Goodbye((1,))


def test_feedback_that_is_no_longer_negotiated_stops() -> None:
    one = session(1, *ALL)
    one.request_key_frame(0.0)
    one.feedback = frozenset()
    assert not any(find(packets, rtcp.PictureLoss) for _, packets in run(one, 0.0, 3.0))
