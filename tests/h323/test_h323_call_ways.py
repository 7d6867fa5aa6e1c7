"""How H.245 keeps its way when a peer knows less than we do or changes its mind, and how a peer is seen to live."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from call_pair import CallPair, End
from h245_pair import ABILITIES
from test_h323_call import PROPOSAL, controlled

from gateway.reasons import Reason
from h323.h245.events import CapabilitiesReceived, Determined, Told
from h323.messages import Kind, encode
from h323.q931 import Message, Type, build, user_user
from h323.signalling.events import CallConnected, CallEnded, FastStartAnswered, Signal
from h323.signalling.states import MAX_UNANSWERED, ROUND_TRIP_INTERVAL, State
from h323.signalling.wire import read_signal, write_signal

# what messages say of tunnelling


def test_plain_q931_says_nothing_of_tunnelling() -> None:
    """A gateway's STATUS or INFORMATION may lack the User-user element."""
    assert read_signal(build(Message(Type.INFORMATION, 7))).tunnelling is None
    pair = CallPair()
    pair.place()
    pair.settle()
    pair.connect()
    pair.callee.call.receive(read_signal(build(Message(Type.NOTIFY, 7))), pair.now)
    before = len(pair.callee.sent)
    pair.callee.call.control.send(("indication", ("userInput", ("alphanumeric", "1"))))
    pair.callee.call.flush()
    pair.settle()
    assert [bool(one.control) for one in pair.callee.sent[before:]] == [True]
    assert not pair.callee.listening


@pytest.mark.parametrize(("provisional", "said"), [(True, None), (False, False)])
def test_what_a_gatekeeper_says_before_the_endpoint_is_not_the_endpoints_word(
    provisional: bool, said: bool | None
) -> None:
    pdu: dict[str, Any] = {"h323-message-body": ("empty", None), "h245Tunnelling": False}
    if provisional:
        pdu["provisionalRespToH245Tunnelling"] = None
    element = user_user(encode(Kind.H225, {"h323-uu-pdu": pdu}))
    assert read_signal(build(Message(Type.FACILITY, 7, elements=(element,)))).tunnelling is said


def test_a_peer_that_stops_tunnelling_in_mid_call_is_told_where_to_connect() -> None:
    pair = CallPair()
    pair.place()
    pair.settle()
    pair.connect()
    pair.caller.call.receive(Signal(Type.FACILITY, 7, True, None, False), pair.now)
    pair.drain(pair.caller)
    assert pair.caller.listening
    where = pair.caller.sent[-1]
    assert (where.kind, where.tunnelling) == (Type.FACILITY, False)
    assert where.body is not None
    assert where.body["reason"] == ("startH245", None)
    pair.settle()  # the peer connects
    pair.caller.call.control.send(("indication", ("userInput", ("alphanumeric", "1"))))
    pair.caller.call.flush()
    pair.drain(pair.caller)
    assert [what for what, _ in pair.caller.way] == ["control"]


# early in SETUP


def early(fast: bool = True) -> CallPair:
    pair = CallPair({"early_control": True})
    pair.place(fast_start=(PROPOSAL,) if fast else ())
    return pair


def setup_of(pair: CallPair) -> Signal:
    pair.drain(pair.caller)
    return pair.caller.sent[0]


def test_beside_fast_start_the_early_messages_are_parallel_ones() -> None:
    """h245Control beside fastStart would end the fast start with older endpoints (H.323 §8.2.4)."""
    setup = setup_of(early())
    assert (len(setup.control), setup.parallel) == (2, True)
    again = read_signal(write_signal(setup))
    assert again.control == setup.control
    assert again.body is not None
    assert len(again.body["parallelH245Control"]) == 2
    slow = setup_of(early(fast=False))
    assert (len(slow.control), slow.parallel) == (2, False)


def test_parallel_messages_and_fast_start_are_both_answered() -> None:
    pair = early()
    pair.settle()
    pair.connect(channels=(PROPOSAL,))
    assert pair.caller.reported(FastStartAnswered) == [FastStartAnswered((PROPOSAL,))]
    assert pair.callee.sent[0].kind is Type.CALL_PROCEEDING
    assert len(pair.callee.sent[0].control) == 2, "what the SETUP carried is answered at once"
    for end in (pair.caller, pair.callee):
        assert controlled(end)
        assert len(end.controlled(CapabilitiesReceived)) == 1


