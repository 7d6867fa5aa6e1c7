"""DTLS-SRTP on a stream's own pair of UDP ports (RFC 5763, RFC 5764), with or without ICE below it.

Theory of operation. RTP's port has one association; RTCP's another one, unless it shares RTP's port (RFC 5764 §4.2).
Each shakes hands in the background and gives its keys to the SRTP session of its port; until then that is shut.
Datagrams reach it from the peer's address alone: the learned or signalled one, or one that ICE has proved. Behind NAT
the peer begins from another address than it names: such a handshake gets an association of its own, on trial and beside
the expected one. The one whose certificate is the described one wins, and its address is the peer's; what a stranger
begins comes to nothing and disturbs nobody.

A later description keeps the associations unless the peer shows another certificate or wants the other role: then new
ones begin beside the old keys, which hold until the new ones are there (RFC 8842 §3.1).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from transcode.ice.certificate import Certificate, process_certificate
from transcode.ice.dtls import RECORD_HEADER, DtlsSession
from transcode.media import Dtls, Setup, SrtpKey
from transcode.rtp.source import Source
from transcode.rtp.udp import UdpTransport

HANDSHAKE, CLIENT_HELLO = 22, 1
"""Content type of a record, and the first message in it (RFC 6347 §4.1, §4.2.2)."""
HANDSHAKE_TIME = 20.0
"""Seconds for the handshake: a flight that is lost is sent again after 1, 2, 4 and 8; the peer may have to read our
answer first."""


MAX_TRIALS = 4
"""Handshakes on trial at once; a NAT that changes its mapping shows two."""
MAX_TRIALS_EVER = 16
"""Handshakes on trial before one has won: what strangers can make us begin."""

_Place = tuple[bool, Source]
"""Whether by the RTCP port, and the address at the other end."""


class UdpDtls:
    """The associations of one `UdpTransport`. on_failed is called when RTP's handshake came to nothing."""

    def __init__(self, udp: UdpTransport, on_failed: Callable[[], None]) -> None:
        self.setup: Setup | None = None
        """Our role; None until the peer's side is known."""
        self._udp = udp
        self._on_failed = on_failed
        self._certificate = process_certificate()
        self._remote: Dtls | None = None
        self._mux = False
        self._running: dict[bool, _Association] = {}
        self._trials: dict[_Place, _Association] = {}
        self._tried = 0
        self._won: set[_Place] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self._overflow = 0
        udp.on_dtls = self._take

    def describe(self, setup: Setup) -> Dtls:
        """Return our side for a description that gives us this role."""
        return Dtls(setup, (self._certificate.fingerprint,))

    def settle(self, remote: Dtls, setup: Setup, mux: bool, ready: bool) -> None:
        """Take the peer's side and our role; ready tells that there is a way to it, otherwise `begin` follows."""
        if self._remote is None:
            self._udp.set_keys(None, None)  # shut until the keys are there
        elif self.setup is not setup or _differ(self._remote, remote):
            self._end_all()
            self._tried = 0
        self._remote, self.setup, self._mux = remote, setup, mux
        if mux:
            self._udp.share_keys()
            if (own := self._running.pop(True, None)) is not None:
                self._end(own)
        elif True not in self._running:
            self._udp.set_control_keys(None, None)
        for control in (False,) if mux else (False, True):
            if control not in self._running:
                self._running[control] = _Association(self._sender(control), self._certificate)
        if ready:
            self.begin()

    def begin(self) -> None:
        """Shake hands, as soon as there is a way to the peer; a second time does nothing."""
        if self._remote is None or self.setup is None:
            return
        for control, association in self._running.items():
            if not association.started:
                association.start(self._remote, self.setup, self._finisher(control, association))

    def _sender(self, control: bool, target: Source | None = None) -> Callable[[bytes], bool]:
        def send(data: bytes) -> bool:
            self._udp.send_aside(data, control, target)
            return True  # one that is lost is sent again

        return send

    def _finisher(self, control: bool, association: _Association) -> Callable[[], None]:
        return lambda: self._finished(control, association)

    def _finished(self, control: bool, association: _Association) -> None:
        if self._running.get(control) is not association:
            return
        keys = association.keys
        if keys is not None:
            for place in [place for place in self._trials if place[0] is control]:
                self._end(self._trials.pop(place))
        if keys is None:
            if not control:  # a peer that never encrypts RTCP is heard nevertheless
                self._on_failed()
        elif control:
            self._udp.set_control_keys(*keys)
        else:
            self._udp.set_keys(*keys)

    def _take(self, data: bytes, source: Source, control: bool) -> bool:
        association: _Association | None = self._running.get(control)
        if association is not None and not self._udp.knows(source, control) and (control, source) not in self._won:
            association = self._on_trial(data, source, control)
        if association is None:
            return False
        if not association.take(data):
            self._overflow += 1
        return True

    def _on_trial(self, data: bytes, source: Source, control: bool) -> _Association | None:
        """Return the association on trial with an address, a new one for a ClientHello; None for a stranger's."""
        place = (control, source)
        known = self._trials.get(place)
        main = self._running[control]
        if known is not None or self._udp.proved or self.setup is not Setup.PASSIVE or main.keys is not None:
            return known
        hello = len(data) > RECORD_HEADER and data[0] == HANDSHAKE and data[RECORD_HEADER] == CLIENT_HELLO
        if not hello or not main.started or self._tried >= MAX_TRIALS_EVER or self._remote is None:
            return None
        self._tried += 1
        while len(self._trials) >= MAX_TRIALS:
            self._end(self._trials.pop(next(iter(self._trials))))
        trial = self._trials[place] = _Association(self._sender(control, source), self._certificate)
        trial.start(self._remote, self.setup, lambda: self._tried_out(place, trial))
        return trial

    def _tried_out(self, place: _Place, trial: _Association) -> None:
        if self._trials.get(place) is not trial:
            return
        del self._trials[place]
        control, source = place
        if trial.keys is None or control not in self._running or self._running[control].keys is not None:
            self._end(trial)
            return
        self._end(self._running[control])
        self._running[control] = trial
        self._won.add(place)
        self._udp.learn(source, control)
        self._finished(control, trial)

    def counters(self) -> dict[str, int]:
        """Return what was dropped, by name."""
        return {"dtls_overflow": self._overflow}

    def close(self) -> None:
        """Say goodbye to the peer."""
        if self._udp.on_dtls == self._take:
            self._udp.on_dtls = None
        self._end_all()

    async def closed(self) -> None:
        """Return when goodbye is said."""
        if self._ending:
            await asyncio.wait(self._ending)

    def _end_all(self) -> None:
        for association in (*self._running.values(), *self._trials.values()):
            self._end(association)
        self._running = {}
        self._trials = {}
        self._won = set()

    def _end(self, association: _Association) -> None:
        task = asyncio.get_running_loop().create_task(association.stop())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


