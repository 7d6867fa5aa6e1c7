"""Which prompts of one language a recording holds, by their names alone; `recognising` listens."""

from __future__ import annotations

from collections.abc import Iterable

import recognising

from gateway.bench.sound import Samples


def heard_prompts(samples: Samples, rate: int, language: str, names: Iterable[str]) -> list[str]:
    """Return which of these prompts stand in a recording, in their order; of those that fit one place the best."""
    found = recognising.heard_prompts((samples, rate), [f"{language}/{name}" for name in names])
    return [one.name.partition("/")[2] for one in found]


def holds_music(samples: Samples, rate: int, name: str = "waiting") -> bool:
    """Tell whether some seconds of a piece of music stand in a recording."""
    return recognising.holds_part((samples, rate), f"music/{name}")
