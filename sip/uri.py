"""URIs that a SIP message may name: sip, sips and tel; any other is kept as it is (RFC 3261 §19.1, RFC 3966).

Read liberally: unescaped `#` or non-ASCII in the user part and `_` in a host name are taken, as phones send them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import unquote as unescape

from sip.headers import parse_parameters

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*")
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.%a-zA-Z]+)\]|([^\s\[\]:;<>\"@,/?]+))(?::(\d{1,5}))?")

_UNFIT = re.compile(r"[\s<>\"]")


class BadUri(ValueError):
    """The text is no URI."""


@dataclass(frozen=True, slots=True)
class Uri:
    """One URI.

    scheme is in lower case. For sip and sips: user and password as written (still escaped; None where absent), host
    without brackets, port None where absent, headers the text behind `?`. For tel: user is the number. For all
    others: opaque is everything behind the scheme.
    """

    scheme: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    host: str = ""
    port: int | None = None
    parameters: dict[str, str] = field(default_factory=dict)
    headers: str = ""
    opaque: str = ""

    @property
    def is_sip(self) -> bool:
        """Whether it is a sip or sips URI."""
        return self.scheme in ("sip", "sips")

    @property
    def name(self) -> str:
        """The user part for people: unescaped, what is not UTF-8 replaced; empty where there is none."""
        found = unescape(self.user or "", errors="replace")
        return found if found.isascii() else found.encode("utf-8", "surrogateescape").decode("utf-8", "replace")

    @property
    def loose(self) -> bool:
        """Whether it is the URI of a loose router (RFC 3261 §19.1.1, lr)."""
        return "lr" in self.parameters

    def bare(self) -> Uri:
        """Return the address alone, without parameters, headers and password: what names a person."""
        return Uri(self.scheme, self.user, None, self.host, self.port, opaque=self.opaque)

    def __str__(self) -> str:
        if not self.is_sip and self.scheme != "tel":
            return f"{self.scheme}:{self.opaque}"
        parts = [self.scheme, ":"]
        if self.user is not None:
            parts.append(self.user)
            if self.password is not None:
                parts += [":", self.password]
            if self.host:
                parts.append("@")
        parts.append(f"[{self.host}]" if ":" in self.host else self.host)
        if self.port is not None:
            parts.append(f":{self.port}")
        parts += [f";{name}={value}" if value else f";{name}" for name, value in self.parameters.items()]
        if self.headers:
            parts += ["?", self.headers]
        return "".join(parts)


def parse_uri(text: str) -> Uri:
    """Return the URI in a text. Raises BadUri."""
    scheme, colon, rest = text.partition(":")
    if not colon or not _SCHEME.fullmatch(scheme) or not rest:
        raise BadUri(f"no URI: {text[:80]!r}")
    scheme = scheme.lower()
    if scheme in ("sip", "sips"):
        return _parse_sip(scheme, rest)
    if _UNFIT.search(rest):
        raise BadUri("blanks or brackets in a URI")
    if scheme == "tel":
        number, _, parameters = rest.partition(";")
        return Uri(scheme, number, parameters=parse_parameters(parameters))
    return Uri(scheme, opaque=rest)


def _parse_sip(scheme: str, rest: str) -> Uri:
    question = rest.find("?")
    # a user part may hold "?" itself; headers should hold no bare "@", but do
    end = question if question >= 0 and "@" in rest[:question] else len(rest)
    at = rest.rfind("@", 0, end)
    user = password = None
    if at >= 0:
        user, colon, secret = rest[:at].partition(":")
        password = secret if colon else None
        rest = rest[at + 1 :]
    rest, _, headers = rest.partition("?")
    address, _, parameters = rest.partition(";")
    match = _HOST.fullmatch(address.strip())
    if match is None:
        raise BadUri(f"no host in URI: {rest[:80]!r}")
    port = int(match[3]) if match[3] else None
    if port is not None and port > 65535:
        raise BadUri(f"no port: {port}")
    found = Uri(scheme, user, password, match[1] or match[2], port, _uri_parameters(parameters), headers)
    if _UNFIT.search(str(found)):
        raise BadUri("blanks or brackets in a URI")  # it could not go into a start line or between brackets again
    return found


def _uri_parameters(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in text.split(";") if text else ():
        name, _, value = part.partition("=")
        name = name.strip().lower()
        if name and name not in found:
            found[name] = value.strip()
    return found
