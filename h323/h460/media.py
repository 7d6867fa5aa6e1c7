"""How a logical channel's packets pass a translator: its traversal parameters, written and read (H.460.19 §7). Pure.

They stand in the genericInformation of openLogicalChannel and its answer. The server says in a channel that it opens
where the client is to send keep-alive packets, for these open the way on which the media then come back. Either side
may want packets on one pair of ports for all its channels: each packet then begins with four octets, the multiplexID.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from h323.describe.channels import read_unicast, write_unicast
from h323.describe.fast_start import Place
from h323.h460.call import CallTraversal, Role
from h323.messages import DecodeError, Kind, decode, encode
from h323.signalling.events import Address
from transcode.media import KeepAlive, Multiplex, Traversal

Value = dict[str, Any]

IDENTIFIER = "0.0.8.460.19.0.1"
PARAMETERS = 1
KEEP_ALIVE_INTERVAL = 15
"""Seconds between two keep-alive packets that we ask clients for; translators forget UDP after 30 or more."""
KEEP_ALIVE_TYPE = 127
"""Payload type of ours, where the Recommendation leaves the choice: no codec has it."""
LONGEST_INTERVAL = 3_600
"""Seconds; a server that asks for more rarely wants none."""


@dataclass(frozen=True, slots=True)
class Way:
    """TraversalParameters in plain terms; interval in seconds."""

    media: Address | None = None
    control: Address | None = None
    multiplex: int | None = None
    keep_alive: Address | None = None
    payload_type: int | None = None
    interval: int | None = None


_ADDRESSES = {
    "media": "multiplexedMediaChannel",
    "control": "multiplexedMediaControlChannel",
    "keep_alive": "keepAliveChannel",
}
_NUMBERS = {"multiplex": "multiplexID", "payload_type": "keepAlivePayloadType", "interval": "keepAliveInterval"}


def write_way(way: Way) -> Value:
    """Return an item of genericInformation."""
    value: Value = {}
    for name, asn in _ADDRESSES.items():
        address = getattr(way, name)
        if address is not None:
            value[asn] = write_unicast(address)
    value |= {asn: number for name, asn in _NUMBERS.items() if (number := getattr(way, name)) is not None}
    content = ("octetString", encode(Kind.TRAVERSAL, value))
    return {
        "messageIdentifier": ("standard", IDENTIFIER),
        "messageContent": [{"parameterIdentifier": ("standard", PARAMETERS), "parameterValue": content}],
    }


def read_way(information: Iterable[Value] | None) -> Way | None:
    """Return what a genericInformation says of the way of media; None where it says nothing that can be read."""
    for item in information or ():
        if item["messageIdentifier"] != ("standard", IDENTIFIER):
            continue
        for parameter in item.get("messageContent") or ():
            kind, octets = parameter["parameterValue"]
            if parameter["parameterIdentifier"] != ("standard", PARAMETERS) or kind != "octetString":
                continue
            try:
                value = decode(Kind.TRAVERSAL, bytes(octets))
            except DecodeError:
                continue
            found: Value = {name: read_unicast(value.get(asn)) for name, asn in _ADDRESSES.items()}
            return Way(**found, **{name: value.get(asn) for name, asn in _NUMBERS.items()})
    return None


class SessionWay:
    """The way of one RTP session. media and control are our addresses; both channels of the session share it."""

    def __init__(self) -> None:
        self.keep_alive: KeepAlive | None = None
        self.prefix: int | None = None
        self.media: Address | None = None
        self.control: Address | None = None

    def hear(self, way: Way | None, role: Role) -> None:
        """Take what the peer says in a channel of its own, or in its answer to one of ours."""
        if way is None or role is Role.NONE:
            return
        if way.multiplex is not None:
            self.prefix = way.multiplex
        if role is Role.SERVER:
            return  # a client's addresses are those that it has at home
        self.media = way.media or self.media
        self.control = way.control or self.control
        if way.keep_alive is not None and way.interval is not None:
            interval = min(way.interval, LONGEST_INTERVAL)
            self.keep_alive = KeepAlive(way.keep_alive.host, way.keep_alive.port, interval, KEEP_ALIVE_TYPE)
            self.media = self.media or way.keep_alive


class MediaWays:
    """What our channels say of the ways of one call's media. host is the IP literal of the peer's signalling."""

    def __init__(self, traversal: CallTraversal | None = None, host: str = "") -> None:
        self.traversal = traversal or CallTraversal()
        self.host = host

    @property
    def role(self) -> Role:
        """Our role in the call."""
        return self.traversal.role

    @property
    def hidden(self) -> bool:
        """Whether the peer's own addresses mean nothing here."""
        return self.role is Role.SERVER

    def describe(self, way: SessionWay, multiplex: Multiplex | None) -> Traversal | None:
        """Return what the media plane is told of a session's way; None where nothing stands between."""
        if self.role is Role.NONE:
            return None
        host = self.host if self.hidden else None
        return Traversal(self.hidden, host, way.keep_alive, way.prefix, self.multiplexes(multiplex))

    def multiplexes(self, multiplex: Multiplex | None) -> bool:
        """Tell whether the peer is asked for packets with a multiplexID."""
        return multiplex is not None and self.role is not Role.NONE and self.traversal.takes_multiplexed

    def place(self, own: Place, multiplex: Multiplex | None) -> Place:
        """Return the ports that our channels name: the shared ones where they are used, for there are endpoints that
        look for them nowhere else."""
        if multiplex is None or not self.multiplexes(multiplex):
            return own
        return Place(Address(own.media.host, multiplex.port), Address(own.control.host, multiplex.port + 1))

    def request(self, request: Value, place: Place, multiplex: Multiplex | None) -> Value:
        """Return an openLogicalChannel of ours with what is to be said; place is where our packets come from."""
        way = self._shared(place, multiplex)
        if self.role is Role.SERVER:
            way = Way(way.media, way.control, way.multiplex, place.media, None, KEEP_ALIVE_INTERVAL)
        return self._with(request, way)

    def answer(self, answer: Value, place: Place, multiplex: Multiplex | None) -> Value:
        """Return an openLogicalChannelAck of ours with what is to be said; place is where we take packets."""
        way = self._shared(place, multiplex)
        if self.role is Role.CLIENT:
            way = Way(way.media, way.control, way.multiplex, None, KEEP_ALIVE_TYPE)
        return self._with(answer, way)

    def _shared(self, place: Place, multiplex: Multiplex | None) -> Way:
        if multiplex is None or not self.multiplexes(multiplex):
            return Way()
        return Way(place.media, place.control, multiplex.id)

    @staticmethod
    def _with(value: Value, way: Way) -> Value:
        if way == Way():
            return value
        return {**value, "genericInformation": [*(value.get("genericInformation") or ()), write_way(way)]}
