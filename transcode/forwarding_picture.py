"""One direction of forwarded pictures: when it begins, what it needs of the source, and when it no longer fits. Pure.

waiting --a key frame that fits--> flowing --a key frame that does not, too many bits--> unfit
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from transcode.forwarding import FrameRelay
from transcode.frames import EncodedFrame

TOO_MUCH = 1.3
"""Factor by which a source may exceed what its target's path carries: coders overshoot."""
PATIENCE = 4.0
"""Seconds for which it may: it is asked for less meanwhile, and needs some to heed that."""
MEASURE = 1.0
"""Seconds over which bits are counted."""


class BitRate:
    """The bit rate of what comes, and how long it was too much; times in seconds, rates in bit/s."""

    def __init__(self) -> None:
        self._octets = 0
        self._since: float | None = None
        self._over_since: float | None = None
        self.rate = 0.0

    def exceeds(self, octets: int, most: int, now: float) -> bool:
        """Take the count of octets until now; tell whether too much has come for too long."""
        if self._since is None:
            self._octets, self._since = octets, now
        elif now - self._since >= MEASURE:
            self.rate = (octets - self._octets) * 8 / (now - self._since)
            self._octets, self._since = octets, now
        if self.rate <= most * TOO_MUCH:
            self._over_since = None
        elif self._over_since is None:
            self._over_since = now
        return self._over_since is not None and now - self._over_since >= PATIENCE


class PictureForward:
    """Frames of one source. fits judges key frames; wants_key tells that the source is to be asked for one."""

    def __init__(self, fits: Callable[[EncodedFrame], bool]) -> None:
        self.flowing = False
        self.unfit = False
        self.wants_key = True
        self._fits = fits
        self._relay = FrameRelay()

    def take(self, frame: EncodedFrame, generation: int) -> EncodedFrame | None:
        """Return a frame as it goes on, with a timestamp of our clock; None: it is to be decoded here."""
        if frame.key and not frame.damaged:
            self.wants_key = False
            if not self._fits(frame):
                self.unfit = True
                return None
            self.flowing = True
        if not self.flowing or self.unfit:
            return None
        return replace(frame, timestamp=self._relay.onward(frame.timestamp, frame.arrival, generation))
