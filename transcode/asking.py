"""When a peer is asked for a key frame by signalling: the one policy beside RTCP's. Pure.

Theory of operation. A key frame is needed from the moment that packets were lost or the decoder failed until one comes.
While it is needed, the RTP session asks by PLI and FIR if those were agreed on, at its own pace. Signalling (an INFO,
an H.245 command) asks as well: at once where the peer knows no such RTCP, otherwise only after RTCP went unheard for
GRACE; then again at doubling intervals. A peer from which nothing comes is not asked: it sends no picture.
"""

from __future__ import annotations

GRACE = 1.0
"""Seconds that RTCP gets before signalling asks too: two of its requests, and half of the 2 s in which a picture is
due."""
FIRST_REPEAT = 1.0
"""Seconds to the first repeat by signalling, and between any two: each is a transaction."""
MAX_REPEAT = 16.0
"""Longest time between repeats, for peers that never send one."""
QUIET = 2.0
"""Seconds without packets after which a peer has no picture to send."""


class KeyFrameNeed:
    """One stream's need of key frames; times in seconds of a monotonic clock."""

    __slots__ = ("_due", "_last", "_repeat", "needed")

    def __init__(self) -> None:
        self.needed = False
        self._due = self._last = float("-inf")
        self._repeat = FIRST_REPEAT

    def update(self, wanted: bool, by_rtcp: bool, last_packet: float, now: float) -> bool:
        """Take whether a key frame is wanted now, and tell whether to ask for it by signalling.

        by_rtcp says that RTCP can ask; last_packet is when the peer's stream was last heard. `needed` tells
        afterwards whether RTCP is to ask.
        """
        wanted = wanted and now - last_packet < QUIET
        if wanted and not self.needed:
            self._repeat = FIRST_REPEAT
            self._due = max(now + (GRACE if by_rtcp else 0.0), self._last + FIRST_REPEAT)
        self.needed = wanted
        if not wanted or now < self._due:
            return False
        self._last = now
        self._due = now + self._repeat
        self._repeat = min(2 * self._repeat, MAX_REPEAT)
        return True
