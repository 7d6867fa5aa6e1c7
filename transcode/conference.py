"""One room's media: the sound mixer, the video mixer, and what goes between legs and them."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Collection

from transcode.audio.mixer import KeyPressed, LegTalks, Mixer, SoundsEnded, SpeakerChanged
from transcode.audio.player import Voice
from transcode.audio.sounds import SoundLibrary
from transcode.audio.station import Stations
from transcode.events import Dtmf, KeySource, MediaEvent, Played, Speaker, Talking
from transcode.forwarding import Forwarding, Pairing
from transcode.frames import EncodedFrame
from transcode.media import (
    Abilities,
    Codec,
    Format,
    LegId,
    LegPlan,
    RoomId,
    Sound,
    ViewPlan,
)
from transcode.payload.formats import packetizer
from transcode.payload.interface import MTU, Packetizer
from transcode.settings import AudioSettings
from transcode.video.mixer import VideoMixer
from transcode.video.pool import WorkerPool

MAX_KEPT_PAYLOADS = 64
"""Coded pictures whose payloads are kept for the next viewer: those of one encoder are sent in the same moment."""

_SLOW = frozenset({Codec.H263, Codec.H263P, Codec.H261})


class Conference:
    """A room as the media plane knows it."""

    def __init__(
        self,
        id: RoomId,
        pool: WorkerPool,
        emit: Callable[[MediaEvent], None],
        sounds: SoundLibrary,
        audio: AudioSettings,
        stations: Stations,
    ) -> None:
        self.id = id
        self.pool = pool
        self.sounds = sounds
        self.clock = time.monotonic
        self.mixer = Mixer(audio, stations.position)
        self.video = VideoMixer(id, pool)
        self._cutting = pool.strand()
        self.legs: set[LegId] = set()
        self._emit = emit
        self._stations = stations
        self.forwarding = Forwarding()
        self._forwards = False
        self._named: dict[LegId, LegPlan] = {}
        self._echo = False
        self._announcer = Voice(sounds)
        self._background = Voice(sounds, background=True)
        self._behind: tuple[Sound, ...] = ()
        self._abilities: dict[LegId, Abilities] = {}
        self._packetizers: dict[tuple[object, ...], Packetizer] = {}
        self._payloads: OrderedDict[tuple[int, tuple[object, ...]], tuple[EncodedFrame, list[tuple[bytes, bool]]]] = (
            OrderedDict()
        )

    def enter(self, leg: LegId, abilities: Abilities) -> None:
        """A leg was opened in this room; it neither hears nor is heard before a plan names it."""
        self.legs.add(leg)
        self._abilities[leg] = abilities

    def leave(self, leg: LegId) -> None:
        """A leg is gone; its streams were closed before."""
        self.legs.discard(leg)
        self._abilities.pop(leg, None)

    def abilities_of(self, leg: LegId) -> Abilities:
        """Return what a leg may do."""
        return self._abilities[leg]

    def direct(self, plan: ViewPlan) -> None:
        """Take who hears whom and who sees what."""
        self._named = {one.leg: one for one in plan.legs}
        self._echo = plan.echo
        self._forwards = plan.forward and plan.presenter is None and not plan.echo and not plan.background
        self._share_out(self.legs)
        if plan.background != self._behind:
            self._behind = plan.background
            station = self._stations.find(plan.background)
            self.mixer.tune(station)
            self._background.play(plan.background if station is None else ())
            self.mixer.play_all(self._background)
        self.video.plan(plan)

    def announce(self, sounds: tuple[Sound, ...]) -> None:
        """Let all who listen hear sounds, behind what is announced already."""
        self._announcer.append(sounds)
        self.mixer.play_all(self._announcer)

    def tells_keys(self, leg: LegId) -> bool:
        """Whether a leg's peer is told of keys by signalling."""
        named = self._named.get(leg)
        return named is not None and named.keys

    @property
    def echo(self) -> bool:
        """Whether each leg hears and sees itself alone."""
        return self._echo

    def _pairing(self) -> Pairing | None:
        """Return who may be forwarded to whom: two legs alone, while nothing of their own is to be heard or seen."""
        named = [self._named[leg] for leg in self.legs if leg in self._named]
        if not self._forwards or len(self.legs) != 2 or len(named) != 2:
            return None
        heard = all(one.heard and one.listens for one in named) and not self.mixer.plays
        seen = all(one.seen and not one.notice for one in named)
        return Pairing((named[0].leg, named[1].leg), heard, seen)

    def seat(self, leg: LegId) -> None:
        """Tell the mixer whether a leg that came to it is heard and listens."""
        self._share_out((leg,))

    def _share_out(self, legs: Collection[LegId]) -> None:
        """Tell the mixer who of these is heard and who listens; a leg that the plan does not name does neither."""
        named = self._named
        heard = {leg: leg in named and named[leg].heard for leg in legs}
        listens = {leg: leg in named and named[leg].listens for leg in legs}
        self.mixer.plan(heard, listens, self._echo)

    def tick(self, now: float) -> None:
        """Mix 20 ms of sound, and tell who talks."""
        if self._forwards or self.forwarding.active:
            self.forwarding.update(self._pairing(), now)
        for event in self.mixer.tick(now):
            match event:
                case LegTalks(leg=leg, talking=talking):
                    self._emit(Talking(self.id, leg, talking))
                case SpeakerChanged(leg=leg):
                    self.video.speaker(leg)
                    self._emit(Speaker(self.id, leg))
                case KeyPressed(leg=leg, digit=digit, duration=duration, by_tone=by_tone):
                    self._emit(Dtmf(leg, digit, duration, KeySource.TONE if by_tone else KeySource.EVENT))
                case SoundsEnded(leg=leg, number=number):
                    self._emit(Played(leg, number))

    def send(self, frame: EncodedFrame, format: Format, out: Callable[[list[tuple[bytes, bool]]], None]) -> None:
        """Bring a coded picture's payloads in a format to `out`, made once for all viewers that get the same.

        H.263 and H.261 may have to be cut between macroblocks, which takes up to 10 ms: that is done by a worker, and
        `out` is called later.
        """
        if frame.codec in _SLOW:
            self._cutting.submit(lambda: self.pool.to_loop(out, self._payloads_of(frame, format)))
        else:
            out(self._payloads_of(frame, format))

    def _payloads_of(self, frame: EncodedFrame, format: Format) -> list[tuple[bytes, bool]]:
        kind = (format.codec, format.parameter("packetization-mode", "0"))
        key = (id(frame), kind)
        known = self._payloads.get(key)
        if known is not None and known[0] is frame:
            return known[1]
        maker = self._packetizers.get(kind)
        if maker is None:
            maker = self._packetizers[kind] = packetizer(format, MTU)
        made = maker.packets(frame)
        self._payloads[key] = (frame, made)
        if len(self._payloads) > MAX_KEPT_PAYLOADS:
            self._payloads.popitem(last=False)
        return made

    def close(self) -> None:
        """End all work of this room."""
        self.mixer.close()
        self._cutting.close()
        self.video.close()
