"""The gate: which requests must prove who sends them, and what they are told (RFC 3261 §22, §10.3 steps 3 and 4).

A REGISTER always must, and only for itself. An INVITE must by policy. Who failed too often is turned away for a while
without a look at its credentials, with 503 and Retry-After: phones take a 403 as final and would stay away for good
because of a neighbour behind the same address.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from gateway.backoff import Backoff
from sip.accounts import Accounts
from sip.building import HeaderList
from sip.digest_server import DigestServer, Outcome
from sip.events import Flow
from sip.message import Request
from sip.uri import Uri


class Policy(Enum):
    """Which INVITEs must prove who sends them: none, those that claim to come from an account, or all."""

    OFF = "off"
    REGISTERED = "registered"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Verdict:
    """status 0 lets the request in, as user where that was proved; any other refuses it, with headers.

    failed says that somebody tried and was wrong; claimed as whom.
    """

    status: int = 0
    headers: HeaderList = ()
    user: str = ""
    failed: bool = False
    claimed: str = ""


class Gate:
    """Looks at requests outside of dialogs. is_ours tells whether a URI's host names this house."""

    def __init__(
        self, accounts: Accounts, server: DigestServer, policy: Policy, is_ours: Callable[[Uri], bool]
    ) -> None:
        """Start with nobody having failed."""
        self._accounts = accounts
        self._server = server
        self._policy = policy
        self._is_ours = is_ours
        self._backoff = Backoff()

    def register(self, request: Request, flow: Flow, now: float) -> Verdict:
        """Look at a REGISTER: it must come from the owner of the address in To."""
        verdict = self._prove(request, flow, now)
        if verdict.status:
            return verdict
        if not self._is_ours(request.to.uri):
            return Verdict(404)
        return verdict if request.to.uri.name == verdict.user else Verdict(403)

    def invite(self, request: Request, flow: Flow, now: float) -> Verdict:
        """Look at an INVITE: nobody may call in the name of an account that is not its own, where policy asks."""
        sender = request.from_.uri
        claims = sender.name in self._accounts and self._is_ours(sender)
        if self._policy is Policy.OFF or (self._policy is Policy.REGISTERED and not claims):
            return Verdict()
        verdict = self._prove(request, flow, now)
        if verdict.status or not claims:
            return verdict
        return verdict if sender.name == verdict.user else Verdict(403)

    def account(self, request: Request, flow: Flow, now: float) -> Verdict:
        """Look at a request that only an account may send, and in its own name."""
        verdict = self._prove(request, flow, now)
        sender = request.from_.uri
        if verdict.status or (sender.name == verdict.user and self._is_ours(sender)):
            return verdict
        return Verdict(403)

    def _prove(self, request: Request, flow: Flow, now: float) -> Verdict:
        address = flow.remote_address
        claimed = self._server.claimed(request)
        if claimed and (pause := self._backoff.wait(address, claimed, now)):
            return Verdict(503, [("Retry-After", str(math.ceil(pause)))])
        judgement = self._server.judge(request, address, now)
        outcome = judgement.outcome
        if outcome is Outcome.RIGHT:
            self._backoff.passed(address, judgement.user)
            return Verdict(user=judgement.user)
        if outcome is Outcome.MALFORMED:
            return Verdict(400)
        wrong = outcome is Outcome.WRONG
        if wrong:
            self._backoff.failed(address, judgement.user, now)
        values = self._server.challenges(now, address, stale=outcome is Outcome.STALE)
        headers = [("WWW-Authenticate", value) for value in values]
        return Verdict(401, headers, failed=wrong, claimed=judgement.user)
