"""The asked side of digest authentication: makes challenges and judges credentials (RFC 7616 §3.4, RFC 8760).

Theory of operation. A nonce says when it was made and is signed, together with the address that it was made for, so
that challenging costs no memory: a flood of requests without credentials leaves nothing behind. A nonce enters the
table when it is first used with success; from then on its entry refuses every count that was seen. Credentials with a
nonce that is too old, not ours, made for another address, or already used with that count are not judged at all but
challenged anew with stale=true: the client tries again by itself, and who guesses or replays learns nothing. At the
table's bound the oldest entry goes, and with it every nonce that is not younger, so that none can be used again.

An unknown user and a wrong password take the same way and the same time: an unknown user's HA1 is a random one, and
digests are compared in constant time.
"""

from __future__ import annotations

import hashlib
import heapq
import hmac
import random
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from sip.digest import (
    HEX_DIGITS,
    STRENGTH,
    Algorithm,
    BadDigest,
    Challenge,
    Credentials,
    Qop,
    credentials_of,
)
from sip.message import Request

NONCE_LIFE = 300.0
"""Seconds that a nonce is good for: a phone that registers each minute asks anew at every fifth time."""
MAX_NONCES = 20_000
"""Nonces in use: one for each of 10,000 registered users, and as many again for calls."""
WINDOW = 64
"""Counts behind the highest one that may still come in, for requests that overtake each other on the way."""
MAX_USER = 256
"""Characters of a user name that is looked up; longer ones are nobody's."""
_SIGNATURE = 16
"""Octets of a nonce's signature: 128 bits cannot be guessed."""
_TICKS = 1_000
"""A nonce tells its time in milliseconds."""


class Keys(Protocol):
    """Who knows the accounts."""

    def ha1(self, user: str) -> Mapping[Algorithm, str] | None:
        """Return a user's HA1 by algorithm without -sess, None where there is no such user."""


class Outcome(Enum):
    """What became of looking at a request's credentials."""

    RIGHT = auto()
    MISSING = auto()
    STALE = auto()
    WRONG = auto()
    MALFORMED = auto()


@dataclass(frozen=True, slots=True)
class Judgement:
    """outcome, and the user where it is RIGHT or WRONG; of a WRONG one that is only a claim."""

    outcome: Outcome
    user: str = ""


@dataclass(slots=True)
class _Used:
    """The counts that a nonce was used with: the highest, and a bit for each of the 64 up to it."""

    highest: int = 0
    seen: int = 0

    def fresh(self, count: int) -> bool:
        if count > self.highest:
            return True
        behind = self.highest - count
        return behind < WINDOW and not self.seen >> behind & 1

    def note(self, count: int) -> None:
        if count > self.highest:
            self.seen = (self.seen << min(count - self.highest, WINDOW)) & ((1 << WINDOW) - 1)
            self.highest = count
        self.seen |= 1 << (self.highest - count)


