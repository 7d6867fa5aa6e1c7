"""One SIP call between the stack and the house: a `Line` to the house, the owner of a `Call` towards it.

Theory of operation. What the stack reports becomes a job (`gateway.jobs`), so that the house hears everything in order
and an offer is never answered while another one is. Nobody else waits for them. A job that takes too long or raises
what nobody expected ends this call with INTERNAL and no other.

The call ends once: by the stack's `Ended`, or by our own hanging up, whichever is first. `Call.ended` is then the
last job. The stack's own record of the call may live on for the 32 seconds that a BYE may need.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import structlog

from gateway.calls import Call, CallFacts, CallId, Desk, Floor, Line
from gateway.jobs import Job, Jobs
from gateway.reasons import Reason, Refused, from_sip
from sip.adapter_config import SendMessages
from sip.adapter_facts import call_facts
from sip.adapter_info import Infos
from sip.adapter_media import MediaPolicy
from sip.adapter_offers import Offers
from sip.adapter_saying import Saying
from sip.adapter_trunk import TrunkLine
from sip.bodies import description_in, has_picture, has_sound
from sip.describe_exchange import Exchange
from sip.events import Flow, SessionId
from sip.hunt import Failure
from sip.message import Request, Response
from sip.refusals import HeaderList, refusal_headers, refusal_status
from sip.stack import Stack
from sip.trunk_limits import Slot
from transcode.media import Candidate, Wanted

log = structlog.get_logger()

RINGING = frozenset({180, 181, 182, 183})
"""Answers that tell that somebody is being looked for or rung; gateways to telephone networks often say 183 alone."""
Respond = Callable[[int, bytes, HeaderList], None]


class CallOwner(Protocol):
    """What a call needs of its adapter."""

    desk: Desk
    stack: Stack
    media: MediaPolicy
    send_messages: SendMessages

    def now(self) -> float:
        """Return the loop's time in seconds."""

    def pump(self) -> None:
        """Send and report what the stack has to."""

    def count(self, name: str) -> None:
        """Count one thing that happened."""


@dataclass(frozen=True, slots=True)
class Replaced:
    """A call that another one takes the place of: what it dialled."""

    id: CallId
    called: str
    pin: str | None


