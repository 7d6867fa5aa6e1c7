"""Configuration: defaults, file, environment, and what a fault reads like."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import ConfigError, load
from transcode.media import SrtpPolicy


def write(path: Path, text: str) -> Path:
    file = path / "roombridge.yaml"
    file.write_text(text)
    return file


def test_without_a_file_room_100_is_there() -> None:
    config = load(None)
    assert [room.id for room in config.rooms] == ["100", "echo"]
    assert (config.sip.udp, config.sip.tls, config.web.port) == (5060, 5061, 8443)
    assert config.media.ports == (40000, 49999)


def test_the_file_changes_what_it_names_and_leaves_the_rest(tmp_path: Path) -> None:
    config = load(
        write(tmp_path, "media: {srtp: require}\nsip: {udp: 5070, tls: null}\nrooms: [{id: '7', name: Seven}]\n")
    )
    assert config.media.srtp is SrtpPolicy.REQUIRE
    assert (config.sip.udp, config.sip.tcp, config.sip.tls) == (5070, 5060, None)
    assert config.rooms[0].name == "Seven"


def test_the_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROOMBRIDGE_SIP__UDP", "5090")
    config = load(write(tmp_path, "sip: {udp: 5070, tcp: 5071}\n"))
    assert (config.sip.udp, config.sip.tcp) == (5090, 5071)


def test_the_environment_can_turn_a_port_off_and_carry_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROOMBRIDGE_SIP__TLS", "null")
    monkeypatch.setenv("ROOMBRIDGE_MEDIA__PORTS", "[50000, 50999]")
    monkeypatch.setenv("ROOMBRIDGE_ROOMS", '[{"id": "7"}]')
    config = load(None)
    assert config.sip.tls is None
    assert config.media.ports == (50000, 50999)
    assert [room.id for room in config.rooms] == ["7"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sip: {udpp: 1}\n", "sip.udpp"),
        ("sip: {udp: 70000}\n", "sip.udp"),
        ("listen: {address: here}\n", "listen.address"),
        ("media: {ports: [5, 6]}\n", "media.ports"),
        ("h323: {h245_ports: [31000, 30999]}\n", "h323.h245_ports"),
        ("h323: {multiplex_port: 40000}\n", "media.ports"),
        ("h323: {multiplex_port: 39999}\n", "media.ports"),
        ("rooms: [{id: 'a b'}]\n", "rooms.0.id"),
        ("rooms: [{id: '1'}, {id: '1'}]\n", "same id"),
        ("rooms: {\n", "not YAML"),
        ("- 1\n", ""),
    ],
)
def test_a_fault_names_its_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as fault:
        load(write(tmp_path, text))
    assert said in str(fault.value)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no file"):
        load(tmp_path / "none.yaml")


def test_accounts_have_a_secret_and_show_none(tmp_path: Path) -> None:
    path = tmp_path / "house.yaml"
    path.write_text(
        "sip: {authenticate: off}\nmedia: {srtp: off}\n"
        "accounts:\n- {user: ann, password: hush}\n- {user: bob, ha1: {MD5: 0123456789abcdef0123456789abcdef}}\n"
    )
    config = load(path)
    assert config.sip.authenticate == "off"
    assert [account.user for account in config.accounts] == ["ann", "bob"]
    assert "hush" not in repr(config)
    assert "abcdef" not in repr(config)


@pytest.mark.parametrize(
    "account",
    [
        "{user: ann}",
        "{user: a b, password: x}",
        "{user: ann, ha1: {MD5: 12}}",
        "{user: ann, ha1: {SHA-1: 0123456789abcdef0123456789abcdef}}",
        "{user: ann, password: x}, {user: ann, password: y}",
    ],
)
def test_accounts_that_cannot_work_are_told_of(tmp_path: Path, account: str) -> None:
    path = tmp_path / "house.yaml"
    path.write_text(f"accounts: [{account}]\n")
    with pytest.raises(ConfigError, match=r"accounts|two accounts"):
        load(path)


def test_encryption_offers_and_client_certificates_of_sip_are_read(tmp_path: Path) -> None:
    file = tmp_path / "some.yaml"
    file.write_text(
        "sip: {srtp: {udp: off, tls: require}, offer: {dtls: true}, client_certificates: off, authorities: ca.pem}\n"
    )
    sip = load(file).sip
    assert (sip.srtp.udp, sip.srtp.tcp, sip.srtp.tls) == (SrtpPolicy.OFF, None, SrtpPolicy.REQUIRE)
    assert (sip.offer.dtls, sip.offer.ice) == (True, False)
    assert sip.client_certificates == "off"
    file.write_text("sip: {client_certificates: require}\n")
    with pytest.raises(ConfigError, match="authorities"):
        load(file)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- sip: {udp: 1}\n", "holds no keys"),
        ("sip\n", "holds no keys"),
        ("7: {}\n", "holds no keys"),
        ("2020-13-45: 1\n", "not YAML that can be read"),
        ("[" * 900 + "]" * 900, "not YAML that can be read"),
        ("sip: {udp: " + "9" * 5000 + "}\n", "not YAML that can be read"),
        (f"{'x' * 500}: 1\n", "Extra inputs are not permitted"),
        ("trunks: [{name: a, servers: ['a:b']}]\n", "trunks.0.servers: Value error, no host[:port]: 'a:b'"),
    ],
)
def test_a_file_that_is_none_of_ours_is_told_of_in_a_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as fault:
        load(write(tmp_path, text))
    assert said in str(fault.value)
    assert len(str(fault.value)) < 1_000


def test_an_environment_that_cannot_be_read_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROOMBRIDGE_ROOMS", "[{")
    with pytest.raises(ConfigError, match='"rooms"'):
        load(None)
