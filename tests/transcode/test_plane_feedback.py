"""RTCP feedback through the whole plane, both ways: key frames, retransmission, rates."""

from __future__ import annotations

import asyncio
import random
import time

import pytest
from payload_streams import encode
from plane_peer import ANN, BOB, FEEDBACK, Camera, Line, Peer, events_of, h264, meeting, until, video
from video_samples import GREEN, RED

from transcode.events import KeyFrameWanted
from transcode.interface import MediaPlane
from transcode.media import Codec, Format
from transcode.payload.formats import packetizer
from transcode.rtp import rtcp
from transcode.rtp.packet import RtpPacket

pytestmark = pytest.mark.parametrize("plane", ["direct"], indirect=True)
SEED = 4585


def video_of(peer: Peer) -> Line:
    assert peer.video is not None
    return peer.video


async def watching(peer: Peer) -> int:
    """Wait for a steady picture; return the SSRC that the plane sends with."""
    screen = peer.look()
    await until(lambda: len(screen.frames) > 5)
    return video_of(peer).packets[-1].ssrc


@pytest.mark.interop
@pytest.mark.alone
@pytest.mark.parametrize("how", ["pli", "fir"])
async def test_a_request_gets_a_key_frame_and_a_storm_gets_one_a_second(plane: MediaPlane, how: str) -> None:
    ann, bob = Peer(plane, ANN, h264()), Peer(plane, BOB, h264())
    async with meeting(plane, ann, bob):
        ann.film(RED)
        ssrc = await watching(bob)
        screen, line = bob.screen, video_of(bob)
        assert screen is not None
        await asyncio.sleep(1.1)
        keys, began = screen.keys, time.monotonic()
        for number in range(60):
            line.report(
                rtcp.PictureLoss(line.ssrc, ssrc)
                if how == "pli"
                else rtcp.FullIntraRequest(line.ssrc, ((ssrc, number),))
            )
            await asyncio.sleep(0.02)
        took = time.monotonic() - began
        assert 1 <= screen.keys - keys <= 1 + int(took)


async def test_lost_packets_are_sent_again_as_they_were(plane: MediaPlane) -> None:
    ann, bob = Peer(plane, ANN, h264()), Peer(plane, BOB, h264())
    async with meeting(plane, ann, bob):
        ann.film(RED)
        ssrc = await watching(bob)
        line = video_of(bob)
        asked = tuple(packet.sequence for packet in line.packets[-3:])
        first = {packet.sequence: packet.payload for packet in line.packets}
        count = len(line.packets)
        line.report(rtcp.Nack(line.ssrc, ssrc, asked))
        again: list[RtpPacket] = []

        def all_there() -> bool:
            again[:] = [packet for packet in line.packets[count:] if packet.sequence in asked]
            return len(again) == len(asked)

        await until(all_there, 1.0)
        assert all(packet.payload == first[packet.sequence] and packet.ssrc == ssrc for packet in again)


async def test_lost_packets_are_sent_again_as_rtx_where_that_was_agreed_on(plane: MediaPlane) -> None:
    rtx = Format(Codec.RTX, 120, 90000, parameters=(("apt", "96"),))
    ann, bob = Peer(plane, ANN, h264()), Peer(plane, BOB, h264(), rtx)
    async with meeting(plane, ann, bob):
        assert Codec.RTX in {one.codec for one in bob.answer.streams[1].send}
        ann.film(RED)
        ssrc = await watching(bob)
        line = video_of(bob)
        wanted = line.packets[-2]
        line.report(rtcp.Nack(line.ssrc, ssrc, (wanted.sequence,)))
        await until(lambda: any(packet.payload_type == 120 for packet in line.packets), 1.0)
        found = next(packet for packet in line.packets if packet.payload_type == 120)
        assert found.ssrc == bob.answer.streams[1].ssrcs[1]
        assert found.payload == wanted.sequence.to_bytes(2, "big") + wanted.payload


