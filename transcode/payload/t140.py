"""Real-time text in RTP: T.140 characters in packets, each repeated in the two that follow (RFC 4103). Sans-IO.

Theory of operation. What is written waits at most 300 ms and goes out as one block; the packet also holds the blocks
of the packets before it. After the last block, packets with nothing new repeat it until it was sent three times in
all, then nothing is sent. The receiver knows blocks by sequence number: a redundant block n places before the primary
one belongs to the packet n numbers earlier. A gap that no packet fills is waited for a moment, for packets may come
out of order, and is then told by one U+FFFD.
"""

from __future__ import annotations

import codecs
from collections import deque

from transcode.payload import red
from transcode.payload.red import Block

INTERVAL = 0.3
"""Seconds that text is gathered before it is sent (RFC 4103 §5.1 recommends 300 ms)."""
REPEATS = 2
"""Packets in which a block is sent once more (RFC 4103 §5.2: two redundant generations)."""
REORDER_TIME = 1.0
"""Seconds that text waits for a packet that is missing before it (RFC 4103 §5.4)."""
MAX_HELD = 64
"""Blocks that wait behind a gap; at three a second these are 20 s of text, so more is no disorder but loss."""
MAX_BLOCK = 1000
"""Octets of one block of ours: it must fit a redundant one's header (RFC 2198 §3: 1023)."""
MAX_WAITING = 10_000
"""Characters that wait to be sent: at the 30 a second that a peer takes by default, five minutes."""
RATE_WINDOW = 10.0
"""Seconds over which the peer's limit of characters a second is kept (RFC 4103 §6: cps)."""
DEFAULT_RATE = 30
"""Characters a second that a peer takes which does not say (RFC 4103 §6)."""
MISSING = "\ufffd"
"""Stands for lost text (T.140 Add.1)."""
BOM = "\ufeff"
"""Begins a T.140 session and keeps its path open; it is no text (T.140 §8)."""

_MASK = 0xFFFF


class TextReceiver:
    """Puts a stream's blocks in order; what was taken comes from `take` and `poll` as text.

    malformed counts payloads that make no sense; lost counts blocks that never came, recovered those that came by
    redundancy alone.
    """

    def __init__(self) -> None:
        self.malformed = self.lost = self.recovered = 0
        self._t140: frozenset[int] = frozenset()
        self._red: frozenset[int] = frozenset()
        self._held: dict[int, bytes] = {}
        self._next: int | None = None
        self._due: float | None = None
        self._decoder = _decoder()

    def set_formats(self, t140: frozenset[int], red: frozenset[int]) -> None:
        """Take the payload types of plain and of redundant text."""
        self._t140, self._red = t140, red

    def restart(self) -> None:
        """Forget the order: another source sends from now on."""
        self._held.clear()
        self._next = self._due = None
        self._decoder = _decoder()

    def take(self, payload_type: int, sequence: int, payload: bytes, now: float, marker: bool = False) -> str:
        """Take one packet; returns the text that is complete by it."""
        try:
            blocks = self._blocks(payload_type, payload)
        except ValueError:
            self.malformed += 1
            return ""
        if marker and payload_type in self._red:
            # The first one after silence: those before it repeated what was sent already, whether they came or not.
            blocks = [b""] * (REPEATS + 1 - len(blocks)) + blocks
        if self._next is None:
            # What the first packet repeats was written before we listened, or in a packet that was lost: it is text.
            self._next = (sequence - len(blocks) + 1) & _MASK
            self.recovered -= len(blocks) - 1
        for age, block in enumerate(reversed(blocks)):
            place = (sequence - age) & _MASK
            if _ahead(place, self._next) and place not in self._held:
                self._held[place] = block
                self.recovered += age > 0
        text = self._deliver()
        while len(self._held) > MAX_HELD:
            text += self._skip()
        return text + self._wait(now)

    def poll(self, now: float) -> str:
        """Give up a gap that has been waited for long enough; returns the text behind it."""
        if self._due is None or now < self._due:
            return ""
        self._due = None
        return self._skip() + self._wait(now)

    def _blocks(self, payload_type: int, payload: bytes) -> list[bytes]:
        if payload_type in self._t140:
            return [payload]
        if payload_type not in self._red:
            raise ValueError("neither t140 nor red")
        blocks = red.parse(payload)
        if any(block.payload_type not in self._t140 for block in blocks):
            raise ValueError("a redundant payload that holds something else than text")
        return [block.data for block in blocks]

    def _deliver(self) -> str:
        assert self._next is not None
        text = ""
        while (block := self._held.pop(self._next, None)) is not None:
            text += self._decoder.decode(block)
            self._next = (self._next + 1) & _MASK
        return text.replace(BOM, "")

    def _skip(self) -> str:
        """Go on behind the gap, with one mark for all that is missing: a reader gains nothing from several."""
        assert self._next is not None
        expected = self._next
        after = min(self._held, key=lambda place: (place - expected) & _MASK)
        self.lost += (after - expected) & _MASK
        cut_short = self._decoder.decode(b"", final=True)  # a character that began before the gap
        self._decoder.reset()
        self._next = after
        return (cut_short or MISSING) + self._deliver()

    def _wait(self, now: float) -> str:
        if not self._held:
            self._due = None
        elif self._due is None:
            self._due = now + REORDER_TIME
        return ""


