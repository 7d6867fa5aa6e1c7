"""Digest authentication: challenges, credentials, and the arithmetic that both sides share (RFC 7616, RFC 8760).

A server challenges once for each algorithm, the strongest first; a client answers the first one that it knows. What
the server keeps is in `sip.digest_server`, what the client keeps in `sip.digest_client`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from sip.headers import Headers, quote, split_values, unquote

MAX_PARAMETERS = 32
"""Parameters read of one challenge or of credentials; RFC 7616 defines twelve."""
MAX_CHALLENGES = 16
"""Challenges read of one response; each proxy on the way may add one for each algorithm."""
_NC = re.compile(r"[0-9a-fA-F]{8}")


class Algorithm(Enum):
    """Hash functions of digests; the value is the token on the wire. Those named -sess take up both nonces."""

    SHA_512_256 = "SHA-512-256"
    SHA_256 = "SHA-256"
    MD5 = "MD5"
    SHA_512_256_SESS = "SHA-512-256-sess"
    SHA_256_SESS = "SHA-256-sess"
    MD5_SESS = "MD5-sess"

    @property
    def base(self) -> Algorithm:
        """The algorithm without -sess: the one that HA1 of an account is kept under."""
        return Algorithm(self.value.removesuffix("-sess"))

    @property
    def is_session(self) -> bool:
        """Whether both nonces go into A1 (RFC 7616 §3.4.2)."""
        return self.value.endswith("-sess")


STRENGTH = (Algorithm.SHA_512_256, Algorithm.SHA_256, Algorithm.MD5)
"""What servers offer, the strongest first (RFC 8760 §2.3)."""
_HASHES = {Algorithm.SHA_512_256: "sha512_256", Algorithm.SHA_256: "sha256", Algorithm.MD5: "md5"}
_BY_NAME = {algorithm.value.lower(): algorithm for algorithm in Algorithm}
HEX_DIGITS = {Algorithm.SHA_512_256: 64, Algorithm.SHA_256: 64, Algorithm.MD5: 32}
"""Length of a digest as text."""


class Qop(Enum):
    """Quality of protection: what the digest covers. NONE is RFC 2069's, which knows no counter."""

    AUTH = "auth"
    AUTH_INT = "auth-int"
    NONE = ""


