"""Calls on their way in, out, or into another room: what is ended or deleted meanwhile leaves nothing."""

from __future__ import annotations

import asyncio

import pytest
from test_desk import House, RecordingLine, RecordingPlane, facts

from gateway.reasons import Reason, Refused
from gateway.rooms.model import Left, RoomSettings
from transcode.media import Abilities, LegId, RoomId


async def test_closing_a_room_ends_calls_on_their_way_into_it_too() -> None:
    house = House()
    line = RecordingLine()
    call = await house.desk.arrive(facts(), line)
    await house.desk.close_room(RoomId("100"))
    assert (line.asked, call.over) == ([Reason.ROOM_CLOSED], True)
    await call.connected()
    assert not call.room.participants
    assert not house.desk.calls


class Opening(RecordingPlane):
    """A media plane that opens a leg when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.opens = asyncio.Event()

    async def open(self, leg: LegId, room: RoomId, abilities: Abilities) -> None:
        await self.opens.wait()
        await super().open(leg, room, abilities)


@pytest.mark.parametrize("what", ["it is ended", "its room is closed"])
async def test_a_call_that_is_over_before_its_media_are_open_leaves_nothing(what: str) -> None:
    house = House()
    plane = house.desk.plane = Opening()
    arriving = asyncio.create_task(house.desk.arrive(facts(), RecordingLine()))
    await asyncio.sleep(0)
    (call,) = house.desk.calls.values()
    if what == "it is ended":
        await call.hang_up(Reason.HUNG_UP_BY_HOST)
    else:
        await house.desk.close_room(RoomId("100"))
    plane.opens.set()
    with pytest.raises(Refused):
        await arriving
    assert plane.closed[-1][0] == call.leg
    assert not house.desk.calls
    assert not house.desk._resumable
    assert not house.desk._calls_of


async def test_media_that_were_being_opened_for_a_call_that_is_given_up_are_closed() -> None:
    house = House()
    plane = house.desk.plane = Opening()
    arriving = asyncio.create_task(house.desk.arrive(facts(), RecordingLine()))
    await asyncio.sleep(0)
    (call,) = house.desk.calls.values()
    arriving.cancel()
    await asyncio.gather(arriving, return_exceptions=True)
    await asyncio.sleep(0)
    assert plane.closed == [(call.leg, Reason.CANCELLED)]
    assert not house.desk.calls


async def test_the_others_are_told_of_a_call_whose_end_is_cancelled_on_its_way() -> None:
    class Slow(RecordingPlane):
        async def close(self, leg: LegId, reason: Reason) -> None:
            await closes.wait()
            await super().close(leg, reason)

    closes = asyncio.Event()
    house = House()
    plane = house.desk.plane = Slow()
    call = await house.desk.arrive(facts(), RecordingLine())
    await call.connected()
    ending = asyncio.create_task(call.ended(Reason.NORMAL))
    await asyncio.sleep(0)
    ending.cancel()
    await asyncio.gather(ending, return_exceptions=True)
    assert isinstance(house.events[-1], Left)
    closes.set()
    async with asyncio.timeout(30):
        while not plane.closed or plane.plans[-1].legs:
            await asyncio.sleep(0)


async def test_who_is_on_the_way_to_another_room_is_moved_nowhere_else() -> None:
    class Slow(RecordingPlane):
        async def move(self, leg: LegId, room: RoomId) -> None:
            await super().move(leg, room)
            await asyncio.sleep(0)

    house = House()
    house.plane = house.desk.plane = Slow()
    rooms = [house.desk.room("100")]
    for id in ("200", "300"):
        house.desk.open_room(RoomSettings(RoomId(id)))
        rooms.append(house.desk.room(id))
    call = await house.desk.arrive(facts(), RecordingLine())
    await call.connected()
    who = call.participant_id
    done = await asyncio.gather(*(house.desk.move(rooms[0], who, to) for to in rooms[1:]), return_exceptions=True)
    assert [one.reason if isinstance(one, Refused) else one for one in done] == [None, Reason.GLARE]
    assert house.plane.moved == [(call.leg, call.room_id)] == [(call.leg, RoomId("200"))]
