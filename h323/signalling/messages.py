"""The contents of call signalling messages (H.225.0 §7.3), written and read. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.reasons import Reason, from_h225
from h323.h245.events import Pdu
from h323.signalling.aliases import read_address, read_aliases, write_address, write_alias
from h323.signalling.control_way import ControlCodec
from h323.signalling.events import Address, SetupFacts, Signal, Value

PROTOCOL = "0.0.8.2250.0.7"
"""H.225.0 version 7 (the object identifier of its clause 8)."""
MAX_CHANNELS = 128
"""Proposals read of one fast start; H323Plus makes 52."""
MAX_TEXT = 128
"""Characters kept of a product's name."""
Body = Value


@dataclass(frozen=True, slots=True)
class LocalParty:
    """Who we are: display name, aliases, product and version, and the manufacturer's T.35 country and code.

    mcu says that we are a bridge and not a gateway. The codes are those of nobody: 0 is what stacks without an
    assignment write.
    """

    display: str = "Roombridge"
    aliases: tuple[str, ...] = ()
    product: str = "Roombridge"
    version: str = "0.1"
    country: int = 0
    manufacturer: int = 0
    mcu: bool = True


def endpoint_type(local: LocalParty) -> Value:
    """Return our EndpointType (H.225.0 §7.6)."""
    vendor = {"t35CountryCode": local.country, "t35Extension": 0, "manufacturerCode": local.manufacturer}
    kind: Value = {"mcu": {}} if local.mcu else {"gateway": {}}
    return {
        "vendor": {
            "vendor": vendor,
            "productId": local.product.encode()[:MAX_TEXT],
            "versionId": local.version.encode()[:MAX_TEXT],
        },
        **kind,
        "mc": local.mcu,
        "undefinedNode": False,
    }


def vendor_identification(local: LocalParty) -> Pdu:
    """Return the indication by which H.245 tells who we are (H.245 §B.14.8)."""
    vendor = {"t35CountryCode": local.country, "t35Extension": 0, "manufacturerCode": local.manufacturer}
    value = {
        "vendor": ("h221NonStandard", vendor),
        "productNumber": local.product.encode()[:MAX_TEXT] or b"?",
        "versionNumber": local.version.encode()[:MAX_TEXT] or b"?",
    }
    return ("indication", ("vendorIdentification", value))


def product(endpoint: Value | None) -> str:
    """Return product and version of a peer's EndpointType as text."""
    vendor = (endpoint or {}).get("vendor") or {}
    parts = [_text(vendor.get(name)) for name in ("productId", "versionId")]
    return " ".join(part for part in parts if part)[:MAX_TEXT]


def _text(octets: bytes | None) -> str:
    if not octets:
        return ""
    said = bytes(octets).decode("utf-8", "replace")
    return "".join(one for one in said if one.isprintable()).strip()


def transport(address: Address) -> Any:
    """Return a TransportAddress."""
    return write_address(address)


def bare(call: bytes) -> Body:
    """Return the contents that say only which call is meant: STATUS, STATUS INQUIRY."""
    return {"protocolIdentifier": PROTOCOL, "callIdentifier": {"guid": call}}


information = bare
setup_acknowledge = bare


def setup(local: LocalParty, facts: SetupFacts, fast_start: Sequence[bytes]) -> Body:
    """Return a SETUP's contents."""
    body: Body = {
        "protocolIdentifier": PROTOCOL,
        "sourceInfo": endpoint_type(local),
        "activeMC": False,
        "conferenceID": facts.conference,
        "conferenceGoal": ("create", None),
        "callType": ("pointToPoint", None),
        "callIdentifier": {"guid": facts.call},
        "mediaWaitForConnect": False,
        "canOverlapSend": False,
        "multipleCalls": False,
        "maintainConnection": False,
    }
    sources = facts.caller_aliases or local.aliases
    if sources:
        body["sourceAddress"] = [write_alias(one) for one in sources]
    if facts.called_aliases:
        body["destinationAddress"] = [write_alias(one) for one in facts.called_aliases]
    if facts.called_address is not None:
        body["destCallSignalAddress"] = write_address(facts.called_address)
    if facts.caller_address is not None:
        body["sourceCallSignalAddress"] = write_address(facts.caller_address)
    if fast_start:
        body["fastStart"] = list(fast_start)
    return {**body, **facts.body}


def call_proceeding(local: LocalParty, call: bytes) -> Body:
    """Return the contents of CALL PROCEEDING. Further calls may come on the connection; it closes with the last one."""
    return {
        "protocolIdentifier": PROTOCOL,
        "destinationInfo": endpoint_type(local),
        "callIdentifier": {"guid": call},
        "multipleCalls": True,
        "maintainConnection": False,
    }


alerting = call_proceeding


def connect(local: LocalParty, facts: SetupFacts) -> Body:
    """Return the contents of CONNECT."""
    return {**call_proceeding(local, facts.call), "conferenceID": facts.conference}


def release_complete(call: bytes, reason: Reason) -> Body:
    """Return the contents of RELEASE COMPLETE."""
    return {
        "protocolIdentifier": PROTOCOL,
        "reason": (reason.meaning.h225, None),
        "callIdentifier": {"guid": call},
    }


def facility(facts: SetupFacts, reason: str, **more: Any) -> Body:
    """Return the contents of a FACILITY; more are further members of Facility-UUIE."""
    return {
        "protocolIdentifier": PROTOCOL,
        "conferenceID": facts.conference,
        "reason": (reason, None),
        "callIdentifier": {"guid": facts.call},
        "multipleCalls": False,
        "maintainConnection": False,
        **more,
    }


def start_h245(facts: SetupFacts, address: Address) -> Body:
    """Return the contents of a FACILITY that tells where we listen for H.245 (H.323 §8.2.3)."""
    return facility(facts, "startH245", h245Address=write_address(address))


def facility_reason(body: Value) -> str:
    """Return the reason of a FACILITY."""
    reason = body.get("reason")
    return str(reason[0]) if reason else ""


def read_channels(encoded: Iterable[bytes], codec: ControlCodec) -> tuple[Value, ...]:
    """Return the channels of a fast start that can be read."""
    channels = []
    for data in list(encoded)[:MAX_CHANNELS]:
        try:
            channels.append(codec.decode_channel(bytes(data)))
        except ValueError:
            continue  # one proposal of a newer kind must not cost the others
    return tuple(channels)


def read_setup(signal: Signal, codec: ControlCodec) -> SetupFacts:
    """Return what a SETUP says; whatever cannot be read is left out."""
    body = signal.body or {}
    guid = (body.get("callIdentifier") or {}).get("guid")
    return SetupFacts(
        caller_aliases=read_aliases(body.get("sourceAddress")),
        called_aliases=read_aliases(body.get("destinationAddress")),
        caller_number=signal.caller,
        called_number=signal.number,
        display=signal.display,
        called_address=read_address(body.get("destCallSignalAddress")),
        caller_address=read_address(body.get("sourceCallSignalAddress")),
        conference=bytes(body.get("conferenceID") or bytes(16)),
        call=bytes(guid or bytes(16)),
        product=product(body.get("sourceInfo")),
        bandwidth=signal.bandwidth,
        fast_start=read_channels(body.get("fastStart") or (), codec),
        body=body,
    )


def read_release(signal: Signal) -> tuple[Reason, str]:
    """Return why a peer released the call, and its own word for it."""
    said = (signal.body or {}).get("reason")
    word = str(said[0]) if said and said[0] else ""
    return from_h225(word, signal.cause), word
