"""Slides of an H.323 call: the room's floor against a terminal's token and channels, in every order."""

from __future__ import annotations

import random
from typing import Any

from h245_pair import Pair, Side

from gateway.calls import Floor
from h323.describe.capabilities import read_capabilities, write_capabilities
from h323.describe.channels import read_answer, read_request
from h323.h245 import events
from h323.h245.presentation import State
from h323.presenting import Slides
from h323.sessions import FIRST_FREE_SESSION, Sessions
from transcode.media import Codec, Format, Kind, MediaDescription, Role, StreamDescription, Transport

H264 = Format(Codec.H264, 97, 90000, parameters=(("profile-level-id", "42e01f"), ("packetization-mode", "0")))
PCMU = Format(Codec.PCMU, 0, 8000)


def local(port: int, slides: bool = True) -> MediaDescription:
    """What one side's house offers."""

    def stream(id: str, kind: Kind, format: Format, role: Role = Role.MAIN) -> StreamDescription:
        transport = Transport("127.0.0.1", port + 2 * int(id))
        return StreamDescription(id, kind, (format,), (format,), transport, role, bandwidth=1_000_000)

    streams = (stream("0", Kind.AUDIO, PCMU), stream("1", Kind.VIDEO, H264), stream("2", Kind.VIDEO, H264, Role.SLIDES))
    return MediaDescription(streams[: 3 if slides else 2])


class Room:
    """The gateway's end, and a room in which others may present."""

    def __init__(self, pair: Pair, side: Side, slides: bool = True) -> None:
        self.pair, self.side = pair, side
        self.sessions = Sessions(local(4000, slides), "127.0.0.1")
        self.slides = Slides(side.control, self.sessions, self)
        self.holder = Floor.FREE
        self.others_yield = False
        self.told = Floor.FREE
        self.pending: list[bool] = []

    def ask_floor(self, wanted: bool) -> None:
        self.pending.append(wanted)

    def work(self) -> None:
        """Do what the terminal asked for, and tell what came of it."""
        while self.pending:
            wanted = self.pending.pop(0)
            granted = True
            if not wanted:
                self.holder = Floor.FREE if self.holder is Floor.PEER else self.holder
            elif self.holder is not Floor.TAKEN or self.others_yield:
                self.holder = Floor.PEER
            else:
                granted = False
            if wanted:
                self.slides.answered(granted, self.pair.now)
        self.tell()

    def tell(self) -> None:
        if self.told is not self.holder:
            self.told = self.holder
            self.slides.floor(self.holder, self.pair.now)

    def other(self, presents: bool) -> None:
        """Somebody else begins to present or ceases."""
        if presents:
            self.holder = Floor.TAKEN
        elif self.holder is Floor.TAKEN:
            self.holder = Floor.FREE
        self.tell()

    def take(self, event: events.ControlEvent) -> None:
        common(self.side, self.sessions, event, self.pair.now)
        self.slides.heard(event, self.pair.now)
        self.slides.update(self.pair.now)


class Terminal:
    """A terminal: it yields the token when it is asked, and stops when another owner is told."""

    def __init__(self, pair: Pair, side: Side) -> None:
        self.pair, self.side = pair, side
        self.sessions = Sessions(local(5000), "127.0.0.1")
        self.channel: int | None = None
        self.waits = False
        """Whether it has the token and opens its channel once the last one is closed."""

    @property
    def token(self) -> Any:
        return self.side.control.presentation

    def share(self) -> None:
        if self.channel is None and self.token.ask(self.side.control.next_number(), self.pair.now):
            self.channel = 0

    def stop(self) -> None:
        if self.channel:
            self.side.control.close(self.channel, self.pair.now)
        if self.channel is not None:
            self.token.give_back(self.pair.now)
        self.channel, self.waits = None, False

    def open(self) -> None:
        opening = self.sessions.slides_opening(bool(self.side.control.master))
        self.waits = opening is None
        if opening is not None:
            self.channel = self.side.control.open(opening.request, self.pair.now, self.token.channel)
            assert self.channel is not None
            self.sessions.opened(opening, self.channel)

    def take(self, event: events.ControlEvent) -> None:
        now = self.pair.now
        common(self.side, self.sessions, event, now)
        match event:
            case events.TokenAsked():
                self.token.answer(True, now)
                self._yield(now)
            case events.TokenAnswered(granted):
                self.channel = None
                if granted:
                    self.open()
            case events.TokenLost():
                self._yield(now)
            case events.ChannelClosed(number, True):
                if number == self.channel:
                    self.channel = None
                if self.waits:
                    self.open()

    def _yield(self, now: float) -> None:
        if self.channel:
            self.side.control.close(self.channel, now)
        self.channel, self.waits = None, False


