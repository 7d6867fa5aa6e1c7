"""Participants that are sent elsewhere: by their own REFER, by a transfer that the house asks for, or moved."""

from __future__ import annotations

import asyncio

import pytest
from test_desk import RecordingLine, facts
from test_gateway_calls import Exchange

from gateway.calls import CallProtocol
from gateway.reasons import Reason, Refused
from gateway.rooms.model import (
    Joined,
    Left,
    RoomSettings,
    TransferGoes,
)
from gateway.rooms.outbound import Asker, Outbound, OutboundRule, Role
from transcode.media import RoomId


async def test_a_referral_is_as_good_as_who_makes_it() -> None:
    house = Exchange()
    line = RecordingLine()
    guest = await house.desk.arrive(facts(), line)
    await guest.connected()
    assert house.board.may_refer(guest, "sip:cleo@us.example")
    assert not house.board.may_refer(guest, "sip:x@elsewhere.example")
    assert not house.board.may_refer(guest, "tel:+4989123")
    assert not house.board.may_refer(guest, "gibberish")
    house.board.outbound = Outbound([OutboundRule(roles=frozenset(Role), hosts=("elsewhere.example",))])
    assert not house.board.may_refer(guest, "sip:x@elsewhere.example")
    outside = ["sip:x@elsewhere.example", "tel:+4989123", "sip:x@elsewhere.example"]
    assert house.denied() == [("guest", target, Reason.NOT_ALLOWED) for target in outside]
    placing = asyncio.create_task(house.board.refer(guest, "sip:cleo@us.example", house.dialler.dial))
    cleo = await house.dialler.answers()
    await placing
    assert cleo.room is guest.room


async def test_who_transfers_in_a_gateway_call_leaves_the_other_two_together() -> None:
    house = Exchange()
    call, line, called, _ = await house.put_through()
    placing = asyncio.create_task(house.board.refer(called, "sip:cleo@us.example", house.dialler.dial))
    await house.dialler.placed(2)
    await called.ended(Reason.NORMAL)
    assert not call.over
    cleo = await house.dialler.answers(2)
    await placing
    assert cleo.room is call.room
    assert line.asked == []
    await cleo.ended(Reason.NORMAL)
    assert line.asked == [Reason.NORMAL]
    house.nothing_left()


async def test_a_transfer_that_fails_when_its_maker_has_left_ends_what_is_left() -> None:
    house = Exchange()
    _, line, called, _ = await house.put_through()
    placing = asyncio.create_task(house.board.refer(called, "sip:cleo@us.example", house.dialler.dial))
    await house.dialler.placed(2)
    await called.ended(Reason.NORMAL)
    house.dialler.outcomes[1].set_exception(Refused(Reason.BUSY))
    with pytest.raises(Refused):
        await placing
    assert line.asked == [Reason.BUSY]
    house.nothing_left()


async def test_a_participant_is_transferred_and_leaves_when_the_other_end_is_reached() -> None:
    house = Exchange()
    line = RecordingLine()
    call = await house.desk.arrive(facts(), line)
    await call.connected()
    api = Asker(Role.API, "100")
    with pytest.raises(Refused) as refused:
        await house.desk.transfer(call, api, "sip:x@elsewhere.example")
    assert refused.value.reason is Reason.NOT_ALLOWED
    await house.desk.transfer(call, api, "sip:bob@us.example")
    with pytest.raises(Refused) as again:
        await house.desk.transfer(call, api, "sip:bob@us.example")
    assert again.value.reason is Reason.GLARE
    await call.transfer_goes(None, False)
    await call.transfer_goes(Reason.NORMAL, True)
    assert line.asked == ["sip:bob@us.example", Reason.TRANSFERRED]
    told = [(event.target, event.reason, event.over) for event in house.events if isinstance(event, TransferGoes)]
    assert told == [("sip:bob@us.example", None, False), ("sip:bob@us.example", Reason.NORMAL, True)]
    house.nothing_left()


async def test_a_participant_stays_when_its_transfer_fails_and_may_be_transferred_again() -> None:
    house = Exchange()
    call = await house.desk.arrive(facts(), RecordingLine())
    await call.connected()
    other_line = RecordingLine()
    other = await house.desk.arrive(facts(), other_line)
    await other.connected()
    await house.desk.transfer(call, Asker(Role.API, "100"), "sip:bob@us.example")
    await call.transfer_goes(Reason.BUSY, True)
    assert call.inside
    await house.desk.transfer(call, Asker(Role.API, "100"), "", other)
    assert call.line.asked[-1] is other_line  # type: ignore[attr-defined]


# Moving


async def test_a_participant_is_moved_to_another_room_with_its_leg() -> None:
    house = Exchange()
    house.desk.open_room(RoomSettings(RoomId("200"), "Other"))
    call = await house.desk.arrive(facts(), RecordingLine())
    await call.connected()
    room, to = house.desk.room("100"), house.desk.room("200")
    await house.desk.move(room, call.participant_id, to)
    assert house.plane.moved == [(call.leg, "200")]
    assert not room.participants
    assert [one.id for one in to.participants] == [call.participant_id]
    left, joined = house.events[-2:]
    assert isinstance(left, Left)
    assert left.reason is Reason.MOVED
    assert isinstance(joined, Joined)
    await call.ended(Reason.NORMAL)
    assert not to.participants


async def test_nobody_is_moved_into_a_full_room_and_no_browser_anywhere() -> None:
    house = Exchange()
    house.desk.open_room(RoomSettings(RoomId("200"), max_participants=1))
    to, room = house.desk.room("200"), house.desk.room("100")
    inside = await house.desk.arrive(facts("200"), RecordingLine())
    await inside.connected()
    call = await house.desk.arrive(facts(), RecordingLine())
    await call.connected()
    with pytest.raises(Refused) as refused:
        await house.desk.move(room, call.participant_id, to)
    assert refused.value.reason is Reason.ROOM_FULL
    browser = await house.desk.arrive(facts(protocol=CallProtocol.WEBRTC), RecordingLine())
    await browser.connected()
    with pytest.raises(Refused) as unsupported:
        await house.desk.move(room, browser.participant_id, to)
    assert unsupported.value.reason is Reason.UNSUPPORTED
    assert len(room.participants) == 2


# The external policy
