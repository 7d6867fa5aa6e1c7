"""Clips of marked pictures: raw, as coded H.264 pictures ready to be sent, and their packets (RFC 6184).

Every picture has a coloured ground, a texture that moves (so that coding it costs what a camera's picture costs) and
a code stripe whose counter goes up by one a picture. A clip is a loop that starts with a key frame: who needs a key
frame starts it anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache

import av
import numpy as np
from numpy.typing import NDArray

from gateway.bench import stripe

MAX_PAYLOAD = 1200
"""Octets in one RTP payload: fits into 1,280 octets with IP, UDP, RTP and SRTP around it."""
_START = re.compile(rb"\x00\x00\x00?\x01")
_NAL_FU_A = 28
_NAL_STAP_A = 24

Picture = NDArray[np.uint8]


def colours(code: int) -> tuple[int, int, int]:
    """Return a ground of its own for each code: luma, and the two chroma values."""
    angle = 2 * np.pi * (code * 0.381966 % 1)
    return 90 + code * 7 % 60, round(128 + 70 * np.cos(angle)), round(128 + 70 * np.sin(angle))


def pictures(code: int, count: int, width: int, height: int, texture: float = 1.0) -> Iterator[Picture]:
    """Yield raw pictures in planar YUV 4:2:0, shape (height * 3 / 2, width), uint8; texture 0 leaves it plain."""
    random = np.random.default_rng(code)
    luma, blue, red = colours(code)
    ground = np.full((height * 3 // 2, width), luma, dtype=np.uint8)
    chroma = ground[height:].reshape(2, -1)
    chroma[0], chroma[1] = blue, red
    coarse = random.integers(-30, 31, (height // 16 + 1, width // 16 + 1))
    relief = np.kron(coarse, np.ones((16, 16), dtype=int))[:height, :width] * texture
    for index in range(count):
        picture = ground.copy()
        noise = random.integers(-3, 4, (height, width)) * texture
        moved = np.roll(relief, index * 4, axis=1) + noise
        picture[:height] = np.clip(picture[:height] + moved, 16, 235).astype(np.uint8)
        stripe.draw(picture[:height], code, index)
        yield picture


@dataclass(frozen=True, slots=True)
class Clip:
    """Coded pictures of a loop; each is the list of its NAL units, without start codes."""

    code: int
    frame_rate: int
    frames: tuple[tuple[bytes, ...], ...]
    payloads: tuple[tuple[bytes, ...], ...] = field(default=())


@lru_cache(maxsize=16)
def encode(
    code: int,
    width: int = 1280,
    height: int = 720,
    frame_rate: int = 30,
    bit_rate: int = 1_200_000,
    count: int = stripe.COUNTS,
    mode: int = 1,
) -> Clip:
    """Encode a loop of `count` pictures in H.264 constrained baseline; mode is the packetization mode (0 or 1).

    The latest ones are kept: it takes half a second and more.
    """
    context = av.CodecContext.create("libx264", "w")
    context.width, context.height = width, height
    context.pix_fmt = "yuv420p"
    context.time_base = Fraction(1, frame_rate)
    context.framerate = Fraction(frame_rate)
    context.bit_rate = bit_rate
    slices = "slice-max-size=1150:" if mode == 0 else ""
    context.options = {
        "preset": "veryfast",
        "tune": "zerolatency",
        "profile": "baseline",
        "x264-params": f"{slices}keyint={count}:min-keyint={count}:scenecut=0:repeat-headers=1:annexb=1:threads=1"
        f":vbv-maxrate={bit_rate // 1000}:vbv-bufsize={bit_rate // 2000}",
    }
    frames: list[tuple[bytes, ...]] = []
    for index, picture in enumerate(pictures(code, count, width, height)):
        frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
        frame.pts = index
        frames += [nal_units(bytes(packet)) for packet in context.encode(frame)]
    frames += [nal_units(bytes(packet)) for packet in context.encode(None)]
    return Clip(code, frame_rate, tuple(frames), tuple(tuple(packets(units)) for units in frames))


def nal_units(data: bytes) -> tuple[bytes, ...]:
    """Split an Annex B byte stream."""
    return tuple(unit.rstrip(b"\x00") for unit in _START.split(data) if unit)


def packets(units: tuple[bytes, ...]) -> Iterator[bytes]:
    """Yield a picture's RTP payloads: single NAL units, and FU-A for those above `MAX_PAYLOAD` (RFC 6184 §5.8)."""
    for unit in units:
        if len(unit) <= MAX_PAYLOAD:
            yield unit
            continue
        indicator = unit[0] & 0xE0 | _NAL_FU_A
        body = unit[1:]
        size = MAX_PAYLOAD - 2
        for start in range(0, len(body), size):
            first, last = start == 0, start + size >= len(body)
            header = unit[0] & 0x1F | (0x80 if first else 0) | (0x40 if last else 0)
            yield bytes((indicator, header)) + body[start : start + size]


class Joiner:
    """Puts RTP payloads of H.264 together to Annex B pictures; damaged ones are left out as they are."""

    def __init__(self) -> None:
        self._units: list[bytes] = []
        self._fragment = bytearray()

    def push(self, payload: bytes, marker: bool) -> bytes | None:
        """Take the next payload in order; return a picture at its last one."""
        if payload:
            kind = payload[0] & 0x1F
            if kind == _NAL_FU_A and len(payload) > 2:
                self._push_fragment(payload)
            elif kind == _NAL_STAP_A:
                self._push_several(payload)
            else:
                self._units.append(payload)
        if not marker or not self._units:
            return None
        picture = b"".join(b"\x00\x00\x00\x01" + unit for unit in self._units)
        self._units.clear()
        return picture

    def _push_fragment(self, payload: bytes) -> None:
        if payload[1] & 0x80:
            self._fragment = bytearray([payload[0] & 0xE0 | payload[1] & 0x1F])
        self._fragment += payload[2:]
        if payload[1] & 0x40:
            self._units.append(bytes(self._fragment))
            self._fragment.clear()

    def _push_several(self, payload: bytes) -> None:
        place = 1
        while place + 2 <= len(payload):
            size = int.from_bytes(payload[place : place + 2], "big")
            self._units.append(payload[place + 2 : place + 2 + size])
            place += 2 + size
