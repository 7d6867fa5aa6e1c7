"""Music that many rooms hear at one place of it, as from a radio station, and that is encoded once for all of them.

Theory of operation. Everybody who waits alone stands in a room of its own, and hears the same music there. It goes on
for all of them together: who comes later comes in where it is. The plane advances each station once before the rooms
are mixed, and feeds its coded streams then. A mixer adds the station's sound to its buses; its listeners who hear
nothing else have the station's stream of their codec (`AIR`, senders.py); nothing is mixed or encoded for them then.
Mixers of one plane count time alike, so that the streams of all are in phase.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from transcode.audio.fades import falling, rising
from transcode.audio.g711 import Pcm
from transcode.audio.limiter import limit
from transcode.audio.player import Voice
from transcode.audio.resample import Floats
from transcode.audio.sounds import SoundLibrary
from transcode.audio.streams import CodedStream
from transcode.media import Sound

TICK_MS = 20
FOLDER = "music/"
"""Where sounds lie that stations play. A ring tone belongs to one room, and begins with its beginning there."""


class Station:
    """One background for all rooms that are tuned in; tuned counts them, encodes what its coders have done."""

    def __init__(self, library: SoundLibrary, sounds: Sequence[Sound]) -> None:
        self.tuned = 0
        self.encodes = 0
        self.streams: dict[Hashable, CodedStream] = {}
        self._voice = Voice(library, background=True)
        self._voice.play(sounds)
        self._sounds: dict[int, Floats] = {}
        self._coded: dict[int, Pcm] = {}

    def advance(self) -> None:
        """Go to the next tick, and feed the streams with it."""
        self._voice.settle()
        self._voice.advance()
        self._sounds, self._coded = {}, {}
        for stream in self.streams.values():
            self.feed(stream)

    def sound(self, rate: int) -> Floats:
        """Return this tick's sound at a rate in Hz. It is shared: nobody writes into it."""
        known = self._sounds.get(rate)
        if known is None:
            known = self._sounds[rate] = self._voice.over(np.zeros(rate // 50, np.float32), rate)
        return known

    def pcm(self, rate: int) -> Pcm:
        """Return this tick's sound as it is coded."""
        known = self._coded.get(rate)
        if known is None:
            known = self._coded[rate] = limit(self.sound(rate))
        return known

    def feed(self, stream: CodedStream) -> None:
        """Give a stream this tick's sound."""
        before = stream.encodes
        stream.feed(self.pcm(stream.rate))
        self.encodes += stream.encodes - before


class Stations:
    """All stations of a media plane."""

    def __init__(self, library: SoundLibrary) -> None:
        self.position = 0
        """ms since the plane began, by which the streams of all its rooms are in phase."""
        self._library = library
        self._stations: dict[tuple[Sound, ...], Station] = {}
        self._encodes = 0

    @property
    def encodes(self) -> int:
        """What coders of stations have done since the beginning."""
        return self._encodes + sum(station.encodes for station in self._stations.values())

    def find(self, sounds: tuple[Sound, ...]) -> Station | None:
        """Return what plays this background for all, None where it is one room's own matter."""
        if not sounds or not all(sound.name.startswith(FOLDER) for sound in sounds):
            return None
        station = self._stations.get(sounds)
        if station is None:
            station = self._stations[sounds] = Station(self._library, sounds)
        return station

    def advance(self) -> None:
        """Go to the next tick; a station that nobody hears any more is closed, and begins anew another time."""
        self.position += TICK_MS
        for sounds, station in list(self._stations.items()):
            if station.tuned:
                station.advance()
            else:
                self._encodes += station.encodes
                del self._stations[sounds]


class Tuner:
    """What one mixer hears of a station; it comes in and goes out over a tick, so that nothing clicks."""

    def __init__(self) -> None:
        self.station: Station | None = None
        self._before: Station | None = None
        self._rises = False

    @property
    def changing(self) -> bool:
        """Whether it comes in or goes out in this tick."""
        return self._rises or self._before is not None

    @property
    def silent(self) -> bool:
        """Whether nothing of any station is heard in this tick."""
        return self.station is None and self._before is None

    @property
    def steady(self) -> Station | None:
        """The station, where this tick is as it plays it."""
        return None if self.changing else self.station

    def tune(self, station: Station | None) -> None:
        """Hear this station from the next tick on, or none."""
        if station is self.station:
            return
        if self._rises:  # two changes in one tick: the first was not heard
            self._let_go(self.station)
        else:
            self._before = self.station
        self.station, self._rises = station, station is not None
        if station is not None:
            station.tuned += 1

    def over(self, heard: Floats, rate: int) -> Floats:
        """Return what is heard at a rate in Hz in this tick, with the stations' sound."""
        if self.station is not None:
            sound = self.station.sound(rate)
            heard = heard + (rising(sound, rate) if self._rises else sound)
        if self._before is not None:
            heard = heard + falling(self._before.sound(rate), rate)
        return heard

    def settle(self) -> bool:
        """A tick is over; return whether the next one is another."""
        changed = self.changing
        self._let_go(self._before)
        self._before, self._rises = None, False
        return changed

    def close(self) -> None:
        """Hear nothing any more, at once."""
        self._let_go(self._before)
        self._let_go(self.station)
        self.station = self._before = None

    @staticmethod
    def _let_go(station: Station | None) -> None:
        if station is not None:
            station.tuned -= 1
