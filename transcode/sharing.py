"""Whether a leg's slides come: from counts of decoded pictures, for peers without a floor protocol. Pure."""

from __future__ import annotations

SHARING_ENDS = 10.0
"""Seconds without pictures after which slides have ceased: encoders send a still slide again every few seconds."""


class SlidesWatch:
    """One stream; times in seconds of a monotonic clock. sharing says whether slides come."""

    __slots__ = ("_count", "_last", "sharing")

    def __init__(self) -> None:
        self.sharing = False
        self._count = 0
        self._last = float("-inf")

    def update(self, pictures: int | None, now: float) -> bool:
        """Take how many pictures the stream's source has decoded, None without source; tell whether sharing changed."""
        count = pictures or 0
        if count and count != self._count:
            self._last = now
        self._count = count
        before, self.sharing = self.sharing, pictures is not None and now - self._last < SHARING_ENDS
        if pictures is None:
            self._last = float("-inf")
        return self.sharing is not before
