"""A real browser: its offer is answered, ICE and DTLS connect on loopback, and its sound and picture arrive."""

from __future__ import annotations

import asyncio
import http.server
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from webrtc_leg import Leg

from gateway.reasons import Reason
from gateway.webrtc.describe import parse_candidate
from gateway.webrtc.negotiation import Negotiation
from transcode.ice.transport import IceState
from transcode.media import Codec, Kind
from transcode.rtp.packet import pack

playwright = pytest.importorskip("playwright.async_api")

CHROMIUM = "/usr/bin/chromium"
pytestmark = [
    pytest.mark.interop,
]
FLAGS = [
    "--allow-loopback-in-peer-connection",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--no-sandbox",
    "--disable-quic",
    "--disable-background-networking",
    "--headless=new",
]
PACKETS = 20
"""Packets of each kind that must come before it counts as working."""

OFFER = """async () => {
  const pc = window.pc = new RTCPeerConnection({bundlePolicy: "max-bundle"});
  const media = await navigator.mediaDevices.getUserMedia({audio: true, video: {width: 320, height: 240}});
  for (const track of media.getTracks()) pc.addTrack(track, media);
  window.channel = pc.createDataChannel("chat");
  window.candidates = [];
  pc.onicecandidate = event => window.candidates.push(event.candidate ? event.candidate.candidate : null);
  await pc.setLocalDescription(await pc.createOffer());
  return pc.localDescription.sdp;
}"""
ANSWER = """async sdp => {
  await window.pc.setRemoteDescription({type: "answer", sdp});
}"""
OFFER_AGAIN = """async restart => {
  if (restart) window.pc.restartIce();
  await window.pc.setLocalDescription();
  return window.pc.localDescription.sdp;
}"""
TAKE_OFFER = """async sdp => {
  const pc = window.pc = new RTCPeerConnection();
  window.tracks = [];
  pc.ontrack = event => window.tracks.push([event.track.kind, event.streams[0].id]);
  const media = await navigator.mediaDevices.getUserMedia({audio: true, video: {width: 320, height: 240}});
  await pc.setRemoteDescription({type: "offer", sdp});
  for (const track of media.getTracks()) pc.addTrack(track, media);
  await pc.setLocalDescription();
  return pc.localDescription.sdp;
}"""
SAY = """async text => {
  window.said = new Promise(done => { window.channel.onmessage = event => done(event.data); });
  if (window.channel.readyState !== "open") await new Promise(done => { window.channel.onopen = done; });
  window.channel.send(text);
}"""
RECEIVED = """async wanted => {
  for (let tries = 0; tries < 50; tries += 1) {
    let packets = 0;
    (await window.pc.getStats()).forEach(each => {
      if (each.type === "inbound-rtp" && each.kind === "audio") packets += each.packetsReceived;
    });
    if (packets >= wanted) return packets;
    await new Promise(done => setTimeout(done, 100));
  }
  return -1;
}"""


class _Quiet(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>test</title>")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Quiet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
async def page(site: str) -> AsyncIterator[Any]:
    async with playwright.async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        opened = await browser.new_page()
        await opened.goto(site)
        yield opened
        await browser.close()


async def until_both_kinds_came(leg: Leg, audio: set[int], video: set[int]) -> None:
    async with asyncio.timeout(15):
        while min(sum(leg.payload_types[each] for each in kind) for kind in (audio, video)) < PACKETS:
            leg.arrived.clear()
            await leg.arrived.wait()


async def test_chromium_offers_connects_and_its_media_arrive(page: Any) -> None:
    leg = Leg(controlling=False)
    negotiation = Negotiation()
    try:
        remote = negotiation.offered(await page.evaluate(OFFER))
        assert [stream.kind for stream in remote.streams] == [Kind.AUDIO, Kind.VIDEO, Kind.DATA]
        audio, video, data = remote.streams
        assert remote.bundle == (audio.id, video.id, data.id)
        assert {Codec.OPUS, Codec.PCMU, Codec.TELEPHONE_EVENT} <= {each.codec for each in audio.send}
        assert {Codec.H264, Codec.VP8, Codec.RTX} <= {each.codec for each in video.send}
        assert data.transport.sctp_port == 5000
        await page.evaluate(ANSWER, negotiation.answer(await leg.answer(remote)))
        for text in await page.evaluate("window.candidates"):
            leg.transport.add_candidate(parse_candidate(text) if text else None)
        async with asyncio.timeout(15):
            assert await leg.transport.wait() is IceState.CONNECTED
        opus = next(each.payload_type for each in audio.send if each.codec is Codec.OPUS)
        pictures = {each.payload_type for each in video.send if each.codec in (Codec.H264, Codec.VP8)}
        await until_both_kinds_came(leg, {opus}, pictures)
        print(leg.transport.encrypted, "packets by payload type", dict(leg.payload_types))
        assert set(leg.payload_types) <= {each.payload_type for each in (*audio.send, *video.send)}
        assert leg.rtcp
        for number in range(50):
            leg.transport.send_rtp(pack(opus, number, number * 960, 1000, b"\xf8\xff\xfe"))
        assert await page.evaluate(RECEIVED, 50) == 50
        heard: asyncio.Future[tuple[str, str | bytes]] = asyncio.get_running_loop().create_future()
        channels = leg.transport.open_channels()
        channels.on_message = lambda label, data: heard.set_result((label, data))
        await page.evaluate(SAY, "hello")
        async with asyncio.timeout(5):
            assert await heard == ("chat", "hello")
        assert channels.send("chat", "and to you")
        assert await page.evaluate("window.said") == "and to you"
        again = negotiation.offered(await page.evaluate(OFFER_AGAIN, False))
        assert not leg.transport.is_restart(again.streams[0].transport.ice)
        negotiation.withdraw()
        restarted = negotiation.offered(await page.evaluate(OFFER_AGAIN, True))
        assert leg.transport.is_restart(restarted.streams[0].transport.ice)
    finally:
        await leg.close()


async def test_chromium_answers_our_offer_and_its_close_is_heard(page: Any) -> None:
    leg = Leg(controlling=True)
    negotiation = Negotiation()
    try:
        offer = negotiation.offer(await leg.offer(Kind.AUDIO, Kind.VIDEO))
        answer = negotiation.answered(await page.evaluate(TAKE_OFFER, offer))
        assert answer.bundle == ("0", "1")
        assert await page.evaluate("window.tracks") == [["audio", "main"], ["video", "main"]]
        await leg.accept(answer)
        async with asyncio.timeout(15):
            assert await leg.transport.wait() is IceState.CONNECTED
        await until_both_kinds_came(leg, {111}, {102, 96})
        ended: asyncio.Future[tuple[IceState, Reason | None]] = asyncio.get_running_loop().create_future()
        leg.transport.on_state = lambda state, reason: ended.set_result((state, reason))
        await page.evaluate("window.pc.close()")
        async with asyncio.timeout(5):
            assert await ended == (IceState.CLOSED, Reason.NORMAL)
    finally:
        await leg.close()
