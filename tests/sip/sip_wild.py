"""A peer who does anything that its stack lets it do, whether it fits or not; it never cares what becomes of it."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from sip_descriptions import DESCRIPTIONS
from sip_grafts import Grafts
from sip_odd_values import BODIES, CHALLENGES, NUMBERS, URIS

from gateway.reasons import Reason
from sip import events
from sip.digest_client import Login
from sip.events import Event, Flow, SessionId, SubscriptionId, Target
from sip.stack import Stack
from sip.subscriptions import FRAGMENT, fragment

OUTSIDE = ("OPTIONS", "MESSAGE", "SUBSCRIBE", "REGISTER", "REFER", "PUBLISH", "NOTIFY", "INFO", "BYE")
WITHIN = ("INFO", "MESSAGE", "OPTIONS", "SUBSCRIBE", "REFER", "NOTIFY", "PRACK", "UPDATE", "PUBLISH", "REGISTER")
MULTIPART = b"--x\r\nContent-Type: text/plain\r\n\r\nhi\r\n--x\r\nContent-Type: application/sdp\r\n\r\n%b\r\n--x--\r\n"
OWN = frozenset({"Contact", "Content-Type", "Max-Forwards", "Record-Route", "Route", "Via"})
"""Header fields that its stack writes itself; the network may change them."""
REFUSALS = (300, 301, 302, 305, 380, 400, 401, 403, 404, 407, 408, 415, 420, 422, 423, 480, 481, 486, 488, 491, 500)
REFUSALS += (501, 503, 600, 603, 699)


@dataclass
class Wild:
    """ours is what it calls itself, theirs whom it calls, way how. always, if set, is how it answers what comes."""

    stack: Stack
    chance: random.Random
    way: Callable[[], Flow | Target]
    theirs: str
    ours: str
    always: tuple[int, list[tuple[str, str]]] | None = None
    quiet: bool = False
    live: list[SessionId] = field(default_factory=list)
    told: list[SubscriptionId] = field(default_factory=list)
    login: Login | None = None

    def __post_init__(self) -> None:
        self._grafts = Grafts(self.chance)
        self.login = Login("bob", "secret", self.chance) if self.chance.random() < 0.5 else None

    def body(self) -> bytes:
        """Return a description."""
        body = self.chance.choice(DESCRIPTIONS)
        for _ in range(self.chance.choice([0, 0, 0, 1, 2, 4])):
            body = self._grafts.description(body)
        return body

    def headers(self) -> list[tuple[str, str]]:
        """Return header fields that may stand anywhere."""
        found = [self._grafts.field() for _ in range(self.chance.choice([0, 0, 1, 1, 3]))]
        return [one for one in found if one[0] not in OWN]

    def refusal(self) -> tuple[int, list[tuple[str, str]]]:
        """Return a status that refuses, with what goes with it."""
        if self.always is not None:
            return self.always
        status = self.chance.choice(REFUSALS)
        headers = self.headers()
        number = self.chance.choice(NUMBERS)
        contacts = ", ".join(f"<{uri}>;q={number}" for uri in self.chance.sample(URIS, 3))
        fitting = {
            401: [("WWW-Authenticate", self.chance.choice(CHALLENGES))],
            407: [("Proxy-Authenticate", self.chance.choice(CHALLENGES))],
            422: [("Min-SE", number)],
            423: [("Min-Expires", number)],
            302: [("Contact", contacts)],
            300: [("Contact", contacts)],
            500: [("Retry-After", number)],
            503: [("Retry-After", number)],
        }
        return status, [*headers, *fitting.get(status, [])]

    # what it is told

    def hear(self, event: Event, now: float) -> None:
        """React to something, or not."""
        if self.quiet and not isinstance(event, events.Ended | events.RequestReceived):
            return
        match event:
            case events.InviteReceived():
                self.live.append(event.session)
                self._invited(event.session, now)
            case events.ReinviteReceived():
                self._reinvited(event.session, now)
            case events.Answered() | events.ReinviteAnswered():
                if self.chance.random() < 0.9:
                    self.stack.ack_with(event.session, self.body(), now)
            case events.Provisional():
                if self.chance.random() < 0.8:
                    self.stack.prack_with(event.session, event.response, self.body(), now)
            case events.UpdateReceived() | events.InfoReceived() | events.OptionsReceived() | events.PrackReceived():
                if event.request_id is not None:
                    self._respond(event.request_id, self.body(), now)
            case events.RequestReceived():
                self._asked(event, now)
            case events.Ended():
                if event.session in self.live:
                    self.live.remove(event.session)

    def _invited(self, session: SessionId, now: float) -> None:
        match self.chance.randrange(6):
            case 0:
                status, headers = self.refusal()
                self.stack.refuse(session, status, now, headers=headers)
            case 1:
                self.stack.ringing(session, now)
            case 2:
                self.stack.progress(session, self.body(), now)
            case 3 | 4:
                self.stack.accept(session, self.body(), now, headers=self.headers())

    def _reinvited(self, session: SessionId, now: float) -> None:
        if self.always is not None or self.chance.random() < 0.3:
            status, headers = self.refusal()
            self.stack.refuse_reinvite(session, max(status, 300), now, headers=headers)
        elif self.chance.random() < 0.9:
            self.stack.answer_reinvite(session, self.body(), now)

    def _respond(self, number: events.RequestId, body: bytes, now: float) -> None:
        if self.always is not None or self.chance.random() < 0.3:
            status, headers = self.refusal()
            self.stack.respond(number, status, now, headers=headers)
        elif self.chance.random() < 0.9:
            self.stack.respond(number, 200, now, body, headers=self.headers())

    def _asked(self, event: events.RequestReceived, now: float) -> None:
        if event.request.method == "REFER" and self.chance.random() < 0.7:
            subscription = self.stack.subscribe(event.request_id, now)
            if subscription is not None:
                self.told.append(subscription)
        elif event.request.method == "REGISTER" and (self.quiet or self.chance.random() < 0.6):
            contact = event.request.headers.get("Contact") or ""
            self.stack.respond(event.request_id, 200, now, headers=[("Contact", contact), *self.headers()])
        else:
            self._respond(event.request_id, b"", now)

    # what it does

    def act(self, now: float) -> None:
        """Do something by chance."""
        if not self.live or self.chance.random() < 0.25:
            self._begin(now)
            return
        session = self.chance.choice(self.live)
        stack, chance = self.stack, self.chance
        match chance.randrange(12):
            case 0 | 1:
                stack.accept(session, self.body(), now, headers=self.headers())
            case 2 | 3:
                stack.reinvite(session, self.body() if chance.random() < 0.8 else b"", now)
            case 4:
                stack.update(session, self.body(), now)
            case 5:
                stack.refer(session, f"<{chance.choice(URIS)}>", now, self.headers())
            case 6:
                for one in self.told:
                    end = "noresource" if chance.random() < 0.5 else ""
                    stack.notify(one, fragment(chance.choice([100, 183, 200, 486, 999]), "x"), now, FRAGMENT, end)
            case 7 if chance.random() < 0.3:
                stack.hang_up(session, chance.choice(list(Reason)), now)
            case _:
                self._within(session, now)

    def _within(self, session: SessionId, now: float) -> None:
        """Send any request in a call, also those that make no sense there."""
        found = self.stack._core.sessions.get(session)
        dialog = found.dialog if found is not None else None
        if found is None or dialog is None or found.phase.name not in ("CONFIRMED", "ARRIVED"):
            return
        kind, body = self.chance.choice(BODIES)
        if self.chance.random() < 0.3:
            kind, body = "application/sdp", self.body()
        method = self.chance.choice(WITHIN)
        extra = self.headers()
        if method == "REFER":
            extra.append(("Refer-To", self._elsewhere()))
        elif method == "SUBSCRIBE":
            extra += [("Event", "conference"), ("Expires", self.chance.choice(("600", "0", *NUMBERS)))]
        self.stack._uac.ask_in(dialog, self.login, method, body, kind or "text/plain", extra, lambda *_: None, now)

    def _elsewhere(self) -> str:
        """Return a Refer-To, at times one that names another call of ours."""
        named = self.stack.replaces(self.chance.choice(self.live)) if self.live else None
        if named is None or self.chance.random() < 0.5:
            return f"<{self.chance.choice(URIS)}>"
        return f"<{self.theirs}?Replaces={named.escaped()}>"

    def _invite(self, now: float) -> None:
        headers = self.headers()
        named = self.stack.replaces(self.chance.choice(self.live)) if self.live else None
        if named is not None and self.chance.random() < 0.4:
            headers.append(("Replaces", str(named)))
        body, kind = self.body() if self.chance.random() < 0.8 else b"", "application/sdp"
        if body and self.chance.random() < 0.1:
            kind, body = "multipart/mixed;boundary=x", MULTIPART % body
        self.live.append(
            self.stack.invite(self.way(), self.theirs, self.ours, now, body, kind, headers=headers, login=self.login)
        )

    def _begin(self, now: float) -> None:
        if self.chance.random() < 0.55:
            self._invite(now)
            return
        method = self.chance.choice(OUTSIDE)
        headers = self.headers()
        kind, body = self.chance.choice(BODIES) if method in ("MESSAGE", "INFO", "NOTIFY") else ("", b"")
        uri, to = self.theirs, None
        if method in ("SUBSCRIBE", "REGISTER"):
            headers += [("Contact", self._contact()), ("Expires", self.chance.choice(("600", "600", "0", *NUMBERS)))]
        if method == "SUBSCRIBE":
            headers.append(("Event", "conference"))
        if method == "REGISTER":
            uri, to = "sip:192.0.2.1", "sip:bob@192.0.2.1"
            headers.append(("Supported", "outbound, path"))
        with suppress(ValueError):
            self.stack.request(method, self.way(), uri, to or self.ours, now, to, headers, body, kind, login=self.login)

    def _contact(self) -> str:
        contact = f"<{self.chance.choice([self.ours, self.ours + ';x=1', self.ours + ';y=2', *URIS])}>"
        return contact + self.chance.choice(["", ';+sip.instance="<urn:uuid:1>";reg-id=1', ";expires=3600", ";q=0.5"])
