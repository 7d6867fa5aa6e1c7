"""What carries a stream's packets: a UDP pair with or without SDES-SRTP, or an ICE transport that a bundle shares.

A carrier sorts incoming packets to the streams that ride on it (by payload type, RFC 9143 §9.2; RTCP goes to all,
each session takes what is its own) and spells its side of a transport description.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from gateway.reasons import Reason, Refused
from transcode.ice.channels import DataChannels
from transcode.ice.path import check_credentials
from transcode.ice.transport import IceState, IceTransport
from transcode.media import (
    Abilities,
    Candidate,
    Failed,
    Fingerprint,
    Kind,
    LegId,
    MediaEvent,
    Setup,
    SrtpKey,
    SrtpPolicy,
    StreamDescription,
    Suite,
    Transport,
)
from transcode.negotiate import NOBODY, choose_key
from transcode.rtp.ports import PortPool
from transcode.rtp.srtp import SUPPORTED, check_key, make_key
from transcode.rtp.transport import PacketTransport
from transcode.rtp.udp import UdpTransport

if TYPE_CHECKING:
    from transcode.stream import Stream

OFFERED_SUITES = (Suite.AES_CM_128_HMAC_SHA1_80, Suite.AEAD_AES_128_GCM, Suite.AEAD_AES_256_GCM)
"""Key lines of our own offers, the one that every device has first."""
SCTP_PORT = 5000
"""Our side of every SCTP association: there is one in a DTLS session, so any number does (RFC 8841 §5)."""


class Carrier(Protocol):
    """What a leg needs of a transport; encrypted names the SRTP suite in use, "" for none."""

    @property
    def encrypted(self) -> str:
        """The SRTP suite in use, "" for none."""

    def attach(self, stream: Stream) -> None:
        """Let a stream ride: its packets are brought to it."""

    def detach(self, stream: Stream) -> None:
        """Let a stream go."""

    def must_restart(self, remote: Transport) -> bool:
        """Whether the peer's new description asks for another transport."""

    def check(self, remote: StreamDescription, abilities: Abilities) -> None:
        """Raise the `Refused` that `answer` would raise for what the peer says, and change nothing."""

    async def answer(self, remote: StreamDescription, abilities: Abilities) -> Transport:
        """Take the peer's side and return ours. Raises `Refused`."""

    async def offer(self, abilities: Abilities, encrypted: bool) -> Transport:
        """Return our side, for an offer."""

    def check_accepted(self, remote: Transport, abilities: Abilities) -> None:
        """Raise the `Refused` that `accept` would raise, and change nothing."""

    async def accept(self, remote: Transport, abilities: Abilities) -> None:
        """Take the peer's side of an answer. Raises `Refused`."""

    def add_candidate(self, candidate: Candidate | None) -> None:
        """Take a trickled candidate."""

    def open_channels(self, remote_port: int, take: Callable[[str, str | bytes], None]) -> int:
        """Carry data channels to the peer's SCTP port, messages come to `take`; return our port. Raises `Refused`."""

    def send_data(self, label: str, data: str | bytes) -> bool:
        """Send a message on a data channel; False if it cannot be sent."""

    def send_rtp(self, packet: bytes) -> None:
        """Send an RTP packet."""

    def send_rtcp(self, packet: bytes) -> None:
        """Send an RTCP compound."""

    def counters(self) -> dict[str, int]:
        """Return what was counted, by name."""

    def close(self) -> None:
        """Give the ports back."""

    async def closed(self) -> None:
        """Return when they are given back."""


class _Riders:
    """Streams that share one transport."""

    def __init__(self, transport: PacketTransport) -> None:
        self._transport = transport
        self._streams: list[Stream] = []
        self._unknown = 0
        transport.on_rtp = self._ignore
        transport.on_rtcp = self._on_rtcp
        self.send_rtp = transport.send_rtp
        self.send_rtcp = transport.send_rtcp

    def attach(self, stream: Stream) -> None:
        """See `Carrier.attach`."""
        self._streams.append(stream)
        self._route()

    def detach(self, stream: Stream) -> None:
        """See `Carrier.detach`."""
        if stream in self._streams:
            self._streams.remove(stream)
            self._route()

    def _route(self) -> None:
        # One stream alone gets its packets without a step in between: this is the path that counts.
        streams = self._streams
        self._transport.on_rtp = streams[0].on_rtp if len(streams) == 1 else self._sort if streams else self._ignore

    def _sort(self, data: bytes, arrival: float) -> None:
        payload_type = data[1] & 0x7F
        for stream in self._streams:
            if stream.chosen is not None and any(one.payload_type == payload_type for one in stream.chosen.receive):
                stream.on_rtp(data, arrival)
                return
        self._unknown += 1

    def _on_rtcp(self, data: bytes, arrival: float) -> None:
        for stream in self._streams:
            stream.on_rtcp(data, arrival)

    @staticmethod
    def _ignore(data: bytes, arrival: float) -> None:
        """Nobody is there to take it."""


