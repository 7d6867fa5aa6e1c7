"""Configurations in which values are replaced by others: each is used, or refused by a line that names the key."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path
from typing import Any

from json_grafts import Grafts, Shapes, written
from test_desk import RecordingPlane

from gateway import app, dialling, gatekeeper
from gateway.config import Config, ConfigError, load, printable
from gateway.rooms.desk import FrontDesk, HouseRules
from gateway.sip_parts import sip_accounts, sip_media
from gateway.store.store import Store, StoreError
from transcode.media import Abilities

FILES = 25
"""Configurations of one run; some ten thousand were read by hand."""
WORDS = (
    *("100", "a", "ann", "bob.b", "en", "de-DE", "12", "x" * 16, "1" * 16, "carrier", "off", "embedded", "auto"),
    *("127.0.0.1", "::1", "192.0.2.0/24", "example.com", "[::1]:1719", "host:99999", "sip:a@b.example", "tel:+49"),
    *("user:ann", "h323:x", r"\1", r"sip:\1@x.example", r"(\d+)", "(a+)+$", "[", "(?P<n>x)", r"\g<n>", "not-allowed"),
    *("https://a.example", "http://[::1", "https://a:b/", "sqlite://", "sqlite:///x.db", "postgresql://a:b@c:d/e"),
    *("*21", "mute-all", "nothing", "pexip", "sha256:" + "0" * 64, "0" * 32, "/nowhere", "*", "*://"),
)


def keys(value: Any) -> set[str]:
    """Return the places of all keys of a configuration, as faults name them."""
    found, ahead = {"file"}, [("", value)]
    while ahead:
        path, one = ahead.pop()
        found.add(printable(path[:200]))
        inside = one.items() if isinstance(one, dict) else enumerate(one) if isinstance(one, list) else ()
        ahead += [(f"{path}.{key}" if path else str(key), inner) for key, inner in inside]
    return found - {""}


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


@cache
def _schema() -> dict[str, Any]:
    return Config.model_json_schema()


async def read(seed: int, directory: Path) -> str:
    """Read one configuration; return what was said of it, "" where it is good."""
    chance = random.Random(seed)
    schema = _schema()
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
        said = str(fault)
        if "not YAML" not in said and "no keys with" not in said:
            known = keys(value)
            for line in said.split("\n")[:50]:
                where = line.partition(": ")[0]
                # Behind a key that is there may stand one that is missing, or one kind of several.
                named = where in known or any(where.startswith(f"{key}.") for key in known)
                assert named, f"seed {seed}: {line}"
                assert len(line) < 1_000, f"seed {seed}: {line[:300]}"
        return said.partition("\n")[0]
    try:
        await use(config, directory / "state")
    except app.CannotStart as fault:
        return str(fault)
    return ""


async def test_every_configuration_is_used_or_refused_with_the_key_that_is_wrong(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    (tmp_path / "state").mkdir()
    for one in range(seed, seed + FILES):
        await read(one, tmp_path)
