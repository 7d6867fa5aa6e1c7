"""RTP packets on the wire: annotated samples, valid and invalid."""

from __future__ import annotations

import random

import pytest

from transcode.rtp.packet import RtpPacket, is_rtcp, pack

PLAIN = bytes.fromhex(
    "80 e0 fffe"  # version 2; marker, payload type 96; sequence 65534
    "ffffff00 11223344"  # timestamp, SSRC
    "616263"  # payload "abc"
)
FULL = bytes.fromhex(
    "b2 08 0001"  # version 2, padding, extension, two CSRCs; payload type 8
    "000000a0 11223344"
    "00000001 00000002"  # CSRCs
    "bede 0001 10ff0000"  # one-byte extensions (RFC 8285): one word
    "d5d5 0002"  # two octets of sound; two of padding
)


def test_a_plain_packet_is_read_and_written() -> None:
    packet = RtpPacket.parse(PLAIN, 7.5)
    assert (packet.payload_type, packet.marker, packet.sequence) == (96, True, 65534)
    assert (packet.timestamp, packet.ssrc, packet.payload) == (0xFFFFFF00, 0x11223344, b"abc")
    assert (packet.csrc, packet.extension, packet.arrival) == ((), None, 7.5)
    assert packet.pack() == PLAIN == pack(96, 65534, 0xFFFFFF00, 0x11223344, b"abc", True)


def test_sources_extension_and_padding_are_read() -> None:
    packet = RtpPacket.parse(FULL)
    assert (packet.csrc, packet.extension, packet.payload) == (
        (1, 2),
        (0xBEDE, bytes.fromhex("10ff0000")),
        b"\xd5\xd5",
    )
    assert packet.pack() == bytes([FULL[0] & ~0x20]) + FULL[1:-2]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("80 60 0001 00000000 112233", id="shorter than the header"),
        pytest.param("40 60 0001 00000000 11223344", id="version 1"),
        pytest.param("82 60 0001 00000000 11223344 00000001", id="a CSRC is missing"),
        pytest.param("90 60 0001 00000000 11223344", id="no extension header"),
        pytest.param("90 60 0001 00000000 11223344 bede 0002 00000000", id="extension longer than the packet"),
        pytest.param("a0 60 0001 00000000 11223344", id="padding without octets"),
        pytest.param("a0 60 0001 00000000 11223344 00", id="padding of no length"),
        pytest.param("a0 60 0001 00000000 11223344 61 05", id="padding longer than the payload"),
    ],
)
def test_a_malformed_packet_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="RTP"):
        RtpPacket.parse(bytes.fromhex(text))


def test_random_octets_raise_nothing_but_value_errors() -> None:
    chance = random.Random(seed := 2)
    read = 0
    for _ in range(20_000):
        data = bytes([0x80 | chance.randrange(64)]) + chance.randbytes(chance.randint(0, 60))
        try:
            packet = RtpPacket.parse(data)
        except ValueError:
            continue
        read += 1
        assert RtpPacket.parse(packet.pack()).payload == packet.payload
    assert read > 1000, f"seed {seed}"


def test_rtcp_is_told_from_rtp_by_its_second_octet() -> None:
    assert [is_rtcp(bytes([0x80, second])) for second in (0, 96, 191, 192, 200, 223, 224)] == [
        False,
        False,
        False,
        True,
        True,
        True,
        False,
    ]
    assert not is_rtcp(b"\x80")
