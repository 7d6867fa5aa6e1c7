"""What media of SIP calls must be, by the way that signalling came: encryption, and what our offers hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sip.events import Transport
from transcode.media import SrtpPolicy, Wanted


@dataclass(frozen=True, slots=True)
class MediaPolicy:
    """srtp holds the policy of each listener that has one of its own; offer_dtls and offer_ice say what calls that we
    offer media to are offered. Pages that call over WebSocket are browsers: those always encrypt, by DTLS over ICE."""

    srtp: Mapping[Transport, SrtpPolicy] = field(default_factory=dict)
    offer_dtls: bool = False
    offer_ice: bool = False

    def encryption(self, transport: Transport, trunk: SrtpPolicy | None = None) -> SrtpPolicy | None:
        """Return `CallFacts.srtp` of a call: what its trunk says, else its listener; None leaves it to the house."""
        if transport.web:
            return SrtpPolicy.REQUIRE
        return self.srtp.get(transport) if trunk is None else trunk

    def wanted(self, transport: Transport, wanted: Wanted) -> Wanted:
        """Return what to offer a peer that is reached by this transport."""
        if transport.web:
            return replace(wanted, encrypted=True, dtls=True, ice=True, bundle=True)
        return replace(wanted, dtls=wanted.dtls or self.offer_dtls, ice=wanted.ice or self.offer_ice)
