"""The offers and answers of one SIP call, between its `Exchange` and the house (RFC 3264, RFC 6337).

All that is awaited here is done as a job of the call, so that no offer is answered while another one is. A change of
ours waits until the dialog is free for it, and is tried again where it met one of the peer's (RFC 3261 §14.1).
"""

from __future__ import annotations

import asyncio
import re
from typing import Protocol

import structlog

from gateway.calls import Call
from gateway.jobs import Job
from gateway.reasons import Reason, Refused
from sip.adapter_media import MediaPolicy
from sip.bodies import description_in
from sip.describe_exchange import Exchange
from sip.events import Flow, SessionId
from sip.message import Response
from sip.stack import Stack
from transcode.media import Wanted

log = structlog.get_logger()

BUSY_WAIT = 1.0
"""Seconds after which a change of ours is tried again that met another one."""
MAX_CHANGES = 5
"""Times that a change of ours is tried; a peer that is busy for so long does not want it."""

_ORIGIN = re.compile(rb"^o=\S+ (\S+ \S+)", re.MULTILINE)


class OffersOwner(Protocol):
    """What is needed of the adapter."""

    stack: Stack
    media: MediaPolicy

    def now(self) -> float:
        """Return the loop's time in seconds."""

    def pump(self) -> None:
        """Send and report what the stack has to."""


class OffersCall(Protocol):
    """What is needed of the call; up is its session while both sides know that it is up."""

    call: Call | None
    flow: Flow

    @property
    def over(self) -> bool: ...

    @property
    def up(self) -> SessionId | None: ...

    def do(self, job: Job) -> None:
        """Do a job when those before it are done."""


class Offers:
    """Offers and answers. early is the latest answer that came before the call was answered."""

    def __init__(self, owner: OffersOwner, about: OffersCall, exchange: Exchange) -> None:
        self.early: bytes | None = None
        self._owner = owner
        self._about = about
        self._exchange = exchange
        self._awaits_answer = False
        self._wanted = Wanted()
        self._accepted: bytes | None = None
        self._changing: Wanted | None = None
        self._changes = 0
        self._retry: asyncio.TimerHandle | None = None

    # the peer asks

    async def answer(self, call: Call, body: bytes) -> bytes:
        """Let the house answer an offer; one that it refuses leaves the session as it was."""
        try:
            remote = self._exchange.remote_offer(body)
            return self._exchange.local_answer(await call.answer(remote))
        except BaseException:
            self._exchange.withdraw()
            raise

    async def offer(self, call: Call) -> bytes:
        """Let the house offer in an answer to an INVITE without an offer."""
        local = await call.offer(self._offered(Wanted(encrypted=self._about.flow.transport.secure)))
        said = self._exchange.local_offer(local)
        self._awaits_answer = True
        return said

    async def acknowledged(self, body: bytes | None) -> None:
        """Take the ACK's description, or None. Raises Refused where it should answer an offer and holds no answer."""
        if self._awaits_answer:
            self._awaits_answer = False
            if body is None:
                raise Refused(Reason.BAD_DESCRIPTION, "the ACK holds no answer to our offer")
            await self._accept(body)

    # we call

    async def first(self, call: Call, wanted: Wanted) -> bytes:
        """Let the house make the offer of an INVITE."""
        self._wanted = wanted
        self._accepted = self.early = None
        return self._exchange.local_offer(await call.offer(self._offered(wanted)))

    async def hear_early(self, body: bytes) -> None:
        """Take the answer that comes before the call is answered; of several phones, the first one's."""
        if self._accepted is None:
            await self._accept(body)

    async def picked_up(self, body: bytes) -> None:
        """Take the answer of the phone that was picked up."""
        if self._accepted is None:
            await self._accept(body)
        elif body != self._accepted:  # another phone answers than the one whose early media we heard
            await self._take_answer(body)

    def refreshed(self, response: Response) -> None:
        """The session was refreshed; the peer's description should be the one that it had."""
        body = description_in(response)
        if body is not None and _version(body) != _version(self._accepted or b""):
            self._about.do(lambda: self._take_answer(body))

    # we change a call that is up

    def change(self, wanted: Wanted) -> None:
        """Offer the peer another description by re-INVITE, as soon as no other change is under way."""
        self._changes = 0
        self._about.do(lambda: self._change(wanted))

    def change_answered(self, response: Response) -> None:
        """Our re-INVITE was answered."""
        self._changing, self._changes = None, 0
        body = description_in(response)
        if body is not None:
            self._about.do(lambda: self._accept(body))

    def change_refused(self, status: int, reason: Reason, retry_after: float | None) -> None:
        """Our re-INVITE was refused; it is tried again where that makes sense (RFC 3261 §14.1)."""
        wanted, self._changing = self._changing, None
        self._exchange.withdraw()
        call = self._about.call.id if self._about.call is not None else None
        log.info("sip_change_refused", call=call, status=status, reason=reason.value, retry_after=retry_after)
        if wanted is not None and retry_after is not None:
            self._change_later(wanted, retry_after)

    def stop(self) -> None:
        """The call is over: try nothing again."""
        if self._retry is not None:
            self._retry.cancel()

    async def _change(self, wanted: Wanted) -> None:
        call, session = self._about.call, self._about.up
        if call is None or session is None:
            return
        if self._owner.stack.busy(session):
            self._change_later(wanted, BUSY_WAIT)
            return
        said = self._exchange.local_offer(await call.offer(self._offered(wanted)))
        if self._owner.stack.reinvite(session, said, self._owner.now()):
            self._changing = self._wanted = wanted
            self._owner.pump()
        else:
            self._exchange.withdraw()
            self._change_later(wanted, BUSY_WAIT)

    def _change_later(self, wanted: Wanted, delay: float) -> None:
        self._changes += 1
        if not self._about.over and self._changes <= MAX_CHANGES:
            loop = asyncio.get_running_loop()
            self._retry = loop.call_later(delay, self._about.do, lambda: self._change(wanted))

    async def _accept(self, body: bytes) -> None:
        """Give the house the peer's answer to its offer."""
        remote = self._exchange.remote_answer(body)
        self._accepted = body
        if self._about.call is not None:
            await self._about.call.accept(remote)

    async def _take_answer(self, body: bytes) -> None:
        """Give the house another answer to an offer that it took one to already: it offers the same once more."""
        call = self._about.call
        if call is not None and not self._about.over:
            await call.offer(self._offered(self._wanted))
            await self._accept(body)

    def _offered(self, wanted: Wanted) -> Wanted:
        """Return what we offer of it to a peer that is reached as this one."""
        return self._owner.media.wanted(self._about.flow.transport, wanted)


def _version(body: bytes) -> bytes:
    """Return session id and version of a description: who says the same says nothing new (RFC 3264 §8)."""
    found = _ORIGIN.search(body)
    return found[1] if found else b""
