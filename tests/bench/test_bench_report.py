"""The table that the benchmark prints and writes."""

from __future__ import annotations

import io
import math
from dataclasses import replace

from rich.console import Console

from gateway.bench.caller import SignallingFindings, SignallingJob
from gateway.bench.generator import Findings
from gateway.bench.run import BenchOptions, BenchResult, Measurement, machine, markdown, rows, show, tables
from gateway.bench.signalling import CallCost, RegistrationCost

FOUND = Findings(100, 0, 31.0, 39.0, 10, 10, 50.0, 86.0, 0.0, 0, 0, 0, math.nan)
SOUND = Measurement(
    "audio", FOUND, 0.30, {"audio decode": 0.05, "audio mix": 0.1}, 0, 0, 0.001, 0.01, 100 << 20, 150 << 20
)


def test_each_mark_is_said_to_be_reached_or_missed() -> None:
    table = {what: (value, mark, verdict) for what, value, mark, verdict in rows(SOUND)}
    assert table["Processor, all"] == ("30.0 % of a core", "35 %", "reached")
    assert table["Processor a leg"][0] == "0.30 %"
    assert table["Of it in codecs"][0] == "50 %"
    assert table["Added delay, median"] == ("31.0 ms", "40 ms", "reached")
    assert table["Loop lag 99 %, media"] == ("at most 10 ms", "5 ms", "missed")
    assert table["Memory a leg"][0] == "0.50 MiB"


def test_what_was_not_measured_is_said_so() -> None:
    blank = replace(SOUND, findings=replace(FOUND, delay_median=math.nan), lag_media=math.nan, cpu=0.0)
    table = {what: (value, verdict) for what, value, _, verdict in rows(blank)}
    assert table["Added delay, median"] == ("not measured", "not measured")
    assert table["Loop lag 99 %, media"] == ("not measured", "not measured")
    assert table["Of it in codecs"][0] == "not measured"


def test_the_page_names_the_machine_and_the_method() -> None:
    picture = replace(
        SOUND, kind="video", findings=replace(FOUND, legs=6, width=1280, height=720, pictures_in=30.0, lip_sync=20.0)
    )
    result = BenchResult(machine(), (SOUND, picture))
    page = markdown(result, BenchOptions())
    assert machine() in page
    assert "| Picture after sound | 20.0 ms | -125 to 45 ms | reached |" in page
    assert "{" not in page
    console = Console(width=140, record=True, file=io.StringIO())
    show(result, console)
    assert "1280x720, 30.0/s" in console.export_text()
    assert result.complete
    assert not BenchResult("m", (replace(SOUND, findings=replace(FOUND, refused=1)),)).complete


JOB = SignallingJob("127.0.0.1", 5060, "calls", 100, 60, 1.0, ("100", "101"))
ROUND = SignallingFindings(6000, 0, 2, 61.0, 4.0, 20.0)
CALLS = CallCost(JOB, (ROUND, ROUND), 12.0, 18.0, 0.003, 0.01, (200 << 20, 230 << 20, 231 << 20), 0)
USERS = RegistrationCost(SignallingFindings(10_000, 0, 0, 20.0, 5.0, 30.0), 16.0, 200 << 20, 300 << 20, 10_000)


def test_calls_and_registrations_are_told_for_one_core() -> None:
    result = BenchResult("m", (), CALLS, USERS)
    found = {what: row for _, lines in tables(result) for what, *row in lines}
    assert found["Calls a second at one core"] == ["200", "", ""]
    assert found["Processor a call, signalling"][0] == "2.00 ms"
    assert found["Loop lag 99 %, media"] == ["at most 10 ms", "5 ms", "missed"]
    assert found["Memory at first, after each round"][0] == "200.0 MiB, 230.0 MiB, 231.0 MiB"
    assert found["Registrations a second at one core"][0] == "625"
    assert found["Memory a registered user"][0] == "10.2 KiB"
    page = markdown(result, BenchOptions())
    assert "at 100 calls a\n  second for 60 s" in page
    assert "{" not in page
    assert result.complete


def test_a_call_that_failed_or_left_something_makes_the_figures_incomplete() -> None:
    lost = replace(CALLS, rounds=(replace(ROUND, done=5999, failed=1), ROUND))
    for broken in (lost, replace(CALLS, left=1)):
        assert not BenchResult("m", (), broken).complete
    assert not BenchResult("m", (), CALLS, replace(USERS, registered=9_999)).complete
