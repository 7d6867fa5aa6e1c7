"""One leg's received sound: jitter buffer, decoders by payload type, concealment and telephone events in one.

Theory of operation. `push` sorts packets by payload type: sound goes to the jitter buffer, telephone events to their
own receiver. `pull` is called each 20 ms and returns exactly 20 ms. On the common way (G.711, 20 ms packets, nothing
lost, no correction due) it returns the payload itself, so that the mixer can decode all legs at once; history is
kept as payloads and decoded only when a gap must be concealed. Everything else goes through `_pending`, the
decoded samples that are not yet played: other packet times, gaps, FEC, comfort noise, and the corrections that the
jitter buffer asks for.

A switch to a codec with another RTP clock begins with a new jitter buffer; with the same clock, packets simply meet
another decoder.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from transcode.audio import g711
from transcode.audio.codecs import DECODES, MAX_PAYLOAD, Decoder, comfort_noise_level, make_decoder, noise
from transcode.audio.dtmf import EventReceiver, looks_like_event
from transcode.audio.g711 import Pcm
from transcode.audio.jitter import JitterBuffer
from transcode.audio.plc import HISTORY_MS, MAX_GAP_MS, MAX_NOISE, MIN_NOISE, Concealer, lengthen, shorten, to_pcm
from transcode.media import Codec, Format
from transcode.rtp.packet import RtpPacket

STATIC_TYPES = {0: Codec.PCMU, 8: Codec.PCMA, 9: Codec.G722, 18: Codec.G729, 4: Codec.G723, 13: Codec.COMFORT_NOISE}
"""Payload types that mean the same everywhere (RFC 3551 §6): taken even if they were not negotiated."""
EVENT_SIGHTINGS = 3
"""Packets of an unknown payload type in the shape of an event, one after the other, before it is taken for one."""
MAX_SUSPECTS = 4
"""Unknown payload types watched at a time."""
MAX_EMPTY_TAKES = 64
"""Packets without sound (comfort noise) taken in one pull; a flood of them waits."""

SILENT_MS = 1000
"""For which a decoder makes its own comfort noise after a silence descriptor: those come every 400 ms."""
FADE_OUT_MS = 20
"""Over which a decoder's own concealment is faded out at the end of the longest gap."""

_FRAME = 160
_WIDE = (Codec.G722, Codec.OPUS)
_PAUSE = np.zeros(0, np.int16)


@dataclass(slots=True)
class ReceiverCounters:
    """What became of a leg's packets and sound; concealed in ms."""

    received: int = 0
    unknown: int = 0
    malformed: int = 0
    lost: int = 0
    late: int = 0
    duplicates: int = 0
    concealed: int = 0
    recovered: int = 0


