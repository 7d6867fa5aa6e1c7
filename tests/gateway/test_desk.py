"""The desk: who gets in, what the others are told, and that nothing is left over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.calls import CallFacts, CallProtocol, Direction, Floor, Line
from gateway.reasons import Reason, Refused
from gateway.rooms.desk import FrontDesk, HouseRules
from gateway.rooms.directing import CROWD, PLAN_PACE
from gateway.rooms.model import (
    Changed,
    Joined,
    KeyPressed,
    Left,
    Rank,
    RoomEvent,
    RoomMode,
    RoomSettings,
    SpeakerChanged,
    WhenLocked,
)
from transcode.events import (
    Dtmf,
    Failed,
    KeyFrameWanted,
    MediaEvent,
    Silent,
    Speaker,
    Talking,
)
from transcode.interface import LegStatistics, Sample
from transcode.media import (
    Abilities,
    CameraAction,
    Candidate,
    LegId,
    MediaDescription,
    Role,
    RoomId,
    Sound,
    SrtpPolicy,
    ViewPlan,
    Wanted,
)


class RecordingPlane:
    """A media plane that keeps what it was told."""

    def __init__(self) -> None:
        self.opened: dict[LegId, Abilities] = {}
        self.closed: list[tuple[LegId, Reason]] = []
        self.plans: list[ViewPlan] = []
        self.moved: list[tuple[LegId, RoomId]] = []
        self.pressed: list[tuple[LegId, str, int]] = []
        self.takes_keys = True
        self.toned: list[tuple[LegId, str, int]] = []
        self.confirmed: list[tuple[LegId, str]] = []
        self.refuse: Reason | None = None
        self.deaf: set[LegId] = set()
        self.camera_moves: list[tuple[LegId, CameraAction]] = []
        self.texts: list[tuple[LegId, str]] = []
        self.sounds: list[tuple[LegId, tuple[Sound, ...], int]] = []
        self.announced: list[tuple[RoomId, tuple[Sound, ...]]] = []
        self.happening: asyncio.Queue[MediaEvent | None] = asyncio.Queue()

    async def open(self, leg: LegId, room: RoomId, abilities: Abilities) -> None:
        if self.refuse is not None:
            raise Refused(self.refuse)
        self.opened[leg] = abilities

    async def offer(self, leg: LegId, wanted: Wanted) -> MediaDescription:
        return MediaDescription(())

    async def answer(self, leg: LegId, remote: MediaDescription) -> MediaDescription:
        return remote

    async def accept(self, leg: LegId, remote: MediaDescription) -> None: ...

    async def candidate(self, leg: LegId, stream: str, candidate: Candidate | None) -> None: ...

    async def direct(self, room: RoomId, plan: ViewPlan) -> None:
        self.plans.append(plan)

    async def move(self, leg: LegId, room: RoomId) -> None:
        if self.refuse is not None:
            raise Refused(self.refuse)
        self.moved.append((leg, room))

    async def press(self, leg: LegId, digit: str, duration: int, by_tone: bool = False) -> bool:
        (self.pressed if self.takes_keys or not by_tone else self.toned).append((leg, digit, duration))
        return self.takes_keys or by_tone

    async def play(self, leg: LegId, sounds: tuple[Sound, ...], number: int = 0) -> None:
        self.sounds.append((leg, sounds, number))

    async def announce(self, room: RoomId, sounds: tuple[Sound, ...]) -> None:
        self.announced.append((room, sounds))

    async def key_frame(self, leg: LegId, role: Role | None = None) -> None: ...

    async def confirm_key(self, leg: LegId, digit: str) -> None:
        self.confirmed.append((leg, digit))

    async def camera(self, leg: LegId, action: CameraAction) -> bool:
        self.camera_moves.append((leg, action))
        return leg not in self.deaf

    async def send_text(self, leg: LegId, text: str) -> bool:
        if leg in self.deaf:
            return False
        self.texts.append((leg, text))
        return True

    async def statistics(self, leg: LegId) -> LegStatistics:
        return LegStatistics(leg, ())

    async def counters(self) -> tuple[Sample, ...]:
        return ()

    async def close(self, leg: LegId, reason: Reason) -> None:
        self.closed.append((leg, reason))

    async def events(self) -> AsyncIterator[MediaEvent]:
        while (event := await self.happening.get()) is not None:
            yield event


class RecordingLine:
    """An adapter's line that keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[object] = []

    async def hang_up(self, reason: Reason) -> None:
        self.asked.append(reason)

    async def request_key_frame(self, stream: str) -> None:
        self.asked.append(("key frame", stream))

    async def local_candidate(self, stream: str, candidate: Candidate | None) -> None:
        self.asked.append(candidate)

    async def ringing(self) -> None:
        self.asked.append("ringing")

    async def renegotiate(self, wanted: Wanted) -> None:
        self.asked.append(wanted)

    async def say(self, name: str, text: str) -> None:
        self.asked.append((name, text))

    async def press(self, digit: str, duration: int) -> None:
        self.asked.append((digit, duration))

    async def floor(self, floor: Floor) -> None:
        self.asked.append(floor)

    async def transfer(self, target: str, replaces: Line | None = None) -> None:
        self.asked.append(target or replaces)


