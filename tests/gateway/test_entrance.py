"""The entrance: calls that stand outside, what they are led through, and how they come in."""

from __future__ import annotations

from dataclasses import replace

import pytest
from test_desk import House, RecordingLine, facts

from gateway.calls import CallProtocol, Direction, Floor
from gateway.reasons import Reason, Refused
from gateway.rooms import entrance as entrance_module
from gateway.rooms.call import RoomCall
from gateway.rooms.dial_plan import DialPlan, Match, Rule, ToMenu
from gateway.rooms.entrance import Visitor
from gateway.rooms.model import (
    CallFailed,
    CallRefused,
    Joined,
    KeyPressed,
    Rank,
    RoomSettings,
    Stage,
    StandsOutside,
    WhenLocked,
)
from gateway.rooms.policy import Decision
from transcode.events import Dtmf, FormatsChanged, Played, Speaker, Talking
from transcode.media import Kind, RoomId, Sound


class RecordingGuide:
    """A guide that keeps what it was told."""

    def __init__(self, visitor: Visitor) -> None:
        self.visitor = visitor
        self.heard: list[object] = []

    def begin(self) -> None:
        self.heard.append("begin")

    def pressed(self, digit: str) -> None:
        self.heard.append(digit)

    def played(self, number: int) -> None:
        self.heard.append(number)

    def end(self) -> None:
        self.heard.append("end")


class Hall(House):
    """A house where callers are asked."""

    def __init__(self, **settings: object) -> None:
        super().__init__(**settings)
        self.guides: list[RecordingGuide] = []
        self.desk.entrance.leader = self.lead

    def lead(self, visitor: Visitor) -> RecordingGuide:
        self.guides.append(RecordingGuide(visitor))
        return self.guides[-1]

    async def visitor(self, called: str = "", **more: object) -> tuple[RoomCall, RecordingLine, RecordingGuide]:
        line = RecordingLine()
        call = await self.desk.arrive(replace(facts(called), **more), line)  # type: ignore[arg-type]
        await call.admitted()
        await call.connected()
        return call, line, self.guides[-1]

    def nothing_left(self) -> None:
        assert not self.desk.calls
        assert not self.desk.entrance.visitors
        assert not self.desk._private
        assert not self.desk._calls_of
        assert self.desk._directing.rooms == set(self.desk.rooms)


@pytest.mark.parametrize("protocol", [CallProtocol.SIP, CallProtocol.H323])
async def test_a_call_that_names_no_room_is_answered_and_stands_in_a_room_of_its_own(protocol: CallProtocol) -> None:
    house = Hall()
    call, _, guide = await house.visitor(protocol=protocol)
    (event,) = house.events
    assert event == StandsOutside(RoomId(""), call.id, call.participant_id, call.facts, Stage.MENU)
    assert guide.heard == ["begin"]
    assert not call.inside
    assert not house.desk.room("100").participants
    assert list(house.desk.rooms) == ["100"]
    with pytest.raises(Refused):
        house.desk.room(call.room_id)
    plan = house.plane.plans[-1]
    assert [leg.leg for leg in plan.legs] == [call.leg]


async def test_two_who_stand_outside_do_not_meet() -> None:
    house = Hall()
    one, _, _ = await house.visitor()
    other, _, _ = await house.visitor()
    assert one.room is not other.room
    assert [leg.leg for leg in house.plane.plans[-1].legs] == [other.leg]


@pytest.mark.parametrize("pin", [None, "9"])
async def test_a_call_without_the_right_pin_is_asked_for_it(pin: str | None) -> None:
    house = Hall(guest_pin="2222")
    _, _, guide = await house.visitor("100", pin=pin)
    (event,) = house.events
    assert isinstance(event, StandsOutside)
    assert (event.room, event.stage) == ("100", Stage.PIN)
    assert guide.visitor.wish is house.desk.room("100")
    assert guide.visitor.fault is (Reason.WRONG_PIN if pin else Reason.PIN_NEEDED)


