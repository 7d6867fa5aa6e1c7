"""The sockets of SIP, on the loopback."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.tls import ServerContext
from sip.events import Flow, Send, Target, Transport
from sip.transport import Network, NetworkConfig
from sip.transport_stream import StreamLimits
from sip.transport_udp import MAX_ROUTES, Routes, plain_address

MESSAGE = b"OPTIONS sip:a@b SIP/2.0\r\nContent-Length: 4\r\n\r\nbody"
ALL = (Transport.UDP, Transport.TCP, Transport.TLS)


class User:
    """Who speaks over a network: notes everything."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[tuple[bytes, Flow]] = asyncio.Queue()
        self.closes: asyncio.Queue[Flow] = asyncio.Queue()
        self.failures: asyncio.Queue[Send] = asyncio.Queue()

    def received(self, data: bytes, flow: Flow) -> None:
        self.heard.put_nowait((data, flow))

    def closed(self, flow: Flow) -> None:
        self.closes.put_nowait(flow)

    def unreachable(self, send: Send) -> None:
        self.failures.put_nowait(send)

    async def next(self) -> tuple[bytes, Flow]:
        return await asyncio.wait_for(self.heard.get(), 5)

    async def closing(self) -> Flow:
        return await asyncio.wait_for(self.closes.get(), 5)

    async def failure(self) -> Send:
        return await asyncio.wait_for(self.failures.get(), 5)


Side = tuple[Network, User]
Make = Callable[..., Side]


@pytest.fixture
async def make(reactor: Any, certificate: Path) -> AsyncIterator[Make]:
    made: list[Network] = []

    def build(address: str = "127.0.0.1", transports: tuple[Transport, ...] = ALL, **options: Any) -> Side:
        limits = options.pop("limits", StreamLimits())
        user = User()
        config = NetworkConfig(address, dict.fromkeys(transports, 0), certificate, limits=limits, **options)
        network = Network(config, user, reactor)
        network.start()
        made.append(network)
        return network, user

    yield build
    for network in made:
        await network.stop()


