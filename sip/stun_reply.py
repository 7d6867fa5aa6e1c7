"""STUN on the SIP port: phones that speak outbound keep their UDP flow open with binding requests (RFC 5626 §4.4.2).

Only what that needs of RFC 8489: a request without authentication is answered with the address that it came from. A
request with an attribute that must be understood gets no answer that pretends to (§6.3.1: 420).
"""

from __future__ import annotations

import struct
from ipaddress import ip_address

_COOKIE = 0x2112A442
_REQUEST = 0x0001
_SUCCESS = 0x0101
_ERROR = 0x0111
_ERROR_CODE = 0x0009
_UNKNOWN_ATTRIBUTES = 0x000A
_XOR_MAPPED_ADDRESS = 0x0020
_OPTIONAL = 0x8000
"""Attribute types from here on may be ignored (§14)."""
_UNDERSTOOD = frozenset({0x0006, 0x0008})
"""USERNAME and MESSAGE-INTEGRITY: a keep-alive proves nothing to us, so they change nothing."""
HEAD = 20
"""Octets of a STUN header."""
MAX_REQUEST = 548
"""Octets of a request that is answered (§6.1: without path MTU discovery); longer ones are no keep-alives."""
MAX_UNKNOWN = 8
"""Attribute types that an answer lists, so that it is hardly larger than its request."""


def binding_reply(datagram: bytes, address: str, port: int) -> bytes | None:
    """Return the answer to a STUN binding request from that address (an IP literal); None where it is none."""
    if not HEAD <= len(datagram) <= MAX_REQUEST:
        return None
    kind, length, cookie = struct.unpack_from("!HHI", datagram)
    if kind != _REQUEST or cookie != _COOKIE or length != len(datagram) - HEAD or length % 4:
        return None
    transaction = datagram[4:HEAD]
    unknown = _unknown(datagram[HEAD:])
    if unknown is None:
        return None
    if unknown:
        code = _attribute(_ERROR_CODE, struct.pack("!HBB", 0, 4, 20))
        body = code + _attribute(_UNKNOWN_ATTRIBUTES, struct.pack(f"!{len(unknown)}H", *unknown))
        return struct.pack("!HH", _ERROR, len(body)) + transaction + body
    packed = ip_address(address).packed
    mask = transaction[: len(packed)]
    family = 1 if len(packed) == 4 else 2
    value = struct.pack("!BBH", 0, family, port ^ _COOKIE >> 16) + bytes(
        a ^ b for a, b in zip(packed, mask, strict=True)
    )
    body = _attribute(_XOR_MAPPED_ADDRESS, value)
    return struct.pack("!HH", _SUCCESS, len(body)) + transaction + body


def _unknown(attributes: bytes) -> list[int] | None:
    """Return the types that would have to be understood and are not; None where the attributes make no sense."""
    found: list[int] = []
    at = 0
    while at < len(attributes):
        kind, length = struct.unpack_from("!HH", attributes, at)
        at += 4 + length + -length % 4
        if at > len(attributes):
            return None
        if kind < _OPTIONAL and kind not in _UNDERSTOOD and len(found) < MAX_UNKNOWN:
            found.append(kind)
    return found


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4)
