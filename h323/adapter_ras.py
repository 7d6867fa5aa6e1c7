"""RAS between the adapter, the cores in `h323.ras`, and the network: who may call, and where calls go.

Theory of operation. A zone is what stands behind it all: our own gatekeeper (`adapter_zone`), somebody else's
(`adapter_endpoint`), or none. It owns a socket and one timer; whatever touches its core is followed by `pump`. The
adapter asks here about each SETUP that comes, about each address that is dialled, and says when a call is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import ip_address
from random import Random
from typing import Any, Protocol

import structlog

from gateway.calls import CallFacts
from gateway.reasons import Reason, Refused
from h323.adapter_config import H323Config, RasConfig
from h323.adapter_facts import both_ways, picture_limit
from h323.h460.incoming import WaitingCall
from h323.h460.tunnel import TunnelAddress
from h323.ras.endpoint_calls import Asked
from h323.ras.events import Leads
from h323.ras.names import LOCATION, SIGNALLING, Names, SystemNames, look_up
from h323.session import SOUND_RATE
from h323.signalling.aliases import Dialled
from h323.signalling.events import Address, SetupFacts

log = structlog.get_logger()

RAS_PORT = 1719
MAX_PLACES = 4
"""Addresses of one host or domain that a call tries: each may cost the time of a connection."""
KNOWN_TIME = 300.0
"""Seconds after which the names of gatekeepers are asked for again: as long as DNS entries of moving hosts live."""
UNKNOWN_TIME = 10.0
"""The same where one was not known: at the start of a machine DNS may come later than we."""


@dataclass(frozen=True, slots=True)
class RegistrationInfo:
    """One endpoint that is registered with us, as plain data for people and the API; as `sip` tells of its own."""

    account: str
    display_name: str
    contact: str
    transport: str
    source: str
    seconds: int
    q: float
    agent: str
    path: tuple[str, ...]
    instance: str
    reachable: bool
    protocol: str
    aliases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Route:
    """Where a call goes, and what is dialled there. hidden: nobody can connect there, it must be summoned.

    bandwidth is what a gatekeeper leaves the call in bit/s, both directions together; None: all that it wants. others
    are where else the call may go, if nobody can be connected to at the address. endpoint is our identifier at the
    gatekeeper that the call goes to, which may let nobody else through.
    """

    address: Address
    alias: str
    hidden: bool = False
    bandwidth: int | None = None
    others: tuple[Address, ...] = ()
    endpoint: str = ""


class Plan(Protocol):
    """What the house's dial plan says to the gatekeeper."""

    def leads(self, facts: CallFacts) -> Leads:
        """Return where a call with these facts would go."""

    def reserved(self, alias: str) -> bool:
        """Tell whether no endpoint may have this name: a room's, or that of somebody who cannot prove it here."""


class NoPlan:
    """Knows of nothing: every alias is an endpoint's or nobody's."""

    def leads(self, facts: CallFacts) -> Leads:
        """See `Plan.leads`."""
        return Leads.NOWHERE

    def reserved(self, alias: str) -> bool:
        """See `Plan.reserved`."""
        return False


class Zone(Protocol):
    """A gatekeeper, ours or another's. Its methods raise `Refused`."""

    @property
    def port(self) -> int:
        """The UDP port that is bound, 0 where there is none."""

    async def start(self) -> None:
        """Bind and begin. Raises twisted's CannotListenError."""

    async def stop(self) -> None:
        """Leave in good order."""

    async def screen(self, facts: CallFacts, asked: Asked, setup: SetupFacts, peer: Address) -> CallFacts:
        """Look at a call that comes in."""

    async def admit(self, asked: Asked) -> Route | None:
        """Ask about a call that we place to an address, or to an alias; None: this zone does not know it."""

    async def locate(self, alias: str, places: list[Address]) -> Address | None:
        """Ask these gatekeepers, or where there are none those that the zone knows, where an alias is (LRQ)."""

    def uses(self, call: bytes, bandwidth: int) -> None:
        """A call takes another bandwidth than it asked for, in bit/s, both directions together."""

    def moved(self, places: tuple[Address, ...]) -> None:
        """These are the addresses of the gatekeepers now that the configuration names."""

    def over(self, call: bytes) -> None:
        """A call is over."""

    @property
    def traverses(self) -> bool:
        """Whether somebody else's gatekeeper lets us through a translator (H.460.18)."""

    def summon(self, address: Address, call: bytes, failed: Callable[[], None]) -> None:
        """Tell an endpoint of ours that a call waits for it; failed is called if it cannot be told."""

    def tunnelled(self, data: bytes, source: TunnelAddress, local: Address) -> None:
        """Take a RAS message out of a signalling connection (H.460.17); local is our end of that."""

    def holds(self, address: TunnelAddress) -> bool:
        """Tell whether an endpoint is registered by this connection."""

    def tunnel_closed(self, address: TunnelAddress) -> None:
        """A connection that carried RAS is gone."""

    def has(self, alias: str) -> bool:
        """Tell whether an endpoint of ours has this alias."""

    def registrations(self) -> tuple[RegistrationInfo, ...]:
        """Return who is registered with us."""

    def counters(self) -> dict[str, int]:
        """Return all counts by name."""


