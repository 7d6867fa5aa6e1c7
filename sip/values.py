"""Typed views of header values: Via, addresses with parameters, CSeq (RFC 3261 §20)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sip.headers import parse_parameters, print_parameters, quote, unquote
from sip.uri import Uri, parse_uri

MAGIC = "z9hG4bK"
"""How every branch of RFC 3261 begins (§8.1.1.7)."""
MAX_CSEQ = 2**31 - 1
"""RFC 3261 §8.1.1.5."""

_VIA = re.compile(
    r"SIP\s*/\s*2\.0\s*/\s*([A-Za-z0-9.!%*_+`'~\-]+)\s+(?:\[([^\]\s]+)\]|([^\s:;,\[\]]+))\s*(?::\s*(\d{1,5})\s*)?(;.*)?",
    re.IGNORECASE | re.DOTALL,
)
_CSEQ = re.compile(r"(\d{1,10})\s+([A-Za-z0-9.!%*_+`'~\-]+)")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


class BadValue(ValueError):
    """A header's value does not follow its grammar."""


@dataclass(frozen=True, slots=True)
class Via:
    """One hop that a request took: transport in upper case, sent-by host without brackets, parameters."""

    transport: str
    host: str
    port: int | None
    parameters: dict[str, str]

    @property
    def branch(self) -> str:
        """The transaction's id; empty where an RFC 2543 peer sends none."""
        return self.parameters.get("branch", "")

    @property
    def sent_by(self) -> str:
        """host:port as a key."""
        return f"{self.host.lower()}:{self.port or ''}"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = f":{self.port}" if self.port is not None else ""
        return f"SIP/2.0/{self.transport} {host}{port}{print_parameters(self.parameters)}"


@dataclass(frozen=True, slots=True)
class NameAddr:
    """An address of From, To, Contact, Route and their like; parameters are those of the header."""

    uri: Uri
    display: str
    parameters: dict[str, str]

    @property
    def tag(self) -> str:
        """The dialog tag; empty where there is none."""
        return self.parameters.get("tag", "")

    @property
    def shown(self) -> str:
        """The display name as text for people: octets that were not UTF-8 read as latin-1."""
        return readable(self.display)

    def with_tag(self, tag: str) -> NameAddr:
        """Return the same address with that tag, or without one where it is empty."""
        parameters = {name: value for name, value in self.parameters.items() if name != "tag"}
        if tag:
            parameters["tag"] = tag
        return NameAddr(self.uri, self.display, parameters)

    def __str__(self) -> str:
        display = quote(self.display) + " " if self.display else ""
        return f"{display}<{self.uri}>{print_parameters(self.parameters)}"


@dataclass(frozen=True, slots=True)
class CSeq:
    """A request's number in its dialog, and its method."""

    number: int
    method: str

    def __str__(self) -> str:
        return f"{self.number} {self.method}"


def parse_via(text: str) -> Via:
    """Return one Via value. Raises BadValue."""
    match = _VIA.fullmatch(text.strip())
    if match is None:
        raise BadValue("Via makes no sense")
    port = int(match[4]) if match[4] else None
    if port is not None and not 0 < port < 65536:
        raise BadValue("Via names no port")
    return Via(match[1].upper(), match[2] or match[3], port, parse_parameters(match[5] or ""))


def parse_address(text: str) -> NameAddr:
    """Return a name-addr or addr-spec with header parameters. Raises BadValue or BadUri.

    Without angle brackets, parameters belong to the header and not to the URI (RFC 3261 §20).
    """
    if "<" in text:
        return _parse_name_addr(text.strip())
    address, _, parameters = text.partition(";")
    return NameAddr(parse_uri(address.strip()), "", parse_parameters(parameters))


def _parse_name_addr(text: str) -> NameAddr:
    quoted = _QUOTED.match(text)
    start = quoted.end() if quoted else 0
    first = text.find("<", start)
    last = text.find(">", first)
    between = text[start:first].strip()
    tail = text[last + 1 :].lstrip()
    if first < 0 or last < 0 or '"' in between or (quoted and between) or (tail and tail[0] != ";"):
        raise BadValue("an address makes no sense")
    display = unquote(quoted[0]) if quoted else between
    return NameAddr(parse_uri(text[first + 1 : last].strip()), display, parse_parameters(tail))


def parse_cseq(text: str) -> CSeq:
    """Return a CSeq. Raises BadValue."""
    match = _CSEQ.fullmatch(text.strip())
    if match is None:
        raise BadValue("CSeq makes no sense")
    number = int(match[1])
    if number > MAX_CSEQ:
        raise BadValue("CSeq is too large")
    return CSeq(number, match[2])


def parse_number(text: str, most: int) -> int:
    """Return a non-negative integer that may be followed by a comment or parameters. Raises BadValue over most."""
    digits = re.match(r"\s*(\d{1,20})\s*(?:[(;].*)?$", text, re.DOTALL)
    if digits is None or int(digits[1]) > most:
        raise BadValue("a number makes no sense")
    return int(digits[1])


def readable(text: str) -> str:
    """Return text in which octets that were not UTF-8 are read as latin-1."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape").decode("latin-1")
    return text
