"""The embedded gatekeeper, and the gateway as an endpoint: H323Plus' callgen323, GnuGk where it is there, and us."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import house
import marks
import party
import pytest
from peers import callgen
from peers.callgen import Callgen
from peers.gnugk import GnuGk
from peers.gnugk import needed as gnugk_needed
from peers.ours import Terminal
from starting import StartGateway

from gateway.bench.ports import free_port
from gateway.bench.process import GatewayProcess

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]
WAIT = 20.0
ACCOUNTS = [{"user": marks.BOB.name, "password": "secret2"}]
OUTBOUND = {"rules": [{"roles": ["api"]}]}


class Zone:
    """A gateway with its gatekeeper."""

    def __init__(self, gateway: GatewayProcess, port: int) -> None:
        self.gateway = gateway
        self.address = f"127.0.0.1:{port}"

    async def endpoints(self) -> list[dict[str, Any]]:
        found = await house.ask(self.gateway, "GET", "/registrations")
        return [one for one in found["registrations"] if one["protocol"] == "h323"]

    async def has(self, *names: str) -> None:
        """Wait until these are registered and no others. Raises AssertionError."""
        deadline = asyncio.get_running_loop().time() + WAIT
        while (found := sorted(one["account"] for one in await self.endpoints())) != sorted(names):
            assert asyncio.get_running_loop().time() < deadline, f"wanted {names}, found {found}"
            await asyncio.sleep(0.1)

    async def count(self, name: str) -> float:
        found: float = (await self.gateway.metrics()).total(name)
        return found


async def start(start_gateway: StartGateway, **h323: Any) -> Zone:
    port = h323.pop("ras", None) or free_port(socket.SOCK_DGRAM)
    more = {key: h323.pop(key) for key in ("accounts", "outbound", "rooms") if key in h323}
    h323 = {"gatekeeper": "embedded", "ras": port, **h323}
    return Zone(await start_gateway(h323=h323, **more), port)


@callgen.needed
async def test_endpoints_register_and_call_a_room_by_its_alias(start_gateway: StartGateway, tmp_path: Path) -> None:
    zone = await start(start_gateway, accounts=ACCOUNTS)
    async with AsyncExitStack() as stack:
        terminal = Terminal(marks.CLEO)
        stack.push_async_callback(terminal.hang_up)
        await terminal.dial("127.0.0.1", zone.gateway.udp, "100")
        bob = Callgen(marks.BOB, tmp_path, gatekeeper=zone.address, password="secret2")
        stack.push_async_callback(bob.hang_up)
        await bob.dial("100")
        await zone.has("Bob")
        await house.holds(zone.gateway, 2)
        await party.assert_all_hear({"Bob": (bob.mark, bob.heard), "sip": (terminal.mark, terminal.heard)})
        assert await zone.count("roombridge_h323_admissions_total") == 1
        assert await zone.count("roombridge_h323_admitted_calls") == 1
        (one,) = await zone.endpoints()
        assert one["aliases"] == ["Bob"]
        assert "H323Plus" in one["agent"]
        await bob.hang_up()
        await house.holds(zone.gateway, 1)
        await zone.has()
        assert await zone.count("roombridge_h323_admitted_calls") == 0


@callgen.needed
@pytest.mark.parametrize("routed", [False, True], ids=["direct", "routed"])
async def test_one_endpoint_calls_another(start_gateway: StartGateway, tmp_path: Path, routed: bool) -> None:
    zone = await start(start_gateway, accounts=ACCOUNTS, routed=routed)
    async with AsyncExitStack() as stack:
        bob = Callgen(marks.BOB, tmp_path, gatekeeper=zone.address, password="secret2")
        stack.push_async_callback(bob.hang_up)
        await bob.listen()
        ann = Callgen(marks.ANN, tmp_path, gatekeeper=zone.address)
        stack.push_async_callback(ann.hang_up)
        await ann.dial("Bob")
        await ann.expect("Established", WAIT)
        await zone.has("Ann", "Bob")
        await party.assert_all_hear({"Ann": (ann.mark, ann.heard), "Bob": (bob.mark, bob.heard)})
        assert len(await house.calls(zone.gateway)) == (2 if routed else 0)
        # Each end of a direct call is admitted; so is each end of a routed one, which makes two calls of it.
        assert await zone.count("roombridge_h323_admitted_calls") == (2 if routed else 1)
        await ann.hang_up()
        await zone.has("Bob")


@callgen.needed
async def test_the_house_calls_an_endpoint_by_its_alias_and_sip_reaches_it(
    start_gateway: StartGateway, tmp_path: Path
) -> None:
    zone = await start(start_gateway, accounts=ACCOUNTS)
    async with AsyncExitStack() as stack:
        bob = Callgen(marks.BOB, tmp_path, gatekeeper=zone.address, password="secret2")
        stack.push_async_callback(bob.hang_up)
        await bob.listen()
        await zone.has("Bob")
        await house.call(zone.gateway, "h323:Bob", "Bob")  # no outbound rule is needed: it is one of ours
        await house.holds(zone.gateway, 1)
        await house.remove(zone.gateway, "Bob")
        await house.holds(zone.gateway, 0)
        terminal = Terminal(marks.CLEO)
        stack.push_async_callback(terminal.hang_up)
        await terminal.dial("127.0.0.1", zone.gateway.udp, "Bob")
        await party.assert_all_hear({"sip": (terminal.mark, terminal.heard)}, [bob.mark])


@callgen.needed
@pytest.mark.parametrize("password", [None, "secret3"], ids=["none", "wrong"])
async def test_nobody_takes_an_accounts_name_without_its_password(
    start_gateway: StartGateway, tmp_path: Path, password: str | None
) -> None:
    zone = await start(start_gateway, accounts=ACCOUNTS)
    bob = Callgen(marks.BOB, tmp_path, gatekeeper=zone.address, password=password)
    try:
        await bob.dial("100")
        await bob.expect("Error registering with gatekeeper", WAIT)
        assert await zone.endpoints() == []
        assert await zone.count("roombridge_h323_registrations_refused_total") >= 1
        assert await zone.count("roombridge_h323_proofs_refused_total") >= 1
    finally:
        await bob.stop()


async def test_a_gateway_registers_with_another_and_they_call_each_other(start_gateway: StartGateway) -> None:
    zone = await start(
        start_gateway, accounts=[{"user": "bridge", "password": "secret"}], outbound=OUTBOUND, authenticate="all"
    )
    far = await start(
        start_gateway,
        gatekeeper=zone.address,
        aliases=["bridge", "500"],
        user="bridge",
        password="secret",
        outbound=OUTBOUND,
        rooms=[{"id": "500", "name": "Far"}],
    )
    await zone.has("bridge")
    assert await far.count("roombridge_h323_joined") == 1
    await house.call(zone.gateway, "h323:500", "Far")
    await house.holds(zone.gateway, 1)
    await house.holds(far.gateway, 1, "500")
    assert await zone.count("roombridge_h323_admitted_calls") == 1
    await house.remove(zone.gateway, "Far")
    await house.holds(far.gateway, 0, "500")
    await house.call(far.gateway, "h323:100", "Near", "500")
    await house.holds(zone.gateway, 1)
    await house.holds(far.gateway, 1, "500")
    with pytest.raises(OSError, match="404"):
        await house.call(far.gateway, "h323:nobody", "Nobody", "500")


@callgen.needed
@gnugk_needed
@pytest.mark.parametrize("routed", [False, True], ids=["direct", "routed"])
async def test_the_gateway_is_an_endpoint_of_gnugk(start_gateway: StartGateway, tmp_path: Path, routed: bool) -> None:
    async with AsyncExitStack() as stack:
        keeper = GnuGk(tmp_path, {"bridge": "secret1", "Ann": "secret2", "Bob": "secret3"}, routed)
        stack.push_async_callback(keeper.stop)
        await keeper.run()
        far = await start(
            start_gateway,
            gatekeeper=keeper.address,
            aliases=["bridge", "500"],
            user="bridge",
            password="secret1",
            outbound=OUTBOUND,
            rooms=[{"id": "500", "name": "Far"}],
        )
        await keeper.traces("RCF.*bridge", WAIT)
        assert await far.count("roombridge_h323_joined") == 1
        ann = Callgen(marks.ANN, tmp_path, gatekeeper=keeper.address, password="secret2")
        stack.push_async_callback(ann.hang_up)
        await ann.dial("500")
        bob = Callgen(marks.BOB, tmp_path, gatekeeper=keeper.address, password="secret3")
        stack.push_async_callback(bob.hang_up)
        await bob.listen()
        await house.holds(far.gateway, 1, "500", within=WAIT)
        await house.call(far.gateway, "h323:Bob", "Bob", "500")
        await house.holds(far.gateway, 2, "500")
        await party.assert_all_hear({"Ann": (ann.mark, ann.heard), "Bob": (bob.mark, bob.heard)})
        await ann.hang_up()
        await house.holds(far.gateway, 1, "500")


@callgen.needed
@gnugk_needed
async def test_it_proves_itself_to_gnugk_by_cat_calls_without_asking_and_goes_to_the_alternate(
    start_gateway: StartGateway, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        second = GnuGk(tmp_path, {}, name="Second")
        passwords = {"bridge": "secret1", "Bob": "secret3"}
        more = {
            "Gatekeeper::Main": ["Name=First", f"AlternateGKs=127.0.0.1;{second.ras};true;1;Second"],
            "RoutedMode": ["PregrantARQ=1"],
            "SimplePasswordAuth": ["DisableAlgorithm=H.235.1,MD5"],
        }
        first = GnuGk(tmp_path, passwords, routed=True, name="First", more=more)
        for keeper in (first, second):
            stack.push_async_callback(keeper.stop)
            await keeper.run()
        far = await start(
            start_gateway,
            gatekeeper=first.address,
            aliases=["bridge"],
            user="bridge",
            password="secret1",
            outbound=OUTBOUND,
        )
        await first.traces("RCF.*bridge", WAIT)
        await first.traces("using authenticator CAT", WAIT)
        bob = Callgen(marks.BOB, tmp_path, gatekeeper=first.address, password="secret3")
        stack.push_async_callback(bob.hang_up)
        await bob.listen()
        await house.call(far.gateway, "h323:Bob", "Bob")
        await house.holds(far.gateway, 1, within=WAIT)
        metrics = await far.gateway.metrics()
        assert not metrics.total("roombridge_h323_ras_messages_total", kind="received.admissionConfirm")
        await first.stop()
        await second.traces("RCF.*bridge", 3 * WAIT)


@callgen.needed
@gnugk_needed
async def test_a_call_goes_on_by_the_alternate_while_gnugk_is_silent(
    start_gateway: StartGateway, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        second = GnuGk(tmp_path, {}, name="Second")
        more = {"Gatekeeper::Main": [f"AlternateGKs=127.0.0.1;{second.ras};true;1;Second"]}
        first = GnuGk(tmp_path, {}, name="First", more=more)
        for keeper in (first, second):
            stack.push_async_callback(keeper.stop)
            await keeper.run()
        far = await start(start_gateway, gatekeeper=first.address, aliases=["bridge"], outbound=OUTBOUND)
        await first.traces("RCF.*bridge", WAIT)
        bob = Callgen(marks.BOB, tmp_path, gatekeeper=second.address)
        stack.push_async_callback(bob.hang_up)
        await bob.listen()
        first.freeze()
        await house.call(far.gateway, "h323:Bob", "Bob")
        await house.holds(far.gateway, 1)
        await second.traces("RCF.*bridge", WAIT)


@callgen.needed
@gnugk_needed
async def test_gnugk_and_our_gatekeeper_find_each_others_endpoints(start_gateway: StartGateway, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        port = free_port(socket.SOCK_DGRAM)
        more = {
            "RasSrv::Neighbors": ["Roombridge=Generic"],
            "Neighbor::Roombridge": [
                "GatekeeperIdentifier=Roombridge",
                f"Host=127.0.0.1:{port}",
                "SendPrefixes=*",
                "AcceptPrefixes=*",
            ],
            "RoutingPolicy": ["default=explicit,internal,neighbor"],
        }
        keeper = GnuGk(tmp_path, {}, more=more)
        stack.push_async_callback(keeper.stop)
        await keeper.run()
        zone = await start(start_gateway, ras=port, neighbours=[keeper.address])
        assert zone.address == f"127.0.0.1:{port}"
        ann = Callgen(marks.ANN, tmp_path, gatekeeper=zone.address)
        bob = Callgen(marks.BOB, tmp_path, gatekeeper=keeper.address)
        cleo = Callgen(marks.CLEO, tmp_path, gatekeeper=keeper.address)
        for peer in (ann, bob, cleo):
            stack.push_async_callback(peer.hang_up)
        await bob.listen()
        await ann.dial("Bob")
        await cleo.dial("100")
        await ann.expect("Established", WAIT)
        await house.holds(zone.gateway, 1, within=WAIT)
        await party.assert_all_hear({"Ann": (ann.mark, ann.heard)}, [bob.mark])
