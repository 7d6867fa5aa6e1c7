"""A browser's WebSocket: what it reads of its room, how it ends, and what bounds it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from test_desk import RecordingPlane
from web_house import WebHouse, hear, say, web_house
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway.calls import CallProtocol
from gateway.reasons import Reason
from gateway.rooms.model import RoomSettings
from gateway.web.server import WebServer, WebSettings
from gateway.webrtc.messages import MAX_MESSAGE_SIZE
from transcode.events import Speaker, Talking
from transcode.media import Layout, LegId, RoomId


async def join(socket_: ClientConnection, name: str = "Web", **more: Any) -> dict[str, Any]:
    await say(socket_, type="join", room="100", name=name, **more)
    return await hear(socket_, "joined")


async def until_closed(socket_: ClientConnection, seconds: float = 5.0) -> tuple[int, list[dict[str, Any]]]:
    """Return the close code and what was said before."""
    said = []
    try:
        async with asyncio.timeout(seconds):
            while True:
                said.append(json.loads(await socket_.recv()))
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd is not None else 1006, said


async def connected(house: WebHouse, participant: str) -> None:
    """Let a browser's call be connected as its answered offer would."""
    (call,) = (call for call in house.desk.calls.values() if call.participant_id == participant)
    await call.connected()


async def test_a_browser_that_joined_reads_its_room_at_once_and_after_each_change() -> None:
    async with web_house() as house, house.socket() as one:
        terminal, _ = await house.enter("Terminal", protocol=CallProtocol.H323)
        joined = await join(one)
        first = await hear(one, "room")
        assert first == {
            "type": "room",
            "you": joined["participant"],
            "room": {"id": "100", "name": "Everyone", "locked": False, "layout": "auto"},
            "participants": [
                {
                    "id": terminal.participant_id,
                    "name": "Terminal",
                    "protocol": "h323",
                    "rank": "guest",
                    "talking": False,
                    "muted": False,
                    "muted_by_host": False,
                    "camera_off": False,
                }
            ],
        }
        assert await hear(one, "speaker") == {"type": "speaker", "participant": None}
        assert await hear(one, "presenter") == {"type": "presenter", "participant": None}
        assert await hear(one, "spotlight") == {"type": "spotlight", "participant": None}
        await connected(house, joined["participant"])
        you = joined["participant"]
        assert await hear(one, "notice") == {"type": "notice", "kind": "joined", "participant": you, "name": "Web"}
        assert [each["name"] for each in (await hear(one, "room"))["participants"]] == ["Terminal", "Web"]
        await house.desk._media_event(Talking(RoomId("100"), terminal.leg, True))
        await house.desk._media_event(Speaker(RoomId("100"), terminal.leg))
        assert await hear(one, "speaker") == {"type": "speaker", "participant": terminal.participant_id}
        assert (await hear(one, "room"))["participants"][0]["talking"] is True
        await terminal.present(True)
        assert await hear(one, "presenter") == {"type": "presenter", "participant": terminal.participant_id}
        await house.desk.spotlight(house.desk.room("100"), terminal.participant_id, "api")
        assert await hear(one, "spotlight") == {"type": "spotlight", "participant": terminal.participant_id}
        await house.desk.set_room(RoomSettings(RoomId("100"), "All hands", Layout.GRID, locked=True))
        room = (await hear(one, "room"))["room"]
        assert room == {"id": "100", "name": "All hands", "locked": True, "layout": "grid"}
        await terminal.ended(Reason.NO_MEDIA)
        notice = await hear(one, "notice")
        assert (notice["kind"], notice["participant"]) == ("left", terminal.participant_id)
        assert (notice["name"], notice["reason"]) == ("Terminal", "no-media")


async def test_a_hundred_changes_are_told_in_a_few_lists_and_the_last_one_is_right() -> None:
    async with web_house() as house, house.socket() as one:
        await join(one)
        await hear(one, "room")
        call, _ = await house.enter("Busy")
        lists: list[dict[str, Any]] = []

        async def collect() -> None:
            while True:
                lists.append(await hear(one, "room", 10))

        collecting = asyncio.create_task(collect())
        began = asyncio.get_running_loop().time()
        for turn in range(100):
            await house.desk._media_event(Talking(RoomId("100"), call.leg, turn % 2 == 0))
            await house.desk.rename(house.desk.room("100"), call.participant_id, f"Busy {turn}")
            await asyncio.sleep(0.003)
        await asyncio.sleep(0.3)
        took = asyncio.get_running_loop().time() - began
        collecting.cancel()
        assert lists[-1]["participants"][0]["name"] == "Busy 99"
        assert len(lists) <= took * 10 + 2


