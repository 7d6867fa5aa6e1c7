"""RAS messages between octets and values, and the parts that several of them share. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from h323.messages import DecodeError, Kind, complete, decode, encode
from h323.signalling.aliases import read_address, read_alias, write_alias
from h323.signalling.events import Address
from h323.signalling.messages import PROTOCOL

MAX_DATAGRAM = 8_192
"""Octets of a RAS message that are read: the largest seen are under 1,000, and aliases and tokens may be many."""
MAX_SEQUENCE = 65_535
MAX_ALIASES = 64
"""Aliases read of one message; a gateway has a handful, a bridge one for each room."""
BITS = 100
"""H.225.0's BandWidth counts 100 bit/s."""
NO_CALL = bytes(16)

Value = dict[str, Any]


class BadRas(ValueError):
    """A datagram is no RAS message."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message: its name in H.225.0, requestSeqNum, content, and the octets it came as."""

    name: str
    sequence: int
    body: Value
    data: bytes = b""


def read(data: bytes) -> Message:
    """Return a datagram's message; one that is not known here has the name "". Raises BadRas."""
    if len(data) > MAX_DATAGRAM:
        raise BadRas("too long")
    try:
        name, body = decode(Kind.RAS, data)
    except DecodeError as error:
        raise BadRas(str(error)) from None
    if name is None or not isinstance(body, dict):
        return Message("", 1, {}, data)
    return Message(name, body.get("requestSeqNum", 1), body, data)


def write(name: str, body: Value) -> bytes:
    """Return an encoded message. Raises EncodeError."""
    return encode(Kind.RAS, (name, filled(name, body)))


def filled(name: str, body: Value) -> Value:
    """Return a message's content with False for the flags that must be there."""
    return complete(Kind.RAS, name[0].upper() + name[1:], body)


def uuies() -> Value:
    """Return that no signalling messages are to be copied into IRRs."""
    flags = ("setup", "callProceeding", "connect", "alerting", "information", "releaseComplete", "facility", "progress")
    more = ("empty", "status", "statusInquiry", "setupAcknowledge", "notify")
    return dict.fromkeys((*flags, *more), False)


def first_address(addresses: Iterable[Any]) -> Address | None:
    """Return the first IP address of a list of TransportAddresses."""
    return next((found for one in addresses or () if (found := address(one)) is not None), None)


def address(value: Any) -> Address | None:
    """Return a TransportAddress; None for one of another kind, and where there is none."""
    return None if value is None or value[0] is None else read_address(value)


def aliases(values: Any) -> tuple[str, ...]:
    """Return the aliases of a list that say something, each once, in order."""
    found = (read_alias(one) for one in list(values or ())[:MAX_ALIASES] if one[0] is not None)
    return tuple(dict.fromkeys(one for one in found if one))


def written(texts: Iterable[str]) -> list[Any]:
    """Return aliases for a message; those that cannot be written are left out."""
    found = []
    for text in texts:
        try:
            found.append(write_alias(text))
        except ValueError:
            continue
    return found


def prefixes(kind: Value | None) -> tuple[str, ...]:
    """Return the prefixes that a gateway or bridge serves (EndpointType)."""
    found = []
    for part in ("gateway", "mcu"):
        for protocol in ((kind or {}).get(part) or {}).get("protocol") or ():
            value = protocol[1] if isinstance(protocol[1], dict) else {}
            found += [read_alias(one["prefix"]) for one in value.get("supportedPrefixes") or ()]
    return tuple(dict.fromkeys(one.rstrip("*") for one in found[:MAX_ALIASES] if one.rstrip("*")))


def patterns(values: Any) -> tuple[str, ...]:
    """Return the beginnings that a list of AddressPatterns names by wildcard."""
    found = [read_alias(one[1]) for one in list(values or ())[:MAX_ALIASES] if one[0] == "wildcard"]
    return tuple(dict.fromkeys(one.rstrip("*") for one in found if one.rstrip("*")))


def call_id(body: Value) -> bytes:
    """Return the call's identifier, or the conference's where an old endpoint gives none."""
    guid = (body.get("callIdentifier") or {}).get("guid")
    return bytes(guid or body.get("conferenceID") or NO_CALL)


def text_id(value: str | None) -> str:
    """Return an identifier as text, without the NUL that some stacks end it with."""
    return (value or "").rstrip("\0")


__all__ = [
    "BITS",
    "MAX_DATAGRAM",
    "PROTOCOL",
    "BadRas",
    "Message",
    "Value",
    "address",
    "aliases",
    "call_id",
    "filled",
    "first_address",
    "patterns",
    "prefixes",
    "read",
    "text_id",
    "uuies",
    "write",
    "written",
]
