"""The watch over a room: when a meeting ends by itself, by a clock that tests turn."""

from __future__ import annotations

import pytest
from test_desk import facts

from gateway.calls import CallId, CallProtocol
from gateway.reasons import Reason
from gateway.rooms.model import Formats, HostLeaves, Participant, ParticipantId, Rank, RoomSettings
from gateway.rooms.watch import WARNING, CalledOff, Over, Warn, Watch
from transcode.media import LegId, RoomId

ROOM = RoomSettings(RoomId("100"))


def someone(id: str, rank: Rank = Rank.GUEST, talking: bool = False) -> Participant:
    about = facts()
    return Participant(
        ParticipantId(id), CallId(id), LegId(id), id, CallProtocol.SIP, rank, about, 0.0, talking=talking
    )


ANN, BOB = someone("ann", Rank.HOST), someone("bob")


def settings(**more: object) -> RoomSettings:
    return RoomSettings(RoomId("100"), **more)  # type: ignore[arg-type]


ENDS = settings(host_leaves=HostLeaves.END, host_leaves_after=60)
LONE = settings(lone_timeout=600)
IDLE = settings(idle_timeout=900)


def test_a_room_that_sets_nothing_never_ends() -> None:
    watch = Watch()
    assert watch.see(ROOM, [ANN, BOB], 0.0) == []
    assert watch.see(ROOM, [BOB], 1.0) == []
    assert watch.next is None


def test_a_meeting_ends_some_time_after_the_last_host_left() -> None:
    watch = Watch()
    watch.see(ENDS, [ANN, BOB], 0.0)
    assert watch.next is None
    assert watch.see(ENDS, [BOB], 10.0) == [Warn(Reason.HOST_LEFT, 60.0, ("host-left", "meeting-ends-soon"))]
    assert watch.next == 70.0
    assert watch.due(69.9) == []
    assert watch.due(70.0) == [Over(Reason.HOST_LEFT)]
    assert watch.due(1000.0) == []
    assert watch.see(ENDS, [someone("eve")], 71.0) == []  # they are hung up one after the other
    assert watch.next is None
    watch.see(ENDS, [], 72.0)
    watch.see(ENDS, [ANN, BOB], 80.0)
    watch.see(ENDS, [BOB], 90.0)
    assert watch.next == 150.0


def test_a_meeting_ends_at_once_where_no_time_is_given() -> None:
    watch = Watch()
    at_once = settings(host_leaves=HostLeaves.END, host_leaves_after=0)
    watch.see(at_once, [ANN, BOB], 0.0)
    assert watch.see(at_once, [BOB], 10.0) == [Over(Reason.HOST_LEFT)]


def test_a_host_who_comes_back_calls_the_end_off() -> None:
    watch = Watch()
    watch.see(ENDS, [ANN, BOB], 0.0)
    watch.see(ENDS, [BOB], 10.0)
    assert watch.see(ENDS, [BOB, ANN], 69.0) == [CalledOff(Reason.HOST_LEFT)]
    assert watch.next is None
    (warned,) = watch.see(ENDS, [BOB], 100.0)
    assert isinstance(warned, Warn)
    assert watch.next == 160.0


def test_a_meeting_that_never_had_a_host_does_not_end_for_want_of_one() -> None:
    watch = Watch()
    assert watch.see(ENDS, [BOB], 0.0) == []
    watch.see(ENDS, [BOB, ANN], 1.0)
    watch.see(ENDS, [], 2.0)
    assert watch.see(ENDS, [BOB], 3.0) == []  # another meeting, which had none


def test_other_changes_do_not_move_the_end() -> None:
    watch = Watch()
    watch.see(ENDS, [ANN, BOB], 0.0)
    watch.see(ENDS, [BOB], 10.0)
    assert watch.see(ENDS, [BOB, someone("eve")], 40.0) == []
    assert watch.next == 70.0


