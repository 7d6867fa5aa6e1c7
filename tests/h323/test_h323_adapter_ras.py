"""The adapter with a gatekeeper, on real sockets: who may call, where calls go, and forwarding."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from random import Random
from typing import Any

import h323_peer
import pytest
from h323_peer import Peer
from h323_zone import zone
from sip_fake_house import FakeDesk

from gateway.calls import CallFacts, CallProtocol, Direction
from gateway.reasons import Reason, Refused
from h323 import adapter_ras
from h323.adapter import H323Adapter
from h323.adapter_ras import Route, split_host
from h323.q931 import Type
from h323.ras.names import Server, in_order
from h323.signalling.aliases import Dialled
from h323.signalling.events import Address
from transcode.media import Wanted

FACTS = CallFacts(CallProtocol.H323, Direction.OUTGOING, "", "", "Bob", "100")
Start = Callable[..., Any]


class FakeNames:
    """Name servers of the test's own."""

    def __init__(self, servers: dict[str, list[Server]], addresses: dict[str, list[str]]) -> None:
        self.known = servers
        self.hosts = addresses

    async def servers(self, service: str) -> Sequence[Server]:
        return self.known.get(service, [])

    async def addresses(self, host: str) -> Sequence[str]:
        return self.hosts.get(host, [])


@pytest.fixture
async def start(reactor: Any) -> AsyncIterator[Start]:
    async with zone(reactor) as build:
        yield build


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.01)


class Pair:
    """A gatekeeper, and an endpoint of it, both ours; each with a desk."""

    def __init__(self) -> None:
        self.desk, self.far_desk = FakeDesk(), FakeDesk()
        self.keeper: H323Adapter
        self.far: H323Adapter

    async def begin(self, start: Start, **ras: Any) -> Pair:
        accounts = {"bridge": "secret"}
        self.keeper = await start(self.desk, gatekeeper="embedded", accounts=accounts, **ras)
        address = f"127.0.0.1:{self.keeper.ports['ras']}"
        self.far = await start(self.far_desk, gatekeeper=address, aliases=("bridge",), user="bridge", password="secret")
        await until(lambda: self.keeper.has("bridge"))
        await until(lambda: self.far.ras.counters().get("ras.joined") == 1)
        return self


async def answered(desk: FakeDesk, placed: asyncio.Task[Any]) -> Any:
    call = await desk.call()
    await call.heard("connected")
    await asyncio.wait_for(placed, 5)
    return call


async def test_an_endpoint_is_called_by_its_alias(start: Start) -> None:
    pair = await Pair().begin(start)
    (one,) = pair.keeper.ras.registrations()
    assert (one.account, one.protocol, one.aliases) == ("bridge", "h323", ("bridge",))
    assert pair.keeper.user_of("h323:Bridge") == "Bridge"
    assert pair.keeper.user_of("h323:bridge@elsewhere.example") is None
    # The far house knows room 100 alone, and is called as bridge.
    with pytest.raises(Refused) as refused:
        await pair.keeper.dial("h323:bridge", FACTS)
    assert refused.value.reason is Reason.UNREACHABLE
    assert pair.far_desk.facts[0].called == "bridge"
    await until(lambda: pair.keeper.ras.counters()["ras.admitted_calls"] == 0)


async def test_a_call_through_the_gatekeeper_brings_its_account(start: Start) -> None:
    pair = await Pair().begin(start, authenticate="all")
    placed = asyncio.ensure_future(pair.far.dial("h323:100", FACTS, Wanted(), "Far"))
    call = await answered(pair.desk, placed)
    assert (call.facts.account, call.facts.called) == ("bridge", "100")
    assert pair.keeper.ras.counters()["ras.admitted_calls"] == 1
    await (await pair.far_desk.call()).line.hang_up(Reason.NORMAL)
    await call.heard("ended")
    await until(lambda: pair.keeper.ras.counters()["ras.admitted_calls"] == 0)


async def test_a_call_that_was_granted_beforehand_tells_whose_it_is(start: Start) -> None:
    pair = await Pair().begin(start, authenticate="all", routed=True, pregranted=True)
    before = pair.keeper.ras.counters().get("ras.received.admissionRequest", 0)
    placed = asyncio.ensure_future(pair.far.dial("h323:100", FACTS, Wanted(), "Somebody"))
    call = await answered(pair.desk, placed)
    assert call.facts.account == "bridge"
    assert pair.keeper.ras.counters().get("ras.received.admissionRequest", 0) == before


