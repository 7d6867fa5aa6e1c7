"""An adapter without sockets under a virtual clock, and wild strangers who call it, are called, register and write."""

from __future__ import annotations

import asyncio
import random
import re
import selectors
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from sip_fake_house import FakeCall, FakeDesk, our_answer, our_offer
from sip_grafts import Grafts
from sip_odd_values import URIS
from sip_phone import FACTS
from sip_strange_pair import read_back
from sip_wild import Wild

from gateway.calls import Call, CallId, CallProtocol, Floor, Order, Place
from gateway.reasons import Reason, Refused
from gateway.rooms.model import Participant, ParticipantId, Rank
from sip import adapter as adapter_module
from sip.accounts import Account
from sip.adapter import METHODS, SipAdapter, SipConfig
from sip.adapter_config import MessagePolicy, SendMessages
from sip.adapter_media import MediaPolicy
from sip.config import StackConfig
from sip.digest import Algorithm, Qop
from sip.events import Flow, Send, Target, Transport
from sip.gate import Policy
from sip.locate import Address, Kind, Query, Record
from sip.rewriting import Rule
from sip.sdp import parse as parse_description
from sip.stack import Stack
from sip.trunk import Trunk
from transcode.media import LegId, MediaDescription, Wanted

OURS, THEIRS = "192.0.2.1", "192.0.2.7"
MOST_TURNS = 20_000
"""Turns of the loop in which the clock may stand still: with more something calls itself again and again."""
DELAY = 0.01


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose clock jumps to what is due next."""

    def __init__(self) -> None:
        super().__init__(_Jumps(self))
        self.clock = 1_000.0
        self.turns = 0
        self.faults: list[dict[str, Any]] = []
        self.set_exception_handler(lambda _, context: self.faults.append(context))

    def time(self) -> float:
        return self.clock


class _Jumps(selectors.DefaultSelector):  # type: ignore[valid-type, misc]
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0 if timeout is not None else 1.0)
        if timeout and not ready:
            self._loop.clock += timeout
            self._loop.turns = 0
        self._loop.turns += 1
        assert self._loop.turns < MOST_TURNS, "the clock stands still"
        return ready


class Air:
    """What stands for the network of the adapter: all that it sends goes to one stranger."""

    def __init__(self, config: Any, user: SipAdapter, reactor: Any, resolver: Any) -> None:
        self.ports = dict(config.ports)
        self.held: Counter[Flow] = Counter()
        self.sent = 0
        self.heard: Any = None
        self.transport = Transport.UDP
        self.connection = 1
        self._user = user
        self._resolver = resolver

    @property
    def flow(self) -> Flow:
        """The way between the adapter and the stranger."""
        number = self.connection if self.transport.reliable else 0
        return Flow(self.transport, OURS, 5060, THEIRS, 5060, number)

    def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    def local_address(self, remote: str) -> str:
        return OURS

    def counters(self) -> dict[str, int]:
        return {}

    def peer_names(self, flow: Flow) -> frozenset[str]:
        return frozenset()

    def hold(self, flow: Flow) -> None:
        self.held[flow] += 1

    def release(self, flow: Flow) -> None:
        self.held[flow] -= 1

    async def open(self, target: Target) -> Flow:
        await asyncio.sleep(DELAY)
        if target.host.startswith("no"):
            raise OSError("no such host")
        return self.flow

    def send(self, send: Send) -> None:
        self.sent += 1
        if not send.data.strip():
            return
        message = read_back(send.data)
        if message is not None:
            assert all(one.uri.is_sip for one in message.contacts)
            if message.body and message.content_type == "application/sdp":
                parse_description(message.body)
        lost = (isinstance(send.target, Target) and not send.target.host) or send.target.transport.web != self.web
        loop = asyncio.get_running_loop()
        if lost or (isinstance(send.target, Flow) and send.target.connection not in (0, self.connection)):
            loop.call_soon(self._user.unreachable, send)
        else:
            loop.call_later(DELAY, self.heard, send.data)

    @property
    def web(self) -> bool:
        return self.transport.web


class _Lookup:
    def __init__(self, *_: Any) -> None:
        pass

    async def lookup(self, query: Query) -> tuple[Sequence[Record], float]:
        known = query.kind is Kind.ADDRESS and not query.name.startswith("no")
        return ([Address(THEIRS)] if known else []), 60.0


class _Watch:
    """A house whose one room somebody from the stranger's address is in."""

    def __init__(self) -> None:
        self.settings = SimpleNamespace(apart=False, title="R", locked=False)
        facts = replace(FACTS, protocol=CallProtocol.SIP, source=f"{THEIRS}:5060", caller="sip:\ufffd@x")
        self.participants = tuple(
            Participant(ParticipantId(name), CallId("c"), LegId("l"), name, facts.protocol, Rank.GUEST, facts, 0.0)
            for name in ("ann", "b\u00f6b")
        )

    def room(self, id: str) -> Any:
        if id != "100":
            raise Refused(Reason.NO_SUCH_ROOM)
        return self

    async def subscribe(self) -> AsyncIterator[Any]:
        while True:
            await asyncio.sleep(5)
            yield SimpleNamespace(room="100")


