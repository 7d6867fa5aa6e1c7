"""Sizes: what coded pictures claim, the bound, and the shape of pixels."""

from __future__ import annotations

from fractions import Fraction

import pytest
from video_samples import coded

from transcode.media import Codec
from transcode.payload.formats import picture_size, size_allowed
from transcode.video.sizes import pixel_aspect

SPS_4096 = bytes.fromhex(
    "00000001"  # start code
    "67"  # nal_ref_idc 3, sequence parameter set
    "42c034"  # baseline, constraint sets 0 and 1, level 5.2
    "da00400048684"  # id 0, frame numbers, picture order, 1 reference, 256 by 144 macroblocks
    "0000003004000000f23c60ca8"  # VUI with timing
)
H263_CIF = bytes.fromhex(
    "000080"  # picture start code 0000 0000 0000 0000 1000 00, first bits of the temporal reference
    "02"  # its last bits, "10"
    "0c"  # split, document, release 000; source format 011 CIF; intra
    "000000"
)


def bits(*fields: tuple[int, int]) -> bytes:
    """Fields of (value, width) packed from the left, filled up with zeros."""
    text = "".join(f"{value:0{width}b}" for value, width in fields)
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big") + bytes(4)


@pytest.mark.parametrize("codec", [Codec.H264, Codec.VP8])
def test_the_size_of_a_coded_key_frame_is_read(codec: Codec) -> None:
    first, second, *_ = coded(codec)
    assert picture_size(codec, first.data) == (320, 180)
    assert picture_size(codec, second.data) is None


@pytest.mark.parametrize("codec", [Codec.H263, Codec.H263P, Codec.H261])
def test_the_source_format_of_old_codecs_is_read(codec: Codec) -> None:
    assert picture_size(codec, coded(codec, 3, 352, 288)[0].data) == (352, 288)
    assert picture_size(codec, coded(codec, 3, 176, 144)[1].data) == (176, 144)


def test_a_huge_sequence_parameter_set_is_read() -> None:
    assert picture_size(Codec.H264, SPS_4096) == (4096, 2304)


def test_a_vp8_header_claims_up_to_16383() -> None:
    header = bytes.fromhex("100000 9d012a ff3f ff3f 00".replace(" ", ""))  # key frame; start code; 14 bits each
    assert picture_size(Codec.VP8, header) == (16383, 16383)
    assert picture_size(Codec.VP8, bytes.fromhex("100000 9d012b ff3f ff3f 00".replace(" ", ""))) is None
    assert picture_size(Codec.VP8, b"\x10") is None


def test_a_custom_h263_format_is_read() -> None:
    head = ((0x20, 22), (0, 8), (0b10, 2), (0, 3), (7, 3))
    plus = ((1, 3), (6, 3), (0, 15), (0, 9), (0, 1), (1, 4), (319, 9), (1, 1), (180, 9))
    assert picture_size(Codec.H263P, bits(*head, *plus)) == (1280, 720)
    largest = ((1, 3), (6, 3), (0, 15), (0, 9), (0, 1), (1, 4), (511, 9), (1, 1), (288, 9))
    assert picture_size(Codec.H263P, bits(*head, *largest)) == (2048, 1152)
    assert picture_size(Codec.H263P, bits(*head, (0, 3))) is None
    assert picture_size(Codec.H263, b"\xff" * 16) is None


def test_a_plain_h263_header_is_read() -> None:
    assert picture_size(Codec.H263, H263_CIF) == (352, 288)


@pytest.mark.parametrize("codec", [Codec.H264, Codec.VP8, Codec.H263, Codec.H263P, Codec.H261])
def test_nothing_is_read_from_nothing(codec: Codec) -> None:
    assert picture_size(codec, b"") is None


@pytest.mark.parametrize(
    ("size", "allowed"), [((1920, 1200), True), ((1200, 1920), True), ((1922, 1080), False), ((4096, 2304), False)]
)
def test_the_bound_is_1920_by_1200(size: tuple[int, int], allowed: bool) -> None:
    assert size_allowed(*size) is allowed


def test_cif_and_its_kin_have_pixels_that_are_not_square() -> None:
    assert pixel_aspect(352, 288) == pixel_aspect(176, 144) == Fraction(12, 11)
    assert pixel_aspect(1280, 720) == 1
