"""The calling side: our INVITEs, what follows from them, and our requests within calls (RFC 3261 §8.1, §13.2, §14.1).

An INVITE may fork: each provisional response with a tag of its own makes an early dialog, the first 2xx makes the
call, and any further 2xx is acknowledged and hung up. An `Outgoing` outlives its session where it must, to
acknowledge each repeated 2xx with the same ACK.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

from gateway.reasons import Reason, from_sip
from sip.building import HeaderList, abilities, make_response, reason_headers, reason_of_refusal
from sip.dialog import Dialog
from sip.digest_client import Attempt, Login
from sip.events import (
    Answered,
    Flow,
    Provisional,
    Refreshed,
    ReinviteAnswered,
    ReinviteRejected,
    Rejected,
    Send,
    Target,
    UpdateAnswered,
    UpdateRejected,
)
from sip.headers import Headers
from sip.message import Request, Response
from sip.reliable import response_number
from sip.session_timers import SessionTimers
from sip.sessions import Core, Phase, Session
from sip.timers import PATIENCE, Timer
from sip.transaction import ClientTransaction
from sip.uac_requests import Requests, attempt_of, ignore_failure, ignore_response
from sip.values import BadValue, parse_number

MAX_FORKS = 16
"""Early dialogs and 2xx of one INVITE; a forking proxy rings a handful of phones."""
MAX_RETRY = 300
"""Longest Retry-After in seconds that is passed on; later means never within a call."""

GLARE_OURS = (210, 400)
"""Hundredths of a second between which who owns the Call-ID waits after a 491 (§14.1)."""
GLARE_THEIRS = (0, 200)
"""The same for the other side."""
CREDENTIALS = ("Authorization", "Proxy-Authorization")
"""Header fields that answer challenges."""


@dataclass(slots=True)
class Outgoing:
    """An INVITE of ours. tag is the remote tag of the 2xx that counts; acks what acknowledged each 2xx, by tag.

    contact is ours; forks are the early dialogs that it made, by tag; refresh whether it changes nothing.
    attempt answers challenges, None where we have no login for the peer.
    """

    session: Session
    request: Request
    offered: bool
    initial: bool
    contact: str
    refresh: bool = False
    forks: dict[str, Dialog] = field(default_factory=dict)
    client: ClientTransaction | None = None
    provisional: bool = False
    cancelled: bool = False
    cancel_sent: bool = False
    tag: str | None = None
    acks: dict[str, Send] = field(default_factory=dict)
    timer: Timer | None = None
    attempt: Attempt | None = None


class UserAgentClient(Requests):
    """All that we ask of peers."""

    def __init__(self, core: Core) -> None:
        """Work on these tables."""
        super().__init__(core)
        self.timers = SessionTimers(core, self)

    # INVITE

    def invite(
        self, request: Request, contact: str, way: Flow | Target, now: float, login: Login | None = None
    ) -> Session:
        """Start a call with a request that is complete but for Via; contact is the value of its Contact."""
        core = self._core
        session = core.open(caller=True)
        session.local_tag = request.from_.tag
        session.login = login
        request.headers.extend(self.timers.asks(session))
        attempt = attempt_of(login, request)
        self._send_invite(
            Outgoing(session, request, bool(request.body), True, contact, attempt=attempt), way, None, now
        )
        return session

    def reinvite(self, session: Session, body: bytes, content_type: str, now: float, refresh: bool = False) -> None:
        """Send an INVITE within a call; refresh: one that changes nothing."""
        dialog = session.dialog
        if dialog is None:
            return
        extra = [*abilities(self._core.config), *self.timers.asks(session)]
        request = self._dialog_request(dialog, "INVITE", body, content_type, extra)
        attempt = attempt_of(session.login, request)
        out = Outgoing(session, request, bool(body), False, dialog.contact, refresh, attempt=attempt)
        self._send_invite(out, *dialog.way(), now)

    def _send_invite(self, out: Outgoing, way: Flow | Target, fallback: Target | None, now: float) -> None:
        out.session.outgoing = out
        given_up = self._rang_out if out.initial else self._given_up
        out.timer = self._core.timers.start(now + self._core.config.ring_time, partial(given_up, out))
        on_response, on_failure = partial(self._on_response, out), partial(self._on_failure, out)
        out.client = self._layer.send_request(out.request, way, fallback, on_response, on_failure, now)

    def _resend(self, out: Outgoing, headers: HeaderList, now: float) -> None:
        """Send a refused INVITE again as a new one of the same call, with these headers in place of its own."""
        old, session, sent = out.request, out.session, out.client.target if out.client is not None else None
        if sent is None:
            return
        number = old.cseq.number + 1
        if session.dialog is not None and not out.initial:
            session.dialog.local_cseq = number = session.dialog.local_cseq + 1
        fresh = {"Via", "CSeq", *CREDENTIALS, *(name for name, _ in headers)}
        items = [item for item in old.headers if item[0] not in fresh]
        made = Headers([*items, ("CSeq", f"{number} INVITE"), *headers])
        request = Request("INVITE", old.target, made, old.body)
        self._core.drop_early(session)
        attempt = attempt_of(session.login, request)
        again = Outgoing(session, request, out.offered, out.initial, out.contact, out.refresh, attempt=attempt)
        self._send_invite(again, sent.target, sent.fallback, now)

    def refresh(self, session: Session, now: float) -> None:
        """Refresh a call (RFC 4028 §7.4): by UPDATE where the peer allows that, else by re-INVITE."""
        dialog = session.dialog
        if dialog is not None and "UPDATE" in dialog.allowed:
            self.update(session, dialog, b"", "", now)
        else:
            self.reinvite(session, *session.said, now, refresh=True)

    def _on_response(self, out: Outgoing, response: Response, flow: Flow | None, now: float) -> None:
        contact = out.contact
        if response.status < 200:
            self._on_provisional(out, contact, response, flow, now)
        elif response.status < 300:
            self._on_success(out, contact, response, flow, now)
        elif not self._answer_challenge(out, response, now):
            self._on_refusal(out, response.status, response, reason_of_refusal(response), now)

    def _answer_challenge(self, out: Outgoing, response: Response, now: float) -> bool:
        """Send the INVITE again with credentials, in a transaction of its own (§22.2); its early dialogs are gone."""
        session = out.session
        if out.attempt is None or out.client is None or session.phase not in (Phase.CALLING, Phase.CONFIRMED):
            return False
        sent = out.client.target
        request = out.attempt.answer(out.request, response)
        if request is None or sent is None:
            return False
        self._core.drop_early(session)
        if session.dialog is not None:
            session.dialog.local_cseq = request.cseq.number
        out.request, out.provisional = request, False
        on_response, on_failure = partial(self._on_response, out), partial(self._on_failure, out)
        out.client = self._layer.send_request(request, sent.target, sent.fallback, on_response, on_failure, now)
        return True

    def _on_failure(self, out: Outgoing, reason: Reason, now: float) -> None:
        self._on_refusal(out, 408 if reason is Reason.TIMEOUT else 503, None, reason, now)

    def _on_provisional(self, out: Outgoing, contact: str, response: Response, flow: Flow | None, now: float) -> None:
        session = out.session
        out.provisional = True
        if out.cancelled:
            self._send_cancel(out, now)
            return
        if response.status == 100 or not out.initial or session.phase is not Phase.CALLING:
            return
        tag = response.to.tag
        dialog = None
        if tag and (tag in session.early or len(session.early) < MAX_FORKS):
            dialog = session.early.get(tag)
            if dialog is None:
                dialog = session.early[tag] = out.forks[tag] = Dialog.of_uac(out.request, response, contact, flow)
                self._core.register(session, dialog)
            else:
                dialog.answered(response, flow)
        number = response_number(response)
        if number is not None and not self._reliable(out, dialog, number, response, now):
            self._layer.counts["dropped.provisional"] += 1
            return
        self._core.emit(Provisional(session.id, response, number is not None))

    def _reliable(self, out: Outgoing, dialog: Dialog | None, number: int, response: Response, now: float) -> bool:
        """Acknowledge a reliable 1xx; False where it came before or is out of order (RFC 3262 §4)."""
        if dialog is None or (dialog.rseq and number != dialog.rseq + 1):
            return False
        dialog.rseq = number
        offer = bool(response.body) and not out.offered and not dialog.described
        if not offer:
            if response.body:
                dialog.described = True
                out.session.said = (out.request.body, out.request.headers.get("Content-Type") or "")
            self._prack(out, dialog, b"", "", now)
        return True

    def prack_with(self, session: Session, tag: str, body: bytes, content_type: str, now: float) -> bool:
        """Acknowledge a reliable 1xx that held an offer, with our answer."""
        out, dialog = session.outgoing, session.early.get(tag)
        if out is None or out.offered or dialog is None or dialog.described or session.phase is not Phase.CALLING:
            return False
        dialog.described = True
        session.said = (body, content_type)
        self._prack(out, dialog, body, content_type, now)
        return True

    def _prack(self, out: Outgoing, dialog: Dialog, body: bytes, content_type: str, now: float) -> None:
        extra = [("RAck", f"{dialog.rseq} {out.request.cseq.number} INVITE")]
        prack = self._dialog_request(dialog, "PRACK", body, content_type, extra)
        self._send(prack, dialog.way(), ignore_response, ignore_failure, out.session.login, dialog, now)

    def _on_success(self, out: Outgoing, contact: str, response: Response, flow: Flow | None, now: float) -> None:
        tag = response.to.tag
        known = out.acks.get(tag)
        if known is not None:
            self._layer.transmit(known)
        elif out.tag is not None and out.tag != tag:
            self._hang_up_fork(out, contact, response, flow, now)
        elif out.tag is None:
            out.tag = tag
            self._stop_timer(out)
            if out.initial:
                self._on_answer(out, contact, response, flow, now)
            else:
                self._on_reinvite_answer(out, response, flow, now)

    def _on_answer(self, out: Outgoing, contact: str, response: Response, flow: Flow | None, now: float) -> None:
        """Take the 2xx that makes the call; when it was given up meanwhile, hang up (RFC 5407 §3.1.2)."""
        session = out.session
        if session.phase is Phase.ENDED or flow is None:
            self._hang_up_fork(out, contact, response, flow, now)
            return
        dialog = session.early.get(response.to.tag) or Dialog.of_uac(out.request, response, contact, flow)
        dialog.answered(response, flow)
        self._core.drop_early(session, keep=response.to.tag)
        session.dialog = dialog
        self._core.register(session, dialog)
        given_up = session.phase is Phase.CANCELLING
        session.phase = Phase.CONFIRMED
        if given_up:
            self._acknowledge(out, dialog, b"", "")
            self.bye(session, session.reason or Reason.CANCELLED, now)
            return
        self._acknowledge_or_wait(out, dialog, now)
        self.timers.answered(session, response, now)
        self._core.emit(Answered(session.id, response, flow))

    def _on_reinvite_answer(self, out: Outgoing, response: Response, flow: Flow | None, now: float) -> None:
        session = out.session
        dialog = session.dialog
        if dialog is None:
            return
        dialog.refresh(response, flow)
        if session.phase is not Phase.CONFIRMED:
            self._acknowledge(out, dialog, b"", "")
            return
        self._acknowledge_or_wait(out, dialog, now)
        self.timers.answered(session, response, now)
        kind = Refreshed if out.refresh else ReinviteAnswered
        self._core.emit(kind(session.id, response))

    def _acknowledge_or_wait(self, out: Outgoing, dialog: Dialog, now: float) -> None:
        if out.offered:
            out.session.said = (out.request.body, out.request.headers.get("Content-Type") or "")
        if out.offered or (out.initial and dialog.described):
            self._acknowledge(out, dialog, b"", "")
        else:
            out.timer = self._core.timers.start(now + PATIENCE, partial(self._never_answered, out))

    def _never_answered(self, out: Outgoing, now: float) -> None:
        """End a call whose offer in the 2xx nobody above answered."""
        self.bye(out.session, Reason.TIMEOUT, now)

    def ack_with(self, session: Session, body: bytes, content_type: str) -> bool:
        """Send the ACK that was waited for."""
        out = session.outgoing
        if out is None or out.tag is None or session.dialog is None:
            return False
        session.said = (body, content_type)
        self._acknowledge(out, session.dialog, body, content_type)
        return True

    def _acknowledge(self, out: Outgoing, dialog: Dialog, body: bytes, content_type: str) -> None:
        """Send the ACK of the 2xx that counts: the INVITE is done."""
        self._stop_timer(out)
        self._send_ack(out, dialog, body, content_type)
        if out.session.outgoing is out:
            out.session.outgoing = None

    def _send_ack(self, out: Outgoing, dialog: Dialog, body: bytes, content_type: str) -> None:
        """Send the ACK of a 2xx and keep it for when that comes again (§13.2.2.4)."""
        ack = dialog.request("ACK", out.request.cseq.number)
        ack.headers.extend(item for item in out.request.headers if item[0] in CREDENTIALS)  # §22.1
        ack.body = body
        if body:
            ack.headers.add("Content-Type", content_type)
        out.acks[dialog.remote_tag] = self._layer.send_ack(ack, *dialog.way())

    def _hang_up_fork(self, out: Outgoing, contact: str, response: Response, flow: Flow | None, now: float) -> None:
        """Acknowledge and end a dialog that nobody wants; the one that counts may still wait for its ACK."""
        if len(out.acks) >= MAX_FORKS:
            return
        dialog = out.forks.get(response.to.tag) or Dialog.of_uac(out.request, response, contact, flow)
        dialog.answered(response, flow)
        self._send_ack(out, dialog, b"", "")
        bye = self._dialog_request(dialog, "BYE", b"", "", reason_headers(Reason.CANCELLED))
        self._layer.send_request(bye, *dialog.way(), ignore_response, ignore_failure, now)

    def _on_refusal(self, out: Outgoing, status: int, response: Response | None, reason: Reason, now: float) -> None:
        session = out.session
        self._stop_timer(out)
        if session.outgoing is out:
            session.outgoing = None
        if session.phase is Phase.CANCELLING:
            self._core.end(session, session.reason or Reason.CANCELLED)
        elif status == 422 and response is not None and self._may_raise(session, response):
            self._resend(out, self.timers.asks(session), now)
        elif out.initial and session.phase is Phase.CALLING:
            contacts = _contacts(response) if response is not None and status < 400 else ()
            self._core.emit(Rejected(session.id, status, reason, response, contacts))
            self._core.end(session, reason)
        elif session.phase is Phase.CONFIRMED:
            retry = self._retry_after(session, status, response)
            if out.refresh:
                self.timers.failed(session, retry, now)
            else:
                self._core.emit(ReinviteRejected(session.id, status, reason, retry, response))
            self._end_if_gone(session, status, response, now)

    def _may_raise(self, session: Session, response: Response) -> bool:
        """Take the larger interval that a 422 asks for (RFC 4028 §7.3)."""
        alive = session.phase in (Phase.CALLING, Phase.CONFIRMED) and session.reason is None
        return alive and self.timers.known and session.refresh.raised(response)

    def _end_if_gone(self, session: Session, status: int, response: Response | None, now: float) -> None:
        """Hang up where the answer shows that the peer has no such call any more (§12.2.1.2)."""
        if status == 408 or (status == 481 and response is not None):
            if session.phase is Phase.CALLING and len(session.early) < 2:
                self.cancel(session, Reason.TIMEOUT if status == 408 else Reason.UNREACHABLE, now)
            self.bye(session, Reason.TIMEOUT if status == 408 else Reason.UNREACHABLE, now)

    def _retry_after(self, session: Session, status: int, response: Response | None) -> float | None:
        if status == 491:  # §14.1: the owner of the Call-ID waits longer
            first, last = GLARE_OURS if session.caller else GLARE_THEIRS
            return self._core.rng.randint(first, last) / 100
        value = response.headers.get("Retry-After") if response is not None and status in (500, 503) else None
        try:
            return float(parse_number(value, MAX_RETRY)) if value is not None else None
        except BadValue:
            return None

    # giving up

    def cancel(self, session: Session, reason: Reason, now: float) -> None:
        """Give up a call that was not answered yet (§9.1)."""
        out = session.outgoing
        session.phase = Phase.CANCELLING
        session.reason = reason
        if out is not None:
            self._stop_timer(out)
            out.cancelled = True
            if out.provisional:
                self._send_cancel(out, now)

    def _send_cancel(self, out: Outgoing, now: float) -> None:
        if out.cancel_sent or out.client is None or out.client.target is None:
            return
        out.cancel_sent = True
        invite = out.request
        kept = [item for item in invite.headers if item[0] in ("Max-Forwards", "Route", "From", "To", "Call-ID")]
        kept.append(("CSeq", f"{invite.cseq.number} CANCEL"))
        kept += reason_headers(out.session.reason or Reason.CANCELLED)
        cancel = Request("CANCEL", invite.target, Headers(kept))
        sent = out.client.target
        branch = invite.via.branch
        self._layer.send_request(
            cancel, sent.target, sent.fallback, ignore_response, ignore_failure, now, branch=branch
        )
        out.timer = self._core.timers.start(now + PATIENCE, partial(self._given_up, out))

    def _given_up(self, out: Outgoing, now: float) -> None:
        """End an INVITE that got 1xx but no final response, not even after its CANCEL (§9.1)."""
        if out.client is not None:
            out.client.abandon()
        self._on_failure(out, Reason.TIMEOUT, now)

    def _rang_out(self, out: Outgoing, now: float) -> None:
        """Timer C."""
        session = out.session
        self._core.emit(Rejected(session.id, 408, Reason.NO_ANSWER, None))
        self.cancel(session, Reason.NO_ANSWER, now)

    def bye(self, session: Session, reason: Reason, now: float, headers: HeaderList = ()) -> None:
        """Hang up a confirmed call; what is still under way in it is closed first (§15.1.1)."""
        dialog = session.dialog
        if dialog is None or session.phase is not Phase.CONFIRMED:
            return
        incoming, out = session.incoming, session.outgoing
        if incoming is not None:
            self._core.answered(session)
            self._layer.answer(incoming.server, make_response(incoming.request, 487), now)
        if out is not None and out.tag is not None:
            self._acknowledge(out, dialog, b"", "")
        elif out is not None:
            self._stop_timer(out)
            out.timer = self._core.timers.start(now + PATIENCE, partial(self._given_up, out))
        self._core.settle(session)
        session.refresh.stop()
        session.phase = Phase.ENDING
        session.reason = reason
        extra = [*reason_headers(reason), *headers]
        self._ask(
            session, dialog, "BYE", b"", "", extra, lambda response, status, when: self._core.end(session, reason), now
        )

    # other requests in a call

    def update(self, session: Session, dialog: Dialog, body: bytes, content_type: str, now: float) -> None:
        """Send an UPDATE (RFC 3311 §5.1); without body it only refreshes the session."""
        session.updating = bool(body)
        extra = [*abilities(self._core.config), *self.timers.asks(session)]
        done = partial(self._updated, session, dialog, body, content_type)
        self._ask(session, dialog, "UPDATE", body, content_type, extra, done, now)

    def _updated(
        self,
        session: Session,
        dialog: Dialog,
        body: bytes,
        content_type: str,
        response: Response | None,
        status: int,
        now: float,
    ) -> None:
        session.updating = session.updating and not body
        if session.phase not in (Phase.CONFIRMED, Phase.CALLING, Phase.ARRIVED):
            return
        if response is not None and status < 300:
            self.timers.answered(session, response, now)
            if body:
                session.said = (body, content_type)
                self._core.emit(UpdateAnswered(session.id, response))
            return
        if status == 422 and response is not None and self._may_raise(session, response):
            self.update(session, dialog, body, content_type, now)
            return
        retry = self._retry_after(session, status, response)
        if body:
            self._core.emit(UpdateRejected(session.id, status, _reason(response, status), retry, response))
        else:
            self.timers.failed(session, retry, now)
        self._end_if_gone(session, status, response, now)

    def _stop_timer(self, out: Outgoing) -> None:
        if out.timer is not None:
            out.timer.stop()
            out.timer = None


def _reason(response: Response | None, status: int) -> Reason:
    if response is None:
        return Reason.TIMEOUT if status == 408 else Reason.UNREACHABLE
    return from_sip(status)


def _contacts(response: Response) -> tuple[str, ...]:
    """Return the URIs of a redirection, best q first (§20.10)."""
    try:
        found = response.contacts
    except ValueError:
        return ()
    return tuple(
        str(contact.uri) for contact in sorted(found, key=lambda contact: -_q(contact.parameters.get("q", "")))
    )


def _q(text: str) -> float:
    try:
        return float(text) if text else 1.0
    except ValueError:
        return 0.0
