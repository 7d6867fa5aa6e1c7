"""A browser at the plane: an RTCPeerConnection of aiortc, described by gateway.webrtc as a real one would be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, MediaStreamTrack, VideoStreamTrack
from plane_peer import ANN, BOB, ROOM, Peer, events_of, h264, together, until
from rtp_phone import loudness
from video_samples import BLUE, GREEN, RED, colour_at, flat

from gateway.reasons import Reason
from gateway.webrtc.negotiation import Negotiation
from transcode.events import Connected, DataMessage, Failed, Played
from transcode.interface import MediaPlane
from transcode.media import Abilities, Kind, LegId, MediaDescription, Sound, Transport

pytestmark = pytest.mark.parametrize("plane", ["direct"], indirect=True)
EVE = LegId("eve")


class Tone(AudioStreamTrack):
    """A microphone that hears one tone."""

    def __init__(self, tone: float) -> None:
        super().__init__()
        self.tone = tone

    async def recv(self) -> av.AudioFrame:
        silent = await super().recv()
        at = (np.arange(silent.samples) + silent.pts) / silent.sample_rate
        sound = (8000 * np.sin(2 * np.pi * self.tone * at)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(sound[np.newaxis], format="s16", layout="mono")
        frame.pts, frame.sample_rate, frame.time_base = silent.pts, silent.sample_rate, silent.time_base
        return frame


class Flat(VideoStreamTrack):
    """A camera that sees one colour."""

    def __init__(self, yuv: tuple[int, int, int]) -> None:
        super().__init__()
        self.yuv = yuv

    async def recv(self) -> av.VideoFrame:
        pts, time_base = await self.next_timestamp()
        frame = flat(self.yuv, 320, 240)
        frame.pts, frame.time_base = pts, Fraction(time_base)
        return frame


class Browser:
    """One page: its connection, and what it hears and sees."""

    def __init__(self, plane: MediaPlane, leg: LegId) -> None:
        self.plane, self.leg = plane, leg
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.negotiation = Negotiation()
        self.sound: list[np.ndarray] = []
        self.picture: av.VideoFrame | None = None
        self.said: list[str | bytes] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.connection.on("track", lambda track: self._tasks.append(asyncio.ensure_future(self._watch(track))))

    async def join(self) -> None:
        await self.plane.open(self.leg, ROOM, Abilities(ice=True))
        await self.offer()

    async def offer(self) -> None:
        await self.connection.setLocalDescription(await self.connection.createOffer())
        remote = self.negotiation.offered(self.connection.localDescription.sdp)
        answer = self.negotiation.answer(await self.plane.answer(self.leg, remote))
        await self.connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))

    async def _watch(self, track: MediaStreamTrack) -> None:
        while True:
            frame = await track.recv()
            if isinstance(frame, av.AudioFrame):
                self.sound.append(frame.to_ndarray()[0][::2].astype(float))
            else:
                self.picture = frame

    def hears(self, tone: float) -> bool:
        return len(self.sound) > 10 and loudness(np.concatenate(self.sound[-10:]), tone, 48000) > -25

    def sees(self, yuv: tuple[int, int, int]) -> bool:
        if self.picture is None:
            return False
        seen = colour_at(self.picture, 0.5, 0.4)
        return all(abs(one - other) < 20 for one, other in zip(seen, yuv, strict=True))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.connection.close()


@pytest.fixture(autouse=True)
def loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    # aioice leaves loopback out; here it is all that may be used.
    monkeypatch.setattr("aioice.ice.get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])


@pytest.fixture
async def ann(plane: MediaPlane) -> AsyncIterator[Peer]:
    peer = Peer(plane, ANN, h264())
    await peer.join()
    peer.film(RED)
    peer.sing(440)
    yield peer
    await peer.close()


async def test_sound_picture_and_data_pass_both_ways(plane: MediaPlane, ann: Peer) -> None:
    browser = Browser(plane, BOB)
    browser.connection.addTrack(Tone(850))
    browser.connection.addTrack(Flat(GREEN))
    channel = browser.connection.createDataChannel("chat")
    channel.on("message", browser.said.append)
    channel.on("open", lambda: channel.send("hello"))
    screen = ann.look()
    async with events_of(plane) as told:
        try:
            await browser.join()
            await together(plane, ANN, BOB)
            await until(lambda: browser.sees(RED) and browser.hears(440))
            await until(lambda: screen.shows(GREEN, 20) and loudness(ann.heard(10), 850) > -30)
            await until(lambda: DataMessage(BOB, "chat", "hello") in told)
            assert await plane.send_data(BOB, "chat", "good day")
            assert await plane.send_data(BOB, "chat", b"\x00\x01")
            assert not await plane.send_data(BOB, "nothing", "")
            assert not await plane.send_data(ANN, "chat", "no channel")
            await until(lambda: browser.said == ["good day", b"\x00\x01"])
            statistics = (await plane.statistics(BOB)).streams
            assert [one.codec_in for one in statistics] == ["opus", "H264"]
            assert all(one.encrypted for one in statistics)
            assert any(isinstance(event, Connected) and event.leg == BOB for event in told)
            await plane.close(BOB, Reason.NORMAL)
            assert not [event for event in told if isinstance(event, Failed)]
        finally:
            await browser.close()


async def test_who_has_no_camera_still_sees_and_may_add_one_later(plane: MediaPlane, ann: Peer) -> None:
    browser = Browser(plane, BOB)
    browser.connection.addTrack(Tone(850))
    video = browser.connection.addTransceiver("video", direction="recvonly")
    screen = ann.look()
    try:
        await browser.join()
        await together(plane, ANN, BOB)
        await until(lambda: browser.sees(RED) and browser.hears(440))
        assert not screen.shows(GREEN)
        (described,) = [one for one in (await plane.statistics(BOB)).streams if one.kind is Kind.VIDEO]
        assert described.codec_in == ""
        video.sender.replaceTrack(Flat(GREEN))
        video.direction = "sendrecv"
        await browser.offer()
        await until(lambda: screen.shows(GREEN, 20))
    finally:
        await browser.close()


@pytest.mark.interop
async def test_a_page_that_comes_back_is_a_new_leg_beside_the_old_one(plane: MediaPlane, ann: Peer) -> None:
    first, second = Browser(plane, BOB), Browser(plane, EVE)
    screen = ann.look()
    try:
        for browser, colour in ((first, GREEN), (second, BLUE)):
            browser.connection.addTrack(Tone(850))
            browser.connection.addTrack(Flat(colour))
        await first.join()
        await together(plane, ANN, BOB)
        await until(lambda: screen.shows(GREEN, 20))
        await second.join()
        await plane.close(BOB, Reason.REPLACED)
        await together(plane, ANN, EVE)
        await until(lambda: screen.shows(BLUE, 20) and second.sees(RED) and second.hears(440))
    finally:
        await first.close()
        await second.close()


async def test_the_bundle_lives_on_when_its_first_line_ends(plane: MediaPlane, ann: Peer) -> None:
    browser = Browser(plane, BOB)
    browser.connection.addTrack(Tone(850))
    browser.connection.addTrack(Flat(GREEN))
    screen = ann.look()
    try:
        await browser.join()
        await together(plane, ANN, BOB)
        await until(lambda: screen.shows(GREEN, 20) and browser.sees(RED))
        remote = browser.negotiation.offered(browser.connection.localDescription.sdp)
        browser.negotiation.withdraw()
        audio, video = remote.streams
        answer = await plane.answer(
            BOB, MediaDescription((replace(audio, transport=Transport(None, 0)), video), (video.id,))
        )
        assert [one.refused for one in answer.streams] == [True, False]
        browser.picture = None
        await until(lambda: browser.sees(RED))
    finally:
        await browser.close()


async def test_a_sound_waits_for_the_keys_of_a_browser(plane: MediaPlane) -> None:
    eve = Browser(plane, EVE)
    eve.connection.addTrack(Tone(600))
    async with events_of(plane) as events:
        try:
            await plane.open(EVE, ROOM, Abilities(ice=True))
            await plane.play(EVE, (Sound("test/one"), Sound("test/two")), 1)
            await eve.offer()
            await until(lambda: Played(EVE, 1) in events)
            await until(lambda: eve.hears(2100))

            def heard(tone: float) -> bool:
                sound = np.concatenate(eve.sound)
                return any(loudness(sound[at : at + 9600], tone, 48000) > -25 for at in range(0, len(sound), 4800))

            assert heard(1000)
        finally:
            await eve.close()
