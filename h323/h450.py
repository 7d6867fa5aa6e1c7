"""Supplementary services of H.450: none is done here, and each that asks for an answer is declined politely. Pure.

An endpoint that asks for a transfer (H.450.2), say, hears at once that there is none, and not by its own timer.
"""

from __future__ import annotations

from typing import Any

from h323 import messages

MAX_INVOKES = 16
"""Invocations answered of one message; an endpoint sends one."""
NOT_AVAILABLE = 3
"""General error: the service is not available (H.450.1 §11.1)."""
UNRECOGNIZED_OPERATION = 1
"""Invoke problem of a reject (ITU-T X.880 §10.4)."""
ASKS = frozenset({7, 9, 10, *range(15, 20), *range(80, 83), 103, 104, 106, 107, 110, 111, 112})
"""Operations that want an answer: transfer (H.450.2), diversion (.3), message waiting (.7), remote hold (.4), park and
pick-up (.5)."""
TELLS = frozenset({*range(4), 8, *range(11, 15), *range(20, 24), 101, 102, 105, 108, 109, 113, 114})
"""Operations that only tell: names (.8), what becomes of a transfer, diverted legs, hold, call waiting (.6)."""
_DISCARD = "discardAnyUnrecognizedInvokePdu"


def decline(apdus: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Return what answers encoded H4501SupplementaryService APDUs; nothing where nothing is asked or can be read.

    An operation of H.450 gets the error notAvailable. One that nobody knows is rejected, unless the peer asks to
    discard such (H.450.1 §7.3).
    """
    answers: list[Any] = []
    for data in apdus[:MAX_INVOKES]:
        try:
            value = messages.decode(messages.Kind.H450, data)
        except messages.DecodeError:
            continue
        kind, services = value["serviceApdu"]
        wish = value.get("interpretationApdu") or ("rejectAnyUnrecognizedInvokePdu", None)
        for service in services if kind == "rosApdus" else ():
            answer = _answer(service, wish[0] == _DISCARD)
            if answer is not None and len(answers) < MAX_INVOKES:
                answers.append(answer)
    if not answers:
        return ()
    return (messages.encode(messages.Kind.H450, {"serviceApdu": ("rosApdus", answers)}),)


def _answer(service: tuple[str, Any], discards: bool) -> tuple[str, Any] | None:
    name, asked = service
    if name != "invoke":
        return None
    kind, number = asked["opcode"]
    if kind == "local" and number in TELLS:
        return None
    if kind == "local" and number in ASKS:
        return ("returnError", {"invokeId": asked["invokeId"], "errcode": ("local", NOT_AVAILABLE)})
    if discards:
        return None
    return ("reject", {"invokeId": asked["invokeId"], "problem": ("invoke", UNRECOGNIZED_OPERATION)})
