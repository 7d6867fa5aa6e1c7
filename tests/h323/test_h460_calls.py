"""Calls and registrations through a translator, two of our own stacks in memory under one clock."""

from __future__ import annotations

from typing import Any

import pytest
from call_pair import CallPair
from ras_zone import GATEKEEPER, Zone
from test_ras_gatekeeper import rrq

from h323.h245.events import Determined
from h323.h460.call import CallTraversal, Role
from h323.h460.features import write_feature
from h323.h460.incoming import INDICATION, WaitingCall
from h323.h460.tunnel import TunnelAddress
from h323.messages import Kind, decode
from h323.q931 import Type
from h323.ras.endpoint_calls import Granted
from h323.ras.endpoint_events import Summoned
from h323.ras.events import Unregistered
from h323.ras.gatekeeper_traversal import REFRESH_TIME, summon
from h323.signalling.events import Address, CallEnded

HERE = Address(GATEKEEPER.host, 1720)
OUTSIDE = Address("198.51.100.9", 40_001)
"""Where what a station behind a translator sends seems to come from."""
NEEDED = {"replacementFeatureSet": False, "neededFeatures": [write_feature(26)]}


class HiddenZone(Zone):
    """A zone with one station behind a translator, which maps its address to `outside`."""

    def __init__(self, **config: Any) -> None:
        super().__init__(**config)
        self.outside = OUTSIDE
        self.behind = self.station(77, aliases=("bob",), traversal=True)

    def put(self, data: bytes, source: Address, to: Address = GATEKEEPER) -> None:
        if source == self.behind.address:
            source = self.outside
        elif to == self.behind.address:
            return  # nobody reaches it there
        elif to == self.outside:
            to = self.behind.address
            super().put(data, source, to)
            return
        super().put(data, source, to)


# registration


def test_an_endpoint_behind_a_translator_is_known_by_where_its_requests_come_from() -> None:
    zone = HiddenZone()
    bob = zone.behind.start()
    assert bob.core.registered
    assert bob.core.zone.traverses
    one = zone.gatekeeper.registry.find("bob")
    assert one is not None
    assert (one.hidden, one.signalling, one.ras, one.ttl) == (True, OUTSIDE, OUTSIDE, REFRESH_TIME)


def test_it_refreshes_before_a_translator_forgets_it_and_may_come_from_another_port_then() -> None:
    zone = HiddenZone()
    zone.behind.start()
    zone.outside = Address(OUTSIDE.host, 40_777)
    zone.wait(REFRESH_TIME)
    one = zone.gatekeeper.registry.find("bob")
    assert one is not None
    assert one.signalling == zone.outside
    zone.wait(600)
    assert zone.gatekeeper.registry.find("bob") is not None
    assert not zone.reported(Unregistered)


def test_without_the_feature_or_where_it_is_turned_off_addresses_are_what_they_are_said_to_be() -> None:
    plain = HiddenZone(traversal=False)
    plain.behind.start()
    assert not plain.behind.core.registered
    zone = Zone()
    zone.station(10, traversal=False).start()
    one = zone.gatekeeper.registry.find("bob")
    assert one is not None
    assert not one.hidden


def test_a_feature_that_is_demanded_and_not_there_is_refused() -> None:
    zone = Zone()
    name, body = zone.ask("registrationRequest", rrq(OUTSIDE, featureSet=NEEDED), OUTSIDE)
    assert (name, body["rejectReason"][0]) == ("registrationReject", "neededFeatureNotSupported")
    asked = {"protocolIdentifier": "0.0.8.2250.0.7", "rasAddress": rrq(OUTSIDE)["rasAddress"][0]}
    request = {**asked, "endpointType": rrq(OUTSIDE)["terminalType"], "featureSet": NEEDED}
    name, body = zone.ask("gatekeeperRequest", request, OUTSIDE)
    assert (name, body["rejectReason"][0]) == ("gatekeeperReject", "neededFeatureNotSupported")


def test_calls_of_an_endpoint_behind_a_translator_go_through_the_house_both_ways() -> None:
    zone = HiddenZone()
    zone.behind.start()
    ann = zone.station(10, aliases=("ann",)).start()
    for station, called in ((ann, "bob"), (zone.behind, "ann")):
        (granted,) = station.ask(called, call=called.encode() * 5 + b"x")
        assert isinstance(granted, Granted)
        assert granted.address == HERE
    (granted,) = ann.ask("ann", call=b"d" * 16)
    assert isinstance(granted, Granted)
    assert granted.address == ann.signalling