async def test_a_browser_in_another_room_reads_nothing_of_this_one() -> None:
    async with web_house() as house, house.socket() as one:
        house.desk.open_room(RoomSettings(RoomId("200")))
        await join(one)
        await hear(one, "chat")
        await house.enter("Elsewhere", "200")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(one.recv(), 0.3)


async def test_a_refused_join_says_why_and_may_be_tried_again() -> None:
    async with web_house() as house, house.socket() as one:
        await house.desk.set_room(RoomSettings(RoomId("100"), guest_pin="1234"))
        await say(one, type="join", room="999", name="Web")
        assert (await hear(one, "error"))["reason"] == "no-such-room"
        for pin, reason in ((None, "pin-needed"), ("1", "wrong-pin")):
            await say(one, type="join", room="100", name="Web", pin=pin)
            refused = await hear(one, "error")
            assert (refused["reason"], refused["fatal"]) == (reason, False)
        await join(one, pin="1234")


async def test_leaving_ends_the_call_and_closes_the_socket() -> None:
    async with web_house() as house, house.socket() as one:
        await join(one)
        await say(one, type="leave")
        code, _ = await until_closed(one)
        assert code == 1000
        assert not house.desk.calls
        assert house.server.office.board.viewers == 0
        assert not house.server.office.sockets


async def test_who_is_removed_is_told_why_before_the_socket_closes() -> None:
    async with web_house() as house, house.socket() as one:
        joined = await join(one)
        await connected(house, joined["participant"])
        await house.desk.remove(house.desk.room("100"), joined["participant"])
        code, said = await until_closed(one)
        assert code == 1000
        assert said[-1]["type"] == "ended"
        assert said[-1]["reason"] == "hung-up-by-host"


async def test_a_browser_that_comes_back_takes_its_place_over() -> None:
    async with web_house() as house:
        async with house.socket() as one:
            joined = await join(one)
            await connected(house, joined["participant"])
            one.transport.abort()
        async with house.socket() as two:
            await say(two, type="join", room="100", name="Web", resume=joined["resume"])
            again = await hear(two, "joined")
            assert again["participant"] == joined["participant"]
            await connected_last(house)
            assert len(house.desk.room("100").participants) == 1
            assert len(house.desk.calls) == 1
            assert (await hear(two, "room"))["you"] == joined["participant"]


async def connected_last(house: WebHouse) -> None:
    """Let the newest call be connected."""
    *_, last = house.desk.calls.values()
    await last.connected()


async def test_a_browser_comes_by_either_family_of_addresses() -> None:
    house = WebHouse()
    server = WebServer(WebSettings("::", 0), house.desk, house.metrics)
    await server.start()
    try:
        for host, source in (("127.0.0.1", "127.0.0.1:"), ("[::1]", "[::1]:")):
            async with connect(f"ws://{host}:{server.port}/ws", origin=f"http://{host}:{server.port}") as one:
                await join(one)
                (call,) = house.desk.calls.values()
                assert call.facts.source.startswith(source)
                await say(one, type="leave")
                await until_closed(one)
    finally:
        await server.stop()


async def test_a_page_of_somebody_else_may_not_open_a_socket() -> None:
    async with web_house() as house:
        for origin in ("https://elsewhere.example", "null", "http://[", f"{house.url}.example"):
            with pytest.raises(InvalidStatus) as refused:
                await house.socket(origin=origin)
            assert refused.value.response.status_code == 403
        async with house.socket(origin=house.url) as one:
            await join(one)
        assert 'roombridge_http_refused_total{reason="foreign-origin"} 4.0' in await house.scrape()


async def test_a_message_that_makes_no_sense_is_answered_and_harms_nobody() -> None:
    async with web_house() as house, house.socket() as one:
        for text in ("{", "[]", '"join"', "{}", '{"type": 5}', '{"type": "join"}', "[" * 20_000, b"\xff\x00"):
            await one.send(text)
            refused = await hear(one, "error")
            assert refused["reason"] == "bad-request"
        await join(one)


async def test_a_message_that_is_too_large_ends_the_socket() -> None:
    async with web_house() as house, house.socket() as one:
        await one.send("x" * (MAX_MESSAGE_SIZE + 1))
        code, _ = await until_closed(one)
        assert code == 1009
        assert 'roombridge_bad_input_total{what="malformed-websocket",where="web"} 1.0' in await house.scrape()


async def test_a_flood_of_messages_ends_the_session_with_a_reason() -> None:
    async with web_house() as house, house.socket() as one:
        await join(one)
        for _ in range(300):
            await one.send('{"type": "ping"}')
        code, said = await until_closed(one)
        assert code in (1000, 1006)
        assert any(message.get("reason") == "overload" and message["fatal"] for message in said)
        assert not house.desk.calls


