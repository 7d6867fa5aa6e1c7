"""H.263 payloads (RFC 2190, RFC 4629) and picture headers."""

from __future__ import annotations

import random
import struct
from itertools import pairwise

import av
import pytest
from av.video.codeccontext import VideoCodecContext
from payload_streams import encode, pictures

from transcode.frames import EncodedFrame
from transcode.media import Codec
from transcode.payload.bits import start_codes
from transcode.payload.h263 import H263Depacketizer, H263Packetizer
from transcode.payload.h263_macroblocks import macroblock_cuts
from transcode.payload.h263_picture import START_ZEROS, parse_header, picture_size
from transcode.payload.h263p import H263PDepacketizer, H263PPacketizer, body

SEED = 2190
PICTURE = bytes.fromhex(
    "0000 80"  # picture start code, first two bits of the temporal reference
    "16"  # temporal reference 5, PTYPE 10
    "0c"  # no split screen, camera, release; CIF; intra
    "07 3b58"
)
GOB = bytes.fromhex("0000 88 1122")  # GOB start code, group number 1
MODE_A = bytes.fromhex("00 60 00 05")  # F 0, SBIT 0, EBIT 0; CIF, intra; TR 5
MODE_B = bytes.fromhex("80 65 0000 8000 0000")  # F 1, P 0; CIF, QUANT 5; GOB 0, MBA 0; inter
MODE_C = bytes.fromhex("c0 65 0000 8000 0000 0000 0005")  # F 1, P 1


@pytest.mark.parametrize(
    ("text", "size", "intra"),
    [
        ("0000 8016 0c07", (352, 288), True),
        ("0000 8016 0e07", (352, 288), False),
        ("0000 8016 0407", (128, 96), True),
        ("0000 8016 0807", (176, 144), True),
        ("0000 8016 1007", (704, 576), True),
        ("0000 8016 1407", (1408, 1152), True),
        # PLUSPTYPE: UFEP 1, source format 6 (custom), no options, 1000; intra, 001; CPM 0; CPFMT: PAR 1, 80*4 by 60*4
        ("0000 8016 1ce001001093e3c0", (320, 240), True),
        # PLUSPTYPE: UFEP 0, the size is as before; inter
        ("0000 8016 1c1040", None, False),
    ],
)
def test_picture_headers_are_read(text: str, size: tuple[int, int] | None, intra: bool) -> None:
    data = bytes.fromhex(text) + bytes(8)
    header = parse_header(data)
    assert header.temporal_reference == 5
    assert (header.size, header.intra) == (size, intra)
    assert picture_size(data) == size


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("00008016", id="cut short"),
        pytest.param("0000881122", id="GOB"),
        pytest.param("000080140c07", id="PTYPE without its marker"),
        pytest.param("000080160007", id="source format 0"),
        pytest.param("000080161807", id="source format 6 in PTYPE"),
        pytest.param("000080161d0000000000", id="UFEP 2"),
        pytest.param("000080161c8000000000", id="source format 0 in OPPTYPE"),
    ],
)
def test_malformed_picture_headers_raise_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        parse_header(bytes.fromhex(text))
    assert picture_size(bytes.fromhex(text)) is None


@pytest.mark.parametrize("options", [(("ps", "1"),), (("ps", "0"),), (("umv", "1"),)])
def test_the_extended_headers_that_ffmpeg_writes_are_read(options: tuple[tuple[str, str], ...]) -> None:
    first, second = encode(Codec.H263P, 320, 240, count=2, options=options)
    assert picture_size(first.data) == (320, 240)
    assert [parse_header(frame.data).intra for frame in (first, second)] == [True, False]


def test_modes_a_b_and_c_are_joined() -> None:
    picture = H263Depacketizer().assemble([MODE_A + PICTURE, MODE_B + b"\x11", MODE_C + b"\x22", MODE_A + GOB])
    assert picture.data == PICTURE + b"\x11\x22" + GOB
    assert (picture.key, picture.damaged) == (True, False)


