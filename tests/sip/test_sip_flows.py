"""Random calls between two stacks over a bad network: both sides end in agreement, and nothing is left over."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from sip_pair import Pair, Side

from gateway.reasons import Reason
from sip.config import BASIC_METHODS
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
    Transport,
    UpdateAnswered,
    UpdateReceived,
    UpdateRejected,
)
from sip.subscriptions import FRAGMENT, fragment

FLOWS_A_SEED = 12
METHODS = (*BASIC_METHODS, "REFER", "NOTIFY", "MESSAGE")
SEEDS = range(7000, 7025)


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
            if isinstance(event, Answered) and event.session in self.agreed:
                return  # a reliable 1xx brought the answer
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
            self.agreed[event.session] = (event.request.body, answer)
        elif isinstance(event, UpdateAnswered):
            self.agreed[event.session] = (self.offered.pop(event.session), event.response.body)
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
        offer = self.offered.pop(event.session)
        if offer:
            self.agreed[event.session] = (offer, body)
        else:
            answer = self.body()
            if self.did(
                self.side.stack.prack_with(event.session, event.response, answer, self.pair.now), event.session
            ):
                self.agreed[event.session] = (body, answer)

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
        other = self.pair.other(self.side)
        uri = f"sip:100@{other.address[0]}"
        named = self.side.stack.replaces(self.rng.choice(sorted(self.up))) if self.up else None
        replacing = [("Replaces", str(named))] if named is not None and self.rng.random() < 0.7 else []
        session = self.side.stack.invite(
            self.pair.target(other), uri, "sip:x@y", self.pair.now, body, headers=replacing
        )
        self.live.add(session)
        self.offered[session] = body

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
                self.offered[session] = body
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


def flow(pair: Pair, rng: random.Random) -> None:
    agents = [Agent(pair, side, rng) for side in (pair.alice, pair.bob)]

    def run(seconds: float) -> None:
        end = pair.now + seconds
        while pair.now < end:
            pair.run(0.05)
            for agent in agents:
                agent.hear()
            pair.drain()

    for _ in range(rng.randint(1, 3)):
        rng.choice(agents).invite()
        for _ in range(rng.randint(0, 8)):
            run(rng.choice([0.05, 0.1, 0.4, 2.0]))
            rng.choice(agents).act()
    run(5)
    pair.loss = 0.0
    run(75)
    for agent in agents:
        agent.tell_how_it_went()
    run(5)
    for _ in range(100):
        if not any(agent.busy for agent in agents):
            break
        run(0.2)  # a session is being refreshed at this very moment
    alice, bob = agents
    assert len(alice.up) == len(bob.up), "one side thinks that a call stands, the other not"
    assert alice.holds() == bob.holds(), "the sides hold different descriptions"
    for agent in agents:
        for session in sorted(agent.live):
            agent.side.stack.hang_up(session, Reason.NORMAL, pair.now)
    run(110)
    for agent in agents:
        assert not agent.live
        assert len(agent.ended) == len(set(agent.ended)), "a session ended twice"
        for session in agent.ended:
            mine = [event for event in agent.side.events if getattr(event, "session", None) == session]
            assert isinstance(mine[-1], Ended)
    run(130)
    assert pair.empty(), (pair.alice.stack.sizes(), pair.bob.stack.sizes())


def random_flow(seed: int, number: int, transport: Transport = Transport.UDP) -> Counter[str]:
    """Run one flow over a network, with session timers and methods, all of them by chance. Returns what happened."""
    print(f"seed {seed}, flow {number}")
    rng = random.Random(seed * 10_000 + number)
    loss, doubling = rng.choice([0.0, 0.05, 0.2]), rng.choice([0.0, 0.1, 0.3])
    delay = rng.choice([(0.001, 0.001), (0.01, 0.08), (0.01, 0.9)])
    if transport.reliable:
        loss = doubling = 0.0
        delay = rng.choice([(0.001, 0.001), (0.1, 0.1), (0.4, 0.4)])
    config: dict[str, object] = {"session_expires": rng.choice([90, 90, 1800])}
    config["methods"] = METHODS
    if rng.random() < 0.2:
        config["methods"] = ("INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "INFO", "PRACK")
    if rng.random() < 0.2:
        config["supported"] = rng.choice([(), ("100rel",), ("timer",)])
    pair = Pair(rng.randrange(2**32), loss, doubling, delay, transport, **config)
    flow(pair, rng)
    happened = Counter(type(event).__name__ for side in (pair.alice, pair.bob) for event in side.events)
    for side in (pair.alice, pair.bob):
        happened.update(side.stack.counters())
    replaced = [event for side in (pair.alice, pair.bob) for event in side.of(InviteReceived) if event.replaces]
    return happened + Counter({"replacing": len(replaced), "flows": 1})


@pytest.mark.parametrize("seed", SEEDS)
def test_random_calls_over_a_bad_network_end_in_agreement_and_leave_nothing_over(seed: int) -> None:
    for number in range(FLOWS_A_SEED):
        random_flow(seed, number)


@pytest.mark.parametrize("seed", SEEDS[:5])
def test_random_calls_over_tcp_end_in_agreement_and_leave_nothing_over(seed: int) -> None:
    for number in range(FLOWS_A_SEED):
        random_flow(seed, number, Transport.TCP)


@pytest.mark.interop
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [8000, 8001, 8002, 8003])
def test_ten_thousand_random_calls_end_in_agreement_and_leave_nothing_over(seed: int) -> None:
    happened: Counter[str] = Counter()
    for number in range(2_500):
        happened += random_flow(seed, number)
    print(f"seed {seed}: " + ", ".join(f"{name} {count}" for name, count in sorted(happened.items())))
    assert happened["flows"] == 2_500
    assert not [name for name in HAPPENS if happened[name] < 20], "what is to be tried is hardly tried"


HAPPENS = (
    *("InviteReceived", "Answered", "Rejected", "Cancelled", "ByeReceived", "replacing", "Refreshed"),
    *("ReinviteAnswered", "ReinviteRejected", "UpdateAnswered", "UpdateRejected", "PrackReceived"),
    *("ReferAnswered", "ReferProgress", "InfoAnswered", "MessageAnswered"),
    *("refused.481", "refused.487", "refused.491", "refused.500", "dropped.ack", "dropped.provisional"),
)
"""What each quarter of the ten thousand flows must have seen: hold and resume are re-INVITEs and UPDATEs here."""