def common(side: Side, sessions: Sessions, event: events.ControlEvent, now: float) -> None:
    """What both ends do with channels."""
    match event:
        case events.CapabilitiesReceived(capabilities, _):
            sessions.take_abilities(read_capabilities(capabilities))
        case events.ChannelOffered(number, request):
            answer = sessions.offered(read_request(request), bool(side.control.master))
            assert not isinstance(answer, str), answer
            side.control.accept(number, answer, now)
        case events.ChannelAnswered(number, answer):
            assert sessions.answered(number, read_answer(answer))
        case events.ChannelClosed(number, ours):
            sessions.closed(number, ours)
        case events.CloseAsked(number):
            side.control.grant_close(number, True, now)


class Call:
    """A terminal in a room; `step` lets one end take one message."""

    def __init__(self, seed: int = 1, room_is_master: bool = True, slides: bool = True) -> None:
        self.pair = Pair(190 if room_is_master else 50, 50 if room_is_master else 190, seed)
        self.room = Room(self.pair, self.pair.a, slides)
        self.terminal = Terminal(self.pair, self.pair.b)
        self.seen = {"a": 0, "b": 0}
        for end in (self.room, self.terminal):
            end.side.control.start(write_capabilities(end.sessions.local), self.pair.now)
        self.settle()

    def react(self) -> None:
        for name, end in (("a", self.room), ("b", self.terminal)):
            end.side.drain()
            while self.seen[name] < len(end.side.told):
                self.seen[name] += 1
                end.take(end.side.told[self.seen[name] - 1])
                end.side.drain()

    def step(self, side: Side) -> bool:
        moved = self.pair.deliver(side)
        self.react()
        return moved

    def settle(self) -> None:
        self.react()
        while True:
            moved = self.step(self.pair.a) or self.step(self.pair.b)
            if self.room.pending or self.room.told is not self.room.holder:
                self.room.work()
                moved = True
            if not moved:
                return

    def shown(self) -> tuple[bool, bool]:
        """Whether slides flow to the terminal, and whether they come from it."""
        described = self.room.sessions.remote().stream("2")
        assert described is not None
        return bool(described.receive), bool(described.send)


def names(side: Side) -> list[Any]:
    """What a side sent, H.239's by number."""
    return [body[1]["subMessageIdentifier"] if body[0].startswith("generic") else body[0] for _, body in side.sent]


def test_slides_of_others_get_a_channel_behind_token_and_owner_and_lose_it_again() -> None:
    call = Call()
    before = len(call.room.side.sent)
    call.room.other(True)
    call.settle()
    assert names(call.room.side)[before:] == [3, 6, "openLogicalChannel", "miscellaneousIndication"]
    assert call.shown() == (True, False)
    stream = call.room.sessions.remote().stream("2")
    assert stream is not None
    assert (stream.role, stream.transport.port) == (Role.SLIDES, 5004)
    request = next(body[1] for _, body in reversed(call.room.side.sent) if body[0] == "openLogicalChannel")
    parameters = request["forwardLogicalChannelParameters"]
    assert parameters["dataType"][1][0] == "extendedVideoCapability"
    assert parameters["multiplexParameters"][1]["sessionID"] == FIRST_FREE_SESSION
    assert call.room.sessions.role_of(request["forwardLogicalChannelNumber"]) is Role.SLIDES
    call.room.other(False)
    call.settle()
    assert names(call.room.side)[before + 4 :] == ["miscellaneousIndication", "closeLogicalChannel", 5]
    assert call.shown() == (False, False)
    assert call.room.side.control.census() == {"own": 0, "peer": 0, "timers": 0}


