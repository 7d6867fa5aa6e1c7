"""The gatekeeper in memory: who may register, where calls may go, what they may take, and what is over by itself."""

from __future__ import annotations

import random
from typing import Any

import pytest
from h323_samples import frames
from ras_zone import GATEKEEPER, NEIGHBOUR, WALL, FakeHouse, Zone

from h323.ras import messages
from h323.ras.admissions import ASKED, STALE, Admissions
from h323.ras.endpoint import State
from h323.ras.endpoint_calls import Denied, Granted
from h323.ras.endpoint_events import DropCall, Joined, NotJoined
from h323.ras.events import AdmissionRefused, Admitted, Registered, RegistrationRefused, SendRas, Unregistered
from h323.ras.guard import Policy
from h323.ras.registry import GRACE, Registration
from h323.ras.tokens import Scheme
from h323.signalling.aliases import read_address, write_address
from h323.signalling.events import Address
from h323.signalling.messages import PROTOCOL, LocalParty, endpoint_type

HERE = Address(GATEKEEPER.host, 1720)
KIND = endpoint_type(LocalParty())


def rrq(address: Address, aliases: tuple[str, ...] = ("bob",), **more: Any) -> dict[str, Any]:
    return {
        "protocolIdentifier": PROTOCOL,
        "discoveryComplete": True,
        "callSignalAddress": [write_address(Address(address.host, 1720))],
        "rasAddress": [write_address(address)],
        "terminalType": {**KIND, "terminal": {}},
        "terminalAlias": messages.written(aliases),
        "endpointVendor": KIND["vendor"],
        **more,
    }


BOB = Address("192.0.2.10", 1719)
EVE = Address("192.0.2.66", 1719)


# registration


def test_an_endpoint_finds_the_gatekeeper_and_registers() -> None:
    zone = Zone()
    bob = zone.station(aliases=("bob", "4711")).start()
    assert bob.core.registered
    (joined,) = bob.told
    assert isinstance(joined, Joined)
    assert joined.gatekeeper == "Zone"
    (told,) = zone.reported(Registered)
    assert (told.registration.aliases, told.registration.signalling) == (("bob", "4711"), Address(BOB.host, 1720))


def test_a_registration_is_kept_alive_and_ends_by_itself_without_that() -> None:
    zone = Zone(ttl=60)
    bob = zone.station().start()
    zone.wait(1_000)
    assert bob.core.registered
    assert len(zone.reported(Registered)) == 1
    zone.stations.clear()  # it goes without a word
    zone.wait(60 + GRACE + 1)
    (gone,) = zone.reported(Unregistered)
    assert gone.cause == "expired"
    assert len(zone.gatekeeper.registry) == 0
    assert "unregistrationRequest" in [name for name, _ in zone.sent]


def test_a_registration_that_is_over_must_be_made_anew() -> None:
    zone = Zone()
    name, body = zone.ask("registrationRequest", rrq(BOB, keepAlive=True, endpointIdentifier="nobody"), BOB)
    assert (name, body["rejectReason"][0]) == ("registrationReject", "fullRegistrationRequired")


def test_a_refresh_from_elsewhere_is_none() -> None:
    zone = Zone()
    _, confirmed = zone.ask("registrationRequest", rrq(BOB), BOB)
    refresh = rrq(EVE, keepAlive=True, endpointIdentifier=confirmed["endpointIdentifier"])
    name, body = zone.ask("registrationRequest", refresh, EVE)
    assert (name, body["rejectReason"][0]) == ("registrationReject", "fullRegistrationRequired")


def test_an_alias_belongs_to_one_endpoint_and_a_rooms_to_none() -> None:
    zone = Zone()
    zone.ask("registrationRequest", rrq(BOB, ("bob", "4711")), BOB)
    name, body = zone.ask("registrationRequest", rrq(EVE, ("eve", "BOB")), EVE)
    assert (name, body["rejectReason"]) == ("registrationReject", ("duplicateAlias", [("h323-ID", "BOB")]))
    name, body = zone.ask("registrationRequest", rrq(EVE, ("100",)), EVE)
    assert body["rejectReason"] == ("duplicateAlias", [("dialledDigits", "100")])
    assert [one.reason for one in zone.reported(RegistrationRefused)] == ["duplicateAlias"] * 2


