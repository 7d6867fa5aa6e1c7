"""What the H.323 adapter is told when it starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class H323Config:
    """What the adapter listens on and what it says of itself.

    address is the IP literal to bind; public_address another one to advertise, or None. Ports: None turns one off, 0
    takes any free one; signalling is TCP, tls the same inside TLS, with certificate and key as PEM files. tunnelling
    says whether H.245 goes inside call signalling where the peer does so too; fast_start whether we propose it.
    bandwidth is what calls that we place ask for, in bit/s of picture.
    """

    address: str = "0.0.0.0"
    public_address: str | None = None
    signalling: int | None = 1720
    tls: int | None = None
    certificate: Path | None = None
    key: Path | None = None
    tunnelling: bool = True
    fast_start: bool = False
    display: str = "Roombridge"
    bandwidth: int = 1_920_000