class _Association:
    """One handshake and what comes after it."""

    def __init__(self, send: Callable[[bytes], bool], certificate: Certificate) -> None:
        self._session = DtlsSession(False, certificate, send)
        self._task: asyncio.Task[None] | None = None
        self._agreed = False

    @property
    def started(self) -> bool:
        return self._task is not None

    def start(self, remote: Dtls, setup: Setup, done: Callable[[], None]) -> None:
        self._task = asyncio.get_running_loop().create_task(self._shake(remote, setup, done))

    async def _shake(self, remote: Dtls, setup: Setup, done: Callable[[], None]) -> None:
        try:
            async with asyncio.timeout(HANDSHAKE_TIME):
                self._agreed = await self._session.handshake(remote, setup)
        except TimeoutError:
            self._agreed = False
        done()

    @property
    def keys(self) -> tuple[SrtpKey, SrtpKey] | None:
        return self._session.keys if self._agreed else None

    def take(self, data: bytes) -> bool:
        return self._session.take(data)

    async def stop(self) -> None:
        if self._task is not None and not self._task.done() and self._task is not asyncio.current_task():
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._session.stop()


def _differ(one: Dtls, other: Dtls) -> bool:
    """Tell whether two descriptions show different certificates (RFC 8842 §5)."""
    return set(one.fingerprints).isdisjoint(other.fingerprints)
