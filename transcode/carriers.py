"""Which carrier a stream gets: browsers' legs an ICE transport for all, others a pair of UDP ports each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from transcode.carrier import Carrier
from transcode.carrier_ice import IceCarrier
from transcode.carrier_udp import UdpCarrier
from transcode.events import MediaEvent
from transcode.ice.transport import IceTransport
from transcode.media import Abilities, Kind, LegId, Transport
from transcode.negotiate import NOBODY
from transcode.rtp.multiplex import SharedPorts
from transcode.rtp.ports import PortPool
from transcode.rtp.udp import UdpTransport


@dataclass(slots=True)
class Ways:
    """The transports of one description: by stream, with our side of each, and those that were made for it."""

    carriers: dict[str, Carrier]
    local: dict[str, Transport]
    fresh: list[Carrier]


class Carriers:
    """Makes carriers out of the plane's addresses and ports."""

    def __init__(
        self,
        pool: PortPool,
        address: str,
        ports: tuple[int, int],
        public_address: str | None,
        emit: Callable[[MediaEvent], None],
        multiplex_port: int | None = None,
    ) -> None:
        self._pool = pool
        self._address = address
        self._ports = ports
        self._public_address = public_address
        self._emit = emit
        self._shared = None if multiplex_port is None else SharedPorts(address, multiplex_port)

    def suits(self, carrier: Carrier, abilities: Abilities, remote: Transport) -> bool:
        """Whether a carrier that is there can go on with what the peer describes now."""
        return isinstance(carrier, IceCarrier) is self._by_ice(abilities, remote) and not carrier.must_restart(remote)

    def reaches(self, remote: Transport) -> bool:
        """Whether packets can go to a peer's address: one of the family of ours, or any that ICE may find."""
        if remote.address is None or remote.ice is not None or self._address == "::":
            return True
        return (":" in remote.address) is (":" in self._address)

    def make(self, leg: LegId, kind: Kind, abilities: Abilities, remote: Transport | None) -> Carrier:
        """Return a carrier for a stream or bundle: a browser's if the leg is one, UDP ports otherwise.

        Raises `Refused` with NO_PORTS.
        """
        if remote is not None and self._by_ice(abilities, remote):
            bind = None if self._address in NOBODY else [self._address]
            ice = IceTransport(False, bind, self._public_address, ports=self._ports)
            return IceCarrier(ice, leg, self._emit)
        return UdpCarrier(UdpTransport(self._pool, kind), leg, self._emit, self._public_address, self._shared)

    @staticmethod
    def _by_ice(abilities: Abilities, remote: Transport) -> bool:
        return abilities.ice and remote.ice is not None
