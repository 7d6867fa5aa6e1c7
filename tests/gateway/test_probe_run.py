"""The probe's command: it always answers, whatever becomes of the process that calls."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from gateway.cli import app
from gateway.probe import run
from gateway.probe.options import ProbeOptions, Report
from gateway.probe.verdict import Status

TARGET = "sip:echo@192.0.2.1"


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """Give a function that puts a program of a few lines in the place of the process that calls."""

    def put(source: str) -> None:
        file = tmp_path / "child.py"
        file.write_text("import sys, os, json, time\noptions = json.load(sys.stdin)\n" + source)
        monkeypatch.setattr(run, "COMMAND", (sys.executable, str(file)))

    return put


def report(**values: object) -> str:
    told = Report(TARGET, "udp").plain() | values
    return f"print(json.dumps(json.loads({json.dumps(json.dumps(told))})), flush=True)\n"


def test_a_process_that_dies_before_the_call_is_told_of(child) -> None:  # type: ignore[no-untyped-def]
    child("sys.stderr.write('Assertion failed')\nsys.stderr.flush()\nos.abort()\n")
    status, told = run.place(ProbeOptions(TARGET))
    assert status is Status.NOT_CALLED
    assert "signal 6" in told.faults[0]
    assert "Assertion failed" in told.faults[0]


def test_what_was_known_before_it_died_is_kept(child) -> None:  # type: ignore[no-untyped-def]
    child(report(called=True, status=200, setup=12.0) + "os.abort()\n")
    status, told = run.place(ProbeOptions(TARGET))
    assert status is Status.BAD
    assert told.setup == 12.0
    assert "signal 6" in told.faults[0]


def test_a_process_that_dies_after_the_last_report_does_no_harm(child) -> None:  # type: ignore[no-untyped-def]
    keys = {"rfc4733": True, "info": True}
    child(report(called=True, complete=True, packets_received=9, tone_heard=True, keys=keys) + "os.abort()\n")
    assert run.place(ProbeOptions(TARGET))[0] is Status.FINE


def test_a_process_that_hangs_is_ended(child, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(run, "SPARE_TIME", -29.0)  # of 32.0
    child("time.sleep(60)\n")
    status, told = run.place(ProbeOptions(TARGET, duration=8, timeout=12))
    assert status is Status.NOT_CALLED
    assert "did not end within 3 s" in told.faults[0]


def test_the_password_reaches_it_on_its_input_alone(child) -> None:  # type: ignore[no-untyped-def]
    child("assert options['password'] == 'secret1'\nassert 'secret1' not in sys.argv\n" + report(status=404))
    status, told = run.place(ProbeOptions(TARGET, password="secret1"))
    assert (status, told.status) == (Status.NOT_CALLED, 404)


def test_without_pjsua2_the_command_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run.importlib.util, "find_spec", lambda name: None)
    done = CliRunner().invoke(app, ["probe", TARGET])
    assert done.exit_code == Status.NOT_CALLED
    assert "pip install 'roombridge[probe]'" in done.output.replace("\n", "")


@pytest.mark.parametrize("words", [["echo"], [TARGET, "--transport", "sctp"], [TARGET, "--duration", "1"]])
def test_what_cannot_be_called_is_told_at_once(words: list[str]) -> None:
    done = CliRunner().invoke(app, ["probe", *words])
    assert done.exit_code == Status.NOT_CALLED


def test_the_table_shows_what_is_wrong_and_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    told = Report(TARGET, "udp", called=True, setup=20.0, faults=["486 Busy\x1b[2J Here"])
    run.show(Console(force_terminal=False), Status.BAD, told)
    shown = capsys.readouterr().out
    assert "bad" in shown
    assert "\x1b" not in shown
    assert "20 ms" in shown