class UdpCarrier(_Riders):
    """A UDP pair, for SIP and H.323 legs."""

    def __init__(self, transport: UdpTransport, public_address: str | None = None) -> None:
        super().__init__(transport)
        self.udp = transport
        self._public_address = public_address
        self._our_keys: tuple[SrtpKey, ...] = ()
        self._encrypted = False

    @property
    def encrypted(self) -> str:
        """See `Carrier`."""
        return self.udp.encrypted

    def must_restart(self, remote: Transport) -> bool:
        """A pair of ports serves for the whole call."""
        return False

    def check(self, remote: StreamDescription, abilities: Abilities) -> None:
        """See `Carrier.check`."""
        theirs = choose_key(remote, abilities.srtp, frozenset(SUPPORTED))
        if theirs is not None:
            check_key(theirs)
        elif self._encrypted:
            raise Refused(Reason.ENCRYPTION_NEEDED, "a call that began encrypted stays so")
        self._check_address(remote.transport)

    async def answer(self, remote: StreamDescription, abilities: Abilities) -> Transport:
        """See `Carrier.answer`."""
        self.check(remote, abilities)
        theirs = choose_key(remote, abilities.srtp, frozenset(SUPPORTED))
        ours: tuple[SrtpKey, ...] = ()
        if theirs is not None:
            ours = (self._fitting(theirs) or make_key(theirs.suite, theirs.tag),)
        self._apply(remote.transport, ours, theirs, abilities)
        return self._describe(abilities, remote.transport.rtcp_mux, ours, optional=remote.transport.optional)

    async def offer(self, abilities: Abilities, encrypted: bool) -> Transport:
        """See `Carrier.offer`: encryption is demanded, offered (RFC 8643), or left out, as the policy says."""
        if abilities.srtp is not SrtpPolicy.OFF and not self._our_keys:
            suites = [suite for suite in OFFERED_SUITES if suite in SUPPORTED]
            self._our_keys = tuple(make_key(suite, tag) for tag, suite in enumerate(suites, 1))
        keys = () if abilities.srtp is SrtpPolicy.OFF else self._our_keys
        demanded = encrypted or abilities.srtp is SrtpPolicy.REQUIRE or self._encrypted
        if demanded and not self._encrypted and self.udp.remote is None:
            self.udp.set_keys(None, None)  # shut until the answer brings keys: nothing clear may lock the source
        return self._describe(abilities, False, keys, optional=bool(keys) and not demanded)

    def check_accepted(self, remote: Transport, abilities: Abilities) -> None:
        """See `Carrier.check_accepted`."""
        theirs = next((key for key in remote.keys if self._fitting(key) is not None), None)
        if theirs is not None:
            check_key(theirs)
        elif remote.keys or self._encrypted or abilities.srtp is SrtpPolicy.REQUIRE:
            raise Refused(Reason.ENCRYPTION_NEEDED)
        self._check_address(remote)

    async def accept(self, remote: Transport, abilities: Abilities) -> None:
        """See `Carrier.accept`."""
        self.check_accepted(remote, abilities)
        for theirs in remote.keys:
            ours = self._fitting(theirs)
            if ours is not None:
                self._apply(remote, (ours,), theirs, abilities)
                return
        self._apply(remote, (), None, abilities)

    def _fitting(self, theirs: SrtpKey) -> SrtpKey | None:
        """Return our key that goes with one of theirs: the same tag and suite (RFC 4568 §5.1.3)."""
        return next((key for key in self._our_keys if (key.tag, key.suite) == (theirs.tag, theirs.suite)), None)

    def _check_address(self, remote: Transport) -> None:
        self.udp.check_remote(remote.address, remote.port, remote.rtcp_address, remote.rtcp_port)

    def _apply(
        self, remote: Transport, ours: tuple[SrtpKey, ...], theirs: SrtpKey | None, abilities: Abilities
    ) -> None:
        if theirs is not None and ours:
            self._our_keys = ours
            self._encrypted = True
            # Some phones never encrypt RTCP; where encryption is demanded, that is not taken.
            self.udp.set_keys(ours[0], theirs, clear_rtcp=abilities.srtp is not SrtpPolicy.REQUIRE)
        elif abilities.srtp is not SrtpPolicy.OFF:
            self.udp.set_keys(None, None, required=False)
        if remote.address is not None and remote.port:
            self.udp.set_remote(remote.address, remote.port, remote.rtcp_address, remote.rtcp_port, mux=remote.rtcp_mux)

    def _describe(self, abilities: Abilities, mux: bool, keys: tuple[SrtpKey, ...], optional: bool) -> Transport:
        return Transport(
            address=abilities.public_address or self._public_address or abilities.local_address or self._own_address(),
            port=self.udp.port,
            rtcp_port=None if mux or self.udp.rtcp_port == self.udp.port + 1 else self.udp.rtcp_port,
            rtcp_mux=mux,
            keys=keys,
            optional=optional and bool(keys),
        )

    def _own_address(self) -> str:
        """Return the address to name where nobody gave one: of the bound one, or of the way to the peer.

        An unspecified one would put the peer on hold.
        """
        remote = self.udp.remote
        if self.udp.address not in NOBODY or remote is None:
            return self.udp.address
        try:
            with socket.socket(socket.AF_INET6 if ":" in remote[0] else socket.AF_INET, socket.SOCK_DGRAM) as asking:
                asking.connect(remote)  # sends nothing
                return str(asking.getsockname()[0]).removeprefix("::ffff:")
        except OSError:
            return self.udp.address

    def add_candidate(self, candidate: Candidate | None) -> None:
        """No ICE here."""

    def open_channels(self, remote_port: int, take: Callable[[str, str | bytes], None]) -> int:
        """No data channels without DTLS."""
        raise Refused(Reason.UNSUPPORTED, "data channels need DTLS")

    def send_data(self, label: str, data: str | bytes) -> bool:
        """See `open_channels`."""
        return False

    def counters(self) -> dict[str, int]:
        """See `Carrier.counters`."""
        return self.udp.counters()

    def close(self) -> None:
        """See `Carrier.close`."""
        self.udp.close()

    async def closed(self) -> None:
        """Sockets of this kind are closed at once."""