async def test_more_sockets_than_are_bearable_are_turned_away_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.web.browser.MAX_SOCKETS_FROM_ONE", 1)
    async with web_house() as house, house.socket() as one:
        await join(one)
        async with house.socket() as two:
            code, said = await until_closed(two)
            assert code == 1013
            assert (said[0]["type"], said[0]["reason"], said[0]["fatal"]) == ("error", "overload", True)
        await say(one, type="ping")
        await hear(one, "pong")


async def test_who_never_joins_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.web.browser.JOIN_TIME", 0.2)
    async with web_house() as house, house.socket() as one:
        _, said = await until_closed(one)
        assert said[-1]["reason"] == "timeout"
        assert not house.server.office.sockets


async def test_a_server_that_stops_says_so_to_every_browser() -> None:
    house = WebHouse()
    await house.start()
    async with house.socket() as one, house.socket() as two:
        await join(one)
        began = asyncio.get_running_loop().time()
        await house.stop()
        assert asyncio.get_running_loop().time() - began < 2
        for socket_ in (one, two):
            _, said = await until_closed(socket_)
            assert said[-1]["reason"] == "shutdown"
    assert not house.desk.calls


async def test_a_browser_that_reads_nothing_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.web.board.INTERVAL", 0.001)
    async with web_house() as house, house.socket() as good, deaf(house) as ear:
        await join(good)
        house.desk.open_room(RoomSettings(RoomId("100"), max_participants=500))
        people = [(await house.enter(f"{'x' * 60}{number}"))[0] for number in range(100)]
        room = house.desk.room("100")
        for turn in range(500):  # lists of 20 KiB: ten times what the kernel takes for a socket that is not read
            await house.desk.rename(room, people[-1].participant_id, f"last {turn}")
            await asyncio.sleep(0.002)
        async with asyncio.timeout(30):
            while (
                not (people_ := (await hear(good, "room", 30.0))["participants"]) or people_[-1]["name"] != "last 499"
            ):
                pass
        waiting = [viewer for viewer in house.server.office.board._viewers[RoomId("100")] if viewer._list is not None]
        assert len(waiting) == 1, "the deaf one should have one list waiting, the newest"
        assert '"last 499"' in (waiting[0]._list or "")
        ear.transport.abort()


@contextlib.asynccontextmanager
async def deaf(house: WebHouse) -> AsyncIterator[asyncio.StreamWriter]:
    """Join as a browser that reads nothing more once its socket is open."""
    place = "127.0.0.1", house.server.port
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, place)
    reader, writer = await asyncio.open_connection(sock=raw)
    writer.write(
        f"GET /ws HTTP/1.1\r\nHost: {place[0]}:{place[1]}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    assert b"101" in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 3)
    # One text frame with a mask of zeros (RFC 6455 §5.2): 81 fin and text, 80|length, mask.
    text = b'{"type": "join", "room": "100", "name": "Deaf"}'
    writer.write(bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text)
    async with asyncio.timeout(3):
        while not house.desk.calls:
            await asyncio.sleep(0.01)
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    try:
        yield writer
    finally:
        writer.transport.abort()


async def test_a_broken_session_is_ended_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    class BrokenPlane(RecordingPlane):
        async def answer(self, leg: LegId, remote: object) -> Any:
            raise ZeroDivisionError

    logged: list[str] = []
    monkeypatch.setattr("gateway.web.browser.log.exception", lambda event, **_: logged.append(event))
    async with web_house() as house, house.socket() as one, house.socket() as two:
        house.desk.plane = BrokenPlane()
        await join(one)
        await join(two)
        await say(one, type="offer", sdp=OFFER)
        _, said = await until_closed(one)
        assert said[-1]["reason"] == "internal"
        assert logged == ["browser_session_broke"]
        await say(two, type="ping")
        await hear(two, "pong")


OFFER = "\r\n".join(
    (
        "v=0",
        "o=- 1 2 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "m=audio 9 UDP/TLS/RTP/SAVPF 111",
        "c=IN IP4 0.0.0.0",
        "a=rtcp-mux",
        "a=ice-ufrag:abcd",
        "a=ice-pwd:abcdefghijklmnopqrstuvwx",
        "a=fingerprint:sha-256 " + ":".join(["AB"] * 32),
        "a=setup:actpass",
        "a=mid:0",
        "a=sendrecv",
        "a=rtpmap:111 opus/48000/2",
        "",
    )
)
