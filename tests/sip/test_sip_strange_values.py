"""SIP and SDP that grammars allow and nobody would send: none of it is a fault of ours, and nothing is left."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

import pytest
from sip_strange_pair import StrangePair
from sip_strange_registers import StrangePhones
from sip_strangers import Strangers, VirtualLoop, strange_air

from sip.adapter import SipAdapter

WORLDS = 10
"""Worlds of each kind, of some minutes each; many thousand were tried by hand."""
TURNS = 25
QUIET = 600
"""Seconds in which nobody does anything new."""
MOST = 4
"""Messages a second in them."""


@pytest.mark.parametrize("kind", ["stacks", "adapter", "registrar"])
def test_strange_values_are_no_fault(kind: str) -> None:
    first = random.SystemRandom().randrange(1 << 32)
    for seed in range(first, first + WORLDS):
        print(f"seed {seed}")
        {"stacks": two_stacks, "adapter": one_adapter, "registrar": one_registrar}[kind](seed)


def one_registrar(seed: int) -> None:
    """Let phones register for some hours."""
    phones = StrangePhones(random.Random(seed))
    for _ in range(3 * TURNS):
        phones.turn()
    assert phones.taken
    phones.end()


def two_stacks(seed: int) -> None:
    """Let two stacks live with each other and come to their end."""
    pair = StrangePair(seed)
    for _ in range(TURNS):
        pair.chance.choice(pair.wild).act(pair.now)
        pair.spend(pair.chance.choice([0.02, 0.02, 0.2, 2, 40]))
    before = pair.said
    pair.spend(QUIET)
    assert pair.said - before < MOST * QUIET
    pair.end()
    pair.spend(4_000)
    assert not pair.kept()


def one_adapter(seed: int) -> dict[str, int]:
    """Let an adapter live with strangers and come to its end; return its counters."""
    faults: list[Any] = []
    with strange_air(), pytest.MonkeyPatch.context() as patch:
        count = SipAdapter.count

        def counted(self: SipAdapter, name: str) -> None:
            count(self, name)
            if name == "internal_errors":
                faults.append(name)

        patch.setattr(SipAdapter, "count", counted)
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            counters = runner.run(_live(random.Random(seed)))
            loop = runner.get_loop()
            assert isinstance(loop, VirtualLoop)
            faults += loop.faults
    assert not faults, faults
    return counters


async def _live(chance: random.Random) -> dict[str, int]:
    world = Strangers(chance)
    await world.start()
    for _ in range(TURNS):
        await world.turn()
    before = world.air.sent
    await asyncio.sleep(QUIET)
    assert world.air.sent - before < MOST * QUIET
    await world.end()
    adapter = world.adapter
    assert all(call.reason is not None for call in world.desk.calls)
    sizes = {**adapter.stack.sizes(), "transactions": 0, "timers": 0}
    assert not any(sizes.values()), sizes
    assert not len(adapter.conferences)
    assert not adapter.transfers._tasks
    assert not adapter.calls.working
    kept = [line._flow for line in adapter.trunks._lines.values()]
    kept += [one.flow for one in adapter.registrar._registrar.all()]
    held = world.air.held - Counter(kept)
    assert not held[world.air.flow]  # nothing keeps the connection open; those that were lost do not matter
    counters = adapter.counters()
    assert counters["calls"] == 0
    await adapter.stop()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    assert not tasks, tasks
    return counters
