"""The SIP stack without I/O: messages and a clock in; messages to send and events out.

What comes from the wire goes through the parser and the transaction layer (`sip.layer`) to the called side
(`sip.uas`) or, for responses, by its transaction to the calling side (`sip.uac`). Both work on the tables of
`sip.sessions`. What is to be sent and told gathers in one list, in order, for `take`.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Sequence

from gateway.reasons import Reason
from sip.building import abilities, reason_headers
from sip.config import StackConfig
from sip.dialog import Dialog
from sip.digest_client import Login
from sip.events import Ended, Event, Flow, Rejected, RequestAnswered, RequestId, Send, SessionId, SubscriptionId, Target
from sip.headers import Headers
from sip.message import Message, Request, Response
from sip.replaces import Replaces
from sip.routing import own_contact
from sip.sessions import Core, Phase, Session
from sip.uac import UserAgentClient
from sip.uas import KNOWN_METHODS, UserAgentServer
from sip.uri import Uri, parse_uri
from sip.values import parse_address

HeaderList = Sequence[tuple[str, str]]
SDP = "application/sdp"


class Stack:
    """All transactions, dialogs and calls of one user agent.

    `now` is always the time in seconds of one monotonic clock. After every call of a method that takes it, drain
    `take` and look at `next_timeout`. Actions return False, and do nothing, where the session is gone or its state
    does not allow them (the peer may have hung up a moment ago); they never raise for what the peer did.
    """

    def __init__(self, config: StackConfig, rng: random.Random | None = None) -> None:
        """Start empty. rng gives tags, branches and waiting times; by default the system's secure source."""
        self._core = Core(config, rng or secrets.SystemRandom())
        self._layer = self._core.layer
        self._uac = UserAgentClient(self._core)
        self._uas = UserAgentServer(self._core, self._uac)

    def receive(self, data: bytes | Message, flow: Flow, now: float) -> None:
        """Take one whole message: a datagram, or what `StreamFramer` cut. Bad ones are answered or counted."""
        message = self._layer.read(data if isinstance(data, bytes) else data.to_bytes(), flow)
        if message is None:
            return
        if not self._layer.host:
            self._layer.host = flow.local_address
        if isinstance(message, Response):
            self._layer.counts[f"received.{message.status // 100}xx"] += 1
            self._layer.receive_response(message, flow, now)
        else:
            name = message.method if message.method in KNOWN_METHODS else "other"
            self._layer.counts[f"received.{name}"] += 1
            self._uas.receive(message, flow, now)

    def closed(self, flow: Flow, now: float) -> None:
        """Say that a connection is gone; requests just sent on it fail, calls are kept until one of theirs does."""
        self._layer.closed(flow, now)

    def unreachable(self, send: Send, now: float) -> None:
        """Say that a `Send` could not be put on the wire (no route, refused, name unknown, TLS failed)."""
        self._layer.unreachable(send, now)

    def led_to_by(self, flow: Flow) -> list[SessionId]:
        """Return the calls in whose dialog the peer's messages last came by that flow."""
        found = self._core.sessions.values()
        return [one.id for one in found if one.dialog is not None and one.dialog.flow == flow]

    def lead_to(self, session: SessionId, contact: Uri, flow: Flow) -> bool:
        """Let a call go on over a new flow if the peer's contact in it is that one; parameters do not count."""
        found = self._core.sessions.get(session)
        dialog = found.dialog if found is not None else None
        if dialog is None or dialog.remote_target.bare() != contact.bare():
            return False
        dialog.flow = flow
        return True

    def next_timeout(self) -> float | None:
        """When `tick` is to be called next, or None."""
        return self._core.timers.next()

    def tick(self, now: float) -> None:
        """Do what is due."""
        self._core.timers.run(now)

    def take(self) -> list[Send | Event]:
        """Return what there is to send and to hear of since the last time, in order."""
        out, self._layer.out = self._layer.out, []
        return out

    def counters(self) -> dict[str, int]:
        """Return the counts of what was received, sent, malformed, refused and dropped, by name."""
        return dict(self._layer.counts)

    def sizes(self) -> dict[str, int]:
        """Return how many sessions, dialogs, transactions, open questions and timers there are."""
        core, layer = self._core, self._layer
        return {
            "sessions": len(core.sessions),
            "dialogs": len(core.dialogs),
            "transactions": len(layer.clients) + len(layer.servers),
            "subscriptions": len(self._uas.subscriptions),
            "questions": len(core.questions) + len(core.invites),
            "timers": len(core.timers),
        }

    # calls that arrive

    def ringing(self, session: SessionId, now: float) -> bool:
        """Send 180."""
        return self._provisional(session, 180, b"", "", now)

    def progress(self, session: SessionId, body: bytes, now: float, content_type: str = SDP) -> bool:
        """Send 183 with early media; reliably where the caller knows RFC 3262, and then it is the answer itself."""
        return self._provisional(session, 183, body, content_type, now)

    def _provisional(self, session: SessionId, status: int, body: bytes, content_type: str, now: float) -> bool:
        found = self._core.sessions.get(session)
        return found is not None and self._uas.provisionals.send(found, status, body, content_type, now)

    def accept(
        self,
        session: SessionId,
        body: bytes,
        now: float,
        content_type: str = SDP,
        headers: HeaderList = (),
    ) -> bool:
        """Send 200 with the answer, or the offer where the INVITE had none; it is repeated until the ACK comes."""
        found = self._core.sessions.get(session)
        return found is not None and self._uas.accept(found, Phase.ARRIVED, body, content_type, list(headers), now)

    def refuse(self, session: SessionId, status: int, now: float, text: str = "", headers: HeaderList = ()) -> bool:
        """Send a final 3xx to 6xx and end; text is the reason phrase, empty for the usual one. Raises ValueError."""
        _check_refusal(status)
        found = self._core.sessions.get(session)
        return found is not None and self._uas.refuse(found, status, now, text, list(headers))

    def answer_reinvite(self, session: SessionId, body: bytes, now: float, content_type: str = SDP) -> bool:
        """Send 200 to the peer's re-INVITE."""
        found = self._core.sessions.get(session)
        return found is not None and self._uas.accept(found, Phase.CONFIRMED, body, content_type, [], now)

    def refuse_reinvite(
        self, session: SessionId, status: int, now: float, text: str = "", headers: HeaderList = ()
    ) -> bool:
        """Send a final 3xx to 6xx to the peer's re-INVITE; the call stays as it was. Raises ValueError."""
        _check_refusal(status)
        found = self._core.sessions.get(session)
        return found is not None and self._uas.refuse_reinvite(found, status, now, text, list(headers))

    # calls that we place

    def invite(
        self,
        target: Target | Flow,
        uri: str,
        sender: str,
        now: float,
        body: bytes = b"",
        content_type: str = SDP,
        to: str | None = None,
        route: Sequence[str] = (),
        headers: HeaderList = (),
        max_forwards: int = 70,
        login: Login | None = None,
    ) -> SessionId:
        """Place a call to uri through target. Raises ValueError where uri, sender, to or a route makes no sense.

        sender and to are From and To as name-addr or URI without tag; to is uri by default. route is a preloaded
        route set. body empty: the peer makes the offer. login answers challenges, of the whole call. Where the
        bounds are reached the session ends at once with OVERLOAD.
        """
        core = self._core
        request = self._request("INVITE", uri, sender, to, route, headers, body, content_type, max_forwards)
        user = core.config.user or request.from_.uri.user or ""
        contact = own_contact(core.config, target, user, request.uri.scheme == "sips", self._layer.host)
        request.headers.add("Contact", contact)
        request.headers.extend(abilities(core.config))
        if core.full() or self._layer.crowded():
            session = SessionId(core.number())
            core.emit(Rejected(session, 503, Reason.OVERLOAD, None))
            core.emit(Ended(session, Reason.OVERLOAD))
            return session
        return self._uac.invite(request, contact, target, now, login).id

    def ack_with(self, session: SessionId, body: bytes, now: float, content_type: str = SDP) -> bool:
        """Send the ACK with our answer to an offer that came in the 2xx to our (re-)INVITE without offer."""
        found = self._core.sessions.get(session)
        return found is not None and self._uac.ack_with(found, body, content_type)

    # calls both ways

    def hang_up(self, session: SessionId, reason: Reason, now: float) -> bool:
        """End the call in whatever state it is: refuse, CANCEL or BYE, with a Reason header (RFC 3326).

        While our 2xx waits for its ACK, the BYE waits too (RFC 3261 §15).
        """
        found = self._core.sessions.get(session)
        if found is None:
            return False
        if found.phase is Phase.ARRIVED:
            status = reason.meaning.sip
            status = status if status >= 300 else 480
            return self._uas.refuse(found, status, now, "", reason_headers(reason), reason)
        if found.phase is Phase.CALLING:
            self._uac.cancel(found, reason, now)
            return True
        if found.phase is not Phase.CONFIRMED or found.reason is not None:
            return False
        if found.unacked is not None:
            found.reason = reason
        else:
            self._uac.bye(found, reason, now)
        return True

    def reinvite(self, session: SessionId, body: bytes, now: float, content_type: str = SDP) -> bool:
        """Send a re-INVITE; body empty asks the peer for an offer. False while another change is under way."""
        found = self._core.sessions.get(session)
        if found is None or found.phase is not Phase.CONFIRMED or found.busy or found.reason is not None:
            return False
        self._uac.reinvite(found, body, content_type, now)
        return True

    def update(self, session: SessionId, body: bytes, now: float, content_type: str = SDP) -> bool:
        """Send an UPDATE with an offer (RFC 3311), also before the call is answered if the first offer was.

        False while another change is under way, or where the peer does not allow it.
        """
        found = self._core.sessions.get(session)
        dialog = _updatable(found) if found is not None else None
        if found is None or dialog is None or "UPDATE" not in dialog.allowed or not body:
            return False
        self._uac.update(found, dialog, body, content_type, now)
        return True

    def prack_with(
        self, session: SessionId, response: Response, body: bytes, now: float, content_type: str = SDP
    ) -> bool:
        """Acknowledge a reliable 1xx that held an offer, as our INVITE had none, with our answer (RFC 3262 §5)."""
        found = self._core.sessions.get(session)
        return found is not None and self._uac.prack_with(found, response.to.tag, body, content_type, now)

    def info(self, session: SessionId, content_type: str, body: bytes, now: float) -> RequestId | None:
        """Send an INFO; `InfoAnswered` tells what became of it. None where the session has no confirmed dialog."""
        found = self._core.sessions.get(session)
        if found is None or found.phase is not Phase.CONFIRMED or self._layer.crowded(reserve=True):
            return None
        return self._uac.info(found, body, content_type, now)

    def message(self, session: SessionId, content_type: str, body: bytes, now: float) -> RequestId | None:
        """Send a MESSAGE; `MessageAnswered` tells what became of it. None where the session has no confirmed dialog."""
        found = self._core.sessions.get(session)
        if found is None or found.phase is not Phase.CONFIRMED or self._layer.crowded(reserve=True):
            return None
        return self._uac.message(found, body, content_type, now)

    def allowed(self, session: SessionId) -> frozenset[str]:
        """Return the methods that a call's peer says it takes; none where it says nothing."""
        found = self._core.sessions.get(session)
        return found.dialog.allowed if found is not None and found.dialog is not None else frozenset()

    def refer(self, session: SessionId, target: str, now: float, headers: HeaderList = ()) -> RequestId | None:
        """Ask the peer to call target, a URI or name-addr; `ReferAnswered` and `ReferProgress` tell how it goes.

        None where the call is not up.
        """
        found = self._core.sessions.get(session)
        return self._uas.subscriptions.refer(found, target, list(headers), now) if found is not None else None

    def replaces(self, session: SessionId) -> Replaces | None:
        """Return what names a call to its peer, for who is to take our place in it (RFC 3891); None before a 2xx."""
        found = self._core.sessions.get(session)
        dialog = found.dialog if found is not None and found.phase is Phase.CONFIRMED else None
        return Replaces(dialog.call_id, dialog.remote_tag, dialog.local_tag) if dialog is not None else None

    def named(self, replaces: Replaces) -> SessionId | None:
        """Return the call of ours that is up and that a Replaces names; None where it is none."""
        found = self._core.dialogs.get(replaces.key)
        return found[0].id if found is not None and found[0].phase is Phase.CONFIRMED else None

    def remote_target(self, session: SessionId) -> str | None:
        """Return the peer's Contact in a call that is up (RFC 3261 §12.2.1.1)."""
        found = self._core.sessions.get(session)
        dialog = found.dialog if found is not None and found.phase is Phase.CONFIRMED else None
        return str(dialog.remote_target) if dialog is not None else None

    def busy(self, session: SessionId) -> bool:
        """Tell whether an offer is under way, so that `reinvite` and `update` would return False."""
        found = self._core.sessions.get(session)
        return found is not None and found.busy

    # requests outside calls

    def respond(
        self,
        request_id: RequestId,
        status: int,
        now: float,
        body: bytes = b"",
        content_type: str = SDP,
        text: str = "",
        headers: HeaderList = (),
    ) -> bool:
        """Answer an UPDATE, INFO, OPTIONS or other request. What nobody answers gets 500 after 30 s."""
        return self._uas.respond(request_id, status, now, body, content_type, text, list(headers))

    def subscribe(self, request_id: RequestId, now: float, expires: int | None = None) -> SubscriptionId | None:
        """Accept a SUBSCRIBE (200) or REFER (202); a state is to be given to `notify` at once. None: it is gone."""
        return self._uas.subscriptions.accept(request_id, expires, now)

    def notify(
        self, subscription: SubscriptionId, body: bytes, now: float, content_type: str = "", end: str = ""
    ) -> bool:
        """Send a state to a subscriber; end says why it is the last one (RFC 6665 §4.1.3: noresource, rejected)."""
        return self._uas.subscriptions.notify(subscription, body, content_type, end, now)

    def request(
        self,
        method: str,
        target: Target | Flow,
        uri: str,
        sender: str,
        now: float,
        to: str | None = None,
        headers: HeaderList = (),
        body: bytes = b"",
        content_type: str = "",
        call_id: str | None = None,
        cseq: int = 1,
        login: Login | None = None,
    ) -> RequestId:
        """Send a request outside of any dialog (OPTIONS, REGISTER, MESSAGE); `RequestAnswered` tells the outcome.

        login answers challenges; each answer takes the next CSeq number, which the response tells.
        Raises ValueError where uri, sender or to makes no sense.
        """
        request = self._request(method, uri, sender, to, (), headers, body, content_type, 70, call_id, cseq)
        if self._layer.crowded():
            number = RequestId(self._core.number())
            self._core.emit(RequestAnswered(number, 503, None, None))
            return number
        return self._uac.request(request, target, now, login)

    def _request(
        self,
        method: str,
        uri: str,
        sender: str,
        to: str | None,
        route: Sequence[str],
        headers: HeaderList,
        body: bytes,
        content_type: str,
        max_forwards: int,
        call_id: str | None = None,
        cseq: int = 1,
    ) -> Request:
        """Return a request outside of a dialog, complete but for Via (§8.1.1). Raises ValueError."""
        target = parse_uri(uri)
        from_ = parse_address(sender).with_tag(self._layer.token())
        made = Headers([("Max-Forwards", str(max_forwards))])
        made.extend(("Route", str(parse_address(one))) for one in route)
        made.add("From", str(from_))
        made.add("To", str(parse_address(to or f"<{uri}>").with_tag("")))
        made.add("Call-ID", call_id or self._layer.token() + self._layer.token())
        made.add("CSeq", f"{cseq} {method}")
        made.extend(headers)
        made.add("User-Agent", self._core.config.user_agent)
        if body:
            made.add("Content-Type", content_type)
        return Request(method, target, made, body)


def _updatable(session: Session) -> Dialog | None:
    """Return the dialog in which an offer may be made now; of several early ones that which came last."""
    if session.reason is not None or session.updating or session.asked is not None:
        return None
    if session.phase is Phase.CONFIRMED:
        return None if session.busy else session.dialog
    if session.phase is Phase.CALLING:
        return next((one for one in reversed(session.early.values()) if one.described), None)
    waits = session.reliable is not None and session.reliable.unacked is not None
    if session.phase is not Phase.ARRIVED or session.dialog is None or waits:
        return None
    return session.dialog if session.dialog.described else None


def _check_refusal(status: int) -> None:
    if not 300 <= status <= 699:
        raise ValueError(f"{status} refuses nothing")
