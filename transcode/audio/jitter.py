"""Adaptive jitter buffer for one audio stream: packets in as they come, out in order and in time.

Theory of operation. The owner pulls every 20 ms (a tick). Time is counted in the stream's own RTP ticks, unwrapped:
`play` is the timestamp of the next tick to be decoded. A packet with a timestamp before it is late. Between two
ticks nothing is needed, so what counts for each packet is its *margin*: the time of the tick that needs it, less its
arrival. All adaptation is made from the margins of the last `WINDOW` packets:

- When more than `LATE_SHARE` of them came with less than `GUARD_MS` to spare, playing is put off by whole ticks
  (`correction` is positive: the receiver plays longer than it takes).
- When all but `SPARE_SHARE` came more than a tick and `SHRINK_MS` early, a tick is taken out (`correction` negative).

Where the decoder can recover a lost packet from the next one (`redundant`) and packets are being lost, one tick more
is wanted, so that the next one is there in time.

Both move the depth in steps of a tick, because a packet of 20 ms is needed by one tick or by the next, and nothing
between these is a gain. On a calm network a packet thus waits for 1 to 25 ms. Clock drift needs no rule of its own:
it moves the margins slowly until one of the two acts.

A gap before the next packet is loss when sequence numbers are missing, and a silence of the sender's (DTX) when they
are not. While nothing is there at all, `play` goes on with time. A packet that comes late while nothing else could be
played takes `play` back to itself where the margins ask for more depth: what was concealed then counts as the delay.

A packet far off in time or sequence, or of another SSRC, is held back until the next one continues it (RFC 3550 §A.1):
then the buffer starts anew there.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque

from transcode.rtp.packet import RtpPacket

TICK = 0.020
"""Seconds between pulls."""
TICK_MS = 20
MAX_DEPTH_MS = 200
"""What the buffer may hold back at most; beyond it a conversation is no longer one."""
MAX_PACKETS = 128
"""Packets held: 1.2 s of the smallest packet time (10 ms), so that a burst after a stall is still sorted."""
WINDOW = 256
"""Packets (of 20 ms) whose margins are remembered: 5 s at 20 ms."""
MIN_SAMPLES = 100
"""Packets that must have been seen before the depth is taken back: 2 s at 20 ms."""
LATE_SHARE = 0.03
"""Share of packets that may come too late: as many as concealment hides well."""
SPARE_SHARE = 0.01
"""Share of packets that may contradict when the depth is taken back: a little hysteresis against LATE_SHARE."""
GUARD_MS = 1.0
"""Margin below which a packet counts as nearly late: the tick itself comes with about that accuracy."""
SHRINK_MS = 4.0
"""Margin that must remain after a tick was taken out, above GUARD_MS, so that the depth does not swing."""
MAX_WEIGHT = 5
"""Further times that a packet longer than a tick counts: a packet of 120 ms is the longest of any codec."""
LOSSY, CALM = 0.02, 0.005
"""Share of lost packets from which it pays to wait for redundant data, and below which it no longer does."""
LOSS_MEMORY = 0.9
"""What remains of the measured loss from one review to the next: it forgets within about 5 s."""
REVIEW_TICKS = 25
"""The depth is reviewed each half second; late packets bring it forward."""
FAR_MS = 1000
"""A timestamp this far from what is being played is not of the same time line until the next one confirms it."""
FAR_SEQUENCE = 1000
"""The same for sequence numbers; RFC 3550 §A.1 has 3000 for 50 packets a second over a minute, media here is live."""
STARVED_TICKS = 5
"""After so long with nothing, whatever comes with the marker bit or from far away begins anew."""
LATE_RUN = 0.3
"""Seconds during which all packets come late before the buffer starts anew with them: the path has changed."""
HISTORY = (1 << 128) - 1
"""Sequence numbers that duplicates are known by: the last 128."""
MAX_OTHERS = 512
"""Packets of the stream without sound (telephone events) whose sequence numbers are remembered: 10 s of them."""


class JitterBuffer:
    """Holds the packets of one stream and says which comes next.

    Counters: received, lost (never came, or came too late to be played), late, duplicates, overflows (thrown out
    because too much had piled up), resets, grown and shrunk (RTP ticks by which the depth was changed).
    redundant is set by the receiver: whether the packets carry what recovers a lost one before them.
    pending is set by the receiver after each pull: RTP ticks of sound that are decoded and not yet played.
    """

    def __init__(self, clock_rate: int) -> None:
        """clock_rate in Hz of the stream's RTP timestamps."""
        self.clock_rate = clock_rate
        self.step = clock_rate // 50
        self.received = self.lost = self.late = self.duplicates = 0
        self.overflows = self.resets = self.grown = self.shrunk = 0
        self.correction = 0
        self.dry = self.trim = self.pending = 0
        self.play = 0
        self._ssrc: int | None = None
        self._sequence = self._extended = self._played = 0
        self._timestamp = self._stamp = 0
        self._seen = 0
        self._late_since: float | None = None
        self._probe: tuple[RtpPacket, int] | None = None
        self.redundant = False
        self._waits = False
        self._loss = 0.0
        self._reviewed = (0, 0)
        self._next_pull = 0.0
        self._ticks = 0
        self._begin(0)

    # -- packets in

    def push(self, packet: RtpPacket, ticks: int) -> bool:
        """Take a packet that lasts for `ticks` RTP ticks; say whether it will be played.

        packet.arrival is in the seconds that `tick` is told.
        """
        if packet.ssrc != self._ssrc:
            if self._ssrc is None:
                return self._restart(packet, ticks)
            return self._doubt(packet, ticks)
        ahead = (packet.sequence - self._sequence + 0x8000 & 0xFFFF) - 0x8000
        shift = (packet.timestamp - self._timestamp + 0x80000000 & 0xFFFFFFFF) - 0x80000000
        stamp = self._stamp + shift
        slack = stamp - self.play
        if not -self._far <= slack <= self._far or not -FAR_SEQUENCE < ahead < FAR_SEQUENCE:
            return self._doubt(packet, ticks)
        if slack < 0 and packet.marker and self.dry >= STARVED_TICKS and ahead > 0:
            return self._restart(packet, ticks)
        if ahead > 0:
            self._seen = (self._seen << ahead | 1) & HISTORY
            self._sequence = packet.sequence
            self._extended += ahead
            self._timestamp, self._stamp = packet.timestamp, stamp
            extended = self._extended
        else:
            bit = 1 << -ahead
            if -ahead < 128 and self._seen & bit:
                self.duplicates += 1
                return False
            self._seen |= bit & HISTORY
            extended = self._extended + ahead
        self.received += 1
        self._probe = None
        self._measure(slack, ticks, packet.arrival)
        if slack < 0 and not self._call_back(slack) and slack + ticks < self.step // 2:
            return self._too_late(packet, ticks)
        self._late_since = None
        queue = self._queue
        entry = (extended, stamp, ticks, packet)
        if not queue or queue[-1][0] < extended:
            queue.append(entry)
        else:
            queue.insert(bisect_right(queue, extended, key=_by_sequence), entry)
        if len(queue) > MAX_PACKETS:
            self.overflows += 1
            self.play = max(self.play, queue[1][1])
            del queue[0]
        return True

    def note(self, packet: RtpPacket) -> None:
        """Learn the sequence number of a packet of this stream that carries no sound, so that it is not missed."""
        if packet.ssrc == self._ssrc:
            ahead = (packet.sequence - self._sequence + 0x8000 & 0xFFFF) - 0x8000
            if -FAR_SEQUENCE < ahead < FAR_SEQUENCE:
                self._others.append(self._extended + ahead)

    # -- packets out

    def tick(self, now: float) -> int:
        """Begin a pull at `now`, in seconds of the clock that stamps arrivals.

        Returns the correction that is due: how many RTP ticks to play more than are taken (positive) or take more
        than are played (negative). The receiver reports what it did by `corrected`.
        """
        self._next_pull = now + TICK
        self._ticks += 1
        if self._ticks >= REVIEW_TICKS:
            self._ticks = 0
            self._weigh_loss()
            self._review()
        queue = self._queue
        if not queue:
            self.dry += 1
        elif queue[-1][1] - self.play > self._deepest:
            self._skip_to_depth()
        return self.correction

    def take(self) -> RtpPacket | None:
        """Return the packet that is to be decoded now, or None: then `gap` tells why.

        `trim` tells how many RTP ticks at its beginning are past already.
        """
        queue = self._queue
        if not queue:
            return None
        extended, stamp, ticks, packet = queue[0]
        if stamp > self.play:
            return None
        del queue[0]
        self.dry = 0
        if extended > self._played + 1:
            self.lost += self._missing(extended)
        self._played = extended
        self.trim = self.play - stamp if stamp < self.play else 0
        self.play = stamp + ticks
        return packet

    def gap(self) -> tuple[int, bool, RtpPacket | None]:
        """Tell what stands before the next packet: RTP ticks, whether it was lost, the packet itself.

        With an empty buffer: 0, False, None. A gap without loss is the sender's silence.
        """
        if not self._queue:
            return 0, False, None
        extended, stamp, _, packet = self._queue[0]
        return stamp - self.play, self._missing(extended) > 0, packet

    def skip(self, ticks: int) -> None:
        """Say that `ticks` were filled without a packet."""
        self.play += ticks

    def _missing(self, extended: int) -> int:
        """Count the packets with sound that are missing before this sequence number."""
        missing = extended - self._played - 1
        if missing > 0 and self._others:
            missing -= sum(self._played < other < extended for other in set(self._others))
        return missing

    def corrected(self, ticks: int) -> None:
        """Say that `ticks` of the correction were made (with its sign)."""
        self.correction -= ticks
        self._bias += ticks * 1000 / self.clock_rate
        if ticks > 0:
            self.grown += ticks
        else:
            self.shrunk -= ticks

    @property
    def depth(self) -> float:
        """How much sound waits here, in ms."""
        if not self._queue:
            return 0.0
        last = self._queue[-1]
        return float((last[1] + last[2] - self.play) * 1000 / self.clock_rate)

    @property
    def jitter(self) -> float:
        """Spread of the recent arrivals in ms: from the earliest to the one that LATE_SHARE are later than."""
        if len(self._margins) < 2:
            return 0.0
        ordered = sorted(self._margins)
        return ordered[-1] - ordered[int(LATE_SHARE * len(ordered))]

    # -- beginnings

    def _begin(self, play: int) -> None:
        self._queue: list[tuple[int, int, int, RtpPacket]] = []
        self._margins: deque[float] = deque(maxlen=WINDOW)
        self._others: deque[int] = deque(maxlen=MAX_OTHERS)
        self._bias = 0.0
        self._far = self.clock_rate * FAR_MS // 1000
        self._deepest = self.clock_rate * (MAX_DEPTH_MS + TICK_MS) // 1000
        self.pending = 0
        self._late_since = None
        self.correction = 0
        self.dry = 0
        self.play = play

    def _restart(self, packet: RtpPacket, ticks: int) -> bool:
        if self._ssrc is not None:
            self.resets += 1
        self._begin(packet.timestamp)
        self._ssrc = packet.ssrc
        self._sequence = self._extended = packet.sequence
        self._timestamp = self._stamp = packet.timestamp
        self._played = packet.sequence - 1
        self._seen = 1
        self._probe = None
        self.received += 1
        self._queue.append((self._extended, self._stamp, ticks, packet))
        return True

    def _doubt(self, packet: RtpPacket, ticks: int) -> bool:
        """Hold a packet that does not continue what is here; begin anew when a second one continues it."""
        probe = self._probe
        if self.dry >= STARVED_TICKS:
            return self._restart(packet, ticks)
        if probe is not None:
            first, first_ticks = probe
            step = (packet.timestamp - first.timestamp) & 0xFFFFFFFF
            follows = packet.sequence == (first.sequence + 1) & 0xFFFF and step <= self._far
            if first.ssrc == packet.ssrc and follows:
                self._restart(first, first_ticks)
                return self.push(packet, ticks)
        self._probe = (packet, ticks)
        return False

    # -- adaptation

    def _measure(self, slack: int, ticks: int, arrival: float) -> None:
        if self._next_pull:
            needed = self._next_pull + TICK * ((slack + self.pending) // self.step)
            margin = (needed - arrival) * 1000 - self._bias
            self._margins.append(margin)
            if ticks > self.step:  # a long packet counts for as much sound as it holds
                self._margins.extend([margin] * min(MAX_WEIGHT, ticks // self.step - 1))

    def _weigh_loss(self) -> None:
        """Follow the share of lost packets, and decide whether to wait for redundant data."""
        received, lost = self.received - self._reviewed[0], self.lost - self._reviewed[1]
        self._reviewed = (self.received, self.lost)
        if received + lost:
            self._loss = self._loss * LOSS_MEMORY + (1 - LOSS_MEMORY) * lost / (received + lost)
        self._waits = self.redundant and self._loss > (CALM if self._waits else LOSSY)

    def _review(self) -> None:
        """Compare the margins with what is wanted, and set the correction that is due."""
        margins = self._margins
        count = len(margins)
        if not count or self.correction:
            return
        ordered = sorted(margins)
        guard = GUARD_MS + (TICK_MS if self._waits else 0)
        low = ordered[int(LATE_SHARE * count)] + self._bias
        if low < guard:
            ticks = -int((low - guard) // TICK_MS)
            room = int(MAX_DEPTH_MS - self.depth) // TICK_MS
            self.correction = max(0, min(ticks, room)) * self.step
        elif count >= MIN_SAMPLES:
            spare = ordered[int(SPARE_SHARE * count)] + self._bias - guard - SHRINK_MS
            if spare >= TICK_MS:
                self.correction = -self.step

    def _call_back(self, slack: int) -> bool:
        """Move `play` back to a late packet if nothing else could be played and more depth is due anyway."""
        self._review()
        if self._queue or not self.dry or self.correction <= 0:
            return False
        if -slack > self.correction:
            return False
        self.play += slack
        self.corrected(-slack)
        return True

    def _too_late(self, packet: RtpPacket, ticks: int) -> bool:
        self.late += 1
        if self._late_since is None:
            self._late_since = packet.arrival
        elif packet.arrival - self._late_since > LATE_RUN:
            return self._restart(packet, ticks)
        return False

    def _skip_to_depth(self) -> None:
        """Throw out what exceeds the greatest depth: a burst after a stall, or a sender that runs wild."""
        queue = self._queue
        floor = queue[-1][1] - self._deepest // 2
        while queue and queue[0][1] < floor:
            del queue[0]
            self.overflows += 1
        moved = queue[0][1] - self.play
        self.play = queue[0][1]
        self._bias -= moved * 1000 / self.clock_rate
        self.correction = 0


def _by_sequence(entry: tuple[int, int, int, RtpPacket]) -> int:
    return entry[0]
