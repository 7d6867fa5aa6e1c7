"""The calls that the gatekeeper has admitted, and the bandwidth that they share. Pure.

A call between two endpoints is admitted twice, once for each end; it takes its bandwidth once. Bandwidth is in bit/s,
both directions together as H.225.0 counts it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

MAX_ADMISSIONS = 20_000
"""Admissions at once: both ends of five times as many calls as one machine carries."""
IRR_INTERVAL = 120
"""Seconds between two reports of a call that endpoints are asked for."""
STALE = 300.0
"""Seconds without a word of a call after which its endpoint is asked; two reports may be lost."""
ASKED = 15.0
"""Seconds that it then has to answer before the call counts as over."""

Key = tuple[str, bytes, bool]
"""Endpoint identifier, call identifier, and whether it answers the call."""


@dataclass(slots=True)
class Admission:
    """One end of a call. reference is the endpoint's callReferenceValue; heard when it last said something of it."""

    endpoint: str
    call: bytes
    answers: bool
    reference: int
    conference: bytes
    bandwidth: int
    heard: float
    asked: bool = False

    @property
    def key(self) -> Key:
        """What tells it from others."""
        return self.endpoint, self.call, self.answers


class Admissions:
    """All of them. per_call and total bound bandwidth in bit/s, None for no bound."""

    def __init__(self, per_call: int | None, total: int | None) -> None:
        self._per_call = per_call
        self._total = total
        self._all: dict[Key, Admission] = {}
        self._ends: dict[bytes, set[Key]] = {}
        self._used = 0
        self._soonest = float("inf")
        """Nothing is due before this; it is looked for anew when it comes, not at each report."""

    def __len__(self) -> int:
        """Return how many ends of calls are admitted."""
        return len(self._all)

    def __iter__(self) -> Iterator[Admission]:
        return iter(tuple(self._all.values()))

    @property
    def calls(self) -> int:
        """Return how many calls these are."""
        return len(self._ends)

    @property
    def used(self) -> int:
        """Return the bandwidth that they take together."""
        return self._used

    def get(self, key: Key) -> Admission | None:
        """Return an admission."""
        return self._all.get(key)

    def has(self, call: bytes) -> bool:
        """Tell whether an end of this call is admitted."""
        return call in self._ends

    def ends(self, call: bytes) -> list[Admission]:
        """Return the admitted ends of a call."""
        return [self._all[one] for one in self._ends.get(call, ())]

    def of(self, endpoint: str) -> list[Admission]:
        """Return an endpoint's admissions."""
        return [one for one in self._all.values() if one.endpoint == endpoint]

    def allowed(self, key: Key, wanted: int) -> int:
        """Return how much of a wanted bandwidth an end of a call may have now, with what it has already."""
        others = self._of_call(key[1], without=key)
        left = wanted if self._per_call is None else min(wanted, self._per_call)
        if self._total is not None:
            free = self._total - (self._used - self._of_call(key[1]))
            # What the other end has is taken already; the call costs no more than its larger end.
            left = min(left, max(free, 0, others if others <= free else 0))
        return left

    def put(self, admission: Admission) -> bool:
        """Admit, or give new bandwidth to an end that is admitted; False where there are too many."""
        key = admission.key
        if key not in self._all and len(self._all) >= MAX_ADMISSIONS:
            return False
        before = self._of_call(admission.call)
        self._all[key] = admission
        self._soonest = min(self._soonest, self._due(admission))
        self._ends.setdefault(admission.call, set()).add(key)
        self._used += self._of_call(admission.call) - before
        return True

    def remove(self, key: Key) -> Admission | None:
        """Take an admission back, and return it."""
        if key not in self._all:
            return None
        before = self._of_call(key[1])
        gone = self._all.pop(key)
        ends = self._ends[key[1]]
        ends.discard(key)
        if not ends:
            del self._ends[key[1]]
        self._used += self._of_call(key[1]) - before
        return gone

    def _of_call(self, call: bytes, without: Key | None = None) -> int:
        return max((self._all[one].bandwidth for one in self._ends.get(call, ()) if one != without), default=0)

    def silent(self, now: float) -> list[Admission]:
        """Return those of which nothing was heard for too long: to be asked for, or, asked already, over."""
        if self._soonest > now:
            return []
        due = [one for one in self._all.values() if self._due(one) <= now]
        left = (self._due(one) for one in self._all.values() if self._due(one) > now)
        # Those that are due are asked or removed now, and looked at again soon.
        self._soonest = min(left, default=float("inf"))
        if due:
            self._soonest = min(self._soonest, now + ASKED)
        return due

    def next_timeout(self) -> float | None:
        """Return when one may be silent; `silent` tells whether it is."""
        return self._soonest if self._all else None

    def _due(self, one: Admission) -> float:
        return one.heard + STALE + (ASKED if one.asked else 0.0)