def _decoder() -> codecs.IncrementalDecoder:
    # Characters should not be cut (RFC 4103 §4), but some are. Octets that are no UTF-8 become U+FFFD.
    return codecs.getincrementaldecoder("utf-8")("replace")


def _ahead(place: int, expected: int) -> bool:
    return (place - expected) & _MASK < 0x8000


class TextSender:
    """Turns what is written into payloads; `poll` says what is to be sent now.

    t140 is the payload type of text, red that of redundant packets or None where the peer takes none, rate the
    characters a second that it takes, repeats the redundant generations.
    """

    def __init__(self, t140: int, red: int | None, rate: int = DEFAULT_RATE, repeats: int = REPEATS) -> None:
        self.t140, self.red = t140, red
        self._rate = max(1, rate)
        self._repeats = repeats if red is not None else 0
        self._credit = self._rate * RATE_WINDOW
        self._credited = 0.0
        self._waiting = BOM
        self._sent: deque[tuple[float, bytes]] = deque(maxlen=max(1, self._repeats))
        self._left = 0
        self._due = float("-inf")
        self._idle = True

    def change(self, t140: int, red: int | None, rate: int, repeats: int) -> None:
        """Take what was negotiated anew; what waits still goes out."""
        self.t140, self.red, self._rate = t140, red, max(1, rate)
        self._repeats = repeats if red is not None else 0
        self._sent = deque(self._sent, maxlen=max(1, self._repeats))

    def write(self, text: str) -> bool:
        """Let text go out; False, and nothing goes, if too much waits already."""
        if len(self._waiting) + len(text) > MAX_WAITING:
            return False
        self._waiting += text
        return True

    def poll(self, now: float) -> tuple[int, bytes, bool] | None:
        """Return the packet that is due: payload type, payload, marker; None if there is none.

        The marker says that it is the first one after silence (RFC 4103 §5.1).
        """
        if now < self._due or not (self._waiting or self._left):
            return None
        block = self._block(now)
        if not block and not self._left:
            return None  # the peer takes no more characters just now
        marker, self._idle = self._idle, False
        payload_type, payload = self._payload(block, now)
        if self._repeats:
            self._sent.append((now, block))
        self._left = self._repeats if block else self._left - 1
        self._due = now + INTERVAL
        self._idle = not self._left and not self._waiting
        return payload_type, payload, marker

    def _block(self, now: float) -> bytes:
        most = self._rate * RATE_WINDOW
        self._credit = min(most, self._credit + (now - self._credited) * self._rate)
        self._credited = now
        count = min(len(self._waiting), int(self._credit), MAX_BLOCK)
        while len(self._waiting[:count].encode()) > MAX_BLOCK:
            count -= 1 + count // 8
        text, self._waiting = self._waiting[:count], self._waiting[count:]
        self._credit -= count
        return text.encode("utf-8", "replace")

    def _payload(self, block: bytes, now: float) -> tuple[int, bytes]:
        if self.red is None:
            return self.t140, block
        blocks = [Block(self.t140, 0, block)]
        for sent, older in reversed(self._sent):
            # After a long silence these are empty, and older than can be told: they are there to be counted.
            offset = min(round((now - sent) * 1000), red.MAX_OFFSET)
            blocks.insert(0, Block(self.t140, offset, older))
        return self.red, red.pack(blocks)
