"""What hosts want of calls from inside a room, and what their pages read of it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from test_desk import RecordingLine, facts
from test_gateway_calls import Exchange, FakeDialler
from test_web_socket import connected, join
from web_house import WebHouse, hear, say, web_house

from gateway.calls import KeyWay
from gateway.reasons import Reason, Refused
from gateway.rooms.call import RoomCall
from gateway.rooms.host_wishes import (
    HostWish,
    WantsCalled,
    WantsCancelled,
    WantsMoved,
    WantsSpotlight,
    WantsTransferred,
)
from gateway.rooms.model import Dialled, Rank, RoomMode, RoomSettings, SpotlightChanged
from gateway.rooms.outbound import Outbound, OutboundRule, Role
from transcode.media import RoomId

PIN = "4711"


class Hosted(Exchange):
    """A room with a host PIN."""

    def __init__(self) -> None:
        super().__init__()
        self.desk.open_room(RoomSettings(RoomId("100"), "Everyone", host_pin=PIN))

    async def enter(self, host: bool = False) -> RoomCall:
        call = await self.desk.arrive(facts(**({"pin": PIN} if host else {})), RecordingLine())
        await call.connected()
        return call

    def told(self) -> list[Dialled]:
        return self.desk.dial_out.told()


async def refusal(call: RoomCall, wish: HostWish) -> Reason:
    with pytest.raises(Refused) as refused:
        await call.fulfil(wish)
    return refused.value.reason


async def test_a_host_has_somebody_called_and_gives_that_up() -> None:
    house = Hosted()
    host = await house.enter(host=True)
    await host.fulfil(WantsCalled("user:bob", "Bob"))
    (told,) = house.told()
    assert (told.by, told.name, told.target) == ("host", "Bob", "user:bob")
    await house.dialler.placed()
    await host.fulfil(WantsCancelled(told.id))
    assert house.told()[0].state.value == "cancelled"
    await house.desk.close()


async def test_a_guest_may_do_nothing_of_it() -> None:
    house = Hosted()
    guest, other = await house.enter(), await house.enter()
    for wish in (
        WantsCalled("user:bob"),
        WantsCancelled("x"),
        WantsMoved(other.participant_id, "100"),
        WantsTransferred(other.participant_id, "user:bob"),
        WantsSpotlight(other.participant_id),
    ):
        assert await refusal(guest, wish) is Reason.NOT_ALLOWED
    assert house.told() == []


async def test_a_host_has_somebody_seen_large_until_that_one_leaves() -> None:
    house = Hosted()
    host, guest = await house.enter(host=True), await house.enter()
    room = house.desk.room("100")
    await host.fulfil(WantsSpotlight(guest.participant_id))
    assert house.plane.plans[-1].spotlight == guest.leg
    assert (room.shown, room.seen_by(host.leg)) == (guest.participant_id, guest.leg)
    assert await refusal(host, WantsSpotlight("nobody")) is Reason.NO_SUCH_USER
    await host.fulfil(WantsSpotlight(None))
    assert house.plane.plans[-1].spotlight is None
    await host.fulfil(WantsSpotlight(guest.participant_id))
    await guest.ended(Reason.NORMAL)
    assert (room.spotlight, house.plane.plans[-1].spotlight) == (None, None)
    told = [(one.participant, bool(one.by)) for one in house.events if isinstance(one, SpotlightChanged)]
    lit = guest.participant_id
    assert told == [(lit, True), (None, True), (lit, True), (None, False)]
    await house.desk.close()


async def test_nobody_is_seen_large_in_an_echo_room() -> None:
    house = Hosted()
    house.desk.open_room(RoomSettings(RoomId("100"), mode=RoomMode.ECHO, host_pin=PIN))
    host = await house.enter(host=True)
    assert await refusal(host, WantsSpotlight(host.participant_id)) is Reason.NOT_ALLOWED
    await house.desk.close()


async def test_a_host_s_calls_outside_need_a_rule_for_hosts_of_that_room() -> None:
    house = Hosted()
    host = await house.enter(host=True)
    outside = WantsCalled("sip:x@elsewhere.example")
    assert await refusal(host, outside) is Reason.NOT_ALLOWED
    house.board.outbound = Outbound([OutboundRule()])
    assert await refusal(host, outside) is Reason.NOT_ALLOWED
    house.board.outbound = Outbound([OutboundRule(roles=frozenset({Role.HOST}), rooms=frozenset({"200"}))])
    assert await refusal(host, outside) is Reason.NOT_ALLOWED
    house.board.outbound = Outbound([OutboundRule(roles=frozenset({Role.HOST}), rooms=frozenset({"100"}))])
    await host.fulfil(outside)
    await house.desk.close()


async def test_the_call_of_another_room_is_not_given_up_from_here() -> None:
    house = Hosted()
    house.desk.open_room(RoomSettings(RoomId("200"), host_pin=PIN))
    host = await house.enter(host=True)
    other = await house.desk.arrive(facts("200", pin=PIN), RecordingLine())
    await other.connected()
    await other.fulfil(WantsCalled("user:bob"))
    assert await refusal(host, WantsCancelled(house.told()[0].id)) is Reason.NO_SUCH_USER
    assert house.told()[0].state.value == "dialling"
    await house.desk.close()


async def test_a_host_moves_a_participant_where_everybody_may_go() -> None:
    house = Hosted()
    house.desk.open_room(RoomSettings(RoomId("200")))
    house.desk.open_room(RoomSettings(RoomId("300"), guest_pin="1"))
    host, guest = await house.enter(host=True), await house.enter()
    assert await refusal(host, WantsMoved(guest.participant_id, "300")) is Reason.NOT_ALLOWED
    assert await refusal(host, WantsMoved(guest.participant_id, "999")) is Reason.NO_SUCH_ROOM
    await host.fulfil(WantsMoved(guest.participant_id, "200"))
    assert guest.room_id == "200"


async def test_nobody_is_brought_past_a_lock_or_a_lobby_and_a_host_of_one_room_is_none_in_another() -> None:
    house = Hosted()
    lobby = RoomSettings(RoomId("200"), host_pin="1", lobby=True)
    house.desk.open_room(lobby)
    house.desk.open_room(RoomSettings(RoomId("300"), locked=True))
    host, other = await house.enter(host=True), await house.enter(host=True)
    for room in ("200", "300"):
        assert await refusal(host, WantsMoved(other.participant_id, room)) is Reason.NOT_ALLOWED
    there = await house.desk.arrive(facts("200", pin="1"), RecordingLine())
    await there.connected()
    await host.fulfil(WantsMoved(other.participant_id, "200"))
    moved = other.room.participant(other.participant_id)
    assert (other.room_id, other.rank, moved and moved.rank) == ("200", Rank.GUEST, Rank.GUEST)
    assert await refusal(other, WantsCalled("user:bob")) is Reason.NOT_ALLOWED


async def test_in_a_room_without_a_host_pin_all_ways_are_closed_to_all_but_whom_a_program_makes_a_host() -> None:
    house = Exchange()
    house.board.outbound = Outbound([OutboundRule(roles=frozenset({Role.HOST}), rooms=frozenset({"100"}))])
    one, other = [await house.desk.arrive(facts(), RecordingLine()) for _ in range(2)]
    for call in (one, other):
        await call.connected()
    wish, outside = WantsTransferred(other.participant_id, "user:bob"), "sip:x@elsewhere.example"

    async def lock() -> bool:
        for key in "*7":
            await one.dtmf(key, 100, KeyWay.SIGNAL)
        return house.desk.room("100").settings.locked

    assert not await lock()
    assert await refusal(one, wish) is Reason.NOT_ALLOWED
    assert not house.board.may_refer(one, outside)
    assert house.desk.room("100").may_admit(one._participant())
    await house.desk.hosts.set_rank(house.desk.room("100"), one.participant_id, Rank.HOST)
    assert await lock()
    await one.fulfil(wish)
    assert other.line.asked == ["user:bob"]  # type: ignore[attr-defined]
    assert house.board.may_refer(one, outside)


async def test_a_host_has_a_participant_call_elsewhere_within_the_rules() -> None:
    house = Hosted()
    host, guest = await house.enter(host=True), await house.enter()
    wish = WantsTransferred(guest.participant_id, "sip:x@elsewhere.example")
    assert await refusal(host, wish) is Reason.NOT_ALLOWED
    house.board.outbound = Outbound([OutboundRule(roles=frozenset({Role.HOST}))])
    await host.fulfil(wish)
    assert guest.line.asked == ["sip:x@elsewhere.example"]  # type: ignore[attr-defined]


async def hear_dialled(socket: Any, state: str | None) -> list[dict[str, Any]]:
    """Return the next list of who is being called whose first has this state, None for an empty one."""
    while True:
        dialled: list[dict[str, Any]] = (await hear(socket, "dialled", 20.0))["dialled"]
        if [one["state"] for one in dialled[:1]] == ([state] if state else []):
            return dialled


def bob_can_be_called(house: WebHouse) -> FakeDialler:
    dialler = FakeDialler(house.desk)
    house.desk.switchboard.dialler = dialler
    house.desk.switchboard.is_user = ("bob",).__contains__
    house.desk.open_room(RoomSettings(RoomId("100"), "Everyone", host_pin=PIN))
    return dialler


async def test_a_host_s_page_reads_who_is_being_called_and_a_guest_s_does_not() -> None:
    async with web_house() as house, house.socket() as one, house.socket() as two:
        dialler = bob_can_be_called(house)
        host, guest = await join(one, "Host", pin=PIN), await join(two, "Guest")
        for joined in (host, guest):
            await connected(house, joined["participant"])
        await say(one, type="call", target="user:bob", name="Bob")
        (told,) = await hear_dialled(one, "dialling")
        assert (told["name"], told["target"], told["number"]) == ("Bob", "user:bob", 1)
        call = await dialler.placed()
        await call.ringing()
        await hear_dialled(one, "ringing")
        dialler.outcomes[0].set_exception(Refused(Reason.BUSY))
        assert (await hear(one, "call-failed", 20.0))["reason"] == "busy"
        await say(one, type="call", target="sip:x@elsewhere.example")
        assert (await hear(one, "undone", 20.0))["reason"] == "not-allowed"
        await say(one, type="call", target="user:bob")
        (told,) = await hear_dialled(one, "dialling")
        await say(one, type="cancel", id=told["id"])
        await hear_dialled(one, None)
        await say(two, type="ping")
        read = []
        async with asyncio.timeout(20):
            while (message := json.loads(await two.recv()))["type"] != "pong":
                read.append(message["type"])
        assert not {"dialled", "call-failed"} & set(read)
