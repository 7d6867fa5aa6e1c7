"""RAS inside a call signalling connection (H.460.17), between its messages and FACILITY. Pure.

The endpoint keeps one TCP connection to its gatekeeper. RAS travels on it in FACILITY messages that belong to no call,
and so do all calls, theirs and ours.
"""

from __future__ import annotations

from dataclasses import dataclass

from h323.h460.features import TUNNEL, find, octets, write_feature
from h323.h460.incoming import GLOBAL
from h323.q931 import Type
from h323.signalling.events import Address, Signal

RAS_MESSAGE = 1
"""Parameter of the feature: one encoded RAS message; it may be there several times."""
MAX_BUNDLED = 8
"""RAS messages taken of one FACILITY."""


@dataclass(frozen=True, slots=True)
class TunnelAddress(Address):
    """The far end of a connection that carries RAS; it is never equal to the source of a datagram."""


def write_tunnelled(data: bytes) -> Signal:
    """Return the FACILITY that carries a RAS message."""
    feature = write_feature(TUNNEL, {RAS_MESSAGE: ("raw", data)})
    return Signal(Type.FACILITY, GLOBAL, False, None, tunnelling=True, extra={"genericData": [feature]})


def read_tunnelled(signal: Signal) -> list[bytes] | None:
    """Return the RAS messages that a FACILITY carries; None for one that carries none."""
    feature = find(signal.extra.get("genericData") or (), TUNNEL) if signal.kind is Type.FACILITY else None
    return None if feature is None else octets(feature, RAS_MESSAGE)[:MAX_BUNDLED]