async def test_who_goes_in_joins_the_room_as_if_it_had_called_it() -> None:
    house = Hall(host_pin="1111", guest_pin="2222")
    call, line, guide = await house.visitor()
    before = len(house.events)
    await house.desk.entrance.enter(call, "100", "1111")
    (told, joined) = house.events[before:]
    assert isinstance(told, StandsOutside)
    assert (told.room, told.stage) == ("100", Stage.MENU)
    assert isinstance(joined, Joined)
    assert joined.room == "100"
    assert (joined.participant.call, joined.participant.rank) == (call.id, Rank.HOST)
    assert (call.rank, call.inside, call.visitor) == (Rank.HOST, True, None)
    assert house.desk.room("100").participants == (joined.participant,)
    assert house.plane.moved == [(call.leg, "100")]
    assert [leg.leg for leg in house.plane.plans[-1].legs] == [call.leg]
    assert house.plane.plans[-1].title == "Everyone"
    assert guide.heard == ["begin", "end"]
    assert line.asked == []
    assert not house.desk._private
    await call.ended(Reason.NORMAL)
    house.nothing_left()


@pytest.mark.parametrize(
    ("room", "pin", "reason"),
    [
        ("999", None, Reason.NO_SUCH_ROOM),
        ("100", None, Reason.PIN_NEEDED),
        ("100", "3333", Reason.WRONG_PIN),
    ],
)
async def test_who_may_not_go_in_stays_where_it_is(room: str, pin: str | None, reason: Reason) -> None:
    house = Hall(guest_pin="2222")
    call, _, guide = await house.visitor()
    with pytest.raises(Refused) as refused:
        await house.desk.entrance.enter(call, room, pin)
    assert refused.value.reason is reason
    assert call.visitor is guide.visitor
    assert house.plane.moved == []
    await house.desk.entrance.enter(call, "100", "2222")
    assert call.inside


async def test_a_locked_room_and_a_full_one_keep_visitors_out() -> None:
    house = Hall(max_participants=1, host_pin="1111", when_locked=WhenLocked.REFUSE)
    call, _, _ = await house.visitor()
    await house.desk.lock(RoomId("100"), True)
    with pytest.raises(Refused) as refused:
        await house.desk.entrance.enter(call, "100")
    assert refused.value.reason is Reason.ROOM_LOCKED
    await house.desk.lock(RoomId("100"), False)
    first = await house.desk.arrive(facts(), RecordingLine())
    with pytest.raises(Refused) as refused:
        await house.desk.entrance.enter(call, "100")
    assert refused.value.reason is Reason.ROOM_FULL
    await first.ended(Reason.NORMAL)
    await house.desk.entrance.enter(call, "100")
    with pytest.raises(Refused) as refused:
        await house.desk.entrance.enter(call, "100")
    assert refused.value.reason is Reason.CANCELLED


async def test_a_media_plane_that_will_not_move_a_visitor_leaves_it_outside() -> None:
    house = Hall()
    call, _, _ = await house.visitor()
    house.plane.refuse = Reason.INTERNAL
    with pytest.raises(Refused):
        await house.desk.entrance.enter(call, "100")
    assert call.visitor is not None
    assert not house.desk.room("100").participants
    await call.ended(Reason.NORMAL)
    house.nothing_left()


async def test_a_call_that_ends_outside_leaves_nothing_and_is_told_of() -> None:
    house = Hall(guest_pin="2222")
    call, _, guide = await house.visitor("100")
    await call.ended(Reason.NORMAL)
    await call.ended(Reason.NORMAL)
    assert house.events[-1] == CallFailed(RoomId("100"), call.id, call.facts, Reason.NORMAL, 1000.0)
    assert guide.heard == ["begin", "end"]
    assert house.plane.closed == [(call.leg, Reason.NORMAL)]
    house.nothing_left()


