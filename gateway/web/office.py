"""What every route of the web server works with, in one place."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from gateway.calls import Call
from gateway.metrics import Metrics
from gateway.rooms.desk import FrontDesk
from gateway.web.auth import Keyring
from gateway.web.board import Board
from transcode.media import Sample

Dial = Callable[[str, str, str], Awaitable[Call]]
"""Place a call: target address, room id, name to show of the one who is called. Raises `Refused`."""


@dataclass(slots=True)
class Office:
    """The desk, and what the web server keeps beside it.

    refusals counts requests that were refused by reason, rubbish bad input by kind; stopping is set when the server
    shuts, and ends every stream.
    """

    desk: FrontDesk
    metrics: Metrics
    keyring: Keyring
    board: Board
    dial: Dial | None = None
    refusals: dict[str, int] = field(default_factory=dict)
    rubbish: dict[str, int] = field(default_factory=dict)
    sockets: dict[str, int] = field(default_factory=dict)
    streams: int = 0
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

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