class BadDigest(ValueError):
    """Digest parameters that make no sense, or that name what is not known here."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """One WWW-Authenticate or Proxy-Authenticate value. qops is empty where the server is older than RFC 2617."""

    realm: str
    nonce: str
    algorithm: Algorithm = Algorithm.MD5
    qops: tuple[Qop, ...] = (Qop.AUTH,)
    stale: bool = False
    opaque: str | None = None

    def __str__(self) -> str:
        parts = [f"realm={quote(self.realm)}", f"nonce={quote(self.nonce)}"]
        if self.opaque is not None:
            parts.append(f"opaque={quote(self.opaque)}")
        if self.stale:
            parts.append("stale=true")
        parts.append(f"algorithm={self.algorithm.value}")
        if self.qops:
            parts.append(f'qop="{",".join(qop.value for qop in self.qops)}"')
        return "Digest " + ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Credentials:
    """One Authorization or Proxy-Authorization value. nc is the count as text, eight hex digits; "" without qop."""

    username: str
    realm: str
    nonce: str
    uri: str
    response: str
    algorithm: Algorithm = Algorithm.MD5
    qop: Qop = Qop.NONE
    cnonce: str = ""
    nc: str = ""
    opaque: str | None = None

    @property
    def count(self) -> int:
        """nc as a number; 0 where there is none."""
        return int(self.nc, 16) if self.nc else 0

    def __str__(self) -> str:
        parts = [f"username={quote(self.username)}", f"realm={quote(self.realm)}", f"nonce={quote(self.nonce)}"]
        parts += [f"uri={quote(self.uri)}", f'response="{self.response}"', f"algorithm={self.algorithm.value}"]
        if self.opaque is not None:
            parts.append(f"opaque={quote(self.opaque)}")
        if self.qop is not Qop.NONE:
            parts += [f"qop={self.qop.value}", f"cnonce={quote(self.cnonce)}", f"nc={self.nc}"]
        return "Digest " + ", ".join(parts)

    def expected(self, ha1: str, method: str, body: bytes) -> str:
        """Return the response that whoever knows HA1 gives for the same parameters (RFC 7616 §3.4.1)."""
        algorithm = self.algorithm
        if algorithm.is_session:
            ha1 = digest(algorithm, f"{ha1}:{self.nonce}:{self.cnonce}")
        a2 = f"{method}:{self.uri}"
        if self.qop is Qop.AUTH_INT:
            a2 += ":" + digest(algorithm, body)
        ha2 = digest(algorithm, a2)
        if self.qop is Qop.NONE:
            return digest(algorithm, f"{ha1}:{self.nonce}:{ha2}")
        return digest(algorithm, f"{ha1}:{self.nonce}:{self.nc}:{self.cnonce}:{self.qop.value}:{ha2}")


def digest(algorithm: Algorithm, data: str | bytes) -> str:
    """Return the hash of octets, or of text as UTF-8, as lower-case hex."""
    if isinstance(data, str):
        data = data.encode("utf-8", "surrogateescape")
    return hashlib.new(_HASHES[algorithm.base], data, usedforsecurity=False).hexdigest()


def make_ha1(algorithm: Algorithm, user: str, realm: str, password: str) -> str:
    """Return H(user:realm:password): what stands for a password without being one (RFC 7616 §3.4.2)."""
    return digest(algorithm, f"{user}:{realm}:{password}")


def parse_challenge(text: str) -> Challenge:
    """Return one challenge. Raises BadDigest where it is none that we can answer."""
    found = _parameters(text)
    if not found.get("nonce") or "realm" not in found:
        raise BadDigest("a challenge names no realm or no nonce")
    names = {part.strip().lower() for part in found.get("qop", "").split(",")} - {""}
    qops = tuple(qop for qop in (Qop.AUTH, Qop.AUTH_INT) if qop.value in names)
    if names and not qops:
        raise BadDigest("a challenge wants an unknown quality of protection")
    algorithm = _algorithm(found)
    if algorithm.is_session and not qops:
        raise BadDigest("a session algorithm needs a quality of protection")
    stale = found.get("stale", "").lower() == "true"
    return Challenge(found["realm"], found["nonce"], algorithm, qops, stale, found.get("opaque"))


def parse_credentials(text: str) -> Credentials:
    """Return one value of credentials. Raises BadDigest."""
    found = _parameters(text)
    for name in ("username", "realm", "nonce", "uri", "response"):
        if name not in found:
            raise BadDigest(f"credentials without {name}")
    if found.get("userhash", "").lower() == "true":
        raise BadDigest("a hashed user name was not asked for")
    try:
        qop = Qop(found.get("qop", "").lower())
    except ValueError:
        raise BadDigest("an unknown quality of protection") from None
    nc = found.get("nc", "")
    if qop is not Qop.NONE and not (_NC.fullmatch(nc) and found.get("cnonce")):
        raise BadDigest("credentials without count or client nonce")
    algorithm = _algorithm(found)
    if algorithm.is_session and qop is Qop.NONE:
        raise BadDigest("a session algorithm needs a quality of protection")
    return Credentials(
        found["username"],
        found["realm"],
        found["nonce"],
        found["uri"],
        found["response"].lower(),
        algorithm,
        qop,
        found.get("cnonce", ""),
        nc if qop is not Qop.NONE else "",
        found.get("opaque"),
    )


def challenges_of(headers: Headers, name: str) -> list[Challenge]:
    """Return the challenges of a response that we can answer, in its order; name is that of the header field."""
    found = []
    for value in _each(headers.all(name)):
        try:
            found.append(parse_challenge(value))
        except BadDigest:
            continue
    return found[:MAX_CHALLENGES]


def credentials_of(headers: Headers, name: str, realm: str) -> Credentials | None:
    """Return what a request brings for a realm, or None; name is that of the header field. Raises BadDigest."""
    fault: BadDigest | None = None
    for value in _each(headers.all(name)):
        try:
            found = parse_credentials(value)
        except BadDigest as error:
            fault = fault or error
            continue
        if found.realm == realm:
            return found
    if fault is not None:
        raise fault
    return None


def _each(values: Iterable[str]) -> Iterable[str]:
    """Cut fields in which several values stand behind each other; the scheme tells where the next one begins."""
    for value in values:
        yield from re.split(r",\s*(?=Digest\s)", value, flags=re.IGNORECASE) if value.count("igest") > 1 else (value,)


def _parameters(text: str) -> dict[str, str]:
    scheme, _, rest = text.strip().partition(" ")
    if scheme.lower() != "digest":
        raise BadDigest(f"not a digest: {scheme[:16]!r}")
    found: dict[str, str] = {}
    for part in split_values(rest)[:MAX_PARAMETERS]:
        name, _, value = part.partition("=")
        name = name.strip().lower()
        if name in found:
            raise BadDigest(f"{name[:16]} stands twice")
        found[name] = unquote(value.strip())
    return found


def _algorithm(found: dict[str, str]) -> Algorithm:
    named = found.get("algorithm")
    if named is None:
        return Algorithm.MD5
    known = _BY_NAME.get(named.lower())
    if known is None:
        raise BadDigest(f"unknown algorithm {named[:32]!r}")
    return known
