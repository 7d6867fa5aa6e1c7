"""Our registration with another's gatekeeper, when datagrams are lost, gatekeepers silent or change their mind."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from ras_zone import GATEKEEPER, NEIGHBOUR, WALL, Zone

from h323.ras import messages
from h323.ras.endpoint import LONGEST_WAIT, MAX_PLACES, MULTICAST, State
from h323.ras.endpoint_calls import Denied, Granted
from h323.ras.endpoint_events import Joined, NotJoined
from h323.ras.guard import Policy
from h323.signalling.aliases import write_address
from h323.signalling.events import Address

SILENT = Address("192.0.2.99", 1719)


def test_a_lost_request_is_sent_again() -> None:
    zone = Zone()
    zone.lost = {1, 3, 6}
    bob = zone.station().start()
    zone.wait(20)
    assert bob.core.registered


def test_whatever_is_lost_all_is_well_once_nothing_is_lost() -> None:
    for seed in range(15):
        rng = random.Random(seed)
        zone = Zone({"bob": "secret"}, Policy.REGISTERED, ttl=60)
        zone.lost = {number for number in range(1, 40) if rng.random() < 0.5}
        bob = zone.station(user="bob", password="secret").start()
        zone.wait(3_000)
        assert bob.core.registered, seed
        assert len(zone.gatekeeper.registry) == 1, seed
        assert len(bob.core.requests) == len(zone.gatekeeper.requests) == 0, seed


def test_attempts_come_slower_and_slower_but_never_end() -> None:
    zone = Zone()
    bob = zone.station(gatekeepers=(SILENT,)).start()
    tried: list[float] = []
    while len(tried) < 9:
        zone.wait(1)
        if bob.told and isinstance(bob.told[-1], NotJoined):
            tried.append(zone.now)
            bob.told.clear()
    gaps = [after - before for before, after in pairwise(tried)]
    assert gaps[0] < 30
    assert all(after > before for before, after in pairwise(gaps[:4]))
    assert max(gaps) <= LONGEST_WAIT * 1.25 + 15
    assert bob.core.state is State.WAITING


def test_the_next_gatekeeper_is_taken_where_one_is_silent() -> None:
    zone = Zone()
    bob = zone.station(gatekeepers=(SILENT, GATEKEEPER)).start()
    zone.wait(12)
    assert bob.core.registered
    assert bob.told == [Joined("Zone", GATEKEEPER, bob.core.zone.endpoint)]


def test_an_alternate_takes_over_when_the_gatekeeper_falls_silent() -> None:
    zone = Zone(ttl=60)
    zone.gatekeepers[NEIGHBOUR] = zone.make(None, Policy.OFF, "Far")
    bob = zone.station().start()
    bob.core._learn_alternates(
        {"alternateGatekeeper": [{"rasAddress": write_address(NEIGHBOUR), "needToRegister": True, "priority": 1}]}
    )
    del zone.gatekeepers[GATEKEEPER]
    zone.wait(90)
    assert bob.core.registered
    assert bob.core.zone.name == "Far"
    assert NotJoined("silent", True) in bob.told


def test_a_call_that_the_gatekeeper_is_silent_to_is_asked_for_at_an_alternate() -> None:
    zone = Zone(ttl=300)
    zone.gatekeepers[NEIGHBOUR] = zone.make(None, Policy.OFF, "Far")
    bob = zone.station().start()
    bob.core._learn_alternates(
        {"alternateGatekeeper": [{"rasAddress": write_address(NEIGHBOUR), "needToRegister": True, "priority": 1}]}
    )
    del zone.gatekeepers[GATEKEEPER]
    outcome = bob.ask("100")
    zone.wait(10)
    (granted,) = outcome
    assert isinstance(granted, Granted)
    assert (bob.core.registered, bob.core.zone.name) == (True, "Far")
    assert zone.gatekeepers[NEIGHBOUR].admissions.calls == 1


def test_a_call_waits_for_an_alternate_no_longer_than_a_caller_does() -> None:
    zone = Zone(ttl=300)
    bob = zone.station().start()
    places = [SILENT, Address("192.0.2.98", 1719)]
    told = [{"rasAddress": write_address(one), "needToRegister": True, "priority": 1} for one in places]
    bob.core._learn_alternates({"alternateGatekeeper": told})
    zone.gatekeepers.clear()
    outcome = bob.ask("100")
    zone.wait(17)
    assert outcome == []
    zone.wait(2)
    assert outcome == [Denied("silent")]
    assert not bob.calls.going


def test_it_registers_anew_when_the_gatekeeper_has_forgotten_it() -> None:
    zone = Zone(ttl=60)
    bob = zone.station().start()
    zone.gatekeepers[GATEKEEPER] = zone.gatekeeper = zone.make(None, Policy.OFF, "Zone", ttl=60)
    zone.wait(60)
    assert bob.core.registered
    assert len(zone.gatekeeper.registry) == 1


def test_it_leaves_in_good_order() -> None:
    zone = Zone()
    bob = zone.station().start()
    bob.core.stop(zone.now)
    zone.run()
    assert bob.core.state is State.GONE
    assert len(zone.gatekeeper.registry) == 0
    assert bob.core.next_timeout() is None


def test_it_leaves_though_nobody_confirms() -> None:
    zone = Zone()
    bob = zone.station().start()
    zone.gatekeepers.clear()
    bob.core.stop(zone.now)
    zone.wait(15)
    assert bob.core.state is State.GONE


def test_no_call_is_asked_for_where_there_is_no_gatekeeper() -> None:
    zone = Zone()
    bob = zone.station(gatekeepers=(SILENT,)).start()
    assert bob.ask("100") == [Denied("unregistered")]


def test_a_call_is_denied_where_the_gatekeeper_falls_silent() -> None:
    zone = Zone()
    bob = zone.station().start()
    zone.gatekeepers.clear()
    outcome = bob.ask("100")
    zone.wait(10)
    assert outcome == [Denied("silent")]


def test_a_confirmation_without_our_password_is_none() -> None:
    zone = Zone({"bob": "secret"}, Policy.REGISTERED)
    bob = zone.station(user="bob", password="secret")
    bob.core.start(0.0)
    (grq,) = bob.core.take()
    zone.put(grq.data, bob.address)  # type: ignore[union-attr]
    (gcf,) = zone.gatekeeper.take()
    bob.core.receive(gcf.data, GATEKEEPER, 0.0)  # type: ignore[union-attr]
    (rrq,) = bob.core.take()
    forged = {
        "requestSeqNum": messages.read(rrq.data).sequence,  # type: ignore[union-attr]
        "protocolIdentifier": "0.0.8.2250.0.7",
        "callSignalAddress": [],
        "endpointIdentifier": "x",
    }
    bob.core.receive(messages.write("registrationConfirm", forged), GATEKEEPER, 0.0)
    assert not bob.core.registered
    assert bob.core.counters["unproved"] == 1


def test_answers_of_others_are_none() -> None:
    zone = Zone()
    bob = zone.station()
    bob.core.start(0.0)
    (grq,) = bob.core.take()
    zone.put(grq.data, bob.address)  # type: ignore[union-attr]
    (gcf,) = zone.gatekeeper.take()
    bob.core.receive(gcf.data, SILENT, 0.0)  # type: ignore[union-attr]
    assert bob.core.state is State.DISCOVERING


@pytest.mark.parametrize("prefixes", [(), ("0", "00")])
def test_what_it_registers(prefixes: tuple[str, ...]) -> None:
    zone = Zone()
    zone.station(aliases=("bridge", "500"), prefixes=prefixes).start()
    (one,) = zone.gatekeeper.registry
    assert (one.aliases, one.prefixes, one.kind) == (("bridge", "500"), prefixes, "mcu")


def test_a_gatekeeper_that_answers_to_multicast_is_taken() -> None:
    zone = Zone()
    bob = zone.station(gatekeepers=(MULTICAST,))
    bob.core.start(0.0)
    (grq,) = bob.core.take()
    zone.gatekeeper.receive(grq.data, bob.address, GATEKEEPER, 0.0, WALL, multicast=True)  # type: ignore[union-attr]
    zone.run()
    assert bob.core.registered
    assert bob.core.zone.address == GATEKEEPER


def test_a_report_of_a_call_does_not_ring_without_end_while_no_gatekeeper_has_us() -> None:
    zone = Zone()
    bob = zone.station().start()
    assert isinstance(bob.ask("100")[0], Granted)
    due = bob.calls.next_timeout()
    assert due is not None
    zone.gatekeepers.clear()
    zone.wait(3_000)
    assert not bob.core.registered
    again = bob.calls.next_timeout()
    assert again is not None
    assert again > zone.now


def test_gatekeepers_that_an_answer_names_are_bounded() -> None:
    zone = Zone()
    bob = zone.station().start()
    for number in range(20):
        told = [
            {
                "rasAddress": write_address(Address(f"198.51.{number}.{at}", 1719)),
                "gatekeeperIdentifier": "Other",
                "needToRegister": True,
                "priority": 1,
            }
            for at in range(1, 9)
        ]
        bob.core._learn_alternates({"alternateGatekeeper": told})
    assert len(bob.core._places) == MAX_PLACES
