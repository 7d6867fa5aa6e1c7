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
from transcode.forwarding import HoldOff, ahead
from transcode.forwarding_fits import picture_fits, same_codec
from transcode.forwarding_picture import BitRate, PictureForward
from transcode.frames import EncodedFrame
from transcode.interface import StreamStatistics
from transcode.media import Codec, Format, Kind, LegId, Role
from transcode.negotiate import Chosen, frame_limits, sent_profile
from transcode.payload import h264_profile
from transcode.payload.formats import depacketizer, picture_size
from transcode.payload.frames import FrameBuffer
from transcode.repeating import KeyFrameRepeat
from transcode.rtp.events import BandwidthLimit, KeyFrameRequested, NackReceived, ReportReceived, RtcpEvent
from transcode.rtp.rate import RateController
from transcode.sharing import SlidesWatch
from transcode.stream import Owner, Stream
from transcode.video.layout import slides_of
from transcode.video.source import VideoSource
from transcode.video.streams import Viewer

log = structlog.get_logger()

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
        self._repeat = KeyFrameRepeat()
        self._onward: PictureForward | None = None
        self._target: VideoStream | None = None
        self._feeder: VideoStream | None = None
        self._fed = False
        self._coming = BitRate()
        self._hold = HoldOff()
        self._frames_in = self._key_frames_in = self._forwarded = 0
        if role is Role.MAIN:
            owner.conference.forwarding.join(self)

    @property
    def ssrcs(self) -> tuple[int, ...]:
        """See `Stream.ssrcs`."""
        retransmits = self.chosen is not None and self.chosen.rtx is not None
        return (self.session.ssrc, self._rtx_ssrc) if retransmits else (self.session.ssrc,)

    # Setting up

    def configure(self, chosen: Chosen, bit_rate: int) -> None:
        """See `Stream.configure`."""
        if self.role is Role.MAIN:
            self._stop_unless_same(chosen)
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
        self._end_source()
        self._buffer = None
        self._echo = PictureEcho()
        self._buffers = self._make_buffers(chosen.receive)
        main = next(iter(chosen.receive), None)
        if main is not None:
            self.session.payload_types = frozenset(self._buffers)
            self._buffer = self._buffers[main.payload_type]
            self._source = self._make_source(main)
            self._size_in = (0, 0)
            self._generation = self.session.generation
            self.session.limit_remote(self._conference.abilities_of(self.leg).bandwidth, self._clock())
        self._conference.video.set_source(self._face, None if self.role is Role.SLIDES else self._source)
        self._watch(self._clock())

    def _make_source(self, format: Format) -> VideoSource:
        return VideoSource(self._face, format.codec, self._conference.pool, self._resized, self._refused_size)

    def _end_source(self) -> None:
        """Decode no more; what was counted stays."""
        if self._source is not None:
            counted = self._source.statistics
            self._frames_in += counted.frames
            self._key_frames_in += counted.key_frames
            self._source.close()
        self._source = None

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
        if not self._fed:
            self._conference.video.set_viewer(self._face, self._viewer)

    def move(self, conference: Conference) -> None:
        """See `Stream.move`."""
        self._conference.forwarding.leave(self, self._clock())
        before = self._conference.video
        before.set_viewer(self._face, None)
        before.set_source(self._face, None)
        super().move(conference)
        if self.role is Role.MAIN:
            conference.forwarding.join(self)
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
        elif self._onward is not None and self._target is not None:
            self._pass_on(frames, self._onward, self._target)
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
        if self._rate is not None and self._fed and self._feeder is not None:
            self._feeder.limit_source(self._rate.target)
        elif self._rate is not None:
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
        onward = self._onward
        if buffer is None or (source is None and onward is None):
            return
        trip = self.session.round_trip
        buffer.set_timing(None if trip is None else trip / 1000, self.session.jitter / 1000)
        frames = buffer.poll(now)
        if self._echo:  # what waits when the room ceases to be one of echoes goes first
            self._decode(self._echo.pop(now) if self._conference.echo else self._echo.pop(now, delay=0.0))
        if frames:
            self._feed(frames)
        wanted = source is not None and source.needs_key_frame and not self._echo.holds_key
        self._ask(buffer.needs_key_frame or wanted or (onward is not None and onward.wants_key), now)

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
            if self._fed and self._feeder is not None:
                self._feeder.refuse_onward()
            self._conference.video.request_key_frame(self._face)
            return
        timestamp = (frame.timestamp + self._offset) & 0xFFFFFFFF
        # The picture's moment is when it was composed: its timestamp counts from the same clock. A forwarded one's is
        # when it came, for the clock of its source may go faster or slower than ours.
        composed = now - ((round(now * 90_000) - frame.timestamp) & 0xFFFFFFFF) / 90_000
        session.anchor(timestamp, frame.arrival if self._fed else composed)
        payload_type, send = chosen.send.payload_type, self.carrier.send_rtp
        packets = [session.pack(payload_type, payload, timestamp, marker, now) for payload, marker in payloads]
        for packet in packets:
            send(packet)
        if frame.key and self._repeat.wanted(session.loss_out, session.feedback, now):
            for packet in packets:  # far enough apart that one burst does not take both
                send(packet)
        self._forwarded += len(packets) if self._fed else 0
        self._frames_out += 1
        self._key_frames_out += frame.key

    def key_frame_requested(self, now: float) -> None:
        """The peer asked for a key frame, by RTCP or by signalling."""
        self._repeat.requested(now)
        if self._fed and self._feeder is not None:
            self._feeder.want_key(now)
            return
        self._conference.video.request_key_frame(self._face)

    # Forwarding

    @property
    def forwards_to(self) -> VideoStream | None:
        """See `forwarding.End`; a key frame may yet be waited for."""
        return self._target

    def may_forward(self, target: object, now: float) -> bool:
        """See `forwarding.End`."""
        if not isinstance(target, VideoStream) or target._rate is None or not target._rate.target:
            return False
        too_much = self._coming.exceeds(self.session.bytes_in, target._rate.target, now)
        if self._hold.holds(too_much or (self._onward is not None and self._onward.unfit), now):
            return False
        return same_codec(self.chosen, target.chosen)

    def forward(self, target: object | None, now: float) -> None:
        """See `forwarding.End`."""
        onward, before = self._onward, self._target
        self._onward = self._target = None
        if before is not None:
            before.feed(None, now)
        if onward is not None and onward.flowing:
            self._decode_again()
        if isinstance(target, VideoStream):
            self._target, self._onward = target, PictureForward(self._fits)
            target.feed(self, now)

    def _decode_again(self) -> None:
        main = next(iter(self.chosen.receive), None) if self.chosen is not None else None
        if main is not None and self._source is None:
            self._source = self._make_source(main)
            self._conference.video.set_source(self._face, self._source)
            self.session.limit_remote(self._conference.abilities_of(self.leg).bandwidth, self._clock())

    def _fits(self, frame: EncodedFrame) -> bool:
        target = self._target
        if target is None or target.chosen is None or target.chosen.send is None:
            return False
        rate = self._source.frame_rate if self._source is not None else 0.0
        return picture_fits(target.chosen.send, self._conference.abilities_of(target.leg), frame, rate)

    def _pass_on(self, frames: list[EncodedFrame], onward: PictureForward, target: VideoStream) -> None:
        """Give each frame to the target as it is, or to the decoder where it cannot be that yet, or no more."""
        for frame in frames:
            going = onward.take(frame, self.session.generation)
            if going is None:
                self._decode([frame])
                continue
            if self._source is not None:  # the first one
                self._conference.video.set_source(self._face, None)
                self._end_source()
            self._frames_in += 1
            self._key_frames_in += frame.key
            if frame.key:
                self._size_in = picture_size(frame.codec, frame.data) or self._size_in
            target.send_onward(going)

    def feed(self, feeder: VideoStream | None, now: float) -> None:
        """Be sent what another leg sends, once that begins; None: be sent the room's picture again."""
        self._feeder = feeder
        if feeder is None and self._fed:
            self._fed = False
            composed = (round(now * 90_000) + self._offset) & 0xFFFFFFFF
            self._offset += max(0, ahead(self.session.sent_timestamp, composed) + 1)
            self._conference.video.set_viewer(self._face, self._viewer)
            self._retarget()

    def send_onward(self, frame: EncodedFrame) -> None:
        """Send another leg's picture as it is; the room's is not made any more from the first one on."""
        if not self._fed:
            self._fed = True
            self._conference.video.set_viewer(self._face, None)
            self._retarget()
        self._send(frame)

    def want_key(self, now: float) -> None:
        """Whom this stream is forwarded to needs a key frame."""
        if self._onward is not None:
            self._onward.wants_key = True
            self._poll_receiving(now)

    def refuse_onward(self) -> None:
        """Whom this stream is forwarded to cannot be sent it."""
        if self._onward is not None:
            self._onward.unfit = True

    def limit_source(self, bit_rate: int) -> None:
        """Ask the peer for no more than what the path to the other one carries."""
        most = min(bit_rate, self._conference.abilities_of(self.leg).bandwidth)
        self.session.limit_remote(most, self._clock())

    # Telling

    def _sizes(self) -> tuple[int, int, int, int]:
        viewer, feeder = self._viewer, self._feeder
        if self._fed and feeder is not None:
            return (*self._size_in, *feeder._size_in)
        sent = (viewer.width, viewer.height) if viewer is not None else (0, 0)
        return (*self._size_in, *sent)

    def _codec_in(self) -> str:
        """See `Stream._codec_in`; a picture is known once it was decoded."""
        if self._onward is not None and self._onward.flowing:
            return super()._codec_in()
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
            frames_in=self._frames_in + (source.frames if source is not None else 0),
            frames_out=self._frames_out,
            key_frames_in=self._key_frames_in + (source.key_frames if source is not None else 0),
            key_frames_out=self._key_frames_out,
            bit_rate_target=self._rate.target if self._rate is not None else 0,
            forwarded=self._forwarded,
        )

    def counters(self) -> dict[str, int]:
        """See `Stream.counters`."""
        counted = super().counters()
        counted["forwarded_video"] = self._forwarded
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
        self._conference.forwarding.leave(self, self._clock())
        super().close()
        self._conference.video.set_viewer(self._face, None)
        self._conference.video.set_source(self._face, None)
        if self._source is not None:
            self._source.close()
        if self._slides.update(None, self._clock()):
            self._emit(Sharing(self.leg, False))


def _single_nal(format: Format) -> bool:
    return format.codec is Codec.H264 and format.parameter("packetization-mode", "0") == "0"
