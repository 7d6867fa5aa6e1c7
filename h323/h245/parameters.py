"""Parameters of generic capabilities and generic messages, read as numbers (H.245 §B.2.2.9, §B.19). Pure."""

from __future__ import annotations

from typing import Any

_NUMBERS = ("unsignedMin", "unsignedMax", "unsigned32Min", "unsigned32Max", "booleanArray")
THERE = 1
"""What stands for a parameter that is only there (logical)."""


def read_numbers(parameters: Any) -> dict[int, int]:
    """Return the standard parameters that are numbers, by their own numbers; all others are left out.

    A peer may write a parameter in any of the kinds that there are: whoever expects a number is given no other thing.
    """
    found: dict[int, int] = {}
    for one in parameters or ():
        (kind, number), value = one["parameterIdentifier"], one.get("parameterValue")
        if kind != "standard" or value is None:
            continue
        if value[0] in _NUMBERS:
            found[number] = int(value[1])
        elif value[0] == "logical":
            found[number] = THERE
    return found


def read_collapsed(capability: dict[str, Any]) -> dict[int, int]:
    """Return the numbers among all parameters of a GenericCapability."""
    return read_numbers([*(capability.get("collapsing") or ()), *(capability.get("nonCollapsing") or ())])
