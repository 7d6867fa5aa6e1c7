"""VP8 payloads (RFC 7741) by hand-made samples."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from transcode.frames import EncodedFrame
from transcode.media import Codec
from transcode.payload.vp8 import Descriptor, Vp8Depacketizer, Vp8Packetizer, parse_descriptor, picture_size

SEED = 7741
KEY = bytes.fromhex(
    "1000 00"  # key frame, version 0, shown
    "9d012a"  # start code
    "4001"  # 320 pixels wide
    "f0c0"  # 240 high, scale 3
    "0102"
)
INTER = bytes.fromhex("11000001020304")


@pytest.mark.parametrize(
    ("text", "descriptor"),
    [
        ("10", Descriptor(True, long_id=False)),
        ("00", Descriptor(False, long_id=False)),
        ("31", Descriptor(True, 1, True, long_id=False)),
        ("90 80 11", Descriptor(True, picture_id=0x11, long_id=False)),
        ("90 80 9234", Descriptor(True, picture_id=0x1234)),
        ("90 e0 9234 56 60", Descriptor(True, picture_id=0x1234, tl0picidx=0x56, tid=1, sync=True)),
        ("90 70 56 85", Descriptor(True, long_id=False, tl0picidx=0x56, tid=2, keyidx=5)),
        ("90 f0 11 56 45", Descriptor(True, picture_id=0x11, long_id=False, tl0picidx=0x56, tid=1, keyidx=5)),
    ],
)
def test_descriptors_are_read_and_written(text: str, descriptor: Descriptor) -> None:
    octets = bytes.fromhex(text)
    assert parse_descriptor(octets + b"\xaa") == (descriptor, len(octets))
    assert descriptor.pack() == octets


@pytest.mark.parametrize("text", ["", "10", "90", "9080", "908092", "90809234", "90e0923456", "9040"])
def test_a_descriptor_that_is_cut_short_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"VP8|nothing"):
        parse_descriptor(bytes.fromhex(text))


def test_size_is_read_from_the_key_frame() -> None:
    assert picture_size(KEY) == (320, 240)
    assert picture_size(INTER) is None
    assert picture_size(KEY[:9]) is None


def test_frames_are_joined_and_key_frames_known() -> None:
    picture = Vp8Depacketizer().assemble([b"\x10" + KEY[:4], b"\x00" + KEY[4:8], b"\x11" + KEY[8:]])
    assert (picture.data, picture.key, picture.damaged) == (KEY, True, False)
    assert not Vp8Depacketizer().assemble([b"\x10" + INTER]).key


@pytest.mark.parametrize(
    ("payloads", "left", "malformed"),
    [
        ([None, b"\x00" + KEY], b"", 0),
        ([b"\x10" + KEY[:11], None, b"\x00" + KEY[11:]], KEY[:11], 0),
        ([b"\x00" + KEY], b"", 1),
        ([b"\x10" + KEY, b"\x10" + INTER], KEY, 1),
        ([b"\x10" + KEY, b"\x90\x80"], KEY, 1),
        ([b"\x10" + b"\x10\x00\x00\x00\x00\x00" + bytes(10)], b"", 1),
    ],
)
def test_gaps_and_rubbish_damage_the_frame(payloads: list[bytes | None], left: bytes, malformed: int) -> None:
    depacketizer = Vp8Depacketizer()
    picture = depacketizer.assemble(payloads)
    assert picture.damaged
    assert picture.data == left
    assert depacketizer.malformed == malformed


def test_frames_are_cut_evenly_and_numbered() -> None:
    packetizer = Vp8Packetizer(104, picture_id=0x7FFF)
    frame = EncodedFrame(Codec.VP8, bytes(250), 0, True)
    packets = packetizer.packets(frame)
    assert [(len(payload), marker) for payload, marker in packets] == [(87, False), (87, False), (88, True)]
    assert [payload[:4].hex() for payload, _ in packets] == ["9080ffff", "8080ffff", "8080ffff"]
    following = replace(frame, number=1)
    assert packetizer.packets(following)[0][0][:4].hex() == "90808000"
    assert packetizer.packets(frame)[0][0][:4].hex() == "9080ffff"
    assert packetizer.packets(EncodedFrame(Codec.VP8, b"", 0, True)) == []
    assert packetizer.refused == 1


def test_random_payloads_are_harmless() -> None:
    rng = random.Random(SEED)
    depacketizer = Vp8Depacketizer()
    for _ in range(3000):
        payloads = [None if rng.random() < 0.1 else rng.randbytes(rng.randrange(12)) for _ in range(rng.randrange(5))]
        depacketizer.assemble(payloads)
        depacketizer.begins(rng.randbytes(rng.randrange(2)))
    assert depacketizer.malformed > 0