def test_who_is_alone_is_warned_and_then_hung_up() -> None:
    watch = Watch()
    assert watch.see(LONE, [BOB], 0.0) == []
    assert watch.next == 600.0 - WARNING
    assert watch.see(LONE, [BOB], 100.0) == []  # a sign of life makes nobody less alone
    assert watch.due(600.0 - WARNING) == [Warn(Reason.ALONE, WARNING, ("alone",))]
    assert watch.next == 600.0
    assert watch.due(600.0) == [Over(Reason.ALONE)]


def test_company_calls_the_end_of_one_alone_off() -> None:
    watch = Watch()
    watch.see(LONE, [BOB], 0.0)
    watch.due(580.0)
    assert watch.see(LONE, [BOB, ANN], 590.0) == [CalledOff(Reason.ALONE)]
    assert watch.see(LONE, [BOB], 700.0) == []
    assert watch.next == 1300.0 - WARNING


def test_company_that_comes_before_the_warning_is_not_told_of_an_end() -> None:
    watch = Watch()
    watch.see(LONE, [BOB], 0.0)
    assert watch.see(LONE, [BOB, ANN], 10.0) == []


def test_a_short_time_is_warned_of_at_its_half() -> None:
    watch = Watch()
    watch.see(settings(lone_timeout=10), [BOB], 0.0)
    assert watch.next == 5.0


def test_a_room_in_which_nothing_happens_ends() -> None:
    watch = Watch()
    watch.see(IDLE, [ANN, BOB], 0.0)
    watch.see(IDLE, [ANN, BOB], 500.0)  # a key, a message, somebody came
    assert watch.next == 1400.0 - WARNING
    assert watch.due(1400.0 - WARNING) == [Warn(Reason.IDLE, WARNING, ("meeting-ends-soon",))]
    assert watch.due(1400.0) == [Over(Reason.IDLE)]


def test_a_sign_of_life_after_the_warning_calls_the_end_off() -> None:
    watch = Watch()
    watch.see(IDLE, [ANN, BOB], 0.0)
    watch.due(880.0)
    assert watch.see(IDLE, [ANN, BOB], 890.0) == [CalledOff(Reason.IDLE)]
    assert watch.next == 1790.0 - WARNING


def test_a_room_is_not_idle_while_somebody_talks_however_long() -> None:
    watch = Watch()
    talks = [ANN, someone("bob", talking=True)]
    watch.see(IDLE, talks, 0.0)
    assert watch.next is None
    assert watch.due(10_000.0) == []
    watch.see(IDLE, [ANN, BOB], 10_000.0)
    assert watch.next == 10_900.0 - WARNING


def test_what_media_change_by_themselves_is_no_sign_of_life() -> None:
    watch = Watch()
    watch.see(IDLE, [BOB], 0.0)
    watch.see(IDLE, [BOB.but(video=Formats("H264", "H264", 640, 360))], 500.0, stirred=False)
    assert watch.next == 900.0 - WARNING
    watch.see(IDLE, [BOB.but(muted_by_self=True)], 600.0, stirred=False)
    assert watch.next == 1500.0 - WARNING


def test_changed_settings_are_no_sign_of_life_but_count_at_once() -> None:
    watch = Watch()
    watch.see(IDLE, [BOB], 0.0)
    assert watch.see(settings(idle_timeout=60), [BOB], 40.0, stirred=False) == [
        Warn(Reason.IDLE, 20.0, ("meeting-ends-soon",))
    ]
    assert watch.see(ROOM, [BOB], 50.0, stirred=False) == [CalledOff(Reason.IDLE)]
    assert watch.next is None


@pytest.mark.parametrize("rules", [ENDS, LONE, IDLE])
def test_an_empty_room_waits_for_nothing(rules: RoomSettings) -> None:
    watch = Watch()
    watch.see(rules, [ANN, BOB], 0.0)
    watch.see(rules, [BOB], 1.0)
    assert watch.see(rules, [], 2.0) == []
    assert watch.next is None
