"""A terminal of our own with a second video line for slides (content:slides, RFC 4796), and no floor control."""

from __future__ import annotations

import marks
import seeing
from peers.ours import Terminal

from gateway.bench import clip
from gateway.bench.legs import Driver, RtpSocket, VideoLeg, describe
from gateway.bench.phone import Phone, media_address, media_lines


class Presenter(Terminal):
    """Sends a clip as slides between `share` and `stop_sharing`, and keeps the slides that come."""

    def __init__(self, mark: marks.Mark, picture: clip.Clip, slides: clip.Clip) -> None:
        super().__init__(mark, picture)
        self.screen = RtpSocket()
        self.screen.keeping = True
        self.shared = VideoLeg(self.screen, slides, mark.code + 2000)
        self._sharing: Driver | None = None

    async def dial(self, host: str, port: int, room: str, transport: str = "udp") -> None:
        """Call a room with all three lines."""
        audio, video, slides = await self.voice.open(), await self.picture.open(), await self.screen.open()
        self.phone = await Phone.open(host, port, transport, self.mark.name)
        second = describe("127.0.0.1", 9, slides).partition("m=video")[2]
        offer = describe("127.0.0.1", audio, video) + f"m=video{second}a=content:slides\r\n"
        self.call = await self.phone.dial(room, offer)
        address = media_address(self.call.remote_sdp)
        (_, sound, _), (_, people, _), (_, shown, _) = media_lines(self.call.remote_sdp)
        self.voice.start(address, sound)
        self.picture.remote, self.screen.remote = (address, people), (address, shown)
        assert self.video is not None
        self._driver.add_video(self.video)
        self._driver.start()

    def share(self) -> None:
        """Begin to send slides."""
        self._sharing = Driver()
        self._sharing.add_video(self.shared)
        self._sharing.start()

    async def stop_sharing(self) -> None:
        """Send no more of them."""
        if self._sharing is not None:
            await self._sharing.stop()
            self._sharing = None

    def slides(self, every: int = 8) -> seeing.Watcher:
        """Decode the slides that came, and look at one of so many."""
        watcher = seeing.Watcher()
        watcher.watch([packet for packet in self.screen.kept if packet.data[1] & 0x7F == 96], every)
        return watcher

    async def hang_up(self) -> None:
        """End everything."""
        await self.stop_sharing()
        await super().hang_up()
        self.screen.close()
