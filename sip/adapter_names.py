"""What this house is called: the addresses that are ours, and those that we say are ours."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import quote as escape

from gateway.text import clean
from sip.adapter_config import SipConfig
from sip.adapter_facts import MAX_NAME
from sip.events import Flow
from sip.routing import same_family
from sip.transport import Network
from sip.uri import Uri
from sip.values import NameAddr

_USER = "-_.!~*'()&=+$,?/"
"""What may stand in a user part as it is (RFC 3261 §25.1)."""


class Names:
    """Our names and addresses, by configuration and by the machine's interfaces."""

    def __init__(self, config: SipConfig, network: Network) -> None:
        self._config = config
        self._network = network

    def serves(self, uri: Uri) -> bool:
        """Tell whether an address that a peer claims may be one of our accounts: without a domain any may."""
        return self._config.domain is None or self.is_ours(uri)

    def is_ours(self, uri: Uri) -> bool:
        """Tell whether a URI's host names this house: by its domain or by an address of this machine."""
        config, host = self._config, uri.host.lower()
        if host in ((config.domain or "").lower(), config.public_address, config.address):
            return True
        try:
            address = str(ip_address(host))
        except ValueError:
            return False
        return self._network.local_address(address) == address

    def is_our_port(self, port: int | None) -> bool:
        """Tell whether a port leads to us; others lead to other services on the same machine."""
        return port is None or port in self._network.ports.values()

    def advertised(self, flow: Flow) -> str:
        """Return the address that a peer reaches us at."""
        public, own = self._config.public_address, flow.local_address
        if public is not None and (not own or same_family(public, own)):
            return public
        return own or "127.0.0.1"

    def sender(self, user: str, display: str, flow: Flow) -> str:
        """Return the From of a call that we place; user is unescaped, "" for none."""
        return str(NameAddr(self._uri(user, flow), clean(display or self._config.user_agent, MAX_NAME), {}))

    def entity(self, room: str, flow: Flow) -> str:
        """Return our URI of a room."""
        return str(self._uri(room, flow))

    def _uri(self, user: str, flow: Flow) -> Uri:
        return Uri("sip", escape(user, safe=_USER) or None, host=self._config.domain or self.advertised(flow))