def facts(called: str = "100", protocol: CallProtocol = CallProtocol.SIP, **more: str) -> CallFacts:
    return CallFacts(protocol, Direction.INCOMING, "127.0.0.1:5070", "sip:ann@example", "Ann", called, **more)


class House:
    def __init__(self, **settings: object) -> None:
        self.plane = RecordingPlane()
        self.desk = FrontDesk(self.plane, HouseRules(Abilities(), no_media_timeout=30.0), clock=lambda: 1000.0)
        self.desk.open_room(RoomSettings(RoomId("100"), "Everyone", **settings))  # type: ignore[arg-type]
        self.events: list[RoomEvent] = []
        original = self.desk.publish

        def publish(events: list[RoomEvent]) -> None:
            self.events += events
            original(events)

        self.desk.publish = publish  # type: ignore[method-assign]


async def test_a_call_to_no_room_is_refused_and_leaves_nothing() -> None:
    house = House()
    with pytest.raises(Refused) as refusal:
        await house.desk.arrive(facts("999"), RecordingLine())
    assert refusal.value.reason is Reason.NO_SUCH_ROOM
    assert house.desk.outcomes == {(CallProtocol.SIP, Reason.NO_SUCH_ROOM): 1}
    assert not house.desk.calls
    assert not house.plane.opened


async def test_a_participant_joins_when_its_call_is_connected_and_leaves_when_it_ends() -> None:
    house = House()
    call = await house.desk.arrive(facts(), RecordingLine())
    assert not house.desk.room("100").participants
    await call.connected()
    await call.connected()
    (joined,) = house.events
    assert isinstance(joined, Joined)
    assert joined.participant.name == "Ann"
    assert [leg.leg for leg in house.plane.plans[-1].legs] == [call.leg]
    await call.ended(Reason.NORMAL)
    await call.ended(Reason.TIMEOUT)
    assert isinstance(house.events[-1], Left)
    assert house.events[-1].reason is Reason.NORMAL
    assert house.plane.closed == [(call.leg, Reason.NORMAL)]
    assert house.desk.outcomes == {(CallProtocol.SIP, Reason.NORMAL): 1}
    assert house.plane.plans[-1].legs == ()
    assert not house.desk.calls


async def test_a_media_plane_that_refuses_leaves_no_call_behind() -> None:
    house = House()
    house.plane.refuse = Reason.NO_PORTS
    with pytest.raises(Refused) as refusal:
        await house.desk.arrive(facts(), RecordingLine())
    assert refusal.value.reason is Reason.NO_PORTS
    assert not house.desk.calls


@pytest.mark.parametrize(
    ("pin", "outcome"),
    [(None, Reason.PIN_NEEDED), ("1", Reason.WRONG_PIN)],
)
async def test_without_the_right_pin_nobody_enters(pin: str | None, outcome: Reason) -> None:
    house = House(host_pin="1111", guest_pin="2222")
    with pytest.raises(Refused) as refusal:
        await house.desk.arrive(facts(pin=pin), RecordingLine())  # type: ignore[arg-type]
    assert refusal.value.reason is outcome


