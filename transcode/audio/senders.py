"""Who is sent which coded stream: the ones that listeners share, those that one has alone, and going between them.

Theory of operation. A sender is one listener's way out; its bus names what it is to hear. Those of one bus and codec
share a stream. One that leaves the shared stream for one of its own begins that with the past that it has heard. Back
again, a codec without memory changes over at once, one with memory `LINGER_TICKS` later (streams.py). A packet longer
than a tick is memory too: that of the shared stream may have begun with what this listener said itself. The bus
`AIR` is a station's (station.py): its streams are shared with other mixers, and fed by the station.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass

import numpy as np

from transcode.audio.codecs import SAMPLE_RATES
from transcode.audio.g711 import Pcm
from transcode.audio.station import Station
from transcode.audio.streams import HISTORY_TICKS, LINGER_TICKS, CodedStream
from transcode.media import Format

FULL, QUIET, OWN, AIR = "full", "quiet", "own", "air"

Send = Callable[[bytes, int, bool], None]
"""Takes a payload, its duration in RTP ticks (the next payload's timestamp is that much later), and the marker bit."""


@dataclass(slots=True, eq=False)
class Sender:
    """One leg's way out. bus is FULL, QUIET, AIR or OWN; own tells that the stream is not shared, linger until which
    tick that stays so. ready tells whether what is sent gets anywhere, None that it always does. station is the one
    whose stream it has on AIR."""

    format: Format
    time: int
    key: Hashable
    send: Send
    ready: Callable[[], bool] | None = None
    stream: CodedStream | None = None
    bus: str = ""
    own: bool = False
    linger: int = 0
    begun: bool = False
    station: Station | None = None

    @property
    def flows(self) -> bool:
        """Whether what is sent gets to the peer."""
        return self.ready is None or self.ready()


class Senders:
    """The streams of one mixer. rates holds the sample rates that are wanted, and how many want each.

    position is when the mixer begins, in ms of the clock that is common to all mixers with which it shares streams.
    """

    def __init__(self, position: int = 0) -> None:
        self.shared: dict[tuple[str, Hashable], CodedStream] = {}
        self.rates: dict[int, int] = {}
        self._past: dict[int, deque[Pcm]] = {}
        self._position = position
        self._ticks = 0

    def open(self, sender: Sender) -> Sender:
        """Take a new listener; it has no stream before it is turned to a bus."""
        rate = SAMPLE_RATES[sender.format.codec]
        self.rates[rate] = self.rates.get(rate, 0) + 1
        return sender

    def close(self, sender: Sender) -> None:
        """Let a listener go."""
        self._drop_stream(sender)
        rate = SAMPLE_RATES[sender.format.codec]
        self.rates[rate] -= 1
        if not self.rates[rate]:
            del self.rates[rate]
            self._past.pop(rate, None)

    def remember(self, rate: int, full: Pcm) -> None:
        """Keep what the full bus has at a rate in this tick, for streams that begin later."""
        past = self._past.get(rate)
        if past is None:
            past = self._past[rate] = deque(maxlen=HISTORY_TICKS)
        past.append(full)

    def pass_tick(self) -> None:
        """A tick is over."""
        self._position += 20
        self._ticks += 1

    def turn(self, sender: Sender, bus: str, station: Station | None = None) -> None:
        """Let a listener hear a bus from this tick on; on AIR it is this station's."""
        stream = sender.stream
        if stream is None:
            self._begin(sender, bus, station)
        elif bus != sender.bus:
            if bus != OWN and stream.memoryless:
                self._share(sender, bus, station)
                return
            if not sender.own:
                self._separate(sender)
            sender.bus = bus
            sender.linger = self._ticks + LINGER_TICKS if bus != OWN else 0
        elif sender.linger and self._ticks >= sender.linger:
            self._share(sender, bus, station)

    def _begin(self, sender: Sender, bus: str, station: Station | None) -> None:
        """Give a new listener its first stream; it has heard nothing yet, and the past may hold its own sound."""
        if bus == OWN or sender.time > 20:
            self._own(sender, QUIET)
            sender.bus = bus
            sender.linger = self._ticks + LINGER_TICKS if bus != OWN else 0
        else:
            self._share(sender, bus, station)

    def _separate(self, sender: Sender) -> None:
        heard = sender.bus
        self._drop_stream(sender)
        self._own(sender, heard)

    def _own(self, sender: Sender, heard: str) -> None:
        sender.stream = CodedStream(sender.format, sender.time, self._history(sender, heard), self._position)
        sender.own = True

    def _share(self, sender: Sender, bus: str, station: Station | None) -> None:
        """Put a listener on a shared stream; if there is none yet, its own one becomes it."""
        mine = sender.stream if sender.own and sender.bus == bus else None
        self._drop_stream(sender)
        on_air = station if bus == AIR else None
        key = (bus, sender.key)
        stream = self.shared.get(key) if on_air is None else on_air.streams.get(sender.key)
        if stream is None:
            stream = mine or CodedStream(sender.format, sender.time, self._history(sender, bus), self._position)
            stream.listeners = 0
            if on_air is None:
                self.shared[key] = stream
            else:
                on_air.streams[sender.key] = stream
                on_air.feed(stream)  # its others were fed before the rooms were mixed
        stream.listeners += 1
        sender.station = on_air
        sender.stream, sender.bus, sender.own, sender.linger = stream, bus, False, 0

    def _history(self, sender: Sender, bus: str) -> list[Pcm]:
        rate = SAMPLE_RATES[sender.format.codec]
        past = list(self._past.get(rate, ())) if bus in (FULL, AIR) else []
        return [np.zeros(rate // 50, np.int16)] * (HISTORY_TICKS - len(past)) + past

    def _drop_stream(self, sender: Sender) -> None:
        stream = sender.stream
        if stream is not None and not sender.own:
            stream.listeners -= 1
            if not stream.listeners and sender.station is not None:
                del sender.station.streams[sender.key]
            elif not stream.listeners:
                self.shared = {key: one for key, one in self.shared.items() if one is not stream}
        sender.station = None
        sender.stream, sender.own, sender.linger = None, False, 0
