"""Runs the session timers of all calls: refreshes those that are ours to refresh, and ends those that expire."""

from __future__ import annotations

from functools import partial
from typing import Protocol

from gateway.reasons import Reason
from sip.building import HeaderList
from sip.message import Request, Response
from sip.refresh import AGAIN, OPTION
from sip.sessions import Core, Phase, Session


class Refresher(Protocol):
    """The calling side, which sends what refreshes a call or ends it."""

    def refresh(self, session: Session, now: float) -> None:
        """Send an UPDATE or re-INVITE that changes nothing."""

    def bye(self, session: Session, reason: Reason, now: float, headers: HeaderList = ()) -> None:
        """Hang up."""


class SessionTimers:
    """RFC 4028 for one stack."""

    def __init__(self, core: Core, client: Refresher) -> None:
        """Work on these tables."""
        self._core = core
        self._client = client

    @property
    def known(self) -> bool:
        """Whether the configuration has them at all."""
        return OPTION in self._core.config.supported

    def asks(self, session: Session) -> HeaderList:
        """Return the headers of an INVITE or UPDATE of ours."""
        ours = self._core.config.session_expires
        return session.refresh.asks(ours) if self.known and (ours or session.refresh.interval) else []

    def answers(self, session: Session, request: Request, now: float) -> HeaderList:
        """Return the headers of our 2xx to a request, and begin the interval."""
        config = self._core.config
        if not self.known or session.phase is not Phase.CONFIRMED:
            return []
        ours = config.session_expires
        found = session.refresh.answer(request, ours, config.min_se) if ours else []
        self._start(session, now)
        return found

    def answered(self, session: Session, response: Response, now: float) -> None:
        """Take a 2xx to our INVITE or UPDATE."""
        if self.known and session.phase is Phase.CONFIRMED:
            session.refresh.running = False
            session.refresh.answered(response)
            self._start(session, now)

    def failed(self, session: Session, retry_after: float | None, now: float) -> None:
        """Try a refresh again that was refused or could not be sent."""
        session.refresh.running = False
        if session.phase is Phase.CONFIRMED:
            delay = AGAIN if retry_after is None else retry_after
            session.refresh.later(self._core.timers, now, delay, partial(self._due, session))

    def _start(self, session: Session, now: float) -> None:
        session.refresh.start(self._core.timers, now, partial(self._due, session), partial(self._expired, session))

    def _due(self, session: Session, now: float) -> None:
        session.refresh.due = None
        if session.phase is not Phase.CONFIRMED or session.reason is not None:
            return
        if session.busy or session.refresh.running or self._core.layer.crowded(reserve=True):
            self.failed(session, None, now)
            return
        session.refresh.running = True
        self._client.refresh(session, now)

    def _expired(self, session: Session, now: float) -> None:
        session.refresh.end = None
        self._core.layer.counts["expired"] += 1
        self._client.bye(session, session.reason or Reason.TIMEOUT, now)
