"""The called side: what peers ask of us, in calls and outside of them (RFC 3261 §8.2, §9.2, §12.2.2, §13.3, §14.2).

A request is first checked for what holds for all (method, hops, extensions), then goes to its dialog, or begins
something new. What does not fit is answered here; what fits becomes an event, and is answered from above.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

from gateway.reasons import Reason, from_sip
from sip.building import HeaderList, abilities, make_response, reason_of
from sip.dialog import Dialog, contact_in
from sip.events import (
    AckReceived,
    ByeReceived,
    Cancelled,
    Flow,
    InviteReceived,
    NoAck,
    ReinviteReceived,
    Send,
    SessionId,
)
from sip.layer import RETRY_AFTER
from sip.message import Request
from sip.provisional import Provisionals
from sip.refresh import too_small
from sip.replaces import REPLACES, parse_replaces
from sip.routing import mark_source, own_contact
from sip.sessions import ANSWER_TIME, Core, Incoming, Phase, Session, Unacked
from sip.subscriptions import Subscriptions
from sip.timers import PATIENCE, T1, T2
from sip.uac import UserAgentClient
from sip.uas_questions import Questions, dialog_key

KNOWN_METHODS = frozenset(
    {"INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "INFO", "UPDATE", "PRACK"}
    | {"REGISTER", "SUBSCRIBE", "NOTIFY", "REFER", "MESSAGE", "PUBLISH"}
)
"""Methods that exist: 405 where we do not allow one, 501 for any other."""
IN_DIALOG_ONLY = frozenset(("BYE", "UPDATE", "INFO", "PRACK", "NOTIFY"))
"""Methods that make no sense without a dialog: 481. (A NOTIFY of a subscription belongs to one.)"""
BUSY_WAIT = 10
"""Longest Retry-After in seconds of a 500 to a second offer (RFC 3261 §14.2, RFC 3311 §5.2)."""


NO_DESCRIPTION = '399 roombridge "a 2xx to an INVITE holds application/sdp, which Accept leaves out"'
"""The Warning of a 406."""


class UserAgentServer(Questions):
    """All that peers ask of us."""

    def __init__(self, core: Core, client: UserAgentClient) -> None:
        """Work on these tables; client sends the BYE where one is due."""
        super().__init__(core, client)
        self.provisionals = Provisionals(core, self)
        self.subscriptions = Subscriptions(core, client)
        self._in_dialog: dict[str, Callable[[Session, Request, Flow, float], None]] = {
            "INVITE": self._reinvite,
            "UPDATE": self._update,
            "BYE": self._bye,
            "PRACK": self._prack,
            "SUBSCRIBE": self._subscribed,
            "NOTIFY": self._notified,
            "INFO": self._question,
            "OPTIONS": self._question,
        }

    def receive(self, request: Request, flow: Flow, now: float) -> None:
        """Take a request from the wire."""
        mark_source(request, flow)
        if self._layer.absorb(request, now):
            return
        if request.method == "ACK":
            self._ack(request, flow, now)
        elif self._layer.crowded(reserve=bool(request.to.tag) or request.method == "CANCEL"):
            response = make_response(request, 503, tag=self._layer.token(), headers=[("Retry-After", str(RETRY_AFTER))])
            self._layer.reply(request, response, flow)
        elif request.method == "CANCEL":
            self._cancel(request, flow, now)
        elif (fault := self._unfit(request)) is not None:
            self._layer.refuse(request, fault[0], flow, now, fault[1])
        elif request.to.tag:
            self._within(request, flow, now)
        else:
            self._outside(request, flow, now)

    def _unfit(self, request: Request) -> tuple[int, HeaderList] | None:
        """Return status and headers of what any request may be refused with (§8.2.1 to §8.2.3), or None."""
        config = self._core.config
        if request.method not in config.methods:
            return (405 if request.method in KNOWN_METHODS else 501), abilities(config)
        if config.refuse_last_hop and request.max_forwards == 0:
            return 483, ()
        required = request.headers.tokens("Require") - {tag.lower() for tag in config.supported}
        if required:
            return 420, [("Unsupported", ", ".join(sorted(required)))]
        if request.method == "INVITE" and not _takes_descriptions(request):
            return 406, [("Accept", ", ".join(config.accept)), ("Warning", NO_DESCRIPTION)]
        if not request.body:
            return None
        if request.headers.tokens("Content-Encoding") - {"identity"}:
            return 415, [("Accept-Encoding", "identity")]
        kind = request.content_type
        takes = request.method in ("INVITE", "UPDATE")
        if takes and kind not in config.accept and not kind.startswith("multipart/"):
            return 415, [("Accept", ", ".join(config.accept))]
        return None

    # outside of dialogs

    def _outside(self, request: Request, flow: Flow, now: float) -> None:
        if self._layer.merged(request):
            self._layer.refuse(request, 482, flow, now)
        elif request.method in IN_DIALOG_ONLY:
            self._layer.refuse(request, 481, flow, now)
        elif request.method == "INVITE":
            self._invite(request, flow, now)
        else:
            self._question(None, request, flow, now)

    def _invite(self, request: Request, flow: Flow, now: float) -> None:
        if contact_in(request) is None:
            self._layer.refuse(request, 400, flow, now)
            return
        if self._core.full():
            self._layer.refuse(request, 503, flow, now, [("Retry-After", str(RETRY_AFTER))])
            return
        if self._too_small(request, flow, now):
            return
        replaced = self._replaced(request, flow, now)
        if replaced is False:
            return
        session = self._core.open(caller=False)
        secure = request.uri.scheme == "sips"
        contact = own_contact(self._core.config, flow, request.uri.user or "", secure)
        session.dialog = Dialog.of_uas(request, session.local_tag, contact, flow)
        self._core.register(session, session.dialog)
        server = self._layer.open_server(request, flow)
        self._layer.answer(server, make_response(request, 100), now)
        give_up = self._core.timers.start(now + self._core.config.ring_time, partial(self._unanswered, session))
        self._core.asked(session, Incoming(request, server, flow), give_up)
        session.replaces = replaced.id if replaced else None
        self._core.emit(InviteReceived(session.id, request, flow, session.replaces))

    def _too_small(self, request: Request, flow: Flow, now: float) -> bool:
        """Refuse a session interval below our minimum (RFC 4028 §8.1)."""
        least = self._core.config.min_se
        if not self._client.timers.known or not too_small(request, least):
            return False
        self._layer.refuse(request, 422, flow, now, [("Min-SE", str(least))])
        return True

    def _replaced(self, request: Request, flow: Flow, now: float) -> Session | Literal[False] | None:
        """Return the call that an INVITE is to replace (RFC 3891 §3), None where it names none, False if refused."""
        if "Replaces" not in request.headers or REPLACES not in self._core.config.supported:
            return None
        named = parse_replaces(request)
        found = self._core.dialogs.get(named.key) if named is not None else None
        status = 0
        if named is None or "Join" in request.headers:
            status = 400
        elif found is None or found[0].phase in (Phase.ARRIVED, Phase.CANCELLING):
            status = 481  # an early dialog can only be replaced where it is ours
        elif found[0].phase is Phase.ENDING or found[0].reason is not None:
            status = 603
        elif found[0].phase is Phase.CONFIRMED and named.early_only:
            status = 486
        if status or found is None:
            self._layer.refuse(request, status, flow, now)
            return False
        return found[0]

    def _unanswered(self, session: Session, now: float) -> None:
        self.refuse(session, 480, now, reason=Reason.NO_ANSWER)

    def accept(
        self, session: Session, phase: Phase, body: bytes, content_type: str, headers: HeaderList, now: float
    ) -> bool:
        """Answer the peer's INVITE with 200 and repeat that until the ACK comes (§13.3.1.4).

        A description in a reliable 1xx needs its PRACK first (RFC 3262 §3); the 200 then goes out without a body.
        """
        incoming, reliable = session.incoming, session.reliable
        if incoming is None or session.phase is not phase:
            return False
        if phase is Phase.ARRIVED and reliable is not None:
            if reliable.accept is not None:
                return False
            if reliable.unacked is not None and reliable.unacked.described:
                reliable.waiting.clear()
                reliable.accept = partial(self._accept, session, incoming, body, content_type, headers)
                return True
        self._accept(session, incoming, body, content_type, headers, now)
        return True

    def _accept(
        self,
        session: Session,
        incoming: Incoming,
        body: bytes,
        content_type: str,
        headers: HeaderList,
        now: float,
    ) -> None:
        first = session.phase is Phase.ARRIVED
        described = first and session.dialog is not None and session.dialog.described
        body = b"" if described else body
        session.said = (body, content_type) if body else session.said
        self._core.answered(session)
        session.phase = Phase.CONFIRMED
        headers = [*self._client.timers.answers(session, incoming.request, now), *headers]
        sent = self.respond_invite(session, incoming, 200, "", headers, body, content_type, now)
        offered = not incoming.request.body and not described
        unacked = Unacked(incoming.request.cseq.number, sent, offered, T1, now + PATIENCE)
        session.unacked = unacked
        unacked.timer = self._core.timers.start(now + T1, partial(self._repeat_2xx, session))
        if first and session.replaces is not None:
            self._take_over(session.replaces, now)

    def _take_over(self, replaced: SessionId, now: float) -> None:
        """End the call that another took the place of (RFC 3891 §3)."""
        old = self._core.sessions.get(replaced)
        if old is None:
            return
        if old.phase is Phase.CALLING:
            self._client.cancel(old, Reason.REPLACED, now)
        elif old.unacked is not None:
            old.reason = Reason.REPLACED
        else:
            self._client.bye(old, Reason.REPLACED, now)

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
        """Send a response to an INVITE that waits for its answer."""
        extra: list[tuple[str, str]] = []
        if status < 300 and session.dialog is not None:
            extra = [("Contact", session.dialog.contact), *abilities(self._core.config)]
        extra += headers
        extra.append(("Server", self._core.config.user_agent))
        response = make_response(
            incoming.request,
            status,
            tag=session.local_tag,
            phrase=phrase,
            headers=extra,
            body=body,
            content_type=content_type,
            dialog=status < 300,
        )
        return self._layer.answer(incoming.server, response, now)

    def _repeat_2xx(self, session: Session, now: float) -> None:
        unacked = session.unacked
        if unacked is None:
            return
        if now >= unacked.give_up:
            self._core.settle(session)
            reason = session.reason
            if reason is None:
                self._core.emit(NoAck(session.id))
            self._client.bye(session, reason or Reason.NO_ACK, now)
            return
        self._layer.transmit(unacked.send)
        unacked.interval = min(unacked.interval * 2, T2)
        due = min(now + unacked.interval, unacked.give_up)
        unacked.timer = self._core.timers.start(due, partial(self._repeat_2xx, session))

    def _ack(self, request: Request, flow: Flow, now: float) -> None:
        found = self._core.dialogs.get(dialog_key(request))
        session = found[0] if found else None
        unacked = session.unacked if session else None
        if session is None or unacked is None or unacked.number != request.cseq.number:
            self._layer.counts["dropped.ack"] += 1
            return
        if session.dialog is not None:
            session.dialog.flow = flow
        self._acknowledged(session, request, now)

    def _acknowledged(self, session: Session, request: Request | None, now: float) -> None:
        self._core.settle(session)
        if session.reason is not None:
            self._client.bye(session, session.reason, now)
        else:
            self._core.emit(AckReceived(session.id, request))

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
        incoming = session.incoming
        if session.phase is not Phase.ARRIVED or incoming is None:
            return False
        self.respond_invite(session, incoming, status, phrase, headers, b"", "", now)
        self._core.end(session, reason or from_sip(status))
        return True

    def _cancel(self, request: Request, flow: Flow, now: float) -> None:
        """§9.2: 200 to the CANCEL, 487 to its INVITE unless that has its answer."""
        invite = self._layer.servers.get(self._layer.server_key(request, "INVITE"))
        if invite is None:
            self._layer.refuse(request, 481, flow, now)
            return
        found = self._core.invites.get(invite.key)
        tag = (found.local_tag if found else invite.tag) or self._layer.token()  # that of the INVITE's answer
        self._layer.answer(self._layer.open_server(request, flow), make_response(request, 200, tag=tag), now)
        if found is None or found.incoming is None:
            return
        if found.phase is Phase.ARRIVED:
            self.respond_invite(found, found.incoming, 487, "", (), b"", "", now)
            self._core.emit(Cancelled(found.id, request))
            self._core.end(found, Reason.CANCELLED)
        else:
            self.refuse_reinvite(found, 487, now)

    # within dialogs

    def _within(self, request: Request, flow: Flow, now: float) -> None:
        found = self._core.dialogs.get(dialog_key(request))
        if found is None:
            if not self._used(request, flow, now):
                self._layer.refuse(request, 481, flow, now)
            return
        session, dialog = found
        if not dialog.in_order(request):
            self._layer.refuse(request, 500, flow, now)
            return
        if request.method == "BYE":
            self._bye(session, request, flow, now)
        elif session.phase is Phase.ENDING:
            self._layer.refuse(request, 481, flow, now)
        else:
            dialog.flow = flow
            self._in_dialog.get(request.method, self._question)(session, request, flow, now)

    def _used(self, request: Request, flow: Flow, now: float) -> bool:
        """Take what belongs to a subscription or to a REFER of ours."""
        if request.method == "NOTIFY":
            return self.subscriptions.notified(request, flow, now)
        return self.subscriptions.received(request, flow, now)

    def _subscribed(self, session: Session, request: Request, flow: Flow, now: float) -> None:
        if not self.subscriptions.received(request, flow, now):
            self._question(session, request, flow, now)

    def _notified(self, session: Session, request: Request, flow: Flow, now: float) -> None:
        if not self.subscriptions.notified(request, flow, now):
            self._layer.refuse(request, 481, flow, now)

    def _bye(self, session: Session, request: Request, flow: Flow, now: float) -> None:
        self._layer.answer(self._layer.open_server(request, flow), make_response(request, 200), now)
        if session.phase in (Phase.ENDING, Phase.CANCELLING):
            if session.phase is Phase.ENDING:
                self._core.end(session, session.reason or Reason.NORMAL)
            return
        reason = reason_of(request)
        self._core.emit(ByeReceived(session.id, request))
        if session.phase is Phase.CALLING:
            self._client.cancel(session, reason, now)
            return
        if session.incoming is not None:
            self.respond_invite(session, session.incoming, 487, "", (), b"", "", now)
        self._core.end(session, session.reason or reason)

    def _reinvite(self, session: Session, request: Request, flow: Flow, now: float) -> None:
        if self._too_small(request, flow, now) or not self._may_offer(session, request, flow, now):
            return
        if session.dialog is None:
            return
        session.dialog.refresh(request, flow)
        server = self._layer.open_server(request, flow)
        self._layer.answer(server, make_response(request, 100), now)
        give_up = self._core.timers.start(now + ANSWER_TIME, partial(self._reinvite_unanswered, session))
        self._core.asked(session, Incoming(request, server, flow), give_up)
        self._core.emit(ReinviteReceived(session.id, request))

    def _reinvite_unanswered(self, session: Session, now: float) -> None:
        self.refuse_reinvite(session, 500, now)

    def refuse_reinvite(
        self, session: Session, status: int, now: float, phrase: str = "", headers: HeaderList = ()
    ) -> bool:
        """Refuse the peer's re-INVITE."""
        incoming = session.incoming
        if session.phase is not Phase.CONFIRMED or incoming is None:
            return False
        self._core.answered(session)
        self.respond_invite(session, incoming, status, phrase, headers, b"", "", now)
        return True

    def _update(self, session: Session, request: Request, flow: Flow, now: float) -> None:
        found = self._core.dialogs.get(dialog_key(request))
        if found is None or self._too_small(request, flow, now):
            return
        dialog = found[1]
        if not request.body:  # only refreshes, or tells a new target; nothing to ask above
            dialog.refresh(request, flow)
            extra = [("Contact", dialog.contact), *abilities(self._core.config)]
            extra += self._client.timers.answers(session, request, now)
            server = self._layer.open_server(request, flow)
            self._layer.answer(server, make_response(request, 200, headers=extra), now)
        elif self._may_offer(session, request, flow, now):
            dialog.refresh(request, flow)
            self._question(session, request, flow, now)

    def _prack(self, session: Session, request: Request, flow: Flow, now: float) -> None:
        """RFC 3262 §3: 481 where nothing waits for it. What it offers is asked above, what it answers is told."""
        reliable = session.reliable
        if reliable is None or not reliable.acknowledges(request):
            self._layer.refuse(request, 481, flow, now)
            return
        offered = reliable.unacked is not None and reliable.unacked.offered
        if not request.body or offered or session.phase is not Phase.ARRIVED:
            self._layer.answer(self._layer.open_server(request, flow), make_response(request, 200), now)
        elif self._may_offer(session, request, flow, now):
            self._question(session, request, flow, now)
        self.provisionals.acknowledged(session, request, now)

    def _may_offer_early(self, session: Session, request: Request, flow: Flow, now: float) -> bool:
        """Refuse an offer before the call is answered that meets another one (RFC 3311 §5.2)."""
        found = self._core.dialogs.get(dialog_key(request))
        reliable = session.reliable
        ours = session.updating or (reliable is not None and reliable.unacked is not None and reliable.unacked.offered)
        if found is None or request.method == "INVITE" or session.asked is not None:
            self._too_early(request, flow, now)
        elif ours or (not found[1].described and session.phase is Phase.CALLING):
            self._layer.refuse(request, 491, flow, now)
        elif not found[1].described:
            self._too_early(request, flow, now)
        else:
            return True
        return False

    def _may_offer(self, session: Session, request: Request, flow: Flow, now: float) -> bool:
        """Refuse an offer that meets another one: 491 for ours, 500 for the peer's own (§14.2, RFC 3311 §5.2)."""
        unacked = session.unacked
        if session.phase in (Phase.ARRIVED, Phase.CALLING):
            return self._may_offer_early(session, request, flow, now)
        if session.phase is not Phase.CONFIRMED or session.incoming is not None or session.asked is not None:
            self._too_early(request, flow, now)
            return False
        if session.outgoing is not None or session.updating or (unacked is not None and unacked.offered):
            self._layer.refuse(request, 491, flow, now)
            return False
        if unacked is not None and request.method == "INVITE":
            # only who has our 2xx can send this: its ACK was lost or is late (RFC 5407 §3.1.4)
            self._acknowledged(session, None, now)
            if session.phase is not Phase.CONFIRMED:
                self._layer.refuse(request, 481, flow, now)
                return False
        return True

    def _too_early(self, request: Request, flow: Flow, now: float) -> None:
        wait = str(self._core.rng.randint(0, BUSY_WAIT))
        self._layer.refuse(request, 500, flow, now, [("Retry-After", wait)])


def _takes_descriptions(request: Request) -> bool:
    """Tell whether the answer to an INVITE may hold a description (§20.1: without Accept it may; RFC 4475 §3.3.15)."""
    accepted = request.headers.tokens("Accept")
    return not accepted or any(one in ("application/sdp", "application/*", "*/*") for one in accepted)
