"""What carries a stream's packets: a pair of UDP ports, or the ICE transport of a browser; several may share one.

A carrier sorts incoming packets to the streams that ride on it (by payload type, RFC 9143 §9.2; RTCP goes to all,
each session takes what is its own) and spells its side of a transport description.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from transcode.media import Abilities, Candidate, StreamDescription, Transport, Wanted
from transcode.rtp.transport import PacketTransport

if TYPE_CHECKING:
    from transcode.stream import Stream


class Carrier(Protocol):
    """What a leg needs of a transport; encrypted names the SRTP suite in use, "" for none."""

    @property
    def encrypted(self) -> str:
        """The SRTP suite in use, "" for none."""

    @property
    def ready(self) -> bool:
        """Whether what is sent goes out to the peer: a path and keys are there."""

    def attach(self, stream: Stream) -> None:
        """Let a stream ride: its packets are brought to it."""

    def detach(self, stream: Stream) -> None:
        """Let a stream go."""

    def must_restart(self, remote: Transport) -> bool:
        """Whether the peer's new description asks for another transport."""

    def check(self, remote: StreamDescription, abilities: Abilities) -> None:
        """Raise the `Refused` that `answer` would raise for what the peer says, and change nothing."""

    async def answer(self, remote: StreamDescription, abilities: Abilities) -> Transport:
        """Take the peer's side and return ours. Raises `Refused`."""

    async def offer(self, abilities: Abilities, wanted: Wanted) -> Transport:
        """Return our side, for an offer."""

    def check_accepted(self, remote: Transport, abilities: Abilities) -> None:
        """Raise the `Refused` that `accept` would raise, and change nothing."""

    async def accept(self, remote: Transport, abilities: Abilities) -> None:
        """Take the peer's side of an answer. Raises `Refused`."""

    def add_candidate(self, candidate: Candidate | None) -> None:
        """Take a trickled candidate."""

    def open_channels(self, remote_port: int, take: Callable[[str, str | bytes], None]) -> int:
        """Carry data channels to the peer's SCTP port, messages come to `take`; return our port. Raises `Refused`."""

    def send_data(self, label: str, data: str | bytes) -> bool:
        """Send a message on a data channel; False if it cannot be sent."""

    def send_rtp(self, packet: bytes) -> None:
        """Send an RTP packet."""

    def send_rtcp(self, packet: bytes) -> None:
        """Send an RTCP compound."""

    def counters(self) -> dict[str, int]:
        """Return what was counted, by name."""

    def close(self) -> None:
        """Give the ports back."""

    async def closed(self) -> None:
        """Return when they are given back."""


class Riders:
    """Streams that share one transport."""

    def __init__(self, transport: PacketTransport) -> None:
        self._transport = transport
        self._streams: list[Stream] = []
        self._unknown = 0
        transport.on_rtp = self._ignore
        transport.on_rtcp = self._on_rtcp
        self.send_rtp = transport.send_rtp
        self.send_rtcp = transport.send_rtcp

    def attach(self, stream: Stream) -> None:
        """See `Carrier.attach`."""
        self._streams.append(stream)
        self._route()

    def detach(self, stream: Stream) -> None:
        """See `Carrier.detach`."""
        if stream in self._streams:
            self._streams.remove(stream)
            self._route()

    def _route(self) -> None:
        # One stream alone gets its packets without a step in between: this is the path that counts.
        streams = self._streams
        self._transport.on_rtp = streams[0].on_rtp if len(streams) == 1 else self._sort if streams else self._ignore

    def _sort(self, data: bytes, arrival: float) -> None:
        payload_type = data[1] & 0x7F
        for stream in self._streams:
            if stream.chosen is not None and any(one.payload_type == payload_type for one in stream.chosen.receive):
                stream.on_rtp(data, arrival)
                return
        self._unknown += 1

    def _on_rtcp(self, data: bytes, arrival: float) -> None:
        for stream in self._streams:
            stream.on_rtcp(data, arrival)

    @staticmethod
    def _ignore(data: bytes, arrival: float) -> None:
        """Nobody is there to take it."""
