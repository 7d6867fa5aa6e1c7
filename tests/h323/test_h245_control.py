"""The control protocol: two sessions of ours find a master, open channels and end, whatever the order."""

from __future__ import annotations

import random

import pytest
from h245_pair import ABILITIES, DATA, SOUND, Pair

from gateway.reasons import Reason
from h323.h245.capability_exchange import T101
from h323.h245.channels import T103
from h323.h245.control import END_TIME, MAX_CHANNELS, MAX_STRAY, Control
from h323.h245.determination import HALF, T106, TRIES, is_master
from h323.h245.events import (
    CapabilitiesAnswered,
    CapabilitiesReceived,
    CapabilitiesWanted,
    ChannelAnswered,
    ChannelClosed,
    ChannelConfirmed,
    ChannelOffered,
    ChannelRefused,
    CloseAnswered,
    CloseAsked,
    ControlFailed,
    Determined,
    KeyFrameAsked,
    Keys,
    ModeAnswered,
    ModeAsked,
    RateLimited,
    RoundTrip,
    SessionEnded,
    Told,
)


@pytest.mark.parametrize(
    ("own_type", "own", "peer_type", "peer", "master"),
    [
        (190, 1, 50, 99, True),
        (50, 99, 190, 1, False),
        (50, 10, 50, 11, True),
        (50, 11, 50, 10, False),
        (50, 7, 50, 7, None),
        (50, 0, 50, HALF, None),
        (50, 0, 50, HALF + 1, False),
        (50, 0, 50, HALF - 1, True),
        (50, (1 << 24) - 1, 50, 0, True),
    ],
)
def test_terminal_type_decides_and_then_the_number(
    own_type: int, own: int, peer_type: int, peer: int, master: bool | None
) -> None:
    assert is_master(own_type, own, peer_type, peer) is master
    if master is not None:
        assert is_master(peer_type, peer, own_type, own) is not master


def test_both_sides_know_each_other_after_the_start() -> None:
    pair = Pair()
    pair.start()
    assert pair.a.reported(Determined) == [Determined(True)]
    assert pair.b.reported(Determined) == [Determined(False)]
    for side in (pair.a, pair.b):
        assert side.control.ready
        assert side.reported(CapabilitiesReceived) == [CapabilitiesReceived(ABILITIES, False)]
        assert side.reported(CapabilitiesAnswered) == [CapabilitiesAnswered(True)]
        assert side.control.next_timeout() is None


def test_one_side_alone_may_ask_who_is_the_master() -> None:
    pair = Pair()
    pair.b.control.start(ABILITIES, pair.now)
    pair.settle()
    assert pair.a.control.master is True
    assert pair.b.control.master is False
    assert not pair.a.control.ready, "our own set was not sent"


def test_equal_numbers_are_drawn_again() -> None:
    pair = Pair(50, 50)
    pair.b.control = Control(random.Random(1), 50)  # the same seed as a: the same first two numbers
    pair.a.control = Control(random.Random(1), 50)
    pair.a.control.start(ABILITIES, pair.now)
    pair.b.control._determination._rng = random.Random(4)
    pair.b.control._determination._number = -1
    pair.a.drain()
    number = pair.a.sent[1][1][1]["statusDeterminationNumber"]
    pair.b.control._determination._number = number
    pair.settle()
    assert "masterSlaveDeterminationReject" in pair.b.names()
    assert pair.a.names().count("masterSlaveDetermination") == 2
    assert {pair.a.control.master, pair.b.control.master} == {True, False}


def test_a_peer_that_ties_for_ever_is_given_up() -> None:
    control = Control(random.Random(3), 50)
    control.start(ABILITIES, 0.0)
    for _ in range(TRIES):
        control.receive(("response", ("masterSlaveDeterminationReject", {"cause": ("identicalNumbers", None)})), 1.0)
    said = control.take()
    asked = [one for one in said if isinstance(one, tuple) and one[1][0] == "masterSlaveDetermination"]
    assert len(asked) == TRIES
    assert [one for one in said if isinstance(one, ControlFailed)]