class _Referrals:
    """A house that lets everybody refer everybody."""

    def may_refer(self, call: Call, target: str) -> bool:
        return True

    async def refer(self, call: Call, target: str, dial: Place) -> Call:
        return await dial(Order(target), FACTS)

    async def join(self, call: Call, other: Call) -> None:
        await call.line.transfer("", other.line)  # type: ignore[attr-defined]


class StrangeCall(FakeCall):
    """A call of the house that moves, refuses and waits by chance."""

    chance: random.Random

    async def _note(self, what: str) -> None:
        await super()._note(what)
        if what not in ("ended", "connected"):
            await asyncio.sleep(self.chance.choice([0, 0, 0, 0.02, 1]))
            if self.chance.random() < 0.05:
                raise Refused(self.chance.choice(list(Reason)), "by chance \u2028")


class Strangers:
    """One world: an adapter, its house, and a stranger. Whatever is noted as a fault is left in `faults`."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.loop = asyncio.get_running_loop()
        self.desk = FakeDesk()
        self.desk.prepare = self._prepare
        transport = chance.choice([Transport.UDP, Transport.UDP, Transport.TCP, Transport.WS])
        referrals = _Referrals() if chance.random() < 0.5 else None
        self.adapter = SipAdapter(
            SipConfig(
                address="0.0.0.0",
                domain=chance.choice([None, OURS]),
                accounts=(Account("bob", "secret"), Account("carol", "secret")),
                authenticate=chance.choice(list(Policy)),
                digests=chance.choice([(Algorithm.MD5,), (Algorithm.SHA_256, Algorithm.MD5)]),
                qops=chance.choice([(Qop.AUTH,), (Qop.AUTH, Qop.AUTH_INT)]),
                messages=chance.choice(list(MessagePolicy)),
                send_messages=chance.choice(list(SendMessages)),
                media=MediaPolicy(offer_dtls=chance.random() < 0.3, offer_ice=chance.random() < 0.3),
                trunks=self._trunks(transport),
            ),
            self.desk,
            SimpleNamespace(),
            chance,
            _Watch() if chance.random() < 0.8 else None,
            lambda facts, uri: chance.random() < 0.8,
            referrals,
        )
        self.transport = transport
        self.changing = chance.choice([0.0, 0.1, 0.3, 0.6])
        self.dialling: set[asyncio.Task[Any]] = set()
        self.stubborn = chance.random() < 0.3
        self._grafts = Grafts(chance)
        self._old: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None

    def _trunks(self, transport: Transport) -> tuple[Trunk, ...]:
        chance = self.chance
        if transport.web or chance.random() < 0.5:
            return ()
        rules = (Rule(re.compile(r"\+?(\d+)"), r"\1"),)
        return (
            Trunk(
                "carrier",
                (chance.choice([THEIRS, "carrier.example"]),),
                transport,
                user="4930",
                password="secret",
                register=chance.random() < 0.7,
                trusted=chance.random() < 0.7,
                rewrite_in=rules,
                rewrite_caller_in=rules,
                max_calls=3,
                options_interval=chance.choice([0.0, 600.0]),
            ),
        )

    def _prepare(self, call: FakeCall) -> None:
        call.__class__ = StrangeCall
        call.chance = self.chance  # type: ignore[attr-defined]
        bundle = self.chance.random() < 0.3

        async def offer(wanted: Wanted) -> MediaDescription:
            await call._note("offer")
            made = our_offer(wanted.audio, wanted.video, OURS)
            return MediaDescription(made.streams, tuple(one.id for one in made.streams)) if bundle else made

        async def answer(remote: MediaDescription) -> MediaDescription:
            call.remote = remote
            await call._note("answer")
            return our_answer(remote, OURS)

        call.offer, call.answer = offer, answer  # type: ignore[method-assign]

    async def start(self) -> None:
        """Let both come to life."""
        await self.adapter.start()
        self.air: Air = self.adapter._network  # type: ignore[assignment]
        self.air.transport, self.air.heard = self.transport, self._heard
        methods = (*METHODS, "REGISTER")
        interval = self.chance.choice([90, 1_800])
        config = StackConfig(THEIRS, dict.fromkeys(Transport, 5060), methods=methods, session_expires=interval)
        self.stack = Stack(config, self.chance)
        flow = self.air.flow
        self.there = Flow(flow.transport, THEIRS, 5060, OURS, 5060, flow.connection)
        named = f";transport={self.transport.parameter}" if self.transport.reliable else ""
        user = self.chance.choice(["x", "bob"])
        self.wild = Wild(self.stack, self.chance, lambda: self.there, f"sip:100@{OURS}", f"sip:{user}@{THEIRS}{named}")
        if self.chance.random() < 0.2:
            self.wild.always = self.chance.choice([(503, [("Retry-After", "0")]), (491, []), (302, [("Contact", "*")])])

    def _heard(self, data: bytes) -> None:
        self.stack.receive(data, self.there, self.loop.time())
        self.pump()

    def pump(self) -> None:
        """Do what the stranger's stack wants done."""
        now = self.loop.time()
        while items := self.stack.take():
            for item in items:
                if isinstance(item, Send):
                    self.put(item.data)
                else:
                    self.wild.hear(item, now)
        due = self.stack.next_timeout()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if due is None else self.loop.call_at(due, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self.stack.tick(self.loop.time())
        self.pump()

    def put(self, data: bytes) -> None:
        """Send something to the adapter; it changes on its way."""
        if self.stubborn and data.startswith(b"SIP/2.0 200 ") and b" UPDATE\r\n" in data:
            data = data.replace(b"SIP/2.0 200 OK\r\n", b"SIP/2.0 503 No\r\nRetry-After: 0\r\n", 1)
        elif self.chance.random() < self.changing:
            if len(self._old) < 50:
                self._old.append(data)
            data = self._grafts.message(data, self.chance.randrange(1, 4))
        flow = self.air.flow
        self.loop.call_later(DELAY, lambda: self.adapter.received(data, flow))

    # what happens

    async def turn(self) -> None:
        """Let something happen."""
        self.adapter.registrations(), self.adapter.trunk_states(), self.adapter.counters()
        chance, now = self.chance, self.loop.time()
        choice = chance.random()
        if choice < 0.6:
            self.wild.act(now)
            self.pump()
        elif choice < 0.65 and self._old:
            self.put(self._grafts.message(chance.choice(self._old), 2))
        elif choice < 0.67 and self.transport.reliable:
            self.lose()
        elif choice < 0.75:
            self._dial()
        else:
            await self._house()
        await asyncio.sleep(chance.choice([0, 0.03, 0.03, 0.5, 3, 40]))

    def lose(self) -> None:
        """The connection is lost, and opened anew."""
        old = self.air.flow
        self.air.connection += 1
        self.stack.closed(self.there, self.loop.time())
        self.adapter.closed(old)
        self.there = Flow(old.transport, THEIRS, 5060, OURS, 5060, self.air.connection)
        self.pump()

    def _dial(self) -> None:
        trunk = "carrier" if self.adapter.trunks._lines and self.chance.random() < 0.6 else ""
        target = self.chance.choice(["+49301", "tel:100"] if trunk else [f"sip:peer@{THEIRS}", "user:bob", *URIS[:12]])
        wanted = Wanted(video=self.chance.random() < 0.7)

        async def dial() -> None:
            with suppress(Refused):
                await self.adapter.dial(target, FACTS, wanted, trunk=trunk)

        task = asyncio.ensure_future(dial())
        self.dialling.add(task)
        task.add_done_callback(self.dialling.discard)
        if self.chance.random() < 0.2:
            self.loop.call_later(self.chance.choice([0.05, 1, 10]), task.cancel)

    async def _house(self) -> None:
        calls = [call for call in self.desk.calls if call.reason is None]
        if not calls:
            return
        chance = self.chance
        line = chance.choice(calls).line
        match chance.randrange(9):
            case 0:
                await line.floor(chance.choice(list(Floor)))
            case 1:
                await line.request_key_frame("video")
            case 2 | 3:
                await line.renegotiate(Wanted(video=chance.random() < 0.7))
            case 4:
                await line.press(chance.choice("0#*A"), 100)
            case 5:
                await line.ringing()
            case 6:
                with suppress(Refused):
                    other = chance.choice(calls).line if chance.random() < 0.5 else None
                    await line.transfer(f"sip:somebody@{THEIRS}", other)
            case 7:
                task = asyncio.ensure_future(line.say("Ann", "hello " * chance.choice([1, 400])))
                self.dialling.add(task)
                task.add_done_callback(self.dialling.discard)
            case 8 if chance.random() < 0.3:
                await line.hang_up(chance.choice(list(Reason)))

    async def end(self) -> None:
        """Let all come to its end: nobody changes anything any more, and the house hangs up."""
        self.changing, self.stubborn, self.wild.quiet, self.wild.always = 0.0, False, True, None
        for task in tuple(self.dialling):
            task.cancel()
        for call in self.desk.calls:
            if call.reason is None:
                await call.line.hang_up(Reason.NORMAL)
        for session in list(self.stack._core.sessions):
            self.stack.hang_up(session, Reason.NORMAL, self.loop.time())
        self.pump()
        await asyncio.sleep(4_000)


@contextmanager
def strange_air() -> Iterator[None]:
    """Let adapters that start have no sockets and no DNS."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adapter_module, "Network", Air)
        patch.setattr(adapter_module, "SystemLookup", _Lookup)
        patch.setattr(adapter_module, "STOP_TIME", 0.1)
        yield
