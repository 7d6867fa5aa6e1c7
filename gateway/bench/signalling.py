"""What calls and registrations cost: calls set up and torn down at a steady pace, and users that stay registered."""

from __future__ import annotations

import asyncio
import json
import math
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from gateway.bench.caller import GIVE_UP, SignallingFindings, SignallingJob, ha1
from gateway.bench.process import GatewayProcess, Metrics
from gateway.store.store import Store
from gateway.store.tables import StoredAccount

ROOMS = tuple(str(100 + number) for number in range(10))
"""Rooms that the calls are spread over."""
ROUNDS = 2
"""Rounds of calls: what the second one leaves in memory on top of the first is growth and no reserve."""
LINGER = GIVE_UP + 3.0
"""Seconds after which nothing of a call is kept: transactions absorb retransmissions for 32 (RFC 3261 §17.2)."""
REALM = "roombridge"
REGISTER_SECONDS = 600.0
"""Time for all registrations: a machine that does much else takes 40 a second."""
_LAG = "roombridge_loop_lag_seconds"
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class CallCost:
    """Calls: processor seconds of both processes in the last round, lags in seconds, memory after each round.

    left counts legs, open files and participants over those before the first call, and must be nought.
    """

    job: SignallingJob
    rounds: tuple[SignallingFindings, ...]
    signalling: float
    media: float
    lag_signalling: float
    lag_media: float
    memory: tuple[int, ...]
    left: int

    @property
    def found(self) -> SignallingFindings:
        """The last round."""
        return self.rounds[-1]

    @property
    def failed(self) -> int:
        """Calls that did not succeed, of all rounds."""
        return sum(one.failed for one in self.rounds)

    @property
    def a_second(self) -> float:
        """Calls a second that one core could set up and tear down, if it did nothing else."""
        spent = self.signalling + self.media
        return self.found.done / spent if spent else math.nan

    @property
    def complete(self) -> bool:
        """Whether every call succeeded and nothing is left of any."""
        return not self.failed and self.left <= 0


@dataclass(frozen=True, slots=True)
class RegistrationCost:
    """Registrations: processor seconds, octets of memory before and after, and how many are there at the end."""

    found: SignallingFindings
    cpu: float
    memory_before: int
    memory_after: int
    registered: int

    @property
    def complete(self) -> bool:
        """Whether every user is registered."""
        return not self.found.failed and self.registered == self.found.done


async def measure_calls(rate: int, seconds: int, hold: float, linger: float = LINGER) -> CallCost:
    """Call and hang up at a pace, in `ROUNDS` rounds with `linger` seconds after each. Raises RuntimeError."""
    rooms = [{"id": id, "name": f"Room {id}", "max_participants": 500} for id in ROOMS]
    async with started({"rooms": rooms}) as gateway:
        job = SignallingJob(gateway.host, gateway.udp, "calls", rate, seconds, hold, ROOMS)
        before, files = await gateway.metrics(), gateway.files()
        memory, rounds = [gateway.usage().memory], []
        for _ in range(ROUNDS):
            spent, metrics = gateway.each(), await gateway.metrics()
            rounds.append(await generate(job, seconds * 2 + 2 * GIVE_UP))
            used, later = gateway.each(), await gateway.metrics()
            await asyncio.sleep(linger)
            memory.append(gateway.usage().memory)
        last = await gateway.metrics()
        left = round(_standing(last) - _standing(before)) + gateway.files() - files
    cost = [after.seconds - first.seconds for first, after in zip(spent, used, strict=True)]
    return CallCost(
        job=job,
        rounds=tuple(rounds),
        signalling=cost[0],
        media=sum(cost[1:]),
        lag_signalling=later.quantile(_LAG, 0.99, metrics, plane="signalling"),
        lag_media=later.quantile(_LAG, 0.99, metrics, plane="media"),
        memory=tuple(memory),
        left=left,
    )


def _standing(metrics: Metrics) -> float:
    return metrics.total("roombridge_legs") + metrics.total("roombridge_participants")


async def measure_registrations(users: int) -> RegistrationCost:
    """Register users, each with a challenge answered, and let them stay. Raises RuntimeError."""

    async def accounts(directory: Path) -> None:
        # In the database and not in the configuration, which takes seconds to read at this length.
        store = Store("sqlite:///roombridge.db", directory)
        await store.open()
        for number in range(users):
            await store.keep_account(StoredAccount(f"u{number}", md5=ha1(f"u{number}", REALM)))
        await store.close()

    async with started({"sip": {"realm": REALM}}, accounts) as gateway:
        before, spent = gateway.usage().memory, gateway.usage().seconds
        found = await generate(SignallingJob(gateway.host, gateway.udp, "registrations", users=users), REGISTER_SECONDS)
        spent = gateway.usage().seconds - spent
        await asyncio.sleep(LINGER)
        registered = (await gateway.metrics()).total("roombridge_sip_registrations")
        return RegistrationCost(found, spent, before, gateway.usage().memory, round(registered))


