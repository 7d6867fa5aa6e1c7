"""H.263 over RTP as the first edition has it (RFC 2190; RTP/AVP payload type 34).

Received: modes A, B and C, cut at any bit. Sent: mode A only, cut where groups of blocks (GOBs) begin, so the encoder
must write GOB headers. Cuts inside a GOB (mode B) would need the motion vector predictors of every macroblock.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from transcode.frames import EncodedFrame
from transcode.media import Codec
from transcode.payload.bits import BitJoiner, BitReader, cut, start_codes
from transcode.payload.h263_picture import START_ZEROS, PictureHeader, begins_picture, parse_header
from transcode.payload.interface import MTU, Picture

MAX_PAYLOAD = 1400
"""Octets of a payload with a single GOB above the MTU: Ethernet's 1,500 less IPv6, UDP, RTP and SRTP's tag."""
_MODE_A, _MODE_B, _MODE_C = 4, 8, 12


def header_length(payload: bytes) -> int:
    """Return the octets of the payload header by its mode (§5). Raises ValueError if nothing follows it."""
    length = _MODE_A
    if payload and payload[0] & 0x80:
        length = _MODE_C if payload[0] & 0x40 else _MODE_B
    if len(payload) <= length:
        raise ValueError("nothing follows the H.263 payload header")
    return length


class H263Depacketizer:
    """Makes pictures of payloads. After a gap it goes on at the next GOB that has a header."""

    codec = Codec.H263
    tolerant = True

    def __init__(self) -> None:
        self.malformed = 0

    def counters(self) -> dict[str, int]:
        """Return what was counted since the beginning, by name."""
        return {"malformed": self.malformed}

    def begins(self, payload: bytes) -> bool:
        """Whether a picture start code is at the front of this payload."""
        try:
            return begins_picture(payload[header_length(payload) :][:3])
        except ValueError:
            return False

    def resume(self) -> None:
        """Do nothing: H.263 has no parameter sets."""

    def assemble(self, payloads: Sequence[bytes | None]) -> Picture:
        """Return the picture that these payloads make; None stands where packets were lost."""
        joiner = BitJoiner()
        damaged = astray = False
        for payload in payloads:
            if payload is None:
                damaged = astray = True
                continue
            try:
                length = header_length(payload)
                piece, front, back = payload[length:], payload[0] >> 3 & 0x07, payload[0] & 0x07
                if astray:
                    if BitReader(piece, front).peek(START_ZEROS + 1) != 1:
                        continue
                    joiner.align()
                    astray = False
                joiner.add(piece, front, back)
            except ValueError:
                self.malformed += 1
                damaged = astray = True
        try:
            data = joiner.octets()
            return Picture(data, parse_header(data).intra, damaged)
        except ValueError:
            self.malformed += not damaged
            return Picture(damaged=True)


class H263Packetizer:
    """Makes mode A payloads of pictures. Refused: extended headers, which mode A cannot tell of, and GOBs too large."""

    def __init__(self, mtu: int = MTU) -> None:
        """mtu in octets of payload; a single GOB may exceed it up to `MAX_PAYLOAD`."""
        if mtu < 64:
            raise ValueError("the MTU must be at least 64 octets")
        self.mtu = mtu
        self.refused = 0

    def packets(self, frame: EncodedFrame) -> list[tuple[bytes, bool]]:
        """Return the payloads and their marker bits; none if the picture was refused."""
        try:
            header = parse_header(frame.data)
            pieces = list(self._pieces(frame.data))
        except ValueError:
            header, pieces = None, []
        if header is None or header.extended or header.pb_frames or not pieces:
            self.refused += 1
            return []
        last = len(pieces) - 1
        return [
            (_mode_a(header, front, back) + piece, index == last) for index, (piece, front, back) in enumerate(pieces)
        ]

    def _pieces(self, data: bytes) -> Iterator[tuple[bytes, int, int]]:
        """Yield as many whole GOBs at a time as fit, each with SBIT and EBIT. Raises ValueError if one is too large."""
        end = 8 * len(data)
        bounds = [*start_codes(data, START_ZEROS), end]
        start = 0
        for index, bound in enumerate(bounds[1:], 1):
            following = bounds[index + 1] if index + 1 < len(bounds) else None
            if following is not None and _octets(start, following) <= self.mtu - _MODE_A:
                continue
            if _octets(start, bound) > max(self.mtu, MAX_PAYLOAD) - _MODE_A:
                raise ValueError("a GOB is larger than a packet")
            yield cut(data, start, bound)
            start = bound


def _octets(start: int, end: int) -> int:
    """Return how many octets hold these bits."""
    return ((end + 7) >> 3) - (start >> 3)


def _mode_a(header: PictureHeader, front: int, back: int) -> bytes:
    """Write a mode A payload header (§5.1)."""
    flags = (
        header.source << 5
        | (0 if header.intra else 0x10)
        | (0x08 if header.unrestricted_vectors else 0)
        | (0x04 if header.arithmetic else 0)
        | (0x02 if header.advanced_prediction else 0)
    )
    return bytes((front << 3 | back, flags, 0, header.temporal_reference))
