"""A call: both roles, every way for H.245, fast start, and every end."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from call_pair import CallPair, End
from h245_pair import ABILITIES, SOUND

from gateway.reasons import Reason
from h323.h245.events import (
    CapabilitiesReceived,
    ChannelAnswered,
    ChannelOffered,
    ChannelRefused,
    Determined,
    Keys,
    RoundTrip,
    Told,
)
from h323.q931 import Type
from h323.signalling.events import (
    Address,
    CallArrived,
    CallConnected,
    CallEnded,
    CloseSignalling,
    FastStartAnswered,
    Forwarded,
    KeypadPressed,
    Proceeding,
    Ringing,
    SetupFacts,
    Signal,
    SupplementaryService,
)
from h323.signalling.messages import facility
from h323.signalling.states import LEAVE_TIME, ROUND_TRIP_INTERVAL, T301, T302, T303, T304, T310, State

UNKNOWN = ("audioData", (None, None))
PROPOSAL = {"forwardLogicalChannelNumber": 1, **SOUND}


def controlled(end: End) -> bool:
    return end.call.control.ready


def test_a_slow_start_with_tunnelling_carries_capabilities_in_connect_and_facility() -> None:
    pair = CallPair()
    pair.place(display="Ann", called_number="100")
    pair.settle()
    arrived = pair.callee.reported(CallArrived)[0].facts
    assert arrived.called_aliases == ("100",)
    assert (arrived.display, arrived.called_number) == ("Ann", "100")
    assert (arrived.conference, arrived.call) == (bytes(range(16)), bytes(range(16, 32)))
    assert pair.callee.kinds() == ["CALL_PROCEEDING"]
    assert pair.caller.reported(Proceeding)
    pair.callee.call.ring(pair.now)
    pair.settle()
    assert pair.caller.reported(Ringing)
    pair.connect()
    assert pair.caller.reported(CallConnected) == [CallConnected("callee", "Roombridge 0.1")]
    connect = pair.callee.sent[2]
    assert connect.kind is Type.CONNECT
    assert len(connect.control) == 2
    assert {one.kind for one in pair.caller.sent[1:]} == {Type.FACILITY}
    assert all(one.body is None for one in pair.caller.sent[1:])
    for end in (pair.caller, pair.callee):
        assert end.call.state is State.ACTIVE
        assert controlled(end)
        assert not end.listening


WAYS = {
    "both tunnel": ({}, {}),
    "early in SETUP": ({"early_control": True}, {}),
    "caller does not tunnel": ({"tunnelling": False}, {}),
    "callee does not tunnel": ({}, {"tunnelling": False}),
    "early, but the callee does not tunnel": ({"early_control": True}, {"tunnelling": False}),
    "nobody tunnels": ({"tunnelling": False}, {"tunnelling": False}),
}


@pytest.mark.parametrize("fast", ["none", "accepted", "refused"])
@pytest.mark.parametrize("way", WAYS)
def test_every_start_ends_with_both_in_control(way: str, fast: str) -> None:
    caller, callee = WAYS[way]
    pair = CallPair(caller, callee)
    pair.place(fast_start=() if fast == "none" else (PROPOSAL,))
    pair.settle()
    facts = pair.callee.reported(CallArrived)[0].facts
    assert facts.fast_start == (() if fast == "none" else (PROPOSAL,))
    pair.connect(channels=(PROPOSAL,) if fast == "accepted" else None)
    for end in (pair.caller, pair.callee):
        assert controlled(end), end.told
        assert end.controlled(Determined)
        assert end.controlled(CapabilitiesReceived) == [CapabilitiesReceived(ABILITIES, False)]
    answered = pair.caller.reported(FastStartAnswered)
    expected = {"none": [], "accepted": [FastStartAnswered((PROPOSAL,))], "refused": [FastStartAnswered(())]}
    assert answered == expected[fast]
    _talk_and_end(pair)


def _talk_and_end(pair: CallPair) -> None:
    number = pair.caller.call.control.open(SOUND, pair.now)
    pair.caller.call.flush()
    pair.settle()
    assert number is not None
    assert [one.number for one in pair.callee.controlled(ChannelOffered)] == [number]
    pair.callee.call.control.accept(number, {}, pair.now)
    pair.callee.call.flush()
    pair.settle()
    assert pair.caller.controlled(ChannelAnswered)
    pair.callee.call.release(Reason.ROOM_CLOSED, pair.now)
    pair.settle()
    for end in (pair.caller, pair.callee):
        assert end.call.over
        assert len(end.reported(CallEnded)) == 1
        assert end.reported(CloseSignalling)
        assert end.call.next_timeout() is None


def test_a_fast_start_may_be_answered_while_it_rings() -> None:
    pair = CallPair()
    pair.place(fast_start=(PROPOSAL,))
    pair.settle()
    pair.callee.call.ring(pair.now, (PROPOSAL,))
    pair.settle()
    assert pair.caller.reported(FastStartAnswered) == [FastStartAnswered((PROPOSAL,))]
    pair.connect()
    assert len(pair.caller.reported(FastStartAnswered)) == 1
    assert "fastConnectRefused" not in (pair.callee.sent[-1].body or {})


@pytest.mark.parametrize("reason", [Reason.BUSY, Reason.NO_SUCH_ROOM, Reason.DECLINED, Reason.WRONG_PIN])
def test_a_refusal_says_why(reason: Reason) -> None:
    pair = CallPair()
    pair.place()
    pair.settle()
    pair.callee.call.release(reason, pair.now)
    pair.settle()
    ended = pair.caller.reported(CallEnded)[0]
    assert ended.cause == reason.meaning.q850
    assert ended.detail == reason.meaning.h225
    assert not pair.caller.reported(CallConnected)


def test_the_caller_gives_up_while_it_rings() -> None:
    pair = CallPair()
    pair.place()
    pair.settle()
    pair.callee.call.ring(pair.now)
    pair.settle()
    pair.caller.call.release(Reason.CANCELLED, pair.now)
    pair.settle()
    assert [one.reason for one in pair.callee.reported(CallEnded)] == [Reason.NORMAL]
    pair.callee.call.connect(ABILITIES, pair.now)
    assert pair.callee.call.take() == []


def test_nobody_answers_at_all() -> None:
    pair = CallPair()
    pair.place()
    pair.drain(pair.caller)
    assert pair.caller.call.next_timeout() == pair.now + T303
    pair.tick(T303)
    assert [one.reason for one in pair.caller.reported(CallEnded)] == [Reason.TIMEOUT]
    assert pair.caller.kinds() == ["SETUP", "RELEASE_COMPLETE"]


def test_a_call_that_only_proceeds_or_only_rings_is_given_up() -> None:
    for ring, limit, reason in ((False, T310, Reason.TIMEOUT), (True, T301, Reason.NO_ANSWER)):
        pair = CallPair()
        pair.place()
        pair.settle()
        if ring:
            pair.callee.call.ring(pair.now)
            pair.settle()
        pair.tick(limit - 1)
        assert not pair.caller.call.over
        pair.tick(1)
        assert [one.reason for one in pair.caller.reported(CallEnded)] == [reason]


def test_a_connect_may_come_without_anything_before() -> None:
    pair = CallPair()
    pair.place()
    pair.drain(pair.caller)
    connect = Signal(Type.CONNECT, 7, True, {"destinationInfo": {}}, True)
    pair.caller.call.receive(connect, pair.now)
    pair.drain(pair.caller)
    assert pair.caller.reported(CallConnected)
    assert pair.caller.kinds() == ["SETUP", "FACILITY"]
    assert len(pair.caller.sent[1].control) == 2


def test_a_peer_that_never_speaks_h245_has_a_call_all_the_same() -> None:
    pair = CallPair()
    pair.place()
    pair.settle()
    pair.connect()
    pair.tick(40)
    assert pair.caller.call.state is State.ACTIVE


def test_a_connection_that_breaks_ends_the_call() -> None:
    pair = CallPair()
    pair.place()
    pair.settle()
    pair.connect()
    pair.callee.call.closed(pair.now)
    pair.drain(pair.callee)
    assert [one.reason for one in pair.callee.reported(CallEnded)] == [Reason.TRANSPORT_FAILED]
    assert not any(one.kind is Type.RELEASE_COMPLETE for one in pair.callee.sent)


def test_keys_come_by_information_and_by_h245() -> None:
    pair = CallPair()
    pair.place()
    pair.settle()
    pair.connect()
    pair.caller.call.press("12#")
    pair.caller.call.control.send(("indication", ("userInput", ("alphanumeric", "7"))))
    pair.caller.call.flush()
    pair.settle()
    assert pair.callee.reported(KeypadPressed) == [KeypadPressed("12#")]
    assert pair.callee.controlled(Keys) == [Keys("7")]


def test_an_inquiry_is_answered_with_the_state() -> None:
    pair = CallPair()
    pair.place()
    pair.settle()
    pair.caller.call.inquire()
    pair.settle()
    status = pair.callee.sent[-1]
    assert (status.kind, status.call_state, status.cause) == (Type.STATUS, State.INCOMING_PROCEEDING.value, 30)


def test_a_facility_may_send_the_call_elsewhere_or_ask_for_a_service() -> None:
    pair = CallPair()
    pair.place()
    pair.settle()
    address = ("ipAddress", {"ip": b"\x7f\0\0\1", "port": 1720})
    more = {"alternativeAddress": address, "alternativeAliasAddress": [("dialledDigits", "200")]}
    body = facility(pair.callee.call.facts, "callForwarded", **more)
    extra = {"h4501SupplementaryService": [b"\x01"]}
    pair.callee.call.facility(body, extra)
    pair.settle()
    assert pair.caller.reported(Forwarded) == [
        Forwarded("callForwarded", Address("127.0.0.1", 1720), ("200",), bytes(range(16)))
    ]
    assert pair.caller.reported(SupplementaryService) == [SupplementaryService((b"\x01",))]


def test_the_round_trip_is_measured_once_a_minute() -> None:
    pair = CallPair()
    pair.place()
    pair.settle()
    pair.connect()
    pair.tick(ROUND_TRIP_INTERVAL)
    pair.settle()
    assert pair.caller.controlled(RoundTrip) == [RoundTrip(0.0)]


def test_a_second_setup_with_the_same_reference_changes_nothing() -> None:
    pair = CallPair()
    pair.place()
    pair.settle()
    setup = pair.caller.sent[0]
    pair.callee.call.receive(replace(setup, display="Eve"), pair.now)
    pair.drain(pair.callee)
    assert len(pair.callee.reported(CallArrived)) == 1
    assert pair.callee.kinds() == ["CALL_PROCEEDING"]


def test_tunnelled_rubbish_is_answered_and_the_call_goes_on() -> None:
    pair = CallPair()
    pair.place()
    pair.settle()
    pair.connect()
    before = len(pair.callee.sent)
    pair.callee.call.receive(Signal(Type.FACILITY, 7, False, None, True, (b"\xff" * 9,)), pair.now)
    pair.drain(pair.callee)
    assert len(pair.callee.sent) == before + 1
    assert pair.callee.call.state is State.ACTIVE


def test_five_thousand_random_calls_leave_nothing_over() -> None:
    """Starts of every kind, both roles speaking at random moments, ends from either side."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    flags: list[dict[str, Any]] = [{"tunnelling": t, "early_control": e} for t, e in product((True, False), repeat=2)]
    for _ in range(5_000):
        pair = CallPair(rng.choice(flags), rng.choice(flags), rng.randrange(1 << 30), quick=True)
        pair.place(fast_start=rng.choice(((), (PROPOSAL,))))
        for _ in range(rng.randrange(30)):
            _random_step(pair, rng)
        end = rng.choice((pair.caller, pair.callee))
        if end.call.state is State.NULL:
            pair.settle()
        end.call.release(Reason.NORMAL, pair.now)
        pair.settle()
        for one in (pair.caller, pair.callee):
            assert one.call.over
            assert len(one.reported(CallEnded)) == 1
            assert one.call.next_timeout() is None
            assert one.call.control.census() == {"own": 0, "peer": 0, "timers": 0}


