"""The command's side of a test call: starts the process that calls, waits within bounds, and shows what it told."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import subprocess
import sys

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.probe.options import ProbeOptions, Report
from gateway.probe.verdict import KEY_WAYS, Status, judge
from transcode.echo import ECHO_DELAY

SPARE_TIME = 45.0
"""Seconds beyond the call's own that the process may take: to start, to say goodbye, and to wait for four keys."""
MISSING = "the package pjsua2-python is not installed. Install it with: pip install 'roombridge[probe]'"
COMMAND: tuple[str, ...] = (sys.executable, "-m", "gateway.probe.child")
_TAIL = 400


def place(options: ProbeOptions) -> tuple[Status, Report]:
    """Place a test call and judge it; always answers within the times of the options and SPARE_TIME."""
    if importlib.util.find_spec("pjsua2") is None:
        report = Report(options.target, options.transport, faults=[MISSING])
        return judge(options, report), report
    limit = 2 * options.timeout + max(options.duration, 8) + SPARE_TIME
    said = b""
    try:
        done = subprocess.run(
            COMMAND,
            input=json.dumps(dataclasses.asdict(options)).encode(),
            capture_output=True,
            timeout=limit,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # more threads would only wait for each other in the call
        )
        said, fault = done.stdout, _fault(done)
    except subprocess.TimeoutExpired as expired:
        said, fault = expired.stdout or b"", f"the calling process did not end within {limit:.0f} s"
    report = _last(said) or Report(options.target, options.transport)
    if fault and not report.complete:
        report.faults.append(fault)
    return judge(options, report), report


def _fault(done: subprocess.CompletedProcess[bytes]) -> str:
    if done.returncode == 0:
        return ""
    how = f"by signal {-done.returncode}" if done.returncode < 0 else f"with status {done.returncode}"
    told = done.stderr.decode(errors="replace").strip()[-_TAIL:]
    return f"the calling process ended {how}: {told}"


def _last(said: bytes) -> Report | None:
    """Return the last report that was printed whole."""
    for line in reversed(said.splitlines()):
        try:
            return Report(**json.loads(line))
        except (ValueError, TypeError):
            continue
    return None


def show(console: Console, status: Status, report: Report) -> None:
    """Print a report as a table, its verdict last."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column()
    for name, value in _rows(report):
        table.add_row(name, Text(value))
    console.print(table)
    if status is Status.FINE:
        console.print(Text("fine", "bold green"))
        return
    console.print(Text("bad" if status is Status.BAD else "could not be called", "bold red"))
    for fault in report.faults:
        console.print(Text(f"  {_plain(fault)}"), soft_wrap=True)


def _rows(report: Report) -> list[tuple[str, str]]:
    rows = [("target", f"{report.target} by {report.transport.upper()}")]
    if report.registered is not None:
        rows.append(("registration", "accepted" if report.registered else "refused"))
    if not report.called:
        return rows
    rows.append(("set-up time", _ms(report.setup)))
    rows.append(("codec", report.codec or "-"))
    rows.append(("encryption", report.encryption or "none"))
    rows.append(("packets", f"{report.packets_sent} sent, {report.packets_received} received"))
    rows.append(("loss", f"{_share(report.loss_out)} there, {_share(report.loss_in)} back"))
    rows.append(("jitter", _ms(report.jitter)))
    rows.append(("round trip", _ms(report.round_trip)))
    if report.tone_heard:
        delay = report.echo_delay or 0.0
        rows.append(("echo", f"{_ms(delay)}, of which the room waits {_ms(1000 * ECHO_DELAY)}"))
        rows.append(("tone", f"{report.tone_frequency:.0f} Hz, {report.tone_level} dB of {report.tone_sent} dB sent"))
    else:
        rows.append(("echo", "none"))
    for way, name in KEY_WAYS.items():
        rows.append((f"key by {name}", "understood" if report.keys.get(way) else "not confirmed"))
    return rows


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms" if value >= 10 else f"{value:.1f} ms"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _plain(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)
