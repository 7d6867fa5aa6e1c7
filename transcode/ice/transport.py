"""The transport of WebRTC media: ICE, DTLS-SRTP and, where negotiated, data channels, for one bundle.

Theory of operation. `gather` binds sockets and gives our side of the description; `start` takes the peer's and lets
two steps run in the background, each with its own limit of time:

    NEW -> GATHERED -> CHECKING (ICE) -> KEYING (DTLS) -> CONNECTED -> CLOSED
                           \\                 \\               \\
                            `-> FAILED (ICE_FAILED)  `-> FAILED (DTLS_FAILED)  `-> FAILED (ICE_FAILED: consent ran out)

Each change is told by `on_state`. Once connected, a packet goes from the socket through libsrtp to `on_rtp` or
`on_rtcp` inside one call from the event loop, and the other way likewise. Packets before that are dropped and counted.

An ICE restart keeps everything above it (see `path`): `is_restart` tells that a re-offer asks for one, `restart` begins
it and gives our new credentials for the answer. A peer whose fingerprints are new needs a new transport.

Times are in seconds of `time.monotonic`: the event loop's own clock, which uvloop rounds to milliseconds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from enum import Enum

from gateway.reasons import Reason, Refused
from transcode.ice import path
from transcode.ice.certificate import Certificate, process_certificate
from transcode.ice.channels import DataChannels
from transcode.ice.dtls import DtlsSession
from transcode.ice.path import Path
from transcode.media import Candidate, Dtls, Ice, Setup
from transcode.rtp.srtp import SrtpSession
from transcode.rtp.transport import PacketHandler

DTLS_TIME = 15.0
"""Seconds for the handshake: four retransmissions of a lost flight (1, 2, 4, 8 s)."""


class IceState(Enum):
    """Where a transport stands."""

    NEW = "new"
    GATHERED = "gathered"
    CHECKING = "checking"
    KEYING = "keying"
    CONNECTED = "connected"
    FAILED = "failed"
    CLOSED = "closed"


_NEXT: dict[IceState, frozenset[IceState]] = {
    IceState.NEW: frozenset({IceState.GATHERED, IceState.CLOSED}),
    IceState.GATHERED: frozenset({IceState.CHECKING, IceState.CLOSED}),
    IceState.CHECKING: frozenset({IceState.KEYING, IceState.FAILED, IceState.CLOSED}),
    IceState.KEYING: frozenset({IceState.CONNECTED, IceState.FAILED, IceState.CLOSED}),
    IceState.CONNECTED: frozenset({IceState.FAILED, IceState.CLOSED}),
    IceState.FAILED: frozenset({IceState.CLOSED}),
    IceState.CLOSED: frozenset(),
}

StateHandler = Callable[[IceState, Reason | None], None]
"""Told of each change: the reason is given with FAILED, and with CLOSED (NORMAL) when the peer closed."""


class IceTransport:
    """A `PacketTransport` over ICE and DTLS-SRTP, component 1 only (rtcp-mux), for all streams of a bundle.

    controlling is True for the side that offered (RFC 8445 §6.1.1). addresses are the local ones to bind, None for
    all of this host but loopback; ports is the range (both ends included) to bind in; public_address is what a
    one-to-one NAT in front of us shows.
    """

    def __init__(
        self,
        controlling: bool,
        addresses: Sequence[str] | None = None,
        public_address: str | None = None,
        certificate: Certificate | None = None,
        ports: tuple[int, int] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.on_rtp: PacketHandler = _ignore
        self.on_rtcp: PacketHandler = _ignore
        self.on_state: StateHandler = _ignore_state
        self.state = IceState.NEW
        self.reason: Reason | None = None
        self.received = 0
        self.sent = 0
        self._counters: dict[str, int] = {}
        self._certificate = certificate or process_certificate()
        self._clock = clock
        self._remote_ice: Ice | None = None
        self._local_ice: Ice | None = None
        self._channels: DataChannels | None = None
        self._channels_port = 0
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._srtp: SrtpSession | None = None
        self._keyed = False
        self._sendto: Callable[[bytes, tuple[str, int]], None] | None = None
        self._remote_address: tuple[str, int] = ("", 0)
        self._path = Path(
            controlling,
            addresses,
            ports,
            public_address,
            self._counters,
            on_media=self._receive,
            on_dtls=self._receive_dtls,
            on_change=self._select,
            on_lost=self._lose,
        )
        self._dtls = DtlsSession(controlling, self._certificate, self._path.transmit)
        self._dtls.on_closed = self._peer_closed

    # Negotiation

    async def gather(self) -> Ice:
        """Bind the sockets and return our credentials and candidates, complete. Raises `Refused` (NO_PORTS)."""
        if self._local_ice is None:
            try:
                self._local_ice = await self._path.gather()
            except Refused:
                self.close()
                raise
            self._enter(IceState.GATHERED)
        return self._local_ice

    def dtls(self, setup: Setup) -> Dtls:
        """Return our DTLS parameters for a description that gives us this role."""
        return Dtls(setup, (self._certificate.fingerprint,))

    async def start(self, remote_ice: Ice, remote_dtls: Dtls, setup: Setup) -> None:
        """Take the peer's parameters and begin; returns at once, `on_state` tells what becomes of it.

        setup is our own role, ACTIVE or PASSIVE. Raises `Refused` with BAD_DESCRIPTION if the credentials or
        fingerprints cannot be right; calling it again is an error of the caller's (ValueError).
        """
        if self.state is not IceState.GATHERED:
            raise ValueError(f"cannot start a transport that is {self.state.value}")
        if setup is Setup.ACTPASS or remote_dtls.setup is setup:
            raise Refused(Reason.BAD_DESCRIPTION, "the DTLS roles of the two sides do not fit")
        if not remote_dtls.fingerprints:
            raise Refused(Reason.BAD_DESCRIPTION, "no fingerprint")
        self._path.start(remote_ice)
        self._remote_ice = remote_ice
        self._enter(IceState.CHECKING)
        self._task = asyncio.get_running_loop().create_task(self._connect(remote_dtls, setup))

    async def restart(self, remote_ice: Ice) -> Ice:
        """Take the new credentials of a peer that restarts ICE, and return our new ones for the answer.

        Packets go on by the old pair until a new one is selected; keys, fingerprint and DTLS role stay. Raises
        `Refused`: BAD_DESCRIPTION, NO_PORTS, or TRANSPORT_FAILED on a transport that has ended.
        """
        if self.state in (IceState.NEW, IceState.GATHERED):
            raise ValueError(f"cannot restart a transport that is {self.state.value}")
        if self.state in (IceState.FAILED, IceState.CLOSED):
            raise Refused(Reason.TRANSPORT_FAILED, "the transport has ended")
        self._local_ice = await self._path.restart(remote_ice)
        self._remote_ice = remote_ice
        return self._local_ice

    def is_restart(self, remote_ice: Ice) -> bool:
        """Tell whether a later description of the peer asks for an ICE restart (RFC 8839 §4.4.1.1.1)."""
        known = self._remote_ice
        return known is not None and (known.user, known.password) != (remote_ice.user, remote_ice.password)

    def add_candidate(self, candidate: Candidate | None) -> None:
        """Take one trickled remote candidate; None (no more will come) changes nothing, time decides on failure."""
        if candidate is not None and self.state not in (IceState.FAILED, IceState.CLOSED):
            self._path.add(candidate)

    async def wait(self) -> IceState:
        """Return the state once it is CONNECTED, FAILED or CLOSED."""
        while self.state not in (IceState.CONNECTED, IceState.FAILED, IceState.CLOSED):
            self._changed.clear()
            await self._changed.wait()
        return self.state

    async def _connect(self, remote_dtls: Dtls, setup: Setup) -> None:
        try:
            async with asyncio.timeout(path.ICE_TIME):
                await self._path.ready()
        except TimeoutError:
            self._fail(Reason.ICE_FAILED)
            return
        self._enter(IceState.KEYING)
        try:
            async with asyncio.timeout(DTLS_TIME):
                agreed = await self._dtls.handshake(remote_dtls, setup)
        except TimeoutError:
            agreed = False
        keys = self._dtls.keys
        if not agreed or keys is None:
            self._fail(Reason.DTLS_FAILED)
            return
        self._srtp = SrtpSession(*keys)
        self._keyed = True
        self._enter(IceState.CONNECTED)
        if self._channels is not None:
            await self._channels.start(self._channels_port)

    def open_channels(self, remote_port: int = 5000) -> DataChannels:
        """Return this bundle's data channels, which begin once DTLS is done; for descriptions with a data stream.

        remote_port is the peer's SCTP port (`Transport.sctp_port`), ours is 5000. Calling it again, as a later
        description does, returns the same ones. Raises ValueError on a transport that has ended.
        """
        if self._channels is None:
            if self.state in (IceState.FAILED, IceState.CLOSED):
                raise ValueError(f"cannot open data channels on a transport that is {self.state.value}")
            self._channels = DataChannels(self._dtls, self._count)
            self._channels_port = remote_port
            if self.state is IceState.CONNECTED:
                self._task = asyncio.get_running_loop().create_task(self._channels.start(remote_port))
        return self._channels

    # Packets

    def send_rtp(self, packet: bytes) -> None:
        """Encrypt and send one RTP packet; dropped and counted before CONNECTED or if it is too long."""
        srtp, sendto = self._srtp, self._sendto
        if sendto is None or srtp is None or not self._keyed:
            self._count("not_ready")
            return
        encrypted = srtp.protect_rtp(packet)
        if encrypted is not None:
            sendto(encrypted, self._remote_address)
            self.sent += 1

    def send_rtcp(self, packet: bytes) -> None:
        """Encrypt and send one compound RTCP packet; dropped and counted as with RTP."""
        srtp, sendto = self._srtp, self._sendto
        if sendto is None or srtp is None or not self._keyed:
            self._count("not_ready")
            return
        encrypted = srtp.protect_rtcp(packet)
        if encrypted is not None:
            sendto(encrypted, self._remote_address)

    def _receive(self, data: bytes) -> None:
        srtp = self._srtp
        if srtp is None or not self._keyed:
            self._count("early_media")
        elif 192 <= data[1] <= 223:
            clear = srtp.unprotect_rtcp(data)
            if clear is not None:
                self.on_rtcp(clear, self._clock())
        else:
            clear = srtp.unprotect_rtp(data)
            if clear is not None:
                self.received += 1
                self.on_rtp(clear, self._clock())

    def _receive_dtls(self, data: bytes) -> None:
        if not self._dtls.take(data):
            self._count("dtls_overflow")

    def _select(self) -> None:
        pair = self._path.selected
        if pair is None:
            self._sendto = None
        else:
            self._sendto = pair.protocol.transport.sendto
            self._remote_address = pair.remote_addr

    # Ends

    def _lose(self) -> None:
        self._fail(Reason.ICE_FAILED)

    def _peer_closed(self) -> None:
        if self.state is IceState.CONNECTED:
            self.reason = Reason.NORMAL
            self._shut(IceState.CLOSED, Reason.NORMAL)

    def _fail(self, reason: Reason) -> None:
        if self.state not in (IceState.FAILED, IceState.CLOSED):
            self.reason = reason
            self._shut(IceState.FAILED, reason)

    def close(self) -> None:
        """Close DTLS and give the sockets back; nothing is delivered afterwards. Closing twice is no error."""
        self.on_state = _ignore_state
        self.on_rtp = self.on_rtcp = _ignore
        if self.state is not IceState.CLOSED:
            self._shut(IceState.CLOSED, None)

    async def closed(self) -> None:
        """Return when the sockets are given back after an end of any kind."""
        if self._closing is not None:
            await asyncio.shield(self._closing)

    def _shut(self, state: IceState, reason: Reason | None) -> None:
        self._keyed = False
        self._path.abandon()
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._tear_down())
        self._enter(state, reason)

    async def _tear_down(self) -> None:
        task = self._task
        if task is not None and not task.done():
            # _fail is called from inside this task: then it ends by itself right after.
            task.cancel()
            await asyncio.wait([task])
        if self._channels is not None:
            await self._channels.stop()
        await self._dtls.stop()
        await self._path.close()

    def _enter(self, state: IceState, reason: Reason | None = None) -> None:
        if state not in _NEXT[self.state]:
            return
        self.state = state
        self._changed.set()
        self.on_state(state, reason)

    def _count(self, name: str) -> None:
        self._counters[name] = self._counters.get(name, 0) + 1

    def counters(self) -> dict[str, int]:
        """Return what was counted, by name."""
        counts = {"received": self.received, "sent": self.sent, **self._counters}
        return counts if self._srtp is None else counts | self._srtp.counters()

    @property
    def encrypted(self) -> str:
        """The SRTP suite in use, "" before CONNECTED."""
        suite = self._srtp.suite if self._srtp is not None and self._keyed else None
        return "" if suite is None else suite.value

    @property
    def remote_address(self) -> tuple[str, int]:
        """Where packets are sent to; ("", 0) before a pair was selected."""
        return self._remote_address


def _ignore(_: bytes, __: float) -> None:
    """Take a packet that nobody waits for."""


def _ignore_state(_: IceState, __: Reason | None) -> None:
    """Hear of a change that nobody waits for."""
