"""The configuration of trunks and static SIP peers."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from sip.events import Transport
from sip.rewriting import MAX_PATTERN, MAX_RULES, Rule
from sip.trunk import IdentityHeader, Trunk, split_server
from transcode.media import SrtpPolicy

MAX_TRUNKS = 100
"""Trunks in one configuration: carriers, sites and PBXs of one house."""
MAX_SERVERS = 8
"""Servers of one trunk."""
MAX_SOURCES = 64
"""Sources of one trunk; a carrier names a dozen networks."""
WIDEST = {4: 8, 6: 16}
"""Shortest prefixes of a source by version of IP: wider ones would make a trunk of the whole world by mistake."""

_NAME = r"^[A-Za-z0-9._-]{1,64}$"
_HOST = r"^[A-Za-z0-9._-]{1,253}$"
_USER = r"^[^\s@<>\";\x00-\x1f]{1,64}$"


class Part(BaseModel):
    """A part of a trunk's configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Rewrite(Part):
    """A rule: a number that the pattern fits as a whole becomes replace, in which \\1 is the first group."""

    match: Annotated[str, Field(min_length=1, max_length=MAX_PATTERN)]
    replace: Annotated[str, Field(max_length=MAX_PATTERN)]

    @model_validator(mode="after")
    def _sound(self) -> Rewrite:
        self.rule()
        return self

    def rule(self) -> Rule:
        """Return it as the adapter takes it. Raises BadRule, which is a ValueError."""
        return Rule.of(self.match, self.replace)


Rewrites = Annotated[tuple[Rewrite, ...], Field(max_length=MAX_RULES)]


class TrunkConfig(Part):
    """One trunk or static peer; the fields mean what those of `sip.trunk.Trunk` do."""

    name: Annotated[str, Field(pattern=_NAME)]
    servers: Annotated[tuple[str, ...], Field(min_length=1, max_length=MAX_SERVERS)]
    transport: Literal["udp", "tcp", "tls"] = "udp"
    domain: Annotated[str, Field(pattern=_HOST)] | None = None
    from_domain: Annotated[str, Field(pattern=_HOST)] | None = None
    caller: Annotated[str, Field(pattern=_USER)] | None = None
    register_: bool = Field(default=False, alias="register")
    user: Annotated[str, Field(pattern=_USER)] | None = None
    password: Annotated[str, Field(min_length=1, max_length=128)] | None = Field(default=None, repr=False)
    expires: Annotated[int, Field(ge=60, le=86_400)] = 3_600
    sources: Annotated[tuple[IPv4Network | IPv6Network, ...], Field(max_length=MAX_SOURCES)] = ()
    certificates: Annotated[tuple[Annotated[str, Field(pattern=_HOST)], ...], Field(max_length=MAX_SERVERS)] = ()
    srtp: SrtpPolicy | None = None
    trusted: bool = True
    identity: Literal["asserted", "remote-party", "none"] = "asserted"
    private: bool = False
    rewrite_in: Rewrites = ()
    rewrite_out: Rewrites = ()
    rewrite_caller_in: Rewrites = ()
    max_calls: Annotated[int, Field(ge=0, le=2_000)] = 0
    calls_per_second: Annotated[float, Field(ge=0, le=1_000)] = 0.0
    options_interval: Annotated[int, Field(ge=0, le=3_600)] = 60

    @field_validator("srtp", mode="before")
    @classmethod
    def _off(cls, value: object) -> object:
        return "off" if value is False else value

    @field_validator("servers")
    @classmethod
    def _addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for server in value:
            try:
                host, _ = split_server(server)
            except ValueError:
                raise ValueError(f"no host[:port]: {server!r}") from None
            if any(char.isspace() or char in '<>";,@/' for char in host):
                raise ValueError(f"no host[:port]: {server!r}")
        return value

    @field_validator("sources")
    @classmethod
    def _narrow(cls, value: tuple[IPv4Network | IPv6Network, ...]) -> tuple[IPv4Network | IPv6Network, ...]:
        for network in value:
            if network.prefixlen < WIDEST[network.version]:
                raise ValueError(f"{network} is too wide for a trunk")
        return value

    @model_validator(mode="after")
    def _credentials(self) -> TrunkConfig:
        if (self.user is None) != (self.password is None):
            raise ValueError("user and password stand together")
        if self.register_ and self.user is None:
            raise ValueError("a trunk that registers needs user and password")
        if 0 < self.options_interval < 5:
            raise ValueError("options_interval is 0 or at least 5 seconds")
        return self

    def trunk(self) -> Trunk:
        """Return it as the adapter takes it."""
        return Trunk(
            name=self.name,
            servers=self.servers,
            transport=Transport(self.transport),
            domain=self.domain or "",
            from_domain=self.from_domain or "",
            caller=self.caller or "",
            user=self.user or "",
            password=self.password or "",
            register=self.register_,
            expires=self.expires,
            sources=self.sources,
            certificates=tuple(name.lower() for name in self.certificates),
            srtp=self.srtp,
            trusted=self.trusted,
            identity=IdentityHeader(self.identity),
            private=self.private,
            rewrite_in=tuple(one.rule() for one in self.rewrite_in),
            rewrite_out=tuple(one.rule() for one in self.rewrite_out),
            rewrite_caller_in=tuple(one.rule() for one in self.rewrite_caller_in),
            max_calls=self.max_calls,
            calls_per_second=self.calls_per_second,
            options_interval=float(self.options_interval),
        )


def check_trunks(trunks: tuple[TrunkConfig, ...]) -> None:
    """Raise ValueError where two trunks have one name, or one source could be either's."""
    names = [trunk.name for trunk in trunks]
    if len(names) != len(set(names)):
        raise ValueError("two trunks have the same name")
    sources = [(trunk.name, network) for trunk in trunks for network in trunk.sources]
    for at, (name, network) in enumerate(sources):
        for other, beside in sources[:at]:
            if name != other and network.version == beside.version and network.overlaps(beside):  # type: ignore[arg-type]
                raise ValueError(f"the sources of trunks {other} and {name} overlap")
    shown = [name for trunk in trunks for name in trunk.certificates]
    if len(shown) != len(set(shown)):
        raise ValueError("two trunks have the same certificate name")
