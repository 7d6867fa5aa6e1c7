"""The audio mixer of one room: who is heard by whom, mixed once and encoded once for all who hear the same.

Theory of operation. Each tick (20 ms):

1. Every leg's receiver is pulled. G.711 payloads of all legs are decoded by one table look-up, and levels of all legs
   come from one product. They feed talk detection and the floor (floor.py), which seats the loudest few.
2. Each seated leg is brought to each sample rate that some listener's codec wants. A rate's full bus is the sum of
   them; the bus of a seated leg is the sum of the others. So resampling is done for three sources and not for a
   hundred listeners, and a narrow-band telephone takes no band from wide-band legs. A leg that takes a seat comes in
   over `RISE_MS`, one that loses it goes out over `FALL_MS` of that tick, so that no change makes a step.
   Before that it is brought to the level of the others (comfort.py); a bus without any sound gets faint noise. Keys
   that are pressed as tones are found in the sound of all legs, and taken out of it (listening.py).
3. Each bus goes through a soft limiter (limiter.py): nothing below its knee is touched, and nothing clips.
4. Each (bus, codec, packet time) that has listeners is encoded once (streams.py), and its packets are handed out.
   Music that many rooms hear is encoded once for all of those who hear nothing else (station.py).

A leg that may not listen, or that is the only one with a seat, gets the stream of the silent bus. In an echo room
nobody gets a seat: each leg has a stream of its own, with its own sound of a second ago.

What a room is played (player.py), a background or an announcement, is added to its buses. A leg that is played
something of its own has a stream of its own for as long.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from transcode.audio import g711
from transcode.audio.codecs import ENCODES
from transcode.audio.comfort import Comfort
from transcode.audio.fades import falling, rising
from transcode.audio.floor import Floor
from transcode.audio.g711 import Pcm
from transcode.audio.levels import SILENCE, ActiveSpeaker, Activity, levels
from transcode.audio.limiter import limit
from transcode.audio.listening import ToneListener
from transcode.audio.mixed_leg import MixedLeg, at_rate, last_of, sound_of
from transcode.audio.player import Voice
from transcode.audio.receiver import AudioReceiver
from transcode.audio.resample import Floats
from transcode.audio.senders import AIR, FULL, OWN, QUIET, Send, Sender, Senders
from transcode.audio.station import Station, Tuner
from transcode.audio.streams import CodedStream, packet_time, stream_key
from transcode.echo import SoundEcho
from transcode.media import Codec, Format, LegId
from transcode.settings import AudioSettings

MAX_LEGS = 1000
"""Legs of one mixer: ten times the largest room that is promised on one machine."""


@dataclass(frozen=True, slots=True)
class LegTalks:
    """A leg began or ceased to talk, whether it may be heard or not."""

    leg: LegId
    talking: bool


@dataclass(frozen=True, slots=True)
class SpeakerChanged:
    """Another leg became the active speaker; None: it left, and nobody has followed."""

    leg: LegId | None


@dataclass(frozen=True, slots=True)
class KeyPressed:
    """A leg pressed a key, once for each press; duration in ms. by_tone: its tones were heard."""

    leg: LegId
    digit: str
    duration: int
    by_tone: bool = False


@dataclass(frozen=True, slots=True)
class SoundsEnded:
    """A leg has heard all sounds that it was played under this number."""

    leg: LegId
    number: int


MixerEvent = LegTalks | SpeakerChanged | KeyPressed | SoundsEnded


class Mixer:
    """Mixes one room; the owner calls `tick` each 20 ms. encodes counts calls of encoders since the beginning.

    position is its beginning in ms of the clock that all mixers with the same stations have.
    """

    def __init__(self, audio: AudioSettings | None = None, position: int = 0) -> None:
        self.encodes = 0
        self._legs: dict[LegId, MixedLeg] = {}
        self._by_slot: dict[int, MixedLeg] = {}
        self._activity = Activity()
        self._floor = Floor()
        self._tones = ToneListener()
        self._comfort = Comfort(audio or AudioSettings())
        self._speaker = ActiveSpeaker()
        self._seated: list[MixedLeg] = []
        self._gone: list[MixedLeg] = []
        self._senders = Senders(position)
        self._tuner = Tuner()
        self._played: list[MixedLeg] = []
        self._beside: list[Voice] = []
        self._heard = np.zeros(self._activity.size, np.bool_)
        self._stale = True
        self._lone: list[MixedLeg] = []
        self._left: list[MixerEvent] = []
        self._echo = False

    # -- legs

    def add(
        self,
        leg: LegId,
        receiver: AudioReceiver,
        fail: Callable[[Exception], None] | None = None,
        voice: Voice | None = None,
    ) -> None:
        """Bring a leg in: it is heard and listens until `plan` says otherwise. Raises ValueError if there are too many.

        A leg that is already there gets the new receiver. fail is told what goes wrong with this leg alone, which must
        not stop the others' sound; without it that is raised by `tick`. voice is what the leg alone is played.
        """
        known = self._legs.get(leg)
        if known is not None:
            known.receiver, known.fail = receiver, fail
            return
        if len(self._legs) >= MAX_LEGS:
            raise ValueError(f"more than {MAX_LEGS} legs in one mixer")
        new = MixedLeg(leg, receiver, self._activity.open(), fail=fail, voice=voice)
        self._legs[leg] = new
        self._by_slot[new.slot] = new
        if len(self._heard) < self._activity.size:
            more = self._activity.size - len(self._heard)
            self._heard = np.concatenate((self._heard, np.zeros(more, np.bool_)))
        self._heard[new.slot] = not self._echo
        new.echo = SoundEcho() if self._echo else None
        self.play(leg)

    def remove(self, leg: LegId) -> None:
        """Take a leg out; its sound ends over the next tick. Removing an unknown leg does nothing."""
        gone = self._legs.get(leg)
        if gone is None:
            return
        self.set_sender(leg, None, None)
        del self._legs[leg]
        del self._by_slot[gone.slot]
        self._heard[gone.slot] = False
        self._floor.leave(gone.slot)
        self._activity.close(gone.slot)
        self._tones.forget(gone.slot)
        self._comfort.forget(gone.slot)
        if self._speaker.slot == gone.slot:
            self._left.append(SpeakerChanged(None))
        self._speaker.forget(gone.slot)
        if gone in self._played:
            self._played.remove(gone)
        if gone in self._seated:
            self._seated.remove(gone)
            self._gone.append(gone)
            self._stale = True

    def set_sender(
        self,
        leg: LegId,
        format: Format | None,
        send: Send | None,
        packet_time_ms: int | None = 20,
        ready: Callable[[], bool] | None = None,
    ) -> None:
        """Say how a leg is sent to; format or send None: not at all.

        packet_time_ms is what the peer wants; the longest possible that is not longer is used (Opus always 20). ready
        tells whether what is sent gets anywhere: what the leg is played waits for that.
        Raises ValueError if the codec cannot be sent, KeyError for an unknown leg.
        """
        target = self._legs[leg]
        if format is not None and format.codec not in ENCODES:
            raise ValueError(f"{format.codec.value} cannot be sent")
        old = target.sender
        time = packet_time(format, packet_time_ms) if format is not None else 0
        if old is not None and format is not None and send is not None and stream_key(format, time) == old.key:
            old.format, old.send, old.ready = format, send, ready  # as a renewed offer does: the stream goes on
            return
        if old is not None:
            self._senders.close(old)
        target.sender = None
        if format is not None and send is not None:
            target.sender = self._senders.open(Sender(format, time, stream_key(format, time), send, ready))
        self._stale = True

    def plan(self, heard: Mapping[LegId, bool], listens: Mapping[LegId, bool], echo: bool = False) -> None:
        """Say who may be heard and who listens; a leg that a mapping does not name stays as it is.

        echo: whoever may be heard is so by itself alone.
        """
        if echo != self._echo:
            self._echo, self._stale = echo, True
            for each in self._legs.values():
                each.echo, each.echoed = SoundEcho() if echo else None, None
                self._heard[each.slot] = each.heard and not echo
        for leg, may in heard.items():
            target = self._legs.get(leg)
            if target is not None:
                target.heard = may
                may = may and not echo
                self._heard[target.slot] = may
                if not may and self._speaker.slot == target.slot:
                    self._left.append(SpeakerChanged(None))
                if not may:
                    self._speaker.forget(target.slot)
        for leg, may in listens.items():
            target = self._legs.get(leg)
            if target is not None and target.listens != may:
                target.listens = may
                self._stale = True

    def confirm(self, leg: LegId, key: str) -> None:
        """Let a leg of an echo room hear that a key was understood; elsewhere nothing is heard."""
        target = self._legs.get(leg)
        if target is not None and target.echo is not None:
            target.echo.confirm(key)

    def play(self, leg: LegId) -> None:
        """Look at a leg's voice, which has got something to play; without a sender it waits."""
        target = self._legs.get(leg)
        if target is not None and target.voice is not None and target.voice.busy and target not in self._played:
            self._played.append(target)
            self._stale = True

    def play_all(self, voice: Voice) -> None:
        """Let all who listen hear a voice, which has got something to play."""
        if voice.busy and voice not in self._beside:
            self._beside.append(voice)
            self._beside.sort(key=lambda one: not one.background)  # it is turned down under what is announced
            self._stale = True

    def tune(self, station: Station | None) -> None:
        """Let all who listen hear a station from the next tick on, or none."""
        self._tuner.tune(station)
        self._stale = True

    def close(self) -> None:
        """It mixes no more."""
        self._tuner.close()

    @property
    def plays(self) -> bool:
        """Whether anybody is played anything."""
        return bool(self._played or self._beside) or not self._tuner.silent

    def levels(self) -> dict[LegId, float]:
        """Return each leg's level in the last tick, in dBov."""
        level = self._activity.level
        return {leg.id: float(level[leg.slot]) for leg in self._legs.values()}

    @property
    def speaker(self) -> LegId | None:
        """The active speaker."""
        slot = self._speaker.slot
        return self._by_slot[slot].id if slot is not None and slot in self._by_slot else None

    @property
    def mixed(self) -> tuple[LegId, ...]:
        """The legs that were mixed in the last tick."""
        return tuple(leg.id for leg in self._seated)

    # -- the tick

    def tick(self, now: float) -> list[MixerEvent]:
        """Pull, mix, encode and send 20 ms; now in seconds of the clock that stamps arrivals. Return what happened."""
        events, self._left = self._left, []
        level = self._pull(now, events)
        for press in self._tones.listen(self._by_slot, level):
            events.append(KeyPressed(self._by_slot[press.slot].id, press.digit, press.duration, by_tone=True))
        changed = self._activity.update(level)
        self._comfort.update(self._activity, self._heard)
        events.extend(LegTalks(self._by_slot[slot].id, bool(self._activity.talking[slot])) for slot in changed)
        if self._speaker.update(self._activity, np.flatnonzero(self._activity.talking & self._heard).tolist()):
            events.append(SpeakerChanged(self.speaker))
        gone = self._gone
        sources = self._comfort.treat(self._seat(), gone)
        if self._played or self._beside:
            self._advance(events)
        for leg in self._legs.values() if self._echo else ():
            if leg.echo is not None:
                leg.echoed = leg.echo.next(leg.sound if leg.heard else None, leg.rate)
        if self._stale:
            self._direct(sources)
        self._mix(sources)
        self._hand_out()
        self._senders.pass_tick()
        self._stale |= self._tuner.settle()
        if self._played or self._beside:
            self._settle()
        return events

    def _pull(self, now: float, events: list[MixerEvent]) -> NDArray[np.float32]:
        """Pull all receivers; set each leg's sound; return the level of each slot."""
        laws: dict[Codec, tuple[list[MixedLeg], list[bytes]]] = {}
        linear: dict[int, tuple[list[MixedLeg], list[Pcm]]] = {}
        for leg in list(self._legs.values()):
            receiver = leg.receiver
            try:
                sound = receiver.pull(now)
            except Exception as fault:
                self._failed(leg, fault)
                continue
            if sound is None:
                leg.sound = None
            elif isinstance(sound, bytes):
                group = laws.get(receiver.law)
                if group is None:
                    group = laws[receiver.law] = ([], [])
                group[0].append(leg)
                group[1].append(sound)
            else:
                rows = linear.setdefault(receiver.rate, ([], []))
                rows[0].append(leg)
                rows[1].append(sound)
            if receiver.keys_wait:
                events.extend(KeyPressed(leg.id, digit, duration) for digit, duration in receiver.take_dtmf())
        level = np.full(self._activity.size, SILENCE, np.float32)
        for law, (legs, payloads) in laws.items():
            self._measure(legs, 8000, g711.decode_many(law, payloads, 160), level)
        for rate, (legs, frames) in linear.items():
            self._measure(legs, rate, np.stack(frames).astype(np.float32) / np.float32(32768), level)
        return level

    @staticmethod
    def _measure(legs: list[MixedLeg], rate: int, frames: Floats, level: NDArray[np.float32]) -> None:
        level[[leg.slot for leg in legs]] = levels(frames)
        for leg, frame in zip(legs, frames, strict=True):
            leg.sound = frame
            leg.rate = rate

    def _seat(self) -> list[tuple[MixedLeg, Floats]]:
        """Seat the loudest; return the legs that sound in this tick with their sound, ramped in and out."""
        before = self._seated
        seated = [self._by_slot[slot] for slot in self._floor.update(self._activity, self._heard)]
        if seated == before and not self._gone:
            return [(leg, sound_of(leg)) for leg in seated]
        sources = []
        for leg in seated:
            if leg in before:
                sources.append((leg, sound_of(leg)))
            else:
                leg.filters = {}
                sources.append((leg, rising(sound_of(leg), leg.rate)))
        sources.extend((leg, falling(sound_of(leg), leg.rate)) for leg in before if leg not in seated)
        sources.extend((leg, last_of(leg)) for leg in self._gone)
        self._gone = []
        self._seated = seated
        self._stale = True
        return sources

    def _advance(self, events: list[MixerEvent]) -> None:
        """Bring what is played to this tick."""
        for voice in self._beside:
            voice.advance()
        events.extend(
            SoundsEnded(leg.id, leg.voice.number)
            for leg in self._played
            if leg.voice is not None and leg.voice.advance(leg.sender is not None and leg.sender.flows)
        )

    def _settle(self) -> None:
        """Let go of what has played to its end."""
        voices = [leg.voice for leg in self._played if leg.voice is not None]
        for voice in (*self._beside, *voices):
            voice.settle()
        if not all(voice.busy for voice in (*self._beside, *voices)):
            self._beside = [voice for voice in self._beside if voice.busy]
            self._played = [leg for leg in self._played if leg.voice is not None and leg.voice.busy]
            self._stale = True

    def _mix(self, sources: list[tuple[MixedLeg, Floats]]) -> None:
        """Make the buses at each rate and feed all streams."""
        station = self._tuner.steady
        own: dict[int, list[MixedLeg]] = {}
        for leg in self._lone:
            if leg.sender is not None and leg.sender.stream is not None:
                own.setdefault(leg.sender.stream.rate, []).append(leg)
        for rate in self._senders.rates:
            if station is not None and not self._senders.shared and not self._lone:
                self._senders.remember(rate, station.pcm(rate))  # nobody hears anything else
                continue
            parts = [(leg.id, at_rate(leg, sound, rate)) for leg, sound in sources]
            full = limit(self._with_played(_sum(parts, rate), rate))
            self._senders.remember(rate, full)
            quiet = limit(self._comfort.fill(np.zeros(rate // 50, np.float32)))
            for (bus, _), stream in self._senders.shared.items():
                if stream.rate == rate:
                    self._feed(stream, full if bus == FULL else quiet)
            for leg in own.get(rate, ()):
                sender = leg.sender
                if sender is None or sender.stream is None:
                    continue
                if leg in self._played and leg.voice is not None:
                    bus_sound = limit(leg.voice.over(self._heard_by(leg, parts, rate), rate))
                elif sender.bus == QUIET:
                    bus_sound = quiet
                elif sender.bus == AIR and station is not None:
                    bus_sound = station.pcm(rate)
                elif leg.echoed is None and sender.bus == FULL:
                    bus_sound = full
                else:
                    bus_sound = limit(self._heard_by(leg, parts, rate))
                self._feed(sender.stream, bus_sound)

    def _heard_by(self, leg: MixedLeg, parts: list[tuple[LegId, Floats]], rate: int) -> Floats:
        """Return what a leg with a stream of its own hears of the room: the others, and nothing of itself.

        The others are summed and nothing is subtracted, so that not even rounding brings it anything of itself.
        """
        if not leg.listens:
            return np.zeros(rate // 50, np.float32)
        if leg.echoed is not None:
            return self._with_played(at_rate(leg, leg.echoed, rate), rate)
        return self._with_played(_sum([part for part in parts if part[0] != leg.id], rate), rate)

    def _with_played(self, people: Floats, rate: int) -> Floats:
        """Return a room's sound with what all are played; faint noise stands for silence."""
        people = self._tuner.over(self._comfort.fill(people), rate)
        for voice in self._beside:
            people = voice.over(people, rate)
        return people

    def _feed(self, stream: CodedStream, samples: Pcm) -> None:
        before = stream.encodes
        stream.feed(samples)
        self.encodes += stream.encodes - before

    def _hand_out(self) -> None:
        for leg in list(self._legs.values()):
            sender = leg.sender
            if sender is None or sender.stream is None:
                continue
            stream = sender.stream
            try:
                for payload in stream.packets:
                    sender.send(payload, stream.ticks, not sender.begun)
                    sender.begun = True
            except Exception as fault:
                self._failed(leg, fault)

    @staticmethod
    def _failed(leg: MixedLeg, fault: Exception) -> None:
        leg.sound = None
        if leg.fail is None:
            raise fault
        leg.fail(fault)

    # -- who gets which stream

    def _direct(self, sources: list[tuple[MixedLeg, Floats]]) -> None:
        """Give each listener the stream of the bus that it is to hear."""
        sounding = {leg.id for leg, _ in sources}  # by name, for one that left may be back in the same tick
        waiting = len(sources) > len(self._seated)
        station = None if self._beside else self._tuner.steady
        played = bool(self._beside) or not self._tuner.silent
        for leg in self._legs.values():
            sender = leg.sender
            if sender is None:
                continue
            if leg in self._played:
                bus = OWN
            elif not leg.listens:
                bus = QUIET
            elif leg.echo is not None:
                bus = OWN
            elif station is not None and sounding <= {leg.id}:
                bus = AIR
            elif leg.id in sounding:
                bus = OWN if len(sounding) > 1 or played else QUIET
            else:
                bus = FULL
            self._senders.turn(sender, bus, station)
            waiting = waiting or bool(sender.linger)
        self._lone = [leg for leg in self._legs.values() if leg.sender is not None and leg.sender.own]
        self._stale = waiting


def _sum(parts: list[tuple[LegId, Floats]], rate: int) -> Floats:
    """Return the sum of some legs' sound at a rate."""
    return sum((sound for _, sound in parts), np.zeros(rate // 50, np.float32))
