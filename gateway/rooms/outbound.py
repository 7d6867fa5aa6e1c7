"""Who may have the house call whom: everything is denied that no rule allows. Pure, but for the count of calls.

Calls cost money, and whoever can reach the SIP port can ask for them. So a rule is for the API alone unless it says
for whom else; and to somebody whom nothing but his own word tells apart, a caller or a guest, it applies only where it
names an account, a network or a trunk that he comes from. Users of our own are no matter of this: whoever may call
rooms may call them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import unquote

from gateway.reasons import Reason, Refused
from gateway.rooms.dial_plan import Network, within
from gateway.rooms.pattern import MAX_TEXT, Pattern

SCHEMES = ("sip", "sips", "tel", "h323")
"""What can be called outside."""
MAX_CALLS = 20
"""Calls to the outside at once, where the configuration says nothing."""
_PLACE = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?")
_SEPARATORS = str.maketrans("", "", "-.() ")


class Denied(Refused):
    """The house did not place a call; nobody outside was asked."""


class Role(Enum):
    """Who asks: a program or command with a token, somebody in a room, a caller who wants to be put through, or the
    house itself, for a room's list."""

    API = "api"
    HOST = "host"
    GUEST = "guest"
    CALLER = "caller"
    HOUSE = "house"


@dataclass(frozen=True, slots=True)
class Asker:
    """Who wants a call to be placed: into which room (empty: none), and how it is known itself."""

    role: Role
    room: str = ""
    account: str = ""
    source: str = ""
    trunk: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """An address that can be called. number is its user part, of telephone numbers without separators."""

    text: str
    scheme: str
    number: str
    host: str


@dataclass(frozen=True, slots=True)
class OutboundRule:
    """What is allowed. An empty field asks nothing, but for what the module says of callers and guests.

    hosts are domains or, with a leading dot, all below one. trunk is what the call goes through; without one it goes
    straight to the address, and a telephone number goes nowhere. max_calls bounds those of this rule at one time.
    """

    name: str = ""
    roles: frozenset[Role] = frozenset({Role.API})
    rooms: frozenset[str] = frozenset()
    accounts: frozenset[str] = frozenset()
    sources: tuple[Network, ...] = ()
    from_trunks: frozenset[str] = frozenset()
    schemes: frozenset[str] = frozenset()
    number: Pattern | None = None
    hosts: tuple[str, ...] = ()
    trunk: str = ""
    max_calls: int | None = None

    def holds(self, asker: Asker, target: Target, trunk: str) -> bool:
        """Tell whether the rule allows a call; trunk is the one that the dial plan wants, empty for none."""
        return self._knows(asker) and self._reaches(target) and trunk in ("", self.trunk)

    def _knows(self, asker: Asker) -> bool:
        named = bool(self.accounts or self.sources or self.from_trunks)
        return (
            asker.role in self.roles
            and (named or asker.role in (Role.API, Role.HOST, Role.HOUSE))
            and (not self.rooms or asker.room in self.rooms)
            and (not self.accounts or asker.account in self.accounts)
            and (not self.from_trunks or asker.trunk in self.from_trunks)
            and (not self.sources or within(asker.source, self.sources))
        )

    def _reaches(self, target: Target) -> bool:
        return (
            (not self.schemes or target.scheme in self.schemes)
            and (target.scheme != "tel" or bool(self.trunk))
            and (self.number is None or self.number.match(target.number) is not None)
            and (not self.hosts or any(_is_host(target.host, host) for host in self.hosts))
        )


@dataclass(slots=True, eq=False)
class Permit:
    """One call that was allowed; it counts until it is given back."""

    rule: OutboundRule
    trunk: str
    _policy: Outbound
    _given: bool = field(default=True)

    def give_back(self) -> None:
        """The call is over; a second time does nothing."""
        if self._given:
            self._given = False
            self._policy.count[id(self.rule)] -= 1