@asynccontextmanager
async def started(changes: dict[str, object], prepare: object = None) -> AsyncIterator[GatewayProcess]:
    with tempfile.TemporaryDirectory(prefix="roombridge-bench-") as place:
        gateway = GatewayProcess(Path(place), changes)
        if callable(prepare):
            gateway.state.mkdir()
            await prepare(gateway.state)
        await gateway.start()
        try:
            await asyncio.sleep(1.0)
            yield gateway
        except (TimeoutError, ValueError, OSError) as error:
            raise RuntimeError(f"the signalling measurement failed: {error}\n{gateway.output[-2000:]}") from error
        finally:
            await gateway.stop()


async def generate(job: SignallingJob, seconds: float) -> SignallingFindings:
    """Run the generator's process and return its findings. Raises TimeoutError, and ValueError if it failed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway.bench.caller",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(seconds):
            said, _ = await process.communicate(json.dumps(asdict(job)).encode() + b"\n")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return SignallingFindings(**json.loads(said.decode().splitlines()[-1] if said else ""))


def call_rows(one: CallCost, mark_lag: float) -> list[tuple[str, str, str, str]]:
    """Return calls as rows of what, value, mark, and whether it is reached."""
    found, memory = one.found, [size / _MIB for size in one.memory]
    done = max(found.done, 1)
    table = [
        ("Calls", f"{sum(r.done for r in one.rounds)} succeeded, {one.failed} failed", "", ""),
        ("Pace", f"{found.done / found.took:.1f} calls/s of {one.job.rate} asked for", "", ""),
        ("Calls a second at one core", f"{one.a_second:.0f}", "", ""),
        ("Processor a call, signalling", f"{one.signalling / done * 1000:.2f} ms", "", ""),
        ("Processor a call, media", f"{one.media / done * 1000:.2f} ms", "", ""),
        ("INVITE to 200, median and 99 %", f"{found.median:.1f} ms, {found.p99:.1f} ms", "", ""),
        ("Sent again", str(found.again), "", ""),
    ]
    for name, lag in (("signalling", one.lag_signalling), ("media", one.lag_media)):
        value = "not measured" if math.isnan(lag) else f"at most {lag * 1000:g} ms"
        verdict = "not measured" if math.isnan(lag) else "reached" if lag <= mark_lag else "missed"
        table.append((f"Loop lag 99 %, {name}", value, f"{mark_lag * 1000:g} ms", verdict))
    table.append(("Memory at first, after each round", ", ".join(f"{size:.1f} MiB" for size in memory), "", ""))
    left = "reached" if one.left <= 0 else "missed"
    table.append(("Legs, participants, files left over", str(max(0, one.left)), "0", left))
    return table


def registration_rows(one: RegistrationCost) -> list[tuple[str, str, str, str]]:
    """Return registrations as such rows."""
    done = max(one.found.done, 1)
    grown = (one.memory_after - one.memory_before) / done / 1024
    return [
        ("Users", f"{one.registered} registered, {one.found.failed} failed", "", ""),
        ("Pace", f"{done / one.found.took:.0f} registrations/s", "", ""),
        ("Registrations a second at one core", f"{done / one.cpu:.0f}" if one.cpu else "not measured", "", ""),
        ("Time of one, median and 99 %", f"{one.found.median:.1f} ms, {one.found.p99:.1f} ms", "", ""),
        (
            "Memory before and after",
            f"{one.memory_before / _MIB:.0f} MiB, {one.memory_after / _MIB:.0f} MiB",
            "",
            "",
        ),
        ("Memory a registered user", f"{grown:.1f} KiB", "", ""),
    ]


METHOD = """\
- Calls: a generator of its own, which knows only templates, calls {rooms} rooms in turn over UDP at {job.rate} calls a
  second for {job.seconds} s, in {rounds} rounds. A call is INVITE with an offer of G.711, 200, ACK, {job.hold:g} s in
  the room (its sound is sent), BYE, 200. "At one core" divides the calls of the last round by the processor time of
  both processes: signalling and media, set-up and end, log and call record. Memory is looked at {linger:.0f} s after
  each round, when transactions have ended.
- Registrations: {users} users register over UDP from one socket, {asking} at a time; each is challenged (digest, MD5)
  and then kept in the database too. Memory a user is what the gateway grew by, {linger:.0f} s after the last one,
  accounts not counted, divided by the users.
"""
