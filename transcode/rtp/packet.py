"""RTP packets on the wire (RFC 3550 §5.1) with header extensions (RFC 8285)."""

from __future__ import annotations

import struct

HEADER_LENGTH = 12
MAX_CSRC = 15
_FIXED = struct.Struct("!BBHII")
_EXTENSION = struct.Struct("!HH")


class RtpPacket:
    """One RTP packet as it was received, or as it will be sent.

    timestamp is in ticks of the format's clock rate, modulo 2**32; sequence modulo 2**16. arrival is in seconds of
    the plane's monotonic clock, 0.0 for packets that we made. extension holds the header extension's profile and
    content, uninterpreted.
    """

    __slots__ = (
        "arrival",
        "csrc",
        "extension",
        "marker",
        "payload",
        "payload_type",
        "sequence",
        "ssrc",
        "timestamp",
    )

    def __init__(
        self,
        payload_type: int,
        sequence: int,
        timestamp: int,
        ssrc: int,
        payload: bytes,
        marker: bool = False,
        arrival: float = 0.0,
        csrc: tuple[int, ...] = (),
        extension: tuple[int, bytes] | None = None,
    ) -> None:
        self.payload_type = payload_type
        self.sequence = sequence
        self.timestamp = timestamp
        self.ssrc = ssrc
        self.payload = payload
        self.marker = marker
        self.arrival = arrival
        self.csrc = csrc
        self.extension = extension

    def __repr__(self) -> str:
        mark = " M" if self.marker else ""
        return (
            f"<RtpPacket pt={self.payload_type} seq={self.sequence} ts={self.timestamp} "
            f"ssrc={self.ssrc:08x} {len(self.payload)} octets{mark}>"
        )

    @classmethod
    def parse(cls, data: bytes, arrival: float = 0.0) -> RtpPacket:
        """Read a packet. Raises ValueError if it is not one."""
        if len(data) < HEADER_LENGTH:
            raise ValueError("RTP packet shorter than its header")
        first, second, sequence, timestamp, ssrc = _FIXED.unpack_from(data)
        if first >> 6 != 2:
            raise ValueError("RTP version is not 2")
        start, end = HEADER_LENGTH, len(data)
        csrc: tuple[int, ...] = ()
        extension: tuple[int, bytes] | None = None
        if first & 0x3F:
            count = first & 0x0F
            if count:
                start += 4 * count
                if start > end:
                    raise ValueError("RTP packet ends inside its CSRC list")
                csrc = struct.unpack_from(f"!{count}I", data, HEADER_LENGTH)
            if first & 0x10:
                if start + 4 > end:
                    raise ValueError("RTP packet ends inside its header extension")
                profile, words = _EXTENSION.unpack_from(data, start)
                start += 4
                if start + 4 * words > end:
                    raise ValueError("RTP packet ends inside its header extension")
                extension = (profile, data[start : start + 4 * words])
                start += 4 * words
            if first & 0x20:
                padding = data[end - 1] if end > start else 0
                if padding == 0 or start + padding > end:
                    raise ValueError("RTP padding is longer than the packet")
                end -= padding
        return cls(
            second & 0x7F,
            sequence,
            timestamp,
            ssrc,
            data[start:end],
            second >= 0x80,
            arrival,
            csrc,
            extension,
        )

    def pack(self) -> bytes:
        """Write the packet."""
        if not self.csrc and self.extension is None:
            return pack(self.payload_type, self.sequence, self.timestamp, self.ssrc, self.payload, self.marker)
        first = 0x80 | len(self.csrc) | (0x10 if self.extension is not None else 0)
        head = _FIXED.pack(
            first, self.payload_type | (0x80 if self.marker else 0), self.sequence, self.timestamp, self.ssrc
        )
        parts = [head, struct.pack(f"!{len(self.csrc)}I", *self.csrc)]
        if self.extension is not None:
            profile, content = self.extension
            content += bytes(-len(content) % 4)
            parts += [_EXTENSION.pack(profile, len(content) // 4), content]
        parts.append(self.payload)
        return b"".join(parts)


def pack(payload_type: int, sequence: int, timestamp: int, ssrc: int, payload: bytes, marker: bool = False) -> bytes:
    """Write a packet without CSRC and extension: the way that everything we send takes."""
    return _FIXED.pack(0x80, payload_type | 0x80 if marker else payload_type, sequence, timestamp, ssrc) + payload


def is_rtcp(data: bytes) -> bool:
    """Tell RTCP from RTP on one port (RFC 5761 §4)."""
    return len(data) >= 2 and 192 <= data[1] <= 223
