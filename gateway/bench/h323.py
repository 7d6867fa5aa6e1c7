"""What H.323 calls cost: set up and torn down at a steady pace, standing in memory, and messages read."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from dataclasses import dataclass
from random import Random

from gateway.bench.caller import GIVE_UP, SignallingFindings, SignallingJob
from gateway.bench.h323_phone import describe
from gateway.bench.process import GatewayProcess
from h323.describe.capabilities import write_capabilities
from h323.sessions import Sessions
from h323.signalling import events
from h323.signalling.call import H323Call
from h323.signalling.messages import LocalParty
from h323.signalling.wire import PerCodec, read_signal, write_signal

STANDING = 50
"""Calls that stand at once when memory is looked at."""
STANDING_TIME = 90.0
READ_SECONDS = 2.0
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class H323Cost:
    """Calls: processor seconds of both processes, octets of memory a standing call, messages read a second."""

    job: SignallingJob
    found: SignallingFindings
    signalling: float
    media: float
    memory: float
    read: float
    octets: float
    left: int

    @property
    def a_second(self) -> float:
        """Calls a second that one core could set up and tear down, if it did nothing else."""
        spent = self.signalling + self.media
        return self.found.done / spent if spent else math.nan

    @property
    def complete(self) -> bool:
        """Whether every call succeeded and nothing is left of any."""
        return not self.found.failed and self.left <= 0


def messages() -> list[bytes]:
    """Return the signalling messages of a call of ours: fast start refused, H.245 tunnelled, both in control."""
    codec, sent = PerCodec(), []
    caller = H323Call(1, LocalParty("a"), codec, Random(1))
    callee = H323Call(1, LocalParty("b"), codec, Random(2))
    local = describe("127.0.0.1", 5004, 5006)
    abilities = write_capabilities(local)
    proposals = tuple(Sessions(local, "127.0.0.1").proposals(None))
    facts = events.SetupFacts(called_aliases=("100",), conference=bytes(16), call=bytes(16), fast_start=proposals)
    caller.place(facts, abilities, 0.0)
    work = deque([(caller, callee)])
    while work:
        one, other = work.popleft()
        items = one.take()
        for item in items:
            match item:
                case events.SendSignal(signal):
                    sent.append(write_signal(signal))
                    other.receive(read_signal(sent[-1]), 0.0)
                case events.CallArrived():
                    one.connect(abilities, 0.0)
                case _:
                    pass
        if items:
            work += [(other, one), (one, other)]
    return sent


def reading() -> tuple[float, float]:
    """Return how many messages of a call are read a second (Q.931, H.225.0 and H.245 in it), and their mean length."""
    codec, whole, count = PerCodec(), messages(), 0
    began = time.perf_counter()
    while time.perf_counter() - began < READ_SECONDS:
        for data in whole:
            for inner in read_signal(data).control:
                codec.decode(inner)
        count += len(whole)
    return count / (time.perf_counter() - began), sum(map(len, whole)) / len(whole)


async def measure(rate: int, seconds: int, hold: float) -> H323Cost:
    """Measure. Raises RuntimeError."""
    from gateway.bench import signalling

    rooms = [{"id": id, "name": f"Room {id}", "max_participants": 500} for id in signalling.ROOMS]
    async with signalling.started({"rooms": rooms}) as gateway:
        job = SignallingJob(gateway.host, gateway.h323, "h323", rate, seconds, hold, signalling.ROOMS)
        await signalling.generate(SignallingJob(gateway.host, gateway.h323, "h323", rate, 2, hold, job.rooms), 120)
        spent = gateway.each()
        found = await signalling.generate(job, seconds * 3 + GIVE_UP)
        used = gateway.each()
        memory = await _standing(gateway)
        await asyncio.sleep(2.0)
        left = round((await gateway.metrics()).total("roombridge_h323_open", what="calls"))
    cost = [after.seconds - first.seconds for first, after in zip(spent, used, strict=True)]
    read, octets = reading()
    return H323Cost(job, found, cost[0], sum(cost[1:]), memory, read, octets, left)


async def _standing(gateway: GatewayProcess) -> float:
    """Return the octets of the signalling process that a standing call takes."""
    from gateway.bench import signalling

    before = gateway.each()[0].memory
    hold = STANDING / 5 + 8.0
    calls = SignallingJob(gateway.host, gateway.h323, "h323", 5, STANDING // 5, hold, signalling.ROOMS)
    generator = asyncio.ensure_future(signalling.generate(calls, STANDING_TIME))
    try:
        async with asyncio.timeout(STANDING_TIME):
            while (await gateway.metrics()).total("roombridge_h323_open", what="calls") < STANDING:
                if generator.done():
                    raise RuntimeError(f"not all calls stood: {generator.result()}")
                await asyncio.sleep(0.5)
        return (gateway.each()[0].memory - before) / STANDING
    finally:
        await generator


def rows(one: H323Cost) -> list[tuple[str, str, str, str]]:
    """Return calls as rows of what, value, mark, and whether it is reached."""
    done = max(one.found.done, 1)
    return [
        ("Calls", f"{one.found.done} succeeded, {one.found.failed} failed", "", ""),
        ("Pace", f"{one.found.done / one.found.took:.1f} calls/s of {one.job.rate} asked for", "", ""),
        ("Calls a second at one core", f"{one.a_second:.0f}", "", ""),
        ("Processor a call, signalling", f"{one.signalling / done * 1000:.2f} ms", "", ""),
        ("Processor a call, media", f"{one.media / done * 1000:.2f} ms", "", ""),
        ("SETUP to sound both ways, median and 99 %", f"{one.found.median:.1f} ms, {one.found.p99:.1f} ms", "", ""),
        ("Memory a standing call, signalling", f"{one.memory / 1024:.0f} KiB", "", ""),
        ("Messages read a second at one core", f"{one.read:.0f}, of {one.octets:.0f} octets on average", "", ""),
        ("Calls left over", str(max(0, one.left)), "0", "reached" if one.left <= 0 else "missed"),
    ]


METHOD = """\
- H.323 calls: a generator with the product's own core calls at {job.rate} calls a second for {job.seconds} s: slow
  start, tunnelled H.245, capabilities and channels both ways, {job.hold:g} s in the room, release. Memory a call is
  what the signalling process grew by with {standing} calls standing at once. Messages read: those of such a call, with
  all that is tunnelled in them, by one core in this process.
"""
