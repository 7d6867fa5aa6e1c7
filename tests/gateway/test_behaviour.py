"""What rooms do by themselves, at the desk: meetings end, and comings and goings are heard."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from test_desk import House, RecordingLine, facts

from gateway.ivr.speech import Speaker
from gateway.ivr.texts import PROMPTS
from gateway.ivr.voice import Voice
from gateway.reasons import Reason
from gateway.rooms import greeting
from gateway.rooms.call import RoomCall
from gateway.rooms.model import Greeting, HostLeaves, Rank, RoomEnding, RoomMode
from transcode.events import Talking
from transcode.media import RoomId

ROOM = RoomId("100")


class Clock:
    """A clock that tests turn."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Meeting(House):
    """A house whose rooms are watched by a clock that tests turn."""

    def __init__(self, **settings: object) -> None:
        super().__init__(**settings)
        self.time = Clock()
        self.desk.behaviour.clock = self.desk.behaviour.greetings.clock = self.time

    async def enter(self, name: str = "Ann", pin: str | None = None) -> tuple[RoomCall, RecordingLine]:
        line = RecordingLine()
        call = await self.desk.arrive(replace(facts(), name=name, pin=pin), line)
        await call.connected()
        await settle()
        return call, line

    async def turn(self, seconds: float) -> None:
        """Let so many seconds go by."""
        self.time.now += seconds
        self.desk.behaviour._look()
        await settle()

    @property
    def endings(self) -> list[tuple[Reason, float | None]]:
        return [(event.reason, event.seconds) for event in self.events if isinstance(event, RoomEnding)]

    @property
    def heard(self) -> list[tuple[str, ...]]:
        return [tuple(sound.name for sound in sounds) for _, sounds in self.plane.announced]


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_all_are_hung_up_some_time_after_the_last_host_left() -> None:
    house = Meeting(host_pin="1", host_leaves=HostLeaves.END, host_leaves_after=60)
    host, _ = await house.enter("Ann", "1")
    _, bob = await house.enter("Bob")
    _, eve = await house.enter("Eve")
    await host.ended(Reason.NORMAL)
    await settle()
    assert house.endings == [(Reason.HOST_LEFT, 60.0)]
    assert house.heard == [("en/host-left", "en/meeting-ends-soon")]
    await house.turn(59.0)
    assert bob.asked == []
    await house.turn(1.0)
    assert bob.asked == eve.asked == [Reason.HOST_LEFT]
    assert house.endings[-1] == (Reason.HOST_LEFT, 0.0)
    assert not house.desk.room("100").participants
    assert not house.desk.behaviour._watches[ROOM].next


async def test_the_meeting_goes_on_when_a_host_comes_back_or_somebody_becomes_one() -> None:
    house = Meeting(host_pin="1", host_leaves=HostLeaves.END, host_leaves_after=60)
    host, _ = await house.enter("Ann", "1")
    bob, line = await house.enter("Bob")
    await host.ended(Reason.NORMAL)
    await house.turn(30.0)
    await house.desk.hosts.promote(bob, "1")
    await settle()
    assert house.endings == [(Reason.HOST_LEFT, 60.0), (Reason.HOST_LEFT, None)]
    await house.turn(1000.0)
    assert line.asked == []
    assert bob.rank is Rank.HOST


async def test_the_meeting_goes_on_without_a_host_where_that_is_set() -> None:
    house = Meeting(host_pin="1")
    host, _ = await house.enter("Ann", "1")
    _, line = await house.enter("Bob")
    await host.ended(Reason.NORMAL)
    await house.turn(10_000.0)
    assert line.asked == []
    assert house.endings == []


async def test_who_is_alone_for_too_long_is_told_and_hung_up() -> None:
    house = Meeting(lone_timeout=600)
    _, line = await house.enter()
    await house.turn(570.0)
    assert house.heard == [("en/alone",)]
    await house.turn(30.0)
    assert line.asked == [Reason.ALONE]