def _deaf(pair: CallPair) -> None:
    """The callee is one that passes over what it does not know in a SETUP."""
    pair.drain(pair.caller)
    what, data = pair.caller.way.popleft()
    assert what == "signal"
    setup = read_signal(data)
    body = {name: part for name, part in (setup.body or {}).items() if name != "parallelH245Control"}
    pair.callee.call.receive(replace(setup, body=body, control=(), parallel=False), pair.now)
    pair.drain(pair.callee)


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "slow"])
def test_a_callee_that_passed_over_early_messages_is_sent_them_again(fast: bool) -> None:
    pair = early(fast)
    _deaf(pair)
    pair.settle()
    call = pair.callee.call
    call._started = True  # it begins no H.245 itself
    call.connect(ABILITIES, pair.now, (PROPOSAL,) if fast else None)
    pair.settle()
    assert pair.caller.reported(CallConnected)
    assert [event.empty for event in pair.callee.controlled(CapabilitiesReceived)] == [False]
    assert pair.callee.controlled(Determined)


def test_a_callee_that_does_not_tunnel_reads_nothing_that_is_tunnelled() -> None:
    pair = CallPair({"early_control": True}, {"tunnelling": False})
    pair.place()
    pair.settle()
    assert not pair.callee.controlled(CapabilitiesReceived)
    pair.connect()
    for end in (pair.caller, pair.callee):
        assert controlled(end)
        assert len(end.controlled(CapabilitiesReceived)) == 1


# whether the peer lives


def test_each_says_once_who_it_is() -> None:
    pair = CallPair()
    pair.place()
    pair.settle()
    pair.connect()
    for end in (pair.caller, pair.callee):
        (told,) = [one for one in end.controlled(Told) if one.name == "vendorIdentification"]  # type: ignore[attr-defined]
        assert told.value["productNumber"] == b"Roombridge"  # type: ignore[attr-defined]


def connected(**callee: Any) -> CallPair:
    pair = CallPair()
    pair.place()
    pair.settle()
    pair.connect()
    return pair


def _minutes(pair: CallPair, count: int, answered: bool) -> None:
    for _ in range(count):
        pair.now += ROUND_TRIP_INTERVAL
        pair.caller.call.tick(pair.now)
        pair.drain(pair.caller)
        if answered:
            pair.settle()
        else:
            pair.caller.way.clear()


def test_a_peer_that_answered_and_falls_silent_is_given_up() -> None:
    pair = connected()
    _minutes(pair, 2, answered=True)
    assert not pair.caller.call.over
    _minutes(pair, MAX_UNANSWERED, answered=False)
    assert not pair.caller.call.over
    _minutes(pair, 1, answered=False)
    assert [one.reason for one in pair.caller.reported(CallEnded)] == [Reason.TIMEOUT]


def test_a_peer_that_never_answers_such_questions_keeps_its_call() -> None:
    pair = connected()
    _minutes(pair, 2 * MAX_UNANSWERED, answered=False)
    assert pair.caller.call.state is State.ACTIVE


def _without_h245() -> tuple[CallPair, End]:
    """Return a call that started fast with one who never speaks H.245, as H323Plus does."""
    pair = CallPair()
    pair.place()
    pair.drain(pair.caller)
    pair.caller.call.receive(Signal(Type.CONNECT, 7, True, {"destinationInfo": {}}, True), pair.now)
    pair.drain(pair.caller)
    return pair, pair.caller


def test_where_no_h245_stands_call_signalling_asks() -> None:
    pair, caller = _without_h245()
    pair.now += ROUND_TRIP_INTERVAL
    caller.call.tick(pair.now)
    pair.drain(caller)
    assert Type.STATUS_INQUIRY in [one.kind for one in caller.sent]
    caller.call.receive(Signal(Type.STATUS, 7, True, None, None, call_state=State.ACTIVE.value), pair.now)
    _minutes(pair, MAX_UNANSWERED + 1, answered=False)
    assert [one.reason for one in caller.reported(CallEnded)] == [Reason.TIMEOUT]


def test_a_peer_whose_status_says_that_it_has_no_such_call_ends_it() -> None:
    pair, caller = _without_h245()
    caller.call.receive(Signal(Type.STATUS, 7, True, None, None, call_state=State.NULL.value), pair.now)
    pair.drain(caller)
    assert [one.reason for one in caller.reported(CallEnded)] == [Reason.NORMAL]
