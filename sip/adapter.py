"""The SIP adapter: binds the sockets, runs the stack, and brings its calls to the house.

Theory of operation. Everything runs on the loop's thread. Whatever touches the stack (a message, a timer, a job of a
call) is followed by `pump`, which puts out what the stack wants sent and hands its events to their calls, until there
is nothing more, and then sets the one timer that the stack asks for. Calls do their own work in their own tasks (see
`adapter_call`), so that nothing here waits. Faults are logged, counted, and go no further.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from ipaddress import ip_address
from types import MappingProxyType
from typing import Any
from urllib.parse import quote as escape

import structlog

from gateway.calls import MAX_HOPS, Call, CallFacts, CallProtocol, Desk, Direction, Order, Referrals
from gateway.reasons import Reason, Refused
from sip import events
from sip.adapter_call import HeaderList, SipCall, refusal_headers, refusal_status
from sip.adapter_conference import ConferenceEvents, RoomWatch
from sip.adapter_config import SipConfig
from sip.adapter_dial import dial_in_turn
from sip.adapter_facts import MAX_NAME, clean, source
from sip.adapter_refer import ReferPolicy, Transfers
from sip.adapter_registrations import RegistrationInfo, Registrations
from sip.config import BASIC_METHODS, StackConfig
from sip.describe_exchange import Exchange
from sip.dialling import Dialling, Servers, dialled_uri, own_ways
from sip.events import Flow, Send, SessionId, Target, Transport
from sip.hunt import Failure
from sip.registrar import Binding
from sip.resolver import Resolver, SystemLookup
from sip.stack import Stack
from sip.transport import Network, NetworkConfig
from sip.transport_websocket import Close, WebSocketFlow, Write
from sip.uri import Uri
from sip.values import NameAddr
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
        self._config = config
        self._reactor = reactor
        self._rng = rng
        self._network: Network
        self._registrations: Registrations | None = None
        self._conferences = ConferenceEvents(self, watch)
        self._transfers = Transfers(self, self._dial_referred, refer_policy or self._may_refer, referrals)
        self._loop: asyncio.AbstractEventLoop
        self._calls: dict[SessionId, SipCall] = {}
        self._working: set[SipCall] = set()
        self._counters: dict[str, int] = {}
        self._pumping = False
        self._timer: asyncio.TimerHandle | None = None
        self._due: float | None = None
        self._running = False
        self._stopping = False
        self._idle = asyncio.Event()

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
            config.address, ports, config.certificate, config.key, config.authorities, config.limits
        )
        rng = self._rng or random.SystemRandom()
        resolver = Resolver(SystemLookup(self._reactor, ":" in config.address), rng)
        self._servers = Servers(resolver)
        self._network = Network(network_config, self, self._reactor, resolver)
        self._network.start()
        host = config.public_address or ("" if ip_address(config.address).is_unspecified else config.address)
        stack_config = StackConfig(
            host=host,
            ports=dict(self._network.ports),
            user_agent=config.user_agent,
            methods=METHODS,
            accept=ACCEPT,
            focus=True,
        )
        if config.accounts:
            self._registrations = self._open_registrations()
            methods, supported = (*stack_config.methods, "REGISTER"), (*stack_config.supported, "path", "outbound")
            stack_config = replace(stack_config, methods=methods, supported=supported)
        self.stack = Stack(stack_config, self._rng)
        self._running = True
        log.info("sip_listening", address=config.address, **{str(key): port for key, port in self.ports.items()})

    async def stop(self) -> None:
        """End all calls with SHUTDOWN, wait a bounded time for their peers, and close the sockets."""
        if not self._running or self._stopping:
            return
        self._stopping = True
        self._conferences.stop()
        await self._transfers.stop()
        for call in tuple(self._calls.values()):
            call.drop(Reason.SHUTDOWN)
        self._settled()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), STOP_TIME)
        await self._network.stop()
        self._running = False
        if self._timer is not None:
            self._timer.cancel()
        tasks = [call.task for call in self._working if call.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._registrations is not None:
            await asyncio.to_thread(self._registrations.stop)

    def _open_registrations(self) -> Registrations:
        config = self._config
        return Registrations(
            config.accounts,
            config.realm,
            config.digests,
            config.authenticate,
            config.registrations,
            self._network,
            self._serves,
            self._rng,
        )

    def _serves(self, uri: Uri) -> bool:
        """Tell whether an address that a peer claims may be one of our accounts: without a domain any may."""
        return self._config.domain is None or self._is_ours(uri)

    def _is_ours(self, uri: Uri) -> bool:
        """Tell whether a URI's host names this house: by its domain or by an address of this machine."""
        config, host = self._config, uri.host.lower()
        if host in ((config.domain or "").lower(), config.public_address, config.address):
            return True
        try:
            address = str(ip_address(host))
        except ValueError:
            return False
        return self._network.local_address(address) == address

    def registrations(self) -> tuple[RegistrationInfo, ...]:
        """Return all that is registered, by account."""
        return self._registrations.listing() if self._registrations is not None else ()

    @property
    def ports(self) -> MappingProxyType[Transport, int]:
        """The ports that are bound, by transport."""
        return MappingProxyType(self._network.ports)

    def counters(self) -> dict[str, int]:
        """Return all counts by name: messages by method and status class, malformed ones, refusals, connections."""
        return {
            **self.stack.counters(),
            **self._network.counters(),
            **(self._registrations.counters() if self._registrations is not None else {}),
            **self._counters,
            "calls": len(self._calls),
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
    ) -> Call:
        """Place a call to a SIP URI and bring it to the desk as facts say; return it when the peer is in.

        facts.called is the room, as for calls that arrive; protocol, direction, source and secure are filled in here.
        display is the name that the peer is shown, sender the user part of the address that calls, by default the
        room's; headers go into the INVITE. An address of one of our accounts, or user:NAME, leads to where that is
        registered, one contact after the other. Raises Refused with the reason that the peer or the house gave.
        """
        if not self._running or self._stopping:
            raise Refused(Reason.SHUTDOWN)
        wanted = wanted or Wanted()
        headers = headers or []
        scheme, _, user = target.partition(":")
        uri = None if scheme == "user" else dialled_uri(target)
        bindings = self._bindings(user) if uri is None else self._registered(uri)
        sender = sender or facts.called
        if bindings is not None:
            return await dial_in_turn(bindings, partial(self._dial_binding, facts, wanted, display, headers, sender))
        return await self._dial(self._dialling(str(uri), wanted), (), facts, wanted, display, headers, sender)

    async def place(self, order: Order, facts: CallFacts, headers: HeaderList | None = None) -> Call:
        """Place a call that the house ordered, as `dial` does."""
        return await self.dial(order.target, facts, order.wanted, order.display, headers, order.sender)

    def user_of(self, target: str) -> str | None:
        """Return the account of ours that a SIP URI means; None where it means somebody else."""
        try:
            uri = dialled_uri(target)
        except Refused:
            return None
        return None if self._registered(uri) is None else uri.name

    def _bindings(self, user: str) -> list[Binding]:
        return self._registrations.bindings(user) if self._registrations is not None else []

    def _dialling(self, uri: str, wanted: Wanted, fixed: Sequence[Flow | Target] = ()) -> Dialling:
        return Dialling(uri, self._ways(wanted.video), self._servers, self._network, self.now, fixed)

    def _ways(self, large: bool) -> list[Transport]:
        return own_ways(self._config.udp is not None, self._config.tcp is not None, large)

    def _registered(self, uri: Uri) -> list[Binding] | None:
        """Return the contacts of the account that an address names; None where it is none of ours."""
        known = self._registrations
        if known is None or uri.name not in known.accounts or not self._is_ours(uri):
            return None
        if uri.port is not None and uri.port not in self._network.ports.values():
            return None  # another service on the same machine
        return known.bindings(uri.name)

    async def _dial_binding(
        self, facts: CallFacts, wanted: Wanted, display: str, headers: HeaderList, sender: str, binding: Binding
    ) -> Call:
        dialling = self._dialling(str(binding.contact), wanted, binding.ways)
        return await self._dial(dialling, binding.path, facts, wanted, display, headers, sender)

    async def _dial(
        self,
        dialling: Dialling,
        route: Sequence[str],
        facts: CallFacts,
        wanted: Wanted,
        display: str,
        headers: HeaderList,
        user: str,
    ) -> Call:
        flow = await dialling.next()
        call = SipCall(self, None, flow, self._exchange(flow))
        facts = replace(
            facts,
            protocol=CallProtocol.SIP,
            direction=Direction.OUTGOING,
            source=source(flow),
            secure=flow.transport.secure,
        )
        sender = self._sender(user, display, flow)
        self._working.add(call)
        try:
            return await call.place(
                facts,
                wanted,
                lambda body: self._invite(call, dialling.uri, sender, route, body, headers),
                dialling.next,
            )
        finally:
            if call.session is None:
                self._settle(call)

    def _invite(
        self, call: SipCall, uri: str, sender: str, route: Sequence[str], body: bytes, headers: HeaderList
    ) -> SessionId:
        try:
            hops = call.facts.hops if call.facts is not None else MAX_HOPS
            session = self.stack.invite(
                call.flow, uri, sender, self.now(), body, route=route, headers=headers, max_forwards=hops
            )
        except ValueError as error:
            raise Refused(Reason.BAD_REQUEST, str(error)) from None
        self._keep(session, call)
        return session

    def _sender(self, user: str, display: str, flow: Flow) -> str:
        host = self._config.domain or self._advertised(flow)
        uri = Uri("sip", escape(user, safe=_USER) or None, host=host)
        return str(NameAddr(uri, clean(display or self._config.user_agent, MAX_NAME), {}))

    def _advertised(self, flow: Flow) -> str:
        return self._config.public_address or flow.local_address or "127.0.0.1"

    def _exchange(self, flow: Flow) -> Exchange:
        return Exchange(self._advertised(flow), self._rng, self._config.user_agent)

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
        if self._registrations is not None:
            self._registrations.closed(flow)

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
                self._report(item)
        except Exception as error:
            self.count("internal_errors")
            log.error("sip_fault", error=repr(error), exc_info=error)

    # events

    def _report(self, event: events.Event) -> None:
        """Hand an event to the call that it concerns, or answer it."""
        match event:
            case events.InviteReceived():
                self._invited(event)
            case events.OptionsReceived():
                status = 503 if self._stopping else 200
                self.stack.respond(event.request_id, status, self.now())
            case events.RequestReceived(request=request) if request.method == "REGISTER" and not self._stopping:
                self._register(event)
            case events.RequestReceived():
                self._asked(event)
            case events.Resubscribed():
                self._conferences.resubscribed(event)
            case events.SubscriptionEnded():
                self._conferences.ended(event)
            case events.RequestAnswered():
                pass
            case _:
                call = self._calls.get(event.session)
                if call is not None:
                    self._tell(call, event)
                elif isinstance(event, _ASKED) and event.request_id is not None:
                    self.stack.respond(event.request_id, 481, self.now())

    def _tell(self, call: SipCall, event: events.Event) -> None:
        match event:
            case events.AckReceived():
                call.acknowledged(event.request)
            case events.ReinviteReceived():
                call.reoffered(event.request, partial(self._answer_reinvite, event.session))
            case events.UpdateReceived():
                call.reoffered(event.request, partial(self._answer_update, event.request_id))
            case events.PrackReceived():
                if event.request_id is not None:
                    call.reoffered(event.request, partial(self._answer_update, event.request_id))
            case events.InfoReceived():
                status, headers = call.informed(event.request)
                self.stack.respond(event.request_id, status, self.now(), headers=headers)
            case events.InfoAnswered():
                call.info_answered(event.request_id, event.status)
            case events.Provisional():
                call.progressed(event.response)
            case events.Refreshed():
                call.refreshed(event.response)
            case events.ReferAnswered():
                call.refer_goes(event.status if event.status >= 300 else 100, event.status >= 300)
            case events.ReferProgress():
                call.refer_goes(event.status, event.over)
            case events.ReinviteAnswered():
                call.reinvite_answered(event.response)
            case events.ReinviteRejected():
                call.reinvite_rejected(event.status, event.reason, event.retry_after)
            case events.Answered():
                call.picked_up(event.response)
            case events.Rejected():
                call.rejected(Failure(event.status, event.reason, event.response, event.contacts))
            case events.Ended():
                self._forget(event.session, call)
                call.ended(event.reason)
            case _:
                pass  # Cancelled, ByeReceived and NoAck: Ended follows. We send no UPDATE with an offer.

    def _invited(self, event: events.InviteReceived) -> None:
        if self._stopping:
            headers = refusal_headers(Reason.SHUTDOWN)
            self.stack.refuse(event.session, refusal_status(Reason.SHUTDOWN), self.now(), headers=headers)
            return
        verdict = self._registrations.screen(event.request, event.flow) if self._registrations else None
        if verdict is not None and verdict.status:
            self.stack.refuse(event.session, verdict.status, self.now(), headers=verdict.headers)
            return
        old = self._calls.get(event.replaces) if event.replaces is not None else None
        call = SipCall(self, event.session, event.flow, self._exchange(event.flow), old.replaceable if old else None)
        self._keep(event.session, call)
        call.invited(event.request)

    def _asked(self, event: events.RequestReceived) -> None:
        """Answer what is neither a call nor a registration."""
        call = self._calls.get(event.session) if event.session is not None else None
        facts = call.facts if call is not None else None
        method = event.request.method
        if self._stopping:
            self.stack.respond(event.request_id, 503, self.now())
        elif method == "SUBSCRIBE":
            room = call.room if call is not None else None
            self._conferences.subscribe(event, room, self._entity(room or event.request.uri.name, event.flow))
        elif method == "REFER":
            self._transfers.referred(event, facts, call.call if call is not None else None)
        elif method == "MESSAGE":  # nobody here reads it
            self.stack.respond(event.request_id, 403, self.now())
        else:
            self.stack.respond(event.request_id, 501, self.now())

    def _entity(self, room: str, flow: Flow) -> str:
        """Return our URI of a room."""
        host = self._config.domain or self._advertised(flow)
        return str(Uri("sip", escape(room, safe=_USER), host=host))

    def _may_refer(self, facts: CallFacts, uri: Uri) -> bool:
        """Let participants call our own domain alone: others may cost money."""
        return self._config.domain is not None and uri.host.lower() == self._config.domain.lower()

    async def _dial_referred(self, target: str, facts: CallFacts, headers: HeaderList) -> Call:
        return await self.dial(target, facts, headers=headers)

    def _register(self, event: events.RequestReceived) -> None:
        if self._registrations is None:
            self.stack.respond(event.request_id, 501, self.now())
            return
        reply = self._registrations.register(event.request, event.flow)
        self.stack.respond(event.request_id, reply.status, self.now(), text=reply.phrase, headers=reply.headers)

    def _keep(self, session: SessionId, call: SipCall) -> None:
        self._calls[session] = call
        self._working.add(call)
        self._network.hold(call.flow)

    def _forget(self, session: SessionId, call: SipCall) -> None:
        del self._calls[session]
        self._network.release(call.flow)
        self._loop.call_soon(self._settle, call)

    def _settle(self, call: SipCall) -> None:
        """Keep a call among those at work until its last job is done."""
        if call.task is None:
            self._leave(call)
        else:
            call.task.add_done_callback(lambda _: self._leave(call))

    def _leave(self, call: SipCall) -> None:
        self._working.discard(call)
        self._settled()

    def _settled(self) -> None:
        if self._stopping and not self._calls and not self._working:
            self._idle.set()

    def _answer_reinvite(self, session: SessionId, status: int, body: bytes, headers: HeaderList) -> None:
        if status == 200:
            self.stack.answer_reinvite(session, body, self.now())
        else:
            self.stack.refuse_reinvite(session, status, self.now(), headers=headers)

    def _answer_update(self, request_id: events.RequestId, status: int, body: bytes, headers: HeaderList) -> None:
        self.stack.respond(request_id, status, self.now(), body, headers=headers)


_ASKED = (events.UpdateReceived, events.InfoReceived, events.PrackReceived)
"""Events of calls that want an answer."""


_USER = "-_.!~*'()&=+$,?/"
"""What may stand in a user part as it is (RFC 3261 §25.1)."""


def _sent(data: bytes) -> str:
    """Return the counter of a message of ours: its method, or the class of its status."""
    first, _, rest = data[:32].partition(b" ")
    return f"sent.{rest[:1].decode()}xx" if first == b"SIP/2.0" else f"sent.{first.decode()}"
