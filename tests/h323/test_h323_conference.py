"""What terminals are told of their room: numbers, who comes and goes, whom they see; and what they ask."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.reasons import Reason, Refused
from h323.adapter_conference import GATHER, LATER, Conferences
from h323.conference import MAX_NUMBER, ConferenceView, TerminalNumbers
from h323.h245.events import Pdu
from h323.messages import Kind, decode, encode


def told(pdus: list[Pdu]) -> list[tuple[str, int | None]]:
    """Return indications by name and terminal number, each carried through the codec."""
    found = []
    for pdu in pdus:
        kind, (name, (said, value)) = decode(Kind.H245, encode(Kind.H245, pdu))
        assert (kind, name) == ("indication", "conferenceIndication")
        assert value is None or value["mcuNumber"] == 0
        found.append((said, None if value is None else value["terminalNumber"]))
    return found


class Room:
    def __init__(self) -> None:
        self.numbers = TerminalNumbers()
        self.people: dict[str, str] = {}
        self.view = ConferenceView(self.numbers, "ann")

    def now(self, *people: str, speaker: str | None = None) -> list[tuple[str, int | None]]:
        self.people = {who: who.title() for who in people}
        self.numbers.settle(self.people)
        return told(self.view.update(self.people, speaker))


def test_a_terminal_is_numbered_and_hears_who_comes_and_goes() -> None:
    room = Room()
    assert room.now("ann") == [("terminalNumberAssign", 1)]
    assert room.now("ann") == []
    assert room.now("ann", "bob", "cleo") == [
        ("terminalJoinedConference", 2),
        ("terminalJoinedConference", 3),
        ("seenByAll", None),
    ]
    assert room.now("ann", "cleo") == [("terminalLeftConference", 2)]
    assert room.now("ann", "cleo", "dan") == [("terminalJoinedConference", 2)], "a number is free again"
    assert room.now("ann") == [
        ("terminalLeftConference", 2),
        ("terminalLeftConference", 3),
        ("cancelSeenByAll", None),
    ]


def test_a_number_that_changes_its_owner_is_told_as_leaving_and_joining() -> None:
    room = Room()
    room.now("ann", "bob")
    assert room.now("ann", "dan") == [("terminalLeftConference", 2), ("terminalJoinedConference", 2)]


def test_a_terminal_hears_whom_it_sees_and_never_that_it_sees_itself() -> None:
    room = Room()
    room.now("ann", "bob", "cleo")
    assert room.now("ann", "bob", "cleo", speaker="bob") == [("terminalYouAreSeeing", 2)]
    assert room.now("ann", "bob", "cleo", speaker="ann") == []
    assert room.now("ann", "bob", "cleo", speaker="bob") == []
    assert room.now("ann", "bob", "cleo", speaker="cleo") == [("terminalYouAreSeeing", 3)]


def test_who_is_not_in_the_room_is_told_nothing() -> None:
    room = Room()
    assert room.now("bob", "cleo") == []
    crowd = {str(number): "x" for number in range(MAX_NUMBER + 5)}
    room.numbers.settle(crowd)
    assert sum(room.numbers.get(who) is not None for who in crowd) == MAX_NUMBER
    assert ConferenceView(room.numbers, str(MAX_NUMBER + 4)).update(crowd, None) == []


def asked(room: Room, name: str, value: Any = None) -> Any:
    request = ("request", ("conferenceRequest", (name, value)))
    (_, (_, (said, inner))) = decode(Kind.H245, encode(Kind.H245, request))
    answers = room.view.answer(said, inner)
    if not answers:
        return answers
    (answer,) = answers
    kind, (told_name, response) = decode(Kind.H245, encode(Kind.H245, answer))
    assert (kind, told_name) == ("response", "conferenceResponse")
    return response


def label(number: int, mcu: int = 0) -> dict[str, int]:
    return {"mcuNumber": mcu, "terminalNumber": number}


def test_a_terminal_learns_who_the_others_are() -> None:
    room = Room()
    room.now("ann", "bob")
    assert asked(room, "terminalListRequest") == ("terminalListResponse", [label(1), label(2)])
    assert asked(room, "requestTerminalID", label(2)) == (
        "mCTerminalIDResponse",
        {"terminalLabel": label(2), "terminalID": b"Bob"},
    )
    assert asked(room, "requestAllTerminalIDs")[1]["terminalInformation"][0]["terminalID"] == b"Ann"
    assert asked(room, "requestTerminalID", label(9)) is None
    assert asked(room, "requestTerminalID", label(2, mcu=3)) is None
    room.people = {"ann": "Ann", "bob": "é" * 100}
    room.view.update(room.people, None)
    assert asked(room, "requestTerminalID", label(2))[1]["terminalID"] == "é".encode() * 64


@pytest.mark.parametrize(
    ("name", "value", "response"),
    [
        ("requestTerminalCertificate", {}, ("terminalCertificateResponse", {})),
        ("remoteMCRequest", ("masterActivate", None), ("remoteMCResponse", ("reject", ("functionNotSupported", None)))),
        ("sendThisSource", label(2), None),
    ],
)
def test_what_nobody_can_do_here_is_denied(name: str, value: Any, response: Any) -> None:
    room = Room()
    room.now("ann", "bob")
    answer = asked(room, name, value)
    assert answer == response or (response is None and answer[1][0].startswith("denied"))


def test_the_chairs_token_goes_to_who_asks_first_until_it_is_given_back_or_its_owner_leaves() -> None:
    room = Room()
    room.now("ann", "bob")
    bob = Room()
    bob.numbers, bob.view = room.numbers, ConferenceView(room.numbers, "bob")
    told(bob.view.update(room.people, None))
    granted, denied = (("makeMeChairResponse", (f"{word}ChairToken", None)) for word in ("granted", "denied"))
    assert asked(room, "requestChairTokenOwner") is None
    assert asked(room, "makeMeChair") == granted
    assert asked(room, "makeMeChair") == granted
    assert asked(bob, "makeMeChair") == denied
    owner = ("chairTokenOwnerResponse", {"terminalLabel": label(1), "terminalID": b"Ann"})
    assert asked(bob, "requestChairTokenOwner") == owner
    assert asked(bob, "cancelMakeMeChair") == []
    assert asked(bob, "makeMeChair") == denied, "nobody gives back what another has"
    assert asked(room, "cancelMakeMeChair") == []
    assert asked(bob, "makeMeChair") == granted
    room.numbers.settle({"ann": "Ann"})
    assert asked(room, "makeMeChair") == granted


def test_only_the_chair_may_mean_somebody() -> None:
    room = Room()
    room.now("ann", "bob")
    assert room.view.meant(label(2)) is None
    asked(room, "makeMeChair")
    assert room.view.meant(label(2)) == "bob"
    assert room.view.meant(label(9)) is None
    assert room.view.meant(label(2, mcu=1)) is None


@pytest.mark.parametrize(
    "name", ["enterH243Password", "enterH243TerminalID", "enterH243ConferenceID", "enterExtensionAddress"]
)
def test_what_is_not_understood_here_is_left_to_others(name: str) -> None:
    assert asked(Room(), name) is None


class Terminal:
    def __init__(self, call: str, ready: bool = True) -> None:
        self.view: ConferenceView | None = None
        self.whereabouts: tuple[str, str] | None = ("100", call)
        self.ready = ready
        self.told: list[tuple[str, int | None]] = []

    def tell_room(self, people: dict[str, str], speaker: str | None) -> bool:
        assert self.view is not None
        if self.ready:
            self.told += told(self.view.update(people, speaker))
        return self.ready


class Watch:
    def __init__(self, apart: bool = False) -> None:
        self.events: asyncio.Queue[Any] = asyncio.Queue()
        self.meeting = SimpleNamespace(
            settings=SimpleNamespace(apart=apart), participants=[], speaker=None, spotlight=None, shown=None
        )
        self.spotlit: list[tuple[str | None, str]] = []
        self.removed: list[str] = []

    def room(self, id: str) -> Any:
        if id != "100":
            raise Refused(Reason.NO_SUCH_ROOM)
        return self.meeting

    def enter(self, *names: str) -> None:
        ranks = {one: SimpleNamespace(value="host" if one == "ann" else "guest") for one in names}
        self.meeting.participants = [
            SimpleNamespace(id=one, name=one.title(), call=f"call-{one}", rank=ranks[one]) for one in names
        ]
        self.events.put_nowait(SimpleNamespace(room="100"))

    async def remove(self, room: Any, id: str) -> None:
        assert room is self.meeting
        self.removed.append(id)

    async def spotlight(self, room: Any, id: str | None, by: str) -> None:
        assert room is self.meeting
        room.spotlight = id
        self.spotlit.append((id, by))

    async def subscribe(self) -> AsyncIterator[Any]:
        while True:
            yield await self.events.get()


async def test_terminals_are_told_of_changes_once_their_sessions_stand() -> None:
    watch, ann, bob = Watch(), Terminal("call-ann"), Terminal("call-bob", ready=False)
    conferences = Conferences(watch, lambda: [ann, bob])
    conferences.start()
    try:
        watch.enter("ann")
        watch.enter("ann", "bob", "sip")
        watch.events.put_nowait(SimpleNamespace(room="nowhere"))
        async with asyncio.timeout(10):
            while not ann.told:
                await asyncio.sleep(GATHER / 5)
        assert ann.told == [("terminalNumberAssign", 1), ("seenByAll", None)]
        assert bob.told == []
        bob.ready = True
        async with asyncio.timeout(10 * LATER):
            while not bob.told:
                await asyncio.sleep(GATHER / 5)
        assert bob.told[0] == ("terminalNumberAssign", 2)
        assert len(ann.told) == 2, "what was told is not told again"
    finally:
        await conferences.stop()


async def test_where_everybody_is_alone_nobody_is_told() -> None:
    watch, ann = Watch(apart=True), Terminal("call-ann")
    conferences = Conferences(watch, lambda: [ann])
    conferences.start()
    try:
        watch.enter("ann", "bob")
        await asyncio.sleep(2 * GATHER)
        assert ann.view is None
    finally:
        await conferences.stop()


@asynccontextmanager
async def meeting(**about: str) -> AsyncIterator[tuple[Watch, Conferences, Terminal, Terminal]]:
    """Give a room in which two terminals and a telephone were told of each other; Ann is its host."""
    watch, ann, bob = Watch(), Terminal("call-ann"), Terminal("call-bob")
    vars(watch.meeting).update(about)
    conferences = Conferences(watch, lambda: [ann, bob])
    conferences.start()
    try:
        watch.enter("ann", "bob", "sip")
        async with asyncio.timeout(10):
            while not (ann.told and bob.told):
                await asyncio.sleep(GATHER / 5)
        yield watch, conferences, ann, bob
    finally:
        await conferences.stop()


async def test_a_chair_drops_others_if_it_is_a_host_of_the_room() -> None:
    async with meeting() as (watch, conferences, ann, bob):
        await conferences.drop(ann, "sip")
        assert watch.removed == ["sip"]
        with pytest.raises(Refused):
            await conferences.drop_all(ann)  # a host, but not the chair
        for terminal, who in ((bob, "ann"), (ann, "nobody")):
            with pytest.raises(Refused):
                await conferences.drop(terminal, who)
        ann.whereabouts = None
        with pytest.raises(Refused):
            await conferences.drop(ann, "bob")
        assert watch.removed == ["sip"]
        ann.whereabouts = ("100", "call-ann")
        assert ann.view is not None
        ann.view.answer("makeMeChair", None)
        await conferences.drop_all(ann)
        assert sorted(watch.removed[1:]) == ["ann", "bob", "sip"]
        ann.view.answer("cancelMakeMeChair", None)
        bob.view.answer("makeMeChair", None)  # type: ignore[union-attr]
        with pytest.raises(Refused):
            await conferences.drop_all(bob)  # the chair, but no host


async def test_a_host_has_itself_seen_by_all_and_as_the_chair_others_too() -> None:
    async with meeting() as (watch, conferences, ann, bob):
        await conferences.show(ann, "ann")
        with pytest.raises(Refused):
            await conferences.show_nobody(ann, False)  # a host, but not the chair
        await conferences.show_nobody(ann, True)
        await conferences.show_nobody(ann, True)
        assert watch.spotlit == [("ann", "Ann"), (None, "Ann")]
        for terminal, who in ((bob, "bob"), (ann, "nobody")):
            with pytest.raises(Refused):
                await conferences.show(terminal, who)
        assert ann.view is not None
        ann.view.answer("makeMeChair", None)
        await conferences.show(ann, "sip")
        await conferences.show_nobody(ann, True)
        await conferences.show_nobody(ann, False)
        assert watch.spotlit[2:] == [("sip", "Ann"), (None, "Ann")]


async def test_terminals_are_told_whom_they_see_large_in_the_spotlight() -> None:
    async with meeting(speaker="sip", shown="bob") as (_, _, ann, bob):
        assert ann.told[-1] == ("terminalYouAreSeeing", 2)
        assert bob.told[-1] == ("terminalYouAreSeeing", 3)