async def test_a_call_that_ends_before_it_is_up_was_never_outside() -> None:
    house = Hall()
    call = await house.desk.arrive(facts(""), RecordingLine())
    await call.ended(Reason.CANCELLED)
    assert [type(event) for event in house.events] == [CallFailed]
    house.nothing_left()


async def test_who_is_let_in_before_it_is_up_joins_when_it_is() -> None:
    house = Hall()
    call = await house.desk.arrive(facts(""), RecordingLine())
    await house.desk.entrance.enter(call, "100")
    assert not house.events
    await call.connected()
    assert [type(event) for event in house.events] == [Joined]


async def test_media_that_are_refused_leave_no_visitor_behind() -> None:
    house = Hall()
    house.plane.refuse = Reason.NO_PORTS
    with pytest.raises(Refused) as refused:
        await house.desk.arrive(facts(""), RecordingLine())
    assert refused.value.reason is Reason.NO_PORTS
    house.nothing_left()


async def test_keys_of_a_visitor_reach_its_guide_and_nobody_else() -> None:
    house = Hall(guest_pin="2222")
    call, _, guide = await house.visitor("100")
    await call.dtmf("2", 100)
    await house.desk._media_event(Dtmf(call.leg, "#", 100))
    assert guide.heard == ["begin", "2", "#"]
    assert not [event for event in house.events if isinstance(event, KeyPressed)]
    await house.desk.entrance.enter(call, "100", "2222")
    await call.dtmf("5", 100)
    assert [event.digit for event in house.events if isinstance(event, KeyPressed)] == ["5"]


async def test_what_a_visitor_says_does_and_sends_makes_no_events() -> None:
    house = Hall()
    call, line, _ = await house.visitor()
    told = len(house.events)
    await house.desk._media_event(Talking(call.room_id, call.leg, True))
    await house.desk._media_event(Speaker(call.room_id, call.leg))
    await house.desk._media_event(FormatsChanged(call.leg, "1", Kind.AUDIO, "G722", "G722"))
    await call.mute(audio=True)
    with pytest.raises(Refused):
        await call.wrote("hello")
    with pytest.raises(Refused):
        await call.present(True)
    assert not house.desk.switchboard.may_refer(call, "sip:bob@example.org")
    assert house.events[told:] == []
    assert Floor.TAKEN not in line.asked
    await house.desk.entrance.enter(call, "100")
    (one,) = house.desk.room("100").participants
    assert one.audio.codec_in == "G722"
    assert one.muted_by_self


async def test_only_the_end_of_what_was_played_last_is_told() -> None:
    house = Hall()
    call, _, guide = await house.visitor()
    visitor = guide.visitor
    first = await visitor.play((Sound("en/welcome"),))
    second = await visitor.play((Sound("en/enter-room"),))
    assert [(leg, number) for leg, _, number in house.plane.sounds] == [(call.leg, first), (call.leg, second)]
    await house.desk._media_event(Played(call.leg, first))
    await house.desk._media_event(Played(call.leg, second))
    assert guide.heard == ["begin", second]


async def test_a_visitor_sees_what_its_guide_shows() -> None:
    house = Hall()
    _, _, guide = await house.visitor()
    await guide.visitor.show("Which room?", "12", title="Welcome", background=(Sound("music/waiting"),))
    plan = house.plane.plans[-1]
    assert (plan.slate, plan.entry, plan.title) == ("Which room?", "12", "Welcome")
    assert plan.background == (Sound("music/waiting"),)
    plans = len(house.plane.plans)
    await guide.visitor.show("Which room?", "12", title="Welcome", background=(Sound("music/waiting"),))
    assert len(house.plane.plans) == plans


