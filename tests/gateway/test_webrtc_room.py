"""Chromium in a real room: session, desk and media plane together, as the web layer would join them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from test_webrtc_chromium import CHROMIUM, page, site  # noqa: F401

from gateway.reasons import Reason
from gateway.rooms.desk import FrontDesk, HouseRules
from gateway.rooms.model import RoomSettings
from gateway.webrtc.session import BrowserSession
from transcode.media import Abilities, RoomId
from transcode.plane import Plane
from transcode.settings import PlaneSettings

pytestmark = [
    pytest.mark.interop,
]

JOIN = """async () => {
  const pc = window.pc = new RTCPeerConnection();
  const media = await navigator.mediaDevices.getUserMedia({audio: true, video: {width: 640, height: 360}});
  for (const track of media.getTracks()) pc.addTrack(track, media);
  pc.onicecandidate = event => window.say({
    type: "candidate",
    mid: event.candidate ? event.candidate.sdpMid : null,
    candidate: event.candidate ? event.candidate.candidate : null,
  });
  window.hear = async message => {
    if (message.type === "joined") {
      await pc.setLocalDescription();
      await window.say({type: "offer", sdp: pc.localDescription.sdp});
    } else if (message.type === "answer") {
      await pc.setRemoteDescription({type: "answer", sdp: message.sdp});
    } else if (message.type === "candidate" && message.candidate) {
      await pc.addIceCandidate({candidate: message.candidate, sdpMid: message.mid});
    }
  };
  await window.say({type: "join", room: "100", name: "Ann"});
}"""
RESTART = """async () => {
  const user = () => /ice-ufrag:(.*)/.exec(window.pc.remoteDescription.sdp)[1];
  const before = user();
  window.pc.restartIce();
  await window.pc.setLocalDescription();
  await window.say({type: "offer", sdp: window.pc.localDescription.sdp});
  for (let tries = 0; user() === before; tries += 1) {
    if (tries > 50) throw new Error("no answer with new credentials");
    await new Promise(done => setTimeout(done, 100));
  }
}"""
FLOWS = """async since => {
  for (let tries = 0; tries < 100; tries += 1) {
    const found = {};
    (await window.pc.getStats()).forEach(each => {
      if (each.type === "inbound-rtp" && each.kind === "audio") found.heard = each.packetsReceived;
      if (each.type === "inbound-rtp" && each.kind === "video") found.seen = each.framesDecoded;
    });
    if (found.heard > since.heard + 20 && found.seen > since.seen + 5) return found;
    await new Promise(done => setTimeout(done, 100));
  }
  return null;
}"""


@pytest.fixture
async def desk() -> AsyncIterator[FrontDesk]:
    plane = Plane(PlaneSettings(address="127.0.0.1", low=42000, high=42399))
    await plane.start()
    made = FrontDesk(plane, HouseRules(Abilities(local_address="127.0.0.1")))
    made.open_room(RoomSettings(RoomId("100")))
    following = asyncio.create_task(made.follow_media())
    yield made
    await made.close()
    await plane.stop()
    await following


async def test_chromium_joins_a_room_hears_and_sees_it(page: Any, desk: FrontDesk) -> None:  # noqa: F811
    told: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        told.append(message)
        if message["type"] != "ended":
            await page.evaluate("message => { window.hear(message); }", message)

    session = BrowserSession(desk, send, "127.0.0.1:1")
    waiting: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def serve() -> None:
        while True:
            await session.receive(await waiting.get())

    serving = asyncio.create_task(serve())
    try:
        await page.expose_function("say", waiting.put_nowait)
        await page.evaluate(JOIN)
        flows = await page.evaluate(FLOWS, {"heard": 0, "seen": 0})
        assert flows is not None, told
        await page.evaluate(RESTART)
        flows = await page.evaluate(FLOWS, flows)
        assert flows is not None, told
        assert [each["type"] for each in told if each["type"] == "error"] == []
        assert [each["type"] for each in told].count("answer") == 2
        call = session.call
        assert call is not None
        counted = await desk.plane.statistics(call.leg)
        assert {each.kind.value: each.packets_in > 20 for each in counted.streams} == {"audio": True, "video": True}
        await session.hang_up(Reason.HUNG_UP_BY_HOST)
        assert told[-1]["reason"] == "hung-up-by-host"
        assert desk.calls == {}
    finally:
        serving.cancel()
        await asyncio.wait([serving])
