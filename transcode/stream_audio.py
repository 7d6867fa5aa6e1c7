"""A leg's sound: from its carrier to the conference's mixer and back."""

from __future__ import annotations

import random
from collections.abc import Callable

from transcode.audio.receiver import AudioReceiver
from transcode.carrier import Carrier
from transcode.conference import Conference
from transcode.media import FormatsChanged, Kind, LegId, MediaEvent, StreamStatistics
from transcode.negotiate import Chosen
from transcode.stream import Stream

PACKET_TIMES = (10, 20, 30, 40, 60)
"""ms of sound in a packet that we can send; another wish gets the nearest smaller one, at least 20."""


class AudioStream(Stream):
    """Sound, both ways."""

    kind = Kind.AUDIO
    clock_rate = 8000

    def __init__(
        self,
        leg: LegId,
        id: str,
        conference: Conference,
        carrier: Carrier,
        rng: random.Random,
        cname: str,
        shared: bool,
        emit: Callable[[MediaEvent], None],
    ) -> None:
        super().__init__(leg, id, carrier, rng, cname, shared, emit)
        self._conference = conference
        self._mixer = conference.mixer
        self._clock = conference.clock
        self._receiver: AudioReceiver | None = None
        self._timestamp = rng.getrandbits(32)
        self._payload_type = 0

    def configure(self, chosen: Chosen, bit_rate: int) -> None:
        """See `Stream.configure`."""
        self.chosen = chosen
        self._configure_receiving(chosen)
        self._configure_sending(chosen)
        self._conference.share_out()

    def _configure_receiving(self, chosen: Chosen) -> None:
        self.session.announce(chosen.stream.ssrcs)
        if chosen.receive and self._receiver is not None:
            self._receiver.set_formats(chosen.receive)
        elif chosen.receive:
            self._receiver = AudioReceiver(chosen.receive)
            self._mixer.add(self.leg, self._receiver)
        elif not chosen.receive and self._receiver is not None:
            self._receiver = None
            self._mixer.remove(self.leg)

    def _configure_sending(self, chosen: Chosen) -> None:
        if chosen.send is None:
            self._mixer.set_sender(self.leg, None, None, 20)
            return
        self._payload_type = chosen.send.payload_type
        self.session.send_clock_rate = chosen.send.clock_rate
        wish = chosen.stream.packet_time or 20
        packet_time = max(20, max((time for time in PACKET_TIMES if time <= wish), default=20))
        self._mixer.set_sender(self.leg, chosen.send, self._send, packet_time)

    def on_rtp(self, data: bytes, arrival: float) -> None:
        """Take one packet."""
        packet = self.session.receive_rtp(data, arrival)
        receiver = self._receiver
        if packet is None or receiver is None:
            return
        receiver.push(packet)

    def _send(self, payload: bytes, ticks: int, marker: bool) -> None:
        packet = self.session.pack(self._payload_type, payload, self._timestamp, marker, self._clock())
        self._timestamp = (self._timestamp + ticks) & 0xFFFFFFFF
        self.carrier.send_rtp(packet)

    def formats(self) -> FormatsChanged | None:
        """See `Stream.formats`."""
        if self.chosen is None:
            return None
        return FormatsChanged(self.leg, self.id, Kind.AUDIO, self._codec_in(), self._codec_out())

    def _codec_in(self) -> str:
        if self._receiver is None or not self.session.packets_in:
            return ""
        return self._receiver.codec.value if self._receiver.codec is not None else ""

    def _codec_out(self) -> str:
        return self.chosen.send.codec.value if self.chosen is not None and self.chosen.send is not None else ""

    def statistics(self) -> StreamStatistics:
        """See `Stream.statistics`."""
        session = self.session
        return StreamStatistics(
            id=self.id,
            kind=Kind.AUDIO,
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
            concealed=0 if self._receiver is None else self._receiver.counters().concealed,
            encrypted=self.carrier.encrypted,
        )

    def counters(self) -> dict[str, int]:
        """See `Stream.counters`."""
        counted = super().counters()
        if self._receiver is not None:
            sound = self._receiver.counters()
            counted |= {"concealed": sound.concealed, "late": sound.late, "malformed_payloads": sound.malformed}
        return counted

    def close(self) -> None:
        """See `Stream.close`."""
        super().close()
        self._mixer.set_sender(self.leg, None, None, 20)
        self._mixer.remove(self.leg)
