"""The asking side of digest authentication: answers challenges, and proves itself before it is asked again.

A `Login` belongs to a user name and password towards one peer or trunk. It remembers the last challenge of each realm,
so that the next request carries credentials at once. An `Attempt` belongs to one request: it answers each realm once,
and again only where the server calls the nonce stale, so that a wrong password never loops (RFC 3261 §22.2).
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from sip.digest import Challenge, Credentials, Qop, challenges_of, make_ha1
from sip.headers import Headers
from sip.message import Request, Response

FIELDS = {401: ("WWW-Authenticate", "Authorization"), 407: ("Proxy-Authenticate", "Proxy-Authorization")}
"""Header fields of challenge and answer by status (RFC 3261 §22.2, §22.3)."""
MAX_REALMS = 8
"""Realms that one login remembers; a chain of proxies that all ask is rarely longer than two."""
MAX_STALE = 3
"""Stale nonces that one request follows; a server that calls a fresh nonce stale more often is broken."""
MAX_ANSWERS = 8
"""Challenges that one request follows in all: a server may name another realm each time, and never be content."""
MAX_COUNT = 0xFFFFFFFF
"""nc has eight hex digits."""

_Place = tuple[str, str]
"""Header field of the answer, and realm."""


@dataclass(slots=True)
class _Known:
    challenge: Challenge
    count: int = 0


class Login:
    """A user and password, and what servers last asked of them. rng gives client nonces."""

    def __init__(self, user: str, password: str, rng: random.Random) -> None:
        """Start with no challenge known."""
        self.user = user
        self._password = password
        self._rng = rng
        self._known: dict[_Place, _Known] = {}

    def __repr__(self) -> str:
        return f"<Login {self.user}>"

    def authorize(self, request: Request) -> None:
        """Put credentials for all realms that are known on a request; its older ones are taken off."""
        for field_name in ("Authorization", "Proxy-Authorization"):
            request.headers.remove(field_name)
        for (field_name, _), known in self._known.items():
            if known.count < MAX_COUNT:
                known.count += 1
                request.headers.add(field_name, str(self._credentials(known, request)))

    def learn(self, place: _Place, challenge: Challenge) -> None:
        """Answer this challenge from now on."""
        self._known.pop(place, None)
        if len(self._known) >= MAX_REALMS:
            del self._known[next(iter(self._known))]
        self._known[place] = _Known(challenge)

    def _credentials(self, known: _Known, request: Request) -> Credentials:
        challenge = known.challenge
        qop = challenge.qops[0] if challenge.qops else Qop.NONE
        counted = qop is not Qop.NONE
        made = Credentials(
            self.user,
            challenge.realm,
            challenge.nonce,
            request.target,
            "",
            challenge.algorithm,
            qop,
            f"{self._rng.getrandbits(128):032x}" if counted else "",
            f"{known.count:08x}" if counted else "",
            challenge.opaque,
        )
        ha1 = make_ha1(challenge.algorithm.base, self.user, challenge.realm, self._password)
        return replace(made, response=made.expected(ha1, request.method, request.body))


class Attempt:
    """One request and what follows from its challenges."""

    def __init__(self, login: Login) -> None:
        """Begin with no realm answered."""
        self._login = login
        self._answered: dict[_Place, str] = {}
        self._answers = 0
        self._stale = 0

    def begin(self, request: Request) -> None:
        """Put what is known already on the request before it is first sent."""
        self._login.authorize(request)

    def answer(self, request: Request, response: Response) -> Request | None:
        """Return the request to send instead, with the next CSeq and without Via; None where the refusal stands.

        Of several challenges of a realm the first that we know is answered: servers put the strongest first
        (RFC 8760 §2.4).
        """
        names = FIELDS.get(response.status)
        if names is None or self._answers >= MAX_ANSWERS:
            return None
        fresh: dict[_Place, Challenge] = {}
        for challenge in challenges_of(response.headers, names[0]):
            fresh.setdefault((names[1], challenge.realm), challenge)
        if not fresh or not all(self._may(place, challenge) for place, challenge in fresh.items()):
            return None
        self._answers += 1
        for place, challenge in fresh.items():
            self._answered[place] = challenge.nonce
            self._login.learn(place, challenge)
        kept = [item for item in request.headers if item[0] not in ("Via", "CSeq")]
        again = Request(request.method, request.target, Headers.trusted(kept), request.body)
        again.headers.add("CSeq", f"{request.cseq.number + 1} {request.method}")
        self._login.authorize(again)
        return again

    def _may(self, place: _Place, challenge: Challenge) -> bool:
        """Tell whether answering makes sense: the realm's first time, or a new nonce for one that became stale."""
        before = self._answered.get(place)
        if before is None:
            return True
        if not challenge.stale or challenge.nonce == before or self._stale >= MAX_STALE:
            return False
        self._stale += 1
        return True
