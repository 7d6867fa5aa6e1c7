"""The terminal as somebody new sees it: a banner, one line for each thing that can go wrong, and a quick end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli import app

pytestmark = pytest.mark.timeout(400)

READY_TIME = 120.0
"""Seconds to start; a loaded machine may take a hundred times the usual one."""
END_TIME = 20.0
"""Seconds to end; the usual one is less than one, and whoever waits for what does not end waits for far longer."""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Loopback, any free ports, and the state in a directory of the test's own."""
    ports = {f"ROOMBRIDGE_SIP__{name}": "0" for name in ("UDP", "TCP", "TLS")}
    house = {
        "ROOMBRIDGE_LISTEN__ADDRESS": "127.0.0.1",
        "ROOMBRIDGE_WEB__PORT": "0",
        "ROOMBRIDGE_H323__SIGNALLING": "0",
    }
    return dict(os.environ) | ports | house | {"ROOMBRIDGE_STATE": str(tmp_path / "state"), "COLUMNS": "80"}


def begin(environment: dict[str, str], *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "gateway.cli", "serve", *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    try:
        out, err = process.communicate(timeout=READY_TIME)
    finally:
        process.kill()
    return process.returncode, out, err


def fails(environment: dict[str, str], *words: str) -> str:
    """Return the only line of a start that fails."""
    status, out, err = end(begin(environment | {"ROOMBRIDGE_MEDIA__PROCESS": "false"}, *words))
    assert (status, out) == (1, ""), err
    # What the log tells before the fault is one JSON object a line.
    said = [line for line in err.splitlines() if not line.startswith("{")]
    assert len(said) == 1, err
    return said[0]


@pytest.fixture
def taken() -> Iterator[int]:
    """A TCP port that somebody else listens on."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_what_to_dial_and_ends_when_asked(environment: dict[str, str], number: int) -> None:
    process = begin(environment)
    assert process.stdout is not None
    banner = []
    while "Ctrl-C" not in (line := process.stdout.readline()):
        assert line, end(process)
        banner.append(line)
    asked = time.monotonic()
    os.killpg(process.pid, number)  # as a terminal and a service manager do: to all of its processes
    status, _, err = end(process)
    assert time.monotonic() - asked < END_TIME
    assert status == 0, err
    assert "Traceback" not in err
    assert "media_process_died" not in err
    said = "".join(banner)
    for word in (
        "Roombridge is ready",
        "https://127.0.0.1:",
        "/r/100",
        "sip:100@127.0.0.1:",
        ";transport=tls",
        "API token",
    ):
        assert word in said


def test_a_port_that_is_taken_is_named_with_its_key(environment: dict[str, str], taken: int) -> None:
    said = fails(environment | {"ROOMBRIDGE_SIP__TLS": str(taken)})
    assert f"port {taken} (sip.tls) is used by another program" in said
    said = fails(environment | {"ROOMBRIDGE_H323__SIGNALLING": str(taken)})
    assert f"port {taken} (h323.signalling) is used by another program" in said
    said = fails(environment | {"ROOMBRIDGE_WEB__PORT": str(taken)})
    assert f"port {taken} (web.port) is used by another program" in said


def test_an_address_of_another_machine_is_named(environment: dict[str, str]) -> None:
    said = fails(environment | {"ROOMBRIDGE_LISTEN__ADDRESS": "192.0.2.7"})
    assert "no address 192.0.2.7 (listen.address)" in said


def test_a_state_directory_that_cannot_be_made_is_named(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = fails(environment, "--state", str(tmp_path / "file" / "state"))
    assert str(tmp_path / "file") in said
    assert "--state" in said


def test_a_certificate_that_cannot_be_used_is_named(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "empty.pem").touch()
    said = fails(environment | {"ROOMBRIDGE_WEB__CERTIFICATE": str(tmp_path / "empty.pem")})
    assert "web.certificate" in said
    assert "empty.pem holds no certificate" in said


def test_a_database_that_cannot_be_used_is_named(environment: dict[str, str], tmp_path: Path) -> None:
    said = fails(environment | {"ROOMBRIDGE_STORAGE__URL": f"sqlite:///{tmp_path}/none/x.db"})
    assert "database" in said
    assert "(storage.url)" in said


def test_a_damaged_token_is_named(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "token.sha256").write_text("")
    assert "token.sha256 is damaged" in fails(environment)


def test_each_fault_of_the_configuration_has_its_line(tmp_path: Path) -> None:
    file = tmp_path / "roombridge.yaml"
    file.write_text("sip: {udp: 70000}\nmedia: {srtp: always}\n")
    result = CliRunner().invoke(app, ["check-config", "--config", str(file)])
    assert result.exit_code == 2
    assert [line.split(":")[0].strip() for line in result.output.splitlines()] == [
        "The configuration cannot be used",
        "sip.udp",
        "media.srtp",
    ]


def test_a_good_configuration_is_called_good() -> None:
    result = CliRunner().invoke(app, ["check-config", "--config", "conf/roombridge.yaml"])
    assert result.exit_code == 0
    assert "Rooms: 100" in result.output
