"""What our registration with somebody else's gatekeeper tells the shell."""

from __future__ import annotations

from dataclasses import dataclass

from h323.h460.incoming import WaitingCall
from h323.signalling.events import Address


@dataclass(frozen=True, slots=True)
class Joined:
    """We are registered."""

    gatekeeper: str
    address: Address
    endpoint: str


@dataclass(frozen=True, slots=True)
class NotJoined:
    """We are not registered, or no more; reason is H.225.0's own, or "silent"."""

    reason: str
    was: bool


@dataclass(frozen=True, slots=True)
class DropCall:
    """The gatekeeper wants this call ended (DRQ)."""

    call: bytes


@dataclass(frozen=True, slots=True)
class LimitCall:
    """The gatekeeper wants this call to take no more than so many bit/s (BRQ)."""

    call: bytes
    bandwidth: int


@dataclass(frozen=True, slots=True)
class Summoned:
    """A call waits at the gatekeeper's, who wants us to connect there (H.460.18)."""

    waiting: WaitingCall
