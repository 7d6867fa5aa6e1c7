"""One direction of forwarded sound: which of a source's packets go on as they are, and with which numbers. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from transcode.audio.codecs import DECODES
from transcode.audio.receiver import STATIC_TYPES
from transcode.forwarding import PacketRelay
from transcode.forwarding_fits import packet_fits
from transcode.media import Codec, Format
from transcode.negotiate import Chosen
from transcode.rtp.packet import RtpPacket


@dataclass(frozen=True, slots=True)
class Onward:
    """A packet on its way: comfort says that it holds comfort noise."""

    payload: bytes
    sequence: int
    timestamp: int
    ticks: int
    marker: bool
    comfort: bool


class SoundForward:
    """Packets of one source; unfit tells that something came that the target cannot be given as it is."""

    def __init__(self, source: Chosen, target: Chosen, relay: PacketRelay) -> None:
        assert target.send is not None
        self.unfit = False
        self._relay = relay
        self._format: Format = target.send
        self._wish = target.stream.packet_time
        self._codecs = STATIC_TYPES | {one.payload_type: one.codec for one in source.receive}
        self._noise = comfort_noise_type(target) is not None

    def take(self, packet: RtpPacket, ticks: int, generation: int) -> Onward | None:
        """Return what goes on of a packet that holds so many ticks of sound; None: it is the receiver's."""
        codec = self._codecs.get(packet.payload_type)
        comfort = codec is Codec.COMFORT_NOISE
        if comfort and self._noise:
            ticks = 0
        elif codec is not self._format.codec or not packet_fits(self._format, self._wish, ticks):
            self.unfit = self.unfit or comfort or (codec in DECODES and ticks > 0)
            self._relay.skip()
            return None
        sequence, timestamp, first = self._relay.onward(packet.sequence, packet.timestamp, ticks, generation)
        return Onward(packet.payload, sequence, timestamp, ticks, packet.marker or first, comfort)


def comfort_noise_type(target: Chosen) -> int | None:
    """Return the payload type by which a peer takes comfort noise beside its sound (RFC 3389 §4), None: it does not."""
    if target.send is None:
        return None
    fitting = (
        one.payload_type
        for one in target.stream.receive
        if one.codec is Codec.COMFORT_NOISE and one.clock_rate == target.send.clock_rate
    )
    return next(fitting, None)
