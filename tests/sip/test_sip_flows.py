"""Random calls between two stacks over a bad network: both sides end in agreement, and nothing is left over."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from sip_agent import Agent
from sip_pair import Fork, Pair

from gateway.reasons import Reason
from sip.config import BASIC_METHODS
from sip.events import (
    Ended,
    InviteReceived,
    Transport,
)

FLOWS_A_SEED = 12
METHODS = (*BASIC_METHODS, "REFER", "NOTIFY", "MESSAGE")
SEEDS = range(7000, 7025)


def flow(pair: Pair, rng: random.Random) -> None:
    agents = [Agent(pair, side, rng) for side in pair.sides]

    def run(seconds: float, step: float = 0.05) -> None:
        end = pair.now + seconds
        while pair.now < end:
            pair.run(step)
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
    run(75, 0.25)
    for agent in agents:
        agent.tell_how_it_went()
    run(5)
    for _ in range(100):
        if not any(agent.busy for agent in agents):
            break
        run(0.2)  # a session is being refreshed at this very moment
    alice, *others = agents
    assert len(alice.up) == sum(len(one.up) for one in others), "one side thinks that a call stands, the other not"
    held = sorted(both for one in others for both in one.holds())
    assert alice.holds() == held, "the sides hold different descriptions"
    for agent in agents:
        for session in sorted(agent.live):
            agent.side.stack.hang_up(session, Reason.NORMAL, pair.now)
    run(110, 0.25)
    for agent in agents:
        assert not agent.live
        assert len(agent.ended) == len(set(agent.ended)), "a session ended twice"
        for session in agent.ended:
            mine = [event for event in agent.side.events if getattr(event, "session", None) == session]
            assert isinstance(mine[-1], Ended)
    run(130, 0.5)
    assert pair.empty(), [side.stack.sizes() for side in pair.sides]


def random_flow(
    seed: int, number: int, transport: Transport = Transport.UDP, network: type[Pair] = Pair
) -> Counter[str]:
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
    pair = network(rng.randrange(2**32), loss, doubling, delay, transport, **config)
    flow(pair, rng)
    happened = Counter(type(event).__name__ for side in pair.sides for event in side.events)
    for side in pair.sides:
        happened.update(side.stack.counters())
    replaced = [event for side in pair.sides for event in side.of(InviteReceived) if event.replaces]
    return happened + Counter({"replacing": len(replaced), "flows": 1})


@pytest.mark.parametrize("seed", SEEDS)
def test_random_calls_over_a_bad_network_end_in_agreement_and_leave_nothing_over(seed: int) -> None:
    for number in range(FLOWS_A_SEED):
        random_flow(seed, number)


@pytest.mark.parametrize("seed", SEEDS[:5])
def test_random_calls_over_tcp_end_in_agreement_and_leave_nothing_over(seed: int) -> None:
    for number in range(FLOWS_A_SEED):
        random_flow(seed, number, Transport.TCP)


@pytest.mark.parametrize("seed", SEEDS[:10])
def test_random_calls_that_fork_end_in_agreement_and_leave_nothing_over(seed: int) -> None:
    for number in range(FLOWS_A_SEED):
        random_flow(seed, number, network=Fork)


@pytest.mark.interop
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [8000, 8001, 8002, 8003])
def test_ten_thousand_random_calls_end_in_agreement_and_leave_nothing_over(seed: int) -> None:
    happened: Counter[str] = Counter()
    for number in range(2_500):
        happened += random_flow(seed, number, network=Fork if number % 5 == 4 else Pair)
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
