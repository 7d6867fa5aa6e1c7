"""Chromium in headless mode as a participant: camera and microphone play files, page elements are looked at.

What it hears is recorded from the page's own audio element through WebAudio; what it sees is read from its video
element through a canvas, behind the browser's own decoder.
"""

from __future__ import annotations

import asyncio
import base64
import shutil
from pathlib import Path

import marks
import numpy as np
import seeing
from playwright.async_api import Browser, BrowserContext, Page, Playwright, async_playwright

from gateway.bench.sound import Samples

RATE = 16_000
"""Rate of what is recorded of the sound: holds every tone with room to spare."""

_FLAGS = (
    "--no-sandbox",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
    "--allow-loopback-in-peer-connection",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
    "--disable-background-networking",
    "--disable-gpu",
    "--mute-audio",
)

# Tones are no speech: what cleans up speech is turned off, or it takes them away. And the tracks that come from the
# far end are noted, so that the preview of the own camera is not taken for a received picture.
_BEFORE_THE_PAGE = """
window.farTracks = new Set();
const Connection = window.RTCPeerConnection;
window.RTCPeerConnection = class extends Connection {
  constructor(...given) {
    super(...given);
    this.addEventListener("track", (event) => window.farTracks.add(event.track.id));
  }
};
const devices = navigator.mediaDevices;
if (devices) {
  const original = devices.getUserMedia.bind(devices);
  devices.getUserMedia = (wanted) => {
    const plain = {echoCancellation: false, noiseSuppression: false, autoGainControl: false};
    if (wanted && wanted.audio) {
      wanted = {...wanted, audio: {...(wanted.audio === true ? {} : wanted.audio), ...plain}};
    }
    return original(wanted);
  };
}
"""

_RECORD = """
async (rate) => {
  const context = new AudioContext({sampleRate: rate});
  await context.resume();
  const kept = window.kept = {parts: [], taken: new Set()};
  const node = context.createScriptProcessor(4096, 1, 1);
  node.onaudioprocess = (event) => {
    const input = event.inputBuffer.getChannelData(0);
    const part = new Int16Array(input.length);
    for (let i = 0; i < input.length; i++) part[i] = Math.max(-1, Math.min(1, input[i])) * 32767;
    if (kept.parts.length < 2000) kept.parts.push(part);
  };
  node.connect(context.destination);
  const attach = () => {
    for (const element of document.querySelectorAll("audio, video")) {
      // One that plays a file has a stream of it while it plays.
      const file = element.currentSrc && !element.srcObject && !element.paused;
      if (file && !element.captured) element.captured = element.captureStream();
      const stream = element.srcObject ?? element.captured;
      if (!stream || element.muted || element.volume === 0 || kept.taken.has(stream.id)) continue;
      if (!stream.getAudioTracks().length) continue;
      kept.taken.add(stream.id);
      context.createMediaStreamSource(new MediaStream(stream.getAudioTracks())).connect(node);
    }
  };
  attach();
  setInterval(attach, 250);
}
"""

_HEARD = """
() => {
  const parts = window.kept.parts;
  const all = new Uint8Array(parts.length * 8192);
  parts.forEach((part, index) => all.set(new Uint8Array(part.buffer), index * 8192));
  let text = "";
  for (let i = 0; i < all.length; i += 32768) text += String.fromCharCode(...all.subarray(i, i + 32768));
  return btoa(text);
}
"""

