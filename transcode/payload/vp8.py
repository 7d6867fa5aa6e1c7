"""VP8 over RTP (RFC 7741)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from transcode.frames import EncodedFrame
from transcode.media import Codec
from transcode.payload.interface import MTU, Picture, even_cuts

PICTURE_ID_BITS = 15
_DESCRIPTOR_LENGTH = 4
_KEY_HEADER = 10
_START_CODE = b"\x9d\x01\x2a"


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A payload descriptor (§4.2); fields that it lacks are None. long_id says that the picture id has 15 bits."""

    start: bool
    partition: int = 0
    non_reference: bool = False
    picture_id: int | None = None
    long_id: bool = True
    tl0picidx: int | None = None
    tid: int | None = None
    sync: bool = False
    keyidx: int | None = None

    def pack(self) -> bytes:
        """Write the descriptor."""
        first = (0x20 if self.non_reference else 0) | (0x10 if self.start else 0) | self.partition & 0x07
        flags, rest = 0, b""
        if self.picture_id is not None:
            flags |= 0x80
            if self.long_id:
                rest += (0x8000 | self.picture_id & 0x7FFF).to_bytes(2)
            else:
                rest += bytes((self.picture_id & 0x7F,))
        if self.tl0picidx is not None:
            flags |= 0x40
            rest += bytes((self.tl0picidx & 0xFF,))
        if self.tid is not None or self.keyidx is not None:
            flags |= (0x20 if self.tid is not None else 0) | (0x10 if self.keyidx is not None else 0)
            sync = 0x20 if self.sync else 0
            rest += bytes(((self.tid or 0) << 6 & 0xC0 | sync | (self.keyidx or 0) & 0x1F,))
        return bytes((first | 0x80, flags)) + rest if flags else bytes((first,))


def parse_descriptor(payload: bytes) -> tuple[Descriptor, int]:
    """Return the descriptor and its length in octets. Raises ValueError if it is cut short or nothing follows."""
    if not payload:
        raise ValueError("empty VP8 payload")
    first, at = payload[0], 1
    picture_id = tl0picidx = tid = keyidx = None
    sync, long_id = False, False
    try:
        if first & 0x80:
            flags, at = payload[1], 2
            if flags & 0x80:
                long_id = payload[2] >= 0x80
                picture_id = (payload[2] & 0x7F) << 8 | payload[3] if long_id else payload[2]
                at = 4 if long_id else 3
            if flags & 0x40:
                tl0picidx = payload[at]
                at += 1
            if flags & 0x30:
                tid = payload[at] >> 6 if flags & 0x20 else None
                sync = bool(payload[at] & 0x20)
                keyidx = payload[at] & 0x1F if flags & 0x10 else None
                at += 1
    except IndexError:
        raise ValueError("VP8 descriptor is cut short") from None
    if at >= len(payload):
        raise ValueError("nothing follows the VP8 descriptor")
    descriptor = Descriptor(
        bool(first & 0x10), first & 0x07, bool(first & 0x20), picture_id, long_id, tl0picidx, tid, sync, keyidx
    )
    return descriptor, at


def is_key_frame(data: bytes) -> bool:
    """Whether a VP8 frame is a key frame (RFC 6386 §9.1)."""
    return len(data) >= _KEY_HEADER and not data[0] & 0x01 and data[3:6] == _START_CODE


def picture_size(data: bytes) -> tuple[int, int] | None:
    """Return the size in pixels that a key frame claims; None for other frames (RFC 6386 §9.1)."""
    if not is_key_frame(data):
        return None
    return int.from_bytes(data[6:8], "little") & 0x3FFF, int.from_bytes(data[8:10], "little") & 0x3FFF


class Vp8Depacketizer:
    """Makes frames of payloads."""

    codec = Codec.VP8
    tolerant = False

    def __init__(self) -> None:
        self.malformed = 0

    def counters(self) -> dict[str, int]:
        """Return what was counted since the beginning, by name."""
        return {"malformed": self.malformed}

    def begins(self, payload: bytes) -> bool:
        """Whether this payload begins the first partition of a frame."""
        return bool(payload) and payload[0] & 0x17 == 0x10

    def resume(self) -> None:
        """Do nothing: VP8 has no parameter sets."""

    def assemble(self, payloads: Sequence[bytes | None]) -> Picture:
        """Return the frame that these payloads make; what follows a gap is useless and left out."""
        parts: list[bytes] = []
        damaged = False
        for payload in payloads:
            if payload is None:
                damaged = True
                break
            try:
                _, at = parse_descriptor(payload)
                if self.begins(payload) == bool(parts):
                    raise ValueError("the first payload of a frame, and no other, begins partition 0")
            except ValueError:
                self.malformed += 1
                damaged = True
                break
            parts.append(payload[at:])
        data = b"".join(parts)
        key = is_key_frame(data)
        if data and not data[0] & 0x01 and not key:
            self.malformed += 1
            return Picture(damaged=True)
        return Picture(data, key, damaged)


class Vp8Packetizer:
    """Makes payloads of frames; partitions are not told apart, as §4.4 allows.

    The 15-bit picture ids count an encoder's frames and not the calls here: one object may serve several encoders,
    and a hole in the ids would look like a loss to a receiver.
    """

    def __init__(self, mtu: int = MTU, picture_id: int = 0) -> None:
        """mtu in octets of payload; picture_id is that of a frame with number 0."""
        if mtu < 64:
            raise ValueError("the MTU must be at least 64 octets")
        self.mtu = mtu
        self.refused = 0
        self._picture_id = picture_id & 0x7FFF

    def packets(self, frame: EncodedFrame) -> list[tuple[bytes, bool]]:
        """Return the payloads and their marker bits; none for an empty frame."""
        if not frame.data:
            self.refused += 1
            return []
        cuts = even_cuts(len(frame.data), self.mtu - _DESCRIPTOR_LENGTH)
        picture_id = (self._picture_id + frame.number) & 0x7FFF
        first = Descriptor(True, picture_id=picture_id).pack()
        others = Descriptor(False, picture_id=picture_id).pack()
        last = len(cuts) - 2
        return [
            ((others if index else first) + frame.data[cuts[index] : cuts[index + 1]], index == last)
            for index in range(last + 1)
        ]
