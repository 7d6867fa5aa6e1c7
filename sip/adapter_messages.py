"""MESSAGE: what peers write to rooms, and who may (RFC 3428).

A room's chat takes messages of those who are in it: in the dialog of their call, or beside it where address and From
are those of a call into the room, as phones send them. Whoever has no call there is a stranger and refused, but an
account that proves itself may write where policy says so and a call of its would come in. Messages from one registered
user to another are not carried.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import structlog

from gateway.calls import Desk
from gateway.reasons import Reason, Refused
from sip.adapter_call import SipCall
from sip.adapter_calls import CallTable
from sip.adapter_config import MessagePolicy
from sip.adapter_facts import call_facts, dialled
from sip.adapter_registrations import Registrations
from sip.adapter_trunks import Trunks
from sip.events import Flow, RequestReceived
from sip.message import Request
from sip.message_bodies import ACCEPTED, BadBody, read_message
from sip.refusals import HeaderList, refusal_headers, refusal_status
from sip.stack import Stack

log = structlog.get_logger()

MAX_UNDER_WAY = 100
"""Messages from outside of calls that the house works on at once; it takes no time over them."""


class MessagesOwner(Protocol):
    """What is needed of the adapter."""

    desk: Desk
    stack: Stack
    calls: CallTable
    registrar: Registrations | None
    trunks: Trunks

    def now(self) -> float:
        """Return the loop's time in seconds."""

    def pump(self) -> None:
        """Send and report what the stack has to."""

    def count(self, name: str) -> None:
        """Count one thing that happened."""


class Messages:
    """Takes MESSAGE requests to rooms."""

    def __init__(self, owner: MessagesOwner, policy: MessagePolicy) -> None:
        self._owner = owner
        self._policy = policy
        self._under_way: set[asyncio.Task[None]] = set()

    def received(self, event: RequestReceived, call: SipCall | None) -> None:
        """Answer a MESSAGE; call is the one in whose dialog it came, None outside of any."""

        def respond(status: int, headers: HeaderList) -> None:
            self._owner.count("messages_taken" if status < 300 else "messages_refused")
            self._owner.stack.respond(event.request_id, status, self._owner.now(), headers=headers)

        if call is None and event.session is not None:
            respond(481, [])
            return
        request, flow = event.request, event.flow
        user = ""
        trusted = self._owner.trunks.recognise(request, flow) is not None  # a trunk proves itself by where it is
        if call is None and not trusted and self._owner.registrar is not None:
            verdict = self._owner.registrar.screen(request, flow)
            if verdict.status:
                respond(verdict.status, list(verdict.headers))
                return
            user = verdict.user
        call = call or self._call_of(request, flow)
        if call is None and self._policy is MessagePolicy.ACCOUNTS and not user and self._owner.registrar is not None:
            verdict = self._owner.registrar.prove(request, flow)
            if verdict.status:
                respond(verdict.status, list(verdict.headers))
                return
            user = verdict.user
        if call is None and not (user and self._policy is MessagePolicy.ACCOUNTS):
            respond(*_refusal(Refused(Reason.NOT_ALLOWED, "only who is in the room writes to it")))
            return
        try:
            text = read_message(
                request.headers.get("Content-Type") or "", request.headers.get("Content-Encoding") or "", request.body
            )
        except BadBody as bad:
            headers = [("Accept", ACCEPTED)] if bad.status == 415 else []
            respond(bad.status, [*headers, ("Warning", f'399 roombridge "{_quoted(str(bad))}"')])
            return
        if not text.strip():
            respond(200, [])
        elif call is not None:
            call.messaged(text, lambda refused: respond(*_refusal(refused)))
        else:
            self._bring(request, flow, user, text, respond)

    def _call_of(self, request: Request, flow: Flow) -> SipCall | None:
        """Return the call that the sender of a request has into the room that it names."""
        room, _ = dialled(request.uri)
        sender = str(request.from_.uri.bare())
        for call in self._owner.calls.by_session.values():
            facts = call.facts
            if facts is None or facts.called != room or call.flow.remote_address != flow.remote_address:
                continue
            if facts.caller == sender:
                return call
        return None

    def _bring(
        self, request: Request, flow: Flow, user: str, text: str, respond: Callable[[int, HeaderList], None]
    ) -> None:
        """Bring a message of an account that has no call in the room to the house."""
        if len(self._under_way) >= MAX_UNDER_WAY:
            respond(*_refusal(Refused(Reason.OVERLOAD)))
            return

        async def bring() -> None:
            refused: Refused | None = None
            try:
                await self._owner.desk.message(call_facts(request, flow, account=user), text)
            except Refused as refusal:
                refused = refusal
            except Exception as error:
                self._owner.count("internal_errors")
                log.error("sip_message_fault", error=repr(error), exc_info=error)
                refused = Refused(Reason.INTERNAL)
            respond(*_refusal(refused))
            self._owner.pump()

        task = asyncio.get_running_loop().create_task(bring())
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def stop(self) -> None:
        """Give up what is under way."""
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)


def _refusal(refused: Refused | None) -> tuple[int, HeaderList]:
    """Return status and headers of the answer to a message; None for one that was taken."""
    if refused is None:
        return 200, []
    return refusal_status(refused.reason), refusal_headers(refused.reason, refused.detail)


def _quoted(text: str) -> str:
    return "".join(char for char in text if " " <= char <= "~").replace("\\", "").replace('"', "'")