def test_as_slave_the_session_is_numbered_by_the_answer() -> None:
    call = Call(room_is_master=False)
    call.room.other(True)
    call.settle()
    request = next(body[1] for _, body in reversed(call.room.side.sent) if body[0] == "openLogicalChannel")
    assert request["forwardLogicalChannelParameters"]["multiplexParameters"][1]["sessionID"] == 0
    assert call.shown() == (True, False)
    call.room.other(False)
    call.settle()
    call.terminal.share()
    call.settle()
    assert call.shown() == (False, True)


def test_a_terminal_shares_and_is_refused_while_another_does() -> None:
    call = Call()
    call.terminal.share()
    call.settle()
    assert (call.shown(), call.room.holder) == ((False, True), Floor.PEER)
    call.terminal.stop()
    call.settle()
    assert (call.shown(), call.room.holder) == ((False, False), Floor.FREE)
    call.room.other(True)
    call.settle()
    call.terminal.share()
    call.settle()
    assert (call.shown(), call.room.holder) == ((True, False), Floor.TAKEN)
    assert call.terminal.channel is None


def test_a_terminal_takes_over_where_the_room_lets_it_and_is_taken_over_itself() -> None:
    call = Call()
    call.room.others_yield = True
    call.room.other(True)
    call.settle()
    call.terminal.share()
    call.settle()
    assert (call.shown(), call.room.holder) == ((False, True), Floor.PEER)
    call.room.other(True)
    call.settle()
    assert (call.shown(), call.room.holder) == ((True, False), Floor.TAKEN)
    assert call.terminal.channel is None


def test_a_terminal_whose_channel_ends_without_a_word_gives_the_floor_back() -> None:
    call = Call()
    call.terminal.share()
    call.settle()
    assert call.terminal.channel is not None
    call.terminal.side.control.close(call.terminal.channel, call.pair.now)
    call.settle()
    assert call.room.holder is Floor.FREE


def test_a_terminal_without_a_second_stream_is_left_alone() -> None:
    call = Call(slides=False)
    before = len(call.room.side.sent)
    call.room.other(True)
    call.settle()
    assert len(call.room.side.sent) == before


def test_a_terminal_that_refuses_the_channel_is_not_asked_again_before_the_next_presentation() -> None:
    call = Call()
    refusing: Any = call.terminal.sessions
    refusing.offered = lambda *_: {}  # not reached: the channel is refused below
    call.room.other(True)
    call.react()
    for _ in range(20):
        if not (call.pair.deliver(call.pair.a) or call.pair.deliver(call.pair.b)):
            break
        for event in call.terminal.side.told[call.seen["b"] :]:
            call.seen["b"] += 1
            if isinstance(event, events.ChannelOffered):
                call.terminal.side.control.reject(event.number, "dataTypeNotSupported", call.pair.now)
            else:
                call.terminal.take(event)
        call.react()
    assert names(call.room.side).count("openLogicalChannel") == 1
    assert call.shown() == (False, False)


def test_in_any_order_the_room_s_floor_says_what_is_open() -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    for _ in range(500):
        call = Call(rng.randrange(1 << 30), rng.random() < 0.5)
        for _ in range(rng.randrange(1, 25)):
            match rng.randrange(8):
                case 0:
                    call.room.other(rng.random() < 0.6)
                case 1:
                    call.room.others_yield = rng.random() < 0.5
                case 2:
                    call.terminal.share()
                case 3:
                    call.terminal.stop()
                case 4:
                    call.room.work()
                case _:
                    call.step(rng.choice((call.pair.a, call.pair.b)))
            call.react()
        call.settle()
        wanted = {Floor.FREE: (False, False), Floor.PEER: (False, True), Floor.TAKEN: (True, False)}[call.room.holder]
        states = (call.room.side.control.presentation.state, call.terminal.token.state)
        assert call.shown() == wanted, (seed, call.room.holder, states)
        if call.room.holder is Floor.TAKEN:
            assert states[0] is State.OURS, (seed, states)
        assert call.room.side.control.census()["timers"] == 0
