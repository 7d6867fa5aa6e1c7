"""What ends a meeting by itself: the last host left, somebody is alone, nothing happens. Pure: the clock is handed in.

Each rule has a time in the room's settings. Its clock runs while what the rule asks for is so, begins anew with what
stirs it, and is called off by what makes it untrue; some time before the end those who are in are warned.

    rule       runs while                         begins anew with                warns
    host-left  a host was in and none is          -                               at once
    alone      one participant is in              -                               WARNING before the end
    idle       somebody is in and nobody talks    all that happens in the room    WARNING before the end
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.reasons import Reason
from gateway.rooms.model import HostLeaves, Participant, Rank, RoomSettings

WARNING = 30.0
"""Seconds from the warning to the end: enough to hear it, wonder, and say something. Of short times it is half."""


@dataclass(frozen=True, slots=True)
class Look:
    """What rules look at: who is in the room, and what was."""

    people: int
    hosts: int
    had_host: bool
    talking: bool


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. time gives seconds, None where the room has it not; prompts are what the warning says."""

    reason: Reason
    time: Callable[[RoomSettings], float | None]
    holds: Callable[[Look], bool]
    prompts: tuple[str, ...]
    at_once: bool = False
    stirs: bool = False


def _host_time(settings: RoomSettings) -> float | None:
    return settings.host_leaves_after if settings.host_leaves is HostLeaves.END else None


RULES = (
    Rule(
        Reason.HOST_LEFT,
        _host_time,
        lambda look: look.had_host and not look.hosts,
        ("host-left", "meeting-ends-soon"),
        at_once=True,
    ),
    Rule(Reason.ALONE, lambda settings: settings.lone_timeout or None, lambda look: look.people == 1, ("alone",)),
    Rule(
        Reason.IDLE,
        lambda settings: settings.idle_timeout or None,
        lambda look: not look.talking,
        ("meeting-ends-soon",),
        stirs=True,
    ),
)


@dataclass(frozen=True, slots=True)
class Warn:
    """The meeting ends in so many seconds, for this reason, unless something changes; prompts are to be said."""

    reason: Reason
    seconds: float
    prompts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CalledOff:
    """What was warned of does not come."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Over:
    """The meeting ends now."""

    reason: Reason


Decision = Warn | CalledOff | Over


@dataclass(slots=True)
class _Clock:
    since: float
    warned: bool = False
    over: bool = False


class Watch:
    """Watches over one room. Times are in seconds of any clock that never goes back."""

    def __init__(self, rules: Sequence[Rule] = RULES) -> None:
        self._rules = rules
        self._clocks: dict[Reason, _Clock] = {}
        self._had_host = False
        self._settings: RoomSettings | None = None
        self._signs: list[tuple[object, ...]] = []

    def see(
        self, settings: RoomSettings, people: Sequence[Participant], now: float, stirred: bool = True
    ) -> list[Decision]:
        """Take what is so in the room after something happened.

        stirred: it was a sign of life; who came, went, talks or muted itself shows without.
        """
        self._settings = settings
        signs: list[tuple[object, ...]] = [
            (one.id, one.rank, one.name, one.talking, one.muted, one.camera_off) for one in people
        ]
        stirred = stirred or signs != self._signs
        self._signs = signs
        hosts = sum(one.rank is Rank.HOST for one in people)
        self._had_host = bool(people) and (self._had_host or hosts > 0)
        look = Look(len(people), hosts, self._had_host, any(one.talking for one in people))
        made: list[Decision] = []
        for rule in self._rules:
            runs = bool(people) and rule.time(settings) is not None and rule.holds(look)
            clock = self._clocks.get(rule.reason)
            if clock is not None and (not runs or (stirred and rule.stirs and not clock.over)):
                del self._clocks[rule.reason]
                if clock.warned and people and not clock.over:
                    made.append(CalledOff(rule.reason))
                clock = None
            if runs and clock is None:
                self._clocks[rule.reason] = _Clock(now)
        return made + self.due(now)

    def due(self, now: float) -> list[Decision]:
        """Return what is due by now."""
        made: list[Decision] = []
        for rule in self._rules:
            warning, end = self._times(rule)
            clock = self._clocks.get(rule.reason)
            if clock is None or end is None:
                continue
            if end <= now:
                clock.over = True  # those who are hung up one by one begin no new count
                made.append(Over(rule.reason))
            elif not clock.warned and warning <= now:
                clock.warned = True
                made.append(Warn(rule.reason, end - now, rule.prompts))
        return made

    @property
    def next(self) -> float | None:
        """When `due` is to be asked again, None: not before something happens."""
        times = []
        for rule in self._rules:
            warning, end = self._times(rule)
            if end is not None:
                times.append(end if self._clocks[rule.reason].warned else min(warning, end))
        return min(times, default=None)

    def _times(self, rule: Rule) -> tuple[float, float | None]:
        """Return when a rule's warning is due and when its end is; that is None where its clock does not run."""
        clock = self._clocks.get(rule.reason)
        time = None if self._settings is None else rule.time(self._settings)
        if clock is None or clock.over or time is None:
            return 0.0, None
        before = time if rule.at_once else min(WARNING, time / 2)
        return clock.since + time - before, clock.since + time