def test_an_endpoint_that_registers_again_takes_its_own_place() -> None:
    zone = Zone()
    _, first = zone.ask("registrationRequest", rrq(BOB), BOB)
    _, second = zone.ask("registrationRequest", rrq(BOB, ("robert",)), BOB)
    assert first["endpointIdentifier"] == second["endpointIdentifier"]
    assert zone.gatekeeper.registry.named("bob") is None
    assert zone.gatekeeper.registry.named("robert") is not None


def test_aliases_may_be_added_and_taken_back() -> None:
    zone = Zone()
    _, confirmed = zone.ask("registrationRequest", rrq(BOB), BOB)
    id = confirmed["endpointIdentifier"]
    zone.ask("registrationRequest", rrq(BOB, ("4711",), additiveRegistration=None, endpointIdentifier=id), BOB)
    registry = zone.gatekeeper.registry
    assert [registry.find(alias) is not None for alias in ("bob", "4711")] == [True, True]
    urq = {"callSignalAddress": [], "endpointIdentifier": id, "endpointAlias": messages.written(("bob",))}
    assert zone.ask("unregistrationRequest", urq, BOB)[0] == "unregistrationConfirm"
    assert [registry.find(alias) is not None for alias in ("bob", "4711")] == [False, True]


def test_nobody_is_called_at_an_address_of_somebody_else() -> None:
    zone = Zone()
    body = rrq(EVE) | {"callSignalAddress": [write_address(HERE)]}
    name, answer = zone.ask("registrationRequest", body, EVE)
    assert (name, answer["rejectReason"][0]) == ("registrationReject", "invalidCallSignalAddress")


def test_only_the_endpoint_itself_unregisters() -> None:
    zone = Zone()
    _, confirmed = zone.ask("registrationRequest", rrq(BOB), BOB)
    urq = {"callSignalAddress": [], "endpointIdentifier": confirmed["endpointIdentifier"]}
    assert zone.ask("unregistrationRequest", urq, EVE)[0] == "unregistrationReject"
    assert zone.ask("unregistrationRequest", urq, BOB)[0] == "unregistrationConfirm"
    assert zone.ask("unregistrationRequest", urq, BOB)[0] == "unregistrationReject"


def test_an_old_endpoint_unregisters_by_its_address() -> None:
    zone = Zone()
    zone.ask("registrationRequest", rrq(BOB), BOB)
    urq = {"callSignalAddress": [write_address(Address(BOB.host, 1720))]}
    assert zone.ask("unregistrationRequest", urq, EVE)[0] == "unregistrationReject"
    assert zone.ask("unregistrationRequest", urq, BOB)[0] == "unregistrationConfirm"


def test_endpoints_are_told_when_the_gatekeeper_goes() -> None:
    zone = Zone()
    bob = zone.station().start()
    zone.gatekeeper.stop(zone.now)
    zone.run()
    assert any(isinstance(one, NotJoined) and one.was for one in bob.told)


def test_a_request_that_comes_twice_is_answered_twice_and_done_once() -> None:
    zone = Zone()
    data = messages.write("registrationRequest", {"requestSeqNum": 9, **rrq(BOB)})
    for _ in range(2):
        zone.put(data, BOB)
        zone.run()
    assert [name for name, _ in zone.sent] == ["registrationConfirm"] * 2
    assert zone.sent[0] == zone.sent[1]
    assert len(zone.reported(Registered)) == 1


def test_a_gatekeeper_of_another_name_is_not_us() -> None:
    zone = Zone()
    grq = {"protocolIdentifier": PROTOCOL, "rasAddress": write_address(BOB), "endpointType": KIND}
    name, body = zone.ask("gatekeeperRequest", {**grq, "gatekeeperIdentifier": "Other"}, BOB)
    assert (name, body["rejectReason"][0]) == ("gatekeeperReject", "terminalExcluded")
    assert zone.ask("gatekeeperRequest", {**grq, "gatekeeperIdentifier": "zone\0"}, BOB)[0] == "gatekeeperConfirm"
    sent = len(zone.sent)
    data = messages.write("gatekeeperRequest", {"requestSeqNum": 99, **grq, "gatekeeperIdentifier": "Other"})
    zone.gatekeeper.receive(data, BOB, GATEKEEPER, zone.now, WALL, multicast=True)
    zone.run()
    assert len(zone.sent) == sent


# proofs