def test_a_peer_that_says_nothing_ends_the_determination() -> None:
    pair = Pair()
    pair.a.control.start(ABILITIES, pair.now)
    pair.wait(max(T101, T106))
    assert pair.a.reported(CapabilitiesAnswered) == [CapabilitiesAnswered(False, "timeout")]
    assert [event.reason for event in pair.a.reported(ControlFailed)] == [Reason.TIMEOUT]
    assert pair.a.names()[-2:] == ["masterSlaveDeterminationRelease", "terminalCapabilitySetRelease"]
    assert pair.a.control.next_timeout() is None


def test_a_peer_that_never_confirms_is_told_who_is_master_all_the_same() -> None:
    control = Control(random.Random(1), 190)
    value = {"terminalType": 50, "statusDeterminationNumber": 5}
    control.receive(("request", ("masterSlaveDetermination", value)), 0.0)
    assert control.take() == [("response", ("masterSlaveDeterminationAck", {"decision": ("slave", None)}))]
    control.tick(T106)
    assert control.take() == [Determined(True)]


def test_the_same_set_twice_is_acknowledged_twice_and_told_once() -> None:
    pair = Pair()
    pair.start()
    pair.a.told.clear()
    pair.b.control.offer_capabilities(ABILITIES, pair.now)
    pair.settle()
    assert pair.a.names().count("terminalCapabilitySetAck") == 2
    assert pair.a.told == []


def test_an_empty_set_asks_to_stop_and_a_new_one_to_go_on() -> None:
    pair = Pair()
    pair.start()
    pair.a.told.clear()
    pair.b.control.offer_capabilities({}, pair.now)
    pair.b.control.offer_capabilities(ABILITIES, pair.now)
    pair.settle()
    assert pair.a.reported(CapabilitiesReceived) == [
        CapabilitiesReceived({}, True),
        CapabilitiesReceived(ABILITIES, False),
    ]
    assert pair.b.reported(CapabilitiesAnswered)[-1] == CapabilitiesAnswered(True)


def test_an_answer_to_an_older_set_is_not_taken_for_the_newest() -> None:
    control = Control(random.Random(1))
    control.start(ABILITIES, 0.0)
    control.receive(("response", ("terminalCapabilitySetAck", {"sequenceNumber": 77})), 0.0)
    assert not control._capabilities.accepted


def test_a_set_may_be_refused() -> None:
    control = Control(random.Random(1))
    control.start(ABILITIES, 0.0)
    reject = {"sequenceNumber": 1, "cause": ("undefinedTableEntryUsed", None)}
    control.receive(("response", ("terminalCapabilitySetReject", reject)), 0.0)
    assert CapabilitiesAnswered(False, "undefinedTableEntryUsed") in control.take()


def test_a_channel_is_opened_and_closed() -> None:
    pair = Pair()
    pair.start()
    number = pair.a.control.open(SOUND, pair.now)
    pair.settle()
    assert number is not None
    offered = pair.b.reported(ChannelOffered)
    assert [(one.number, one.bidirectional) for one in offered] == [(number, False)]
    assert offered[0].request["forwardLogicalChannelParameters"] == SOUND["forwardLogicalChannelParameters"]
    assert pair.b.control.accept(number, {}, pair.now)
    pair.settle()
    assert pair.a.reported(ChannelAnswered) == [ChannelAnswered(number, {"forwardLogicalChannelNumber": number})]
    assert pair.a.control.close(number, pair.now)
    pair.settle()
    assert pair.a.reported(ChannelClosed) == [ChannelClosed(number, True)]
    assert pair.b.reported(ChannelClosed) == [ChannelClosed(number, False)]
    assert pair.a.control.census() == pair.b.control.census() == {"own": 0, "peer": 0, "timers": 0}


def test_a_bidirectional_channel_is_confirmed() -> None:
    pair = Pair()
    pair.start()
    number = pair.a.control.open(DATA, pair.now)
    pair.settle()
    assert number is not None
    assert pair.b.reported(ChannelOffered)[0].bidirectional
    pair.b.control.accept(number, {}, pair.now)
    pair.settle()
    assert pair.b.reported(ChannelConfirmed) == [ChannelConfirmed(number)]
    assert pair.b.control.next_timeout() is None


