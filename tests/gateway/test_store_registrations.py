"""Registrations in a database."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest

from gateway.store.registrations import DatabaseRegistrations, MemoryRegistrations, Registration
from gateway.store.store import StoreError


def row(account: str = "ann", id: str = "1", **changes: object) -> Registration:
    values: dict[str, object] = {
        "account": account,
        "id": id,
        "contact": "sip:ann@192.0.2.7;x=\u00e4",
        "q": 0.5,
        "expires": 1_800_000_000.25,
        "call_id": "c",
        "cseq": 2**31 - 1,
        "path": "",
        "flow": "udp 192.0.2.1 5060 192.0.2.7 5060",
        "instance": "",
        "reg_id": 0,
        "agent": "Desk",
    }
    return Registration(**(values | changes))  # type: ignore[arg-type]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/house.db"


def test_what_was_put_is_there_after_a_restart(url: str) -> None:
    store = DatabaseRegistrations(url)
    assert store.load() == []
    store.put(row())
    store.put(row(q=0.7))
    store.put(row(id="2"))
    store.put(row("bob"))
    store.remove("ann", "2")
    store.remove("eve", "9")
    store.close()
    store = DatabaseRegistrations(url)
    assert sorted(store.load(), key=lambda one: one.account) == [row(q=0.7), row("bob")]
    store.close()
    store.close()


def test_a_change_that_the_database_refuses_is_counted_and_the_next_one_is_kept(url: str) -> None:
    store = DatabaseRegistrations(url)
    store.put(row(contact="\udcff"))
    store.remove("nobody", "")
    while store._changes.qsize():
        time.sleep(0.001)
    store.put(row("bob"))
    store.close()
    assert store.dropped in (1, 2)
    store = DatabaseRegistrations(url)
    assert row("bob") in store.load()
    store.close()


def test_the_queue_is_bounded(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.store.registrations.MAX_WAITING", 1)
    store = DatabaseRegistrations(url)
    with store._engine.begin() as connection:
        connection.exec_driver_sql("BEGIN EXCLUSIVE")
        for number in range(50):
            store.put(row(id=str(number)))
    store.close()
    assert store.dropped >= 40


def test_a_relative_file_lies_in_the_directory(tmp_path: Path) -> None:
    store = DatabaseRegistrations("sqlite:///a.db", tmp_path)
    store.close()
    assert (tmp_path / "a.db").exists()


def test_memory_forgets_what_is_removed() -> None:
    store = MemoryRegistrations()
    store.put(row())
    assert store.load() == [row()]
    store.remove("ann", "1")
    store.remove("ann", "1")
    assert store.load() == []
    store.close()


def test_rows_and_tables_that_are_damaged_are_told_of_and_hide_nothing(tmp_path: Path, url: str) -> None:
    store = DatabaseRegistrations(url)
    store.put(row(id="1"))
    store.put(row(id="2"))
    store.close()
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        connection.execute("UPDATE registrations SET expires = 'later', cseq = x'00' WHERE id = '1'")
    connection.close()
    again = DatabaseRegistrations(url)
    assert {one.id: one.expires for one in again.load()} == {"1": 0.0, "2": row().expires}
    again.close()
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        connection.execute("ALTER TABLE registrations RENAME COLUMN cseq TO other")
    connection.close()
    last = DatabaseRegistrations(url)
    with pytest.raises(StoreError):
        last.load()
    last.close()
