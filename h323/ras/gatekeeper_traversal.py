"""How the gatekeeper serves endpoints behind translators (H.460.17, H.460.18): who is one, and how it is called.

Such an endpoint is known by where its requests come from, for what it says of its addresses is of no use. It refreshes
its registration so often that the translator keeps the way of our requests open.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from h323.h460.features import SIGNALLING, find, refused, told, write_feature, write_supported
from h323.h460.incoming import WaitingCall, write_waiting
from h323.h460.tunnel import TunnelAddress
from h323.ras.events import Request
from h323.ras.messages import Message, Value
from h323.signalling.events import Address

if TYPE_CHECKING:
    from h323.ras.gatekeeper import Gatekeeper
    from h323.ras.registry import Registration

REFRESH_TIME = 20
"""Seconds that a registration behind a translator lasts: translators forget UDP after 30 or more."""
TRIES = 3
"""Times that an endpoint is told of a call that waits for it."""


def tunnelled(address: Address) -> bool:
    """Tell whether this is the far end of a connection that carries RAS (H.460.17)."""
    return isinstance(address, TunnelAddress)


def hidden(gk: Gatekeeper, request: Request) -> bool:
    """Tell whether who registers can only be called by connections that it opens itself."""
    asked = gk.config.traversal and find(told(request.body), SIGNALLING) is not None
    return asked or tunnelled(request.source)


def features(gk: Gatekeeper, request: Request) -> Value:
    """Return what an answer to discovery or registration says of features."""
    if gk.config.traversal and not tunnelled(request.source) and find(told(request.body), SIGNALLING) is not None:
        return {"featureSet": write_supported(write_feature(SIGNALLING))}
    return {}


def missing(request: Request) -> bool:
    """Tell whether a request demands features that nobody here has."""
    return bool(refused(request.body))


def summon(gk: Gatekeeper, one: Registration, call: bytes, failed: Callable[[], None], now: float) -> None:
    """Tell an endpoint that a call waits for it; failed is called if it does not even confirm that it heard."""
    if one.local is None:
        failed()
        return
    body = write_waiting(WaitingCall(call, gk.signalling(one.local)))

    def answer(message: Message | None) -> None:
        result = message.body.get("result") if message is not None else ("failed", None)
        if result is not None and result[0] in ("failed", "neededFeatureNotSupported"):
            failed()

    gk.counters["summons"] += 1
    gk.ask(one, "serviceControlIndication", body, ("serviceControlResponse",), now, TRIES, answer)
