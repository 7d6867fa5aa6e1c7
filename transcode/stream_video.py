"""A leg's picture: from its carrier to the conference's composition and back."""

from __future__ import annotations

from dataclasses import replace

import structlog

from gateway.reasons import Reason
from transcode.asking import KeyFrameNeed
from transcode.carrier import Carrier
from transcode.conference import Conference
from transcode.echo import PictureEcho
from transcode.events import FormatsChanged, KeyFrameWanted, Sharing
from transcode.frames import EncodedFrame
from transcode.interface import StreamStatistics
from transcode.media import Codec, Format, Kind, LegId, Role
from transcode.negotiate import Chosen, frame_limits, sent_profile
from transcode.payload import h264_profile
from transcode.payload.formats import depacketizer
from transcode.payload.frames import FrameBuffer
from transcode.rtp.events import BandwidthLimit, KeyFrameRequested, NackReceived, ReportReceived, RtcpEvent
from transcode.rtp.rate import RateController
from transcode.sharing import SlidesWatch
from transcode.stream import Owner, Stream
from transcode.video.layout import slides_of
from transcode.video.source import VideoSource
from transcode.video.streams import Viewer

log = structlog.get_logger()

LOSSY = 0.01
"""Share of loss above which the packets of a key frame are sent twice to a peer that cannot ask for them again: of 30
packets at 5 % one is lost in four of five key frames, of doubled ones in one of fourteen."""
SUFFERING = 5.0
"""Seconds in which a second request for a key frame tells of loss too: many such peers send no reports."""
SLICE_SIZE = 1150
"""Octets of a NAL unit for receivers of single NAL unit packets; x264 overshoots a little, an MTU must hold it."""
SLIDES_RATE = 10
"""Most pictures a second of slides: they are to be sharp, and a level that is too low for a large picture at 30 holds
it at 10."""


