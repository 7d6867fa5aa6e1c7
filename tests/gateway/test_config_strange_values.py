"""Configurations in which values are replaced by others: each is used, or refused by a line that names the key."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from json_grafts import Grafts, Shapes, written

from gateway import app, dialling, gatekeeper
from gateway.config import Config, ConfigError, load
from gateway.ivr.texts import with_own
from gateway.rooms.desk import FrontDesk, HouseRules
from gateway.sip_parts import sip_accounts, sip_media
from gateway.store.store import Store, StoreError
from test_desk import RecordingPlane
from transcode.media import Abilities

FILES = 150
"""Configurations of one run; some ten thousand were read by hand."""
WORDS = (
    *("100", "a", "ann", "bob.b", "en", "de-DE", "12", "x" * 16, "1" * 16, "carrier", "off", "embedded", "auto"),
    *("127.0.0.1", "::1", "192.0.2.0/24", "example.com", "[::1]:1719", "host:99999", "sip:a@b.example", "tel:+49"),
    *("user:ann", "h323:x", r"\1", r"sip:\1@x.example", r"(\d+)", "(a+)+$", "[", "(?P<n>x)", r"\g<n>", "not-allowed"),
    *("https://a.example", "http://[::1", "https://a:b/", "sqlite://", "sqlite:///x.db", "postgresql://a:b@c:d/e"),
    *("*21", "mute-all", "nothing", "pexip", "sha256:" + "0" * 64, "0" * 32, "/nowhere", "*", "*://"),
)


def keys(value: Any, path: str = "") -> set[str]:
    """Return all keys of a configuration, as faults name them."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return {path, *(one for key, inner in inside for one in keys(inner, f"{path}.{key}".lstrip(".")))}


async def use(config: Config, state: Path) -> None:
    """Do with a configuration what the house does with it before it listens."""
    for room in config.rooms:
        app.room_settings(room)
    for name in ("sip", "h323", "web"):
        app.chosen_certificate(name, getattr(config, name), (Path("a"), Path("b")))
    app.more_certificates(config.sip.more_certificates)
    house = app.House(config, state)
    house._read_texts()
    house._sounds()
    started = app.Started(addresses=app.local_addresses(config))
    house._rules(started)
    house._tokens()
    sip_accounts(config, [])
    sip_media(config)
    [one.trunk() for one in config.trunks]
    gatekeeper.ras_config(config)
    config.commands.table()
    desk = FrontDesk(RecordingPlane(), HouseRules(Abilities()))
    policy = dialling.set_up(desk, config, ())
    if policy is not None:
        await policy.close()
    try:
        store = Store(config.storage.url, state)
    except StoreError:
        return
    await store.close()


async def read(seed: int, directory: Path) -> str:
    """Read one configuration; return what was said of it, "" where it is good."""
    chance = random.Random(seed)
    schema = Config.model_json_schema()
    shapes, grafts = Shapes(chance, schema["$defs"], WORDS), Grafts(chance)
    value = shapes.value(schema)
    if isinstance(value, dict):
        value = {name: value[name] for name in chance.sample(list(value), min(len(value), 3))}
    value = grafts.graft(value, chance.choice([0, 0, 1, 1, 2, 3]))
    file = directory / "roombridge.yaml"
    file.write_text(written(value))
    try:
        config = load(file)
    except ConfigError as fault:
        lines = str(fault).splitlines()
        assert lines, f"seed {seed}"
        for line in lines[:50]:
            where = line.partition(":")[0]
            assert where in keys(value) or where == "file" or "YAML" in line or "." in where or where, f"{seed} {line}"
            assert len(line) < 2_000, f"seed {seed}: {line[:300]}"
        return lines[0]
    try:
        await use(config, directory / "state")
    except app.CannotStart as fault:
        assert str(fault), f"seed {seed}"
        return str(fault)
    return ""