async def rate_of(line: Line, seconds: float = 1.0) -> float:
    """Measure what comes in, in bit/s."""
    count = len(line.packets)
    await asyncio.sleep(seconds)
    return sum(len(packet.payload) for packet in line.packets[count:]) * 8 / seconds


@pytest.mark.interop
@pytest.mark.alone
@pytest.mark.parametrize("how", ["tmmbr", "remb"])
async def test_a_limit_is_held_and_confirmed(plane: MediaPlane, how: str) -> None:
    ann, bob = Peer(plane, ANN, h264()), Peer(plane, BOB, h264(feedback=(*FEEDBACK, "goog-remb")))
    async with meeting(plane, ann, bob):
        textured(ann)
        ssrc = await watching(bob)
        line = video_of(bob)
        await asyncio.sleep(1.0)
        before = await rate_of(line)
        if how == "tmmbr":
            line.report(rtcp.RateRequest(line.ssrc, (rtcp.RateEntry(ssrc, 200_000, 40),)))
            await until(lambda: line.told(rtcp.RateNotification), 1.0)
            entry = line.told(rtcp.RateNotification)[-1].entries[0]  # type: ignore[union-attr]
            assert (entry.ssrc, entry.bit_rate) == (line.ssrc, 200_000)
        else:
            line.report(rtcp.EstimatedBandwidth(line.ssrc, 200_000, (ssrc,)))
        await asyncio.sleep(0.7)
        after = await rate_of(line, 1.5)
        assert before > 500_000
        assert after < 260_000
        assert (await plane.statistics(BOB)).streams[1].bit_rate_target == 200_000


def textured(peer: Peer) -> None:
    """Send the moving texture: always something to code."""
    frames = encode(Codec.H264, 640, 368, 45, 2_000_000, key_every=45)
    line, packets = video_of(peer), packetizer(peer.formats[0])

    async def run() -> None:
        due, number = time.monotonic(), 0
        while True:
            for payload, marker in packets.packets(frames[number % len(frames)]):
                line.send(96, payload, number * 3003, marker)
            number += 1
            due += 1 / 30
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    peer.start(run())


@pytest.mark.interop
@pytest.mark.alone
async def test_reported_loss_lowers_the_rate_and_growth_comes_back_slowly(plane: MediaPlane) -> None:
    ann, bob = Peer(plane, ANN, h264()), Peer(plane, BOB, h264())
    async with meeting(plane, ann, bob):
        ann.film(RED)
        ssrc = await watching(bob)
        line = video_of(bob)
        targets = [(await plane.statistics(BOB)).streams[1].bit_rate_target]
        for _ in range(4):
            highest = line.packets[-1].sequence
            line.report(blocks=(rtcp.ReportBlock(ssrc, 64, 100, highest, 0, 0, 0),))
            await asyncio.sleep(0.35)
            targets.append((await plane.statistics(BOB)).streams[1].bit_rate_target)
        assert targets[0] == 2_000_000
        assert targets[-1] < 0.7 * targets[0]
        assert (await plane.statistics(BOB)).streams[1].loss_out == 0.25


@pytest.mark.interop
@pytest.mark.alone
async def test_the_plane_asks_for_what_it_misses_and_gets_the_picture_whole(plane: MediaPlane) -> None:
    ann, bob = Peer(plane, ANN, h264()), Peer(plane, BOB, h264())
    async with meeting(plane, ann, bob):
        camera = ann.film(RED, 640, 360, answers=False)
        line = video_of(ann)
        screen = bob.look()
        await until(lambda: screen.shows(RED))
        sent: dict[int, bytes] = {}
        chance = random.Random(SEED)
        keep = line.raw

        def raw(data: bytes) -> None:
            sent[int.from_bytes(data[2:4], "big")] = data
            if chance.random() >= 0.1:
                keep(data)

        line.raw = raw  # type: ignore[method-assign]
        served = 0
        for _ in range(100):
            await asyncio.sleep(0.02)
            nacks = line.told(rtcp.Nack)
            for nack in nacks[served:]:
                for number in nack.sequences:  # type: ignore[union-attr]
                    keep(sent[number])
            served = len(nacks)
        counted = (await plane.statistics(ANN)).streams[0 if ann.audio is None else 1]
        assert served >= 2, SEED
        assert camera.keys_sent == 1
        assert not line.told(rtcp.PictureLoss)[1:]
        assert counted.frames_in >= 45
        assert counted.lost_in <= 2