@pytest.mark.parametrize("scheme", [Scheme.HMAC, Scheme.CAT, Scheme.MD5])
def test_an_account_proves_its_password(scheme: Scheme, monkeypatch: pytest.MonkeyPatch) -> None:
    zone = Zone({"bob": "secret"}, Policy.REGISTERED)
    bob = zone.station(user="bob", password="secret")
    if scheme is not Scheme.HMAC:
        monkeypatch.setattr("h323.ras.endpoint._scheme", lambda body: scheme)
    bob.start()
    assert bob.core.registered, bob.told
    assert zone.reported(Registered)[0].registration.account == "bob"
    assert isinstance(bob.ask("100")[0], Granted)
    zone.wait(1_000)
    assert bob.core.registered
    bob.core.stop(zone.now)
    zone.run()
    assert len(zone.gatekeeper.registry) == 0


@pytest.mark.parametrize(
    ("policy", "alias", "enters"),
    [
        (Policy.OFF, "bob", True),
        (Policy.REGISTERED, "bob", False),
        (Policy.REGISTERED, "guest", True),
        (Policy.ALL, "guest", False),
    ],
)
def test_who_must_prove_a_password(policy: Policy, alias: str, enters: bool) -> None:
    zone = Zone({"bob": "secret"}, policy)
    one = zone.station(aliases=(alias,)).start()
    assert one.core.registered is enters
    if not enters:
        assert one.told == [NotJoined("securityDenial", False)]
        assert one.core.state is State.WAITING


def test_one_who_proves_an_account_gets_no_name_of_another() -> None:
    zone = Zone({"bob": "secret", "ann": "other"}, Policy.REGISTERED)
    eve = zone.station(aliases=("bob", "ann"), user="bob", password="secret").start()
    assert eve.told == [NotJoined("duplicateAlias", False)]


def test_an_account_may_come_back_from_elsewhere_and_a_stranger_may_not() -> None:
    zone = Zone({"bob": "secret"}, Policy.REGISTERED)
    zone.station(10, user="bob", password="secret").start()
    assert zone.station(11, user="bob", password="secret").start().core.registered
    (one,) = zone.gatekeeper.registry
    assert one.signalling.host == "192.0.2.11"


def test_requests_of_a_proved_endpoint_need_the_proof() -> None:
    zone = Zone({"bob": "secret"}, Policy.REGISTERED)
    bob = zone.station(user="bob", password="secret").start()
    id = bob.core.zone.endpoint
    arq = {
        "endpointIdentifier": id,
        "callType": ("pointToPoint", None),
        "destinationInfo": messages.written(("100",)),
        "srcInfo": messages.written(("bob",)),
        "bandWidth": 640,
        "callReferenceValue": 1,
        "conferenceID": bytes(16),
        "activeMC": False,
        "answerCall": False,
        "callIdentifier": {"guid": bytes(16)},
    }
    assert zone.ask("admissionRequest", arq, BOB)[1]["rejectReason"][0] == "securityDenial"
    urq = {"callSignalAddress": [], "endpointIdentifier": id}
    assert zone.ask("unregistrationRequest", urq, BOB)[1]["rejectReason"][0] == "securityDenial"
    assert isinstance(bob.ask("100")[0], Granted)


def test_prefixes_are_for_those_whom_the_house_knows() -> None:
    zone = Zone({"gw": "secret"}, Policy.REGISTERED)
    zone.station(10, aliases=("stranger",), prefixes=("0",)).start()
    assert zone.gatekeeper.registry.find("030123") is None
    zone.station(11, aliases=("gw",), prefixes=("0", "030"), user="gw", password="secret").start()
    found = zone.gatekeeper.registry.find("030123")
    assert found is not None
    assert found.account == "gw"


def test_what_h323plus_and_gnugk_said_to_each_other_registers_here_too() -> None:
    said = [octets for where, kind, octets in frames() if where.startswith("d6-gk-auth-ok") and kind == "RAS"]
    house = FakeHouse()
    zone = Zone(house=house)
    zone.gatekeepers[GATEKEEPER] = zone.gatekeeper = zone.make(
        {"bob": "secret2", "alice": "secret1"}, Policy.ALL, "TestGK"
    )
    loopback, wall = Address("127.0.0.1", 32_001), 1_795_176_680.0
    for data in said:
        message = messages.read(data)
        if message.name in ("gatekeeperRequest", "registrationRequest"):
            zone.gatekeeper.receive(data, loopback, GATEKEEPER, 0.0, wall)
    answers = [messages.read(item.data) for item in zone.gatekeeper.take() if isinstance(item, SendRas)]
    assert [one.name for one in answers] == ["gatekeeperConfirm", "registrationConfirm"] * 2
    assert answers[0].body["algorithmOID"] == "0.0.8.235.0.2.6"
    assert {one.account for one in zone.gatekeeper.registry} == {"alice", "bob"}
    assert all("cryptoTokens" in one.body for one in answers if one.name == "registrationConfirm")


