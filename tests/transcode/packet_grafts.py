"""RTP and RTCP that is read and that nobody would send: real payloads with a part replaced by another legal value.

Octets changed by chance are mostly refused early. Here headers, sizes, counts and flags are right in form and absurd
in value, so that what stands behind the readers gets to see them.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from functools import cache

from payload_streams import encode
from test_payload_h264_sps import Bits

from transcode.media import Codec, Format
from transcode.payload.formats import packetizer
from transcode.payload.h264_sps import split_annexb

WIDTH, HEIGHT = 176, 144
_VIDEO = (Codec.H264, Codec.VP8, Codec.H263, Codec.H263P, Codec.H261)


@cache
def pictures(codec: Codec) -> tuple[tuple[bytes, ...], ...]:
    """Return the payloads of some real pictures, key frames among them."""
    maker = packetizer(Format(codec, 96, 90_000, parameters=(("packetization-mode", "1"),)), 400)
    coded = encode(codec, WIDTH, HEIGHT, 8, 300_000, key_every=4)
    return tuple(tuple(payload for payload, _ in maker.packets(frame)) for frame in coded)


@cache
def nals() -> tuple[bytes, ...]:
    """Return the NAL units of a real stream."""
    return tuple(
        nal for frame in encode(Codec.H264, WIDTH, HEIGHT, 8, 300_000, key_every=4) for nal in split_annexb(frame.data)
    )


class Packets:
    """Makes the packets of one source."""

    def __init__(self, chance: random.Random, absurd: float = 0.3) -> None:
        self._chance = chance
        self._absurd = absurd
        self.sequence = chance.randrange(1 << 16)
        self.timestamp = chance.randrange(1 << 32)
        self.ssrc = chance.randrange(1 << 32)
        self._index = 0

    def _odd(self, share: float = 1.0) -> bool:
        return self._chance.random() < self._absurd * share

    # RTP

    def rtp(self, payload_type: int, payload: bytes, marker: bool, step: int) -> bytes:
        """Return one packet, and go on by so many ticks."""
        chance = self._chance
        sequence, timestamp, ssrc = self.sequence, self.timestamp, self.ssrc
        self.sequence = (self.sequence + 1) & 0xFFFF
        self.timestamp = (self.timestamp + step) & 0xFFFFFFFF
        if self._odd(0.15):
            jump = chance.choice((1, -1, 2, 10, 300, 999, 1001, 3001, 0x7FFF, 0x8000, 0x8001, -5))
            self.sequence = (self.sequence + jump) & 0xFFFF
        if self._odd(0.15):
            jump = chance.choice((1, -1, 160, -160, 7999, 8001, -8001, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF))
            self.timestamp = (self.timestamp + jump) & 0xFFFFFFFF
        if self._odd(0.1):
            ssrc = chance.choice((0, 0xFFFFFFFF, self.ssrc ^ 1))
        if self._odd(0.03):
            self.ssrc = chance.randrange(1 << 32)
        first, head, tail = 0x80, b"", b""
        if self._odd(0.2):
            count = chance.choice((1, 2, 15))
            first |= count
            head = bytes(4 * count)
        if self._odd(0.2):
            words = chance.choice((0, 1, 3, 60))
            first |= 0x10
            head += struct.pack("!HH", chance.choice((0xBEDE, 0x1000, 0x100F, 0, 0xFFFF)), words) + chance.randbytes(
                4 * words
            )
        if self._odd(0.2):
            count = chance.choice((1, 2, 4, 255))
            first |= 0x20
            tail = bytes(count - 1) + bytes([count])
        second = (payload_type & 0x7F) | (0x80 if marker != self._odd(0.2) else 0)
        return struct.pack("!BBHII", first, second, sequence, timestamp, ssrc) + head + payload + tail

    def sound(self, codec: Codec) -> bytes:
        """Return a payload that a codec of sound may have."""
        chance = self._chance
        if self._odd(0.1):
            return b""
        if codec in (Codec.PCMU, Codec.PCMA, Codec.G722):
            sizes = (160,) if not self._odd() else (1, 2, 79, 80, 161, 240, 480, 1440, 1900)
            return chance.randbytes(chance.choice(sizes))
        if codec is Codec.G729:
            return chance.randbytes(10 * chance.choice((2, 2, 2, 0, 1, 6, 51, 190)) + chance.choice((0, 0, 2)))
        if codec is Codec.G723:
            return b"".join(
                bytes([chance.randrange(64) << 2 | rate]) + chance.randbytes((24, 20, 4, 1)[rate] - 1)
                for rate in chance.choice(([0], [1], [2], [3], [0, 3, 2], [3] * 1200, [2] * 300))
            )
        if codec is Codec.OPUS:
            toc = chance.randrange(256)
            more = chance.randbytes(chance.choice((0, 1, 2, 10, 60, 300, 1275)))
            if toc & 3 == 3:
                more = bytes([chance.choice((0, 1, 2, 3, 48, 49, 63)) | chance.choice((0, 0x40, 0x80, 0xC0))]) + more
            return bytes([toc]) + more
        if codec is Codec.TELEPHONE_EVENT:
            duration = chance.choice((0, 1, 160, 800, 0xF000, 0xFFFF))
            event = struct.pack(
                "!BBH", chance.choice((5, 0, 11, 15, 16, 255)), chance.choice((10, 0x8A, 0xFF, 0x40)), duration
            )
            return event * chance.choice((1, 1, 1, 2, 100)) + bytes(chance.choice((0, 0, 1)))
        if codec is Codec.COMFORT_NOISE:
            return chance.randbytes(chance.choice((0, 1, 1, 11, 300)))
        return chance.randbytes(chance.choice((1, 40, 160)))

    def text(self, codec: Codec, plain: int) -> bytes:
        """Return real-time text, with redundancy or without."""
        chance = self._chance
        written = chance.choice(
            (b"a", "ä".encode(), b"\xc3", b"\b" * 50, b"\x1b[" * 30, b"\x98", b"", b"x" * 900, "\ufeff".encode())
        )
        if codec is Codec.T140:
            return written
        blocks = chance.choice((0, 1, 2, 2, 2, 5, 16, 17))
        heads, body = b"", b""
        for _ in range(blocks):
            block = chance.choice((b"", b"a", b"x" * 50))
            number = plain if not self._odd(0.2) else chance.randrange(128)
            heads += struct.pack("!I", 1 << 31 | number << 24 | chance.choice((0, 300, 0x3FFF)) << 10 | len(block))
            body += block
        return heads + bytes([plain]) + body + written

    def camera(self) -> bytes:
        """Return what may be camera control."""
        chance = self._chance
        return chance.choice(
            (
                b"",
                b"\x7e",
                b"\x7e\x7e",
                bytes(7),
                chance.randbytes(chance.randrange(40)),
                b"\x7e" + chance.randbytes(12) + b"\x7e",
            )
        )

    def picture(self, codec: Codec) -> list[bytes]:
        """Return the payloads of a picture, in which something is replaced."""
        chance = self._chance
        real = pictures(codec)
        self._index = (self._index + 1) % len(real)
        payloads = list(real[self._index])
        if not self._odd():
            return payloads
        grafts: dict[Codec, Callable[[list[bytes]], list[bytes]]] = {Codec.H264: self._h264, Codec.VP8: self._vp8}
        if codec in grafts and chance.random() < 0.8:
            return grafts[codec](payloads)
        at = chance.randrange(len(payloads))
        payloads[at] = self._headed(payloads[at])
        return payloads

    def _headed(self, payload: bytes) -> bytes:
        """Return a payload with a field near its beginning replaced: nearly every value of it is legal."""
        chance = self._chance
        how = chance.randrange(5)
        if how == 0:
            return payload[: chance.randrange(min(20, len(payload)) + 1)]
        if how == 1:
            return payload + chance.randbytes(chance.choice((1, 100, 800)))
        bits = int.from_bytes(payload[:12].ljust(12, b"\0"))
        width = chance.choice((1, 1, 2, 3, 5, 8, 12))
        place = chance.randrange(97 - width)
        value = chance.choice((0, (1 << width) - 1, chance.randrange(1 << width)))
        bits = bits & ~(((1 << width) - 1) << place) | value << place
        return bits.to_bytes(12) + payload[12:]

    # H.264

    def _h264(self, payloads: list[bytes]) -> list[bytes]:
        chance = self._chance
        how = chance.randrange(7)
        if how <= 2:
            return [self.sps(), *payloads] if how else [self._stap([self.sps(), chance.choice(nals()), b""]), *payloads]
        if how == 3:
            nal = chance.choice(nals())
            return [bytes([chance.randrange(128)]) + nal[1:], *payloads]
        if how == 4:
            return [self._stap([chance.choice(nals()) for _ in range(chance.choice((0, 1, 5, 100)))]), *payloads]
        if how == 5:
            nal = chance.choice(nals())
            flags = chance.choice((0x80, 0x40, 0xC0, 0, 0x20)) | chance.randrange(32)
            return [*payloads, bytes([nal[0] & 0xE0 | chance.choice((28, 28, 29)), flags]) + nal[1:500]]
        return [*payloads, bytes([6]) + bytes([6, chance.choice((1, 4, 255)), *chance.randbytes(4)]), b"\x09\xf0"]

    def _stap(self, units: list[bytes]) -> bytes:
        kind = self._chance.choice((24, 24, 24, 25, 26, 27))
        out = bytes([kind])
        for unit in units:
            if len(out) > 1200:
                break
            out += struct.pack("!H", len(unit) if not self._odd(0.3) else self._chance.choice((0, 1, 0xFFFF))) + unit
        return out

    def sps(self) -> bytes:
        """Return a sequence parameter set that the syntax allows."""
        chance = self._chance
        profile = chance.choice((66, 77, 100, 110, 122, 244, 88, 44))
        bits = (
            Bits().u(0x67, 8).u(profile, 8).u(chance.randrange(256), 8).u(chance.choice((9, 10, 31, 52, 62, 255, 0)), 8)
        )
        bits.ue(chance.choice((0, 0, 0, 1, 31)))
        if profile in (100, 110, 122, 244, 44):
            chroma = chance.choice((1, 1, 0, 2, 3))
            bits.ue(chroma)
            if chroma == 3:
                bits.u(chance.randrange(2), 1)
            bits.ue(chance.choice((0, 2, 6)), chance.choice((0, 2, 6))).u(0, 1).u(0, 1)
        bits.ue(chance.choice((0, 12)))
        order = chance.randrange(3)
        bits.ue(order)
        if order == 0:
            bits.ue(chance.choice((2, 12)))
        elif order == 1:
            cycle = chance.choice((0, 1, 255))
            bits.u(0, 1).ue(0, 0, cycle)
            for _ in range(cycle):
                bits.ue(0)
        bits.ue(chance.choice((0, 1, 16))).u(chance.randrange(2), 1)
        sides = (0, 1, 10, 8, 10, 8, 119, 74, 120, 255, 1023)
        bits.ue(chance.choice(sides), chance.choice(sides))
        frames_only = chance.randrange(2)
        bits.u(frames_only, 1)
        if not frames_only:
            bits.u(chance.randrange(2), 1)
        bits.u(chance.randrange(2), 1)
        if chance.random() < 0.4:
            bits.u(1, 1).ue(*(chance.choice((0, 0, 1, 3, 7, 40, 80)) for _ in range(4)))
        else:
            bits.u(0, 1)
        if chance.random() < 0.5:
            bits.u(1, 1).u(1, 1).u(255, 8).u(chance.choice((0, 1, 65_535)), 16).u(chance.choice((0, 1, 65_535)), 16)
            bits.u(0, 1).u(0, 1).u(0, 1)
            bits.u(1, 1).u(chance.choice((0, 1, 0xFFFFFFFF)), 32).u(chance.choice((0, 1, 0xFFFFFFFF)), 32).u(1, 1)
            bits.u(0, 1).u(0, 1).u(0, 1).u(1, 1).u(1, 1).ue(0, 0, 16, 16, chance.choice((0, 16)), 16)
        else:
            bits.u(0, 1)
        raw, out, zeros = bits.octets(), bytearray(), 0
        for octet in raw:
            if zeros >= 2 and octet <= 3:
                out.append(3)
                zeros = 0
            out.append(octet)
            zeros = zeros + 1 if octet == 0 else 0
        return bytes(out)

    # VP8

    def _vp8(self, payloads: list[bytes]) -> list[bytes]:
        chance = self._chance
        body = bytearray(payloads[0])
        start = 1  # our packetizer's descriptor may be longer
        if body[0] & 0x80:
            start += 1 + (body[1] >> 7 and (2 if body[2] & 0x80 else 1)) + (body[1] >> 6 & 1) + bool(body[1] & 0x30)
        frame = body[start:]
        if len(frame) > 10 and not frame[0] & 1 and chance.random() < 0.6:
            sides = (0, 1, 2, 15, 16, 17, 176, 1920, 4096, 0x3FFF)
            struct.pack_into(
                "<HH",
                frame,
                6,
                chance.choice(sides) | chance.randrange(4) << 14,
                chance.choice(sides) | chance.randrange(4) << 14,
            )
        head = bytes([0x90 | chance.randrange(8) if not self._odd() else chance.randrange(256) | 0x80])
        flags = chance.choice((0, 0x80, 0x40, 0x20, 0x10, 0xF0, 0xFF))
        head += bytes([flags])
        if flags & 0x80:
            head += chance.choice((b"\x05", b"\x80\x00", b"\xff\xff"))
        if flags & 0x40:
            head += chance.randbytes(1)
        if flags & 0x30:
            head += chance.randbytes(1)
        return [head + bytes(frame), *payloads[1:]]

    # RTCP

    def rtcp(self, ours: int) -> bytes:
        """Return a compound that begins with a report and holds anything."""
        chance = self._chance
        count = chance.choice((0, 1, 1, 2, 31))
        blocks = b"".join(self._block(ours) for _ in range(count))
        if chance.random() < 0.5:
            ntp = chance.choice((0, 1, 1 << 63, (1 << 64) - 1, chance.randrange(1 << 64)))
            head = struct.pack("!IQIII", self.ssrc, ntp, chance.choice((0, 0xFFFFFFFF, self.timestamp)), 0xFFFFFFFF, 0)
            data = _frame(200, count, head + blocks)
        else:
            data = _frame(201, count, struct.pack("!I", self.ssrc) + blocks)
        for _ in range(chance.choice((0, 1, 1, 2, 3, 8))):
            data += self._message(ours)
        return data

    def _block(self, ours: int) -> bytes:
        chance = self._chance
        extreme = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
        loss = chance.choice((0, 255, 128)) << 24 | chance.choice((0, 0x7FFFFF, 0x800000, 0xFFFFFF))
        values = (chance.choice(extreme) for _ in range(4))
        return struct.pack("!IIIIII", ours if chance.random() < 0.8 else 7, loss, *values)

    def _message(self, ours: int) -> bytes:
        chance = self._chance
        media = chance.choice((ours, ours, ours, 0, self.ssrc))
        pair = struct.pack("!II", self.ssrc, media)
        rate = struct.pack("!II", media, chance.choice((0, 0xFFFFFFFF, 1 << 9, 63 << 26 | 1 << 9, 10 << 26 | 200 << 9)))
        remb = bytes([1]) + chance.choice((b"\0\0\0", b"\xff\xff\xff", b"\x04\0\1")) + struct.pack("!I", media)
        kind = chance.randrange(16)
        match kind:
            case 0:
                return _frame(
                    205, 1, pair + struct.pack("!HH", chance.randrange(1 << 16), 0xFFFF) * chance.choice((1, 60))
                )
            case 1:
                return _frame(205, 3, struct.pack("!II", self.ssrc, 0) + rate * chance.choice((1, 2, 30)))
            case 2:
                return _frame(205, 4, struct.pack("!II", self.ssrc, 0) + rate * chance.choice((0, 1, 30)))
            case 3:
                return _frame(206, 1, pair)
            case 4:
                return _frame(
                    206,
                    4,
                    struct.pack("!II", self.ssrc, 0) + struct.pack("!II", media, chance.randrange(256) << 24) * 3,
                )
            case 5:
                return _frame(206, 15, pair + b"REMB" + remb)
            case 6:
                return _frame(206, chance.choice((2, 3, 15)), pair + chance.randbytes(8))
            case 7:
                return _frame(205, chance.choice((0, 2, 15, 31)), pair + chance.randbytes(40))
            case 8:
                return _frame(203, 1, struct.pack("!I", self.ssrc) + b"\x07goodbye")
            case 9:
                return (
                    _frame(203, chance.choice((0, 31)), bytes(4 * 31)) if chance.random() < 0.2 else _frame(203, 0, b"")
                )
            case 10:
                return _frame(202, 1, struct.pack("!I", self.ssrc) + bytes([1, 200]) + bytes(200) + bytes(2))
            case 11:
                return _frame(202, 1, struct.pack("!I", self.ssrc) + bytes([8, 3, 1]) + b"ab" + bytes(3))
            case 12:
                return _frame(204, chance.randrange(32), struct.pack("!I", self.ssrc) + b"name" + bytes(8))
            case 13:
                return _frame(207, 0, struct.pack("!I", self.ssrc) + chance.randbytes(24))
            case _:
                return _frame(chance.randrange(192, 224), chance.randrange(32), pair)


def _frame(packet_type: int, count: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    return struct.pack("!BBH", 0x80 | count, packet_type, len(body) // 4) + body