def test_a_bidirectional_channel_counts_as_open_even_without_its_confirmation() -> None:
    pair = Pair()
    pair.start()
    number = pair.a.control.open(DATA, pair.now)
    pair.settle()
    assert number is not None
    pair.b.control.accept(number, {}, pair.now)
    pair.wait(T103)
    assert pair.b.reported(ChannelConfirmed) == [ChannelConfirmed(number)]


def test_of_two_who_open_the_same_data_both_ways_at_once_the_master_goes_on() -> None:
    pair = Pair(190, 50)
    for side in (pair.a, pair.b):
        side.control.start(ABILITIES, pair.now)
    pair.settle()
    ours, theirs = pair.a.control.open(DATA, pair.now), pair.b.control.open(DATA, pair.now)
    sound = pair.b.control.open(SOUND, pair.now)
    assert None not in (ours, theirs, sound)
    pair.settle()
    assert pair.b.reported(ChannelRefused) == [ChannelRefused(theirs or 0, "masterSlaveConflict")]
    assert [one.number for one in pair.a.reported(ChannelOffered)] == [sound], "one way there is no conflict"
    assert pair.b.control.accept(ours or 0, {}, pair.now)
    pair.settle()
    assert [one.number for one in pair.a.reported(ChannelAnswered)] == [ours]
    again = pair.b.control.open(DATA, pair.now)  # what is open already is in nobody's way
    pair.settle()
    assert [one.number for one in pair.a.reported(ChannelOffered)] == [sound, again]


def test_a_channel_is_refused_with_its_cause() -> None:
    pair = Pair()
    pair.start()
    number = pair.a.control.open(SOUND, pair.now)
    pair.settle()
    assert number is not None
    assert pair.b.control.reject(number, "dataTypeNotSupported", pair.now)
    pair.settle()
    assert pair.a.reported(ChannelRefused) == [ChannelRefused(number, "dataTypeNotSupported")]
    assert pair.a.control.census() == pair.b.control.census() == {"own": 0, "peer": 0, "timers": 0}
    with pytest.raises(ValueError, match="no cause"):
        pair.b.control.reject(number, "because", pair.now)


def test_a_channel_that_nobody_answers_is_closed() -> None:
    pair = Pair()
    pair.start()
    number = pair.a.control.open(SOUND, pair.now)
    pair.wait(T103)
    assert pair.a.reported(ChannelRefused) == [ChannelRefused(number or 0, "timeout")]
    assert pair.a.names()[-1] == "closeLogicalChannel"


def test_a_number_used_again_replaces_the_channel() -> None:
    control = Control(random.Random(1))
    request = {"forwardLogicalChannelNumber": 7, **SOUND}
    control.receive(("request", ("openLogicalChannel", request)), 0.0)
    control.accept(7, {}, 0.0)
    control.receive(("request", ("openLogicalChannel", request)), 0.0)
    told = [one for one in control.take() if not isinstance(one, tuple)]
    assert told == [
        ChannelOffered(7, request, False),
        ChannelClosed(7, False),
        ChannelOffered(7, request, False),
    ]


def test_each_side_may_ask_the_other_to_close_its_channel() -> None:
    pair = Pair()
    pair.start()
    number = pair.a.control.open(SOUND, pair.now)
    pair.settle()
    assert number is not None
    pair.b.control.accept(number, {}, pair.now)
    pair.settle()
    assert pair.b.control.ask_close(number, pair.now)
    pair.settle()
    assert pair.a.reported(CloseAsked) == [CloseAsked(number, "normal")]
    pair.a.control.grant_close(number, False, pair.now)
    pair.settle()
    assert pair.b.reported(CloseAnswered) == [CloseAnswered(number, False)]
    pair.b.control.ask_close(number, pair.now)
    pair.settle()
    pair.a.control.grant_close(number, True, pair.now)
    pair.settle()
    assert pair.b.reported(CloseAnswered)[-1] == CloseAnswered(number, True)
    assert pair.b.reported(ChannelClosed) == [ChannelClosed(number, False)]
    assert pair.a.control.census() == pair.b.control.census() == {"own": 0, "peer": 0, "timers": 0}


