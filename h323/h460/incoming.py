"""How a call reaches an endpoint behind a translator (H.460.18 §9, §11). Pure.

Nobody can connect to it. So the server tells it by RAS (ServiceControlIndication) that a call waits and where; the
endpoint connects there and says first, in a FACILITY, which call it means; then the server sends the SETUP. In the same
way the endpoint opens a separate H.245 connection, and says first, in a generic indication, whose it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from h323.h245.events import Pdu
from h323.h460.features import SIGNALLING, find, octets, write_feature
from h323.messages import DecodeError, Kind, decode, encode
from h323.q931 import Type
from h323.signalling.aliases import read_address, write_address
from h323.signalling.events import Address, Signal
from h323.signalling.messages import PROTOCOL

Value = dict[str, Any]

CALL = 1
"""Parameter of the feature in a ServiceControlIndication: the call that waits (H.460.18 §16)."""
INDICATION = "0.0.8.460.18.0.1"
"""Identifier of the generic indication that comes first on an H.245 connection."""
CALL_IDENTIFIER = 1
ANSWERS = 2
"""Parameters of that indication: the call's identifier, and that it is the called side that connects."""
GLOBAL = 0
"""Call reference of messages that belong to no call (Q.931 §4.3)."""


@dataclass(frozen=True, slots=True)
class WaitingCall:
    """A call that waits at an address for the one called to connect there."""

    call: bytes
    address: Address


def write_waiting(waiting: WaitingCall) -> Value:
    """Return what a ServiceControlIndication says of a call, without sequence number.

    A session is opened in it, as other servers do, although the Recommendation asks for none: an empty list is no
    message to some endpoints.
    """
    value = {"callSignallingAddress": write_address(waiting.address), "callID": {"guid": waiting.call}}
    feature = write_feature(SIGNALLING, {CALL: ("raw", encode(Kind.INCOMING_CALL, value))})
    return {"serviceControl": [{"sessionId": 0, "reason": ("open", None)}], "genericData": [feature]}


def read_waiting(body: Value) -> WaitingCall | None:
    """Return the call of which a ServiceControlIndication tells; None where it is about something else."""
    feature = find(body.get("genericData") or (), SIGNALLING)
    for data in octets(feature, CALL) if feature is not None else ():
        try:
            value = decode(Kind.INCOMING_CALL, data)
        except DecodeError:
            continue
        address = read_address(value["callSignallingAddress"])
        if address is not None:
            return WaitingCall(bytes(value["callID"]["guid"]), address)
    return None


def write_arrival(call: bytes) -> Signal:
    """Return the FACILITY that the endpoint sends first on the connection that it has opened for a call."""
    body: Value = {
        "protocolIdentifier": PROTOCOL,
        "reason": ("undefinedReason", None),
        "callIdentifier": {"guid": call},
        "multipleCalls": False,
        "maintainConnection": False,
    }
    return Signal(Type.FACILITY, GLOBAL, True, body, tunnelling=True)


def read_arrival(signal: Signal) -> bytes | None:
    """Return the call that a connection's first message names; None if it is no such message."""
    if signal.kind is not Type.FACILITY or signal.body is None:
        return None
    reason = signal.body.get("reason")
    guid = (signal.body.get("callIdentifier") or {}).get("guid")
    return bytes(guid) if guid and reason is not None and reason[0] == "undefinedReason" else None


def write_indication(call: bytes, answers: bool) -> Pdu:
    """Return the first message on an H.245 connection that the endpoint opens; answers: it is the one called."""
    content: list[Value] = [
        {"parameterIdentifier": ("standard", CALL_IDENTIFIER), "parameterValue": ("octetString", call)}
    ]
    if answers:
        content.append({"parameterIdentifier": ("standard", ANSWERS), "parameterValue": ("logical", None)})
    message = {
        "messageIdentifier": ("standard", INDICATION),
        "subMessageIdentifier": 1,
        "messageContent": content,
    }
    return ("indication", ("genericIndication", message))
