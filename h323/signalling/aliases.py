"""Aliases as text, both ways (H.225.0 AliasAddress), and what people dial.

A digit string is a dialledDigits alias, `user@host` an email-ID or url-ID, anything else an h323-ID.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from h323.signalling.events import Address

Alias = tuple[str, Any]
MAX_ALIAS = 256
"""Characters of an h323-ID (H.225.0); other kinds are shorter or cut here."""
MAX_DIGITS = 128
_DIGITS = re.compile(r"[0-9#*,]{1,128}")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


def write_alias(text: str) -> Alias:
    """Return the alias that a text stands for. Raises ValueError for an empty or overlong one."""
    if not text or len(text) > MAX_ALIAS:
        raise ValueError("an alias has 1 to 256 characters")
    if _DIGITS.fullmatch(text):
        return ("dialledDigits", text)
    if _SCHEME.match(text):
        return ("url-ID", text)
    if _EMAIL.fullmatch(text):
        return ("email-ID", text)
    return ("h323-ID", text)


def read_alias(alias: Any) -> str:
    """Return an alias as text, empty for a kind that says nothing here."""
    kind, value = alias
    if kind in ("dialledDigits", "h323-ID", "url-ID", "email-ID"):
        return str(value)[:MAX_ALIAS].rstrip("\0")
    if kind == "partyNumber":
        digits = value[1]
        if isinstance(digits, dict):
            digits = digits.get("publicNumberDigits") or digits.get("privateNumberDigits") or ""
        return str(digits)[:MAX_DIGITS]
    if kind == "transportID":
        address = read_address(value)
        return f"{address.host}:{address.port}" if address is not None else ""
    return ""


def read_aliases(aliases: Any) -> tuple[str, ...]:
    """Return the aliases that say something, in order."""
    return tuple(text for text in map(read_alias, aliases or ()) if text)


def write_address(address: Address) -> Any:
    """Return a TransportAddress (H.225.0); address.host is an IP literal. Raises ValueError."""
    ip = ip_address(address.host)
    name = "ipAddress" if ip.version == 4 else "ip6Address"
    return (name, {"ip": ip.packed, "port": address.port})


def read_address(value: Any) -> Address | None:
    """Return a TransportAddress of H.225.0 as address; None for kinds other than IP, and for nobody's address."""
    if value is None or value[0] not in ("ipAddress", "ip6Address", "ipSourceRoute"):
        return None
    ip = ip_address(bytes(value[1]["ip"]))
    if ip.version == 6 and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return None if ip.is_unspecified or not value[1]["port"] else Address(str(ip), int(value[1]["port"]))


@dataclass(frozen=True, slots=True)
class Dialled:
    """What was dialled: the room or alias, the PIN behind it, and the host in front of it or behind."""

    alias: str
    pin: str | None = None
    host: str = ""


def read_dialled(text: str) -> Dialled:
    """Read `host##room#pin`, `##room#pin`, `room#pin`, `room@host`, `h323:room@host` and plain aliases.

    Terminals send the part behind `##`, or all of it; a `*` is taken for the PIN's mark too, as in SIP.
    """
    text = text.strip()[:MAX_ALIAS]
    for scheme in ("h323:", "sip:", "sips:"):
        text = text.removeprefix(scheme)
    host, mark, rest = text.partition("##")
    if not mark:
        host, rest = "", text
    rest = rest.partition(";")[0]
    alias, at, behind = rest.partition("@")
    if at:
        host = behind
    alias = alias.strip("#")
    found = re.search(r"[#*]", alias)
    if found is None:
        return Dialled(alias, None, host)
    return Dialled(alias[: found.start()], alias[found.end() :].strip("#*") or None, host)
