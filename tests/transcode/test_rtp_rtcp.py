"""RTCP on the wire: annotated samples, valid and invalid, and an independent parser's view of what is written."""

from __future__ import annotations

import random

import aiortc.rtp
import pytest

from transcode.rtp import rtcp
from transcode.rtp.rtcp import (
    EstimatedBandwidth,
    FullIntraRequest,
    Goodbye,
    Nack,
    PictureLoss,
    RateEntry,
    RateNotification,
    RateRequest,
    ReceiverReport,
    ReportBlock,
    SenderReport,
    SourceDescription,
)


def octets(annotated: str) -> bytes:
    """Read hex with comments behind '#'."""
    return bytes.fromhex("".join(line.split("#")[0] for line in annotated.splitlines()))


SENDER_REPORT = octets(
    """
    81 c8 000c          # version 2, one block; SR; 12 words follow
    11223344            # SSRC of the sender
    83aa7e80 80000000   # NTP: 2209989248.5 s
    0001f400            # RTP timestamp 128,000
    00000320 0001f400   # 800 packets, 128,000 octets
    55667788            # block: about this SSRC
    40 fffffe           # a quarter lost lately, -2 in all (copies came)
    00010005            # one wrap, sequence 5
    00000050            # jitter 80 ticks
    7e808000 00010000   # last SR; 1 s ago
    """
)
RECEIVER_REPORT_EMPTY = octets("80 c9 0001  11223344  # RR without block")
SOURCE_DESCRIPTION = octets(
    """
    81 ca 0004          # SDES with one chunk
    11223344            # SSRC
    01 05 612d62 2e63   # CNAME, 5 octets: "a-b.c"
    06 01 78            # TOOL, 1 octet: "x"
    00 00               # end, and null octets up to the boundary
    """
)
GOODBYE = octets("81 cb 0003  11223344  04 6c656674 000000  # BYE of one source: left")
NACK = octets("81 cd 0003  11223344 55667788  fffe 8003  # 65534, 65535, 0 and 65534 + 16 = 14")
PLI = octets("81 ce 0002  11223344 55667788")
FIR = octets("84 ce 0004  11223344 00000000  55667788 07000000  # command 7")
TMMBR = octets("83 cd 0004  11223344 00000000  55667788  0fd09028  # exponent 3, mantissa 125,000, overhead 40")
REMB = octets("8f ce 0005  11223344 00000000  52454d42 01 0b d090  55667788  # one SSRC; exponent 2, mantissa 250,000")
APPLICATION = octets("80 cc 0003  11223344  6e616d65  00000000  # APP 'name'")
EXTENDED_REPORT = octets("80 cf 0001  11223344")
SLI = octets("82 ce 0003  11223344 55667788  00000000")
TRANSPORT_WIDE = octets("8f cd 0004  11223344 55667788  0001 0001 000000 00")


def test_a_sender_report_is_read_with_its_block() -> None:
    (report,) = rtcp.parse(SENDER_REPORT)
    block = ReportBlock(0x55667788, 0x40, -2, 0x10005, 80, 0x7E808000, 65536)
    assert report == SenderReport(0x11223344, 0x83AA7E8080000000, 128000, 800, 128000, (block,))
    assert rtcp.pack([report]) == SENDER_REPORT


def test_a_compound_is_read_in_order_and_what_is_unknown_is_skipped() -> None:
    data = RECEIVER_REPORT_EMPTY + SOURCE_DESCRIPTION + APPLICATION + EXTENDED_REPORT + SLI + TRANSPORT_WIDE + GOODBYE
    assert rtcp.parse(data) == [
        ReceiverReport(0x11223344),
        SourceDescription(((0x11223344, "a-b.c"),)),
        Goodbye((0x11223344,), "left"),
    ]


