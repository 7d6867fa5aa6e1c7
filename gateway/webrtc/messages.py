"""What a browser may say over its WebSocket: JSON objects in, checked plain data out.

Every message is an object with "type". Fields that are not known are ignored, so that clients may be newer than the
server; fields of a wrong type or size are refused with BAD_REQUEST or MESSAGE_TOO_LARGE.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.reasons import Reason, Refused
from gateway.rooms.host_wishes import (
    HostWish,
    WantsCalled,
    WantsCancelled,
    WantsMoved,
    WantsSpotlight,
    WantsTransferred,
)
from gateway.text import clean
from gateway.webrtc.describe import MAX_CANDIDATE, MAX_MID, parse_candidate
from gateway.webrtc.sdp import MAX_SIZE
from transcode.media import Candidate

MAX_MESSAGE_SIZE = 128 * 1024
"""Octets of one message: a description of 64 KiB with every character escaped as \\n or \\" is twice that."""
MAX_NAME = 64
"""Characters of a participant's name that are shown."""
MAX_ROOM = 128
"""Characters of a room's id or alias."""
MAX_PIN = 32
"""Characters of a PIN."""
MAX_TEXT = 4_000
"""Characters of a message to the room; the room takes fewer and says how many."""
MAX_ADDRESS = 256
"""Characters of an address to call."""
MAX_TOKEN = 256
"""Characters of a resume token."""
MAX_ID = 64
"""Characters of the id of a participant or a dialled call."""
DIGITS = frozenset("0123456789*#ABCD")


@dataclass(frozen=True, slots=True)
class Join:
    """The first message: which room, and as whom."""

    room: str
    name: str
    pin: str | None
    resume: str | None


@dataclass(frozen=True, slots=True)
class Offer:
    """The browser's offer."""

    sdp: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The browser's answer to an offer of ours."""

    sdp: str


@dataclass(frozen=True, slots=True)
class Trickle:
    """One more candidate of the browser; None: no more will come."""

    mid: str
    candidate: Candidate | None


@dataclass(frozen=True, slots=True)
class Mute:
    """The browser muted (True) or unmuted (False) itself; None leaves it."""

    audio: bool | None
    video: bool | None


@dataclass(frozen=True, slots=True)
class Digit:
    """A key of the dial pad."""

    digit: str


@dataclass(frozen=True, slots=True)
class Say:
    """A message to the room."""

    text: str


@dataclass(frozen=True, slots=True)
class Wish:
    """What a host wants of calls; kind is the type of its message."""

    kind: str
    what: HostWish


@dataclass(frozen=True, slots=True)
class Decide:
    """Let somebody in who waits before the room, or turn it away."""

    participant: str
    admitted: bool


@dataclass(frozen=True, slots=True)
class Promote:
    """The PIN of hosts, from somebody who is in the room or waits before it."""

    pin: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Leave:
    """The participant leaves."""


@dataclass(frozen=True, slots=True)
class Ping:
    """Is anybody there?"""


Message = Join | Offer | Answer | Trickle | Mute | Digit | Say | Wish | Decide | Promote | Leave | Ping


def decode(text: str | bytes) -> dict[str, Any]:
    """Read one WebSocket message. Raises `Refused`: MESSAGE_TOO_LARGE or BAD_REQUEST."""
    size = len(text) if isinstance(text, bytes) else len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_MESSAGE_SIZE:
        raise Refused(Reason.MESSAGE_TOO_LARGE)
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        raise Refused(Reason.BAD_REQUEST, "the message is not JSON") from None
    if not isinstance(message, dict):
        raise Refused(Reason.BAD_REQUEST, "the message is not an object")
    return message


def read(message: Mapping[str, Any]) -> Message:
    """Check one message. Raises `Refused` with BAD_REQUEST, or MESSAGE_TOO_LARGE for a field past its bound."""
    kind = message.get("type")
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    if reader is None:
        raise Refused(Reason.BAD_REQUEST, "the message has no type that is known here")
    return reader(message)


