"""The database behind an asynchronous door: SQLAlchemy works in a thread, one statement after the other."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Engine, create_engine, delete, event, insert, inspect, make_url, select, text, update
from sqlalchemy.engine import URL, Connection
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import StaticPool
from sqlalchemy.schema import CreateColumn

from gateway.store.reading import fit
from gateway.store.tables import (
    ACCOUNTS,
    CALLS,
    METADATA,
    ROOMS,
    SCHEMA_VERSION,
    VERSION,
    CallRecord,
    StoredAccount,
    StoredRoom,
)

MAX_RECORDS = 100_000
"""Records kept of calls that were in a room: a year of 270 a day, about 30 MB."""
MAX_REFUSED = 10_000
"""Records kept of calls that were refused; apart from the others, so that a flood does not wash those away."""
PRUNE_EVERY = 500
"""Records between two clearings: so many more than the bounds may be there for a while."""
MAX_LENGTHS = {"room": 64, "name": 256, "caller": 256, "source": 64, "agent": 256}
"""Characters kept of what peers say of themselves, as wide as the columns."""
BUSY_TIME = 5.0
"""Seconds to wait for another program that has the database locked."""

T = TypeVar("T")


class StoreError(OSError):
    """The database cannot be used; the text says why, for people."""


class Store:
    """Rooms made by the API, and call records. Every method may raise StoreError."""

    def __init__(self, url: str, directory: Path = Path()) -> None:
        """url is SQLAlchemy's; a relative SQLite path is taken from the directory. Raises StoreError."""
        try:
            self._url = absolute_url(make_url(url), directory)
            self._engine = open_engine(self._url)
        except (ArgumentError, NoSuchModuleError, ImportError, ValueError, TypeError) as error:
            raise StoreError(f"the storage url cannot be used: {error}") from None
        self._turn = asyncio.Lock()
        self._since_pruning = 0

    async def open(self) -> None:
        """Make the tables if they are not there."""
        await self._run(self._prepare)

    async def close(self) -> None:
        """Let go of the database."""
        async with self._turn:
            await asyncio.to_thread(self._engine.dispose)

    async def rooms(self) -> list[StoredRoom]:
        """Return all rooms, by id."""
        rows = await self._run(lambda connection: connection.execute(select(ROOMS).order_by(ROOMS.c.id)).all())
        return [fit(StoredRoom, row._mapping) for row in rows]

    async def keep_room(self, room: StoredRoom) -> None:
        """Keep a room, new or changed."""

        def keep(connection: Connection) -> None:
            connection.execute(delete(ROOMS).where(ROOMS.c.id == room.id))
            connection.execute(insert(ROOMS).values(asdict(room)))

        await self._run(keep)

    async def forget_room(self, id: str) -> None:
        """Forget a room; nothing happens if it was not kept."""
        await self._run(lambda connection: connection.execute(delete(ROOMS).where(ROOMS.c.id == id)))

    async def accounts(self) -> list[StoredAccount]:
        """Return all accounts, by user."""
        rows = await self._run(lambda connection: connection.execute(select(ACCOUNTS).order_by(ACCOUNTS.c.user)).all())
        return [fit(StoredAccount, row._mapping) for row in rows]

    async def keep_account(self, account: StoredAccount) -> None:
        """Keep an account, new or changed."""

        def keep(connection: Connection) -> None:
            connection.execute(delete(ACCOUNTS).where(ACCOUNTS.c.user == account.user))
            connection.execute(insert(ACCOUNTS).values(asdict(account)))

        await self._run(keep)

    async def forget_account(self, user: str) -> None:
        """Forget an account; nothing happens if it was not kept."""
        await self._run(lambda connection: connection.execute(delete(ACCOUNTS).where(ACCOUNTS.c.user == user)))

    async def add_records(self, records: Sequence[CallRecord]) -> None:
        """Keep records, in their order; the oldest beyond the bounds are forgotten."""
        if not records:
            return
        rows = [_row(record) for record in records]
        self._since_pruning += len(rows)
        prune = self._since_pruning >= PRUNE_EVERY
        if prune:
            self._since_pruning = 0

        def add(connection: Connection) -> None:
            connection.execute(insert(CALLS), rows)
            if prune:
                _prune(connection)

        await self._run(add)

    async def records(
        self,
        limit: int = 100,
        before: int | None = None,
        room: str | None = None,
        admitted: bool | None = None,
    ) -> list[CallRecord]:
        """Return records, the latest first; before is the number of the last one that is known already."""
        query = select(CALLS).order_by(CALLS.c.number.desc()).limit(limit)
        if before is not None:
            query = query.where(CALLS.c.number < before)
        if room is not None:
            query = query.where(CALLS.c.room == room)
        if admitted is not None:
            query = query.where(CALLS.c.admitted == admitted)
        rows = await self._run(lambda connection: connection.execute(query).all())
        return [fit(CallRecord, row._mapping) for row in rows]

    async def record(self, call: str) -> CallRecord | None:
        """Return the record of one call."""
        query = select(CALLS).where(CALLS.c.call == call).order_by(CALLS.c.number.desc()).limit(1)
        row = await self._run(lambda connection: connection.execute(query).first())
        return None if row is None else fit(CallRecord, row._mapping)

    async def _run(self, work: Callable[[Connection], T]) -> T:
        """Do something in a transaction of its own, in a thread."""

        def inside() -> T:
            with self._engine.begin() as connection:
                return work(connection)

        async with self._turn:
            with telling_faults():
                return await asyncio.to_thread(inside)

    def _prepare(self, connection: Connection) -> None:
        METADATA.create_all(connection)
        found = connection.execute(select(VERSION.c.version)).scalar()
        if found is not None and not isinstance(found, int):
            raise StoreError("the database is damaged: its version is no number")
        if found is None:
            connection.execute(insert(VERSION).values(version=SCHEMA_VERSION))
        elif found < SCHEMA_VERSION:
            _add_columns(connection)
            connection.execute(update(VERSION).values(version=SCHEMA_VERSION))
        elif found > SCHEMA_VERSION:
            raise StoreError(f"the database is of version {found}, and this program knows {SCHEMA_VERSION} at most")
        _prune(connection)
        database = self._url.database
        if self._url.get_backend_name() == "sqlite" and database and database != ":memory:":
            with suppress(OSError):
                os.chmod(database, 0o600)  # it holds PINs


