"""Whether a request proves whose it is: accounts, time, replays, and a pause for who guesses.

An unknown name and a wrong password get the same answer after the same work. A proof counts once: all that were seen
within the time that clocks may differ are remembered; where there are too many of one account, older ones than those
that are remembered count no more.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from gateway.backoff import Backoff
from h323.ras.tokens import Proof, Scheme, find_proof

CLOCK_DIFFERENCE = 600
"""Seconds that a peer's clock may differ from ours: room systems are set by hand, but people see when it is far off."""
MAX_SEEN = 4_096
"""Proofs remembered of one account: in ten minutes it makes at most a few dozen calls and refreshes."""
NOBODY = "no account has this password"
"""What a proof is compared with where there is no such account."""


class Policy(Enum):
    """Who must prove who they are: nobody, those who claim to be an account, or everybody."""

    OFF = "off"
    REGISTERED = "registered"
    ALL = "all"


class Problem(Enum):
    """Why a request is not believed; the value is its name in logs and metrics."""

    MISSING = "no-proof"
    WRONG = "wrong-proof"
    STALE = "clock-differs"
    REPLAYED = "replayed"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a request proves. account is empty where it proves nothing; problem None where that is enough."""

    account: str = ""
    scheme: Scheme | None = None
    problem: Problem | None = None


@dataclass(slots=True)
class _Seen:
    floor: int = 0
    proofs: OrderedDict[tuple[object, ...], int] = field(default_factory=OrderedDict)


class Guard:
    """Checks requests against accounts: passwords by name."""

    def __init__(self, accounts: Mapping[str, str], policy: Policy) -> None:
        self.policy = policy
        self.refused: Counter[Problem] = Counter()
        self._accounts = {name.casefold(): (name, password) for name, password in accounts.items()}
        self._backoff = Backoff()
        self._seen: dict[str, _Seen] = {}

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.casefold() in self._accounts

    @property
    def asks(self) -> bool:
        """Whether anybody must prove anything."""
        return self.policy is Policy.ALL or (self.policy is Policy.REGISTERED and bool(self._accounts))

    def password(self, account: str) -> str:
        """Return an account's password; empty where there is none."""
        return self._accounts.get(account.casefold(), ("", ""))[1]

    def check(
        self, data: bytes, name: str, body: dict[str, Any], needed: str | None, host: str, now: float, wall: float
    ) -> Verdict:
        """Look at a request: data as it came, name and body its content, host where from.

        needed: the account that must be proved, "" for any one, None where none must. wall is in seconds since 1970.
        """
        if self.policy is Policy.OFF:
            return Verdict()
        proof = find_proof(body)
        if proof is None:
            return Verdict() if needed is None else self._no(Problem.MISSING)
        account = self._name_of(proof, needed)
        if needed is None and account not in self:
            return Verdict()  # nobody asked, and the name is none of ours
        if self._backoff.wait(host, account, now) > 0:
            return self._no(Problem.PAUSED)
        known = self._accounts.get(account.casefold())
        right = proof.fits(known[1] if known is not None else NOBODY, data) and known is not None
        if not right or (needed and known is not None and known[0].casefold() != needed.casefold()):
            self._backoff.failed(host, account, now)
            return self._no(Problem.WRONG)
        assert known is not None
        problem = self._fresh(known[0], proof, (name, body.get("requestSeqNum")), int(wall))
        if problem is not None:
            return self._no(problem)
        self._backoff.passed(host, account)
        return Verdict(known[0], proof.scheme)

    def _name_of(self, proof: Proof, needed: str | None) -> str:
        """Return whose proof it is: behind a registration, stacks name themselves by the endpoint identifier."""
        return needed if needed and proof.name not in self else proof.name

    def _no(self, problem: Problem) -> Verdict:
        self.refused[problem] += 1
        return Verdict(problem=problem)

    def _fresh(self, account: str, proof: Proof, request: tuple[object, ...], wall: int) -> Problem | None:
        """Return why a right proof does not count, None where it does; what has no time cannot be told apart."""
        if proof.scheme is Scheme.CLEAR:
            return None
        if abs(wall - proof.time) > CLOCK_DIFFERENCE:
            return Problem.STALE
        seen = self._seen.setdefault(account, _Seen())
        # MD5 has no random number, so that two requests of one second differ by themselves alone.
        key = (proof.scheme, proof.time, proof.random, *(request if proof.scheme is Scheme.MD5 else ()))
        if proof.time < seen.floor or key in seen.proofs:
            return Problem.REPLAYED
        seen.proofs[key] = proof.time
        while len(seen.proofs) > MAX_SEEN:
            _, time = seen.proofs.popitem(last=False)
            seen.floor = max(seen.floor, time)
        while seen.proofs and wall - next(iter(seen.proofs.values())) > 2 * CLOCK_DIFFERENCE:
            seen.proofs.popitem(last=False)
        return None
