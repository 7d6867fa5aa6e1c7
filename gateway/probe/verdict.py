"""Is it fine? Bounds, sentences and the exit status of a test call."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from gateway.probe.options import ProbeOptions, Report

MAX_LOSS = 0.05
"""Share of packets: above it concealment is heard."""
MAX_JITTER = 60.0
"""ms: three packets; above it a phone's jitter buffer grows so long that people interrupt each other."""
MAX_ROUND_TRIP = 400.0
"""ms of media, there and back: ITU-T G.114 wants less than 150 ms each way, and calls 400 ms unfit."""
MAX_ATTENUATION = 20.0
"""dB by which the echo may be quieter than what was sent; codecs change it by less than 1."""
MAX_SHIFT = 10.0
"""Hz by which its frequency may differ: two bins of the spectrum."""
LEAST_WHOLE = 0.95
"""Share of the tone that must come back."""
KEY_WAYS = {"rfc4733": "RTP telephone events (RFC 4733)", "info": "SIP INFO (dtmf-relay)"}


class Status(IntEnum):
    """Exit status of `roombridge probe`."""

    FINE = 0
    BAD = 1
    NOT_CALLED = 2


def judge(options: ProbeOptions, report: Report) -> Status:
    """Return the verdict, and add to the report's faults what is wrong."""
    if not report.called:
        if not report.faults:
            report.faults.append(_not_called(report))
        return Status.NOT_CALLED
    report.faults += [*_sound(report, options.tone), *_network(report)]
    for way, name in KEY_WAYS.items():
        if report.complete and not report.keys.get(way):
            report.faults.append(f"a key sent by {name} was not confirmed")
    if options.srtp and not report.encryption:
        report.faults.append("sound was not encrypted")
    return Status.BAD if report.faults or not report.complete else Status.FINE


def _not_called(report: Report) -> str:
    what = "registration" if report.registered is False else "the call"
    if report.status in (401, 407) or (report.status == 403 and report.registered is False):
        return f"{what} failed: wrong user or password ({report.status} {report.reason})"
    if report.status:
        return f"{what} failed: {report.status} {report.reason}"
    return f"{what} was not answered in time"


def _sound(report: Report, tone: int) -> list[str]:
    if not report.complete:
        return []
    if not report.packets_received:
        return ["no media came back: a firewall, or a wrong address in the answer"]
    if not report.tone_heard:
        return ["no echo of the tone came back: no echo room, or sound is lost on the way to it"]
    faults = []
    if report.tone_level is not None and report.tone_level < report.tone_sent - MAX_ATTENUATION:
        faults.append(f"the echo is {report.tone_sent - report.tone_level:.0f} dB quieter than what was sent")
    heard = report.tone_frequency
    if heard is not None and abs(heard - tone) > MAX_SHIFT:
        faults.append(f"what came back is strongest at {heard:.0f} Hz, not at {tone} Hz")
    if report.tone_whole is not None and report.tone_whole < LEAST_WHOLE:
        faults.append(f"{1 - report.tone_whole:.0%} of the echo is missing")
    return faults


def _network(report: Report) -> list[str]:
    faults = []
    for direction, loss in (("here", report.loss_in), ("there", report.loss_out)):
        if loss is not None and loss > MAX_LOSS:
            faults.append(f"{loss:.1%} of packets are lost on the way {direction}")
    if report.jitter is not None and report.jitter > MAX_JITTER:
        faults.append(f"jitter is {report.jitter:.0f} ms")
    if report.round_trip is not None and report.round_trip > MAX_ROUND_TRIP:
        faults.append(f"the round trip is {report.round_trip:.0f} ms")
    return faults


def as_plain(report: Report, status: Status) -> dict[str, Any]:
    """Return what `--json` prints."""
    return {"verdict": status.name.lower().replace("_", "-"), "exit_status": int(status), **report.plain()}