_LOOK = """
() => {
  const found = [];
  for (const video of document.querySelectorAll("video")) {
    const stream = video.srcObject;
    if (!stream || !video.videoWidth) continue;
    if (!stream.getVideoTracks().some((track) => window.farTracks.has(track.id))) continue;
    const canvas = document.createElement("canvas");
    canvas.width = video.videoWidth; canvas.height = video.videoHeight;
    const drawing = canvas.getContext("2d", {willReadFrequently: true});
    drawing.drawImage(video, 0, 0);
    const data = drawing.getImageData(0, 0, canvas.width, canvas.height).data;
    const gray = new Uint8Array(canvas.width * canvas.height);
    for (let i = 0; i < gray.length; i++) {
      gray[i] = (data[4 * i] * 77 + data[4 * i + 1] * 150 + data[4 * i + 2] * 29) >> 8;
    }
    let text = "";
    for (let i = 0; i < gray.length; i += 32768) text += String.fromCharCode(...gray.subarray(i, i + 32768));
    found.push({width: canvas.width, height: canvas.height, gray: btoa(text)});
  }
  return found;
}
"""


class Chromium:
    """One browser with one page; console and page errors are kept in `complaints`."""

    def __init__(self, mark: marks.Mark, directory: Path) -> None:
        self.mark = mark
        self.name = f"chromium {mark.name}"
        self.directory = directory / f"chromium-{mark.name}"
        self.directory.mkdir()
        self.complaints: list[str] = []
        self._playwright: Playwright | None = None
        self._browser: Browser | None = None
        self._context: BrowserContext | None = None
        self.page: Page | None = None

    async def begin(self, width: int = 1280, height: int = 800) -> Page:
        """Start the browser and return its empty page."""
        voice = marks.voice_file(self.directory, self.mark, seconds=60)
        picture = marks.raw_file(self.directory, self.mark)
        program = shutil.which("chromium")
        assert program is not None, "chromium is not installed"
        self._playwright = await async_playwright().start()
        self._browser = await self._playwright.chromium.launch(
            executable_path=program,
            args=[
                *_FLAGS,
                f"--use-file-for-fake-audio-capture={voice}",
                f"--use-file-for-fake-video-capture={picture}",
            ],
        )
        self._context = await self._browser.new_context(
            ignore_https_errors=True, viewport={"width": width, "height": height}
        )
        await self._context.grant_permissions(["camera", "microphone"])
        await self._context.add_init_script(_BEFORE_THE_PAGE)
        self.page = await self._context.new_page()
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._hear_console)
        return self.page

    def _hear_console(self, message: object) -> None:
        kind, text = getattr(message, "type", ""), getattr(message, "text", "")
        ours = "ScriptProcessorNode" in text  # which records, and is no matter of the page's
        if kind in ("error", "warning") and not ours:
            self.complaints.append(f"{kind}: {text}")

    async def join(self, url: str, room: str) -> None:
        """Join a room of the gateway at `url` and wait until its picture comes. Raises playwright's TimeoutError."""
        assert self.page is not None
        await self.page.goto(f"{url}/r/{room}?name={self.mark.name}&join=1")
        await self.page.wait_for_function(
            """() => [...document.querySelectorAll("video")].some((video) => video.srcObject && video.videoWidth
               && video.srcObject.getVideoTracks().some((track) => window.farTracks.has(track.id)))""",
            timeout=60_000,
        )
        await self.record()

    async def record(self) -> None:
        """Record what the page's elements play from now on."""
        assert self.page is not None
        await self.page.evaluate(_RECORD, RATE)

    async def heard(self) -> tuple[Samples, int]:
        """Return all that it has heard since it joined, and the sampling rate."""
        assert self.page is not None
        return np.frombuffer(base64.b64decode(await self.page.evaluate(_HEARD)), dtype="<i2"), RATE

    async def sees(self) -> set[int]:
        """Return the codes of all that it sees at the moment."""
        assert self.page is not None
        codes: set[int] = set()
        for picture in await self.page.evaluate(_LOOK):
            codes |= seeing.in_gray(base64.b64decode(picture["gray"]), picture["width"], picture["height"])
        return codes

    async def stop(self) -> None:
        """Close the browser."""
        for part in (self._context, self._browser):
            if part is not None:
                await asyncio.wait_for(part.close(), 10)
        if self._playwright is not None:
            await self._playwright.stop()
