"""What is asked of a test call, and what it told: plain data that crosses between the two processes as JSON."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field
from typing import Any, Literal

Transport = Literal["udp", "tcp", "tls"]

LEAST_DURATION = 8
"""Seconds: a tone, its echo, two keys and their confirmation need as many."""
MOST_DURATION = 600
DEFAULT_TONE = 1000
"""Hz: in the middle of a telephone's band, and none of the frequencies that confirm keys."""
_TARGET = re.compile(r"(?:(sips?):)?([^@:\s<>\"]+)@([^@\s<>\"/?]+)", re.IGNORECASE)


class BadTarget(ValueError):
    """What was to be called is no address."""


@dataclass(frozen=True, slots=True)
class ProbeOptions:
    """One test call. target is a SIP URI without parameters; times are in seconds, tone in Hz."""

    target: str
    transport: Transport = "udp"
    user: str = ""
    password: str = field(default="", repr=False)
    registrar: str = ""
    srtp: bool = False
    duration: int = 10
    timeout: int = 15
    tone: int = DEFAULT_TONE

    @classmethod
    def read(cls, values: dict[str, Any]) -> ProbeOptions:
        """Make options of what the other process sent."""
        return cls(**values)


@dataclass(slots=True)
class Report:
    """What a test call told. Times are in ms, loss is a share, levels are in dB of full scale; None is not known.

    called: the call was answered. status and reason are the last answer to INVITE, or to REGISTER where the call was
    not placed for it. echo_delay is from the tone's beginning to its echo's. keys has what was confirmed of each way
    to send a key. faults says in sentences what is wrong; complete, that the test came to its end.
    """

    target: str
    transport: str
    registered: bool | None = None
    called: bool = False
    status: int = 0
    reason: str = ""
    setup: float | None = None
    codec: str = ""
    encryption: str = ""
    packets_sent: int = 0
    packets_received: int = 0
    loss_in: float | None = None
    loss_out: float | None = None
    jitter: float | None = None
    round_trip: float | None = None
    tone_sent: float = 0.0
    tone_heard: bool = False
    tone_level: float | None = None
    tone_frequency: float | None = None
    tone_whole: float | None = None
    echo_delay: float | None = None
    keys: dict[str, bool] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    complete: bool = False

    def plain(self) -> dict[str, Any]:
        """Return it as JSON's types."""
        return dataclasses.asdict(self)


def read_target(text: str) -> tuple[str, str]:
    """Return a target as `sip:USER@HOST[:PORT]` and its host. Raises BadTarget; parameters belong into options."""
    found = _TARGET.fullmatch(text.strip().partition(";")[0])  # its transport is an option
    if found is None:
        raise BadTarget(f"{text} is no address to call; one looks like sip:echo@192.0.2.10")
    _, user, host = found.groups()
    return f"sip:{user}@{host}", host
