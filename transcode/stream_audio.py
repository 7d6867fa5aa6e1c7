"""A leg's sound: from its carrier to the conference's mixer and back."""

from __future__ import annotations

from dataclasses import replace

from transcode.audio.keys import KeySender
from transcode.audio.receiver import AudioReceiver
from transcode.carrier import Carrier
from transcode.conference import Conference
from transcode.events import FormatsChanged
from transcode.interface import StreamStatistics
from transcode.media import Format, Kind, Role
from transcode.negotiate import Chosen
from transcode.stream import Owner, Stream

PACKET_TIMES = (10, 20, 30, 40, 60)
"""ms of sound in a packet that we can send; another wish gets the nearest smaller one, at least 20."""


class AudioStream(Stream):
    """Sound, both ways."""

    kind = Kind.AUDIO
    clock_rate = 8000

    def __init__(self, owner: Owner, id: str, carrier: Carrier, shared: bool, role: Role) -> None:
        super().__init__(owner, id, carrier, shared, role)
        self._mixer = owner.conference.mixer
        self._receiver = AudioReceiver(())
        self._sent: tuple[Format, int] | None = None
        self._timestamp = owner.rng.getrandbits(32)
        self._payload_type = 0
        self._keys = KeySender()
        self._mixer.add(self.leg, self._receiver, owner.fail, owner.voice)

    def configure(self, chosen: Chosen, bit_rate: int) -> None:
        """See `Stream.configure`."""
        self._agree(chosen)
        if chosen.receive:
            received = chosen.receive[0].clock_rate
            self.session.set_clock_rates(received, received if chosen.send is None else chosen.send.clock_rate)
            self._receiver.set_formats(chosen.receive)
        self._configure_sending(chosen)
        self._conference.seat(self.leg)

    def _configure_sending(self, chosen: Chosen) -> None:
        wish = chosen.stream.packet_time or 20
        packet_time = max(20, max((time for time in PACKET_TIMES if time <= wish), default=20))
        wanted = None if chosen.send is None else (chosen.send, packet_time)
        if wanted == self._sent:
            return  # a new description that changes nothing must not be heard
        self._sent = wanted
        if chosen.send is None:
            self._mixer.set_sender(self.leg, None, None)
            return
        self._payload_type = chosen.send.payload_type
        self.session.send_clock_rate = chosen.send.clock_rate
        self._mixer.set_sender(self.leg, chosen.send, self._send, packet_time, lambda: self.carrier.ready)

    def take(self, data: bytes, arrival: float) -> None:
        """See `Stream.take`."""
        packet = self.session.receive_rtp(data, arrival)
        if packet is not None and self.chosen is not None and self.chosen.receive:
            self._receiver.push(packet)

    def _send(self, payload: bytes, ticks: int, marker: bool) -> None:
        number, timestamp = self._payload_type, self._timestamp
        if self._keys.busy and self.chosen is not None and self.chosen.telephone_event is not None:
            key = self._keys.next(timestamp, ticks, self.session.send_clock_rate)
            if key is not None:
                number = self.chosen.telephone_event
                payload, timestamp, marker = key
        packet = self.session.pack(number, payload, timestamp, marker, self._clock())
        self._timestamp = (self._timestamp + ticks) & 0xFFFFFFFF
        self.carrier.send_rtp(packet)

    def press(self, digit: str, duration: int) -> bool:
        """Press a key at the peer, for so many ms; False where no telephone events were agreed on."""
        if self.chosen is None or self.chosen.send is None or self.chosen.telephone_event is None:
            return False
        return self._keys.press(digit, duration)

    def move(self, conference: Conference) -> None:
        """See `Stream.move`."""
        self._mixer.remove(self.leg)
        super().move(conference)
        self._mixer = conference.mixer
        self._mixer.add(self.leg, self._receiver, self._owner.fail, self._owner.voice)
        self._sent = None
        if self.chosen is not None:
            self._configure_sending(self.chosen)

    def formats(self) -> FormatsChanged | None:
        """See `Stream.formats`."""
        if self.chosen is None:
            return None
        return FormatsChanged(self.leg, self.id, Kind.AUDIO, self._codec_in(), self._codec_out())

    def _codec_in(self) -> str:
        if not self.session.packets_in:
            return ""
        return self._receiver.codec.value if self._receiver.codec is not None else ""

    def statistics(self) -> StreamStatistics:
        """See `Stream.statistics`."""
        return replace(super().statistics(), concealed=self._receiver.counters().concealed)

    def counters(self) -> dict[str, int]:
        """See `Stream.counters`."""
        sound = self._receiver.counters()
        counted = {"concealed": sound.concealed, "late": sound.late, "malformed_payloads": sound.malformed}
        return super().counters() | counted

    def close(self) -> None:
        """See `Stream.close`."""
        super().close()
        self._mixer.remove(self.leg)
