"""The menu between a visitor and the house: what it hears and sees, how it comes in, and what is never told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest
from structlog.testing import capture_logs
from test_desk import House, RecordingLine, facts

from gateway.calls import CallProtocol
from gateway.ivr import menu as menu_module
from gateway.ivr.guide import MenuGuide, menu
from gateway.ivr.menu import DOT, MAX_TRIES
from gateway.reasons import Reason, Refused
from gateway.rooms.call import RoomCall
from gateway.rooms.dial_plan import DialPlan, Match, Rule, ToMenu
from gateway.rooms.model import CallFailed, Joined, KeyPressed, RoomSettings
from gateway.rooms.pins import ADDRESS_TRIES
from transcode.events import Dtmf, Played
from transcode.media import RoomId, Sound


@pytest.fixture(autouse=True)
def short_parting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(menu_module, "PARTING", 0.01)


class Menus(House):
    """A house with a menu, whose plane has heard each prompt to its end when the test says so."""

    def __init__(self, **settings: object) -> None:
        super().__init__(**settings)
        self.desk.entrance.leader = menu(self.desk.entrance, self.desk.voice)

    async def calls(self, called: str = "", **more: object) -> tuple[RoomCall, RecordingLine]:
        line = RecordingLine()
        call = await self.desk.arrive(replace(facts(called), **more), line)  # type: ignore[arg-type]
        await call.connected()
        await self.idle()
        return call, line

    async def idle(self) -> None:
        for _ in range(50):
            await asyncio.sleep(0)

    async def press(self, call: RoomCall, keys: str) -> None:
        for key in keys:
            await call.dtmf(key, 100)
            await self.idle()

    async def hears_all(self, call: RoomCall) -> None:
        await self.desk._media_event(Played(call.leg, self.plane.sounds[-1][2]))
        await self.idle()

    async def hears_goodbye(self, call: RoomCall) -> None:
        assert self.heard[-1].endswith("/goodbye")
        heard = asyncio.get_running_loop().time()
        await self.hears_all(call)
        await until(lambda: call.over)
        assert asyncio.get_running_loop().time() - heard > 0.9 * menu_module.PARTING  # the caller's end plays it yet

    @property
    def heard(self) -> list[str]:
        """The names of the sounds that were played last."""
        return [sound.name for sound in self.plane.sounds[-1][1]]

    @property
    def seen(self) -> tuple[str, str | None]:
        plan = self.plane.plans[-1]
        return plan.slate, plan.entry


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.01)


async def test_a_caller_types_room_and_pin_and_is_in() -> None:
    house = Menus(guest_pin="4711")
    call, line = await house.calls()
    assert house.heard == ["en/welcome"]
    assert house.plane.plans[-1].title == "Welcome."
    await house.hears_all(call)
    assert house.heard == ["en/enter-room"]
    assert house.plane.plans[-1].title == "Room number"
    assert house.seen == ("Please enter the room number, then press #.", "")
    await house.press(call, "10")
    assert house.heard == []
    assert house.seen == ("Please enter the room number, then press #.\n* clears what you typed", "10")
    await house.press(call, "0#")
    assert house.heard == ["en/enter-pin"]
    await house.press(call, "471")
    assert house.seen == ("Please enter the PIN, then press #.\n* clears what you typed", DOT * 3)
    await house.press(call, "1#")
    assert call.inside
    assert house.heard == []
    (one,) = house.desk.room("100").participants
    assert one.call == call.id
    assert line.asked == []
    await house.press(call, "5")
    assert [event.digit for event in house.events if isinstance(event, KeyPressed)] == ["5"]
    await call.ended(Reason.NORMAL)
    assert not house.desk.calls


async def test_a_room_without_pin_is_entered_at_once() -> None:
    house = Menus()
    call, _ = await house.calls(protocol=CallProtocol.H323)
    for key in "100#":  # in one go, and by media
        await house.desk._media_event(Dtmf(call.leg, key, 100))
    await house.idle()
    assert call.inside
    assert isinstance(house.events[-1], Joined)


async def test_a_pause_ends_a_number_that_a_room_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(menu_module, "KNOWN_PAUSE", 0.01)
    house = Menus()
    call, _ = await house.calls()
    await house.press(call, "100")
    await until(lambda: call.inside)


async def test_a_leg_that_never_hears_its_prompt_is_asked_and_told_goodbye_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("PROMPT", "SILENCE"):
        monkeypatch.setattr(menu_module, name, 0.01)
    house = Menus()
    call, line = await house.calls()
    await until(lambda: call.over)
    assert line.asked == [Reason.NO_INPUT]
    played = [tuple(sound.name for sound in sounds) for _, sounds, _ in house.plane.sounds]
    assert played == [("en/welcome",), *[("en/enter-room",)] * MAX_TRIES, ("en/goodbye",)]
    assert house.desk.outcomes == {(CallProtocol.SIP, Reason.NO_INPUT): 1}


async def test_three_wrong_pins_end_the_call_and_none_of_them_is_told() -> None:
    house = Menus(guest_pin="4711")
    with capture_logs() as logs:
        call, line = await house.calls()
        await house.press(call, "100#")
        for pin in ("90817", "90818", "90819"):
            assert not call.over
            await house.press(call, f"{pin}#")
        assert house.heard == ["en/wrong-pin", "en/too-many-tries", "en/goodbye"]
        assert house.seen[1] is None
        await house.hears_goodbye(call)
    assert line.asked == [Reason.TOO_MANY_TRIES]
    assert house.events[-1] == CallFailed(RoomId("100"), call.id, call.facts, Reason.TOO_MANY_TRIES, 1000.0)
    assert not [event for event in house.events if isinstance(event, KeyPressed)]
    for told in (logs, house.events, house.plane.plans, house.desk.outcomes):
        assert "9081" not in repr(told)
    assert house.desk.pins.counts["wrong_pin"] == MAX_TRIES
    assert not house.desk.calls


async def test_a_wrong_pin_that_was_dialled_is_asked_for_again() -> None:
    house = Menus(guest_pin="4711")
    call, _ = await house.calls("100", pin="1")
    assert house.heard == ["en/wrong-pin", "en/enter-pin"]
    await house.press(call, "4711#")
    assert call.inside


async def test_who_guesses_over_several_calls_is_locked_out_and_then_not_even_answered() -> None:
    house = Menus(guest_pin="4711")
    for _ in range(ADDRESS_TRIES // MAX_TRIES):
        call, _ = await house.calls("100")
        await house.press(call, "1#" * MAX_TRIES)
        await house.hears_goodbye(call)
    with pytest.raises(Refused) as refused:
        await house.calls("100")
    assert refused.value.reason is Reason.LOCKED_OUT
    call, line = await house.calls()
    await house.press(call, "100#4711#")
    assert house.heard == ["en/too-many-tries", "en/goodbye"]
    await house.hears_goodbye(call)
    assert line.asked == [Reason.LOCKED_OUT]
    other, _ = await house.calls(source="192.0.2.9:5060")
    await house.press(other, "100#4711#")
    assert other.inside


async def test_unknown_rooms_are_counted_by_source() -> None:
    house = Menus()
    call, _ = await house.calls()
    await house.press(call, "999#")
    assert house.heard == ["en/wrong-room", "en/enter-room"]
    assert house.desk.pins.counts["wrong_room"] == 1
    await house.press(call, "100#")
    assert call.inside


async def test_letters_of_a_room_may_be_typed_on_the_keys_that_they_stand_on() -> None:
    house = Menus()
    house.desk.open_room(RoomSettings(RoomId("Team-7"), aliases=("board",)))
    for digits, room in (("83267", "Team-7"), ("26273", "Team-7"), ("8326", None)):
        call, _ = await house.calls()
        await house.press(call, digits + "#")
        assert call.inside is (room is not None)
        assert room is None or call.room_id == room


async def test_letters_that_two_rooms_are_spelled_with_lead_to_neither() -> None:
    house = Menus()
    for id in ("abc", "cba"):
        house.desk.open_room(RoomSettings(RoomId(id)))
    call, _ = await house.calls()
    await house.press(call, "222#")
    assert house.heard == ["en/wrong-room", "en/enter-room"]


async def test_a_full_room_is_told_of() -> None:
    house = Menus(max_participants=1)
    await house.desk.arrive(facts("100"), RecordingLine())
    call, line = await house.calls()
    await house.press(call, "100#")
    assert house.heard == ["en/room-full", "en/goodbye"]
    await house.hears_goodbye(call)
    assert line.asked == [Reason.ROOM_FULL]


async def test_the_language_is_the_rule_s_else_the_room_s_else_the_house_s() -> None:
    house = Menus(guest_pin="4711", language="fr")
    call, _ = await house.calls()
    assert house.heard == ["en/welcome"]
    await house.press(call, "100#")
    assert house.heard == ["fr/enter-pin"]
    await house.calls("100")
    assert house.heard == ["fr/welcome"]
    house.desk.switchboard.plan = DialPlan([Rule(Match(), ToMenu, language="de")])
    call, _ = await house.calls("4930")
    assert house.heard == ["de/welcome"]
    await house.press(call, "100#")
    assert house.heard == ["de/enter-pin"]
    house.desk.switchboard.plan = DialPlan([Rule(Match(), ToMenu, language="xx")])
    await house.calls("4930")
    assert house.heard == ["en/welcome"], "there are no words of that language"


async def test_a_media_plane_that_plays_nothing_does_not_hold_a_caller_up(monkeypatch: pytest.MonkeyPatch) -> None:
    house = Menus()

    async def play(leg: object, sounds: tuple[Sound, ...], number: int = 0) -> None:
        raise Refused(Reason.INTERNAL)

    call, _ = await house.calls()
    with monkeypatch.context() as patch:
        patch.setattr(house.plane, "play", play)
        await house.press(call, "10")
    await house.press(call, "0#")
    assert call.inside


async def test_what_breaks_in_a_menu_ends_that_call_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    house = Menus()

    async def show(self: object, *what: object, **more: object) -> None:
        raise RuntimeError("broken")

    other, _ = await house.calls()
    with monkeypatch.context() as patch, capture_logs() as logs:
        patch.setattr("gateway.rooms.entrance.Visitor.show", show)
        _, line = await house.calls()
    assert line.asked == [Reason.INTERNAL]
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["menu_broke"]
    assert not other.over


async def test_a_call_that_ends_takes_its_menu_with_it() -> None:
    house = Menus()
    call, _ = await house.calls()
    assert call.visitor is not None
    guide = call.visitor.guide
    assert isinstance(guide, MenuGuide)
    await call.ended(Reason.NORMAL)
    await house.idle()
    assert guide._timer is not None
    assert guide._timer.cancelled()
    assert guide._limit is not None
    assert guide._limit.cancelled()
    assert guide._task is not None
    assert guide._task.done()
