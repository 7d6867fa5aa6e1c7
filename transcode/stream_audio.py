"""A leg's sound: from its carrier to the conference's mixer and back."""

from __future__ import annotations

from dataclasses import replace

from transcode.audio import g711
from transcode.audio.keys import KeySender
from transcode.audio.receiver import AudioReceiver
from transcode.carrier import Carrier
from transcode.conference import Conference
from transcode.events import Dtmf, FormatsChanged, KeySource
from transcode.forwarding import HoldOff, PacketRelay, ahead
from transcode.forwarding_fits import sound_fits
from transcode.forwarding_keys import ToneFilter
from transcode.forwarding_sound import Onward, SoundForward, comfort_noise_type
from transcode.interface import StreamStatistics
from transcode.media import Codec, Format, Kind, Role
from transcode.negotiate import Chosen
from transcode.stream import Owner, Stream

TONE_GAP = 0.2
"""Seconds without a packet after which a key that was pressed as tones has ended: its sender suppresses silence."""
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
        self._onward: SoundForward | None = None
        self._target: AudioStream | None = None
        self._tones: ToneFilter | None = None
        self._fed = False
        self._forwarded = 0
        self._hold = HoldOff()
        self._mixer.add(self.leg, self._receiver, owner.fail, owner.voice)
        owner.conference.forwarding.join(self)

    def configure(self, chosen: Chosen, bit_rate: int) -> None:
        """See `Stream.configure`."""
        self._stop_unless_same(chosen)
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
        if not self._fed:
            self._listen(chosen.send, packet_time)

    def _listen(self, format: Format, packet_time: int) -> None:
        """Hear the room."""
        self._mixer.set_sender(self.leg, format, self._send, packet_time, lambda: self.carrier.ready)

    def take(self, data: bytes, arrival: float) -> None:
        """See `Stream.take`."""
        packet = self.session.receive_rtp(data, arrival)
        if packet is None or self.chosen is None or not self.chosen.receive:
            return
        if self._onward is not None and self._target is not None:
            onward = self._onward.take(packet, self._receiver.ticks(packet), self.session.generation)
            if onward is not None:
                self._target.send_onward(self._without_keys(onward, self._target))
                return
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

    def poll(self, now: float) -> None:
        """See `Stream.poll`."""
        if self._tones is not None and self._tones.listening and now - self.session.last_rtp > TONE_GAP:
            self._end_tones()
        super().poll(now)

    # Forwarding

    @property
    def forwards_to(self) -> AudioStream | None:
        """See `forwarding.End`."""
        return self._target

    def may_forward(self, target: object, now: float) -> bool:
        """See `forwarding.End`."""
        if not isinstance(target, AudioStream) or self._hold.holds(bool(self._onward and self._onward.unfit), now):
            return False
        return sound_fits(self.chosen, target.chosen)

    def forward(self, target: object | None, now: float) -> None:
        """See `forwarding.End`."""
        if self._target is not None:
            self._target.feed(False, now)
        self._end_tones()
        self._onward = self._target = self._tones = None
        if isinstance(target, AudioStream) and self.chosen is not None and target.chosen is not None:
            self._target = target
            self._onward = SoundForward(self.chosen, target.chosen, target.feed(True, now))

    def _without_keys(self, onward: Onward, target: AudioStream) -> Onward:
        """Tell of keys that are pressed as tones and take these out, where no events come and the other takes keys."""
        chosen, theirs = self.chosen, target.chosen
        if chosen is None or theirs is None:
            return onward
        law = chosen.receive[0].codec
        events = self._receiver.events_came or any(one.codec is Codec.TELEPHONE_EVENT for one in chosen.receive)
        apart = theirs.telephone_event is not None or self._conference.tells_keys(target.leg)
        if onward.comfort or events or not apart or law not in g711.LAWS:
            self._end_tones()
            return onward
        if self._tones is None:
            self._tones = ToneFilter(law)
        payload = self._tones.take(onward.payload)
        self._tell_keys(self._tones)
        return replace(onward, payload=payload)

    def _end_tones(self) -> None:
        """Nothing more is heard of a key that is pressed as tones, or its stream goes another way."""
        if self._tones is not None:
            self._tones.end()
            self._tell_keys(self._tones)

    def _tell_keys(self, tones: ToneFilter) -> None:
        for press in tones.pressed():
            self._emit(Dtmf(self.leg, press.digit, press.duration, KeySource.TONE))

    def feed(self, fed: bool, now: float) -> PacketRelay:
        """Send forwarded packets instead of the room's sound, or that again; return the numbers to go on with."""
        self._fed = fed
        self._timestamp = self.session.due_timestamp(self._timestamp, now)
        if fed:
            self._mixer.set_sender(self.leg, None, None)
        elif self._sent is not None:
            self._listen(*self._sent)
        return PacketRelay(self.session.next_sequence, self._timestamp, -1)

    def send_onward(self, packet: Onward) -> None:
        """Send a packet that was forwarded, or a pressed key in its place."""
        chosen = self.chosen
        if chosen is None or chosen.send is None:
            return
        number, payload, timestamp, marker = self._payload_type, packet.payload, packet.timestamp, packet.marker
        if packet.comfort:
            number = comfort_noise_type(chosen) or number
        elif self._keys.busy and chosen.telephone_event is not None:
            key = self._keys.next(timestamp, packet.ticks, self.session.send_clock_rate)
            if key is not None:
                number = chosen.telephone_event
                payload, timestamp, marker = key
        data = self.session.pack_onward(number, payload, packet.sequence, timestamp, marker, self._clock())
        if ahead(packet.timestamp + packet.ticks, self._timestamp) > 0:
            self._timestamp = (packet.timestamp + packet.ticks) & 0xFFFFFFFF
        self._forwarded += 1
        self.carrier.send_rtp(data)

    def press(self, digit: str, duration: int) -> bool:
        """Press a key at the peer, for so many ms; False where no telephone events were agreed on."""
        if self.chosen is None or self.chosen.send is None or self.chosen.telephone_event is None:
            return False
        return self._keys.press(digit, duration)

    def move(self, conference: Conference) -> None:
        """See `Stream.move`."""
        self._conference.forwarding.leave(self, self._clock())
        self._mixer.remove(self.leg)
        super().move(conference)
        self._mixer = conference.mixer
        conference.forwarding.join(self)
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
        if self._target is not None:
            return super()._codec_in()
        return self._receiver.codec.value if self._receiver.codec is not None else ""

    def statistics(self) -> StreamStatistics:
        """See `Stream.statistics`."""
        return replace(super().statistics(), concealed=self._receiver.counters().concealed, forwarded=self._forwarded)

    def counters(self) -> dict[str, int]:
        """See `Stream.counters`."""
        sound = self._receiver.counters()
        counted = {"concealed": sound.concealed, "late": sound.late, "malformed_payloads": sound.malformed}
        counted["forwarded_audio"] = self._forwarded
        return super().counters() | counted

    def close(self) -> None:
        """See `Stream.close`."""
        self._conference.forwarding.leave(self, self._clock())
        super().close()
        self._mixer.remove(self.leg)