class Outbound:
    """All rules, and the calls that they allowed."""

    def __init__(self, rules: Sequence[OutboundRule] = (), max_calls: int = MAX_CALLS) -> None:
        self.max_calls = max_calls
        self.count: Counter[int] = Counter()
        """Calls under way by rule."""
        self.refused: Counter[Reason] = Counter()
        """How often it was said no, for what reason."""
        self._rules = tuple(rules)

    @property
    def calls(self) -> int:
        """How many calls are under way."""
        return self.count.total()

    def permit(self, asker: Asker, target: Target, trunk: str = "") -> Permit:
        """Allow one call, or raise `Refused`: NOT_ALLOWED, or OVERLOAD where too many are under way."""
        allowed = [rule for rule in self._rules if rule.holds(asker, target, trunk)]
        if not allowed:
            self.refused[Reason.NOT_ALLOWED] += 1
            raise Refused(Reason.NOT_ALLOWED, "no outbound rule allows this call")
        free = next((rule for rule in allowed if rule.max_calls is None or self.count[id(rule)] < rule.max_calls), None)
        if free is None or self.calls >= self.max_calls:
            self.refused[Reason.OVERLOAD] += 1
            raise Refused(Reason.OVERLOAD, "too many outgoing calls")
        self.count[id(free)] += 1
        return Permit(free, free.trunk, self)

    def may(self, asker: Asker, target: Target) -> bool:
        """Tell whether some rule allows such a call, whether or not there is room for it now."""
        return any(rule.holds(asker, target, "") for rule in self._rules)


def read_target(text: str) -> Target:
    """Read an address to call; a bare one without scheme is none. Raises `Refused` with BAD_REQUEST.

    Only what every part of the house reads alike is let through: no headers, no second @, no maddr that would lead
    elsewhere than the host says.
    """
    scheme, colon, rest = text.strip().partition(":")
    scheme = scheme.lower()
    if not colon or scheme not in (*SCHEMES, "user"):
        raise Refused(Reason.BAD_REQUEST, "an address begins with sip:, sips:, tel: or h323:")
    if len(text) > 2 * MAX_TEXT or not rest.isprintable() or any(letter in '<>"?\\ ' for letter in rest):
        raise Refused(Reason.BAD_REQUEST, "this address cannot be called")
    if rest.count("@") > 1 or "maddr=" in unquote(rest).lower():
        raise Refused(Reason.BAD_REQUEST, "this address cannot be called")
    if scheme == "h323":
        rest, _, more = rest.partition(";")  # H.323 reads nothing behind it, no @ either; ## would put a host in front
        if "##" in rest + more or ("@" in rest and not _PLACE.fullmatch(rest.rpartition("@")[2])):
            raise Refused(Reason.BAD_REQUEST, "this address cannot be called")
    if scheme == "tel":
        return _some(Target(text.strip(), scheme, rest.partition(";")[0].translate(_SEPARATORS), ""))
    if scheme == "user":
        return _some(Target(text.strip(), scheme, rest, ""))
    user, at, place = rest.rpartition("@")
    place = place.partition(";")[0]
    host = place[1:].partition("]")[0] if place.startswith("[") else place.partition(":")[0]
    if scheme == "h323" and not at:  # an alias for the gatekeeper, or a host where it looks like one
        names_host = _PLACE.fullmatch(rest) is not None and bool(set(host) & set(".:"))
        return _some(Target(text.strip(), scheme, unquote(host), host.lower() if names_host else ""))
    number = unquote(user.partition(":")[0])
    bare = number.translate(_SEPARATORS)
    if bare.removeprefix("+").isdigit():
        number = bare
    if not host:
        raise Refused(Reason.BAD_REQUEST, "this address names no host")
    return Target(text.strip(), scheme, number, host.lower())


def _some(target: Target) -> Target:
    if not target.number:
        raise Refused(Reason.BAD_REQUEST, "this address names nobody")
    return target


def _is_host(host: str, wanted: str) -> bool:
    wanted = wanted.lower()
    return host.endswith(wanted) if wanted.startswith(".") else host == wanted
