"""PINs: what a right one does, how wrong ones are counted, and that nobody can guess for long."""

from __future__ import annotations

from dataclasses import replace

import pytest
from structlog.testing import capture_logs
from test_desk import House, RecordingLine, facts

from gateway.calls import CallFacts, CallProtocol, Direction
from gateway.reasons import Reason, Refused
from gateway.rooms.model import LockedOut, Rank, RoomEvent, RoomSettings
from gateway.rooms.pins import (
    ADDRESS_TRIES,
    FIRST_PAUSE,
    LONGEST_PAUSE,
    LONGEST_ROOM_PAUSE,
    ROOM_TRIES,
    SOURCE_TRIES,
    WRONG_ROOMS,
    PinGuard,
    source_of,
)
from gateway.rooms.policy import Decision
from gateway.rooms.room import Room
from transcode.media import RoomId

ANN = replace(facts(), account="ann")
STRANGER = facts()


class Door:
    """A guarded room and a clock that the test moves."""

    def __init__(self, **settings: object) -> None:
        self.now = 50.0
        self.events: list[RoomEvent] = []
        self.guard = PinGuard(self.events.extend, lambda: self.now)
        given = {"host_pin": "1111", "guest_pin": "2222"} | settings
        self.room = Room(RoomSettings(RoomId("100"), **given))  # type: ignore[arg-type]

    def tries(self, who: CallFacts, pin: str | None, room: Room | None = None) -> Rank | Reason:
        try:
            return self.guard.admit(room or self.room, who, pin)
        except Refused as refused:
            return refused.reason

    def guesses(self, who: CallFacts, times: int) -> list[Rank | Reason]:
        return [self.tries(who, "9") for _ in range(times)]


def test_a_right_pin_lets_in_and_wrong_ones_are_counted() -> None:
    door = Door()
    assert door.tries(ANN, "2222") is Rank.GUEST
    assert door.tries(ANN, "1111") is Rank.HOST
    assert door.tries(ANN, None) is Reason.PIN_NEEDED
    assert door.tries(ANN, "9") is Reason.WRONG_PIN
    assert door.guard.counts == {"wrong_pin": 1}


@pytest.mark.parametrize(("who", "tries"), [(ANN, SOURCE_TRIES), (STRANGER, ADDRESS_TRIES)])
def test_who_guesses_is_locked_out_even_with_the_right_pin(who: CallFacts, tries: int) -> None:
    door = Door()
    assert door.guesses(who, tries) == [Reason.WRONG_PIN] * tries
    (event,) = door.events
    assert event == LockedOut(RoomId("100"), who, "source", FIRST_PAUSE)
    for pin in ("9", "2222", None):
        assert door.tries(who, pin) is Reason.LOCKED_OUT
    door.now += FIRST_PAUSE - 0.1
    assert door.tries(who, "2222") is Reason.LOCKED_OUT
    door.now += 0.2
    assert door.tries(who, "2222") is Rank.GUEST


@pytest.mark.parametrize("pin", ["\ud800", "\uff11" * 4, "\0", "2222\udfff"])
def test_a_pin_of_what_is_no_digit_is_a_wrong_one(pin: str) -> None:
    door = Door()
    assert door.tries(STRANGER, pin) is Reason.WRONG_PIN
    with pytest.raises(Refused) as refusal:
        door.guard.prove_host(door.room, STRANGER, pin)
    assert refusal.value.reason is Reason.WRONG_PIN


def test_others_are_not_locked_out_with_a_source_that_guesses() -> None:
    door = Door()
    door.guesses(STRANGER, ADDRESS_TRIES)
    assert door.tries(STRANGER, "2222") is Reason.LOCKED_OUT
    assert door.tries(replace(STRANGER, source="192.0.2.9:5060"), "2222") is Rank.GUEST
    assert door.tries(ANN, "2222") is Rank.GUEST, "the same address, but its password was checked"


def test_pauses_grow_up_to_a_bound_and_are_told() -> None:
    door = Door()
    door.guesses(ANN, SOURCE_TRIES - 1)
    pauses = []
    for _ in range(8):
        assert door.tries(ANN, "9") is Reason.WRONG_PIN
        event = door.events[-1]
        assert isinstance(event, LockedOut)
        pauses.append(event.seconds)
        door.now += event.seconds
    assert pauses[:3] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    assert pauses[-1] == LONGEST_PAUSE
    assert door.guard.counts["lock_out_source"] == 8


def test_a_right_pin_clears_the_count_of_its_source_but_not_of_the_room() -> None:
    door = Door(host_pin=None)
    for number in range(ROOM_TRIES):
        if number % (SOURCE_TRIES - 1) == 0:
            assert door.tries(ANN, "2222") is Rank.GUEST
        assert door.tries(ANN, "9") is Reason.WRONG_PIN
    assert [event.what for event in door.events if isinstance(event, LockedOut)] == ["room"]
    assert door.tries(STRANGER, "2222") is Reason.LOCKED_OUT, "from wherever"
    assert door.tries(ANN, "2222") is Rank.GUEST, "but whose password was checked"
    door.now += FIRST_PAUSE
    assert door.tries(STRANGER, "2222") is Rank.GUEST