def test_octets_shared_by_two_packets_are_joined_by_their_bits() -> None:
    first = bytes([0x03]) + MODE_A[1:] + PICTURE + b"\xa8"  # EBIT 3: 10101
    second = bytes([0x80 | 5 << 3]) + MODE_B[1:] + b"\xff\x01"  # SBIT 5: 111
    assert H263Depacketizer().assemble([first, second]).data == PICTURE + b"\xaf\x01"


def test_after_a_gap_it_goes_on_at_the_next_gob_header() -> None:
    payloads = [MODE_A + PICTURE, None, MODE_B + b"\x11", MODE_A + GOB, MODE_B + b"\x22"]
    depacketizer = H263Depacketizer()
    picture = depacketizer.assemble(payloads)
    assert picture.data == PICTURE + GOB + b"\x22"
    assert picture.damaged
    assert depacketizer.malformed == 0


def test_a_picture_without_its_start_is_useless() -> None:
    assert H263Depacketizer().assemble([None, MODE_A + GOB]).data == b""
    assert H263PDepacketizer().assemble([None, b"\x04\x00" + GOB[2:]]).data == b""


@pytest.mark.parametrize("payload", ["", "00600005", "8065000080000000", "c06500008000000000000005", "3f600005ff"])
def test_malformed_rfc_2190_payloads_are_counted(payload: str) -> None:
    depacketizer = H263Depacketizer()
    assert depacketizer.assemble([MODE_A + PICTURE, bytes.fromhex(payload)]).damaged
    assert depacketizer.counters() == {"malformed": 1}
    assert not depacketizer.begins(bytes.fromhex(payload))


def test_mode_a_headers_are_written() -> None:
    frame = EncodedFrame(Codec.H263, PICTURE + GOB, 0, True)
    assert H263Packetizer().packets(frame) == [(MODE_A + PICTURE + GOB, True)]
    inter = EncodedFrame(Codec.H263, bytes.fromhex("000080160e07"), 0, True)
    assert H263Packetizer().packets(inter)[0][0][:4].hex() == "00700005"


@pytest.mark.parametrize("data", [b"", b"\x11" * 9, bytes.fromhex("000080161ce001001093e3c0 0000")])
def test_what_mode_a_cannot_tell_of_is_refused(data: bytes) -> None:
    packetizer = H263Packetizer()
    assert packetizer.packets(EncodedFrame(Codec.H263, data, 0, True)) == []
    assert packetizer.refused == 1


def test_random_macroblocks_are_refused_or_sent_but_harmless() -> None:
    rng = random.Random(SEED)
    packetizer = H263Packetizer()
    for _ in range(50):
        packetizer.packets(EncodedFrame(Codec.H263, PICTURE + rng.randbytes(2000), 0, True))
    assert packetizer.refused > 0


@pytest.mark.parametrize(("width", "height"), [(352, 288), (704, 576)])
@pytest.mark.parametrize("headers", ["0", "1"])
def test_mode_b_fields_are_those_that_the_encoder_itself_tells(width: int, height: int, headers: str) -> None:
    """FFmpeg's encoder can tell quantiser, group, address and predictors of macroblocks that begin a packet."""
    context = VideoCodecContext.create("h263", "w")
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.time_base = pictures(width, height, 1)[0].time_base
    context.bit_rate, context.gop_size = 1_500_000, 300
    context.options = {"ps": headers, "mb_info": "100"}
    compared = moving = 0
    for picture in pictures(width, height, 4):
        for packet in context.encode(picture):
            compared_here, moving_here = _compare(packet)
            compared += compared_here
            moving += moving_here
    assert compared > 200
    assert moving > 50


