"""The embedded gatekeeper on its socket: datagrams and time to the core, and what it tells to the log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import structlog

from gateway.calls import CallFacts, CallProtocol, Direction
from gateway.reasons import Reason, Refused
from gateway.text import clean
from h323.adapter_config import H323Config
from h323.adapter_facts import MAX_ADDRESS, MAX_AGENT
from h323.adapter_facts import source as source_of
from h323.adapter_ras import Plan, Pump, RegistrationInfo, Route
from h323.h460.tunnel import TunnelAddress
from h323.ras.endpoint_calls import Asked
from h323.ras.events import (
    AdmissionRefused,
    Admitted,
    GatekeeperConfig,
    Leads,
    Registered,
    RegistrationRefused,
    SendRas,
    Unregistered,
)
from h323.ras.gatekeeper import Gatekeeper
from h323.ras.gatekeeper_calls import search
from h323.ras.gatekeeper_traversal import summon
from h323.ras.guard import Guard, Policy
from h323.ras.messages import text_id
from h323.ras.registry import Registration, bare
from h323.ras.transport import RasSocket
from h323.signalling.events import Address, SetupFacts

log = structlog.get_logger()


class OwnZone:
    """Our zone; implements `adapter_ras.Zone`, and `ras.events.House` towards its core."""

    def __init__(
        self,
        config: H323Config,
        reactor: Any,
        rng: Random,
        plan: Plan,
        signalling_port: int,
        neighbours: tuple[Address, ...],
        send: Callable[[bytes, TunnelAddress], None] = lambda data, to: None,
        let_go: Callable[[TunnelAddress], None] = lambda address: None,
    ) -> None:
        """send sends RAS by the connection of an endpoint that is registered by it; let_go hears when it is no more."""
        ras = config.ras
        self._send, self._let_go = send, let_go
        self._config = ras
        self._plan = plan
        self._loop = asyncio.get_running_loop()
        self._guard = Guard(ras.accounts, Policy(ras.authenticate))
        told = GatekeeperConfig(
            ras.name,
            ras.routed,
            ras.pregranted,
            ras.ttl,
            ras.call_bandwidth,
            ras.total_bandwidth,
            neighbours,
            ras.traversal,
        )
        self._core = Gatekeeper(told, self, self._guard, rng, signalling_port)
        self._socket = RasSocket(reactor, config.address, config.public_address, self._received)
        self._pump = Pump(self._core.next_timeout, self._tick)
        self._running = False

    @property
    def port(self) -> int:
        """The UDP port that is bound."""
        return self._socket.port

    async def start(self) -> None:
        """See `Zone.start`."""
        assert self._config.port is not None
        self._socket.listen(self._config.port)
        self._socket.join()
        self._running = True
        log.info("h323_gatekeeper", name=self._config.name, port=self.port, routed=self._config.routed)

    async def stop(self) -> None:
        """Tell endpoints that we go; nobody waits for their answers."""
        if self._running:
            self._core.stop(self._loop.time())
            self._flush()
            self._running = False
        self._pump.stop()
        await self._socket.stop(self._loop)

    # the core

    def _received(self, data: bytes, source: Address, multicast: bool) -> None:
        if not self._running:
            return
        self._take(data, source, self._socket.towards(source.host), multicast)

    def tunnelled(self, data: bytes, source: TunnelAddress, local: Address) -> None:
        """See `Zone.tunnelled`."""
        if self._running and self._config.traversal:
            host = self._socket.public or local.host
            self._take(data, source, Address(host, self._socket.port), False)

    def _take(self, data: bytes, source: Address, local: Address, multicast: bool) -> None:
        try:
            self._core.receive(data, source, local, self._loop.time(), time.time(), multicast)
        except Exception as error:
            self._core.counters["internal_errors"] += 1
            log.error("h323_ras_fault", source=source_of(source), error=repr(error), exc_info=error)
        self._flush()

    def _tick(self, now: float) -> None:
        self._core.tick(now)
        self._flush()

    def _flush(self) -> None:
        for item in self._core.take():
            match item:
                case SendRas(data, to, name):
                    self._core.counters[f"sent.{name}"] += 1
                    if isinstance(to, TunnelAddress):
                        self._send(data, to)
                    else:
                        self._socket.send(data, to)
                case Registered(one, fresh):
                    log.info("h323_registered", **_named(one), fresh=fresh, proof=one.scheme, product=one.product)
                case Unregistered(one, cause):
                    if isinstance(one.ras, TunnelAddress):
                        self._let_go(one.ras)
                    log.info("h323_unregistered", **_named(one), cause=cause)
                case RegistrationRefused(source, names, reason, detail):
                    named = [clean(one, MAX_ADDRESS) for one in names[:4]]
                    log.warning(
                        "h323_registration_refused",
                        source=source_of(source),
                        aliases=named,
                        reason=reason,
                        detail=detail,
                    )
                case Admitted(name, called, model):
                    log.debug("h323_admitted", endpoint=clean(name, 64), called=clean(called, 64), model=model)
                case AdmissionRefused(name, called, reason):
                    log.info("h323_not_admitted", endpoint=clean(name, 64), called=clean(called, 64), reason=reason)
        if self._running:
            self._pump.set()

    # the house, towards the core

    def leads(self, called: str, caller: Registration | None, source: str) -> Leads:
        """See `House.leads`."""
        return self._plan.leads(
            CallFacts(
                protocol=CallProtocol.H323,
                direction=Direction.INCOMING,
                source=source,
                caller=f"h323:{caller.name}" if caller is not None else "",
                name=caller.name if caller is not None else "",
                called=clean(called, MAX_ADDRESS),
                account=caller.account if caller is not None else "",
            )
        )

    def reserved(self, alias: str) -> bool:
        """See `House.reserved`."""
        return self._plan.reserved(alias)

    # calls

    async def screen(self, facts: CallFacts, asked: Asked, setup: SetupFacts, peer: Address) -> CallFacts:
        """Tell whose call it is by its admission, and refuse who must have proved that and has not."""
        endpoint = self._caller(asked, setup, peer)
        if endpoint is not None:
            return replace(facts, account=endpoint.account) if endpoint.account else facts
        claimed = (*setup.caller_aliases, setup.caller_number)
        policy = self._guard.policy
        if policy is Policy.ALL or (policy is Policy.REGISTERED and any(bare(one) in self._guard for one in claimed)):
            raise Refused(Reason.AUTHENTICATION_NEEDED, "the gatekeeper has not admitted this call")
        return facts

    def _caller(self, asked: Asked, setup: SetupFacts, peer: Address) -> Registration | None:
        """Return the endpoint that calls: the one that was admitted, or may call without."""
        registry = self._core.registry
        for end in self._core.admissions.ends(asked.call):
            one = registry.get(end.endpoint)
            if one is not None and not end.answers and peer.host in (one.signalling.host, one.ras.host):
                return one
        if not (self._config.routed and self._config.pregranted):
            return None
        known = registry.get(text_id(setup.body.get("endpointIdentifier")))
        for one in (known, *map(registry.named, setup.caller_aliases)):
            if one is not None and peer.host in (one.signalling.host, one.ras.host):
                return one
        return None

    async def admit(self, asked: Asked) -> Route | None:
        """Find an endpoint of ours; what is no alias of ours goes where it is addressed."""
        if asked.address is not None:
            return Route(asked.address, "".join(asked.called[:1]))
        (alias,) = asked.called
        one = self._core.registry.find(alias)
        return Route(one.signalling, bare(alias), one.hidden) if one is not None else None

    async def locate(self, alias: str, places: list[Address]) -> Address | None:
        """Ask the neighbours, or others that DNS names."""
        found: asyncio.Future[Address | None] = self._loop.create_future()

        def answer(address: Address | None) -> None:
            if not found.done():
                found.set_result(address)

        asked = tuple(places) or self._core.config.neighbours
        local = self._socket.towards(asked[0].host) if asked else Address("0.0.0.0", 0)
        search(self._core, (alias,), local, answer, self._loop.time(), asked)
        self._flush()
        return await found

    def uses(self, call: bytes, bandwidth: int) -> None:
        """Calls of the house are not admitted: it is the gatekeeper."""

    def moved(self, places: tuple[Address, ...]) -> None:
        """See `Zone.moved`: these are the neighbours."""
        self._core.config = replace(self._core.config, neighbours=places)

    def over(self, call: bytes) -> None:
        """Endpoints disengage by themselves."""

    # through translators

    traverses = False

    def summon(self, address: Address, call: bytes, failed: Callable[[], None]) -> None:
        """See `Zone.summon`."""
        one = self._core.registry.at(address)
        if one is None:
            failed()
            return
        summon(self._core, one, call, failed, self._loop.time())
        self._flush()

    def holds(self, address: TunnelAddress) -> bool:
        """See `Zone.holds`."""
        return self._core.registry.at(address) is not None

    def tunnel_closed(self, address: TunnelAddress) -> None:
        """See `Zone.tunnel_closed`: who was registered by it cannot be reached any more."""
        one = self._core.registry.at(address)
        if one is not None:
            self._core.forget(one, "connection closed")
            self._flush()

    # what others want to know

    def has(self, alias: str) -> bool:
        """See `Zone.has`."""
        return self._core.registry.find(alias) is not None

    def registrations(self) -> tuple[RegistrationInfo, ...]:
        """See `Zone.registrations`."""
        now = self._loop.time()
        return tuple(_info(one, now) for one in sorted(self._core.registry, key=lambda one: (one.name, one.id)))

    def counters(self) -> dict[str, int]:
        """See `Zone.counters`."""
        refused = {f"proofs_refused.{problem.value}": count for problem, count in self._guard.refused.items()}
        return {
            **self._core.counters,
            **refused,
            "registrations": len(self._core.registry),
            "admitted_calls": self._core.admissions.calls,
            "bandwidth": self._core.admissions.used,
        }


def _named(one: Registration) -> dict[str, Any]:
    return {
        "endpoint": one.id,
        "account": one.account,
        "aliases": [clean(alias, MAX_ADDRESS) for alias in (*one.aliases, *(f"{part}*" for part in one.prefixes))],
        "contact": source_of(one.signalling),
    }


def _info(one: Registration, now: float) -> RegistrationInfo:
    aliases = (*one.aliases, *(f"{part}*" for part in one.prefixes))
    return RegistrationInfo(
        account=one.account or clean(one.name, MAX_ADDRESS),
        display_name="",
        contact=f"h323:{source_of(one.signalling)}",
        transport="tcp",
        source=source_of(one.ras),
        seconds=max(0, round(one.expires - now)),
        q=1.0,
        agent=clean(one.product, MAX_AGENT),
        path=(),
        instance=one.id,
        reachable=True,
        protocol="h323",
        aliases=tuple(clean(alias, MAX_ADDRESS) for alias in aliases),
    )