class NoZone:
    """There is no gatekeeper: every call may come, and none is known but by its address."""

    port = 0

    async def start(self) -> None:
        """Nothing begins."""

    async def stop(self) -> None:
        """Nothing ends."""

    async def screen(self, facts: CallFacts, asked: Asked, setup: SetupFacts, peer: Address) -> CallFacts:
        """Let every call in."""
        return facts

    async def admit(self, asked: Asked) -> Route | None:
        """Call an address that is known."""
        return Route(asked.address, "".join(asked.called[:1])) if asked.address is not None else None

    async def locate(self, alias: str, places: list[Address]) -> Address | None:
        """Nobody can be asked."""
        return None

    def uses(self, call: bytes, bandwidth: int) -> None:
        """Nobody wants to know."""

    def moved(self, places: tuple[Address, ...]) -> None:
        """There are none."""

    def over(self, call: bytes) -> None:
        """Nobody wants to know."""

    traverses = False

    def summon(self, address: Address, call: bytes, failed: Callable[[], None]) -> None:
        """Nobody is registered."""
        failed()

    def tunnelled(self, data: bytes, source: TunnelAddress, local: Address) -> None:
        """Nobody is here to take it."""

    def holds(self, address: TunnelAddress) -> bool:
        """Nobody is registered."""
        return False

    def tunnel_closed(self, address: TunnelAddress) -> None:
        """Nobody was registered."""

    def has(self, alias: str) -> bool:
        """Nobody is registered."""
        return False

    def registrations(self) -> tuple[RegistrationInfo, ...]:
        """Nobody is registered."""
        return ()

    def counters(self) -> dict[str, int]:
        """Nothing is counted."""
        return {}


