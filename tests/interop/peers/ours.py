"""A terminal of our own, for where precise marks are needed: a tone in G.711, a clip in H.264, all received kept."""

from __future__ import annotations

import asyncio
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
        self,
        mark: marks.Mark,
        picture: clip.Clip | None = None,
        samples: sound.Samples | None = None,
        retransmission: bool = False,
    ) -> None:
        self.retransmission = retransmission
        self.mark = mark
        self.voice = Voice(mark, samples)
        self.picture = RtpSocket()
        self.picture.keeping = True
        self._eye = seeing.Watcher()
        self.video = VideoLeg(self.picture, picture, mark.code + 1000) if picture is not None else None
        self.phone: Phone | None = None
        self.call: PhoneCall | None = None
        self._driver = Driver()

    async def dial(self, host: str, port: int, room: str, transport: str = "udp") -> None:
        """Call a room; sound and picture flow from then on. Raises CallRefused or TimeoutError."""
        audio_port = await self.voice.open()
        video_port = await self.picture.open() if self.video else None
        self.phone = await Phone.open(host, port, transport, self.mark.name)
        self.call = await self.phone.dial(
            room, describe("127.0.0.1", audio_port, video_port, retransmission=self.retransmission)
        )
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
        self._send_feedback(206, 1, b"")

    def ask_again(self, numbers: list[int]) -> None:
        """Send a generic NACK (RFC 4585 §6.2.1) for these sequence numbers."""
        self._send_feedback(205, 1, b"".join(number.to_bytes(2, "big") + b"\x00\x00" for number in numbers))

    def _send_feedback(self, kind: int, format_: int, body: bytes) -> None:
        if self.video is None or not self.picture.kept:
            return
        source = self.picture.kept[-1].data[8:12]
        own = self.video.ssrc.to_bytes(4, "big")
        length = (2 + len(body) // 4).to_bytes(2, "big")
        # Compound RTCP begins with a report (RFC 3550 §6.1): an empty receiver report.
        report = b"\x80\xc9\x00\x01" + own
        self.picture.send(report + bytes((0x80 | format_, kind)) + length + own + source + body)

    async def mind_losses(self) -> None:
        """Ask for what is missing: again where that is agreed, then for a key frame; never ends.

        A packet is asked for three times, 80 ms apart. What is not there then costs a key frame, which is asked for
        at most each half second.
        """
        looked, asked_at = 0, 0.0
        missing: dict[int, int] = {}
        last: int | None = None
        while True:
            await asyncio.sleep(0.08)
            new, looked = self.picture.kept[looked:], len(self.picture.kept)
            for packet in new:
                if packet.data[1] & 0x7F != 96:
                    continue
                missing.pop(packet.sequence, None)
                if last is None:
                    last = packet.sequence
                for step in range(1, min((packet.sequence - last) & 0xFFFF, 200)):
                    missing[last + step & 0xFFFF] = 0
                if (packet.sequence - last) & 0xFFFF < 0x8000:
                    last = packet.sequence
            tries = 3 if self.retransmission else 0
            if self.retransmission and missing:
                self.ask_again([number for number, times in missing.items() if times < tries])
            missing = {number: times + 1 for number, times in missing.items()}
            if any(times > tries for times in missing.values()) and time.monotonic() - asked_at > 0.5:
                asked_at = time.monotonic()
                missing.clear()
                self.ask_for_key_frame()

    async def hang_up(self) -> None:
        """End call, sound and picture."""
        await self.voice.stop()
        await self._driver.stop()
        if self.phone is not None:
            await self.phone.close()
        self.picture.close()

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
        """Return the codes of all that it has seen until now; the packets that were looked at are not kept."""
        packets = [packet for packet in self.picture.kept if packet.data[1] & 0x7F == 96]
        self.picture.kept.clear()
        await asyncio.to_thread(self._eye.watch, packets, 3)
        return self._eye.codes()
