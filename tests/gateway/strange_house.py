"""A whole house with rooms of every kind, whose media plane takes its time, and what must hold in it at any moment.

Nothing listens: requests and WebSockets are brought to the web server as the server itself would bring them (ASGI).
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from json_grafts import TEXTS
from structlog.testing import capture_logs
from test_desk import RecordingLine, RecordingPlane
from web_house import TOKENS

from gateway.calls import CallFacts, CallProtocol, Direction, Line, Order
from gateway.ivr.guide import menu
from gateway.metrics import Metrics
from gateway.reasons import Reason, Refused
from gateway.records import RecordBook
from gateway.rooms.call import RoomCall
from gateway.rooms.desk import FrontDesk, HouseRules
from gateway.rooms.dial_plan import Destination
from gateway.rooms.model import Greeting, HostLeaves, RoomMode, RoomSettings, WhenLocked
from gateway.rooms.outbound import Outbound, OutboundRule, Role
from gateway.rooms.policy import NOTHING_SAID, Decision, question, read_answer
from gateway.store.store import Store
from gateway.text import clean
from gateway.web.server import WebServer, WebSettings
from transcode.media import Abilities, LegId, MediaDescription, RoomId, Sound, ViewPlan

SITES = (
    RoomSettings(RoomId("100"), "Everyone", aliases=("everyone", "1")),
    RoomSettings(RoomId("200"), "Board", host_pin="12", guest_pin="34", lobby=True, entry=Greeting.NAMES),
    RoomSettings(RoomId("300"), "Echo", mode=RoomMode.ECHO),
    RoomSettings(RoomId("400"), "Locked", locked=True, host_pin="12", max_participants=3),
    RoomSettings(RoomId("500"), "Refuses", locked=True, when_locked=WhenLocked.REFUSE, entry=Greeting.TONES),
    RoomSettings(RoomId("600"), "Ends", lone_timeout=1, idle_timeout=1, host_leaves=HostLeaves.END, host_pin="12"),
)


class StrangePlane(RecordingPlane):
    """Keeps where each leg is, refuses what the real one refuses, and takes some turns of the loop for each call."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.legs: dict[LegId, RoomId] = {}
        self.fails = 0.0
        """How often it does not answer."""
        self._chance = chance

    async def _turns(self) -> None:
        for _ in range(self._chance.choice([0, 0, 0, 1, 1, 2, 5])):
            await asyncio.sleep(0)
        if self.fails and self._chance.random() < self.fails:
            raise Refused(Reason.INTERNAL, "the media process does not answer")

    async def _known(self, leg: LegId) -> None:
        await self._turns()
        if leg not in self.legs:
            raise Refused(Reason.CANCELLED, "this leg is closed")

    async def open(self, leg: LegId, room: RoomId, abilities: Abilities) -> None:
        await self._turns()
        if self._chance.random() < 0.02:
            raise Refused(Reason.OVERLOAD)
        assert leg not in self.legs
        self.legs[leg] = room

    async def offer(self, leg: LegId, wanted: Any) -> MediaDescription:
        await self._known(leg)
        return MediaDescription(())

    async def answer(self, leg: LegId, remote: MediaDescription) -> MediaDescription:
        await self._known(leg)
        return replace(
            remote,
            streams=tuple(replace(one, receive=one.send, send=one.receive, bandwidth=None) for one in remote.streams),
        )

    async def accept(self, leg: LegId, remote: MediaDescription) -> None:
        await self._known(leg)

    async def candidate(self, leg: LegId, stream: str, candidate: Any) -> None:
        await self._turns()

    async def direct(self, room: RoomId, plan: ViewPlan) -> None:
        await self._turns()

    async def move(self, leg: LegId, room: RoomId) -> None:
        await self._known(leg)
        self.legs[leg] = room
        await asyncio.sleep(0)

    async def press(self, leg: LegId, digit: str, duration: int, by_tone: bool = False) -> bool:
        await self._known(leg)
        return self._chance.random() < 0.5

    async def play(self, leg: LegId, sounds: tuple[Sound, ...], number: int = 0) -> None:
        await self._known(leg)

    async def announce(self, room: RoomId, sounds: tuple[Sound, ...]) -> None:
        await self._turns()

    async def key_frame(self, leg: LegId, role: Any = None) -> None:
        await self._known(leg)

    async def confirm_key(self, leg: LegId, digit: str) -> None:
        await self._known(leg)

    async def camera(self, leg: LegId, action: Any) -> bool:
        await self._known(leg)
        return self._chance.random() < 0.5

    async def send_text(self, leg: LegId, text: str) -> bool:
        await self._known(leg)
        return self._chance.random() < 0.5

    async def close(self, leg: LegId, reason: Reason) -> None:
        self.legs.pop(leg, None)
        await self._turns()