def clean_name(name: str) -> str:
    """Return a name fit to show: no control or direction-changing characters, single spaces, at most MAX_NAME."""
    return clean(name, MAX_NAME)


def _text(message: Mapping[str, Any], field: str, longest: int) -> str:
    value = message.get(field)
    if not isinstance(value, str):
        raise Refused(Reason.BAD_REQUEST, f'"{field}" must be a text')
    if len(value) > longest:
        raise Refused(Reason.MESSAGE_TOO_LARGE, f'"{field}" is longer than {longest} characters')
    return value


def _optional_text(message: Mapping[str, Any], field: str, longest: int) -> str | None:
    return None if message.get(field) is None else _text(message, field, longest)


def _flag(message: Mapping[str, Any], field: str) -> bool | None:
    value = message.get(field)
    if value is not None and not isinstance(value, bool):
        raise Refused(Reason.BAD_REQUEST, f'"{field}" must be true, false or null')
    return value


def _join(message: Mapping[str, Any]) -> Join:
    room = _text(message, "room", MAX_ROOM).strip()
    if not room or not room.isprintable():
        raise Refused(Reason.BAD_REQUEST, '"room" must name a room')
    # The whole message is bounded already: a name is cut and not refused.
    name = clean_name(_optional_text(message, "name", MAX_MESSAGE_SIZE) or "")
    pin = _optional_text(message, "pin", MAX_PIN)
    return Join(room, name, pin, _optional_text(message, "resume", MAX_TOKEN))


def _trickle(message: Mapping[str, Any]) -> Trickle:
    mid = _optional_text(message, "mid", MAX_MID) or ""
    text = _optional_text(message, "candidate", MAX_CANDIDATE)
    if not text:
        # Browsers say that no more will come with null or with an empty text (RFC 9429 §4.1.20).
        return Trickle(mid, None)
    try:
        return Trickle(mid, parse_candidate(text))
    except ValueError as wrong:
        raise Refused(Reason.BAD_REQUEST, str(wrong)) from None


def _digit(message: Mapping[str, Any]) -> Digit:
    digit = _text(message, "digit", 1).upper()
    if digit not in DIGITS:
        raise Refused(Reason.BAD_REQUEST, '"digit" must be one of 0-9, *, #, A-D')
    return Digit(digit)


def _address(message: Mapping[str, Any]) -> str:
    return _text(message, "target", MAX_ADDRESS).strip()


def _called(message: Mapping[str, Any]) -> WantsCalled:
    name = _optional_text(message, "name", MAX_MESSAGE_SIZE) or ""
    return WantsCalled(_address(message), clean_name(name[: 16 * MAX_NAME]))


_READERS: dict[str, Callable[[Mapping[str, Any]], Message]] = {
    "join": _join,
    "offer": lambda message: Offer(_text(message, "sdp", MAX_SIZE)),
    "answer": lambda message: Answer(_text(message, "sdp", MAX_SIZE)),
    "candidate": _trickle,
    "mute": lambda message: Mute(_flag(message, "audio"), _flag(message, "video")),
    "dtmf": _digit,
    "say": lambda message: Say(_text(message, "text", MAX_TEXT)),
    "call": lambda message: Wish("call", _called(message)),
    "cancel": lambda message: Wish("cancel", WantsCancelled(_text(message, "id", MAX_ID))),
    "move": lambda message: Wish(
        "move", WantsMoved(_text(message, "participant", MAX_ID), _text(message, "room", MAX_ROOM).strip())
    ),
    "spotlight": lambda message: Wish(
        "spotlight", WantsSpotlight(_optional_text(message, "participant", MAX_ID) or None)
    ),
    "transfer": lambda message: Wish(
        "transfer", WantsTransferred(_text(message, "participant", MAX_ID), _address(message))
    ),
    "admit": lambda message: Decide(_text(message, "participant", MAX_ID), True),
    "refuse": lambda message: Decide(_text(message, "participant", MAX_ID), False),
    "promote": lambda message: Promote(_text(message, "pin", MAX_PIN)),
    "leave": lambda _: Leave(),
    "ping": lambda _: Ping(),
}