def test_an_endpoint_that_registers_by_a_connection_is_gone_with_it() -> None:
    zone = Zone()
    address = TunnelAddress(OUTSIDE.host, OUTSIDE.port)
    name, body = zone.ask("registrationRequest", rrq(OUTSIDE), address)
    assert (name, body["maintainConnection"]) == ("registrationConfirm", True)
    one = zone.gatekeeper.registry.at(address)
    assert one is not None
    assert (one.hidden, one.ttl) == (True, zone.gatekeeper.config.ttl)
    assert zone.gatekeeper.registry.at(OUTSIDE) is None


# summons


def summoned(zone: HiddenZone, call: bytes = b"c" * 16) -> list[str]:
    """Summon bob and return whether that failed."""
    one = zone.gatekeeper.registry.find("bob")
    assert one is not None
    failed: list[str] = []
    summon(zone.gatekeeper, one, call, lambda: failed.append("failed"), zone.now)
    zone.run()
    return failed


def test_an_endpoint_is_summoned_to_a_call_once_however_often_it_is_told() -> None:
    zone = HiddenZone()
    bob = zone.behind.start()
    zone.lost = {zone.count + 2}  # its answer
    assert summoned(zone) == []
    zone.wait(10)
    calls = [item for item in bob.told if isinstance(item, Summoned)]
    assert calls == [Summoned(WaitingCall(b"c" * 16, HERE))]


def test_an_endpoint_that_does_not_hear_fails_the_call_at_once() -> None:
    zone = HiddenZone()
    zone.behind.start()
    zone.outside = Address(OUTSIDE.host, 1)  # its way in is closed
    failed = summoned(zone)
    zone.wait(10)
    assert failed == ["failed"]


def test_nobody_else_can_summon_us() -> None:
    zone = HiddenZone()
    bob = zone.behind.start()
    bob.core.zone.address = Address("192.0.2.200", 1719)
    bob.core.zone.signalling = None
    assert summoned(zone) == []
    zone.wait(10)
    assert not [item for item in bob.told if isinstance(item, Summoned)]
    bob.core.zone.address = GATEKEEPER
    bob.core.zone.traverses = False
    summoned(zone, b"e" * 16)
    assert not [item for item in bob.told if isinstance(item, Summoned)]
    assert bob.core.counters["summons_refused"] == 1


# calls


def pair(offered: Role, tunnelling: bool) -> CallPair:
    """A call that the server places to the client, or the client to the server."""
    serves, uses = offered is Role.CLIENT, offered is Role.SERVER
    return CallPair(
        {"traversal": CallTraversal(offered), "tunnelling": tunnelling},
        {"traversal": CallTraversal(serves=serves, uses=uses), "tunnelling": tunnelling},
    )


@pytest.mark.parametrize("tunnelling", [True, False], ids=["tunnelled", "separate"])
@pytest.mark.parametrize("offered", [Role.SERVER, Role.CLIENT])
def test_the_client_opens_what_is_opened_and_h245_stands(offered: Role, tunnelling: bool) -> None:
    call = pair(offered, tunnelling)
    server, client = (call.caller, call.callee) if offered is Role.SERVER else (call.callee, call.caller)
    said: list[Any] = []
    carried = client.call.take

    def take() -> list[Any]:
        items = carried()
        said.extend(items)
        return items

    client.call.take = take  # type: ignore[method-assign]
    call.place()
    call.settle()
    call.connect()
    assert (server.call.traversal.role, client.call.traversal.role) == (Role.SERVER, Role.CLIENT)
    assert server.controlled(Determined)
    assert client.controlled(Determined)
    assert server.call.control.ready
    assert client.call.control.ready
    assert not client.listening
    first = [item.data for item in said if type(item).__name__ == "SendControl"][:1]
    if tunnelling:
        assert not server.listening
        assert not first
    else:
        assert server.listening
        kind, (name, value) = decode(Kind.H245, first[0])
        assert (kind, name, value["messageIdentifier"]) == ("indication", "genericIndication", ("standard", INDICATION))
        assert len(value["messageContent"]) == (2 if client is call.callee else 1)


def test_a_call_without_the_feature_is_as_it_always_was() -> None:
    call = CallPair({}, {"traversal": CallTraversal(serves=True, uses=True)})
    call.place()
    call.settle()
    call.connect()
    for signal in (*call.caller.sent, *call.callee.sent):
        assert "featureSet" not in (signal.body or {})
        assert "supportedFeatures" not in (signal.body or {})
    assert call.callee.call.traversal.role is Role.NONE


def test_a_setup_that_demands_what_is_not_there_is_released() -> None:
    call = CallPair({}, {})
    call.place(body={"neededFeatures": [write_feature(26)]})
    call.settle()
    assert call.callee.kinds() == [Type.RELEASE_COMPLETE.name]
    (ended,) = call.caller.reported(CallEnded)
    assert ended.detail == "neededFeatureNotSupported"
