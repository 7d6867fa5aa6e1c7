"""One stream's RTP and RTCP on UDP sockets, plain or encrypted: the shell around `SourceLock` and `SrtpSession`.

Raw non-blocking sockets with the loop's reader callback, measured under uvloop on loopback against its datagram
endpoints: equal for pictures, a little cheaper for sound, and bounded in what one wake-up does. Sound is read one
datagram a wake-up (its packets come singly, and a second read that finds nothing costs as much as the first); pictures
are drained up to a bound, since their packets come in bursts.

Nothing that arrives raises: what is not a packet of the peer is counted and dropped. When encryption was agreed on,
nothing leaves or is let in without it.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import time
from collections.abc import Callable

import structlog

from gateway.reasons import Reason, Refused
from transcode.media import H235Keys, Kind, SrtpKey
from transcode.rtp import rtcp
from transcode.rtp.h235 import H235Session
from transcode.rtp.multiplex import SharedPorts, prefix_of
from transcode.rtp.packet import RtpPacket
from transcode.rtp.ports import PortPool
from transcode.rtp.source import ProvedLock, Source, SourceLock
from transcode.rtp.srtp import SrtpSession
from transcode.rtp.transport import PacketHandler

MAX_DATAGRAM = 2048
"""Octets; media packets fit an Ethernet frame, so a longer one is none."""
BURST = {Kind.AUDIO: 1, Kind.VIDEO: 32, Kind.TEXT: 1, Kind.DATA: 8, Kind.CAMERA: 1}
"""Datagrams read in one wake-up: 32 packets are handled in about a quarter of a millisecond."""
RTCP_BURST = 4
RTCP_NEEDED = 2
"""RTCP packets before their address is believed: they are seconds apart."""
EMPTY_PACKET = 12
"""Octets of an RTP packet without payload: one that only keeps a translator's way open."""

AsideHandler = Callable[[bytes, Source, bool], bool]
"""Takes a datagram that is no RTP, where it came from, and whether by the RTCP port; False if it is a stranger's."""

log = structlog.get_logger()


def _is_rtp(data: bytes) -> bool:
    """Tell whether a datagram is RTP with something in it, by length and first octets (RFC 7983 §7, RFC 5761 §4)."""
    return EMPTY_PACKET < len(data) <= MAX_DATAGRAM and 128 <= data[0] <= 191 and not 192 <= data[1] <= 223


def _ignore(packet: bytes, arrival: float) -> None:
    """Take packets while nobody else does."""


