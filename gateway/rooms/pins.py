"""Who may give a PIN, and what comes of it: right ones let in, wrong ones are counted, and who guesses must wait.

Theory of operation. Wrong PINs are counted by source, over all its calls, and by room, whoever gave them. Some of one
source bring a pause, longer each time, in which none of its PINs is looked at, right or wrong; then a right one clears
the count. Many of one room bring a short pause to everybody but those whose password was checked, so that a crowd of
sources does not guess what one may not; only time clears that count, or whoever knows one PIN could guess the other.
Room numbers that lead nowhere are counted by source as well, and more of them are borne.

Calls of every protocol, messages, and what is typed in the menu go through here. No PIN is kept or told.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import structlog

from gateway.backoff import Pauses
from gateway.calls import CallFacts, Direction
from gateway.reasons import Reason, Refused
from gateway.rooms.dial_plan import address_of
from gateway.rooms.model import LockedOut, Rank, RoomEvent
from gateway.rooms.policy import NOTHING_SAID, Decision
from gateway.rooms.room import Room
from transcode.interface import Sample
from transcode.media import RoomId

log = structlog.get_logger()

SOURCE_TRIES = 6
"""Wrong PINs of one account or caller before the first pause: two calls in which everything was mistyped."""
ADDRESS_TRIES = 12
"""The same of an address, which several people may share."""
ROOM_TRIES = 60
"""Wrong PINs of one room, from wherever: a large meeting's typing errors stay below it."""
WRONG_ROOMS = 20
"""Room numbers of one source that lead nowhere; they are no secret, but whoever tries many looks for rooms."""
FIRST_PAUSE = 30.0
"""Seconds of the first pause; each wrong answer after it doubles the next one."""
LONGEST_PAUSE = 900.0
"""Seconds at most: of 10,000 PINs one source tries 96 a day."""
LONGEST_ROOM_PAUSE = 60.0
"""Seconds that a room is shut at most: guests with the right PIN wait too, and somebody may do that on purpose."""

ADDRESS = "address"
Origin = tuple[str, str]
"""Who a call counts as: what kind of source it is, and which."""


class PinGuard:
    """One for the whole house. clock gives seconds that never go back; publish tells of sources that are locked out."""

    def __init__(self, publish: Callable[[list[RoomEvent]], None], clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.counts: Counter[str] = Counter()
        """Wrong PINs, wrong rooms, and what was turned away, since the start."""
        self._publish = publish
        self._sources = Pauses(SOURCE_TRIES, FIRST_PAUSE, LONGEST_PAUSE)
        self._addresses = Pauses(ADDRESS_TRIES, FIRST_PAUSE, LONGEST_PAUSE)
        self._seekers = Pauses(WRONG_ROOMS, FIRST_PAUSE, LONGEST_PAUSE)
        self._rooms = Pauses(ROOM_TRIES, FIRST_PAUSE, LONGEST_ROOM_PAUSE)

    def admit(
        self, room: Room, facts: CallFacts, pin: str | None, waiting: int = 0, decision: Decision = NOTHING_SAID
    ) -> Rank:
        """Say as what a caller with this PIN may enter (see `Room.admit`).

        Raises `Refused`, also with LOCKED_OUT.
        """
        secret = room.settings.host_pin is not None or room.settings.guest_pin is not None
        placed = facts.direction is Direction.OUTGOING  # by the house, which knows the PIN
        if placed or decision.rank is not None or not secret:
            return room.admit(pin, waiting, decision.rank, decision.participants, invited=placed)
        if pin:
            self._check(room, facts)
        try:
            rank = room.admit(pin, waiting, None, decision.participants)
        except Refused as refused:
            if refused.reason is Reason.WRONG_PIN:
                self._wrong_pin(room, facts)
            elif refused.reason is Reason.PIN_NEEDED:
                self._check(room, facts)  # to be asked would help it nothing
            raise
        if pin:
            self._of(facts).passed(source_of(facts))
        return rank

    def prove_host(self, room: Room, facts: CallFacts, pin: str) -> None:
        """Take the PIN of hosts from somebody who is in the room or waits before it.

        Raises `Refused`: NOT_ALLOWED where there is none, WRONG_PIN, LOCKED_OUT.
        """
        if room.settings.host_pin is None:
            raise Refused(Reason.NOT_ALLOWED, "this room has no host PIN")
        self._check(room, facts)
        if not room.is_host_pin(pin):
            self._wrong_pin(room, facts)
            raise Refused(Reason.WRONG_PIN)
        self._of(facts).passed(source_of(facts))

    def wrong_room(self, facts: CallFacts) -> None:
        """Count a room number that leads nowhere."""
        self.counts["wrong_room"] += 1
        pause = self._seekers.failed(source_of(facts), self.clock())
        if pause:
            self._locked_out(facts, RoomId(""), pause, "rooms")

    def check_seeker(self, facts: CallFacts) -> None:
        """Raise `Refused` with LOCKED_OUT where a source has looked for too many rooms that are not there."""
        if self._seekers.wait(source_of(facts), self.clock()):
            self._turn_away()

    def _check(self, room: Room, facts: CallFacts) -> None:
        now = self.clock()
        if self._of(facts).wait(source_of(facts), now):
            self._turn_away()
        if not facts.account and self._rooms.wait(room.settings.id, now):
            self._turn_away()

    def _of(self, facts: CallFacts) -> Pauses:
        return self._addresses if source_of(facts)[0] == ADDRESS else self._sources

    def _turn_away(self) -> None:
        self.counts["locked_out"] += 1
        raise Refused(Reason.LOCKED_OUT)

    def _wrong_pin(self, room: Room, facts: CallFacts) -> None:
        now, id = self.clock(), room.settings.id
        self.counts["wrong_pin"] += 1
        pause = self._of(facts).failed(source_of(facts), now)
        if pause:
            self._locked_out(facts, id, pause, "source")
        pause = self._rooms.failed(id, now)
        if pause:
            self._locked_out(facts, id, pause, "room")

    def _locked_out(self, facts: CallFacts, room: RoomId, pause: float, what: str) -> None:
        kind, who = source_of(facts)
        log.warning("locked_out", what=what, room=room, source=facts.source, kind=kind, who=who, seconds=round(pause))
        self.counts[f"lock_out_{what}"] += 1
        self._publish([LockedOut(room, facts, what, pause)])

    def samples(self) -> list[Sample]:
        """Return counts for metrics."""
        found = [Sample("entry_faults_total", (("what", what),), count) for what, count in self.counts.items()]
        sizes = {"sources": self._sources, "addresses": self._addresses, "seekers": self._seekers, "rooms": self._rooms}
        return [*found, *(Sample("entry_faults_remembered", (("by", by),), len(table)) for by, table in sizes.items())]


def source_of(facts: CallFacts) -> Origin:
    """Return who a call counts as where calls and their errors are counted by source.

    The account whose password was checked; of a trunk, through which strangers call, its name and the caller's number;
    else the address. An IPv6 address counts as its network (/64): one machine may take as many of those as it likes.
    """
    if facts.account:
        return "account", facts.account
    if facts.trunk:
        return f"trunk {facts.trunk}", facts.caller
    address = address_of(facts.source)
    if address is None:
        return ADDRESS, facts.source
    if address.version == 6:
        return ADDRESS, ":".join(address.exploded.split(":")[:4])
    return ADDRESS, str(address)
