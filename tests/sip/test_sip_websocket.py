"""SIP over WebSocket: what bounds a connection, and a page that registers, calls and is called through its own."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from sip_fake_house import FakeDesk
from sip_registering_phone import ANSWER, Phone
from test_sip_registrations import ACCOUNTS, FACTS
from test_sip_transport import User, until

from gateway.reasons import Reason, Refused
from sip.adapter import SipAdapter, SipConfig
from sip.config import StackConfig
from sip.events import Answered, Ended, Flow, InviteReceived, Send, Target, Transport
from sip.framing import PING, PONG
from sip.stack import Stack
from sip.transport import Network, NetworkConfig
from sip.transport_stream import StreamLimits
from sip.transport_websocket import GOING_AWAY, NORMAL, POLICY, TRY_LATER, WebSocketFlow
from transcode.media import Wanted

MESSAGE = b"OPTIONS sip:a@b SIP/2.0\r\nContent-Length: 0\r\n\r\n"
HERE = ("127.0.0.1", 8443)


class Socket:
    """The web server's side of one WebSocket: notes what was written and how it was closed."""

    def __init__(self, network: Network, remote: str = "192.0.2.8", port: int = 50_000, secure: bool = True) -> None:
        self.written: list[bytes] = []
        self.waits = False
        self.closed: tuple[int, bool] | None = None
        self.link: WebSocketFlow | None = network.join(secure, HERE, (remote, port), self.write, self.close)

    @property
    def flow(self) -> WebSocketFlow:
        assert self.link is not None
        return self.link

    def write(self, data: bytes) -> int:
        self.written.append(data)
        return sum(map(len, self.written)) if self.waits else 0

    def close(self, code: int, abort: bool) -> None:
        self.closed = (code, abort)
        if self.link is not None:
            asyncio.get_running_loop().call_soon(self.link.lost)


Build = Callable[..., tuple[Network, User]]


@pytest.fixture
async def make(reactor: Any) -> AsyncIterator[Build]:
    made: list[Network] = []

    def build(**limits: Any) -> tuple[Network, User]:
        user = User()
        network = Network(NetworkConfig("127.0.0.1", {}, limits=StreamLimits(**limits)), user, reactor)
        network.start()
        made.append(network)
        return network, user

    yield build
    for network in made:
        await network.stop()


async def test_a_message_comes_with_the_flow_that_leads_back(make: Build) -> None:
    network, user = make()
    socket = Socket(network, "::ffff:192.0.2.8")
    socket.flow.received(b"\r\n" + MESSAGE)
    data, flow = await user.next()
    assert data == MESSAGE
    assert (flow.transport, flow.remote_address, flow.remote_port) == (Transport.WSS, "192.0.2.8", 50_000)
    assert (flow.local_address, flow.local_port) == HERE
    network.send(Send(b"answer", flow))
    assert socket.written == [b"answer"]
    assert network.counters()["connections"] == 1
    socket.flow.lost()
    socket.flow.lost()
    assert await user.closing() == flow
    assert (user.closes.empty(), network.counters()["connections"]) == (True, 0)


async def test_an_unencrypted_one_is_said_to_be_so(make: Build) -> None:
    network, _ = make()
    transport = Socket(network, secure=False).flow.flow.transport
    assert (transport, transport.secure) == (Transport.WS, False)


async def test_a_ping_is_answered_and_a_pong_is_not(make: Build) -> None:
    network, user = make()
    socket = Socket(network)
    for data in (PING, PONG, b""):
        socket.flow.received(data)
    assert (socket.written, socket.closed, user.heard.empty()) == ([PONG], None, True)


@pytest.mark.parametrize("rubbish", [b'{"type": "join"}', b"\x00\xff" * 40, b"GET / HTTP/1.1\r\n\r\n"])
async def test_what_is_not_sip_is_closed_and_counted(make: Build, rubbish: bytes) -> None:
    network, user = make()
    socket = Socket(network)
    socket.flow.received(rubbish)
    socket.flow.received(MESSAGE)
    assert (socket.closed, user.heard.empty()) == ((POLICY, False), True)
    assert network.counters()["streams_broken"] == 1
    await user.closing()


async def test_a_peer_that_does_not_read_is_cut_off(make: Build) -> None:
    network, user = make(unsent=2_000)
    socket = Socket(network)
    socket.waits = True
    for _ in range(10):
        network.send(Send(bytes(500), socket.flow.flow))
    assert (len(socket.written), socket.closed) == (5, (POLICY, True))
    assert network.counters()["peers_not_reading"] == 1
    await user.closing()