class SipCall:
    """One call. flow is the one that it began on; session None until the stack has given one.

    replaced is the call that this one takes the place of, account the user of ours who is the peer: who proved
    to call, or was called where it registered. line is the
    trunk that it came through, slot its place in the trunk either way.
    """

    def __init__(
        self,
        owner: CallOwner,
        session: SessionId | None,
        flow: Flow,
        exchange: Exchange,
        replaced: Replaced | None = None,
    ) -> None:
        self.session = session
        self.flow = flow
        self.replaced = replaced
        self.call: Call | None = None
        self.facts: CallFacts | None = None
        self._owner = owner
        self._jobs = Jobs(self._job_failed)
        self.saying = Saying(owner, owner.send_messages)
        self.offers = Offers(owner, self, exchange)
        self.infos = Infos(owner, self)
        self._over: Reason | None = None
        self._answered = False
        self._connected = False
        self._failure: Failure | None = None
        self._outcome: asyncio.Future[Failure | None] | None = None
        self._admission: asyncio.Task[None] | None = None
        self._rang = False
        self._rings = False
        self.account = ""
        self.line: TrunkLine | None = None
        self.slot: Slot | None = None

    @property
    def replaceable(self) -> Replaced | None:
        """What another call needs to take the place of this one; None while the house has not taken it."""
        if self.call is None or self.facts is None:
            return None
        return Replaced(self.call.id, self.facts.called, self.facts.pin)

    @property
    def room(self) -> str | None:
        """The room that the call is in or goes to, None while the house has not taken it."""
        return self.call.room_id if self.call is not None else None

    @property
    def over(self) -> bool:
        """Whether the call is over."""
        return self._over is not None

    @property
    def up(self) -> SessionId | None:
        """The session, once both sides know that the call is up, and while it is."""
        return self.session if self._connected and self._over is None else None

    @property
    def task(self) -> asyncio.Task[None] | None:
        """What does the call's jobs; None before the first."""
        return self._jobs.task

    # what the stack reports

    def invited(self, request: Request) -> None:
        """A new call came."""
        self.do(lambda: self._arrive(request))

    def acknowledged(self, request: Request | None) -> None:
        """The peer has our 2xx; its answer may be in the ACK."""
        self.do(lambda: self._acknowledge(description_in(request) if request is not None else None))

    def reoffered(self, request: Request, respond: Respond) -> None:
        """A re-INVITE or UPDATE came; respond answers it."""
        self.do(lambda: self._reoffer(request, respond))

    def messaged(self, text: str, respond: Callable[[Refused | None], None]) -> None:
        """A MESSAGE came; respond answers it, with None if the room took it."""
        if self._over is not None or not self._jobs.add(lambda: self._write(text, respond)):
            respond(Refused(Reason.OVERLOAD))

    def progressed(self, response: Response) -> None:
        """Our INVITE is under way; an answer in it means early media, and may be missing in the 200."""
        if response.status in RINGING and not self._rings:
            self._rings = True
            self.do(self._ring)
        body = description_in(response)
        if body is not None:
            self.offers.early = body
            self.do(lambda: self._hear_early(body))

    def picked_up(self, response: Response) -> None:
        """Our INVITE was answered."""
        self.do(lambda: self._picked_up(description_in(response) or self.offers.early))

    def refer_goes(self, status: int, over: bool) -> None:
        """Our REFER was answered, or the peer told how the call goes that it placed for it."""
        reason = None if status < 200 else from_sip(status)
        self.do(lambda: self._transfer_goes(reason, over))

    def rejected(self, failure: Failure) -> None:
        """Our INVITE failed; `ended` follows."""
        self._failure = failure

    def ended(self, reason: Reason) -> None:
        """The stack's session is over; a call that is being placed may go on elsewhere."""
        outcome, failure = self._outcome, self._failure
        if failure is not None and self._over is None and outcome is not None and not outcome.done():
            self.session = self._failure = None
            outcome.set_result(failure)
        else:
            self._finish(reason)

    # what the house asks (Line)

    async def hang_up(self, reason: Reason) -> None:
        """End the call towards the peer: refuse, CANCEL or BYE, with a Reason header."""
        self.drop(reason)

    def drop(self, reason: Reason, detail: str = "") -> None:
        """End the call towards the peer and here."""
        if self._over is not None:
            return
        if self.session is not None:
            if self._outcome is None and not self._answered:
                self._owner.count(f"refused_{reason.value}")
                self._owner.stack.refuse(
                    self.session, refusal_status(reason), self._owner.now(), headers=refusal_headers(reason, detail)
                )
            else:
                self._owner.stack.hang_up(self.session, reason, self._owner.now())
        self._finish(reason)
        self._owner.pump()

    async def request_key_frame(self, stream: str) -> None:
        """Ask by INFO (see `Infos.request_key_frame`)."""
        self.infos.request_key_frame()

    async def renegotiate(self, wanted: Wanted) -> None:
        """Offer the peer another description by re-INVITE, as soon as no other change is under way."""
        self.offers.change(wanted)

    async def local_candidate(self, stream: str, candidate: Candidate | None) -> None:
        """SIP has no trickle here: candidates stand in the description."""

    async def ringing(self) -> None:
        """Send 180, once."""
        if self._over is None and self.session is not None and not self._answered and not self._rang:
            self._rang = True
            self._owner.stack.ringing(self.session, self._owner.now())
            self._owner.pump()

    async def say(self, name: str, text: str) -> None:
        """Tell the peer by MESSAGE what somebody wrote, where it reads such and policy says so."""
        if self._over is None and self.session is not None and self._connected:
            await self.saying.say(self.session, self.flow, name, text)

    async def press(self, digit: str, duration: int) -> None:
        """Press a key by INFO."""
        self.infos.press(digit, duration)

    async def floor(self, floor: Floor) -> None:
        """Do nothing: a peer with a line for slides sees them there, others in the picture of people."""

    async def transfer(self, target: str, replaces: Line | None = None) -> None:
        """Have the peer call elsewhere by REFER, in the place of our call to another peer if one is given (RFC 5589).

        Raises Refused: UNSUPPORTED where the call is not up, or the other one is no SIP call that is.
        """
        if self._over is not None or self.session is None or not self._connected:
            raise Refused(Reason.UNSUPPORTED, "the call is not up")
        if replaces is not None:
            target = self._refer_to(replaces)
        if self._owner.stack.refer(self.session, target, self._owner.now()) is None:
            raise Refused(Reason.UNSUPPORTED, "the peer takes no REFER now")
        self._owner.pump()

    def _refer_to(self, line: Line) -> str:
        """Return Refer-To for who is to take our place in another call: its peer's Contact with Replaces."""
        session = line.session if isinstance(line, SipCall) else None
        named = self._owner.stack.replaces(session) if session is not None else None
        contact = self._owner.stack.remote_target(session) if session is not None else None
        if named is None or contact is None:
            raise Refused(Reason.UNSUPPORTED, "the other call is no SIP call that is up")
        bare = contact.partition("?")[0]
        return f"<{bare}?Replaces={named.escaped()}>"

    # placing a call

    async def place(
        self,
        facts: CallFacts,
        wanted: Wanted,
        invite: Callable[[bytes], SessionId],
        again: Callable[[Failure], Awaitable[Flow]],
    ) -> Call:
        """Bring a call that we place to the house and to the peer, and wait until it is up. Raises Refused.

        invite sends one INVITE on the call's flow; again gives the flow for another one after a failure, or refuses.
        """
        self.call, self.facts = await self._owner.desk.arrive(facts, self), facts
        try:
            while self._over is None:
                self._outcome = asyncio.get_running_loop().create_future()
                body = await self.offers.first(self.call, wanted)
                if self._over is None:
                    self.session = invite(body)
                    self._owner.pump()
                failure = await self._outcome
                if failure is None:
                    return self.call
                self.flow = await again(failure)
            raise Refused(self._over)
        except Refused as refused:
            self.drop(refused.reason)
            raise
        except asyncio.CancelledError:
            self.drop(Reason.CANCELLED)
            raise
        except Exception as error:
            self._log_fault(error)
            self.drop(Reason.INTERNAL)
            raise Refused(Reason.INTERNAL) from error

    # jobs

    def do(self, job: Job) -> None:
        """Do a job when those before it are done; one too many ends the call."""
        if self._over is None and not self._jobs.add(job):
            self._owner.count("jobs_overrun")
            self.drop(Reason.OVERLOAD)

    def _job_failed(self, error: Exception) -> None:
        if isinstance(error, Refused):
            self._log().info("sip_call_dropped", reason=error.reason.value, detail=error.detail)
            self.drop(error.reason, error.detail)
        else:
            self._log_fault(error)
            self.drop(Reason.INTERNAL)

    def _finish(self, reason: Reason) -> None:
        """Note that the call is over; jobs that wait are still done, for the house to hear all in order."""
        if self._over is not None:
            return
        self._over = reason
        self.saying.over()
        if self.slot is not None:
            self.slot.release()
        self.offers.stop()
        if self._admission is not None and self._admission is not asyncio.current_task():
            self._admission.cancel()
        if self._outcome is not None and not self._outcome.done():
            self._outcome.set_exception(Refused(reason))
            self._outcome.exception()  # one who was cancelled will not fetch it
        self._jobs.end_with(partial(self._say_ended, reason))

    async def _say_ended(self, reason: Reason) -> None:
        if self.call is not None:
            await self.call.ended(reason)

    async def _arrive(self, request: Request) -> None:
        try:
            read = call_facts if self.line is None else self.line.call_facts
            facts = read(request, self.flow)
            facts = replace(
                facts,
                srtp=self._owner.media.encryption(self.flow.transport, facts.srtp),
                account=self.account,
                video=has_picture(description_in(request)),
                keys=has_sound(description_in(request)),
            )
        except ValueError as error:
            raise Refused(Reason.BAD_REQUEST, str(error)) from None
        if self.replaced is not None:  # who takes another's place in a call comes where that one is
            old = self.replaced
            facts = replace(facts, called=old.called, pin=old.pin, instead_of=old.id)
        self.call, self.facts = await self._owner.desk.arrive(facts, self), facts
        self._log().info("sip_call_arrived", peer=facts.source, called=facts.called, sip_call_id=facts.peer_call_id)
        self._admission = asyncio.get_running_loop().create_task(self._admit(self.call, request))

    async def _admit(self, call: Call, request: Request) -> None:
        """Wait, beside the jobs, as long as the house lets the caller wait; then answer."""
        try:
            await call.admitted()
        except Refused as refused:
            self._log().info("sip_call_dropped", reason=refused.reason.value, detail=refused.detail)
            self.drop(refused.reason, refused.detail)
        except Exception as error:
            self._log_fault(error)
            self.drop(Reason.INTERNAL)
        else:
            self.do(lambda: self._open(call, request))

    async def _open(self, call: Call, request: Request) -> None:
        """Answer an INVITE."""
        if self._over is not None:
            return
        body = description_in(request)
        if body is not None:
            said = await self.offers.answer(call, body)
        elif request.body:
            raise Refused(Reason.BAD_DESCRIPTION, "no session description in the body")
        else:
            said = await self.offers.offer(call)
        if self._over is None and self.session is not None:
            self._answered = self._owner.stack.accept(self.session, said, self._owner.now())
            self._owner.pump()

    async def _acknowledge(self, body: bytes | None) -> None:
        await self.offers.acknowledged(body)
        await self._connect()

    async def _picked_up(self, body: bytes | None) -> None:
        if body is None:
            raise Refused(Reason.BAD_DESCRIPTION, "the 2xx holds no answer to our offer")
        self._answered = True
        await self.offers.picked_up(body)
        await self._connect()
        if self._outcome is not None and not self._outcome.done():
            self._outcome.set_result(None)

    async def _hear_early(self, body: bytes) -> None:
        """Take the answer that comes before the call is answered; of several phones, the first one's."""
        if not self._answered and self._over is None:
            await self.offers.hear_early(body)

    async def _ring(self) -> None:
        if self.call is not None:
            await self.call.ringing()

    async def _transfer_goes(self, reason: Reason | None, over: bool) -> None:
        if self.call is not None:
            await self.call.transfer_goes(reason, over)

    async def _connect(self) -> None:
        if not self._connected and self.call is not None:
            self._connected = True
            await self.call.connected()

    async def _reoffer(self, request: Request, respond: Respond) -> None:
        if self.call is None or self._over is not None:
            return
        body = description_in(request)
        try:
            if body is not None:
                said = await self.offers.answer(self.call, body)
            elif request.method == "INVITE":
                said = await self.offers.offer(self.call)
            else:
                said = b""
        except Refused as refused:
            self._owner.count(f"refused_{refused.reason.value}")
            headers = refusal_headers(refused.reason, refused.detail)
            respond(refusal_status(refused.reason), b"", headers)
        except BaseException:
            respond(500, b"", refusal_headers(Reason.INTERNAL))
            raise
        else:
            respond(200, said, [])
        self._owner.pump()

    async def _write(self, text: str, respond: Callable[[Refused | None], None]) -> None:
        self.saying.wrote = True
        refused: Refused | None = Refused(Reason.BAD_REQUEST)
        try:
            if self.call is not None:
                await self.call.wrote(text)
                refused = None
        except Refused as refusal:
            refused = refusal
        except BaseException:
            respond(Refused(Reason.INTERNAL))
            raise
        respond(refused)
        self._owner.pump()

    def _log(self) -> structlog.typing.FilteringBoundLogger:
        bound: structlog.typing.FilteringBoundLogger = log.bind(call=self.call.id if self.call is not None else None)
        return bound

    def _log_fault(self, error: Exception) -> None:
        self._owner.count("internal_errors")
        self._log().error("sip_call_fault", error=repr(error), exc_info=error)
