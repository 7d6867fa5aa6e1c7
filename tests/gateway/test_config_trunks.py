"""Trunks in the configuration: what is taken, what is refused with a reason, and what shows no password."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.config import ConfigError, load
from gateway.sip_parts import trunk_samples
from sip.events import Transport
from sip.rewriting import rewritten
from sip.trunk import IdentityHeader, TrunkInfo
from transcode.media import SrtpPolicy

CARRIER: dict[str, Any] = {
    "name": "carrier",
    "servers": ["sip.carrier.example", "[2001:db8::1]:5070"],
    "transport": "tls",
    "register": True,
    "user": "4930",
    "password": "very secret",
    "sources": ["198.51.100.0/28", "2001:db8::/32"],
    "srtp": "require",
    "identity": "remote-party",
    "rewrite_out": [{"match": r"0(\d+)", "replace": r"+49\1"}],
    "max_calls": 30,
    "calls_per_second": 0.5,
}


def config(tmp_path: Path, *trunks: dict[str, Any], **more: Any) -> Any:
    file = tmp_path / "roombridge.yaml"
    file.write_text(yaml.safe_dump({"trunks": list(trunks), **more}))
    return load(file)


def test_a_trunk_is_read_as_it_is_written(tmp_path: Path) -> None:
    (made,) = config(tmp_path, CARRIER).trunks
    trunk = made.trunk()
    assert (trunk.name, trunk.transport, trunk.register, trunk.srtp) == (
        "carrier",
        Transport.TLS,
        True,
        SrtpPolicy.REQUIRE,
    )
    assert trunk.identity is IdentityHeader.REMOTE_PARTY
    assert trunk.realm == "sip.carrier.example"
    assert trunk.allows("198.51.100.15")
    assert trunk.allows("2001:db8:1::1")
    assert not trunk.allows("198.51.100.16")
    assert rewritten("030", trunk.rewrite_out) == "+4930"


def test_a_bare_off_means_off(tmp_path: Path) -> None:
    file = tmp_path / "roombridge.yaml"
    file.write_text("trunks: [{name: a, servers: [b.example], srtp: off}]")
    assert load(file).trunks[0].srtp is SrtpPolicy.OFF


def test_no_password_is_shown(tmp_path: Path) -> None:
    made = config(tmp_path, CARRIER)
    assert "secret" not in repr(made)
    assert "secret" not in repr(made.trunks[0].trunk())
    with pytest.raises(ConfigError) as error:
        config(tmp_path, {**CARRIER, "max_calls": -1})
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"servers": []}, "servers"),
        ({"servers": ["a b"]}, "host[:port]"),
        ({"servers": ["a:99999"]}, "host[:port]"),
        ({"servers": ["a:x"]}, "servers"),
        ({"transport": "ws"}, "transport"),
        ({"password": None}, "user and password"),
        ({"user": None, "password": None}, "registers"),
        ({"user": "a>b"}, "user"),
        ({"sources": ["0.0.0.0/0"]}, "too wide"),
        ({"sources": ["198.51.100.1/28"]}, "sources"),
        ({"rewrite_in": [{"match": "(a+)+", "replace": ""}]}, "repeated"),
        ({"rewrite_in": [{"match": "(", "replace": ""}]}, "no sense"),
        ({"rewrite_in": [{"match": "a", "replace": r"\1"}]}, "no sense"),
        ({"options_interval": 1}, "options_interval"),
        ({"expires": 5}, "expires"),
        ({"regsiter": True}, "regsiter"),
        ({"certificates": ["sbc.carrier.example"]}, "sip.authorities"),
    ],
)
def test_a_fault_is_told_with_its_place(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as error:
        config(tmp_path, {**CARRIER, **change})
    assert said in str(error.value)
    assert "trunks" in str(error.value)


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ({"name": "carrier", "servers": ["b.example"]}, "same name"),
        ({"name": "b", "servers": ["b.example"], "sources": ["198.51.100.4/32"]}, "overlap"),
    ],
)
def test_two_trunks_can_be_told_apart(tmp_path: Path, second: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as error:
        config(tmp_path, CARRIER, second)
    assert said in str(error.value)


def test_the_states_of_trunks_are_metrics() -> None:
    up = TrunkInfo("a", "192.0.2.1:5060", "udp", "up", "", 5, "registered", True, 300, 2, 10)
    unknown = TrunkInfo("b", "192.0.2.2:5060", "udp", "unknown", "", 5, "", False, 0, 0, 0)
    found = {(one.name, dict(one.labels)["trunk"]): one.value for one in trunk_samples([up, unknown])}
    assert found == {
        ("trunk_up", "a"): 1,
        ("trunk_registered", "a"): 1,
        ("trunk_calls", "a"): 2,
        ("trunk_calls", "b"): 0,
    }
