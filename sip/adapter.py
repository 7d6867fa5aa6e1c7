"""The SIP adapter: binds the sockets, runs the stack, and brings its calls to the house.

Theory of operation. Everything runs on the loop's thread. Whatever touches the stack (a message, a timer, a job of a
call) is followed by `pump`, which puts out what the stack wants sent and hands its events to their calls, until there
is nothing more, and then sets the one timer that the stack asks for. Calls do their own work in their own tasks (see
`adapter_call`), so that nothing here waits. Faults are logged, counted, and go no further.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from ipaddress import ip_address
from types import MappingProxyType
from typing import Any

import structlog

from gateway.calls import Call, CallFacts, Desk, Order, Referrals
from gateway.reasons import Reason, Refused
from gateway.tls import ClientCertificates
from sip import events
from sip.adapter_calls import CallTable
from sip.adapter_conference import ConferenceEvents, RoomWatch
from sip.adapter_config import MessagePolicy, SipConfig
from sip.adapter_messages import Messages
from sip.adapter_names import Names
from sip.adapter_placing import Placing
from sip.adapter_refer import ReferPolicy, Transfers
from sip.adapter_registrations import RegistrationInfo, Registrations
from sip.adapter_reports import Reports
from sip.adapter_stranded import Stranded
from sip.adapter_trunks import Trunks
from sip.config import BASIC_METHODS, StackConfig
from sip.describe_exchange import Exchange
from sip.dialling import Servers
from sip.events import Flow, Send, SessionId, Transport
from sip.identity import ANONYMOUS, is_global
from sip.refusals import HeaderList
from sip.resolver import Resolver, SystemLookup
from sip.stack import Stack
from sip.transport import Network, NetworkConfig
from sip.transport_websocket import Close, WebSocketFlow, Write
from sip.trunk import TrunkInfo
from sip.uri import Uri
from transcode.media import Wanted

__all__ = ["SipAdapter", "SipConfig"]

log = structlog.get_logger()

STOP_TIME = 1.6
"""Seconds that peers have to answer our BYE when the service stops: over UDP it is sent three times in them."""
ACCEPT = ("application/sdp", "multipart/mixed", "multipart/alternative", "multipart/related")
"""Bodies that a call may come with."""


METHODS = (*BASIC_METHODS, "REFER", "NOTIFY", "SUBSCRIBE", "MESSAGE")
"""What is handled here or refused with a reason of its own."""


class SipAdapter:
    """SIP for the house. reactor is Twisted's, on the running asyncio loop; None takes the installed one."""

    def __init__(
        self,
        config: SipConfig,
        desk: Desk,
        reactor: Any = None,
        rng: random.Random | None = None,
        watch: RoomWatch | None = None,
        refer_policy: ReferPolicy | None = None,
        referrals: Referrals | None = None,
    ) -> None:
        """watch lets participants subscribe to their room.

        referrals decide on and place the calls that participants ask for by REFER; without them refer_policy says
        whom they may have us call.
        """
        self.desk = desk
        self.stack: Stack
        self.media = config.media
        self._config = config
        self._reactor = reactor
        self._rng = rng
        self._network: Network
        self.registrar: Registrations | None = None
        self.trunks: Trunks
        self.stack_config: StackConfig
        self.conferences = ConferenceEvents(self, watch)
        self.transfers = Transfers(self, self._dial_referred, refer_policy or self._may_refer, referrals)
        self.messages = Messages(self, config.messages)
        self.send_messages = config.send_messages
        self.calls: CallTable
        self.names: Names
        self.stopping = False
        self.stranded = Stranded(self)
        self._reports = Reports(self)
        self._placing: Placing
        self._loop: asyncio.AbstractEventLoop
        self._counters: dict[str, int] = {}
        self._pumping = False
        self._timer: asyncio.TimerHandle | None = None
        self._due: float | None = None
        self._running = False

    # life

    async def start(self) -> None:
        """Bind and listen. Raises OSError or ValueError where that cannot be."""
        self._loop = asyncio.get_running_loop()
        if self._reactor is None:
            from twisted.internet import reactor

            self._reactor = reactor
        config = self._config
        wanted = {Transport.UDP: config.udp, Transport.TCP: config.tcp, Transport.TLS: config.tls}
        ports = {transport: port for transport, port in wanted.items() if port is not None}
        network_config = NetworkConfig(
            config.address,
            ports,
            config.certificate,
            config.key,
            config.authorities,
            self._asks_clients(),
            config.limits,
            config.show_certificate,
            config.more_certificates,
        )
        rng = self._rng or random.SystemRandom()
        resolver = Resolver(SystemLookup(self._reactor, ":" in config.address), rng)
        self._network = Network(network_config, self, self._reactor, resolver)
        self._network.start()
        self.names = Names(config, self._network)
        self.calls = CallTable(self._network)
        self._placing = Placing(self, config, self._network, Servers(resolver))
        host = config.public_address or ("" if ip_address(config.address).is_unspecified else config.address)
        stack_config = StackConfig(
            host=host,
            ports=dict(self._network.ports),
            user_agent=config.user_agent,
            methods=METHODS,
            accept=ACCEPT,
            focus=True,
        )
        if config.messages is MessagePolicy.OFF:
            stack_config = replace(
                stack_config, methods=tuple(name for name in stack_config.methods if name != "MESSAGE")
            )
        if config.accounts:
            self.registrar = self._open_registrations()
            methods, supported = (*stack_config.methods, "REGISTER"), (*stack_config.supported, "path", "outbound")
            stack_config = replace(stack_config, methods=methods, supported=supported)
        self.stack_config = stack_config
        self.stack = Stack(stack_config, self._rng)
        self._running = True
        self.trunks = Trunks(config.trunks, self, self._network, resolver, rng)
        self.trunks.start()
        log.info("sip_listening", address=config.address, **{str(key): port for key, port in self.ports.items()})

    def _asks_clients(self) -> ClientCertificates:
        """Return whether TLS peers are asked who they are: trunks that are known by their certificate need that."""
        wanted = self._config.client_certificates
        asked = self._config.authorities is not None and any(trunk.certificates for trunk in self._config.trunks)
        return ClientCertificates.ASK if asked and wanted is ClientCertificates.OFF else wanted

    async def stop(self) -> None:
        """End all calls with SHUTDOWN, wait a bounded time for their peers, and close the sockets."""
        if not self._running or self.stopping:
            return
        self.stopping = True
        self.conferences.stop()
        self.stranded.stop()
        await self.transfers.stop()
        await self.messages.stop()
        await asyncio.gather(self.calls.end(Reason.SHUTDOWN, STOP_TIME), self.trunks.stop())
        await self._network.stop()
        self._running = False
        if self._timer is not None:
            self._timer.cancel()
        await self.calls.abandon()
        if self.registrar is not None:
            await asyncio.to_thread(self.registrar.stop)

    def _open_registrations(self) -> Registrations:
        config = self._config
        return Registrations(
            config.accounts,
            config.realm,
            config.digests,
            config.authenticate,
            config.registrations,
            self._network,
            self.names.serves,
            self._rng,
            config.qops,
        )

    def registrations(self) -> tuple[RegistrationInfo, ...]:
        """Return all that is registered, by account."""
        return self.registrar.listing() if self.registrar is not None else ()

    def trunk_states(self) -> tuple[TrunkInfo, ...]:
        """Return how each trunk is."""
        return self.trunks.listing()

    @property
    def ports(self) -> MappingProxyType[Transport, int]:
        """The ports that are bound, by transport."""
        return MappingProxyType(self._network.ports)

    def counters(self) -> dict[str, int]:
        """Return all counts by name: messages by method and status class, malformed ones, refusals, connections."""
        return {
            **self.stack.counters(),
            **self._network.counters(),
            **(self.registrar.counters() if self.registrar is not None else {}),
            **self._counters,
            "calls": len(self.calls),
        }

    def now(self) -> float:
        """Return the loop's time in seconds."""
        return self._loop.time()

    def count(self, name: str) -> None:
        """Count one thing that happened."""
        self._counters[name] = self._counters.get(name, 0) + 1

    # placing calls

    async def dial(
        self,
        target: str,
        facts: CallFacts,
        wanted: Wanted | None = None,
        display: str = "",
        headers: HeaderList | None = None,
        sender: str = "",
        trunk: str = "",
        caller: str = "",
        private: bool = False,
    ) -> Call:
        """Place a call to a SIP URI and bring it to the desk as facts say; return it when the peer is in.

        facts.called is the room, as for calls that arrive; protocol, direction, source and secure are filled in here.
        display is the name that the peer is shown, sender the user part of the address that calls, by default the
        room's; headers go into the INVITE. An address of one of our accounts, or user:NAME, leads to where that is
        registered, one contact after the other.

        trunk names the trunk that the call goes through: target is then a number, or a tel or sip URI whose host does
        not matter. caller is the number that the trunk is told: by default sender where that is a global number, else
        the trunk's own; private withholds it from who is called, as it is for a sender that is anonymous.

        Raises Refused with the reason that the peer or the house gave; where the trunk has no room: BUSY, OVERLOAD.
        """
        if not self._running or self.stopping:
            raise Refused(Reason.SHUTDOWN)
        wanted, headers = wanted or Wanted(), headers or []
        if trunk:
            line, private = self.trunks.get(trunk), private or sender == ANONYMOUS.user
            caller = caller or (sender if is_global(sender) else "")
            return await self._placing.dial_through(line, target, facts, wanted, display, headers, caller, private)
        return await self._placing.dial(target, facts, wanted, display, headers, sender)

    def call_of(self, session: SessionId | None) -> Call | None:
        """Return the house's call of a session; None where there is none."""
        found = self.calls.get(session)
        return found.call if found is not None else None

    async def place(self, order: Order, facts: CallFacts, headers: HeaderList | None = None) -> Call:
        """Place a call that the house ordered, as `dial` does."""
        return await self.dial(
            order.target, facts, order.wanted, order.display, headers, order.sender, trunk=order.trunk
        )

    def user_of(self, target: str) -> str | None:
        """Return the account of ours that a SIP URI means; None where it means somebody else."""
        return self._placing.user_of(target)

    def reachable(self, user: str) -> bool:
        """Tell whether an account is registered, so that it can be called."""
        return self.registrar is not None and bool(self.registrar.bindings(user))

    def exchange(self, flow: Flow) -> Exchange:
        """Return what keeps the offers and answers of a new call on a flow."""
        return Exchange(self.names.advertised(flow), self._rng, self._config.user_agent)

    # the network

    def join(
        self, secure: bool, local: tuple[str, int], remote: tuple[str, int], write: Write, close: Close
    ) -> WebSocketFlow | None:
        """Take in a WebSocket that the web server has opened (RFC 7118); None turns it away."""
        return self._network.join(secure, local, remote, write, close) if self._running else None

    def received(self, data: bytes, flow: Flow) -> None:
        """Take one message from the wire."""
        self._guard(partial(self.stack.receive, data, flow))

    def closed(self, flow: Flow) -> None:
        """Take note of a connection that is gone."""
        self._guard(partial(self._closed, flow))

    def _closed(self, flow: Flow, now: float) -> None:
        self.stack.closed(flow, now)
        self.stranded.lost(flow, self.registrar.accounts_on(flow) if self.registrar is not None else frozenset())
        if self.registrar is not None:
            self.registrar.closed(flow)
        self.trunks.closed(flow)

    def unreachable(self, send: Send) -> None:
        """Take back a message that could not be sent."""
        self._guard(partial(self.stack.unreachable, send))

    def _tick(self) -> None:
        self._timer = self._due = None
        self._guard(self.stack.tick)

    def _guard(self, action: Callable[[float], None]) -> None:
        """Do something with the stack; whatever it raises goes no further."""
        if not self._running:
            return
        try:
            action(self.now())
        except Exception as error:
            self.count("internal_errors")
            log.error("sip_fault", error=repr(error), exc_info=error)
        self.pump()

    def pump(self) -> None:
        """Send and report what the stack has to, until there is no more, and set its timer."""
        if self._pumping or not self._running:
            return
        self._pumping = True
        try:
            while items := self.stack.take():
                for item in items:
                    self._put_out(item)
        finally:
            self._pumping = False
        due = self.stack.next_timeout()
        if due != self._due:
            if self._timer is not None:
                self._timer.cancel()
            self._due = due
            self._timer = None if due is None else self._loop.call_at(due, self._tick)

    def _put_out(self, item: Send | events.Event) -> None:
        try:
            if isinstance(item, Send):
                self.count(_sent(item.data))
                self._network.send(item)
            else:
                self._reports.report(item)
        except Exception as error:
            self.count("internal_errors")
            log.error("sip_fault", error=repr(error), exc_info=error)

    def _may_refer(self, facts: CallFacts, uri: Uri) -> bool:
        """Let participants call our own domain alone: others may cost money."""
        return self._config.domain is not None and uri.host.lower() == self._config.domain.lower()

    async def _dial_referred(self, target: str, facts: CallFacts, headers: HeaderList) -> Call:
        return await self.dial(target, facts, headers=headers)


def _sent(data: bytes) -> str:
    """Return the counter of a message of ours: its method, or the class of its status."""
    first, _, rest = data[:32].partition(b" ")
    return f"sent.{rest[:1].decode()}xx" if first == b"SIP/2.0" else f"sent.{first.decode()}"
