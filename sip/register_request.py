"""What a REGISTER asks for, read and checked before anything is changed (RFC 3261 §10.3, RFC 3327, RFC 5626 §6)."""

from __future__ import annotations

from dataclasses import dataclass

from sip.building import HeaderList
from sip.headers import quote
from sip.message import Request
from sip.uri import Uri
from sip.values import BadValue, NameAddr, parse_address, parse_number

MAX_CONTACTS = 10
"""Contacts of one account, and of one REGISTER: a desk phone, a mobile, a soft phone or two, each with two flows."""
MAX_CONTACT = 1_024
"""Characters of a contact's URI; with its parameters it is about 150."""
MAX_PATH = 2_048
"""Characters of all Path values together; a chain of three proxies has about 300."""
MAX_INSTANCE = 128
"""Characters of an instance id; a UUID as URN has 47."""
MAX_REG_ID = 2**31 - 1
"""RFC 5626 §11.1 gives reg-id ten digits at most, and this bound."""
MAX_EXPIRES = 2**32 - 1
"""RFC 3261 §20.19."""
DEFAULT_EXPIRES = 3_600
"""Seconds, where a phone says nothing (RFC 3261 §10.2)."""


class Refusal(Exception):
    """The REGISTER is refused: status, headers, and a reason phrase ("" for the usual one)."""

    def __init__(self, status: int, headers: HeaderList = (), phrase: str = "") -> None:
        super().__init__(status, phrase)
        self.status = status
        self.headers = headers
        self.phrase = phrase


@dataclass(frozen=True, slots=True)
class Wish:
    """One contact of a REGISTER. expires in seconds, 0 to take it away; instance and reg_id only with outbound."""

    uri: Uri
    q: float
    expires: int
    instance: str = ""
    reg_id: int = 0


@dataclass(frozen=True, slots=True)
class Registering:
    """All that a REGISTER asks for. No wishes and not everything: it only asks what is registered.

    everything: take away all contacts (`*`). path: Route values to the contacts, ours first. direct: no proxy stands
    between, as far as can be seen. outbound: RFC 5626 applies to its contact.
    """

    wishes: tuple[Wish, ...]
    everything: bool
    path: tuple[str, ...]
    direct: bool
    outbound: bool


def read_register(request: Request, shortest: int, longest: int) -> Registering:
    """Return what a REGISTER asks for; times to live are held between shortest and longest seconds.

    Raises Refusal: 400, 403, 423 or 439.
    """
    expires = _seconds(request.headers.get("Expires"), DEFAULT_EXPIRES)
    values = request.headers.values("Contact")
    if len(values) > MAX_CONTACTS:
        raise Refusal(403, phrase="Too Many Contacts")
    path = _path(request)
    direct = len(request.vias) == 1
    if "*" in values:
        if len(values) > 1 or expires != 0 or "Expires" not in request.headers:
            raise Refusal(400, phrase="Bad Request: * stands alone, and with Expires 0")
        return Registering((), True, path, direct, False)
    outbound = "outbound" in request.headers.tokens("Supported")
    wishes = tuple(_wish(contact, expires, outbound, shortest, longest) for contact in request.contacts)
    with_flow = [wish for wish in wishes if wish.reg_id]
    if with_flow:
        _check_outbound(wishes, path, direct)
    return Registering(wishes, False, path, direct, bool(with_flow))


def _wish(contact: NameAddr, default: int, outbound: bool, shortest: int, longest: int) -> Wish:
    uri = contact.uri
    if not uri.is_sip:
        raise Refusal(400, phrase="Bad Request: only sip and sips contacts can be registered")
    text = str(uri)
    if len(text) > MAX_CONTACT or not text.isprintable() or not text.isascii():
        raise Refusal(400, phrase="Bad Request: a contact makes no sense")
    wanted = _seconds(contact.parameters.get("expires"), default)
    if 0 < wanted < shortest:
        raise Refusal(423, [("Min-Expires", str(shortest))])
    instance = contact.parameters.get("+sip.instance", "") if outbound else ""
    if len(instance) > MAX_INSTANCE or not instance.isprintable() or not instance.isascii():
        raise Refusal(400, phrase="Bad Request: an instance makes no sense")
    reg_id = _reg_id(contact.parameters.get("reg-id", "")) if instance else 0
    return Wish(uri, _q(contact.parameters.get("q")), min(wanted, longest), instance if reg_id else "", reg_id)


def _check_outbound(wishes: tuple[Wish, ...], path: tuple[str, ...], direct: bool) -> None:
    """RFC 5626 §6: one contact with reg-id alone, and a first hop that keeps flows."""
    if len(wishes) > 1:
        raise Refusal(400, phrase="Bad Request: one contact with reg-id at a time")
    if not direct and not (path and "ob" in parse_address(path[-1]).uri.parameters):
        raise Refusal(439, phrase="First Hop Lacks Outbound Support")


def _path(request: Request) -> tuple[str, ...]:
    values = request.headers.values("Path")
    if sum(map(len, values)) > MAX_PATH:
        raise Refusal(400, phrase="Bad Request: Path is too long")
    try:
        fit = all(value.isascii() and value.isprintable() and parse_address(value).uri.is_sip for value in values)
    except ValueError:
        fit = False
    if not fit:
        raise Refusal(400, phrase="Bad Request: Path makes no sense")
    return tuple(values)


def _seconds(text: str | None, default: int) -> int:
    """Return an expiry; one that makes no sense counts as 3600 (RFC 3261 §20.19, §10.2.1.1)."""
    if text is None:
        return default
    try:
        return parse_number(text, MAX_EXPIRES)
    except BadValue:
        return DEFAULT_EXPIRES


def _reg_id(text: str) -> int:
    if not text:
        return 0
    try:
        return parse_number(text, MAX_REG_ID)
    except BadValue:
        raise Refusal(400, phrase="Bad Request: reg-id makes no sense") from None


def _q(text: str | None) -> float:
    """Return a preference from 0 to 1; 1 where it is missing or makes no sense (RFC 3261 §20.10)."""
    try:
        value = float(text) if text else 1.0
    except ValueError:
        return 1.0
    return round(value, 3) if 0.0 <= value <= 1.0 else 1.0


def contact_value(uri: str, q: float, seconds: int, instance: str, reg_id: int) -> str:
    """Return a Contact value as the answer to a REGISTER lists it (§10.3 step 8)."""
    value = f"<{uri}>;expires={seconds}"
    if q < 1.0:
        value += f";q={q:g}"
    if instance:
        value += f";+sip.instance={quote(instance)};reg-id={reg_id}"
    return value


_COMPARED = ("transport", "user", "ttl", "method", "maddr")
"""Parameters that two equal URIs either both have or both lack (RFC 3261 §19.1.4)."""


def same_uri(one: Uri, other: Uri) -> bool:
    """Tell whether two sip URIs are equal (RFC 3261 §19.1.4)."""
    if (one.scheme, one.name, one.password, one.port) != (other.scheme, other.name, other.password, other.port):
        return False
    if one.host.lower() != other.host.lower() or one.headers != other.headers:
        return False
    ours = {name: value.lower() for name, value in one.parameters.items()}
    theirs = {name: value.lower() for name, value in other.parameters.items()}
    if any(ours.get(name) != theirs.get(name) for name in _COMPARED):
        return False
    return all(ours[name] == theirs[name] for name in ours.keys() & theirs.keys())
