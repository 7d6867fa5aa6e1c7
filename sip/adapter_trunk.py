"""One trunk at work: it registers, is asked whether it lives, and knows which calls are its own.

The cores (`trunk_registration`, `trunk_health`) say what to ask and when; here it is sent, to one server of the trunk
after the other, and they are told how that ended. One timer serves both.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import random
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import replace
from typing import Protocol
from urllib.parse import quote as escape

import structlog

from gateway.calls import CallFacts
from gateway.reasons import Refused
from gateway.text import clean
from sip.adapter_facts import MAX_ADDRESS, MAX_ALIAS, MAX_NAME, call_facts, dialled
from sip.config import StackConfig
from sip.dialling import Finder, Servers, retry_after
from sip.digest_client import MAX_ANSWERS, Login
from sip.events import Flow, RequestAnswered, RequestId, Send, Transport
from sip.framing import PING
from sip.identity import caller_of, diverted_from, identity_headers, number_of
from sip.locate import Hop
from sip.message import Request, Response
from sip.refusals import HeaderList
from sip.rewriting import rewritten
from sip.routing import own_contact
from sip.stack import Stack
from sip.transport import Network
from sip.trunk import Trunk, TrunkInfo
from sip.trunk_finder import TrunkFinder
from sip.trunk_health import Health, State
from sip.trunk_limits import Limits
from sip.trunk_registration import Ask, Changed, Registration
from sip.uri import Uri
from sip.values import parse_address

log = structlog.get_logger()

KEEP_ALIVE = 25.0
"""Seconds between pings of a registered UDP flow, and looks at our own address; translators forget after 30."""
MAX_PROBED = 8
"""Servers of one trunk that are asked for a sign of life; carriers name two or four."""
LOOK_AGAIN = 300.0
"""Seconds after which a trunk's servers are looked up anew, for calls that come from them; DNS says if sooner."""


class TrunkOwner(Protocol):
    """What a trunk needs of its adapter."""

    stack: Stack
    stack_config: StackConfig

    def now(self) -> float:
        """Return the loop's time in seconds."""

    def pump(self) -> None:
        """Send and report what the stack has to."""

    def count(self, name: str) -> None:
        """Count one thing that happened."""