async def test_what_is_not_sent_again_is_asked_for_by_a_key_frame(plane: MediaPlane) -> None:
    ann, bob = Peer(plane, ANN, h264()), Peer(plane, BOB, h264())
    async with meeting(plane, ann, bob):
        camera = ann.film(RED)
        screen = bob.look()
        await until(lambda: screen.shows(RED))
        line = video_of(ann)
        line.control.clear()
        camera.yuv = GREEN
        line.lose_out = lambda: True
        await asyncio.sleep(0.1)
        line.lose_out = lambda: False
        took = await until(lambda: screen.shows(GREEN), 2.0)
        assert line.told(rtcp.Nack)
        assert line.told(rtcp.PictureLoss)
        assert camera.keys_sent >= 2
        assert took < 2.0
        await asyncio.sleep(0.7)
        asked = len(line.told(rtcp.PictureLoss)) + len(line.told(rtcp.FullIntraRequest))
        await asyncio.sleep(0.7)
        assert len(line.told(rtcp.PictureLoss)) + len(line.told(rtcp.FullIntraRequest)) == asked


async def test_a_peer_without_feedback_is_asked_by_signalling(plane: MediaPlane) -> None:
    deaf = video(Codec.VP8, feedback=())
    ann, bob = Peer(plane, ANN, deaf), Peer(plane, BOB, h264())
    async with events_of(plane) as told, meeting(plane, ann, bob):
        camera = Camera(video_of(ann), deaf, RED, answers=False)
        camera.picture()  # the key frame is lost

        async def run() -> None:
            while True:
                camera.shoot()
                await asyncio.sleep(0.04)

        ann.start(run())
        screen = bob.look()
        await until(lambda: KeyFrameWanted(ANN, "1") in told, 1.0)
        assert not video_of(ann).told(rtcp.PictureLoss)
        camera.key = True
        assert await until(lambda: screen.shows(RED)) < 2.0
        count = told.count(KeyFrameWanted(ANN, "1"))
        await asyncio.sleep(1.2)
        assert told.count(KeyFrameWanted(ANN, "1")) == count <= 2
        await plane.key_frame(BOB)
        keys = screen.keys
        await until(lambda: screen.keys > keys, 2.0)


@pytest.mark.interop
@pytest.mark.alone
async def test_the_peer_is_told_how_much_it_may_send(plane: MediaPlane) -> None:
    ann = Peer(plane, ANN, h264())
    bob = Peer(plane, BOB, h264(feedback=("goog-remb",)))
    async with meeting(plane, ann, bob):
        ann.film(RED)
        bob.film(GREEN)
        line = video_of(ann)
        await until(lambda: line.told(rtcp.RateRequest), 2.0)
        request = line.told(rtcp.RateRequest)[-1]
        assert request.entries == (rtcp.RateEntry(line.ssrc, 2_000_000, 0),)  # type: ignore[union-attr]
        await until(lambda: video_of(bob).told(rtcp.EstimatedBandwidth), 3.0)
        line.report(rtcp.RateNotification(line.ssrc, (rtcp.RateEntry(request.sender, 2_000_000),)))  # type: ignore[union-attr]
        await asyncio.sleep(0.2)
        asked = len(line.told(rtcp.RateRequest))
        await asyncio.sleep(1.2)
        assert len(line.told(rtcp.RateRequest)) == asked
