"""Ids and tokens: short ones to read, long ones to keep secret."""

from __future__ import annotations

import secrets


def make_id() -> str:
    """Return an id that is unique in the house: 12 hex digits."""
    return secrets.token_hex(6)


def make_token() -> str:
    """Return a secret: 32 characters that go into a URL."""
    return secrets.token_urlsafe(24)
