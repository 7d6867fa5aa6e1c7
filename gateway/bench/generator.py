"""The load generator's own process: brings calls in, drives them, and finds the marks in what came back.

It is told its job as one line of JSON on standard input, and says one word a line on standard output when the calls
are up (`up`), when measuring begins and ends (`begin`, `end`), and at last a line of JSON with the findings. Marks
are searched for after the calls have ended, so that this costs no processor time while it is measured.
"""

from __future__ import annotations

import asyncio
import json
import math
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

import av
import numpy as np
import uvloop

from gateway.bench import clip, sound, stripe
from gateway.bench.legs import AUDIO_TICKS, AudioLeg, Driver, Kept, RtpSocket, VideoLeg, describe
from gateway.bench.phone import Phone, PhoneCall, media_address, media_lines

LOOP_SECONDS = 2.0
"""A talker's sound repeats after this; so many seconds lie between two marks."""
WARM_SECONDS = 3.0
"""Time for jitter buffers and rate control to settle before measuring."""
DIALS_AT_ONCE = 8
MAX_LEGS = 400
MAX_SECONDS = 300
MAX_WATCHED = 300
"""Pictures that are searched for stripes at most: ten seconds."""
_CHIRP = sound.chirp(900, 3000, 0.06, level=0.4)
_LIKENESS = 0.5
"""Normalised correlation from which a place counts as the mark."""


@dataclass(frozen=True, slots=True)
class Job:
    """What to do: so many legs of one kind into a room."""

    host: str
    port: int
    room: str
    kind: str
    legs: int
    talking: int
    seconds: int
    width: int = 1280
    height: int = 720
    frame_rate: int = 30


@dataclass(frozen=True, slots=True)
class Findings:
    """What the generator saw; delays in ms, nan if no mark was found; rates a second for one leg at the median.

    lip_sync is by how many ms the picture comes later than the sound that left with it.
    """

    legs: int
    refused: int
    delay_median: float
    delay_p95: float
    marks_sent: int
    marks_found: int
    packets_in: float
    kbit_in: float
    pictures_in: float
    width: int
    height: int
    late_ticks: int
    lip_sync: float