def _random_step(pair: CallPair, rng: random.Random) -> None:
    end = rng.choice((pair.caller, pair.callee))
    match rng.randrange(8):
        case 0 if end is pair.callee:
            end.call.ring(pair.now, rng.choice((None, (PROPOSAL,))))
        case 1 if end is pair.callee:
            end.call.connect(ABILITIES, pair.now, rng.choice((None, (PROPOSAL,))))
        case 2 if end.call.controlled:
            end.call.control.open(SOUND, pair.now)
            end.call.flush()
        case 3 if end.call.controlled:
            for number in list(end.call.control._peer):
                end.call.control.accept(number, {}, pair.now)
            end.call.flush()
        case 4 if end.call.state is not State.NULL:
            end.call.inquire()
        case _:
            for _ in range(rng.randrange(4)):
                pair.deliver(end)


def test_what_repeats_parts_of_a_later_version_is_not_sent_as_it_is() -> None:
    pair = CallPair()
    pair.place()
    pair.settle()
    pair.connect()
    call = pair.caller.call
    call.control.refuse_function(("request", ("conferenceRequest", (None, None))))
    number = call.control.open(
        {"forwardLogicalChannelParameters": {**SOUND["forwardLogicalChannelParameters"], "dataType": UNKNOWN}}, pair.now
    )
    call.flush()
    pair.settle()
    assert [event.name for event in pair.callee.controlled(Told)] == ["vendorIdentification", "functionNotSupported"]
    assert pair.caller.controlled(ChannelRefused) == [ChannelRefused(number, "unspecified")]
    assert not pair.callee.controlled(ChannelOffered)
    assert not call.writable({"forwardLogicalChannelNumber": 1})
    assert call.writable(PROPOSAL)


