"""Who waits, as the API, the event stream and browsers know it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from test_web_events import events, listening
from web_house import READ, ROOMS, WebHouse, hear, say, web_house
from websockets.asyncio.client import ClientConnection

from gateway.calls import CallProtocol
from gateway.reasons import Reason
from gateway.rooms.model import HostLeaves, Rank, RoomSettings
from transcode.media import RoomId, Sound

LONG = 30.0
"""Seconds that a message may take on a busy machine."""
CLUB = RoomSettings(RoomId("200"), "Club", host_pin="1", lobby=True)


async def told(socket: ClientConnection, kind: str) -> dict[str, Any]:
    return await hear(socket, kind, LONG)


async def wait(socket: ClientConnection, name: str = "Web", **more: Any) -> dict[str, Any]:
    """Join a room before which one waits; return what one waits for."""
    await say(socket, type="join", room="200", name=name, **more)
    return await told(socket, "waiting")


async def comes_in(house: WebHouse, socket: ClientConnection) -> str:
    """Be let in, and be connected as an answered offer would; return the participant's id."""
    joined = await told(socket, "joined")
    (call,) = (call for call in house.desk.calls.values() if call.participant_id == joined["participant"])
    await call.connected()
    return str(joined["participant"])


async def test_the_api_lists_those_who_wait_and_lets_them_in_or_not() -> None:
    async with web_house(listening=False) as house, house.client(ROOMS) as client:
        house.desk.open_room(CLUB)
        bob, _ = await house.enter("Bob", "200", protocol=CallProtocol.H323)
        eve, line = await house.enter("Eve", "200")
        (first, second) = (await client.get("/api/v1/rooms/200/waiting")).json()["waiting"]
        assert first == {
            "id": bob.participant_id,
            "call": bob.id,
            "name": "Bob",
            "stage": "lobby",
            "since": "1970-01-01T00:16:40Z",
            "protocol": "h323",
            "secure": False,
            "source": "127.0.0.1:5070",
            "agent": "",
        }
        assert second["name"] == "Eve"
        assert (await client.get("/api/v1/rooms/200")).json()["waiting"] == 2
        state = (await client.get(f"/api/v1/calls/{bob.id}")).json()
        assert (state["state"], state["stage"], state["room"]) == ("outside", "lobby", "200")
        assert (await client.post(f"/api/v1/rooms/200/waiting/{bob.participant_id}/admit")).status_code == 204
        (inside,) = (await client.get("/api/v1/rooms/200/participants")).json()["participants"]
        assert inside["id"] == bob.participant_id
        assert (await client.delete(f"/api/v1/rooms/200/waiting/{eve.participant_id}")).status_code == 204
        assert (await client.get("/api/v1/rooms/200/waiting")).json() == {"waiting": []}
        assert (await client.delete(f"/api/v1/rooms/200/waiting/{eve.participant_id}")).status_code == 404
        assert (await client.post("/api/v1/rooms/200/waiting/nobody/admit")).status_code == 404
        assert line.asked in ([], [Reason.NOT_ADMITTED])
        await eve.ended(Reason.NORMAL)
    async with web_house(listening=False) as house, house.client(READ) as client:
        house.desk.open_room(CLUB)
        bob, _ = await house.enter("Bob", "200")
        assert (await client.post(f"/api/v1/rooms/200/waiting/{bob.participant_id}/admit")).status_code == 403


async def test_the_api_makes_hosts_whose_coming_lets_guests_in() -> None:
    async with web_house(listening=False) as house, house.client(ROOMS) as client:
        house.desk.open_room(CLUB)
        bob, _ = await house.enter("Bob", "200")
        eve, _ = await house.enter("Eve", "200")
        await house.desk.lobby.admit(house.desk.room("200"), bob.participant_id, "")
        answer = await client.patch(f"/api/v1/rooms/200/participants/{bob.participant_id}", json={"rank": "host"})
        assert answer.json()["rank"] == "host"
        async with asyncio.timeout(LONG):
            while not eve.inside:
                await asyncio.sleep(0.01)
        assert bob.rank is Rank.HOST


async def test_the_stream_tells_of_waiting_and_of_decisions() -> None:
    async with web_house() as house:
        house.desk.open_room(CLUB)
        async with listening(house, "/api/v1/events?room=200") as lines:
            bob, _ = await house.enter("Bob", "200")
            eve, _ = await house.enter("Eve", "200")
            room = house.desk.room("200")
            await house.desk.lobby.admit(room, bob.participant_id, "Ann")
            house.desk.lobby.refuse(room, eve.participant_id, "Ann")
            found = await events(lines, 5)
        assert [name for name, _ in found] == ["outside", "outside", "admitted", "joined", "not-admitted"]
        seen = dict(found)
        assert seen["outside"]["stage"] == "lobby"
        about = {key: seen["admitted"][key] for key in ("room", "name", "call", "participant", "by")}
        assert about == {"room": "200", "name": "Bob", "call": bob.id, "participant": bob.participant_id, "by": "Ann"}
        assert (seen["not-admitted"]["reason"], seen["not-admitted"]["name"]) == ("not-admitted", "Eve")


