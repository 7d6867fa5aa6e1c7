"""The bit rate of a video stream that is sent, from what the receiver tells (draft-ietf-rmcat-gcc §6, the loss rule).

Theory of operation. Two things bound the rate: an estimate that loss in the receiver's reports moves (up by GROWTH a
second while little is lost, down by half the lost share when much is), and what others say: the negotiated maximum,
TMMBR and REMB. The target is the least of them and follows at once when it falls. When it rises it is held back: an
encoder that is touched each second looks worse than one that waits. A rise that is soon taken back makes the next one
wait longer.

Encoders are shared between receivers of like bit rate, so rates are offered in rungs: `RateController.rung` is the
rung to receive now.
"""

from __future__ import annotations

FLOOR = 128_000
"""bit/s; below this no picture of use can be coded, and what else ails the path is not cured by less."""
LADDER = (128_000, 192_000, 320_000, 512_000, 768_000, 1_000_000, 1_500_000, 2_000_000, 3_000_000, 4_000_000)
"""Rungs in bit/s, about half as much again each: fewer would waste bandwidth, more would waste encoders."""
LITTLE_LOSS, MUCH_LOSS = 0.02, 0.10
GROWTH = 1.08
"""Growth a second."""
MAX_STEP = 2.0
"""Seconds of growth that one report stands for at most; a long silence is no good news."""
CUT_SPACING = 0.3
"""Seconds, or the round-trip time if longer, between two cuts: reports on their way do not know of the first yet."""
RISE_HOLD, MAX_RISE_HOLD = 3.0, 24.0
"""Seconds for which a higher rung must be affordable before it is taken."""
RELAPSE = 10.0
"""Seconds in which a fall takes back a rise and doubles the hold."""


def bucket(bit_rate: int) -> int:
    """Return the highest rung of LADDER that a bit rate affords; the lowest one if it affords none."""
    best = LADDER[0]
    for rung in LADDER:
        if rung <= bit_rate:
            best = rung
    return best


class RateController:
    """The rate of one sent stream; all rates in bit/s, times in seconds, loss as a share, round_trip in ms.

    maximum is the negotiated one. `target` is what the path affords now, `rung` what to be sent now, in steps with
    hysteresis; both are 0 while the peer asked for nothing at all (a TMMBR of 0, RFC 5104 §4.2.1.2).
    """

    __slots__ = (
        "_estimate",
        "_hold",
        "_last_cut",
        "_last_report",
        "_last_rise",
        "_limits",
        "_maximum",
        "_rises_at",
        "rung",
    )

    def __init__(self, maximum: int, start: int | None = None) -> None:
        self._maximum = max(FLOOR, maximum)
        self._estimate = float(min(self._maximum, maximum if start is None else max(FLOOR, start)))
        self._limits: dict[str, int] = {}
        self._hold = RISE_HOLD
        self._last_cut = self._last_rise = float("-inf")
        self._last_report: float | None = None
        self._rises_at: float | None = None
        self.rung = bucket(self.target)

    @property
    def target(self) -> int:
        """What the path affords at present."""
        if self._limits.get("tmmbr") == 0:
            return 0
        return max(FLOOR, int(min(self._estimate, self._maximum, *self._limits.values())))

    def set_maximum(self, maximum: int) -> None:
        """Take a newly negotiated maximum."""
        self._maximum = max(FLOOR, maximum)

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
            self._estimate = max(float(FLOOR), min(self._estimate, self.target or FLOOR) * (1 - 0.5 * min(loss, 1.0)))

    def update(self, now: float) -> int | None:
        """Return the rung to change to, or None to leave the encoder alone; call it now and then and after reports."""
        target = self.target
        wanted = bucket(target) if target else 0
        if wanted == self.rung:
            self._rises_at = None
            if now - self._last_rise > 6 * RELAPSE:
                self._hold = RISE_HOLD
            return None
        if wanted < self.rung:
            if now - self._last_rise < RELAPSE:
                self._hold = min(MAX_RISE_HOLD, 2 * self._hold)
            self._rises_at = None
        elif self.rung:
            if self._rises_at is None:
                self._rises_at = now + self._hold
            if now < self._rises_at:
                return None
            self._rises_at = None
            self._last_rise = now
        self.rung = wanted
        return wanted