def _compare(packet: av.Packet) -> tuple[int, int]:
    data, told = bytes(packet), bytes(packet.get_sidedata("h263_mb_info"))
    bounds = [*start_codes(data, START_ZEROS), 8 * len(data)]
    cuts = {}
    for start, end in pairwise(bounds):
        cuts |= {cut.position: cut for cut in macroblock_cuts(data, parse_header(data), start, end)}
    compared = moving = 0
    for position, *fields in struct.iter_unpack("<IBBHbbxx", told[: len(told) // 12 * 12]):
        cut = cuts.get(position)
        if cut is not None:
            assert [cut.quantiser, cut.group, cut.address, cut.horizontal, cut.vertical] == fields
            compared += 1
            moving += any(fields[3:])
    return compared, moving


def test_mode_b_headers_tell_the_fields_of_their_cut() -> None:
    packetizer = H263Packetizer(600)
    seen = moving = 0
    for frame in encode(Codec.H263, count=3):
        bounds = [*start_codes(frame.data, START_ZEROS), 8 * len(frame.data)]
        header = parse_header(frame.data)
        cuts = [cut for start, end in pairwise(bounds) for cut in macroblock_cuts(frame.data, header, start, end)]
        told = {(cut.group, cut.address): (cut.quantiser, cut.horizontal, cut.vertical) for cut in cuts}
        for payload, _ in packetizer.packets(frame):
            if not payload[0] & 0x80:
                continue
            assert payload[1] >> 5 == 3  # CIF
            word = int.from_bytes(payload[2:4])
            vectors = int.from_bytes(payload[4:8])
            assert (vectors >> 31 == 0) is header.intra
            assert vectors & 0x70003FFF == 0  # U, S, A and the second vector
            signed = [(field & 0x7F ^ 0x40) - 0x40 for field in (vectors >> 21, vectors >> 14)]
            assert told[word >> 11, word >> 2 & 0x1FF] == (payload[1] & 0x1F, *signed)
            seen += 1
            moving += any(signed)
    assert seen > 30
    assert moving > 3


@pytest.mark.parametrize(
    ("text", "start", "rest"),
    [
        ("0400 8016", True, "8016"),  # P
        ("0000 1122", False, "1122"),  # follows on
        ("0600 aa 8016", True, "8016"),  # V: a redundancy octet
        ("0410 bbbb 8016", True, "8016"),  # PLEN 2: an extra picture header
        ("0611 aa bbbb 8016", True, "8016"),  # both, PEBIT 1
    ],
)
def test_rfc_4629_headers_are_read(text: str, start: bool, rest: str) -> None:
    assert body(bytes.fromhex(text)) == (start, bytes.fromhex(rest))


@pytest.mark.parametrize("payload", ["", "04", "0400", "0600aa", "05f8aabbcc"])
def test_malformed_rfc_4629_payloads_are_counted(payload: str) -> None:
    depacketizer = H263PDepacketizer()
    good = b"\x04\x00" + PICTURE[2:]
    picture = depacketizer.assemble([good, bytes.fromhex(payload)])
    assert (picture.data, picture.key, picture.damaged) == (PICTURE, True, True)
    assert depacketizer.counters() == {"malformed": 1}
    assert depacketizer.begins(good)
    assert not depacketizer.begins(bytes.fromhex(payload))


def test_rfc_4629_leaves_the_zeros_of_start_codes_out() -> None:
    data = PICTURE + b"\x55" * 60 + GOB + b"\x66" * 100
    packets = H263PPacketizer(100).packets(EncodedFrame(Codec.H263P, data, 0, True))
    assert [payload[:3].hex() for payload, _ in packets] == ["040080", "040088", "000066"]
    assert [marker for _, marker in packets] == [False, False, True]
    assert H263PDepacketizer().assemble([payload for payload, _ in packets]).data == data
    assert H263PPacketizer().packets(EncodedFrame(Codec.H263P, b"\x11", 0, True)) == []


def test_random_payloads_are_harmless() -> None:
    rng = random.Random(SEED)
    for depacketizer, front in ((H263Depacketizer(), MODE_A), (H263PDepacketizer(), b"\x04\x00")):
        for _ in range(2000):
            payloads = [
                None
                if rng.random() < 0.1
                else rng.choice((b"", front, front + PICTURE)) + rng.randbytes(rng.randrange(16))
                for _ in range(rng.randrange(5))
            ]
            depacketizer.assemble(payloads)
        assert depacketizer.malformed > 0
