"""H.261 payloads (RFC 4587)."""

from __future__ import annotations

import random
from itertools import pairwise

import av
import pytest
from av.sidedata.sidedata import Type
from av.video.codeccontext import VideoCodecContext
from payload_streams import encode

from transcode.frames import EncodedFrame
from transcode.media import Codec
from transcode.payload.bits import start_codes
from transcode.payload.h261 import H261Depacketizer, H261Packetizer, picture_size
from transcode.payload.h261_macroblocks import START_ZEROS, macroblock_cuts

SEED = 4587
HEADER = bytes.fromhex("01000000")  # SBIT 0, EBIT 0, V 1; all else 0: begins with a GOB or picture header
PICTURE = bytes.fromhex(
    "00010"  # picture start code, 20 bits
    "28e"  # temporal reference 5; PTYPE: CIF, no still picture; PEI 0
    "00011500"  # GOB start code, group 1, quantiser 10, GEI 0; 6 bits of nothing
)
INSIDE = bytes.fromhex("01 1 1 2855".replace(" ", ""))  # GOBN 1, MBAP 2, QUANT 10, HMVD 2, VMVD -11


def test_the_size_is_read_from_the_picture_header() -> None:
    for width, height in ((352, 288), (176, 144)):
        frame = encode(Codec.H261, width, height, count=1)[0]
        assert picture_size(frame.data) == (width, height)
    assert picture_size(b"\0\1\x10\0") is None
    assert picture_size(b"\0\1\0") is None


@pytest.mark.parametrize("payload", ["", "0100", "01000000", "fd00000055"])
def test_malformed_payloads_are_counted(payload: str) -> None:
    depacketizer = H261Depacketizer()
    picture = depacketizer.assemble([HEADER + PICTURE, bytes.fromhex(payload)])
    assert picture.data == PICTURE
    assert picture.damaged
    assert depacketizer.counters() == {"malformed": 1}
    assert not depacketizer.begins(bytes.fromhex(payload))


def test_after_a_gap_it_goes_on_at_the_next_gob_whatever_its_bit() -> None:
    rest = bytes.fromhex("550011")
    shifted = bytes([0x60 | 0x01, 0, 0, 0]) + bytes.fromhex("e00022a0")  # SBIT 3, a GOB header
    picture = H261Depacketizer().assemble([HEADER + PICTURE, None, INSIDE + rest, shifted])
    assert picture.damaged
    assert picture.data[: len(PICTURE)] == PICTURE
    assert picture.data[len(PICTURE) :].hex() == "00011500"


def test_a_picture_without_its_start_is_useless() -> None:
    depacketizer = H261Depacketizer()
    assert depacketizer.assemble([None, HEADER + bytes.fromhex("00011500")]).data == b""
    assert depacketizer.begins(HEADER + PICTURE)
    assert not depacketizer.begins(HEADER + bytes.fromhex("00011500"))


def test_only_a_whole_intra_picture_is_a_key_frame() -> None:
    first, second = encode(Codec.H261, count=2)
    assert H261Depacketizer().assemble([HEADER + first.data]).key
    assert not H261Depacketizer().assemble([HEADER + second.data]).key
    without_end = first.data[: start_codes(first.data, START_ZEROS)[-1] // 8]
    assert not H261Depacketizer().assemble([HEADER + without_end]).key


def test_a_packet_that_begins_inside_a_group_tells_where_it_is() -> None:
    frames = encode(Codec.H261, count=3, bit_rate=4_000_000)
    packetizer = H261Packetizer(450)
    seen = 0
    for frame in frames:
        bounds = [*start_codes(frame.data, START_ZEROS)[1:], 8 * len(frame.data)]
        cuts = [cut for start, end in pairwise(bounds) for cut in macroblock_cuts(frame.data, start, end)]
        told = {(cut.group, cut.address): (cut.quantiser, cut.horizontal, cut.vertical) for cut in cuts}
        for payload, _ in packetizer.packets(frame):
            word = int.from_bytes(payload[:4])
            group, address = word >> 20 & 0xF, (word >> 15 & 0x1F) + 1
            if group:
                signed = [(field & 0x1F ^ 0x10) - 0x10 for field in (word >> 5, word)]
                assert told[group, address] == (word >> 10 & 0x1F, *signed)
                seen += 1
            else:
                assert word & 0xFFFFF == 0
    assert packetizer.refused == 0
    assert seen > 20


def test_the_vectors_read_are_those_that_ffmpeg_decodes() -> None:
    context = VideoCodecContext.create("h261", "r")
    context.options = {"flags2": "+export_mvs"}
    context.thread_count = 1
    compared = 0
    for frame in encode(Codec.H261, count=6):
        bounds = [*start_codes(frame.data, START_ZEROS)[1:], 8 * len(frame.data)]
        ours = {}
        for start, end in pairwise(bounds):
            for cut in macroblock_cuts(frame.data, start, end):
                row, column = divmod(cut.address - 1, 11)
                group_row, group_column = divmod(cut.group - 1, 2)
                ours[group_column * 11 + column, group_row * 3 + row] = (cut.horizontal, cut.vertical)
        for picture in context.decode(av.Packet(frame.data)):
            vectors = picture.side_data.get(Type.MOTION_VECTORS)
            for vector in [] if vectors is None else vectors.to_ndarray():
                place = (int(vector["dst_x"]) - 8) // 16, (int(vector["dst_y"]) - 8) // 16
                if place in ours:
                    scale = int(vector["motion_scale"])
                    theirs = int(vector["motion_x"]) // scale, int(vector["motion_y"]) // scale
                    assert ours[place] == theirs
                    compared += 1
    assert compared > 300


@pytest.mark.parametrize("data", [b"", b"\x11" * 50, PICTURE[:4] + b"\x55" * 3000])
def test_what_is_no_picture_or_cannot_be_cut_is_refused(data: bytes) -> None:
    packetizer = H261Packetizer()
    assert packetizer.packets(EncodedFrame(Codec.H261, data, 0, True)) == []
    assert packetizer.refused == 1


def test_random_groups_raise_value_error_only() -> None:
    rng = random.Random(SEED)
    raised = 0
    for _ in range(2000):
        data = bytes.fromhex("000115") + rng.randbytes(rng.randrange(60))
        try:
            macroblock_cuts(data, 0, 8 * len(data))
        except ValueError:
            raised += 1
    assert raised > 1000


def test_random_payloads_are_harmless() -> None:
    rng = random.Random(SEED)
    depacketizer = H261Depacketizer()
    for _ in range(2000):
        payloads = [
            None
            if rng.random() < 0.1
            else rng.choice((b"", HEADER, HEADER + PICTURE)) + rng.randbytes(rng.randrange(16))
            for _ in range(rng.randrange(5))
        ]
        depacketizer.assemble(payloads)
    assert depacketizer.malformed > 0
