"""The bit rate of a video stream that is sent, from what the receiver tells.

Theory of operation. Two things bound the rate: an estimate that loss in the receiver's reports moves (up by GROWTH a
second while little is lost, down by half the lost share when much is), and what others say: the negotiated maximum,
TMMBR and REMB. The target is the least of them. It follows everything at once; whoever encodes rounds it to the few
rates that encoders are shared in, and waits before it lets them rise.
"""

from __future__ import annotations

FLOOR = 128_000
"""bit/s; below this no picture of use can be coded, and what else ails the path is not cured by less."""
LITTLE_LOSS, MUCH_LOSS = 0.02, 0.10
GROWTH = 1.08
"""Growth a second."""
MAX_STEP = 2.0
"""Seconds of growth that one report stands for at most; a long silence is no good news."""
CUT_SPACING = 0.3
"""Seconds, or the round-trip time if longer, between two cuts: reports on their way do not know of the first yet."""


class RateController:
    """The rate of one sent stream; all rates in bit/s, times in seconds, loss as a share, round_trip in ms.

    maximum is the negotiated one; where it is below FLOOR, it is the floor. `target` is what the path affords now,
    and 0 while the peer asked for nothing at all (a TMMBR of 0, RFC 5104 §4.2.1.2).
    """

    __slots__ = ("_estimate", "_last_cut", "_last_report", "_limits", "_maximum")

    def __init__(self, maximum: int, start: int | None = None) -> None:
        self._maximum = maximum
        self._estimate = float(maximum if start is None else min(maximum, start))
        self._limits: dict[str, int] = {}
        self._last_cut = float("-inf")
        self._last_report: float | None = None

    @property
    def _floor(self) -> int:
        return min(FLOOR, self._maximum)

    @property
    def target(self) -> int:
        """What the path affords at present."""
        if self._limits.get("tmmbr") == 0:
            return 0
        return max(self._floor, int(min(self._estimate, self._maximum, *self._limits.values())))

    def set_maximum(self, maximum: int) -> None:
        """Take a newly negotiated maximum."""
        self._maximum = maximum

    def limit(self, bit_rate: int, how: str) -> None:
        """Take the peer's limit; how is "tmmbr" or "remb", each replaces its own kind."""
        self._limits[how] = bit_rate

    def report(self, loss: float, round_trip: float | None, now: float) -> None:
        """Take one receiver report."""
        elapsed = 0.0 if self._last_report is None else min(MAX_STEP, max(0.0, now - self._last_report))
        self._last_report = now
        if loss < LITTLE_LOSS:
            self._estimate = min(float(self._maximum), self._estimate * GROWTH**elapsed)
        elif loss > MUCH_LOSS and now - self._last_cut >= max(CUT_SPACING, (round_trip or 0.0) / 1000):
            self._last_cut = now
            self._estimate = max(float(self._floor), min(self._estimate, self.target) * (1 - 0.5 * min(loss, 1.0)))
