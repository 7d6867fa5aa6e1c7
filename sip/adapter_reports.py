"""What the stack reports, handed to the call that it concerns or answered at once."""

from __future__ import annotations

from functools import partial
from typing import Protocol

import structlog

from gateway.reasons import Reason, Refused
from sip import events
from sip.adapter_call import SipCall
from sip.adapter_conference import ConferenceEvents
from sip.adapter_messages import Messages
from sip.adapter_placing import PlacingOwner
from sip.adapter_refer import Transfers
from sip.adapter_stranded import Stranded
from sip.events import SessionId
from sip.hunt import Failure
from sip.refusals import HeaderList, refusal_headers, refusal_status

log = structlog.get_logger()


class ReportsOwner(PlacingOwner, Protocol):
    """What is needed of the adapter."""

    stopping: bool
    conferences: ConferenceEvents
    transfers: Transfers
    messages: Messages
    stranded: Stranded


class Reports:
    """Takes the events of the stack to where they belong."""

    def __init__(self, owner: ReportsOwner) -> None:
        self._owner = owner

    def report(self, event: events.Event) -> None:
        """Hand an event to the call that it concerns, or answer it."""
        match event:
            case events.InviteReceived():
                self._invited(event)
            case events.OptionsReceived():
                status = 503 if self._owner.stopping else 200
                self._owner.stack.respond(event.request_id, status, self._owner.now())
            case events.RequestReceived(request=request) if request.method == "REGISTER" and not self._owner.stopping:
                self._register(event)
            case events.RequestReceived():
                self._asked(event)
            case events.Resubscribed():
                self._owner.conferences.resubscribed(event)
            case events.SubscriptionEnded():
                self._owner.conferences.ended(event)
            case events.RequestAnswered():
                self._owner.trunks.answered(event)
            case _:
                call = self._owner.calls.get(event.session)
                if call is not None:
                    self._tell(call, event)
                elif isinstance(event, _ASKED) and event.request_id is not None:
                    self._owner.stack.respond(event.request_id, 481, self._owner.now())

    def _tell(self, call: SipCall, event: events.Event) -> None:
        match event:
            case events.AckReceived():
                call.acknowledged(event.request)
            case events.ReinviteReceived():
                call.reoffered(event.request, partial(self._answer_reinvite, event.session))
            case events.UpdateReceived():
                call.reoffered(event.request, partial(self._answer_update, event.request_id))
            case events.PrackReceived():
                if event.request_id is not None:
                    call.reoffered(event.request, partial(self._answer_update, event.request_id))
            case events.InfoReceived():
                status, headers = call.infos.received(event.request)
                self._owner.stack.respond(event.request_id, status, self._owner.now(), headers=headers)
            case events.MessageAnswered():
                call.saying.answered(event.request_id, event.status)
            case events.InfoAnswered():
                call.infos.answered(event.request_id, event.status)
            case events.Provisional():
                call.progressed(event.response)
            case events.Refreshed():
                call.offers.refreshed(event.response)
            case events.ReferAnswered():
                call.refer_goes(event.status if event.status >= 300 else 100, event.status >= 300)
            case events.ReferProgress():
                call.refer_goes(event.status, event.over)
            case events.ReinviteAnswered():
                call.offers.change_answered(event.response)
            case events.ReinviteRejected():
                call.offers.change_refused(event.status, event.reason, event.retry_after)
            case events.Answered():
                call.picked_up(event.response)
            case events.Rejected():
                call.rejected(Failure(event.status, event.reason, event.response, event.contacts))
            case events.Ended():
                self._owner.calls.forget(event.session, call)
                call.ended(event.reason)
            case _:
                pass  # Cancelled, ByeReceived and NoAck: Ended follows. We send no UPDATE with an offer.

    def _invited(self, event: events.InviteReceived) -> None:
        if self._owner.stopping:
            headers = refusal_headers(Reason.SHUTDOWN)
            self._owner.stack.refuse(event.session, refusal_status(Reason.SHUTDOWN), self._owner.now(), headers=headers)
            return
        line = self._owner.trunks.recognise(event.request, event.flow)
        known = self._owner.registrar if line is None else None  # a trunk proves itself by where it calls from
        verdict = known.screen(event.request, event.flow) if known is not None else None
        if verdict is not None and verdict.status:
            self._owner.stack.refuse(event.session, verdict.status, self._owner.now(), headers=verdict.headers)
            return
        try:
            slot = line.limits.take(self._owner.now()) if line is not None else None
        except Refused as refused:
            self._over_limit(event, refused)
            return
        old = self._owner.calls.get(event.replaces)
        call = SipCall(
            self._owner, event.session, event.flow, self._owner.exchange(event.flow), old.replaceable if old else None
        )
        call.line, call.slot = line, slot
        call.account = verdict.user if verdict is not None else ""
        self._owner.calls.keep(event.session, call)
        call.invited(event.request)

    def _over_limit(self, event: events.InviteReceived, refused: Refused) -> None:
        """Refuse a call that its trunk has no room for."""
        reason = refused.reason
        self._owner.count(f"refused_{reason.value}")
        log.warning("sip_trunk_over_limit", peer=event.flow.remote_address, reason=reason.value, detail=refused.detail)
        headers = refusal_headers(reason, refused.detail)
        self._owner.stack.refuse(event.session, refusal_status(reason), self._owner.now(), headers=headers)

    def _asked(self, event: events.RequestReceived) -> None:
        """Answer what is neither a call nor a registration."""
        call = self._owner.calls.get(event.session)
        facts = call.facts if call is not None else None
        method = event.request.method
        if self._owner.stopping:
            self._owner.stack.respond(event.request_id, 503, self._owner.now())
        elif method == "SUBSCRIBE":
            room = call.room if call is not None else None
            self._owner.conferences.subscribe(
                event, room, self._owner.names.entity(room or event.request.uri.name, event.flow)
            )
        elif method == "REFER":
            self._owner.transfers.referred(event, facts, call.call if call is not None else None)
        elif method == "MESSAGE":
            self._owner.messages.received(event, call)
        else:
            self._owner.stack.respond(event.request_id, 501, self._owner.now())

    def _register(self, event: events.RequestReceived) -> None:
        if self._owner.registrar is None:
            self._owner.stack.respond(event.request_id, 501, self._owner.now())
            return
        reply = self._owner.registrar.register(event.request, event.flow)
        if reply.status == 200:
            self._owner.stranded.registered(event.request, event.flow)
        self._owner.stack.respond(
            event.request_id, reply.status, self._owner.now(), text=reply.phrase, headers=reply.headers
        )

    def _answer_reinvite(self, session: SessionId, status: int, body: bytes, headers: HeaderList) -> None:
        if status == 200:
            self._owner.stack.answer_reinvite(session, body, self._owner.now())
        else:
            self._owner.stack.refuse_reinvite(session, status, self._owner.now(), headers=headers)

    def _answer_update(self, request_id: events.RequestId, status: int, body: bytes, headers: HeaderList) -> None:
        self._owner.stack.respond(request_id, status, self._owner.now(), body, headers=headers)


_ASKED = (events.UpdateReceived, events.InfoReceived, events.PrackReceived)
"""Events of calls that want an answer."""
