"""Gateway calls: two people put through to each other by the desk, over lines that only note what they are asked."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from test_desk import House, RecordingLine, facts

from gateway.calls import CallFacts, CallProtocol, Direction, Order
from gateway.reasons import Reason, Refused
from gateway.rooms import bridge as bridge_module
from gateway.rooms.call import RoomCall
from gateway.rooms.desk import FrontDesk
from gateway.rooms.dial_plan import DialPlan, Match, Rule, ToCall
from gateway.rooms.model import (
    CallFailed,
    CallRefused,
    Joined,
    KeyPressed,
    Left,
    OutboundRefused,
    Ringing,
)
from gateway.rooms.outbound import Asker, Outbound, OutboundRule, Role
from gateway.rooms.pattern import Pattern, Template
from gateway.rooms.policy import Decision
from transcode.events import KeySource


class FakeDialler:
    """Places calls on recording lines; the test says when they ring and how they end."""

    def __init__(self, desk: FrontDesk) -> None:
        self.desk = desk
        self.orders: list[Order] = []
        self.lines: list[RecordingLine] = []
        self.calls: list[RoomCall] = []
        self.outcomes: list[asyncio.Future[None]] = []

    def user_of(self, target: str) -> str | None:
        user, _, host = target.partition(":")[2].partition("@")
        return user if host == "us.example" and user in ("bob", "cleo") else None

    async def dial(self, order: Order, facts: CallFacts) -> RoomCall:
        self.orders.append(order)
        line = RecordingLine()
        call = await self.desk.arrive(replace(facts, source="203.0.113.5:5060"), line)
        self.lines.append(line)
        self.calls.append(call)
        outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.outcomes.append(outcome)
        try:
            await outcome
        except Refused as refused:
            await call.ended(refused.reason)
            raise
        except asyncio.CancelledError:
            line.asked.append("cancelled")
            await call.ended(Reason.CANCELLED)
            raise
        return call

    async def placed(self, number: int = 1) -> RoomCall:
        async with asyncio.timeout(30):
            while len(self.outcomes) < number:
                await asyncio.sleep(0.001)
        return self.calls[number - 1]

    async def answers(self, number: int = 1) -> RoomCall:
        call = await self.placed(number)
        await call.connected()
        self.outcomes[number - 1].set_result(None)
        return call


class Exchange(House):
    """A house in which bob and cleo have accounts."""

    def __init__(self) -> None:
        super().__init__()
        self.dialler = FakeDialler(self.desk)
        self.board = self.desk.switchboard
        self.board.dialler = self.dialler
        self.board.is_user = ("bob", "cleo").__contains__

    async def calls(self, called: str = "bob", **more: object) -> tuple[RoomCall, RecordingLine, asyncio.Task[None]]:
        """Let ann call somebody, as an adapter does."""
        line = RecordingLine()
        call = await self.desk.arrive(replace(facts(called), **more), line)  # type: ignore[arg-type]
        return call, line, asyncio.create_task(call.admitted())

    async def put_through(self, **more: object) -> tuple[RoomCall, RecordingLine, RoomCall, RecordingLine]:
        call, line, waiting = await self.calls(**more)  # type: ignore[arg-type]
        called = await self.dialler.answers()
        await waiting
        await call.connected()
        return call, line, called, self.dialler.lines[0]

    def denied(self) -> list[tuple[str, str, Reason]]:
        """Return which calls outside were refused to whom."""
        refused = [one for one in self.events if isinstance(one, OutboundRefused)]
        return [(one.role, one.target, one.reason) for one in refused]

    def nothing_left(self) -> None:
        assert not self.desk.calls
        assert not self.board.bridges
        assert not self.desk._private
        assert self.desk._directing.rooms == {"100"}


async def test_a_caller_is_answered_when_the_other_one_is_and_both_are_in_a_room_of_their_own() -> None:
    house = Exchange()
    call, line, waiting = await house.calls(name="Ann", account="ann")
    called = await house.dialler.placed()
    (order,) = house.dialler.orders
    assert (order.target, order.sender, order.display) == ("user:bob", "ann", "Ann")
    assert order.hops == 69
    await called.ringing()
    await called.ringing()
    assert line.asked == ["ringing"]
    assert not waiting.done()
    await house.dialler.answers()
    await waiting
    await call.connected()
    assert call.room is called.room
    assert list(house.desk.rooms) == ["100"]
    with pytest.raises(Refused):
        house.desk.room(call.room_id)
    plan = house.plane.plans[-1]
    assert {leg.leg for leg in plan.legs} == {call.leg, called.leg}
    assert (plan.title, plan.slate) == ("", "")
    assert [type(event) for event in house.events] == [Ringing, Joined, Joined]


async def test_the_private_room_of_two_cannot_be_dialled() -> None:
    house = Exchange()
    call, _, _, _ = await house.put_through()
    with pytest.raises(Refused) as refused:
        await house.desk.arrive(facts(call.room_id), RecordingLine())
    assert refused.value.reason is Reason.NO_SUCH_ROOM


@pytest.mark.parametrize("who", ["caller", "called"])
@pytest.mark.parametrize("reason", [Reason.NORMAL, Reason.NO_MEDIA])
async def test_when_one_hangs_up_the_other_ones_call_ends_for_the_same_reason(who: str, reason: Reason) -> None:
    house = Exchange()
    call, line, called, other = await house.put_through()
    await (call if who == "caller" else called).ended(reason)
    assert (other if who == "caller" else line).asked == [reason]
    assert [event.reason for event in house.events if isinstance(event, Left)] == [reason, reason]
    house.nothing_left()


@pytest.mark.parametrize("reason", [Reason.BUSY, Reason.DECLINED, Reason.NO_ANSWER, Reason.UNREACHABLE])
async def test_what_the_called_one_says_is_what_the_caller_hears(reason: Reason) -> None:
    house = Exchange()
    call, _, waiting = await house.calls()
    called = await house.dialler.placed()
    house.dialler.outcomes[0].set_exception(Refused(reason))
    with pytest.raises(Refused) as refused:
        await waiting
    assert refused.value.reason is reason
    await call.ended(reason)
    failed = [(event.call, event.reason) for event in house.events if isinstance(event, CallFailed)]
    assert failed == [(called.id, reason), (call.id, reason)]
    house.nothing_left()


async def test_a_caller_who_gives_up_takes_the_call_to_the_other_one_back() -> None:
    house = Exchange()
    call, _, waiting = await house.calls()
    await house.dialler.placed()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await call.ended(Reason.CANCELLED)
    assert house.dialler.lines[0].asked == ["cancelled"]
    house.nothing_left()


async def test_a_caller_whose_line_only_says_that_it_ended_takes_the_call_back_too() -> None:
    house = Exchange()
    call, _, waiting = await house.calls()
    await house.dialler.placed()
    await call.ended(Reason.TRANSPORT_FAILED)
    with pytest.raises(Refused) as refused:
        await waiting
    assert refused.value.reason is Reason.CANCELLED
    assert house.dialler.lines[0].asked[0] is Reason.TRANSPORT_FAILED
    house.nothing_left()


async def test_nobody_rings_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge_module, "RING_TIME", 0.05)
    house = Exchange()
    call, _, waiting = await house.calls()
    with pytest.raises(Refused) as refused:
        await waiting
    assert refused.value.reason is Reason.NO_ANSWER
    await call.ended(Reason.NO_ANSWER)
    assert house.dialler.lines[0].asked == ["cancelled"]
    house.nothing_left()


async def test_one_who_answers_and_hangs_up_at_once_leaves_nothing() -> None:
    house = Exchange()
    call, _, waiting = await house.calls()
    called = await house.dialler.placed()
    await called.connected()
    await called.ended(Reason.NORMAL)
    house.dialler.outcomes[0].set_result(None)
    with pytest.raises(Refused) as refused:
        await waiting
    assert refused.value.reason is Reason.CANCELLED
    await call.ended(Reason.CANCELLED)
    house.nothing_left()


async def test_a_caller_that_cannot_be_answered_in_the_end_ends_the_other_call() -> None:
    house = Exchange()
    call, _, waiting = await house.calls()
    await house.dialler.answers()
    await waiting
    await call.ended(Reason.NO_COMMON_FORMAT)
    assert house.dialler.lines[0].asked == [Reason.NO_COMMON_FORMAT]
    house.nothing_left()


async def test_a_plane_that_refuses_the_caller_leaves_no_private_room() -> None:
    house = Exchange()
    house.plane.refuse = Reason.NO_PORTS
    with pytest.raises(Refused):
        await house.calls()
    house.nothing_left()
    assert isinstance(house.events[-1], CallRefused)


async def test_keys_go_across_by_events_by_info_to_whoever_sends_that_and_else_by_tones() -> None:
    house = Exchange()
    call, line, called, other = await house.put_through()
    await call.key("5", 120, KeySource.TONE)
    assert house.plane.pressed == [(called.leg, "5", 120)]
    house.plane.takes_keys = False
    await called.dtmf("#", 90)  # by INFO: from now on it is told so itself
    assert (house.plane.toned, line.asked) == ([(call.leg, "#", 90)], [])
    await call.key("7", 80, KeySource.EVENT)
    assert (house.plane.toned, other.asked) == ([(call.leg, "#", 90)], [("7", 80)])
    assert [event.digit for event in house.events if isinstance(event, KeyPressed)] == ["5", "#", "7"]
    plans = {one.leg: one.keys for one in house.plane.plans[-1].legs}
    assert plans == {call.leg: False, called.leg: True}


async def test_an_h323_terminal_is_told_of_keys_by_signalling_where_it_has_no_events() -> None:
    house = Exchange()
    _, line, called, _ = await house.put_through(protocol=CallProtocol.H323)
    house.plane.takes_keys = False
    await called.key("4", 100, KeySource.TONE)
    assert (house.plane.toned, line.asked) == ([], [("4", 100)])
    assert [one.keys for one in house.plane.plans[-1].legs].count(True) == 1


async def test_a_caller_without_picture_calls_without_one() -> None:
    house = Exchange()
    await house.calls(video=False)
    await house.dialler.placed()
    assert house.dialler.orders[0].wanted.video is False


async def test_a_call_that_went_round_too_often_ends() -> None:
    house = Exchange()
    _, _, waiting = await house.calls(hops=1)
    with pytest.raises(Refused) as refused:
        await waiting
    assert refused.value.reason is Reason.LOOP


async def test_a_browser_is_not_put_through() -> None:
    house = Exchange()
    with pytest.raises(Refused) as refused:
        await house.calls(protocol=CallProtocol.WEBRTC)
    assert refused.value.reason is Reason.NO_SUCH_ROOM


def outside(*rules: OutboundRule) -> Exchange:
    house = Exchange()
    pattern = Pattern(r"0(\d+)")
    rule = Rule(Match(called=pattern), ToCall, Template(r"tel:+49\1", pattern))
    house.board.plan = DialPlan([rule])
    house.board.outbound = Outbound(rules)
    return house


CALLERS = frozenset({Role.CALLER})


async def test_a_call_to_the_outside_is_denied_although_the_dial_plan_leads_there() -> None:
    house = outside()
    call, _, waiting = await house.calls("089123")
    with pytest.raises(Refused) as refused:
        await waiting
    assert refused.value.reason is Reason.NOT_ALLOWED
    assert not house.dialler.orders
    assert house.denied() == [("caller", "tel:+4989123", Reason.NOT_ALLOWED)]
    await call.ended(Reason.NOT_ALLOWED)
    house.nothing_left()


async def test_an_account_that_may_goes_through_its_trunk_and_gives_its_place_back() -> None:
    house = outside(OutboundRule(roles=CALLERS, accounts=frozenset({"ann"}), trunk="carrier", max_calls=1))
    call, _, waiting = await house.calls("089123", account="ann")
    await house.dialler.answers()
    await waiting
    await call.connected()
    assert (house.dialler.orders[0].target, house.dialler.orders[0].trunk) == ("tel:+4989123", "carrier")
    second, _, refused_one = await house.calls("089124", account="ann")
    with pytest.raises(Refused) as refused:
        await refused_one
    assert refused.value.reason is Reason.OVERLOAD
    await second.ended(Reason.OVERLOAD)
    await call.ended(Reason.NORMAL)
    assert house.board.outbound.calls == 0
    house.nothing_left()


async def test_a_call_that_nobody_takes_gives_its_place_back() -> None:
    house = outside(OutboundRule(roles=CALLERS, accounts=frozenset({"ann"}), trunk="carrier"))
    call, _, waiting = await house.calls("089123", account="ann")
    await house.dialler.placed()
    assert house.board.outbound.calls == 1
    house.dialler.outcomes[0].set_exception(Refused(Reason.BUSY))
    with pytest.raises(Refused):
        await waiting
    assert house.board.outbound.calls == 0
    await call.ended(Reason.BUSY)


# Dial-out and transfers


async def test_a_number_that_cannot_be_shown_is_not_read_as_a_name() -> None:
    house = Exchange()
    house.board.outbound = Outbound([OutboundRule()])
    room = house.desk.room("100")
    for number in (1, 2):
        target = "sip:%E2%80%AE%00@b.example" if number == 1 else "sip:A%00nn@b.example"
        placing = asyncio.create_task(house.board.place(Asker(Role.API, "100"), Order(target), room))
        await house.dialler.answers(number)
        await placing
    assert [one.name for one in room.participants] == ["sip:%E2%80%AE%00@b.example", "Ann"]
    await house.desk.close()


async def test_the_api_calls_users_without_a_rule_and_nobody_else() -> None:
    house = Exchange()
    room = house.desk.room("100")
    asker = Asker(Role.API, "100")
    placing = asyncio.create_task(house.board.place(asker, Order("sip:bob@us.example"), room, "Bob"))
    call = await house.dialler.answers()
    assert await placing is call
    assert house.dialler.orders[0].target == "user:bob"
    assert [one.name for one in room.participants] == ["Bob"]
    with pytest.raises(Refused) as refused:
        await house.board.place(asker, Order("sip:bob@elsewhere.example"), room)
    assert refused.value.reason is Reason.NOT_ALLOWED


class FakePolicy:
    def __init__(self, decision: Decision) -> None:
        self.decision = decision
        self.asked: list[object] = []

    async def decide(self, facts: CallFacts, destination: object) -> Decision:
        self.asked.append(destination)
        return self.decision


async def test_what_another_program_decides_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House(guest_pin="2222", max_participants=2)
    from gateway.rooms.dial_plan import ToRoom
    from gateway.rooms.model import Rank

    policy = FakePolicy(Decision(ToRoom("100"), Rank.HOST, name="Doctor Who", bandwidth=500_000, seconds=1))
    house.desk.switchboard.policy = policy
    line = RecordingLine()
    call = await house.desk.arrive(facts("anything"), line)
    await call.connected()
    (one,) = house.desk.room("100").participants
    assert (one.name, one.rank) == ("Doctor Who", Rank.HOST)
    assert house.plane.opened[call.leg].bandwidth == 500_000
    async with asyncio.timeout(5):
        while not call.over:
            await asyncio.sleep(0.05)
    assert line.asked == [Reason.TIME_LIMIT]


async def test_a_pin_and_a_limit_that_another_program_gives_are_taken() -> None:
    house = House(guest_pin="2222")
    house.desk.switchboard.policy = FakePolicy(Decision(pin="2222", participants=1))
    await house.desk.arrive(facts(), RecordingLine())
    with pytest.raises(Refused) as refused:
        await house.desk.arrive(facts(), RecordingLine())
    assert refused.value.reason is Reason.ROOM_FULL


async def test_calls_of_our_own_are_not_asked_about() -> None:
    house = Exchange()
    policy = FakePolicy(Decision())
    house.board.policy = policy
    await house.put_through()
    assert policy.asked == [ToCall("user:bob")]
    assert house.dialler.calls[0].facts.direction is Direction.OUTGOING