def test_feedback_of_reduced_size_is_read_alone() -> None:
    assert rtcp.parse(NACK) == [Nack(0x11223344, 0x55667788, (65534, 65535, 0, 14))]
    assert rtcp.parse(PLI) == [PictureLoss(0x11223344, 0x55667788)]
    assert rtcp.parse(FIR) == [FullIntraRequest(0x11223344, ((0x55667788, 7),))]
    assert rtcp.parse(REMB) == [EstimatedBandwidth(0x11223344, 1_000_000, (0x55667788,))]


def test_a_rate_request_is_read_with_exponent_mantissa_and_overhead() -> None:
    (request,) = rtcp.parse(TMMBR)
    assert request == RateRequest(0x11223344, (RateEntry(0x55667788, 1_000_000, 40),))
    assert rtcp.pack([request]) == TMMBR


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(octets("80 c9 00"), id="shorter than a header"),
        pytest.param(octets("40 c9 0001 11223344"), id="version 1"),
        pytest.param(octets("80 60 0001 11223344"), id="an RTP payload type"),
        pytest.param(octets("80 c9 0002 11223344"), id="length beyond the datagram"),
        pytest.param(octets("81 c9 0001 11223344"), id="a block that is not there"),
        pytest.param(octets("80 c8 0003 11223344 00000000 00000000"), id="SR without sender information"),
        pytest.param(octets("81 ca 0002 11223344 01 09 6161"), id="SDES item longer than its packet"),
        pytest.param(octets("81 ca 0002 11223344 01 02 6161"), id="SDES without end"),
        pytest.param(octets("82 cb 0001 11223344"), id="BYE with a source missing"),
        pytest.param(octets("81 cb 0002 11223344 09 6c6566"), id="BYE reason longer than its packet"),
        pytest.param(octets("81 cd 0002 11223344 55667788"), id="NACK without an entry"),
        pytest.param(octets("81 ce 0001 11223344"), id="PLI without media SSRC"),
        pytest.param(octets("84 ce 0003 11223344 00000000 55667788"), id="FIR with half an entry"),
        pytest.param(octets("83 cd 0003 11223344 00000000 55667788"), id="TMMBR with half an entry"),
        pytest.param(octets("8f ce 0004 11223344 00000000 52454d42 02 0bd090"), id="REMB with SSRCs missing"),
        pytest.param(octets("a0 c9 0002 11223344 00000000"), id="padding of no length"),
        pytest.param(octets("a0 c9 0002 11223344 00000009"), id="padding longer than its packet"),
        pytest.param(octets("a0 c9 0002 11223344 00000004 80 c9 0001 11223344"), id="padding before the last packet"),
        pytest.param(octets("80 c9 0001 11223344") * 65, id="too many packets"),
        pytest.param(octets("80 cc 0200") + bytes(2048), id="too long"),
    ],
)
def test_malformed_rtcp_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"RTCP"):
        rtcp.parse(data)


def test_padding_of_the_last_packet_is_taken_off() -> None:
    assert rtcp.parse(octets("a0 c9 0002 11223344 00000004")) == [ReceiverReport(0x11223344)]


def test_what_is_written_is_read_again() -> None:
    packets: list[rtcp.RtcpPacket] = [
        SenderReport(1, 2, 3, 4, 5, (ReportBlock(6, 7, -8, 9, 10, 11, 12),)),
        ReceiverReport(1, tuple(ReportBlock(6, 255, 0x7FFFFF, 9, 10, 11, 12) for _ in range(31))),
        SourceDescription(((1, "ä" * 20), (2, ""))),
        Nack(1, 2, (10, 11, 26, 27, 28, 65535, 3)),
        RateRequest(1, (RateEntry(2, 130_000, 40),)),
        RateNotification(1, ()),
        PictureLoss(1, 2),
        FullIntraRequest(1, ((2, 255), (3, 0))),
        EstimatedBandwidth(1, 250_000, (2, 3)),
        Goodbye((1, 2), "x" * 7),
    ]
    assert rtcp.parse(rtcp.pack(packets)) == packets


