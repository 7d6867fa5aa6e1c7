"""Commands that participants give by keys: what they do, who may, and what the one who pressed hears and reads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import structlog
from test_desk import House, RecordingLine, facts

from gateway.calls import CallProtocol
from gateway.reasons import Reason
from gateway.rooms.call import RoomCall
from gateway.rooms.commanding import HIDDEN, Commands
from gateway.rooms.key_commands import PRESETS, Action
from gateway.rooms.model import CommandGiven, KeyPressed, Rank, RoomMode, RoomSettings
from transcode.media import Layout, LegPlan, RoomId

HOST_PIN = "4711"


class Meeting(House):
    """A room with a host and guests."""

    async def enter(self, host: bool = False, **more: str) -> RoomCall:
        pin = {"pin": HOST_PIN} if host else {}
        call = await self.desk.arrive(facts(**pin, **more), RecordingLine())
        await call.connected()
        return call

    async def press(self, call: RoomCall, keys: str) -> None:
        for key in keys:
            await call.dtmf(key, 100)

    def given(self) -> list[tuple[str, str]]:
        return [(one.command, one.reason.value) for one in self.events if isinstance(one, CommandGiven)]

    def heard(self, call: RoomCall) -> list[str]:
        """Return the names of what was played to a call, of the last time."""
        played = [sounds for leg, sounds, _ in self.plane.sounds if leg == call.leg]
        return [sound.name for sound in played[-1]] if played else []

    def plan_of(self, call: RoomCall) -> LegPlan:
        (found,) = [leg for leg in self.plane.plans[-1].legs if leg.leg == call.leg]
        return found

    def rank_of(self, call: RoomCall) -> Rank:
        one = call.room.participant(call.participant_id)
        assert one is not None
        return one.rank

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not true():
                await asyncio.sleep(0.002)


@asynccontextmanager
async def meeting(**settings: object) -> AsyncIterator[Meeting]:
    house = Meeting(**{"host_pin": HOST_PIN, **settings})
    yield house
    await house.desk.close()
    assert not house.desk.commands._readers
    assert not house.desk.commands._timers
    assert not house.desk.notices._timers
    assert not house.desk.room("100").notices


async def test_somebody_mutes_itself_and_is_told_by_voice_and_in_its_picture_alone() -> None:
    async with meeting() as house:
        ann, bob = await house.enter(), await house.enter()
        await house.press(ann, "*6")
        assert not house.plan_of(ann).heard
        assert house.heard(ann) == ["en/muted"]
        assert house.plan_of(ann).notice == "You are muted."
        assert house.plan_of(bob).notice == ""
        await house.press(ann, "*6")
        assert house.plan_of(ann).heard
        assert house.heard(ann) == ["en/unmuted"]
        assert house.given() == [("toggle-mute", "normal")] * 2
        assert all(leg == ann.leg for leg, _, _ in house.plane.sounds)


async def test_a_notice_is_taken_away_after_some_seconds() -> None:
    async with meeting() as house:
        ann = await house.enter()
        await house.desk.notices.show(ann, "Look", 0.02)
        assert house.plan_of(ann).notice == "Look"
        await house.until(lambda: house.plan_of(ann).notice == "")


@pytest.mark.parametrize("language", ["de", "fr", "es", "ru", "zh"])
async def test_it_is_told_in_the_room_s_language(language: str) -> None:
    async with meeting(language=language) as house:
        ann = await house.enter()
        await house.press(ann, "*6")
        assert house.heard(ann) == [f"{language}/muted"]
        assert house.plan_of(ann).notice


@pytest.mark.parametrize("keys", ["*5", "*7", "*8", "#3", "*1", "*2"])
async def test_what_touches_others_is_refused_to_a_guest(keys: str) -> None:
    async with meeting() as house:
        ann, bob = await house.enter(), await house.enter()
        before = house.desk.room("100").settings
        await house.press(ann, keys)
        assert house.heard(ann) == ["tones/deny", "en/not-allowed"]
        assert house.plan_of(ann).notice == "You are not allowed to do that."
        assert [reason for _, reason in house.given()] == ["not-allowed"]
        assert house.desk.room("100").settings == before
        assert house.plan_of(bob).heard
        assert ann.inside


async def test_a_host_mutes_all_guests_and_lets_them_speak_again() -> None:
    async with meeting() as house:
        host, ann, bob = await house.enter(host=True), await house.enter(), await house.enter()
        await house.press(host, "*5")
        assert [house.plan_of(call).heard for call in (host, ann, bob)] == [True, False, False]
        assert house.heard(host) == ["en/all-muted"]
        await house.press(ann, "*6")
        assert house.heard(ann) == ["tones/deny", "en/not-allowed"], "only who muted may unmute"
        await house.press(host, "*5")
        assert [house.plan_of(call).heard for call in (host, ann, bob)] == [True, True, True]
        assert house.heard(host) == ["en/all-unmuted"]


async def test_a_host_locks_the_room_and_opens_it() -> None:
    async with meeting() as house:
        host = await house.enter(host=True)
        for locked, prompt in ((True, "room-is-locked"), (False, "room-is-unlocked")):
            await house.press(host, "*7")
            assert house.desk.room("100").settings.locked is locked
            assert house.heard(host) == [f"en/{prompt}"]


async def test_a_host_goes_through_all_layouts() -> None:
    async with meeting() as house:
        host = await house.enter(host=True)
        seen = []
        for _ in Layout:
            await house.press(host, "*8")
            seen.append(house.plane.plans[-1].layout)
        assert sorted(seen, key=lambda one: one.value) == sorted(Layout, key=lambda one: one.value)


async def test_a_host_ends_the_conference_for_all() -> None:
    async with meeting() as house:
        host, ann = await house.enter(host=True), await house.enter()
        await house.press(host, "#3")
        await house.until(lambda: not house.desk.calls)
        assert ann.line.asked == [Reason.ROOM_CLOSED]  # type: ignore[attr-defined]
        assert house.desk.room("100").participants == ()


async def test_slides_are_taken_out_of_one_s_own_picture() -> None:
    async with meeting() as house:
        ann, bob = await house.enter(), await house.enter()
        await house.press(ann, "*4")
        assert (house.plan_of(ann).slides, house.plan_of(bob).slides) == (False, True)
        assert house.heard(ann) == ["en/slides-off"]
        await house.press(ann, "*4")
        assert house.plan_of(ann).slides


async def test_how_many_are_there_is_spoken_digit_by_digit() -> None:
    async with meeting() as house:
        calls = [await house.enter() for _ in range(12)]
        await house.press(calls[0], "*3")
        assert house.heard(calls[0]) == ["en/participants", "en/number-1", "en/number-2"]
        assert house.plan_of(calls[0]).notice == "Number of participants: 12"


@pytest.mark.parametrize("keys", ["4711#", "4711"])
async def test_the_host_pin_makes_a_host_and_stands_nowhere(keys: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with meeting() as house:
        ann = await house.enter()
        with structlog.testing.capture_logs() as logged:
            await house.press(ann, keys)
            if not keys.endswith("#"):  # the pause behind the last digit is over
                _, reader = house.desk.commands._readers[ann]
                monkeypatch.setattr(Commands, "_now", staticmethod(lambda: reader.due))
                house.desk.commands._expire(ann, reader)
                monkeypatch.undo()
            await house.until(lambda: house.rank_of(ann) is Rank.HOST)
            await house.until(lambda: house.heard(ann) == ["en/you-are-host"])
        told = [event.digit for event in house.events if isinstance(event, KeyPressed)]
        assert told == [HIDDEN] * 4 + (["#"] if keys.endswith("#") else [])
        assert HOST_PIN not in f"{logged} {house.events[-3:]}"
        assert house.given() == [("host", "normal")]
        await house.press(ann, "*7")
        assert house.desk.room("100").settings.locked
        await house.press(ann, "1")
        assert [event.digit for event in house.events if isinstance(event, KeyPressed)][-1] == "1"


async def test_a_wrong_pin_is_told_and_too_many_are_looked_at_no_more() -> None:
    async with meeting() as house:
        ann = await house.enter()
        heard = set()
        for number in range(40):
            await house.press(ann, f"{1000 + number}#")
            heard.add(house.heard(ann)[-1])
        assert heard == {"en/wrong-pin", "en/too-many-tries"}
        await house.press(ann, f"{HOST_PIN}#")
        assert house.rank_of(ann) is Rank.GUEST


async def test_a_pin_is_asked_for_where_the_table_has_a_key_for_that() -> None:
    async with meeting(commands=PRESETS["rmx"]) as house:
        ann = await house.enter()
        await house.press(ann, "*78")
        assert house.heard(ann) == ["en/enter-pin"]
        await house.press(ann, "4711#")
        assert house.rank_of(ann) is Rank.HOST
        assert [event.digit for event in house.events if isinstance(event, KeyPressed)] == [*"*78", *[HIDDEN] * 5]


async def test_without_a_host_pin_nobody_becomes_a_host() -> None:
    async with meeting(host_pin=None, commands=PRESETS["rmx"]) as house:
        ann = await house.enter()
        await house.press(ann, "*78")
        assert house.heard(ann) == ["tones/deny", "en/not-allowed"]


async def test_a_guest_pin_makes_no_host() -> None:
    async with meeting(guest_pin="1234") as house:
        ann = await house.enter(pin="1234")
        await house.press(ann, "1234#")
        assert house.rank_of(ann) is Rank.GUEST
        assert house.heard(ann) == ["tones/deny", "en/wrong-pin"]


async def test_a_room_s_table_wins_over_the_house_s_and_a_new_one_holds_at_once() -> None:
    async with meeting() as house:
        ann = await house.enter()
        house.desk.open_room(
            RoomSettings(RoomId("100"), host_pin=HOST_PIN, commands=PRESETS["none"].changed({"1": Action.MUTE}))
        )
        await house.press(ann, "*6")
        assert house.given() == []
        await house.press(ann, "1")
        assert house.given() == [("mute", "normal")]


async def test_a_sequence_that_is_no_command_is_told() -> None:
    async with meeting() as house:
        ann = await house.enter()
        await house.press(ann, "*9")
        assert house.heard(ann) == ["tones/deny", "en/unknown-command"]
        assert house.given() == [("", "unsupported")]


async def knocks(house: Meeting, name: str) -> RoomCall:
    call = await house.desk.arrive(replace(facts(), name=name), RecordingLine())
    await call.connected()
    assert not call.inside
    return call


async def test_a_host_lets_in_and_sends_away_who_knocks() -> None:
    async with meeting() as house:
        host = await house.enter(host=True)
        await house.press(host, "*7")
        ann, bob = await knocks(house, "Ann"), await knocks(house, "Bob")
        await house.press(host, "*1*2")
        await house.until(lambda: bob.over)
        assert (ann.inside, bob.inside) == (True, False)
        assert house.heard(host) == ["tones/confirm"]
        await house.press(host, "*1")
        assert house.given()[1:] == [("admit", "normal"), ("refuse", "normal"), ("admit", "no-such-user")]


async def test_there_are_no_commands_in_an_echo_room() -> None:
    async with meeting(mode=RoomMode.ECHO) as house:
        ann = await house.enter()
        await house.press(ann, "*6")
        assert house.given() == []
        assert house.plan_of(ann).heard


async def test_keys_of_every_protocol_give_commands() -> None:
    async with meeting() as house:
        for protocol in CallProtocol:
            call = await house.desk.arrive(facts(protocol=protocol), RecordingLine())
            await call.connected()
            await house.press(call, "*6")
            assert not house.plan_of(call).heard
