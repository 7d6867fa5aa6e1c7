"""The HTTP API: moving and transferring participants, and how gateway calls are shown."""

from __future__ import annotations

import asyncio

from test_desk import RecordingLine, facts
from test_gateway_calls import FakeDialler
from web_house import ADMIN, CALLS, ROOMS, WebHouse, web_house

from gateway.reasons import Reason, Refused
from gateway.rooms.model import CallFailed, OutboundRefused, Ringing, RoomSettings, TransferGoes
from gateway.rooms.outbound import Outbound, OutboundRule
from gateway.web.events import told
from transcode.media import RoomId


def connect(house: WebHouse) -> FakeDialler:
    dialler = FakeDialler(house.desk)
    house.desk.switchboard.dialler = dialler
    house.desk.switchboard.is_user = ("bob", "cleo").__contains__
    return dialler


async def test_a_participant_is_moved_to_another_room() -> None:
    async with web_house(listening=False) as house, house.client(ROOMS) as client:
        house.desk.open_room(RoomSettings(RoomId("200"), "Other"))
        call, _ = await house.enter()
        path = f"/api/v1/rooms/100/participants/{call.participant_id}/move"
        answer = await client.post(path, json={"room": "200"})
        assert answer.status_code == 200
        assert answer.json()["id"] == call.participant_id
        assert [one.id for one in house.desk.room("200").participants] == [call.participant_id]
        assert (await client.post(path, json={"room": "200"})).status_code == 404  # it is not there any more
        other = f"/api/v1/rooms/200/participants/{call.participant_id}/move"
        assert (await client.post(other, json={"room": "999"})).status_code == 404
        assert (await client.post(other, json={})).status_code == 400
    async with web_house(listening=False) as house, house.client(CALLS) as client:
        assert (await client.post("/api/v1/rooms/100/participants/1/move", json={"room": "1"})).status_code == 403


async def test_a_participant_is_transferred_where_a_rule_allows_it() -> None:
    async with web_house(listening=False) as house, house.client(CALLS) as client:
        connect(house)
        call, line = await house.enter()
        path = f"/api/v1/rooms/100/participants/{call.participant_id}/transfer"
        answer = await client.post(path, json={"target": "sip:x@elsewhere.example"})
        assert (answer.status_code, answer.json()["reason"]) == (403, "not-allowed")
        house.desk.switchboard.outbound = Outbound([OutboundRule(hosts=("elsewhere.example",))])
        answer = await client.post(path, json={"target": "sip:x@elsewhere.example"})
        assert answer.status_code == 202
        assert line.asked == ["sip:x@elsewhere.example"]
        await call.transfer_goes(Reason.BUSY, True)
        other, other_line = await house.enter("Bob")
        assert (await client.post(path, json={"participant": other.participant_id})).status_code == 202
        assert line.asked[-1] is other_line
        for body in ({}, {"target": "sip:x@y", "participant": "1"}, {"target": "x"}, {"target": "sip:x y@z"}):
            assert (await client.post(path, json=body)).status_code == 400


async def test_gateway_calls_stand_among_calls_and_not_among_rooms() -> None:
    async with web_house(listening=False) as house, house.client(ADMIN) as client:
        dialler = connect(house)
        call = await house.desk.arrive(facts("bob"), RecordingLine())
        waiting = asyncio.create_task(call.admitted())
        called = await dialler.placed()
        await called.ringing()
        calls = (await client.get("/api/v1/calls")).json()["calls"]
        shown = {(one["direction"], one["state"], one["gateway"]) for one in calls}
        assert shown == {("incoming", "arriving", True), ("outgoing", "ringing", True)}
        assert len({one["room"] for one in calls}) == 1
        rooms = (await client.get("/api/v1/rooms")).json()["rooms"]
        assert [room["id"] for room in rooms] == ["100"]
        await client.delete(f"/api/v1/calls/{call.id}")
        await asyncio.gather(waiting, return_exceptions=True)
        assert not house.desk.calls


async def test_events_tell_of_ringing_failing_and_transfers() -> None:
    async with web_house(listening=False) as house:
        call, _ = await house.enter()
        room = RoomId("100")
        name, data = told(Ringing(room, call.id, call.facts))
        assert (name, data["call"], data["name"]) == ("ringing", call.id, "Ann")
        name, data = told(CallFailed(room, call.id, call.facts, Reason.BUSY))
        assert (name, data["reason"]) == ("call-failed", "busy")
        name, data = told(OutboundRefused(room, "guest", "ann", "192.0.2.1:5060", "tel:+1900", Reason.NOT_ALLOWED))
        assert (name, data["role"], data["target"], data["reason"]) == (
            "outbound-refused",
            "guest",
            "tel:+1900",
            "not-allowed",
        )
        for reason, over, state in (
            (None, False, "trying"),
            (Reason.NORMAL, True, "done"),
            (Reason.BUSY, True, "failed"),
        ):
            name, data = told(TransferGoes(room, call.participant_id, "sip:x@y", reason, over))
            assert (name, data["state"], data["over"], data["target"]) == ("transfer", state, over, "sip:x@y")


async def test_a_call_out_that_the_house_does_not_allow_is_forbidden_and_one_that_fails_is_a_conflict() -> None:
    async with web_house(listening=False) as house:
        dialler = connect(house)
        async with house.client(CALLS) as client:
            path = "/api/v1/rooms/100/participants"
            for target, status in (("tel:+4989123", 403), ("sip:x@y", 403), ("sip:a@b@c", 400), ("user:nobody", 404)):
                answer = await client.post(path, json={"target": target})
                assert answer.status_code == status, target
            asking = asyncio.create_task(client.post(path, json={"target": "user:bob"}))
            await dialler.placed()
            dialler.outcomes[0].set_exception(Refused(Reason.NOT_ALLOWED))
            assert (await asking).status_code == 409
