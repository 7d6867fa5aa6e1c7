"""Our registration with somebody else's gatekeeper, on its socket."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import structlog

from gateway.calls import CallFacts
from h323.adapter_config import H323Config
from h323.adapter_facts import source as source_of
from h323.adapter_ras import Pump, RegistrationInfo, Route, denied
from h323.h460.incoming import WaitingCall
from h323.h460.tunnel import TunnelAddress
from h323.ras.endpoint import MULTICAST, Endpoint, EndpointConfig, State
from h323.ras.endpoint_calls import Asked, Denied, EndpointCalls, Granted
from h323.ras.endpoint_events import DropCall, Joined, LimitCall, NotJoined, Summoned
from h323.ras.events import SendRas
from h323.ras.transport import RasSocket
from h323.signalling.events import Address, SetupFacts
from h323.signalling.messages import LocalParty

log = structlog.get_logger()

LEAVE_TIME = 0.5
"""Seconds that the gatekeeper has to confirm that we leave, when the service stops."""
ELSEWHERE = frozenset({"calledPartyNotRegistered", "unallocatedNumber", "noRouteToDestination", "unregistered"})
"""Reasons of a gatekeeper that does not know an alias: it may be found by other means."""


class EndpointZone:
    """Another's zone; implements `adapter_ras.Zone`. place None looks for it by multicast."""

    def __init__(
        self,
        config: H323Config,
        reactor: Any,
        rng: Random,
        signalling_port: int,
        place: Address | None,
        drop: Callable[[bytes], None],
        limit: Callable[[bytes, int], None],
        summoned: Callable[[WaitingCall], None] = lambda waiting: None,
    ) -> None:
        """drop ends a call, limit bounds it; summoned hears of calls for which we are to connect to the gatekeeper."""
        self._summoned = summoned
        self._config = config
        self._rng = rng
        self._signalling_port = signalling_port
        self._place = place or (MULTICAST if config.ras.gatekeeper == "auto" else None)
        self._drop, self._limit = drop, limit
        self._loop = asyncio.get_running_loop()
        self._socket = RasSocket(reactor, config.address, config.public_address, self._received)
        self._core: Endpoint | None = None
        self._calls: EndpointCalls
        self._pump: Pump
        self._gone = asyncio.Event()

    @property
    def port(self) -> int:
        """The UDP port that is bound."""
        return self._socket.port

    async def start(self) -> None:
        """See `Zone.start`."""
        ras = self._config.ras
        self._socket.listen(ras.port if ras.port is not None else 0)
        if self._place is not None:
            self._begin(self._place)

    def moved(self, places: tuple[Address, ...]) -> None:
        """See `Zone.moved`: one that is found only now is joined, another address is taken when the old one fails."""
        if not places or places[0] == self._place:
            return
        self._place = places[0]
        if self._core is None:
            self._begin(self._place)
        else:
            self._core.config = replace(self._core.config, gatekeepers=places)

    def _begin(self, place: Address) -> None:
        ras = self._config.ras
        host = self._socket.host_towards(place.host)
        told = EndpointConfig(
            (place,),
            ras.aliases or (ras.name,),
            ras.prefixes,
            ras.user,
            ras.password,
            ras.ttl,
            LocalParty(display=self._config.display, product=self._config.display),
            ras.traversal,
        )
        signalling = Address(host, self._signalling_port)
        self._core = Endpoint(told, Address(host, self.port), signalling, self._rng, time.time)
        self._calls = EndpointCalls(self._core)
        self._pump = Pump(self._due, self._tick)
        self._core.start(self._loop.time())
        self._flush()

    async def stop(self) -> None:
        """See `Zone.stop`."""
        if self._core is not None:
            self._core.stop(self._loop.time())
            self._flush()
            try:
                await asyncio.wait_for(self._gone.wait(), LEAVE_TIME)
            except TimeoutError:
                log.info("h323_gatekeeper_silent", gatekeeper=source_of(self._core.zone.address))
            self._pump.stop()
            self._core = None
        await self._socket.stop(self._loop)

    # the core

    def _received(self, data: bytes, source: Address, multicast: bool) -> None:
        core = self._core
        if core is None:
            return
        try:
            core.receive(data, source, self._loop.time())
        except Exception as error:
            core.counters["internal_errors"] += 1
            log.error("h323_ras_fault", source=source_of(source), error=repr(error), exc_info=error)
        self._flush()

    def _due(self) -> float | None:
        core = self._core
        due = (core.next_timeout(), self._calls.next_timeout()) if core is not None else ()
        return min((one for one in due if one is not None), default=None)

    def _tick(self, now: float) -> None:
        if self._core is not None:
            self._core.tick(now)
            self._calls.tick(now)
            self._flush()

    def _flush(self) -> None:
        core = self._core
        if core is None:
            return
        for item in core.take():
            match item:
                case SendRas(data, to, name):
                    core.counters[f"sent.{name}"] += 1
                    self._socket.send(data, to)
                case Joined(name, address, endpoint):
                    log.info("h323_joined_gatekeeper", name=name, gatekeeper=source_of(address), endpoint=endpoint)
                case NotJoined(reason, was):
                    log.warning("h323_left_gatekeeper" if was else "h323_gatekeeper_refused", reason=reason)
                case DropCall(call):
                    self._drop(call)
                case Summoned(waiting):
                    self._summoned(waiting)
                case LimitCall(call, bandwidth):
                    self._limit(call, bandwidth)
        if core.state is State.GONE:
            self._gone.set()
        self._pump.set()

    # calls

    async def _ask(self, asked: Asked) -> Granted | Denied:
        found: asyncio.Future[Granted | Denied] = self._loop.create_future()

        def outcome(result: Granted | Denied) -> None:
            if not found.done():
                found.set_result(result)

        self._calls.admit(asked, outcome, self._loop.time())
        self._flush()
        return await found

    async def screen(self, facts: CallFacts, asked: Asked, setup: SetupFacts, peer: Address) -> CallFacts:
        """Ask whether we may take the call; who is not registered has nobody to ask."""
        if self._core is None or not self._core.registered:
            return facts
        result = await self._ask(asked)
        if isinstance(result, Denied):
            raise denied(result.reason)
        if result.bandwidth < asked.bandwidth:
            self._limit(asked.call, result.bandwidth)
        return facts

    async def admit(self, asked: Asked) -> Route | None:
        """Ask where the call goes."""
        alias = "".join(asked.called[:1])
        if self._core is None or not self._core.registered:
            return Route(asked.address, alias) if asked.address is not None else None
        result = await self._ask(asked)
        if isinstance(result, Granted):
            address = result.address or asked.address
            left = result.bandwidth if result.bandwidth < asked.bandwidth else None
            if address is None:
                return None
            zone = self._core.zone
            endpoint = zone.endpoint if address == zone.signalling else ""
            return Route(address, "".join(result.called[:1]) or alias, bandwidth=left, endpoint=endpoint)
        if asked.address is None and result.reason in ELSEWHERE:
            return None
        raise denied(result.reason)

    async def locate(self, alias: str, places: list[Address]) -> Address | None:
        """Ask our gatekeeper; those of other domains are asked by it."""
        if self._core is None:
            return None
        found: asyncio.Future[Address | None] = self._loop.create_future()

        def outcome(address: Address | None) -> None:
            if not found.done():
                found.set_result(address)

        self._calls.locate((alias,), outcome, self._loop.time())
        self._flush()
        return await found

    def uses(self, call: bytes, bandwidth: int) -> None:
        """See `Zone.uses`: ask for it (BRQ), and do with less where it is not granted."""
        asked = self._calls.going.get(call) if self._core is not None else None
        if asked is None or asked.bandwidth == bandwidth:
            return
        before = asked.bandwidth

        def outcome(granted: int | None) -> None:
            left = before if granted is None else granted
            if left < bandwidth:
                self._limit(call, left)

        self._calls.change_bandwidth(call, bandwidth, outcome, self._loop.time())
        self._flush()

    def over(self, call: bytes) -> None:
        """See `Zone.over`."""
        if self._core is not None:
            self._calls.leave(call, self._loop.time())
            self._flush()

    # through translators

    @property
    def traverses(self) -> bool:
        """See `Zone.traverses`."""
        return self._core is not None and self._core.registered and self._core.zone.traverses

    def summon(self, address: Address, call: bytes, failed: Callable[[], None]) -> None:
        """Nobody is registered with us."""
        failed()

    def tunnelled(self, data: bytes, source: TunnelAddress, local: Address) -> None:
        """Nobody registers with us."""

    def holds(self, address: TunnelAddress) -> bool:
        """Nobody is registered with us."""
        return False

    def tunnel_closed(self, address: TunnelAddress) -> None:
        """Nobody was registered with us."""

    # what others want to know

    def has(self, alias: str) -> bool:
        """Nobody is registered with us."""
        return False

    def registrations(self) -> tuple[RegistrationInfo, ...]:
        """Nobody is registered with us."""
        return ()

    def counters(self) -> dict[str, int]:
        """See `Zone.counters`."""
        core = self._core
        return {} if core is None else {**core.counters, "joined": int(core.registered)}