# calls


def test_a_call_goes_straight_to_the_endpoint_or_into_the_house() -> None:
    zone = Zone()
    bob = zone.station(10, aliases=("bob", "4711")).start()
    ann = zone.station(11, aliases=("ann",)).start()
    for dialled in ("bob", "4711", "Bob"):
        assert ann.ask(dialled)[0].address == bob.signalling
    assert ann.ask("100")[0].address == HERE
    assert ann.ask("100#1234")[0].address == HERE
    assert ann.ask("nobody") == [Denied("calledPartyNotRegistered")]
    assert bob.ask(answers=True)[0].address == bob.signalling


def test_the_pin_behind_a_room_s_name_is_not_told_to_the_log() -> None:
    zone = Zone()
    ann = zone.station(11, aliases=("ann",)).start()
    ann.ask("100#98989")
    ann.ask("nobody#98989")
    told = [one for one in zone.told if isinstance(one, Admitted | AdmissionRefused)]
    assert [one.called for one in told] == ["100", "nobody"]


def test_a_routed_call_comes_to_the_house() -> None:
    zone = Zone(routed=True)
    zone.station(10).start()
    ann = zone.station(11, aliases=("ann",)).start()
    assert ann.ask("bob")[0].address == HERE
    assert zone.sent[-1][1]["callModel"][0] == "gatekeeperRouted"


def test_pre_granted_calls_need_no_question() -> None:
    zone = Zone(routed=True, pregranted=True)
    ann = zone.station(11, aliases=("ann",)).start()
    before = zone.count
    assert ann.ask("bob")[0].address == HERE
    assert ann.ask(answers=True) == [Granted(None)]
    assert zone.count == before


def test_what_the_dial_plan_refuses_is_refused_and_who_is_not_registered_too() -> None:
    zone = Zone()
    zone.house.refused.add("0900")
    ann = zone.station(11, aliases=("ann",)).start()
    assert ann.ask("0900") == [Denied("requestDenied")]
    zone.gatekeeper.forget(next(iter(zone.gatekeeper.registry)), "expired")
    assert ann.ask("100") == [Denied("callerNotRegistered")]
    zone.run()
    assert ann.core.registered  # it registered again at once


def test_a_number_goes_to_the_longest_prefix_that_is_not_busy() -> None:
    zone = Zone()
    zone.station(10, aliases=("near",), prefixes=("0",)).start()
    for number in (11, 12):
        zone.station(number, aliases=(f"far{number}",), prefixes=("0049",)).start()
    ann = zone.station(13, aliases=("ann",)).start()
    first = ann.ask("004930123")[0].address
    assert first.host in ("192.0.2.11", "192.0.2.12")
    assert ann.ask("0331")[0].address.host == "192.0.2.10"
    busy = zone.gatekeeper.registry.at(first)
    assert busy is not None
    rai = {
        "protocolIdentifier": PROTOCOL,
        "endpointIdentifier": busy.id,
        "protocols": [],
        "almostOutOfResources": True,
    }
    assert zone.ask("resourcesAvailableIndicate", rai, busy.ras)[0] == "resourcesAvailableConfirm"
    assert ann.ask("004930123")[0].address not in (first, Address("192.0.2.10", 1720))


