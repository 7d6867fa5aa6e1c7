"""Our descriptions and transport against aiortc's own RTCPeerConnection, offering and answering."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack
from webrtc_leg import Leg

from gateway.webrtc.negotiation import Negotiation
from transcode.ice.transport import IceState
from transcode.media import Codec, Kind
from transcode.rtp.packet import pack


@pytest.fixture
async def peer(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RTCPeerConnection]:
    # aioice leaves loopback out; here it is all that may be used.
    monkeypatch.setattr("aioice.ice.get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    yield connection
    await connection.close()


async def test_its_offer_is_answered_and_packets_pass_both_ways(peer: RTCPeerConnection) -> None:
    leg = Leg(controlling=False)
    peer.addTrack(AudioStreamTrack())
    peer.addTransceiver("video", direction="recvonly")
    received = asyncio.get_running_loop().create_future()

    @peer.on("track")
    def on_track(track: object) -> None:
        if getattr(track, "kind", "") == "audio" and not received.done():
            received.set_result(track)

    try:
        await peer.setLocalDescription(await peer.createOffer())
        negotiation = Negotiation()
        remote = negotiation.offered(peer.localDescription.sdp)
        assert [stream.kind for stream in remote.streams] == [Kind.AUDIO, Kind.VIDEO]
        audio, video = remote.streams
        assert audio.send
        assert not video.send
        assert {each.codec for each in video.receive} >= {Codec.VP8, Codec.H264}
        answer = negotiation.answer(await leg.answer(remote))
        await peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        async with asyncio.timeout(10):
            assert await leg.transport.wait() is IceState.CONNECTED
            await leg.arrived.wait()
            track = await received
            opus = next(each.payload_type for each in audio.receive if each.codec is Codec.OPUS)
            assert set(leg.payload_types) == {opus}
            for number in range(40):
                # An Opus frame of 20 ms silence; the peer's jitter buffer wants a few.
                leg.transport.send_rtp(pack(opus, number, number * 960, 1000, b"\xf8\xff\xfe"))
            frame = await track.recv()
        assert frame.sample_rate == 48000
    finally:
        await leg.close()


async def test_our_offer_is_answered_and_packets_pass(peer: RTCPeerConnection) -> None:
    leg = Leg(controlling=True)
    peer.addTrack(AudioStreamTrack())
    try:
        negotiation = Negotiation()
        offer = negotiation.offer(await leg.offer(Kind.AUDIO, Kind.VIDEO))
        await peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await peer.setLocalDescription(await peer.createAnswer())
        answer = negotiation.answered(peer.localDescription.sdp)
        assert [stream.id for stream in answer.streams] == ["0", "1"]
        assert answer.bundle == ("0", "1")
        await leg.accept(answer)
        async with asyncio.timeout(10):
            assert await leg.transport.wait() is IceState.CONNECTED
            await leg.arrived.wait()
        assert set(leg.payload_types) == {111}
    finally:
        await leg.close()
