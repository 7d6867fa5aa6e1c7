"""H.323's messages between bytes and plain Python values.

`decode(kind, data)` and `encode(kind, value)` raise DecodeError and EncodeError, and nothing else.

Values: a SEQUENCE is a dict of the members that are there, a CHOICE a tuple of name and value, a list a list, NULL is
None, an OCTET STRING bytes, a BIT STRING a tuple of bytes and number of bits, an OBJECT IDENTIFIER its dotted numbers,
an ENUMERATED value its name, strings are str. Names are the Recommendations' own.

    >>> decode(Kind.H245, bytes.fromhex("218001"))
    ('response', ('terminalCapabilitySetAck', {'sequenceNumber': 1}))

    >>> encode(Kind.RAS, ("unregistrationConfirm", {"requestSeqNum": 7})).hex()
    '1c0006'

A transport address: `("ipAddress", {"ip": b"\\x7f\\x00\\x00\\x01", "port": 1720})` in H.225.0, and
`("unicastAddress", ("iPAddress", {"network": b"\\x7f\\x00\\x00\\x01", "tsapIdentifier": 5000}))` in H.245.

What a newer version of a Recommendation has added and we do not know: members of a SEQUENCE are left out, an
alternative becomes `(None, None)`, a value of an enumeration None. Neither of these two can be encoded.

Some additions are BOOLEANs that must be there whenever a later addition is (`h245Tunnelling`, `multipleCalls`,
`canMapAlias` and so on); `complete` gives those that a caller has nothing to say about the value False.
"""

from __future__ import annotations

from enum import Enum
from functools import cache
from typing import Any

from h323.asn1 import load
from h323.per import DecodeError, EncodeError, compile_modules
from h323.per.constructed import Sequence
from h323.per.scalars import Boolean

__all__ = ["DecodeError", "EncodeError", "Kind", "complete", "decode", "encode"]


class Kind(Enum):
    """A complete encoding: where it is found, and its ASN.1 module and type."""

    H225 = ("H323-MESSAGES", "H323-UserInformation")
    """Call signalling: the content of Q.931's User-user element behind the protocol discriminator."""

    RAS = ("H225-RAS", "RasMessage")
    """One datagram between endpoint and gatekeeper."""

    H245 = ("MULTIMEDIA-SYSTEM-CONTROL", "MultimediaSystemControlMessage")
    """One item of h245Control or parallelH245Control, or a TPKT's content on a connection of its own."""

    FAST_START = ("H245-CHANNELS", "OpenLogicalChannel")
    """One item of fastStart."""

    CLEAR_TOKEN = ("H235-SECURITY-MESSAGES", "ClearToken")
    """What is hashed or signed in a cryptographic token (H.235.1: EncodedGeneralToken)."""

    H235_KEY = ("H235-SECURITY-MESSAGES", "H235Key")
    """h235Key of an EncryptionSync (H.235.6)."""

    KEY_SYNC = ("H235-SECURITY-MESSAGES", "KeySyncMaterial")
    """The key itself, as it is encrypted in H235Key's sharedSecret."""

    H450 = ("H450", "H4501SupplementaryService")
    """One item of h4501SupplementaryService."""

    CT_INITIATE = ("H450", "CTInitiateArg")
    """Argument of H.450.2's callTransferInitiate."""

    CT_SETUP = ("H450", "CTSetupArg")
    """Argument of H.450.2's callTransferSetup."""

    INCOMING_CALL = ("H460-18", "IncomingCallIndication")
    """H.460.18: the parameter of generic data in a ServiceControlIndication."""

    LRQ_KEEP_ALIVE = ("H460-18", "LRQKeepAliveData")
    """H.460.18: the parameter of generic data that keeps a path between gatekeepers open."""

    TRAVERSAL = ("H460-19", "TraversalParameters")
    """H.460.19: the parameter of generic information in a logical channel's opening and acknowledgement."""


_SPECIFICATION = compile_modules(load())


def decode(kind: Kind, data: bytes) -> Any:
    """The value of a complete encoding; DecodeError when the bytes are none. Octets behind it are left alone."""
    module, name = kind.value
    return _SPECIFICATION.decode(module, name, data)


def encode(kind: Kind, value: Any, trimmed: bool = False) -> bytes:
    """The complete encoding of a value; EncodeError when it is not one of the kind.

    trimmed: tell of additions only up to the last that is there, as stacks of OpenH323's family do. Both are read by
    everybody; the Recommendation's own form is the other.
    """
    module, name = kind.value
    return _SPECIFICATION.encode(module, name, value, trimmed)


def complete(kind: Kind, name: str, members: dict[str, Any]) -> dict[str, Any]:
    """The members of a SEQUENCE with False for each addition that is a BOOLEAN, must be there and is not given.

    kind: what the SEQUENCE is a part of. name: the type's ASN.1 name, as "Setup-UUIE" or "AdmissionRequest". KeyError
    when there is no such SEQUENCE.
    """
    return {**dict.fromkeys(_flags(kind, name), False), **members}


@cache
def _flags(kind: Kind, name: str) -> tuple[str, ...]:
    for module in _SPECIFICATION.reach(kind.value[0]):
        if name in _SPECIFICATION.names(module):
            type_ = _SPECIFICATION.type(module, name)
            if isinstance(type_, Sequence):
                return tuple(m.name for m in type_.additions or () if isinstance(m.type, Boolean) and not m.optional)
    raise KeyError(name)