def target(network: Network, transport: Transport, host: str = "127.0.0.1") -> Target:
    return Target(transport, host, network.ports[transport])


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(1_000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not come true within 5 s")


@pytest.mark.parametrize("transport", ALL)
async def test_a_message_goes_there_and_its_answer_back_on_the_same_flow(make: Make, transport: Transport) -> None:
    (ours, our_user), (theirs, their_user) = make(), make()
    ours.send(Send(MESSAGE, target(theirs, transport)))
    data, flow = await their_user.next()
    assert (data, flow.transport, flow.remote_address) == (MESSAGE, transport, "127.0.0.1")
    assert (flow.local_address, flow.local_port) == ("127.0.0.1", theirs.ports[transport])
    theirs.send(Send(MESSAGE * 1, flow))
    data, back = await our_user.next()
    assert data == MESSAGE
    assert back.remote_port == theirs.ports[transport]


@pytest.mark.parametrize("transport", [Transport.TCP, Transport.TLS])
async def test_messages_to_one_address_share_a_connection(make: Make, transport: Transport) -> None:
    (ours, _), (theirs, their_user) = make(), make()
    for _ in range(3):
        ours.send(Send(MESSAGE, target(theirs, transport)))
    flows = {(await their_user.next())[1] for _ in range(3)}
    ours.send(Send(MESSAGE, target(theirs, transport)))
    flows.add((await their_user.next())[1])
    flow = await ours.open(target(theirs, transport))
    ours.send(Send(MESSAGE, flow))
    flows.add((await their_user.next())[1])
    assert len(flows) == 1
    assert theirs.counters()["connections_in"] == 1


async def test_ipv6_works(make: Make) -> None:
    (ours, _), (theirs, their_user) = make("::1"), make("::1")
    for transport in ALL:
        ours.send(Send(MESSAGE, target(theirs, transport, "::1")))
        assert (await their_user.next())[1].remote_address == "::1"


async def test_a_socket_for_both_families_shows_ipv4_as_such(make: Make) -> None:
    (ours, our_user), (theirs, their_user) = make(), make("::")
    for transport in ALL:
        ours.send(Send(MESSAGE, target(theirs, transport)))
        _, flow = await their_user.next()
        assert (flow.remote_address, flow.local_address) == ("127.0.0.1", "127.0.0.1")
        theirs.send(Send(MESSAGE, flow))
        await our_user.next()
    theirs.send(Send(MESSAGE, target(ours, Transport.UDP)))
    await our_user.next()


async def test_what_is_sent_after_the_end_is_dropped(make: Make) -> None:
    (ours, user), (theirs, their_user) = make(), make()
    flow = await ours.open(target(theirs, Transport.UDP))
    await ours.stop()
    ours.send(Send(MESSAGE, flow))
    ours.send(Send(MESSAGE, target(theirs, Transport.TCP)))
    await asyncio.sleep(0.02)
    assert user.failures.empty()
    assert their_user.heard.empty()


async def test_names_are_looked_up(make: Make) -> None:
    (ours, _), (theirs, their_user) = make(), make()
    ours.send(Send(MESSAGE, target(theirs, Transport.TCP, "localhost")))
    await their_user.next()


async def test_what_cannot_be_reached_comes_back(make: Make) -> None:
    ours, user = make()
    gone, _ = make()
    dead = [target(gone, Transport.TCP), target(gone, Transport.TLS), Target(Transport.UDP, "no.such.invalid", 5060)]
    await gone.stop()
    for to in dead:
        send = Send(MESSAGE, to)
        ours.send(send)
        assert await user.failure() is send
        with pytest.raises(OSError, match=r"refused|not known|No address|resolution"):
            await ours.open(to)


async def test_a_datagram_that_is_too_long_comes_back(make: Make) -> None:
    ours, user = make()
    send = Send(bytes(70_000), target(ours, Transport.UDP))
    ours.send(send)
    assert await user.failure() is send
    assert ours.counters()["datagrams_unsent"] == 1


async def test_a_large_datagram_arrives_whole(make: Make) -> None:
    (ours, _), (theirs, their_user) = make(), make()
    ours.send(Send(b"x" * 30_000, target(theirs, Transport.UDP)))
    assert len((await their_user.next())[0]) == 30_000


async def test_keep_alive_datagrams_are_not_handed_on(make: Make) -> None:
    (ours, _), (theirs, their_user) = make(), make()
    for data in (b"\r\n\r\n", b"\0", b"", MESSAGE):
        ours.send(Send(data, target(theirs, Transport.UDP)))
    assert (await their_user.next())[0] == MESSAGE


async def test_udp_that_is_turned_off_reaches_nobody(make: Make) -> None:
    ours, user = make(transports=(Transport.TCP,))
    ours.send(Send(MESSAGE, Target(Transport.UDP, "127.0.0.1", 9)))
    await user.failure()
    with pytest.raises(OSError, match="turned off"):
        await ours.open(Target(Transport.UDP, "127.0.0.1", 9))


async def test_a_response_whose_connection_is_gone_takes_its_fallback(make: Make) -> None:
    (ours, our_user), (theirs, their_user) = make(), make()
    reader, writer = await asyncio.open_connection("127.0.0.1", theirs.ports[Transport.TCP])
    writer.write(MESSAGE)
    _, flow = await their_user.next()
    writer.close()
    assert await their_user.closing() == flow
    theirs.send(Send(MESSAGE, flow, target(ours, Transport.TCP)))
    await our_user.next()
    lost = Send(MESSAGE, flow)
    theirs.send(lost)
    assert await their_user.failure() is lost
    await reader.read()


# streams that misbehave


async def raw(
    network: Network, transport: Transport = Transport.TCP
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", network.ports[transport])


async def ended(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    try:
        rest = await asyncio.wait_for(reader.read(), 5)
    except ConnectionError:
        rest = b""
    writer.close()
    return rest


async def test_a_message_in_pieces_and_several_at_once_are_cut_right(make: Make) -> None:
    network, user = make()
    _, writer = await raw(network)
    for at in range(0, len(MESSAGE), 7):
        writer.write(MESSAGE[at : at + 7])
        await writer.drain()
    writer.write(MESSAGE * 3)
    assert [(await user.next())[0] for _ in range(4)] == [MESSAGE] * 4
    writer.close()


async def test_a_ping_is_answered_with_a_pong(make: Make) -> None:
    network, _ = make()
    reader, writer = await raw(network)
    writer.write(b"\r\n\r\n")
    assert await asyncio.wait_for(reader.readexactly(2), 5) == b"\r\n"
    writer.close()


@pytest.mark.parametrize(
    "junk",
    [b"\x16\x03\x01" * 40_000, b"GET / HTTP/1.1\r\n\r\n", b"INVITE x SIP/2.0\r\nContent-Length: 99999999\r\n\r\n"],
)
async def test_a_stream_that_cannot_be_cut_is_closed_and_counted(make: Make, junk: bytes) -> None:
    network, _ = make()
    reader, writer = await raw(network)
    writer.write(junk)
    await ended(reader, writer)
    assert network.counters()["streams_broken"] == 1


async def test_a_silent_connection_is_closed(make: Make) -> None:
    network, user = make(limits=StreamLimits(first_message_time=0.1, idle_time=0.2))
    for first in (b"", b"\r\n\r\n", MESSAGE):
        reader, writer = await raw(network)
        writer.write(first)
        await ended(reader, writer)
        await user.closing()
    assert network.counters()["connections_idle"] == 3


async def test_a_connection_that_is_held_is_pinged_instead(make: Make) -> None:
    network, user = make(limits=StreamLimits(first_message_time=0.1, idle_time=0.1, ping_time=0.05))
    reader, writer = await raw(network)
    writer.write(MESSAGE)
    _, flow = await user.next()
    network.hold(flow)
    assert await asyncio.wait_for(reader.readexactly(8), 5) == b"\r\n" * 4
    network.release(flow)
    await ended(reader, writer)
    assert await user.closing() == flow


async def test_a_handshake_that_does_not_come_is_ended(make: Make) -> None:
    network, _ = make(limits=StreamLimits(handshake_time=0.1))
    reader, writer = await raw(network, Transport.TLS)
    await ended(reader, writer)
    counters = network.counters()
    assert (counters["handshakes_late"], counters["handshakes_failed"]) == (1, 1)


async def test_plain_text_on_the_tls_port_fails_the_handshake(make: Make) -> None:
    network, user = make()
    reader, writer = await raw(network, Transport.TLS)
    writer.write(MESSAGE)
    await ended(reader, writer)
    await until(lambda: network.counters().get("handshakes_failed") == 1)
    assert user.heard.empty()


async def test_a_peer_that_does_not_read_is_cut_off(make: Make) -> None:
    network, user = make(limits=StreamLimits(unsent=50_000))
    _, writer = await raw(network)
    writer.write(MESSAGE)
    _, flow = await user.next()
    for _ in range(2_000):
        network.send(Send(bytes(60_000), flow))
        if network.counters().get("peers_not_reading"):
            break
        await asyncio.sleep(0)
    assert network.counters()["peers_not_reading"] == 1
    assert await user.closing() == flow
    writer.close()


async def test_the_connection_that_is_idle_longest_makes_room(make: Make) -> None:
    network, user = make(limits=StreamLimits(connections=2))
    first, second = await raw(network), await raw(network)
    for _, writer in (first, second):
        writer.write(MESSAGE)
        await user.next()
        await asyncio.sleep(0.01)
    third = await raw(network)
    third[1].write(MESSAGE)
    await user.next()
    await ended(*first)
    assert network.counters()["connections_evicted"] == 1
    assert network.counters()["connections"] == 2
    second[1].close()
    third[1].close()


@pytest.mark.parametrize("transport", [Transport.TCP, Transport.TLS])
async def test_no_held_connection_makes_room(make: Make, transport: Transport) -> None:
    network, user = make(limits=StreamLimits(connections=1))
    first = await raw(network)
    first[1].write(MESSAGE)
    _, flow = await user.next()
    network.hold(flow)
    await ended(*await raw(network, transport))
    assert network.counters()["connections_refused"] == 1
    assert network.counters()["connections"] == 1
    first[1].close()


async def test_one_address_cannot_take_all_connections(make: Make) -> None:
    network, user = make(limits=StreamLimits(per_address=1))
    first = await raw(network)
    first[1].write(MESSAGE)
    _, flow = await user.next()
    network.hold(flow)
    await ended(*await raw(network))
    assert network.counters()["connections_refused"] == 1
    first[1].close()


async def test_messages_that_wait_for_a_connection_are_bounded(make: Make) -> None:
    (ours, user), (theirs, their_user) = make(limits=StreamLimits(waiting=2)), make()
    for _ in range(3):
        ours.send(Send(MESSAGE, target(theirs, Transport.TCP)))
    await user.failure()
    await their_user.next()
    await their_user.next()
    assert user.failures.empty()


# TLS


async def test_tls_1_2_and_1_3_are_spoken_and_nothing_older(make: Make) -> None:
    network, _ = make()
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.minimum_version = context.maximum_version = version
        reader, writer = await asyncio.open_connection("127.0.0.1", network.ports[Transport.TLS], ssl=context)
        assert writer.get_extra_info("ssl_object").version() == version.name.replace("_", ".")
        writer.write(b"\r\n\r\n")
        assert await asyncio.wait_for(reader.readexactly(2), 5) == b"\r\n"
        writer.close()


async def test_a_server_is_verified_where_authorities_are_named(make: Make, certificate: Path) -> None:
    (trusting, _), (theirs, _) = make(authorities=certificate), make()
    flow = await trusting.open(target(theirs, Transport.TLS))
    assert flow.transport is Transport.TLS


async def test_a_server_that_nobody_vouches_for_is_not_spoken_to(make: Make, stranger: Path) -> None:
    (doubting, _), (theirs, their_user) = make(authorities=stranger), make()
    with pytest.raises(OSError, match="closed before it was ready"):
        await doubting.open(target(theirs, Transport.TLS))
    assert their_user.heard.empty()


async def test_a_server_of_another_name_is_not_spoken_to(make: Make, certificate: Path) -> None:
    (doubting, _), (theirs, their_user) = make(authorities=certificate), make()
    with pytest.raises(OSError, match="closed before it was ready"):
        await doubting.open(target(theirs, Transport.TLS, "localhost"))
    assert their_user.heard.empty()


def test_a_key_of_another_certificate_does_not_fit(certificate: Path, stranger: Path) -> None:
    with pytest.raises(ValueError, match="fit"):
        ServerContext(stranger, certificate)
    with pytest.raises(NotADirectoryError):
        ServerContext(certificate, certificate / "none")


async def test_tls_without_a_certificate_cannot_start(reactor: Any) -> None:
    network = Network(NetworkConfig("127.0.0.1", {Transport.TCP: 0, Transport.TLS: 0}), User(), reactor)
    with pytest.raises(ValueError, match="certificate"):
        network.start()


async def test_a_port_in_use_cannot_be_bound(make: Make, reactor: Any) -> None:
    network, _ = make()
    again = Network(
        NetworkConfig("127.0.0.1", {Transport.UDP: 0, Transport.TCP: network.ports[Transport.TCP]}), User(), reactor
    )
    with pytest.raises(Exception, match="listen"):
        again.start()


# addresses


def test_addresses_are_told_as_peers_write_them() -> None:
    assert plain_address("::ffff:192.0.2.1") == "192.0.2.1"
    assert plain_address("fe80::1%eth0") == "fe80::1"
    assert plain_address("::1") == "::1"


def test_a_bound_address_is_the_local_one_and_a_wild_one_is_found_out() -> None:
    assert Routes("192.0.2.5").towards("198.51.100.1") == "192.0.2.5"
    assert Routes("0.0.0.0").towards("127.0.0.1") == "127.0.0.1"
    assert Routes("::").towards("::1") == "::1"


def test_remembered_routes_are_bounded() -> None:
    routes = Routes("0.0.0.0")
    for number in range(MAX_ROUTES + 10):
        routes.towards(f"127.0.{number // 250}.{number % 250 + 1}")
    assert len(routes._known) == MAX_ROUTES
