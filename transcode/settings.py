"""What the media plane is set to, as plain data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PlaneSettings:
    """Addresses and limits of a media plane.

    address is where media sockets are bound; public_address what peers are told instead, behind NAT. low and high
    bound the UDP ports. max_legs bounds the legs at once. sounds are the directories in which sounds are looked for,
    the first one first.
    """

    address: str = "0.0.0.0"
    public_address: str | None = None
    low: int = 40000
    high: int = 49999
    max_legs: int = 2_000
    sounds: tuple[str, ...] = ()