@pytest.mark.parametrize(("pin", "rank"), [("2222", Rank.GUEST), ("1111", Rank.HOST)])
async def test_the_pin_decides_the_rank(pin: str, rank: Rank) -> None:
    house = House(host_pin="1111", guest_pin="2222")
    call = await house.desk.arrive(facts(pin=pin), RecordingLine())
    assert call.rank is rank


async def test_a_full_room_counts_those_who_are_on_their_way_in() -> None:
    house = House(max_participants=2)
    first = await house.desk.arrive(facts(), RecordingLine())
    await first.connected()
    second = await house.desk.arrive(facts(), RecordingLine())
    with pytest.raises(Refused) as refusal:
        await house.desk.arrive(facts(), RecordingLine())
    assert refusal.value.reason is Reason.ROOM_FULL
    await second.ended(Reason.CANCELLED)
    await house.desk.arrive(facts(), RecordingLine())


async def test_a_locked_room_lets_hosts_in_only() -> None:
    house = House(host_pin="1111", when_locked=WhenLocked.REFUSE)
    await house.desk.lock(RoomId("100"), True)
    with pytest.raises(Refused) as refusal:
        await house.desk.arrive(facts(), RecordingLine())
    assert refusal.value.reason is Reason.ROOM_LOCKED
    await house.desk.arrive(facts(pin="1111"), RecordingLine())


async def test_a_returning_browser_takes_its_place_over_and_the_old_call_is_ended() -> None:
    house = House()
    old_line = RecordingLine()
    old = await house.desk.arrive(facts(protocol=CallProtocol.WEBRTC), old_line)
    await old.connected()
    new = await house.desk.arrive(facts(protocol=CallProtocol.WEBRTC, resume=old.resume_token), RecordingLine())
    await new.connected()
    assert old_line.asked == [Reason.REPLACED]
    (only,) = house.desk.room("100").participants
    assert only.call == new.id
    assert [type(event) for event in house.events] == [Joined, Changed]
    assert house.plane.closed == [(old.leg, Reason.REPLACED)]
    await new.ended(Reason.NORMAL)
    assert not house.desk.room("100").participants


async def test_a_browser_that_comes_back_twice_stays_in_the_room_when_its_first_call_expires() -> None:
    house = House()
    first = await house.desk.arrive(facts(protocol=CallProtocol.WEBRTC), RecordingLine())
    await first.connected()
    await house.desk.arrive(facts(protocol=CallProtocol.WEBRTC, resume=first.resume_token), RecordingLine())
    third = await house.desk.arrive(facts(protocol=CallProtocol.WEBRTC, resume=first.resume_token), RecordingLine())
    await third.connected()
    await first.ended(Reason.TRANSPORT_FAILED)
    (only,) = house.desk.room("100").participants
    assert only.call == third.id
    assert [leg.leg for leg in house.plane.plans[-1].legs] == [third.leg]
    assert list(house.desk.calls.values()) == [third]


async def test_a_return_that_fails_leaves_the_token_with_the_call_in_the_room() -> None:
    house = House()
    first = await house.desk.arrive(facts(protocol=CallProtocol.WEBRTC), RecordingLine())
    await first.connected()
    vain = await house.desk.arrive(facts(protocol=CallProtocol.WEBRTC, resume=first.resume_token), RecordingLine())
    await vain.ended(Reason.TRANSPORT_FAILED)
    back = await house.desk.arrive(facts(protocol=CallProtocol.WEBRTC, resume=first.resume_token), RecordingLine())
    await back.connected()
    (only,) = house.desk.room("100").participants
    assert only.id == first.participant_id
    assert only.call == back.id


async def test_browsers_get_ice_and_must_encrypt() -> None:
    house = House()
    call = await house.desk.arrive(facts(protocol=CallProtocol.WEBRTC), RecordingLine())
    abilities = house.plane.opened[call.leg]
    assert abilities.ice
    assert abilities.srtp is SrtpPolicy.REQUIRE


