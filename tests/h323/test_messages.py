"""The messages' kinds: shapes of values, additions of newer versions, and the parse that is kept."""

from __future__ import annotations

import json
from typing import Any

import pytest

from h323.asn1 import load, parse
from h323.messages import DecodeError, EncodeError, Kind, complete, decode, encode

GUID = bytes(range(16))
H221 = ("h221NonStandard", {"t35CountryCode": 181, "t35Extension": 0, "manufacturerCode": 21324})


def test_modules_json_is_made_of_the_asn_texts() -> None:
    """If this fails, run `python -m h323.asn1.parse`."""
    assert json.loads(parse.PARSED.read_text("utf-8"))["made_of"] == parse.digest()
    assert parse.PARSED.read_text("utf-8") == parse.text(load())


@pytest.mark.interop
@pytest.mark.timeout(300)
def test_modules_json_is_the_parse_of_the_asn_texts() -> None:
    assert load() == parse.parse()


@pytest.mark.parametrize(
    ("kind", "value", "octets"),
    [
        # 00100001 response, alternative 3 of 19 in the root: 0 00011; no additions; sequence number 1
        (Kind.H245, ("response", ("terminalCapabilitySetAck", {"sequenceNumber": 1})), "218001"),
        # 0 00111 = unregistrationConfirm, no additions, no optional; sequence number 7 - 1 in 16 bits
        (Kind.RAS, ("unregistrationConfirm", {"requestSeqNum": 7}), "1c0006"),
    ],
)
def test_messages_go_both_ways(kind: Kind, value: Any, octets: str) -> None:
    assert encode(kind, value).hex() == octets
    assert decode(kind, bytes.fromhex(octets)) == value


def test_complete_gives_flags_that_must_be_there() -> None:
    uuie = complete(
        Kind.H225,
        "Alerting-UUIE",
        {
            "protocolIdentifier": "0.0.8.2250.0.7",
            "destinationInfo": {"mc": False, "undefinedNode": False},
            "callIdentifier": {"guid": GUID},
            "maintainConnection": True,
        },
    )
    assert (uuie["multipleCalls"], uuie["maintainConnection"]) == (False, True)
    pdu = complete(Kind.H225, "H323-UU-PDU", {"h323-message-body": ("alerting", uuie)})
    value = {"h323-uu-pdu": pdu}
    assert decode(Kind.H225, encode(Kind.H225, value)) == value


def test_complete_finds_types_in_other_modules() -> None:
    request = complete(Kind.RAS, "AdmissionRequest", {"canMapAlias": True})
    assert request == {"canMapAlias": True, "willSupplyUUIEs": False, "canMapSrcAlias": False}
    capability = complete(Kind.H245, "H263VideoCapability", {"maxBitRate": 3840})
    assert capability == {"errorCompensation": False, "maxBitRate": 3840}


def test_complete_knows_no_other_types() -> None:
    with pytest.raises(KeyError):
        complete(Kind.H225, "AliasAddress", {})


def test_unknown_additions_are_left_out() -> None:
    ack = encode(Kind.H245, ("response", ("terminalCapabilitySetAck", {"sequenceNumber": 1})))
    # the same with additions: 1 extended, 01; 2 additions, of which the second is there: one octet, 55
    newer = bytes.fromhex("21c00102800155")
    assert decode(Kind.H245, newer) == decode(Kind.H245, ack)


def test_unknown_alternatives_decode_and_are_refused_when_sent() -> None:
    # 0 00 request, 1 an addition, 0 001001 its number 9; then an open type of one octet
    value = decode(Kind.H245, bytes.fromhex("11200155"))
    assert value == ("request", (None, None))
    with pytest.raises(EncodeError):
        encode(Kind.H245, value)


def test_what_is_not_spoken_here_is_refused() -> None:
    # 0 00 request, 0 0110 multiplexEntrySend: a part of H.324
    with pytest.raises(DecodeError, match=r"request\.multiplexEntrySend: is not supported"):
        decode(Kind.H245, bytes.fromhex("0600"))