class VideoStream(Stream):
    """Pictures, both ways: people, or slides beside them.

    Slides stand in the room from their first picture on, so that nobody sees an empty place.
    """

    kind = Kind.VIDEO
    clock_rate = 90_000

    def __init__(self, owner: Owner, id: str, carrier: Carrier, shared: bool, role: Role) -> None:
        super().__init__(owner, id, carrier, shared, role)
        self._face = slides_of(self.leg) if role is Role.SLIDES else self.leg
        self._slides = SlidesWatch()
        self._rtx_ssrc = owner.rng.randrange(1, 1 << 32)
        self._buffer: FrameBuffer | None = None
        self._buffers: dict[int, FrameBuffer] = {}
        self._source: VideoSource | None = None
        self._generation = 0
        self._rate: RateController | None = None
        self._viewer: Viewer | None = None
        self._offset = owner.rng.getrandbits(32)
        self._need = KeyFrameNeed()
        self._echo = PictureEcho()
        self._size_in = (0, 0)
        self._frames_out = self._key_frames_out = 0
        self._requests = (float("-inf"), float("-inf"))

    @property
    def ssrcs(self) -> tuple[int, ...]:
        """See `Stream.ssrcs`."""
        retransmits = self.chosen is not None and self.chosen.rtx is not None
        return (self.session.ssrc, self._rtx_ssrc) if retransmits else (self.session.ssrc,)

    # Setting up

    def configure(self, chosen: Chosen, bit_rate: int) -> None:
        """See `Stream.configure`."""
        before, session = self.chosen, self.session
        self._agree(chosen)
        main = chosen.send or next(iter(chosen.receive), None)
        session.feedback = frozenset(main.feedback if main is not None else ())
        session.rtx_types = dict(chosen.rtx_receive)
        session.send_rtx(chosen.rtx, self._rtx_ssrc)
        if before is None or before.receive != chosen.receive:
            self._configure_receiving(chosen)
        self._configure_sending(chosen, bit_rate)

    def _configure_receiving(self, chosen: Chosen) -> None:
        if self._source is not None:
            self._source.close()
        self._source = self._buffer = None
        self._echo = PictureEcho()
        self._buffers = self._make_buffers(chosen.receive)
        main = next(iter(chosen.receive), None)
        if main is not None:
            self.session.payload_types = frozenset(self._buffers)
            self._buffer = self._buffers[main.payload_type]
            self._source = VideoSource(self._face, main.codec, self._conference.pool, self._resized, self._refused_size)
            self._size_in = (0, 0)
            self._generation = self.session.generation
            self.session.limit_remote(self._conference.abilities_of(self.leg).bandwidth, self._clock())
        self._conference.video.set_source(self._face, None if self.role is Role.SLIDES else self._source)
        self._watch(self._clock())

    @staticmethod
    def _make_buffers(formats: tuple[Format, ...]) -> dict[int, FrameBuffer]:
        """Return the buffer of each payload type: one for all formats of a codec."""
        by_codec: dict[Codec, FrameBuffer] = {}
        made = {}
        for format in formats:
            if format.codec is Codec.RTX:
                continue
            if format.codec not in by_codec:
                by_codec[format.codec] = FrameBuffer(depacketizer(format), retransmission="nack" in format.feedback)
            made[format.payload_type] = by_codec[format.codec]
        return made

    def _configure_sending(self, chosen: Chosen, bit_rate: int) -> None:
        format = chosen.send
        if format is None:
            self._viewer = self._rate = None
            self._conference.video.set_viewer(self._face, None)
            return
        abilities = self._conference.abilities_of(self.leg)
        if self.role is Role.SLIDES:
            abilities = replace(abilities, frame_rate=min(abilities.frame_rate, SLIDES_RATE))
        width, height, frame_rate = frame_limits(format, abilities)
        most = min(bit_rate, h264_profile.limits(format).bit_rate) if format.codec is Codec.H264 else bit_rate
        if self._rate is None:
            self._rate = RateController(most)
        else:
            self._rate.set_maximum(most)
        self._viewer = Viewer(
            codec=format.codec,
            profile=sent_profile(format, width, height, frame_rate) if format.codec is Codec.H264 else "",
            width=width,
            height=height,
            frame_rate=frame_rate,
            bit_rate=self._rate.target,
            slice_size=SLICE_SIZE if _single_nal(format) else None,
            sink=self._send,
        )
        self._conference.video.set_viewer(self._face, self._viewer)

    def move(self, conference: Conference) -> None:
        """See `Stream.move`."""
        before = self._conference.video
        before.set_viewer(self._face, None)
        before.set_source(self._face, None)
        super().move(conference)
        if self._source is not None and (self.role is Role.MAIN or self._size_in != (0, 0)):
            conference.video.set_source(self._face, self._source)
        if self._viewer is not None:
            conference.video.set_viewer(self._face, self._viewer)
            self._retarget()

    # Receiving

    def take(self, data: bytes, arrival: float) -> None:
        """See `Stream.take`."""
        session = self.session
        packet = session.receive_rtp(data, arrival)
        if packet is None or self._buffer is None:
            return
        buffer = self._buffers.get(packet.payload_type, self._buffer)
        if buffer is not self._buffer or session.generation != self._generation:
            # Another source, or another codec of those that were agreed on.
            self._generation = session.generation
            self._buffer = buffer
            buffer.reset()
        frames = buffer.push(packet, arrival)
        if frames:
            self._feed(frames)

    def _feed(self, frames: list[EncodedFrame]) -> None:
        if self._conference.echo:
            now = self._clock()
            for frame in frames:
                self._echo.push(frame, now)
        else:
            self._decode(frames)

    def _decode(self, frames: list[EncodedFrame]) -> None:
        source = self._source
        for frame in frames:
            if source is not None:
                source.feed(frame)

    def _ask(self, wanted: bool, now: float) -> None:
        """Have the peer asked for a key frame for as long as one is wanted."""
        session = self.session
        by_signalling = self._need.update(wanted, session.asks_key_frames, session.last_rtp, now)
        if self._need.needed:
            session.request_key_frame(now)
        else:
            session.key_frame_received()
        if by_signalling:
            self._emit(KeyFrameWanted(self.leg, self.id))

    def _resized(self, leg: LegId, width: int, height: int) -> None:
        self._size_in = (width, height)
        if self.role is Role.SLIDES:
            self._conference.video.set_source(self._face, self._source)

    def _refused_size(self, leg: LegId, width: int, height: int) -> None:
        reason = Reason.PICTURE_TOO_LARGE.value
        log.warning("picture_too_large", call=self.leg, width=width, height=height, reason=reason)

    def react(self, event: RtcpEvent, now: float) -> None:
        """See `Stream.react`."""
        match event:
            case KeyFrameRequested():
                self.key_frame_requested(now)
            case NackReceived():
                for packet in self.session.retransmissions():
                    self.carrier.send_rtp(packet)
            case ReportReceived() if self._rate is not None:
                self._rate.report(event.loss, event.round_trip, now)
                self._retarget()
            case BandwidthLimit() if self._rate is not None:
                self._rate.limit(event.bit_rate, event.how)
                self._retarget()

    def _retarget(self) -> None:
        if self._rate is not None:
            self._conference.video.set_bit_rate(self._face, self._rate.target)

    def poll(self, now: float) -> None:
        """See `Stream.poll`."""
        self._poll_receiving(now)
        self._watch(now)
        super().poll(now)

    def _watch(self, now: float) -> None:
        """Tell when slides begin to come, and when they cease."""
        if self.role is Role.SLIDES:
            pictures = None if self._source is None else self._source.statistics.pictures
            if self._slides.update(pictures, now):
                self._emit(Sharing(self.leg, self._slides.sharing))

    def _poll_receiving(self, now: float) -> None:
        buffer, source = self._buffer, self._source
        if buffer is None or source is None:
            return
        trip = self.session.round_trip
        buffer.set_timing(None if trip is None else trip / 1000, self.session.jitter / 1000)
        frames = buffer.poll(now)
        if self._echo:  # what waits when the room ceases to be one of echoes goes first
            self._decode(self._echo.pop(now) if self._conference.echo else self._echo.pop(now, delay=0.0))
        if frames:
            self._feed(frames)
        self._ask(buffer.needs_key_frame or (source.needs_key_frame and not self._echo.holds_key), now)

    # Sending

    def _send(self, frame: EncodedFrame) -> None:
        """Send one coded picture; its payloads are made once for all who get the same."""
        chosen = self.chosen
        try:
            if chosen is not None and chosen.send is not None and frame.codec is chosen.send.codec:
                self._conference.send(frame, chosen.send, lambda payloads: self._arrived(frame, payloads))
        except Exception as fault:
            self._owner.fail(fault)

    def _arrived(self, frame: EncodedFrame, payloads: list[tuple[bytes, bool]]) -> None:
        try:
            self._put_out(frame, payloads)
        except Exception as fault:
            self._owner.fail(fault)

    def _put_out(self, frame: EncodedFrame, payloads: list[tuple[bytes, bool]]) -> None:
        chosen, session, now = self.chosen, self.session, self._clock()
        if chosen is None or chosen.send is None or frame.codec is not chosen.send.codec:
            return  # it was on its way while that was changed
        if not payloads:
            # It cannot be cut for this receiver; what follows builds on it, so begin anew.
            self._conference.video.request_key_frame(self._face)
            return
        timestamp = (frame.timestamp + self._offset) & 0xFFFFFFFF
        # The picture's moment is when it was composed: its timestamp counts from the same clock.
        session.anchor(timestamp, now - ((round(now * 90_000) - frame.timestamp) & 0xFFFFFFFF) / 90_000)
        payload_type, send = chosen.send.payload_type, self.carrier.send_rtp
        packets = [session.pack(payload_type, payload, timestamp, marker, now) for payload, marker in payloads]
        for packet in packets:
            send(packet)
        if frame.key and self._lossy(now):
            # Nobody can ask for what is missing of it, and a key frame with a hole is followed by another two seconds
            # of waiting: so every packet goes twice, far enough apart that one burst does not take both.
            for packet in packets:
                send(packet)
        self._frames_out += 1
        self._key_frames_out += frame.key

    def key_frame_requested(self, now: float) -> None:
        """The peer asked for a key frame, by RTCP or by signalling."""
        self._requests = (self._requests[1], now)
        self._conference.video.request_key_frame(self._face)

    def _lossy(self, now: float) -> bool:
        """Whether packets get lost on the way to a peer that cannot ask for them again."""
        suffers = self.session.loss_out > LOSSY or now - self._requests[0] < SUFFERING
        return suffers and "nack" not in self.session.feedback

    # Telling

    def _sizes(self) -> tuple[int, int, int, int]:
        viewer = self._viewer
        sent = (viewer.width, viewer.height) if viewer is not None else (0, 0)
        return (*self._size_in, *sent)

    def _codec_in(self) -> str:
        """See `Stream._codec_in`; a picture is known once it was decoded."""
        return self._source.codec.value if self._source is not None and self._size_in[0] else ""

    def formats(self) -> FormatsChanged | None:
        """See `Stream.formats`."""
        if self.chosen is None:
            return None
        codecs = (self._codec_in(), self._codec_out())
        return FormatsChanged(self.leg, self.id, Kind.VIDEO, *codecs, *self._sizes(), self.role)

    def statistics(self) -> StreamStatistics:
        """See `Stream.statistics`."""
        source = self._source.statistics if self._source is not None else None
        width_in, height_in, width_out, height_out = self._sizes()
        return replace(
            super().statistics(),
            width_in=width_in,
            height_in=height_in,
            width_out=width_out,
            height_out=height_out,
            frames_in=source.frames if source is not None else 0,
            frames_out=self._frames_out,
            key_frames_in=source.key_frames if source is not None else 0,
            key_frames_out=self._key_frames_out,
            bit_rate_target=self._rate.target if self._rate is not None else 0,
        )

    def counters(self) -> dict[str, int]:
        """See `Stream.counters`."""
        counted = super().counters()
        if self._buffer is not None:
            pictures = self._buffer.counters()
            pictures["malformed_payloads"] = pictures.pop("malformed", 0)
            counted |= {name: counted.get(name, 0) + count for name, count in pictures.items() if name != "lost"}
        if self._source is not None:
            video = self._source.statistics
            counted |= {"pictures_refused": video.refused, "decoder_errors": video.errors}
        return counted

    def close(self) -> None:
        """See `Stream.close`."""
        super().close()
        self._conference.video.set_viewer(self._face, None)
        self._conference.video.set_source(self._face, None)
        if self._source is not None:
            self._source.close()
        if self._slides.update(None, self._clock()):
            self._emit(Sharing(self.leg, False))


def _single_nal(format: Format) -> bool:
    return format.codec is Codec.H264 and format.parameter("packetization-mode", "0") == "0"
