"""An H.323 terminal of our own, for where precise marks are needed: a tone in G.711, a clip in H.264, all kept."""

from __future__ import annotations

import asyncio
import time

import marks
import seeing
from peers.voice import Voice

from gateway.bench import clip, sound
from gateway.bench.h323_phone import H323Phone, describe
from gateway.bench.legs import Driver, RtpSocket, VideoLeg
from transcode.media import Kind


class Terminal323:
    """A terminal with sound and, if a clip is given, picture."""

    def __init__(self, mark: marks.Mark, picture: clip.Clip | None = None) -> None:
        self.mark = mark
        self.voice = Voice(mark)
        self.picture = RtpSocket()
        self.picture.keeping = True
        self._eye = seeing.Watcher()
        self.video = VideoLeg(self.picture, picture, mark.code + 2000) if picture is not None else None
        self.phone: H323Phone | None = None
        self._driver = Driver()

    async def dial(self, host: str, port: int, room: str, tunnelling: bool = True, fast: bool = False) -> None:
        """Call a room; sound and picture flow from then on. Raises CallRefused or TimeoutError."""
        sound_port = await self.voice.open()
        picture_port = await self.picture.open() if self.video is not None else None
        self.phone = H323Phone(self.mark.name, describe("127.0.0.1", sound_port, picture_port), tunnelling, fast)
        self.phone.on_key_frame = self._want_key_frame
        await self.phone.dial(host, port, room)
        where = await self.phone.flows(Kind.AUDIO)
        self.voice.start(where.host, where.port)
        if self.video is not None:
            where = await self.phone.flows(Kind.VIDEO)
            self.picture.remote = (where.host, where.port)
            self._driver.add_video(self.video)
            self._driver.start()

    def _want_key_frame(self) -> None:
        self.picture.key_frame_wanted = True
        self.picture.counters.key_frame_requests += 1

    def ask_for_key_frame(self) -> None:
        """Ask for a key frame of the room's picture."""
        if self.phone is not None:
            self.phone.ask_for_key_frame()

    async def hang_up(self) -> None:
        """End call, sound and picture."""
        await self.voice.stop()
        await self._driver.stop()
        if self.phone is not None:
            await self.phone.hang_up()
        self.picture.close()

    def heard(self) -> tuple[sound.Samples, int]:
        """Return all that was heard until now, and the sampling rate."""
        return self.voice.heard()

    def saw(self, seconds: float | None = None, every: int = 1) -> seeing.Watcher:
        """Decode all that was seen, or the last `seconds`, and return what it showed."""
        watcher = seeing.Watcher()
        packets = [packet for packet in self.picture.kept if packet.data[1] & 0x7F >= 96]
        if seconds is not None:
            since = time.monotonic() - seconds
            packets = [packet for packet in packets if packet.arrival >= since]
        watcher.watch(packets, every)
        return watcher

    async def sees(self) -> set[int]:
        """Return the codes of all that it has seen until now; the packets that were looked at are not kept."""
        packets = [packet for packet in self.picture.kept if packet.data[1] & 0x7F >= 96]
        self.picture.kept.clear()
        await asyncio.to_thread(self._eye.watch, packets, 3)
        return self._eye.codes()
