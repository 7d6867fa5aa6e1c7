"""The code stripe: drawn, scaled, composed, coded, and read again."""

from __future__ import annotations

import av
import numpy as np
import pytest
from PIL import Image

from gateway.bench import clip, stripe


def _picture(code: int, count: int = 0, width: int = 640, height: int = 360) -> np.ndarray:
    luma = np.full((height, width), 100, np.uint8)
    stripe.draw(luma, code, count)
    return luma


def _scaled(luma: np.ndarray, width: int, height: int) -> np.ndarray:
    return np.asarray(Image.fromarray(luma).resize((width, height), Image.Resampling.BILINEAR))


@pytest.mark.parametrize("code", range(0, stripe.MAX_CODE + 1, 5))
def test_a_stripe_is_read_as_it_was_drawn(code: int) -> None:
    for count in (0, 1, 31, 63):
        found = stripe.read(_picture(code, count))
        assert [(one.code, one.count) for one in found] == [(code, count)]


def test_a_counter_starts_again_after_its_last() -> None:
    assert stripe.read(_picture(4, stripe.COUNTS + 2))[0].count == 2


def test_a_code_that_is_too_large_is_refused() -> None:
    with pytest.raises(ValueError, match="within 0 to 31"):
        stripe.modules(stripe.MAX_CODE + 1, 0)


@pytest.mark.parametrize(("width", "height", "columns"), [(1280, 720, 3), (1280, 720, 4), (640, 360, 3), (352, 288, 2)])
def test_every_tile_of_a_composed_picture_is_read(width: int, height: int, columns: int) -> None:
    canvas = np.full((height, width), 30, np.uint8)
    tile = width // columns
    inner = tile * 9 // 16
    codes = set()
    for index in range(columns * columns):
        code = index * 3 % 32
        codes.add(code)
        top = index // columns * (height // columns) + max(0, height // columns - inner) // 2
        left = index % columns * tile
        part = _scaled(_picture(code, index), tile, inner)[: height - top]
        canvas[top : top + len(part), left : left + tile] = part
    assert {one.code for one in stripe.read(canvas)} == codes


def test_noise_and_texture_hold_no_stripe() -> None:
    random = np.random.default_rng(7)
    assert stripe.read(random.integers(0, 256, (360, 640)).astype(np.uint8)) == []
    blocks = np.kron(random.integers(0, 2, (45, 80)) * 219 + 16, np.ones((8, 8))).astype(np.uint8)
    assert len(stripe.read(blocks)) <= 1
    assert stripe.read(np.zeros((360, 640), np.uint8)) == []


@pytest.mark.parametrize("mode", [0, 1])
def test_a_coded_clip_shows_its_code_and_counts_up(mode: int) -> None:
    made = clip.encode(9, 640, 360, 15, 400_000, count=12, mode=mode)
    assert len(made.frames) == 12
    assert {unit[0] & 0x1F for unit in made.frames[0]} >= {7, 8, 5}
    decoder, joiner = av.CodecContext.create("h264", "r"), clip.Joiner()
    seen = []
    for payloads in made.payloads:
        assert all(len(payload) <= clip.MAX_PAYLOAD for payload in payloads)
        if mode == 0:
            assert all(payload[0] & 0x1F < 24 for payload in payloads)
        for index, payload in enumerate(payloads):
            picture = joiner.push(payload, index == len(payloads) - 1)
            if picture is None:
                continue
            for frame in decoder.decode(av.Packet(picture)):
                luma = np.ascontiguousarray(frame.to_ndarray(format="yuv420p")[:360])
                seen += [(one.code, one.count) for one in stripe.read(luma)]
    assert seen == [(9, count) for count in range(12)]


def test_a_large_unit_goes_in_fragments_and_comes_together_again() -> None:
    unit = bytes([0x65]) + bytes(range(256)) * 20
    payloads = list(clip.packets((unit, b"\x41abc")))
    assert len(payloads) == 6
    # FU indicator: NRI of the unit, type 28; FU header: start, then nothing, at last end; type 5 (RFC 6184 §5.8).
    assert [payload[:2].hex() for payload in payloads[:-1]] == ["7c85", "7c05", "7c05", "7c05", "7c45"]
    joiner = clip.Joiner()
    pictures = [joiner.push(payload, index == 5) for index, payload in enumerate(payloads)]
    assert pictures[-1] == b"\x00\x00\x00\x01" + unit + b"\x00\x00\x00\x01\x41abc"


def test_several_units_in_one_packet_are_taken_apart() -> None:
    # STAP-A (type 24): a length of two octets before each unit (RFC 6184 §5.7.1).
    packet = bytes.fromhex("780002 67420003 68ce01".replace(" ", ""))
    assert clip.Joiner().push(packet, True) == bytes.fromhex("00000001 6742 00000001 68ce01")
