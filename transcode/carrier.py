"""What carries a stream's packets: a pair of UDP ports, or the ICE transport of a browser; several may share one.

A carrier sorts incoming packets to the streams that ride on it (`transcode.rtp.mid`, RFC 9143 §9.2; RTCP goes to all,
each session takes what is its own) and spells its side of a transport description.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from transcode.media import Abilities, Candidate, StreamDescription, Transport, Wanted
from transcode.rtp.mid import read_name
from transcode.rtp.transport import PacketTransport

if TYPE_CHECKING:
    from transcode.stream import Stream


MAX_SENDERS = 64
"""SSRCs of one bundle that are remembered: four streams, each with retransmission, that were begun anew eight times."""


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

    def check_channels(self) -> None:
        """Raise the `Refused` that `open_channels` would raise."""

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
        self._senders: dict[bytes, Stream] = {}
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
            self._senders = {ssrc: one for ssrc, one in self._senders.items() if one is not stream}
            self._route()

    def _route(self) -> None:
        # One stream alone gets its packets without a step in between: this is the path that counts.
        streams = self._streams
        self._transport.on_rtp = streams[0].on_rtp if len(streams) == 1 else self._sort if streams else self._ignore

    def _sort(self, data: bytes, arrival: float) -> None:
        stream = self._stream_of(data)
        if stream is None:
            self._unknown += 1
        else:
            stream.on_rtp(data, arrival)

    def _stream_of(self, data: bytes) -> Stream | None:
        """Return the stream of a packet: the one that it names, else its sender's, else that of its payload type.

        Who names a stream or is announced is remembered: it names itself in its first packets only (RFC 9143 §9.2).
        A payload type that several streams have means the first one, where nothing else tells.
        """
        ssrc, payload_type = data[8:12], data[1] & 0x7F
        if data[0] & 0x10:
            named = _named(self._streams, data)
            if named is not None:
                found = next((one for one in self._streams if _mid(one) == named), None)
                if found is not None:
                    self._remember(ssrc, found)
                return found
        fitting = [stream for stream in self._streams if _takes(stream, payload_type)]
        known = self._senders.get(ssrc)
        if known in fitting:
            return known
        sender = int.from_bytes(ssrc, "big")
        for stream in fitting:
            if stream.chosen is not None and sender in stream.chosen.stream.ssrcs:
                self._remember(ssrc, stream)
                return stream
        return fitting[0] if fitting else None

    def _remember(self, ssrc: bytes, stream: Stream) -> None:
        self._senders.pop(ssrc, None)
        self._senders[ssrc] = stream
        if len(self._senders) > MAX_SENDERS:
            del self._senders[next(iter(self._senders))]

    def _on_rtcp(self, data: bytes, arrival: float) -> None:
        for stream in self._streams:
            stream.on_rtcp(data, arrival)

    @staticmethod
    def _ignore(data: bytes, arrival: float) -> None:
        """Nobody is there to take it."""


def _mid(stream: Stream) -> str | None:
    """Return the name by which packets of a stream may call it."""
    mid = None if stream.chosen is None else stream.chosen.stream.mid
    return None if mid is None else mid.name


def _named(streams: list[Stream], data: bytes) -> str | None:
    """Return the name that a packet gives its stream; all streams of a bundle have one id for that (RFC 9143 §15)."""
    mids = (stream.chosen.stream.mid for stream in streams if stream.chosen is not None)
    extension = next((mid.extension for mid in mids if mid is not None), None)
    return None if extension is None else read_name(data, extension)


def _takes(stream: Stream, payload_type: int) -> bool:
    return stream.chosen is not None and any(one.payload_type == payload_type for one in stream.chosen.receive)
