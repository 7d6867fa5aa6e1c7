"""How one source is received: sequence numbers, loss and jitter (RFC 3550 A.1, A.3, A.8).

`Reception` belongs to one SSRC. A packet that continues the sequence within MAX_DROPOUT moves the highest number on;
one that is older within MAX_MISORDER is late; anything else is suspicious and is refused, unless the next one
continues from it: then the source has restarted and counting begins anew.
"""

from __future__ import annotations

from enum import IntEnum

from transcode.rtp.rtcp import ReportBlock

MAX_DROPOUT = 3000
"""Packets that may be missing in a row before a jump is taken for a restart (RFC 3550 A.1)."""
MAX_MISORDER = 1000
"""Packets by which one may be late: a second or two of video, so that retransmissions count."""
MAX_TRANSIT_STEP = 10.0
"""Seconds: a transit time that jumps further tells of a new timestamp base, not of jitter."""


class Step(IntEnum):
    """What a packet's sequence number says."""

    NEXT = 0
    """The one that was expected."""
    AHEAD = 1
    """Newer, with a hole before it."""
    LATE = 2
    """Older than the newest, or a copy."""
    REFUSED = 3
    """Far off; not to be used."""
    RESTARTED = 4
    """Far off, but the second in a row: a new sequence began."""


class Reception:
    """What was received from one SSRC.

    `expected`, `lost` and `received` count packets since the start, restarts included. `highest` is the extended
    highest sequence number: 16 bits of the wire below the count of wraps.
    """

    __slots__ = (
        "_bad",
        "_base",
        "_expected_before",
        "_expected_prior",
        "_jitter",
        "_received_prior",
        "_report_arrival",
        "_report_ntp",
        "_ticks",
        "_timestamp",
        "_transit",
        "clock_rate",
        "highest",
        "loss",
        "received",
        "ssrc",
    )

    def __init__(self, ssrc: int, clock_rate: int, sequence: int) -> None:
        self.ssrc = ssrc
        self.clock_rate = clock_rate
        self.received = 0
        self.loss = 0.0
        self._expected_before = 0
        self._expected_prior = 0
        self._received_prior = 0
        self._jitter = 0.0
        self._report_ntp = 0
        self._report_arrival = 0.0
        self._begin(sequence)

    def _begin(self, sequence: int) -> None:
        self._base = sequence
        self.highest = sequence - 1
        self._bad = -1
        self._transit: float | None = None
        self._timestamp = 0
        self._ticks = 0

    def update(self, sequence: int, timestamp: int, now: float) -> Step:
        """Count one packet; now in seconds, timestamp in ticks. Returns what its sequence number says."""
        ahead = (sequence - self.highest) & 0xFFFF
        if ahead == 1:
            step = Step.NEXT
            self.highest += 1
        elif 0 < ahead < MAX_DROPOUT:
            step = Step.AHEAD
            self.highest += ahead
        elif ahead == 0 or ahead > 0x10000 - MAX_MISORDER:
            self.received += 1
            return Step.LATE
        elif sequence == self._bad:
            self._expected_before = self.expected
            self._begin(sequence)
            self.highest = sequence
            step = Step.RESTARTED
        else:
            self._bad = (sequence + 1) & 0xFFFF
            return Step.REFUSED
        self.received += 1
        # Late packets are left out of the jitter: a retransmission says nothing of the path's variation.
        step_ticks = (timestamp - self._timestamp) & 0xFFFFFFFF
        if step_ticks & 0x80000000:
            step_ticks -= 0x100000000
        self._timestamp = timestamp
        transit = self._transit
        self._ticks += step_ticks
        arrived = now * self.clock_rate - self._ticks
        self._transit = arrived
        if transit is not None:
            change = abs(arrived - transit)
            if change < MAX_TRANSIT_STEP * self.clock_rate:
                self._jitter += (change - self._jitter) * 0.0625
        return step

    def extend(self, sequence: int) -> int:
        """Return the extended number of a 16-bit sequence number near the highest."""
        offset = (sequence - self.highest) & 0xFFFF
        return self.highest + (offset - 0x10000 if offset & 0x8000 else offset)

    @property
    def expected(self) -> int:
        """Packets that should have come."""
        return self._expected_before + self.highest - self._base + 1

    @property
    def lost(self) -> int:
        """Packets that did not come; negative if more came twice than were lost (RFC 3550 §6.4.1)."""
        return self.expected - self.received

    @property
    def jitter(self) -> float:
        """Interarrival jitter in ms (RFC 3550 A.8)."""
        return self._jitter * 1000 / self.clock_rate

    def report_received(self, ntp: int, now: float) -> None:
        """Note a sender report's NTP time (32.32 fixed point) for the round-trip time that the sender will take."""
        self._report_ntp = ntp >> 16 & 0xFFFFFFFF
        self._report_arrival = now

    def block(self, now: float) -> ReportBlock:
        """Return the report block due now and begin a new interval; `loss` is then that interval's share."""
        expected, received = self.expected, self.received
        interval = expected - self._expected_prior
        missing = interval - (received - self._received_prior)
        self._expected_prior, self._received_prior = expected, received
        self.loss = missing / interval if interval > 0 and missing > 0 else 0.0
        delay = round((now - self._report_arrival) * 65536) if self._report_ntp else 0
        return ReportBlock(
            ssrc=self.ssrc,
            fraction_lost=min(255, int(self.loss * 256)),
            lost=self.lost,
            highest=self.highest & 0xFFFFFFFF,
            jitter=int(self._jitter),
            last_sr=self._report_ntp,
            delay=max(0, delay),
        )