class IceCarrier(_Riders):
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

    async def offer(self, abilities: Abilities, encrypted: bool) -> Transport:
        """Browsers offer, we answer: an offer of ours would have to be made before the peer's ICE is known."""
        raise Refused(Reason.UNSUPPORTED, "this side does not offer ICE")

    async def accept(self, remote: Transport, abilities: Abilities) -> None:
        """See `offer`."""
        raise Refused(Reason.UNSUPPORTED, "this side does not offer ICE")

    def check_accepted(self, remote: Transport, abilities: Abilities) -> None:
        """See `offer`."""
        raise Refused(Reason.UNSUPPORTED, "this side does not offer ICE")

    def open_channels(self, remote_port: int, take: Callable[[str, str | bytes], None]) -> int:
        """See `Carrier.open_channels`."""
        try:
            self._channels = self.ice.open_channels(remote_port)
        except ValueError as ended:
            raise Refused(Reason.TRANSPORT_FAILED, str(ended)) from None
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


class Carriers:
    """Makes carriers out of the plane's addresses and ports."""

    def __init__(
        self,
        pool: PortPool,
        address: str,
        ports: tuple[int, int],
        public_address: str | None,
        emit: Callable[[MediaEvent], None],
    ) -> None:
        self._pool = pool
        self._address = address
        self._ports = ports
        self._public_address = public_address
        self._emit = emit

    def suits(self, carrier: Carrier, abilities: Abilities, remote: Transport) -> bool:
        """Whether a carrier that is there can go on with what the peer describes now."""
        return isinstance(carrier, IceCarrier) is self._by_ice(abilities, remote) and not carrier.must_restart(remote)

    def make(self, leg: LegId, kind: Kind, abilities: Abilities, remote: Transport | None) -> Carrier:
        """Return a carrier for a stream or bundle: ICE if the peer speaks it and may, UDP otherwise.

        Raises `Refused` with NO_PORTS.
        """
        if remote is not None and self._by_ice(abilities, remote):
            bind = None if self._address in NOBODY else [self._address]
            ice = IceTransport(False, bind, self._public_address, ports=self._ports)
            return IceCarrier(ice, leg, self._emit)
        return UdpCarrier(UdpTransport(self._pool, kind), self._public_address)

    @staticmethod
    def _by_ice(abilities: Abilities, remote: Transport) -> bool:
        return abilities.ice and remote.ice is not None
