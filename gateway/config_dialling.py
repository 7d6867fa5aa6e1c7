"""The configuration of where calls go: dial plan, outbound rules, external policy."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from gateway.calls import CallProtocol, Direction
from gateway.config_base import Section
from gateway.config_ivr import Language
from gateway.reasons import Reason, Result
from gateway.rooms.dial_plan import Destination, DialPlan, Match, Refuse, Rule, ToCall, ToMenu, ToRoom
from gateway.rooms.outbound import MAX_CALLS, SCHEMES, Outbound, OutboundRule, Role
from gateway.rooms.pattern import MAX_PATTERN, Pattern, Template

MAX_RULES = 1_000
"""Rules of one kind; each call looks at all of them until one matches."""
MAX_LIST = 1_000
"""Entries of one list in a rule."""
MAX_OUTSIDE = 10_000
"""Outgoing calls that may be allowed at once."""

Network = IPv4Network | IPv6Network
Texts = Annotated[tuple[Annotated[str, Field(max_length=128)], ...], Field(max_length=MAX_LIST)]
Networks = Annotated[tuple[str, ...], Field(max_length=MAX_LIST)]
Expression = Annotated[str, Field(max_length=MAX_PATTERN)]
RefusalWord = Annotated[str, Field(max_length=64)]


def _networks(values: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(ip_network(value, strict=False) for value in values)


def _one_or_many(value: object) -> object:
    """Let a single word stand for a list of one."""
    return (value,) if isinstance(value, str) else value


class DialRule(Section):
    r"""One line of the dial plan: what it asks of a call, and one of room, menu, call or refuse.

    Groups of called stand in room and call as `\1` or `\g<name>`. Rules of outgoing calls see the whole address that is
    to be called, and have call or refuse alone.
    """

    name: Annotated[str, Field(max_length=64)] = ""
    direction: Literal["incoming", "outgoing"] = "incoming"
    protocol: Annotated[tuple[Literal["sip", "h323", "webrtc"], ...], Field(max_length=3)] = ()
    source: Networks = ()
    from_trunk: Texts = ()
    account: Texts = ()
    called: Expression | None = None
    room: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    menu: Literal[True] | None = None
    call: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    trunk: Annotated[str, Field(max_length=64)] = ""
    language: Language | None = None
    refuse: RefusalWord | None = None

    _many = field_validator("protocol", "source", "from_trunk", "account", mode="before")(_one_or_many)

    @model_validator(mode="after")
    def _makes_sense(self) -> DialRule:
        results = [key for key in ("room", "menu", "call", "refuse") if getattr(self, key) is not None]
        if len(results) != 1:
            raise ValueError("a rule has one of room, menu, call and refuse")
        if self.direction == "outgoing" and results[0] not in ("call", "refuse"):
            raise ValueError("a rule of outgoing calls has call or refuse")
        if self.trunk and self.call is None:
            raise ValueError("a trunk belongs to call")
        if self.language is not None and self.menu is None:
            raise ValueError("a language belongs to menu")
        if self.refuse is not None and self.refuse not in _REFUSALS:
            raise ValueError(f"{self.refuse!r} is no reason to refuse a call; one is {Reason.NOT_ALLOWED.value}")
        if self.call is not None and self.call.partition(":")[0].lower() not in (*SCHEMES, "user", "\\1", "\\g<0>"):
            raise ValueError("call is an address: sip:, sips:, tel:, h323:, or user: and the name of an account")
        self.rule()
        return self

    def rule(self) -> Rule:
        """Return the rule that this is. Raises ValueError."""
        called = Pattern(self.called) if self.called is not None else None
        match = Match(
            Direction(self.direction),
            frozenset(CallProtocol(word) for word in self.protocol),
            _networks(self.source),
            frozenset(self.from_trunk),
            frozenset(self.account),
            called,
        )
        kind: type[Destination]
        if self.refuse is not None:
            return Rule(match, Refuse, reason=Reason(self.refuse), name=self.name)
        if self.menu:
            return Rule(match, ToMenu, name=self.name, language=self.language or "")
        to, kind = (self.room, ToRoom) if self.room is not None else (self.call or "", ToCall)
        return Rule(match, kind, Template(to or "", called), self.trunk, name=self.name)


_REFUSALS = frozenset(reason.value for reason in Reason if reason.result is not Result.OK)


class OutboundRuleConfig(Section):
    """Who may have whom called outside. Without roles it is for the API and its commands alone."""

    name: Annotated[str, Field(max_length=64)] = ""
    roles: Annotated[
        tuple[Literal["api", "host", "guest", "caller", "house"], ...], Field(min_length=1, max_length=5)
    ] = ("api",)
    rooms: Texts = ()
    accounts: Texts = ()
    sources: Networks = ()
    from_trunks: Texts = ()
    schemes: Annotated[tuple[Literal["sip", "sips", "tel", "h323"], ...], Field(max_length=4)] = ()
    number: Expression | None = None
    hosts: Texts = ()
    trunk: Annotated[str, Field(max_length=64)] = ""
    max_calls: Annotated[int, Field(ge=0, le=MAX_OUTSIDE)] | None = None

    _many = field_validator("roles", "rooms", "accounts", "sources", "from_trunks", "schemes", "hosts", mode="before")(
        _one_or_many
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> OutboundRuleConfig:
        made = self.rule()
        if made.roles <= {Role.GUEST, Role.CALLER} and not (made.accounts or made.sources or made.from_trunks):
            raise ValueError("guests and callers must come from an account, a network (sources) or a trunk")
        if made.schemes == {"tel"} and not made.trunk:
            raise ValueError("telephone numbers are called through a trunk")
        return self

    def rule(self) -> OutboundRule:
        """Return the rule that this is. Raises ValueError."""
        return OutboundRule(
            self.name,
            frozenset(Role(word) for word in self.roles),
            frozenset(self.rooms),
            frozenset(self.accounts),
            _networks(self.sources),
            frozenset(self.from_trunks),
            frozenset(self.schemes),
            Pattern(self.number) if self.number is not None else None,
            self.hosts,
            self.trunk,
            self.max_calls,
        )


class OutboundConfig(Section):
    """Calls to the outside: none, but for what a rule allows, and no more than so many at once."""

    max_calls: Annotated[int, Field(ge=0, le=MAX_OUTSIDE)] = MAX_CALLS
    rules: Annotated[tuple[OutboundRuleConfig, ...], Field(max_length=MAX_RULES)] = ()

    def outbound(self) -> Outbound:
        """Return the rules."""
        return Outbound([rule.rule() for rule in self.rules], self.max_calls)


class PolicyConfig(Section):
    """The external policy: where to ask about each call, how long to wait in seconds, and what to do without answer."""

    url: Annotated[str, Field(max_length=1024)] | None = None
    timeout: Annotated[float, Field(ge=0.1, le=10)] = 2.0
    on_failure: Literal["refuse", "continue"] = "refuse"
    token: Annotated[str, Field(max_length=256)] | None = Field(default=None, repr=False)
    certificate: Annotated[str, Field(max_length=1024)] | None = None

    @field_validator("url")
    @classmethod
    def _http(cls, value: str | None) -> str | None:
        if value is not None:
            parts = urlsplit(value)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError("an address of a web server is needed: https://...")
        return value


def dial_plan(rules: tuple[DialRule, ...]) -> DialPlan:
    """Return the dial plan that is configured."""
    return DialPlan([rule.rule() for rule in rules])
