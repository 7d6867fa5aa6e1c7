"""A gatekeeper of ours and endpoints of ours, joined by datagrams in memory under one clock."""

from __future__ import annotations

from random import Random
from typing import Any

from h323.ras import messages
from h323.ras.endpoint import Endpoint, EndpointConfig
from h323.ras.endpoint_calls import Asked, Denied, EndpointCalls, Granted
from h323.ras.events import GatekeeperConfig, Leads, SendRas
from h323.ras.gatekeeper import Gatekeeper
from h323.ras.guard import Guard, Policy
from h323.ras.registry import Registration
from h323.signalling.events import Address

WALL = 1_795_176_000.0
"""Seconds since 1970 at the clock's zero."""
GATEKEEPER = Address("192.0.2.1", 1719)
NEIGHBOUR = Address("192.0.2.2", 1719)
MAX_TIMERS = 100_000
"""Times that timers may ring in one wait: a refresh each half second of the longest, and more."""


class FakeHouse:
    """A house with rooms; what is not a room leads to endpoints or nowhere."""

    def __init__(self) -> None:
        self.rooms = {"100", "echo"}
        self.refused: set[str] = set()
        self.asked: list[tuple[str, str, str]] = []

    def leads(self, called: str, caller: Registration | None, source: str) -> Leads:
        self.asked.append((called, caller.account if caller else "", source))
        if called in self.refused:
            return Leads.REFUSED
        return Leads.HERE if called in self.rooms else Leads.NOWHERE

    def reserved(self, alias: str) -> bool:
        return alias in self.rooms


class Station:
    """An endpoint with its calls, and what it told."""

    def __init__(self, zone: Zone, address: Address, **config: Any) -> None:
        self.address = address
        self.signalling = Address(address.host, 1720)
        gatekeepers = config.pop("gatekeepers", (GATEKEEPER,))
        config.setdefault("aliases", ("bob",))
        self.core = Endpoint(
            EndpointConfig(gatekeepers, **config),
            address,
            self.signalling,
            Random(str(address)),
            lambda: WALL + zone.now,
        )
        self.calls = EndpointCalls(self.core)
        self.told: list[Any] = []
        self._zone = zone

    def ask(self, called: str = "", answers: bool = False, call: bytes = b"c" * 16, **more: Any) -> list[Any]:
        """Ask for admission and return where the outcome will stand."""
        outcome: list[Granted | Denied] = []
        asked = Asked(call, b"f" * 16, 7, answers, (called,) if called else (), **more)
        self.calls.admit(asked, outcome.append, self._zone.now)
        self._zone.run()
        return outcome

    def start(self) -> Station:
        self.core.start(self._zone.now)
        self._zone.run()
        return self


class Zone:
    """Everything together. lost says which datagrams never arrive: by their number."""

    def __init__(
        self,
        accounts: dict[str, str] | None = None,
        policy: Policy = Policy.OFF,
        house: FakeHouse | None = None,
        **config: Any,
    ) -> None:
        self.now = 0.0
        self.house = house or FakeHouse()
        self.told: list[Any] = []
        self.sent: list[tuple[str, messages.Value]] = []
        self.lost: set[int] = set()
        self.count = 0
        self.stations: list[Station] = []
        self.gatekeepers = {GATEKEEPER: self.make(accounts, policy, "Zone", **config)}
        self.gatekeeper = self.gatekeepers[GATEKEEPER]

    def make(self, accounts: dict[str, str] | None, policy: Policy, name: str, **config: Any) -> Gatekeeper:
        guard = Guard(accounts or {}, policy)
        return Gatekeeper(GatekeeperConfig(name, **config), self.house, guard, Random(name))

    def station(self, number: int = 10, port: int = 1719, **config: Any) -> Station:
        self.stations.append(Station(self, Address(f"192.0.2.{number}", port), **config))
        return self.stations[-1]

    def put(self, data: bytes, source: Address, to: Address = GATEKEEPER) -> None:
        """Bring a datagram to a gatekeeper, or an endpoint."""
        self.count += 1
        if self.count in self.lost:
            return
        if to in self.gatekeepers:
            self.gatekeepers[to].receive(data, source, to, self.now, WALL + self.now)
        for one in self.stations:
            if one.address == to:
                one.core.receive(data, source, self.now)

    def ask(
        self, name: str, body: messages.Value, source: Address, to: Address = GATEKEEPER
    ) -> tuple[str, messages.Value]:
        """Send a message made by hand, and return the answer."""
        before = len(self.sent)
        body = {"requestSeqNum": 1 + self.count % 60_000, **body}
        self.put(messages.write(name, body), source, to)
        self.run()
        return self.sent[before]

    def run(self) -> None:
        """Carry datagrams until there are none."""
        moved = True
        while moved:
            moved = False
            for address, gatekeeper in self.gatekeepers.items():
                for item in gatekeeper.take():
                    moved = True
                    self._carry(item, address, self.told)
            for one in self.stations:
                for item in one.core.take():
                    moved = True
                    self._carry(item, one.address, one.told)

    def _carry(self, item: Any, source: Address, told: list[Any]) -> None:
        if not isinstance(item, SendRas):
            told.append(item)
            return
        if source in self.gatekeepers:
            message = messages.read(item.data)
            self.sent.append((message.name, message.body))
        self.put(item.data, source, item.to)

    def wait(self, seconds: float) -> None:
        """Let time go by, from timer to timer."""
        end = self.now + seconds
        for _ in range(MAX_TIMERS):
            cores: list[Any] = [*self.gatekeepers.values()]
            for one in self.stations:
                cores += [one.core, one.calls]
            due = [at for core in cores if (at := core.next_timeout()) is not None]
            at = min(due, default=end)
            if at > end:
                break
            self.now = max(self.now, at)
            for core in cores:
                core.tick(self.now)
            self.run()
            if at >= end:
                break
        else:
            raise AssertionError("timers ring without end")
        self.now = end
        self.run()

    def reported(self, kind: type) -> list[Any]:
        return [one for one in self.told if isinstance(one, kind)]
