"""Subscriptions of peers (RFC 6665 §4.2), those that a REFER makes among them (RFC 3515 §2.4), and our own REFERs.

Theory of operation. Above accepts a SUBSCRIBE or REFER, which makes a `Subscription` in a dialog of its own or in that
of the call, and then gives states to `notify`. One NOTIFY is on its way at a time, the others wait; where too many
wait they are dropped and above is asked for the whole state (`Resubscribed`). A subscription ends when it expires,
when the peer ends it or answers 481, or when above says so; the last NOTIFY says that it is over. It may outlive the
call whose dialog it shares (RFC 5057 §4).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from functools import partial

from gateway.reasons import Reason
from sip.building import HeaderList, abilities, make_response
from sip.dialog import Dialog, DialogKey
from sip.events import Flow, ReferAnswered, ReferProgress, RequestId, Resubscribed, SubscriptionEnded, SubscriptionId
from sip.headers import parse_parameters
from sip.message import Request, Response
from sip.routing import own_contact
from sip.sessions import Core, Phase, Session
from sip.timers import Timer
from sip.uac import UserAgentClient
from sip.values import BadValue, parse_number

MAX_SUBSCRIPTIONS = 500
"""Subscriptions of all peers; a few for each room that is shown on a panel."""
MAX_WAITING = 16
"""States that wait while a NOTIFY is on its way; over it only the whole state is worth sending."""
EXPIRES = 3_600
"""Seconds that a subscription lasts at most, and where none are said (RFC 4575 §3.4)."""
REFER_TIME = 240
"""Seconds that the peer hears of what it referred us to: as long as a call may ring, and a little."""
MAX_REFERS = 4
"""REFERs of ours in one call whose outcome is still awaited."""
FRAGMENT = "message/sipfrag;version=2.0"
"""Type of what tells how a REFER goes (RFC 3515 §2.4.5)."""


@dataclass(slots=True)
class Subscription:
    """One subscription of a peer; event is the value of Event in each NOTIFY."""

    id: SubscriptionId
    dialog: Dialog
    event: str
    ends: float
    timer: Timer | None = None
    running: bool = False
    waiting: deque[tuple[bytes, str, str]] = field(default_factory=deque)


class Subscriptions:
    """All subscriptions, and the REFERs that we sent."""

    def __init__(self, core: Core, client: UserAgentClient) -> None:
        """Work on these tables; client sends."""
        self._core = core
        self._layer = core.layer
        self._client = client
        self._known: dict[SubscriptionId, Subscription] = {}
        self._by_dialog: dict[DialogKey, list[Subscription]] = {}
        self._refers: dict[DialogKey, dict[int, tuple[Session, RequestId]]] = {}

    def __len__(self) -> int:
        return len(self._known) + sum(map(len, self._refers.values()))

    # what peers subscribe to

    def accept(self, number: RequestId, expires: int | None, now: float) -> SubscriptionId | None:
        """Accept a SUBSCRIBE or REFER that waits for its answer; None where it is gone or there are too many."""
        question = self._core.questions.get(number)
        if question is None:
            return None
        request = question.request
        if len(self._known) >= MAX_SUBSCRIPTIONS:
            self._respond(number, request, 503, [("Retry-After", "60")], "", now)
            return None
        found = self._core.dialogs.get((request.call_id, request.to.tag, request.from_.tag))
        dialog = found[1] if found is not None else self._dialog(request, question.server.way[0])
        if dialog is None:
            self._respond(number, request, 400, [], "", now)
            return None
        refer = request.method == "REFER"
        seconds = REFER_TIME if refer else min(wanted(request), expires or EXPIRES, EXPIRES)
        event = self._refer_event(dialog, request) if refer else _event(request)
        made = Subscription(SubscriptionId(self._core.number()), dialog, event, now + seconds)
        headers = [("Contact", dialog.contact), *abilities(self._core.config)]
        if not refer:
            headers.append(("Expires", str(seconds)))
        self._respond(number, request, 202 if refer else 200, headers, dialog.local_tag, now)
        self._known[made.id] = made
        self._by_dialog.setdefault(dialog.key, []).append(made)
        made.timer = self._core.timers.start(made.ends, partial(self._expired, made))
        return made.id

    def _dialog(self, request: Request, flow: Flow) -> Dialog | None:
        contact = own_contact(self._core.config, flow, request.uri.user or "", request.uri.scheme == "sips")
        try:
            return Dialog.of_uas(request, self._layer.token(), contact, flow)
        except BadValue:
            return None

    def _refer_event(self, dialog: Dialog, request: Request) -> str:
        """Return Event of a REFER's NOTIFYs; only a second REFER in a dialog needs its id (RFC 3515 §2.4.6)."""
        others = any(one.event.startswith("refer") for one in self._by_dialog.get(dialog.key, ()))
        return f"refer;id={request.cseq.number}" if others else "refer"

    def _respond(
        self, number: RequestId, request: Request, status: int, headers: HeaderList, tag: str, now: float
    ) -> None:
        question = self._core.questions.pop(number)
        question.timer.stop()
        made = make_response(
            request,
            status,
            tag=tag or self._layer.token(),
            headers=[*headers, ("Server", self._core.config.user_agent)],
            dialog=status < 300,
        )
        self._layer.answer(question.server, made, now)

    def received(self, request: Request, flow: Flow, now: float) -> bool:
        """Take a SUBSCRIBE within a dialog that refreshes or ends a subscription; False where there is none."""
        same = self._by_dialog.get((request.call_id, request.to.tag, request.from_.tag), ())
        found = next((one for one in same if one.event == _event(request)), None)
        if found is None or request.method != "SUBSCRIBE":
            return False
        dialog = found.dialog
        if self._core.dialogs.get(dialog.key) is None and not dialog.in_order(request):
            self._layer.refuse(request, 500, flow, now)
            return True
        dialog.refresh(request, flow)
        seconds = min(wanted(request), EXPIRES)
        headers = [("Contact", dialog.contact), ("Expires", str(seconds))]
        self._layer.answer(self._layer.open_server(request, flow), make_response(request, 200, headers=headers), now)
        if found.timer is not None:
            found.timer.stop()
        found.ends = now + seconds
        if seconds:
            found.timer = self._core.timers.start(found.ends, partial(self._expired, found))
            self._core.emit(Resubscribed(found.id))
        else:
            self._expired(found, now)
        return True

    def notify(self, id: SubscriptionId, body: bytes, content_type: str, end: str, now: float) -> bool:
        """Send a state, or let it wait for the one before; end is why the subscription is over, empty: it is not."""
        found = self._known.get(id)
        if found is None:
            return False
        if end:
            self._forget(found)
        if not found.running:
            self._send(found, body, content_type, end, now)
        elif len(found.waiting) < MAX_WAITING or end:
            found.waiting.append((body, content_type, end))
        else:
            found.waiting.clear()
            self._core.emit(Resubscribed(found.id))
        return True

    def _expired(self, found: Subscription, now: float) -> None:
        if found.id in self._known:
            self.notify(found.id, b"", "", "timeout", now)
            self._core.emit(SubscriptionEnded(found.id, Reason.NORMAL))

    def _send(self, found: Subscription, body: bytes, content_type: str, end: str, now: float) -> None:
        left = max(0, round(found.ends - now))
        state = f"terminated;reason={end}" if end else f"active;expires={left}"
        headers = [("Event", found.event), ("Subscription-State", state)]
        found.running = True
        session = self._core.dialogs.get(found.dialog.key)
        login = session[0].login if session is not None else None
        done = partial(self._sent, found)
        self._client.ask_in(found.dialog, login, "NOTIFY", body, content_type, headers, done, now)

    def _sent(self, found: Subscription, response: Response | None, status: int, now: float) -> None:
        """Go on with the next state; a peer that does not want them ends the subscription (RFC 6665 §4.2.2)."""
        found.running = False
        if status >= 300 and not (response is not None and "Retry-After" in response.headers):
            found.waiting.clear()
            if found.id in self._known:
                self._forget(found)
                reason = Reason.TIMEOUT if status == 408 else Reason.UNREACHABLE
                self._core.emit(SubscriptionEnded(found.id, reason))
        elif found.waiting:
            self._send(found, *found.waiting.popleft(), now)

    def _forget(self, found: Subscription) -> None:
        self._known.pop(found.id, None)
        if found.timer is not None:
            found.timer.stop()
        same = self._by_dialog.get(found.dialog.key, [])
        if found in same:
            same.remove(found)
        if not same:
            self._by_dialog.pop(found.dialog.key, None)

    # what we refer peers to

    def refer(self, session: Session, target: str, headers: HeaderList, now: float) -> RequestId | None:
        """Ask the peer to call somebody (RFC 3515 §2.4.1). None where the call is not up or too much is awaited."""
        dialog = session.dialog
        if dialog is None or session.phase is not Phase.CONFIRMED or session.reason is not None:
            return None
        open_refers = self._refers.setdefault(dialog.key, {})
        if len(open_refers) >= MAX_REFERS:
            return None
        number = RequestId(self._core.number())
        cseq = dialog.local_cseq + 1
        open_refers[cseq] = (session, number)
        give_up = self._core.timers.start(now + REFER_TIME, partial(self._silent, dialog.key, cseq))
        done = partial(self._referred, dialog.key, cseq, give_up)
        self._client.ask_in(dialog, session.login, "REFER", b"", "", [("Refer-To", target), *headers], done, now)
        return number

    def _referred(
        self, key: DialogKey, cseq: int, give_up: Timer, response: Response | None, status: int, now: float
    ) -> None:
        found = self._refers.get(key, {}).get(cseq)
        if found is None:
            give_up.stop()
            return
        if status >= 300 or (response is not None and "false" in response.headers.tokens("Refer-Sub")):
            give_up.stop()
            self._close(key, cseq)
        if found[0].phase is not Phase.ENDED:
            self._core.emit(ReferAnswered(found[0].id, found[1], status))

    def _silent(self, key: DialogKey, cseq: int, now: float) -> None:
        """The peer never said how it went."""
        found = self._close(key, cseq)
        if found is not None and found[0].phase is not Phase.ENDED:
            self._core.emit(ReferProgress(found[0].id, found[1], 408, True))

    def notified(self, request: Request, flow: Flow, now: float) -> bool:
        """Take a NOTIFY that tells how a REFER of ours goes; False where there is none."""
        key = (request.call_id, request.to.tag, request.from_.tag)
        open_refers = self._refers.get(key)
        name, _, parameters = (request.headers.get("Event") or "").partition(";")
        if not open_refers or name.strip().lower() != "refer":
            return False
        said = parse_parameters(parameters).get("id", "")
        cseq = int(said) if said.isascii() and said.isdigit() and len(said) <= 10 else min(open_refers)
        found = open_refers.get(cseq)
        if found is None:
            return False
        self._layer.answer(self._layer.open_server(request, flow), make_response(request, 200), now)
        status = fragment_status(request)
        over = "terminated" in request.headers.tokens("Subscription-State") or status >= 200
        if over:
            self._close(key, cseq)
        if found[0].phase is not Phase.ENDED:
            self._core.emit(ReferProgress(found[0].id, found[1], status, over))
        return True

    def _close(self, key: DialogKey, cseq: int) -> tuple[Session, RequestId] | None:
        open_refers = self._refers.get(key, {})
        found = open_refers.pop(cseq, None)
        if not open_refers:
            self._refers.pop(key, None)
        return found