async def test_another_guide_takes_over_where_it_is() -> None:
    house = Hall()
    call, _, first = await house.visitor()
    second = RecordingGuide(first.visitor)
    first.visitor.led_by(second, Stage.PIN)
    await call.dtmf("1", 100)
    assert (first.heard, second.heard) == (["begin", "end"], ["begin", "1"])
    last = house.events[-1]
    assert isinstance(last, StandsOutside)
    assert last.stage is Stage.PIN


async def test_browsers_and_callers_without_keys_are_refused_as_before() -> None:
    house = Hall(guest_pin="2222")
    for called, more, reason in (
        ("", {"protocol": CallProtocol.WEBRTC}, Reason.NO_SUCH_ROOM),
        ("100", {"protocol": CallProtocol.WEBRTC}, Reason.PIN_NEEDED),
        ("", {"keys": False}, Reason.NO_SUCH_ROOM),
        ("100", {"keys": False}, Reason.PIN_NEEDED),
        ("999", {}, Reason.NO_SUCH_ROOM),
    ):
        with pytest.raises(Refused) as refused:
            await house.desk.arrive(replace(facts(called), **more), RecordingLine())  # type: ignore[arg-type]
        assert refused.value.reason is reason
        assert isinstance(house.events[-1], CallRefused)
    house.nothing_left()


async def test_a_call_that_the_house_places_is_never_asked() -> None:
    house = Hall(guest_pin="2222")
    with pytest.raises(Refused) as refused:
        await house.desk.arrive(replace(facts("100"), direction=Direction.OUTGOING), RecordingLine())
    assert refused.value.reason is Reason.PIN_NEEDED


async def test_what_was_decided_of_a_call_holds_when_it_goes_in() -> None:
    house = Hall(guest_pin="2222")

    class Host:
        async def decide(self, facts: object, destination: object) -> Decision:
            return Decision(rank=Rank.HOST, name="The director")

    house.desk.switchboard.policy = Host()
    call, _, _ = await house.visitor()
    await house.desk.entrance.enter(call, "100")
    (one,) = house.desk.room("100").participants
    assert (one.rank, one.name) == (Rank.HOST, "The director")


async def test_a_rule_of_the_dial_plan_leads_to_the_menu() -> None:
    house = Hall()
    house.desk.switchboard.plan = DialPlan([Rule(Match(), ToMenu)])
    call, _, _ = await house.visitor("100")
    assert call.visitor is not None
    assert house.desk.switchboard.leads(facts("100")) == ToMenu()
    house.desk.entrance.leader = None
    assert house.desk.switchboard.leads(facts("100")) is None


async def test_no_more_stand_outside_than_there_is_place_for(monkeypatch: pytest.MonkeyPatch) -> None:
    house = Hall()
    monkeypatch.setattr(entrance_module, "MAX_OUTSIDE_FROM_ONE", 2)
    monkeypatch.setattr(entrance_module, "MAX_OUTSIDE", 3)
    calls = [await house.desk.arrive(facts(""), RecordingLine()) for _ in range(2)]
    with pytest.raises(Refused) as refused:
        await house.desk.arrive(facts(""), RecordingLine())
    assert refused.value.reason is Reason.OVERLOAD
    calls.append(await house.desk.arrive(replace(facts(""), source="192.0.2.9:5060"), RecordingLine()))
    with pytest.raises(Refused) as refused:
        await house.desk.arrive(replace(facts(""), source="192.0.2.10:5060"), RecordingLine())
    assert refused.value.reason is Reason.OVERLOAD
    for call in calls:
        await call.ended(Reason.NORMAL)
    house.nothing_left()


async def test_a_room_that_is_deleted_while_a_visitor_goes_in_ends_its_call() -> None:
    house = Hall()
    house.desk.open_room(RoomSettings(RoomId("200")))
    _, line, guide = await house.visitor()
    room = house.desk.room("200")
    await house.desk.close_room(RoomId("200"))
    await house.desk.entrance.bring_in(guide.visitor, room, Rank.GUEST)
    assert line.asked == [Reason.ROOM_CLOSED]
    house.nothing_left()
