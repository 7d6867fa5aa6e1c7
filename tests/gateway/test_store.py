"""The store: what is kept comes back, what is too much goes, and a database that is none is told of."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.store import store as store_module
from gateway.store.store import Store, StoreError
from gateway.store.tables import SCHEMA_VERSION, CallRecord, StoredAccount, StoredRoom

RECORD = CallRecord(
    call="c1",
    room="100",
    protocol="sip",
    direction="incoming",
    name="Ann",
    caller="sip:ann@example",
    source="127.0.0.1:5070",
    agent="Terminal/1",
    started=1000.5,
    ended=1060.25,
    reason="normal",
    secure=True,
    admitted=True,
)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = Store("sqlite:///calls.db", tmp_path)
    await opened.open()
    yield opened
    await opened.close()


async def test_rooms_come_back_as_they_were_kept(store: Store, tmp_path: Path) -> None:
    room = StoredRoom("200", "Board", "1+5", "1111", "2222", 12, True, True, "refuse", "end", 5, 600, 900, "names")
    await store.keep_room(StoredRoom("200", "old"))
    await store.keep_room(room)
    await store.keep_room(StoredRoom("300"))
    again = Store("sqlite:///calls.db", tmp_path)
    await again.open()
    assert await again.rooms() == [room, StoredRoom("300")]
    await again.forget_room("300")
    await again.forget_room("never was")
    await again.close()
    assert await store.rooms() == [room]
    assert "1111" not in repr(room)


async def test_a_database_of_the_first_version_gets_the_columns_that_are_new(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "calls.db") as connection:
        connection.execute("CREATE TABLE schema_version (version INTEGER NOT NULL)")
        connection.execute("INSERT INTO schema_version VALUES (1)")
        connection.execute(
            "CREATE TABLE rooms (id VARCHAR(64) PRIMARY KEY, name VARCHAR(64) NOT NULL, layout VARCHAR(16) NOT NULL,"
            " host_pin VARCHAR(16), guest_pin VARCHAR(16), max_participants INTEGER NOT NULL, locked BOOLEAN NOT NULL)"
        )
        connection.execute("INSERT INTO rooms VALUES ('200', 'Board', 'grid', NULL, '22', 12, 1)")
    connection.close()
    for _ in range(2):  # the second time there is nothing to add
        store = Store("sqlite:///calls.db", tmp_path)
        await store.open()
        assert await store.rooms() == [StoredRoom("200", "Board", "grid", None, "22", 12, True)]
        await store.close()


async def test_accounts_come_back_as_they_were_kept(store: Store) -> None:
    account = StoredAccount("ann", "Ann", md5="0" * 32, h323=False)
    await store.keep_account(StoredAccount("ann", "old"))
    await store.keep_account(account)
    await store.keep_account(StoredAccount("bob"))
    await store.forget_account("bob")
    await store.forget_account("nobody")
    assert await store.accounts() == [account]
    assert "000" not in repr(account)


async def test_records_come_back_latest_first_and_page_by_page(store: Store) -> None:
    await store.add_records([replace(RECORD, call=f"c{number}") for number in range(5)])
    first = await store.records(limit=2)
    assert [one.call for one in first] == ["c4", "c3"]
    assert first[0] == replace(RECORD, call="c4", number=first[0].number)
    then = await store.records(limit=10, before=first[-1].number)
    assert [one.call for one in then] == ["c2", "c1", "c0"]
    assert (await store.record("c3")) == first[1]
    assert await store.record("never was") is None


async def test_records_are_found_by_room_and_by_outcome(store: Store) -> None:
    refused = replace(RECORD, call="", room="200", admitted=False, reason="room-full")
    await store.add_records([RECORD, refused])
    assert [one.room for one in await store.records(room="200")] == ["200"]
    assert [one.reason for one in await store.records(admitted=False)] == ["room-full"]
    assert [one.reason for one in await store.records(admitted=True, room="100")] == ["normal"]


async def test_old_records_go_and_refused_calls_push_no_real_one_out(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "MAX_RECORDS", 3)
    monkeypatch.setattr(store_module, "MAX_REFUSED", 2)
    monkeypatch.setattr(store_module, "PRUNE_EVERY", 10)
    await store.add_records([replace(RECORD, call=f"c{number}") for number in range(5)])
    assert len(await store.records()) == 5
    await store.add_records([replace(RECORD, call="", admitted=False)] * 20)
    assert [one.call for one in await store.records(admitted=True)] == ["c4", "c3", "c2"]
    assert len(await store.records(admitted=False)) == 2


async def test_what_peers_say_of_themselves_is_cut_and_cleaned(store: Store) -> None:
    wild = replace(RECORD, name="x" * 5000, caller="'; DROP TABLE rooms; --", agent="\ud800\0", source="é" * 100)
    await store.add_records([wild])
    (kept,) = await store.records()
    assert (len(kept.name), kept.caller, kept.agent, len(kept.source)) == (256, wild.caller, "?", 64)
    assert await store.rooms() == []


async def test_the_database_is_its_owners_alone(store: Store, tmp_path: Path) -> None:
    assert (tmp_path / "calls.db").stat().st_mode & 0o077 == 0


async def test_a_database_of_a_newer_program_is_refused(store: Store, tmp_path: Path) -> None:
    await store.close()
    with sqlite3.connect(tmp_path / "calls.db") as connection:
        connection.execute(f"UPDATE schema_version SET version = {SCHEMA_VERSION + 1}")
    connection.close()
    newer = Store("sqlite:///calls.db", tmp_path)
    with pytest.raises(StoreError, match=f"version {SCHEMA_VERSION + 1}"):
        await newer.open()
    await newer.close()


async def test_a_file_that_is_no_database_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "calls.db").write_bytes(b"This is a letter and no database. " * 100)
    broken = Store("sqlite:///calls.db", tmp_path)
    with pytest.raises(StoreError, match="not a database"):
        await broken.open()
    await broken.close()


@pytest.mark.parametrize(
    "url", ["", "nonsense", "nosuchdatabase://x", "http://[::1", "sqlite://a:b@c:d/e", "sqlite:////nowhere/at/all/x.db"]
)
async def test_a_url_that_leads_nowhere_is_told_of(url: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        await Store(url, tmp_path).open()


async def test_a_store_in_memory_keeps_for_as_long_as_it_is_open() -> None:
    store = Store("sqlite://")
    await store.open()
    await store.keep_room(StoredRoom("200"))
    assert await store.rooms() == [StoredRoom("200")]
    await store.close()


def spoil(file: Path, *statements: str) -> None:
    """Do to a database what no program of ours does."""
    with sqlite3.connect(file) as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


async def test_a_damaged_row_is_read_as_far_as_it_can_be_and_hides_no_other(store: Store, tmp_path: Path) -> None:
    await store.keep_room(StoredRoom("200", "Board", guest_pin="1234"))
    await store.keep_room(StoredRoom("300", "Other"))
    await store.keep_account(StoredAccount("ann", "Ann"))
    await store.add_records([RECORD, RECORD])
    spoil(
        tmp_path / "calls.db",
        "UPDATE rooms SET max_participants = 'many', lone_timeout = 9e999, name = x'ff41', guest_pin = x'31ff'"
        " WHERE id = '200'",
        "UPDATE accounts SET display_name = x'ff'",
        "UPDATE call_records SET started = 'once', ended = 1e300, caller = CAST(x'ff' AS TEXT) WHERE number = 1",
    )
    with capture_logs() as logged:
        damaged, whole = await store.rooms()
        assert (damaged.max_participants, damaged.lone_timeout, damaged.name) == (50, 0, "\ufffdA")
        assert damaged.guest_pin == "1\ufffd"  # still there: nobody gets in without one
        assert whole == StoredRoom("300", "Other")
        assert [one.user for one in await store.accounts()] == ["ann"]
        second, first = await store.records()
    assert second == replace(RECORD, number=2)
    assert first == replace(RECORD, number=1, started=0.0, ended=0.0, caller="\ufffd")
    told = [(one["row"], one["columns"]) for one in logged if one["event"] == "row_mended"]
    assert told[0] == ("200", ["name", "guest_pin", "max_participants", "lone_timeout"])


@pytest.mark.parametrize("version", ["'x'", "x'00ff'", "1.5"])
async def test_a_version_that_is_no_number_is_told_of(tmp_path: Path, version: str) -> None:
    first = Store("sqlite:///calls.db", tmp_path)
    await first.open()
    await first.close()
    spoil(tmp_path / "calls.db", f"UPDATE schema_version SET version = {version}")
    again = Store("sqlite:///calls.db", tmp_path)
    with pytest.raises(StoreError, match="its version is no number"):
        await again.open()
    await again.close()


async def test_a_damaged_schema_is_told_of(tmp_path: Path) -> None:
    first = Store("sqlite:///calls.db", tmp_path)
    await first.open()
    await first.close()
    file = tmp_path / "calls.db"
    file.write_bytes(file.read_bytes().replace(b"CREATE TABLE rooms", b"CREATE TABLE \xff\xfe\x90ms"))
    again = Store("sqlite:///calls.db", tmp_path)
    with pytest.raises(StoreError, match="cannot be used"):
        await again.open()
    await again.close()
