"""The tables, and the rows as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, MetaData, String, Table, false

SCHEMA_VERSION = 2
"""Counts up with each change of a table; a database of a newer one is refused and not guessed at.

To one of an older version the columns are added that it has not: each that is not null needs a server default.
"""

METADATA = MetaData()

VERSION = Table("schema_version", METADATA, Column("version", Integer, nullable=False))

ROOMS = Table(
    "rooms",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("layout", String(16), nullable=False),
    Column("host_pin", String(16)),
    Column("guest_pin", String(16)),
    Column("max_participants", Integer, nullable=False),
    Column("locked", Boolean, nullable=False),
    Column("lobby", Boolean, nullable=False, server_default=false()),
    Column("when_locked", String(16), nullable=False, server_default="knock"),
    Column("host_leaves", String(16), nullable=False, server_default="continue"),
    Column("host_leaves_after", Integer, nullable=False, server_default="60"),
    Column("lone_timeout", Integer, nullable=False, server_default="0"),
    Column("idle_timeout", Integer, nullable=False, server_default="0"),
    Column("entry", String(16), nullable=False, server_default="none"),
    Column("language", String(32), nullable=False, server_default=""),
    Column("commands", String),
    Column("auto_dial", String, nullable=False, server_default="[]"),
)

CALLS = Table(
    "call_records",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("call", String(32), nullable=False),
    Column("room", String(64), nullable=False),
    Column("protocol", String(16), nullable=False),
    Column("direction", String(16), nullable=False),
    Column("name", String(256), nullable=False),
    Column("caller", String(256), nullable=False),
    Column("source", String(64), nullable=False),
    Column("agent", String(256), nullable=False),
    Column("started", Float, nullable=False),
    Column("ended", Float, nullable=False),
    Column("reason", String(32), nullable=False),
    Column("secure", Boolean, nullable=False),
    Column("admitted", Boolean, nullable=False),
    Index("call_records_by_admission", "admitted", "number"),
    Index("call_records_by_room", "room", "number"),
)

ACCOUNTS = Table(
    "accounts",
    METADATA,
    Column("user", String(64), primary_key=True),
    Column("display_name", String(64), nullable=False),
    Column("md5", String(32)),
    Column("sha_256", String(64)),
    Column("sha_512_256", String(64)),
    Column("sip", Boolean, nullable=False),
    Column("h323", Boolean, nullable=False),
)

REGISTRATIONS = Table(
    "registrations",
    METADATA,
    Column("account", String(256), primary_key=True),
    Column("id", String(64), primary_key=True),
    Column("contact", String, nullable=False),
    Column("q", Float, nullable=False),
    Column("expires", Float, nullable=False),
    Column("call_id", String, nullable=False),
    Column("cseq", BigInteger, nullable=False),
    Column("path", String, nullable=False),
    Column("flow", String, nullable=False),
    Column("instance", String, nullable=False),
    Column("reg_id", BigInteger, nullable=False),
    Column("agent", String, nullable=False),
)


@dataclass(frozen=True, slots=True)
class StoredRoom:
    """A room that was made by the API; layout is a `Layout`'s value, and so are others of an enumeration.

    commands and auto_dial are JSON, as `gateway.config_calling` writes it.
    """

    id: str
    name: str = ""
    layout: str = "auto"
    host_pin: str | None = field(default=None, repr=False)
    guest_pin: str | None = field(default=None, repr=False)
    max_participants: int = 50
    locked: bool = False
    lobby: bool = False
    when_locked: str = "knock"
    host_leaves: str = "continue"
    host_leaves_after: int = 60
    lone_timeout: int = 0
    idle_timeout: int = 0
    entry: str = "none"
    language: str = ""
    commands: str | None = None
    auto_dial: str = "[]"


@dataclass(frozen=True, slots=True)
class StoredAccount:
    """An account that does not stand in the configuration; of its password only H(user:realm:password) as hex.

    sip and h323 say where it is good for.
    """

    user: str
    display_name: str = ""
    md5: str | None = field(default=None, repr=False)
    sha_256: str | None = field(default=None, repr=False)
    sha_512_256: str | None = field(default=None, repr=False)
    sip: bool = True
    h323: bool = True


@dataclass(frozen=True, slots=True)
class CallRecord:
    """A call that is over. started and ended are in seconds since 1970.

    admitted says that it was in the room; if not, reason says why it was refused, and call is empty. number is 0 until
    the record is kept; a higher one is a later record.
    """

    call: str
    room: str
    protocol: str
    direction: str
    name: str
    caller: str
    source: str
    agent: str
    started: float
    ended: float
    reason: str
    secure: bool
    admitted: bool
    number: int = 0