class StrangeLine(RecordingLine):
    """An adapter's line that takes its time, ends its call as adapters do, and refuses now and then."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._chance = chance
        self.call: RoomCall | None = None

    async def _turns(self) -> None:
        for _ in range(self._chance.choice([0, 0, 1, 3])):
            await asyncio.sleep(0)
        if self._chance.random() < 0.05:
            raise Refused(Reason.TRANSPORT_FAILED)

    async def hang_up(self, reason: Reason) -> None:
        with suppress(Refused):
            await self._turns()
        if self.call is not None and self._chance.random() < 0.8:
            await self.call.ended(reason)

    async def renegotiate(self, wanted: Any) -> None:
        await self._turns()

    async def say(self, name: str, text: str) -> None:
        await self._turns()

    async def press(self, digit: str, duration: int) -> None:
        await self._turns()

    async def floor(self, floor: Any) -> None:
        await self._turns()

    async def transfer(self, target: str, replaces: Line | None = None) -> None:
        await self._turns()


class StrangeDialler:
    """Places calls whose peers ring, answer, refuse or go silent."""

    def __init__(self, desk: FrontDesk, chance: random.Random) -> None:
        self._desk = desk
        self._chance = chance
        self.placed: list[RoomCall] = []

    def user_of(self, target: str) -> str | None:
        user, _, host = target.partition(":")[2].partition("@")
        return user if host == "us.example" and user in ("bob", "cleo") else None

    async def dial(self, order: Order, facts: CallFacts) -> RoomCall:
        line = StrangeLine(self._chance)
        call = await self._desk.arrive(replace(facts, source="203.0.113.5:5060"), line)
        line.call = call
        try:
            for _ in range(self._chance.randrange(8)):
                await asyncio.sleep(0)
                if self._chance.random() < 0.2:
                    await call.ringing()
            if call.over or self._chance.random() < 0.3:
                raise Refused(self._chance.choice([Reason.BUSY, Reason.NO_ANSWER, Reason.DECLINED, Reason.INTERNAL]))
            await call.connected()
        except Refused as refused:
            await call.ended(refused.reason)
            raise
        except asyncio.CancelledError:
            await call.ended(Reason.CANCELLED)
            raise
        self.placed.append(call)
        return call


@dataclass(slots=True)
class Answer:
    """What came of a request."""

    status: int
    body: bytes


@dataclass(eq=False)
class StrangeHouse:
    """Desk and web server; faults are what nobody may cause from outside."""

    chance: random.Random
    faults: list[Any] = field(default_factory=list)
    logged: list[Any] = field(default_factory=list)
    store: Store | None = None
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.plane = StrangePlane(self.chance)
        self.desk = FrontDesk(self.plane, HouseRules(Abilities(), "ROOM", no_media_timeout=30.0))
        self.desk.entrance.leader = menu(self.desk.entrance, self.desk.voice)
        board = self.desk.switchboard
        self.dialler = board.dialler = StrangeDialler(self.desk, self.chance)
        board.policy = StrangePolicy(self.chance)
        board.is_user = ("bob", "cleo").__contains__
        board.outbound = Outbound([OutboundRule(roles=frozenset({Role.API, Role.HOST}))], max_calls=3)
        for settings in SITES:
            self.desk.open_room(settings)
        book = None if self.store is None else RecordBook(self.desk, self.store)
        self.server = WebServer(WebSettings("127.0.0.1", 0, tokens=TOKENS), self.desk, Metrics(), book=book)
        self.office = self.server.office

    def begin(self, work: Any) -> asyncio.Task[Any]:
        """Do something beside; a Refused is an answer, anything else a fault."""
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self.tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, Refused):
            self.faults.append(error)

    async def settled(self, turns: int = 40) -> None:
        """Let everything go on that is under way."""
        for _ in range(turns):
            await asyncio.sleep(0)

    async def ask(self, method: str, path: str, query: str = "", body: bytes | None = None, token: str = "") -> Answer:
        """Send a request."""
        headers = [(b"host", b"x")]
        if token:
            headers.append((b"authorization", b"Bearer " + token.encode("latin-1", "replace")))
        if body is not None:
            headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "path": path,
            "raw_path": b"",
            "root_path": "",
            "scheme": "http",
            "query_string": query.encode("latin-1", "replace"),
            "headers": headers,
            "client": ("127.0.0.1", 40_000),
            "server": ("127.0.0.1", 8443),
        }
        sent: list[dict[str, Any]] = []
        come = [{"type": "http.request", "body": body or b"", "more_body": False}]

        async def receive() -> dict[str, Any]:
            if come:
                return come.pop()
            await self.settled()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.server.app(scope, receive, send)
        start = sent[0]
        octets = b"".join(one.get("body", b"") for one in sent[1:])
        if start["status"] >= 500 and start["status"] not in (501, 502, 503, 504):
            self.faults.append((method, path, query, body, start["status"], octets))
        return Answer(start["status"], octets)

    def disagreements(self) -> list[str]:
        """Return where the house and its media plane think differently of who is where, or tables of one call."""
        desk, found = self.desk, []
        for call in desk.calls.values():
            leg = self.plane.legs.get(call.leg)
            if leg != call.room.settings.id:
                found.append(f"leg of {call.id} in {leg}, call in {call.room.settings.id}")
            if call.inside and call.room.participant(call.participant_id) is None:
                found.append(f"{call.id} is inside and in no list")
            if not desk.has(call.room):
                found.append(f"{call.id} is in a room that is gone: {call.room.settings.id}")
        for room in (*desk.rooms.values(), *desk._private.values()):
            ghosts = [one for one in room.participants if one.call not in desk.calls]
            found += [f"{one.id} is in {room.settings.id} without a call" for one in ghosts]
        return found

    async def empty(self) -> list[str]:
        """End every call as its adapter would, and return what is left that should not be."""
        with suppress(TimeoutError):
            async with asyncio.timeout(30):  # tokens are looked at by threads, which take their time
                while self.tasks:
                    await asyncio.sleep(0.001)
        await self.settled()
        before = self.disagreements()
        for call in list(self.desk.calls.values()):
            await call.ended(Reason.NORMAL)
        for one in list(self.desk.dial_out._all.values()):
            self.desk.dial_out.stop(one, Reason.CANCELLED)
        await self.settled(100)
        gc.collect()
        await self.settled(5)
        desk, board = self.desk, self.desk.switchboard
        left: dict[str, Any] = {
            "calls": desk.calls,
            "legs": desk._legs,
            "media": self.plane.legs,
            "resumable": desk._resumable,
            "same": desk._same,
            "counts": {room.settings.id: count for room, count in desk._calls_of.items()},
            "private rooms": desk._private,
            "bridges": board.bridges,
            "visitors": desk.entrance.visitors,
            "places": desk.lobby._places,
            "errands": [*range(len(desk._errands))],
            "lobby's errands": [*range(len(desk.lobby._errands))],
            "dialling": [*range(desk.dial_out.calling)],
            "permits": [*range(sum(board.outbound.count.values()))],
            "load": [*range(desk.load.under_way)],
            "sockets": self.office.sockets,
            "streams": [*range(self.office.streams)],
            "viewers": [*range(self.office.board.viewers)],
            "tasks": self.tasks,
        }
        found = [f"{name}: {what}" for name, what in left.items() if what]
        for room in desk.rooms.values():
            kept = (
                room.participants,
                room.speaker,
                room.floor.holder,
                room.notices,
                room.notice,
                room.rings,
                room.spotlight,
            )
            if any(kept):
                found.append(f"room {room.settings.id} is not as if nobody had been in it: {kept}")
        plans = {id for id, one in desk._directing._plans.items()} ^ set(desk.rooms)
        if plans:
            found.append(f"plans: {plans}")
        return before + found


def _traced(_: Any, __: str, event: Any) -> Any:
    """Put the traceback into what is logged of an exception."""
    return {**event, "exc_info": traceback.format_exc()} if event.get("exc_info") is True else event


@asynccontextmanager
async def strange_house(chance: random.Random, store: Store | None = None) -> AsyncIterator[StrangeHouse]:
    """A house, whose faults are gathered from everywhere: tasks that nobody waits for, logs, answers."""
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    house = StrangeHouse(chance, store=store)
    gc.freeze()  # what was there before need not be looked at each time
    loop.set_exception_handler(lambda _, about: house.faults.append((about.get("exception"), about.get("message"))))
    try:
        with capture_logs(processors=[_traced]) as logged:
            house.logged = logged
            yield house
            await house.desk.dial_out.close()
            await house.desk.close()
            gc.collect()
            await house.settled(10)
    finally:
        loop.set_exception_handler(before)
        gc.unfreeze()
    house.faults += [one for one in logged if one["log_level"] in ("error", "critical")]


class Socket:
    """A browser's WebSocket, brought to the web server as the server itself would."""

    def __init__(self, house: StrangeHouse, source: str = "192.0.2.7") -> None:
        self._house = house
        self._come: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._source = source
        self.got: list[dict[str, Any]] = []
        self.gone = False
        self._come.put_nowait({"type": "websocket.connect"})
        self.task = house.begin(self._serve())

    async def _serve(self) -> None:
        scope = {
            "type": "websocket",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": "wss",
            "path": "/ws",
            "raw_path": b"/ws",
            "root_path": "",
            "query_string": b"",
            "headers": [(b"host", b"x"), (b"user-agent", b"Mozilla/5.0 \xff\x00")],
            "client": (self._source, 40_000),
            "server": ("127.0.0.1", 8443),
            "subprotocols": [],
        }
        await self._house.server.app(scope, self._receive, self._send)

    async def _receive(self) -> dict[str, Any]:
        return await self._come.get()

    async def _send(self, message: Any) -> None:
        if message["type"] != "websocket.send" and self.gone:
            return
        if self.gone:
            raise OSError("the socket is gone")
        for _ in range(self._house.chance.choice([0, 0, 0, 1, 3])):
            await asyncio.sleep(0)
        if message["type"] == "websocket.send":
            self.got.append(json.loads(message["text"]))

    def say(self, text: str | bytes) -> None:
        kind = "text" if isinstance(text, str) else "bytes"
        self._come.put_nowait({"type": "websocket.receive", kind: text})

    def close(self) -> None:
        if not self.gone:
            self.gone = True
            self._come.put_nowait({"type": "websocket.disconnect", "code": 1006})

    def heard(self, kind: str) -> dict[str, Any]:
        """Return the last message of a kind, {} where there was none."""
        return next((one for one in reversed(self.got) if one.get("type") == kind), {})