class Load:
    """All calls of one job."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.sockets: list[RtpSocket] = []
        self.calls: list[PhoneCall] = []
        self.driver = Driver()
        self.refused = 0
        self.began = self.ended = 0.0
        self.audio: list[AudioLeg] = []
        self.video: list[VideoLeg] = []
        self.heard = RtpSocket()
        self._extra: list[RtpSocket] = []

    async def bring_in(self, phone: Phone, clips: list[clip.Clip]) -> None:
        """Dial all legs, a few at a time."""
        gate = asyncio.Semaphore(DIALS_AT_ONCE)

        async def one(index: int) -> None:
            async with gate:
                try:
                    await self._dial(phone, index, clips)
                except (TimeoutError, ConnectionError, ValueError, RuntimeError) as error:
                    print(f"leg {index}: {error}", file=sys.stderr)
                    self.refused += 1

        # The first leg marks and the last one listens: they go in first and last, all others between them in any order.
        await one(0)
        await asyncio.gather(*(one(index) for index in range(1, self.job.legs - 1)))
        if self.job.legs > 1:
            await one(self.job.legs - 1)

    async def _dial(self, phone: Phone, index: int, clips: list[clip.Clip]) -> None:
        voice = RtpSocket()
        port = await voice.open()
        picture = RtpSocket() if clips else None
        video_port = await picture.open() if picture is not None else None
        # The listener keeps all from the first packet on: without the first key frame nothing could be decoded.
        listener = picture if picture is not None else voice
        listener.keeping = voice.keeping = index == self.job.legs - 1
        if voice.keeping:
            self.heard = voice
        self._extra += [socket for socket in (voice, picture) if socket is not None]
        call = await phone.dial(self.job.room, describe("127.0.0.1", port, video_port))
        self.calls.append(call)
        address = media_address(call.remote_sdp)
        for kind, remote, _ in media_lines(call.remote_sdp):
            if kind == "audio" and remote:
                voice.remote = (address, remote)
                leg = AudioLeg(voice, talk(index, self.job), index + 1)
                self.audio.append(leg)
                self.driver.add_audio(leg)
            elif kind == "video" and remote and picture is not None:
                picture.remote = (address, remote)
                video = VideoLeg(picture, clips[index], index + 1001)
                call.on_key_frame = lambda: setattr(picture, "key_frame_wanted", True)
                self.video.append(video)
                self.driver.add_video(video)
        self.sockets.append(listener)

    async def close(self, phone: Phone) -> None:
        """End everything."""
        await self.driver.stop()
        await phone.close()
        for one in self._extra:
            one.close()


def talk(index: int, job: Job) -> list[bytes]:
    """Return what a leg says: the first one marks in a low tone, other talkers bursts, all others silence."""
    if job.kind == "video" and index > 0:
        return [bytes([sound.PCMU_SILENCE]) * AUDIO_TICKS]
    samples = np.zeros(round(LOOP_SECONDS * sound.RATE), np.int16)
    if index == 0:
        sound.add(samples, sound.tone(400, LOOP_SECONDS, level=0.08))
        sound.add(samples, _CHIRP)
    elif index < job.talking:
        # A talker that is always loud, so that the same ones are mixed all the time and the load is steady.
        sound.add(samples, sound.tone(300 + 50 * (index % 8), LOOP_SECONDS, level=0.1))
    else:
        return [bytes([sound.PCMU_SILENCE]) * AUDIO_TICKS]
    data = sound.to_pcmu(samples)
    return [data[place : place + AUDIO_TICKS] for place in range(0, len(data), AUDIO_TICKS)]


def audio_delays(sent: list[float], packets: list[Kept]) -> list[float]:
    """Return the added delay of each mark that was found, in ms.

    A mark leaves with its packet's first sample; it arrives with the packet that holds its first sample, plus that
    sample's place in the packet. So a bridge that hands packets through at once has a delay of nought.
    """
    packets = sorted({p.timestamp: p for p in packets if p.data[1] & 0x7F == 0 and p.payload}.values(), key=_arrival)
    if not packets:
        return []
    samples = np.concatenate([sound.from_pcmu(packet.payload) for packet in packets]).astype(float)
    lengths = np.array([len(packet.payload) for packet in packets])
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    template = _CHIRP.astype(float)
    if len(samples) < len(template):
        return []
    match = np.correlate(samples, template, mode="valid")
    energy = np.convolve(samples**2, np.ones(len(template)), mode="valid")
    likeness = match / (np.sqrt(energy + 1.0) * np.sqrt((template**2).sum()))
    arrivals = np.array([packet.arrival for packet in packets])
    holder = np.searchsorted(starts, np.arange(len(likeness)), side="right") - 1
    times = arrivals[holder] + (np.arange(len(likeness)) - starts[holder]) / sound.RATE
    delays = []
    for moment in sent:
        near = np.flatnonzero((times >= moment - 0.02) & (times < moment + LOOP_SECONDS / 2))
        if len(near):
            best = near[np.argmax(likeness[near])]
            if likeness[best] > _LIKENESS:
                delays.append(float((times[best] - moment) * 1000))
    return delays


def video_delays(sent: list[tuple[float, int]], packets: list[Kept], code: int) -> tuple[list[float], tuple[int, int]]:
    """Return the added delay in ms of each picture of `code` when it is first shown, and the size that was received.

    A picture leaves with its last packet and arrives with the last packet of the picture that shows it first. All
    is decoded, but only what came after the first of the `sent` is looked at.
    """
    decoder, joiner = av.CodecContext.create("h264", "r"), clip.Joiner()
    delays: list[float] = []
    size, last, looked = (0, 0), -1, 0
    for packet in packets:
        picture = joiner.push(packet.payload, packet.marker)
        if picture is None or looked >= MAX_WATCHED:
            continue
        try:
            frames = decoder.decode(av.Packet(picture))
        except av.FFmpegError:
            continue
        if not sent or packet.arrival < sent[0][0]:
            continue
        for frame in frames:
            looked += 1
            size = (frame.width, frame.height)
            luma = np.ascontiguousarray(frame.to_ndarray(format="yuv420p")[: frame.height], dtype=np.uint8)
            for found in stripe.read(luma):
                if found.code == code and found.count != last:
                    last = found.count
                    left = [moment for moment, count in sent if count == last and moment <= packet.arrival]
                    if left:
                        delays.append((packet.arrival - left[-1]) * 1000)
    # The first one may have been standing when watching began.
    return delays[1:], size


def _arrival(packet: Kept) -> float:
    return packet.arrival


def _findings(load: Load, received: list[tuple[int, int]]) -> Findings:
    job = load.job
    listener = load.sockets[-1] if load.sockets else RtpSocket()
    size, pictures, lip_sync = (0, 0), 0.0, math.nan
    if job.kind == "audio":
        marks = load.audio[0].starts if load.audio else []
        delays, sent = audio_delays(marks, listener.kept), len(marks)
    else:
        times = [one for one in load.video[0].sent_at if one[0] < load.ended] if load.video else []
        delays, size = video_delays(times, listener.kept, load.video[0].clip.code if load.video else 0)
        sent = min(len(times), MAX_WATCHED)
        sound_delays = audio_delays(load.audio[0].starts if load.audio else [], load.heard.kept)
        lip_sync = statistics.median(delays) - statistics.median(sound_delays) if delays and sound_delays else lip_sync
        ends = [packet.arrival for packet in listener.kept if packet.marker]
        pictures = sum(load.began <= end < load.ended for end in ends) / (load.ended - load.began)
    counts = sorted(count for count, _ in received) or [0]
    octets = sorted(octet for _, octet in received) or [0]
    return Findings(
        legs=len(load.calls),
        refused=load.refused,
        delay_median=statistics.median(delays) if delays else math.nan,
        delay_p95=float(np.percentile(delays, 95)) if delays else math.nan,
        marks_sent=sent,
        marks_found=len(delays),
        packets_in=counts[len(counts) // 2] / job.seconds,
        kbit_in=octets[len(octets) // 2] * 8 / 1000 / job.seconds,
        pictures_in=pictures,
        width=size[0],
        height=size[1],
        late_ticks=load.driver.late,
        lip_sync=lip_sync,
    )


async def run(job: Job) -> Findings:
    """Do a job; see the module's text for what is said meanwhile."""
    count = min(job.legs, MAX_LEGS)
    clips = []
    if job.kind == "video":
        clips = [
            clip.encode(index % stripe.MAX_CODE + 1, job.width, job.height, job.frame_rate) for index in range(count)
        ]
    phone = await Phone.open(job.host, job.port)
    load = Load(job)
    try:
        load.driver.start()
        await load.bring_in(phone, clips)
        say("up")
        await asyncio.sleep(WARM_SECONDS)
        load.began = time.monotonic()
        for leg in load.audio[:1]:
            leg.keep_starts = True
        for video in load.video[:1]:
            video.keep_times = True
        before = [(one.counters.received, one.counters.octets) for one in load.sockets]
        say("begin")
        await asyncio.sleep(min(job.seconds, MAX_SECONDS))
        load.ended = time.monotonic()
        say("end")
        after = [(one.counters.received, one.counters.octets) for one in load.sockets]
        await asyncio.sleep(1.0)
    finally:
        await load.close(phone)
    received = [(a[0] - b[0], a[1] - b[1]) for a, b in zip(after, before, strict=True)]
    return _findings(load, received)


def say(word: str) -> None:
    """Tell the one who started us."""
    print(word, flush=True)


def main() -> None:
    """Take a job from standard input, do it, print the findings."""
    given: dict[str, Any] = json.loads(sys.stdin.readline())
    started = time.monotonic()
    findings = uvloop.run(run(Job(**given)))
    say(json.dumps({**asdict(findings), "took": time.monotonic() - started}))


if __name__ == "__main__":
    main()
