"""What every route of the web server works with, in one place."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from gateway.metrics import Metrics
from gateway.records import RecordBook
from gateway.rooms.desk import FrontDesk
from gateway.rooms.model import RoomSettings
from gateway.web.board import Board
from gateway.web.keyring import Keyring
from sip.adapter_registrations import RegistrationInfo
from sip.trunk import TrunkInfo
from transcode.interface import Sample

Write = Callable[[bytes], int]
"""Queue one message; returns how many octets wait by now."""
Close = Callable[[int, bool], None]
"""Close with a code; True: without sending what waits."""


class SipLink(Protocol):
    """One connection as SIP sees it."""

    def received(self, data: bytes) -> None:
        """One whole message came."""

    def lost(self) -> None:
        """The WebSocket is closed; said once."""


class SipDoor(Protocol):
    """Takes in connections that speak SIP; None turns one away."""

    def __call__(
        self, secure: bool, local: tuple[str, int], remote: tuple[str, int], write: Write, close: Close
    ) -> SipLink | None:
        """secure: it is encrypted; local and remote are address and port of both ends."""


class SipLines(Protocol):
    """Tells who is registered, and how trunks are."""

    def registrations(self) -> tuple[RegistrationInfo, ...]:
        """Return all that is registered with us, by account."""

    def trunk_states(self) -> tuple[TrunkInfo, ...]:
        """Return how each trunk is."""


@dataclass(slots=True)
class Office:
    """The desk, and what the web server keeps beside it.

    sip takes in WebSockets that speak SIP, None: there is no SIP; sip_origins are pages elsewhere that may open one;
    lines tells of registrations and trunks, None: there are none. sounds are the directories of sounds, the first one
    first.
    book keeps rooms and records, None keeps nothing; made holds the ids of rooms that the API made; sockets counts
    WebSockets by address, streams event streams.
    refusals counts requests that were refused by reason, rubbish bad input by kind; stopping is set when the server
    shuts, and ends every stream. rooms_turn is held while a room is made, changed or forgotten, for the database takes
    its time: two who do that at once would undo what the other did.
    """

    desk: FrontDesk
    metrics: Metrics
    keyring: Keyring
    board: Board
    book: RecordBook | None = None
    sip: SipDoor | None = None
    sip_origins: frozenset[str] = frozenset()
    lines: SipLines | None = None
    sounds: tuple[Path, ...] = ()
    made: set[str] = field(default_factory=set)
    refusals: dict[str, int] = field(default_factory=dict)
    rubbish: dict[str, int] = field(default_factory=dict)
    sockets: dict[str, int] = field(default_factory=dict)
    streams: int = 0
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    rooms_turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        if self.book is not None:
            self.made = self.book.kept

    async def keep_room(self, settings: RoomSettings) -> None:
        """Keep a room of the API's, new or changed."""
        if self.book is not None:
            await self.book.keep_room(settings)
        self.made.add(settings.id)

    async def forget_room(self, id: str) -> None:
        """Keep a room no longer."""
        if self.book is not None:
            await self.book.forget_room(id)
        self.made.discard(id)

    def refused(self, reason: str) -> None:
        """Count a request that was refused."""
        self.refusals[reason] = self.refusals.get(reason, 0) + 1

    def bad_input(self, what: str) -> None:
        """Count input that makes no sense."""
        self.rubbish[what] = self.rubbish.get(what, 0) + 1

    async def samples(self) -> Iterable[Sample]:
        """Return the web server's counts for metrics."""
        found = [Sample("http_refused_total", (("reason", name),), count) for name, count in self.refusals.items()]
        for name, count in self.rubbish.items():
            found.append(Sample("bad_input_total", (("what", name), ("where", "web")), count))
        found.append(Sample("web_sockets", (), sum(self.sockets.values())))
        found.append(Sample("event_streams", (), self.streams))
        return found
