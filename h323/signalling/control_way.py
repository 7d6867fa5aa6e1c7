"""How a call's H.245 messages travel: tunnelled in call signalling, or on a connection of their own (H.323 §8.2).

A call begins undecided. Tunnelling is on where both sides set h245Tunnelling; the first message of the peer without it
turns it off for good (H.323 §8.2.1). Messages that have no way yet wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol

from h323.h245.events import Pdu
from h323.signalling.events import Address, Value

MAX_WAITING = 64
"""Messages that may wait for a way; a start has about ten."""
MAX_IN_ONE = 8
"""Tunnelled messages in one signalling message; more make it larger than some endpoints' buffers."""


class ControlCodec(Protocol):
    """Turns H.245 messages into octets and back."""

    def encode(self, pdu: Pdu) -> bytes:
        """Return the aligned PER encoding. Raises ValueError."""

    def decode(self, data: bytes) -> Pdu:
        """Return the message. Raises ValueError, and nothing else, for what cannot be read."""

    def encode_channel(self, channel: Value) -> bytes:
        """Return an OpenLogicalChannel as fast start holds it, bare (H.323 §8.1.7). Raises ValueError."""

    def decode_channel(self, data: bytes) -> Value:
        """Return a bare OpenLogicalChannel. Raises ValueError, and nothing else."""


class Separate(Enum):
    """Where the separate connection stands."""

    NONE = auto()
    LISTENING = auto()
    CONNECTING = auto()
    OPEN = auto()
    CLOSED = auto()


class ControlWay:
    """Keeps the choice and what waits. wanted says whether we tunnel where the peer does."""

    def __init__(self, codec: ControlCodec, wanted: bool) -> None:
        self.separate = Separate.NONE
        self.own_address: Address | None = None
        self._codec = codec
        self._wanted = wanted
        self._peer: bool | None = None
        self._waiting: deque[bytes] = deque()
        self._early: tuple[bytes, ...] = ()
        """What a SETUP carried before it was known whether the peer reads it."""
        self.lost = 0

    @property
    def offered(self) -> bool:
        """What our messages say in h245Tunnelling."""
        return self._wanted and self._peer is not False

    @property
    def tunnels(self) -> bool:
        """Whether both sides tunnel."""
        return self._wanted and self._peer is True

    @property
    def decided(self) -> bool:
        """Whether there is a way, or one is being made."""
        return self.tunnels or self.separate is not Separate.NONE

    @property
    def waiting(self) -> bool:
        """Whether messages wait to be sent."""
        return bool(self._waiting)

    def heard(self, tunnelling: bool | None) -> None:
        """Take what a message of the peer says in h245Tunnelling; None if it says nothing."""
        if tunnelling is not None and self._peer is not False:
            self._peer = tunnelling
            if not tunnelling:
                self.repeat()

    def queue(self, pdu: Pdu) -> None:
        """Encode a message and let it wait for its way."""
        if len(self._waiting) >= MAX_WAITING:
            self.lost += 1
            return
        self._waiting.append(self._codec.encode(pdu))

    def take_tunnelled(self, early: bool = False) -> tuple[bytes, ...]:
        """Return what the next signalling message carries; early lets a SETUP carry it before the peer agreed."""
        if not (self.tunnels or (early and self.offered)):
            return ()
        taken = tuple(self._waiting.popleft() for _ in range(min(len(self._waiting), MAX_IN_ONE)))
        if not self.tunnels:
            self._early = taken
        return taken

    def repeat(self) -> None:
        """Send once more what was sent early: the peer has not read it."""
        self._waiting.extendleft(reversed(self._early))
        self._early = ()

    def flush(self, send: Callable[[bytes], None]) -> None:
        """Send what waits on the separate connection, if it is open."""
        while self.separate is Separate.OPEN and self._waiting:
            send(self._waiting.popleft())

    def decode(self, data: bytes) -> Pdu:
        """Return a received message. Raises ValueError."""
        return self._codec.decode(data)