def test_a_limit_is_rounded_down_when_it_is_written() -> None:
    for bit_rate in (0, 1, 131_071, 131_073, 1_999_999, 1 << 40, 1 << 50):
        (remb,) = rtcp.parse(rtcp.pack([EstimatedBandwidth(1, bit_rate, (2,))]))
        (tmmbr,) = rtcp.parse(rtcp.pack([RateRequest(1, (RateEntry(2, bit_rate),))]))
        assert isinstance(remb, EstimatedBandwidth)
        assert isinstance(tmmbr, RateRequest)
        assert bit_rate * 0.9999 - 1 <= remb.bit_rate <= bit_rate or remb.bit_rate == rtcp.MAX_BIT_RATE
        assert bit_rate * 0.9999 - 1 <= tmmbr.entries[0].bit_rate <= bit_rate or bit_rate > rtcp.MAX_BIT_RATE


def test_values_that_do_not_fit_are_refused_when_written() -> None:
    with pytest.raises(ValueError, match="fit"):
        rtcp.pack([PictureLoss(1 << 32, 0)])
    with pytest.raises(ValueError, match="names"):
        rtcp.pack([Nack(1, 2, ())])
    with pytest.raises(ValueError, match="blocks"):
        rtcp.pack([ReceiverReport(1, tuple(ReportBlock(6, 0, 0, 9, 10, 11, 12) for _ in range(32)))])


def test_a_nack_names_a_bounded_number_of_packets() -> None:
    body = b"\x00\x00\xff\xff" * 200
    (nack,) = rtcp.parse(octets("81 cd 00ca 11223344 55667788") + body)
    assert isinstance(nack, Nack)
    assert len(nack.sequences) == rtcp.MAX_SEQUENCES


def test_another_stack_reads_what_is_written() -> None:
    data = rtcp.pack(
        [
            SenderReport(1, 2 << 32, 3, 4, 5, (ReportBlock(6, 7, -8, 9, 10, 11, 12),)),
            SourceDescription(((1, "room"),)),
            Nack(1, 6, (10, 11, 26, 40)),
            PictureLoss(1, 6),
            FullIntraRequest(1, ((6, 9),)),
            EstimatedBandwidth(1, 1_500_000, (6,)),
            Goodbye((1,)),
        ]
    )
    report, description, nack, pli, fir, remb, bye = aiortc.rtp.RtcpPacket.parse(data)
    assert (report.ssrc, report.sender_info.rtp_timestamp, report.reports[0].packets_lost) == (1, 3, -8)
    assert description.chunks[0].items == [(1, b"room")]
    assert nack.lost == [10, 11, 26, 40]
    assert (pli.fmt, pli.media_ssrc) == (1, 6)
    assert (fir.fmt, fir.fci) == (4, octets("00000006 09000000"))
    bit_rate, ssrcs = aiortc.rtp.unpack_remb_fci(remb.fci)
    assert (abs(bit_rate - 1_500_000) < 10, ssrcs) == (True, [6])
    assert bye.sources == [1]
    assert b"".join(bytes(packet) for packet in (report, description, nack, pli, fir, remb, bye)) == data


def test_no_entry_of_a_nack_spans_the_wrap_since_some_parsers_count_on() -> None:
    (nack,) = aiortc.rtp.RtcpPacket.parse(rtcp.pack([Nack(1, 6, (65534, 65535, 0, 1))]))
    assert nack.lost == [65534, 65535, 0, 1]


def test_random_and_cut_datagrams_raise_nothing_but_value_errors() -> None:
    chance = random.Random(seed := 20261)
    samples = [SENDER_REPORT, SOURCE_DESCRIPTION, GOODBYE, NACK, PLI, FIR, TMMBR, REMB, APPLICATION]
    read = 0
    for _ in range(20_000):
        data = bytearray(b"".join(chance.choices(samples, k=chance.randint(1, 4))))
        for _ in range(chance.randint(0, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            rtcp.parse(bytes(data[: chance.randint(0, len(data)) if chance.random() < 0.5 else len(data)]))
            read += 1
        except ValueError:
            pass
    assert read > 1000, f"seed {seed}: hardly anything was read"
