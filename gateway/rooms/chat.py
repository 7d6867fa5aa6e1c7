"""A room's chat: what was said lately, and who may say how much. Pure: no I/O, no clock of its own."""

from __future__ import annotations

import re
from collections import deque

from gateway.reasons import Reason, Refused
from gateway.rooms.model import ParticipantId, Said
from gateway.text import is_visible
from transcode.media import RoomId

MAX_LENGTH = 2_000
"""Characters of one message: half a page. Longer things are sent in another way than a meeting's chat."""
MAX_HISTORY = 100
"""Messages that are kept for those who come later: some screens full, at most a megabyte a room."""
BURST = 8.0
"""Messages that one may say at once: somebody pastes a few lines."""
PER_SECOND = 1.0
"""Messages that one may say for good; nobody reads faster."""
MAX_SPEAKERS = 1_000
"""Speakers whose rate is kept: twice as many as a room holds, and programs."""
_JOINERS = "\u200c\u200d"
"""Invisible, but part of what is written: Persian and Indic words and joined emoji need them."""


class Chat:
    """The messages of one room, oldest first."""

    def __init__(self, room: RoomId) -> None:
        self._room = room
        self._number = 0
        self._said: deque[Said] = deque(maxlen=MAX_HISTORY)
        self._credit: dict[str, tuple[float, float]] = {}

    @property
    def recent(self) -> tuple[Said, ...]:
        """The latest messages."""
        return tuple(self._said)

    def say(self, who: ParticipantId | None, name: str, text: str, now: float, by: str = "") -> Said:
        """Note a message and return it; who None is nobody in the room, by tells such speakers apart.

        Raises `Refused`: BAD_REQUEST (nothing to read), MESSAGE_TOO_LARGE, OVERLOAD (too many).
        """
        if len(text) > MAX_LENGTH:
            raise Refused(Reason.MESSAGE_TOO_LARGE, f"a message has at most {MAX_LENGTH} characters")
        cleaned = clean_text(text)
        if not cleaned:
            raise Refused(Reason.BAD_REQUEST, "the message holds nothing to read")
        self._spend(who or by, now)
        self._number += 1
        said = Said(self._room, self._number, who, name, cleaned, now)
        self._said.append(said)
        return said

    def forget(self) -> None:
        """Forget what was said; numbers go on."""
        self._said.clear()
        self._credit.clear()

    def _spend(self, speaker: str, now: float) -> None:
        credit, since = self._credit.pop(speaker, (BURST, now))
        credit = min(BURST, credit + max(0.0, now - since) * PER_SECOND)
        enough = credit >= 1.0
        self._credit[speaker] = (credit - 1.0 if enough else credit, now)
        if len(self._credit) > MAX_SPEAKERS:
            del self._credit[next(iter(self._credit))]
        if not enough:
            raise Refused(Reason.OVERLOAD, "too many messages, wait a moment")


def clean_text(text: str) -> str:
    """Return a message fit to show: line breaks as LF and at most one empty line in a row, no control characters, none
    that change the direction of what stands beside them."""
    text = re.sub(r"\r\n|[\r\n\u2028\u2029\v\f\x85]", "\n", text)
    kept = "".join(each for each in text.replace("\t", "    ") if each == "\n" or _shown(each))
    lines = "\n".join(line.rstrip() for line in kept.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", lines).strip()


def _shown(char: str) -> bool:
    return char in _JOINERS or is_visible(char)
