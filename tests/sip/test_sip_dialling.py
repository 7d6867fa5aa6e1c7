"""Placing a call through one server and URI after the other, against a network that is made up."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from gateway.reasons import Reason, Refused
from sip.dialling import MAX_RETRY_AFTER, Dialling, Servers, retry_after
from sip.events import Flow, Target, Transport
from sip.headers import Headers
from sip.hunt import Failure
from sip.locate import Hop
from sip.message import Response
from sip.uri import Uri

UDP = Transport.UDP
ONE = Hop(UDP, "192.0.2.1", 5060, "example.com")
TWO = Hop(UDP, "192.0.2.2", 5060, "example.com")


class World:
    """Domains and their servers; down are those that cannot be reached."""

    def __init__(self) -> None:
        self.hops = {"example.com": [ONE, TWO], "example.org": [Hop(UDP, "198.51.100.1", 5060, "example.org")]}
        self.down: set[str] = set()
        self.opened: list[str] = []
        self.now = 100.0
        self.servers = Servers(self)

    async def locate(self, uri: Uri, ways: Sequence[Transport]) -> list[Hop]:
        return list(self.hops.get(uri.host, []))

    async def open(self, target: Target) -> Flow:
        self.opened.append(target.host)
        if target.host in self.down:
            raise OSError("refused")
        return Flow(UDP, "192.0.2.99", 5060, target.host, target.port or 5060)

    def dialling(self, uri: str = "sip:a@example.com", fixed: Sequence[Flow | Target] = ()) -> Dialling:
        return Dialling(uri, [UDP], self.servers, self, lambda: self.now, fixed)


def failed(status: int, headers: Sequence[tuple[str, str]] = (), contacts: tuple[str, ...] = ()) -> Failure:
    reason = Reason.UNREACHABLE if status < 400 else {503: Reason.OVERLOAD, 486: Reason.BUSY}[status]
    return Failure(status, reason, Response(status, "", Headers(headers)), contacts)


async def test_503_and_silence_lead_to_the_next_server() -> None:
    for failure in (failed(503), Failure(408, Reason.TIMEOUT), Failure(503, Reason.UNREACHABLE)):
        world = World()
        dialling = world.dialling()
        assert (await dialling.next()).remote_address == "192.0.2.1"
        assert (await dialling.next(failure)).remote_address == "192.0.2.2"
        with pytest.raises(Refused) as caught:
            await dialling.next(failure)
        assert caught.value.reason is failure.reason


async def test_a_server_that_refuses_connections_gives_way_and_is_tried_last_for_a_while() -> None:
    world = World()
    world.down = {"192.0.2.1"}
    assert (await world.dialling().next()).remote_address == "192.0.2.2"
    world.down = set()
    assert (await world.dialling().next()).remote_address == "192.0.2.2"
    world.now += 31
    assert (await world.dialling().next()).remote_address == "192.0.2.1"


async def test_retry_after_is_honoured() -> None:
    world = World()
    world.hops["example.com"] = [ONE]
    dialling = world.dialling()
    await dialling.next()
    with pytest.raises(Refused):
        await dialling.next(failed(503, [("Retry-After", "120")]))
    world.now += 119
    with pytest.raises(Refused) as caught:
        await world.dialling().next()
    assert caught.value.reason is Reason.OVERLOAD
    assert world.opened == ["192.0.2.1"]
    world.now += 2
    await world.dialling().next()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("5", 5.0), ("18 (busy);duration=60", 18.0), ("999999999", MAX_RETRY_AFTER), ("soon", None), ("", None)],
)
def test_retry_after_is_read(value: str, seconds: float | None) -> None:
    response = Response(503, "", Headers([("Retry-After", value)] if value else []))
    assert retry_after(response) == seconds
    assert retry_after(None) is None


async def test_what_the_user_said_is_final() -> None:
    world = World()
    dialling = world.dialling()
    await dialling.next()
    with pytest.raises(Refused) as caught:
        await dialling.next(failed(486))
    assert (caught.value.reason, caught.value.detail) == (Reason.BUSY, "486 Busy Here")
    assert len(world.opened) == 1


async def test_a_redirection_leads_to_another_domain() -> None:
    world = World()
    dialling = world.dialling()
    await dialling.next()
    moved = failed(302, (), ("sip:b@example.org?Subject=x", "sip:c@example.com"))
    assert (await dialling.next(moved)).remote_address == "198.51.100.1"
    assert dialling.uri == "sip:b@example.org"
    assert (await dialling.next(failed(302, (), ("sip:a@example.com",)))).remote_address == "192.0.2.1"
    assert dialling.uri == "sip:c@example.com"


async def test_redirections_that_never_end_are_a_loop() -> None:
    world = World()
    dialling = world.dialling()
    await dialling.next()
    for number in range(5):
        await dialling.next(failed(302, (), (f"sip:{number}@example.com",)))
    with pytest.raises(Refused) as caught:
        await dialling.next(failed(302, (), ("sip:6@example.com",)))
    assert caught.value.reason is Reason.LOOP
    assert len(world.opened) == 6


async def test_a_domain_without_servers_cannot_be_reached() -> None:
    with pytest.raises(Refused) as caught:
        await World().dialling("sip:a@nowhere.example").next()
    assert caught.value.reason is Reason.UNREACHABLE


async def test_known_ways_are_taken_as_they_are() -> None:
    world = World()
    flow = Flow(Transport.TCP, "192.0.2.99", 5060, "10.0.0.7", 40_000, 3)
    dialling = world.dialling("sip:a@10.0.0.7", [flow, Target(UDP, "10.0.0.8")])
    assert await dialling.next() is flow
    assert (await dialling.next(failed(503))).remote_address == "10.0.0.8"
    with pytest.raises(Refused):
        await dialling.next(failed(503))
