"""Clear tokens of call signalling that carry half keys (H.235.6 §7.1), written and read. Pure.

A caller lists the groups that it knows, a callee answers with one. H323Plus takes the first token that it knows, so
the strongest stands first. It also puts a token without contents at the end, which tells the edition; so do we.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from h323.h235.groups import GENERATOR, Group, HalfKey

Value = dict[str, Any]

EDITION = "0.0.8.235.0.3.24"
"""Says that keys are carried as edition 3 of H.235 has it."""
MAX_TOKENS = 16
"""Tokens read of one message."""


def write_tokens(keys: Iterable[HalfKey]) -> list[Value]:
    """Return the tokens for these half keys, which stand in order of preference."""
    return [*map(_write, keys), {"tokenOID": EDITION}]


def _write(key: HalfKey) -> Value:
    # Of the smaller group prime and generator are told, filled up to its size, and of the larger they are not: that is
    # what real endpoints send.
    bits = key.group.bits
    told: tuple[bytes, int] = (b"", 0)
    halves = {"modSize": told, "generator": told}
    if key.group is Group.DH1024:
        halves = {"modSize": _bits(key.group.prime, bits), "generator": _bits(GENERATOR, bits)}
    return {"tokenOID": key.group.value, "dhkey": {"halfkey": _bits(key.public, bits), **halves}}


def _bits(number: int, bits: int) -> tuple[bytes, int]:
    return number.to_bytes(bits // 8, "big"), bits


def read_tokens(tokens: Any) -> list[tuple[Group, int]]:
    """Return the groups and half keys of a message's tokens; those that are not known here are left out."""
    found = []
    for token in list(tokens or ())[:MAX_TOKENS]:
        try:
            group = Group(token["tokenOID"])
        except ValueError:
            continue
        half = token.get("dhkey")
        if half is None or not _same_group(group, half):
            continue
        public = _number(half["halfkey"])
        if public:
            found.append((group, public))
    return found


def _same_group(group: Group, half: Value) -> bool:
    """Tell whether a token means the group that its identifier names; another prime could be a trap."""
    prime, generator = _number(half["modSize"]), _number(half["generator"])
    return prime in (0, group.prime) and generator in (0, GENERATOR)


def _number(bits: tuple[bytes, int]) -> int:
    data, length = bits
    return int.from_bytes(data, "big") >> (-length % 8)