def facts(chance: random.Random, called: str, pin: str | None = None) -> CallFacts:
    """Return facts of a call as an adapter might give them, now and then with texts that make no sense.

    Adapters clean what their peers say, so that it can be written and shown.
    """

    def text(usual: str, often: float = 0.2) -> str:
        return usual if chance.random() > often else clean(chance.choice(TEXTS), 256)

    return CallFacts(
        chance.choice([CallProtocol.SIP, CallProtocol.H323]),
        Direction.INCOMING,
        text("192.0.2.9:5060"),
        text("sip:ann@example"),
        text("Ann"),
        text(called, 0.05),
        pin if chance.random() < 0.95 else chance.choice(TEXTS),
        secure=chance.random() < 0.5,
        agent=text("Terminal"),
        peer_call_id=text("1@x"),
        resume=chance.choice([None, text("1")]),
        trunk=chance.choice(["", "", text("carrier")]),
        account=chance.choice(["", "", text("ann")]),
        diverted_from=text(""),
        video=chance.random() < 0.8,
        hops=chance.choice([70, 70, 70, 1, 0, -1, 10**9]),
        keys=chance.random() < 0.9,
    )


class StrangePolicy:
    """Decides on calls as no sensible program would; its answers are those that `policy.read_answer` lets through."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    async def decide(self, facts: CallFacts, destination: Destination) -> Decision:
        chance = self._chance
        question(facts, destination)
        if chance.random() < 0.7:
            return NOTHING_SAID
        if chance.random() < 0.1:
            raise Refused(Reason.OVERLOAD)
        answer = {
            "action": chance.choice(["continue", "continue", "continue", "refuse"]),
            "reason": chance.choice(["", "busy", "no-host", "internal"]),
            "room": chance.choice(["", "100", "300", "600", *TEXTS]),
            "call": chance.choice(["", "", "", "user:bob", "sip:x@y.example", *TEXTS]),
            "role": chance.choice(["", "host", "guest"]),
            "pin": chance.choice(["", "12", *TEXTS]),
            "name": chance.choice(["", "Somebody", *TEXTS]),
            "limits": {"participants": 1, "bandwidth": 1, "seconds": chance.choice([1, 1_000_000])},
        }
        try:
            return read_answer(json.dumps(answer).encode())
        except ValueError:
            return NOTHING_SAID
