"""Calls through a translator on real sockets: our gatekeeper, our endpoint, and what a stranger may try."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import h323_peer
import pytest
from h323_hostile import mutate, throw
from h323_peer import Peer
from h323_zone import zone
from sip_fake_house import FakeCall, FakeDesk
from test_ras_gatekeeper import rrq

from gateway.calls import CallFacts, CallProtocol, Direction
from gateway.reasons import Reason, Refused
from h323 import adapter_traversal
from h323.adapter import H323Adapter
from h323.h460.features import MEDIA, find, parameters, told, write_feature, write_supported
from h323.h460.incoming import write_arrival, write_indication
from h323.h460.media import Way, write_way
from h323.h460.tunnel import read_tunnelled, write_tunnelled
from h323.q931 import Type
from h323.ras import messages
from h323.signalling.events import Address, Signal
from h323.signalling.wire import write_signal
from transcode.media import StreamDescription

FACTS = CallFacts(CallProtocol.H323, Direction.OUTGOING, "", "", "Bob", "100")
Start = Callable[..., Any]
WAIT = 15.0


class AnyDesk(FakeDesk):
    """A desk that takes every call into room 100."""

    async def arrive(self, facts: CallFacts, line: Any) -> FakeCall:
        return await super().arrive(replace(facts, called="100"), line)


@pytest.fixture
async def start(reactor: Any) -> AsyncIterator[Start]:
    async with zone(reactor) as build:
        yield build


async def until(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(WAIT):
        while not holds():
            await asyncio.sleep(0.01)


def flows(call: FakeCall) -> list[StreamDescription]:
    """Return the streams of a call that flow both ways, as far as the house was told."""
    described = call.remote.streams if call.remote is not None else ()
    return [one for one in described if one.receive and one.send]


@pytest.mark.parametrize("tunnelling", [True, False], ids=["tunnelled", "separate"])
@pytest.mark.parametrize("inwards", [True, False], ids=["to the client", "from the client"])
async def test_a_gatekeeper_and_an_endpoint_of_ours_let_calls_pass(
    start: Start, inwards: bool, tunnelling: bool
) -> None:
    desk, far_desk = AnyDesk(), AnyDesk()
    keeper = await start(desk, tunnelling, gatekeeper="embedded")
    far = await start(far_desk, tunnelling, gatekeeper=f"127.0.0.1:{keeper.ports['ras']}", aliases=("bob",), name="Far")
    await until(lambda: keeper.has("bob"))
    await until(lambda: far.ras.traverses)
    if inwards:
        placed = asyncio.create_task(keeper.dial("h323:bob", FACTS))
    else:
        placed = asyncio.create_task(far.dial(f"h323:100@127.0.0.1:{keeper.ports['signalling']}", FACTS))
    async with asyncio.timeout(WAIT):
        server, client = await desk.call(within=WAIT), await far_desk.call(within=WAIT)
        await placed
    await until(lambda: flows(server) and flows(client))
    seen, said = flows(server)[0].transport, flows(client)[0].transport
    assert seen.traversal is not None
    assert (seen.traversal.hidden, seen.traversal.host) == (True, "127.0.0.1")
    assert seen.address == "0.0.0.0"
    assert said.traversal is not None
    assert said.traversal.keep_alive is not None
    assert (said.traversal.keep_alive.address, said.traversal.keep_alive.port) == (said.address, said.port)
    assert not said.traversal.hidden
    await server.line.hang_up(Reason.NORMAL)
    await until(lambda: not keeper.counters()["calls"] and not far.counters()["calls"])
    assert keeper.counters()["summoned"] == 0


async def test_an_endpoint_that_is_told_and_never_connects_costs_nothing_but_its_time(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter_traversal, "ARRIVAL_TIME", 0.3)
    monkeypatch.setattr(adapter_traversal.Doors, "summoned", lambda self, waiting: None)
    keeper = await start(AnyDesk(), gatekeeper="embedded")
    far = await start(AnyDesk(), gatekeeper=f"127.0.0.1:{keeper.ports['ras']}", aliases=("bob",))
    await until(lambda: far.ras.traverses)
    with pytest.raises(Refused) as refused:
        await asyncio.wait_for(keeper.dial("h323:bob", FACTS), WAIT)
    assert refused.value.reason is Reason.UNREACHABLE
    assert keeper.counters()["summoned"] == 0


async def test_a_connection_that_names_a_call_of_nobody_is_closed(start: Start) -> None:
    keeper = await start(AnyDesk(), gatekeeper="embedded")
    peer = await Peer.connect(keeper.ports["signalling"])
    try:
        peer.stream.send(write_signal(write_arrival(b"x" * 16)))
        await peer.end(WAIT)
        assert keeper.counters()["arrivals_unexpected"] == 1
    finally:
        await peer.close()


def connections(keeper: H323Adapter) -> list[bool]:
    """Return of the connections that carry RAS whether they stay without a call."""
    return [one.kept for one in keeper.doors._tunnels.values()]


class Tunnel:
    """An endpoint that registers by its connection (H.460.17)."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self._count = 0

    async def ask(self, name: str, body: dict[str, Any]) -> messages.Message:
        self._count += 1
        request = messages.write(name, {"requestSeqNum": self._count, **body})
        self.peer.stream.send(write_signal(write_tunnelled(request)))
        return await self.told()

    async def told(self) -> messages.Message:
        while (carried := read_tunnelled(await self.peer.expect(Type.FACILITY, WAIT))) is None:
            pass  # a call's H.245
        (data,) = carried
        return messages.read(data)


