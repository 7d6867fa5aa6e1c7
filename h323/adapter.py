"""The H.323 adapter: binds the sockets, runs the calls' cores, and brings them to the house.

Theory of operation. Everything runs on the loop's thread. A signalling connection may carry several calls, told apart
by call reference and by who made it. Whatever touches a call's core (a message, a timer, a job of the call) is followed
by `pump`, which does what the core asks for, reports to its line, and sets its timer. Faults are logged, counted, and
go no further.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from typing import Any

import structlog

from gateway.calls import Call, CallFacts, CallProtocol, Desk, Direction
from gateway.reasons import Reason, Refused
from gateway.tls import ServerContext, client_context
from h323.adapter_call import CallForwarded, H323Line
from h323.adapter_conference import Conferences, RoomWatch
from h323.adapter_config import H323Config
from h323.adapter_facts import both_ways, call_bandwidth, call_facts, source
from h323.adapter_h245 import ControlConnections, Leg
from h323.adapter_ras import Plan, Ras, Route
from h323.adapter_traversal import Doors
from h323.h460.call import CallTraversal, Role
from h323.q931 import Type
from h323.signalling import events
from h323.signalling.aliases import Dialled, read_dialled
from h323.signalling.call import H323Call
from h323.signalling.events import Address, SetupFacts, Signal
from h323.signalling.messages import LocalParty
from h323.signalling.wire import BadSignal, PerCodec, read_signal, write_signal
from h323.transport import Connection, Limits, Network
from transcode.media import Wanted

__all__ = ["H323Adapter", "H323Config"]

log = structlog.get_logger()

MAX_CALLS = 2_000
"""Calls at once: as many as the house takes."""
MAX_CALLS_OF_CONNECTION = 200
"""Of them on one connection: gatekeepers that route bring many."""
STOP_TIME = 1.0
"""Seconds that calls get to say goodbye when the service stops."""
DEFAULT_PORT = 1720
DEFAULT_TLS_PORT = 1300
"""The port of call signalling inside TLS (IANA: h323hostcallsc)."""
MAX_REFERENCE = 0x7FFF


class H323Adapter:
    """H.323 for the house. reactor is Twisted's, on the running asyncio loop; None takes the installed one."""

    def __init__(
        self,
        config: H323Config,
        desk: Desk,
        reactor: Any = None,
        rng: random.Random | None = None,
        plan: Plan | None = None,
        watch: RoomWatch | None = None,
    ) -> None:
        """plan tells the gatekeeper where calls lead; without it no alias leads into the house.

        watch tells who is in a room; without it terminals hear of nobody.
        """
        self.desk = desk
        self.ports: dict[str, int] = {}
        self._config = config
        self._reactor = reactor
        self._rng = rng or random.SystemRandom()
        self._codec = PerCodec()
        self._local = LocalParty(display=config.display, product=config.display)
        self._limits = Limits()
        self._counters: Counter[str] = Counter()
        self._legs: dict[H323Line, Leg] = {}
        self._calls: dict[tuple[Connection, int, bool], Leg] = {}
        self._listeners: list[Any] = []
        self.conferences = Conferences(watch, lambda: [leg.line for leg in self._legs.values()])
        self._network: Network
        self._h245: ControlConnections
        self._loop: asyncio.AbstractEventLoop
        self._running = False
        self._stopping = False
        self._reference = self._rng.randrange(1, MAX_REFERENCE)
        self._idle = asyncio.Event()
        self.ras = Ras(config, self._rng, plan, self._drop_call, self._limit_call)
        self.doors = Doors(self)
        self.ras.send, self.ras.let_go, self.ras.summoned = (
            self.doors.send_ras,
            self.doors.let_go,
            self.doors.summoned,
        )

    # life

    async def start(self) -> None:
        """Bind and listen. Raises twisted's CannotListenError."""
        self._loop = asyncio.get_running_loop()
        if self._reactor is None:
            from twisted.internet import reactor

            self._reactor = reactor
        self._network = Network(self._reactor, self._limits)
        self._h245 = ControlConnections(self, self._network, self._config.h245_ports)
        config = self._config
        for name, port in (("signalling", config.signalling), ("tls", config.tls)):
            if port is None:
                continue
            context = None
            if name == "tls":
                if config.certificate is None:
                    raise ValueError("TLS needs a certificate")
                context = ServerContext(config.certificate, config.key)
            listener = self._network.listen(config.address, port, self, self._opened, context)
            self._listeners.append(listener)
            self.ports[name] = listener.getHost().port
        ras = await self.ras.start(self._reactor, self.ports.get("signalling", DEFAULT_PORT))
        if ras is not None:
            self.ports["ras"] = ras
        self._running = True
        self.conferences.start()
        log.info("h323_listening", address=config.address, **self.ports)

    async def stop(self) -> None:
        """End all calls with SHUTDOWN, and close the sockets."""
        if not self._running or self._stopping:
            return
        self._stopping = True
        for leg in tuple(self._legs.values()):
            leg.line.drop(Reason.SHUTDOWN)
        if self._legs:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), STOP_TIME)
        await self.ras.stop()
        await self.doors.stop()
        await self.conferences.stop()
        for listener in self._listeners:
            await listener.stopListening().asFuture(self._loop)
        self._running = False
        tasks = [task for leg in self._legs.values() if (task := leg.line.jobs.task) is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def now(self) -> float:
        """Return the loop's time in seconds."""
        return self._loop.time()

    def count(self, name: str) -> None:
        """Count one thing that happened."""
        self._counters[name] += 1

    def counters(self) -> dict[str, int]:
        """Return all counts by name."""
        return {
            **self._limits.counters,
            **self._counters,
            **self.ras.counters(),
            **self.doors.counters(),
            "calls": len(self._legs),
            "connections": self._limits.open,
        }

    def has(self, alias: str) -> bool:
        """Tell whether an endpoint that is registered with us has this alias, or serves this number."""
        return self.ras.has(alias)

    def user_of(self, target: str) -> str | None:
        """Return the alias of an endpoint of ours that an address means; None where it means somebody else."""
        dialled = read_dialled(target)
        return dialled.alias if not dialled.host and self.ras.has(dialled.alias) else None

    # connections

    def _opened(self, connection: Connection) -> None:
        """A peer connected; its SETUP is to follow."""

    def received(self, connection: Connection, data: bytes) -> None:
        """Take one signalling message; an empty TPKT keeps the connection alive."""
        if not data or not self._running:
            return
        try:
            signal = read_signal(data)
        except BadSignal as error:
            self.count("malformed_messages")
            log.info("h323_bad_message", source=source(connection.peer), fault=str(error)[:128])
            return
        self._counters[f"received.{signal.kind.name}"] += 1
        leg = self._calls.get((connection, signal.reference, signal.from_callee))
        if leg is not None:
            self.guard(leg, lambda now: leg.line.core.receive(signal, now))
        elif signal.kind is Type.SETUP and not signal.from_callee:
            self._setup(connection, signal)
        elif self.doors.take(connection, signal):
            pass
        elif signal.kind not in (Type.RELEASE_COMPLETE, Type.STATUS):
            self.count("stray_messages")
            self._release(connection, signal, Reason.BAD_REQUEST)

    def _setup(self, connection: Connection, signal: Signal) -> None:
        calls = sum(1 for key in self._calls if key[0] is connection)
        if self._stopping or len(self._legs) >= MAX_CALLS or calls >= MAX_CALLS_OF_CONNECTION:
            self._release(connection, signal, Reason.SHUTDOWN if self._stopping else Reason.OVERLOAD)
            return
        traversal = CallTraversal(serves=self._config.ras.traversal, uses=self.ras.traverses)
        core = H323Call(
            signal.reference, self._local, self._codec, self._rng, self._config.tunnelling, traversal=traversal
        )
        leg = self._keep(H323Line(self, core), connection, ours=False)
        self.guard(leg, lambda now: core.receive(signal, now))

    def _release(self, connection: Connection, signal: Signal, reason: Reason) -> None:
        """Answer a message of no call of ours."""
        refusal = Signal(Type.RELEASE_COMPLETE, signal.reference, not signal.from_callee, cause=reason.meaning.q850)
        connection.send(write_signal(refusal))

    def closed(self, connection: Connection) -> None:
        """A connection is gone: that of calls, or the separate one of a call's H.245."""
        self.doors.closed(connection)
        for leg in tuple(self._legs.values()):
            if leg.connection is connection:
                self.guard(leg, leg.line.core.closed)
            elif leg.control is connection:
                leg.control = None
                self.guard(leg, leg.line.core.control_closed)

    # calls

    def _keep(self, line: H323Line, connection: Connection, ours: bool) -> Leg:
        leg = self._legs[line] = Leg(line, connection)
        self._calls[connection, line.core.reference, ours] = leg
        connection.used()
        return leg

    def guard(self, leg: Leg, action: Any) -> None:
        """Do something with a call's core; whatever it raises ends that call and goes no further."""
        try:
            action(self.now())
        except Exception as error:
            self.count("internal_errors")
            log.error("h323_fault", error=repr(error), exc_info=error)
            leg.line.drop(Reason.INTERNAL)
        self.pump(leg.line)

    def pump(self, line: H323Line) -> None:
        """Do what a call's core asks for, until there is no more, and set its timer."""
        leg = self._legs.get(line)
        if leg is None or leg.pumping:
            return
        leg.pumping = True
        try:
            while items := line.core.take():
                for item in items:
                    self._put_out(leg, item)
        finally:
            leg.pumping = False
        due = line.core.next_timeout()
        if due != leg.due:
            if leg.timer is not None:
                leg.timer.cancel()
            leg.due = due
            leg.timer = None if due is None else self._loop.call_at(due, self._tick, leg)

    def _tick(self, leg: Leg) -> None:
        leg.timer = leg.due = None
        self.guard(leg, leg.line.core.tick)

    def _put_out(self, leg: Leg, item: Any) -> None:
        try:
            self._perform(leg, item)
        except Exception as error:
            self.count("internal_errors")
            log.error("h323_fault", error=repr(error), exc_info=error)

    def _perform(self, leg: Leg, item: Any) -> None:
        match item:
            case events.SendSignal(signal):
                self._counters[f"sent.{signal.kind.name}"] += 1
                if leg.connection is not None:
                    leg.connection.send(write_signal(signal))
            case events.SendControl(data):
                if leg.control is not None:
                    leg.control.send(data)
            case events.ListenControl():
                self._h245.listen(leg)
            case events.ConnectControl(address):
                self._h245.connect(leg, address)
            case events.CloseSignalling():
                self._close(leg)
            case events.CallArrived(facts):
                assert leg.connection is not None
                leg.line.arrived(call_facts(facts, leg.connection.peer, leg.connection.secure))
            case _:
                leg.line.report(item)

    def _close(self, leg: Leg) -> None:
        """Give back what a call had; its line may have jobs to do still."""
        leg.close_control()
        connection, leg.connection = leg.connection, None
        for key in [key for key, one in self._calls.items() if one is leg]:
            del self._calls[key]
        if connection is not None and not connection.kept and not self.busy(connection):
            connection.close()

    def busy(self, connection: Connection) -> bool:
        """Tell whether a call uses a signalling connection."""
        return any(key[0] is connection for key in self._calls)

    def over(self, line: H323Line) -> None:
        """A call has done its last job."""
        leg = self._legs.pop(line, None)
        if leg is not None and leg.timer is not None:
            leg.timer.cancel()
        self.ras.over(line.core.facts.call)
        if self._stopping and not self._legs:
            self._idle.set()

    async def screen(self, line: H323Line, facts: CallFacts) -> CallFacts:
        """Ask the gatekeeper about a call that comes in, and return whose it is. Raises Refused."""
        connection = self._legs[line].connection
        if connection is None:
            return facts
        return await self.ras.screen(facts, line.core.facts, line.core.reference, connection.peer)

    def _drop_call(self, call: bytes) -> None:
        """End a call because the gatekeeper wants it."""
        for line in [one for one in self._legs if one.core.facts.call == call]:
            line.drop(Reason.HUNG_UP_BY_HOST, "by the gatekeeper")

    def _limit_call(self, call: bytes, bandwidth: int) -> None:
        """Bound a call because the gatekeeper wants it."""
        for line in [one for one in self._legs if one.core.facts.call == call]:
            line.limit(bandwidth)

    def uses(self, line: H323Line, pictured: bool) -> None:
        """A call has pictures beside its sound, or none: tell the gatekeeper."""
        rate = call_bandwidth(Wanted(video=pictured), self._config.bandwidth)
        self.ras.uses(line.core.facts.call, both_ways(rate))

    def peer_host(self, line: H323Line) -> str:
        """Return the IP literal that a call's signalling comes from."""
        connection = self._legs[line].connection
        return "" if connection is None else connection.peer.host

    def advertised(self, line: H323Line) -> str:
        """Return the IP literal that a call's peer is to send to."""
        leg = self._legs[line]
        if self._config.public_address:
            return self._config.public_address
        if leg.connection is not None:
            return leg.connection.local.host
        return self._config.address

    # placing calls

    async def dial(self, target: str, facts: CallFacts, wanted: Wanted | None = None, display: str = "") -> Call:
        """Place a call and bring it to the desk as facts say.

        target is `h323:alias@host`, `h323:host`, `host##alias` or `h323:alias`, which the gatekeeper knows.
        `;transport=tls` behind it asks for TLS; the peer's certificate is not looked at, for terminals sign their own.
        `;overlap=yes` has the number follow the SETUP once the peer asks for its digits (overlap sending).
        A peer that forwards the call is followed once. Raises Refused with the reason that the peer or the house gave.
        """
        dialled = read_dialled(target)
        asked = target.lower().split(";")[1:]
        secure, overlap = "transport=tls" in asked, "overlap=yes" in asked
        try:
            return await self._dial(dialled, facts, wanted or Wanted(), display, secure, overlap)
        except CallForwarded as forwarded:
            log.info("h323_forwarded", why=forwarded.why, to=forwarded.target)
            self.count(f"forwarded.{forwarded.why}")
            dialled = read_dialled(forwarded.target)
        try:
            return await self._dial(dialled, facts, wanted or Wanted(), display, secure)
        except CallForwarded:
            raise Refused(Reason.LOOP, "forwarded twice") from None

    async def _dial(
        self,
        dialled: Dialled,
        facts: CallFacts,
        wanted: Wanted,
        display: str,
        secure: bool,
        overlap: bool = False,
    ) -> Call:
        if not self._running or self._stopping:
            raise Refused(Reason.SHUTDOWN)
        conference, call, reference = self._rng.randbytes(16), self._rng.randbytes(16), self._next_reference()
        usual = DEFAULT_TLS_PORT if secure else DEFAULT_PORT
        bandwidth = call_bandwidth(wanted, self._config.bandwidth)
        route = await self.ras.route(dialled, call, conference, reference, usual, both_ways(bandwidth))
        alias = route.alias
        try:
            if route.hidden:
                connection, address = await self.doors.summon(route.address, call), route.address
            else:
                connection, address = await self._connect_one(route, dialled.host.partition(":")[0], secure)
        except BaseException:
            self.ras.over(call)
            raise
        role = Role.SERVER if route.hidden else Role.CLIENT if self.ras.traverses else Role.NONE
        if role is Role.CLIENT:
            self.doors.keep_open(connection)
        core = H323Call(
            reference,
            self._local,
            self._codec,
            self._rng,
            self._config.tunnelling,
            self._config.early_h245 and role is Role.NONE,
            CallTraversal(role),
        )
        line = H323Line(self, core)
        self._keep(line, connection, ours=True)
        facts = replace(
            facts,
            protocol=CallProtocol.H323,
            direction=Direction.OUTGOING,
            source=source(connection.peer),
            secure=secure,
        )
        digits = alias if overlap and alias.isdigit() else ""
        setup = SetupFacts(
            caller_aliases=(display or self._config.display,),
            called_aliases=(alias,) if alias and not digits else (),
            called_number=alias if alias.isdigit() and not digits else "",
            display=display or self._config.display,
            called_address=None if route.hidden else address,
            caller_address=Address(connection.local.host, self.ports.get("signalling", connection.local.port)),
            conference=conference,
            call=call,
            bandwidth=bandwidth,
            body={"endpointIdentifier": route.endpoint} if route.endpoint else {},
        )
        if route.bandwidth is not None:
            line.limit(route.bandwidth)
        try:
            return await line.place(facts, setup, wanted, self._config.fast_start and role is Role.NONE, digits)
        except BaseException:
            self.ras.over(call)
            raise

    async def _connect_one(self, route: Route, name: str, secure: bool) -> tuple[Connection, Address]:
        """Connect to the first of a route's addresses that takes a connection. Raises `Refused` with the last's."""
        *first, last = (route.address, *route.others)
        for address in first:
            context = client_context(name or address.host, None) if secure else None
            try:
                return await self.connect(address, context), address
            except Refused as refused:
                log.info("h323_next_address", address=source(address), detail=refused.detail)
        return await self.connect(last, client_context(name or last.host, None) if secure else None), last

    def _next_reference(self) -> int:
        """Return a call reference; each call that we place has a connection of its own."""
        self._reference = self._reference % MAX_REFERENCE + 1
        return self._reference

    async def connect(self, address: Address, context: Any = None) -> Connection:
        """Open a signalling connection. Raises `Refused`."""
        made: asyncio.Future[Connection] = self._loop.create_future()

        def opened(connection: Connection) -> None:
            if made.done():
                connection.close()
            else:
                made.set_result(connection)

        def failed(detail: str) -> None:
            if not made.done():
                made.set_exception(Refused(Reason.UNREACHABLE, detail[:128]))

        self._network.connect(address, self, opened, failed, context)
        return await made