def test_bandwidth_is_bounded_for_a_call_and_for_all() -> None:
    zone = Zone(call_bandwidth=1_000_000, total_bandwidth=1_500_000)
    bob = zone.station(10).start()
    ann = zone.station(11, aliases=("ann",)).start()
    assert ann.ask("bob", bandwidth=2_000_000)[0].bandwidth == 1_000_000
    assert bob.ask(answers=True, bandwidth=2_000_000)[0].bandwidth == 1_000_000  # the same call
    assert zone.gatekeeper.admissions.used == 1_000_000
    assert ann.ask("bob", call=b"2" * 16)[0].bandwidth == 500_000
    assert ann.ask("bob", call=b"3" * 16) == [Denied("resourceUnavailable")]
    granted: list[int | None] = []
    ann.calls.change_bandwidth(b"2" * 16, 700_000, granted.append, zone.now)
    zone.run()
    ann.calls.change_bandwidth(b"2" * 16, 300_000, granted.append, zone.now)
    zone.run()
    assert granted == [None, 300_000]
    ann.calls.leave(b"c" * 16, zone.now)
    bob.calls.leave(b"c" * 16, zone.now)
    zone.run()
    assert zone.gatekeeper.admissions.used == 300_000
    ann.calls.leave(b"2" * 16, zone.now)
    zone.run()
    assert (zone.gatekeeper.admissions.used, len(zone.gatekeeper.admissions)) == (0, 0)


def test_the_sum_of_bandwidth_stays_right_through_any_order() -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    from h323.ras.admissions import Admission

    kept = Admissions(None, 10_000)
    for _ in range(3_000):
        key = (f"e{rng.randrange(4)}", bytes((rng.randrange(5),)) * 16, rng.random() < 0.5)
        if rng.random() < 0.4:
            kept.remove(key)
        else:
            wanted = rng.randrange(6_000)
            allowed = kept.allowed(key, wanted)
            assert 0 <= allowed <= wanted
            kept.put(Admission(*key, 1, bytes(16), allowed, 0.0))
        by_call: dict[bytes, int] = {}
        for one in kept:
            by_call[one.call] = max(by_call.get(one.call, 0), one.bandwidth)
        assert kept.used == sum(by_call.values()) <= 10_000
        assert kept.calls == len(by_call)


def test_a_call_of_which_nothing_is_heard_is_asked_for_and_then_over() -> None:
    zone = Zone(ttl=3_600)
    ann = zone.station(11, aliases=("ann",)).start()
    ann.ask("100")
    zone.wait(STALE * 4)
    assert zone.gatekeeper.admissions.calls == 1  # it reports by itself
    ann.calls.reports.clear()
    zone.wait(STALE * 2)
    assert zone.gatekeeper.admissions.calls == 1  # it answers when it is asked
    ann.calls.going.clear()
    zone.wait(STALE + ASKED + 60)
    assert zone.gatekeeper.admissions.calls == 0
    assert "infoRequest" in [name for name, _ in zone.sent]


def test_an_endpoint_drops_a_call_when_it_is_told_to() -> None:
    zone = Zone()
    ann = zone.station(11, aliases=("ann",)).start()
    ann.ask("100")
    drq = {
        "requestSeqNum": 5,
        "endpointIdentifier": ann.core.zone.endpoint,
        "conferenceID": bytes(16),
        "callReferenceValue": 7,
        "disengageReason": ("forcedDrop", None),
        "callIdentifier": {"guid": b"c" * 16},
    }
    zone.put(messages.write("disengageRequest", drq), EVE, ann.address)
    zone.run()
    assert DropCall(b"c" * 16) not in ann.told
    zone.put(messages.write("disengageRequest", drq), GATEKEEPER, ann.address)
    zone.run()
    assert DropCall(b"c" * 16) in ann.told


# other zones


def neighbours() -> Zone:
    """Two gatekeepers that know each other; carol is registered with the second one."""
    zone = Zone(neighbours=(NEIGHBOUR,))
    zone.gatekeepers[NEIGHBOUR] = zone.make(None, Policy.OFF, "Far", neighbours=(GATEKEEPER,))
    zone.station(20, aliases=("carol",), gatekeepers=(NEIGHBOUR,)).start()
    return zone


def test_the_neighbours_are_asked_for_whom_nobody_here_knows() -> None:
    zone = neighbours()
    ann = zone.station(11, aliases=("ann",)).start()
    assert ann.ask("carol")[0].address == Address("192.0.2.20", 1720)
    assert "requestInProgress" in [name for name, _ in zone.sent]
    assert ann.ask("nobody") == [Denied("calledPartyNotRegistered")]


def test_a_silent_neighbour_costs_the_caller_time_and_no_more() -> None:
    zone = Zone(neighbours=(NEIGHBOUR,))
    ann = zone.station(11, aliases=("ann",)).start()
    outcome = ann.ask("carol")
    assert outcome == []
    zone.wait(30)
    assert outcome == [Denied("calledPartyNotRegistered")]
    assert not zone.gatekeeper.busy


