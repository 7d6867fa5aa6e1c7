"""Who calls, and who was called first: P-Asserted-Identity, Remote-Party-ID, Privacy, Diversion, History-Info.

In: a trusted trunk proves its callers (RFC 3325 §9.1); whoever wishes to be private is shown and passed on as nobody
(RFC 3323 §4.1). Out: From, the proved identity beside it, and the number that a call was diverted from.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote as escape
from urllib.parse import unquote

from sip.headers import Headers
from sip.message import Request
from sip.trunk import IdentityHeader
from sip.uri import BadUri, Uri
from sip.values import BadValue, NameAddr, parse_address

ANONYMOUS = Uri("sip", "anonymous", host="anonymous.invalid")
"""Who it is that wants not to be known (RFC 3323 §4.1.1.3)."""
ANONYMOUS_NAME = "Anonymous"
MAX_VALUES = 16
"""Values of one of these headers that are looked at; a call was diverted twice or three times at most."""

_PRIVATE = frozenset(("id", "user", "header"))
_USER = "-_.!~*'()&=+$,?/"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: an address, and a name "" for none; both are `ANONYMOUS` for one who is private."""

    uri: Uri
    name: str
    private: bool = False


def caller_of(request: Request, trusted: bool) -> Caller:
    """Return who sends a request; from a trusted peer by what it proves of its caller."""
    sender, claimed = request.from_, request.from_
    private = _wants_privacy(request.headers) or _is_anonymous(sender)
    if trusted:
        asserted = _addresses(request.headers, "P-Asserted-Identity")
        remote = [one for one in _addresses(request.headers, "Remote-Party-ID") if _is_caller(one)]
        proved = asserted or remote
        if proved:
            claimed = proved[0]
        if not asserted and remote:
            private = private or remote[0].parameters.get("privacy", "off").lower() not in ("off", "none")
    if private:
        return Caller(ANONYMOUS, ANONYMOUS_NAME, True)
    return Caller(claimed.uri.bare(), claimed.shown or (sender.shown if _same_user(claimed, sender) else ""))


def diverted_from(headers: Headers) -> str:
    """Return the user part of who passed the call on last; "" where nobody did, or wants not to be known.

    Diversion names it first (RFC 5806 §3); in History-Info it is the entry before the last one with a cause
    (RFC 7044 §4.1, RFC 4458).
    """
    diversions = _addresses(headers, "Diversion")
    if diversions:
        hides = diversions[0].parameters.get("privacy", "off").lower() not in ("off", "none")
        return "" if hides else diversions[0].uri.name
    entries = _addresses(headers, "History-Info")
    by_index = {one.parameters.get("index", ""): one for one in entries}
    for at in range(len(entries) - 1, 0, -1):
        entry = entries[at]
        if "cause" in entry.uri.parameters:
            named = entry.parameters.get("mp") or entry.parameters.get("rc") or ""
            before = by_index.get(named, entries[at - 1])
            hides = "privacy" in unquote(before.uri.headers).lower() or "history" in headers.tokens("Privacy")
            return "" if hides else before.uri.name
    return ""


def number_of(uri: Uri) -> str:
    """Return the number or name that a URI stands for; one of tel without visual separators (RFC 3966 §5.1.1)."""
    return plain_number(uri.user or "") if uri.scheme == "tel" else uri.name


def plain_number(text: str) -> str:
    """Return a telephone number without its visual separators (RFC 3966 §3)."""
    return text.translate(_SEPARATORS)


_SEPARATORS = {ord(char): None for char in "-.()"}


def carried_user(uri: Uri) -> tuple[str, str, bool]:
    """Return number, the parameters that stay with it, and whether it is a telephone number, of an address to call.

    A tel URI's local number keeps its context, which then goes into the user part (RFC 3261 §19.1.6); a context that
    is itself a number's beginning makes the number global (RFC 3966 §5.1.5).
    """
    if uri.scheme != "tel":
        name = uri.name
        phone = uri.parameters.get("user", "").lower() == "phone" or is_global(name)
        return name, "", phone
    number = plain_number(uri.user or "")
    context = uri.parameters.get("phone-context", "")
    if not number.startswith("+") and context.startswith("+"):
        return plain_number(context) + number, _kept(uri, ("ext", "isub")), True
    return number, _kept(uri, ("ext", "isub", "phone-context")), True


def _kept(uri: Uri, names: tuple[str, ...]) -> str:
    found = ((name, uri.parameters[name]) for name in names if name in uri.parameters)
    return "".join(f";{name}={escape(value, safe=_USER)}" for name, value in found)


def request_uri(number: str, kept: str, domain: str, phone: bool, secure: bool = False) -> str:
    """Return the Request-URI of a number at a trunk's domain."""
    user = escape(number, safe=_USER) + kept
    parameters = {"user": "phone"} if phone else {}
    return str(Uri("sips" if secure else "sip", user, host=domain, parameters=parameters))


def identity_headers(
    header: IdentityHeader, number: str, name: str, domain: str, private: bool, diverted: str
) -> tuple[str, list[tuple[str, str]]]:
    """Return From and the further headers that tell a trunk who calls (RFC 3323, RFC 3325, RFC 5806).

    One who is private is nobody in From; the trunk itself still is told, and asked to pass it on to no one.
    """
    address = NameAddr(Uri("sip", escape(number, safe=_USER) or None, host=domain), name, {})
    headers: list[tuple[str, str]] = []
    if header is IdentityHeader.ASSERTED:
        headers.append(("P-Asserted-Identity", str(address)))
    elif header is IdentityHeader.REMOTE_PARTY:
        told = {"party": "calling", "screen": "yes", "privacy": "full" if private else "off"}
        headers.append(("Remote-Party-ID", str(NameAddr(address.uri, name, told))))
    if private:
        headers.append(("Privacy", "id"))
    if diverted:
        by = Uri("sip", escape(diverted, safe=_USER), host=domain)
        headers.append(("Diversion", str(NameAddr(by, "", {"reason": "unconditional"}))))
    sender = NameAddr(ANONYMOUS, ANONYMOUS_NAME, {}) if private else address
    return str(sender), headers


def _addresses(headers: Headers, name: str) -> list[NameAddr]:
    """Return the addresses of a header; values that make no sense are left out."""
    found = []
    for value in headers.values(name)[:MAX_VALUES]:
        try:
            found.append(parse_address(value))
        except (BadValue, BadUri):
            continue
    return [one for one in found if one.uri.is_sip or one.uri.scheme == "tel"]


def _wants_privacy(headers: Headers) -> bool:
    wishes = {part.strip() for value in headers.all("Privacy") for part in value.lower().replace(",", ";").split(";")}
    return bool(wishes & _PRIVATE)


def _is_anonymous(sender: NameAddr) -> bool:
    return sender.uri.host.lower() == ANONYMOUS.host or sender.uri.name.lower() == "anonymous"


def _is_caller(party: NameAddr) -> bool:
    return party.parameters.get("party", "calling").lower() == "calling"


def _same_user(one: NameAddr, other: NameAddr) -> bool:
    return one.uri.name.lstrip("+") == other.uri.name.lstrip("+")


def is_global(text: str) -> bool:
    """Tell whether a text is a global telephone number (RFC 3966 §5.1.4)."""
    return text.startswith("+") and text[1:].isdecimal() and text.isascii()
