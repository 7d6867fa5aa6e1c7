"""Calls whose only connection is lost: a page that reloaded, or whose network changed (RFC 7118, RFC 5626).

Nothing but its WebSocket leads to a page, and only the page can open another. Most come back within seconds: their
call goes on with the next request that comes in it, or when they register the same contact again. One that does not
come back is hung up on.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Protocol

import structlog

from gateway.reasons import Reason
from sip.adapter_calls import CallTable
from sip.events import Flow, SessionId
from sip.message import Request
from sip.stack import Stack

log = structlog.get_logger()

COME_BACK = 30.0
"""Seconds that a page has to come back: media without consent is given up after as many (RFC 7675 §5.1)."""


class StrandedOwner(Protocol):
    """What is needed of the adapter."""

    stack: Stack
    calls: CallTable

    def count(self, name: str) -> None:
        """Count one thing that happened."""

    def pump(self) -> None:
        """Put out what the stack has to send."""


class Stranded:
    """The calls that wait for their page."""

    def __init__(self, owner: StrandedOwner) -> None:
        self._owner = owner
        self._waiting: dict[SessionId, tuple[asyncio.TimerHandle, frozenset[str]]] = {}

    def lost(self, flow: Flow, accounts: frozenset[str]) -> None:
        """A connection is gone, on which these accounts were registered; calls that only it led to wait from now on."""
        if not flow.transport.web:
            return
        for session in self._owner.stack.led_to_by(flow):
            self._owner.count("calls_stranded")
            again = self._waiting.pop(session, None)
            if again is not None:
                again[0].cancel()
            call = self._owner.calls.get(session)
            owners = frozenset({call.account}) if call is not None and call.account else accounts
            timer = asyncio.get_running_loop().call_later(COME_BACK, partial(self._give_up, session, flow))
            self._waiting[session] = (timer, owners)

    def registered(self, request: Request, flow: Flow) -> None:
        """A REGISTER was accepted; the calls of its account that have its contacts go on over its connection.

        A contact alone proves nothing: whoever saw it in a call may register it for itself. The account is the one
        that proved to call or was called, else one that had registered over the connection that was lost.
        """
        if not self._waiting or not flow.transport.web:
            return
        account = request.to.uri.name
        for session, (timer, owners) in tuple(self._waiting.items()):
            if account not in owners:
                continue
            if any(self._owner.stack.lead_to(session, contact.uri, flow) for contact in request.contacts):
                del self._waiting[session]
                timer.cancel()
                self._owner.count("calls_rescued")

    def stop(self) -> None:
        """Wait for nobody any more."""
        for timer, _ in self._waiting.values():
            timer.cancel()
        self._waiting.clear()

    def _give_up(self, session: SessionId, flow: Flow) -> None:
        self._waiting.pop(session, None)
        call = self._owner.calls.get(session)
        if call is not None and session in self._owner.stack.led_to_by(flow):
            call.drop(Reason.UNREACHABLE, "its WebSocket was lost")
            self._owner.pump()
