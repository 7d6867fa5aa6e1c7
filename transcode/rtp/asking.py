"""Asking the peer for a key frame, and when to ask again (RFC 4585 §6.3.1, RFC 5104 §4.3.1).

One wish stands until a key frame comes. It is sent at once unless the last one is younger than MIN_SPACING, then
repeated: lost requests and lost answers look alike. Where both messages were negotiated the repeats alternate, since
peers are seen that announce both and heed one.
"""

from __future__ import annotations

from transcode.rtp.rtcp import FullIntraRequest, PictureLoss, RtcpPacket

REPEAT = 0.5
"""Seconds between repeats; a key frame takes a round trip and some packets."""
SLOW_REPEAT = 2.0
"""Seconds between repeats once QUICK_REPEATS went unheard: the peer has no picture to send."""
QUICK_REPEATS = 10
MIN_SPACING = 0.2
"""Seconds between two requests, whatever is asked: peers punish storms by ignoring them."""


class KeyFrameWish:
    """Whether a key frame is wanted and when to ask; `due` is in seconds, infinite while nothing is wanted."""

    __slots__ = ("_last", "_number", "_sent", "due", "fir", "pli")

    def __init__(self) -> None:
        self.pli = False
        self.fir = False
        self.due = float("inf")
        self._last = float("-inf")
        self._sent = 0
        self._number = -1

    @property
    def possible(self) -> bool:
        """Whether the peer understands any request."""
        return self.pli or self.fir

    def want(self, now: float) -> None:
        """Ask as soon as may be; a wish that stands already is not made more urgent than its next repeat."""
        if self.due == float("inf"):
            self._sent = 0
            self._number = (self._number + 1) & 0xFF
            self.due = max(now, self._last + MIN_SPACING)

    def granted(self) -> None:
        """A key frame came."""
        self.due = float("inf")

    def message(self, now: float, sender: int, media: int) -> RtcpPacket | None:
        """Return the request that is due, if one is."""
        if now < self.due or not self.possible:
            return None
        use_fir = self.fir and (not self.pli or self._sent % 2 == 1)
        self._sent += 1
        self._last = now
        self.due = now + (REPEAT if self._sent < QUICK_REPEATS else SLOW_REPEAT)
        if use_fir:
            return FullIntraRequest(sender, ((media, self._number),))
        return PictureLoss(sender, media)
