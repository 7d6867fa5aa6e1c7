"""An ICE transport with DTLS-SRTP and data channels, for browsers: everything of a leg rides on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gateway.reasons import Reason, Refused
from transcode.carrier import Riders
from transcode.events import Failed, MediaEvent
from transcode.ice.channels import DataChannels
from transcode.ice.path import check_credentials
from transcode.ice.transport import IceState, IceTransport
from transcode.media import (
    Abilities,
    Candidate,
    Fingerprint,
    LegId,
    Setup,
    StreamDescription,
    Transport,
    Wanted,
)

SCTP_PORT = 5000
"""Our side of every SCTP association: there is one in a DTLS session, so any number does (RFC 8841 §5)."""


class IceCarrier(Riders):
    """An ICE transport with DTLS-SRTP, for browsers; all streams of a bundle ride on it."""

    def __init__(self, transport: IceTransport, leg: LegId, emit: Callable[[MediaEvent], None]) -> None:
        super().__init__(transport)
        self.ice = transport
        self._leg = leg
        self._emit = emit
        self._local: Transport | None = None
        self._fingerprints: frozenset[Fingerprint] = frozenset()
        self._channels: DataChannels | None = None
        transport.on_state = self._on_state

    @property
    def encrypted(self) -> str:
        """See `Carrier`."""
        return self.ice.encrypted

    @property
    def ready(self) -> bool:
        """See `Carrier`."""
        return bool(self.ice.encrypted)

    def must_restart(self, remote: Transport) -> bool:
        """For a peer with another certificate only: the transport restarts ICE by itself and keeps its keys, as the
        peer does (RFC 8842 §3.1)."""
        known = self._fingerprints
        return bool(known) and remote.dtls is not None and known.isdisjoint(remote.dtls.fingerprints)

    def check(self, remote: StreamDescription, abilities: Abilities) -> None:
        """See `Carrier.check`."""
        ice, dtls = remote.transport.ice, remote.transport.dtls
        if ice is None or dtls is None:
            raise Refused(Reason.ENCRYPTION_NEEDED, "ICE without DTLS")
        if not dtls.fingerprints:
            raise Refused(Reason.BAD_DESCRIPTION, "no fingerprint")
        check_credentials(ice)

    async def answer(self, remote: StreamDescription, abilities: Abilities) -> Transport:
        """See `Carrier.answer`; the second stream of a bundle and later offers get the same side again."""
        if self._local is None:
            self.check(remote, abilities)
            theirs = remote.transport
            assert theirs.ice is not None
            assert theirs.dtls is not None
            setup = Setup.ACTIVE if theirs.dtls.setup is Setup.PASSIVE else Setup.PASSIVE
            gathered = await self.ice.gather()
            if self.ice.state is not IceState.GATHERED:
                raise Refused(Reason.CANCELLED, "the leg was closed meanwhile")
            await self.ice.start(theirs.ice, theirs.dtls, setup)
            first = gathered.candidates[0] if gathered.candidates else None
            self._fingerprints = frozenset(theirs.dtls.fingerprints)
            self._local = Transport(
                address=first.address if first else None,
                port=first.port if first else 9,
                rtcp_mux=True,
                feedback=True,
                dtls=self.ice.dtls(setup),
                ice=gathered,
            )
        elif remote.transport.ice is not None and self.ice.is_restart(remote.transport.ice):
            gathered = await self.ice.restart(remote.transport.ice)
            first = gathered.candidates[0]
            self._local = replace(self._local, address=first.address, port=first.port, ice=gathered)
        return self._local

    async def offer(self, abilities: Abilities, wanted: Wanted) -> Transport:
        """Browsers offer, we answer: an offer of ours would have to be made before the peer's ICE is known."""
        raise Refused(Reason.UNSUPPORTED, "this side does not offer ICE")

    async def accept(self, remote: Transport, abilities: Abilities) -> None:
        """See `offer`."""
        raise Refused(Reason.UNSUPPORTED, "this side does not offer ICE")

    def check_accepted(self, remote: Transport, abilities: Abilities) -> None:
        """See `offer`."""
        raise Refused(Reason.UNSUPPORTED, "this side does not offer ICE")

    def check_channels(self) -> None:
        """See `Carrier.check_channels`."""
        if self._channels is None and self.ice.state in (IceState.FAILED, IceState.CLOSED):
            raise Refused(Reason.TRANSPORT_FAILED, f"the transport is {self.ice.state.value}")

    def open_channels(self, remote_port: int, take: Callable[[str, str | bytes], None]) -> int:
        """See `Carrier.open_channels`."""
        self.check_channels()
        self._channels = self.ice.open_channels(remote_port)
        self._channels.on_message = take
        return SCTP_PORT

    def send_data(self, label: str, data: str | bytes) -> bool:
        """See `Carrier.send_data`."""
        return self._channels is not None and self._channels.send(label, data)

    def add_candidate(self, candidate: Candidate | None) -> None:
        """See `Carrier.add_candidate`."""
        self.ice.add_candidate(candidate)

    def _on_state(self, state: IceState, reason: Reason | None) -> None:
        # A peer that closes its media says so by signalling too, or comes back: a page that reloads does.
        if state is IceState.FAILED:
            self._emit(Failed(self._leg, reason or Reason.ICE_FAILED))

    def counters(self) -> dict[str, int]:
        """See `Carrier.counters`."""
        return self.ice.counters() | {"unknown_payload": self._unknown}

    def close(self) -> None:
        """See `Carrier.close`."""
        self.ice.on_state = lambda state, reason: None
        self.ice.close()

    async def closed(self) -> None:
        """See `Carrier.closed`."""
        await self.ice.closed()
