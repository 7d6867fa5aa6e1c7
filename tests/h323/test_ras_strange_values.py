"""RAS messages that the schema allows and that nobody would send, on their way between our gatekeeper and endpoints."""

from __future__ import annotations

import random

from h323_grafts import Grafts
from h323_samples import frames
from ras_zone import GATEKEEPER, NEIGHBOUR, Station, Zone

from h323.messages import Kind, decode, encode
from h323.ras.guard import Policy
from h323.signalling.events import Address

EVE = Address("192.0.2.66", 1719)
CALLS = (b"c" * 16, b"d" * 16)
ZONES = 60
"""Zones that live for some minutes each; some thousand were tried by hand."""
TURNS = 20


class StrangeZone(Zone):
    """A zone on whose network messages change, though never into what the codec would refuse."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__(
            {"bob": "secret"},
            chance.choice(list(Policy)),
            neighbours=(NEIGHBOUR,) if chance.random() < 0.5 else (),
            routed=chance.random() < 0.5,
            pregranted=chance.random() < 0.5,
            total_bandwidth=chance.choice([None, 1_000_000]),
        )
        self.changing = 0.0
        self._chance = chance
        self._grafts = Grafts(chance)
        self.gatekeepers[NEIGHBOUR] = self.make(None, Policy.OFF, "Other")
        self.station(10, aliases=("bob", "4711"), user="bob" if chance.random() < 0.5 else "", password="secret")
        self.station(11, aliases=("ann",))
        self.station(12, aliases=("gate",), prefixes=("9",))

    def put(self, data: bytes, source: Address, to: Address = GATEKEEPER) -> None:
        if self._chance.random() < self.changing:
            data = self._grafts.graft(Kind.RAS, decode(Kind.RAS, data), self._chance.randrange(1, 3))
        super().put(data, source, to)

    def turn(self) -> None:
        """Let something happen."""
        chance, one = self._chance, self._chance.choice(self.stations)
        match chance.randrange(8):
            case 0:
                one.ask(
                    chance.choice(["100", "bob", "ann", "95", "nobody"]), chance.random() < 0.3, chance.choice(CALLS)
                )
            case 1:
                self.wait(chance.choice([1, 10, 100, 400]))
            case 2:
                one.calls.leave(chance.choice(CALLS), self.now)
            case 3:
                self._change(one)
            case 4:
                one.core.start(self.now)
            case _:
                self._stranger()
        self.run()

    def _change(self, one: Station) -> None:
        one.calls.change_bandwidth(self._chance.choice(CALLS), 100_000, lambda _: None, self.now)
        one.calls.locate(("ann",), lambda _: None, self.now)

    def _stranger(self) -> None:
        """Somebody sends what was captured elsewhere, for one who is registered here."""
        name, body = decode(Kind.RAS, self._chance.choice([octets for _, kind, octets in frames() if kind == "RAS"]))
        known = [one.id for one in self.gatekeeper.registry]
        if "endpointIdentifier" in body and known:
            body = {**body, "endpointIdentifier": self._chance.choice(known)}
        whole = self._chance.random() < 0.2
        octets = self._grafts.any(Kind.RAS) if whole else encode(Kind.RAS, (name, body))
        stations = [one.address for one in self.stations]
        self.put(
            octets,
            self._chance.choice([EVE, GATEKEEPER, NEIGHBOUR, *stations]),
            self._chance.choice([GATEKEEPER, *stations]),
        )


def test_strange_values_are_no_fault() -> None:
    first = random.SystemRandom().randrange(1 << 32)
    for seed in range(first, first + ZONES):
        print(f"seed {seed}")
        zone = StrangeZone(random.Random(seed))
        for one in zone.stations:
            one.start()
        before = [one.core.registered for one in zone.stations]
        zone.changing = 0.4
        for _ in range(TURNS):
            zone.turn()
        zone.changing = 0.0
        zone.wait(2_000)
        assert [one.core.registered for one in zone.stations] == before  # when all is well again, so are they
