"""What crosses the edge of the RAS cores: datagrams to send, and what is told to the shell."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from h323.ras.guard import Verdict
from h323.ras.messages import Message, Value
from h323.ras.registry import Registration
from h323.signalling.events import Address


@dataclass(frozen=True, slots=True)
class SendRas:
    """Send a datagram. name is the message's, for counts."""

    data: bytes
    to: Address
    name: str


@dataclass(frozen=True, slots=True)
class Registered:
    """An endpoint has registered; fresh is False where it changed what it had."""

    registration: Registration
    fresh: bool


@dataclass(frozen=True, slots=True)
class Unregistered:
    """A registration is over. cause: unregistered, expired, replaced, refused or shutdown."""

    registration: Registration
    cause: str


@dataclass(frozen=True, slots=True)
class RegistrationRefused:
    """A registration was refused; detail is what the log tells beyond the reason of H.225.0."""

    source: Address
    names: tuple[str, ...]
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Admitted:
    """A call was admitted; model is direct, routed or answered."""

    name: str
    called: str
    model: str


@dataclass(frozen=True, slots=True)
class AdmissionRefused:
    """A call was not admitted."""

    name: str
    called: str
    reason: str


GatekeeperItem = SendRas | Registered | Unregistered | RegistrationRefused | Admitted | AdmissionRefused


class Leads(Enum):
    """Where the dial plan leads a call, as far as the gatekeeper must know."""

    HERE = "here"
    """Into the house: a room, or a call that the house places."""
    ENDPOINT = "endpoint"
    """To an endpoint that is registered with us."""
    REFUSED = "refused"
    NOWHERE = "nowhere"


class House(Protocol):
    """What the gatekeeper asks of the house."""

    def leads(self, called: str, caller: Registration | None, source: str) -> Leads:
        """Return where a call leads (`Leads`). source is "address:port"."""

    def reserved(self, alias: str) -> bool:
        """Tell whether no endpoint may have this alias: it is a room's."""


DEFAULT_TTL = 300
"""Seconds until a registration must be refreshed: it opens translators' paths again, and shows who has gone."""


@dataclass(frozen=True, slots=True)
class GatekeeperConfig:
    """What the gatekeeper is told. name is its identifier; bandwidths are in bit/s.

    routed: signalling of calls between endpoints goes through the house. pregranted: endpoints of a routed
    gatekeeper need not ask for each call. neighbours are other zones' gatekeepers. traversal serves endpoints behind
    translators (H.460.18).
    """

    name: str = "Roombridge"
    routed: bool = False
    pregranted: bool = False
    ttl: int = DEFAULT_TTL
    call_bandwidth: int | None = None
    total_bandwidth: int | None = None
    neighbours: tuple[Address, ...] = ()
    traversal: bool = True


@dataclass(frozen=True, slots=True)
class Request:
    """A request on its way through: where from, which address of ours it came to, and who it proves to be."""

    message: Message
    source: Address
    local: Address
    now: float
    wall: float
    multicast: bool = False
    verdict: Verdict = field(default_factory=Verdict)
    endpoint: Registration | None = None

    @property
    def body(self) -> Value:
        """The message's content."""
        return self.message.body


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. to is where it goes if not where the request came from."""

    name: str
    body: Value
    to: Address | None = None
