"""What H.460.17, .18 and .19 put into messages: against octets of H323Plus 1.28 and GnuGk 5.15, and back."""

from __future__ import annotations

from typing import Any

import pytest

from h323.h460.call import CallTraversal, Role
from h323.h460.features import MEDIA, SIGNALLING, find, parameters, refused, told, write_feature, write_supported
from h323.h460.incoming import WaitingCall, read_arrival, read_waiting, write_arrival, write_indication, write_waiting
from h323.h460.media import IDENTIFIER, Way, read_way, write_way
from h323.h460.tunnel import TunnelAddress, read_tunnelled, write_tunnelled
from h323.messages import Kind, decode, encode
from h323.signalling.events import Address
from h323.signalling.wire import read_signal, write_signal

CALL = bytes.fromhex("bc0c005499e7f1119b6302fc00000001")
SUMMONS = bytes.fromhex("00c6120511d10b00") + CALL
"""IncomingCallIndication as GnuGk writes it."""
WAYS = {
    "0a00c61287394e200012": Way(keep_alive=Address("198.18.135.57", 20000), interval=19),
    "05fc": Way(payload_type=127),
    "70000a4d00020ad8000a4d00020ad9800d95aa": Way(Address("10.77.0.2", 2776), Address("10.77.0.2", 2777), 890282),
    "7a00c6128de532c800c6128de532c9000100c6128de532c80012": Way(
        Address("198.18.141.229", 13000),
        Address("198.18.141.229", 13001),
        1,
        Address("198.18.141.229", 13000),
        None,
        19,
    ),
    "74000a4d00020ad8000a4d00020ad9800d95aafe": Way(
        Address("10.77.0.2", 2776), Address("10.77.0.2", 2777), 890282, None, 127
    ),
}
"""TraversalParameters of GnuGk and of H323Plus, of channels and of answers."""


def test_a_summons_is_written_as_gnugk_writes_it() -> None:
    body = write_waiting(WaitingCall(CALL, Address("198.18.5.17", 53515)))
    (feature,) = body["genericData"]
    assert parameters(feature, 1) == [("raw", SUMMONS)]
    assert read_waiting(body) == WaitingCall(CALL, Address("198.18.5.17", 53515))


@pytest.mark.parametrize("data", [b"", b"\xff" * 4, SUMMONS[:-3]])
def test_a_summons_that_cannot_be_read_is_about_nothing(data: bytes) -> None:
    assert read_waiting({"genericData": [write_feature(SIGNALLING, {1: ("raw", data)})]}) is None
    assert read_waiting({}) is None


def test_the_first_message_of_a_connection_names_its_call() -> None:
    assert read_arrival(read_signal(write_signal(write_arrival(CALL)))) == CALL


def test_ras_goes_through_call_signalling_and_comes_out_the_same() -> None:
    ras = encode(Kind.RAS, ("unregistrationConfirm", {"requestSeqNum": 7}))
    signal = read_signal(write_signal(write_tunnelled(ras)))
    assert (signal.reference, signal.body) == (0, None)
    assert read_tunnelled(signal) == [ras]
    assert read_tunnelled(read_signal(write_signal(write_arrival(CALL)))) is None


def test_the_end_of_a_connection_is_never_taken_for_the_source_of_a_datagram() -> None:
    assert TunnelAddress("192.0.2.1", 5) != Address("192.0.2.1", 5)
    assert TunnelAddress("192.0.2.1", 5) == TunnelAddress("192.0.2.1", 5)


def test_the_indication_that_opens_h245_can_be_encoded() -> None:
    for answers in (False, True):
        pdu = write_indication(CALL, answers)
        assert decode(Kind.H245, encode(Kind.H245, pdu)) == pdu


@pytest.mark.parametrize(("octets", "way"), WAYS.items(), ids=range(len(WAYS)))
def test_traversal_parameters_of_others_are_read_and_written_alike(octets: str, way: Way) -> None:
    information = {
        "messageIdentifier": ("standard", IDENTIFIER),
        "messageContent": [
            {"parameterIdentifier": ("standard", 1), "parameterValue": ("octetString", bytes.fromhex(octets))}
        ],
    }
    assert read_way([information]) == way
    assert write_way(way)["messageContent"] == information["messageContent"]


@pytest.mark.parametrize(
    "content",
    [[], [{"parameterIdentifier": ("standard", 1), "parameterValue": ("octetString", b"\x7f")}]],
    ids=["none, as H323Plus sends", "broken"],
)
def test_traversal_parameters_that_say_nothing_change_nothing(content: list[Any]) -> None:
    assert read_way([{"messageIdentifier": ("standard", IDENTIFIER), "messageContent": content}]) is None
    assert read_way([{"messageIdentifier": ("standard", "0.0.8.460.24.0.1")}]) is None
    assert read_way(None) is None


def test_features_are_found_wherever_a_message_tells_them() -> None:
    feature = write_feature(MEDIA, {1: None})
    for body in ({"supportedFeatures": [feature]}, {"featureSet": write_supported(feature)}):
        assert find(told(body), MEDIA) == feature
    assert told(None) == []
    assert refused({"neededFeatures": [write_feature(26), feature]}) == ["26"]
    assert refused({"featureSet": {"neededFeatures": [{"id": ("oid", "1.2.3")}]}}) == ["1.2.3"]


def agree(caller: CallTraversal, callee: CallTraversal) -> tuple[Role, Role]:
    callee.take_offer(caller.offer())
    caller.take_answer(callee.answer())
    return caller.role, callee.role


def test_the_two_sides_take_opposite_roles_or_none() -> None:
    both = {"serves": True, "uses": True}
    assert agree(CallTraversal(Role.SERVER), CallTraversal(**both)) == (Role.SERVER, Role.CLIENT)
    assert agree(CallTraversal(Role.CLIENT), CallTraversal(**both)) == (Role.CLIENT, Role.SERVER)
    assert agree(CallTraversal(Role.CLIENT), CallTraversal(uses=True)) == (Role.NONE, Role.NONE)
    assert agree(CallTraversal(Role.SERVER), CallTraversal(serves=True)) == (Role.NONE, Role.NONE)
    assert agree(CallTraversal(), CallTraversal(**both)) == (Role.NONE, Role.NONE)