def test_a_number_that_comes_digit_by_digit_is_asked_for() -> None:
    pair = CallPair()
    pair.place(called_aliases=(), body={"canOverlapSend": True})
    pair.settle()
    assert pair.callee.kinds() == ["SETUP_ACKNOWLEDGE"]
    assert not pair.callee.reported(CallArrived)
    for keys in ("4", "7#"):
        pair.caller.call.press(keys)
        pair.settle()
    assert pair.callee.reported(CallArrived)[0].facts.called_number == "47"
    assert pair.callee.kinds() == ["SETUP_ACKNOWLEDGE", "CALL_PROCEEDING"]
    assert not pair.callee.reported(KeypadPressed)


def test_a_number_is_whole_when_no_digit_comes_for_long() -> None:
    pair = CallPair()
    pair.place(called_aliases=(), body={"canOverlapSend": True})
    pair.settle()
    pair.caller.call.press("12")
    pair.settle()
    pair.tick(T302 + 0.1)
    assert pair.callee.reported(CallArrived)[0].facts.called_number == "12"


def test_a_peer_that_ends_its_session_is_released_when_it_says_no_more() -> None:
    pair = CallPair()
    pair.place()
    pair.settle()
    pair.connect()
    pair.callee.call.control.end(pair.now)
    pair.callee.call.flush()
    pair.settle()
    assert pair.caller.call.state is State.ACTIVE
    pair.tick(LEAVE_TIME + 0.1)
    assert pair.caller.reported(CallEnded)[0].reason is Reason.NORMAL