async def test_a_call_that_was_not_admitted_is_refused_where_all_must_prove(start: Start) -> None:
    pair = await Pair().begin(start, authenticate="all")
    peer = await Peer.connect(pair.keeper.ports["signalling"])
    peer.setup("100")
    released = await peer.expect(Type.RELEASE_COMPLETE)
    assert released.body is not None
    assert released.body["reason"] == ("securityDenied", None)
    assert pair.desk.facts == []
    await peer.close()


async def test_nobody_calls_under_an_accounts_name_without_admission(start: Start) -> None:
    pair = await Pair().begin(start, authenticate="registered")
    for name, enters in (("bridge", False), ("stranger", True)):
        peer = await Peer.connect(pair.keeper.ports["signalling"])
        peer.setup("100", body={"sourceAddress": [("h323-ID", name)]})
        await peer.expect(Type.CONNECT if enters else Type.RELEASE_COMPLETE)
        await peer.close()
    assert len(pair.desk.facts) == 1


async def test_a_gatekeeper_that_does_not_know_an_alias_says_so(start: Start) -> None:
    pair = await Pair().begin(start)
    with pytest.raises(Refused) as refused:
        await pair.far.dial("h323:nobody", FACTS)
    assert refused.value.reason is Reason.NO_SUCH_USER


async def test_a_call_that_comes_is_refused_where_the_gatekeeper_does_not_admit_it(start: Start) -> None:
    pair = await Pair().begin(start, total_bandwidth=64_000)
    pair.far_desk.facts.clear()
    peer = await Peer.connect(pair.far.ports["signalling"])
    peer.setup("100")
    await peer.expect(Type.CONNECT)  # it takes the little that there is
    other = await Peer.connect(pair.far.ports["signalling"])
    other.setup("100", body={"callIdentifier": {"guid": bytes(16)}})
    await other.expect(Type.RELEASE_COMPLETE)
    assert len(pair.far_desk.facts) == 1
    await other.close()
    await peer.close()


@pytest.mark.parametrize("calls", [False, True], ids=["is called", "calls"])
async def test_a_call_takes_no_more_than_the_gatekeeper_grants(start: Start, calls: bool) -> None:
    """384 kbit/s in both directions: 192 each way, of which 64 are the sound's."""
    pair = await Pair().begin(start, call_bandwidth=384_000)
    peer = None
    if calls:
        placed = asyncio.ensure_future(pair.far.dial("h323:100", FACTS, Wanted(), "Far"))
        await answered(pair.desk, placed)
    else:
        peer = await Peer.connect(pair.far.ports["signalling"])
        peer.setup("100")
        await peer.expect(Type.CONNECT)
    (line,) = pair.far._legs
    await until(lambda: line.sessions is not None and line.sessions.bound == 128_000)
    if peer is not None:
        await peer.close()


async def test_the_gatekeeper_takes_bandwidth_away_and_hears_of_what_is_not_needed(start: Start) -> None:
    pair = await Pair().begin(start)
    placed = asyncio.ensure_future(pair.far.dial("h323:100", FACTS, Wanted(), "Far"))
    await answered(pair.desk, placed)
    (line,) = pair.far._legs
    zone = pair.keeper.ras._zone
    core = zone._core
    assert core.admissions.used == 2 * (64_000 + pair.far._config.bandwidth)
    (one,) = core.admissions.ends(line.core.facts.call)
    body = {
        "endpointIdentifier": one.endpoint,
        "conferenceID": one.conference,
        "bandWidth": 3_000,
        "callReferenceValue": one.reference,
        "callIdentifier": {"guid": one.call},
        "answeredCall": False,
    }
    core.ask(core.registry.get(one.endpoint), "bandwidthRequest", body, ("bandwidthConfirm",), pair.far.now(), 1)
    zone._flush()
    await until(lambda: line.sessions is not None and line.sessions.bound == 86_000)
    pair.far.uses(line, False)
    await until(lambda: core.admissions.used == 128_000)


