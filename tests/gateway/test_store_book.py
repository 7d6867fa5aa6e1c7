"""The record book: each call leaves one record, rooms of the API come back, and a broken database stops nobody."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from test_desk import RecordingLine, RecordingPlane, facts
from web_house import web_house

from gateway import records
from gateway.calls import CallProtocol
from gateway.ivr.guide import menu
from gateway.reasons import Reason, Refused
from gateway.records import RecordBook
from gateway.rooms.desk import FrontDesk, HouseRules
from gateway.rooms.model import Greeting, RoomSettings
from gateway.store.store import Store, StoreError
from gateway.store.tables import StoredRoom
from transcode.media import Abilities, Layout, RoomId


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


async def open_book(tmp_path: Path, clock: Clock | None = None) -> RecordBook:
    store = Store("sqlite:///book.db", tmp_path)
    await store.open()
    desk = FrontDesk(RecordingPlane(), HouseRules(Abilities()), clock or Clock())
    desk.open_room(RoomSettings(RoomId("100"), "Everyone"))
    book = RecordBook(desk, store)
    await book.start()
    await asyncio.sleep(0)
    return book


async def test_a_call_leaves_one_record_with_its_times_and_reason(tmp_path: Path) -> None:
    clock = Clock()
    book = await open_book(tmp_path, clock)
    call = await book.desk.arrive(facts(agent="Terminal/1"), RecordingLine())
    clock.now = 1005.0
    await call.connected()
    await book.desk.rename(book.desk.room("100"), call.participant_id, "Ann from Oslo")
    clock.now = 1065.0
    await call.ended(Reason.NO_MEDIA)
    await book.stop()
    (kept,) = await book.store.records()
    assert (kept.call, kept.room, kept.name) == (call.id, "100", "Ann from Oslo")
    assert (kept.started, kept.ended, kept.reason, kept.admitted) == (1005.0, 1065.0, "no-media", True)
    await book.store.close()


async def test_a_refused_call_and_a_resumed_one_leave_theirs(tmp_path: Path) -> None:
    book = await open_book(tmp_path)
    with pytest.raises(Refused):
        await book.desk.arrive(facts("999"), RecordingLine())
    old = await book.desk.arrive(facts(protocol=CallProtocol.WEBRTC), RecordingLine())
    await old.connected()
    new = await book.desk.arrive(facts(protocol=CallProtocol.WEBRTC, resume=old.resume_token), RecordingLine())
    await new.connected()
    await new.ended(Reason.NORMAL)
    await book.stop()
    told = [(one.call, one.reason, one.admitted) for one in reversed(await book.store.records())]
    assert told == [("", "no-such-room", False), (old.id, "replaced", True), (new.id, "normal", True)]
    await book.store.close()


async def test_a_call_that_ended_in_the_menu_leaves_a_record_of_how_long_it_was_there(tmp_path: Path) -> None:
    clock = Clock()
    book = await open_book(tmp_path, clock)
    book.desk.entrance.leader = menu(book.desk.entrance, book.desk.voice)
    call = await book.desk.arrive(facts(""), RecordingLine())
    await call.connected()
    clock.now += 25.0
    await call.ended(Reason.NORMAL)
    await book.stop()
    (kept,) = await book.store.records()
    assert (kept.room, kept.reason, kept.admitted, kept.ended - kept.started) == ("", "normal", False, 25.0)
    await book.store.close()


async def test_calls_that_end_with_the_house_are_recorded(tmp_path: Path) -> None:
    book = await open_book(tmp_path)
    for _ in range(3):
        await (await book.desk.arrive(facts(), RecordingLine())).connected()
    await book.desk.close()
    await book.stop()
    assert [one.reason for one in await book.store.records()] == ["shutdown"] * 3
    await book.store.close()


async def test_rooms_that_were_kept_come_back_but_the_configurations_win(tmp_path: Path) -> None:
    first = await open_book(tmp_path)
    board = RoomSettings(
        RoomId("200"),
        "Board",
        Layout.ONE_PLUS_FIVE,
        "1",
        "2",
        12,
        True,
        lobby=True,
        entry=Greeting.NAMES,
        language="de",
    )
    await first.keep_room(board)
    await first.store.keep_room(StoredRoom("100", "An older name"))
    await first.store.keep_room(StoredRoom("300", layout="of a newer program", entry="songs"))
    await first.stop()
    await first.store.close()
    second = await open_book(tmp_path)
    assert second.desk.room("200").settings == board
    assert second.desk.room("100").settings.name == "Everyone"
    assert second.desk.room("300").settings.layout is Layout.AUTO
    assert second.kept == {"200", "300"}
    await second.stop()
    await second.store.close()


async def test_a_database_that_breaks_loses_records_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = await open_book(tmp_path)

    async def broken(rows: Any) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(book.store, "add_records", broken)
    call = await book.desk.arrive(facts(), RecordingLine())
    await call.connected()
    await call.ended(Reason.NORMAL)
    await asyncio.sleep(0)
    await book.write()
    assert book.lost == 1
    monkeypatch.undo()
    call = await book.desk.arrive(facts(), RecordingLine())
    await call.connected()
    await call.ended(Reason.NORMAL)
    await book.stop()
    assert len(await book.store.records()) == 1
    await book.store.close()


async def test_what_waits_for_the_database_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MAX_WAITING", 10)
    book = await open_book(tmp_path)
    for _ in range(25):
        with pytest.raises(Refused):
            await book.desk.arrive(facts("999"), RecordingLine())
    await asyncio.sleep(0)
    await book.stop()
    assert book.lost == 15
    assert len(await book.store.records()) == 10
    await book.store.close()


@pytest.mark.parametrize(
    "wanted",
    [
        [("PATCH", {"locked": True}), ("PATCH", {"name": "B"})],
        [("DELETE", None), ("PATCH", {"locked": True})],
        [("PATCH", {"locked": True}), ("DELETE", None)],
    ],
    ids=["two changes", "deleted, then changed", "changed, then deleted"],
)
async def test_what_is_asked_of_a_room_at_once_happens_one_after_the_other(
    tmp_path: Path, wanted: list[tuple[str, object]]
) -> None:
    store = Store("sqlite:///api.db", tmp_path)
    await store.open()
    async with web_house(listening=False, book=lambda desk: RecordBook(desk, store)) as house, house.client() as client:
        await client.post("/api/v1/rooms", json={"id": "200", "name": "A"})
        await asyncio.gather(*(client.request(method, "/api/v1/rooms/200", json=body) for method, body in wanted))
        kept = {room.id: (room.locked, room.name) for room in await store.rooms()}
        there = {id: (one.settings.locked, one.settings.name) for id, one in house.desk.rooms.items() if id == "200"}
        assert kept == there == ({} if ("DELETE", None) in wanted else {"200": (True, "B")})
    await store.close()


async def test_of_two_rooms_of_one_id_that_are_made_at_once_one_is_refused(tmp_path: Path) -> None:
    store = Store("sqlite:///api.db", tmp_path)
    await store.open()
    async with web_house(listening=False, book=lambda desk: RecordBook(desk, store)) as house, house.client() as client:
        made = await asyncio.gather(*(client.post("/api/v1/rooms", json={"id": "200", "name": one}) for one in "AB"))
        assert sorted(answer.status_code for answer in made) == [201, 409]
        (kept,) = await store.rooms()
        assert kept.name == house.desk.room("200").settings.name
    await store.close()


async def test_rooms_that_are_kept_with_values_that_are_none_are_opened_as_well_as_can_be(tmp_path: Path) -> None:
    store = Store("sqlite:///api.db", tmp_path)
    await store.open()
    for room in (
        StoredRoom("200", layout="round", max_participants=-5, idle_timeout=-1, lone_timeout=2**62, commands="{"),
        StoredRoom("door:1", "no id of a room"),
    ):
        await store.keep_room(room)
    async with web_house(listening=False, book=lambda desk: RecordBook(desk, store)) as house, house.client() as client:
        assert sorted(house.desk.rooms) == ["100", "200"]
        told = (await client.get("/api/v1/rooms/200")).json()
        assert (told["layout"], told["max_participants"], told["idle_timeout"]) == ("auto", 1, 0)
        assert told["lone_timeout"] == 86_400
        await house.enter("Ann", "200")
    assert len(await store.rooms()) == 2
    await store.close()


async def test_a_database_that_fails_is_told_of_as_such(tmp_path: Path) -> None:
    store = Store("sqlite:///api.db", tmp_path)
    await store.open()
    async with web_house(listening=False, book=lambda desk: RecordBook(desk, store)) as house, house.client() as client:
        with sqlite3.connect(tmp_path / "api.db") as connection:
            connection.execute("DROP TABLE rooms")
        connection.close()
        with capture_logs() as logged:
            answer = await client.post("/api/v1/rooms", json={"id": "200"})
        assert (answer.status_code, answer.json()["reason"]) == (503, "internal")
        assert [one["event"] for one in logged] == ["storage_failed"]
        assert not house.desk.knows("200")
    await store.close()


async def test_a_number_that_no_record_can_have_is_refused(tmp_path: Path) -> None:
    store = Store("sqlite:///api.db", tmp_path)
    await store.open()
    async with web_house(listening=False, book=lambda desk: RecordBook(desk, store)) as house, house.client() as client:
        assert (await client.get(f"/api/v1/records?before={2**63 - 1}")).status_code == 200
        assert (await client.get(f"/api/v1/records?before={2**63}")).status_code == 400
    await store.close()


async def test_the_api_makes_rooms_that_last_and_tells_what_was(tmp_path: Path) -> None:
    store = Store("sqlite:///api.db", tmp_path)
    await store.open()
    async with web_house(listening=False, book=lambda desk: RecordBook(desk, store)) as house, house.client() as client:
        await client.post("/api/v1/rooms", json={"id": "200", "name": "Board", "layout": "grid"})
        await client.patch("/api/v1/rooms/200", json={"locked": True})
        await client.patch("/api/v1/rooms/100", json={"locked": True})
        assert await store.rooms() == [StoredRoom("200", "Board", "grid", locked=True)]
        await client.patch("/api/v1/rooms/100", json={"locked": False})
        call, _ = await house.enter("Ann")
        await client.delete(f"/api/v1/calls/{call.id}")
        await asyncio.sleep(0)
        await house.more["book"].write()
        answer = (await client.get("/api/v1/records?limit=1&room=100&admitted=true")).json()
        (told,) = answer["records"]
        assert (told["call"], told["reason"], told["name"]) == (call.id, "hung-up-by-host", "Ann")
        assert told["message"] == Reason.HUNG_UP_BY_HOST.text
        assert answer["next"] == told["number"]
        assert (await client.get(f"/api/v1/records?before={told['number']}")).json() == {"records": [], "next": None}
        await client.delete("/api/v1/rooms/200")
        assert await store.rooms() == []
    await store.close()
