"""H.263 over RTP as the first edition has it (RFC 2190; RTP/AVP payload type 34).

Received: modes A, B and C, cut at any bit. Sent: mode A, cut where groups of blocks (GOBs) begin, so the encoder should
write GOB headers; and mode B, cut between macroblocks, where a GOB is larger than a packet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from transcode.frames import EncodedFrame
from transcode.media import Codec
from transcode.payload.bits import BitJoiner, BitReader, cut, start_codes
from transcode.payload.h263_macroblocks import Cut, macroblock_cuts
from transcode.payload.h263_picture import START_ZEROS, PictureHeader, begins_picture, parse_header
from transcode.payload.interface import MTU, Picture

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
    """Makes payloads of pictures. Refused: headers of version 2 and PB frames, which mode A as sent cannot tell of."""

    def __init__(self, mtu: int = MTU) -> None:
        """mtu in octets of payload. A macroblock has under 1,100 octets, so that one always fits the default."""
        if mtu < 64:
            raise ValueError("the MTU must be at least 64 octets")
        self.mtu = mtu
        self.refused = 0

    def packets(self, frame: EncodedFrame) -> list[tuple[bytes, bool]]:
        """Return the payloads and their marker bits; none if the picture was refused."""
        try:
            payloads = list(self._payloads(frame.data))
        except ValueError:
            self.refused += 1
            return []
        last = len(payloads) - 1
        return [(payload, index == last) for index, payload in enumerate(payloads)]

    def _payloads(self, data: bytes) -> Iterator[bytes]:
        """Yield payloads of as many GOBs or macroblocks as fit. Raises ValueError if the picture cannot be sent."""
        header = parse_header(data)
        if header.extended or header.pb_frames:
            raise ValueError("mode A cannot tell of this picture")
        cuts = self._cuts(data, header)
        begin = cuts[0]
        for index in range(1, len(cuts)):
            here = cuts[index]
            budget = self.mtu - (_MODE_B if begin.inside else _MODE_A)
            if index + 1 < len(cuts) and _octets(begin.position, cuts[index + 1].position) <= budget:
                continue
            if _octets(begin.position, here.position) > budget:
                raise ValueError("a macroblock is larger than a packet")
            piece, front, back = cut(data, begin.position, here.position)
            head = _mode_b if begin.inside else _mode_a
            yield head(header, begin, front, back) + piece
            begin = here

    def _cuts(self, data: bytes, header: PictureHeader) -> list[Cut]:
        """Return all places where packets may begin, and the end."""
        end = 8 * len(data)
        bounds = [*start_codes(data, START_ZEROS), end]
        cuts: list[Cut] = []
        for start, stop in pairwise(bounds):
            cuts.append(Cut(start))
            if _octets(start, stop) > self.mtu - _MODE_A:
                cuts += macroblock_cuts(data, header, start, stop)
        cuts.append(Cut(end))
        return cuts


def _octets(start: int, end: int) -> int:
    """Return how many octets hold these bits."""
    return ((end + 7) >> 3) - (start >> 3)


def _flags(header: PictureHeader) -> int:
    """Return I, U, S and A as the four highest bits of an octet."""
    inter = 0 if header.intra else 0x80
    umv = 0x40 if header.unrestricted_vectors else 0
    sac = 0x20 if header.arithmetic else 0
    return inter | umv | sac | (0x10 if header.advanced_prediction else 0)


def _mode_a(header: PictureHeader, begin: Cut, front: int, back: int) -> bytes:
    """Write a mode A payload header (§5.1)."""
    return bytes((front << 3 | back, header.source << 5 | _flags(header) >> 3, 0, header.temporal_reference))


def _mode_b(header: PictureHeader, begin: Cut, front: int, back: int) -> bytes:
    """Write a mode B payload header (§5.2)."""
    first = 0x80 | front << 3 | back
    word = begin.group << 11 | begin.address << 2
    vectors = _flags(header) << 24 | (begin.horizontal & 0x7F) << 21 | (begin.vertical & 0x7F) << 14
    return bytes((first, header.source << 5 | begin.quantiser)) + word.to_bytes(2) + vectors.to_bytes(4)
