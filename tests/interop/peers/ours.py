"""A terminal of our own, for where precise marks are needed: a tone in G.711, a clip in H.264, all received kept."""

from __future__ import annotations

import asyncio
import itertools
import time

import marks
import seeing
from peers.voice import Voice

from gateway.bench import clip, sound
from gateway.bench.legs import Driver, RtpSocket, VideoLeg, describe
from gateway.bench.phone import Phone, PhoneCall, media_address, media_lines


class Terminal:
    """A terminal with sound and, if a clip is given, picture."""

    def __init__(
        self, mark: marks.Mark, picture: clip.Clip | None = None, samples: sound.Samples | None = None
    ) -> None:
        self.mark = mark
        self.voice = Voice(mark, samples)
        self.picture = RtpSocket()
        self.picture.keeping = True
        self.video = VideoLeg(self.picture, picture, mark.code + 1000) if picture is not None else None
        self.phone: Phone | None = None
        self.call: PhoneCall | None = None
        self._driver = Driver()

    async def dial(self, host: str, port: int, room: str, transport: str = "udp") -> None:
        """Call a room; sound and picture flow from then on. Raises CallRefused or TimeoutError."""
        audio_port = await self.voice.open()
        video_port = await self.picture.open() if self.video else None
        self.phone = await Phone.open(host, port, transport, self.mark.name)
        self.call = await self.phone.dial(room, describe("127.0.0.1", audio_port, video_port))
        self.call.on_key_frame = self._want_key_frame
        address = media_address(self.call.remote_sdp)
        for kind, remote, _ in media_lines(self.call.remote_sdp):
            if kind == "audio":
                self.voice.start(address, remote)
            elif kind == "video" and self.video is not None and remote:
                self.picture.remote = (address, remote)
                self.video.keep_times = True
                self._driver.add_video(self.video)
                self._driver.start()

    def _want_key_frame(self) -> None:
        self.picture.key_frame_wanted = True

    def ask_for_key_frame(self) -> None:
        """Send a PLI (RFC 4585 §6.3.1) for the picture that is received."""
        if self.video is not None and self.picture.kept:
            source = self.picture.kept[-1].data[8:12]
            own = self.video.ssrc.to_bytes(4, "big")
            # Compound RTCP begins with a report (RFC 3550 §6.1): an empty receiver report.
            self.picture.send(b"\x80\xc9\x00\x01" + own + b"\x81\xce\x00\x02" + own + source)

    async def hang_up(self) -> None:
        """End call, sound and picture."""
        await self.voice.stop()
        await self._driver.stop()
        if self.phone is not None:
            await self.phone.close()
        self.picture.close()

    async def mind_losses(self) -> None:
        """Ask for a key frame whenever a packet of the picture is missing, at most each half second; never ends."""
        looked, asked = 0, 0.0
        while True:
            await asyncio.sleep(0.05)
            kept = [packet for packet in self.picture.kept if packet.data[1] & 0x7F == 96]
            new = kept[max(0, looked - 1) :]
            lost = any((b.sequence - a.sequence) & 0xFFFF != 1 for a, b in itertools.pairwise(new))
            looked = len(kept)
            if lost and time.monotonic() - asked > 0.5:
                asked = time.monotonic()
                self.ask_for_key_frame()

    def heard(self) -> tuple[sound.Samples, int]:
        """Return all that was heard until now, and the sampling rate."""
        return self.voice.heard()

    def saw(self, seconds: float | None = None, every: int = 1, strict: bool = False) -> seeing.Watcher:
        """Decode all that was seen, or the last `seconds`, and return what it showed."""
        watcher = seeing.Watcher(strict)
        packets = [packet for packet in self.picture.kept if packet.data[1] & 0x7F == 96]
        if seconds is not None:
            since = time.monotonic() - seconds
            packets = [packet for packet in packets if packet.arrival >= since]
        watcher.watch(packets, every)
        return watcher

    async def sees(self) -> set[int]:
        """Return the codes of all that it has seen since the last time it was asked."""
        codes = self.saw(every=3).codes()
        self.picture.kept.clear()
        return codes
