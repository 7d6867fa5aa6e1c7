"""A room's chat: what is kept of it, who reads it, and what bounds it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_commands import ANSWERS
from test_desk import House, RecordingLine, facts
from test_web_events import events, listening
from test_web_socket import connected, join
from web_house import READ, ROOMS, hear, say, web_house

from gateway.calls import CallProtocol
from gateway.reasons import Reason, Refused
from gateway.rooms.call import MAX_UNHEARD
from gateway.rooms.chat import BURST, MAX_HISTORY, MAX_LENGTH, MAX_SPEAKERS, Chat, clean_text
from gateway.rooms.model import ParticipantId, RoomMode, Said
from transcode.events import Text
from transcode.media import RoomId

ANN = ParticipantId("ann")


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(3):
        while not condition():
            await asyncio.sleep(0.005)


# what is kept


def test_messages_are_numbered_and_kept_in_order() -> None:
    chat = Chat(RoomId("100"))
    first, second = chat.say(ANN, "Ann", " Hello\r\n", 10.0), chat.say(None, "Door bell", "ring", 11.0, "api")
    assert (first.number, first.participant, first.name, first.text, first.at) == (1, ANN, "Ann", "Hello", 10.0)
    assert chat.recent == (first, second)
    chat.forget()
    assert chat.recent == ()
    assert chat.say(ANN, "Ann", "again", 12.0).number == 3


def test_the_history_is_bounded() -> None:
    chat = Chat(RoomId("100"))
    for number in range(MAX_HISTORY + 5):
        chat.say(ANN, "Ann", str(number), 10.0 * number)
    assert [said.text for said in chat.recent] == [str(number) for number in range(5, MAX_HISTORY + 5)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", Reason.BAD_REQUEST),
        (" \r\n\x00\x1b\u202e", Reason.BAD_REQUEST),
        ("x" * (MAX_LENGTH + 1), Reason.MESSAGE_TOO_LARGE),
    ],
)
def test_what_nobody_can_read_is_refused(text: str, reason: Reason) -> None:
    with pytest.raises(Refused) as refused:
        Chat(RoomId("100")).say(ANN, "Ann", text, 1.0)
    assert refused.value.reason is reason


def test_who_writes_too_much_waits_and_holds_up_nobody_else() -> None:
    chat = Chat(RoomId("100"))
    for _ in range(int(BURST)):
        chat.say(ANN, "Ann", "x", 50.0)
    with pytest.raises(Refused) as refused:
        chat.say(ANN, "Ann", "x", 50.0)
    assert refused.value.reason is Reason.OVERLOAD
    chat.say(ParticipantId("bob"), "Bob", "x", 50.0)
    chat.say(ANN, "Ann", "x", 51.1)


def test_rates_of_no_more_than_so_many_are_kept() -> None:
    chat = Chat(RoomId("100"))
    for number in range(MAX_SPEAKERS + 10):
        chat.say(None, "x", "x", 1.0, f"one {number}")
    assert len(chat._credit) == MAX_SPEAKERS


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\r\nb\rc\u2028d\x85e", "a\nb\nc\nd\ne"),
        ("a\n\n\n\n\nb", "a\n\nb"),
        ("\x1b[31mred\x1b[0m", "[31mred[0m"),
        ("\u202eevil\u2066", "evil"),
        ("می\u200cخواهم 👩\u200d💻", "می\u200cخواهم 👩\u200d💻"),
        ("a\tb", "a    b"),
        ("\ufeffHi\x00", "Hi"),
        ("<b>&", "<b>&"),
    ],
)
def test_messages_are_cleaned(text: str, shown: str) -> None:
    assert clean_text(text) == shown


@given(st.text())
def test_cleaning_again_changes_nothing(text: str) -> None:
    once = clean_text(text)
    assert clean_text(once) == once


# who reads it


async def test_a_message_reaches_everybody_but_its_writer() -> None:
    house = House()
    lines = [RecordingLine() for _ in range(3)]
    ann, bob, cyd = [await house.desk.arrive(facts(), line) for line in lines]
    for call in (ann, bob, cyd):
        await call.connected()
    house.plane.deaf.add(cyd.leg)
    await ann.wrote("Hello")
    await until(lambda: lines[2].asked)
    assert house.plane.texts == [(bob.leg, "Ann: Hello")]
    assert (lines[0].asked, lines[1].asked, lines[2].asked) == ([], [], [("Ann", "Hello")])
    assert isinstance(house.events[-1], Said)
    assert house.events[-1].participant == ann.participant_id


async def test_in_an_echo_room_each_reads_its_own_words_alone() -> None:
    house = House(mode=RoomMode.ECHO)
    ann, bob = [await house.desk.arrive(facts(), RecordingLine()) for _ in range(2)]
    for call in (ann, bob):
        await call.connected()
    await ann.wrote("Hello")
    await until(lambda: house.plane.texts)
    await asyncio.sleep(0.05)
    assert house.plane.texts == [(ann.leg, "Ann: Hello")]


async def test_browsers_read_events_and_get_no_text_of_their_own() -> None:
    house = House()
    ann, line = await house.desk.arrive(facts(), RecordingLine()), RecordingLine()
    web = await house.desk.arrive(facts(protocol=CallProtocol.WEBRTC), line)
    assert not house.plane.opened[web.leg].text
    for call in (ann, web):
        await call.connected()
    await ann.wrote("Hello")
    await asyncio.sleep(0.05)
    assert (house.plane.texts, line.asked) == ([], [])


async def test_real_time_text_becomes_messages() -> None:
    house = House()
    ann = await house.desk.arrive(facts(), RecordingLine())
    await house.desk._media_event(Text(ann.leg, "too early"))
    await ann.connected()
    await house.desk._media_event(Text(ann.leg, "Hello"))
    assert [said.text for said in house.desk.room("100").chat.recent] == ["Hello"]


async def test_messages_come_in_order_and_a_peer_that_takes_none_gets_no_row_of_them() -> None:
    house = House()
    stuck, free = RecordingLine(), RecordingLine()
    gate = asyncio.Event()

    async def wait(name: str, text: str) -> None:
        await gate.wait()
        stuck.asked.append(text)

    stuck.say = wait  # type: ignore[method-assign]
    for line in (stuck, free):
        call = await house.desk.arrive(facts(), line)
        house.plane.deaf.add(call.leg)
        await call.connected()
    room = house.desk.room("100")
    for number in range(MAX_UNHEARD + 5):
        house.desk.say(room, None, str(number), "Bell", by=str(number))
    await until(lambda: len(free.asked) >= MAX_UNHEARD)
    gate.set()
    await until(lambda: len(stuck.asked) == MAX_UNHEARD)
    assert stuck.asked == [str(number) for number in range(MAX_UNHEARD)]
    await until(lambda: not len(house.desk._errands))


async def test_nothing_is_kept_once_everybody_has_left() -> None:
    house = House()
    ann = await house.desk.arrive(facts(), RecordingLine())
    await ann.connected()
    await ann.wrote("Secret")
    await ann.ended(Reason.NORMAL)
    assert house.desk.room("100").chat.recent == ()
    with pytest.raises(Refused):
        await ann.wrote("from outside")


@pytest.mark.parametrize(("pin", "reason"), [(None, Reason.PIN_NEEDED), ("0", Reason.WRONG_PIN), ("4711", None)])
async def test_who_has_no_call_writes_only_where_a_call_would_come_in(pin: str | None, reason: Reason | None) -> None:
    house = House(guest_pin="4711")
    sender = facts(pin=pin, account="ann")  # type: ignore[arg-type]
    if reason is None:
        await house.desk.message(sender, "Hello")
        assert [said.name for said in house.desk.room("100").chat.recent] == ["Ann"]
    else:
        with pytest.raises(Refused) as refused:
            await house.desk.message(sender, "Hello")
        assert refused.value.reason is reason


async def test_a_message_to_no_room_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        await House().desk.message(facts("999"), "Hello")
    assert refused.value.reason is Reason.NO_SUCH_ROOM


# browsers, programs and people at a terminal


async def test_browsers_write_and_read() -> None:
    async with web_house() as house, house.socket() as one, house.socket() as other:
        ann = (await join(one, "Ann"))["participant"]
        assert await hear(one, "chat") == {"type": "chat", "history": True, "messages": []}
        await connected(house, ann)
        await say(one, type="say", text="<img src=x onerror=alert(1)>")
        (message,) = (await hear(one, "chat"))["messages"]
        assert message == {
            "number": 1,
            "participant": ann,
            "name": "Ann",
            "text": "<img src=x onerror=alert(1)>",
            "at": "1970-01-01T00:16:40.000Z",
        }
        await join(other, "Bob")
        assert (await hear(other, "chat"))["messages"] == [message]


@pytest.mark.parametrize("text", ["", "x" * (MAX_LENGTH + 1), "\u202e"])
async def test_a_browser_is_told_of_a_message_that_is_not_taken(text: str) -> None:
    async with web_house() as house, house.socket() as one:
        await connected(house, (await join(one))["participant"])
        await say(one, type="say", text=text)
        refused = await hear(one, "unsaid")
        assert refused["reason"] in ("bad-request", "message-too-large")
        assert refused["message"]


@pytest.mark.parametrize("more", [{}, {"text": 5}, {"text": None}, {"text": "x" * 5_000}])
async def test_a_message_of_a_wrong_shape_is_an_error(more: dict[str, object]) -> None:
    async with web_house() as house, house.socket() as one:
        await join(one)
        await say(one, type="say", **more)
        assert (await hear(one, "error"))["fatal"] is False
        assert house.desk.room("100").chat.recent == ()


async def test_a_slow_browser_still_reads_what_the_history_holds() -> None:
    async with web_house() as house, house.socket() as one:
        await join(one)
        await hear(one, "chat")
        room = house.desk.room("100")
        for number in range(50):
            house.desk.say(room, None, str(number), "Bell", by=str(number))
        texts: list[str] = []
        while len(texts) < 50:
            texts += [message["text"] for message in (await hear(one, "chat"))["messages"]]
        assert texts == [str(number) for number in range(50)]


async def test_programs_write_and_read_by_the_api() -> None:
    async with web_house() as house, listening(house) as lines, house.client(ROOMS) as client:
        answer = await client.post("/api/v1/rooms/100/messages", json={"text": "The lift\nworks again", "name": "Desk"})
        assert answer.status_code == 201
        message = answer.json()
        assert (message["name"], message["participant"], message["number"]) == ("Desk", None, 1)
        assert (await client.get("/api/v1/rooms/100/messages")).json() == {"messages": [message]}
        ((name, told),) = await events(lines, 1)
        assert datetime.fromisoformat(told.pop("at")) == datetime.fromisoformat(message["at"])
        assert (name, told) == ("said", {"room": "100", **{key: message[key] for key in told if key != "room"}})
        assert (await client.post("/api/v1/rooms/999/messages", json={"text": "x"})).status_code == 404
        for bad in ({}, {"text": ""}, {"text": "x" * 2001}, {"text": "x", "name": ""}, {"text": "x", "more": 1}):
            assert (await client.post("/api/v1/rooms/100/messages", json=bad)).status_code in (400, 422), bad
        for _ in range(int(BURST)):
            last = await client.post("/api/v1/rooms/100/messages", json={"text": "x", "name": "Desk"})
        assert (last.status_code, last.json()["reason"]) == (503, "overload")


async def test_reading_is_for_readers_and_writing_is_not() -> None:
    async with web_house(listening=False) as house, house.client(READ) as client:
        assert (await client.get("/api/v1/rooms/100/messages")).status_code == 200
        assert (await client.post("/api/v1/rooms/100/messages", json={"text": "x"})).status_code == 403


def test_the_answers_of_the_commands_tests_have_the_api_s_shape() -> None:
    (message,) = ANSWERS[("GET", "/api/v1/rooms/100/messages")]["messages"]
    assert set(message) == {"number", "participant", "name", "text", "at"}