async def test_the_stream_tells_that_a_meeting_ends() -> None:
    async with web_house() as house:
        house.desk.open_room(RoomSettings(RoomId("200"), host_pin="1", host_leaves=HostLeaves.END))
        host, _ = await house.enter("Ann", "200", pin="1")
        await house.enter("Bob", "200")
        async with listening(house, "/api/v1/events?room=200") as lines:
            await host.ended(Reason.NORMAL)
            found = dict(await events(lines, 2))
            assert found["room-ending"] == {"room": "200", "reason": "host-left", "seconds": pytest.approx(60.0, abs=1)}


async def test_a_room_is_told_prompts_in_its_language_or_another_one() -> None:
    async with web_house() as house, house.client(ROOMS) as client:
        house.desk.open_room(replace(CLUB, language="fr"))
        path = "/api/v1/rooms/200/announce"
        async with listening(house, "/api/v1/events?room=200") as lines:
            assert (await client.post(path, json={"prompts": ["alone", "goodbye"]})).status_code == 202
            assert (await client.post(path, json={"prompts": ["number-1"], "language": "zh"})).status_code == 202
            told = [data for _, data in await events(lines, 2)]
        assert [(one["prompts"], one["language"], one["by"]) for one in told] == [
            (["alone", "goodbye"], "fr", "the API"),
            (["number-1"], "zh", "the API"),
        ]
        assert house.plane.announced == [
            ("200", (Sound("fr/alone"), Sound("fr/goodbye"))),
            ("200", (Sound("zh/number-1"),)),
        ]


@pytest.mark.parametrize(
    "asked",
    [
        {"prompts": ["../../etc/passwd"]},
        {"prompts": ["alone"], "language": "tlh"},
        {"prompts": []},
        {"prompts": ["alone"] * 65},
        {"prompts": "alone"},
        {},
    ],
    ids=["prompt", "language", "none", "too-many", "no-list", "nothing"],
)
async def test_what_cannot_be_announced_is_refused(asked: dict[str, Any]) -> None:
    async with web_house(listening=False) as house, house.client(ROOMS) as client, house.client(READ) as reader:
        refused = await client.post("/api/v1/rooms/100/announce", json=asked)
        assert (refused.status_code, refused.json()["reason"]) == (400, "bad-request")
        assert (await client.post("/api/v1/rooms/900/announce", json={"prompts": ["alone"]})).status_code == 404
        assert (await reader.post("/api/v1/rooms/100/announce", json={"prompts": ["alone"]})).status_code == 403
        assert house.plane.announced == []


async def test_a_browser_waits_by_its_socket_and_comes_in_by_itself() -> None:
    async with web_house() as house, house.socket() as guest, house.socket() as host:
        house.desk.open_room(CLUB)
        assert await wait(guest) == {"type": "waiting", "for": "lobby", "room": {"id": "200", "name": "Club"}}
        await say(guest, type="ping")
        await told(guest, "pong")
        await say(guest, type="offer", sdp="")
        assert (await told(guest, "error"))["reason"] == "bad-request"
        await house.desk.lock(RoomId("200"), True)
        assert (await told(guest, "waiting"))["for"] == "knocking"
        await say(host, type="join", room="200", name="Host", pin="1")
        await comes_in(house, host)
        (one,) = (await told(host, "door"))["waiting"]
        assert (one["name"], one["protocol"], one["stage"]) == ("Web", "webrtc", "knocking")
        await say(host, type="admit", participant=one["id"])
        assert await comes_in(house, guest) == one["id"]
        assert (await told(host, "door"))["waiting"] == []
        await say(host, type="admit", participant=one["id"])  # somebody else was quicker: nothing is said
        await say(guest, type="refuse", participant=one["id"])
        assert (await told(guest, "undecided"))["reason"] == "not-allowed"


async def test_a_browser_that_is_refused_or_leaves_is_gone() -> None:
    async with web_house() as house, house.socket() as refused, house.socket() as leaving, house.socket() as broken:
        house.desk.open_room(CLUB)
        for socket in (refused, leaving, broken):
            await wait(socket)
        house.desk.lobby.refuse_first(house.desk.room("200"), "")
        last = json.loads(await asyncio.wait_for(refused.recv(), LONG))
        assert (last["type"], last["reason"]) == ("ended", "not-admitted")
        await say(leaving, type="leave")
        await broken.close()
        async with asyncio.timeout(LONG):
            while house.desk.calls or len(house.desk.lobby):
                await asyncio.sleep(0.01)


async def test_a_guest_with_the_host_pin_begins_the_meeting() -> None:
    async with web_house() as house, house.socket() as one:
        house.desk.open_room(CLUB)
        await wait(one)
        await say(one, type="promote", pin="9")
        assert (await told(one, "unpromoted"))["reason"] == "wrong-pin"
        await say(one, type="promote", pin="1")
        id = await comes_in(house, one)
        participant = house.desk.room("200").participant(id)  # type: ignore[arg-type]
        assert participant is not None
        assert participant.rank is Rank.HOST


async def test_guests_do_not_read_who_waits() -> None:
    async with web_house() as house, house.socket() as guest:
        house.desk.open_room(RoomSettings(RoomId("200"), host_pin="1"))
        await say(guest, type="join", room="200", name="Web")
        await comes_in(house, guest)
        await house.desk.lock(RoomId("200"), True)
        await house.enter("Bob", "200")
        await house.desk.lock(RoomId("200"), False)  # lets Bob in, which everybody reads
        async with asyncio.timeout(LONG):
            while True:
                message = await told(guest, "room")
                if len(message["participants"]) == 2:
                    break
        for viewer in house.server.office.board._viewers[RoomId("200")]:
            assert viewer.door == "[]"
