"""What a room says to one SIP participant: MESSAGE in the dialog of its call, one after the other (RFC 3428 §8)."""

from __future__ import annotations

import asyncio
from typing import Protocol

from sip.adapter_config import SendMessages
from sip.events import Flow, RequestId, SessionId
from sip.message_bodies import MAX_PIECE, UTF8_TEXT, pieces
from sip.stack import Stack

MAX_PIECES = 20
"""Requests that one message is cut into at most: as many as the longest needs, with a name before it."""
_PASSING = frozenset({408, 429, 480, 486, 491, 500, 503, 504})
"""Answers that say nothing about whether the peer takes messages at all."""


class SayingOwner(Protocol):
    """What is needed of the adapter."""

    stack: Stack

    def now(self) -> float:
        """Return the loop's time in seconds."""

    def pump(self) -> None:
        """Send and report what the stack has to."""

    def count(self, name: str) -> None:
        """Count one thing that happened."""


class Saying:
    """Says things to one peer, where it is known to read them.

    By default only those who wrote something themselves are written to: room systems and desk phones that take a
    MESSAGE ring for it, light a lamp, or show it over the picture of the meeting.
    """

    def __init__(self, owner: SayingOwner, policy: SendMessages) -> None:
        self.wrote = False
        """Whether the peer sent a message itself."""
        self._owner = owner
        self._policy = policy
        self._refused = False
        self._waiting: tuple[RequestId, asyncio.Future[int]] | None = None

    async def say(self, session: SessionId, flow: Flow, name: str, text: str) -> None:
        """Say what somebody wrote, and return when the peer has answered; do nothing where it is not to be told."""
        most = 16 * MAX_PIECE if flow.transport.reliable else MAX_PIECE
        for piece in pieces(f"{name}: {text}", most)[:MAX_PIECES]:
            if not self._may(session):
                return
            number = self._owner.stack.message(session, UTF8_TEXT, piece.encode(), self._owner.now())
            if number is None:
                return
            answered: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            self._waiting = (number, answered)
            self._owner.count("messages_said")
            self._owner.pump()
            status = await answered
            if status >= 300:
                self._refused = self._refused or status not in _PASSING
                return

    def _may(self, session: SessionId) -> bool:
        if self._refused or self._policy is SendMessages.NEVER:
            return False
        if self.wrote:
            return True
        return self._policy is SendMessages.ALWAYS and "MESSAGE" in self._owner.stack.allowed(session)

    def answered(self, number: RequestId, status: int) -> None:
        """The peer answered a message of ours, or did not in time."""
        if self._waiting is not None and self._waiting[0] == number and not self._waiting[1].done():
            self._waiting[1].set_result(status)

    def over(self) -> None:
        """The call is over: nobody answers any more."""
        self._refused = True
        if self._waiting is not None and not self._waiting[1].done():
            self._waiting[1].set_result(481)