# a number that is dialled bit by bit, by us


def test_digits_follow_once_the_called_side_asks_for_more() -> None:
    pair = CallPair()
    pair.caller.call.place(SetupFacts(conference=bytes(16), call=bytes(range(16))), ABILITIES, pair.now, overlap=True)
    pair.caller.call.dial("1", pair.now)
    pair.settle()
    pair.caller.call.dial("0", pair.now)
    pair.caller.call.dial("0", pair.now, whole=True)
    pair.settle()
    numbers = [(one.number, one.complete) for one in pair.caller.sent if one.kind is Type.INFORMATION]
    assert numbers == [("1", False), ("0", False), ("0", True)]
    (arrived,) = pair.callee.reported(CallArrived)
    assert arrived.facts.called_number == "100"
    pair.connect()
    assert pair.caller.call.state is State.ACTIVE


def test_a_called_side_that_wants_more_of_a_whole_number_hears_that_it_is_whole() -> None:
    pair = CallPair()
    pair.place(called_number="100", called_aliases=())
    pair.settle()
    call = pair.caller.call
    call.state = State.INITIATED
    call.receive(Signal(Type.SETUP_ACKNOWLEDGE, 7, True), pair.now)
    pair.drain(pair.caller)
    assert [(one.number, one.complete) for one in pair.caller.sent if one.kind is Type.INFORMATION] == [("", True)]
    assert call.state is State.OVERLAP_SENDING


def test_a_called_side_that_never_answers_to_its_digits_is_given_up() -> None:
    pair = CallPair()
    pair.caller.call.place(SetupFacts(conference=bytes(16), call=bytes(range(16))), ABILITIES, pair.now, overlap=True)
    pair.caller.call.receive(Signal(Type.SETUP_ACKNOWLEDGE, 7, True), pair.now)
    pair.now += T304 + 0.1
    pair.caller.call.tick(pair.now)
    assert pair.caller.call.over
