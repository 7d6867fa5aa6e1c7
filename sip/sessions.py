"""INVITE sessions: what is remembered of each call, and the tables of all calls, dialogs and open questions.

A session begins with an INVITE, in or out, and moves through `Phase`:

    ARRIVED  --accept-->  CONFIRMED  --BYE sent-->  ENDING  -->  ENDED
    CALLING  --2xx----->  CONFIRMED
    CALLING  --hang up->  CANCELLING  --final response-->  ENDED
    any      --refused, BYE received, failed-->  ENDED

Beside the phase stand the INVITEs under way: `incoming` (the peer's, not yet answered), `unacked` (our 2xx that waits
for its ACK) and `outgoing` (ours). One offer at a time is under way in a session (RFC 3264 §4, RFC 3261 §14).
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING

from gateway.reasons import Reason
from sip.config import StackConfig
from sip.dialog import Dialog, DialogKey
from sip.events import Ended, Event, Flow, RequestId, Send, SessionId
from sip.layer import TransactionLayer
from sip.message import Request
from sip.refresh import Refresh
from sip.reliable import Reliable
from sip.timers import Timer
from sip.transaction import Key, ServerTransaction

if TYPE_CHECKING:
    from sip.digest_client import Login
    from sip.uac import Outgoing

ANSWER_TIME = 30.0
"""Seconds that whoever is above may take to answer a request in a call; then it gets 500, before the peer's timer F."""


class Phase(Enum):
    """Where a session stands."""

    ARRIVED = auto()
    CALLING = auto()
    CANCELLING = auto()
    CONFIRMED = auto()
    ENDING = auto()
    ENDED = auto()


@dataclass(slots=True)
class Incoming:
    """An INVITE of the peer that has no final response yet; timer bounds how long that may last."""

    request: Request
    server: ServerTransaction
    flow: Flow
    timer: Timer | None = None
    repeat: Timer | None = None


@dataclass(slots=True)
class Unacked:
    """A 2xx of ours that waits for its ACK; offered whether it holds an offer, which the ACK answers."""

    number: int
    send: Send
    offered: bool
    interval: float
    give_up: float
    timer: Timer | None = None


@dataclass(slots=True)
class Session:
    """One call; caller whether we placed it; login what our requests in it answer challenges with."""

    id: SessionId
    caller: bool
    phase: Phase
    local_tag: str
    dialog: Dialog | None = None
    early: dict[str, Dialog] = field(default_factory=dict)
    incoming: Incoming | None = None
    unacked: Unacked | None = None
    outgoing: Outgoing | None = None
    updating: bool = False
    asked: RequestId | None = None
    reason: Reason | None = None
    reliable: Reliable | None = None
    refresh: Refresh = field(default_factory=Refresh)
    said: tuple[bytes, str] = (b"", "")
    """Our latest description and its type: what a re-INVITE that only refreshes says again."""
    replaces: SessionId | None = None
    login: Login | None = None

    @property
    def busy(self) -> bool:
        """Whether an offer or an INVITE is under way in either direction."""
        return bool(self.incoming or self.unacked or self.outgoing or self.updating or self.asked is not None)


@dataclass(slots=True)
class Question:
    """A request that waits for its answer from above."""

    request: Request
    server: ServerTransaction
    session: SessionId | None
    timer: Timer


class Core:
    """The tables of one stack; both sides of the user agent work on them."""

    def __init__(self, config: StackConfig, rng: random.Random) -> None:
        """Start empty."""
        self.config = config
        self.layer = TransactionLayer(config, rng)
        self.timers = self.layer.timers
        self.rng = rng
        self.sessions: dict[SessionId, Session] = {}
        self.dialogs: dict[DialogKey, tuple[Session, Dialog]] = {}
        self.invites: dict[Key, Session] = {}
        self.questions: dict[RequestId, Question] = {}
        self._count = 0

    def emit(self, event: Event) -> None:
        """Tell above."""
        self.layer.out.append(event)

    def number(self) -> int:
        """Return an id that was never used."""
        self._count += 1
        return self._count

    def open(self, caller: bool) -> Session:
        """Return a new session."""
        phase = Phase.CALLING if caller else Phase.ARRIVED
        session = Session(SessionId(self.number()), caller, phase, self.layer.token())
        self.sessions[session.id] = session
        return session

    def full(self) -> bool:
        """Tell whether there are as many sessions as there may be."""
        return len(self.sessions) >= self.config.max_sessions

    def register(self, session: Session, dialog: Dialog) -> None:
        """Let requests of the peer find the session."""
        self.dialogs[dialog.key] = (session, dialog)

    def drop_early(self, session: Session, keep: str = "") -> None:
        """Forget the early dialogs of other branches."""
        for tag, dialog in session.early.items():
            if tag != keep:
                self.dialogs.pop(dialog.key, None)
        session.early.clear()

    def settle(self, session: Session) -> None:
        """Forget that our 2xx waits for its ACK."""
        if session.unacked is not None and session.unacked.timer is not None:
            session.unacked.timer.stop()
        session.unacked = None

    def asked(self, session: Session, incoming: Incoming, give_up: Timer) -> None:
        """Remember an INVITE of the peer until it is answered."""
        incoming.timer = give_up
        session.incoming = incoming
        self.invites[incoming.server.key] = session

    def answered(self, session: Session) -> None:
        """Forget the peer's INVITE that waited for its answer."""
        if session.incoming is not None:
            self.invites.pop(session.incoming.server.key, None)
            for timer in (session.incoming.timer, session.incoming.repeat):
                if timer is not None:
                    timer.stop()
        if session.reliable is not None:
            session.reliable.stop()
        session.incoming = None

    def end(self, session: Session, reason: Reason) -> None:
        """Forget a session and say so, once."""
        if self.sessions.pop(session.id, None) is None:
            return
        session.phase = Phase.ENDED
        session.refresh.stop()
        self.settle(session)
        self.answered(session)
        self.drop_early(session)
        if session.dialog is not None:
            self.dialogs.pop(session.dialog.key, None)
        session.outgoing = None
        self.emit(Ended(session.id, reason))
