"""Accounts and registrations between the adapter, the sans-IO registrar and gate, and the network.

Connections that lead to a registered phone are held open as those of calls are; phones behind a translator are pinged
over UDP. Whatever touches the registrar is followed by `_settle`, which does what its events ask for and sets its
timer.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from gateway.store.registrations import MemoryRegistrations, RegistrationStore
from gateway.text import clean
from sip.accounts import Account, Accounts
from sip.adapter_facts import MAX_ALIAS, source
from sip.digest import Algorithm, Qop
from sip.digest_server import DigestServer
from sip.events import Flow, Send
from sip.framing import PING
from sip.gate import Gate, Policy, Verdict
from sip.message import Request
from sip.registrar import Added, Binding, PingDue, Refreshed, Registrar, Removed, Reply
from sip.transport import Network
from sip.uri import Uri

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RegistrationInfo:
    """One registered contact, as plain data for people and the API.

    source is where it came from, "address:port", empty where that is not known any more; seconds until it ends.
    """

    account: str
    display_name: str
    contact: str
    transport: str
    source: str
    seconds: int
    q: float
    agent: str
    path: tuple[str, ...]
    instance: str
    reachable: bool


class Registrations:
    """All accounts of the house and where their owners are."""

    def __init__(
        self,
        accounts: tuple[Account, ...],
        realm: str,
        algorithms: tuple[Algorithm, ...],
        policy: Policy,
        store: RegistrationStore | None,
        network: Network,
        is_ours: Callable[[Uri], bool],
        rng: random.Random | None = None,
        qops: tuple[Qop, ...] = (Qop.AUTH,),
    ) -> None:
        """Take back what the store has kept. rng by default the system's secure source. Raises ValueError."""
        self._loop = asyncio.get_running_loop()
        self._network = network
        self._store = store if store is not None else MemoryRegistrations()
        self.accounts = Accounts(realm, accounts, algorithms)
        server = DigestServer(realm, self.accounts, rng or random.SystemRandom(), self.accounts.algorithms, qops)
        self._gate = Gate(self.accounts, server, policy, is_ours)
        self._registrar = Registrar(self._store, time.time() - self._loop.time())
        self._timer: asyncio.TimerHandle | None = None
        self._counters: dict[str, int] = {}
        kept = self._registrar.restore(self.accounts.users(), self._loop.time())
        if kept:
            log.info("sip_registrations_restored", bindings=kept)
        self._settle()

    def register(self, request: Request, flow: Flow) -> Reply:
        """Answer a REGISTER."""
        now = self._loop.time()
        verdict = self._gate.register(request, flow, now)
        if verdict.status:
            self._note(verdict, flow, "REGISTER")
            return Reply(verdict.status, verdict.headers)
        reply = self._registrar.register(request, flow, verdict.user, now)
        self._settle()
        return reply

    def screen(self, request: Request, flow: Flow) -> Verdict:
        """Look at an INVITE that begins a call, or at a MESSAGE outside of calls."""
        verdict = self._gate.invite(request, flow, self._loop.time())
        if verdict.status:
            self._note(verdict, flow, request.method)
        return verdict

    def prove(self, request: Request, flow: Flow) -> Verdict:
        """Look at a request that only accounts may send."""
        verdict = self._gate.account(request, flow, self._loop.time())
        if verdict.status:
            self._note(verdict, flow, request.method)
        return verdict

    def bindings(self, user: str) -> list[Binding]:
        """Return where a user can be reached now, the best first."""
        return [binding for binding in self._registrar.bindings(user) if binding.ways]

    def listing(self) -> tuple[RegistrationInfo, ...]:
        """Return all that is registered, by account."""
        now = self._loop.time()
        found = sorted(self._registrar.all(), key=lambda one: (one.account, -one.q, one.id))
        return tuple(self._info(binding, now) for binding in found)

    def accounts_on(self, flow: Flow) -> frozenset[str]:
        """Return the accounts that a connection leads to."""
        return self._registrar.accounts_on(flow)

    def closed(self, flow: Flow) -> None:
        """Take note of a connection that is gone."""
        self._registrar.closed(flow)
        self._settle()

    def counters(self) -> dict[str, int]:
        """Return the counts of what became of registrations, by name, and how many there are."""
        return {**self._counters, "registrations": len(self._registrar)}

    def stop(self) -> None:
        """Write what waits for the store; nothing is heard after it."""
        if self._timer is not None:
            self._timer.cancel()
        self._store.close()

    def _info(self, binding: Binding, now: float) -> RegistrationInfo:
        account = self.accounts.get(binding.account)
        flow, named = binding.flow, binding.contact.parameters.get("transport", "udp").lower()
        return RegistrationInfo(
            account=binding.account,
            display_name=account.display_name if account is not None else "",
            contact=str(binding.contact),
            transport=flow.transport.value if flow is not None else named,
            source=source(flow) if flow is not None else "",
            seconds=max(0, round(binding.expires - now)),
            q=binding.q,
            agent=binding.agent,
            path=binding.path,
            instance=binding.instance,
            reachable=bool(binding.ways),
        )

    def _note(self, verdict: Verdict, flow: Flow, method: str) -> None:
        if verdict.failed:
            self._count("authentications_failed")
            log.warning(
                "sip_authentication_failed",
                peer=flow.remote_address,
                user=clean(verdict.claimed, MAX_ALIAS),
                method=method,
            )
        elif verdict.status == 503:
            self._count("authentications_put_off")

    def _tick(self) -> None:
        self._timer = None
        self._registrar.tick(self._loop.time())
        self._settle()

    def _settle(self) -> None:
        for event in self._registrar.take():
            match event:
                case Added(binding):
                    self._hold(binding.flow)
                    self._tell("sip_registered", binding)
                case Refreshed(binding, before):
                    self._hold(binding.flow)
                    self._release(before.flow)
                    self._count("registrations_refreshed")
                case Removed(binding, cause):
                    self._release(binding.flow)
                    self._tell("sip_unregistered", binding, cause.value)
                case PingDue(flow):
                    self._network.send(Send(PING, flow))
        if self._timer is not None:
            self._timer.cancel()
        due = self._registrar.next_timeout()
        self._timer = None if due is None else self._loop.call_at(due, self._tick)

    def _tell(self, event: str, binding: Binding, cause: str = "") -> None:
        self._count("registrations_added" if event == "sip_registered" else f"registrations_ended_{cause}")
        log.info(event, account=binding.account, contact=str(binding.contact), **({"cause": cause} if cause else {}))

    def _hold(self, flow: Flow | None) -> None:
        if flow is not None:
            self._network.hold(flow)

    def _release(self, flow: Flow | None) -> None:
        if flow is not None:
            self._network.release(flow)

    def _count(self, name: str) -> None:
        self._counters[name] = self._counters.get(name, 0) + 1
