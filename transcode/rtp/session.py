"""One stream's RTP session: packets in and out, and the RTCP that goes with them (RFC 3550, RFC 4585).

Theory of operation. A session sends one SSRC and receives one; `receiving` tells whose packets are taken. When the
source changes or restarts, `generation` moves: whoever keeps packets in order (jitter buffers, decoders) resets on
that. Nothing here sleeps or sends: `receive_rtcp` returns what the peer wants, `retransmissions` and `poll` return the
datagrams to send now, `next_due` tells when to poll again. A compound always begins with a report and a CNAME
(RFC 3550 §6.1), so that peers without reduced-size RTCP understand it.

All times are seconds of one monotonic clock; sessions that share it and `clock_offset` tell their peers matching NTP
times, which is what lip sync needs.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterable

from transcode.media import Kind, Mid
from transcode.rtp import history, rtcp
from transcode.rtp.asking import KeyFrameWish
from transcode.rtp.events import BandwidthLimit, Bye, KeyFrameRequested, NackReceived, ReportReceived, RtcpEvent
from transcode.rtp.history import SLOTS, History
from transcode.rtp.mid import header_extension
from transcode.rtp.missing import Missing
from transcode.rtp.receiving import INFINITE, Receiving

REPORT_INTERVAL = {Kind.AUDIO: 4.0, Kind.VIDEO: 1.5, Kind.TEXT: 4.0, Kind.DATA: 4.0, Kind.CAMERA: 4.0}
"""Mean seconds between reports: the reduced minimum of RFC 3550 §6.2; video's feed the sender's rate control."""
MIN_INTERVAL, MAX_INTERVAL = 1.0, 5.0
FIRST_INTERVAL = 0.5
"""Seconds before the first report at most, so that lip sync and rate control have something to start from."""
FIR_REPEAT = 0.5
"""Seconds in which a FIR with the same number is a repeat (RFC 5104 §4.3.1.2); later it is a peer that never counts."""
LIMIT_SPACING = 0.2
"""Seconds between two messages that change the peer's bit rate."""

_HEAD = struct.Struct("!BBHII")
_MASK = SLOTS - 1


