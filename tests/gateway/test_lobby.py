"""The lobby: who waits, for what, who lets it in, and that nobody waits for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest
from test_desk import House, RecordingLine, facts

from gateway.calls import CallProtocol, Direction
from gateway.reasons import Reason, Refused
from gateway.rooms import lobby as lobby_module
from gateway.rooms import waiting_guide
from gateway.rooms.call import RoomCall
from gateway.rooms.model import Admitted, CallFailed, Joined, NotAdmitted, Rank, RoomMode, Stage, StandsOutside
from transcode.events import Played
from transcode.media import RoomId, Sound

ROOM = RoomId("100")
MUSIC = (Sound("music/waiting"),)


class Club(House):
    """A house with a room before which people wait."""

    async def come(
        self, name: str = "Bob", pin: str | None = None, connect: bool = True, **more: object
    ) -> tuple[RoomCall, RecordingLine]:
        line = RecordingLine()
        call = await self.desk.arrive(replace(facts(), name=name, pin=pin, **more), line)  # type: ignore[arg-type]
        if connect:
            await call.connected()
        await settle()
        return call, line

    async def lock(self, locked: bool = True) -> None:
        await self.desk.lock(ROOM, locked)
        await settle()

    @property
    def names(self) -> list[str]:
        return [place.name for place in self.desk.lobby.waiting(self.desk.room("100"))]

    @property
    def inside(self) -> list[str]:
        return [one.name for one in self.desk.room("100").participants]

    def told(self, kind: type) -> list[object]:
        return [event for event in self.events if isinstance(event, kind)]

    def heard(self, call: RoomCall) -> list[str]:
        return [sound.name for leg, sounds, _ in self.plane.sounds if leg == call.leg for sound in sounds]

    def nothing_left(self) -> None:
        assert not self.desk.lobby._places
        assert not self.desk.entrance.visitors
        assert not self.desk._private
        assert self.desk._directing.rooms == set(self.desk.rooms)


async def settle() -> None:
    for _ in range(30):
        await asyncio.sleep(0)


async def until(so: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not so():
            await asyncio.sleep(0.01)


@pytest.fixture
async def club() -> Club:
    return Club(lobby=True, host_pin="1")


async def test_a_guest_hears_music_and_reads_what_it_waits_for_and_is_in_no_room(club: Club) -> None:
    bob, line = await club.come()
    assert (club.names, club.inside) == (["Bob"], [])
    assert not bob.inside
    (outside,) = club.told(StandsOutside)
    assert isinstance(outside, StandsOutside)
    assert (outside.room, outside.stage, outside.call) == ("100", Stage.LOBBY, bob.id)
    plan = club.plane.plans[-1]
    assert [leg.leg for leg in plan.legs] == [bob.leg]
    assert plan.background == MUSIC
    assert plan.title == "Everyone"
    assert "host" in plan.slate
    assert club.heard(bob) == ["en/waiting-for-host"]
    assert line.asked == []


async def test_a_host_who_comes_lets_all_guests_in_by_itself(club: Club) -> None:
    bob, _ = await club.come("Bob")
    await club.come("Eve")
    ann, _ = await club.come("Ann", "1")
    assert club.inside == ["Ann", "Bob", "Eve"]
    assert [event.by for event in club.told(Admitted) if isinstance(event, Admitted)] == ["", ""]
    assert bob.inside
    assert club.plane.moved[0] == (bob.leg, "100")
    assert club.heard(bob)[-1] == "en/admitted"
    assert {leg.leg for leg in club.plane.plans[-1].legs} >= {ann.leg, bob.leg}
    late, _ = await club.come("Late")
    assert late.inside  # a host is there
    club.nothing_left()


async def test_a_host_is_not_kept_waiting(club: Club) -> None:
    ann, _ = await club.come("Ann", "1")
    assert ann.inside
    assert not club.names


async def test_who_hangs_up_waits_no_more(club: Club) -> None:
    bob, _ = await club.come()
    await bob.ended(Reason.NORMAL)
    assert not club.names
    assert isinstance(club.events[-1], CallFailed)
    assert club.events[-1].reason is Reason.NORMAL
    club.nothing_left()


async def test_a_guest_is_let_in_before_a_host_comes(club: Club) -> None:
    bob, _ = await club.come()
    room = club.desk.room("100")
    await club.desk.lobby.admit(room, bob.participant_id, "the API")
    assert club.inside == ["Bob"]
    (admitted,) = club.told(Admitted)
    assert admitted == Admitted(ROOM, bob.id, bob.participant_id, bob.facts, "the API")
    eve, _ = await club.come("Eve")
    assert not eve.inside
    with pytest.raises(Refused) as refused:
        await club.desk.lobby.admit(room, "nobody", "")
    assert refused.value.reason is Reason.NO_SUCH_USER


async def test_a_refused_guest_is_told_and_hung_up(club: Club) -> None:
    bob, line = await club.come()
    club.desk.lobby.refuse(club.desk.room("100"), bob.participant_id, "Ann")
    await settle()
    (told,) = club.told(NotAdmitted)
    assert told == NotAdmitted(ROOM, bob.id, bob.participant_id, bob.facts, Reason.NOT_ADMITTED, "Ann")
    assert not club.names
    assert line.asked == []  # it hears first why
    assert club.heard(bob)[-2:] == ["en/not-admitted", "en/goodbye"]
    assert club.plane.plans[-1].background == ()
    number = club.plane.sounds[-1][2]
    await club.desk._media_event(Played(bob.leg, number - 1))  # the prompt before
    await settle()
    assert line.asked == []
    await club.desk._media_event(Played(bob.leg, number))
    await settle()
    assert line.asked == [Reason.NOT_ADMITTED]
    assert bob.over
    club.nothing_left()


async def test_a_refused_guest_is_hung_up_where_nothing_tells_that_it_heard(
    club: Club, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting_guide, "GOODBYE_TIME", 0.01)
    bob, line = await club.come()
    club.desk.lobby.refuse_first(club.desk.room("100"), "")
    await until(lambda: bob.over)
    assert line.asked == [Reason.NOT_ADMITTED]


async def test_one_that_was_not_answered_yet_is_refused_at_once(club: Club) -> None:
    bob, line = await club.come(connect=False)
    club.desk.lobby.refuse_first(club.desk.room("100"), "")
    await settle()
    assert line.asked == [Reason.NOT_ADMITTED]
    assert not club.heard(bob)
    club.nothing_left()


async def test_one_that_is_let_in_before_it_is_answered_joins_when_it_is(club: Club) -> None:
    bob, _ = await club.come(connect=False)
    await club.come("Ann", "1")
    assert club.inside == ["Ann"]
    await bob.connected()
    assert club.inside == ["Ann", "Bob"]


@pytest.mark.parametrize(("stage", "reason"), [(Stage.LOBBY, Reason.NO_HOST), (Stage.KNOCKING, Reason.NOT_ADMITTED)])
async def test_nobody_waits_for_ever(stage: Stage, reason: Reason, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(lobby_module.WAIT_TIMES, stage, 0.01)
    monkeypatch.setattr(waiting_guide, "GOODBYE_TIME", 0.01)
    club = Club(lobby=True, host_pin="1", locked=stage is Stage.KNOCKING)
    bob, line = await club.come()
    await until(lambda: bob.over)
    assert line.asked == [reason]
    club.nothing_left()


async def test_only_so_many_may_wait(club: Club, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lobby_module, "MAX_WAITING", 2)
    await club.come()
    await club.come()
    with pytest.raises(Refused) as refused:
        await club.come()
    assert refused.value.reason is Reason.ROOM_FULL
    assert len(club.desk.calls) == 2


async def test_guests_are_let_in_until_the_room_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    club = Club(lobby=True, host_pin="1", max_participants=2)
    await club.come("Bob")
    eve, _ = await club.come("Eve")
    await club.come("Ann", "1")
    assert club.inside == ["Ann", "Bob"]
    (told,) = club.told(NotAdmitted)
    assert isinstance(told, NotAdmitted)
    assert (told.call, told.reason) == (eve.id, Reason.ROOM_FULL)
    assert club.heard(eve)[-2:] == ["en/room-full", "en/goodbye"]


async def test_a_locked_room_is_knocked_at_and_its_hosts_hear_and_read_that() -> None:
    club = Club(host_pin="1")
    ann, _ = await club.come("Ann", "1")
    guest, _ = await club.come("Guest")
    page, _ = await club.come("Page", "1", protocol=CallProtocol.WEBRTC)
    await club.lock()
    bob, _ = await club.come("Bob")
    assert club.heard(bob) == ["en/knocking"]
    assert club.heard(ann) == ["tones/knock"]
    assert club.heard(page) == ["tones/knock"]
    assert club.heard(guest) == []
    notices = {leg.leg: leg.notice for leg in club.desk.room("100").plan().legs}
    assert notices == {ann.leg: "At the door: Bob", guest.leg: "", page.leg: ""}
    shown = [plan for plan in club.plane.plans if any(leg.leg == ann.leg for leg in plan.legs)]
    assert any(leg.notice for leg in shown[-1].legs)
    await club.desk.lobby.admit_first(club.desk.room("100"), "Ann")
    assert "Bob" in club.inside
    assert not any(leg.notice for leg in club.desk.room("100").plan().legs)


async def test_in_a_room_without_hosts_everybody_hears_the_knock_and_may_answer() -> None:
    club = Club()
    ann, _ = await club.come("Ann")
    await club.lock()
    bob, _ = await club.come("Bob")
    eve, _ = await club.come("Eve")
    assert club.heard(ann) == ["tones/knock"]  # once for both
    await ann.decide(bob.participant_id, True)
    await ann.decide(eve.participant_id, False)
    await settle()
    assert club.inside == ["Ann", "Bob"]
    assert [event.by for event in club.events if isinstance(event, Admitted | NotAdmitted)] == ["Ann", "Ann"]


async def test_a_guest_decides_on_nobody_where_there_are_hosts() -> None:
    club = Club(host_pin="1")
    ann, _ = await club.come("Ann")
    await club.lock()
    bob, _ = await club.come("Bob")
    for call in (ann, bob):
        with pytest.raises(Refused) as refused:
            await call.decide(bob.participant_id, True)
        assert refused.value.reason is Reason.NOT_ALLOWED
    assert club.names == ["Bob"]


async def test_a_host_who_comes_opens_no_locked_door() -> None:
    club = Club(lobby=True, host_pin="1", locked=True)
    bob, _ = await club.come("Bob")
    await club.come("Ann", "1")
    assert club.names == ["Bob"]
    await club.lock(False)
    assert bob.inside


async def test_what_one_waits_for_changes_with_the_room(club: Club) -> None:
    bob, _ = await club.come()
    await club.lock()
    assert club.heard(bob) == ["en/waiting-for-host", "en/knocking"]
    assert "knocked" in club.plane.plans[-1].slate
    await club.lock(False)
    assert club.heard(bob)[-1] == "en/waiting-for-host"
    stages = [event.stage for event in club.events if isinstance(event, StandsOutside)]
    assert stages == [Stage.LOBBY, Stage.KNOCKING, Stage.LOBBY]
    await club.desk.set_room(replace(club.desk.room("100").settings, lobby=False))
    await settle()
    assert bob.inside


async def test_the_host_pin_typed_while_waiting_makes_a_host(club: Club) -> None:
    bob, _ = await club.come()
    await club.come("Eve")
    for digit in "9#":
        await bob.dtmf(digit, 100)
    await settle()
    assert club.heard(bob)[-1] == "en/wrong-pin"
    for digit in "9*1#":
        await bob.dtmf(digit, 100)
    await settle()
    assert club.inside == ["Bob", "Eve"]
    assert bob.rank is Rank.HOST


async def test_wrong_host_pins_are_counted(club: Club) -> None:
    bob, _ = await club.come()
    with pytest.raises(Refused):
        await club.desk.hosts.promote(bob, "9")
    assert club.desk.pins.counts["wrong_pin"] == 1
    await club.desk.hosts.promote(bob, "1")
    await settle()
    assert bob.inside


async def test_who_is_inside_becomes_host_by_the_pin_also_in_a_full_room() -> None:
    club = Club(host_pin="1", max_participants=1)
    bob, _ = await club.come()
    await bob.promote("1")
    assert club.desk.room("100").participants[0].rank is Rank.HOST
    hostless = Club()
    eve, _ = await hostless.come("Eve")
    with pytest.raises(Refused) as refused:
        await eve.promote("1")
    assert refused.value.reason is Reason.NOT_ALLOWED


async def test_a_browser_is_told_what_it_waits_for_until_it_may_come_in(club: Club) -> None:
    bob, _ = await club.come(protocol=CallProtocol.WEBRTC, connect=False)
    assert bob.waits
    heard: list[tuple[Stage, str]] = []

    async def follow() -> None:
        async for stage, room in bob.waiting():
            heard.append((stage, room))

    following = asyncio.create_task(follow())
    await settle()
    await club.lock()
    await club.lock(False)
    await club.come("Ann", "1")
    await asyncio.wait_for(following, 30)
    assert heard == [(Stage.LOBBY, "Everyone"), (Stage.KNOCKING, "Everyone"), (Stage.LOBBY, "Everyone")]
    assert bob.room is club.desk.room("100")
    assert not club.heard(bob)
    await bob.connected()
    assert club.inside == ["Ann", "Bob"]


async def following(call: RoomCall) -> AsyncIterator[tuple[Stage, str]]:
    """Follow what a call waits for, and have it refused once that was told."""
    async for told in call.waiting():
        yield told
        call._desk.lobby.refuse_first(call._desk.room("100"), "")


async def test_a_browser_that_is_refused_is_hung_up_at_once(club: Club) -> None:
    bob, line = await club.come(protocol=CallProtocol.WEBRTC, connect=False)
    followed = [told async for told in following(bob)]
    assert followed == [(Stage.LOBBY, "Everyone")]
    assert bob.over  # nobody takes the end of the wait for an invitation
    assert line.asked == [Reason.NOT_ADMITTED]
    assert [told async for told in bob.waiting()] == []
    club.nothing_left()


async def test_whom_the_house_calls_does_not_wait() -> None:
    club = Club(lobby=True, host_pin="1", locked=True)
    called, _ = await club.come("Called", direction=Direction.OUTGOING)
    assert called.inside


async def test_a_visitor_of_the_entrance_waits_too(club: Club) -> None:
    class Silent:
        def __init__(self, visitor: object) -> None: ...

        def begin(self) -> None: ...

        def pressed(self, digit: str) -> None: ...

        def played(self, number: int) -> None: ...

        def end(self) -> None: ...

    club.desk.entrance.leader = Silent
    line = RecordingLine()
    call = await club.desk.arrive(facts(""), line)
    await call.connected()
    await club.desk.entrance.enter(call, "100")
    await settle()
    assert club.names == ["Ann"]
    assert club.heard(call) == ["en/waiting-for-host"]
    await club.come("Host", "1")
    assert call.inside
    club.nothing_left()


async def test_messages_of_those_who_would_have_to_wait_are_refused(club: Club) -> None:
    with pytest.raises(Refused) as refused:
        await club.desk.message(facts(), "hello")
    assert refused.value.reason is Reason.NO_HOST
    await club.lock()
    with pytest.raises(Refused) as refused:
        await club.desk.message(facts(), "hello")
    assert refused.value.reason is Reason.ROOM_LOCKED


async def test_a_room_that_is_closed_ends_the_wait(club: Club) -> None:
    _, line = await club.come()
    await club.desk.close_room(ROOM)
    await settle()
    assert line.asked == [Reason.ROOM_CLOSED]
    club.nothing_left()


async def test_media_that_fail_on_the_way_in_end_the_call(club: Club) -> None:
    bob, line = await club.come()
    club.plane.refuse = Reason.INTERNAL
    with pytest.raises(Refused):
        await club.desk.lobby.admit_first(club.desk.room("100"), "")
    assert line.asked == [Reason.INTERNAL]
    assert bob.over
    assert not club.told(Joined)
    club.nothing_left()


async def test_an_echo_room_has_nobody_who_decides() -> None:
    club = Club(mode=RoomMode.ECHO)
    ann, _ = await club.come("Ann")
    await club.lock()
    bob, _ = await club.come("Bob")
    with pytest.raises(Refused):
        await ann.decide(bob.participant_id, True)