def wanted(request: Request) -> int:
    """Return the seconds of Expires, `EXPIRES` where none are said (RFC 6665 §4.1.2.1)."""
    value = request.headers.get("Expires")
    try:
        return parse_number(value, 2**32) if value is not None else EXPIRES
    except BadValue:
        return EXPIRES


def _event(request: Request) -> str:
    """Return Event as its NOTIFYs repeat it: package and id (RFC 6665 §8.2.1)."""
    name, _, parameters = (request.headers.get("Event") or "").partition(";")
    id = parse_parameters(parameters).get("id", "")
    return name.strip().lower() + (f";id={id}" if id else "")


def fragment_status(request: Request) -> int:
    """Return the status in a message/sipfrag body (RFC 3420); 0 where there is none."""
    first = request.body[:64].split(b"\r\n", 1)[0].split()
    if request.content_type != "message/sipfrag" or len(first) < 2 or first[0].upper() != b"SIP/2.0":
        return 0
    return int(first[1]) if len(first[1]) == 3 and first[1].isdigit() else 0


def fragment(status: int, phrase: str) -> bytes:
    """Return a message/sipfrag body that tells a status (RFC 3515 §2.4.5)."""
    return f"SIP/2.0 {status} {phrase}\r\n".encode("utf-8", "replace")
