"""The receiving half of an RTP session: whose packets are taken, and what is counted of them (RFC 3550 §6, A.1).

Theory of operation. The first source that sends is taken at once: there is nothing to protect yet, and its first
packets begin the first key frame. A second one is foreign until it has sent two packets in sequence while the first
was quiet for a moment, said BYE, or was announced by signalling; then it takes over and `generation` moves, as it does
when the same source restarts its sequence.
"""

from __future__ import annotations

from collections.abc import Iterable

from transcode.media import Kind
from transcode.rtp.missing import Missing
from transcode.rtp.packet import RtpPacket
from transcode.rtp.reception import Reception, Step

QUIET_BEFORE_TAKEOVER = {Kind.AUDIO: 0.06, Kind.VIDEO: 0.2, Kind.TEXT: 1.0, Kind.DATA: 0.2, Kind.CAMERA: 1.0}
"""Seconds that the source must be silent before another one takes over: three packets of sound, some pictures."""
MAX_ANNOUNCED = 32
"""SSRCs of one stream that signalling may promise; simulcast with retransmission has six."""
MAX_CANDIDATES = 8
"""Other SSRCs watched at once; more than that is noise."""
INFINITE = float("inf")

_AHEAD, _LATE, _REFUSED = Step.AHEAD, Step.LATE, Step.REFUSED


class Receiving:
    """What a session knows of the source that it receives. Counters and attributes are described in `RtpSession`."""

    __slots__ = (
        "_announced",
        "_candidates",
        "_due",
        "_gone_at",
        "_lost_before",
        "_missing",
        "_quiet",
        "_reception",
        "_source",
        "bytes_in",
        "clock_rate",
        "foreign",
        "generation",
        "kind",
        "last_rtp",
        "looped",
        "malformed",
        "packets_in",
        "payload_types",
        "recovered",
        "refused",
        "rtx_types",
        "sender_clock",
        "source_changes",
        "ssrc",
        "unknown_payload",
    )

    def __init__(self, kind: Kind, ssrc: int, clock_rate: int) -> None:
        self.kind = kind
        self.ssrc = ssrc
        self.clock_rate = clock_rate
        self.payload_types: frozenset[int] | None = None
        self.rtx_types: dict[int, int] = {}
        self.generation = self.source_changes = 0
        self.last_rtp = -INFINITE
        self._source = -1
        self._reception: Reception | None = None
        self._announced: tuple[int, ...] = ()
        self._candidates: dict[int, int] = {}
        self._gone_at = -INFINITE
        self._quiet = QUIET_BEFORE_TAKEOVER[self.kind]
        self._missing: Missing | None = None
        self._lost_before = 0
        self.packets_in = self.bytes_in = self.malformed = self.foreign = self.refused = 0
        self.unknown_payload = self.looped = self.recovered = 0
        self.sender_clock: tuple[float, int, float] | None = None
        self._due = -INFINITE

    @property
    def _gone(self) -> bool:
        """Whether the source said BYE and has kept its word."""
        return self._gone_at >= self.last_rtp > -INFINITE

    def announce(self, ssrcs: Iterable[int]) -> None:
        """Name the SSRCs that the peer's signalling promised: one of them takes over without probation."""
        self._announced = tuple(ssrcs)[:MAX_ANNOUNCED]

    def receive_rtp(self, data: bytes, now: float) -> RtpPacket | None:
        """Take one decrypted RTP datagram; returns its packet, or None if it is counted and of no use."""
        try:
            packet = RtpPacket.parse(data, now)
        except ValueError:
            self.malformed += 1
            return None
        if packet.ssrc != self._source:
            if packet.payload_type in self.rtx_types:
                return self._restore(packet)
            if not self._admit(packet, now):
                return None
        elif self.payload_types is not None and packet.payload_type not in self.payload_types:
            self.unknown_payload += 1
            return None
        reception = self._reception
        assert reception is not None
        highest = reception.highest
        step = reception.update(packet.sequence, packet.timestamp, now)
        if step and not self._settle(step, packet.sequence, highest, now):
            return None
        self.last_rtp = now
        self.packets_in += 1
        self.bytes_in += len(packet.payload)
        return packet

    def _settle(self, step: Step, sequence: int, highest: int, now: float) -> bool:
        """Deal with a packet that was not the next one; tells whether it is of use."""
        reception, missing = self._reception, self._missing
        assert reception is not None
        if step is _REFUSED:
            self.refused += 1
            return False
        if step is _AHEAD:
            if missing is not None:
                missing.add(highest + 1, reception.highest - 1, now)
                self._due = min(self._due, missing.due)
        elif step is _LATE:
            if missing is not None and missing.found(reception.extend(sequence)):
                self.recovered += 1
        else:
            self.generation += 1
            if missing is not None:
                missing.clear()
        return True

    def _admit(self, packet: RtpPacket, now: float) -> bool:
        """Judge a packet of a source that is not the present one; adopts the source if its time has come."""
        ssrc = packet.ssrc
        if self.payload_types is not None and packet.payload_type not in self.payload_types:
            self.unknown_payload += 1
            return False
        if ssrc == self.ssrc:
            self.looped += 1  # an echoing peer, or our own packets sent back; taken, since there is nothing else
        promised = ssrc in self._announced and self._source not in self._announced
        in_sequence = self._candidates.get(ssrc) == packet.sequence and now - self.last_rtp >= self._quiet
        if self._reception is None or self._gone or promised or in_sequence:
            self._adopt(packet)
            return True
        self.foreign += 1
        if ssrc not in self._candidates and len(self._candidates) >= MAX_CANDIDATES:
            del self._candidates[next(iter(self._candidates))]
        self._candidates[ssrc] = (packet.sequence + 1) & 0xFFFF
        return False

    def _adopt(self, packet: RtpPacket) -> None:
        if self._reception is not None:
            self._lost_before += self._reception.lost
            self.generation += 1
            self.source_changes += 1
        self._source = packet.ssrc
        self._reception = Reception(packet.ssrc, self.clock_rate, packet.sequence)
        self._candidates.clear()
        self.sender_clock = None
        if self._missing is not None:
            self._missing.clear()

    def _restore(self, packet: RtpPacket) -> RtpPacket | None:
        """Turn an RTX packet back into what it repeats (RFC 4588 §4)."""
        payload, reception = packet.payload, self._reception
        if len(payload) <= 2 or reception is None:
            return None  # padding that probes for bandwidth, or nothing to repair yet
        sequence = int.from_bytes(payload[:2], "big")
        missing = self._missing
        if missing is None or not missing.found(reception.extend(sequence)):
            return None
        reception.received += 1
        self.recovered += 1
        self.packets_in += 1
        self.bytes_in += len(payload) - 2
        return RtpPacket(
            self.rtx_types[packet.payload_type],
            sequence,
            packet.timestamp,
            self._source,
            payload[2:],
            packet.marker,
            packet.arrival,
            packet.csrc,
            packet.extension,
        )

    @property
    def remote_ssrc(self) -> int | None:
        """The SSRC that is received at present."""
        return self._source if self._source >= 0 else None

    @property
    def lost(self) -> int:
        """Packets lost on the way to us since the start."""
        return max(0, self._lost_before + (0 if self._reception is None else self._reception.lost))

    @property
    def loss_in(self) -> float:
        """Share of packets lost on the way to us in the last report's interval."""
        return 0.0 if self._reception is None else self._reception.loss

    @property
    def jitter(self) -> float:
        """Interarrival jitter in ms (RFC 3550 §6.4.1)."""
        return 0.0 if self._reception is None else self._reception.jitter