def test_a_request_to_close_what_is_not_open_is_refused() -> None:
    control = Control(random.Random(1))
    value = {"forwardLogicalChannelNumber": 9, "reason": ("normal", None)}
    control.receive(("request", ("requestChannelClose", value)), 0.0)
    control.receive(("request", ("closeLogicalChannel", {**value, "source": ("user", None)})), 0.0)
    assert [one[1][0] for one in control.take() if isinstance(one, tuple)] == [
        "requestChannelCloseReject",
        "closeLogicalChannelAck",
    ]


def test_too_many_channels_are_refused() -> None:
    control = Control(random.Random(1))
    for number in range(1, MAX_CHANNELS + 2):
        control.receive(("request", ("openLogicalChannel", {"forwardLogicalChannelNumber": number, **SOUND})), 0.0)
    refused = [one for one in control.take() if isinstance(one, tuple)]
    assert [(one[1][0], one[1][1]["forwardLogicalChannelNumber"]) for one in refused] == [
        ("openLogicalChannelReject", MAX_CHANNELS + 1)
    ]
    opened = [control.open(SOUND, 0.0) for _ in range(MAX_CHANNELS + 1)]
    assert opened[-1] is None
    assert None not in opened[:-1]


def test_round_trips_are_measured_and_missed() -> None:
    pair = Pair()
    pair.a.control.ask_round_trip(pair.now)
    pair.a.drain()
    pair.now += 0.25
    pair.settle()
    assert pair.a.reported(RoundTrip) == [RoundTrip(0.25)]
    pair.a.control.ask_round_trip(pair.now)
    pair.wait(60)
    assert pair.a.reported(RoundTrip)[-1] == RoundTrip(None)


def test_modes_are_asked_for_and_granted_or_not() -> None:
    pair = Pair()
    mode = [{"type": ("audioMode", ("g711Ulaw64k", None))}]
    for accepted, cause in ((True, "willTransmitMostPreferredMode"), (False, "modeUnavailable")):
        pair.a.control.ask_mode([mode], pair.now)
        pair.settle()
        assert pair.b.reported(ModeAsked)[-1] == ModeAsked([mode])
        pair.b.control.answer_mode(accepted, pair.now)
        pair.settle()
        assert pair.a.reported(ModeAnswered)[-1] == ModeAnswered(accepted, cause)


def test_keys_arrive_in_every_spelling() -> None:
    control = Control(random.Random(1))
    for value in (
        ("alphanumeric", "12#"),
        ("signal", {"signalType": "5", "duration": 200}),
        ("signal", {"signalType": "b"}),
        ("signalUpdate", {"duration": 900}),
        ("alphanumeric", "hello"),
        ("userInputSupportIndication", ("basicString", None)),
    ):
        control.receive(("indication", ("userInput", value)), 0.0)
    assert control.take() == [
        Keys("12#"),
        Keys("5", 200, signal=True),
        Keys("B", signal=True),
        Keys("", 900, update=True),
    ]


def test_commands_reach_the_one_above() -> None:
    pair = Pair()
    pair.a.control.ask_key_frame(3)
    pair.a.control.limit_rate(3, 384_000)
    pair.a.control.limit_rate(3, None)
    pair.a.control.send(("command", ("sendTerminalCapabilitySet", ("genericRequest", None))))
    pair.a.control.send(("indication", ("vendorIdentification", {"vendor": ("object", "1.2.3")})))
    pair.settle()
    assert pair.b.told == [
        KeyFrameAsked(3),
        RateLimited(3, 384_000),
        RateLimited(3, None),
        CapabilitiesWanted(),
        Told("indication", "vendorIdentification", {"vendor": ("object", "1.2.3")}),
    ]


def test_an_end_is_answered_and_nothing_is_left() -> None:
    pair = Pair()
    pair.start()
    pair.a.control.open(SOUND, pair.now)
    pair.a.control.end(pair.now)
    pair.settle()
    for side in (pair.a, pair.b):
        assert side.control.ended
        assert side.reported(SessionEnded) == [SessionEnded()]
        assert side.names().count("endSessionCommand") == 1
        assert side.control.census() == {"own": 0, "peer": 0, "timers": 0}