async def test_an_endpoint_leaves_when_its_house_stops(start: Start) -> None:
    pair = await Pair().begin(start)
    await pair.far.stop()
    await until(lambda: not pair.keeper.has("bridge"))


# forwarding


async def forwarded(peer: Peer, why: str, port: int | None, alias: str | None = None) -> None:
    setup = await peer.expect(Type.SETUP)
    assert setup.body is not None
    body: dict[str, Any] = {
        "protocolIdentifier": h323_peer.OID,
        "conferenceID": setup.body["conferenceID"],
        "reason": (why, None),
        "callIdentifier": setup.body["callIdentifier"],
    }
    if port is not None:
        body["alternativeAddress"] = ("ipAddress", {"ip": bytes((127, 0, 0, 1)), "port": port})
    if alias is not None:
        body["alternativeAliasAddress"] = [("h323-ID", alias)]
    peer.send(Type.FACILITY, body)


@pytest.mark.parametrize("why", ["callForwarded", "routeCallToGatekeeper", "routeCallToMC"])
async def test_a_call_that_is_sent_elsewhere_goes_there(start: Start, why: str) -> None:
    desk = FakeDesk()
    adapter = await start(desk)
    async with h323_peer.listening() as (port, called), h323_peer.listening() as (elsewhere, found):
        placed = asyncio.ensure_future(adapter.dial(f"h323:bob@127.0.0.1:{port}", FACTS))
        first = await asyncio.wait_for(called.get(), 5)
        await forwarded(first, why, elsewhere, "carol")
        await first.expect(Type.RELEASE_COMPLETE)
        second = await asyncio.wait_for(found.get(), 5)
        setup = await second.expect(Type.SETUP)
        assert setup.body is not None
        assert setup.body["destinationAddress"] == [("h323-ID", "carol")]
        body = {
            "protocolIdentifier": h323_peer.OID,
            "destinationInfo": h323_peer.ENDPOINT,
            "callIdentifier": setup.body["callIdentifier"],
            "conferenceID": setup.body["conferenceID"],
        }
        second.send(Type.CONNECT, body)
        await asyncio.wait_for(placed, 5)
        assert len(desk.calls) == 2


async def test_a_call_is_forwarded_once_and_no_more(start: Start) -> None:
    adapter = await start(FakeDesk())
    async with h323_peer.listening() as (port, called):
        placed = asyncio.ensure_future(adapter.dial(f"h323:bob@127.0.0.1:{port}", FACTS))
        for _ in range(2):
            await forwarded(await asyncio.wait_for(called.get(), 5), "callForwarded", port)
        with pytest.raises(Refused) as refused:
            await asyncio.wait_for(placed, 5)
        assert refused.value.reason is Reason.LOOP


# where calls go


async def whole_route(adapter: H323Adapter, host: str, alias: str = "") -> Route:
    dialled = Dialled(alias or host, None, host if alias else "")
    return await adapter.ras.route(dialled, b"c" * 16, b"f" * 16, 1, 1720, 128_000)


async def route(adapter: H323Adapter, host: str, alias: str = "") -> Address:
    return (await whole_route(adapter, host, alias)).address


async def test_a_domain_is_found_by_its_dns_entries(start: Start) -> None:
    pair = await Pair().begin(start)
    keeper = Server("gk.example", pair.keeper.ports["ras"])
    adapter = await start(FakeDesk(), gatekeeper="embedded")
    hosts = {
        "b.example": ["192.0.2.2"],
        "a.example": ["192.0.2.1"],
        "gk.example": ["127.0.0.1"],
        "c.example": ["192.0.2.3"],
    }
    names = FakeNames(
        {
            "_h323cs._tcp.one.example": [Server("b.example", 2000, 20), Server("a.example", 1000, 10)],
            "_h323rs._udp.two.example": [keeper],
        },
        hosts,
    )
    adapter.ras._names = names
    assert await route(adapter, "one.example", "bob") == Address("192.0.2.1", 1000)
    assert await route(adapter, "c.example", "bob") == Address("192.0.2.3", 1720)
    assert await route(adapter, "c.example:1999", "bob") == Address("192.0.2.3", 1999)
    assert await route(adapter, "192.0.2.9:1721", "bob") == Address("192.0.2.9", 1721)
    assert await route(adapter, "c.example") == Address("192.0.2.3", 1720)
    with pytest.raises(Refused) as refused:
        await route(adapter, "nowhere.example", "bob")
    assert refused.value.reason is Reason.UNREACHABLE


