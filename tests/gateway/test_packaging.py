"""What a newcomer copies and reads: the example configuration and the pages must say what the code does."""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.config import Api, Config, RoomConfig, Token, load
from gateway.metrics import HELP
from gateway.reasons import Reason

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "conf" / "roombridge.yaml"
OPERATION = (ROOT / "docs" / "operation.md").read_text()


def keys(tree: dict[str, Any], above: str = "") -> Iterator[str]:
    """Yield all keys of a configuration as a.b; a room's as rooms.id."""
    for name, value in tree.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            value = value[0]
        if isinstance(value, dict):
            yield from keys(value, f"{above}{name}.")
        else:
            yield above + name


ALL_KEYS = sorted(keys(Config().model_dump(mode="json")))


def test_the_example_configuration_is_the_defaults() -> None:
    assert load(EXAMPLE).model_dump() == Config().model_dump()


def test_the_example_configuration_has_every_key() -> None:
    assert sorted(keys(yaml.safe_load(EXAMPLE.read_text()))) == ALL_KEYS


def test_the_token_that_the_example_shows_has_the_keys_of_a_token() -> None:
    shown = re.search(r"#\s+- (\{token:.*?\})", EXAMPLE.read_text())
    assert shown is not None
    token = yaml.safe_load(shown.group(1))
    assert set(token) == set(Token.model_fields)
    assert token["token"].startswith("sha256:")
    assert Api(tokens=(Token(token="sha256:" + "0" * 64, scopes=token["scopes"]),)).tokens


@pytest.mark.parametrize("key", ALL_KEYS)
def test_the_operation_page_tells_of_each_key(key: str) -> None:
    assert f"`{key}`" in OPERATION


def test_the_operation_page_has_every_room_key() -> None:
    assert {f"rooms.{name}" for name in RoomConfig.model_fields} <= set(ALL_KEYS)


@pytest.mark.parametrize("reason", list(Reason))
def test_the_operation_page_tells_what_each_reason_means(reason: Reason) -> None:
    meaning = reason.meaning
    row = f"| `{reason.value}` | {meaning.result.value} | {meaning.sip} | {meaning.q850} | {meaning.text} |"
    assert row in OPERATION


@pytest.mark.parametrize("name", sorted(HELP))
def test_the_operation_page_tells_of_each_metric(name: str) -> None:
    assert f"| `roombridge_{name}`" in OPERATION


def test_every_folder_with_modules_is_a_package_that_is_installed() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    tops = [name.strip("* ") for name in config["options.packages.find"]["include"].split()]
    for top in tops:
        for module in (ROOT / top).rglob("*.py"):
            assert (module.parent / "__init__.py").is_file(), module


def test_prompts_and_texts_are_installed() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    patterns = config["options.package_data"]["gateway.ivr"].split(", ")
    place = ROOT / "gateway" / "ivr"
    installed = {path for pattern in patterns for path in place.glob(pattern)}
    wanted = {path for path in place.rglob("*") if path.is_file() and path.suffix in (".ogg", ".yaml")}
    assert len(wanted) > 200
    assert installed == wanted


def test_every_dependency_is_pinned() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    wanted = config["options"]["install_requires"] + config["options.extras_require"]["dev"]
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text().split()}
    for line in wanted.split():
        name = re.split(r"[\[<>=]", line)[0].lower().replace("_", "-")
        assert name in pinned, name


def test_the_unit_starts_the_gateway_as_a_user_without_rights() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(ROOT / "conf" / "roombridge.service")
    service = unit["Service"]
    assert service["ExecStart"].endswith("roombridge serve --config %d/roombridge.yaml")
    assert service["Environment"] == "ROOMBRIDGE_STATE=/var/lib/roombridge"
    assert service["DynamicUser"] == service["NoNewPrivileges"] == "yes"
