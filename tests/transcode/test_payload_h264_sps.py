"""Sequence parameter sets, profiles and levels of H.264."""

from __future__ import annotations

import random

import pytest
from payload_streams import encode, format_of

from transcode.media import Codec
from transcode.payload.bits import BitReader
from transcode.payload.h264_profile import (
    LEVEL_1B,
    Limits,
    Profile,
    ProfileLevel,
    limits,
    packetization_mode,
    profile_level,
    sprop_parameter_sets,
)
from transcode.payload.h264_sps import parse_sps, picture_size, split_annexb
from transcode.payload.interface import size_allowed

SEED = 14496


class Bits:
    """Writes the fields of a parameter set."""

    def __init__(self) -> None:
        self.text = ""

    def u(self, value: int, count: int) -> Bits:
        self.text += f"{value:0{count}b}"
        return self

    def ue(self, *values: int) -> Bits:
        for value in values:
            code = f"{value + 1:b}"
            self.text += "0" * (len(code) - 1) + code
        return self

    def octets(self) -> bytes:
        text = self.text + "1"
        text += "0" * (-len(text) % 8)
        return int(text, 2).to_bytes(len(text) // 8)


def sps(columns: int, rows: int, crop: tuple[int, int, int, int] | None = None, frames_only: bool = True) -> bytes:
    """Write a Baseline set for a picture of so many macroblocks; crop is left, right, top, bottom in crop units."""
    bits = Bits().u(0x67, 8).u(66, 8).u(0xC0, 8).u(40, 8)
    bits.ue(0, 0, 0, 2, 1).u(0, 1)  # id, frame_num, order type 0, lsb, 1 reference frame, no gaps
    bits.ue(columns - 1, (rows if frames_only else rows // 2) - 1).u(frames_only, 1)
    if not frames_only:
        bits.u(0, 1)
    bits.u(1, 1).u(crop is not None, 1)
    if crop:
        bits.ue(*crop)
    bits.u(0, 1)
    raw = bits.octets()
    return raw[:1] + raw[1:].replace(b"\0\0\1", b"\0\0\3\1").replace(b"\0\0\0", b"\0\0\3\0")


SAMPLES = [
    pytest.param("6742c00dab40b04b20", (352, 288), id="Baseline CIF"),
    # High profile, level 4.0, 120 by 68 macroblocks cropped to 1080 lines, VUI behind it
    pytest.param("67640028acd940780227e5c05a808080a0000003002000000781e30632c0", (1920, 1080), id="High 1080p"),
    # Constrained Baseline, level 3.1: 80 by 45 macroblocks
    pytest.param("6742c01fda014016e9b808080a000003000200000300791e30654", (1280, 720), id="Baseline 720p"),
]


@pytest.mark.parametrize(("text", "size"), SAMPLES)
def test_the_size_is_read_with_cropping(text: str, size: tuple[int, int]) -> None:
    nal = bytes.fromhex(text + "0" * (len(text) % 2))
    parsed = parse_sps(nal)
    assert (parsed.width, parsed.height) == size
    assert picture_size(b"\0\0\0\1" + nal + b"\0\0\1\x65\x88") == size


@pytest.mark.parametrize("profile", ["baseline", "main", "high"])
def test_what_x264_writes_is_read(profile: str) -> None:
    options = (("profile", profile), ("level", "3.1"), ("preset", "veryfast"))
    data = encode(Codec.H264, 322, 242, count=1, options=options)[0].data
    (nal,) = [nal for nal in split_annexb(data) if nal[0] & 0x1F == 7]
    parsed = parse_sps(nal)
    assert (parsed.width, parsed.height, parsed.coded_width, parsed.coded_height) == (322, 242, 336, 256)
    assert (parsed.profile, parsed.level) == ({"baseline": 66, "main": 77, "high": 100}[profile], 31)


@pytest.mark.parametrize(
    ("nal", "size", "allowed"),
    [
        (sps(120, 75), (1920, 1200), True),
        (sps(75, 120), (1200, 1920), True),
        (sps(120, 68, (0, 0, 0, 4)), (1920, 1080), True),
        (sps(120, 68, (0, 0, 0, 2), frames_only=False), (1920, 1080), True),
        (sps(256, 144), (4096, 2304), False),
        (sps(120, 76), (1920, 1216), False),
        (sps(512, 512, (0, 4088, 0, 4088)), (8192, 8192), False),
    ],
)
def test_a_picture_that_is_too_large_is_known_before_decoding(nal: bytes, size: tuple[int, int], allowed: bool) -> None:
    assert picture_size(b"\0\0\1" + nal) == size
    assert size_allowed(*size) is allowed


def test_the_largest_claim_of_several_sets_counts() -> None:
    stream = b"\0\0\1" + sps(22, 18) + b"\0\0\1" + sps(256, 144) + b"\0\0\1" + sps(11, 9)
    assert picture_size(stream) == (4096, 2304)


@pytest.mark.parametrize(
    "nal",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\x68\x42", id="another unit"),
        pytest.param(b"\xe7" + sps(22, 18)[1:], id="forbidden bit"),
        pytest.param(sps(22, 18)[:6], id="cut short"),
        pytest.param(b"\x67\x42\xc0\x0d" + bytes(20), id="endless Exp-Golomb code"),
        pytest.param(sps(22, 18) + b"\xff" * 1024, id="too long"),
        pytest.param(sps(2000, 2), id="too wide"),
        pytest.param(sps(22, 18, (0, 176, 0, 0)), id="cropped to nothing"),
        pytest.param(Bits().u(0x6742C00D, 32).ue(40).octets(), id="id over 31"),
        pytest.param(Bits().u(0x6742C00D, 32).ue(0, 0, 1).u(0, 1).ue(0, 0, 256).octets(), id="long order cycle"),
        pytest.param(Bits().u(0x6742C00D, 32).ue(0, 0, 3).octets(), id="order type 3"),
        pytest.param(Bits().u(0x6742C00D, 32).ue(0, 0, 2, 17).octets(), id="17 reference frames"),
        pytest.param(Bits().u(0x6764000D, 32).ue(0, 4).octets(), id="chroma format 4"),
    ],
)
def test_a_malformed_set_raises_value_error_only(nal: bytes) -> None:
    with pytest.raises(ValueError):
        parse_sps(nal)
    assert picture_size(b"\0\0\1" + nal) is None


def test_random_sets_raise_value_error_only() -> None:
    rng = random.Random(SEED)
    read = 0
    for _ in range(20_000):
        profile = rng.choice((66, 77, 100, 122, 244))
        nal = bytes((0x67, profile, 0, 31)) + rng.randbytes(rng.randrange(30))
        try:
            parsed = parse_sps(nal)
        except ValueError:
            continue
        read += 1
        assert 0 < parsed.width <= 16_384
        assert 0 < parsed.height <= 16_384
    assert 0 < read < 20_000


def test_exp_golomb_codes_are_read() -> None:
    bits = BitReader(bytes([0b1_010_011_0, 0b0100_0010, 0b1_0000000]))
    assert [bits.unsigned() for _ in range(4)] == [0, 1, 2, 3]
    bits = BitReader(bytes([0b1_010_011_0, 0b0100_0010, 0b1_0000000]))
    assert [bits.signed() for _ in range(4)] == [0, 1, -1, 2]


@pytest.mark.parametrize(
    ("text", "profile", "level"),
    [
        ("42e01f", Profile.CONSTRAINED_BASELINE, 31),
        ("42c00d", Profile.CONSTRAINED_BASELINE, 13),
        ("428014", Profile.BASELINE, 20),
        ("42001f", Profile.BASELINE, 31),
        ("4d001f", Profile.MAIN, 31),
        ("4d801f", Profile.CONSTRAINED_BASELINE, 31),
        ("58c01f", Profile.CONSTRAINED_BASELINE, 31),
        ("58001f", Profile.EXTENDED, 31),
        ("640c1f", Profile.CONSTRAINED_HIGH, 31),
        ("640028", Profile.HIGH, 40),
        ("f4001f", Profile.OTHER, 31),
        ("42f00b", Profile.CONSTRAINED_BASELINE, LEVEL_1B),
        ("42e00b", Profile.CONSTRAINED_BASELINE, 11),
        ("42e021", Profile.CONSTRAINED_BASELINE, 32),
        ("42e000", Profile.CONSTRAINED_BASELINE, 10),
    ],
)
def test_profile_and_level_are_read_from_profile_level_id(text: str, profile: Profile, level: int) -> None:
    parsed = ProfileLevel.parse(text.upper())
    assert (parsed.profile, parsed.level, str(parsed)) == (profile, level, text)


@pytest.mark.parametrize("text", ["", "42e0", "42e01g", "42e01f00", " 42e01"])
def test_a_malformed_profile_level_id_counts_as_the_default(text: str) -> None:
    with pytest.raises(ValueError, match="hex"):
        ProfileLevel.parse(text)
    assert str(profile_level(format_of(Codec.H264, profile_level_id=text))) == "42000a"


def test_a_decoder_takes_the_profiles_inside_its_own() -> None:
    ours, baseline, main, high = map(ProfileLevel.parse, ("42e01f", "42001f", "4d001f", "640028"))
    assert [receiver.takes(ours) for receiver in (ours, baseline, main, high)] == [True] * 4
    assert [ours.takes(sender) for sender in (baseline, main, high)] == [False] * 3
    assert high.takes(main)
    assert not main.takes(high)
    assert high.level_reaches(ours)
    assert not ours.level_reaches(high)
    one_b, one, one_one = map(ProfileLevel.parse, ("42f00b", "42e00a", "42e00b"))
    assert one_b.level_reaches(one)
    assert not one.level_reaches(one_b)
    assert one_one.level_reaches(one_b)


def test_limits_come_from_the_level_and_are_raised_by_fmtp() -> None:
    plain = limits(format_of(Codec.H264, profile_level_id="42e01f"))
    assert plain == Limits(108_000, 3_600, 14_000_000)
    assert plain.frame_rate(1280, 720) == 30.0
    assert plain.frame_rate(1920, 1080) == 0.0
    raised = limits(format_of(Codec.H264, profile_level_id="42e01f", max_mbps="245760", max_fs="8192", max_br="20000"))
    assert raised == Limits(245_760, 8_192, 20_000_000)
    assert round(raised.frame_rate(1920, 1080), 1) == 30.1
    lower = limits(format_of(Codec.H264, profile_level_id="42e01f", max_mbps="100", max_fs="x", max_br="-5"))
    assert lower == plain
    assert limits(format_of(Codec.H264, profile_level_id="64001f")).bit_rate == 17_500_000
    assert limits(format_of(Codec.H264)).frame_rate(176, 144) == 15.0
    assert plain.frame_rate(4096, 16) == 0.0
    assert plain.frame_rate(0, 0) == 0.0


@pytest.mark.parametrize(("text", "mode"), [("0", 0), ("1", 1), ("2", 2), ("", 0), ("7", 0), ("x", 0)])
def test_packetization_mode_is_read(text: str, mode: int) -> None:
    assert packetization_mode(format_of(Codec.H264, packetization_mode=text)) == mode


def test_sprop_parameter_sets_are_read_and_rubbish_is_left_out() -> None:
    good = "Z0LADatAsEsg,aM48gA=="
    nals = sprop_parameter_sets(good)
    assert [nal.hex() for nal in nals] == ["6742c00dab40b04b20", "68ce3c80"]
    assert sprop_parameter_sets(good.rstrip("=")) == nals
    assert sprop_parameter_sets("Z0LA,%%%%,," + good + ",AAAA") == nals
    assert sprop_parameter_sets("") == ()
    assert len(sprop_parameter_sets("aM48gA==," * 100)) == 16
