"""Dialled calls of the house: what is told of them, when they are tried again, and that nothing is left over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from test_desk import RecordingLine, facts
from test_gateway_calls import Exchange

from gateway.reasons import Reason, Refused
from gateway.rooms.call import RoomCall
from gateway.rooms.dial_out import MAX_OVER, Dialling, DialWish
from gateway.rooms.model import AutoDial, CallFailed, DialChanged, DialState, DialTime, RoomSettings, WhenLocked
from gateway.rooms.outbound import Asker, Denied, Outbound, OutboundRule, Role
from gateway.rooms.redialling import Tries
from gateway.rooms.room import RINGBACK
from transcode.media import RoomId, Sound

API = Asker(Role.API, "100")
BOB = DialWish("user:bob", name="Bob")
SOON = 0.02


class Dials(Exchange):
    """A house that is asked to call people, and follows what becomes of that."""

    @property
    def room(self) -> RoomId:
        return RoomId("100")

    def begin(self, wish: DialWish = BOB, asker: Asker = API) -> Dialling:
        return self.desk.dial_out.begin(asker, self.desk.room("100"), wish)

    def states(self, one: Dialling) -> list[str]:
        """Return the states that were told of a dialled call."""
        changes = [event.dialled for event in self.events if isinstance(event, DialChanged)]
        return [told.state.value for told in changes if told.id == one.id]

    def refuse(self, number: int, reason: Reason) -> None:
        self.dialler.outcomes[number - 1].set_exception(Refused(reason))

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not true():
                await asyncio.sleep(0.002)

    async def becomes(self, one: Dialling, state: DialState) -> None:
        await self.until(lambda: one.life.state is state)

    async def enter(self, name: str = "Ann") -> RoomCall:
        call = await self.desk.arrive(replace(facts("100"), name=name), RecordingLine())
        await call.connected()
        return call


@asynccontextmanager
async def dials() -> AsyncIterator[Dials]:
    house = Dials()
    yield house
    await house.desk.close()
    assert not house.desk.dial_out._tasks
    assert not house.desk.calls
    assert house.board.outbound.calls == 0


async def test_it_is_there_from_the_moment_that_it_is_asked_for_until_it_ends() -> None:
    async with dials() as house:
        one = house.begin()
        (told,) = house.desk.dial_out.told()
        assert (told.id, told.room, told.target, told.name, told.by) == (one.id, "100", "user:bob", "Bob", "api")
        assert (told.state, told.number, told.tries, told.call) == (DialState.DIALLING, 1, 1, None)
        call = await house.dialler.placed()
        await call.ringing()
        await house.dialler.answers()
        assert (await house.desk.dial_out.outcome(one)) is call
        told = house.desk.dial_out.tell_of(one)
        assert (told.call, told.participant) == (call.id, call.participant_id)
        await call.ended(Reason.NORMAL)
        assert house.states(one) == ["dialling", "ringing", "answered", "ended"]
        assert house.desk.dial_out.tell_of(one).reason is Reason.NORMAL


async def test_one_that_fails_is_told_of_with_its_reason_and_leaves_a_record() -> None:
    async with dials() as house:
        one = house.begin()
        await house.dialler.placed()
        house.refuse(1, Reason.DECLINED)
        with pytest.raises(Refused) as refused:
            await house.desk.dial_out.outcome(one)
        assert refused.value.reason is Reason.DECLINED
        assert house.states(one) == ["dialling", "failed"]
        (failed,) = [event for event in house.events if isinstance(event, CallFailed)]
        assert (failed.reason, failed.facts.dialled) == (Reason.DECLINED, one.id)


async def test_it_rings_for_so_long_and_not_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.rooms.dial_out.RING_TIME", 1.0)
    async with dials() as house:
        one = house.begin()
        await house.dialler.placed()
        await house.becomes(one, DialState.FAILED)
        assert one.life.reason is Reason.NO_ANSWER
        assert house.dialler.lines[0].asked == ["cancelled"]


async def test_who_is_busy_is_called_again_and_who_then_answers_is_in() -> None:
    async with dials() as house:
        one = house.begin(replace(BOB, tries=Tries(1, SOON)))
        await house.dialler.placed(1)
        house.refuse(1, Reason.BUSY)
        await house.dialler.answers(2)
        await house.desk.dial_out.outcome(one)
        assert house.states(one) == ["dialling", "waiting", "dialling", "answered"]
        waited = [event.dialled for event in house.events if isinstance(event, DialChanged)][1]
        assert (waited.reason, waited.number, waited.tries) == (Reason.BUSY, 1, 2)
        assert waited.due is not None
        assert house.desk.dial_out.tell_of(one).number == 2


async def test_who_declines_is_not_called_again() -> None:
    async with dials() as house:
        one = house.begin(replace(BOB, tries=Tries(5, SOON)))
        await house.dialler.placed()
        house.refuse(1, Reason.DECLINED)
        await house.becomes(one, DialState.FAILED)
        assert len(house.dialler.orders) == 1


@pytest.mark.parametrize("rings", [False, True])
async def test_it_is_cancelled_while_somebody_is_called(rings: bool) -> None:
    async with dials() as house:
        one = house.begin()
        call = await house.dialler.placed()
        if rings:
            await call.ringing()
        await house.desk.dial_out.cancel(one.id)
        await house.until(lambda: not house.desk.calls)
        assert house.dialler.lines[0].asked == ["cancelled"]
        assert house.states(one)[-1] == "cancelled"
        await house.desk.dial_out.cancel(one.id)
        with pytest.raises(Refused):
            await house.desk.dial_out.cancel("nobody")


async def test_it_is_cancelled_while_it_waits_and_when_it_was_answered() -> None:
    async with dials() as house:
        waiting = house.begin(replace(BOB, tries=Tries(3, 600.0)))
        await house.dialler.placed()
        house.refuse(1, Reason.NO_ANSWER)
        await house.becomes(waiting, DialState.WAITING)
        await house.desk.dial_out.cancel(waiting.id)
        assert waiting.life.state is DialState.CANCELLED
        answered = house.begin()
        await house.dialler.answers(2)
        await house.desk.dial_out.outcome(answered)
        await house.desk.dial_out.cancel(answered.id)
        assert house.dialler.lines[1].asked == [Reason.HUNG_UP_BY_HOST]
        assert answered.life.state is DialState.CANCELLED


async def test_who_is_lost_is_called_again_as_long_as_somebody_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.rooms.redialling.FIRST_BACK_OFF", SOON)
    async with dials() as house:
        ann = await house.enter()
        one = house.begin(replace(BOB, tries=Tries(keep=True)))
        call = await house.dialler.answers()
        await house.desk.dial_out.outcome(one)
        await call.ended(Reason.NO_MEDIA)
        await house.dialler.placed(2)
        house.refuse(2, Reason.UNREACHABLE)
        await house.dialler.answers(3)
        await house.desk.dial_out.outcome(one)
        assert house.states(one) == ["dialling", "answered", "waiting", "dialling", "waiting", "dialling", "answered"]
        await house.dialler.calls[2].ended(Reason.NO_MEDIA)
        await ann.ended(Reason.NORMAL)
        assert one.life.state is DialState.CANCELLED


@pytest.mark.parametrize("reason", [Reason.NORMAL, Reason.HUNG_UP_BY_HOST])
async def test_who_hangs_up_or_is_hung_up_is_not_called_again(reason: Reason) -> None:
    async with dials() as house:
        await house.enter()
        one = house.begin(replace(BOB, tries=Tries(keep=True)))
        call = await house.dialler.answers()
        await house.desk.dial_out.outcome(one)
        await call.ended(reason)
        assert one.life.state is DialState.ENDED


async def test_one_who_is_alone_hears_it_ring_and_two_do_not() -> None:
    async with dials() as house:
        await house.enter()
        one = house.begin()
        await house.until(lambda: house.plane.plans[-1].background == RINGBACK)
        cleo = await house.enter("Cleo")
        assert house.plane.plans[-1].background == ()
        await cleo.ended(Reason.NORMAL)
        assert house.plane.plans[-1].background == RINGBACK
        await house.desk.dial_out.cancel(one.id)
        await house.until(lambda: house.plane.plans[-1].background == ())


@pytest.mark.parametrize(
    ("reason", "prompt"),
    [(Reason.BUSY, "busy"), (Reason.NO_ANSWER, "no-answer"), (Reason.NO_SUCH_USER, "call-failed")],
)
async def test_the_room_is_told_why_nobody_comes_and_an_empty_one_is_not(reason: Reason, prompt: str) -> None:
    async with dials() as house:
        for number in (1, 2):
            one = house.begin()
            await house.dialler.placed(number)
            house.refuse(number, reason)
            await house.becomes(one, DialState.FAILED)
            await asyncio.sleep(0)
            if number == 1:
                assert house.plane.announced == []
                await house.enter()
        await house.until(lambda: bool(house.plane.announced))
        assert house.plane.announced == [("100", (Sound(f"en/{prompt}"),))]


async def test_whom_no_rule_allows_to_be_called_is_refused_at_once_and_nothing_is_kept() -> None:
    async with dials() as house:
        outside = DialWish("sip:x@elsewhere.example")
        for asker in (API, Asker(Role.HOST, "100"), Asker(Role.GUEST, "100")):
            with pytest.raises(Denied) as refused:
                house.begin(outside, asker)
            assert refused.value.reason is Reason.NOT_ALLOWED
        assert not house.desk.dial_out.told()
        house.board.outbound = Outbound([OutboundRule(roles=frozenset({Role.HOST}))], max_calls=1)
        one = house.begin(outside, Asker(Role.HOST, "100"))
        await house.dialler.placed()
        with pytest.raises(Denied) as refused:
            house.begin(outside, Asker(Role.HOST, "100"))
        assert refused.value.reason is Reason.OVERLOAD
        await house.desk.dial_out.cancel(one.id)


async def test_there_are_bounds_of_how_many_are_called_and_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.rooms.dial_out.MAX_IN_ROOM", 3)
    async with dials() as house:
        for _ in range(3):
            house.begin()
        with pytest.raises(Refused) as refused:
            house.begin()
        assert refused.value.reason is Reason.OVERLOAD
        for _ in range(MAX_OVER + 5):
            await house.desk.dial_out.cancel(house.desk.dial_out.living(house.room)[0].id)
            house.begin()
        assert len(house.desk.dial_out.told()) <= MAX_OVER + 4


async def test_an_empty_room_has_nobody_called_for_its_host_any_more() -> None:
    async with dials() as house:
        host, program = Asker(Role.HOST, "100"), API
        ann = await house.enter()
        asked, other = house.begin(asker=host), house.begin(DialWish("user:cleo"), program)
        await house.dialler.placed(2)
        await ann.ended(Reason.NORMAL)
        assert asked.life.state is DialState.CANCELLED
        assert other.life.state is DialState.DIALLING


async def test_who_is_called_comes_into_a_locked_room_and_one_with_a_pin() -> None:
    async with dials() as house:
        house.desk.open_room(
            RoomSettings(RoomId("100"), guest_pin="1234", locked=True, when_locked=WhenLocked.REFUSE, lobby=True)
        )
        one = house.begin()
        call = await house.dialler.answers()
        await house.desk.dial_out.outcome(one)
        assert call.inside
        assert call.room_id == "100"


async def test_a_room_that_is_deleted_has_nobody_called() -> None:
    async with dials() as house:
        one = house.begin()
        await house.dialler.placed()
        await house.desk.close_room(RoomId("100"))
        assert (one.life.state, one.life.reason) == (DialState.CANCELLED, Reason.ROOM_CLOSED)


# Lists


def listed(*entries: AutoDial) -> RoomSettings:
    return RoomSettings(RoomId("100"), "Everyone", auto_dial=entries)


FIRST = AutoDial("user:bob", name="Bob")
ALWAYS = AutoDial("user:cleo", when=DialTime.ALWAYS, keep_connected=True)


async def test_the_list_is_called_when_the_first_one_joins_and_nobody_on_it_twice() -> None:
    async with dials() as house:
        house.desk.lists.start()
        house.desk.open_room(listed(FIRST))
        assert not house.desk.dial_out.told()
        ann = await house.enter()
        bob = await house.dialler.answers()
        await house.until(lambda: house.desk.dial_out.calling == 0)
        eve = await house.enter("Eve")
        await ann.ended(Reason.NORMAL)
        await eve.ended(Reason.NORMAL)
        ann = await house.enter()
        assert len(house.dialler.orders) == 1, "bob is in still"
        await bob.ended(Reason.NORMAL)
        await ann.ended(Reason.NORMAL)
        await house.enter()
        await house.dialler.placed(2)


async def test_the_list_is_called_no_more_when_the_first_one_goes_before_somebody_answers() -> None:
    async with dials() as house:
        house.desk.lists.start()
        house.desk.open_room(listed(replace(FIRST, retries=3)))
        ann = await house.enter()
        await house.dialler.placed()
        await ann.ended(Reason.NORMAL)
        assert [told.state for told in house.desk.dial_out.told()] == [DialState.CANCELLED]


async def test_who_is_to_be_in_at_any_time_is_called_from_the_start_and_sets_off_no_list() -> None:
    async with dials() as house:
        house.desk.open_room(listed(FIRST, ALWAYS))
        assert not house.dialler.orders, "nobody is called before the adapters are there"
        house.desk.lists.start()
        await house.dialler.answers()
        await house.until(lambda: house.desk.dial_out.calling == 0)
        assert [order.target for order in house.dialler.orders] == ["user:cleo"]
        ann = await house.enter()
        await house.dialler.placed(2)
        await ann.ended(Reason.NORMAL)
        (cleo, bob) = house.desk.dial_out.told()
        assert (cleo.state, cleo.by, bob.state) == (DialState.ANSWERED, "house", DialState.DIALLING)


async def test_who_is_to_be_in_at_any_time_is_called_again_when_it_hangs_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.rooms.redialling.FIRST_BACK_OFF", SOON)
    async with dials() as house:
        house.desk.lists.start()
        house.desk.open_room(listed(ALWAYS))
        cleo = await house.dialler.answers(1)
        await house.until(lambda: house.desk.dial_out.calling == 0)
        await cleo.ended(Reason.NORMAL)
        cleo = await house.dialler.answers(2)
        await house.until(lambda: house.desk.dial_out.calling == 0)
        await cleo.hang_up(Reason.HUNG_UP_BY_HOST)
        (told,) = house.desk.dial_out.told()
        assert (told.state, told.number) == (DialState.ENDED, 2)


async def test_the_house_calls_outside_only_where_a_rule_is_for_it() -> None:
    async with dials() as house:
        house.desk.lists.start()
        outside = AutoDial("sip:x@elsewhere.example")
        house.desk.open_room(listed(outside))
        await house.enter()
        await house.until(lambda: [told.state for told in house.desk.dial_out.told()] == [DialState.FAILED])
        assert house.desk.dial_out.told()[0].reason is Reason.NOT_ALLOWED
        house.board.outbound = Outbound([OutboundRule(roles=frozenset({Role.HOUSE}))])
        assert not house.dialler.orders
        for participant in house.desk.room("100").participants:
            await house.desk.calls[participant.call].ended(Reason.NORMAL)
        await house.enter()
        await house.dialler.placed()
        assert house.dialler.orders[0].target == "sip:x@elsewhere.example"


async def test_who_is_taken_from_the_list_is_called_no_more_and_who_is_in_stays() -> None:
    async with dials() as house:
        house.desk.lists.start()
        house.desk.open_room(listed(ALWAYS, replace(ALWAYS, target="user:bob")))
        cleo = await house.dialler.answers(1)
        await house.dialler.placed(2)
        await house.until(lambda: house.desk.dial_out.calling == 1)
        house.desk.open_room(listed())
        await house.until(lambda: len(house.desk.calls) == 1)
        assert cleo.inside
        assert not house.desk.dial_out.living(house.room)
