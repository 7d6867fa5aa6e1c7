"""Whether a key frame goes twice: to a peer that loses packets and cannot ask for them again. Pure.

A key frame with a hole is followed by another two seconds of waiting.
"""

from __future__ import annotations

from collections.abc import Collection

LOSSY = 0.01
"""Share of loss above which the packets of a key frame are sent twice to a peer that cannot ask for them again: of 30
packets at 5 % one is lost in four of five key frames, of doubled ones in one of fourteen."""
SUFFERING = 5.0
"""Seconds in which a second request for a key frame tells of loss too: many such peers send no reports."""


class KeyFrameRepeat:
    """One peer's; times in seconds."""

    def __init__(self) -> None:
        self._requests = (float("-inf"), float("-inf"))

    def requested(self, now: float) -> None:
        """The peer asked for a key frame."""
        self._requests = (self._requests[1], now)

    def wanted(self, loss: float, feedback: Collection[str], now: float) -> bool:
        """Tell whether a key frame is to go twice; loss is the share that it reports, feedback what it can ask."""
        return "nack" not in feedback and (loss > LOSSY or now - self._requests[0] < SUFFERING)
