"""Text of peers, made fit to be shown to people: names, addresses, products and messages."""

from __future__ import annotations

import unicodedata

_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
"""Categories of what cannot be seen or changes the direction of what stands beside it."""


def clean(text: str, most: int) -> str:
    """Return one line without control, formatting and private characters, at most so many characters."""
    kept = (" " if char.isspace() else char for char in text[: most * 4] if char.isspace() or is_visible(char))
    return " ".join("".join(kept).split())[:most].rstrip()


def is_visible(char: str) -> bool:
    """Tell whether a character shows, and does nothing to others."""
    return unicodedata.category(char) not in _HIDDEN
