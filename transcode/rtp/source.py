"""Symmetric RTP: which remote address is the peer, learned from what it sends.

Theory of operation. Signalling names an address; behind NAT the packets come from another. `SourceLock` starts with
the signalled address as the target. The first valid packet from it locks it. Packets from elsewhere are held until
NEEDED of them came from one address with one SSRC; then that address is locked, the held packets are let in and
everything is sent there. While a lock holds, everybody else is foreign, with two exceptions: the signalled address
may still win by NEEDED packets, and when the locked source was silent for SILENCE seconds anyone may. When signalling
moves the peer to another address, what the old one still sends is let in, but it is not believed again before SILENCE
seconds have passed: the peer expects its media at the new address.

A peer behind a translator that names no address to send to (H.460.19) is believed at the first packet from the host
that its signalling comes from: `likely`. Its keep-alive packets are too rare for a trial.

The owner decrypts and checks packets before `offer`, so that with SRTP only authentic ones count; `closed` tells it
cheaply when that work would be for nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Source = tuple[Any, ...]
"""A socket address as the socket gives it: (host, port) for IPv4, (host, port, flow, scope) for IPv6."""

NEEDED = 3
"""Valid packets before an address is believed: 60 ms of sound."""
SILENCE = 3.0
"""Seconds of silence after which a locked address may be replaced: longer than any pause in the middle of speech
with comfort noise, shorter than people's patience."""
MAX_CANDIDATES = 4
"""Addresses watched at once; a NAT that changes its mapping shows two."""
CANDIDATE_LIFE = 2.0
"""Seconds between two packets of one candidate."""


class _Candidate:
    __slots__ = ("held", "last", "ssrc")

    def __init__(self, ssrc: bytes) -> None:
        self.ssrc = ssrc
        self.last = 0.0
        self.held: list[bytes] = []


class SourceLock:
    """Where the peer is. `locked` is the learned address, `expected` the signalled one, `heard` the time in seconds
    of the last packet from the locked one (written by the owner on its fast path)."""

    __slots__ = ("_candidates", "_left", "_left_at", "_needed", "expected", "heard", "likely", "locked", "moves")

    proved = False
    """Whether addresses are proved by something better than what comes from them."""

    def __init__(self, needed: int = NEEDED) -> None:
        self.expected: Source | None = None
        self.locked: Source | None = None
        self.heard = float("-inf")
        self.likely: str | None = None
        self.moves = 0
        self._needed = needed
        self._left: Source | None = None
        self._left_at: float | None = None
        self._candidates: dict[Source, _Candidate] = {}

    @property
    def target(self) -> Source | None:
        """Where to send."""
        return self.locked if self.locked is not None else self.expected

    def expect(self, address: Source | None) -> None:
        """Take what signalling says; a new address begins the learning anew, the same one leaves the lock alone."""
        if address != self.expected:
            self._left, self._left_at = self.locked or self.expected, None
            self.expected = address
            self.locked = None
            self._candidates.clear()

    def knows(self, source: Source) -> bool:
        """Tell whether an address is the peer's, as learned or as signalled: only there may it shake hands from."""
        return source in (self.locked, self.expected)

    def learn(self, source: Source, now: float) -> None:
        """Take an address that was proved to be the peer's by other means than its packets."""
        self._lock(source, now)

    def closed(self, source: Source, now: float) -> bool:
        """Tell whether a packet from this address is foreign, without looking into it."""
        locked = self.locked
        if locked is None or source in (locked, self.expected):
            return False
        return now - self.heard <= SILENCE

    def offer(self, source: Source, ssrc: bytes, packet: bytes, now: float) -> list[bytes]:
        """Take a valid packet; returns the packets that may be let in now, in order, none while it is on trial."""
        if source == self.locked or (self.locked is None and source == self.expected):
            self._lock(source, now)
            return [packet]
        if source == self._left:
            if self._left_at is None:
                self._left_at = now
            if now - self._left_at < SILENCE:
                return [packet]
        candidate = self._candidates.get(source)
        if candidate is None or candidate.ssrc != ssrc or now - candidate.last > CANDIDATE_LIFE:
            self._candidates.pop(source, None)
            while len(self._candidates) >= MAX_CANDIDATES:
                del self._candidates[next(iter(self._candidates))]
            candidate = self._candidates[source] = _Candidate(ssrc)
        candidate.last = now
        candidate.held.append(packet)
        if len(candidate.held) < self._needed and source[0] != self.likely:
            return []
        self.moves += 1
        self._lock(source, now)
        return candidate.held

    def _lock(self, source: Source, now: float) -> None:
        self.locked = source
        self.heard = now
        self._candidates.clear()


class ProvedLock(SourceLock):
    """Where the peer is by ICE: checks prove its addresses, and one of them is chosen to send to.

    allowed tells whether checks have proved an address; nothing is learned from packets.
    """

    __slots__ = ("_allowed",)

    proved = True

    def __init__(self, allowed: Callable[[Source], bool]) -> None:
        super().__init__()
        self._allowed = allowed

    def choose(self, address: Source) -> None:
        """Send to this address from now on."""
        self.expected = self.locked = address

    def expect(self, address: Source | None) -> None:
        """What signalling says is of no matter."""

    def knows(self, source: Source) -> bool:
        """See `SourceLock.knows`."""
        return source == self.locked or self._allowed(source)

    def closed(self, source: Source, now: float) -> bool:
        """See `SourceLock.closed`."""
        return not self.knows(source)

    def offer(self, source: Source, ssrc: bytes, packet: bytes, now: float) -> list[bytes]:
        """Let in what comes from a proved address."""
        return [packet]
