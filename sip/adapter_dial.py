"""Calling a registered user: one contact after the other, the most wanted first (RFC 3261 §16.6, serial forking)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from gateway.calls import Call
from gateway.reasons import Reason, Refused
from sip.registrar import Binding

RING_TIME = 30.0
"""Seconds that a contact may ring while another one waits behind it; the last one rings as long as any call."""
FINAL = frozenset({Reason.DECLINED, Reason.SHUTDOWN, Reason.NO_SUCH_ROOM, Reason.ROOM_FULL, Reason.ROOM_LOCKED})
"""What another contact would not change: the user said no (6xx), or the house did."""


async def dial_in_turn(bindings: Sequence[Binding], dial: Callable[[Binding], Awaitable[Call]]) -> Call:
    """Return the first call that is answered. Raises Refused with the last contact's reason; UNREACHABLE for none."""
    failure = Refused(Reason.UNREACHABLE, "nobody is registered under this address")
    for at, binding in enumerate(bindings):
        try:
            async with asyncio.timeout(RING_TIME if at + 1 < len(bindings) else None):
                return await dial(binding)
        except Refused as refused:
            failure = refused
            if refused.reason in FINAL:
                break
        except TimeoutError:
            failure = Refused(Reason.NO_ANSWER)
    raise failure
