"""The HTTP API: who may do what, rooms and participants, calls out, and what bad input gets."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import httpx
import pytest
from pydantic import ValidationError
from test_desk import RecordingLine, facts
from test_gateway_calls import FakeDialler
from web_house import ADMIN, CALLS, READ, ROOMS, WebHouse, web_house

from gateway.calls import CallProtocol
from gateway.config import Token
from gateway.reasons import Reason, Refused
from gateway.rooms.model import HostLeaves
from gateway.web.errors import status_of
from gateway.web.keyring import Keyring
from transcode.events import FormatsChanged
from transcode.media import Kind, Role, RoomId


def reason(answer: httpx.Response) -> str:
    body = answer.json()
    assert set(body) == {"reason", "message"}
    assert body["message"]
    return str(body["reason"])


@pytest.mark.parametrize(
    ("token", "method", "path", "status"),
    [
        (None, "GET", "/api/v1/rooms", 401),
        ("not-the-token-01234", "GET", "/api/v1/rooms", 401),
        (READ, "GET", "/api/v1/rooms", 200),
        (ROOMS, "GET", "/api/v1/rooms", 200),
        (CALLS, "GET", "/api/v1/calls", 200),
        (READ, "PATCH", "/api/v1/rooms/100", 403),
        (CALLS, "PATCH", "/api/v1/rooms/100", 403),
        (ROOMS, "PATCH", "/api/v1/rooms/100", 200),
        (ADMIN, "PATCH", "/api/v1/rooms/100", 200),
        (ROOMS, "POST", "/api/v1/rooms/100/participants", 403),
        (READ, "DELETE", "/api/v1/calls/1", 403),
        (CALLS, "DELETE", "/api/v1/calls/1", 404),
        (READ, "DELETE", "/api/v1/rooms/100/participants/1", 403),
        (None, "GET", "/api/v1/events", 401),
        (None, "GET", "/api/v1/records", 401),
    ],
)
async def test_a_token_opens_what_its_scope_names_and_no_more(
    token: str | None, method: str, path: str, status: int
) -> None:
    async with web_house(listening=False) as house, house.client(token) as client:
        body = None if method in ("GET", "DELETE") else {}
        answer = await client.request(method, path, json=body)
        assert answer.status_code == status
        if status == 401:
            assert answer.headers["www-authenticate"] == "Bearer"
            assert 'roombridge_http_refused_total{reason="authentication-needed"} 1.0' in await house.scrape()


async def test_a_token_is_known_by_its_digest_alone() -> None:
    digest = "sha256:" + hashlib.sha256(b"a secret that nobody wrote down").hexdigest()
    keyring = Keyring([Token(token=digest, scopes=("rooms",))])
    keyring.check("a secret that nobody wrote down", "read")
    for wrong in (digest, "", None, "x" * 10_000, "\ud800"):
        with pytest.raises(Refused) as refusal:
            keyring.check(wrong, "read")
        assert refusal.value.reason is Reason.AUTHENTICATION_NEEDED


@pytest.mark.parametrize("digest", ["sha256:short", "sha256:" + "g" * 64, "sha256:" + "a" * 63])
def test_a_digest_that_is_none_is_refused_with_the_configuration(digest: str) -> None:
    with pytest.raises(ValidationError):
        Token(token=digest.ljust(16, "x"))


async def test_a_room_is_made_changed_and_deleted() -> None:
    async with web_house(listening=False) as house, house.client(ROOMS) as client:
        made = await client.post("/api/v1/rooms", json={"id": "200", "name": " Board\u202e  room\n", "guest_pin": "12"})
        assert made.status_code == 201
        assert made.json() == {
            "id": "200",
            "name": "Board room",
            "title": "Board room",
            "mode": "meeting",
            "aliases": [],
            "layout": "auto",
            "locked": False,
            "host_pin": False,
            "guest_pin": True,
            "max_participants": 50,
            "lobby": False,
            "when_locked": "knock",
            "host_leaves": "continue",
            "host_leaves_after": 60,
            "lone_timeout": 0,
            "idle_timeout": 0,
            "entry": "none",
            "language": "",
            "commands": None,
            "auto_dial": [],
            "participants": 0,
            "waiting": 0,
            "speaker": None,
            "presenter": None,
            "spotlight": None,
            "source": "api",
        }
        assert (await client.post("/api/v1/rooms", json={"id": "200"})).status_code == 409
        changed = await client.patch("/api/v1/rooms/200", json={"layout": "1+5", "locked": True, "guest_pin": None})
        assert changed.status_code == 200
        settings = house.desk.room("200").settings
        assert (settings.layout.value, settings.locked, settings.guest_pin) == ("1+5", True, None)
        assert settings.name == "Board room"
        wishes = {
            "lobby": True,
            "when_locked": "refuse",
            "host_leaves": "end",
            "host_leaves_after": 5,
            "entry": "tones",
            "language": "de",
        }
        shown = (await client.patch("/api/v1/rooms/200", json=wishes)).json()
        assert {key: shown[key] for key in wishes} == wishes
        assert house.desk.room("200").settings.host_leaves is HostLeaves.END
        assert (await client.patch("/api/v1/rooms/200", json={"lone_timeout": -1})).status_code == 400
        assert (await client.patch("/api/v1/rooms/200", json={"language": "../de"})).status_code == 400
        listed = (await client.get("/api/v1/rooms")).json()["rooms"]
        assert [(room["id"], room["source"]) for room in listed] == [("100", "configuration"), ("200", "api")]
        assert (await client.delete("/api/v1/rooms/200")).status_code == 204
        gone = await client.get("/api/v1/rooms/200")
        assert (gone.status_code, reason(gone)) == (404, "no-such-room")


async def test_a_room_that_is_made_while_another_of_its_id_closes_is_a_whole_one() -> None:
    class Slow(RecordingLine):
        async def hang_up(self, reason: Reason) -> None:
            await leave.wait()

    leave = asyncio.Event()
    async with web_house(listening=False) as house, house.client() as client:
        await client.post("/api/v1/rooms", json={"id": "200"})
        await (await house.desk.arrive(facts("200"), Slow())).connected()
        deleting = asyncio.create_task(client.delete("/api/v1/rooms/200"))
        while house.desk.knows("200"):
            await asyncio.sleep(0)
        making = asyncio.create_task(client.post("/api/v1/rooms", json={"id": "200", "name": "The next one"}))
        await asyncio.sleep(0.01)
        leave.set()
        assert [(await one).status_code for one in (deleting, making)] == [204, 201]
        await house.enter("Bob", "200")
        assert (house.plane.plans[-1].title, len(house.plane.plans[-1].legs)) == ("The next one", 1)


async def test_a_room_of_the_configuration_cannot_be_deleted() -> None:
    async with web_house(listening=False) as house, house.client() as client:
        answer = await client.delete("/api/v1/rooms/100")
        assert (answer.status_code, reason(answer)) == (403, "not-allowed")
        assert RoomId("100") in house.desk.rooms


async def test_a_participant_is_told_with_what_it_sends_and_receives() -> None:
    async with web_house(listening=False) as house, house.client(READ) as client:
        call, _ = await house.enter("Ann", protocol=CallProtocol.H323, secure=True, agent="Terminal/1")
        await house.desk._media_event(FormatsChanged(call.leg, "1", Kind.VIDEO, "H264", "H263", 1280, 720, 352, 288))
        await house.desk._media_event(FormatsChanged(call.leg, "0", Kind.AUDIO, "G722", "G722"))
        slides = FormatsChanged(call.leg, "2", Kind.VIDEO, "", "H264", 0, 0, 1280, 720, Role.SLIDES)
        await house.desk._media_event(slides)
        (one,) = (await client.get("/api/v1/rooms/100/participants")).json()["participants"]
        assert one == {
            "id": call.participant_id,
            "call": call.id,
            "name": "Ann",
            "protocol": "h323",
            "rank": "guest",
            "talking": False,
            "muted": False,
            "muted_by_host": False,
            "camera_off": False,
            "joined": "1970-01-01T00:16:40Z",
            "direction": "incoming",
            "secure": True,
            "source": "127.0.0.1:5070",
            "agent": "Terminal/1",
            "audio": {"in": "G722", "out": "G722"},
            "video": {
                "in": "H264",
                "out": "H263",
                "width_in": 1280,
                "height_in": 720,
                "width_out": 352,
                "height_out": 288,
            },
            "slides": {"in": "", "out": "H264", "width_in": 0, "height_in": 0, "width_out": 1280, "height_out": 720},
        }
        detail = await client.get(f"/api/v1/rooms/100/participants/{call.participant_id}")
        assert detail.json() == {**one, "streams": []}


async def test_a_participant_is_muted_renamed_and_removed() -> None:
    async with web_house(listening=False) as house, house.client(ROOMS) as client:
        call, line = await house.enter()
        path = f"/api/v1/rooms/100/participants/{call.participant_id}"
        answer = await client.patch(path, json={"muted": True, "name": "Ann from Oslo"})
        assert (answer.json()["muted"], answer.json()["muted_by_host"]) == (True, True)
        assert house.plane.plans[-1].legs[0].name == "Ann from Oslo"
        assert not house.plane.plans[-1].legs[0].heard
        assert (await client.patch(path, json={"muted": False})).json()["muted"] is False
        assert (await client.patch(path, json={"name": "\u202e"})).status_code == 400
        assert (await client.delete(path)).status_code == 204
        assert line.asked == [Reason.HUNG_UP_BY_HOST]
        for answer in (await client.delete(path), await client.get(path), await client.patch(path, json={})):
            assert (answer.status_code, reason(answer)) == (404, "no-such-user")


async def test_a_participant_is_put_into_the_spotlight_and_out_of_it() -> None:
    async with web_house(listening=False) as house, house.client(ROOMS) as client:
        ann, _ = await house.enter("Ann")
        bob, _ = await house.enter("Bob")
        paths = [f"/api/v1/rooms/100/participants/{one.participant_id}" for one in (ann, bob)]
        assert (await client.patch(paths[0], json={"spotlight": True})).status_code == 200
        assert (await client.get("/api/v1/rooms/100")).json()["spotlight"] == ann.participant_id
        assert house.plane.plans[-1].spotlight == ann.leg
        assert (await client.patch(paths[1], json={"spotlight": False})).status_code == 200
        assert house.plane.plans[-1].spotlight == ann.leg, "it is not Bob's to take away"
        assert (await client.patch(paths[1], json={"spotlight": True})).status_code == 200
        assert house.plane.plans[-1].spotlight == bob.leg
        assert (await client.patch(paths[1], json={"spotlight": False})).status_code == 200
        assert house.plane.plans[-1].spotlight is None


async def test_calls_are_listed_and_ended_even_before_they_are_inside() -> None:
    async with web_house(listening=False) as house, house.client(CALLS) as client:
        line = RecordingLine()
        call = await house.desk.arrive(facts(), line)
        (told,) = (await client.get("/api/v1/calls")).json()["calls"]
        assert (told["id"], told["room"], told["inside"], told["joined"]) == (call.id, "100", False, None)
        await call.connected()
        assert (await client.get(f"/api/v1/calls/{call.id}")).json()["inside"] is True
        assert (await client.delete(f"/api/v1/calls/{call.id}")).status_code == 204
        assert line.asked == [Reason.HUNG_UP_BY_HOST]
        assert (await client.get("/api/v1/calls")).json() == {"calls": []}


async def test_without_a_way_to_place_calls_the_api_says_so() -> None:
    async with web_house(listening=False) as house, house.client(CALLS) as client:
        answer = await client.post("/api/v1/rooms/100/participants", json={"target": "sip:bob@127.0.0.1"})
        assert (answer.status_code, reason(answer)) == (501, "unsupported")


def dialler_of(house: WebHouse) -> FakeDialler:
    """Let a house call bob and cleo, who have accounts."""
    dialler = FakeDialler(house.desk)
    house.desk.switchboard.dialler = dialler
    house.desk.switchboard.is_user = ("bob", "cleo").__contains__
    return dialler


CALL_BOB = {"target": "user:bob", "name": "Bob"}
PEOPLE = "/api/v1/rooms/100/participants"


async def test_somebody_is_called_into_a_room() -> None:
    async with web_house(listening=False) as house, house.client(CALLS) as client:
        dialler = dialler_of(house)
        asking = asyncio.create_task(client.post(PEOPLE, json=CALL_BOB))
        await dialler.answers()
        answer = await asking
        assert (answer.status_code, answer.json()["name"]) == (201, "Bob")
        assert [order.target for order in dialler.orders] == ["user:bob"]
        for target in ("", "bob", "http://example", "sip:", "sip:a b", "sip:a\r\nVia: x", "sip:" + "a" * 300):
            answer = await client.post(PEOPLE, json={"target": target})
            assert (answer.status_code, reason(answer)) == (400, "bad-request")
        assert len(dialler.orders) == 1


@pytest.mark.parametrize(
    ("why", "status"),
    [
        (Reason.BUSY, 409),
        (Reason.NO_ANSWER, 504),
        (Reason.AUTHENTICATION_NEEDED, 409),
        (Reason.NO_COMMON_FORMAT, 422),
        (Reason.INTERNAL, 502),
    ],
)
async def test_what_the_callee_answers_is_told(why: Reason, status: int) -> None:
    async with web_house(listening=False) as house, house.client(CALLS) as client:
        dialler = dialler_of(house)
        asking = asyncio.create_task(client.post(PEOPLE, json=CALL_BOB))
        await dialler.placed()
        dialler.outcomes[0].set_exception(Refused(why))
        answer = await asking
        assert (answer.status_code, reason(answer)) == (status, why.value)
        assert "www-authenticate" not in answer.headers
        assert house.desk.dial_out.calling == 0


async def test_it_rings_no_longer_than_somebody_waits_for_the_answer() -> None:
    async with web_house() as house, house.client(CALLS) as client:
        dialler = dialler_of(house)
        asking = asyncio.create_task(client.post(PEOPLE, json=CALL_BOB))
        await dialler.placed()
        asking.cancel()
        async with asyncio.timeout(30):
            while house.desk.calls or house.desk.dial_out.calling:
                await asyncio.sleep(0.02)
        assert dialler.lines[0].asked == ["cancelled"]


async def test_so_many_calls_and_no_more_ring_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.rooms.dial_out.MAX_CALLING", 1)
    async with web_house(listening=False) as house, house.client(CALLS) as client:
        dialler = dialler_of(house)
        first = asyncio.create_task(client.post(PEOPLE, json=CALL_BOB))
        await dialler.placed()
        second = await client.post(PEOPLE, json={"target": "user:cleo"})
        assert (second.status_code, reason(second)) == (503, "overload")
        dialler.outcomes[0].set_exception(Refused(Reason.NO_ANSWER))
        assert reason(await first) == "no-answer"


BAD_ROOMS: list[Any] = [
    None,
    [],
    "room",
    {},
    {"id": ""},
    {"id": "a/b"},
    {"id": "x" * 65},
    {"id": 5},
    {"id": "7", "layout": "round"},
    {"id": "7", "guest_pin": "abc"},
    {"id": "7", "guest_pin": "1" * 17},
    {"id": "7", "max_participants": 0},
    {"id": "7", "max_participants": 501},
    {"id": "7", "name": "x" * 65},
    {"id": "7", "misspelt": 1},
]


async def test_a_room_that_makes_no_sense_is_refused_and_not_made() -> None:
    async with web_house(listening=False) as house, house.client() as client:
        for body in BAD_ROOMS:
            answer = await client.post("/api/v1/rooms", json=body)
            assert (answer.status_code, reason(answer)) == (400, "bad-request"), body
        for content in (b"", b"{", b"\xff\xfe", b"[" * 50_000, b'{"id": "\\ud800"}'):
            answer = await client.post("/api/v1/rooms", content=content, headers={"Content-Type": "application/json"})
            assert answer.status_code == 400, content[:20]
        assert list(house.desk.rooms) == ["100"]
        assert 'roombridge_bad_input_total{what="request",where="web"}' in await house.scrape()


async def test_a_change_of_nothing_known_is_refused() -> None:
    async with web_house(listening=False) as house, house.client() as client:
        for body in ({"id": "101"}, {"locked": "perhaps"}, {"layout": None}, {"max_participants": None}):
            assert (await client.patch("/api/v1/rooms/100", json=body)).status_code == 400, body
        assert house.desk.room("100").settings.locked is False


async def test_an_address_where_nothing_is_gets_the_same_shape_of_refusal() -> None:
    async with web_house(listening=False) as house, house.client() as client:
        assert reason(await client.get("/api/v1/nothing")) == "bad-request"
        answer = await client.put("/api/v1/rooms")
        assert (answer.status_code, reason(answer)) == (405, "bad-request")
        assert (await client.get("/api/v1/rooms/%2e%2e%2f%00")).status_code == 404
        assert (await client.get("/api/v1/rooms/" + "x" * 200)).status_code == 400
        assert (await client.get("/api/v1/records?limit=0")).status_code == 400


async def test_every_reason_has_a_status_of_http() -> None:
    for one in Reason:
        assert 400 <= status_of(one) <= 504, one
        assert status_of(one) not in (480, 482, 486, 487, 488, 491), one


async def test_the_description_names_every_route_and_loads_nothing_from_elsewhere() -> None:
    async with web_house(listening=False) as house, house.client(None) as client:
        described = (await client.get("/api/openapi.json")).json()
        assert {"/api/v1/rooms", "/api/v1/rooms/{room}/participants/{id}", "/api/v1/events", "/api/v1/records"} <= set(
            described["paths"]
        )
        for path in described["paths"].values():
            for operation in path.values():
                assert operation["security"]
                assert "422" not in operation["responses"]
        page = await client.get("/api/docs")
        assert page.status_code == 200
        for address in ("/api/docs/docs.js", "/api/docs/docs.css"):
            assert address in page.text
            assert (await client.get(address)).status_code == 200
        assert "http" + "://" not in page.text
        assert "https://" not in page.text


async def test_a_fault_of_ours_is_told_without_its_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    async with web_house(listening=False) as house, house.client() as client:
        # The log is taken away before it is written: a fault that is drawn for a terminal takes seconds.
        logged = []
        monkeypatch.setattr("gateway.web.guard.log.exception", lambda event, **about: logged.append((event, about)))

        def broken(*_: object) -> None:
            raise ZeroDivisionError("inside")

        monkeypatch.setattr(house.desk, "room", broken)
        answer = await client.get("/api/v1/rooms/100")
        assert (answer.status_code, reason(answer)) == (500, "internal")
        assert "inside" not in answer.text.replace("inside the service", "")
        assert logged == [("request_broke", {"method": "GET", "path": "/api/v1/rooms/100"})]
        monkeypatch.undo()
        assert (await client.get("/api/v1/rooms/100")).status_code == 200
