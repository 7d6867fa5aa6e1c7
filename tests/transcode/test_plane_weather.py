"""What networks do to packets, through the whole plane: loss, disorder, doubles, wraps, strangers and garbage."""

from __future__ import annotations

import asyncio
import random
import socket

import numpy as np
import pytest
from plane_peer import ANN, BOB, Line, Peer, h264, meeting, until
from rtp_phone import loudness
from video_samples import BLUE, GREEN, RED

from transcode.audio import g711
from transcode.interface import MediaPlane
from transcode.media import Codec
from transcode.rtp import rtcp
from transcode.rtp.packet import pack

pytestmark = pytest.mark.parametrize("plane", ["direct"], indirect=True)
SEED = 20_061


def line_of(peer: Peer) -> Line:
    assert peer.audio is not None
    return peer.audio


def longest_gap(peer: Peer, skip: int = 25) -> float:
    """Return the longest silence in what a peer heard, in ms, by windows of 5 ms; lost packets count as heard."""
    parts = [g711.decode(Codec.PCMU, packet.payload) for packet in line_of(peer).packets[skip:]]
    sound = np.concatenate(parts).astype(float)
    blocks = sound[: len(sound) // 40 * 40].reshape(-1, 40)
    silent = np.sqrt((blocks**2).mean(axis=1)) < 150
    longest = run = 0
    for one in silent:
        run = run + 1 if one else 0
        longest = max(longest, run)
    return longest * 5.0


@pytest.mark.interop
@pytest.mark.alone
async def test_five_percent_loss_leaves_no_long_gap_in_sound(plane: MediaPlane) -> None:
    chance = random.Random(SEED)
    ann, bob = Peer(plane, ANN), Peer(plane, BOB)
    async with meeting(plane, ann, bob):
        ann.sing(440)
        line_of(ann).lose_out = lambda: chance.random() < 0.05
        await until(lambda: loudness(bob.heard(10), 440) > -25)
        line_of(bob).packets.clear()
        await asyncio.sleep(6.0)
        assert longest_gap(bob, 0) <= 60, SEED
        statistics = (await plane.statistics(ANN)).streams[0]
        assert statistics.lost_in >= 5
        assert statistics.concealed >= 5


@pytest.mark.interop
@pytest.mark.alone
async def test_five_percent_loss_of_pictures_is_mended_within_two_seconds(plane: MediaPlane) -> None:
    chance = random.Random(SEED)
    ann, bob = Peer(plane, ANN, h264()), Peer(plane, BOB, h264())
    async with meeting(plane, ann, bob):
        camera = ann.film(RED, 640, 360)
        screen = bob.look()
        await until(lambda: screen.shows(RED))
        line = ann.video
        assert line is not None
        line.lose_out = lambda: chance.random() < 0.05
        for colour in (GREEN, BLUE, RED, GREEN):
            camera.yuv = colour
            assert await until(lambda colour=colour: screen.shows(colour), 2.5) < 2.0, SEED
            await asyncio.sleep(0.5)


@pytest.mark.interop
@pytest.mark.alone
async def test_doubled_and_reordered_packets_are_heard_and_seen_as_sent(plane: MediaPlane) -> None:
    chance = random.Random(SEED)
    ann, bob = Peer(plane, ANN, h264()), Peer(plane, BOB, h264())
    async with meeting(plane, ann, bob):
        for line in (ann.audio, ann.video):
            assert line is not None
            shake(line, chance)
        camera = ann.film(RED, 640, 360, answers=False)
        ann.sing(440)
        screen = bob.look()
        await until(lambda: screen.shows(RED) and loudness(bob.heard(10), 440) > -25)
        frames, asked = len(screen.frames), len(ann.video.told(rtcp.PictureLoss))  # type: ignore[union-attr]
        line_of(bob).packets.clear()
        camera.yuv = GREEN
        await asyncio.sleep(1.5)
        assert screen.shows(GREEN)
        assert len(screen.frames) > frames + 20
        assert longest_gap(bob, 20) <= 20
        assert len(ann.video.told(rtcp.PictureLoss)) == asked  # type: ignore[union-attr]
        statistics = (await plane.statistics(ANN)).streams
        assert statistics[0].lost_in <= 2
        assert statistics[1].lost_in <= 2


def shake(line: Line, chance: random.Random) -> None:
    """Send a tenth of the packets twice, and a tenth 15 ms late, after those that follow."""
    loop, plain = asyncio.get_running_loop(), line.raw

    def raw(data: bytes) -> None:
        luck = chance.random()
        if luck < 0.1:
            loop.call_later(0.015, lambda: plain(data) if line.rtp.fileno() >= 0 else None)
            return
        plain(data)
        if luck < 0.2:
            plain(data)

    line.raw = raw  # type: ignore[method-assign]


@pytest.mark.interop
@pytest.mark.alone
async def test_late_packets_are_not_heard(plane: MediaPlane) -> None:
    ann, bob = Peer(plane, ANN), Peer(plane, BOB)
    async with meeting(plane, ann, bob):
        ann.sing(440)
        await until(lambda: len(line_of(bob).packets) > 60)
        line, withheld = line_of(ann), 0

        def lose() -> bool:
            nonlocal withheld
            withheld += 1
            return withheld <= 3

        number, line.lose_out = line.sequence, lose
        await asyncio.sleep(0.4)
        line_of(bob).packets.clear()
        for late in range(3):
            line.put(number + late, 0, bytes([0x80]) * 160, (number + late - 1000) * 160)
        await asyncio.sleep(0.4)
        assert np.abs(bob.heard(20)).max() < 9000
        assert longest_gap(bob, 0) <= 10
        statistics = (await plane.statistics(ANN)).streams[0]
        assert statistics.concealed >= 2


@pytest.mark.interop
@pytest.mark.alone
@pytest.mark.parametrize(("sequence", "timestamp"), [(65_530, 2**32 - 1600), (0, 0), (65_535, 2**31 - 800)])
async def test_numbers_wrap_without_a_sound(plane: MediaPlane, sequence: int, timestamp: int) -> None:
    ann, bob = Peer(plane, ANN, h264()), Peer(plane, BOB, h264())
    async with meeting(plane, ann, bob):
        for line in (ann.audio, ann.video):
            assert line is not None
            line.sequence, line.timestamp = sequence, timestamp
        ann.film(RED, answers=False)
        ann.sing(440)
        screen = bob.look()
        await until(lambda: screen.shows(RED) and len(line_of(bob).packets) > 30)
        line_of(bob).packets.clear()
        await asyncio.sleep(0.6)
        assert longest_gap(bob, 0) <= 10
        statistics = (await plane.statistics(ANN)).streams
        assert [one.lost_in for one in statistics] == [0, 0]


async def test_a_source_that_changes_its_ssrc_is_heard_and_seen_again(plane: MediaPlane) -> None:
    ann, bob = Peer(plane, ANN, h264()), Peer(plane, BOB, h264())
    async with meeting(plane, ann, bob):
        camera = ann.film(RED)
        ann.sing(440)
        screen = bob.look()
        await until(lambda: screen.shows(RED) and loudness(bob.heard(10), 440) > -25)
        for line in (ann.audio, ann.video):
            assert line is not None
            line.ssrc, line.sequence, line.timestamp = line.ssrc ^ 0xFFFF, 40_000, 77
        camera.yuv = BLUE
        assert await until(lambda: screen.shows(BLUE)) < 2.0
        await asyncio.sleep(0.4)
        assert loudness(bob.heard(10), 440) > -25


async def test_strangers_and_garbage_are_counted_and_change_nothing(plane: MediaPlane) -> None:
    chance = random.Random(SEED)
    ann, bob = Peer(plane, ANN, h264()), Peer(plane, BOB, h264())
    stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    async with meeting(plane, ann, bob):
        ann.film(RED)
        ann.sing(440)
        bob.sing(850)
        screen = bob.look()
        await until(lambda: screen.shows(RED) and loudness(ann.heard(10), 850) > -25)
        targets = [one for line in (ann.audio, ann.video) if line for one in (line.remote, line.remote_rtcp) if one]
        for number in range(60):
            for target in targets:
                stranger.sendto(pack(0, number, number * 160, 0xBAD, bytes(160)), target)
                stranger.sendto(chance.randbytes(chance.randrange(0, 1500)), target)
                stranger.sendto(b"\x16\xfe\xfd" + bytes(40), target)
                stranger.sendto(bytes(3000), target)
            # And from the right place: what looks like RTP and RTCP, cut short and made up.
            for line in (ann.audio, ann.video):
                assert line is not None
                assert line.remote is not None
                line.rtp.sendto(b"\x80\x00" + chance.randbytes(chance.randrange(0, 40)), line.remote)
                line.rtp.sendto(bytes([0x9F, 96]) + line.sequence.to_bytes(2, "big") + bytes(8), line.remote)
                line.rtcp.sendto(b"\x81\xc9" + chance.randbytes(chance.randrange(0, 60)), line.remote_rtcp or ("", 0))
            await asyncio.sleep(0.01)
        line_of(bob).packets.clear()
        await asyncio.sleep(0.6)
        assert loudness(bob.heard(20), 440) > -25, SEED
        assert loudness(ann.heard(20), 850) > -25, SEED
        assert screen.shows(RED)
        counted = {dict(one.labels).get("what"): one.value for one in await plane.counters()}
        assert counted["foreign"] > 50
        assert counted["oversized"] > 50
        assert counted["malformed"] > 10
        assert counted["handler_errors"] == 0
    stranger.close()