@contextmanager
def telling_faults() -> Iterator[None]:
    """Raise StoreError for whatever the database, or the way to it, raises."""
    try:
        yield
    except (SQLAlchemyError, ValueError, TypeError, OverflowError) as error:
        # Damaged files and odd values raise what Python's own types do. The text is told without the statement: that
        # may hold a PIN.
        raise StoreError(f"the database cannot be used: {getattr(error, 'orig', None) or error}") from None


def absolute_url(url: URL, directory: Path) -> URL:
    """Return a URL in which a relative SQLite path is taken from the directory."""
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        return url
    return url.set(database=str(directory / url.database))


def open_engine(url: URL) -> Engine:
    """Return an engine as every part of the house uses it; SQLite with its own bounds."""
    if url.get_backend_name() != "sqlite":
        return create_engine(url, pool_pre_ping=True)
    arguments: dict[str, Any] = {"check_same_thread": False, "timeout": BUSY_TIME}
    if not url.database or url.database == ":memory:":
        return create_engine(url, connect_args=arguments, poolclass=StaticPool)
    engine = create_engine(url, connect_args=arguments)

    @event.listens_for(engine, "connect")
    def _settle(connection: Any, record: Any) -> None:
        # What is no UTF-8 must not hide the rows around it.
        connection.text_factory = lambda octets: octets.decode("utf-8", "replace")
        # Readers of other programs do not hold us up, and a power cut loses the last second and not the database.
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL"):
            connection.execute(f"PRAGMA {pragma}")

    return engine


def _add_columns(connection: Connection) -> None:
    """Add to the tables of an older version the columns that they have not."""
    inspector = inspect(connection)
    for table in METADATA.sorted_tables:
        there = {column["name"] for column in inspector.get_columns(table.name)}
        for column in table.columns:
            if column.name not in there:
                described = CreateColumn(column).compile(dialect=connection.dialect)
                connection.execute(text(f"ALTER TABLE {table.name} ADD COLUMN {described}"))


def _row(record: CallRecord) -> dict[str, Any]:
    row = asdict(record)
    del row["number"]
    for field, longest in MAX_LENGTHS.items():
        # A lone surrogate has no place in UTF-8, and NUL none in PostgreSQL.
        text = row[field].replace("\0", "").encode("utf-8", "replace").decode()
        row[field] = text[:longest]
    return row


def _prune(connection: Connection) -> None:
    for admitted, most in ((True, MAX_RECORDS), (False, MAX_REFUSED)):
        kind = CALLS.c.admitted == admitted
        oldest = connection.execute(
            select(CALLS.c.number).where(kind).order_by(CALLS.c.number.desc()).offset(most).limit(1)
        ).scalar()
        if oldest is not None:
            connection.execute(delete(CALLS).where(kind, CALLS.c.number <= oldest))