def test_a_room_that_a_crowd_of_sources_tries_is_shut_for_short_times() -> None:
    door = Door()
    for number in range(ROOM_TRIES + 5):
        door.now += LONGEST_ROOM_PAUSE if number >= ROOM_TRIES else 0
        assert door.tries(replace(STRANGER, source=f"192.0.2.{number}:1"), "9") is Reason.WRONG_PIN
    assert [event.seconds for event in door.events if isinstance(event, LockedOut)][-1] == LONGEST_ROOM_PAUSE
    other = Room(RoomSettings(RoomId("200"), guest_pin="2222"))
    assert door.tries(STRANGER, "2222", other) is Rank.GUEST


def test_a_room_without_pins_asks_nobody_and_counts_nothing() -> None:
    door = Door()
    door.guesses(STRANGER, ADDRESS_TRIES)
    open_room = Room(RoomSettings(RoomId("200")))
    assert door.tries(STRANGER, None, open_room) is Rank.GUEST
    assert door.tries(STRANGER, "9", open_room) is Rank.GUEST
    hosted = Room(RoomSettings(RoomId("300"), host_pin="1111"))
    assert door.tries(STRANGER, None, hosted) is Rank.GUEST, "who gives no PIN guesses none"
    assert door.tries(STRANGER, "1111", hosted) is Reason.LOCKED_OUT


def test_what_the_policy_decided_and_calls_of_the_house_need_no_pin() -> None:
    door = Door()
    door.guesses(STRANGER, ADDRESS_TRIES)
    assert door.guard.admit(door.room, STRANGER, None, decision=Decision(rank=Rank.GUEST)) is Rank.GUEST
    placed = replace(STRANGER, direction=Direction.OUTGOING)
    assert door.tries(placed, "2222") is Rank.GUEST


def test_room_numbers_that_lead_nowhere_are_borne_longer() -> None:
    door = Door()
    for _ in range(WRONG_ROOMS):
        door.guard.check_seeker(STRANGER)
        door.guard.wrong_room(STRANGER)
    with pytest.raises(Refused) as refused:
        door.guard.check_seeker(STRANGER)
    assert refused.value.reason is Reason.LOCKED_OUT
    assert door.events == [LockedOut(RoomId(""), STRANGER, "rooms", FIRST_PAUSE)]
    door.guard.check_seeker(ANN)
    door.now += FIRST_PAUSE
    door.guard.check_seeker(STRANGER)


@pytest.mark.parametrize(
    ("more", "origin"),
    [
        ({}, ("address", "127.0.0.1")),
        ({"source": "[::ffff:192.0.2.1]:5060"}, ("address", "192.0.2.1")),
        ({"source": "[2001:db8:1:2:3:4:5:6]:5060"}, ("address", "2001:0db8:0001:0002")),
        ({"source": "nonsense"}, ("address", "nonsense")),
        ({"account": "ann", "trunk": "carrier"}, ("account", "ann")),
        ({"trunk": "carrier", "caller": "sip:+4930@carrier"}, ("trunk carrier", "sip:+4930@carrier")),
    ],
)
def test_a_source_is_an_account_a_caller_of_a_trunk_or_an_address(more: dict[str, str], origin: object) -> None:
    assert source_of(replace(STRANGER, **more)) == origin  # type: ignore[arg-type]


async def test_browsers_messages_and_dialled_pins_are_counted_together_and_no_pin_is_told() -> None:
    house = House(guest_pin="2222")
    ways = (
        lambda: house.desk.arrive(facts(protocol=CallProtocol.WEBRTC, pin="98989"), RecordingLine()),
        lambda: house.desk.arrive(facts(pin="98989"), RecordingLine()),
        lambda: house.desk.message(facts(pin="98989"), "hello"),
    )
    with capture_logs() as logs:
        for number in range(ADDRESS_TRIES + 1):
            with pytest.raises(Refused) as refused:
                await ways[number % 3]()
            wanted = Reason.WRONG_PIN if number < ADDRESS_TRIES else Reason.LOCKED_OUT
            assert refused.value.reason is wanted
    assert [event.what for event in house.events if isinstance(event, LockedOut)] == ["source"]
    (line,) = (line for line in logs if line["event"] == "locked_out")
    assert (line["what"], line["room"], line["source"]) == ("source", "100", "127.0.0.1:5070")
    assert "98989" not in repr(logs)
    assert "98989" not in repr(house.events)
    assert {sample.labels[0][1]: sample.value for sample in house.desk.pins.samples()}["wrong_pin"] == ADDRESS_TRIES
