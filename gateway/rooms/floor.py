"""The presentation floor: whose slides a room sees. One holder at a time. Pure.

Who asks first has it until it gives it back or leaves. A host may take it from another, a guest may not. A terminal
without a floor protocol asks by sending slides (implicit): that gets a free floor only, and gives it back by ceasing.
"""

from __future__ import annotations

from enum import Enum

from gateway.reasons import Reason, Refused
from gateway.rooms.model import ParticipantId, Rank


class Asker(Enum):
    """Who asks for the floor, as it stands to the one that has it."""

    HOLDER = "holder"
    HOST = "host"
    GUEST = "guest"
    IMPLICIT = "implicit"


_HELD = {Asker.HOLDER: True, Asker.HOST: True, Asker.GUEST: False, Asker.IMPLICIT: False}
"""Whether a request is granted while somebody has the floor; while nobody has it each one is."""


class PresentationFloor:
    """One room's floor; holder is who presents."""

    def __init__(self) -> None:
        self.holder: ParticipantId | None = None
        self.implicit = False

    def request(self, who: ParticipantId, rank: Rank, implicit: bool = False) -> None:
        """Give the floor to somebody. Raises `Refused` with BUSY while another has it who need not yield."""
        asker = Asker.HOST if rank is Rank.HOST else Asker.GUEST
        if implicit:
            asker = Asker.IMPLICIT
        if who == self.holder:
            asker = Asker.HOLDER
        if self.holder is not None and not _HELD[asker]:
            raise Refused(Reason.BUSY, "somebody else presents")
        # One that asked before it sent goes on by its own word.
        self.implicit = implicit and (asker is not Asker.HOLDER or self.implicit)
        self.holder = who

    def release(self, who: ParticipantId, implicit: bool = False) -> bool:
        """Take the floor back; tell whether it was theirs. implicit: only if it was had by sending."""
        if who != self.holder or (implicit and not self.implicit):
            return False
        self.holder, self.implicit = None, False
        return True
