"""What the H.323 adapter is told when it starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RasConfig:
    """Whose gatekeeper serves us, or whom we serve as one.

    gatekeeper: embedded, off, auto (looked for by multicast), or host[:port] of another one. port is UDP, None turns
    the embedded one off, 0 takes any free one.

    Of the embedded one: name is its identifier; routed says whether signalling of calls between endpoints goes through
    the house, pregranted whether endpoints then need not ask for each call; authenticate is off, registered or all;
    accounts are passwords by user; ttl is in seconds; bandwidths of a call and of all calls in bit/s; neighbours are
    host[:port] of other zones' gatekeepers.

    As somebody else's endpoint: aliases and prefixes are what we register, user and password prove it.

    traversal (H.460.17, .18, .19): as a gatekeeper we serve endpoints behind translators; as an endpoint we ask to be
    served.
    """

    gatekeeper: str = "off"
    port: int | None = 1719
    name: str = "Roombridge"
    routed: bool = False
    pregranted: bool = False
    authenticate: str = "off"
    accounts: Mapping[str, str] = field(default_factory=dict, repr=False)
    ttl: int = 300
    call_bandwidth: int | None = None
    total_bandwidth: int | None = None
    neighbours: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    user: str = ""
    password: str = field(default="", repr=False)
    traversal: bool = True


@dataclass(frozen=True, slots=True)
class H323Config:
    """What the adapter listens on and what it says of itself.

    address is the IP literal to bind; public_address another one to advertise, or None. Ports: None turns one off, 0
    takes any free one; signalling is TCP, tls the same inside TLS, with certificate and key as PEM files. tunnelling
    says whether H.245 goes inside call signalling where the peer does so too; fast_start whether we propose it;
    early_h245 whether our SETUP carries the first H.245 messages already. bandwidth is what calls that we place ask
    for, in bit/s of picture. h245_ports are the first and last port for separate H.245 connections, None for any.
    """

    address: str = "0.0.0.0"
    public_address: str | None = None
    signalling: int | None = 1720
    tls: int | None = None
    certificate: Path | None = None
    key: Path | None = None
    tunnelling: bool = True
    fast_start: bool = False
    early_h245: bool = False
    display: str = "Roombridge"
    bandwidth: int = 1_920_000
    h245_ports: tuple[int, int] | None = None
    ras: RasConfig = RasConfig()
