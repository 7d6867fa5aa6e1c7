"""What stands above a stack in tests of random calls."""

from __future__ import annotations

import random

from sip_pair import Pair, Side

from gateway.reasons import Reason
from sip.events import (
    AckReceived,
    Answered,
    Ended,
    Event,
    InfoReceived,
    InviteReceived,
    OptionsReceived,
    PrackReceived,
    Provisional,
    Refreshed,
    ReinviteAnswered,
    ReinviteReceived,
    RequestReceived,
    Resubscribed,
    SubscriptionEnded,
    SubscriptionId,
    Target,
    UpdateAnswered,
    UpdateReceived,
    UpdateRejected,
)
from sip.subscriptions import FRAGMENT, fragment


class Agent:
    """What stands above one stack: reacts to events, acts by chance, and notes which offer and answer hold."""

    def __init__(self, pair: Pair, side: Side, rng: random.Random) -> None:
        self.pair, self.side, self.rng = pair, side, rng
        self.seen = 0
        self.count = 0
        self.live: set = set()
        self.ended: list = []
        self.up: set = set()
        self.agreed: dict = {}
        self.early: dict = {}
        self.given_up: set = set()
        self.offered: dict = {}
        self.calling: dict = {}
        self.branches: dict = {}
        self.tags: dict = {}
        self.updates: dict = {}
        self.referred: list[SubscriptionId] = []

    def did(self, done: bool, session) -> bool:
        """Check that something was done, unless the call ended a moment ago, of which we only hear now."""
        later = self.side.events[self.seen :]
        assert (
            done
            or session in self.given_up
            or any(isinstance(event, Ended) and event.session == session for event in later)
        )
        return done

    def holds(self) -> list:
        """Return offer and answer of each call that stands."""
        return sorted(self.agreed[session] for session in self.up)

    @property
    def busy(self) -> bool:
        """Whether an offer is under way, or something was not heard of yet."""
        return self.seen < len(self.side.events) or any(map(self.side.stack.busy, self.up))

    def body(self) -> bytes:
        self.count += 1
        return f"v=0 {self.side.address[0]} {self.count}".encode()

    def hear(self) -> None:
        while self.seen < len(self.side.events):
            event = self.side.events[self.seen]
            self.seen += 1
            self.on(event)

    def on(self, event: Event) -> None:
        stack, now = self.side.stack, self.pair.now
        if isinstance(event, InviteReceived):
            self.live.add(event.session)
            self.on_invite(event)
        elif isinstance(event, (Answered, ReinviteAnswered)):
            self.up.add(event.session)
            if isinstance(event, Answered):
                offer, tag = self.calling.pop(event.session), event.response.to.tag
                self.tags[event.session] = tag
                if (event.session, tag) in self.branches:  # a reliable 1xx brought the answer
                    self.agreed[event.session] = self.branches[event.session, tag]
                    return
            else:
                offer = self.offered.pop(event.session)
            if offer:
                self.agreed[event.session] = (offer, event.response.body)
            else:
                answer = self.body()
                if self.did(stack.ack_with(event.session, answer, now), event.session):
                    self.agreed[event.session] = (event.response.body, answer)
        elif isinstance(event, AckReceived):
            self.up.add(event.session)
            if event.request is not None and event.request.body:
                self.agreed[event.session] = (self.offered.pop(event.session), event.request.body)
        elif isinstance(event, ReinviteReceived):
            self.on_reinvite(event)
        elif isinstance(event, Provisional):
            self.on_provisional(event)
        elif isinstance(event, PrackReceived):
            assert event.request_id is None
            self.agreed[event.session] = (self.offered.pop(event.session), event.request.body)
        elif isinstance(event, Refreshed):
            ours = next(body for body in self.agreed[event.session] if self.side.address[0].encode() in body)
            self.agreed[event.session] = (ours, event.response.body)
        elif isinstance(event, UpdateRejected):
            if event.status == 408:
                self.given_up.add(event.session)
                stack.hang_up(event.session, Reason.TIMEOUT, now)
        elif isinstance(event, UpdateReceived):
            answer = self.body()
            assert stack.respond(event.request_id, 200, now, answer)
            self.agree(event.session, event.request.from_.tag, (event.request.body, answer))
        elif isinstance(event, UpdateAnswered):
            both = (self.updates.pop(event.session), event.response.body)
            self.agree(event.session, event.response.to.tag, both)
        elif isinstance(event, (InfoReceived, OptionsReceived)):
            assert stack.respond(event.request_id, 200, now)
        elif isinstance(event, RequestReceived):
            self.on_request(event)
        elif isinstance(event, SubscriptionEnded):
            self.referred = [one for one in self.referred if one != event.subscription]
        elif isinstance(event, Resubscribed):
            raise AssertionError("nobody subscribes, and so little is told of a REFER that none of it is dropped")
        elif isinstance(event, Ended):
            self.ended.append(event.session)
            self.live.discard(event.session)
            self.up.discard(event.session)
            self.agreed.pop(event.session, None)
        else:
            assert event.session in self.live or event.session in self.ended

    def on_invite(self, event: InviteReceived) -> None:
        stack, now, choice = self.side.stack, self.pair.now, self.rng.random()
        if choice < 0.15:
            self.did(stack.refuse(event.session, self.rng.choice([302, 404, 486, 503, 603]), now), event.session)
        elif choice < 0.4:
            self.did(stack.ringing(event.session, now), event.session)
        elif choice < 0.6:
            body = self.body()
            if self.did(stack.progress(event.session, body, now), event.session):
                self.early[event.session] = body
                self.note(event.session, event.request.body, body)
        else:
            self.answer(event.session, event.request.body)

    def on_request(self, event: RequestReceived) -> None:
        stack, now = self.side.stack, self.pair.now
        if event.request.method == "REFER" and self.rng.random() < 0.7:
            subscription = stack.subscribe(event.request_id, now)
            assert subscription is not None
            self.referred.append(subscription)
            stack.notify(subscription, fragment(100, "Trying"), now, FRAGMENT)
        else:
            assert stack.respond(event.request_id, 200 if event.request.method == "MESSAGE" else 403, now)

    def tell_how_it_went(self) -> None:
        """Say how what the peer referred us to ended; it may be gone meanwhile."""
        for subscription in self.referred:
            self.side.stack.notify(subscription, fragment(200, "OK"), self.pair.now, FRAGMENT, end="noresource")
        self.referred.clear()

    def answer(self, session, offer: bytes) -> None:
        early = self.early.get(session)
        body = early or self.body()
        if self.side.stack.accept(session, body, self.pair.now):
            replaced = next(one.replaces for one in self.side.of(InviteReceived) if one.session == session)
            self.given_up.add(replaced)  # the stack hangs it up
            if early is None:
                self.note(session, offer, body)

    def on_provisional(self, event: Provisional) -> None:
        body = event.response.body
        if not event.reliable or not body:
            return
        offer, tag = self.calling[event.session], event.response.to.tag
        if offer:
            self.agree(event.session, tag, (offer, body))
            return
        later = self.side.events[self.seen :]
        if any(isinstance(one, Answered) and one.session == event.session for one in later):
            return  # another phone was picked up a moment ago
        answer = self.body()
        if self.did(self.side.stack.prack_with(event.session, event.response, answer, self.pair.now), event.session):
            self.agree(event.session, tag, (body, answer))

    def agree(self, session, tag: str, both: tuple[bytes, bytes]) -> None:
        """Note offer and answer of a dialog; of a call that several may answer, for the branch with that tag."""
        if session in self.calling:
            self.branches[session, tag] = both
        elif self.tags.get(session, tag) == tag:
            self.agreed[session] = both

    def note(self, session, offer: bytes, body: bytes) -> None:
        if offer:
            self.agreed[session] = (offer, body)
        else:
            self.offered[session] = body

    def on_reinvite(self, event: ReinviteReceived) -> None:
        stack, now = self.side.stack, self.pair.now
        if self.rng.random() < 0.2:
            self.did(stack.refuse_reinvite(event.session, 488, now), event.session)
            return
        body = self.body()
        if self.did(stack.answer_reinvite(event.session, body, now), event.session):
            self.note(event.session, event.request.body, body)

    def invite(self) -> None:
        """Call the other side, at times in the place of a call that is up."""
        body = self.body() if self.rng.random() < 0.7 else b""
        address = self.pair.callee(self.side)
        uri = f"sip:100@{address[0]}"
        named = self.side.stack.replaces(self.rng.choice(sorted(self.up))) if self.up else None
        replacing = [("Replaces", str(named))] if named is not None and self.rng.random() < 0.7 else []
        session = self.side.stack.invite(
            Target(self.pair.transport, *address), uri, "sip:x@y", self.pair.now, body, headers=replacing
        )
        self.live.add(session)
        self.calling[session] = body

    def act(self) -> None:
        """Do something by chance, whether it fits or not."""
        if not self.live:
            return
        stack, now = self.side.stack, self.pair.now
        session = self.rng.choice(sorted(self.live))
        choice = self.rng.random()
        if choice < 0.35:
            invite = next((e for e in self.side.of(InviteReceived) if e.session == session), None)
            if invite is not None:
                self.answer(session, invite.request.body)
        elif choice < 0.55:
            body = self.body() if self.rng.random() < 0.7 else b""
            if stack.reinvite(session, body, now):
                self.offered[session] = body
        elif choice < 0.7:
            body = self.body()
            if stack.update(session, body, now):
                self.updates[session] = body
        elif choice < 0.77:
            stack.info(session, "application/dtmf", b"1", now)
        elif choice < 0.8:
            stack.message(session, "text/plain", b"hello", now)
        elif choice < 0.88:
            stack.refer(session, "sip:somebody@example.org", now)
        elif choice < 0.91:
            self.tell_how_it_went()
        elif choice < 0.96:
            self.given_up.add(session)
            stack.hang_up(session, self.rng.choice([Reason.NORMAL, Reason.ROOM_CLOSED, Reason.BUSY]), now)
