"""One SIP call between the stack and the house: a `Line` to the house, the owner of a `Call` towards it.

Theory of operation. What the stack reports becomes a job (`gateway.jobs`), so that the house hears everything in order
and an offer is never answered while another one is. Nobody else waits for them. A job that takes too long or raises
what nobody expected ends this call with INTERNAL and no other.

The call ends once: by the stack's `Ended`, or by our own hanging up, whichever is first. `Call.ended` is then the
last job. The stack's own record of the call may live on for the 32 seconds that a BYE may need.
"""

from __future__ import annotations

import asyncio
import re
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
from sip.adapter_media import MediaPolicy
from sip.adapter_saying import Saying
from sip.adapter_trunk import TrunkLine
from sip.bodies import (
    DTMF,
    DTMF_RELAY,
    MEDIA_CONTROL,
    PICTURE_FAST_UPDATE,
    asks_key_frame,
    has_picture,
    key_press,
    pressed_key,
    session_description,
)
from sip.describe_exchange import Exchange
from sip.events import Flow, RequestId, SessionId
from sip.hunt import Failure
from sip.message import Request, Response
from sip.refusals import HeaderList, refusal_headers, refusal_status
from sip.stack import Stack
from sip.trunk_limits import Slot
from transcode.media import Candidate, Wanted

log = structlog.get_logger()

KEY_FRAME_INTERVAL = 1.0
"""Seconds between two requests for a key frame; an encoder takes no more without spoiling its bit rate."""
BUSY_WAIT = 1.0
"""Seconds after which a change of ours is tried again that met another one."""
MAX_RENEGOTIATIONS = 5
"""Times that a change of ours is tried; a peer that is busy for so long does not want it."""
RINGING = frozenset({180, 181, 182, 183})
"""Answers that tell that somebody is being looked for or rung; gateways to telephone networks often say 183 alone."""
_PASSING = frozenset({408, 481, 491, 500, 503})
"""Answers to an INFO that say nothing about whether the peer knows it."""

