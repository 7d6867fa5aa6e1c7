"""Every prompt of every language as callers hear it: SIPp calls, FFmpeg decodes what came, and each is recognised."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import av
import house
import numpy as np
import pytest
from peers.scenario import TRYING, answer, asked, expect, play, request
from recognising import heard_prompts, recorded
from starting import StartGateway

from gateway.bench.legs import Kept, RtpSocket
from gateway.bench.process import GatewayProcess
from gateway.bench.sound import Samples
from gateway.ivr.texts import LANGUAGES, shipped

pytestmark = [pytest.mark.interop, pytest.mark.timeout(900)]
PARTS = 2
"""Callers that share the prompts of a language."""
ROUNDS = 3
"""Times that a prompt is announced at most: one of which a busy machine lost a packet is asked for again."""
PATIENCE = 60.0
"""Seconds for which anything is waited for, also for the next second of sound."""
QUIET = 3.0
"""Seconds of silence behind the last prompt."""
FAINT = 300
"""Of 32767: a prompt's words are far above, comfort noise and what codecs make of it below."""
SDP = """v=0
o=sipp 1 1 IN IP4 [local_ip]
s=-
c=IN IP4 [local_ip]
t=0 0
m=audio [field1] RTP/AVP [field2]
a=rtpmap:[field2] [field3]
a=recvonly"""


@dataclass(frozen=True, slots=True)
class Sort:
    """A codec: how SDP and FFmpeg know it, its RTP clock, and the rate that it is decoded to."""

    payload_type: int
    name: str
    decoder: str
    clock: int
    rate: int


SORTS = (
    Sort(0, "PCMU/8000", "pcm_mulaw", 8000, 8000),
    Sort(96, "opus/48000/2", "libopus", 48000, 48000),
    Sort(8, "PCMA/8000", "pcm_alaw", 8000, 8000),
    Sort(9, "G722/8000", "g722", 8000, 16000),
)


def decoded(packets: list[Kept], sort: Sort) -> Samples:
    """Return what FFmpeg makes of packets, laid out by their timestamps, one channel."""
    decoder = av.CodecContext.create(sort.decoder, "r")
    decoder.sample_rate = sort.rate
    decoder.layout = "stereo" if sort.name.endswith("/2") else "mono"  # type: ignore[attr-defined]
    first = packets[0].timestamp
    placed = sorted((((one.timestamp - first + 2**31) % 2**32 - 2**31), one.payload) for one in packets)
    samples = np.zeros(round((placed[-1][0] / sort.clock + 1) * sort.rate), np.int16)
    for place, payload in placed:
        for frame in decoder.decode(av.Packet(payload)):
            one = frame.to_ndarray()
            one = (one.reshape(-1, 2)[:, 0] if one.shape[0] == 1 and frame.layout.nb_channels == 2 else one[0]).copy()
            one = one.astype(np.int16) if one.dtype == np.int16 else np.rint(one * 32767).astype(np.int16)
            begin = round(place * sort.rate / sort.clock)
            if begin >= 0:
                samples[begin : begin + len(one)] = one[: len(samples) - begin]
    return samples


@dataclass(slots=True)
class Caller:
    """One call of SIPp's: its room, what it is to hear (LANGUAGE/NAME), and where its sound comes to."""

    room: str
    names: list[str]
    sort: Sort
    socket: RtpSocket

    @property
    def language(self) -> str:
        """What it is spoken to in."""
        return self.names[0].partition("/")[0]

    @property
    def line(self) -> str:
        """Return its fields, as SIPp injects them."""
        return f"{self.room};{self.socket.port};{self.sort.payload_type};{self.sort.name}"

    async def never_recognises(self, gateway: GatewayProcess) -> list[str]:
        """Have everything announced that it is to hear; return what it never recognised."""
        missing = self.names
        for _ in range(ROUNDS):
            heard = await self._hears(gateway, missing)
            missing = [name for name in missing if name not in heard]
            if not missing:
                break
        return missing

    async def _hears(self, gateway: GatewayProcess, names: list[str]) -> set[str]:
        before = len(self.socket.kept)
        wanted = {"prompts": [name.partition("/")[2] for name in names], "language": self.language}
        await house.ask(gateway, "POST", f"/rooms/{self.room}/announce", wanted)
        seconds = sum(len(samples) / rate for samples, rate in map(recorded, names))
        # The gateway reads each file when it is first asked for, and on a busy machine it mixes slower than time goes:
        # what counts is how much sound has come, and that more comes.
        while self._seconds(before) < seconds + QUIET or not self._is_quiet():
            came = len(self.socket.kept)
            async with asyncio.timeout(PATIENCE):
                while len(self.socket.kept) < came + 50:
                    await asyncio.sleep(0.5)
        samples = await asyncio.to_thread(decoded, self.socket.kept[before:], self.sort)
        known = [f"{self.language}/{name}" for name in shipped().language(self.language).prompts]
        found = await asyncio.to_thread(heard_prompts, (samples, self.sort.rate), known)
        return {one.name for one in found}

    def _is_quiet(self) -> bool:
        """Whether nothing but comfort noise came lately."""
        samples = decoded(self.socket.kept[-round(QUIET * 50) :], self.sort)
        return bool(np.abs(samples[: round(QUIET * self.sort.rate)].astype(int)).max() < FAINT)

    def _seconds(self, before: int) -> float:
        packets = self.socket.kept[before:]
        return (packets[-1].timestamp - packets[0].timestamp) % 2**32 / self.sort.clock if packets else 0.0


async def callers_of(stack: AsyncExitStack) -> list[Caller]:
    """Return those who are to hear everything, each with a share of one language."""
    callers = []
    for language in LANGUAGES:
        names = [f"{language}/{name}" for name in shipped().language(language).prompts]
        for part in range(PARTS):
            caller = Caller(str(len(callers) + 1), names[part::PARTS], SORTS[len(callers) % len(SORTS)], RtpSocket())
            caller.socket.keeping = True
            await caller.socket.open()
            stack.callback(caller.socket.close)
            callers.append(caller)
    return callers


async def test_callers_recognise_each_prompt_of_six_languages(start_gateway: StartGateway, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        callers = await callers_of(stack)
        gateway = await start_gateway(rooms=[{"id": one.room} for one in callers], media={"process": False})
        injected = tmp_path / "callers.csv"
        injected.write_text("SEQUENTIAL\n" + "\n".join(one.line for one in callers) + "\n")
        steps = [
            request("INVITE", 1, SDP, tag=False, uri="sip:[field0]@[remote_ip]:[remote_port]"),
            TRYING,
            expect(200),
            request("ACK", 1),
            asked("BYE"),
            answer("200 OK"),
        ]
        options = ("-nr", "-inf", str(injected))
        calling = asyncio.get_running_loop().create_task(
            play(steps, tmp_path, gateway.udp, calls=len(callers), options=options, seconds=840, trace=False)
        )
        try:
            for one in callers:
                await house.holds(gateway, 1, one.room, PATIENCE)
            missing = await asyncio.gather(*(one.never_recognises(gateway) for one in callers))
            for one in callers:
                await house.remove(gateway, "caller", one.room)
        finally:
            outcome = await calling
        assert outcome.status == 0, outcome.text
    assert sum(len(one.names) for one in callers) == sum(len(shipped().language(one).prompts) for one in LANGUAGES)
    assert [name for names in missing for name in names] == []