class TrunkLine:
    """One trunk. `start` and `stop` frame its life."""

    def __init__(self, trunk: Trunk, owner: TrunkOwner, network: Network, finder: Finder, rng: random.Random) -> None:
        self.trunk = trunk
        self.limits = Limits(trunk.max_calls, trunk.calls_per_second)
        self.login = Login(trunk.user, trunk.password, rng) if trunk.user else None
        self.contact_user = _contact_user(trunk) if trunk.register else ""
        self._finder = TrunkFinder(trunk, finder, owner.now)
        self.servers = Servers(self._finder)
        self._owner = owner
        self._network = network
        self._health = Health(trunk.options_interval, owner.now())
        self._registration = Registration(trunk.expires, rng) if trunk.register else None
        self._asked: dict[RequestId, asyncio.Future[RequestAnswered]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._registering: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._call_id = f"{rng.getrandbits(96):024x}"
        self._cseq = 0
        self._flow: Flow | None = None
        self._contact = ""
        self._bound_to: Hop | None = None
        self._ping_due: float | None = None
        self._look_due: float | None = None
        self._server = trunk.servers[0]

    # life

    def start(self) -> None:
        """Find the servers, register and ask as configured."""
        self._look()
        if self._registration is not None:
            self._registration.start()
        self._settle()

    async def stop(self, patience: float) -> None:
        """Un-register, and wait so many seconds at most for that; nothing is asked afterwards."""
        self._health.stop()
        self._look_due = None
        if self._registration is not None:
            if self._registering is not None:
                self._registering.cancel()
                await asyncio.gather(self._registering, return_exceptions=True)
            self._registration.stop()
            self._settle()
            if self._registering is not None:
                with suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.shield(self._registering), patience)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def closed(self, flow: Flow) -> None:
        """Take note of a connection that is gone: a carrier that reached us by it is to learn of another."""
        if flow == self._flow and self._registration is not None:
            self._flow = None
            self._registration.moved()
            self._settle()

    def answered(self, event: RequestAnswered) -> bool:
        """Take what became of a request; False where it is none of ours."""
        waiting = self._asked.pop(event.request_id, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(event)
        return waiting is not None

    def info(self) -> TrunkInfo:
        """Return how the trunk is."""
        now, registration = self._owner.now(), self._registration
        ends = registration.ends if registration is not None else None
        return TrunkInfo(
            name=self.trunk.name,
            server=self._server,
            transport=self.trunk.transport.value,
            state=self._health.state.value,
            why=self._health.why,
            since=max(0, round(now - self._health.since)),
            registration=registration.state.value if registration is not None else "",
            registered=registration is not None and registration.registered,
            seconds=max(0, round(ends - now)) if ends is not None else 0,
            calls=self.limits.calls,
            max_calls=self.trunk.max_calls,
        )

    @property
    def up(self) -> bool:
        """Whether calls can be expected to go through; also while that is not known."""
        return self._health.state is not State.DOWN

    # calls

    def is_source(self, address: str) -> bool:
        """Tell whether an address is one that the trunk calls from."""
        return self._finder.is_server(address) or self.trunk.allows(address)

    def call_facts(self, request: Request, flow: Flow) -> CallFacts:
        """Return the facts of a call that came through this trunk. Raises BadValue or BadUri."""
        trunk = self.trunk
        facts = call_facts(request, flow)
        caller = caller_of(request, trunk.trusted)
        uri = caller.uri
        if not caller.private and trunk.rewrite_caller_in:
            number = rewritten(number_of(uri), trunk.rewrite_caller_in)
            uri = Uri("sip", number, host=uri.host or trunk.realm, port=uri.port)
        called, pin = dialled(Uri("sip", _escaped(self._called(request)), host=trunk.realm))
        diverted = rewritten(diverted_from(request.headers), trunk.rewrite_caller_in) if trunk.trusted else ""
        name = clean(caller.name, MAX_NAME) or clean(number_of(uri), MAX_NAME) or facts.name
        return replace(
            facts,
            caller=clean(str(uri), MAX_ADDRESS),
            name=name,
            called=called,
            pin=pin,
            trunk=trunk.name,
            srtp=trunk.srtp,
            diverted_from=clean(diverted, MAX_ALIAS),
        )

    def _called(self, request: Request) -> str:
        """Return the number that was dialled: a carrier that we register with may call our Contact instead of it."""
        number = number_of(request.uri)
        if self.contact_user and number == self.contact_user:
            number = number_of(request.to.uri)
            for value in request.headers.values("P-Called-Party-ID")[:1]:
                with suppress(ValueError):
                    number = number_of(parse_address(value).uri)
        return rewritten(number, self.trunk.rewrite_in)

    def sender(self, caller: str, name: str, host: str, private: bool, diverted: str) -> tuple[str, HeaderList]:
        """Return From and the headers beside it of a call that we place; host is ours where none is configured."""
        trunk = self.trunk
        number = caller or trunk.caller or trunk.user
        domain = trunk.from_domain or (trunk.realm if trunk.register else host)
        return identity_headers(trunk.identity, number, name, domain, private or trunk.private, diverted)

    @property
    def route(self) -> tuple[str, ...]:
        """The route that the registrar gave for calls through it (RFC 3608)."""
        return self._registration.service_route if self._registration is not None else ()

    # asking

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _guarded(self, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except Exception as error:
            self._owner.count("internal_errors")
            log.error("sip_trunk_fault", trunk=self.trunk.name, error=repr(error), exc_info=error)

    def _look(self) -> None:
        """Find the servers, now and again: calls are known by their addresses, which may change."""
        self._look_due = self._owner.now() + LOOK_AGAIN
        self._spawn(self._look_up())

    async def _look_up(self) -> None:
        with suppress(Refused):
            await self._servers_now()

    async def _servers_now(self) -> list[Hop]:
        there = Uri("sip", host=self.trunk.realm)
        return await self.servers.hops(there, [self.trunk.transport], self._owner.now())

    async def _ask(self, method: str, flow: Flow, headers: HeaderList, cseq: int) -> RequestAnswered:
        """Send one request to the trunk and return what became of it."""
        trunk = self.trunk
        address = str(Uri("sip", _escaped(trunk.user) or None, host=trunk.realm))
        sender = address if trunk.user else str(Uri("sip", host=trunk.from_domain or flow.local_address))
        number = self._owner.stack.request(
            method,
            flow,
            str(Uri("sip", host=trunk.realm)),
            f"<{sender}>",
            self._owner.now(),
            f"<{address}>" if method == "REGISTER" else None,
            headers,
            call_id=self._call_id if method == "REGISTER" else None,
            cseq=cseq,
            login=self.login,
        )
        waiting: asyncio.Future[RequestAnswered] = asyncio.get_running_loop().create_future()
        self._asked[number] = waiting
        self._owner.pump()
        try:
            return await waiting
        finally:
            self._asked.pop(number, None)

    def _failed(self, hop: Hop, response: Response | None) -> bool:
        """Tell whether an answer means that another server is to be tried, and remember that."""
        if response is not None and response.status != 503:
            return False
        self.servers.failed(hop, retry_after(response), self._owner.now())
        return True

    # registration

    async def _register(self, expires: int) -> None:
        """Send a REGISTER to the first server that answers it."""
        registration, response = self._registration, None
        if registration is None:
            return
        try:
            hops = await self._servers_now()
        except Refused:
            hops = [self._bound_to] if self._bound_to is not None and not expires else []
        hops.sort(key=lambda hop: hop != self._bound_to)  # a binding is kept where it stands, while that answers
        for hop in hops:
            try:
                flow = await self._network.open(hop.target)
            except OSError:
                self._failed(hop, None)
                continue
            contact = own_contact(replace(self._owner.stack_config, focus=False), flow, self.contact_user)
            headers = [("Contact", f"{contact};expires={expires}")]
            if self._contact and self._contact != contact and expires:
                headers.append(("Contact", f"{self._contact};expires=0"))
            self._cseq += 1
            answer = await self._ask("REGISTER", flow, headers, self._cseq)
            response = answer.response
            if response is not None:
                said = response.cseq.number  # ours, of the last time that we answered a challenge; or a carrier's fault
                self._cseq = min(max(self._cseq, said), self._cseq + MAX_ANSWERS)
            if not self._failed(hop, response):
                self._bound(hop, flow, contact, response, expires)
                break
        registration.answered(response, self._contact.partition(">")[0].lstrip("<"), self._owner.now())
        self._settle()

    def _bound(self, hop: Hop, flow: Flow, contact: str, response: Response | None, expires: int) -> None:
        """Keep the way on which the carrier reaches us."""
        if response is None or response.status >= 300:
            return
        self._hold(flow if expires else None)
        self._contact, self._bound_to = contact, hop
        self._server = f"{hop.address}:{hop.port}"

    def _hold(self, flow: Flow | None) -> None:
        if flow is not None:
            self._network.hold(flow)
        if self._flow is not None:
            self._network.release(self._flow)
        self._flow = flow
        self._ping_due = self._owner.now() + KEEP_ALIVE if flow is not None else None

    def _registration_changed(self, change: Changed) -> None:
        if change.registered:
            log.info("sip_trunk_registered", trunk=self.trunk.name, server=self._server)
            if not self.trunk.options_interval:
                self._note(self._health.set(State.UP, "", self._owner.now()))
        else:
            self._owner.count("trunk_registrations_failed")
            log.warning("sip_trunk_not_registered", trunk=self.trunk.name, why=change.why)
            if not self.trunk.options_interval:
                self._note(self._health.set(State.DOWN, f"not registered: {change.why}", self._owner.now()))

    def _keep_alive(self, now: float) -> None:
        """Keep a translator's way open, and see whether our address towards the carrier is still the same."""
        flow = self._flow
        if flow is None or self._registration is None:
            self._ping_due = None
            return
        self._ping_due = now + KEEP_ALIVE
        if flow.transport is Transport.UDP:
            self._network.send(Send(PING, flow))
        if self._network.local_address(flow.remote_address) != flow.local_address:
            log.info("sip_trunk_moved", trunk=self.trunk.name)
            self._registration.moved()

    # health

    async def _probe(self) -> None:
        """Ask all servers of the trunk for a sign of life; one that gives it is enough."""
        try:
            hops = (await self._servers_now())[:MAX_PROBED]
        except Refused as refused:
            self._note(self._health.answered(503, refused.detail, self._owner.now()))
            self._settle()
            return
        answers = await asyncio.gather(*map(self._probe_one, hops))
        best, phrase = 0, "" if hops else "no server was found"
        for hop, response in zip(hops, answers, strict=True):
            if response is not None and (best in (0, 408, 503)):
                best, phrase = response.status, response.phrase
                if self._flow is None and best not in (408, 503):
                    self._server = f"{hop.address}:{hop.port}"
        self._note(self._health.answered(best, phrase, self._owner.now()))
        self._settle()

    async def _probe_one(self, hop: Hop) -> Response | None:
        try:
            flow = await self._network.open(hop.target)
        except OSError:
            self._failed(hop, None)
            return None
        response = (await self._ask("OPTIONS", flow, [("Accept", "application/sdp")], 1)).response
        self._failed(hop, response)
        return response

    def _note(self, changed: bool) -> None:
        """Say in one line that the state changed."""
        if changed:
            health = self._health
            self._owner.count(f"trunk_{health.state.value}")
            say = log.warning if health.state is State.DOWN else log.info
            say("sip_trunk_state", trunk=self.trunk.name, state=health.state.value, why=health.why)

    # time

    def _tick(self) -> None:
        self._timer = None
        now = self._owner.now()
        if self._health.tick(now):
            self._spawn(self._probe())
        if self._registration is not None:
            self._registration.tick(now)
        if self._ping_due is not None and now >= self._ping_due:
            self._keep_alive(now)
        if self._look_due is not None and now >= self._look_due:
            self._look()
        self._settle()

    def _settle(self) -> None:
        """Do what the registration asks for, and set the timer."""
        registration = self._registration
        for item in registration.take() if registration is not None else ():
            if isinstance(item, Ask):
                self._registering = self._spawn(self._register(item.expires))
            else:
                self._registration_changed(item)
        times = [self._health.next_timeout(), self._ping_due, self._look_due]
        if registration is not None:
            times.append(registration.next_timeout())
        due = min((time for time in times if time is not None), default=None)
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer = None if due is None else loop.call_at(due, self._tick)


def _contact_user(trunk: Trunk) -> str:
    """Return the user part of our Contact: the same after a restart, and to be guessed by nobody."""
    key = trunk.password.encode("utf-8", "surrogateescape")
    text = f"{trunk.name} {trunk.user} {trunk.realm}".encode("utf-8", "surrogateescape")
    return "rb" + hmac.new(key, text, hashlib.sha256).hexdigest()[:20]


def _escaped(user: str) -> str:
    return escape(user, safe="-_.!~*'()&=+$,?/#")