class RtpSession(Receiving):
    """One stream, both directions.

    kind and clock_rate (Hz of RTP timestamps) describe the stream; ssrc is what we send with; cname ties the streams
    of one leg together. shared says that other sessions use the same transport (BUNDLE): feedback then counts only if
    it names our SSRC, while a peer with a transport of its own may name it wrongly, as some devices do.
    clock_offset in seconds makes NTP time of the monotonic clock.

    Counters: packets_in/out, bytes_in/out (payload octets), malformed, foreign (of a source that is not ours),
    refused (sequence far off), unknown_payload, looped (with our own SSRC), recovered (by retransmission),
    resent, rtcp_in/out, rtcp_malformed, source_changes. loss_in is the share lost in our last report's interval,
    loss_out the share that the peer last reported; jitter and round_trip are in ms.
    """

    __slots__ = (
        "_anchor",
        "_feedback",
        "_fir_heard",
        "_history",
        "_limit",
        "_limit_due",
        "_limit_sent",
        "_mid",
        "_naming",
        "_next_report",
        "_notify",
        "_now",
        "_packets_reported",
        "_random",
        "_ring",
        "_rtx_payload_type",
        "_rtx_sequence",
        "_rtx_ssrc",
        "_sent_at",
        "_sent_timestamp",
        "_sequence",
        "_wish",
        "bytes_out",
        "clock_offset",
        "cname",
        "last_rtcp",
        "loss_out",
        "packets_out",
        "remote_cname",
        "remote_jitter",
        "resent",
        "round_trip",
        "rtcp_in",
        "rtcp_malformed",
        "rtcp_out",
        "send_clock_rate",
        "shared",
    )

    def __init__(
        self,
        kind: Kind,
        ssrc: int,
        cname: str,
        clock_rate: int,
        rng: random.Random | int,
        *,
        feedback: Iterable[str] = (),
        shared: bool = False,
        clock_offset: float = 0.0,
    ) -> None:
        super().__init__(kind, ssrc, clock_rate)
        self.cname = cname
        self.send_clock_rate = clock_rate
        self.shared = shared
        self.clock_offset = clock_offset
        self._random = rng if isinstance(rng, random.Random) else random.Random(rng)
        self._init_sending()
        self._init_control()
        self.feedback = frozenset(feedback)

    def _init_sending(self) -> None:
        # The first numbers stay below 2**15, so that an SRTP receiver that misses the first packets cannot mistake
        # the first wrap (RFC 3711 §3.3.1).
        self._sequence = self._random.randrange(1, 1 << 15)
        self._rtx_sequence = self._random.randrange(1, 1 << 15)
        self._rtx_payload_type = self._rtx_ssrc = -1
        self._history: History | None = None
        self._ring: list[tuple[int, float, bytes] | None] | None = None
        self._sent_at = self._now = 0.0
        self._sent_timestamp = 0
        self._anchor: tuple[int, float] | None = None
        self._mid: Mid | None = None
        self._naming = b""
        self.packets_out = self.bytes_out = self.resent = 0

    def _init_control(self) -> None:
        self.remote_cname = ""
        self.last_rtcp = -INFINITE
        self.loss_out = self.remote_jitter = 0.0
        self.round_trip: float | None = None
        self.rtcp_in = self.rtcp_out = self.rtcp_malformed = 0
        self._wish = KeyFrameWish()
        self._fir_heard = (-1, -INFINITE)
        self._notify: tuple[rtcp.RateEntry, ...] = ()
        self._limit: int | None = None
        self._limit_due = INFINITE
        self._limit_sent = -INFINITE
        self._packets_reported = 0
        self._next_report = -INFINITE

    # What was negotiated

    @property
    def feedback(self) -> frozenset[str]:
        """The rtcp-fb values that hold for this stream, as in `media.Format.feedback`; may be set at any time."""
        return self._feedback

    @feedback.setter
    def feedback(self, values: Iterable[str]) -> None:
        self._feedback = frozenset(values)
        self._wish.pli = "nack pli" in self._feedback
        self._wish.fir = "ccm fir" in self._feedback
        if not self._wish.possible:
            self._wish.granted()
        repair = "nack" in self._feedback and self.kind is Kind.VIDEO
        if repair and self._history is None:
            self._history, self._missing = History(), Missing()
        elif not repair:
            self._history = self._missing = None
        self._ring = None if self._history is None else self._history.ring

    def set_clock_rates(self, receive: int, send: int) -> None:
        """Take newly negotiated clock rates in Hz."""
        self.clock_rate, self.send_clock_rate = receive, send
        if self._reception is not None:
            self._reception.clock_rate = receive

    def send_rtx(self, payload_type: int | None, ssrc: int = 0) -> None:
        """Retransmit as RTX with this payload type and SSRC (RFC 4588), or plainly with None."""
        self._rtx_payload_type, self._rtx_ssrc = (-1, -1) if payload_type is None else (payload_type, ssrc)

    def name_stream(self, mid: Mid | None) -> None:
        """Let our packets name their stream until the peer reports on them: then it knows our SSRC (RFC 9143 §15)."""
        if mid != self._mid:
            self._mid = mid
            self._naming = b"" if mid is None else header_extension(mid)

    # Sending media

    def pack(self, payload_type: int, payload: bytes, timestamp: int, marker: bool = False, now: float = 0.0) -> bytes:
        """Return the next RTP packet with this payload; timestamp in ticks, modulo 2**32.

        now, in seconds, should be given: it ties timestamps to time for the sender reports and ages the history.
        """
        sequence = self._sequence
        self._sequence = sequence + 1 & 0xFFFF
        self.packets_out += 1
        self.bytes_out += len(payload)
        self._sent_timestamp = timestamp
        self._sent_at = now = now or self._now
        naming = self._naming
        packet = _HEAD.pack(
            0x90 if naming else 0x80,
            payload_type | 0x80 if marker else payload_type,
            sequence,
            timestamp & 0xFFFFFFFF,
            self.ssrc,
        )
        packet += naming + payload if naming else payload
        ring = self._ring
        if ring is not None:
            ring[sequence & _MASK] = (sequence, now, packet)
        return packet

    @property
    def sent_timestamp(self) -> int:
        """The timestamp of what was sent last."""
        return self._sent_timestamp

    @property
    def next_sequence(self) -> int:
        """The sequence number that the next packet gets."""
        return self._sequence

    def pack_onward(
        self, payload_type: int, payload: bytes, sequence: int, timestamp: int, marker: bool, now: float
    ) -> bytes:
        """Return a packet with a sequence number of its own, as a forwarded one has: gaps and order are kept."""
        before = (self._sequence, self._sent_timestamp, self._sent_at)
        late = (sequence - self._sequence) & 0xFFFF >= 0x8000
        self._sequence = sequence
        packet = self.pack(payload_type, payload, timestamp, marker, now)
        if late:
            self._sequence, self._sent_timestamp, self._sent_at = before
        return packet

    def due_timestamp(self, timestamp: int, now: float) -> int:
        """Return the timestamp of what is sent now: the next one, or a later one if nothing was sent for a while."""
        if not self.packets_out:
            return timestamp
        elapsed = round((now - self._sent_at) * self.send_clock_rate)
        behind = (self._sent_timestamp + elapsed - timestamp) & 0xFFFFFFFF
        return timestamp if behind >= 0x80000000 else (timestamp + behind) & 0xFFFFFFFF

    def anchor(self, timestamp: int, now: float) -> None:
        """Say which moment a timestamp stands for, if it is not when its packets are sent: a picture's is when it was
        composed, and coding takes a while."""
        self._anchor = (timestamp, now)

    def retransmissions(self) -> list[bytes]:
        """Return the packets that the peer asked for again, as RTX if that was set."""
        if self._history is None:
            return []
        packets = self._history.take()
        self.resent += len(packets)
        if self._rtx_payload_type < 0:
            return packets
        wrapped = []
        for packet in packets:
            wrapped.append(history.wrap(packet, self._rtx_payload_type, self._rtx_sequence, self._rtx_ssrc))
            self._rtx_sequence = self._rtx_sequence + 1 & 0xFFFF
        return wrapped

    # Receiving RTCP

    def receive_rtcp(self, data: bytes, now: float) -> list[RtcpEvent]:
        """Take one decrypted RTCP datagram; returns what it asks for and tells. Malformed ones are counted."""
        self._now = now
        try:
            packets = rtcp.parse(data)
        except ValueError:
            self.rtcp_malformed += 1
            return []
        self.rtcp_in += 1
        self.last_rtcp = now
        events: list[RtcpEvent] = []
        for packet in packets:
            match packet:
                case rtcp.SenderReport() | rtcp.ReceiverReport():
                    self._report(packet, now, events)
                case rtcp.SourceDescription():
                    self._name(packet)
                case rtcp.Goodbye():
                    self._goodbye(packet, now, events)
                case _:
                    self._feedback_received(packet, now, events)
        return events

    def _ours(self, media: int) -> bool:
        return media == self.ssrc or not self.shared

    def _report(self, packet: rtcp.SenderReport | rtcp.ReceiverReport, now: float, events: list[RtcpEvent]) -> None:
        if isinstance(packet, rtcp.SenderReport) and packet.ssrc == self._source:
            assert self._reception is not None
            self._reception.report_received(packet.ntp, now)
            self.sender_clock = (packet.ntp / 4294967296, packet.timestamp, now)
        for block in packet.blocks:
            if block.ssrc != self.ssrc:
                continue
            self._naming = b""
            if block.last_sr:
                elapsed = (self._ntp(now) >> 16) - block.last_sr - block.delay & 0xFFFFFFFF
                if elapsed < 0x100000:  # 16 s: more is a clock gone wrong, a negative one too
                    fresh = elapsed * 1000 / 65536
                    known = self.round_trip
                    self.round_trip = fresh if known is None else known + (fresh - known) / 4
            self.loss_out = block.fraction_lost / 256
            self.remote_jitter = block.jitter * 1000 / self.send_clock_rate
            events.append(ReportReceived(self.loss_out, self.remote_jitter, self.round_trip))

    def _name(self, packet: rtcp.SourceDescription) -> None:
        for ssrc, name in packet.names:
            if ssrc == self._source:
                self.remote_cname = name

    def _goodbye(self, packet: rtcp.Goodbye, now: float, events: list[RtcpEvent]) -> None:
        if self._source in packet.ssrcs:
            self._gone_at = now
            events.append(Bye(self._source, packet.reason))

    def _feedback_received(self, packet: rtcp.RtcpPacket, now: float, events: list[RtcpEvent]) -> None:
        match packet:
            case rtcp.PictureLoss() if self._ours(packet.media):
                events.append(KeyFrameRequested("pli"))
            case rtcp.FullIntraRequest():
                for media, number in packet.entries:
                    if self._ours(media) and self._fresh_fir(number, now):
                        events.append(KeyFrameRequested("fir"))
                        break
            case rtcp.Nack() if self._ours(packet.media):
                if self._history is not None:
                    self._history.ask(packet.sequences, now, (self.round_trip or 0.0) / 1000)
                events.append(NackReceived(packet.sequences))
            case rtcp.EstimatedBandwidth() if self.ssrc in packet.ssrcs or not self.shared:
                events.append(BandwidthLimit(packet.bit_rate, "remb"))
            case rtcp.RateRequest():
                for entry in packet.entries:
                    if self._ours(entry.ssrc):
                        self._notify = (rtcp.RateEntry(packet.sender, entry.bit_rate, entry.overhead),)
                        self._due = now
                        events.append(BandwidthLimit(entry.bit_rate, "tmmbr"))
                        break
            case rtcp.RateNotification():
                if any(entry.ssrc == self.ssrc for entry in packet.entries):
                    self._limit_due = INFINITE

    def _fresh_fir(self, number: int, now: float) -> bool:
        known, since = self._fir_heard
        if number == known and now - since < FIR_REPEAT:
            return False
        self._fir_heard = (number, now)
        return True

    # Sending RTCP

    @property
    def asks_key_frames(self) -> bool:
        """Whether an RTCP message that asks for a key frame was negotiated."""
        return self._wish.possible

    def request_key_frame(self, now: float) -> bool:
        """Ask for a key frame until `key_frame_received`; False if no RTCP message was negotiated for it."""
        if not self._wish.possible:
            return False
        self._wish.want(now)
        self._due = min(self._due, self._wish.due)
        return True

    def key_frame_received(self) -> None:
        """A key frame came: stop asking."""
        self._wish.granted()

    def limit_remote(self, bit_rate: int, now: float) -> bool:
        """Ask the peer to send at most so many bit/s, by REMB or TMMBR; False if neither was negotiated."""
        if not self._feedback & {"goog-remb", "ccm tmmbr"}:
            return False
        if bit_rate != self._limit:
            self._limit = bit_rate
            self._limit_due = max(now, self._limit_sent + LIMIT_SPACING)
            self._due = min(self._due, self._limit_due)
        return True

    def next_due(self, now: float) -> float | None:
        """Return when `poll` has something to do, in seconds; now or earlier means at once."""
        return self._due if self._due < INFINITE else None

    def poll(self, now: float) -> list[bytes]:
        """Return the RTCP datagrams that are due."""
        if now < self._due:
            return []
        self._now = now
        if self._next_report == -INFINITE:
            self._next_report = now + FIRST_INTERVAL * self._random.uniform(0.2, 1.0)
        regular = now >= self._next_report
        urgent = self._urgent(now, regular)
        datagrams = []
        if regular or urgent:
            datagrams.append(rtcp.pack([*self._compound(now, regular), *urgent]))
            self.rtcp_out += 1
        missing = INFINITE if self._missing is None else self._missing.due
        self._due = min(self._next_report, self._wish.due, self._limit_due, missing)
        return datagrams

    def _urgent(self, now: float, regular: bool) -> list[rtcp.RtcpPacket]:
        """Return the feedback that is due: requests for key frames and packets, limits and their confirmations."""
        packets: list[rtcp.RtcpPacket] = []
        source = self._source
        if source < 0:
            source = self._announced[0] if self._announced else 0
        request = self._wish.message(now, self.ssrc, source)
        if request is not None:
            packets.append(request)
        if self._missing is not None:
            wanted = self._missing.requests(now, None if self.round_trip is None else self.round_trip / 1000)
            if wanted:
                packets.append(rtcp.Nack(self.ssrc, source, tuple(number & 0xFFFF for number in wanted)))
        if self._notify:
            packets.append(rtcp.RateNotification(self.ssrc, self._notify))
            self._notify = ()
        if self._limit is not None and (now >= self._limit_due or regular):
            packets.extend(self._limit_messages(now))
        return packets

    def _limit_messages(self, now: float) -> list[rtcp.RtcpPacket]:
        assert self._limit is not None
        if self._source < 0:
            self._limit_due = now + LIMIT_SPACING  # there is nobody to limit yet
            return []
        if "goog-remb" in self._feedback:
            self._limit_sent, self._limit_due = now, INFINITE  # each report repeats it
            return [rtcp.EstimatedBandwidth(self.ssrc, self._limit, (self._source,))]
        if self._limit_due == INFINITE:
            return []  # confirmed
        self._limit_sent, self._limit_due = now, now + MIN_INTERVAL
        return [rtcp.RateRequest(self.ssrc, (rtcp.RateEntry(self._source, self._limit),))]

    def bye(self, now: float) -> bytes:
        """Return the compound that ends our source (RFC 3550 §6.6)."""
        self.rtcp_out += 1
        return rtcp.pack([*self._compound(now, True), rtcp.Goodbye((self.ssrc,))])

    def _compound(self, now: float, regular: bool) -> list[rtcp.RtcpPacket]:
        """Return the report and the CNAME that every compound begins with (RFC 3550 §6.1).

        Only a regular one carries a report block and begins a new loss interval: feedback in between must not cut
        the interval into pieces too short to say anything.
        """
        blocks: tuple[rtcp.ReportBlock, ...] = ()
        if regular:
            interval = REPORT_INTERVAL[self.kind] * self._random.uniform(0.5, 1.5)
            self._next_report = now + max(MIN_INTERVAL, min(interval, MAX_INTERVAL))
            if self._reception is not None and not self._gone:
                blocks = (self._reception.block(now),)
        head: rtcp.RtcpPacket
        if self.packets_out > self._packets_reported:
            known, since = self._anchor or (self._sent_timestamp, self._sent_at)
            timestamp = known + round((now - since) * self.send_clock_rate) & 0xFFFFFFFF
            head = rtcp.SenderReport(self.ssrc, self._ntp(now), timestamp, self.packets_out, self.bytes_out, blocks)
            if regular:
                self._packets_reported = self.packets_out
        else:
            head = rtcp.ReceiverReport(self.ssrc, blocks)
        return [head, rtcp.SourceDescription(((self.ssrc, self.cname),))]

    def _ntp(self, now: float) -> int:
        """Return NTP time, 32.32 fixed point."""
        return int((now + self.clock_offset) * 4294967296) & 0xFFFFFFFFFFFFFFFF

    # Statistics

    def counters(self) -> dict[str, int]:
        """Return the counters by name."""
        return {
            name: getattr(self, name)
            for name in (
                "packets_in",
                "packets_out",
                "bytes_in",
                "bytes_out",
                "lost",
                "malformed",
                "foreign",
                "refused",
                "unknown_payload",
                "looped",
                "recovered",
                "resent",
                "rtcp_in",
                "rtcp_out",
                "rtcp_malformed",
                "source_changes",
            )
        }