async def test_silence_ends_what_holds_nothing_and_no_other(make: Build) -> None:
    network, _ = make(idle_time=0.2)
    idle, held, speaking = (Socket(network, port=port) for port in (1, 2, 3))
    network.hold(held.flow.flow)
    for _ in range(6):
        speaking.flow.received(PING)
        await asyncio.sleep(0.05)
    await until(lambda: idle.closed is not None)
    assert (idle.closed, held.closed, speaking.closed) == ((NORMAL, False), None, None)
    network.release(held.flow.flow)
    await until(lambda: held.closed is not None and speaking.closed is not None)
    assert network.counters()["connections_idle"] == 3


async def test_over_the_bound_the_silent_one_gives_way_and_held_ones_stay(make: Build) -> None:
    network, _ = make(connections=2)
    first, second = Socket(network, "192.0.2.1"), Socket(network, "192.0.2.2")
    network.hold(first.flow.flow)
    third = Socket(network, "192.0.2.3")
    assert (first.closed, second.closed, third.closed) == (None, (TRY_LATER, True), None)
    await asyncio.sleep(0)
    network.hold(third.flow.flow)
    assert Socket(network, "192.0.2.4").link is None
    assert network.counters()["connections_refused"] == 1


async def test_one_address_has_a_bound_of_its_own(make: Build) -> None:
    network, _ = make(per_address=2)
    sockets = [Socket(network, port=port) for port in (1, 2)]
    for socket in sockets:
        network.hold(socket.flow.flow)
    assert Socket(network, port=3).link is None
    assert Socket(network, "192.0.2.9").link is not None


async def test_nobody_is_connected_to_over_a_websocket(make: Build) -> None:
    network, user = make()
    for target in (Target(Transport.WS, "abc.invalid"), Target(Transport.WSS, "192.0.2.8", 443)):
        with pytest.raises(OSError):
            await network.open(target)
        network.send(Send(MESSAGE, target))
        assert (await user.failure()).target == target
    flow = Socket(network).flow.flow
    gone = replace(flow, connection=flow.connection + 1)
    network.send(Send(MESSAGE, gone, Target(Transport.WSS, "abc.invalid")))
    assert (await user.failure()).target == gone


async def test_all_are_closed_at_the_end(make: Build) -> None:
    network, _ = make()
    socket = Socket(network)
    await network.stop()
    assert socket.closed == (GOING_AWAY, False)
    assert Socket(network).link is None


# a page that speaks SIP


class Tab(Phone):
    """A page whose stack speaks over an in-memory WebSocket, with a host that nobody can resolve (RFC 7118 §5)."""

    def __init__(self, adapter: SipAdapter, port: int = 50_000, user: str = "ann", password: str = "secret") -> None:
        super().__init__(Transport.WSS, HERE[1], user, password, "df7jal23ls0d.invalid")
        self.adapter, self.local = adapter, port
        self.closed: tuple[int, bool] | None = None
        self.said: list[str] = []
        self.parameters = ""

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self.wire = self
        self.flow = Flow(self.kind, "127.0.0.1", self.local, *HERE, 1)
        self.stack = Stack(StackConfig(self.contact_host, {}), random.Random(2))
        self.link = self.adapter.join(True, HERE, ("127.0.0.1", self.local), self.come, self.shut)
        assert self.link is not None
        self._tasks.append(loop.create_task(self._tick()))

    @property
    def contact(self) -> str:
        return f"<sip:{self.user}@{self.contact_host};transport=ws>{self.parameters}"

    def come(self, data: bytes) -> int:
        self.said.append(data.decode())
        asyncio.get_running_loop().call_soon(self._take, data)
        return 0

    def shut(self, code: int, abort: bool) -> None:
        self.closed = (code, abort)

    def write(self, data: bytes) -> None:
        asyncio.get_running_loop().call_soon(self.link.received, data)

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()
        self.link.lost()


Plug = Callable[..., Awaitable[Tab]]


@pytest.fixture
async def adapter(reactor: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SipAdapter]:
    monkeypatch.setattr("sip.adapter.STOP_TIME", 0.1)
    made = SipAdapter(SipConfig("127.0.0.1", None, 0, 0, None, accounts=ACCOUNTS), FakeDesk(), reactor)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def plug(adapter: SipAdapter) -> AsyncIterator[Plug]:
    tabs: list[Tab] = []

    async def build(**more: Any) -> Tab:
        tab = Tab(adapter, **more)
        await tab.open()
        tabs.append(tab)
        return tab

    yield build
    for tab in tabs:
        tab.close()


INSTANCE = ';+sip.instance="<urn:uuid:00000000-0000-1000-8000-000a95a0e128>";reg-id=1'


