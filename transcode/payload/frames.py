"""The video jitter buffer: packets in any order in, whole frames in decoding order out.

Packets pass two stages. The first puts them in order of their sequence numbers: one that is next goes straight on, one
behind a hole is held until the hole is filled or its time is up, then it goes on with a mark that packets are missing.
The second gathers packets of one timestamp and gives them to the depacketizer when the frame ends: at the marker, or
where the timestamp changes. A whole frame leaves with its last packet; nothing is delayed for smoothness.

A hole may wait as long as a retransmission can still come (two tries by round trip and jitter), or for mere reordering
where none was agreed.

After a loss the picture is broken until the next key frame. Codecs that mend themselves (H.261, H.263) go on, their
frames marked as damaged; the others freeze and `needs_key_frame` asks for one. A sender that never answers that
(H.264 with intra refresh and no IDR pictures) gets its frames through, marked, from its next recovery point on, or
after `PATIENCE` if it tells of none: they mend the picture.

Some senders set the marker on nearly every packet. H.263 and H.261 are therefore delimited by timestamp alone until a
marker has proved to end a frame; for all codecs the marker is no longer believed once a frame went on behind it.
"""

from __future__ import annotations

from transcode.frames import EncodedFrame
from transcode.media import Codec
from transcode.payload.interface import Depacketizer, Picture
from transcode.rtp.packet import RtpPacket

MAX_PACKETS = 1024
"""Packets held behind a hole, and packets of one frame: a second of 10 Mbit/s, or one frame of 1.2 MB."""
MAX_OCTETS = 4 * 1024 * 1024
"""Octets of payload held behind a hole, and of one frame; an intra picture of 1080p has about 300 KB."""
REORDER_WAIT = 0.030
"""Seconds that a hole waits where nothing is retransmitted: networks reorder within some ms."""
MAX_WAIT = 0.150
"""Seconds that a hole waits at most; longer, and a new key frame is there as soon."""
NACK_DELAY = 0.020
"""Seconds from the hole to the first NACK, as sessions allow for reordering."""
PATIENCE = 1.0
"""Seconds after which damaged frames are better than none: a key frame that was asked for is here by then, unless it
was lost as well; half of the 2 s in which a picture has to come back."""
PROOF_FRAMES = 8
"""Frames whose marker must have ended them before the marker alone ends a frame of H.263 and H.261."""
QUIET = 0.100
"""Seconds after a doubted marker in which nothing came: then the frame is taken to have ended."""
_WRAP = 1 << 16
_HALF = 1 << 15
_MARKER_DOUBTED = frozenset({Codec.H263, Codec.H263P, Codec.H261})
_REFRESHED = frozenset({Codec.H264})
"""Codecs whose senders may mend the picture without ever sending a key frame."""