class Ras:
    """One for the adapter. drop ends a call of ours by its identifier, limit bounds its bandwidth.

    send, let_go and summoned are to be set before `start`: they send RAS by an endpoint's connection, end its
    registration by that, and connect to a gatekeeper that has a call for us.
    """

    def __init__(
        self,
        config: H323Config,
        rng: Random,
        plan: Plan | None,
        drop: Callable[[bytes], None],
        limit: Callable[[bytes, int], None],
    ) -> None:
        self.send: Callable[[bytes, TunnelAddress], None] = lambda data, to: None
        self.let_go: Callable[[TunnelAddress], None] = lambda address: None
        self.summoned: Callable[[WaitingCall], None] = lambda waiting: None
        self._config = config
        self._rng = rng
        self._plan = plan or NoPlan()
        self._drop = drop
        self._limit = limit
        self._named: tuple[str, ...] = ()
        self._unknown: list[str] = []
        self._looking: asyncio.Task[None] | None = None
        self._names: Names
        self._zone: Zone = NoZone()

    async def start(self, reactor: Any, signalling_port: int) -> int | None:
        """Begin, and return the port of RAS, None where there is none. Raises twisted's CannotListenError."""
        from h323.adapter_endpoint import EndpointZone
        from h323.adapter_zone import OwnZone

        ras = self._config.ras
        self._names = SystemNames(reactor)
        if ras.gatekeeper == "embedded" and ras.port is not None:
            self._named = ras.neighbours
            found = await self._places()
            self._zone = OwnZone(
                self._config, reactor, self._rng, self._plan, signalling_port, found, self.send, self.let_go
            )
        elif ras.gatekeeper not in ("embedded", "off"):
            self._named = () if ras.gatekeeper == "auto" else (ras.gatekeeper,)
            found = await self._places()
            place = found[0] if found else None
            self._zone = EndpointZone(
                self._config, reactor, self._rng, signalling_port, place, self._drop, self._limit, self.summoned
            )
        await self._zone.start()
        if not all(_is_literal(split_host(one, RAS_PORT)[0]) for one in self._named):
            self._looking = asyncio.get_running_loop().create_task(self._look_again())
        return self._zone.port or None

    async def stop(self) -> None:
        """Leave the gatekeeper, or tell everybody that there is none any more."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        await self._zone.stop()

    async def _places(self) -> tuple[Address, ...]:
        """Return where the gatekeepers are that the configuration names, as far as their names are known now."""
        found = [await self._place(one) for one in self._named]
        unknown = [name for name, place in zip(self._named, found, strict=True) if place is None]
        if unknown != self._unknown:
            log.warning("h323_gatekeeper_unknown", gatekeepers=unknown)
            self._unknown = unknown
        return tuple(one for one in found if one is not None)

    async def _look_again(self) -> None:
        """Ask for the names again and again: one that is not known yet may be soon, and hosts move."""
        while True:
            await asyncio.sleep(UNKNOWN_TIME if self._unknown else KNOWN_TIME)
            self._zone.moved(await self._places())

    async def _place(self, text: str) -> Address | None:
        """Return where a gatekeeper is that is named as host[:port]."""
        host, port = split_host(text, RAS_PORT)
        if _is_literal(host):
            return Address(host, port)
        found = await self._names.addresses(host)
        return Address(found[0], port) if found else None

    # calls

    async def screen(self, facts: CallFacts, setup: SetupFacts, reference: int, peer: Address) -> CallFacts:
        """Look at a SETUP that came: return its facts with the account that it belongs to. Raises `Refused`."""
        asked = Asked(
            call=setup.call,
            conference=setup.conference,
            reference=reference,
            answers=True,
            called=setup.called_aliases,
            caller=setup.caller_aliases,
            caller_address=setup.caller_address or peer,
            bandwidth=both_ways(SOUND_RATE + (picture_limit(setup.bandwidth) or self._config.bandwidth)),
        )
        return await self._zone.screen(facts, asked, setup, peer)

    async def route(
        self, dialled: Dialled, call: bytes, conference: bytes, reference: int, usual: int, bandwidth: int
    ) -> Route:
        """Return where a call goes that we place: `alias`, `alias@host`, `alias@domain` or `host`. Raises `Refused`.

        An alias alone is looked for among our registrations, at the gatekeeper that we are registered with, at the
        neighbours; at last it is taken for the name of a host. usual is the port of a host that names none, bandwidth
        what the call will take in bit/s, both directions together.
        """
        asked = Asked(call, conference, reference, False, bandwidth=bandwidth)
        host, alias = dialled.host, dialled.alias
        if not host:
            literal = _is_literal(split_host(alias, 0)[0])
            found = None if literal else await self._known(replace(asked, called=(alias,)))
            if found is not None:
                return found
            host, alias = alias, ""
        if dialled.pin:
            alias = f"{alias}#{dialled.pin}"
        addresses = await self._addresses(host, alias, usual)
        if not addresses:
            unknown = Reason.UNREACHABLE if dialled.host else Reason.NO_SUCH_USER
            raise Refused(unknown, f"{host[:64]} is not known")
        address = addresses[0]
        found = await self._zone.admit(replace(asked, called=(alias,) if alias else (), address=address))
        found = found or Route(address, alias)
        return replace(found, others=tuple(addresses[1:MAX_PLACES])) if found.address == address else found

    async def _known(self, asked: Asked) -> Route | None:
        (alias,) = asked.called
        found = await self._zone.admit(asked)
        if found is not None:
            return found
        address = await self._zone.locate(alias, [])
        return Route(address, alias) if address is not None else None

    async def _addresses(self, host: str, alias: str, usual: int) -> list[Address]:
        """Return where a host is called, the best first."""
        name, port = split_host(host, 0)
        if _is_literal(name):
            return [Address(name, port or usual)]
        if not port and "." in name:
            found = await look_up(self._names, SIGNALLING, name, self._rng)
            if found:
                return found
            places = [one for service in LOCATION for one in await look_up(self._names, service, name, self._rng)]
            located = await self._zone.locate(f"{alias}@{name}" if alias else name, places) if places else None
            if located is not None:
                return [located]
        return [Address(one, port or usual) for one in await self._names.addresses(name)]

    def uses(self, call: bytes, bandwidth: int) -> None:
        """A call takes another bandwidth than it asked for, in bit/s, both directions together."""
        self._zone.uses(call, bandwidth)

    def over(self, call: bytes) -> None:
        """A call is over."""
        self._zone.over(call)

    # through translators

    @property
    def traverses(self) -> bool:
        """Whether somebody else's gatekeeper lets us through a translator (H.460.18)."""
        return self._zone.traverses

    def summon(self, address: Address, call: bytes, failed: Callable[[], None]) -> None:
        """Tell an endpoint of ours that a call waits for it; failed is called if it cannot be told."""
        self._zone.summon(address, call, failed)

    def tunnelled(self, data: bytes, source: TunnelAddress, local: Address) -> None:
        """Take a RAS message out of a signalling connection (H.460.17)."""
        self._zone.tunnelled(data, source, local)

    def holds(self, address: TunnelAddress) -> bool:
        """Tell whether an endpoint is registered by this connection."""
        return self._zone.holds(address)

    def tunnel_closed(self, address: TunnelAddress) -> None:
        """A connection that carried RAS is gone."""
        self._zone.tunnel_closed(address)

    # what others want to know

    def has(self, alias: str) -> bool:
        """Tell whether an endpoint of ours has this alias."""
        return self._zone.has(alias)

    def registrations(self) -> tuple[RegistrationInfo, ...]:
        """Return who is registered with us, by name."""
        return self._zone.registrations()

    def counters(self) -> dict[str, int]:
        """Return all counts by name."""
        return {f"ras.{name}": count for name, count in self._zone.counters().items()}


