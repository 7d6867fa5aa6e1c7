"""Registrations that outlive the process: one row for each contact of an account.

The loop is never held up by the database: what is to be kept goes into a queue, and one thread writes it in batches.
What was asked for in the last moments before a power cut may be lost; phones register again before long.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Protocol

import structlog
from sqlalchemy import Engine, delete, insert, make_url, select
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from gateway.store.reading import fit
from gateway.store.store import absolute_url, open_engine, telling_faults
from gateway.store.tables import REGISTRATIONS

log = structlog.get_logger()

MAX_WAITING = 50_000
"""Changes that may wait for the database: twice all registrations there can be; more are dropped and counted."""
MAX_BATCH = 1_000
"""Changes written in one transaction, so that a reader need not wait long."""
CLOSE_TIME = 5.0
"""Seconds that closing waits for the last batch."""


@dataclass(frozen=True, slots=True)
class Registration:
    """One contact of one account, as plain data.

    id tells contacts of an account apart. expires is in seconds since 1970. path holds the Route values to the
    contact, comma separated. flow is the token of the flow that it came on, empty where there is none to use.
    instance and reg_id are those of RFC 5626; empty and 0 where the phone gave none.
    """

    account: str
    id: str
    contact: str
    q: float
    expires: float
    call_id: str
    cseq: int
    path: str
    flow: str
    instance: str
    reg_id: int
    agent: str


class RegistrationStore(Protocol):
    """Where registrations are kept. None of its methods waits."""

    def load(self) -> list[Registration]:
        """Return all; called once, before the first request."""

    def put(self, registration: Registration) -> None:
        """Keep one, in place of that with the same account and id."""

    def remove(self, account: str, id: str) -> None:
        """Forget one; nothing happens where there is none."""

    def close(self) -> None:
        """Write what waits, and end."""


class MemoryRegistrations:
    """Keeps registrations as long as the process lives."""

    def __init__(self) -> None:
        """Start empty."""
        self.rows: dict[tuple[str, str], Registration] = {}

    def load(self) -> list[Registration]:
        """Return all."""
        return list(self.rows.values())

    def put(self, registration: Registration) -> None:
        """Keep one."""
        self.rows[registration.account, registration.id] = registration

    def remove(self, account: str, id: str) -> None:
        """Forget one."""
        self.rows.pop((account, id), None)

    def close(self) -> None:
        """Nothing waits."""


_COLUMNS = tuple(one.name for one in fields(Registration))
_Change = Callable[[Connection], object]


class DatabaseRegistrations:
    """Keeps registrations in a database."""

    def __init__(self, url: str, directory: Path = Path()) -> None:
        """Open a database as `Store` does, and make the table where there is none. Raises StoreError."""
        self._engine: Engine = open_engine(absolute_url(make_url(url), directory))
        with telling_faults():
            REGISTRATIONS.create(self._engine, checkfirst=True)
        self._changes: queue.Queue[_Change | None] = queue.Queue(MAX_WAITING)
        self.dropped = 0
        self._thread = threading.Thread(target=self._work, name="registrations", daemon=True)
        self._thread.start()

    def load(self) -> list[Registration]:
        """Return all. Raises StoreError."""
        with telling_faults(), self._engine.connect() as connection:
            rows = connection.execute(select(*(REGISTRATIONS.c[name] for name in _COLUMNS)))
            return [fit(Registration, row._mapping) for row in rows]

    def put(self, registration: Registration) -> None:
        """Keep one."""
        row = dict(zip(_COLUMNS, astuple(registration), strict=True))

        def change(connection: Connection) -> None:
            _remove(connection, registration.account, registration.id)
            connection.execute(insert(REGISTRATIONS).values(row))

        self._enqueue(change)

    def remove(self, account: str, id: str) -> None:
        """Forget one."""
        self._enqueue(lambda connection: _remove(connection, account, id))

    def close(self) -> None:
        """Write what waits, and end."""
        if self._thread.is_alive():
            with suppress(queue.Full):
                self._changes.put(None, timeout=CLOSE_TIME)
            self._thread.join(CLOSE_TIME)
        self._engine.dispose()

    def _enqueue(self, change: _Change) -> None:
        try:
            self._changes.put_nowait(change)
        except queue.Full:
            self.dropped += 1
            if self.dropped % MAX_BATCH == 1:
                log.error("registrations_not_kept", dropped=self.dropped)

    def _work(self) -> None:
        while True:
            batch = self._next_batch()
            changes = [change for change in batch if change is not None]
            try:
                with self._engine.begin() as connection:
                    for change in changes:
                        change(connection)
            except (SQLAlchemyError, ValueError, OverflowError) as error:
                self.dropped += len(changes)
                log.error("registrations_not_written", error=str(error), changes=len(changes))
            if len(changes) < len(batch):
                return

    def _next_batch(self) -> list[_Change | None]:
        """Wait for a change, and take what else waits; None stands for the end."""
        batch = [self._changes.get()]
        while batch[-1] is not None and len(batch) < MAX_BATCH:
            try:
                batch.append(self._changes.get_nowait())
            except queue.Empty:
                break
        return batch


def _remove(connection: Connection, account: str, id: str) -> None:
    connection.execute(delete(REGISTRATIONS).where(REGISTRATIONS.c.account == account, REGISTRATIONS.c.id == id))