class DigestServer:
    """Challenges and judges for one realm.

    algorithms are offered, in that order; each account must have an HA1 for every one. qops are offered too.
    """

    def __init__(
        self,
        realm: str,
        keys: Keys,
        rng: random.Random,
        algorithms: tuple[Algorithm, ...] = STRENGTH,
        qops: tuple[Qop, ...] = (Qop.AUTH,),
    ) -> None:
        """Start with no nonce used; rng, a secure source, gives the key of the nonces' signatures."""
        self.realm = realm
        self._keys = keys
        self._rng = rng
        self._algorithms = algorithms
        self._qops = qops
        self._taken = frozenset((*qops, Qop.NONE) if Qop.AUTH in qops else qops)  # RFC 2069's covers no more than auth
        self._key = rng.randbytes(32)
        self._nobody = {algorithm: rng.randbytes(HEX_DIGITS[algorithm] // 2).hex() for algorithm in STRENGTH}
        self._used: dict[str, _Used] = {}
        self._by_age: list[tuple[int, str]] = []
        self._floor = -1

    def __len__(self) -> int:
        """Return how many nonces are in the table."""
        return len(self._used)

    def challenges(self, now: float, address: str, stale: bool = False) -> list[str]:
        """Return the values of WWW-Authenticate for a peer at that address, the strongest first."""
        nonce = self._make_nonce(now, address)
        return [str(Challenge(self.realm, nonce, algorithm, self._qops, stale)) for algorithm in self._algorithms]

    def claimed(self, request: Request, field: str = "Authorization") -> str:
        """Return the user that a request claims to be, unproven; empty where it brings no credentials for us."""
        try:
            given = credentials_of(request.headers, field, self.realm)
        except BadDigest:
            return ""
        return given.username[:MAX_USER] if given is not None else ""

    def judge(self, request: Request, address: str, now: float, field: str = "Authorization") -> Judgement:
        """Look at the credentials of a request that came from that address; field is their header field."""
        try:
            given = credentials_of(request.headers, field, self.realm)
        except BadDigest:
            return Judgement(Outcome.MALFORMED)
        if given is None:
            return Judgement(Outcome.MISSING)
        if given.algorithm.base not in self._algorithms or given.qop not in self._taken:
            return Judgement(Outcome.MALFORMED)
        issued = self._issued(given.nonce, address)
        if issued is None or not self._usable(given, issued, now):
            return Judgement(Outcome.STALE)
        if not self._matches(given, request):
            return Judgement(Outcome.WRONG, given.username[:MAX_USER])
        self._note(given, issued, now)
        return Judgement(Outcome.RIGHT, given.username)

    def _matches(self, given: Credentials, request: Request) -> bool:
        known = self._keys.ha1(given.username) if len(given.username) <= MAX_USER else None
        keys = self._nobody if known is None else known
        ha1 = keys.get(given.algorithm.base, self._nobody[given.algorithm.base])
        expected = given.expected(ha1, request.method, request.body)
        same = hmac.compare_digest(expected.encode(), given.response.encode("utf-8", "replace"))
        return same and known is not None and given.algorithm.base in known

    # nonces

    def _make_nonce(self, now: float, address: str) -> str:
        plain = f"{int(now * _TICKS):x}.{self._rng.getrandbits(64):016x}"
        return f"{plain}.{self._sign(plain, address)}"

    def _sign(self, plain: str, address: str) -> str:
        return (
            hmac.new(self._key, f"{plain} {address}".encode("utf-8", "surrogateescape"), hashlib.sha256)
            .digest()[:_SIGNATURE]
            .hex()
        )

    def _issued(self, nonce: str, address: str) -> int | None:
        """Return when a nonce was made, in ticks; None where it is none of ours for that address."""
        plain, _, signature = nonce.rpartition(".")
        expected = self._sign(plain, address).encode()
        if not hmac.compare_digest(expected, signature.encode("utf-8", "replace")):
            return None
        return int(plain.partition(".")[0], 16)

    def _usable(self, given: Credentials, issued: int, now: float) -> bool:
        if now - issued / _TICKS > NONCE_LIFE:
            return False
        used = self._used.get(given.nonce)
        if used is None:
            return issued > self._floor and (given.qop is Qop.NONE or given.count > 0)
        return given.qop is not Qop.NONE and given.count > 0 and used.fresh(given.count)

    def _note(self, given: Credentials, issued: int, now: float) -> None:
        used = self._used.get(given.nonce)
        if used is None:
            self._make_room(now)
            used = self._used[given.nonce] = _Used()
            heapq.heappush(self._by_age, (issued, given.nonce))
        used.note(given.count or 1)

    def _make_room(self, now: float) -> None:
        """Forget nonces that are too old, and at the bound the oldest one."""
        oldest_good = int((now - NONCE_LIFE) * _TICKS)
        while self._by_age and (self._by_age[0][0] < oldest_good or len(self._used) >= MAX_NONCES):
            issued, nonce = heapq.heappop(self._by_age)
            self._floor = max(self._floor, issued)
            del self._used[nonce]
