"""Sends the provisional responses of calls that arrive, reliably where that is asked for, and takes their PRACKs.

A 1xx is reliable (RFC 3262 §3) where the caller requires it, or supports it and the response has a body; see
`sip.reliable` for how it goes on from there.
"""

from __future__ import annotations

from functools import partial
from typing import Protocol

from gateway.reasons import Reason
from sip.building import HeaderList
from sip.events import PrackReceived, Send
from sip.message import Request
from sip.reliable import MAX_FIRST_NUMBER, MAX_WAITING, OPTION, Reliable, Unpracked, requires, supports
from sip.sessions import Core, Incoming, Phase, Session
from sip.timers import PATIENCE

REPEAT_RINGING = 60.0
"""Seconds after which a ringing call says so again, so that no proxy gives it up (RFC 3261 §13.3.1.1)."""


class Responder(Protocol):
    """The called side, which makes and sends responses to INVITE."""

    def respond_invite(
        self,
        session: Session,
        incoming: Incoming,
        status: int,
        phrase: str,
        headers: HeaderList,
        body: bytes,
        content_type: str,
        now: float,
    ) -> Send:
        """Send a response to the INVITE that waits."""

    def refuse(
        self,
        session: Session,
        status: int,
        now: float,
        phrase: str = "",
        headers: HeaderList = (),
        reason: Reason | None = None,
    ) -> bool:
        """Refuse a call that waits for its answer."""


class Provisionals:
    """The 1xx of all calls that arrive."""

    def __init__(self, core: Core, responder: Responder) -> None:
        """Work on these tables."""
        self._core = core
        self._responder = responder

    def send(self, session: Session, status: int, body: bytes, content_type: str, now: float) -> bool:
        """Send 101 to 199, and again each minute until the answer. A description goes out once and reliably only."""
        incoming = session.incoming
        if session.phase is not Phase.ARRIVED or incoming is None:
            return False
        reliable = session.reliable
        if reliable is not None and reliable.accept is not None:
            return False
        if self._reliably(incoming.request, body):
            if reliable is not None and reliable.unacked is not None:
                if len(reliable.waiting) >= MAX_WAITING:
                    return False
                reliable.waiting.append(partial(self._send_reliably, session, status, body, content_type))
                return True
            self._send_reliably(session, status, body, content_type, now)
            again = partial(self._again, session, status, b"", "")
        else:
            self._responder.respond_invite(session, incoming, status, "", (), body, content_type, now)
            again = partial(self._again, session, status, body, content_type)
        if incoming.repeat is not None:
            incoming.repeat.stop()
        incoming.repeat = self._core.timers.start(now + REPEAT_RINGING, again)
        return True

    def _again(self, session: Session, status: int, body: bytes, content_type: str, now: float) -> None:
        self.send(session, status, body, content_type, now)

    def _reliably(self, request: Request, body: bytes) -> bool:
        if OPTION not in self._core.config.supported:
            return False
        return requires(request, OPTION) or (bool(body) and supports(request, OPTION))

    def _send_reliably(self, session: Session, status: int, body: bytes, content_type: str, now: float) -> None:
        incoming, dialog = session.incoming, session.dialog
        if incoming is None or dialog is None:
            return
        reliable = session.reliable
        if reliable is None:
            first = self._core.rng.randrange(1, MAX_FIRST_NUMBER)
            reliable = session.reliable = Reliable(incoming.request.cseq.number, first)
        else:
            reliable.number += 1
        body = b"" if dialog.described else body  # the answer was given; a new offer goes by UPDATE
        headers = [("Require", OPTION), ("RSeq", str(reliable.number))]
        sent = self._responder.respond_invite(session, incoming, status, "", headers, body, content_type, now)
        offered = bool(body) and not incoming.request.body
        if body:
            session.said = (body, content_type)
            dialog.described = dialog.described or not offered
        unacked = Unpracked(reliable.number, sent, bool(body), offered, now + PATIENCE)
        unacked.timer = self._core.timers.start(now + unacked.interval, partial(self._repeat, session))
        reliable.unacked = unacked

    def _repeat(self, session: Session, now: float) -> None:
        """Send what waits for its PRACK again; after 32 s the call is refused (§3)."""
        unacked = session.reliable.unacked if session.reliable is not None else None
        if unacked is None or session.phase is not Phase.ARRIVED:
            return
        if now >= unacked.give_up:
            self._responder.refuse(session, 504, now, reason=Reason.TIMEOUT)
            return
        self._core.layer.transmit(unacked.send)
        unacked.interval *= 2
        due = min(now + unacked.interval, unacked.give_up)
        unacked.timer = self._core.timers.start(due, partial(self._repeat, session))

    def acknowledged(self, session: Session, request: Request, now: float) -> None:
        """Take a PRACK that was answered already; send what waited for it."""
        reliable = session.reliable
        if reliable is None or reliable.unacked is None:
            return
        unacked, reliable.unacked = reliable.unacked, None
        if unacked.timer is not None:
            unacked.timer.stop()
        if session.phase is not Phase.ARRIVED:
            return
        if unacked.offered and session.dialog is not None:
            session.dialog.described = True
            self._core.emit(PrackReceived(session.id, None, request))
        if reliable.waiting:
            reliable.waiting.popleft()(now)
        elif reliable.accept is not None:
            accept, reliable.accept = reliable.accept, None
            accept(now)
