"""A whole peer for tests of the media plane: sound and picture on real sockets of 127.0.0.1, with RTCP and SRTP.

It is what a plain terminal is: it sends what it was told to, keeps what it gets, and reacts to nothing by itself but,
where its camera is set to, to requests for a key frame.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from fractions import Fraction
from typing import cast

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType
from video_samples import colour_at, flat

from transcode.audio import g711
from transcode.events import MediaEvent
from transcode.frames import EncodedFrame
from transcode.interface import MediaPlane
from transcode.media import (
    Abilities,
    Codec,
    Format,
    Kind,
    LegId,
    LegPlan,
    MediaDescription,
    RoomId,
    SrtpKey,
    StreamDescription,
    Transport,
    ViewPlan,
)
from transcode.payload.formats import depacketizer, packetizer
from transcode.payload.frames import FrameBuffer
from transcode.rtp import rtcp
from transcode.rtp.packet import RtpPacket, pack
from transcode.rtp.srtp import SrtpSession

ROOM = RoomId("100")
PCMU = Format(Codec.PCMU, 0, 8000)
FEEDBACK = ("nack", "nack pli", "ccm fir", "ccm tmmbr")
ANN, BOB, CYD = LegId("ann"), LegId("bob"), LegId("cyd")
_ENCODERS = {
    Codec.H264: (
        "libx264",
        {"preset": "ultrafast", "tune": "zerolatency", "profile": "baseline", "forced-idr": "1"},
    ),
    Codec.VP8: ("libvpx", {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"}),
    Codec.H263: ("h263", {"ps": "1"}),
    Codec.H263P: ("h263p", {"ps": "1"}),
    Codec.H261: ("h261", {}),
}
_DECODERS = {Codec.H264: "h264", Codec.VP8: "vp8", Codec.H263: "h263", Codec.H263P: "h263", Codec.H261: "h261"}


def h264(mode: str = "1", level: str = "42e01f", number: int = 96, feedback: tuple[str, ...] = FEEDBACK) -> Format:
    parameters = (("profile-level-id", level), ("packetization-mode", mode))
    return Format(Codec.H264, number, 90000, parameters=parameters, feedback=feedback)


def video(codec: Codec, number: int = 97, feedback: tuple[str, ...] = FEEDBACK, **parameters: str) -> Format:
    return Format(codec, number, 90000, parameters=tuple(parameters.items()), feedback=feedback)


async def until(condition: Callable[[], object], seconds: float = 45.0) -> float:
    """Wait until something holds, at most for so long as no busy machine needs; return how many seconds it took."""
    began = time.monotonic()
    while not condition():
        await asyncio.sleep(0.01)
        assert time.monotonic() - began < seconds, "it did not come about"
    return time.monotonic() - began


@asynccontextmanager
async def events_of(plane: MediaPlane) -> AsyncIterator[list[MediaEvent]]:
    """Collect what the plane tells."""
    told: list[MediaEvent] = []

    async def collect() -> None:
        async for event in plane.events():
            told.append(event)  # noqa: PERF401 - the list is read while it grows

    task = asyncio.create_task(collect())
    try:
        yield told
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


class Line:
    """One media line: a socket for RTP and one for RTCP, both ways, in clear or SRTP.

    lose_out and lose_in are asked for each packet whether it is lost on the way. A packet may be sent with `pack_only`
    to be handed to the socket later.
    """

    def __init__(self, ssrc: int = 0, sequence: int = 1000, timestamp: int = 5000) -> None:
        self.rtp, self.rtcp = self._open(), self._open()
        self.port: int = self.rtp.getsockname()[1]
        self.rtcp_port: int = self.rtcp.getsockname()[1]
        self.ssrc = ssrc or 0x1000_0000 + self.port
        self.sequence, self.timestamp = sequence, timestamp
        self.remote: tuple[str, int] | None = None
        self.remote_rtcp: tuple[str, int] | None = None
        self.packets: list[RtpPacket] = []
        self.control: list[rtcp.RtcpPacket] = []
        self.undecipherable = 0
        self.srtp: SrtpSession | None = None
        self.lose_out: Callable[[], bool] = lambda: False
        self.lose_in: Callable[[], bool] = lambda: False
        self.on_rtp: Callable[[RtpPacket], None] = lambda _: None
        loop = asyncio.get_running_loop()
        loop.add_reader(self.rtp, self._take_rtp)
        loop.add_reader(self.rtcp, self._take_rtcp)

    @staticmethod
    def _open() -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        made.bind(("127.0.0.1", 0))
        made.setblocking(False)
        return made

    def describe(
        self,
        id: str,
        kind: Kind,
        *formats: Format,
        sends: bool = True,
        receives: bool = True,
        address: str = "127.0.0.1",
        keys: tuple[SrtpKey, ...] = (),
        optional: bool = False,
        bandwidth: int | None = None,
    ) -> StreamDescription:
        transport = Transport(address, self.port, rtcp_port=self.rtcp_port, keys=keys, optional=optional)
        return StreamDescription(
            id, kind, formats if receives else (), formats if sends else (), transport, bandwidth=bandwidth
        )

    def connect(self, transport: Transport) -> None:
        assert transport.address is not None
        self.remote = (transport.address, transport.port)
        self.remote_rtcp = (transport.address, transport.rtcp_port or transport.port + 1)

    def send(self, payload_type: int, payload: bytes, timestamp: int, marker: bool = False) -> None:
        number, self.sequence = self.sequence, (self.sequence + 1) & 0xFFFF
        self.put(number, payload_type, payload, timestamp, marker)

    def put(self, sequence: int, payload_type: int, payload: bytes, timestamp: int, marker: bool = False) -> None:
        """Send one packet with a sequence number of its own."""
        stamp = (timestamp + self.timestamp) & 0xFFFFFFFF
        data = pack(payload_type, sequence & 0xFFFF, stamp, self.ssrc, payload, marker)
        if self.lose_out():
            return
        self.raw(data)

    def raw(self, data: bytes) -> None:
        """Send one RTP packet as it is, encrypted if the line is."""
        secured = data if self.srtp is None else self.srtp.protect_rtp(data)
        if secured is not None and self.remote is not None:
            self.rtp.sendto(secured, self.remote)

    def report(self, *packets: rtcp.RtcpPacket, blocks: tuple[rtcp.ReportBlock, ...] = ()) -> None:
        """Send a compound of an empty report, or one with blocks, and packets."""
        data = rtcp.pack([rtcp.ReceiverReport(self.ssrc, blocks), *packets])
        secured = data if self.srtp is None else self.srtp.protect_rtcp(data)
        if secured is not None and self.remote_rtcp is not None:
            self.rtcp.sendto(secured, self.remote_rtcp)

    def _take_rtp(self) -> None:
        with suppress(BlockingIOError):
            while True:
                data = self.rtp.recv(4096)
                if self.lose_in():
                    continue
                clear = data if self.srtp is None else self.srtp.unprotect_rtp(data)
                if clear is None:
                    self.undecipherable += 1
                    continue
                packet = RtpPacket.parse(clear, time.monotonic())
                self.packets.append(packet)
                self.on_rtp(packet)

    def _take_rtcp(self) -> None:
        data = self.rtcp.recv(4096)
        clear = data if self.srtp is None else self.srtp.unprotect_rtcp(data)
        if clear is None:
            self.undecipherable += 1
            return
        self.control += rtcp.parse(clear)

    def told(self, kind: type) -> list[rtcp.RtcpPacket]:
        """Return the RTCP packets of one type that came."""
        return [packet for packet in self.control if isinstance(packet, kind)]

    def close(self) -> None:
        for one in (self.rtp, self.rtcp):
            asyncio.get_running_loop().remove_reader(one)
            one.close()


class Camera:
    """Sends a flat colour, coded as it goes; `key` makes the next picture a key frame."""

    def __init__(
        self,
        line: Line,
        format: Format,
        yuv: tuple[int, int, int],
        width: int = 352,
        height: int = 288,
        rate: int = 25,
        answers: bool = True,
    ) -> None:
        self.line, self.format, self.yuv, self.rate, self.answers = line, format, yuv, rate, answers
        self.key = True
        self.keys_sent = 0
        name, options = _ENCODERS[format.codec]
        context = cast(VideoCodecContext, av.CodecContext.create(name, "w"))
        context.width, context.height, context.pix_fmt = width, height, "yuv420p"
        context.time_base, context.framerate = Fraction(1001, 30000), Fraction(30000, 1001)
        context.bit_rate, context.gop_size, context.max_b_frames, context.thread_count = 400_000, 3000, 0, 1
        context.options = options
        self._coder = context
        self._packets = packetizer(format)
        self._size = (width, height)
        self._asked = 0
        self._number = 0

    def picture(self) -> EncodedFrame | None:
        """Code the next picture."""
        frame = flat(self.yuv, *self._size)
        frame.pts, frame.time_base = self._number, Fraction(1001, 30000)
        if self.key:
            frame.pict_type = PictureType.I
        self._number += 1
        for packet in self._coder.encode(frame):
            self.key = False
            self.keys_sent += packet.is_keyframe
            stamp = self._number * 90000 // self.rate
            return EncodedFrame(self.format.codec, bytes(packet), stamp, packet.is_keyframe, number=self._number)
        return None

    def shoot(self) -> None:
        """Code and send the next picture."""
        asked = len(self.line.told(rtcp.PictureLoss)) + len(self.line.told(rtcp.FullIntraRequest))
        if self.answers and asked > self._asked:
            self.key = True
        self._asked = asked
        frame = self.picture()
        for payload, marker in self._packets.packets(frame) if frame is not None else ():
            self.line.send(self.format.payload_type, payload, frame.timestamp if frame else 0, marker)

    async def run(self) -> None:
        due = time.monotonic()
        while True:
            self.shoot()
            due += 1 / self.rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))


class Screen:
    """Decodes what comes on a line."""

    def __init__(self, line: Line, format: Format) -> None:
        self.format = format
        self.frames: list[EncodedFrame] = []
        self.last: av.VideoFrame | None = None
        self.shown: list[tuple[float, tuple[int, int, int]]] = []
        self.errors = 0
        self._buffer = FrameBuffer(depacketizer(format))
        self._coder = cast(VideoCodecContext, av.CodecContext.create(_DECODERS[format.codec], "r"))
        self._coder.thread_count = 1
        self._coder.flags |= 1 << 19  # low delay
        line.on_rtp = self._take

    def _take(self, packet: RtpPacket) -> None:
        if packet.payload_type != self.format.payload_type:
            return
        for frame in self._buffer.push(packet, packet.arrival):
            self.frames.append(frame)
            try:
                pictures = self._coder.decode(av.Packet(frame.data))
            except av.error.InvalidDataError:
                self.errors += 1
                continue
            for picture in pictures:
                self.last = picture
                self.shown.append((time.monotonic(), colour_at(picture, 0.5, 0.4)))

    @property
    def keys(self) -> int:
        return sum(frame.key for frame in self.frames)

    @property
    def size(self) -> tuple[int, int]:
        return (0, 0) if self.last is None else (self.last.width, self.last.height)

    def shows(self, yuv: tuple[int, int, int], far: int = 14, x: float = 0.5, y: float = 0.4) -> bool:
        """Whether the last picture has a colour at a place (not the middle: names stand lower)."""
        if self.last is None:
            return False
        return all(abs(one - other) <= far for one, other in zip(colour_at(self.last, x, y), yuv, strict=True))


class Peer:
    """A leg of the plane and the terminal at its other end."""

    def __init__(self, plane: MediaPlane, leg: LegId, *formats: Format, audio: bool = True) -> None:
        self.plane, self.leg = plane, leg
        self.formats = formats
        self.audio = Line() if audio else None
        self.video = Line() if formats else None
        self.answer = MediaDescription(())
        self.camera: Camera | None = None
        self.screen: Screen | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def offer(self, **video: object) -> MediaDescription:
        """Describe both lines; the arguments are the video line's."""
        streams = []
        if self.audio is not None:
            streams.append(self.audio.describe("0", Kind.AUDIO, PCMU))
        if self.video is not None:
            streams.append(self.video.describe("1", Kind.VIDEO, *self.formats, **video))  # type: ignore[arg-type]
        return MediaDescription(tuple(streams))

    async def join(self, abilities: Abilities | None = None, room: RoomId = ROOM, **video: object) -> None:
        await self.plane.open(self.leg, room, abilities or Abilities())
        await self.renew(self.offer(**video))

    async def renew(self, offer: MediaDescription) -> None:
        self.answer = await self.plane.answer(self.leg, offer)
        for line, kind in ((self.audio, Kind.AUDIO), (self.video, Kind.VIDEO)):
            stream = next((one for one in self.answer.streams if one.kind is kind and not one.refused), None)
            if line is not None and stream is not None:
                line.connect(stream.transport)

    def look(self, format: Format | None = None) -> Screen:
        assert self.video is not None
        self.screen = Screen(self.video, format or self.formats[0])
        return self.screen

    def film(self, yuv: tuple[int, int, int], width: int = 352, height: int = 288, **more: object) -> Camera:
        assert self.video is not None
        self.camera = Camera(self.video, self.formats[0], yuv, width, height, **more)  # type: ignore[arg-type]
        self.start(self.camera.run())
        return self.camera

    def sing(self, tone: float, level: int = 8000) -> None:
        """Send a tone in G.711 from now on."""
        assert self.audio is not None
        self.start(sing_on(self.audio, tone, level))

    def start(self, work: object) -> None:
        self._tasks.append(asyncio.ensure_future(work))  # type: ignore[call-overload]

    def heard(self, last: int = 25) -> np.ndarray:
        """Return the last packets' sound."""
        assert self.audio is not None
        parts = [g711.decode(Codec.PCMU, packet.payload) for packet in self.audio.packets[-last:]]
        return np.concatenate(parts).astype(float) if parts else np.zeros(160)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        for outcome in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome
        for line in (self.audio, self.video):
            if line is not None:
                line.close()


async def sing_on(line: Line, tone: float, level: int) -> None:
    due, number = time.monotonic(), 0
    while True:
        at = np.arange(number * 160, number * 160 + 160) / 8000
        sound = (level * np.sin(2 * np.pi * tone * at)).astype(np.int16)
        line.send(0, g711.encode(Codec.PCMU, sound), number * 160)
        number += 1
        due += 0.02
        await asyncio.sleep(max(0.0, due - time.monotonic()))


async def together(plane: MediaPlane, *legs: LegId, room: RoomId = ROOM) -> None:
    """Let legs hear and see each other."""
    await plane.direct(room, ViewPlan(tuple(LegPlan(leg, leg.title()) for leg in legs)))


@asynccontextmanager
async def meeting(plane: MediaPlane, *peers: Peer) -> AsyncIterator[None]:
    """Bring peers into the room, and take them out again."""
    try:
        for peer in peers:
            await peer.join()
        await together(plane, *(peer.leg for peer in peers))
        yield
    finally:
        for peer in peers:
            await peer.close()