async def test_the_next_server_of_a_domain_is_called_where_one_takes_no_connection(start: Start) -> None:
    adapter = await start(FakeDesk())
    with socket.socket() as taken:  # bound and not listening: whoever connects is refused
        taken.bind(("127.0.0.1", 0))
        async with h323_peer.listening() as (port, called):
            servers = [Server("a.example", taken.getsockname()[1], 10), Server("b.example", port, 20)]
            hosts = {"a.example": ["127.0.0.1"], "b.example": ["127.0.0.1"]}
            adapter.ras._names = FakeNames({"_h323cs._tcp.one.example": servers}, hosts)
            assert len((await whole_route(adapter, "one.example", "bob")).others) == 1
            placed = asyncio.ensure_future(adapter.dial("h323:bob@one.example", FACTS))
            peer = await asyncio.wait_for(called.get(), 5)
            setup = await peer.expect(Type.SETUP)
            assert setup.body is not None
            assert setup.body["destCallSignalAddress"][1]["port"] == port
            peer.send(Type.RELEASE_COMPLETE, cause=17)
            with pytest.raises(Refused) as refused:
                await asyncio.wait_for(placed, 5)
            assert refused.value.reason is Reason.BUSY


def test_servers_are_tried_by_priority_and_then_by_chance_after_their_weights() -> None:
    servers = [Server("a", 1, 20, 90), Server("b", 1, 10, 10), Server("c", 1, 10, 30), Server("d", 1, 10, 0)]
    rng = Random(7)
    orders = [[one.host for one in in_order(servers, rng)] for _ in range(2_000)]
    assert all(order[-1] == "a" for order in orders)
    first = Counter(order[0] for order in orders)
    assert 0.70 < first["c"] / len(orders) < 0.80
    assert 0.20 < first["b"] / len(orders) < 0.30
    assert first["d"] < 20


async def test_gatekeepers_are_found_as_soon_as_their_names_are_known(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter_ras, "UNKNOWN_TIME", 0.05)
    hosts: dict[str, list[str]] = {}
    monkeypatch.setattr(adapter_ras, "SystemNames", lambda reactor: FakeNames({}, hosts))
    keeper = await start(FakeDesk(), gatekeeper="embedded", neighbours=("far.example:1719",))
    far = await start(FakeDesk(), gatekeeper=f"gk.example:{keeper.ports['ras']}", aliases=("bridge",))
    assert not far.ras.counters().get("ras.joined")
    hosts |= {"gk.example": ["127.0.0.1"], "far.example": ["192.0.2.8"]}
    await until(lambda: far.ras.counters().get("ras.joined") == 1)
    core = keeper.ras._zone._core
    await until(lambda: core.config.neighbours == (Address("192.0.2.8", 1719),))


async def test_the_gatekeeper_of_a_domain_is_asked(start: Start) -> None:
    far_desk = FakeDesk()
    asker = await start(FakeDesk(), gatekeeper="embedded")
    neighbour = f"127.0.0.1:{asker.ports['ras']}"
    keeper = await start(far_desk, gatekeeper="embedded", neighbours=(neighbour,))
    asker.ras._names = FakeNames(
        {"_h323rs._udp.two.example": [Server("gk.example", keeper.ports["ras"])]}, {"gk.example": ["127.0.0.1"]}
    )
    assert await route(asker, "two.example", "100") == Address("127.0.0.1", keeper.ports["signalling"])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("gk", ("gk", 9)),
        ("gk:17", ("gk", 17)),
        ("192.0.2.1:17", ("192.0.2.1", 17)),
        ("[2001:db8::1]:17", ("2001:db8::1", 17)),
        ("[2001:db8::1]", ("2001:db8::1", 9)),
        ("2001:db8::1", ("2001:db8::1", 9)),
        ("gk:99999", ("gk", 65_535)),
    ],
)
def test_hosts_and_ports(text: str, found: tuple[str, int]) -> None:
    assert split_host(text, 9) == found
