"""The life of one dialled call: tried, tried again, kept connected, over. Pure: the clock is handed in.

    DIALLING --rings--> RINGING --answers--> ANSWERED --ends--> ENDED
        |  `------fails-----'                    `--is lost, and to be kept--> WAITING
        |         |- a reason that time may cure, and tries are left --------> WAITING --time is up--> DIALLING
        |         `- else --> FAILED
        `--cancelled, from each of them--> CANCELLED

How long it waits: `pause` between tries that were asked for; where the call is to be kept, a time that grows with each
failure in a row, and is short again after a call that stood for a while.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.reasons import Reason, Result
from gateway.rooms.model import DialState

MAX_RETRIES = 20
"""Further tries that may be asked for: somebody who does not answer twenty times does not want to."""
PAUSE = 30.0
"""Seconds between two tries, where nobody said: a busy telephone is often free again by then."""
SHORTEST_PAUSE, LONGEST_PAUSE = 1.0, 3_600.0
"""Bounds of that."""
FIRST_BACK_OFF = 5.0
"""Seconds until a lost call is dialled again: what restarts a network is back by then, or needs longer."""
LONGEST_BACK_OFF = 300.0
"""Seconds that this grows to: nobody is called more than twelve times an hour."""
STEADY = 60.0
"""Seconds that a call must have stood for the next loss to count as the first one."""

CURABLE = frozenset(
    {
        Reason.BUSY,
        Reason.NO_ANSWER,
        Reason.ROOM_FULL,
        Reason.TIMEOUT,
        Reason.UNREACHABLE,
        Reason.OVERLOAD,
        Reason.NO_PORTS,
        Reason.GLARE,
        Reason.NO_MEDIA,
        Reason.NO_ACK,
        Reason.TRANSPORT_FAILED,
        Reason.ICE_FAILED,
        Reason.DTLS_FAILED,
        Reason.INTERNAL,
    }
)
"""Reasons after which another try may do better; all others are somebody's decision, or stay as they are."""
OPEN = frozenset({DialState.DIALLING, DialState.RINGING})
"""States in which somebody is being called."""
LIVING = OPEN | {DialState.ANSWERED, DialState.WAITING}
"""States in which a dialled call is not over."""


@dataclass(frozen=True, slots=True)
class Tries:
    """How often somebody is called: retries after the first try, seconds of pause between them.

    keep: a call that was lost is made again, and one that fails is tried, for as long as it makes sense. insist, with
    keep: somebody is wanted at any time, so that one who hung up, or is not known at this moment, is called again too.
    """

    retries: int = 0
    pause: float = PAUSE
    keep: bool = False
    insist: bool = False

    @property
    def most(self) -> int | None:
        """How many tries there are at most; None where that is not bounded."""
        return None if self.keep else 1 + self.retries


ONCE = Tries()
"""Called once, and not again."""


class Redialling:
    """The state of one dialled call. number counts tries, due is when the next one is, reason why the last ended."""

    def __init__(self, tries: Tries) -> None:
        self.tries = tries
        self.state = DialState.DIALLING
        self.number = 1
        self.reason: Reason | None = None
        self.due: float | None = None
        self._failures = 0
        self._answered_at = 0.0

    @property
    def over(self) -> bool:
        """Whether nothing will happen any more."""
        return self.state not in LIVING

    def rings(self) -> bool:
        """The other end rings; tell whether that is new."""
        if self.state is not DialState.DIALLING:
            return False
        self.state = DialState.RINGING
        return True

    def answered(self, now: float) -> bool:
        """The other end has answered; tell whether that changes something."""
        if self.state not in OPEN:
            return False
        self.state, self.reason, self._answered_at = DialState.ANSWERED, None, now
        return True

    def failed(self, reason: Reason, now: float) -> bool:
        """The try failed; tell whether that changes something."""
        if self.state not in OPEN:
            return False
        self.reason = reason
        self._failures += 1
        left = self.tries.keep or self.number <= self.tries.retries
        curable = reason in CURABLE or (self.tries.insist and reason is Reason.NO_SUCH_USER)
        self._wait(now) if curable and left else self._end(DialState.FAILED)
        return True

    def ended(self, reason: Reason, now: float) -> bool:
        """The call that was answered is over; tell whether that changes something."""
        if self.state is not DialState.ANSWERED:
            return False
        self.reason = reason
        self._failures = 1 if now - self._answered_at >= STEADY else self._failures + 1
        lost = reason.result is Result.FAILED or (self.tries.insist and reason is Reason.NORMAL)
        self._wait(now) if lost and self.tries.keep else self._end(DialState.ENDED)
        return True

    def again(self, now: float) -> bool:
        """Tell whether it is time for the next try, which then begins."""
        if self.state is not DialState.WAITING or self.due is None or now < self.due:
            return False
        self.state, self.due = DialState.DIALLING, None
        self.number += 1
        return True

    def cancel(self, reason: Reason) -> bool:
        """Nobody wants it any more; tell whether that changes something."""
        if self.over:
            return False
        self.reason = reason
        self._end(DialState.CANCELLED)
        return True

    def _wait(self, now: float) -> None:
        pause = self.tries.pause
        if self.tries.keep:
            pause = min(FIRST_BACK_OFF * 2.0 ** min(self._failures - 1, 16), LONGEST_BACK_OFF)
        self.state, self.due = DialState.WAITING, now + pause

    def _end(self, state: DialState) -> None:
        self.state, self.due = state, None
