"""What a trunk or static peer is, as the adapter is told; and the facts of one that people and the API are shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_address

from sip.events import Transport
from sip.rewriting import Rule
from transcode.media import SrtpPolicy

Network = IPv4Network | IPv6Network


class IdentityHeader(StrEnum):
    """In which header a trunk wants the caller's proved number."""

    ASSERTED = "asserted"
    REMOTE_PARTY = "remote-party"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Trunk:
    """One trunk or static peer.

    servers are "host[:port]" or domains (RFC 3263), tried in this order. domain is the carrier's, of Request-URIs and
    of REGISTER; from_domain ours in From; caller the number in From where a call has none of its own. register: we
    log on as user. sources may send calls as this trunk, and so may the servers' own addresses and who shows one of
    the certificates' names over TLS. trusted: what it says of callers is believed. identity, private: how callers are
    told. max_calls counts both directions, 0 for no limit, as does calls_per_second. options_interval in seconds, 0
    asks never.
    """

    name: str
    servers: tuple[str, ...]
    transport: Transport = Transport.UDP
    domain: str = ""
    from_domain: str = ""
    caller: str = ""
    user: str = ""
    password: str = field(default="", repr=False)
    register: bool = False
    expires: int = 3_600
    sources: tuple[Network, ...] = ()
    certificates: tuple[str, ...] = ()
    srtp: SrtpPolicy | None = None
    trusted: bool = True
    identity: IdentityHeader = IdentityHeader.ASSERTED
    private: bool = False
    rewrite_in: tuple[Rule, ...] = ()
    rewrite_out: tuple[Rule, ...] = ()
    rewrite_caller_in: tuple[Rule, ...] = ()
    max_calls: int = 0
    calls_per_second: float = 0.0
    options_interval: float = 60.0

    @property
    def realm(self) -> str:
        """The domain that Request-URIs name: the given one, or the first server's host."""
        return self.domain or split_server(self.servers[0])[0]

    def allows(self, address: str) -> bool:
        """Tell whether an address is one of the sources."""
        literal = ip_address(address.partition("%")[0])
        return any(literal.version == network.version and literal in network for network in self.sources)


def split_server(text: str) -> tuple[str, int | None]:
    """Return host, without brackets, and port of "host[:port]"; None where there is no port. Raises ValueError."""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":")
    elif text.count(":") > 1:
        host, port = text, ""
    else:
        host, _, port = text.partition(":")
    if not host or (port and not 0 < int(port) < 65536):
        raise ValueError(f"no host[:port]: {text!r}")
    return host, int(port) if port else None


@dataclass(frozen=True, slots=True)
class TrunkInfo:
    """How a trunk is, as plain data. since and seconds are ages in seconds; seconds until the registration ends."""

    name: str
    server: str
    transport: str
    state: str
    why: str
    since: int
    registration: str
    registered: bool
    seconds: int
    calls: int
    max_calls: int
