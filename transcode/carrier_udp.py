"""A pair of UDP ports as a carrier: plain, SDES-SRTP, DTLS-SRTP or H.235.6, with or without ICE, alone or for a bundle.

What the peer describes decides which of it is there: a leg that speaks none of it has no object for it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import NoReturn

from gateway.reasons import Reason, Refused
from transcode.carrier import Riders
from transcode.events import Failed, MediaEvent
from transcode.ice.association import UdpDtls
from transcode.ice.beside import UdpIce
from transcode.ice.path import check_credentials
from transcode.media import (
    Abilities,
    Candidate,
    Dtls,
    LegId,
    Multiplex,
    Setup,
    SrtpKey,
    SrtpPolicy,
    StreamDescription,
    Suite,
    Transport,
    Traversal,
    Wanted,
)
from transcode.negotiate import NOBODY, choose_keying
from transcode.rtp.h235 import check_payload_keys
from transcode.rtp.keep_alive import KeptOpen
from transcode.rtp.multiplex import SharedPorts
from transcode.rtp.source import Source
from transcode.rtp.srtp import SUPPORTED, check_key, make_key
from transcode.rtp.udp import UdpTransport

OFFERED_SUITES = (Suite.AES_CM_128_HMAC_SHA1_80, Suite.AEAD_AES_128_GCM, Suite.AEAD_AES_256_GCM)
"""Key lines of our own offers, the one that every device has first."""


class UdpCarrier(Riders):
    """UDP ports, for SIP and H.323 legs."""

    def __init__(
        self,
        transport: UdpTransport,
        leg: LegId,
        emit: Callable[[MediaEvent], None],
        public_address: str | None = None,
        shared: SharedPorts | None = None,
    ) -> None:
        """shared are the ports that streams of many calls may share, None where there are none."""
        super().__init__(transport)
        self.udp = transport
        self._shared = shared
        self._multiplex: Multiplex | None = None
        self._kept_open: KeptOpen | None = None
        self._leg = leg
        self._emit = emit
        self._public_address = public_address
        self._our_keys: tuple[SrtpKey, ...] = ()
        self._encrypted = False
        self._demanded = False
        self._described = False
        self._mux = False
        self._ice: UdpIce | None = None
        self._dtls: UdpDtls | None = None
        self._closing: asyncio.Task[None] | None = None
        self._retiring: set[asyncio.Task[None]] = set()

    @property
    def encrypted(self) -> str:
        """See `Carrier`."""
        return self.udp.encrypted

    @property
    def ready(self) -> bool:
        """See `Carrier`."""
        return self.udp.ready

    def must_restart(self, remote: Transport) -> bool:
        """A pair of ports serves for the whole call."""
        return False

    # The peer offers

    def check(self, remote: StreamDescription, abilities: Abilities) -> None:
        """See `Carrier.check`."""
        self._check_keying(choose_keying(remote, abilities.srtp, frozenset(SUPPORTED)))
        self._check_path(remote.transport)

    async def answer(self, remote: StreamDescription, abilities: Abilities) -> Transport:
        """See `Carrier.answer`; the second stream of a bundle and later offers get the same side again."""
        self.check(remote, abilities)
        theirs = choose_keying(remote, abilities.srtp, frozenset(SUPPORTED))
        transport = remote.transport
        own = self._own_address(transport.address)
        self._described = True
        if transport.ice is not None and self._ice is None:
            self._begin_ice(False, transport.rtcp_mux, own, abilities)
        self._take_path(transport)
        keys: tuple[SrtpKey, ...] = ()
        setup = None
        if isinstance(theirs, Dtls):
            setup = self._answered_setup(theirs)
            self._take_dtls(theirs, setup, transport.rtcp_mux)
        else:
            if theirs is not None:
                keys = (self._fitting(theirs) or make_key(theirs.suite, theirs.tag),)
            self._take_keys(keys, theirs, abilities)
        return self._describe(abilities, own, transport.rtcp_mux, keys, transport.optional, setup)

    def _answered_setup(self, theirs: Dtls) -> Setup:
        """Return our DTLS role: the one that we have, where the peer leaves it to us.

        Passive where it is new: the peer can begin as soon as it has our answer, and opens its NAT by it.
        """
        if theirs.setup is Setup.ACTPASS:
            known = self._dtls.setup if self._dtls is not None else None
            return known or Setup.PASSIVE
        return Setup.ACTIVE if theirs.setup is Setup.PASSIVE else Setup.PASSIVE

    # We offer

    async def offer(self, abilities: Abilities, wanted: Wanted) -> Transport:
        """See `Carrier.offer`: encryption is demanded, offered (RFC 8643), or left out, as the policy says.

        A call that is up keeps its kind of keys and its ICE.
        """
        fresh = not self._described
        own = self._own_address(None)
        demanded = wanted.encrypted or abilities.srtp is SrtpPolicy.REQUIRE or self._encrypted
        mux = self._mux or (fresh and (wanted.ice or wanted.dtls or wanted.bundle))
        if wanted.ice and fresh and self._ice is None:
            self._begin_ice(True, wanted.bundle, own, abilities)
        keys: tuple[SrtpKey, ...] = ()
        setup = None
        if abilities.srtp is not SrtpPolicy.OFF:
            if self._dtls is None and wanted.dtls and fresh:
                self._dtls = UdpDtls(self.udp, self._dtls_failed)
            if self._dtls is not None:
                setup = Setup.ACTPASS
            else:
                keys = self._our_keys = self._our_keys or _offered_keys()
        self._demanded = demanded
        if demanded and fresh:
            self.udp.set_keys(None, None)  # shut until the answer brings keys: nothing clear may lock the source
        optional = bool(keys or setup) and not demanded
        described = self._describe(abilities, own, mux, keys, optional, setup)
        if wanted.separate and self._shared is not None and self._multiplex is None:
            self._multiplex = Multiplex(self._shared.port, self._shared.new_id())
        return replace(described, multiplex=self._multiplex)

    def check_accepted(self, remote: Transport, abilities: Abilities) -> None:
        """See `Carrier.check_accepted`."""
        self._check_path(remote if self._ice is not None else replace(remote, ice=None))
        if remote.h235 is not None and abilities.srtp is not SrtpPolicy.OFF:
            check_payload_keys(remote.h235)
            return
        if remote.dtls is not None and self._dtls is not None:
            self._check_keying(remote.dtls)
            return
        theirs = next((key for key in remote.keys if self._fitting(key) is not None), None)
        if theirs is not None:
            check_key(theirs)
        elif remote.keys or self._encrypted or self._demanded or abilities.srtp is SrtpPolicy.REQUIRE:
            raise Refused(Reason.ENCRYPTION_NEEDED)

    async def accept(self, remote: Transport, abilities: Abilities) -> None:
        """See `Carrier.accept`."""
        self.check_accepted(remote, abilities)
        self._described = True
        self._take_path(remote, answered=True)
        if remote.h235 is not None and abilities.srtp is not SrtpPolicy.OFF:
            self._encrypted = self._encrypted or remote.h235.send is not None or remote.h235.receive is not None
            self.udp.set_payload_keys(remote.h235)
            return
        if remote.dtls is not None and self._dtls is not None:
            # An answer that leaves the role to us is none of RFC 5763 §5; who wrote it waits for us to begin.
            setup = Setup.PASSIVE if remote.dtls.setup is Setup.ACTIVE else Setup.ACTIVE
            self._take_dtls(remote.dtls, setup, remote.rtcp_mux)
            return
        if self._dtls is not None:
            self._drop_dtls()
        for theirs in remote.keys:
            ours = self._fitting(theirs)
            if ours is not None:
                self._take_keys((ours,), theirs, abilities)
                return
        self._take_keys((), None, abilities)

    # Ways

    def _check_path(self, remote: Transport) -> None:
        if remote.ice is not None:
            check_credentials(remote.ice)
        else:
            self.udp.check_remote(remote.address, remote.port, remote.rtcp_address, remote.rtcp_port)
            kept_open = None if remote.traversal is None else remote.traversal.keep_alive
            if kept_open is not None:
                self.udp.resolve(kept_open.address, kept_open.port)

    def _begin_ice(self, controlling: bool, mux: bool, own: str, abilities: Abilities) -> None:
        public = abilities.public_address or self._public_address
        self._ice = UdpIce(self.udp, controlling, mux, own, public, self._ice_ready, self._ice_lost)

    def _take_path(self, remote: Transport, answered: bool = False) -> None:
        """Send where the peer says, or where ICE finds that it is; answered: we offered."""
        self._mux = remote.rtcp_mux
        if remote.ice is not None and self._ice is not None:
            self._ice.start(remote.ice, remote.rtcp_mux, answered)
            return
        if self._ice is not None:  # a peer that speaks no ICE (any more) is where it says
            self._retire(self._ice)
            self._ice = None
            self.udp.unprove()
        if remote.address is not None and remote.port:
            self.udp.set_remote(remote.address, remote.port, remote.rtcp_address, remote.rtcp_port, mux=remote.rtcp_mux)
        if remote.traversal is not None:
            self._take_traversal(remote.traversal)

    def _take_traversal(self, traversal: Traversal) -> None:
        """Do what it takes that packets pass a translator (H.460.19)."""
        self.udp.expect_from(traversal.host if traversal.hidden else None)
        if traversal.prefixed and self._shared is not None and self._multiplex is not None:
            self.udp.share(self._shared, self._multiplex.id)
        self.udp.set_prefix(traversal.prefix)
        wanted, going = traversal.keep_alive, self._kept_open
        if going is not None and going.wanted != wanted:
            going.close()
            self._kept_open = None
        if wanted is not None and self._kept_open is None:
            self._kept_open = KeptOpen(self.udp, wanted, self.udp.resolve(wanted.address, wanted.port))

    def _ice_ready(self) -> None:
        if self._dtls is not None:
            self._dtls.begin()

    def _ice_lost(self) -> None:
        self._emit(Failed(self._leg, Reason.ICE_FAILED))

    def add_candidate(self, candidate: Candidate | None) -> None:
        """See `Carrier.add_candidate`."""
        if candidate is not None and self._ice is not None:
            self._ice.add(candidate)

    # Keys

    def _check_keying(self, theirs: SrtpKey | Dtls | None) -> None:
        if isinstance(theirs, Dtls):
            if not theirs.fingerprints:
                raise Refused(Reason.BAD_DESCRIPTION, "no fingerprint")
        elif theirs is not None:
            check_key(theirs)
        elif self._encrypted:
            raise Refused(Reason.ENCRYPTION_NEEDED, "a call that began encrypted stays so")

    def _fitting(self, theirs: SrtpKey) -> SrtpKey | None:
        """Return our key that goes with one of theirs: the same tag and suite (RFC 4568 §5.1.3)."""
        return next((key for key in self._our_keys if (key.tag, key.suite) == (theirs.tag, theirs.suite)), None)

    def _take_keys(self, ours: tuple[SrtpKey, ...], theirs: SrtpKey | None, abilities: Abilities) -> None:
        if self._dtls is not None:
            self._drop_dtls()
        if theirs is not None and ours:
            self._our_keys = ours
            self._encrypted = True
            # Some phones never encrypt RTCP; where encryption is demanded, that is not taken.
            self.udp.set_keys(ours[0], theirs, clear_rtcp=abilities.srtp is not SrtpPolicy.REQUIRE)
        elif abilities.srtp is not SrtpPolicy.OFF:
            self.udp.set_keys(None, None, required=False)

    def _take_dtls(self, theirs: Dtls, setup: Setup, mux: bool) -> None:
        if self._dtls is None:
            self._dtls = UdpDtls(self.udp, self._dtls_failed)
        self._encrypted = True
        self._dtls.settle(theirs, setup, mux, ready=self._ice is None or self._ice.ready)

    def _drop_dtls(self) -> None:
        if self._dtls is not None:
            self.udp.share_keys()
            self._retire(self._dtls)
            self._dtls = None

    def _dtls_failed(self) -> None:
        self._emit(Failed(self._leg, Reason.DTLS_FAILED))

    # Our side

    def _describe(
        self,
        abilities: Abilities,
        own: str,
        mux: bool,
        keys: tuple[SrtpKey, ...],
        optional: bool,
        setup: Setup | None,
    ) -> Transport:
        dtls = self._dtls.describe(setup) if self._dtls is not None and setup is not None else None
        public = abilities.public_address or self._public_address
        if public is not None and own not in NOBODY and (":" in public) != (":" in own):
            public = None  # a peer of the other family does not come through that translator
        return Transport(
            address=public or abilities.local_address or own,
            port=self.udp.port,
            rtcp_port=None if mux or self.udp.rtcp_port == self.udp.port + 1 else self.udp.rtcp_port,
            rtcp_mux=mux,
            keys=keys,
            optional=optional and bool(keys or dtls),
            dtls=dtls,
            ice=None if self._ice is None else self._ice.description,
        )

    def _own_address(self, toward: str | None) -> str:
        """Return the address to name where nobody gave one: of the bound one, or of the way to the peer.

        An unspecified one would put the peer on hold.
        """
        if self.udp.address not in NOBODY:
            return self.udp.address
        remote = self.udp.remote or _resolved(self.udp, toward)
        if remote is None:
            return self.udp.address
        try:
            with socket.socket(socket.AF_INET6 if ":" in remote[0] else socket.AF_INET, socket.SOCK_DGRAM) as asking:
                asking.connect(remote)  # sends nothing
                return str(asking.getsockname()[0]).removeprefix("::ffff:")
        except OSError:
            return self.udp.address

    # The rest

    def check_channels(self) -> NoReturn:
        """Data channels are for browsers."""
        raise Refused(Reason.UNSUPPORTED, "data channels need a browser's transport")

    def open_channels(self, remote_port: int, take: Callable[[str, str | bytes], None]) -> int:
        """See `check_channels`."""
        self.check_channels()

    def send_data(self, label: str, data: str | bytes) -> bool:
        """See `open_channels`."""
        return False

    def counters(self) -> dict[str, int]:
        """See `Carrier.counters`."""
        total = self.udp.counters()
        for part in (self._ice.counters if self._ice else {}, self._dtls.counters() if self._dtls else {}):
            for name, count in part.items():
                total[name] = total.get(name, 0) + count
        total["unknown_payload"] = total.get("unknown_payload", 0) + self._unknown
        return total

    def _retire(self, part: UdpIce | UdpDtls) -> None:
        """Let a part end by itself that is not needed any more."""
        part.close()
        task = asyncio.get_running_loop().create_task(part.closed())
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    def close(self) -> None:
        """See `Carrier.close`: a peer with DTLS is told first."""
        if self._kept_open is not None:
            self._kept_open.close()
        parts = [part for part in (self._dtls, self._ice) if part is not None]
        if not parts:
            self.udp.close()
        elif self._closing is None:
            self.udp.silence()
            self._closing = asyncio.get_running_loop().create_task(self._close(parts))

    async def _close(self, parts: list[UdpDtls | UdpIce]) -> None:
        try:
            for part in parts:
                part.close()
                await part.closed()
        finally:
            self.udp.close()

    async def closed(self) -> None:
        """See `Carrier.closed`."""
        if self._closing is not None:
            await asyncio.shield(self._closing)


def _offered_keys() -> tuple[SrtpKey, ...]:
    suites = [suite for suite in OFFERED_SUITES if suite in SUPPORTED]
    return tuple(make_key(suite, tag) for tag, suite in enumerate(suites, 1))


def _resolved(udp: UdpTransport, address: str | None) -> Source | None:
    try:
        return udp.resolve(address, 9)
    except Refused:
        return None