class FrameBuffer:
    """Makes frames of one stream's packets; one object a stream, called with a monotonic clock in seconds.

    retransmission says that NACK was agreed. tolerate_damage passes frames on after a loss; None leaves that to the
    codec. needs_key_frame stays True from a loss (and from the start) to the next key frame.
    """

    def __init__(
        self, depacketizer: Depacketizer, *, retransmission: bool = False, tolerate_damage: bool | None = None
    ) -> None:
        self._depacketizer = depacketizer
        self._tolerant = depacketizer.tolerant if tolerate_damage is None else tolerate_damage
        self.retransmission = retransmission
        self.late = 0
        self.doubled = 0
        self.lost = 0
        self.resets = 0
        self.frames = 0
        self.frames_frozen = 0
        self.frames_damaged = 0
        self.frames_too_large = 0
        self.frames_continued = 0
        self._round_trip: float | None = None
        self._jitter = 0.0
        self._clear()

    def _clear(self) -> None:
        self.needs_key_frame = True
        self._next: int | None = None
        self._held: dict[int, RtpPacket] = {}
        self._held_octets = 0
        self._due: float | None = None
        self._suspect: int | None = None
        self._parts: list[bytes | None] = []
        self._octets = 0
        self._too_large = False
        self._frame: RtpPacket | None = None
        self._gap = False
        self._ended: int | None = None
        self._ended_with_data = False
        self._broken_since: float | None = None
        self._marker_believed = self._depacketizer.codec not in _MARKER_DOUBTED
        self._marker_proofs = 0
        self._marker_wrong = False
        self._last_marked = False
        self._quiet_at: float | None = None
        self._resumed = False
        self._recovering: int | None = None

    def reset(self) -> None:
        """Forget all packets: another stream begins (new SSRC, new payload type). Counters stay."""
        self.resets += 1
        self._clear()

    def set_timing(self, round_trip: float | None, jitter: float) -> None:
        """Take the path's round trip (None: not known yet) and interarrival jitter, both in seconds."""
        self._round_trip = None if round_trip is None else max(0.0, round_trip)
        self._jitter = max(0.0, jitter)

    @property
    def wait(self) -> float:
        """Seconds that a hole waits to be filled."""
        if not self.retransmission:
            return min(MAX_WAIT, max(REORDER_WAIT, 3 * self._jitter))
        if self._round_trip is None:
            return MAX_WAIT
        return min(MAX_WAIT, max(REORDER_WAIT, NACK_DELAY + 2 * self._round_trip + 3 * self._jitter))

    @property
    def next_due(self) -> float | None:
        """When `poll` has something to do, in seconds of the clock; None: not before the next packet."""
        if self._due is None or self._quiet_at is None:
            return self._due if self._quiet_at is None else self._quiet_at
        return min(self._due, self._quiet_at)

    def counters(self) -> dict[str, int]:
        """Return what was counted since the beginning, by name; the depacketizer's among it."""
        return {
            "late": self.late,
            "doubled": self.doubled,
            "lost": self.lost,
            "resets": self.resets,
            "frames": self.frames,
            "frames_frozen": self.frames_frozen,
            "frames_damaged": self.frames_damaged,
            "frames_too_large": self.frames_too_large,
            "frames_continued": self.frames_continued,
            **self._depacketizer.counters(),
        }

    def push(self, packet: RtpPacket, now: float) -> list[EncodedFrame]:
        """Take a packet and return the frames that are ready now, in order."""
        frames: list[EncodedFrame] = []
        if self._next is None:
            self._next = packet.sequence
        ahead = (packet.sequence - self._next) & 0xFFFF
        if ahead >= _HALF:
            if not self._restarted(packet, _WRAP - ahead):
                return frames
            ahead = 0
        self._suspect = None
        if ahead == 0:
            self._forward(packet, now, frames)
            self._drain(now, frames)
        elif ahead >= MAX_PACKETS:
            self._leap(packet, now, frames)
        else:
            self._hold(packet, now, frames)
        if self._due is not None and now >= self._due:
            frames += self.poll(now)
        return frames

    def poll(self, now: float) -> list[EncodedFrame]:
        """Give up holes whose time is up, and return the frames that are ready without them."""
        frames: list[EncodedFrame] = []
        while self._due is not None and now >= self._due:
            self._give_up(now, frames)
        if self._quiet_at is not None and now >= self._quiet_at:
            self._finish(now, frames)
        return frames

    # --- first stage: order ---

    def _restarted(self, packet: RtpPacket, behind: int) -> bool:
        """Tell a late packet (dropped and counted) from a sender that began anew, which two in a row prove."""
        if behind > MAX_PACKETS:
            if self._suspect == packet.sequence:
                self.reset()
                self._next = packet.sequence
                return True
            self._suspect = (packet.sequence + 1) & 0xFFFF
        self.late += 1
        return False

    def _hold(self, packet: RtpPacket, now: float, frames: list[EncodedFrame]) -> None:
        """Keep a packet that is behind a hole."""
        if packet.sequence in self._held:
            self.doubled += 1
            return
        packet.arrival = packet.arrival or now
        self._held[packet.sequence] = packet
        self._held_octets += len(packet.payload)
        if self._due is None:
            self._due = now + self.wait
        while len(self._held) > MAX_PACKETS or self._held_octets > MAX_OCTETS:
            self._give_up(now, frames)

    def _leap(self, packet: RtpPacket, now: float, frames: list[EncodedFrame]) -> None:
        """Go on at a packet so far ahead that nothing before it is worth waiting for."""
        while self._held:
            self._give_up(now, frames)
        assert self._next is not None
        self.lost += (packet.sequence - self._next) & 0xFFFF
        self._gap = True
        self._forward(packet, now, frames)

    def _drain(self, now: float, frames: list[EncodedFrame]) -> None:
        """Forward the packets that are next in order, and set the time for the hole that remains."""
        while self._held:
            assert self._next is not None
            packet = self._held.pop(self._next, None)
            if packet is None:
                break
            self._held_octets -= len(packet.payload)
            self._forward(packet, now, frames)
        else:
            self._due = None
            return
        self._due = min(packet.arrival for packet in self._held.values()) + self.wait

    def _give_up(self, now: float, frames: list[EncodedFrame]) -> None:
        """Count the first hole as lost and go on behind it."""
        if not self._held or self._next is None:
            self._due = None
            return
        start = self._next
        self._next = min(self._held, key=lambda sequence: (sequence - start) & 0xFFFF)
        self.lost += (self._next - start) & 0xFFFF
        self._gap = True
        self._drain(now, frames)

    # --- second stage: frames ---

    def _forward(self, packet: RtpPacket, now: float, frames: list[EncodedFrame]) -> None:
        """Take the next packet in order into its frame."""
        self._next = (packet.sequence + 1) & 0xFFFF
        if not packet.payload:
            return
        gap, self._gap = self._gap, False
        if self._frame is not None and packet.timestamp != self._frame.timestamp:
            if gap and (self._marker_wrong or not self._last_marked):
                self._parts.append(None)
            elif self._last_marked:
                self._marker_proved()
            self._finish(now, frames)
        if gap:
            self._broken(now)
        if self._frame is None:
            self._begin(packet, gap, now)
        elif gap:
            self._parts.append(None)
        elif self._last_marked:
            self._marker_wrong = True
        self._last_marked = packet.marker
        self._quiet_at = None
        self._add(packet.payload)
        if packet.marker:
            if self._marker_believed:
                self._finish(now, frames)
            else:
                self._quiet_at = now + QUIET

    def _begin(self, packet: RtpPacket, gap: bool, now: float) -> None:
        """Begin a frame with the first packet that came of it."""
        packet.arrival = packet.arrival or now
        self._frame = packet
        whole = self._depacketizer.begins(packet.payload)
        if packet.timestamp == self._ended and self._ended_with_data and not whole:
            self.frames_continued += 1
            self._marker_believed = False
            self._marker_wrong = True
            self._broken(now)
            self._parts.append(None)
        elif gap and not whole:
            self._parts.append(None)

    def _add(self, payload: bytes) -> None:
        """Put a payload to its frame unless that is too large already."""
        if self._too_large:
            return
        self._octets += len(payload)
        if len(self._parts) >= MAX_PACKETS or self._octets > MAX_OCTETS:
            self._too_large = True
            self._parts = []
            return
        self._parts.append(payload)

    def _marker_proved(self) -> None:
        """Count a marker that ended a frame; believe markers after enough of them if none was wrong."""
        self._marker_proofs += 1
        if self._marker_proofs >= PROOF_FRAMES and not self._marker_wrong:
            self._marker_believed = True

    def _broken(self, now: float) -> None:
        """Note a loss: the picture is wrong until the next key frame."""
        self.needs_key_frame = True
        self._recovering = None
        if self._broken_since is None:
            self._broken_since = now

    def _mended(self) -> None:
        """Note that the picture is right again."""
        self.needs_key_frame = False
        self._broken_since = None
        self._resumed = False
        self._recovering = None

    def _finish(self, now: float, frames: list[EncodedFrame]) -> None:
        """End the frame that is being gathered, and release it if it can be shown."""
        first, parts, too_large = self._frame, self._parts, self._too_large
        self._frame, self._parts, self._octets, self._too_large = None, [], 0, False
        self._last_marked = False
        self._quiet_at = None
        if first is None:
            return
        self._ended = first.timestamp
        self._ended_with_data = True
        if too_large:
            self.frames_too_large += 1
            self._broken(now)
            return
        self._resume(now)
        picture = self._depacketizer.assemble(parts)
        if not picture.data and not picture.damaged:
            self._ended_with_data = False
            return
        if picture.damaged:
            self._broken(now)
        elif picture.key:
            self._mended()
        elif self.needs_key_frame:
            self._recover(picture, now)
        if not picture.data or (self.needs_key_frame and not self._tolerant and not self._resumed):
            self.frames_frozen += 1
            return
        damaged = picture.damaged or self.needs_key_frame
        self.frames += 1
        self.frames_damaged += damaged
        codec = self._depacketizer.codec
        frames.append(EncodedFrame(codec, picture.data, first.timestamp, picture.key, damaged, first.arrival))

    def _recover(self, picture: Picture, now: float) -> None:
        """Count a whole frame of a broken picture on the way to its recovery."""
        if self._broken_since is None:
            self._broken_since = now
        if self._recovering is not None:
            self._recovering -= 1
            if self._recovering <= 0:
                self._mended()
        elif picture.recovery is not None:
            self._recovering = picture.recovery
            self._resumed = True

    def _resume(self, now: float) -> None:
        """Let frames through again after a long wait for a key frame, where they may mend the picture."""
        if self._resumed or self._broken_since is None or self._depacketizer.codec not in _REFRESHED:
            return
        if now - self._broken_since >= PATIENCE:
            self._resumed = True
            self._depacketizer.resume()
