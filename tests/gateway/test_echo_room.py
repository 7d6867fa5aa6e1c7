"""An echo room's people do not meet: neither browsers nor texts tell one of the other."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from test_desk import House, RecordingLine, facts

from gateway.calls import CallProtocol
from gateway.reasons import Reason
from gateway.rooms.model import RoomMode
from gateway.web.board import Board


async def test_a_browser_reads_of_itself_alone() -> None:
    house = House(mode=RoomMode.ECHO)
    board = Board(house.desk)
    ann = await house.desk.arrive(facts(protocol=CallProtocol.WEBRTC), RecordingLine())
    bob = await house.desk.arrive(facts(protocol=CallProtocol.WEBRTC), RecordingLine())
    await ann.connected()
    read: list[dict[str, Any]] = []

    async def send(text: str) -> None:
        read.append(json.loads(text))

    viewer = board.attach("100", ann.participant_id, send)
    following = asyncio.create_task(board.follow())
    await asyncio.sleep(0)
    await bob.connected()
    await bob.wrote("I am Bob")
    await ann.wrote("I am Ann")
    await bob.ended(Reason.NORMAL)
    late = board.attach("100", ann.participant_id, send)
    async with asyncio.timeout(3):
        while sum(message["type"] == "room" for message in read) < 3:
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.05)
    for each in (viewer, late):
        await board.detach(each)
    following.cancel()
    told = [one["id"] for message in read if message["type"] == "room" for one in message["participants"]]
    assert set(told) == {ann.participant_id}
    assert "Bob" not in json.dumps([message for message in read if message["type"] != "room"])
    assert bob.participant_id not in json.dumps(read)
    assert "I am Ann" in json.dumps(read)
    await ann.ended(Reason.NORMAL)


async def test_a_text_comes_back_to_the_phone_that_wrote_it_and_to_no_other() -> None:
    house = House(mode=RoomMode.ECHO)
    ann, bob = [await house.desk.arrive(facts(), RecordingLine()) for _ in range(2)]
    await ann.connected()
    await bob.connected()
    await bob.wrote("hello")
    async with asyncio.timeout(3):
        while not house.plane.texts:
            await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    assert house.plane.texts == [(bob.leg, "Ann: hello")]
    for call in (ann, bob):
        await call.ended(Reason.NORMAL)
