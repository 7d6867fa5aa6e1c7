"""H.263 over RTP as the second edition has it (RFC 4629; "H263-1998"), for all of H.263."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from transcode.frames import EncodedFrame
from transcode.media import Codec
from transcode.payload.h263_picture import begins_picture, parse_header
from transcode.payload.interface import MTU, Picture

_HEADER = 2
_START = 0x04
_START_CODE = re.compile(rb"\x00\x00[\x80-\xff]")


def body(payload: bytes) -> tuple[bool, bytes]:
    """Return whether a start code's zeros were left out in front (P), and what follows the payload header (§5.1).

    The extra picture header (PLEN) and the redundancy octet (V) are passed over. Raises ValueError if they or the rest
    are cut short.
    """
    if len(payload) < _HEADER:
        raise ValueError("H.263 payload shorter than its header")
    head = int.from_bytes(payload[:2])
    at = _HEADER + (head >> 9 & 1) + (head >> 3 & 0x3F)
    if at >= len(payload):
        raise ValueError("nothing follows the H.263 payload header")
    return bool(head & 0x0400), payload[at:]


class H263PDepacketizer:
    """Makes pictures of payloads. After a gap it goes on at the next payload that begins with a start code."""

    codec = Codec.H263P
    tolerant = True

    def __init__(self) -> None:
        self.malformed = 0

    def counters(self) -> dict[str, int]:
        """Return what was counted since the beginning, by name."""
        return {"malformed": self.malformed}

    def begins(self, payload: bytes) -> bool:
        """Whether a picture start code is at the front of this payload."""
        try:
            start, rest = body(payload)
        except ValueError:
            return False
        return start and rest[0] & 0xFC == 0x80

    def resume(self) -> None:
        """Do nothing: H.263 has no parameter sets."""

    def assemble(self, payloads: Sequence[bytes | None]) -> Picture:
        """Return the picture that these payloads make; None stands where packets were lost."""
        parts: list[bytes] = []
        damaged = astray = False
        for payload in payloads:
            if payload is None:
                damaged = astray = True
                continue
            try:
                start, rest = body(payload)
            except ValueError:
                self.malformed += 1
                damaged = astray = True
                continue
            if start:
                parts.append(b"\0\0")
                astray = False
            if not astray:
                parts.append(rest)
        try:
            data = b"".join(parts)
            return Picture(data, parse_header(data).intra, damaged)
        except ValueError:
            self.malformed += not damaged
            return Picture(damaged=True)


class H263PPacketizer:
    """Makes payloads of pictures, cut at start codes where that fills packets well, and anywhere else."""

    def __init__(self, mtu: int = MTU) -> None:
        """mtu in octets of payload."""
        if mtu < 64:
            raise ValueError("the MTU must be at least 64 octets")
        self.mtu = mtu
        self.refused = 0

    def packets(self, frame: EncodedFrame) -> list[tuple[bytes, bool]]:
        """Return the payloads and their marker bits; none if this is no picture."""
        if not begins_picture(frame.data):
            self.refused += 1
            return []
        payloads = list(self._payloads(frame.data))
        last = len(payloads) - 1
        return [(payload, index == last) for index, payload in enumerate(payloads)]

    def _payloads(self, data: bytes) -> Iterator[bytes]:
        """Yield payloads; one that begins with a start code leaves its two zero octets out (§5.1, P)."""
        starts = {match.start() for match in _START_CODE.finditer(data)}
        at = 0
        while at < len(data):
            coded = at in starts
            limit = at + self.mtu - _HEADER + (2 if coded else 0)
            end = min(limit, len(data))
            if end < len(data):
                half = at + self.mtu // 2
                end = max((start for start in starts if half <= start <= limit), default=end)
            yield bytes((_START if coded else 0, 0)) + data[at + (2 if coded else 0) : end]
            at = end
