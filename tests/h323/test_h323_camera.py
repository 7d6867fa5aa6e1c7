"""Camera control in H.245: capabilities, channels of both framings, each way by itself, encrypted too."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from h323.describe.camera import ANNEX_Q, read_camera, write_camera
from h323.describe.capabilities import read_capabilities, write_capabilities
from h323.describe.channels import read_answer, read_request
from h323.h235.capabilities import secure
from h323.h235.security import MediaSecurity
from h323.messages import Kind as Message
from h323.messages import decode, encode
from h323.sessions import Sessions
from transcode.media import Codec, Format, Kind, MediaDescription, StreamDescription, Transport

BOTH = tuple(Format(Codec.H224, 100, 8000, parameters=(("framing", one),)) for one in ("hdlc", "plain"))


def local(framings: tuple[Format, ...] = BOTH) -> MediaDescription:
    place = Transport("192.0.2.1", 5004)
    return MediaDescription((StreamDescription("0", Kind.CAMERA, framings, framings, place),))


def told(value: Any) -> Any:
    """Return a capability set as it comes out of the codec."""
    numbered = {"sequenceNumber": 1, "protocolIdentifier": "0.0.8.245.0.15", **value}
    return decode(Message.H245, encode(Message.H245, ("request", ("terminalCapabilitySet", numbered))))[1][1]


def test_both_framings_are_told_and_read_in_our_order() -> None:
    peer = read_capabilities(told(write_capabilities(local())))
    assert [one.format for one in peer.of(Kind.CAMERA)] == list(BOTH)
    assert write_camera("hdlc") == {"application": ("h224", ("hdlcFrameTunnelling", None)), "maxBitRate": 64}
    assert read_camera({"application": ("t120", ("separateLANStack", None)), "maxBitRate": 640}) is None
    assert read_camera({"application": ("h224", ("transparent", None)), "maxBitRate": 64}) is None
    other = {"capabilityIdentifier": ("standard", "0.0.8.224.1.1")}
    assert ANNEX_Q not in str(other)
    assert read_camera({"application": ("genericDataCapability", other), "maxBitRate": 64}) is None


@pytest.mark.parametrize("framing", BOTH, ids=["HDLC", "Annex Q"])
@pytest.mark.parametrize("encrypted", [False, True], ids=["clear", "encrypted"])
def test_each_side_opens_a_channel_of_its_own(framing: Format, encrypted: bool) -> None:
    one, other = Sessions(local(), "192.0.2.1"), Sessions(local((framing,)), "192.0.2.2")
    sets = [write_capabilities(local()), write_capabilities(local((framing,)))]
    if encrypted:
        caller, callee = MediaSecurity(Random(1)), MediaSecurity(Random(2))
        assert callee.take_offer(caller.offer())
        assert caller.take_answer(callee.answer())
        one.security.security, other.security.security = caller, callee
        one.security.master = True
        sets = [secure(value, caller.ciphers) for value in sets]
    one.take_abilities(read_capabilities(told(sets[1])))
    other.take_abilities(read_capabilities(told(sets[0])))
    for opener, taker, master in ((one, other, False), (other, one, True)):
        (opening,) = opener.openings()
        opener.opened(opening, 1)
        request = {"forwardLogicalChannelNumber": 1, **opening.request}
        wired = decode(Message.H245, encode(Message.H245, ("request", ("openLogicalChannel", request))))[1][1]
        answer = taker.offered(read_request(wired), master)
        assert isinstance(answer, dict), answer
        assert opener.answered(1, read_answer(answer))
    (ours,) = one.remote().streams
    assert (ours.kind, ours.separate) == (Kind.CAMERA, True)
    assert ours.receive == (replace(framing, payload_type=96),)
    assert len(ours.send) == 1
    assert (ours.transport.h235 is not None) is encrypted


def test_a_channel_for_both_ways_and_other_data_are_refused() -> None:
    sessions = Sessions(local(), "192.0.2.1")
    half = {
        "dataType": ("data", write_camera("hdlc")),
        "multiplexParameters": ("h2250LogicalChannelParameters", {"sessionID": 3, "dynamicRTPPayloadType": 100}),
    }
    request = {"forwardLogicalChannelNumber": 1, "forwardLogicalChannelParameters": half}
    both = {**request, "reverseLogicalChannelParameters": half}
    assert sessions.offered(read_request(both), True) == "unsuitableReverseParameters"
    t120 = {"application": ("t120", ("separateLANStack", None)), "maxBitRate": 640}
    other = {**request, "forwardLogicalChannelParameters": {**half, "dataType": ("data", t120)}}
    assert sessions.offered(read_request(other), True) == "dataTypeNotSupported"
    assert isinstance(sessions.offered(read_request(request), True), dict)
