"""Checks that a whole party makes: who hears whom, who sees whom."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping

import hearing
import marks

from gateway.bench.sound import Samples

LEAST = 0.8
"""Seconds that each other one must be heard: more than one burst's length, so it cannot be chance."""
MOST_OF_SELF = 0.3
"""Seconds of its own tone that may stand in a recording by a mistaken window; a real echo lasts as long as a burst."""

Look = Callable[[], Awaitable[set[int]]]


def assert_hears(listener: str, recording: tuple[Samples, int], own: marks.Mark, others: Iterable[marks.Mark]) -> None:
    """Assert that a recording holds the others' tones and not its own."""
    samples, rate = recording
    found = hearing.heard(samples, rate, marks.TONES)
    told = f"{listener} ({own.name}, {own.tone} Hz) heard in {len(samples) / rate:.1f} s: {found}"
    for other in others:
        assert found[other.tone] >= LEAST, f"{told}; {other.name} is missing"
    assert found[own.tone] <= MOST_OF_SELF, f"{told}; it heard itself"


async def assert_all_see(watchers: Mapping[str, tuple[marks.Mark, Look]], seconds: float) -> None:
    """Assert that within so many seconds each one sees the pictures of all others."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    seen: dict[str, set[int]] = {name: set() for name in watchers}
    wanted = {name: {other.code for there, (other, _) in watchers.items() if there != name} for name in watchers}
    while loop.time() < deadline:
        for name, (_, look) in watchers.items():
            if not wanted[name] <= seen[name]:
                seen[name] |= await look()
        if all(wanted[name] <= seen[name] for name in watchers):
            break
        await asyncio.sleep(0.3)
    missing = {name: sorted(wanted[name] - seen[name]) for name in watchers if wanted[name] - seen[name]}
    assert not missing, f"not seen: {missing}; seen: {seen}"
    strange = {name: seen[name] - {mark.code for mark, _ in watchers.values()} for name in watchers}
    assert not any(strange.values()), f"seen, but nobody's: {strange}"