async def test_a_call_s_way_in_may_say_whether_it_is_encrypted() -> None:
    house = House()
    call = await house.desk.arrive(facts(srtp=SrtpPolicy.REQUIRE), RecordingLine())  # type: ignore[arg-type]
    assert house.plane.opened[call.leg].srtp is SrtpPolicy.REQUIRE
    call = await house.desk.arrive(facts(), RecordingLine())
    assert house.plane.opened[call.leg].srtp is SrtpPolicy.PREFER


async def test_what_the_host_muted_the_participant_cannot_unmute() -> None:
    house = House()
    call = await house.desk.arrive(facts(), RecordingLine())
    await call.connected()
    room = house.desk.room("100")
    await house.desk.mute(room, call.participant_id, True)
    await call.mute(audio=True)
    await call.mute(audio=False)
    assert house.plane.plans[-1].legs[0].heard is False
    await house.desk.mute(room, call.participant_id, False)
    assert house.plane.plans[-1].legs[0].heard is True


async def test_media_events_reach_rooms_and_lines() -> None:
    house = House()
    line = RecordingLine()
    call = await house.desk.arrive(facts(), line)
    await call.connected()
    for event in (
        Talking(RoomId("100"), call.leg, True),
        Speaker(RoomId("100"), call.leg),
        Dtmf(call.leg, "5", 100),
        KeyFrameWanted(call.leg, "1"),
        Silent(call.leg, 5.0),
        Failed(LegId("of nobody"), Reason.INTERNAL),
        Silent(call.leg, 31.0),
        None,
    ):
        house.plane.happening.put_nowait(event)
    await house.desk.follow_media()
    assert [type(event) for event in house.events] == [
        Joined,
        Changed,
        SpeakerChanged,
        KeyPressed,
        Left,
        SpeakerChanged,
    ]
    assert line.asked == [("key frame", "1"), Reason.NO_MEDIA]
    assert not house.desk.calls


async def test_a_subscriber_that_does_not_read_loses_the_oldest_and_holds_nobody_up() -> None:
    house = House()
    stream = house.desk.subscribe()
    first = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    house.desk.publish([SpeakerChanged(RoomId("100"), None)] * 5000)
    await first
    assert sum(queue.qsize() for queue in house.desk._subscribers) <= 1000
    await stream.aclose()
    assert not house.desk._subscribers


async def test_closing_a_room_ends_its_calls() -> None:
    house = House()
    line = RecordingLine()
    call = await house.desk.arrive(facts(), line)
    await call.connected()
    await house.desk.close_room(RoomId("100"))
    assert line.asked == [Reason.ROOM_CLOSED]
    assert call.over
    with pytest.raises(Refused):
        house.desk.room("100")


async def test_a_room_is_reached_by_its_aliases_for_as_long_as_it_has_them() -> None:
    house = House(aliases=("200", "all"))
    call = await house.desk.arrive(facts("200"), RecordingLine())
    assert call.room is house.desk.room("100") is house.desk.room("all")
    house.desk.open_room(RoomSettings(RoomId("100"), "Everyone", aliases=("300",)))
    with pytest.raises(Refused):
        house.desk.room("200")
    await call.ended(Reason.NORMAL)
    await house.desk.close_room(RoomId("300"))
    with pytest.raises(Refused):
        house.desk.room("300")
    assert not house.desk.rooms


async def test_an_echo_room_plans_echoes_and_confirms_keys_however_they_come() -> None:
    house = House(mode=RoomMode.ECHO)
    call = await house.desk.arrive(facts(), RecordingLine())
    await call.connected()
    plan = house.plane.plans[-1]
    assert plan.echo
    assert plan.slate
    await house.desk._media_event(Dtmf(call.leg, "5", 100))
    await call.dtmf("#", 100)
    assert house.plane.confirmed == [(call.leg, "5"), (call.leg, "#")]
    assert [event.digit for event in house.events if isinstance(event, KeyPressed)] == ["5", "#"]
    await call.ended(Reason.NORMAL)


