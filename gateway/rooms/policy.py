"""The external policy: another program is asked about each call that comes in, and its answer decides. Pure.

What is asked and how it is answered stands here; `gateway.policy_client` carries it over HTTP.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from gateway.calls import CallFacts
from gateway.reasons import Reason, Result
from gateway.rooms.dial_plan import Destination, Refuse, ToCall, ToRoom
from gateway.rooms.model import Rank

MAX_FIELD = 128
"""Characters of one text in an answer."""
MAX_LIMIT = 1_000_000
"""Largest number in an answer: of people, kbit/s or seconds."""
_KNOWN = frozenset({"action", "reason", "room", "call", "trunk", "role", "pin", "name", "limits"})
_LIMITS = frozenset({"participants", "bandwidth", "seconds"})


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided of a call; None or empty leaves a thing as the house has it.

    rank lets the caller in as host or guest without a PIN; pin is taken instead of what was dialled; name is what the
    others read; participants bounds how many the room holds with this one, bandwidth what is sent for one picture in
    bit/s, seconds how long the call may last.
    """

    destination: Destination | None = None
    rank: Rank | None = None
    pin: str | None = field(default=None, repr=False)
    name: str = ""
    participants: int | None = None
    bandwidth: int | None = None
    seconds: int | None = None

    def applied(self, facts: CallFacts) -> CallFacts:
        """Return a call's facts with the name and PIN that were decided."""
        if not self.name and self.pin is None:
            return facts
        pin = facts.pin if self.pin is None else self.pin
        return replace(facts, name=self.name or facts.name, pin=pin)


NOTHING_SAID = Decision()
"""What holds where nobody was asked."""


class Policy(Protocol):
    """Who is asked."""

    async def decide(self, facts: CallFacts, destination: Destination) -> Decision:
        """Return what is decided of a call that would go there; raises `Refused` where it fails and that is fatal."""


def question(facts: CallFacts, destination: Destination) -> dict[str, str]:
    """Return a call's facts as the query of a URL. A PIN that was dialled is not told, but whether there was one."""
    asked = {
        "protocol": facts.protocol.value,
        "direction": facts.direction.value,
        "source": facts.source,
        "caller": facts.caller,
        "name": facts.name,
        "called": facts.called,
        "secure": _said(facts.secure),
        "agent": facts.agent,
        "call_id": facts.peer_call_id,
        "trunk": facts.trunk,
        "account": facts.account,
        "diverted_from": facts.diverted_from,
        "pin": _said(facts.pin is not None),
    }
    match destination:
        case ToRoom(room):
            asked["room"] = room
        case ToCall(target):
            asked["call"] = target
    return asked


def read_answer(body: bytes) -> Decision:
    """Read an answer: a JSON object. Raises ValueError, with a text for people."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError("the answer is no JSON") from None
    if not isinstance(said, dict):
        raise ValueError("the answer is no JSON object")
    unknown = said.keys() - _KNOWN
    if unknown:
        raise ValueError(f"the answer holds {min(unknown)[:MAX_FIELD]!r}, which is not known")
    action = _text(said, "action") or "continue"
    if action == "refuse":
        return Decision(Refuse(_reason(_text(said, "reason"))))
    if action != "continue":
        raise ValueError("action is continue or refuse")
    limits = said.get("limits", {})
    if not isinstance(limits, dict) or limits.keys() - _LIMITS:
        raise ValueError("limits are participants, bandwidth and seconds")
    bandwidth = _number(limits, "bandwidth")
    return Decision(
        _destination(said),
        _rank(_text(said, "role")),
        _text(said, "pin") if "pin" in said else None,
        _text(said, "name"),
        _number(limits, "participants"),
        None if bandwidth is None else bandwidth * 1000,
        _number(limits, "seconds"),
    )


def _destination(said: dict[str, Any]) -> Destination | None:
    room, call = _text(said, "room"), _text(said, "call")
    if room and call:
        raise ValueError("a call goes into a room or to somebody, not both")
    if call:
        return ToCall(call, _text(said, "trunk"))
    return ToRoom(room) if room else None


def _rank(word: str) -> Rank | None:
    try:
        return Rank(word) if word else None
    except ValueError:
        raise ValueError("role is host or guest") from None


def _reason(word: str) -> Reason:
    try:
        reason = Reason(word) if word else Reason.NOT_ALLOWED
    except ValueError:
        raise ValueError(f"{word!r} is no reason that is known here") from None
    if reason.result is Result.OK:
        raise ValueError(f"{word!r} is no reason to refuse a call")
    return reason


def _text(said: dict[str, Any], key: str) -> str:
    value = said.get(key, "")
    if not isinstance(value, str) or len(value) > MAX_FIELD or not (value.isprintable() or not value):
        raise ValueError(f"{key} is no text of at most {MAX_FIELD} characters")
    return value


def _number(said: dict[str, Any], key: str) -> int | None:
    value = said.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_LIMIT:
        raise ValueError(f"{key} is no number between 1 and {MAX_LIMIT}")
    return value


def _said(yes: bool) -> str:
    return "true" if yes else "false"
