"""Bearer tokens and scopes of the API (RFC 6750).

A token is kept as its SHA-256 digest alone, so that comparing takes the same time whatever is given. Scopes: admin may
everything; rooms changes rooms and participants, calls places and ends calls; each of them may also read.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

from gateway.config import Token
from gateway.reasons import Reason, Refused

DIGEST_MARK = "sha256:"
"""What stands before a token that is configured by its digest."""
MAX_TOKEN = 512
"""Characters of a token that are looked at; the longest that can be configured has 256."""


class Keyring:
    """The tokens that are known and what each may do."""

    def __init__(self, tokens: Iterable[Token]) -> None:
        self._known = [(_digest_of(token.token), frozenset(token.scopes)) for token in tokens]

    def scopes(self, token: str) -> frozenset[str]:
        """Return what this token may do. Raises `Refused` with AUTHENTICATION_NEEDED if it is not known."""
        given = hashlib.sha256(token[:MAX_TOKEN].encode("utf-8", "surrogatepass")).digest()
        found: frozenset[str] | None = None
        # All are compared, so that the time does not tell which one nearly matched.
        for digest, scopes in self._known:
            if hmac.compare_digest(digest, given):
                found = scopes
        if found is None:
            raise Refused(Reason.AUTHENTICATION_NEEDED, "this token is not known")
        return found

    def check(self, token: str | None, scope: str) -> None:
        """Raises `Refused`: AUTHENTICATION_NEEDED, or NOT_ALLOWED if the token may not do what has this scope."""
        if not token:
            raise Refused(Reason.AUTHENTICATION_NEEDED, "a bearer token is needed")
        have = self.scopes(token)
        if not have & {scope, "admin"} and (scope != "read" or not have):
            raise Refused(Reason.NOT_ALLOWED, f'the token lacks the scope "{scope}"')


def _digest_of(token: str) -> bytes:
    if token.startswith(DIGEST_MARK):
        return bytes.fromhex(token.removeprefix(DIGEST_MARK).strip())
    return hashlib.sha256(token.encode()).digest()