class SlowPlane(RecordingPlane):
    """A media plane that takes a plan only when it is let go on."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = asyncio.Event()
        self.refuse_plans: Reason | None = None

    async def direct(self, room: RoomId, plan: ViewPlan) -> None:
        await self.go_on.wait()
        if self.refuse_plans is not None:
            raise Refused(self.refuse_plans)
        await super().direct(room, plan)


async def test_a_hundred_who_come_while_a_plan_is_under_way_cost_one_more_plan() -> None:
    house = House(max_participants=500)
    house.plane = house.desk.plane = SlowPlane()
    calls = [await house.desk.arrive(facts(), RecordingLine()) for _ in range(101)]
    first = asyncio.create_task(calls[0].connected())
    await asyncio.sleep(0)
    others = [asyncio.create_task(call.connected()) for call in calls[1:]]
    await asyncio.sleep(0)
    assert not any(task.done() for task in [first, *others])
    house.plane.go_on.set()
    await asyncio.gather(first, *others)
    assert [len(plan.legs) for plan in house.plane.plans] == [1, 101]


async def test_who_gives_up_waiting_for_a_plan_leaves_the_others_theirs() -> None:
    house = House()
    house.plane = house.desk.plane = SlowPlane()
    calls = [await house.desk.arrive(facts(), RecordingLine()) for _ in range(3)]
    joining = [asyncio.create_task(call.connected()) for call in calls]
    await asyncio.sleep(0)
    joining[0].cancel()
    joining[1].cancel()
    await asyncio.sleep(0)
    house.plane.go_on.set()
    await joining[2]
    assert [len(plan.legs) for plan in house.plane.plans] == [3]
    await asyncio.gather(*joining, return_exceptions=True)


async def test_calls_that_came_and_went_leave_no_table_behind() -> None:
    house = House(max_participants=3)
    for _ in range(3):
        calls = [await house.desk.arrive(facts(), RecordingLine()) for _ in range(3)]
        with pytest.raises(Refused):
            await house.desk.arrive(facts(), RecordingLine())
        for call in calls[1:]:
            await call.connected()
        with pytest.raises(Refused):
            await house.desk.arrive(facts(), RecordingLine())
        for call in calls:
            await call.ended(Reason.NORMAL)
    desk = house.desk
    assert not any((desk.calls, desk._legs, desk._resumable, desk._same, desk._calls_of))


async def test_a_plan_that_is_refused_is_told_to_all_who_waited_and_the_next_one_goes() -> None:
    house = House()
    house.plane = house.desk.plane = SlowPlane()
    house.plane.go_on.set()
    calls = [await house.desk.arrive(facts(), RecordingLine()) for _ in range(3)]
    house.plane.refuse_plans = Reason.INTERNAL
    outcomes = await asyncio.gather(*(call.connected() for call in calls), return_exceptions=True)
    assert [outcome.reason for outcome in outcomes if isinstance(outcome, Refused)] == [Reason.INTERNAL] * 3
    house.plane.refuse_plans = None
    await house.desk.direct(RoomId("100"))
    assert [len(plan.legs) for plan in house.plane.plans] == [3]


async def test_plans_of_a_crowd_go_no_faster_than_sound_is_mixed() -> None:
    house = House(max_participants=500)
    calls = [await house.desk.arrive(facts(), RecordingLine()) for _ in range(CROWD + 10)]
    for call in calls[:CROWD]:
        await call.connected()
    assert len(house.plane.plans) == CROWD
    began = asyncio.get_running_loop().time()
    for call in calls[CROWD:]:
        await call.connected()
    assert asyncio.get_running_loop().time() - began >= 9 * PLAN_PACE
    house.plane.plans.clear()
    await house.desk.close()
    assert not house.desk.calls
    assert len(house.plane.plans) <= CROWD + 2, "all who leave together share their plans"


async def test_a_flood_is_turned_away_while_too_much_media_is_being_set_up() -> None:
    house = House()
    house.desk.load.most = 1
    with house.desk.load.one(), pytest.raises(Refused) as refusal:
        await house.desk.arrive(facts(), RecordingLine())
    assert refusal.value.reason is Reason.OVERLOAD
    assert not house.desk.calls
    await house.desk.arrive(facts(), RecordingLine())
    assert house.desk.load.under_way == 0