async def test_an_endpoint_registers_by_its_connection_and_is_called_on_it(start: Start) -> None:
    desk = AnyDesk()
    keeper = await start(desk, gatekeeper="embedded")
    peer = await Peer.connect(keeper.ports["signalling"])
    tunnel = Tunnel(peer)
    try:
        answer = await tunnel.ask("registrationRequest", rrq(Address("10.0.0.5", 1719)))
        assert (answer.name, answer.body["maintainConnection"]) == ("registrationConfirm", True)
        (one,) = keeper.ras.registrations()
        assert one.aliases == ("bob",)
        placed = asyncio.create_task(keeper.dial("h323:bob", FACTS))
        setup = await peer.expect(Type.SETUP, WAIT)
        assert setup.body is not None
        assert parameters(find(told(setup.body), MEDIA) or {}, 2) == [None]
        callee = Peer.__new__(Peer)
        callee.__dict__.update(peer.__dict__)
        callee.caller, callee.reference = False, setup.reference
        body = {"protocolIdentifier": h323_peer.OID, "callIdentifier": setup.body["callIdentifier"]}
        callee.send(
            Type.CONNECT,
            {**body, "destinationInfo": h323_peer.ENDPOINT, "conferenceID": setup.body["conferenceID"]},
        )
        await asyncio.wait_for(placed, WAIT)
        call = await desk.call()
        await call.line.hang_up(Reason.NORMAL)
        await peer.expect(Type.RELEASE_COMPLETE, WAIT)
        # The connection stays: the endpoint is still registered by it.
        assert not peer.ended
        asked = {"callSignalAddress": [], "endpointIdentifier": answer.body["endpointIdentifier"]}
        assert connections(keeper) == [True]
        reply = await tunnel.ask("unregistrationRequest", asked)
        assert reply.name == "unregistrationConfirm"
        assert connections(keeper) == [False], "it may be closed now like any other"
    finally:
        await peer.close()


async def test_a_registration_ends_with_the_connection_that_it_came_by(start: Start) -> None:
    keeper = await start(AnyDesk(), gatekeeper="embedded")
    peer = await Peer.connect(keeper.ports["signalling"])
    await Tunnel(peer).ask("registrationRequest", rrq(Address("10.0.0.5", 1719)))
    assert keeper.has("bob")
    await peer.close()
    await until(lambda: not keeper.has("bob"))
    assert keeper.counters()["tunnels"] == 0
    with pytest.raises(Refused):
        await asyncio.wait_for(keeper.dial("h323:bob", FACTS), WAIT)


@pytest.mark.parametrize("gatekeeper", ["embedded", "off"])
async def test_octets_that_are_no_ras_are_counted_and_answered_by_nothing(start: Start, gatekeeper: str) -> None:
    keeper = await start(AnyDesk(), gatekeeper=gatekeeper)
    peer = await Peer.connect(keeper.ports["signalling"])
    try:
        peer.stream.send(write_signal(write_tunnelled(b"\xff" * 40)))
        peer.stream.send(write_signal(Signal(Type.FACILITY, 0, False, None)))
        await until(lambda: keeper.counters().get("tunnelled_ras") == 1)
        await until(lambda: keeper.counters().get("stray_messages") == 1)
    finally:
        await peer.close()


def mutants(chance: random.Random, count: int) -> list[bytes]:
    """Return so many changed messages of those by which calls pass a translator."""
    features = [write_feature(MEDIA, {1: None}), write_feature(18)]
    registration = {"requestSeqNum": 3, **rrq(Address("10.0.0.5", 1719)), "featureSet": write_supported(*features)}
    refresh = {**registration, "keepAlive": True, "endpointIdentifier": "x"}
    way = write_way(Way(Address("10.0.0.5", 5000), Address("10.0.0.5", 5001), 7, Address("10.0.0.5", 5000), 127, 19))
    channel = h323_peer.channel(7, ("audioData", ("g711Ulaw64k", 20)), 1, 5005)
    pdus = [
        ("request", ("openLogicalChannel", {**channel, "genericInformation": [way]})),
        write_indication(b"x" * 16, True),
    ]
    whole = [write_signal(write_arrival(b"x" * 16))]
    whole += [
        write_signal(write_tunnelled(messages.write("registrationRequest", one))) for one in (registration, refresh)
    ]
    setup = {"sourceInfo": h323_peer.ENDPOINT, "supportedFeatures": features, "conferenceID": bytes(16)}
    setup |= {"protocolIdentifier": h323_peer.OID, "activeMC": False, "conferenceGoal": ("create", None)}
    setup |= {"callType": ("pointToPoint", None), "callIdentifier": {"guid": bytes(16)}}
    setup |= {"mediaWaitForConnect": False, "canOverlapSend": False, "multipleCalls": False}
    setup |= {"maintainConnection": False, "destinationAddress": [("h323-ID", "100")]}
    encoded = tuple(h323_peer.CODEC.encode(one) for one in pdus)
    whole += [
        write_signal(Signal(Type.SETUP, 21, False, setup, True)),
        write_signal(Signal(Type.FACILITY, 21, False, None, True, encoded)),
    ]
    whole += whole[1:] * 8  # a first message that names no call ends its connection
    return [mutate(chance, chance.choice(whole)) for _ in range(count)]


async def test_mutated_messages_cost_nothing_but_their_call(start: Start, quiet: None) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print("seed", seed)
    keeper = await start(AnyDesk(), gatekeeper="embedded")
    await throw(keeper.ports["signalling"], [(one, b"") for one in mutants(random.Random(seed), 2_000)], False)
    await until(lambda: not keeper.counters()["connections"])
    await until(lambda: not keeper.counters()["calls"])
    assert keeper.counters()["tunnels"] == 0
    assert keeper.counters()["tunnelled_ras"] > 100
    assert keeper.counters().get("internal_errors", 0) == 0
    assert keeper.ras.counters().get("ras.internal_errors", 0) == 0
