"""A room's pictures: who sees what, composed once and encoded once for all who share it.

`VideoMixer` is the room's face, used from the loop thread only. It keeps what is wanted; the work is done by a
`Studio` on the worker pool, which takes the wanted state over at its next turn. Neither waits for the other. Coded
pictures come back in one call on the loop for all viewers of an encoder.
"""

from __future__ import annotations

from dataclasses import replace

from transcode.frames import EncodedFrame
from transcode.media import LegId, RoomId, ViewPlan
from transcode.video.encoder import bucket
from transcode.video.pacing import RateGate
from transcode.video.pool import WorkerPool
from transcode.video.source import VideoSource
from transcode.video.streams import Viewer
from transcode.video.studio import MixerStatistics, Studio, Wanted

__all__ = ["MixerStatistics", "VideoMixer", "Viewer"]


class VideoMixer:
    """One room's video. Every method is called on the loop thread; sinks are called there, too."""

    def __init__(self, room: RoomId, pool: WorkerPool) -> None:
        self.room = room
        self._wanted = Wanted()
        self._closed = False
        self._retired = 0.0
        self._rates: dict[LegId, RateGate] = {}
        self._studio = Studio(pool, self._deliver)

    def set_source(self, leg: LegId, source: VideoSource | None) -> None:
        """Take a leg's picture, or take it away. The source stays its owner's to feed and close."""
        sources = dict(self._wanted.sources)
        old = sources.pop(leg, None)
        if old is source and source is not None:
            return
        if old is not None:
            old.on_picture = None
            self._retired += old.statistics.seconds
        if source is not None:
            sources[leg] = source
            source.on_picture = self._studio.arrived
        self._want(replace(self._wanted, sources=sources))

    def set_viewer(self, leg: LegId, viewer: Viewer | None) -> None:
        """Take what a leg is to be sent, or stop sending; a leg sees nothing before the plan names it."""
        viewers = dict(self._wanted.viewers)
        viewers.pop(leg, None)
        self._rates.pop(leg, None)
        if viewer is not None:
            viewers[leg] = viewer
            self._rates[leg] = RateGate(bucket(viewer.bit_rate), self._studio.now())
        self._want(replace(self._wanted, viewers=viewers))

    def plan(self, plan: ViewPlan) -> None:
        """Take who sees what from now on."""
        self._want(replace(self._wanted, plan=plan))

    def speaker(self, leg: LegId | None) -> None:
        """Take the active speaker; hysteresis is the caller's."""
        if leg != self._wanted.speaker:
            self._want(replace(self._wanted, speaker=leg))

    def set_bit_rate(self, leg: LegId, bit_rate: int) -> None:
        """Take what a viewer's path carries now, in bit/s. A leg without viewer is ignored.

        It falls at once; it rises at the earliest five seconds after its last change, and then by itself.
        """
        gate = self._rates.get(leg)
        if gate is None:
            return
        waits = gate.held is not None
        if gate.offer(bucket(bit_rate), self._studio.now()):
            viewer = replace(self._wanted.viewers[leg], bit_rate=gate.taken)
            self._want(replace(self._wanted, viewers={**self._wanted.viewers, leg: viewer}))
        elif gate.held is not None and not waits:
            self._studio.call_at(gate.ripe, self._rise, leg, gate)

    def request_key_frame(self, leg: LegId) -> None:
        """A viewer's peer asked for a key frame; it comes within about a second, together with those of others."""
        if not self._closed and leg in self._wanted.viewers:
            self._studio.ask_key_frame(leg)

    def statistics(self) -> MixerStatistics:
        """Return the room's counters."""
        seconds = self._retired + sum(source.statistics.seconds for source in self._wanted.sources.values())
        return replace(self._studio.statistics(), decode_seconds=seconds, viewers=len(self._wanted.viewers))

    def close(self) -> None:
        """Stop everything; no sink is called after this."""
        if self._closed:
            return
        self._closed = True
        for source in self._wanted.sources.values():
            source.on_picture = None
        self._wanted = Wanted()
        self._rates.clear()
        self._studio.close()

    def _rise(self, leg: LegId, gate: RateGate) -> None:
        """Take a rise that was held, now that its time has come."""
        if self._rates.get(leg) is gate and gate.held is not None:
            rate, gate.held = gate.held, None
            self.set_bit_rate(leg, rate)

    def _want(self, wanted: Wanted) -> None:
        if not self._closed:
            self._wanted = wanted
            self._studio.want(wanted)

    def _deliver(self, frame: EncodedFrame, legs: tuple[LegId, ...]) -> None:
        self._studio.landed()
        for leg in legs:
            viewer = self._wanted.viewers.get(leg)
            # A viewer may have gone over to another codec while the picture was on its way.
            if viewer is not None and viewer.codec is frame.codec:
                viewer.sink(frame)