async def test_talking_keeps_a_room_alive_and_silence_ends_it() -> None:
    house = Meeting(idle_timeout=900)
    call, line = await house.enter()
    await house.desk._media_event(Talking(ROOM, call.leg, True))
    await house.turn(5_000.0)
    assert line.asked == []
    await house.desk._media_event(Talking(ROOM, call.leg, False))
    await house.turn(870.0)
    await call.dtmf("1", 100)
    assert house.endings == [(Reason.IDLE, 30.0), (Reason.IDLE, None)]
    await house.turn(870.0)
    await house.turn(30.0)
    assert line.asked == [Reason.IDLE]


async def test_a_timer_of_the_house_looks_by_itself() -> None:
    house = Meeting(lone_timeout=1)
    await house.enter()
    timer = house.desk.behaviour._timer
    assert timer is not None
    assert 0.0 < timer.when() - asyncio.get_running_loop().time() <= 0.5
    house.time.now = 2.0
    async with asyncio.timeout(30):
        while house.desk.calls:
            await asyncio.sleep(0.05)


async def test_who_comes_and_goes_is_heard() -> None:
    house = Meeting(entry=Greeting.TONES)
    await house.enter("Ann")
    assert house.heard == []  # nobody was there to hear it
    house.time.now += 10
    call, _ = await house.enter("Bob")
    house.time.now += 10
    await call.ended(Reason.NORMAL)
    await settle()
    assert house.heard == [("tones/enter",), ("tones/leave",)]


async def test_many_who_come_at_once_are_heard_once() -> None:
    house = Meeting(entry=Greeting.TONES)
    for _ in range(5):
        await house.enter()
    assert house.heard == [("tones/enter",)]
    house.time.now += greeting.BURST
    await house.enter()
    assert len(house.heard) == 2


async def test_a_room_of_many_is_told_of_nobody() -> None:
    house = Meeting(entry=Greeting.TONES, max_participants=100)
    for _ in range(greeting.MAX_GREETED + 5):
        house.time.now += 10
        await house.enter()
    assert len(house.heard) == greeting.MAX_GREETED - 1


async def test_names_are_spoken_where_they_can_be() -> None:
    class Speaks(Speaker):
        def __init__(self) -> None: ...

        async def speak(self, language: str, text: str) -> str | None:
            return f"spoken/{language}-{text}" if text != "?" else None

    house = Meeting(entry=Greeting.NAMES, language="de")
    house.desk.voice = Voice(language="en", speaker=Speaks())
    await house.enter("Ann")
    house.time.now += 10
    await house.enter("Bob")
    house.time.now += 10
    await house.enter("?")
    assert house.heard == [("spoken/de-Bob", "de/joined"), ("de/somebody", "de/joined")]


async def test_in_an_echo_room_nobody_is_told_of_others() -> None:
    house = Meeting(entry=Greeting.TONES, mode=RoomMode.ECHO)
    await house.enter()
    house.time.now += 10
    await house.enter()
    assert house.heard == []


async def test_a_room_that_nothing_is_set_of_is_not_watched() -> None:
    house = Meeting()
    await house.enter()
    assert not house.desk.behaviour._watches
    await house.desk.set_room(replace(house.desk.room("100").settings, lone_timeout=600))
    await house.turn(570.0)
    assert house.heard == [("en/alone",)]
    await house.desk.set_room(replace(house.desk.room("100").settings, lone_timeout=0))
    assert not house.desk.behaviour._watches
    assert house.endings[-1] == (Reason.ALONE, None)
    await house.desk.close_room(ROOM)
    assert house.desk.behaviour._timer is None


def test_sounds_that_are_played_are_there() -> None:
    for name in ("tones/enter", "tones/leave", "tones/knock", "music/waiting", "en/joined", "en/left", "en/somebody"):
        assert (PROMPTS / f"{name}.ogg").is_file()
