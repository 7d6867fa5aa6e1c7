"""The presentation floor: who presents, who may take over, and what everybody is told."""

from __future__ import annotations

import asyncio
import random

import pytest
from test_desk import House, RecordingLine, facts

from gateway.calls import Floor
from gateway.reasons import Reason, Refused
from gateway.rooms.call import RoomCall
from gateway.rooms.floor import PresentationFloor
from gateway.rooms.model import ParticipantId, PresenterChanged, Rank, RoomMode, RoomSettings
from transcode.events import Sharing
from transcode.media import LegId, RoomId

ANN, BOB = ParticipantId("ann"), ParticipantId("bob")


@pytest.mark.parametrize(
    ("holder_rank", "rank", "implicit", "taken"),
    [
        (Rank.GUEST, Rank.GUEST, False, False),
        (Rank.GUEST, Rank.HOST, False, True),
        (Rank.HOST, Rank.HOST, False, True),
        (Rank.HOST, Rank.GUEST, False, False),
        (Rank.GUEST, Rank.HOST, True, False),
        (Rank.GUEST, Rank.GUEST, True, False),
    ],
)
def test_only_a_host_who_asks_takes_the_floor_over(holder_rank: Rank, rank: Rank, implicit: bool, taken: bool) -> None:
    floor = PresentationFloor()
    floor.request(ANN, holder_rank)
    if taken:
        floor.request(BOB, rank, implicit)
    else:
        with pytest.raises(Refused) as refusal:
            floor.request(BOB, rank, implicit)
        assert refusal.value.reason is Reason.BUSY
    assert floor.holder == (BOB if taken else ANN)


def test_who_asked_keeps_the_floor_when_its_slides_pause_and_who_only_sent_does_not() -> None:
    floor = PresentationFloor()
    floor.request(ANN, Rank.GUEST, implicit=True)
    assert floor.release(ANN, implicit=True)
    floor.request(ANN, Rank.GUEST)
    floor.request(ANN, Rank.GUEST, implicit=True)  # the slides that it asked for begin to come
    assert not floor.release(ANN, implicit=True)
    assert floor.holder == ANN
    floor.release(ANN)
    floor.request(BOB, Rank.GUEST, implicit=True)
    floor.request(BOB, Rank.GUEST)
    assert not floor.release(BOB, implicit=True)
    assert not floor.release(ANN)
    assert floor.release(BOB)
    assert floor.holder is None


def test_in_any_order_there_is_one_holder_who_asked_and_did_not_give_back() -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    people = {ParticipantId(name): rng.choice(list(Rank)) for name in "abcde"}
    floor, expected = PresentationFloor(), None
    for _ in range(2_000):
        who, implicit = rng.choice(list(people)), rng.random() < 0.3
        if rng.random() < 0.5:
            try:
                floor.request(who, people[who], implicit)
                expected = who
            except Refused:
                assert expected not in (None, who)
        elif floor.release(who, implicit):
            assert expected == who
            expected = None
        assert floor.holder == expected


class Meeting:
    """A room with some calls in it."""

    def __init__(self, **settings: object) -> None:
        self.house = House(**settings)

    async def enter(self, name: str, **more: str) -> tuple[RoomCall, RecordingLine]:
        line = RecordingLine()
        call = await self.house.desk.arrive(facts(**more), line)
        await call.connected()
        return call, line

    def presenters(self) -> list[ParticipantId | None]:
        return [event.participant for event in self.house.events if isinstance(event, PresenterChanged)]

    @property
    def shown(self) -> LegId | None:
        return self.house.plane.plans[-1].presenter


async def test_slides_are_in_the_plan_and_every_line_is_told_who_presents() -> None:
    meeting = Meeting()
    ann, ann_line = await meeting.enter("ann")
    bob, bob_line = await meeting.enter("bob")
    await ann.present(True)
    await ann.present(True)
    with pytest.raises(Refused) as refusal:
        await bob.present(True)
    assert refusal.value.reason is Reason.BUSY
    cyd, cyd_line = await meeting.enter("cyd")
    await asyncio.sleep(0)
    assert (ann_line.asked, bob_line.asked, cyd_line.asked) == ([Floor.PEER], [Floor.TAKEN], [Floor.TAKEN])
    assert meeting.shown == ann.leg
    await bob.present(False)  # it does not present
    await ann.present(False)
    await asyncio.sleep(0)
    assert meeting.shown is None
    assert ann_line.asked[-1] is bob_line.asked[-1] is cyd_line.asked[-1] is Floor.FREE
    assert meeting.presenters() == [ann.participant_id, None]
    await cyd.ended(Reason.NORMAL)


async def test_a_host_takes_over_and_a_presenter_who_leaves_frees_the_floor() -> None:
    meeting = Meeting(host_pin="9")
    ann, ann_line = await meeting.enter("ann")
    bob, bob_line = await meeting.enter("bob", pin="9")
    await ann.present(True)
    await bob.present(True)
    await asyncio.sleep(0)
    assert ann_line.asked == [Floor.PEER, Floor.TAKEN]
    assert bob_line.asked == [Floor.TAKEN, Floor.PEER]
    assert meeting.shown == bob.leg
    await bob.ended(Reason.NORMAL)
    await asyncio.sleep(0)
    assert meeting.shown is None
    assert ann_line.asked[-1] is Floor.FREE
    assert meeting.presenters() == [ann.participant_id, bob.participant_id, None]


async def test_who_only_sends_slides_presents_while_they_come() -> None:
    meeting = Meeting()
    ann, _ = await meeting.enter("ann")
    bob, bob_line = await meeting.enter("bob")
    media = meeting.house.desk._media_event
    await media(Sharing(ann.leg, True))
    assert meeting.shown == ann.leg
    await media(Sharing(bob.leg, True))  # somebody does already
    assert meeting.shown == ann.leg
    await media(Sharing(ann.leg, False))
    assert meeting.shown is None
    await bob.present(True)
    await media(Sharing(bob.leg, False))  # a slide that stands still
    assert meeting.shown == bob.leg
    await asyncio.sleep(0)
    assert bob_line.asked == [Floor.TAKEN, Floor.FREE, Floor.PEER]


async def test_a_presenter_who_is_moved_presents_in_neither_room() -> None:
    meeting = Meeting()
    desk = meeting.house.desk
    desk.open_room(RoomSettings(RoomId("200")))
    ann, ann_line = await meeting.enter("ann")
    _, bob_line = await meeting.enter("bob")
    await ann.present(True)
    await desk.move(desk.room("100"), ann.participant_id, desk.room("200"))
    await asyncio.sleep(0)
    assert desk.room("100").floor.holder is None
    assert desk.room("200").floor.holder is None
    assert ann_line.asked == [Floor.PEER, Floor.FREE]
    assert bob_line.asked == [Floor.TAKEN, Floor.FREE]


async def test_nobody_presents_in_an_echo_room() -> None:
    meeting = Meeting(mode=RoomMode.ECHO)
    ann, _ = await meeting.enter("ann")
    with pytest.raises(Refused) as refusal:
        await ann.present(True)
    assert refusal.value.reason is Reason.NOT_ALLOWED


async def test_who_is_not_in_the_room_yet_cannot_present() -> None:
    house = House()
    call = await house.desk.arrive(facts(), RecordingLine())
    with pytest.raises(Refused) as refusal:
        await call.present(True)
    assert refusal.value.reason is Reason.CANCELLED