class AudioReceiver:
    """Takes one leg's RTP packets and gives its sound, 20 ms at a time.

    rate is the sample rate in Hz of what the last `pull` returned; law its codec if that was a G.711 payload; codec
    that of the packet last played. keys_wait tells whether `take_dtmf` has something to return.
    """

    def __init__(self, formats: tuple[Format, ...]) -> None:
        """formats: those negotiated to be received, telephone-event and comfort noise among them."""
        self.rate = 8000
        self.law = Codec.PCMU
        self.codec: Codec | None = None
        self._decoders: dict[int, Decoder] = {}
        self._jitter: JitterBuffer | None = None
        self._decoder: Decoder | None = None
        self._concealer = Concealer(8000)
        self._history: deque[bytes | Pcm] = deque(maxlen=HISTORY_MS // 20 + 1)
        self._pending: Pcm = _PAUSE
        self._gap = 0
        self._comfort: float | None = None
        self._dead = False
        self._counters = ReceiverCounters()
        self._suspects: dict[int, list[RtpPacket]] = {}
        self._events = EventReceiver()
        self._events_came = False
        self._pressing = False
        self.keys_wait = False
        self.set_formats(formats)

    def set_formats(self, formats: tuple[Format, ...]) -> None:
        """Change what is negotiated in mid call; sound that is already here is still played."""
        codecs = dict(STATIC_TYPES)
        codecs.update({format.payload_type: format.codec for format in formats})
        for payload_type, decoder_codec in getattr(self, "_codecs", {}).items():
            if codecs.get(payload_type) is not decoder_codec:
                self._decoders.pop(payload_type, None)
        self._codecs = codecs
        self._laws = {number: codec for number, codec in codecs.items() if codec in g711.LAWS}
        clocks = [format.clock_rate for format in formats if format.codec is Codec.TELEPHONE_EVENT]
        self._negotiated_events = bool(clocks)
        if clocks and clocks[0] != self._events.clock_rate:
            self._events = EventReceiver(clocks[0])

    # -- packets in

    def push(self, packet: RtpPacket) -> bool:
        """Take a packet as it arrived; say whether it is of use. packet.arrival is on the clock of `pull`'s now."""
        jitter = self._jitter
        if packet.payload_type in self._laws and jitter is not None and jitter.clock_rate == g711.RATE:
            ticks = len(packet.payload)  # the common way: an octet is a tick
            if 0 < ticks <= MAX_PAYLOAD:
                return jitter.push(packet, ticks)
        codec = self._codecs.get(packet.payload_type)
        if codec in DECODES:
            return self._push_sound(packet, codec)
        if codec is Codec.TELEPHONE_EVENT:
            self._push_event(packet)
            return True
        if codec is Codec.COMFORT_NOISE:
            return jitter is not None and jitter.push(packet, 0)
        return self._suspect(packet)

    def _push_sound(self, packet: RtpPacket, codec: Codec) -> bool:
        decoder = self._decoder_for(packet.payload_type, codec)
        ticks = decoder.ticks(packet.payload)
        jitter = self._jitter
        if not ticks:
            self._counters.malformed += 1
            if jitter is not None:
                jitter.note(packet)
            return False
        if jitter is None or jitter.clock_rate != decoder.clock_rate:
            if jitter is not None:
                _add(self._counters, jitter)
            jitter = self._jitter = JitterBuffer(decoder.clock_rate)
        return jitter.push(packet, ticks)

    def _decoder_for(self, payload_type: int, codec: Codec) -> Decoder:
        decoder = self._decoders.get(payload_type)
        if decoder is None:
            decoder = self._decoders[payload_type] = make_decoder(codec)
        return decoder

    def ticks(self, packet: RtpPacket) -> int:
        """Return how many RTP ticks of sound a packet holds; 0 if it holds none."""
        codec = self._codecs.get(packet.payload_type)
        return self._decoder_for(packet.payload_type, codec).ticks(packet.payload) if codec in DECODES else 0

    @property
    def events_came(self) -> bool:
        """Whether it presses keys by telephone events, agreed on or not."""
        return self._events_came

    @property
    def tones(self) -> bool:
        """Whether keys may come as tones in the sound that is played now; see listening.py."""
        if self._events_came:
            return False
        return self.codec in g711.LAWS or (self.codec in _WIDE and not self._negotiated_events)

    def _push_event(self, packet: RtpPacket) -> None:
        self._events_came = True
        if self._jitter is not None:
            self._jitter.note(packet)
        self._events.push(packet)
        self._note_keys()

    def _note_keys(self) -> None:
        """Keep at hand what is asked for in each tick."""
        self._pressing, self.keys_wait = self._events.active, self._events.waiting

    def _suspect(self, packet: RtpPacket) -> bool:
        """Watch an unknown payload type, and take it for telephone events if it looks like that repeatedly."""
        self._counters.unknown += 1
        number = packet.payload_type
        if number < 96 or not looks_like_event(packet.payload):
            self._suspects.pop(number, None)
            return False
        if number not in self._suspects and len(self._suspects) >= MAX_SUSPECTS:
            del self._suspects[next(iter(self._suspects))]
        seen = self._suspects.setdefault(number, [])
        if seen and seen[-1].payload[0] != packet.payload[0] and seen[-1].timestamp == packet.timestamp:
            seen.clear()
        seen.append(packet)
        if len(seen) < EVENT_SIGHTINGS:
            return False
        del self._suspects[number]
        self._codecs[number] = Codec.TELEPHONE_EVENT
        if not self._negotiated_events and self._jitter is not None:
            self._events = EventReceiver(self._jitter.clock_rate)
            self._negotiated_events = True
        for one in seen:
            self._push_event(one)
        return True

    def take_dtmf(self) -> list[tuple[str, int]]:
        """Return the keys pressed since the last call: digit and duration in ms, once for each press."""
        self.keys_wait = False
        return self._events.take()

    # -- sound out

    def pull(self, now: float) -> bytes | Pcm | None:
        """Return the next 20 ms: a G.711 payload of 160 octets (see law), int16 samples at `rate`, or None.

        None is silence: nothing came yet, or for so long that there is nothing left to conceal.
        """
        jitter = self._jitter
        if self._pressing:
            self._events.tick(now)
            self._note_keys()
        if jitter is None:
            return None
        pending = len(self._pending)
        correction = jitter.tick(now)
        packet = None
        if not correction and not pending and not self._gap:
            packet = jitter.take()
            if packet is not None and len(packet.payload) == _FRAME and not jitter.trim:
                law = self._laws.get(packet.payload_type)
                if law is not None:
                    if law is not self.codec:
                        self._turn_to(packet)
                    self.law = law
                    self._history.append(packet.payload)
                    return packet.payload
        if self._dead and packet is None and not pending and jitter.gap()[2] is None:
            self._stay_dead(jitter, correction)
            return None
        return self._pull_slowly(jitter, packet, correction)

    def pull_samples(self, now: float) -> Pcm:
        """Return the next 20 ms as int16 samples at `rate`; silence is zeros."""
        sound = self.pull(now)
        if sound is None:
            return np.zeros(self.rate // 50, np.int16)
        return g711.decode(self.law, sound) if isinstance(sound, bytes) else sound

    def counters(self) -> ReceiverCounters:
        """Return the counters since the leg began."""
        total = ReceiverCounters(**{name: getattr(self._counters, name) for name in ReceiverCounters.__slots__})
        if self._jitter is not None:
            _add(total, self._jitter)
        return total

    @property
    def jitter(self) -> float:
        """Spread of arrivals in ms."""
        return self._jitter.jitter if self._jitter is not None else 0.0

    @property
    def depth(self) -> float:
        """Sound that waits to be played, in ms."""
        waiting = len(self._pending) * 1000 / self.rate
        return waiting + (self._jitter.depth if self._jitter is not None else 0.0)

    # -- the slow way

    def _pull_slowly(self, jitter: JitterBuffer, packet: RtpPacket | None, correction: int) -> Pcm:
        if packet is not None:
            self._append(self._decode(packet))
        if correction > 0 and self._gap and len(self._pending) < self._count:
            self._hold(jitter, correction)
        self._fill(jitter, self._count)
        if jitter.correction < 0:
            self._fill_ahead(jitter, self._count - jitter.correction * self._ratio)
            self._shorten(jitter)
        elif jitter.correction > 0 and not self._gap:
            self._lengthen(jitter)
        count = self._count
        sound, self._pending = self._pending[:count], self._pending[count:]
        jitter.pending = len(self._pending) // self._ratio
        self._history.append(sound)
        return sound

    def _stay_dead(self, jitter: JitterBuffer, correction: int) -> None:
        """Pass 20 ms of nothing; corrections cost nothing here."""
        jitter.skip(jitter.step - correction)
        if correction:
            jitter.corrected(correction)

    @property
    def _count(self) -> int:
        return self.rate // 50

    @property
    def _ratio(self) -> int:
        return self.rate // self._decoder.clock_rate if self._decoder is not None else 1

    def _fill(self, jitter: JitterBuffer, count: int) -> None:
        """Decode, recover or conceal until count samples are pending."""
        empty = 0
        while len(self._pending) < count:
            packet = jitter.take() if empty < MAX_EMPTY_TAKES else None
            if packet is not None:
                sound = self._decode(packet)
                empty += not len(sound)
                self._append(sound)
                count = self._count
            else:
                self._append(self._bridge(jitter, count - len(self._pending)))

    def _fill_ahead(self, jitter: JitterBuffer, count: int) -> None:
        """Decode up to count samples as long as packets follow without a gap."""
        for _ in range(MAX_EMPTY_TAKES):
            if len(self._pending) >= count or jitter.gap()[2] is None or jitter.gap()[0] > 0:
                return
            packet = jitter.take()
            if packet is not None:
                self._append(self._decode(packet))

    def _append(self, sound: Pcm) -> None:
        self._pending = np.concatenate((self._pending, sound)) if len(self._pending) else sound

    def _decode(self, packet: RtpPacket) -> Pcm:
        """Return the sound of a packet; concealment where it is malformed; nothing for comfort noise."""
        codec = self._codecs.get(packet.payload_type)
        if codec is Codec.COMFORT_NOISE:
            self._comfort = comfort_noise_level(packet.payload)
            return _PAUSE
        if codec not in DECODES:
            return _PAUSE  # the payload type was given another meaning meanwhile
        decoder = self._decoder_for(packet.payload_type, codec)
        if decoder is not self._decoder:
            self._turn_to(packet)
        sound = decoder.decode(packet.payload)
        if sound is None or not len(sound):
            self._counters.malformed += 1
            return self._conceal(decoder.ticks(packet.payload) * self._ratio)
        self._comfort = _level(sound) if decoder.silent else None
        self._gap = 0
        self._dead = False
        jitter = self._jitter
        if jitter is not None:
            jitter.redundant = decoder.redundant
            if jitter.trim:
                sound = sound[jitter.trim * self._ratio :]
        return self._concealer.resume(sound) if self._concealer.active else sound

    def _turn_to(self, packet: RtpPacket) -> None:
        """Make a packet's decoder the current one."""
        self.codec = self._codecs[packet.payload_type]
        decoder = self._decoder_for(packet.payload_type, self.codec)
        self._decoder = decoder
        if decoder.rate != self.rate:
            self.rate = decoder.rate
            self._concealer = Concealer(decoder.rate)
            self._history.clear()
            self._pending = _PAUSE
            self._gap = 0

    def _bridge(self, jitter: JitterBuffer, wanted: int) -> Pcm:
        """Return samples for a gap, about as many as wanted; the buffer goes on by as much."""
        ticks, lost, following = jitter.gap()
        ratio = self._ratio
        decoder = self._decoder
        if following is None or ticks <= 0:
            sound = self._conceal(wanted)
        else:
            if lost and decoder is not None and self._same(following):
                carried = decoder.ticks(following.payload)
                recovered = decoder.recover(following.payload, ticks) if ticks <= carried else None
                if recovered is not None and len(recovered) == ticks * ratio:
                    self._counters.recovered += 1
                    self._gap = 0
                    jitter.skip(ticks)
                    return self._concealer.resume(recovered)
                if ticks > carried and decoder.native:
                    ticks -= carried
            sound = self._conceal(min(wanted, ticks * ratio))
        jitter.skip(-(-len(sound) // ratio))
        return sound

    def _same(self, packet: RtpPacket) -> bool:
        return self._decoders.get(packet.payload_type) is self._decoder

    def _conceal(self, count: int) -> Pcm:
        """Return concealment: the decoder's own where it has one, else repetition, then comfort noise or silence."""
        limit = self.rate * MAX_GAP_MS // 1000
        decoder = self._decoder
        begun, self._gap = self._gap, self._gap + count
        self._counters.concealed += count * 1000 // self.rate
        silent = decoder is not None and decoder.native and decoder.silent and begun < self.rate * SILENT_MS // 1000
        silent = silent and self._comfort is not None and self._comfort < MAX_NOISE
        if begun >= limit and not silent:
            self._dead = self._comfort is None
            return noise(count, self._comfort) if self._comfort is not None else np.zeros(count, np.int16)
        if decoder is not None and decoder.native:
            sound = decoder.conceal(-(-count // 480) * 480)
            if sound is not None and silent:
                return sound  # its own comfort noise goes on
            if sound is not None:
                self._gap = begun + len(sound)
                left = np.arange(limit - begun, limit - begun - len(sound), -1, dtype=np.float32)
                return to_pcm(sound.astype(np.float32) * np.clip(left / (self.rate * FADE_OUT_MS // 1000), 0, 1))
        return self._concealer.conceal(self._past(), count)

    def _past(self) -> Pcm:
        """Return what was played last, as samples."""
        parts = [g711.decode(self.law, part) if isinstance(part, bytes) else part for part in self._history]
        return np.concatenate([*parts, self._pending]) if parts else self._pending

    # -- corrections of the depth

    def _hold(self, jitter: JitterBuffer, correction: int) -> None:
        """Conceal without going on: the buffer grows."""
        missing = min(self._count - len(self._pending), correction * self._ratio)
        sound = self._conceal(missing)
        self._append(sound)
        jitter.corrected(min(correction, len(sound) // self._ratio))

    def _lengthen(self, jitter: JitterBuffer) -> None:
        sound, done = lengthen(self._pending, self.rate, jitter.correction * self._ratio)
        self._pending = sound
        jitter.corrected(done // self._ratio)

    def _shorten(self, jitter: JitterBuffer) -> None:
        spare = len(self._pending) - self._count
        if spare <= 0:
            return
        most = min(-jitter.correction * self._ratio, spare)
        self._pending, done = shorten(self._pending, self.rate, most - most % self._ratio)
        jitter.corrected(-(done // self._ratio))


def _level(sound: Pcm) -> float:
    """Return the level in dBov of the end of a packet's sound, as far as comfort noise may be loud."""
    last = sound[-(len(sound) // 2) :].astype(np.float32) / 32768
    return max(MIN_NOISE, min(MAX_NOISE, 10 * float(np.log10(np.mean(last**2) + 1e-12))))


def _add(total: ReceiverCounters, jitter: JitterBuffer) -> None:
    total.received += jitter.received
    total.lost += jitter.lost
    total.late += jitter.late
    total.duplicates += jitter.duplicates
