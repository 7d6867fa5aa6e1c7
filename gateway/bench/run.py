"""Capacity: starts a gateway, loads it from another process, and tells what a call costs.

Four measurements are made, each with a gateway of its own: many G.711 calls with few talking, and a few calls with
sound and 720p30 picture that all see the same composed picture; calls that are set up and torn down at a pace, and
users that register (both in `gateway.bench.signalling`). Processor time and memory are those of the gateway's
processes alone; of standing calls between two moments while nobody joins or leaves.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from gateway.bench import h323, signalling
from gateway.bench.caller import MAX_ASKING, MAX_RATE, MAX_USERS
from gateway.bench.generator import MAX_LEGS, MAX_SECONDS, WARM_SECONDS, Findings, Job
from gateway.bench.process import GatewayProcess, Metrics, Usage
from gateway.bench.signalling import CallCost, RegistrationCost

UP_SECONDS = 60.0
"""Time for the generator to code its clips and bring all calls in."""
AFTER_SECONDS = 60.0
"""Time for it to hang up and to search for its marks."""
SETTLE_SECONDS = 1.0
CALL_HOLD = 1.0
"""Seconds that a call of the signalling measurement stays in the room."""
MARK_AUDIO_CPU = 0.35
MARK_VIDEO_CPU = 0.9
MARK_AUDIO_DELAY = 40.0
MARK_VIDEO_DELAY = 50.0
MARK_LAG = 0.005
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """How much to load, for how many seconds each, and where to write the table."""

    audio_legs: int = 100
    talking: int = 3
    video_legs: int = 6
    seconds: int = 20
    write: Path | None = None
    call_rate: int = 100
    call_seconds: int = 60
    users: int = 10_000
    h323_rate: int = 10
    h323_seconds: int = 20


@dataclass(frozen=True, slots=True)
class Measurement:
    """One measurement: shares are of one core, memory in octets, lags in seconds (a bucket's upper end)."""

    kind: str
    findings: Findings
    cpu: float
    codec: dict[str, float]
    encoders: float
    pictures: float
    lag_signalling: float
    lag_media: float
    memory_idle: int
    memory_loaded: int

    @property
    def codec_share(self) -> float:
        """The share of the processor time that was spent in codecs, mixing and composing."""
        return sum(self.codec.values()) / self.cpu if self.cpu else math.nan


@dataclass(frozen=True, slots=True)
class BenchResult:
    """All measurements, and the machine they were made on."""

    machine: str
    measurements: tuple[Measurement, ...]
    calls: CallCost | None = None
    registrations: RegistrationCost | None = None
    h323: h323.H323Cost | None = None

    @property
    def complete(self) -> bool:
        """Whether every call and registration came in, nothing was left, and every delay was measured."""
        others = [one.complete for one in (self.calls, self.registrations, self.h323) if one is not None]
        return all(others) and all(not one.findings.refused and one.findings.marks_found for one in self.measurements)


def machine() -> str:
    """Return the processor's model and the number of cores."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB"


async def bench(options: BenchOptions) -> BenchResult:
    """Measure. Raises RuntimeError if the gateway or the generator fails."""
    seconds = max(1, min(options.seconds, MAX_SECONDS))
    found = []
    for kind, legs in (("audio", options.audio_legs), ("video", options.video_legs)):
        if legs > 0:
            found.append(await _measure(kind, min(legs, MAX_LEGS), options.talking, seconds))
    calls = registrations = h323_calls = None
    if options.call_rate > 0:
        pace = min(options.call_rate, MAX_RATE), max(1, min(options.call_seconds, MAX_SECONDS))
        calls = await signalling.measure_calls(*pace, CALL_HOLD)
    if options.users > 0:
        registrations = await signalling.measure_registrations(min(options.users, MAX_USERS))
    if options.h323_rate > 0:
        pace = min(options.h323_rate, MAX_RATE), max(1, min(options.h323_seconds, MAX_SECONDS))
        h323_calls = await h323.measure(*pace, CALL_HOLD)
    return BenchResult(machine(), tuple(found), calls, registrations, h323_calls)


async def _measure(kind: str, legs: int, talking: int, seconds: int) -> Measurement:
    with tempfile.TemporaryDirectory(prefix="roombridge-bench-") as place:
        gateway = GatewayProcess(Path(place))
        await gateway.start()
        try:
            await asyncio.sleep(SETTLE_SECONDS)
            idle = gateway.usage()
            job = Job(gateway.host, gateway.udp, "100", kind, legs, talking, seconds)
            async with _generator(job) as words:
                await _word(words, "up", UP_SECONDS)
                await _word(words, "begin", WARM_SECONDS + 10)
                loop = asyncio.get_running_loop()
                before, began = gateway.usage(), loop.time()
                metrics = await gateway.metrics()
                await _word(words, "end", seconds + 10)
                after, took = gateway.usage(), loop.time() - began
                later = await gateway.metrics()
                told = json.loads(await _word(words, None, AFTER_SECONDS))
        except (TimeoutError, ValueError, OSError) as error:
            raise RuntimeError(f"the {kind} measurement failed: {error}\n{gateway.output[-2000:]}") from error
        finally:
            await gateway.stop()
    told.pop("took")
    return _evaluate(kind, Findings(**told), idle, before, after, metrics, later, took)


def _evaluate(
    kind: str,
    findings: Findings,
    idle: Usage,
    before: Usage,
    after: Usage,
    metrics: Metrics,
    later: Metrics,
    took: float,
) -> Measurement:
    name = "roombridge_codec_seconds_total"
    codec = {}
    for sort in ("audio", "video"):
        for step in ("decode", "encode", "compose", "mix"):
            spent = later.total(name, kind=sort, step=step) - metrics.total(name, kind=sort, step=step)
            if spent > 0:
                codec[f"{sort} {step}"] = spent / took
    lag = "roombridge_loop_lag_seconds"
    return Measurement(
        kind=kind,
        findings=findings,
        cpu=(after.seconds - before.seconds) / took,
        codec=codec,
        encoders=later.total("roombridge_encoders_running"),
        pictures=later.total("roombridge_pictures_shown"),
        lag_signalling=later.quantile(lag, 0.99, metrics, plane="signalling"),
        lag_media=later.quantile(lag, 0.99, metrics, plane="media"),
        memory_idle=idle.memory,
        memory_loaded=after.memory,
    )


@asynccontextmanager
async def _generator(job: Job) -> AsyncIterator[asyncio.StreamReader]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway.bench.generator",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(asdict(job)).encode() + b"\n")
        await process.stdin.drain()
        yield process.stdout
        await asyncio.wait_for(process.wait(), 10)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _word(words: asyncio.StreamReader, expected: str | None, seconds: float) -> str:
    line = (await asyncio.wait_for(words.readline(), seconds)).decode().strip()
    if not line or (expected is not None and line != expected):
        raise ValueError(f"the generator said {line!r} and not {expected!r}")
    return line


def _number(value: float, digits: int = 1, unit: str = "") -> str:
    return "not measured" if math.isnan(value) else f"{value:.{digits}f}{unit}"


def _against(value: float, mark: float, unit: str, factor: float = 1.0) -> tuple[str, str]:
    verdict = "not measured" if math.isnan(value) else "reached" if value <= mark else "missed"
    return f"{mark * factor:g} {unit}", verdict


def _lip_sync(value: float) -> tuple[str, str, str]:
    """Judge by how much the picture comes later than the sound; sound may come later than it as well."""
    early, late = -125.0, 45.0
    verdict = "not measured" if math.isnan(value) else "reached" if early <= value <= late else "missed"
    return _number(value, 1, " ms"), f"{early:g} to {late:g} ms", verdict


def rows(one: Measurement) -> list[tuple[str, str, str, str]]:
    """Return a measurement as rows of what, value, mark, and whether it is reached."""
    found = one.findings
    legs = max(found.legs, 1)
    cpu_mark, delay_mark = {
        "audio": (MARK_AUDIO_CPU, MARK_AUDIO_DELAY),
        "video": (MARK_VIDEO_CPU, MARK_VIDEO_DELAY),
    }[one.kind]
    table = [
        ("Calls", f"{found.legs} in, {found.refused} refused", "", ""),
        ("Processor, all", _number(one.cpu * 100, 1, " % of a core"), *_against(one.cpu, cpu_mark, "%", 100)),
        ("Processor a leg", _number(one.cpu * 100 / legs, 2, " %"), "", ""),
        ("Of it in codecs", _number(one.codec_share * 100, 0, " %"), "", ""),
    ]
    table += [(f"  {name}", _number(share * 100, 1, " % of a core"), "", "") for name, share in one.codec.items()]
    if one.kind == "video":
        table.append(("Encoders running / pictures shown", f"{one.encoders:.0f} / {one.pictures:.0f}", "", ""))
        size = f"{found.width}x{found.height}, {found.pictures_in:.1f}/s, {found.kbit_in:.0f} kbit/s"
        table.append(("Received by each leg", size, "", ""))
        table.append(("Picture after sound", *_lip_sync(found.lip_sync)))
    else:
        table.append(("Received by each leg", f"{found.packets_in:.1f} packets/s", "", ""))
    table += [
        ("Added delay, median", _number(found.delay_median, 1, " ms"), *_against(found.delay_median, delay_mark, "ms")),
        ("Added delay, 95 %", _number(found.delay_p95, 1, " ms"), "", ""),
        ("Marks found / sent", f"{found.marks_found} / {found.marks_sent}", "", ""),
    ]
    for name, lag in (("signalling", one.lag_signalling), ("media", one.lag_media)):
        value = "not measured" if math.isnan(lag) else f"at most {lag * 1000:g} ms"
        table.append((f"Loop lag 99 %, {name}", value, *_against(lag, MARK_LAG, "ms", 1000)))
    memory = (one.memory_loaded - one.memory_idle) / legs / _MIB
    table += [
        ("Memory, idle and loaded", f"{one.memory_idle / _MIB:.0f} MiB, {one.memory_loaded / _MIB:.0f} MiB", "", ""),
        ("Memory a leg", _number(memory, 2, " MiB"), "", ""),
        ("Generator's late ticks", str(found.late_ticks), "", ""),
    ]
    return table


_TITLES = {"audio": "Sound: G.711 legs", "video": "Sound and picture: H.264 720p30 legs that share one picture"}

Rows = list[tuple[str, str, str, str]]


def tables(result: BenchResult) -> list[tuple[str, Rows]]:
    """Return all tables, each with its title."""
    found = [(_TITLES[one.kind], rows(one)) for one in result.measurements]
    if result.calls is not None:
        found.append(("Calls set up and torn down", signalling.call_rows(result.calls, MARK_LAG)))
    if result.registrations is not None:
        found.append(("Registered users", signalling.registration_rows(result.registrations)))
    if result.h323 is not None:
        found.append(("H.323 calls set up and torn down", h323.rows(result.h323)))
    return found


def show(result: BenchResult, console: Console) -> None:
    """Print the tables."""
    for title, lines in tables(result):
        table = Table(title=f"{title} · {result.machine}", title_justify="left")
        for column in ("What", "Value", "Mark", ""):
            table.add_column(column)
        for row in lines:
            table.add_row(*row, style={"missed": "red", "reached": "green"}.get(row[3]))
        console.print(table)


def markdown(result: BenchResult, options: BenchOptions) -> str:
    """Return the page for docs/."""
    parts = [_METHOD.format(machine=result.machine, options=options, warm=WARM_SECONDS)]
    if result.calls is not None:
        parts[0] += signalling.METHOD.format(
            job=result.calls.job,
            rooms=len(signalling.ROOMS),
            rounds=signalling.ROUNDS,
            linger=signalling.LINGER,
            users=options.users,
            asking=MAX_ASKING,
        )
    if result.h323 is not None:
        parts[0] += h323.METHOD.format(job=result.h323.job, standing=h323.STANDING)
    for title, lines in tables(result):
        parts.append(f"## {title}\n")
        parts.append("| what | value | mark | |\n|---|---|---|---|")
        parts += [f"| {what.strip()} | {value} | {mark} | {verdict} |" for what, value, mark, verdict in lines]
        parts.append("")
    return "\n".join(parts)


_METHOD = """\
# Capacity

Measured by `make bench` on: {machine}. The load generator runs on the same machine, in a process of its own; its
processor time is not counted, but it takes its share of the cores.

How: a gateway is started with its defaults on loopback, for each table a new one. All legs of sound and picture call
room 100 by SIP over UDP; {warm:.0f} s later measuring begins and lasts {options.seconds} s, while nobody joins or
leaves.

- Sound: {options.audio_legs} legs of G.711 µ-law in packets of 20 ms, {options.talking} of them talking all the time,
  the others sending silence as packets.
- Picture: {options.video_legs} legs, each sending sound (one talking) and a clip of H.264 constrained baseline in
  1280x720 at 30 pictures/s with moving texture and noise, about 1 Mbit/s; each receives the room's picture.
- Processor and memory: of all processes of the gateway, from /proc; memory is what is resident, and pages that its
  processes share count in each. Codec time: from the gateway's own metrics.
- Added delay of sound: the first leg sends a chirp of 60 ms each 2 s; the last one searches what it got for it by
  correlation. It runs from the sending of the packet that begins with the chirp to the arrival of the packet which
  holds its first sample, plus that sample's place in the packet: a bridge that hands packets through has nought.
- Added delay of picture: each picture carries a code stripe with its sender and number. It runs from the sending of a
  picture's last packet to the arrival of the last packet of the first composed picture that shows it.
- Loop lag: the upper end of the histogram bucket that holds the 99th percentile.
"""


def main(options: BenchOptions) -> int:
    """Measure, print, write; return an exit status: 0, or 1 if calls failed or no mark came through."""
    console, errors = Console(), Console(stderr=True)
    try:
        with console.status("Measuring; this takes about six minutes ..."):
            result = asyncio.run(bench(options))
    except RuntimeError as error:
        errors.print(f"[bold red]No figures:[/] {error}", highlight=False)
        return 1
    show(result, console)
    if options.write is not None:
        options.write.parent.mkdir(parents=True, exist_ok=True)
        options.write.write_text(markdown(result, options))
        console.print(f"Written to {options.write}")
    return 0 if result.complete else 1
