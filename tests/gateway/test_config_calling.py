"""What keys mean and whom rooms call, as it stands in the configuration, the API and the database."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError
from web_house import ADMIN, web_house

from gateway.app import room_settings
from gateway.config import Config, ConfigError, load
from gateway.config_calling import (
    AutoDialConfig,
    CommandsConfig,
    keep_commands,
    keep_list,
    kept_commands,
    kept_list,
    written_commands,
)
from gateway.records import settings_of, stored_of
from gateway.rooms.key_commands import PRESETS, Action
from gateway.rooms.model import AutoDial, DialTime, RoomSettings
from transcode.media import RoomId

LIST = (
    AutoDial("user:bob", name="Bob"),
    AutoDial("tel:+4930123", "carrier", "Ann", DialTime.ALWAYS, keep_connected=True, retries=0, pause=12.5),
)


def test_without_a_word_all_rooms_have_the_pexip_keys() -> None:
    assert Config().commands.table() == PRESETS["pexip"]
    assert room_settings(Config().rooms[0]).commands is None


def test_a_room_may_have_a_preset_by_name_or_a_table_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(
        """
commands: {preset: webex, keys: {"*9": count, "##": nothing}, key_time: 2}
rooms:
  - {id: "1", commands: rmx}
  - {id: "2", commands: {preset: none, keys: {"1": mute, pin: host}}}
  - {id: "3"}
"""
    )
    config = load(file)
    assert config.commands.table().action("*9") is Action.COUNT
    assert config.commands.table().action("##") is None
    assert config.commands.key_time == 2
    first, second, third = (room_settings(room).commands for room in config.rooms)
    assert first == PRESETS["rmx"]
    assert second is not None
    assert second.pin_alone
    assert second.entries == (("1", Action.MUTE),)
    assert third is None


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("commands: polycom", "pexip"),
        ("commands: {keys: {'*3': record}}", "is no command; there are"),
        ("commands: {keys: {'*3x': mute}}", "keys"),
        ("commands: {key_time: 0}", "commands.key_time"),
        ("rooms: [{id: '1', auto_dial: [{target: bob}]}]", "an address begins with"),
        ("rooms: [{id: '1', auto_dial: [{target: 'sip:a@b', when: never}]}]", "first_joins"),
        ("rooms: [{id: '1', auto_dial: [{target: 'tel:+49', trunk: nowhere}]}]", "there is no trunk 'nowhere'"),
        ("rooms: [{id: '1', auto_dial: [{target: 'sip:a@b', retries: 99}]}]", "retries"),
    ],
)
def test_what_makes_no_sense_is_said(tmp_path: Path, line: str, said: str) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(line)
    with pytest.raises(ConfigError, match=said):
        load(file)


@pytest.mark.parametrize("table", [None, *PRESETS.values(), PRESETS["pexip"].changed({"*6": None, "11": Action.END})])
def test_a_table_is_kept_as_it_is(table: object) -> None:
    assert kept_commands(keep_commands(table)) == table  # type: ignore[arg-type]


def test_a_list_is_kept_as_it_is() -> None:
    assert kept_list(keep_list(LIST)) == LIST
    assert kept_list(keep_list(())) == ()
    assert AutoDialConfig.of(LIST[1]).entry() == LIST[1]


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"preset": "gone"}', '[{"target": "x"}]'])
def test_what_is_kept_and_cannot_be_read_is_the_usual(text: str) -> None:
    assert kept_commands(text) is None
    assert kept_list(text) == ()


def test_a_room_s_keys_and_list_outlive_the_house() -> None:
    room = RoomSettings(RoomId("7"), commands=PRESETS["rmx"], auto_dial=LIST)
    assert settings_of(stored_of(room)) == room


def test_a_table_as_it_is_written_is_one_that_may_be_given() -> None:
    written = written_commands(PRESETS["pexip"])
    assert written is not None
    assert CommandsConfig(preset="none", keys=written).table() == PRESETS["pexip"]
    with pytest.raises(ValidationError):
        CommandsConfig(keys={"*1": "dance"})


async def test_the_api_sets_keys_and_list_of_a_room_and_shows_them() -> None:
    async with web_house(listening=False) as house, house.client(ADMIN) as client:
        body = {"id": "7", "commands": "rmx", "auto_dial": [{"target": "user:bob", "keep_connected": True}]}
        answer = await client.post("/api/v1/rooms", json=body)
        assert answer.status_code == 201, answer.text
        assert answer.json()["commands"]["*78"] == "host"
        (entry,) = answer.json()["auto_dial"]
        assert (entry["target"], entry["when"], entry["keep_connected"]) == ("user:bob", "first_joins", True)
        settings = house.desk.room("7").settings
        assert settings.commands == PRESETS["rmx"]
        assert settings.auto_dial == (AutoDial("user:bob", keep_connected=True),)
        await client.patch("/api/v1/rooms/7", json={"name": "Seven"})
        assert house.desk.room("7").settings.commands == PRESETS["rmx"]
        await client.patch("/api/v1/rooms/7", json={"commands": None, "auto_dial": []})
        assert house.desk.room("7").settings.commands is None
        assert house.desk.room("7").settings.auto_dial == ()
        for bad in ({"commands": "polycom"}, {"commands": {"keys": {"*1": "dance"}}}, {"auto_dial": [{"target": "x"}]}):
            assert (await client.patch("/api/v1/rooms/7", json=bad)).status_code == 400, bad