def test_an_end_that_nobody_answers_is_over_in_time() -> None:
    pair = Pair()
    pair.a.control.end(pair.now)
    pair.wait(END_TIME)
    assert pair.a.reported(SessionEnded) == [SessionEnded()]


def test_what_nobody_knows_is_answered_and_bounded() -> None:
    control = Control(random.Random(1))
    control.receive(("request", (None, None)), 0.0)  # type: ignore[arg-type]
    control.receive(("indication", (None, None)), 0.0)  # type: ignore[arg-type]
    control.unreadable()
    sent = [one for one in control.take() if isinstance(one, tuple)]
    assert [one[1][1] for one in sent] == [
        {"cause": ("unknownFunction", None)},
        {"cause": ("syntaxError", None)},
    ]
    for _ in range(2 * MAX_STRAY):
        control.receive(("response", ("openLogicalChannelAck", {"forwardLogicalChannelNumber": 1})), 0.0)
    assert len([one for one in control.take() if isinstance(one, ControlFailed)]) == 1


def test_a_function_that_is_not_done_here_is_sent_back() -> None:
    control = Control(random.Random(1))
    pdu = (
        "request",
        ("multilinkRequest", ("maximumHeaderInterval", {"requestType": ("currentIntervalInformation", None)})),
    )
    control.receive(pdu, 0.0)
    assert control.take() == [Told(pdu[0], *pdu[1])]
    control.refuse_function(pdu)
    assert control.take() == [("indication", ("functionNotUnderstood", pdu))]


def test_five_thousand_random_orders_end_in_agreement() -> None:
    """Both start, open, close and ask at random moments; at the end both agree and nothing is left over."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    for _ in range(5_000):
        pair = Pair(rng.choice((50, 60, 190)), rng.choice((50, 60, 190)), rng.randrange(1 << 30))
        sides = [pair.a, pair.b]
        for side in sides:
            side.control.start(ABILITIES, pair.now)
        for _ in range(rng.randrange(40)):
            _random_step(pair, rng)
        pair.settle()
        assert {pair.a.control.master, pair.b.control.master} == {True, False}
        assert pair.a.control.ready
        assert pair.b.control.ready
        _settle_channels(pair)
        assert not pair.a.reported(ControlFailed)
        assert not pair.b.reported(ControlFailed)
        rng.choice(sides).control.end(pair.now)
        pair.settle()
        for side in sides:
            assert side.control.ended
            assert side.control.census() == {"own": 0, "peer": 0, "timers": 0}


def _random_step(pair: Pair, rng: random.Random) -> None:
    side = rng.choice((pair.a, pair.b))
    control = side.control
    open_ = [*control._own]
    theirs = [*control._peer]
    match rng.randrange(9):
        case 0:
            control.open(rng.choice((SOUND, DATA)), pair.now)
        case 1 if open_:
            control.close(rng.choice(open_), pair.now)
        case 2 if theirs:
            control.accept(rng.choice(theirs), {}, pair.now)
        case 3 if theirs:
            control.reject(rng.choice(theirs), "unspecified", pair.now)
        case 4 if theirs:
            control.ask_close(rng.choice(theirs), pair.now)
        case 5:
            control.offer_capabilities(rng.choice((ABILITIES, {})), pair.now)
        case 6:
            control.ask_round_trip(pair.now)
        case _:
            for _ in range(rng.randrange(4)):
                pair.deliver(side)


def _settle_channels(pair: Pair) -> None:
    """Answer what is open still, close all, and see that both sides have the same."""
    for side, other in ((pair.a, pair.b), (pair.b, pair.a)):
        for number in list(side.control._peer):
            side.control.accept(number, {}, pair.now)
        pair.settle()
        assert set(side.control._peer) == set(other.control._own)
    for side in (pair.a, pair.b):
        for number in list(side.control._own):
            side.control.close(number, pair.now)
    pair.settle()
    for side in (pair.a, pair.b):
        assert side.control.census() == {"own": 0, "peer": 0, "timers": 0}