def split_host(text: str, usual: int) -> tuple[str, int]:
    """Return host and port of `host`, `host:port` or `[address]:port`."""
    host, mark, port = text.rpartition(":")
    if not mark or "]" in port or not port.isdigit() or (":" in host and not host.startswith("[")):
        host, port = text, str(usual)
    return host.strip("[]"), min(int(port), 65_535)


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


REASONS: dict[str, Reason] = {
    "calledPartyNotRegistered": Reason.NO_SUCH_USER,
    "incompleteAddress": Reason.NO_SUCH_USER,
    "unallocatedNumber": Reason.NO_SUCH_USER,
    "noRouteToDestination": Reason.UNREACHABLE,
    "silent": Reason.UNREACHABLE,
    "unregistered": Reason.UNREACHABLE,
    "resourceUnavailable": Reason.OVERLOAD,
    "exceedsCallCapacity": Reason.OVERLOAD,
    "securityDenial": Reason.AUTHENTICATION_NEEDED,
    "securityError": Reason.AUTHENTICATION_NEEDED,
}
"""What a gatekeeper's reason means here; all others are that it is not allowed."""


def denied(reason: str) -> Refused:
    """Return the refusal that an admission reject stands for."""
    return Refused(REASONS.get(reason, Reason.NOT_ALLOWED), f"by the gatekeeper: {reason}")


class Pump:
    """One timer of a core on the loop; work is what to do when it rings and after everything."""

    def __init__(self, due: Callable[[], float | None], ring: Callable[[float], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._due = due
        self._ring = ring
        self._timer: asyncio.TimerHandle | None = None
        self._at: float | None = None

    def set(self) -> None:
        """Set the timer anew where another time is wanted."""
        at = self._due()
        if at != self._at:
            if self._timer is not None:
                self._timer.cancel()
            self._at = at
            self._timer = None if at is None else self._loop.call_at(at, self._rings)

    def _rings(self) -> None:
        self._timer = self._at = None
        self._ring(self._loop.time())

    def stop(self) -> None:
        """Ring no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


__all__ = ["Plan", "Pump", "Ras", "RasConfig", "RegistrationInfo", "Route", "denied"]