async def test_a_page_registers_and_is_called_through_its_websocket(adapter: SipAdapter, plug: Plug) -> None:
    tab = await plug()
    assert (await tab.register()).status == 200
    (info,) = adapter.registrations()
    assert (info.transport, info.reachable, info.source) == ("wss", True, "127.0.0.1:50000")
    call = await adapter.dial("sip:ann@127.0.0.1", FACTS, Wanted(video=False))
    invite = await tab.wait(InviteReceived)
    assert invite.request.target == tab.contact.strip("<>")
    assert invite.request.headers.get("Via").startswith("SIP/2.0/WSS 127.0.0.1:8443;branch=")
    assert ":8443;transport=ws>" in invite.request.headers.get("Contact")
    await call.heard("connected")
    assert call.facts.secure
    (session,) = (event.session for event in tab.events if isinstance(event, InviteReceived))
    await call.line.hang_up(Reason.NORMAL)
    assert (await tab.wait(Ended)).session == session
    assert any(said.startswith("BYE sip:ann@df7jal23ls0d.invalid:50000;transport=ws SIP/2.0") for said in tab.said)


async def test_a_page_that_is_gone_is_not_registered_any_more(adapter: SipAdapter, plug: Plug) -> None:
    tab = await plug()
    assert (await tab.register()).status == 200
    tab.close()
    assert adapter.registrations() == ()
    with pytest.raises(Refused) as refused:
        await adapter.dial("sip:ann@127.0.0.1", FACTS, Wanted())
    assert refused.value.reason is Reason.UNREACHABLE


async def test_a_contact_with_a_real_address_is_still_reached_by_its_websocket_alone(
    adapter: SipAdapter, plug: Plug
) -> None:
    tab = await plug()
    tab.contact_host = "127.0.0.1"
    assert (await tab.register()).status == 200
    tab.close()
    assert adapter.registrations() == ()


async def test_a_page_that_comes_back_takes_the_place_of_its_lost_connection(adapter: SipAdapter, plug: Plug) -> None:
    """RFC 5626 §6: the same instance and reg-id on a new flow, before the loss of the old one was seen."""
    for port in (50_001, 50_002):
        tab = await plug(port=port)
        tab.contact_host, tab.parameters = f"h{port}.invalid", INSTANCE
        answered = await tab.register(("Supported", "path, outbound"))
        assert (answered.status, answered.response.headers.get("Require")) == (200, "outbound")
    (info,) = adapter.registrations()
    assert (info.source, info.contact) == ("127.0.0.1:50002", "sip:ann@h50002.invalid;transport=ws")


async def test_a_call_of_a_page_goes_both_ways_over_its_websocket(adapter: SipAdapter, plug: Plug) -> None:
    tab = await plug()
    session = tab.stack.invite(tab.flow, "sip:100@127.0.0.1", "sip:ann@127.0.0.1", tab.now(), ANSWER)
    tab.pump()
    await tab.wait(Answered)
    (call,) = adapter.desk.calls
    assert (call.facts.secure, call.facts.source) == (True, "127.0.0.1:50000")
    await call.heard("connected")
    assert tab.stack.hang_up(session, Reason.NORMAL, tab.now())
    tab.pump()
    await call.heard("ended")
    assert adapter.stack.sizes()["dialogs"] == 0


async def call_in(tab: Tab, adapter: SipAdapter) -> Any:
    """Let a page call room 100, and return the call once it stands."""
    tab.stack.invite(tab.flow, "sip:100@127.0.0.1", "sip:ann@127.0.0.1", tab.now(), ANSWER)
    tab.pump()
    await tab.wait(Answered)
    call = adapter.desk.calls[-1]
    await call.heard("connected")
    return call


async def test_the_call_of_a_page_that_does_not_come_back_is_ended(
    adapter: SipAdapter, plug: Plug, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sip.adapter_stranded.COME_BACK", 0.1)
    tab = await plug()
    call = await call_in(tab, adapter)
    tab.close()
    assert "ended" not in call.said
    await call.heard("ended")
    assert call.reason is Reason.UNREACHABLE
    await until(lambda: adapter.stack.sizes()["dialogs"] == 0)
    assert adapter.counters()["calls_stranded"] == 1


async def test_the_call_of_a_page_that_registers_again_goes_on(
    adapter: SipAdapter, plug: Plug, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sip.adapter_stranded.COME_BACK", 0.3)
    tab = await plug()
    assert (await tab.register()).status == 200
    call = await call_in(tab, adapter)
    tab.link.lost()
    stranger = await plug(port=50_003, user="bob", password="pass")
    assert (await stranger.register(("Contact", tab.contact))).status == 200, "it says that it is where the other was"
    assert adapter.counters().get("calls_rescued", 0) == 0
    tab.link = adapter.join(True, HERE, ("127.0.0.1", 50_002), tab.come, tab.shut)
    tab.contact_host += ":50000"  # as its stack writes it in calls
    assert (await tab.register()).status == 200
    assert adapter.counters()["calls_rescued"] == 1
    await asyncio.sleep(0.4)
    assert "ended" not in call.said
    await call.line.hang_up(Reason.NORMAL)
    await tab.wait(Ended)