def test_strangers_are_told_nothing_of_where_people_are() -> None:
    zone = neighbours()
    lrq = {"destinationInfo": messages.written(("carol",)), "replyAddress": write_address(EVE)}
    name, body = zone.ask("locationRequest", lrq, EVE, NEIGHBOUR)
    assert (name, body["rejectReason"][0]) == ("locationReject", "requestDenied")
    name, body = zone.ask("locationRequest", lrq, GATEKEEPER, NEIGHBOUR)
    assert (name, read_address(body["callSignalAddress"])) == ("locationConfirm", Address("192.0.2.20", 1720))


def test_an_endpoint_may_ask_where_somebody_is() -> None:
    zone = Zone()
    bob = zone.station(10).start()
    ann = zone.station(11, aliases=("ann",)).start()
    found: list[Address | None] = []
    for alias in ("bob", "100", "nobody"):
        ann.calls.locate((alias,), found.append, zone.now)
        zone.run()
    assert found == [bob.signalling, HERE, None]


# bad input


def test_a_message_that_nobody_knows_is_said_to_be_so() -> None:
    zone = Zone()
    nsm = {"nonStandardData": {"nonStandardIdentifier": ("object", "1.2.3"), "data": b"x"}}
    name, body = zone.ask("nonStandardMessage", nsm, EVE)
    assert name == "unknownMessageResponse"
    assert body["messageNotUnderstood"]
    sent = len(zone.sent)
    zone.put(messages.write("unknownMessageResponse", {"requestSeqNum": 1, "messageNotUnderstood": b"x"}), EVE)
    zone.run()
    assert len(zone.sent) == sent  # two that do not know each other's messages fall silent


def test_an_identifier_that_nobody_has_gets_a_clear_no() -> None:
    zone = Zone()
    common = {"endpointIdentifier": "nobody", "conferenceID": bytes(16), "callReferenceValue": 1}
    common["callIdentifier"] = {"guid": bytes(16)}
    assert zone.ask("bandwidthRequest", {**common, "bandWidth": 1}, EVE)[0] == "bandwidthReject"
    drq = {**common, "disengageReason": ("normalDrop", None)}
    assert zone.ask("disengageRequest", drq, EVE)[0] == "disengageReject"


def test_broken_datagrams_change_nothing() -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    zone = Zone({"bob": "secret"}, Policy.REGISTERED, neighbours=(NEIGHBOUR,))
    bob = zone.station(10, user="bob", password="secret").start()
    ann = zone.station(11, aliases=("ann",)).start()
    ann.ask("100")
    whole = [octets for _, kind, octets in frames() if kind == "RAS"]
    whole += [messages.write("registrationRequest", {"requestSeqNum": 9, **rrq(EVE, ("eve",))})]
    for number in range(3_000):
        data = bytearray(rng.choice(whole))
        for _ in range(rng.randrange(1, 6)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        data = data[: rng.randrange(len(data) + 1)] if rng.random() < 0.3 else data
        source = rng.choice((EVE, ann.address, Address("127.0.0.1", 32_001)))
        zone.put(bytes(data), source)
        ann.core.receive(bytes(data), GATEKEEPER, zone.now)
        if number % 100 == 0:
            zone.run()
            zone.now += 1.0
    zone.run()
    assert bob.core.registered
    assert zone.gatekeeper.registry.named("bob") is not None
    zone.wait(600)
    assert len(zone.gatekeeper.busy) == 0
    assert len(zone.gatekeeper.requests) == 0


def test_one_address_cannot_fill_the_gatekeeper() -> None:
    from h323.ras.registry import MAX_PER_HOST

    zone = Zone()
    for number in range(MAX_PER_HOST + 3):
        body = rrq(EVE, (f"e{number}",)) | {"callSignalAddress": [write_address(Address(EVE.host, 2_000 + number))]}
        zone.ask("registrationRequest", body, EVE)
    assert len(zone.gatekeeper.registry) == MAX_PER_HOST
    assert zone.sent[-1][1]["rejectReason"][0] == "resourceUnavailable"


def test_a_registration_is_what_it_says() -> None:
    one = Registration("i", BOB, HERE, ("bob",), account="ann")
    assert one.name == "ann"
