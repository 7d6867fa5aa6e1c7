"""Checks that a whole party makes: who hears whom, who sees whom."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping

import hearing
import marks
import numpy as np

from gateway.bench.sound import Samples

LEAST = 0.8
"""Seconds that each other one must be heard: more than one burst's length, so it cannot be chance."""
MOST_OF_SELF = 0.3
"""Seconds of its own tone that may stand in a recording by a mistaken window; a real echo lasts as long as a burst."""
LISTENED = 3.5
"""Seconds that a recording has at least: each one's tone, and so what it hears of itself, comes once in them."""
PATIENCE = 60.0
"""Seconds within which all are heard: a few bursts of each are enough, where the machine is not busy."""

Recording = tuple[Samples, int]
Listen = Callable[[], Recording | Awaitable[Recording]]
Look = Callable[[], Awaitable[set[int]]]


def assert_hears(listener: str, recording: Recording, own: marks.Mark, others: Iterable[marks.Mark]) -> None:
    """Assert that a recording holds the others' tones and not its own."""
    samples, rate = recording
    found = hearing.heard(samples, rate, marks.TONES)
    told = f"{listener} ({own.name}, {own.tone} Hz) heard in {len(samples) / rate:.1f} s: {found}"
    for other in others:
        assert found[other.tone] >= LEAST, f"{told}; {other.name} is missing"
    assert found[own.tone] <= MOST_OF_SELF, f"{told}; it heard itself"


async def assert_all_hear(
    listeners: Mapping[str, tuple[marks.Mark, Listen]], speakers: Iterable[marks.Mark] = (), seconds: float = PATIENCE
) -> None:
    """Wait until each one has heard all others, and speakers besides; assert that it did, and nobody itself."""
    everybody = {*speakers, *(mark for mark, _ in listeners.values())}
    deadline = asyncio.get_running_loop().time() + seconds
    waiting = dict(listeners)
    while waiting and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.4)
        for name, (mark, listen) in listeners.items():
            if name in waiting and await _is_heard(await _taken(listen), everybody - {mark}):
                del waiting[name]
    for name, (mark, listen) in listeners.items():
        assert_hears(name, await _taken(listen), mark, everybody - {mark})


async def _taken(listen: Listen) -> Recording:
    try:
        recording = listen()
        return await recording if inspect.isawaitable(recording) else recording
    except (ValueError, IndexError):  # it has not begun to write
        return np.empty(0, np.int16), 8000


async def _is_heard(recording: Recording, others: Iterable[marks.Mark]) -> bool:
    samples, rate = recording
    if len(samples) < LISTENED * rate:
        return False
    found = await asyncio.to_thread(hearing.heard, samples, rate, marks.TONES)
    return all(found[other.tone] >= LEAST for other in others)


async def assert_comes_to_hear(listener: str, listen: Listen, other: marks.Mark, since: int = 0) -> None:
    """Wait until somebody is heard in what is recorded from a sample on. Raises AssertionError."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while True:
        samples, rate = await _taken(listen)
        found = await asyncio.to_thread(hearing.heard, samples[since:], rate, marks.TONES)
        if found[other.tone] >= LEAST:
            return
        told = f"{listener} heard {found} in {len(samples[since:]) / rate:.1f} s; {other.name} is missing"
        assert asyncio.get_running_loop().time() < deadline, told
        await asyncio.sleep(0.3)


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
