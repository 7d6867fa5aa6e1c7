"""H.264 payloads (RFC 6184) by hand-made samples."""

from __future__ import annotations

import random

import pytest

from transcode.frames import EncodedFrame
from transcode.media import Codec
from transcode.payload.h264 import MAX_NALS, MAX_PPS_KEPT, H264Depacketizer, H264Packetizer
from transcode.payload.h264_sps import split_annexb

SEED = 6184
SPS = bytes.fromhex(
    "67"  # NRI 3, type 7: sequence parameter set
    "42c00d"  # Baseline, constraint_set0 and 1, level 1.3
    "ab40b04b20"  # CIF
)
PPS = bytes.fromhex("68ce3c80")  # type 8, id 0
IDR = bytes.fromhex("65b8" + "11" * 20)  # type 5, first_mb_in_slice 0, slice_type 7 (I)
SLICE = bytes.fromhex("41e2" + "22" * 20)  # type 1, first_mb_in_slice 0, slice_type 5 (P)
FURTHER = bytes.fromhex("414b" + "33" * 20)  # type 1, first_mb_in_slice 1
INTRA = bytes.fromhex("41b8" + "44" * 20)  # type 1, slice_type 7 (I): no IDR picture
RECOVERY = bytes.fromhex(
    "06"  # SEI
    "0601"  # recovery point, 1 octet
    "c4"  # recovery_frame_cnt 0, exact match
    "80"  # trailing bits
)


def annexb(*nals: bytes) -> bytes:
    return b"".join(b"\0\0\0\1" + nal for nal in nals)


def frame(*nals: bytes) -> EncodedFrame:
    return EncodedFrame(Codec.H264, annexb(*nals), 0, False)


def test_a_single_nal_unit_becomes_a_byte_stream() -> None:
    picture = H264Depacketizer().assemble([SLICE])
    assert picture.data == annexb(SLICE)
    assert (picture.key, picture.damaged) == (False, False)


def test_stap_a_is_unpacked() -> None:
    stap = bytes.fromhex(
        "78"  # NRI 3, type 24: STAP-A
        "0009 6742c00dab40b04b20"  # 9 octets: SPS
        "0004 68ce3c80"  # 4 octets: PPS
    )
    picture = H264Depacketizer().assemble([stap, IDR])
    assert picture.data == annexb(SPS, PPS, IDR)
    assert picture.key


def test_fu_a_is_joined() -> None:
    payloads = [
        bytes.fromhex("7c85 b811"),  # NRI 3, type 28: FU-A; start, type 5
        bytes.fromhex("7c05 1111"),  # middle
        bytes.fromhex("7c45 11"),  # end
    ]
    assert H264Depacketizer().assemble(payloads).data == annexb(bytes.fromhex("65b81111111 1".replace(" ", "")))


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param("", id="empty"),
        pytest.param("78 0009 6742", id="STAP-A with a length beyond its end"),
        pytest.param("78 0000", id="STAP-A with an empty unit"),
        pytest.param("78", id="STAP-A with nothing in it"),
        pytest.param("7c85", id="FU-A without content"),
        pytest.param("7c05 1111", id="FU-A without its start"),
        pytest.param("7c85 b811", id="FU-A without its end"),
        pytest.param("79 0000 0004 68ce3c80", id="STAP-B"),
        pytest.param("7a 0000 0000", id="MTAP16"),
        pytest.param("7d 85 0000 b811", id="FU-B"),
    ],
)
def test_what_cannot_be_used_damages_the_picture_and_leaves_the_rest(payload: str) -> None:
    depacketizer = H264Depacketizer()
    picture = depacketizer.assemble([SLICE, bytes.fromhex(payload), FURTHER])
    assert picture.damaged
    assert picture.data == annexb(SLICE, FURTHER)


def test_unsupported_and_malformed_payloads_are_counted_apart() -> None:
    depacketizer = H264Depacketizer()
    depacketizer.assemble([bytes.fromhex("7900000004"), bytes.fromhex("780009")])
    assert depacketizer.counters() == {"malformed": 1, "unsupported": 1, "bad_parameter_sets": 0}


def test_a_gap_inside_a_fragmented_unit_drops_only_that_unit() -> None:
    picture = H264Depacketizer().assemble([SLICE, bytes.fromhex("5c814b33"), None, bytes.fromhex("5c4133")])
    assert picture.data == annexb(SLICE)
    assert picture.damaged


def test_parameter_sets_of_signalling_stand_before_a_key_frame_that_lacks_them() -> None:
    depacketizer = H264Depacketizer((SPS, PPS))
    assert depacketizer.assemble([SLICE]).data == annexb(SLICE)
    assert depacketizer.assemble([IDR]).data == annexb(SPS, PPS, IDR)


def test_parameter_sets_of_the_stream_are_kept_and_not_doubled() -> None:
    depacketizer = H264Depacketizer((bytes.fromhex("6742c00dab40b04b21"), PPS))
    alone = depacketizer.assemble([SPS, PPS])
    assert (alone.data, alone.damaged) == (b"", False)
    assert depacketizer.assemble([IDR]).data == annexb(SPS, PPS, IDR)
    assert depacketizer.assemble([SPS, PPS, IDR]).data == annexb(SPS, PPS, IDR)
    assert depacketizer.assemble([PPS, IDR]).data == annexb(SPS, PPS, IDR)


