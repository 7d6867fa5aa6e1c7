"""When to compose, when to give a key frame, and when to take it easier: clocks in, decisions out.

`Pacer` spreads pictures evenly without drifting, `KeyFrameGate` bounds key frames, `Governor` halves a room's frame
rate while the machine cannot keep up. `now` is in seconds of a monotonic clock.
"""

from __future__ import annotations

KEY_INTERVAL = 1.0
"""Seconds between two key frames that viewers asked for: one costs as much as ten other pictures, and everybody who
shares the encoder pays for it."""
RISE_HOLD = 5.0
"""Seconds after a change of bit rate before it may rise: a path that was full needs about as long to empty."""
FRAME_RATES = (30, 15, 10, 5)
"""Pictures a second of a room: whole parts of the tick rate, so that they come evenly."""
TICK_RATE = 30
SINGLE_RATE = 37.5
"""Most pictures a second that are taken of a lone source: a quarter above 30, so that one that runs a little fast
does not wait for ticks. What is encoded is bounded for each encoder."""
OVERLOAD_TICKS = 10
"""Late ticks in a row before the rate is halved: a third of a second, longer than a key frame or a garbage
collection takes."""
RECOVERY_SECONDS = 5.0
"""Time at the lower rate before the higher one is tried again; doubled each time that this fails."""
MAX_RECOVERY = 80.0
MAX_HALVINGS = 2
"""30, 15, 7.5 pictures a second; below that a stiller picture would not help."""


def room_rate(source_rate: float) -> int:
    """Return the pictures a second that a room needs whose fastest source gives `source_rate`; 0 is unknown."""
    if source_rate <= 0:
        return TICK_RATE
    # A tenth less than what is needed would already drop pictures.
    return min((rate for rate in FRAME_RATES if rate >= source_rate * 0.9), default=TICK_RATE)


class Pacer:
    """Lets `rate` pictures a second pass. After a late one the next may come at once, but no more is saved up."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._next = float("-inf")

    def due(self, now: float) -> bool:
        """Whether a picture may be made now; a tenth of a period is nobody's fault."""
        return now >= self._next - 0.1 / self.rate

    def spend(self, now: float) -> None:
        """Note that one was made."""
        self._next = max(self._next, now - 1.0 / self.rate) + 1.0 / self.rate


class KeyFrameGate:
    """Decides when an encoder gives a key frame.

    A join or a change of picture gets one with the next picture. Requests get one together, at most one each
    KEY_INTERVAL.
    """

    def __init__(self) -> None:
        self._asked = False
        self._at_once = True
        self._last = float("-inf")

    def request(self) -> None:
        """A viewer asked for one."""
        self._asked = True

    def demand(self) -> None:
        """One is due with the next picture: a viewer joined, or the picture changed."""
        self._at_once = True

    def due(self, now: float) -> bool:
        """Whether the next picture is to be a key frame."""
        return self._at_once or (self._asked and now - self._last >= KEY_INTERVAL)

    def served(self, now: float) -> None:
        """Note that a key frame was given: it serves all who asked before."""
        self._asked = self._at_once = False
        self._last = now


class RateGate:
    """Holds back rises of one viewer's bit rate: falls are taken at once, a rise when the last change is a while ago.

    Feedback wavers, and a change may cost a new encoder and a key frame.
    """

    def __init__(self, bit_rate: int, now: float) -> None:
        self.taken = bit_rate
        self.held: int | None = None
        self._changed = now

    def offer(self, bit_rate: int, now: float) -> bool:
        """Take what the path carries, in bit/s; tell whether `taken` changed. A rise that is too early is held."""
        self.held = None
        if bit_rate > self.taken and now < self.ripe:
            self.held = bit_rate
            return False
        if bit_rate == self.taken:
            return False
        self.taken, self._changed = bit_rate, now
        return True

    @property
    def ripe(self) -> float:
        """When a rise is taken next."""
        return self._changed + RISE_HOLD


class Governor:
    """Halves a room's frame rate when its pictures come late, and tries the old rate again after a while."""

    def __init__(self) -> None:
        self.halvings = 0
        self.overloads = 0
        self._late = 0
        self._changed = 0.0
        self._patience = RECOVERY_SECONDS

    def observe(self, now: float, lateness: float, period: float) -> bool:
        """Take how late one tick's work was done, both in seconds; tell whether the rate changed."""
        if lateness > period:
            self._late += 1
        else:
            self._late = 0
        if self._late >= OVERLOAD_TICKS and self.halvings < MAX_HALVINGS:
            self.halvings += 1
            self.overloads += 1
            if now - self._changed < 2 * self._patience:
                self._patience = min(2 * self._patience, MAX_RECOVERY)
            self._late, self._changed = 0, now
            return True
        if self.halvings and self._late == 0 and now - self._changed >= self._patience:
            self.halvings -= 1
            self._changed = now
            if not self.halvings and self._patience > RECOVERY_SECONDS:
                self._patience /= 2
            return True
        return False