_ORIGIN = re.compile(rb"^o=\S+ (\S+ \S+)", re.MULTILINE)

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

    replaced is the call that this one takes the place of, account the user who proved to be the caller. line is the
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
        self._exchange = exchange
        self._jobs = Jobs(self._job_failed)
        self.saying = Saying(owner, owner.send_messages)
        self._over: Reason | None = None
        self._answered = False
        self._awaits_answer = False
        self._connected = False
        self._key_frame_waits = False
        self._asked_key_frame = float("-inf")
        self._info: RequestId | None = None
        self._info_refused = False
        self._early_answer: bytes | None = None
        self._failure: Failure | None = None
        self._outcome: asyncio.Future[Failure | None] | None = None
        self._wanted = Wanted()
        self._accepted: bytes | None = None
        self._renegotiating: Wanted | None = None
        self._renegotiations = 0
        self._retry: asyncio.TimerHandle | None = None
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
    def task(self) -> asyncio.Task[None] | None:
        """What does the call's jobs; None before the first."""
        return self._jobs.task

    # what the stack reports

    def invited(self, request: Request) -> None:
        """A new call came."""
        self._do(lambda: self._arrive(request))

    def acknowledged(self, request: Request | None) -> None:
        """The peer has our 2xx; its answer may be in the ACK."""
        self._do(lambda: self._acknowledge(_description(request) if request is not None else None))

    def reoffered(self, request: Request, respond: Respond) -> None:
        """A re-INVITE or UPDATE came; respond answers it."""
        self._do(lambda: self._reoffer(request, respond))

    def informed(self, request: Request) -> tuple[int, HeaderList]:
        """An INFO came. Returns the status and headers of its answer."""
        kind = request.content_type
        if kind in (DTMF_RELAY, DTMF):
            pressed = pressed_key(kind, request.body)
            if pressed is None:
                return 400, []
            self._do(lambda: self._dtmf(*pressed))
        elif kind == MEDIA_CONTROL:
            if asks_key_frame(request.body) and not self._key_frame_waits:
                self._key_frame_waits = True
                self._do(self._key_frame)
        elif "Info-Package" in request.headers:
            return 469, [("Recv-Info", "")]
        elif request.body:
            return 415, [("Accept", f"{MEDIA_CONTROL}, {DTMF_RELAY}, {DTMF}")]
        return 200, []

    def messaged(self, text: str, respond: Callable[[Refused | None], None]) -> None:
        """A MESSAGE came; respond answers it, with None if the room took it."""
        if self._over is not None or not self._jobs.add(lambda: self._write(text, respond)):
            respond(Refused(Reason.OVERLOAD))

    def info_answered(self, request_id: RequestId, status: int) -> None:
        """Our INFO was answered: a peer that does not know it is not asked again."""
        if request_id == self._info:
            self._info = None
            self._info_refused = self._info_refused or (status >= 400 and status not in _PASSING)

    def progressed(self, response: Response) -> None:
        """Our INVITE is under way; an answer in it means early media, and may be missing in the 200."""
        if response.status in RINGING and not self._rings:
            self._rings = True
            self._do(self._ring)
        body = _description(response)
        if body is not None:
            self._early_answer = body
            self._do(lambda: self._hear_early(body))

    def picked_up(self, response: Response) -> None:
        """Our INVITE was answered."""
        self._do(lambda: self._picked_up(_description(response) or self._early_answer))

    def refreshed(self, response: Response) -> None:
        """The session was refreshed; the peer's description should be the one that it had."""
        body = _description(response)
        if body is not None and _version(body) != _version(self._accepted or b""):
            self._do(lambda: self._take_answer(body))

    def refer_goes(self, status: int, over: bool) -> None:
        """Our REFER was answered, or the peer told how the call goes that it placed for it."""
        reason = None if status < 200 else from_sip(status)
        self._do(lambda: self._transfer_goes(reason, over))

    def reinvite_answered(self, response: Response) -> None:
        """Our re-INVITE was answered."""
        self._renegotiating, self._renegotiations = None, 0
        body = _description(response)
        if body is not None:
            self._do(lambda: self._accept(body))

    def reinvite_rejected(self, status: int, reason: Reason, retry_after: float | None) -> None:
        """Our re-INVITE was refused; it is tried again where that makes sense (RFC 3261 §14.1)."""
        wanted, self._renegotiating = self._renegotiating, None
        self._exchange.withdraw()
        self._log().info("sip_change_refused", status=status, reason=reason.value, retry_after=retry_after)
        if wanted is not None and retry_after is not None:
            self._renegotiate_later(wanted, retry_after)

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
        """Ask by INFO, at most once a second, and not again where the peer refused it (RFC 5168)."""
        now = self._owner.now()
        if self._over is not None or self.session is None or self._info is not None or self._info_refused:
            return
        if not self._connected or now - self._asked_key_frame < KEY_FRAME_INTERVAL:
            return
        self._asked_key_frame = now
        self._info = self._owner.stack.info(self.session, MEDIA_CONTROL, PICTURE_FAST_UPDATE, now)
        self._owner.pump()

    async def renegotiate(self, wanted: Wanted) -> None:
        """Offer the peer another description by re-INVITE, as soon as no other change is under way."""
        self._renegotiations = 0
        self._do(lambda: self._renegotiate(wanted))

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
        """Press a key by INFO, in the form that most know (application/dtmf-relay)."""
        if self._over is None and self.session is not None and self._connected:
            self._owner.stack.info(self.session, DTMF_RELAY, key_press(digit, duration), self._owner.now())
            self._owner.pump()

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
        self._wanted = wanted
        try:
            while self._over is None:
                self._outcome = asyncio.get_running_loop().create_future()
                self._accepted = self._early_answer = None
                body = self._exchange.local_offer(await self.call.offer(self._offered(wanted)))
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

    def _do(self, job: Job) -> None:
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
        if self._retry is not None:
            self._retry.cancel()
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
                video=has_picture(_description(request)),
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
            self._do(lambda: self._open(call, request))

    async def _open(self, call: Call, request: Request) -> None:
        """Answer an INVITE."""
        if self._over is not None:
            return
        body = _description(request)
        if body is not None:
            said = await self._answer(call, body)
        elif request.body:
            raise Refused(Reason.BAD_DESCRIPTION, "no session description in the body")
        else:
            said = await self._offer(call)
        if self._over is None and self.session is not None:
            self._answered = self._owner.stack.accept(self.session, said, self._owner.now())
            self._owner.pump()

    async def _answer(self, call: Call, body: bytes) -> bytes:
        """Let the house answer an offer; one that it refuses leaves the session as it was."""
        try:
            remote = self._exchange.remote_offer(body)
            return self._exchange.local_answer(await call.answer(remote))
        except BaseException:
            self._exchange.withdraw()
            raise

    async def _offer(self, call: Call) -> bytes:
        local = await call.offer(self._offered(Wanted(encrypted=self.flow.transport.secure)))
        said = self._exchange.local_offer(local)
        self._awaits_answer = True
        return said

    def _offered(self, wanted: Wanted) -> Wanted:
        """Return what we offer of it to a peer that is reached as this one."""
        return self._owner.media.wanted(self.flow.transport, wanted)

    async def _acknowledge(self, body: bytes | None) -> None:
        if self._awaits_answer:
            self._awaits_answer = False
            if body is None:
                raise Refused(Reason.BAD_DESCRIPTION, "the ACK holds no answer to our offer")
            await self._accept(body)
        await self._connect()

    async def _picked_up(self, body: bytes | None) -> None:
        if body is None:
            raise Refused(Reason.BAD_DESCRIPTION, "the 2xx holds no answer to our offer")
        self._answered = True
        if self._accepted is None:
            await self._accept(body)
        elif body != self._accepted:  # another phone answers than the one whose early media we heard
            await self._take_answer(body)
        await self._connect()
        if self._outcome is not None and not self._outcome.done():
            self._outcome.set_result(None)

    async def _hear_early(self, body: bytes) -> None:
        """Take the answer that comes before the call is answered; of several phones, the first one's."""
        if self._accepted is None and not self._answered and self._over is None:
            await self._accept(body)

    async def _accept(self, body: bytes) -> None:
        """Give the house the peer's answer to its offer."""
        remote = self._exchange.remote_answer(body)
        self._accepted = body
        if self.call is not None:
            await self.call.accept(remote)

    async def _take_answer(self, body: bytes) -> None:
        """Give the house another answer to an offer that it took one to already: it offers the same once more."""
        if self.call is not None and self._over is None:
            await self.call.offer(self._offered(self._wanted))
            await self._accept(body)

    async def _renegotiate(self, wanted: Wanted) -> None:
        if self.call is None or self.session is None or self._over is not None or not self._connected:
            return
        if self._owner.stack.busy(self.session):
            self._renegotiate_later(wanted, BUSY_WAIT)
            return
        said = self._exchange.local_offer(await self.call.offer(self._offered(wanted)))
        if self._owner.stack.reinvite(self.session, said, self._owner.now()):
            self._renegotiating = self._wanted = wanted
            self._owner.pump()
        else:
            self._exchange.withdraw()
            self._renegotiate_later(wanted, BUSY_WAIT)

    def _renegotiate_later(self, wanted: Wanted, delay: float) -> None:
        self._renegotiations += 1
        if self._over is None and self._renegotiations <= MAX_RENEGOTIATIONS:
            loop = asyncio.get_running_loop()
            self._retry = loop.call_later(delay, self._do, lambda: self._renegotiate(wanted))

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
        body = _description(request)
        try:
            if body is not None:
                said = await self._answer(self.call, body)
            elif request.method == "INVITE":
                said = await self._offer(self.call)
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

    async def _dtmf(self, key: str, duration: int) -> None:
        if self.call is not None:
            await self.call.dtmf(key, duration)

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

    async def _key_frame(self) -> None:
        self._key_frame_waits = False
        if self.call is not None:
            await self.call.key_frame()

    def _log(self) -> structlog.typing.FilteringBoundLogger:
        bound: structlog.typing.FilteringBoundLogger = log.bind(call=self.call.id if self.call is not None else None)
        return bound

    def _log_fault(self, error: Exception) -> None:
        self._owner.count("internal_errors")
        self._log().error("sip_call_fault", error=repr(error), exc_info=error)


def _version(body: bytes) -> bytes:
    """Return session id and version of a description: who says the same says nothing new (RFC 3264 §8)."""
    found = _ORIGIN.search(body)
    return found[1] if found else b""


def _description(message: Request | Response) -> bytes | None:
    return session_description(message.headers.get("Content-Type") or "", message.body) if message.body else None
