"""Whose camera a terminal moves: the speaker's, and the same one until it stops."""

from __future__ import annotations

from test_desk import House, RecordingLine, facts
from web_house import READ, ROOMS, web_house

from gateway.calls import CallProtocol
from gateway.reasons import Reason
from gateway.rooms.call import RoomCall
from transcode.media import CameraAct, CameraAction, LegId

PATH = "/api/v1/rooms/100/participants/"
LEFT = CameraAction(CameraAct.START, pan=-1)
STOP = CameraAction(CameraAct.STOP, pan=-1)


async def meeting(count: int) -> tuple[House, list[RoomCall]]:
    house = House()
    calls = []
    for _ in range(count):
        call = await house.desk.arrive(facts(protocol=CallProtocol.H323), RecordingLine())
        await call.connected()
        calls.append(call)
    return house, calls


async def ask(house: House, call: RoomCall, action: CameraAction) -> list[tuple[LegId, CameraAction]]:
    house.plane.camera_moves.clear()
    await house.desk.cameras.asked(call, action)
    return list(house.plane.camera_moves)


async def test_of_two_one_moves_the_other_ones() -> None:
    house, (one, other) = await meeting(2)
    assert await ask(house, one, LEFT) == [(other.leg, LEFT)]
    assert await ask(house, one, STOP) == [(other.leg, STOP)]
    assert await ask(house, one, STOP) == [], "nothing moves any more"


async def test_of_many_the_speaker_is_moved_and_stopped_whoever_speaks_by_then() -> None:
    house, (one, second, third) = await meeting(3)
    assert await ask(house, one, LEFT) == [], "nobody speaks"
    one.room.speaks(second.leg)
    assert await ask(house, one, LEFT) == [(second.leg, LEFT)]
    one.room.speaks(third.leg)
    assert await ask(house, one, STOP) == [(second.leg, STOP)]
    recall = CameraAction(CameraAct.RECALL, number=2)
    assert await ask(house, one, recall) == [(third.leg, recall)]


async def test_nobody_moves_its_own_camera_and_a_switched_source_moves_none() -> None:
    house, (one, _, _) = await meeting(3)
    one.room.speaks(one.leg)
    assert await ask(house, one, LEFT) == []
    house, (one, _) = await meeting(2)
    assert await ask(house, one, CameraAction(CameraAct.SWITCHED, number=1)) == []


async def test_one_who_has_left_moves_nothing() -> None:
    house, (one, _) = await meeting(2)
    await ask(house, one, LEFT)
    await one.ended(Reason.NORMAL)
    assert await ask(house, one, STOP) == []
    assert not house.desk.cameras._moving


async def test_the_api_moves_a_camera_and_says_where_there_is_none() -> None:
    async with web_house(listening=False) as house, house.client(ROOMS) as client:
        call = await house.desk.arrive(facts(protocol=CallProtocol.H323), RecordingLine())
        await call.connected()
        path = f"{PATH}{call.participant_id}/camera"
        assert (await client.post(path, json={"act": "start", "pan": -1})).status_code == 204
        assert (await client.post(path, json={"act": "recall", "number": 7})).status_code == 204
        assert house.plane.camera_moves == [
            (call.leg, LEFT),
            (call.leg, CameraAction(CameraAct.RECALL, number=7)),
        ]
        for wrong in ({"act": "continue"}, {"act": "start", "pan": 2}, {"act": "store", "number": 16}, {}):
            assert (await client.post(path, json=wrong)).status_code == 400
        house.plane.deaf.add(call.leg)
        refused = await client.post(path, json={"act": "stop"})
        assert (refused.status_code, refused.json()["reason"]) == (501, "unsupported")
        assert (await client.post(f"{PATH}nobody/camera", json={"act": "stop"})).status_code == 404
    async with web_house(listening=False) as house, house.client(READ) as client:
        assert (await client.post(f"{PATH}1/camera", json={"act": "stop"})).status_code == 403
