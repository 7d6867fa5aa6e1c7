"""The event stream: what happens in the house, as server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from test_desk import RecordingLine, facts
from web_house import READ, WebHouse, web_house

from gateway.reasons import Refused
from gateway.rooms.model import RoomSettings
from transcode.events import Dtmf, Speaker
from transcode.media import RoomId


@contextlib.asynccontextmanager
async def listening(house: WebHouse, path: str = "/api/v1/events") -> AsyncIterator[AsyncIterator[str]]:
    """Open a stream and wait until it is subscribed."""
    async with house.client(READ) as client, client.stream("GET", path) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.aiter_lines()
        assert (await anext(lines)).startswith("retry: ")
        yield lines


async def events(lines: AsyncIterator[str], count: int) -> list[tuple[str, dict[str, Any]]]:
    found: list[tuple[str, dict[str, Any]]] = []
    name = ""
    async with asyncio.timeout(3):
        async for line in lines:
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: "):
                found.append((name, json.loads(line[6:])))
                if len(found) == count:
                    break
    return found


async def test_everything_that_happens_is_told_in_order() -> None:
    async with web_house() as house, listening(house) as lines:
        house.desk.open_room(RoomSettings(RoomId("200"), "Board"))
        call, _ = await house.enter("Ann", "200")
        await house.desk.mute(house.desk.room("200"), call.participant_id, True)
        await house.desk._media_event(Speaker(RoomId("200"), call.leg))
        await call.present(True)
        await house.desk.spotlight(house.desk.room("200"), call.participant_id, "api")
        await house.desk._media_event(Dtmf(call.leg, "5", 100))
        with pytest.raises(Refused):
            await house.desk.arrive(facts("999"), RecordingLine())
        await house.desk.close_room(RoomId("200"))
        told = await events(lines, 13)
        assert [name for name, _ in told] == [
            "room-changed",
            "joined",
            "changed",
            "speaker",
            "presenter",
            "spotlight",
            "key-pressed",
            "call-refused",
            "left",
            "speaker",
            "spotlight",
            "presenter",
            "room-deleted",
        ]
        by_name = dict(told)
        assert by_name["room-changed"] == {
            "room": "200",
            "name": "Board",
            "layout": "auto",
            "locked": False,
            "max_participants": 50,
        }
        assert by_name["joined"]["participant"]["name"] == "Ann"
        assert by_name["joined"]["participant"]["audio"] == {"in": "", "out": ""}
        assert by_name["changed"]["participant"]["muted"] is True
        assert by_name["spotlight"] == {"room": "200", "participant": None, "by": ""}
        assert by_name["key-pressed"] == {"room": "200", "participant": call.participant_id, "digit": "5"}
        assert (by_name["call-refused"]["room"], by_name["call-refused"]["reason"]) == ("999", "no-such-room")
        assert by_name["left"]["reason"] == "room-closed"


async def test_a_stream_of_one_room_tells_of_no_other() -> None:
    async with web_house() as house:
        house.desk.open_room(RoomSettings(RoomId("200")))
        async with listening(house, "/api/v1/events?room=200") as lines:
            await house.enter("Elsewhere", "100")
            await house.enter("Here", "200")
            ((name, data),) = await events(lines, 1)
            assert (name, data["participant"]["name"]) == ("joined", "Here")
        async with house.client(READ) as client:
            assert (await client.get("/api/v1/events?room=7")).status_code == 404


async def test_a_name_cannot_write_into_the_stream() -> None:
    async with web_house() as house, listening(house) as lines:
        await house.enter("Ann\n\nevent: left\ndata: {}")
        ((name, data),) = await events(lines, 1)
        assert (name, data["participant"]["name"]) == ("joined", "Ann\n\nevent: left\ndata: {}")


async def test_a_silent_stream_gives_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.web.events.HEARTBEAT", 0.05)
    async with web_house() as house, listening(house) as lines:
        async with asyncio.timeout(2):
            while not (await anext(lines)).startswith(":"):
                pass
        await house.enter("Later")
        ((name, _),) = await events(lines, 1)
        assert name == "joined"


async def test_streams_are_bounded_and_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.web.events.MAX_STREAMS", 1)
    async with web_house() as house:
        async with listening(house), house.client(READ) as client:
            refused = await client.get("/api/v1/events")
            assert (refused.status_code, refused.json()["reason"]) == (503, "overload")
        await house.enter("Wakes it up")  # a stream that is gone is seen at the next write at the latest
        async with asyncio.timeout(3):
            while house.server.office.streams:
                await asyncio.sleep(0.02)
        async with listening(house):
            pass


async def test_a_server_that_stops_ends_its_streams() -> None:
    house = WebHouse()
    await house.start()
    async with listening(house) as lines:
        began = asyncio.get_running_loop().time()
        await house.stop()
        assert asyncio.get_running_loop().time() - began < 2
        with contextlib.suppress(httpx.RemoteProtocolError):
            assert [line async for line in lines if line] == []
    assert house.server.office.streams == 0
