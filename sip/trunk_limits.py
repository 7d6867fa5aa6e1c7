"""How many calls a trunk carries at once, and how many a second may begin, in both directions together."""

from __future__ import annotations

from gateway.reasons import Reason, Refused


class Slot:
    """A call's place in a trunk; giving it back twice does nothing."""

    def __init__(self, limits: Limits) -> None:
        self._limits: Limits | None = limits

    def release(self) -> None:
        """Give the place back."""
        if self._limits is not None:
            self._limits.calls -= 1
            self._limits = None


class Limits:
    """The places of one trunk: 0 for no limit. A second's worth of calls may begin at one moment."""

    def __init__(self, max_calls: int, calls_per_second: float) -> None:
        self.calls = 0
        self._most = max_calls
        self._rate = calls_per_second
        self._burst = max(1.0, calls_per_second)
        self._left = self._burst
        self._at: float | None = None

    def take(self, now: float) -> Slot:
        """Return a place. Raises Refused: BUSY where all are taken, OVERLOAD where calls begin too fast."""
        if self._most and self.calls >= self._most:
            raise Refused(Reason.BUSY, f"all {self._most} lines of the trunk are in use")
        if self._rate:
            gone = now - self._at if self._at is not None else 0.0
            self._at = now
            self._left = min(self._burst, self._left + gone * self._rate)
            if self._left < 1.0:
                raise Refused(Reason.OVERLOAD, f"more than {self._rate:g} calls a second")
            self._left -= 1.0
        self.calls += 1
        return Slot(self)