def test_after_a_vain_wait_the_parameter_sets_stand_before_any_picture() -> None:
    depacketizer = H264Depacketizer((SPS, PPS))
    depacketizer.resume()
    assert depacketizer.assemble([SLICE]).data == annexb(SPS, PPS, SLICE)
    assert depacketizer.assemble([SLICE]).data == annexb(SLICE)


@pytest.mark.parametrize(
    ("nals", "key"),
    [
        ([IDR], True),
        ([SLICE], False),
        ([INTRA], False),
        ([SPS, PPS, INTRA], True),
        ([SPS, PPS, INTRA, FURTHER], False),
        ([RECOVERY, SLICE], True),
        ([bytes.fromhex("0601a480"), SLICE], False),
        ([bytes.fromhex("06060140 80"), SLICE], False),
    ],
)
def test_key_frames_are_known_without_idr_too(nals: list[bytes], key: bool) -> None:
    assert H264Depacketizer().assemble(nals).key is key


def test_a_malformed_parameter_set_never_reaches_the_decoder() -> None:
    depacketizer = H264Depacketizer()
    picture = depacketizer.assemble([SPS[:5], PPS, IDR])
    assert picture.data == annexb(PPS, IDR)
    assert picture.damaged
    assert depacketizer.bad_parameter_sets == 1


def test_start_codes_left_in_a_payload_are_taken_out() -> None:
    payload = b"\0\0\0\1" + SPS + b"\0\0\0\1" + PPS + b"\0\0\1" + IDR
    depacketizer = H264Depacketizer()
    assert depacketizer.assemble([SPS + b"\0\0\0\1" + PPS, IDR]).data == annexb(SPS, PPS, IDR)
    assert H264Depacketizer().assemble([bytes([0x7C, 0x85]) + payload, bytes([0x7C, 0x45, 0x11])]).data


def test_the_units_of_a_picture_and_the_sets_kept_are_bounded() -> None:
    depacketizer = H264Depacketizer()
    picture = depacketizer.assemble([SLICE] * (MAX_NALS + 1))
    assert len(list(split_annexb(picture.data))) == MAX_NALS
    assert picture.damaged
    for identity in range(100):
        bits = f"{identity + 1:b}"
        code = "0" * (len(bits) - 1) + bits
        depacketizer.assemble([b"\x68" + int(code.ljust(24, "1"), 2).to_bytes(3)])
    kept = depacketizer.assemble([IDR])
    assert len(list(split_annexb(kept.data))) == MAX_PPS_KEPT + 1


@pytest.mark.parametrize(
    ("payload", "begins"),
    [
        (SPS, True),
        (RECOVERY, True),
        (IDR, True),
        (SLICE, True),
        (FURTHER, False),
        (bytes.fromhex("7800096742c00d"), True),
        (bytes.fromhex("7c85b811"), True),
        (bytes.fromhex("7c814b33"), False),
        (bytes.fromhex("7c05b811"), False),
        (b"", False),
        (b"\x7c", False),
    ],
)
def test_the_first_payload_of_a_picture_is_known(payload: bytes, begins: bool) -> None:
    assert H264Depacketizer().begins(payload) is begins


def test_mode_1_puts_parameter_sets_together_and_fragments_what_is_large() -> None:
    large = b"\x65" + bytes(range(1, 256)) * 10
    packets = H264Packetizer(1, 1000).packets(frame(b"\x09\xf0", SPS, PPS, RECOVERY, large))
    assert packets[0][0] == bytes.fromhex("78 0009 6742c00dab40b04b20 0004 68ce3c80 0005 060601c480")
    assert [payload[:2].hex() for payload, _ in packets[1:]] == ["7c85", "7c05", "7c45"]
    assert [marker for _, marker in packets] == [False, False, False, True]
    assert max(len(payload) for payload, _ in packets) <= 1000
    back = H264Depacketizer().assemble([payload for payload, _ in packets])
    assert back.data == annexb(SPS, PPS, RECOVERY, large)


def test_mode_0_sends_single_units_and_says_how_large_they_may_be() -> None:
    packetizer = H264Packetizer(0, 100)
    assert packetizer.max_nal == 100
    assert packetizer.packets(frame(SPS, PPS, IDR)) == [(SPS, False), (PPS, False), (IDR, True)]
    assert packetizer.packets(frame(SPS, PPS, b"\x65" + b"\x11" * 100)) == []
    assert packetizer.refused == 1
    assert H264Packetizer(1).max_nal is None


def test_an_empty_frame_is_refused_and_a_wrong_mode_too() -> None:
    packetizer = H264Packetizer(1)
    assert packetizer.packets(EncodedFrame(Codec.H264, b"", 0, False)) == []
    assert packetizer.refused == 1
    with pytest.raises(ValueError, match="mode"):
        H264Packetizer(2)


def test_random_payloads_are_harmless() -> None:
    rng = random.Random(SEED)
    depacketizer = H264Depacketizer()
    for _ in range(3000):
        payloads = [
            None
            if rng.random() < 0.1
            else bytes([rng.choice((0x67, 0x68, 0x65, 0x78, 0x7C, rng.randrange(256)))])
            + rng.randbytes(rng.randrange(40))
            for _ in range(rng.randrange(6))
        ]
        depacketizer.assemble(payloads)
        depacketizer.begins(rng.randbytes(rng.randrange(5)))
    counters = depacketizer.counters()
    assert min(counters.values()) > 0, counters