class UdpTransport:
    """A `PacketTransport` on a pair of ports, or a single one where RTP and RTCP are always multiplexed.

    Raises Refused(NO_PORTS) if the pool is exhausted. Needs the running loop. `set_remote` and `set_keys` may be
    called again at any time. on_stun and on_dtls, where set, take what ICE and DTLS bring (RFC 7983); `prove` lets ICE
    decide which address is the peer's, `learn` lets DTLS.

    Counters: received, sent, foreign (from an address that is not the peer's), malformed, oversized, stun, dtls,
    garbage (first octets of nothing known), unencrypted (dropped because keys are not there yet), homeless (nowhere
    to send to yet), blocked (the socket's buffer was full), errors (ICMP and the like), handler_errors, kept_alive
    (empty packets that only open ways).
    """

    def __init__(self, pool: PortPool, kind: Kind, pair: bool = True) -> None:
        self._ports = pool.allocate(kind, pair)
        self._pool = pool
        self._loop = asyncio.get_running_loop()
        self.on_rtp: PacketHandler = _ignore
        self.on_rtcp: PacketHandler = _ignore
        self.on_stun: AsideHandler | None = None
        self.on_dtls: AsideHandler | None = None
        self.address = pool.address
        self._rtp, self._rtcp = self._ports.rtp, self._ports.rtcp
        self._sending, self._sending_control = self._rtp, self._rtcp
        self._burst = BURST[kind]
        self._lock = SourceLock()
        self._control_lock = SourceLock(RTCP_NEEDED)
        self._srtp: SrtpSession | H235Session | None = None
        self._control_srtp: SrtpSession | None = None
        self._encrypted = False
        self._mux = not pair
        self._closed = False
        self._family = self._rtp.family
        self.received = self.sent = self.foreign = self.malformed = self.oversized = 0
        self.stun = self.dtls = self.garbage = self.unencrypted = self.homeless = 0
        self.blocked = self.errors = self.handler_errors = self.kept_alive = 0
        self._prefix = b""
        self._shared: tuple[SharedPorts, int] | None = None
        self._loop.add_reader(self._rtp.fileno(), self._rtp_ready)
        if self._rtcp is not None:
            self._loop.add_reader(self._rtcp.fileno(), self._rtcp_ready)

    # What signalling says

    @property
    def port(self) -> int:
        """The local RTP port."""
        return self._ports.port

    @property
    def rtcp_port(self) -> int:
        """The local RTCP port; the RTP port if there is one port only."""
        return self._ports.port + (self._rtcp is not None)

    @property
    def remote(self) -> Source | None:
        """Where RTP is sent: the learned address, or the signalled one before that."""
        return self._lock.target

    @property
    def learned(self) -> bool:
        """Whether valid media has come and its source is locked."""
        return self._lock.locked is not None

    def set_remote(
        self,
        address: str | None,
        port: int,
        rtcp_address: str | None = None,
        rtcp_port: int | None = None,
        mux: bool = False,
    ) -> None:
        """Take the peer's address. No address, port 0 or an unspecified address (hold, RFC 2543) sends nothing.

        rtcp_port None means port + 1 unless mux. A changed address starts the learning anew. Raises Refused if the
        address is none of this socket's kind or cannot be one peer's.
        """
        target, control = self.check_remote(address, port, rtcp_address, rtcp_port)
        self._mux = mux or self._rtcp is None
        if self._mux:
            control = None
        self._lock.expect(target)
        self._control_lock.expect(control)

    def check_remote(
        self, address: str | None, port: int, rtcp_address: str | None, rtcp_port: int | None
    ) -> tuple[Source | None, Source | None]:
        """Return where `set_remote` would send RTP and RTCP. Raises Refused as that does."""
        other = port + 1 if rtcp_port is None else rtcp_port
        return self.resolve(address, port), self.resolve(rtcp_address or address, other if other < 65536 else 0)

    def prove(self, media: ProvedLock, control: ProvedLock | None) -> None:
        """Let ICE say where RTP and RTCP go and come from; control None: RTCP has no path of its own."""
        self._lock = media
        if control is not None:
            self._control_lock = control

    def knows(self, source: Source, control: bool) -> bool:
        """Tell whether an address is the peer's, as signalled, learned or proved."""
        return (self._control_lock if control else self._lock).knows(source)

    @property
    def proved(self) -> bool:
        """Whether ICE decides which address is the peer's."""
        return self._lock.proved

    def learn(self, source: Source, control: bool) -> None:
        """Send to an address from now on that has proved to be the peer's."""
        (self._control_lock if control else self._lock).learn(source, time.monotonic())

    def unprove(self) -> None:
        """Go back to what signalling says and packets teach."""
        self._lock, self._control_lock = SourceLock(), SourceLock(RTCP_NEEDED)

    def expect_from(self, host: str | None) -> None:
        """Believe the first packet from this host, for the peer's own address says nothing; None: as usual."""
        if host is not None and self._family == socket.AF_INET6 and ":" not in host:
            host = f"::ffff:{host}"
        self._lock.likely = self._control_lock.likely = host

    def set_prefix(self, id: int | None) -> None:
        """Put these four octets before each packet from now on; None: nothing."""
        self._prefix = b"" if id is None else prefix_of(id)

    def share(self, ports: SharedPorts, id: int) -> None:
        """Send from shared ports from now on, and take packets that come there with this id. Raises `Refused`."""
        if self._shared is None:
            self._sending, self._sending_control = ports.enter(id, self)
            self._shared = ports, id

    def set_mux(self, mux: bool) -> None:
        """Say whether RTCP takes the way of RTP (RFC 5761)."""
        self._mux = mux or self._rtcp is None

    def resolve(self, address: str | None, port: int) -> Source | None:
        """Return an address as this socket spells it; None for nobody's. Raises Refused as `set_remote` does."""
        if not address or not port:
            return None
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            raise Refused(Reason.BAD_DESCRIPTION, "the media address is not an IP address") from None
        if not 0 < port < 65536:
            raise Refused(Reason.BAD_DESCRIPTION, "the media port is out of range")
        if parsed.is_multicast or str(parsed) == "255.255.255.255":
            raise Refused(Reason.BAD_DESCRIPTION, "the media address is not one host's")
        if parsed.is_unspecified:
            return None
        if self._family == socket.AF_INET:
            if parsed.version != 4:
                raise Refused(Reason.UNREACHABLE, "media goes by IPv4 here")
            return (str(parsed), port)
        if parsed.version == 4:
            if self.address != "::":
                raise Refused(Reason.UNREACHABLE, "media goes by IPv6 here")
            return (f"::ffff:{parsed}", port, 0, 0)
        try:
            found = socket.getaddrinfo(address, port, socket.AF_INET6, socket.SOCK_DGRAM, 0, socket.AI_NUMERICHOST)
        except OSError:
            raise Refused(Reason.BAD_DESCRIPTION, "the media address has an unknown scope") from None
        return found[0][4]

    def set_keys(
        self, send: SrtpKey | None, receive: SrtpKey | None, required: bool = True, clear_rtcp: bool = False
    ) -> None:
        """Encrypt from now on; a direction whose key is missing is shut. required False goes back to clear media.

        clear_rtcp takes unencrypted RTCP from a peer that never encrypts it. Raises Refused on an unusable key.
        """
        if not required:
            self._srtp, self._encrypted = None, False
            return
        self._encrypted = True
        if not isinstance(self._srtp, SrtpSession):
            self._srtp = SrtpSession(send, receive, clear_rtcp)
        else:
            self._srtp.clear_rtcp = clear_rtcp
            self._srtp.rekey(send, receive)

    def set_payload_keys(self, keys: H235Keys) -> None:
        """Encrypt payloads as H.323 does from now on (H.235.6); RTCP stays clear. Raises Refused on an unusable key."""
        if isinstance(self._srtp, H235Session):
            self._srtp.rekey(keys)
        else:
            self._srtp = H235Session(keys)
        self._encrypted = True

    def set_control_keys(self, send: SrtpKey | None, receive: SrtpKey | None) -> None:
        """Give RTCP on its own port keys of its own, as DTLS does there (RFC 5764 §4.2); until then it is shut."""
        if self._control_srtp is None:
            self._control_srtp = SrtpSession(send, receive)
        else:
            self._control_srtp.rekey(send, receive)

    def share_keys(self) -> None:
        """Encrypt RTCP with the keys of RTP (again), whatever port it takes."""
        self._control_srtp = None

    @property
    def encrypted(self) -> str:
        """The suite in use, or nothing."""
        suite = None if self._srtp is None else self._srtp.suite
        return "" if suite is None else suite.value

    @property
    def ready(self) -> bool:
        """Whether packets go out: it is known where to, and the keys that are demanded are there."""
        return self._lock.target is not None and not (self._encrypted and self._srtp is None)

    # Sending

    def send_rtp(self, packet: bytes) -> None:
        """Send one RTP packet in clear; it is encrypted on the way if keys are there."""
        if self._encrypted:
            secured = None if self._srtp is None else self._srtp.protect_rtp(packet)
            if secured is None:
                self.unencrypted += 1
                return
            packet = secured
        lock = self._lock
        self._send(self._sending, packet, lock.locked or lock.expected)

    def send_rtcp(self, packet: bytes) -> None:
        """Send one compound RTCP packet."""
        together = self._mux or self._rtcp is None
        if self._encrypted:
            session = self._srtp if together else self._control_srtp or self._srtp
            secured = None if session is None else session.protect_rtcp(packet)
            if secured is None:
                self.unencrypted += 1
                return
            packet = secured
        if together or self._sending_control is None:
            self._send(self._sending, packet, self._lock.target)
        else:
            self._send(self._sending_control, packet, self._control_target())

    def send_keep_alive(self, packet: bytes, target: Source | None) -> None:
        """Send an empty RTP packet in clear, to the peer or to another address of its."""
        self._send(self._sending, packet, self._lock.target if target is None else target)

    def send_control_keep_alive(self, packet: bytes) -> None:
        """Send an empty report in clear by RTCP's own way, if it has one."""
        if not self._mux and self._sending_control is not None:
            self._send(self._sending_control, packet, self._control_target())

    def _control_target(self) -> Source | None:
        """Return where RTCP goes: where it comes from, where signalling says, or beside RTP that NAT has moved."""
        lock, media = self._control_lock, self._lock
        if lock.likely is None and lock.locked is None and media.locked is not None and media.locked != media.expected:
            host, port, *rest = media.locked
            return (host, min(port + 1, 65535), *rest)
        return lock.target

    def send_aside(self, data: bytes, control: bool, target: Source | None = None) -> None:
        """Send a datagram of ICE or DTLS from the RTP or RTCP port; target None: to where the packets of that go."""
        sender = self._sending_control if self._sending_control is not None and control else self._sending
        if target is None:
            target = self._control_target() if control else self._lock.target
        self._send(sender, data, target)

    def _send(self, sender: socket.socket, packet: bytes, target: Source | None) -> None:
        if target is None or self._closed:
            self.homeless += 1
            return
        try:
            sender.sendto(self._prefix + packet if self._prefix else packet, target)
            self.sent += 1
        except BlockingIOError:
            self.blocked += 1
        except OSError as error:
            if error.errno == errno.ENOBUFS:
                self.blocked += 1
            else:
                self.errors += 1

    # Receiving

    def _rtp_ready(self) -> None:
        try:
            self._drain(self._rtp, self._burst, False)
        except Exception:
            self._handler_failed()

    def _rtcp_ready(self) -> None:
        try:
            assert self._rtcp is not None
            self._drain(self._rtcp, RTCP_BURST, True)
        except Exception:
            self._handler_failed()

    def _handler_failed(self) -> None:
        """Count what a handler let escape; the first one is logged, a flood of them would be an attack on the log."""
        self.handler_errors += 1
        if self.handler_errors == 1:
            log.exception("packet_handler_failed", port=self.port)

    def _drain(self, receiver: socket.socket, burst: int, control: bool) -> None:
        now = time.monotonic()
        for _ in range(burst):
            if self._closed:
                return
            try:
                data, source = receiver.recvfrom(MAX_DATAGRAM + 1)
            except BlockingIOError:
                return
            except OSError:
                self.errors += 1
                continue
            lock = self._lock
            # The way of nearly all packets, straight: the same as `_take` and `_take_rtp` do.
            if source == lock.locked and not (control or self._encrypted) and _is_rtp(data):
                lock.heard = now
                self.received += 1
                self.on_rtp(data, now)
            else:
                self._take(data, source, control, now)

    def take(self, data: bytes, source: Source, control: bool, now: float) -> None:
        """Take a packet of shared ports; see `Rider`."""
        try:
            if not self._closed:
                self._take(data, source, control, now)
        except Exception:
            self._handler_failed()

    def _take(self, data: bytes, source: Source, control: bool, now: float) -> None:
        length = len(data)
        if length < 8 or length > MAX_DATAGRAM or not 128 <= data[0] <= 191:
            self._sort_out(data, source, control)
        elif control or 192 <= data[1] <= 223:
            self._take_rtcp(data, source, now, self._control_lock if control else self._lock)
        elif length == EMPTY_PACKET and self._lock.likely is not None:
            self._take_empty(data, source, now)
        else:
            self._take_rtp(data, source, now)

    def _take_empty(self, data: bytes, source: Source, now: float) -> None:
        """Learn from an empty packet where the peer is; it is never encrypted, and carries nothing for anybody."""
        self.kept_alive += 1
        lock = self._lock
        if not lock.closed(source, now):
            lock.offer(source, data[8:12], data, now)

    def _sort_out(self, data: bytes, source: Source, control: bool) -> None:
        """Hand on or count what is neither RTP nor RTCP, by its first octet (RFC 7983 §7)."""
        if len(data) > MAX_DATAGRAM:
            self.oversized += 1
        elif not data or len(data) < 8:
            self.malformed += 1
        elif data[0] < 4:
            if self.on_stun is None or not self.on_stun(data, source, control):
                self.stun += 1
        elif 20 <= data[0] <= 63:
            if self.on_dtls is None or not self.on_dtls(data, source, control):
                self.dtls += 1
        else:
            self.garbage += 1

    def _take_rtp(self, data: bytes, source: Source, now: float) -> None:
        lock = self._lock
        known = source == lock.locked
        if not known and lock.closed(source, now):
            self.foreign += 1
            return
        if self._encrypted:
            clear = None if self._srtp is None else self._srtp.unprotect_rtp(data)
            if clear is None:
                return
            data = clear
        if known:
            lock.heard = now
            self.received += 1
            self.on_rtp(data, now)
            return
        try:
            RtpPacket.parse(data)
        except ValueError:
            self.malformed += 1
            return
        for packet in lock.offer(source, data[8:12], data, now):
            self.received += 1
            self.on_rtp(packet, now)

    def _take_rtcp(self, data: bytes, source: Source, now: float, lock: SourceLock) -> None:
        if source != lock.locked and (lock.closed(source, now) or self._stranger(source, lock)):
            self.foreign += 1
            return
        if self._encrypted:
            own = self._control_srtp if lock is self._control_lock else None
            session = own or self._srtp
            clear = None if session is None else session.unprotect_rtcp(data)
            if clear is None:
                return
            data = clear
        try:
            rtcp.parse(data)
        except ValueError:
            self.malformed += 1
            return
        for packet in lock.offer(source, data[4:8], data, now):
            self.received += 1
            self.on_rtcp(packet, now)

    def _stranger(self, source: Source, lock: SourceLock) -> bool:
        """Tell whether RTCP on its own port comes from another host than the media that is known already."""
        media = self._lock.locked
        if lock.proved:
            return False
        return lock is self._control_lock and media is not None and source[0] != media[0] and source != lock.expected

    def silence(self) -> None:
        """Deliver nothing any more; what goes out still does, until `close`."""
        self.on_rtp = self.on_rtcp = _ignore

    def close(self) -> None:
        """Give the sockets back; nothing is delivered afterwards. Closing twice does nothing."""
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._rtp.fileno())
        if self._rtcp is not None:
            self._loop.remove_reader(self._rtcp.fileno())
        if self._shared is not None:
            ports, id = self._shared
            ports.leave(id)
        self._pool.release(self._ports)

    def counters(self) -> dict[str, int]:
        """Return the counters by name, those of SRTP included."""
        names = (
            "received",
            "sent",
            "foreign",
            "malformed",
            "oversized",
            "stun",
            "dtls",
            "garbage",
            "unencrypted",
            "homeless",
            "blocked",
            "errors",
            "handler_errors",
            "kept_alive",
        )
        counts = {name: getattr(self, name) for name in names}
        for session in (self._srtp, self._control_srtp):
            for name, count in session.counters().items() if session is not None else ():
                counts[name] = counts.get(name, 0) + count
        return counts
