"""What every video payload format does: from packets to a picture, and from a picture to packets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from transcode.frames import EncodedFrame
from transcode.media import Codec

MTU = 1200
"""Octets of RTP payload: with SRTP, TURN and tunnels around it a packet stays under the 1,280 that IPv6 promises."""
MAX_WIDTH = 1920
"""Pixels of a picture's longer side; the largest picture that is decoded here is 1920x1200."""
MAX_HEIGHT = 1200
"""Pixels of a picture's shorter side."""


def size_allowed(width: int, height: int) -> bool:
    """Whether a picture of this size in pixels may be decoded; portrait is as good as landscape."""
    return 0 < min(width, height) <= MAX_HEIGHT and max(width, height) <= MAX_WIDTH


@dataclass(frozen=True, slots=True)
class Picture:
    """What the packets of one timestamp make.

    data is as `EncodedFrame.data`; empty if there is nothing to decode (only parameter sets, or nothing usable).
    key: decoding can start here. damaged: something of it was missing or malformed. recovery: a decoder that starts
    here shows the right picture after so many more frames (H.264 recovery point); None if nothing tells.
    """

    data: bytes = b""
    key: bool = False
    damaged: bool = False
    recovery: int | None = None


class Depacketizer(Protocol):
    """Makes pictures of payloads. It may keep parameter sets, but no packets: pictures must be given in order.

    tolerant says that damaged pictures of this codec can be shown and mend themselves. Nothing is raised on bad input:
    it is counted, and the picture is damaged.
    """

    codec: Codec
    tolerant: bool

    def begins(self, payload: bytes) -> bool:
        """Whether this payload is, as far as it tells, the first of a picture."""

    def resume(self) -> None:
        """Make the next picture decodable by one who has seen nothing before, as far as parameter sets do that."""

    def assemble(self, payloads: Sequence[bytes | None]) -> Picture:
        """Return the picture that these payloads of one timestamp make; None stands where packets were lost."""

    def counters(self) -> dict[str, int]:
        """Return what was counted since the beginning, by name."""


class Packetizer(Protocol):
    """Makes payloads of pictures. refused counts pictures that cannot be sent under the format's rules."""

    mtu: int
    refused: int

    def packets(self, frame: EncodedFrame) -> list[tuple[bytes, bool]]:
        """Return the payloads and their marker bits; none if the picture was refused."""


def even_cuts(length: int, limit: int) -> list[int]:
    """Return the bounds that cut `length` octets into as few pieces of at most `limit` as can be, of even size.

    Even pieces are lost less often than one full and one tiny packet, and pace better.
    """
    count = max(1, -(-length // limit))
    return [length * i // count for i in range(count + 1)]
