"""What audio and video streams of a leg have in common: a session on a carrier."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace

from transcode.audio.player import Voice
from transcode.carrier import Carrier
from transcode.conference import Conference
from transcode.events import FormatsChanged, MediaEvent
from transcode.interface import StreamStatistics
from transcode.media import Kind, LegId, Role
from transcode.negotiate import Chosen
from transcode.rtp.events import RtcpEvent
from transcode.rtp.session import RtpSession


@dataclass(frozen=True, slots=True)
class Owner:
    """What a stream knows of its leg: where it stands, and how to tell that something happened or went wrong."""

    leg: LegId
    conference: Conference
    rng: random.Random
    cname: str
    emit: Callable[[MediaEvent], None]
    fail: Callable[[Exception], None]
    voice: Voice


class Stream(ABC):
    """One stream: packets come from its carrier through its session, and go the same way back.

    What goes wrong inside with one packet or picture ends the leg and nobody else's.
    """

    kind: Kind
    clock_rate: int

    def __init__(self, owner: Owner, id: str, carrier: Carrier, shared: bool, role: Role) -> None:
        self.leg = owner.leg
        self.id = id
        self.role = role
        self.carrier = carrier
        self.chosen: Chosen | None = None
        self._owner = owner
        self._conference = owner.conference
        self._clock = owner.conference.clock
        self._emit = owner.emit
        self.session = RtpSession(
            self.kind,
            owner.rng.randrange(1, 1 << 32),
            owner.cname,
            self.clock_rate,
            random.Random(owner.rng.getrandbits(64)),
            shared=shared,
        )
        carrier.attach(self)

    @property
    def ssrcs(self) -> tuple[int, ...]:
        """The SSRCs that we send with."""
        return (self.session.ssrc,)

    @property
    def last_heard(self) -> float:
        """When something was last received, in seconds of the monotonic clock."""
        return max(self.session.last_rtp, self.session.last_rtcp)

    def ride(self, carrier: Carrier) -> None:
        """Go over to another carrier (ICE restart, a bundle that was formed)."""
        self.carrier.detach(self)
        self.carrier = carrier
        carrier.attach(self)

    def move(self, conference: Conference) -> None:
        """Go over to another conference; the session with the peer goes on as it was."""
        self._owner = replace(self._owner, conference=conference)
        self._conference = conference

    @abstractmethod
    def configure(self, chosen: Chosen, bit_rate: int) -> None:
        """Take what was negotiated; bit_rate in bit/s bounds what is sent."""

    def _stop_unless_same(self, chosen: Chosen) -> None:
        """Stop forwarding to and from here where a new description changes what flows; it begins again if that fits."""
        before = self.chosen
        if before is not None and _flowing(before) != _flowing(chosen):
            self._conference.forwarding.leave(self, self._clock())
            self._conference.forwarding.join(self)

    @property
    def forwards_to(self) -> Stream | None:
        """See `forwarding.End`: only sound and pictures ever are."""
        return None

    def may_forward(self, target: object, now: float) -> bool:
        """See `forwarding.End`."""
        return False

    def forward(self, target: object | None, now: float) -> None:  # noqa: B027 - it never may
        """See `forwarding.End`."""

    def _agree(self, chosen: Chosen) -> None:
        """Take of what was negotiated that which every kind of stream has."""
        self.chosen = chosen
        self.session.announce(chosen.stream.ssrcs)
        self.session.name_stream(chosen.stream.mid)

    def on_rtp(self, data: bytes, arrival: float) -> None:
        """Take one decrypted RTP packet."""
        try:
            self.take(data, arrival)
        except Exception as fault:
            self._owner.fail(fault)

    @abstractmethod
    def take(self, data: bytes, arrival: float) -> None:
        """Do the work of `on_rtp`."""

    def on_rtcp(self, data: bytes, arrival: float) -> None:
        """Take one decrypted RTCP compound."""
        try:
            for event in self.session.receive_rtcp(data, arrival):
                self.react(event, arrival)
        except Exception as fault:
            self._owner.fail(fault)

    def react(self, event: RtcpEvent, now: float) -> None:  # noqa: B027 - a stream may have nothing to do
        """Act on what the peer's RTCP says."""

    def poll(self, now: float) -> None:
        """Send the RTCP that is due."""
        for datagram in self.session.poll(now):
            self.carrier.send_rtcp(datagram)

    def goodbye(self, now: float) -> None:
        """Tell the peer that our source ends (RFC 3550 §6.6)."""
        if self.session.packets_out:
            self.carrier.send_rtcp(self.session.bye(now))

    @abstractmethod
    def formats(self) -> FormatsChanged | None:
        """Return what flows now; None while nothing is negotiated."""

    def _codec_in(self) -> str:
        """Return the name of the codec that comes in; empty where nothing did yet."""
        chosen = self.chosen
        return (
            chosen.receive[0].codec.value if chosen is not None and chosen.receive and self.session.packets_in else ""
        )

    def _codec_out(self) -> str:
        """Return the name of the codec that goes out; empty where nothing may."""
        return self.chosen.send.codec.value if self.chosen is not None and self.chosen.send is not None else ""

    def statistics(self) -> StreamStatistics:
        """Return the stream's counters; kinds of streams that count more add that."""
        session = self.session
        return StreamStatistics(
            id=self.id,
            kind=self.kind,
            codec_in=self._codec_in(),
            codec_out=self._codec_out(),
            packets_in=session.packets_in,
            packets_out=session.packets_out,
            bytes_in=session.bytes_in,
            bytes_out=session.bytes_out,
            lost_in=session.lost,
            loss_in=session.loss_in,
            loss_out=session.loss_out,
            jitter=session.jitter,
            round_trip=session.round_trip,
            encrypted=self.carrier.encrypted,
            role=self.role,
        )

    def counters(self) -> dict[str, int]:
        """Return what was counted, by name."""
        return self.session.counters()

    def close(self) -> None:
        """Let go of the carrier; nothing is received afterwards."""
        self.carrier.detach(self)


def _flowing(chosen: Chosen) -> tuple[object, ...]:
    return chosen.receive, chosen.send, chosen.stream.packet_time
