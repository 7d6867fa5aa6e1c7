"""H.261 over RTP (RFC 4587): pictures cut at groups of blocks, or between macroblocks where a group is too large."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from transcode.frames import EncodedFrame
from transcode.media import Codec
from transcode.payload.bits import BitJoiner, BitReader, cut, start_codes
from transcode.payload.h261_macroblocks import START_ZEROS, Cut, begins_intra, macroblock_cuts
from transcode.payload.interface import MTU, Picture

MAX_GROUPS = 12
"""GOBs of a CIF picture; QCIF has three (§4.2.1 of H.261)."""
_HEADER = 4
_VECTORS_USED = 1 << 24
_QCIF, _CIF = (176, 144), (352, 288)
_QCIF_GROUPS = 3


def _picture_at(bits: BitReader) -> bool:
    """Whether a picture start code stands here (§4.2.1.1 of H.261)."""
    return bits.peek(20) == 0x00010


def picture_size(data: bytes) -> tuple[int, int] | None:
    """Return the size in pixels that a picture's PTYPE tells; None if it does not begin with a picture header."""
    bits = BitReader(data)
    if len(data) < 4 or not _picture_at(bits):
        return None
    bits.skip(20 + 5 + 3)
    return _CIF if bits.flag() else _QCIF


class H261Depacketizer:
    """Makes pictures of payloads, joined to the bit. After a gap it goes on at the next payload that begins a GOB.

    H.261 has no key frames by name: one is a picture of which every GOB is there and begins with an intra macroblock.
    """

    codec = Codec.H261
    tolerant = True

    def __init__(self) -> None:
        self.malformed = 0

    def counters(self) -> dict[str, int]:
        """Return what was counted since the beginning, by name."""
        return {"malformed": self.malformed}

    def begins(self, payload: bytes) -> bool:
        """Whether a picture start code is at the front of this payload."""
        return len(payload) > _HEADER and _picture_at(BitReader(payload[_HEADER:][:5], payload[0] >> 5))

    def resume(self) -> None:
        """Do nothing: H.261 has no parameter sets."""

    def assemble(self, payloads: Sequence[bytes | None]) -> Picture:
        """Return the picture that these payloads make; None stands where packets were lost."""
        joiner = BitJoiner()
        damaged = astray = False
        for payload in payloads:
            if payload is None:
                damaged = astray = True
                continue
            try:
                if len(payload) <= _HEADER:
                    raise ValueError("nothing follows the H.261 payload header")
                piece, front, back = payload[_HEADER:], payload[0] >> 5, payload[0] >> 2 & 0x07
                if astray or not len(joiner):
                    if BitReader(piece, front).peek(START_ZEROS + 1) != 1:
                        raise ValueError("payload begins inside a GOB whose front is missing")
                    joiner.align()
                    astray = False
                joiner.add(piece, front, back)
            except ValueError:
                self.malformed += not astray
                damaged = astray = True
        data = joiner.octets()
        if picture_size(data) is None:
            return Picture(damaged=True)
        return Picture(data, not damaged and _is_intra(data), damaged)


def _is_intra(data: bytes) -> bool:
    """Whether all GOBs are there and begin with an intra macroblock."""
    groups = start_codes(data, START_ZEROS)[1:]
    wanted = MAX_GROUPS if picture_size(data) == _CIF else _QCIF_GROUPS
    return len(groups) == wanted and all(begins_intra(data, position) for position in groups)


class H261Packetizer:
    """Makes payloads of pictures. Refused: what does not read as an H.261 picture where that is needed."""

    def __init__(self, mtu: int = MTU) -> None:
        """mtu in octets of payload. A macroblock has under 1,000 octets, so that one always fits the default."""
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
        """Yield payloads of as many GOBs or macroblocks as fit. Raises ValueError if one alone does not fit."""
        if picture_size(data) is None:
            raise ValueError("no H.261 picture")
        cuts = self._cuts(data)
        budget = self.mtu - _HEADER
        begin = cuts[0]
        for index in range(1, len(cuts)):
            here = cuts[index]
            if index + 1 < len(cuts) and _octets(begin.position, cuts[index + 1].position) <= budget:
                continue
            if _octets(begin.position, here.position) > budget:
                raise ValueError("a macroblock is larger than a packet")
            yield _payload(data, begin, here.position)
            begin = here

    def _cuts(self, data: bytes) -> list[Cut]:
        """Return all places where packets may begin, and the end. A picture header stays with its first GOB."""
        end = 8 * len(data)
        codes = start_codes(data, START_ZEROS)
        if not codes or codes[0] != 0 or len(codes) > MAX_GROUPS + 1:
            raise ValueError("no H.261 picture of at most 12 GOBs")
        starts = [0, *codes[2:]]
        cuts: list[Cut] = []
        for index, start in enumerate(starts):
            cuts.append(Cut(start))
            stop = starts[index + 1] if index + 1 < len(starts) else end
            if _octets(start, stop) > self.mtu - _HEADER:
                group = codes[1] if index == 0 and len(codes) > 1 else start
                cuts += macroblock_cuts(data, group, stop)
        cuts.append(Cut(end))
        return cuts


def _octets(start: int, end: int) -> int:
    """Return how many octets hold these bits."""
    return ((end + 7) >> 3) - (start >> 3)


def _payload(data: bytes, begin: Cut, end: int) -> bytes:
    """Write the payload header (§4.1) in front of the bits from a cut to `end`."""
    piece, front, back = cut(data, begin.position, end)
    header = front << 29 | back << 26 | _VECTORS_USED
    if begin.group:
        header |= begin.group << 20 | (begin.address - 1) << 15 | begin.quantiser << 10
        header |= (begin.horizontal & 0x1F) << 5 | begin.vertical & 0x1F
    return header.to_bytes(4) + piece
