"""What a stream's RTCP told, as plain data: the events of `RtpSession.receive_rtcp`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KeyFrameRequested:
    """The peer wants a key frame; how is "pli" or "fir" (RFC 4585 §6.3.1, RFC 5104 §4.3.1)."""

    how: str


@dataclass(frozen=True, slots=True)
class NackReceived:
    """The peer misses packets (RFC 4585 §6.2.1); those still in the history wait in `retransmissions()`."""

    sequences: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class BandwidthLimit:
    """The peer takes at most so many bit/s; how is "tmmbr" or "remb"."""

    bit_rate: int
    how: str


@dataclass(frozen=True, slots=True)
class ReportReceived:
    """The peer reported on our stream: loss as a share of the last interval, jitter and round_trip in ms."""

    loss: float
    jitter: float
    round_trip: float | None


@dataclass(frozen=True, slots=True)
class Bye:
    """The peer's source says that it ends (RFC 3550 §6.6)."""

    ssrc: int
    reason: str


RtcpEvent = KeyFrameRequested | NackReceived | BandwidthLimit | ReportReceived | Bye
